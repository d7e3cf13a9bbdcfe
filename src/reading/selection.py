"""The decoder that a configuration asks for, with the lexicons of a data set: eval.py, benchmark.py and their like."""
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.common.charset import Charset
from src.common.errors import CheckpointError, ConfigError
from src.data.source import LEXICONS, WordSource
from src.model_utils.config import ROOT
from src.reading.beam import BeamDecoder
from src.reading.greedy import GreedyDecoder
from src.reading.lexicon_decoder import LexiconDecoder
from src.reading.reading import Decoder, Lexicons, Reading
from src.reading.word_list import WordEncoder, read_words

# The language model that comes with the program, and the characters it is for.
SHIPPED_MODEL = ROOT / "pretrained" / "words_en_fr.lm"
SHIPPED_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"

# Of the validation words that the greedy decoder read with at least this confidence 95 % were right (docs/reading.md).
UNSURE = 0.53


class LexiconTally:
    """Counts the images whose truth is not in their lexicon: no decoder can read them right.

    Attributes:
        images: looked at.
        missing: of them, the truth is not there.
        example: one of these.
    """

    def __init__(self, charset: Charset):
        self._key = WordEncoder(charset).key
        self.images = self.missing = 0
        self.example = ""

    def add(self, truth: str, words: Sequence[str] | set[str], reference: str) -> None:
        """Looks at one image; a set holds words that are normalised already."""
        self.images += 1
        key = self._key(truth)
        if key not in words if isinstance(words, set) else all(self._key(word) != key for word in words):
            self.missing += 1
            self.example = self.example or f"{truth!r} ({reference})"

    def keys(self, words: Sequence[str]) -> set[str]:
        """The normalised words."""
        return set(map(self._key, words))

    def counts(self) -> tuple[int, int, str]:
        """Images, missing and example."""
        return self.images, self.missing, self.example

    def add_up(self, counts: Sequence[tuple[int, int, str]]) -> None:
        """Replaces the counts by the sums of those of several processes."""
        self.images, self.missing = sum(one[0] for one in counts), sum(one[1] for one in counts)
        self.example = next((example for *_, example in counts if example), "")

    def summary(self) -> str:
        """One line for people; '' when nothing is missing."""
        return (f"lexicon: the truths of {self.missing} of {self.images} images are not in their lexicon and cannot be "
                f"read, such as {self.example}" if self.missing else "")


@dataclass
class Decoding:
    """A decoder, and what it reads each image with.

    Attributes:
        decoder: class scores (and lexicons) to readings.
        lexicons: numbers of samples to the lexicon of each, or to None where all have the decoder's own; it also
            counts missing truths. None for the other decoders.
        description: for people, such as "beam decoder, 10 prefixes".
        tally: the truths that are missing in the lexicons.
        unsure: of what is read with at least this confidence 95 % are right, by validation words.
    """

    decoder: Decoder
    description: str
    lexicons: Lexicons | None = None
    tally: LexiconTally | None = None
    unsure: float = UNSURE

    def __call__(self, logits: np.ndarray, index: np.ndarray) -> list[Reading]:
        """Reads the samples with these numbers from their class scores (T, N, C)."""
        return self.decoder(logits) if self.lexicons is None else self.decoder(logits, self.lexicons(index))

    def report(self, of_what: str = "") -> list[str]:
        """What could not be used of the lexicons, after reading; lines for people.

        Args:
            of_what: stands behind what the decoder says, where it has seen a part of the images only.
        """
        lines = [self.decoder.report.summary()] if hasattr(self.decoder, "report") else []
        if of_what:
            lines = [f"{line} {of_what}" for line in lines if line]
        return lines + [self.tally.summary()] if self.tally and self.tally.missing else lines


def choose_decoder(config: Any, charset: Charset, source: WordSource | None = None,
                   shipped: bool = False) -> Decoding:
    """Makes the decoder that ``decoder``, ``lexicon``, ``beam_width``, ``language_model`` and ``temperature`` ask for.

    Args:
        config: the configuration.
        charset: of the network.
        source: the data set that is read, for its lexicons.
        shipped: where nothing is asked for, take the language model that comes with the program; it needs the
            characters it is for.

    Raises:
        ConfigError: keys that do not go together, or a file that cannot be used.
        DataError: the data set has no such lexicon.
    """
    has_lexicon = config.lexicon.strip().lower() not in ("", "none")
    name, model = config.decoder, config.language_model
    for_shipped = charset.characters == SHIPPED_CHARACTERS
    hint = ""
    if name == "auto" and not model and not has_lexicon and for_shipped:
        if shipped:
            model = str(SHIPPED_MODEL)
        else:
            hint = f"; predict.py adds --language_model={SHIPPED_MODEL.relative_to(ROOT)}"
    if model.lower() == "none":
        model = ""
    if name == "auto":
        name = "lexicon" if has_lexicon else "beam" if model else "greedy"
    if has_lexicon and name != "lexicon":
        raise ConfigError(f"decoder {name} cannot use a lexicon; leave decoder out, or lexicon {config.lexicon}")
    if name == "lexicon" and not has_lexicon:
        raise ConfigError("decoder lexicon needs its words: add --lexicon=50, 1k, full or a file with one word a line")
    if model and name != "beam":
        raise ConfigError(f"decoder {name} cannot use a language model; leave language_model out, or take decoder beam")
    if name == "lexicon":
        return lexicon_decoding(config.lexicon.strip(), charset, source, config.temperature)
    if name == "greedy":
        return Decoding(GreedyDecoder(charset, config.temperature), "greedy decoder" + hint)
    if model and not os.path.isfile(model):
        raise ConfigError(f"language_model {model} {_missing(model)}; make one with train_language_model.py")
    decoder = BeamDecoder(charset, config.beam_width, model or None, temperature=config.temperature)
    near = os.path.relpath(model) if model else ""
    return Decoding(decoder, f"beam decoder, {config.beam_width} prefixes" +
                    (f", language model {model if near.startswith('..') else near}" if model else ""),
                    unsure=decoder.use.unsure if model else UNSURE)


def _missing(path: str) -> str:
    return "is a folder" if os.path.isdir(path) else "does not exist"


def lexicon_decoding(lexicon: str, charset: Charset, source: WordSource | None, temperature: float = 1.0) -> Decoding:
    """A lexicon decoder.

    Args:
        lexicon: '50', '1k' or 'full', which the data set brings, or the path of a file.
        charset: of the network.
        source: the data set.
        temperature: see ``src.reading.greedy.GreedyDecoder``.

    Raises:
        ConfigError: the file is not there, or holds no usable word.
        DataError: the data set has no such lexicon.
    """
    tally = LexiconTally(charset)
    if lexicon.lower() in LEXICONS:
        lexicon = lexicon.lower()
        if source is None:
            raise ConfigError(f"lexicon {lexicon} belongs to a data set; name a file with one word a line")
        words, where = source.shared_lexicon(lexicon), f"{lexicon!r} lexicon"
    elif Path(lexicon).is_file():
        words, where = read_words(lexicon), f"lexicon {lexicon}"
    else:
        raise ConfigError(f"lexicon {lexicon} {_missing(lexicon)}: expected none, {', '.join(LEXICONS)} or the path of "
                          "a file with one word a line")
    if words is None:
        def lexicons(index: np.ndarray) -> list[list[str]]:
            found = [source.lexicon(lexicon, int(i)) for i in index]
            for i, own in zip(index, found, strict=True):
                tally.add(source.text(i), own, source.reference(i))
            return found

        return Decoding(LexiconDecoder(charset, temperature=temperature),
                        f"lexicon decoder, {where}, one for each image", lexicons, tally)
    decoder = LexiconDecoder(charset, words, temperature=temperature)
    keys = tally.keys(words)

    def one_lexicon(index: np.ndarray) -> None:
        for i in index if source is not None else ():
            tally.add(source.text(i), keys, source.reference(i))

    return Decoding(decoder, f"lexicon decoder, {where}, {len(words)} words", one_lexicon, tally)


def adopt_temperature(config: Any, value: object, path: str) -> None:
    """Sets the temperature of the confidence to a file's, unless the user gave one: any but 1, or on the command line.

    Args:
        config: the options.
        value: what the file says.
        path: the file, for messages.

    Raises:
        CheckpointError: it is no positive number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise CheckpointError(f"{path}: its temperature is {value!r}, but must be a number above 0; make the file anew")
    if config.temperature == 1.0 and not config.is_on_command_line("temperature"):
        config.temperature = round(float(value), 6)  # checkpoints keep numbers in float32
