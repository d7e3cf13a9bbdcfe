"""Lexicons as tries, and two searches over them: the most probable word, and the words near a text."""
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from src import ctc
from src.charset import Charset
from src.edit_distance import code_points
from src.errors import ConfigError
from src.metric import normalise

# Trie nodes kept per image and depth, pass after pass; see most_probable.
_WIDTHS = (8, 64, 512, 4096, 2**62)
# Smaller probabilities are compared in log space instead, where nothing underflows.
_SMALLEST = 1e-200
# Texts that the search for near words takes together: enough to share the cost of a numpy call.
_NEAR_IMAGES = 8


def read_words(path: str | Path) -> list[str]:
    """Reads a lexicon file: UTF-8, one word a line; blank lines do not count.

    Raises:
        ConfigError: the file has no word or is not UTF-8.
        OSError: it cannot be opened.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); save the lexicon as "
                          "UTF-8") from error
    words = [line.strip() for line in text.split("\n") if line.strip()]
    if not words:
        raise ConfigError(f"{path}: the lexicon has no words; write one word a line")
    return words


@dataclass
class LexiconReport:
    """What of the lexicons could not be used; nothing is dropped silently.

    Attributes:
        words: words given, all lexicons together.
        empty: words without a character after normalising.
        outside: words with characters that the charset lacks.
        duplicates: words of the shared lexicon that equal an earlier one after normalising.
        infeasible: words that cannot fit in the network's steps: probability 0.
        no_candidate: images with no word within ``delta`` of the greedy text, which took the exact search.
        unread: images for which every word has probability 0: read as the empty text with confidence 0.
        examples: a few of the words that cannot be used.
    """

    words: int = 0
    empty: int = 0
    outside: int = 0
    duplicates: int = 0
    infeasible: int = 0
    no_candidate: int = 0
    unread: int = 0
    examples: list[str] = field(default_factory=list)

    def example(self, words: Sequence[str]) -> None:
        """Keeps the first five."""
        self.examples.extend(words[:max(0, 5 - len(self.examples))])

    def summary(self) -> str:
        """One line for people."""
        parts = [f"{self.words} words", f"{self.duplicates} duplicates", f"{self.empty} empty",
                 f"{self.outside} with characters outside the charset", f"{self.infeasible} too long for the steps",
                 f"{self.no_candidate} images without a near word", f"{self.unread} images without a possible word"]
        examples = f" (as {', '.join(map(repr, self.examples))})" if self.examples else ""
        return "lexicon: " + ", ".join(part for part in parts if not part.startswith("0 ")) + examples


class WordEncoder:
    """Words -> classes, many at a time."""

    def __init__(self, charset: Charset):
        self.charset = charset
        codes = [ord(c) for c in charset.characters]
        self._table = np.full(max(codes) + 2, -1, np.int64)
        self._table[codes] = np.arange(len(codes))
        self._keys: dict[str, str] = {}

    def key(self, word: str) -> str:
        """The normalised word (see ``src.metric.normalise``), remembered."""
        key = self._keys.get(word)
        if key is None:
            if len(self._keys) > 1_000_000:  # lexicons repeat, but an endless stream of new words must not pile up
                self._keys.clear()
            key = self._keys[word] = normalise(word, self.charset)
        return key

    def encode(self, keys: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Encodes normalised words.

        Returns:
            labels ``(P, longest)`` int64 padded with the blank, lengths ``(P,)``, known ``(P,)`` bool: all characters
            are in the charset.
        """
        codes, lengths = code_points(keys)
        labels = self._table[np.minimum(codes, len(self._table) - 1)]
        inside = np.arange(codes.shape[1]) < lengths[:, None]
        known = ~((labels < 0) & inside).any(axis=1)
        return np.where(inside, labels, self.charset.blank), lengths, known


class Lexicon:
    """A set of words for one charset, with their trie.

    Args:
        words: the words as people write them; compared after ``src.metric.normalise``, read back as given here.
        encoder: of the charset.
        report: counts what cannot be used.

    Attributes:
        words: the usable words as given, sorted by their normalised form.
        labels: ``(W, longest)`` their classes, padded with the blank.
        lengths: ``(W,)``.
        required: ``(W,)`` frames that each needs.
    """

    def __init__(self, words: Sequence[str], encoder: WordEncoder, report: LexiconReport | None = None):
        report = report if report is not None else LexiconReport()
        report.words += len(words)
        first: dict[str, str] = {}
        for word in words:
            key = encoder.key(word)
            if key in first:
                report.duplicates += 1
            elif key:
                first[key] = word
            else:
                report.empty += 1
                report.example([word])
        keys = sorted(first)
        labels, lengths, known = encoder.encode(keys)
        unknown = [first[keys[i]] for i in np.flatnonzero(~known)]
        report.outside += len(unknown)
        report.example(unknown)
        self.words = [first[keys[i]] for i in np.flatnonzero(known)]
        self.labels, self.lengths = labels[known], lengths[known]
        self.required = ctc.required_steps(self.labels, self.lengths)
        self._build_trie()

    def __len__(self) -> int:
        return len(self.words)

    def _build_trie(self) -> None:
        """Nodes in breadth-first order, so that the children of a node follow one another.

        ``char`` (class that leads into the node), ``word`` (row of the word that ends here, or -1), ``first_child``,
        ``child_count``; node 0 is the root.
        """
        count, width = self.labels.shape
        new = np.ones((count, width), bool)
        new[1:] = np.logical_or.accumulate(self.labels[1:] != self.labels[:-1], axis=1)
        chars, words, parents = [np.array([-1])], [np.array([-1])], [np.array([-1])]
        node_of_row = np.zeros(count, np.int64)  # node of every word's prefix at the depth above
        nodes = 1
        for depth in range(width):
            starts = np.flatnonzero(new[:, depth] & (depth < self.lengths))
            parents.append(node_of_row[starts])
            chars.append(self.labels[starts, depth])
            # In sorted order a word comes before everything it is a prefix of: it is the first row of its own node.
            words.append(np.where(self.lengths[starts] == depth + 1, starts, -1))
            node_of_row = nodes + np.searchsorted(starts, np.arange(count), side="right") - 1
            nodes += len(starts)
        self.char, self.word = np.concatenate(chars), np.concatenate(words)
        self.child_count = np.bincount(np.concatenate(parents)[1:], minlength=nodes)
        self.first_child = np.concatenate([[1], 1 + np.cumsum(self.child_count)[:-1]])

    def _children(self, node: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All children of the given nodes: for each the row of its parent in ``node``, and its own number."""
        counts = self.child_count[node]
        row = np.repeat(np.arange(len(node)), counts)
        inside = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        return row, self.first_child[node][row] + inside

    def exhaustive(self, em: ctc.Emissions, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores every word on every given image; the plain way, and the reference for the search.

        Returns:
            word ``(K,)`` and log probability ``(K,)``, -inf where no word is possible.
        """
        best, log_p = np.zeros(len(images), np.int64), np.full(len(images), -np.inf)
        rows = np.flatnonzero(self.required <= em.steps)
        for k, image in enumerate(images) if len(rows) else ():
            scores = ctc.text_log_probability(em, np.full(len(rows), image), self.labels[rows], self.lengths[rows])
            top = scores.argmax()
            best[k], log_p[k] = rows[top], scores[top]
        return best, log_p

    def most_probable(self, em: ctc.Emissions) -> tuple[np.ndarray, np.ndarray]:
        """The exact argmax of p(word | image) over all words, by branch and bound on the trie.

        The probability that the reading *begins* with a prefix (Graves et al. 2006, section 3.2) bounds every word
        below that node, and such bounds sum to at most 1 per depth, so a legible image needs a handful of nodes. Each
        pass keeps the best nodes per depth and remembers the best bound it dropped; an image whose best word beats
        that is proved, the others go on with a wider pass. The last pass drops nothing that could win.

        Args:
            em: frame probabilities of N images.

        Returns:
            word ``(N,)`` row of the word, log probability ``(N,)``; -inf where no word is possible.
        """
        best, best_p = np.zeros(em.images, np.int64), np.zeros(em.images)
        probs = np.exp(em.log_probs())
        pending = np.arange(em.images)
        for width in _WIDTHS:
            # Smaller groups as the width grows, so that a pass stays small in memory.
            group = max(1, 2048 // width)
            dropped = [self._pass(probs, pending[i:i + group], width, best, best_p)
                       for i in range(0, len(pending), group)]
            if dropped:
                pending = pending[np.concatenate(dropped) > best_p[pending] * (1 - 1e-9)]
        with np.errstate(divide="ignore"):
            log_p = np.log(best_p)
        tiny = np.flatnonzero(best_p < _SMALLEST)
        best[tiny], log_p[tiny] = self.exhaustive(em, tiny)
        return best, log_p

    def _pass(self, probs: np.ndarray, images: np.ndarray, width: int, best: np.ndarray,
              best_p: np.ndarray) -> np.ndarray:
        """One search with at most ``width`` nodes per image and depth; raises ``best`` and ``best_p`` in place.

        Returns:
            ``(K,)`` the largest bound that was dropped for lack of width, 0 if none.
        """
        steps, count, classes = probs.shape
        probs = probs.reshape(steps, -1)
        dropped = np.zeros(count)
        # Row t of `ends_blank` / `ends_char`: probability of having read the node's prefix after t frames, with the
        # last frame a blank / the last character.
        image, node = images, np.zeros(len(images), np.int64)
        blank = probs[:, images * classes + classes - 1]
        ends_blank = np.concatenate([np.ones((1, len(images))), np.cumprod(blank, axis=0)])
        ends_char = np.zeros_like(ends_blank)
        while len(node):
            row, child = self._children(node)
            before, image, char = node[row], image[row], self.char[child]
            enter = (ends_blank + ends_char)[:-1, row]
            same = np.flatnonzero(self.char[before] == char)
            enter[:, same] = ends_blank[:-1, row[same]]
            emission = probs[:, image * classes + char]
            enter *= emission
            bound = enter.sum(axis=0)
            keep = np.flatnonzero(bound > best_p[image] * (1 - 1e-9))
            keep = keep[np.lexsort((-bound[keep], image[keep]))]
            rank = np.arange(len(keep)) - np.searchsorted(image[keep], image[keep])
            lost = keep[rank == width]
            dropped[image[lost]] = np.maximum(dropped[image[lost]], bound[lost])
            keep = keep[rank < width]
            image, node, row = image[keep], child[keep], row[keep]
            enter, emission = enter[:, keep], emission[:, keep]
            blank = probs[:, image * classes + classes - 1]
            ends_blank = np.zeros((steps + 1, len(keep)))
            ends_char = np.zeros_like(ends_blank)
            for t in range(steps):
                np.multiply(ends_char[t], emission[t], out=ends_char[t + 1])
                ends_char[t + 1] += enter[t]
                np.add(ends_blank[t], ends_char[t], out=ends_blank[t + 1])
                ends_blank[t + 1] *= blank[t]
            word = np.flatnonzero(self.word[node] >= 0)
            p = ends_blank[-1, word] + ends_char[-1, word]
            word = word[np.argsort(p)]  # the largest is assigned last and stays
            p = np.sort(p)
            better = p > best_p[image[word]]
            best[image[word[better]]], best_p[image[word[better]]] = self.word[node[word[better]]], p[better]
        return dropped[images]

    def near(self, texts: np.ndarray, lengths: np.ndarray, delta: int) -> tuple[np.ndarray, np.ndarray]:
        """All words within an edit distance of each text.

        The Levenshtein table grows along the trie, one column per node, only the 2 delta + 1 cells about the diagonal;
        a node all of whose cells exceed ``delta`` is left with everything below it.

        Args:
            texts: ``(N, L)`` classes.
            lengths: ``(N,)``.
            delta: largest distance, 0 or more.

        Returns:
            text ``(P,)`` and word ``(P,)``, all pairs that are near, sorted by text.
        """
        pairs = [self._near(texts[i:i + _NEAR_IMAGES], lengths[i:i + _NEAR_IMAGES], delta, i)
                 for i in range(0, len(lengths), _NEAR_IMAGES)]
        text = np.concatenate([p[0] for p in pairs]) if pairs else np.zeros(0, np.int64)
        word = np.concatenate([p[1] for p in pairs]) if pairs else np.zeros(0, np.int64)
        order = np.lexsort((word, text))
        return text[order], word[order]

    def _near(self, texts: np.ndarray, lengths: np.ndarray, delta: int, offset: int) -> tuple[np.ndarray, np.ndarray]:
        longest = int(self.lengths.max(initial=0))
        # Character i of a text stands at column i + delta; -2 equals no class.
        padded = np.full((len(lengths), longest + 2 * delta + 2), -2, np.int16)
        columns = np.arange(min(texts.shape[1], longest + delta + 2))
        padded[:, columns + delta] = np.where(columns < lengths[:, None], texts[:, columns], -2)
        cells = np.arange(-delta, delta + 1)
        far = np.uint8(delta + 1)
        text, node = np.arange(len(lengths)), np.zeros(len(lengths), np.int64)
        # band[k]: distance of the node's prefix to the first depth + cells[k] characters of the text, or `far`.
        band = np.where((cells >= 0) & (cells <= lengths[:, None]), cells, far).astype(np.uint8).T
        found_text, found_word = [], []
        for depth in range(1, longest + 1):
            row, node = self._children(node)
            text, char, band = text[row], self.char[node].astype(np.int16), band[:, row]
            room = lengths[text] - depth
            new = np.empty_like(band)
            for k, cell in enumerate(cells):
                # Cells behind the end of the text are computed as well: nothing inside depends on them.
                column = padded[:, depth - 1 + cell + delta]
                value = band[k] + (column[text] != char)
                if k + 1 < len(cells):
                    np.minimum(value, band[k + 1] + 1, out=value)
                if k:
                    np.minimum(value, new[k - 1] + 1, out=value)
                new[k] = np.minimum(value, far)
            keep = np.flatnonzero((new < far).any(axis=0))
            text, node, band, room = text[keep], node[keep], new[:, keep], room[keep]
            hit = np.flatnonzero((self.word[node] >= 0) & (np.abs(room) <= delta))
            hit = hit[band[room[hit] + delta, hit] <= delta]
            found_text.append(text[hit] + offset)
            found_word.append(self.word[node[hit]])
        return np.concatenate(found_text), np.concatenate(found_word)
