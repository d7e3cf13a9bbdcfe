"""What travels with an exported network: how to prepare images for it and what its classes mean."""
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from src.common.charset import Charset
from src.common.errors import CheckpointError, ConfigError
from src.common.files import parse_json
from src.data.preprocess import InputSpec
from src.deploy import checksum
from src.network.description import VERSIONS

MODEL_CRC = "mindir_crc32"
"""In a JSON file: the CRC-32 of the MINDIR file beside it, which the C++ program verifies."""
PROJECT_VERSION = "1.0.0"
CHANNEL_ORDER = "BGR"
STRETCH = "stretch, cv2.INTER_LINEAR"
ALIKE = "guards"
"""Entry of an ONNX file with 8-bit integers that reads an image alike in any company, at first by guards."""
KEEP_RATIO = "keep ratio, cv2.INTER_LINEAR, pad right with the last column to the next of bucket_widths"


@dataclass(frozen=True)
class ModelInfo:
    """The facts about an exported network; ONNX metadata properties, or the keys of a JSON file beside the others.

    Attributes:
        label_dict: the characters, in the order of the classes.
        model_version: "V1" or "V2".
        image_width: columns the network was trained with, in pixels.
        image_height: rows of the input, in pixels.
        class_num: number of classes: the characters and the blank.
        blank: class of the CTC blank, the last one.
        mean: subtracted from every channel, in grey levels.
        scale: divides every channel afterwards, in grey levels.
        channel_order: order of the three input channels.
        resize: how an image gets its size: ``STRETCH`` or ``KEEP_RATIO``.
        weights: "float32", "float16" (stored so, computed in float32) or "int8".
        project_version: of the program that wrote the file.
        bucket_widths: the widths of KEEP_RATIO in pixels, rising, with commas; empty for STRETCH.
        temperature: divides the scores before the confidence is computed; see fit_temperature.py.
        long_width: columns of the input for long images in pixels; 0: as all others. See ``InputSpec``.
    """

    label_dict: str
    model_version: str
    image_width: int
    image_height: int
    class_num: int
    blank: int
    mean: float = InputSpec.mean
    scale: float = InputSpec.scale
    channel_order: str = CHANNEL_ORDER
    resize: str = STRETCH
    weights: str = "float32"
    project_version: str = PROJECT_VERSION
    bucket_widths: str = ""
    temperature: float = 1.0
    long_width: int = 0

    @classmethod
    def of(cls, charset: Charset, model_version: str, spec: InputSpec, weights: str = "float32",
           temperature: float = 1.0) -> "ModelInfo":
        """Describes a network of this project."""
        return cls(charset.characters, model_version, spec.width, spec.height, charset.class_num, charset.blank,
                   spec.mean, spec.scale, resize=KEEP_RATIO if spec.keep_ratio else STRETCH, weights=weights,
                   bucket_widths=",".join(map(str, spec.widths)), temperature=temperature,
                   long_width=spec.long_width)

    @property
    def spec(self) -> InputSpec:
        """How images are prepared."""
        try:
            widths = tuple(int(width) for width in self.bucket_widths.split(",") if width)
        except ValueError:
            raise ConfigError(f"bucket_widths {self.bucket_widths[:60]!r} are no whole numbers with commas") from None
        return InputSpec(self.image_height, self.image_width, self.mean, self.scale, widths, self.long_width)

    @property
    def charset(self) -> Charset:
        return Charset(self.label_dict)

    def to_dict(self) -> dict[str, str | int | float]:
        """All facts by name."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, values: Mapping[str, object], where: str) -> "ModelInfo":
        """Takes the facts from metadata properties (all text) or from JSON; names it does not know are left alone.

        Args:
            values: the facts by name.
            where: the file, for messages.

        Raises:
            CheckpointError: one is missing, cannot be read or contradicts another, or this program prepares images in
                another way than the file asks for.
        """
        found = {}
        for entry in fields(cls):
            if entry.name not in values:
                if entry.name in ("bucket_widths", "temperature", "long_width"):  # younger than the other facts
                    continue
                raise CheckpointError(f"{where} does not tell its {entry.name}; export it again with export.py")
            value = values[entry.name]
            try:
                if isinstance(value, bool) or not isinstance(value, str | int | float):
                    raise ValueError
                kind: Any = entry.type
                found[entry.name] = kind(value)
                if kind is int and isinstance(value, float) and found[entry.name] != value:
                    raise ValueError
            except (ValueError, OverflowError):
                raise CheckpointError(f"{where}: {entry.name} cannot be {value!r}; export it again with "
                                      "export.py") from None
        info = cls(**found)
        try:
            charset, spec = info.charset, info.spec
        except ConfigError as error:
            raise CheckpointError(f"{where}: {error}") from error
        if info.model_version not in VERSIONS:
            raise CheckpointError(f"{where}: model_version {info.model_version!r} is none of {', '.join(VERSIONS)}; "
                                  "export it again with export.py")
        if (info.class_num, info.blank) != (charset.class_num, charset.blank):
            raise CheckpointError(f"{where}: class_num {info.class_num} and blank {info.blank} contradict its "
                                  f"label_dict, which makes {charset.class_num} and {charset.blank}; export it again "
                                  "with export.py")
        if not 0 < info.temperature < float("inf"):
            raise CheckpointError(f"{where}: temperature {info.temperature:g} must be a number above 0; export it "
                                  "again with export.py")
        ours = {"mean": InputSpec.mean, "scale": InputSpec.scale, "channel_order": CHANNEL_ORDER,
                "resize": KEEP_RATIO if spec.keep_ratio else STRETCH}
        for name, value in ours.items():
            if getattr(info, name) != value:
                raise CheckpointError(f"{where} wants images with {name} {getattr(info, name)!r}, but this program "
                                      f"prepares them with {value!r}; use the program version {info.project_version}")
        return info


def sidecar_path(path: str | os.PathLike) -> Path:
    """The JSON file beside an exported file: ``crnn.mindir.json`` of ``crnn.mindir``."""
    return Path(f"{os.fspath(path)}.json")


def write_sidecar(path: str | os.PathLike, info: ModelInfo, extra: Mapping[str, object] | None = None) -> Path:
    """Writes the JSON file beside an exported file and returns its path.

    Args:
        path: the exported file.
        info: its facts.
        extra: further entries for people and other programs, such as the input shape.
    """
    return _write_facts(path, {**info.to_dict(), **(extra or {})})


def copy_sidecar(source: str | os.PathLike, target: str | os.PathLike) -> Path:
    """Writes the JSON file of one exported file beside another that was made from it, and returns its path.

    Raises:
        CheckpointError: there is none, or it cannot be used.
    """
    return _write_facts(target, _read_facts(source))


def _write_facts(path: str | os.PathLike, values: Mapping[str, object]) -> Path:
    """Writes the facts of a file with checksums: of the JSON file itself, and of a MINDIR file that is there."""
    own = {name: value for name, value in values.items() if name not in (MODEL_CRC, *checksum.JSON.entries)}
    if Path(path).suffix == ".mindir" and Path(path).is_file():
        own[MODEL_CRC] = checksum.file_crc32(path)
    text = json.dumps({**own, **checksum.JSON.entries}, indent=2, ensure_ascii=False)
    target = sidecar_path(path)
    target.write_bytes(checksum.JSON.close(f"{text}\n".encode()))
    return target


def read_sidecar(path: str | os.PathLike) -> ModelInfo:
    """Reads the JSON file beside an exported file.

    Raises:
        CheckpointError: it is missing or cannot be used.
    """
    return ModelInfo.from_mapping(_read_facts(path), str(sidecar_path(path)))


def _read_facts(path: str | os.PathLike) -> dict[str, object]:
    """All that stands in the JSON file beside an exported file; CheckpointError where it cannot be used."""
    source = sidecar_path(path)
    try:
        fault = checksum.JSON.find_fault(str(source))
        if fault:
            raise CheckpointError(fault)
        values = parse_json(source.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{source} is missing; copy it along with {path}, or export again with "
                              "export.py") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{source} is not JSON ({error}); export again with export.py") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{source} does not hold facts by name; export again with export.py")
    return values
