"""What signs show besides words of a dictionary: numbers, plates and model names, joined words, random strings."""
from collections.abc import Callable, Sequence

import numpy as np

LETTERS = "abcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"
# Share of each length among words in photographs: short ones are far more frequent than in a dictionary. Those of 12
# and more letters (1 % there) come more often: a network that hardly sees them never reads them.
_SCENE_LENGTHS = (0.03, 0.105, 0.15, 0.165, 0.14, 0.115, 0.09, 0.06, 0.04, 0.027, 0.02, 0.018, 0.015, 0.012)
_NUMBER_LENGTHS = (0.11, 0.22, 0.21, 0.21, 0.1, 0.06, 0.03, 0.02, 0.01, 0.02, 0.01)
JOINED_LENGTHS = (12, 20)
# How plates, models, sizes, routes and units are written: L is a letter, D a digit, anything else stands for itself.
_CODES = ("LD", "LD", "LDD", "LLD", "LLDD", "LDL", "DL", "DDL", "DDDL", "LDDD", "LLDDD", "LLDDDD", "LLLDDD", "LLLDDDD",
          "LDDDLLL", "LLDDLLL", "LLDDLLDDDD", "DDLLDDD", "LDDDDD", "DDLDD", "DDDLLL", "DDDkm", "DDkm", "DDcm", "DDmm",
          "DDgb", "DDDmg", "DDDml", "Dkg", "DDkg", "DDth", "Dth", "1st", "2nd", "3rd", "D1st", "DDam", "Dpm", "DDpm",
          "Dx", "4x4", "mpD", "h2o", "co2", "b2b", "Din1", "DDDv", "DDw", "aD", "mDD", "vD", "tDD", "DDin")


def scene_share(length: int) -> float:
    """Returns how frequent a word length is in photographs; never 0."""
    return _SCENE_LENGTHS[length - 1] if length <= len(_SCENE_LENGTHS) else 0.011 * 0.85 ** (length - 14)


def number_share(length: int) -> float:
    """Returns how frequent numbers of so many digits are in photographs; never 0."""
    return _NUMBER_LENGTHS[length - 1] if length <= len(_NUMBER_LENGTHS) else 0.005 * 0.8 ** (length - 11)


def random_words(count: int, shortest: int, longest: int, seed: int) -> list[str]:
    """Makes distinct strings of random letters and some digits, with lengths as in photographs."""
    generator = np.random.default_rng((seed, 1))
    characters = np.array(list(LETTERS * 3 + DIGITS))
    lengths = _lengths(2 * count + 20, shortest, longest, scene_share, generator)
    return _distinct(count, lengths, lambda length: _string(generator, characters, length))


def random_numbers(count: int, shortest: int, longest: int, seed: int) -> list[str]:
    """Makes distinct numbers: years, prices, telephone numbers and any others.

    They have at most eleven digits, or ``shortest`` where that is more. Fewer than asked for where there are not so
    many.
    """
    generator = np.random.default_rng((seed, 2))
    longest = max(shortest, min(longest, len(_NUMBER_LENGTHS)))
    lengths = _lengths(2 * count + 20, shortest, longest, number_share, generator)
    return _distinct(count, lengths, lambda length: _number(generator, length))


def random_codes(count: int, shortest: int, longest: int, seed: int) -> list[str]:
    """Makes distinct strings of letters and digits as plates, models, sizes and units have them (``b2b``, ``143km``).

    Fewer than asked for where there are not so many.
    """
    generator = np.random.default_rng((seed, 6))
    forms = [form for form in _CODES if shortest <= len(form) <= longest]
    if not forms:
        return []
    letters, digits = np.array(list(LETTERS)), np.array(list(DIGITS))

    def code(number: int) -> str:
        return "".join({"L": letters[generator.integers(26)], "D": digits[generator.integers(10)]}.get(sign, sign)
                       for sign in forms[number])

    return _distinct(count, generator.integers(len(forms), size=2 * count + 20).tolist(), code)


def joined_words(count: int, words: Sequence[str], longest: int, seed: int) -> list[str]:
    """Makes distinct long words of two or three of some words, as names of firms and web sites are.

    Args:
        count: how many; fewer where there are not so many.
        words: what to join; only those of three and more ASCII letters are.
        longest: most letters.
        seed: of all choices.

    Returns:
        Words of 12 to 20 letters.
    """
    generator = np.random.default_rng((seed, 7))
    parts = [word for word in words if 3 <= len(word) <= 12 and word.isascii() and word.isalpha()]
    low, high = JOINED_LENGTHS
    if len(parts) < 2 or longest < low:
        return []

    def join(_: int) -> str:
        chosen = [parts[place] for place in generator.integers(len(parts), size=2 + (generator.random() < 0.2))]
        web = generator.random() < 0.2
        return "".join(("www", *chosen, "com") if web else chosen)

    found = _distinct(4 * count, range(8 * count), join)
    return [word for word in found if low <= len(word) <= min(longest, high)][:count]


def _lengths(count: int, shortest: int, longest: int, share: Callable[[int], float],
             generator: np.random.Generator) -> list[int]:
    lengths = np.arange(shortest, longest + 1)
    shares = np.array([share(int(length)) for length in lengths])
    return generator.choice(lengths, count, p=shares / shares.sum()).tolist()


def _distinct(count: int, choices: Sequence[int], make: Callable[[int], str]) -> list[str]:
    """Makes one string of each choice until there are enough different ones."""
    found: dict[str, None] = {}
    for choice in choices:
        found[make(choice)] = None
        if len(found) >= count:
            break
    return list(found)


def _string(generator: np.random.Generator, characters: np.ndarray, length: int) -> str:
    return "".join(characters[generator.integers(len(characters), size=length)])


def _number(generator: np.random.Generator, length: int) -> str:
    kind = generator.random()
    if length == 4 and kind < 0.35:
        return str(generator.integers(1850, 2030))
    digits = "".join(map(str, generator.integers(10, size=length)))
    if 3 <= length <= 5 and kind > 0.75:  # what prices end with, and round numbers
        return digits[:-2] + ("99", "95", "00", "50")[generator.integers(4)]
    return digits
