#!/usr/bin/env bash
# OpenVINO computes onnxruntime's 8-bit LSTM in float: it reads its weights, but quantises neither input nor state.
#
# onnxruntime's quantize_dynamic turns LSTM into DynamicQuantizeLSTM (domain com.microsoft), which takes 8-bit weights
# and, as its name says, quantises its input and its state while it runs.
# Expected: a runtime that accepts the operator gives what onnxruntime gives, or refuses it.
# Seen with OpenVINO 2026.4.0 and onnxruntime 1.32.0 (28 November 2026): OpenVINO loads the file without a word and
# gives what a float LSTM gives with these weights (to 2e-7; onnxruntime's 8-bit LSTM is 0.03 off). Hints of precision
# or accuracy change nothing. Who quantises LSTMs so gets two sets of results: of 480 words that a text recogniser read,
# 16 came out differently, and the accuracy measured in one runtime says nothing of the other.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q openvino==2026.4.0 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
"$folder/env/bin/python" - "$folder" <<'END'
import sys

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization

folder, steps, features, hidden = sys.argv[1], 20, 64, 32
rng = np.random.default_rng(1)
weights = {"W": rng.normal(0, 0.3, (1, 4 * hidden, features)), "R": rng.normal(0, 0.3, (1, 4 * hidden, hidden)),
           "B": np.zeros((1, 8 * hidden))}


def model(values):
    stored = [numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name) for name, value in values.items()]
    node = helper.make_node("LSTM", ["X", "W", "R", "B"], ["Y"], name="lstm", hidden_size=hidden)
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
            for name, shape in (("X", [steps, 1, features]), ("Y", [steps, 1, 1, hidden]))]
    graph = helper.make_graph([node], "lstm", *ends, stored)
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


onnx.save(model(weights), f"{folder}/float.onnx")
quantization.quantize_dynamic(f"{folder}/float.onnx", f"{folder}/int8.onnx", op_types_to_quantize=["LSTM"],
                              weight_type=quantization.QuantType.QInt8, reduce_range=True)
small = onnx.load(f"{folder}/int8.onnx")
node = next(node for node in small.graph.node if node.op_type == "DynamicQuantizeLSTM")
stored = {item.name: numpy_helper.to_array(item).astype(np.float32) for item in small.graph.initializer}
back = {"B": weights["B"]}
for kind, name, scale, zero in (("W", 1, 8, 9), ("R", 2, 10, 11)):
    back[kind] = ((stored[node.input[name]] - stored[node.input[zero]]) * stored[node.input[scale]]).transpose(0, 2, 1)
back = {name: back[name] for name in ("W", "R", "B")}

x = rng.normal(0, 1, (steps, 1, features)).astype(np.float32)
ort = {name: onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"X": x})[0]
       for name, data in (("int8", small.SerializeToString()), ("float", model(back).SerializeToString()))}
vino = openvino.Core().compile_model(f"{folder}/int8.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32",
                                                                   "EXECUTION_MODE_HINT": "ACCURACY"})(x)[0]
to_int8, to_float = np.abs(vino - ort["int8"]).max(), np.abs(vino - ort["float"]).max()
print(f"openvino {openvino.__version__}, onnxruntime {onnxruntime.__version__}: OpenVINO is {to_int8:.2g} from "
      f"onnxruntime's 8-bit LSTM and {to_float:.2g} from the float LSTM with the same weights")
assert to_float < 1e-4 and to_int8 > 100 * to_float, "OpenVINO quantises as well now: this finding is out of date"
END
