"""Writes the exported files of one checkpoint; each is loaded again and compared with it before it is kept."""
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from mindspore import nn

from src.common.charset import Charset
from src.common.errors import DataError
from src.data.preprocess import InputSpec, read_image, to_batch
from src.deploy.check import measure, probes, require_close
from src.deploy.metadata import ModelInfo, sidecar_path, write_sidecar
from src.deploy.mindir.files import load_mindir, write_mindspore
from src.deploy.onnx.graph import build_onnx, to_bytes
from src.deploy.onnx.network import OnnxNetwork
from src.deploy.onnx.quantise import quantise
from src.deploy.targets import Sizes, one_width, sizes_for, target_path, written
from src.model_utils.config import Config
from src.network.forward import network_forward
from src.network.trained import load_network, open_checkpoint
from src.reading.greedy import GreedyDecoder
from src.reading.reading import Forward

_CALIBRATION_BATCH = 20


class Exporter:
    """A checkpoint and where its exported files go.

    Args:
        config: has ``ckpt_file``, ``file_name`` and the other keys of the Export group; takes over what the checkpoint
            was trained with.

    Raises:
        CheckpointError: no checkpoint given, or not one of this network.
    """

    def __init__(self, config: Config) -> None:
        config.checkpoint_path = config.ckpt_file or config.checkpoint_path
        self.config, self.checkpoint = config, open_checkpoint(config, option="ckpt_file")
        self.charset = Charset.from_config(config.label_dict)
        self.net = load_network(config, self.checkpoint, full_precision=True)
        print(f"checkpoint: {config.checkpoint_path}, {config.model_version}, {config.class_num} classes", flush=True)

    def write(self, formats: Sequence[str], calibration: list[str]) -> None:
        """Writes a file of each format, see :meth:`write_mindspore` and :meth:`write_onnx`."""
        for file_format in formats:
            if file_format == "ONNX":
                self.write_onnx(calibration)
            else:
                self.write_mindspore(file_format)

    def write_mindspore(self, file_format: str) -> None:
        """Writes a MINDIR or AIR file and its JSON file.

        Args:
            file_format: "MINDIR" or "AIR".

        Raises:
            CRNNError: the file differs from the checkpoint; nothing is kept.
        """
        path, sizes = target_path(self.config, file_format), sizes_for(file_format, self.config)
        info = self._info(sizes.width, path)
        # On Ascend the network computes in float16, and so does what MindSpore exports there.
        ascend = self.config.device_target == "Ascend"
        net = load_network(self.config, self.checkpoint, full_precision=False) if ascend else self.net
        with written(path) as partial, written(sidecar_path(path)) as partial_json:
            write_mindspore(net, partial, file_format, sizes.batch, info.image_height, sizes.width)
            verdict = "not compared: MindSpore cannot load AIR again"
            if file_format == "MINDIR":
                verdict = self._check(net, load_mindir(partial), info, str(path), probes(info.spec, sizes))
            shape = [sizes.batch or -1, 3, info.image_height, sizes.width or -1]
            write_sidecar(partial, info, {"input_shape": shape}).replace(partial_json)
        _report(path, sizes, verdict)

    def write_onnx(self, calibration: list[str]) -> None:
        """Writes an ONNX file, and with ``config.quantize`` an 8-bit one beside it.

        Args:
            calibration: paths of the images to calibrate on.

        Raises:
            CRNNError: a file differs too much from the checkpoint; it is not kept.
            DataError: none of the images can be read.
        """
        sizes = sizes_for("ONNX", self.config)
        info = self._info(sizes.width, target_path(self.config, "ONNX"))
        info = replace(info, weights=self.config.onnx_weights)
        plain = build_onnx(self.checkpoint.weights, info, self._epsilon, sizes.batch, sizes.width)
        self._keep_onnx(plain, info, sizes, probes(info.spec, sizes), "")
        if self.config.quantize == "int8":
            info = replace(info, weights="float32")
            images = read_images(calibration)
            print(f"calibrating on {len(images)} images of {self.config.calibration_path}", flush=True)
            batches = list(in_batches(images, info.spec, sizes.batch or min(_CALIBRATION_BATCH, len(images))))
            small = quantise(self.checkpoint.weights, info, self._epsilon, batches, sizes.batch, sizes.width)
            self._keep_onnx(small, replace(info, weights="int8"), sizes, batches, "_int8")

    def _info(self, width: int | None, path: Path) -> ModelInfo:
        spec = InputSpec.from_config(self.config)
        if width:
            spec = one_width(spec, width, path)
        return ModelInfo.of(self.charset, self.config.model_version, spec, temperature=self.config.temperature)

    @property
    def _epsilon(self) -> float:
        return self.net.vgg.conv1.bn.eps

    def _keep_onnx(self, model: onnx.ModelProto, info: ModelInfo, sizes: Sizes, batches: list[np.ndarray],
                   suffix: str) -> None:
        """Writes a model, compares it with the checkpoint on the batches, and keeps it when it is close enough."""
        path = target_path(self.config, "ONNX", suffix)
        with written(path) as partial:
            partial.write_bytes(to_bytes(model))
            verdict = self._check(self.net, OnnxNetwork(partial), info, str(path), batches)
        _report(path, sizes, verdict)

    def _check(self, net: nn.Cell, exported: Forward, info: ModelInfo, name: str, batches: list[np.ndarray]) -> str:
        """Compares a loaded file with the checkpoint's network and says what was found."""
        forward = network_forward(net, 1)
        pairs = [(forward(batch), exported(batch)) for batch in batches]
        verdict = require_close(measure(pairs), info.weights, name)
        if info.weights != "float32":
            decoder = GreedyDecoder(self.charset)
            same = sum(one.text == other.text for pair in pairs
                       for one, other in zip(*map(decoder, pair), strict=True))
            verdict += f", {same} of them read the same"
        return verdict


def _report(path: Path, sizes: Sizes, verdict: str) -> None:
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {sizes}; {verdict}", flush=True)


def read_images(paths: list[str]) -> list[np.ndarray]:
    """Reads images, (H, W, 3) uint8 each; one that cannot be read is named and left out.

    Raises:
        DataError: none can be read.
    """
    images = []
    for path in paths:
        try:
            images.append(read_image(path))
        except DataError as error:
            print(f"warning: not calibrated on: {error}", file=sys.stderr)
    if not images:
        raise DataError(f"none of the {len(paths)} images to calibrate on can be read, such as {paths[0]}")
    return images


def in_batches(images: list[np.ndarray], spec: InputSpec, size: int) -> Iterator[np.ndarray]:
    """Yields images as batches of one size (size, 3, H, W); the last is filled up with the first images again.

    Long images are as wide as the others.
    """
    spec = replace(spec, long_width=0)
    if spec.keep_ratio:  # together with those of similar width, so that they are padded as in evaluation
        images = sorted(images, key=spec.fitted_width)
    filled = images + [images[k % len(images)] for k in range(-len(images) % size)]
    for first in range(0, len(filled), size):
        yield to_batch(filled[first:first + size], spec)
