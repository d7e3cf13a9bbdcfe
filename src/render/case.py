"""Upper and lower case of words, as their language has it."""
from collections.abc import Iterable

_TURKISH_LOWER = str.maketrans("I\u0130", "\u0131i")
_TURKISH_UPPER = str.maketrans("i\u0131", "\u0130I")


def is_turkish(words: Iterable[str]) -> bool:
    """Whether words have a dotless i or a dotted I: then these are letters of their own, as in Turkish and Azeri."""
    return any("\u0131" in word or "\u0130" in word for word in words)


def lowered(word: str, turkish: bool = False) -> str:
    """Returns a word in lower case."""
    return (word.translate(_TURKISH_LOWER) if turkish else word).lower()


def uppered(word: str, turkish: bool = False) -> str:
    """Returns a word in upper case."""
    return (word.translate(_TURKISH_UPPER) if turkish else word).upper()


def capitalised(word: str, turkish: bool = False) -> str:
    """Returns a word with its first letter in upper case and the others in lower case."""
    return uppered(word[:1], turkish) + lowered(word[1:], turkish) if turkish else word.capitalize()
