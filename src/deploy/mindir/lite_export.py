"""Exports a checkpoint as a MINDIR file that MindSpore Lite reads right; see lite.py for what is rewritten."""
import os
from pathlib import Path

from src.common.charset import Charset
from src.common.errors import CheckpointError
from src.data.preprocess import InputSpec
from src.deploy.check import measure, probes, require_close
from src.deploy.metadata import ModelInfo, write_sidecar
from src.deploy.mindir.files import load_mindir, write_mindspore
from src.deploy.mindir.lite import rewrite_file
from src.deploy.mindir.unrolled import UnrolledCRNN
from src.deploy.targets import Sizes, one_width, written
from src.model_utils.config import configured
from src.network.forward import network_forward
from src.network.trained import load_network, open_checkpoint


def export_for_lite(checkpoint_path: str | os.PathLike, out_path: str | os.PathLike, batch: int | None = None,
                    width: int | None = None, label_dict: str | None = None) -> Path:
    """Writes the MINDIR of a checkpoint for MindSpore Lite 2.0.0, its LSTMs unrolled, and its JSON file.

    The file is loaded again and compared with the checkpoint before it is kept. Call it with MindSpore in graph mode.

    Args:
        checkpoint_path: as :func:`src.network.checkpoint.read_checkpoint` takes it.
        out_path: file to write; ``.mindir`` is added where it is missing.
        batch: images per call; None leaves it free, to be set with ``Model::Resize``.
        width: of the images in pixels; None takes the width it was trained with, or 100.
        label_dict: the charset, as in the configuration; None takes the checkpoint's, or that of the default
            configuration.

    Returns:
        The path of the file; its facts are in the path with ``.json`` added.

    Raises:
        CheckpointError: the checkpoint cannot be used, has another number of classes than the charset, or was trained
            with keep_ratio.
        CRNNError: the file differs from the checkpoint.
        ConfigError: as :func:`src.deploy.targets.written`.
    """
    asked = {"checkpoint_path": os.fspath(checkpoint_path), "image_width": width, "label_dict": label_dict}
    config = configured(**{key: value for key, value in asked.items() if value is not None})
    checkpoint = open_checkpoint(config)
    if config.keep_ratio:
        raise CheckpointError(f"{checkpoint.path} was trained with keep_ratio, but this file has one width, to which "
                              "the C++ program stretches images; train with keep_ratio False for it, or use ONNX")
    charset, spec = Charset.from_config(config.label_dict), InputSpec.from_config(config)
    target = Path(out_path)
    if target.suffix != ".mindir":
        target = target.with_name(target.name + ".mindir")
    spec = one_width(spec, spec.width, target)
    net = load_network(config, checkpoint, full_precision=True)
    with written(target) as partial:
        write_mindspore(UnrolledCRNN(net, spec.width), partial, "MINDIR", batch, spec.height, spec.width)
        rewrite_file(partial, partial)
        forward, written_one = network_forward(net, 1), load_mindir(partial)
        pairs = [(forward(images), written_one(images)) for images in probes(spec, Sizes(batch, spec.width))]
        verdict = require_close(measure(pairs), "float32", str(target))
    info = ModelInfo.of(charset, config.model_version, spec, temperature=config.temperature)
    write_sidecar(target, info, {"input_shape": [batch or -1, 3, spec.height, spec.width],
                                 "written_for": "MindSpore Lite"})
    print(f"{target}: {Sizes(batch, spec.width)}; {verdict}", flush=True)
    return target
