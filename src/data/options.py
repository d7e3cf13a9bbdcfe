"""What the data path is told, in small groups: the one place that takes it out of the configuration."""
from dataclasses import dataclass
from functools import cache
from typing import Any, Self


@cache
def _defaults() -> dict[str, Any]:
    # Here, because tools/train_twin.py feeds a GPU where PyYAML is not installed, and asks for no defaults.
    from src.model_utils.config import DEFAULT_CONFIG, read_options

    return {name: option.default for name, option in read_options(DEFAULT_CONFIG).items()}


def _value(config: Any, key: str) -> Any:
    """One key; what the configuration lacks (a test's, or none at all) is as default_config.yaml says."""
    return getattr(config, key) if hasattr(config, key) else _defaults()[key]


@dataclass(frozen=True)
class ImageOptions:
    """Size of the network's input.

    Attributes:
        height: in pixels.
        width: in pixels, where the aspect ratio is not kept.
        keep_ratio: images keep their aspect ratio.
        bucket_widths: the widths to pad them to in pixels, with commas; empty: as many times ``width`` as usual.
        long_width: width of long images in reading, in pixels; 0: that of all others.
    """

    height: int
    width: int
    keep_ratio: bool
    bucket_widths: str
    long_width: int

    @classmethod
    def from_config(cls, config: Any) -> Self:
        """``image_height``, ``image_width``, ``keep_ratio``, ``bucket_widths`` and ``long_width``."""
        return cls(_value(config, "image_height"), _value(config, "image_width"), _value(config, "keep_ratio"),
                   _value(config, "bucket_widths"), _value(config, "long_width"))


@dataclass(frozen=True)
class AugmentOptions:
    """How training images are changed at random.

    Attributes:
        preset: name of the strengths to begin with.
        strengths: others than these, such as ``rotation:5,jpeg:0``.
    """

    preset: str
    strengths: str

    @classmethod
    def from_config(cls, config: Any) -> Self:
        """``augment`` and ``augment_strengths``."""
        return cls(_value(config, "augment"), _value(config, "augment_strengths"))


@dataclass(frozen=True)
class WordOptions:
    """Which words of a set are used.

    Attributes:
        label_dict: the characters of the network, or the path of their file.
        blank: class number of the blank; None takes the one that follows from ``label_dict``.
        image_folder: what the paths of image lists are relative to; empty: it is looked for.
        scripts: those of mlt sets to read, with commas; empty: all.
        max_text_length: longest word to train on, in characters.
        eval_protocol: which words of a benchmark count.
        train_mix: shares of the parts of a set in a training epoch; empty: each part as it is.
    """

    label_dict: str
    blank: int | None
    image_folder: str
    scripts: str
    max_text_length: int
    eval_protocol: str
    train_mix: str

    @classmethod
    def from_config(cls, config: Any) -> Self:
        """``label_dict``, ``blank``, ``image_folder``, ``mlt_scripts`` and what chooses words."""
        # The blank follows from label_dict; only one that was set by hand can be wrong.
        blank = config.blank if hasattr(config, "blank") else None
        return cls(_value(config, "label_dict"), blank, _value(config, "image_folder"), _value(config, "mlt_scripts"),
                   _value(config, "max_text_length"), _value(config, "eval_protocol"), _value(config, "train_mix"))


@dataclass(frozen=True)
class LoaderOptions:
    """How batches are made.

    Attributes:
        seed: of order and augmentation.
        workers: threads or processes; 0 is one for each core this process may use.
        loader: 'threads' or 'processes'.
        show_progress: how far the reading of a large list is.
    """

    seed: int
    workers: int
    loader: str
    show_progress: bool

    @classmethod
    def from_config(cls, config: Any) -> Self:
        """``seed``, ``num_parallel_workers``, ``loader`` and ``show_progress``."""
        return cls(_value(config, "seed"), _value(config, "num_parallel_workers"), _value(config, "loader"),
                   _value(config, "show_progress") != "never")
