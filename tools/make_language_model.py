"""Makes the language model that comes with the program, pretrained/words_en_fr.lm, anew: the same byte for byte."""
import argparse
import sys
import unicodedata
from collections import defaultdict
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from src.common.charset import Charset
from src.common.errors import ConfigError, run_main
from src.reading.language_model import CharacterModel
from src.reading.model_training import train_model
from src.reading.selection import SHIPPED_CHARACTERS, SHIPPED_MODEL

_DESCRIPTION = """Make the language model for a-z0-9 from the word frequencies of wordfreq 3.1.1: English, and French
for a tenth. Numbers are counted by their length alone. wordfreq is needed here only:

  pip install wordfreq==3.1.1
  python tools/make_language_model.py

How a beam search uses the model stays as in the file that it replaces, for a new file as in the one that comes with the
program; benchmarks/tune_beam.py --tune --write chooses that anew."""

VERSION = "3.1.1"
# Languages and the weight of their frequencies. English and French signs are what validation words there are.
LANGUAGES = {"en": 1.0, "fr": 0.1}
# A word counts (frequency / RAREST) ** POWER times: one a million times as frequent as another 31,623 times as much.
# Chosen on validation words, as were ORDER and DIGITS, the share of words with a digit; see the model card.
RAREST, POWER, ORDER, DIGITS = 1e-8, 0.75, 6, 0.1
# Letters that Unicode does not take apart.
_SPELLED = str.maketrans({"ß": "ss", "ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d"})
_DIGITS = "0123456789"


def fold(word: str) -> str:
    """A word as it is read: letters without accents, every digit as 0; '' where it has other letters."""
    word = unicodedata.normalize("NFKD", word).lower().translate(_SPELLED)
    word = "".join("0" if c.isdecimal() else c for c in word if c.isalnum())
    return word if word.isascii() else ""


def word_counts(frequencies: dict[str, dict[str, float]]) -> dict[str, int]:
    """How often each word counts.

    Args:
        frequencies: of the words of each of ``LANGUAGES``.

    Returns:
        Words in sorted order, with whole numbers of 1 and more.
    """
    shares: dict[str, float] = defaultdict(float)
    for language, weight in LANGUAGES.items():
        for word, frequency in frequencies[language].items():
            if folded := fold(word):
                shares[folded] += weight * frequency
    counts = {word: max(1.0, (shares[word] / RAREST) ** POWER) for word in sorted(shares)}
    with_digits = sum(count for word, count in counts.items() if "0" in word)
    others = sum(counts.values()) - with_digits
    factor = DIGITS / (1 - DIGITS) * others / with_digits if with_digits else 1.0
    return {word: max(1, round(count * factor if "0" in word else count)) for word, count in counts.items()}


def read_frequencies() -> dict[str, dict[str, float]]:
    """The word frequencies of wordfreq.

    Raises:
        ConfigError: it is not installed, or another version is.
    """
    try:
        found = metadata.version("wordfreq")
    except metadata.PackageNotFoundError:
        found = "none"
    if found != VERSION:
        raise ConfigError(f"wordfreq {VERSION} is needed, there is {found}: pip install wordfreq=={VERSION}")
    from wordfreq import get_frequency_dict
    return {language: get_frequency_dict(language, "large") for language in LANGUAGES}


def main(argv: list[str] | None = None) -> int:
    """Makes the file; returns the exit code."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", default=str(SHIPPED_MODEL), help="file of the model (default: %(default)s)")
    args = parser.parse_args(argv)
    counts = word_counts(read_frequencies())
    charset = Charset(SHIPPED_CHARACTERS)
    use = CharacterModel.load(args.output if Path(args.output).exists() else SHIPPED_MODEL, charset).use
    model, left_out = train_model(counts, charset, ORDER, list(counts.values()), _DIGITS, use)
    if left_out:
        raise ConfigError(f"{len(left_out)} words cannot be written, such as {left_out[0]!r}")
    model.save(args.output)
    print(f"{args.output}: order {ORDER}, {len(counts)} words, {Path(args.output).stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    run_main(main)
