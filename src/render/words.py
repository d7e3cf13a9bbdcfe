"""Words to draw: lexicons, random strings and numbers, split into words for training, validation and test."""
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from src.common.charset import composed
from src.common.errors import ConfigError, DataError
from src.render.case import is_turkish, lowered
from src.render.made_up import (
    DIGITS,
    LETTERS,
    joined_words,
    number_share,
    random_codes,
    random_numbers,
    random_words,
    scene_share,
)
from src.render.shaping import refusal

WORD_LIST = Path(__file__).with_name("words.txt")
SPLITS = ("train", "val", "test")
LONGEST = 60
# Of the images that show what is in no dictionary: codes of letters and digits, single characters, joined words.
_MADE_UP = (0.28, 0.5, 0.22)
_HELD_OUT = (0.08, 0.25)  # lowest and highest share of the words set aside for validation, and for test


@dataclass
class WordPlan:
    """The lexicon of a set and what each of its images shows.

    Attributes:
        lexicon: lower-case words; the position is the label number.
        rows: for each split the lexicon row of every image, int32.
        words: for each split the number of distinct words set aside for it.
        left_out: number of words not used, by reason.
        turkish: the lexicon has dotless i or dotted I, so that ``i`` and ``I`` are two letters.
    """

    lexicon: list[str]
    rows: dict[str, np.ndarray]
    words: dict[str, int]
    left_out: dict[str, int] = field(default_factory=dict)
    turkish: bool = False


@dataclass
class _Kind:
    """Words of one kind: how many of the images show them, and how frequent each length is."""

    words: list[str]
    share: float
    of_length: Callable[[int], float] = scene_share
    first_split: bool = False  # not dealt out: all belong to the first split


def _needed(images: float) -> int:
    """How many different words are made up for so many images."""
    return min(max(round(images), 30), 50_000)


def read_lexicon(path: str | Path) -> list[str]:
    """Reads a lexicon: UTF-8, one word a line, composed (NFC); empty lines count for nothing.

    Raises:
        DataError: no such file, not UTF-8, no word in it, or a word that cannot be drawn.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise DataError(f"lexicon {path} does not exist: give a text file with one word a line") from None
    except UnicodeDecodeError as error:
        raise DataError(f"lexicon {path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from None
    words = [composed(line.strip(" \t\r")) for line in lines]
    for number, word in enumerate(words, 1):
        problem = _problem(word) if word else None
        if problem:
            raise DataError(f"lexicon {path} line {number}: {problem}")
    words = [word for word in words if word]
    if not words:
        raise DataError(f"lexicon {path} has no word in it: write one word a line")
    return words


def _problem(word: str) -> str | None:
    """Says why a word cannot be drawn, or ``None``."""
    bad = next((char for char in word if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")), None)
    if bad is not None:
        return f"the word {word!r} has the control character U+{ord(bad):04X}, which cannot be drawn"
    if len(word) > LONGEST:
        return f"the word {word[:20]!r}... has {len(word)} characters, at most {LONGEST} can be drawn"
    return refusal(word)


def plan_words(words: Iterable[str] | None, counts: dict[str, int], *, seed: int = 1, random_strings: bool = False,
               digits_ratio: float = 0.1, codes_ratio: float = 0.0, min_length: int = 1, max_length: int = 23,
               disjoint: bool = True, scene_lengths: bool = True) -> WordPlan:
    """Chooses what every image of a set shows.

    Args:
        words: lexicon; ``None`` takes the English word list of the project. Upper case is folded.
        counts: number of images of each split.
        seed: of all choices.
        random_strings: random strings instead of the lexicon.
        digits_ratio: share of images that show a number.
        codes_ratio: share of images that show what is in no dictionary: letters and digits mixed, single letters
            and digits, words joined to 12 to 20 letters; counts for nothing with random strings. Single characters are
            then in the first split alone, so that training has all of them.
        min_length: shortest word drawn.
        max_length: longest word drawn.
        disjoint: no word of one split is in another one (letters and digits compared, not case or punctuation).
        scene_lengths: word lengths as frequent as in photographs; otherwise every word is equally likely.

    Raises:
        ConfigError: a parameter is out of range.
        DataError: no word is left, or too few for disjoint splits.
    """
    _check(counts, seed, digits_ratio, codes_ratio, min_length, max_length)
    left_out: dict[str, int] = {}
    total = sum(counts.values())
    if random_strings:
        letters, codes_ratio = random_words(min(max(total, 100), 200_000), min_length, max_length, seed), 0.0
    else:
        letters = _usable(read_lexicon(WORD_LIST) if words is None else words, min_length, max_length, left_out)
    kinds = _kinds(letters, total, seed, digits_ratio, codes_ratio, min_length, max_length)
    lexicon = [word for kind in kinds for word in kind.words]
    splits = [split for split in SPLITS if counts.get(split, 0)]
    parts = _parts(lexicon, kinds, splits, counts, disjoint, np.random.default_rng((seed, 3)))
    plan = WordPlan(lexicon, {}, {}, left_out, is_turkish(letters))
    for split in SPLITS:
        if split not in splits:
            plan.rows[split], plan.words[split] = np.zeros(0, np.int32), 0
            continue
        pools = [part[split] for part in parts]
        plan.words[split] = sum(len(pool) for pool in pools)
        plan.rows[split] = _assign(lexicon, pools, kinds, counts[split], scene_lengths,
                                   np.random.default_rng((seed, 4, SPLITS.index(split))))
    return plan


def _kinds(letters: list[str], total: int, seed: int, digits_ratio: float, codes_ratio: float, min_length: int,
           max_length: int) -> list[_Kind]:
    """The kinds of words of a set of ``total`` images, with their shares; no word is of two kinds.

    Raises:
        DataError: no word is left.
    """
    kinds = [_Kind(letters, 1 - digits_ratio)]
    if digits_ratio > 0:
        kinds.append(_Kind(random_numbers(_needed(total * digits_ratio), min_length, max_length, seed), digits_ratio,
                           number_share))
    if codes_ratio > 0:
        kinds[0].share = max(0.0, 1 - digits_ratio - codes_ratio)
        codes, singles, joined = (codes_ratio * part for part in _MADE_UP)
        kinds.append(_Kind(random_codes(_needed(total * codes), min_length, max_length, seed), codes))
        characters = LETTERS + (DIGITS if digits_ratio else "")
        kinds.insert(0, _Kind(list(characters) if min_length == 1 else [], singles, first_split=True))
        kinds.append(_Kind(joined_words(_needed(total * joined), letters, max_length, seed), joined))
    if not letters and (digits_ratio < 1 or not kinds[-1].words):
        raise DataError(f"no word of {min_length} to {max_length} characters is left to draw: "
                        "widen --min_length and --max_length or give another lexicon")
    known: set[str] = set()
    for kind in kinds:
        kind.words = [word for word in kind.words if word not in known] if known else kind.words
        known.update(kind.words)
    return kinds


def _parts(lexicon: list[str], kinds: list[_Kind], splits: list[str], counts: dict[str, int], disjoint: bool,
           generator: np.random.Generator) -> list[dict[str, np.ndarray]]:
    """For each kind the rows of the lexicon that each split may show."""
    parts: list[dict[str, np.ndarray]] = []
    start = 0
    for kind in kinds:
        rows = np.arange(start, start + len(kind.words))
        start += len(rows)
        if not kind.share or not len(rows):
            parts.append(dict.fromkeys(splits, rows[:0]))
        elif disjoint and kind.first_split:
            parts.append({split: rows if split == splits[0] else rows[:0] for split in splits})
        elif disjoint:
            parts.append(_divide(lexicon, rows, splits, counts, generator))
        else:
            parts.append(dict.fromkeys(splits, rows))
    return parts


def _check(counts: dict[str, int], seed: int, digits_ratio: float, codes_ratio: float, min_length: int,
           max_length: int) -> None:
    for split, count in counts.items():
        if split not in SPLITS:
            raise ConfigError(f"split {split!r} is unknown: use {', '.join(SPLITS)}")
        if count < 0:
            raise ConfigError(f"--{split} must be 0 or more, not {count}")
    if not 0 <= seed < 2 ** 63:
        raise ConfigError(f"--seed must be between 0 and {2 ** 63 - 1}, not {seed}")
    if not any(counts.values()):
        raise ConfigError("nothing to draw: --train, --val and --test are all 0")
    if not 0 <= digits_ratio <= 1:
        raise ConfigError(f"--digits_ratio must be between 0 and 1, not {digits_ratio:g}")
    if not 0 <= codes_ratio <= 1 - digits_ratio:
        raise ConfigError(f"--codes_ratio must be between 0 and what --digits_ratio leaves, {1 - digits_ratio:g}, "
                          f"not {codes_ratio:g}")
    if not 1 <= min_length <= LONGEST or not 1 <= max_length <= LONGEST:
        raise ConfigError(f"--min_length and --max_length must be between 1 and {LONGEST}, "
                          f"not {min_length} and {max_length}")
    if min_length > max_length:
        raise ConfigError(f"--min_length {min_length} is more than --max_length {max_length}: swap them")


def _usable(words: Iterable[str], shortest: int, longest: int, left_out: dict[str, int]) -> list[str]:
    words = list(map(composed, words))
    turkish = is_turkish(words)
    kept: dict[str, None] = {}
    outside = 0
    for word in words:
        problem = "a word is empty" if not word.strip() else _problem(word)
        if problem:
            raise DataError(problem)
        folded = lowered(word.strip(), turkish)
        if shortest <= len(folded) <= longest:
            kept[folded] = None
        else:
            outside += 1
    if outside:
        left_out[f"not {shortest} to {longest} characters long"] = outside
    if len(words) - outside - len(kept):
        left_out["given twice"] = len(words) - outside - len(kept)
    return list(kept)


def _divide(lexicon: list[str], rows: np.ndarray, splits: Sequence[str], counts: dict[str, int],
            generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Deals the words out to the splits; words that fold to the same letters stay together."""
    groups: dict[str, list[int]] = {}
    for row in rows.tolist():
        key = "".join(filter(str.isalnum, lexicon[row])) or lexicon[row]
        groups.setdefault(key, []).append(row)
    if len(groups) < len(splits):
        raise DataError(f"{len(groups)} different words are too few for {len(splits)} splits without a common word: "
                        "give a longer lexicon, fewer splits or --no-disjoint")
    total = sum(counts[split] for split in splits)
    members = list(groups.values())
    order = [members[position] for position in generator.permutation(len(groups)).tolist()]
    shares = {}
    held_out = splits[1:] if len(splits) > 1 else []
    start = 0
    for split in held_out:
        share = min(max(counts[split] / total, _HELD_OUT[0]), _HELD_OUT[1])
        stop = start + max(1, round(share * len(order)))
        shares[split] = order[start:stop]
        start = stop
    shares[splits[0]] = order[start:]
    if not shares[splits[0]]:  # three words or so
        shares = {split: order[position::len(splits)] for position, split in enumerate(splits)}
    return {split: np.array(sorted(row for group in chosen for row in group), np.int64)
            for split, chosen in shares.items()}


def _assign(lexicon: list[str], pools: list[np.ndarray], kinds: list[_Kind], count: int, scene_lengths: bool,
            generator: np.random.Generator) -> np.ndarray:
    """Chooses the lexicon row of each image: within a class all words come equally often, in a shuffled order."""
    classes: list[np.ndarray] = []
    weights: list[float] = []
    for pool, kind in zip(pools, kinds, strict=True):
        if not len(pool):
            continue
        if not scene_lengths or kind.first_split:
            classes.append(pool)
            weights.append(kind.share)
            continue
        lengths = np.array([len(lexicon[row]) for row in pool.tolist()])
        found, sizes = np.unique(lengths, return_counts=True)
        # A length with a handful of words is not blown up to its share in photographs.
        parts = np.array([kind.of_length(int(length)) * min(1.0, size / 20)
                          for length, size in zip(found, sizes, strict=True)])
        for length, part in zip(found, parts / parts.sum(), strict=True):
            classes.append(pool[lengths == length])
            weights.append(kind.share * float(part))
    chosen = generator.choice(len(classes), count, p=np.array(weights) / sum(weights))
    rows = np.empty(count, np.int32)
    for number, members in enumerate(classes):
        places = np.flatnonzero(chosen == number)
        rounds = -(-len(places) // len(members))
        deck = [members[generator.permutation(len(members))] for _ in range(rounds)]
        if deck:
            rows[places] = np.concatenate(deck)[:len(places)]
    return rows
