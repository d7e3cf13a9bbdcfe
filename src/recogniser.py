"""Reading words from Python: ``Recogniser().read("word.png")``; the programs that read stand on it, too."""
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, overload

import numpy as np

from src.common.charset import Charset
from src.common.errors import ConfigError, DataError
from src.data.preprocess import InputSpec, decode_image, read_image, to_batch
from src.data.transparency import lay_over_ground
from src.model_utils.config import ROOT, Config, configured
from src.reading.alignment import align
from src.reading.alternatives import next_best
from src.reading.lexicon_decoder import LexiconDecoder
from src.reading.reading import Forward, Reading
from src.reading.selection import Decoding, choose_decoder
from src.reading.word_list import WordEncoder

# The one of the files in pretrained/ that reads fastest; its accuracy is that of the others (pretrained/README.md).
PRETRAINED_ONNX = ROOT / "pretrained" / "crnn_v2_int8.onnx"

Image = str | os.PathLike | bytes | np.ndarray | Any
"""A path, a file open for reading bytes, its bytes, a BGR or grey uint8 array as OpenCV has them, or a PIL image."""

_TALL = 1.5  # times as high as wide
_STEP_COLUMNS, _STEP_WIDTH = 4, 8  # columns of the input from one time step to the next, and that one sees at least


@dataclass(frozen=True)
class Character:
    """A character, and where it was read.

    Attributes:
        text: the character.
        steps: first and last time step of the network that spoke it.
        columns: left and right edge, in pixels of the image as it was given, or turned.
    """

    text: str
    steps: tuple[int, int]
    columns: tuple[float, float]


@dataclass(frozen=True)
class Result:
    """What was read in one image.

    Attributes:
        text: the text.
        confidence: 0 to 1, see ``src.reading.reading.Reading``.
        unsure: the confidence is below ``unsure_below``; of the others 95 % are right, by validation words.
        turned: by how many degrees the image was turned counterclockwise to be read, with ``rotate_tall``: 0, 90, 270.
    """

    text: str
    confidence: float
    unsure: bool
    turned: int
    _logits: np.ndarray = field(repr=False, compare=False)
    _scale: float = field(repr=False, compare=False)  # columns of the image for one of the network's input
    _width: int = field(repr=False, compare=False)  # of the image
    _recogniser: "Recogniser" = field(repr=False, compare=False)

    @cached_property
    def characters(self) -> list[Character]:
        """Each character with its place, from left to right, along the most probable CTC path of the text.

        With a lexicon these are the characters of the word in the form in which it is compared. A time step sees more
        of the image than its own columns, so that the edges are good to a few pixels of a 32 pixels high image.
        """
        charset = self._recogniser.charset
        encoder = WordEncoder(charset)
        key = encoder.key(self.text)
        labels = encoder.encode([key])[0][0]
        result = []
        for character, (first, last) in zip(charset.turned(key), align(self._logits, labels), strict=False):
            left, right = first * _STEP_COLUMNS, last * _STEP_COLUMNS + _STEP_WIDTH
            result.append(Character(character, (first, last), (min(left * self._scale, self._width),
                                                               min(right * self._scale, self._width))))
        return result

    def next_best(self, count: int) -> list[Reading]:
        """Up to ``count`` other readings with their confidence, the most probable first.

        Raises:
            ValueError: the count is no whole number from 0 on.
        """
        if not isinstance(count, int | np.integer) or count < 0:
            raise ValueError(f"expected a whole number of readings from 0 on, got {count!r}")
        decoding, temperature = self._recogniser.decoding, self._recogniser.temperature
        return next_best(self._logits, self._recogniser.charset, Reading(self.text, self.confidence), count,
                         decoding.decoder, temperature)


class Recogniser:
    """A trained network that reads images of single words, the same as predict.py, eval.py and eval_onnx.py do.

    An ONNX file is read through onnxruntime, and MindSpore is not loaded. A checkpoint needs MindSpore.

    Args:
        model: an ``.onnx`` file or a checkpoint (``.ckpt``, ``.npz``); None takes the ONNX file that comes along.
        lexicon: words to choose from, or the path of a file with one a line; None reads any text.
        **options: further keys of default_config.yaml that predict.py knows, such as ``decoder="beam"``,
            ``beam_width``, ``language_model``, ``rotate_tall``, ``onnx_threads`` or ``device_target``. By itself it
            reads with the language model that comes along; ``decoder="greedy"`` reads without.

    Attributes:
        network: images ``(N, 3, 32, W)`` to class scores ``(T, N, class_num)``.
        charset: the characters it can read.
        spec: how images are prepared.
        decoding: how class scores become text.
        temperature: of the confidence.

    Raises:
        CheckpointError: the file cannot be used.
        ConfigError: options that do not go together, or a lexicon that is no list of words.

    Examples:
        >>> recogniser = Recogniser()
        >>> image = np.full((32, 100, 3), 255, np.uint8)
        >>> type(recogniser.read(image).text), len(recogniser.read([image, image]))
        (<class 'str'>, 2)
    """

    def __init__(self, model: str | os.PathLike | None = None, *,
                 lexicon: str | os.PathLike | Sequence[str] | None = None, **options: Any) -> None:
        config = configured(**options)
        if model is not None:
            name = os.fspath(model) if isinstance(model, os.PathLike) else model
            if not isinstance(name, str):
                raise ConfigError(f"expected the path of an .onnx file or a checkpoint, got {type(model).__name__}")
            config.give("onnx_file" if name.lower().endswith(".onnx") else "checkpoint_path", model)
        words = None
        if isinstance(lexicon, str | os.PathLike):
            config.give("lexicon", lexicon)
        elif lexicon is not None:
            words = _words(lexicon)
            if config.decoder not in ("auto", "lexicon") or config.language_model not in ("", "none"):
                raise ConfigError("words to choose from are read by the lexicon decoder, which goes with no language "
                                  f"model; leave out decoder={config.decoder!r} and "
                                  f"language_model={config.language_model!r}, or the lexicon")
        self._set_up(config, words)

    @classmethod
    def from_config(cls, config: Config, *, onnx_comes_along: bool = True) -> "Recogniser":
        """The recogniser of a program; the configuration takes over what the network's file tells.

        Args:
            config: names the network's file.
            onnx_comes_along: where no file is named, the ONNX file that comes along is taken, else the checkpoint.

        Raises:
            CheckpointError, ConfigError: as the class.
        """
        recogniser = cls.__new__(cls)
        recogniser._set_up(config, onnx_comes_along=onnx_comes_along)
        return recogniser

    def _set_up(self, config: Config, words: list[str] | None = None, onnx_comes_along: bool = True) -> None:
        self.network, self.charset, self.description = _open_network(config, onnx_comes_along)
        self.spec, self.temperature = InputSpec.from_config(config), config.temperature
        self._batch_size = config.batch_size
        self._config, self._words = config, words

    @cached_property
    def decoding(self) -> Decoding:
        """How class scores become text; made at the first image."""
        if self._words is None:
            return choose_decoder(self._config, self.charset, shipped=True)
        decoder = LexiconDecoder(self.charset, self._words, temperature=self.temperature)
        return Decoding(decoder, f"lexicon decoder, {len(self._words)} words")

    @overload
    def read(self, images: Image) -> Result: ...

    @overload
    def read(self, images: Iterable[Image]) -> list[Result]: ...

    def read(self, images: Any) -> Any:
        """Reads one image or many.

        Args:
            images: one image, or several in any iterable but an array: paths, open files, their bytes, arrays, PIL
                images.

        Returns:
            A :class:`Result` for one image, a list of them in the same order for several.

        Raises:
            DataError: an image cannot be read; the message names it.
        """
        if _is_one(images):
            return self.read_arrays([to_array(images)])[0]
        if not isinstance(images, Iterable):
            raise DataError(f"expected an image or several, got {type(images).__name__}" +
                            ("; cv2.imread returns None for what it cannot read" if images is None else ""))
        results, waiting = [], []
        for number, image in enumerate(images):
            try:
                waiting.append(to_array(image))
            except DataError as error:
                if isinstance(image, str | os.PathLike):
                    raise  # the message names the file
                raise DataError(f"image {number}, counted from 0: {error}") from error
            if len(waiting) == self._batch_size:
                results += self.read_arrays(waiting)
                waiting = []
        return results + self.read_arrays(waiting)

    def read_arrays(self, images: Sequence[np.ndarray]) -> list[Result]:
        """Reads decoded images, ``(H, W, 3)`` uint8 BGR each; the reading of one does not depend on the others."""
        results = self._read_upright(images)
        if self._config.rotate_tall:
            tall = [place for place, image in enumerate(images) if is_tall(image)]
            for turns in (1, 3):
                turned = self._read_upright([np.ascontiguousarray(np.rot90(images[place], turns)) for place in tall])
                for place, result in zip(tall, turned, strict=True):
                    if result.confidence > results[place].confidence:
                        results[place] = replace(result, turned=90 * turns)
        return results

    def _read_upright(self, images: Sequence[np.ndarray]) -> list[Result]:
        results: dict[int, Result] = {}
        for places in self._same_width(images):
            logits = self.network(to_batch([images[place] for place in places], self.spec))
            readings = self.decoding(logits, np.array(places))
            for number, (place, reading) in enumerate(zip(places, readings, strict=True)):
                width = images[place].shape[1]
                results[place] = Result(reading.text, reading.confidence, reading.confidence < self.unsure_below, 0,
                                        logits[:, number], width / self.spec.width_of(images[place]), width, self)
        return [results[place] for place in range(len(images))]

    def _same_width(self, images: Sequence[np.ndarray]) -> Iterator[list[int]]:
        """The places of images that are read together: of one input width each, as in evaluation."""
        by_width: dict[int, list[int]] = {}
        for place, image in enumerate(images):
            by_width.setdefault(self.spec.bucket(self.spec.width_of(image)), []).append(place)
        for places in by_width.values():
            for first in range(0, len(places), self._batch_size):
                yield places[first:first + self._batch_size]

    @property
    def unsure_below(self) -> float:
        """Readings with less confidence are marked as unsure."""
        value = self._config.unsure_below
        return self.decoding.unsure if value == "auto" else value


def is_tall(image: np.ndarray) -> bool:
    """Whether an image ``(H, W, 3)`` is so high that its word may be turned on end."""
    return image.shape[0] > _TALL * image.shape[1]


def _is_one(images: object) -> bool:
    known = isinstance(images, str | os.PathLike | bytes | bytearray | np.ndarray)
    return known or hasattr(images, "convert") or hasattr(images, "read")


def _words(lexicon: Iterable[str]) -> list[str]:
    if isinstance(lexicon, Iterable) and not isinstance(lexicon, bytes | bytearray):
        words = list(lexicon)
        strange = [word for word in words if not isinstance(word, str)]
        if not strange:
            return words
        raise ConfigError(f"the lexicon has {strange[0]!r}, which is no str, among its {len(words)} words")
    raise ConfigError(f"expected a lexicon of words or the path of a file, got {type(lexicon).__name__}")


def to_array(image: Image) -> np.ndarray:
    """Any form of an image as OpenCV has it, ``(H, W, 3)`` uint8 BGR.

    Raises:
        DataError: it cannot be read, or is none of the forms.
    """
    if isinstance(image, str | os.PathLike):
        return read_image(image)
    if hasattr(image, "read"):
        image = image.read()
        if not isinstance(image, bytes):
            raise DataError("the file is open as text; open images in mode 'rb'")
    if isinstance(image, bytes | bytearray):
        return decode_image(bytes(image))
    if hasattr(image, "convert") and hasattr(image, "mode"):  # a PIL image; PIL itself is not needed here
        if image.mode[0] in "IF":
            raise DataError(f"a PIL image of mode {image.mode} has more than 8 bits a channel; give the path of its "
                            "file")
        has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in getattr(image, "info", {})
        pixels = np.asarray(image.convert("RGBA" if has_alpha else "RGB"))
        image = np.concatenate([pixels[:, :, 2::-1], pixels[:, :, 3:]], axis=2)
    if not isinstance(image, np.ndarray):
        raise DataError(f"expected a path, bytes, an array or a PIL image, got {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or not image.size or image.shape[2:] not in (
            (), (1,), (3,), (4,)):
        raise DataError(f"expected grey levels as (H, W), (H, W, 3) or (H, W, 4) uint8, got {image.dtype} of shape "
                        f"{image.shape}")
    if image.ndim == 2 or image.shape[2] == 1:
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    if image.shape[2] == 4:
        colours, alpha = image[:, :, :3], image[:, :, 3]
        return np.ascontiguousarray(colours) if alpha.min() == 255 else lay_over_ground(colours, alpha)
    return np.ascontiguousarray(image)


def _open_network(config: Config, onnx_comes_along: bool) -> tuple[Forward, Charset, str]:
    """Opens the network of ``onnx_file`` or ``checkpoint_path``, or where neither is given, one that comes along.

    That is an ONNX file for onnxruntime; on a GPU or Ascend that was asked for, the checkpoint for MindSpore.

    Returns:
        The network, its charset, and a line about what computes.

    Raises:
        ConfigError: both are given, or the device cannot be used.
        CheckpointError: the file cannot be used.
    """
    if config.checkpoint_path and config.onnx_file:
        raise ConfigError("both checkpoint_path and onnx_file are given; leave one out")
    takes_onnx = config.onnx_file or onnx_comes_along and config.device_target in ("auto", "CPU")
    if config.checkpoint_path or not takes_onnx:
        return open_with_mindspore(config, pretrained=True)
    from src.deploy.onnx.network import PROVIDERS, load_onnx  # onnxruntime is loaded only where it computes

    if not config.onnx_file:
        config.onnx_file = str(PRETRAINED_ONNX)
    onnx, charset = load_onnx(config)
    return onnx, charset, f"onnxruntime with the {PROVIDERS[config.device_target][0]}"


def open_with_mindspore(config: Config, pretrained: bool = False) -> tuple[Forward, Charset, str]:
    """Sets MindSpore up and opens the network of a checkpoint, for programs that load MindSpore only where they must.

    Args:
        config: the options, with ``checkpoint_path``.
        pretrained: without a path, the checkpoint that comes with the program goes first.

    Returns:
        The network, its charset, and a line about what computes.

    Raises:
        ConfigError: the device cannot be used.
        CheckpointError: the file cannot be used.
    """
    from src.model_utils.context import set_up_context  # MindSpore is loaded only where it computes

    description = set_up_context(config, own_operators=True)
    from src.network.trained import load_trained  # after the context, which decides how the CPU computes

    return *load_trained(config, config.batch_size, pretrained=pretrained, singly=True), description
