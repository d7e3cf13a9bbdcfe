"""Words to draw: lexicons, random strings and numbers, split into words for training, validation and test."""
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from src.common.errors import ConfigError, DataError

WORD_LIST = Path(__file__).with_name("words.txt")
SPLITS = ("train", "val", "test")
LONGEST = 60
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"
# Share of each length among words in photographs: short ones are far more frequent than in a dictionary.
_SCENE_LENGTHS = (0.035, 0.11, 0.16, 0.175, 0.15, 0.12, 0.095, 0.06, 0.04, 0.022, 0.014, 0.007, 0.004, 0.003)
_HELD_OUT = (0.08, 0.25)  # lowest and highest share of the words set aside for validation, and for test


@dataclass
class WordPlan:
    """The lexicon of a set and what each of its images shows.

    Attributes:
        lexicon: lower-case words; the position is the label number.
        rows: for each split the lexicon row of every image, int32.
        words: for each split the number of distinct words set aside for it.
        left_out: number of words not used, by reason.
    """

    lexicon: list[str]
    rows: dict[str, np.ndarray]
    words: dict[str, int]
    left_out: dict[str, int] = field(default_factory=dict)


def read_lexicon(path: str | Path) -> list[str]:
    """Reads a lexicon: UTF-8, one word a line; empty lines count for nothing.

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
    words = [line.strip(" \t\r") for line in lines]
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
    return None


def random_words(count: int, shortest: int, longest: int, seed: int) -> list[str]:
    """Makes distinct strings of random letters and some digits, with lengths as in photographs."""
    generator = np.random.default_rng((seed, 1))
    characters = np.array(list(_ALPHABET * 3 + "0123456789"))
    return _distinct(count, shortest, longest, generator, characters)


def random_numbers(count: int, shortest: int, longest: int, seed: int) -> list[str]:
    """Makes distinct numbers of at most six digits, or of ``shortest`` where that is more.

    Fewer than asked for where there are not so many.
    """
    generator = np.random.default_rng((seed, 2))
    return _distinct(count, shortest, max(shortest, min(longest, 6)), generator, np.array(list("0123456789")))


def _distinct(count: int, shortest: int, longest: int, generator: np.random.Generator,
              characters: np.ndarray) -> list[str]:
    lengths = np.arange(shortest, longest + 1)
    shares = np.array([scene_share(int(length)) for length in lengths])
    found: dict[str, None] = {}
    for length in generator.choice(lengths, 2 * count + 20, p=shares / shares.sum()):
        found["".join(characters[generator.integers(len(characters), size=length)])] = None
        if len(found) >= count:
            break
    return list(found)


def scene_share(length: int) -> float:
    """Returns how frequent a word length is in photographs; never 0."""
    return _SCENE_LENGTHS[length - 1] if length <= len(_SCENE_LENGTHS) else 0.0025 * 0.8 ** (length - 14)


def plan_words(words: Iterable[str] | None, counts: dict[str, int], *, seed: int = 1, random_strings: bool = False,
               digits_ratio: float = 0.1, min_length: int = 1, max_length: int = 23, disjoint: bool = True,
               scene_lengths: bool = True) -> WordPlan:
    """Chooses what every image of a set shows.

    Args:
        words: lexicon; ``None`` takes the English word list of the project. Upper case is folded.
        counts: number of images of each split.
        seed: of all choices.
        random_strings: random strings instead of the lexicon.
        digits_ratio: share of images that show a number.
        min_length: shortest word drawn.
        max_length: longest word drawn.
        disjoint: no word of one split is in another one (letters and digits compared, not case or punctuation).
        scene_lengths: word lengths as frequent as in photographs; otherwise every word is equally likely.

    Raises:
        ConfigError: a parameter is out of range.
        DataError: no word is left, or too few for disjoint splits.
    """
    _check(counts, seed, digits_ratio, min_length, max_length)
    left_out: dict[str, int] = {}
    total = sum(counts.values())
    if random_strings:
        letters = random_words(min(max(total, 100), 200_000), min_length, max_length, seed)
    else:
        letters = _usable(read_lexicon(WORD_LIST) if words is None else words, min_length, max_length, left_out)
    numbers: list[str] = []
    if digits_ratio > 0:
        wanted = min(max(round(total * digits_ratio), 30), 50_000)
        known = set(letters)
        numbers = [word for word in random_numbers(wanted, min_length, max_length, seed) if word not in known]
    if not letters and (digits_ratio < 1 or not numbers):
        raise DataError(f"no word of {min_length} to {max_length} characters is left to draw: "
                        "widen --min_length and --max_length or give another lexicon")
    lexicon = letters + numbers
    splits = [split for split in SPLITS if counts.get(split, 0)]
    generator = np.random.default_rng((seed, 3))
    kinds = [np.arange(len(letters)), np.arange(len(letters), len(lexicon))]
    parts = []
    for rows, share in zip(kinds, (1 - digits_ratio, digits_ratio), strict=True):
        needed = bool(share > 0 and len(rows))
        if needed and disjoint:
            parts.append(_divide(lexicon, rows, splits, counts, generator))
        else:
            parts.append({split: rows if needed else rows[:0] for split in splits})
    plan = WordPlan(lexicon, {}, {}, left_out)
    for split in SPLITS:
        if split not in splits:
            plan.rows[split], plan.words[split] = np.zeros(0, np.int32), 0
            continue
        pools = [part[split] for part in parts]
        plan.words[split] = sum(len(pool) for pool in pools)
        plan.rows[split] = _assign(lexicon, pools, digits_ratio, counts[split], scene_lengths,
                                   np.random.default_rng((seed, 4, SPLITS.index(split))))
    return plan


def _check(counts: dict[str, int], seed: int, digits_ratio: float, min_length: int, max_length: int) -> None:
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
    if not 1 <= min_length <= LONGEST or not 1 <= max_length <= LONGEST:
        raise ConfigError(f"--min_length and --max_length must be between 1 and {LONGEST}, "
                          f"not {min_length} and {max_length}")
    if min_length > max_length:
        raise ConfigError(f"--min_length {min_length} is more than --max_length {max_length}: swap them")


def _usable(words: Iterable[str], shortest: int, longest: int, left_out: dict[str, int]) -> list[str]:
    kept: dict[str, None] = {}
    seen = 0
    outside = 0
    for word in words:
        seen += 1
        problem = "a word is empty" if not word.strip() else _problem(word)
        if problem:
            raise DataError(problem)
        folded = word.strip().lower()
        if shortest <= len(folded) <= longest:
            kept[folded] = None
        else:
            outside += 1
    if outside:
        left_out[f"not {shortest} to {longest} characters long"] = outside
    if seen - outside - len(kept):
        left_out["given twice"] = seen - outside - len(kept)
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


def _assign(lexicon: list[str], pools: list[np.ndarray], digits_ratio: float, count: int, scene_lengths: bool,
            generator: np.random.Generator) -> np.ndarray:
    """Chooses the lexicon row of each image: within a class all words come equally often, in a shuffled order."""
    classes: list[np.ndarray] = []
    weights: list[float] = []
    present = [len(pool) > 0 for pool in pools]
    for pool, share in zip(pools, (1 - digits_ratio, digits_ratio), strict=True):
        if not len(pool):
            continue
        share = share if all(present) else 1.0
        if not scene_lengths:
            classes.append(pool)
            weights.append(share)
            continue
        lengths = np.array([len(lexicon[row]) for row in pool.tolist()])
        found, sizes = np.unique(lengths, return_counts=True)
        # A length with a handful of words is not blown up to its share in photographs.
        parts = np.array([scene_share(int(length)) * min(1.0, size / 20)
                          for length, size in zip(found, sizes, strict=True)])
        for length, part in zip(found, parts / parts.sum(), strict=True):
            classes.append(pool[lengths == length])
            weights.append(share * float(part))
    chosen = generator.choice(len(classes), count, p=np.array(weights) / sum(weights))
    rows = np.empty(count, np.int32)
    for number, members in enumerate(classes):
        places = np.flatnonzero(chosen == number)
        rounds = -(-len(places) // len(members))
        deck = [members[generator.permutation(len(members))] for _ in range(rounds)]
        if deck:
            rows[places] = np.concatenate(deck)[:len(places)]
    return rows
