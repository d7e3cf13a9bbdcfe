"""A network in an ONNX file, through onnxruntime; needs no MindSpore."""
import os
import sys
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from src.common.charset import Charset
from src.common.errors import CheckpointError, ConfigError
from src.common.system import available_cores
from src.deploy import checksum
from src.deploy.metadata import ALIKE, ModelInfo
from src.model_utils.config import Config
from src.network.adopt import adopt, adopt_long_width
from src.reading.selection import adopt_temperature

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

# Device: its execution provider, and the package that brings it.
PROVIDERS = {
    "CPU": ("CPUExecutionProvider", "onnxruntime"),
    "GPU": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "Ascend": ("CANNExecutionProvider", "onnxruntime-cann"),
}


def choose_device(target: str) -> str:
    """Turns ``auto`` into the best device onnxruntime can use here.

    Raises:
        ConfigError: the device that was asked for cannot be used.
    """
    available = onnxruntime.get_available_providers()
    if target == "auto":
        return next((name for name in ("Ascend", "GPU") if PROVIDERS[name][0] in available), "CPU")
    provider, package = PROVIDERS[target]
    if provider not in available:
        raise ConfigError(f"device_target {target} needs the {provider}, which this onnxruntime lacks (it has "
                          f"{', '.join(available)}); install {package}, or take another device_target")
    return target


# Images that one call of onnxruntime takes on the CPU; more are no faster. A file with 8-bit integers that does
# not say that it reads an image alike in any company takes one: LSTMs of onnxruntime's own scale the numbers of all
# images of a call together, so that a reading depended on its neighbours (for 8 of the 647 words of SVT).
_TOGETHER, _TOGETHER_UNLIKE = 8, 1
_CHECKPOINT = b"\n"  # the first byte of a checkpoint; an ONNX file begins with 8


class OnnxNetwork:
    """A CRNN in an ONNX file; calling it maps images (N, 3, 32, W) to class scores (T, N, class_num).

    Args:
        path: the file.
        device: "CPU", "GPU" or "Ascend", see :func:`choose_device`.
        threads: that compute, each an image or a few; 0 takes one for each core.

    Attributes:
        info: its facts; None when the file has no metadata of this project.
        batch: the only number of images per call, None when any will do; a call with others is split and filled up.
        width: the only width of images, None when any will do.
        class_num: number of classes, None when the file does not tell; :func:`load_onnx` then sets it.

    Raises:
        CheckpointError: no such file, not an ONNX file, or another network.
        ConfigError: the device does not start.
    """

    def __init__(self, path: str | os.PathLike, device: str = "CPU", threads: int = 0) -> None:
        self.path = os.fspath(path)
        if not os.path.isfile(self.path):
            raise CheckpointError(f"ONNX file {self.path} is a folder; name the .onnx file in it"
                                  if os.path.isdir(self.path) else f"ONNX file {self.path} does not exist")
        marked = _has_checksum(self.path)
        provider = PROVIDERS[device][0]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a core each for several calls costs less than one call on all cores
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                self.path, options, providers=list(dict.fromkeys([provider, "CPUExecutionProvider"])),
                enable_fallback=int(device != "CPU"))  # there it would try again and tell standard output of it
        except Exception as error:  # onnxruntime has a class of its own for every cause
            raise CheckpointError(f"{self.path} is not an ONNX file that onnxruntime {onnxruntime.__version__} can "
                                  f"load ({' '.join(str(error).split())[:200]}); export it with export.py") from error
        if self._session.get_providers()[0] != provider:
            raise ConfigError(f"onnxruntime could not start the {provider}; check the driver of the {device}, or take "
                              "--device_target=CPU")
        self._threads, self._on_cpu = threads or available_cores(), device == "CPU"
        try:
            self._read_shapes()
            properties = self._session.get_modelmeta().custom_metadata_map
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{self.path} holds names that are no text; export it again with export.py") \
                from error
        self._alike = ALIKE in properties
        self.info = ModelInfo.from_mapping(properties, self.path) if "label_dict" in properties else None
        if self.info and self.class_num not in (None, self.info.class_num):
            raise CheckpointError(f"{self.path} gives scores of {self.class_num} classes, but its label_dict makes "
                                  f"{self.info.class_num}; export it again with export.py")
        if not marked:
            print(f"note: {self.path} carries no checksum, so that damage to it cannot be found out", file=sys.stderr)

    def _read_shapes(self) -> None:
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape, scores = (values[0].shape if values else [] for values in (inputs, outputs))
        if (len(inputs) != 1 or len(shape) != 4 or shape[1] not in (3, None) or isinstance(shape[2], int) and
                shape[2] != 32 or len(scores) != 3 or 0 in (shape[0], shape[3], scores[2]) or
                any(value.type != "tensor(float)" for value in (inputs[0], outputs[0]))):
            raise CheckpointError(f"{self.path} holds another network: it maps {shape} to {scores}, but a CRNN maps "
                                  "images (batch, 3, 32, width) to scores (steps, batch, classes); give a file of "
                                  "export.py")
        self._input = inputs[0].name
        self.batch, self.width, self.class_num = (size if isinstance(size, int) else None
                                                  for size in (shape[0], shape[3], scores[2]))

    def describe(self) -> str:
        """Version, weights and input size, as far as the file tells."""
        facts = [self.info.model_version, f"{self.info.weights} weights"] if self.info else []
        return ", ".join([*facts, f"batch {self.batch or 'any'}", f"width {self.width or 'any'}"])

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Maps images (N, 3, 32, W) float32 to class scores (T, N, class_num) float32."""
        alone = self.info is not None and self.info.weights == "int8" and not self._alike
        together = self.batch or (max(1, len(images)) if not self._on_cpu else
                                  _TOGETHER_UNLIKE if alone else _TOGETHER)
        parts = [images[first:first + together] for first in range(0, len(images), together)] or [images]
        many = len(parts) > 1 and self._threads > 1 and self._on_cpu
        scores = [*(self._pool.map if many else map)(self._run, parts)]
        return np.concatenate(scores, axis=1) if len(scores) > 1 else scores[0]

    @cached_property
    def _pool(self) -> "ThreadPoolExecutor":
        from concurrent.futures import ThreadPoolExecutor  # here: one image needs none, and it takes 10 ms

        return ThreadPoolExecutor(self._threads)

    def _run(self, images: np.ndarray) -> np.ndarray:
        """Class scores of one call's images; they are filled up where the file wants more.

        No images are filled up, too: onnxruntime 1.32 ends the process on a batch of none where a network has an LSTM.
        """
        missing = (self.batch or max(len(images), 1)) - len(images)
        if missing:
            images = np.concatenate([images, np.zeros((missing, *images.shape[1:]), images.dtype)])
        try:
            scores = self._session.run(None, {self._input: images})[0]
        except Exception as error:  # onnxruntime has a class of its own for every cause
            raise CheckpointError(f"{self.path} cannot compute images of shape {images.shape} "
                                  f"({' '.join(str(error).split())[:200]}); export it again with export.py") from error
        if scores.ndim != 3 or scores.shape[1] != len(images) or self.class_num not in (None, scores.shape[2]):
            raise CheckpointError(f"{self.path} holds another network: it gives scores of shape {scores.shape} for "
                                  f"{len(images)} images, where (steps, {len(images)}, {self.class_num or 'classes'}) "
                                  "belongs; give a file of export.py")
        return scores[:, :-missing] if missing else scores


def _has_checksum(path: str) -> bool:
    """Verifies the checksum in a file; False where it carries none.

    Raises:
        CheckpointError: the file was altered.
    """
    fault = checksum.ONNX.find_fault(path)
    if fault:
        with open(path, "rb") as file:
            if file.read(1) == _CHECKPOINT:
                raise CheckpointError(f"{path} is damaged, or no ONNX file but a checkpoint; give that as "
                                      "checkpoint_path, or make an ONNX file of it with export.py")
        raise CheckpointError(fault)
    return fault is not None


def load_onnx(config: Config) -> tuple[OnnxNetwork, Charset]:
    """Opens the ONNX file a configuration names; the configuration takes over what the file tells.

    Args:
        config: has ``onnx_file``, ``device_target``, ``onnx_threads``, ``label_dict``, ``model_version``,
            ``image_width``, ``keep_ratio``, ``bucket_widths``, ``long_width`` and ``temperature``.

    Raises:
        CheckpointError: see :class:`OnnxNetwork`, or the user asked for something else than the file holds.
        ConfigError: the device cannot be used, or ``long_width`` with a file of one width.
    """
    path = config.onnx_file
    config.device_target = choose_device(config.device_target)
    network = OnnxNetwork(path, config.device_target, config.onnx_threads)
    if network.info:
        _take_over(config, path, {name: getattr(network.info, name) for name in ("label_dict", "model_version")})
    charset = Charset.from_config(config.label_dict)
    if network.class_num not in (None, charset.class_num):
        raise CheckpointError(f"{path} gives scores of {network.class_num} classes, but label_dict makes "
                              f"{charset.class_num} (its characters and the blank); give the label_dict it was trained "
                              "with")
    network.class_num = charset.class_num
    if network.width and config.long_width:
        raise ConfigError(f"long_width {config.long_width} needs a network of any width, but that of {path} is "
                          f"{network.width}: leave it out, or export with --export_width=dynamic")
    if network.info:
        info = network.info
        adopt_temperature(config, info.temperature, path)
        resizing = {"image_width": network.width or info.image_width, "keep_ratio": info.spec.keep_ratio,
                    "bucket_widths": info.bucket_widths}
        if network.width:
            _take_over(config, path, resizing)
        else:  # the network takes what the user says
            _take_over(config, path, {key: value for key, value in resizing.items() if not config.is_given(key)})
            adopt_long_width(config, info.long_width, path)
    elif network.width:
        _take_over(config, path, {"image_width": network.width})
    return network, charset


def _take_over(config: Config, path: str, needed: dict[str, object]) -> None:
    adopt(config, path, needed, made="exported", other="file")
