"""Networks with the names of ours and next to no weights, as files to be damaged."""
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from src.common.charset import Charset
from src.data.preprocess import InputSpec
from src.deploy.metadata import ModelInfo
from src.deploy.onnx.graph import OPSET, set_info


def small_onnx(characters: str) -> onnx.ModelProto:
    """The mean of each column times a matrix: input and output are as a CRNN has them."""
    classes = len(characters) + 1
    nodes = [helper.make_node("ReduceMean", ["images"], ["mean"], axes=[2], keepdims=0),
             helper.make_node("Transpose", ["mean"], ["columns"], perm=[2, 0, 1]),
             helper.make_node("MatMul", ["columns", "weights"], ["logits"])]
    weights = numpy_helper.from_array(np.ones((3, classes), np.float32), "weights")
    graph = helper.make_graph(
        nodes, "small", [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 32, "width"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["steps", "batch", classes])], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    set_info(model, ModelInfo.of(Charset(characters), "V2", InputSpec()))
    return model


def small_checkpoints(characters: str) -> list[bytes]:
    """A checkpoint of ours, the same as MindSpore alone writes it, and weights of numpy."""
    import mindspore as ms
    from mindspore import Parameter, Tensor, nn

    from src.network.checkpoint import write_checkpoint

    class Small(nn.Cell):
        """Parameters that tell version, units and classes."""

        def __init__(self):
            super().__init__()
            shapes = {"rnn.0.rnn.weight_ih_l0": (8, 3), "rnn.0.rnn.weight_hh_l0": (8, 2),
                      "rnn.1.embedding.bias": (len(characters) + 1,)}
            self.weights = ms.ParameterTuple([Parameter(Tensor(np.ones(shape, np.float32)), name=name)
                                              for name, shape in shapes.items()])

    cell = Small()
    with tempfile.TemporaryDirectory() as folder:
        ours, plain, arrays = (Path(folder, name) for name in ("a.ckpt", "b.ckpt", "c.npz"))
        write_checkpoint(ours, cell, {"label_dict": characters, "model_version": "V2", "epoch_num": 3})
        ms.save_checkpoint(cell, str(plain))
        np.savez(arrays, **{p.name: p.asnumpy() for p in cell.get_parameters()})
        return [path.read_bytes() for path in (ours, plain, arrays)]
