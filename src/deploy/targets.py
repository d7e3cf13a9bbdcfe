"""What export.py is asked for: formats, sizes, and the files to write."""
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from src.common.errors import ConfigError
from src.common.files import replacing
from src.data.preprocess import InputSpec

FORMATS = ("MINDIR", "AIR", "ONNX")
_ENDINGS = {"MINDIR": ".mindir", "AIR": ".air", "ONNX": ".onnx"}


@dataclass(frozen=True)
class Sizes:
    """Size of the input of an exported network; None where it is free.

    Attributes:
        batch: images per call.
        width: of the images in pixels.
    """

    batch: int | None
    width: int | None

    def __str__(self) -> str:
        return f"batch {self.batch or 'any'}, width {self.width or 'any'}"


def read_formats(config: Any) -> list[str]:
    """The formats of ``config.file_format``, each once.

    Raises:
        ConfigError: unknown format, or options that do not go together.
    """
    known = {name.lower(): name for name in FORMATS}
    formats = []
    for word in config.file_format.replace(",", " ").split():
        if word.lower() not in known:
            raise ConfigError(f"file_format: expected {', '.join(FORMATS)} (several with commas), got {word!r}")
        formats.append(known[word.lower()])
    if not formats:
        raise ConfigError(f"file_format is empty; give {', '.join(FORMATS)}, or several with commas")
    if "AIR" in formats and config.device_target not in ("auto", "Ascend"):
        raise ConfigError(no_air(config.device_target))
    if "ONNX" not in formats and config.quantize != "none":
        raise ConfigError(f"quantize {config.quantize} makes an ONNX file; add ONNX to file_format")
    if config.quantize != "none" and not config.calibration_path:
        raise ConfigError(f"quantize {config.quantize} needs word images to calibrate on; add "
                          "--calibration_path=FOLDER")
    return list(dict.fromkeys(formats))


def no_air(device: str) -> str:
    """Why AIR cannot be written on a device."""
    return (f"file_format AIR needs an Ascend device, but device_target is {device}; export it on a machine with one, "
            "or choose MINDIR or ONNX")


def sizes_for(file_format: str, config: Any) -> Sizes:
    """The input size of one format: what was asked for, or what is usual for it.

    Raises:
        ConfigError: too narrow for the network.
    """
    free = file_format == "ONNX"
    free_width = free or config.keep_ratio
    batch, width = config.export_batch_size, config.export_width
    if isinstance(width, int) and 0 < width < 5:
        raise ConfigError(f"export_width {width} leaves the network no time step; give at least 5, or dynamic")
    return Sizes(None if batch == "dynamic" else batch or (None if free else 1),
                 None if width == "dynamic" else width or (None if free_width else config.image_width))


def one_width(spec: InputSpec, width: int, path: Path) -> InputSpec:
    """The input of a file of one width, to which all images are stretched, or padded where their ratio is kept.

    A note on standard error says so where long images had a width of their own.
    """
    if spec.long_width:
        print(f"note: {path} takes images of one width, {width}: long_width {spec.long_width} does not go into it",
              file=sys.stderr)
    return replace(spec, width=width, widths=(width,) if spec.keep_ratio else (), long_width=0)


def target_path(config: Any, file_format: str, suffix: str = "") -> Path:
    """The file to write: ``file_name`` without an ending of ours, the suffix, and the ending of the format."""
    name = config.file_name
    for ending in _ENDINGS.values():
        name = name.removesuffix(ending)
    if config.quantize == "int8":  # crnn_int8 names the file with integers; the others are not called that
        name = name.removesuffix("_int8")
    if not name or name.endswith(("/", os.sep)):
        raise ConfigError(f"file_name {config.file_name!r} names no file; give one such as crnn or models/crnn")
    return Path(f"{name}{suffix}{_ENDINGS[file_format]}")


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Lets a file appear only when it is complete and the checks inside the block have passed.

    Yields:
        The path to write to, in the same folder; nothing is there yet.

    Raises:
        ConfigError: a folder has that name.
        OSError: the folder cannot be written to.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; choose another file_name")
    with replacing(path) as temporary:
        os.remove(temporary)  # some exporters append to what is there
        yield Path(temporary)
