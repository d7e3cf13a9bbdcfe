"""Lexicons as tries, and two searches over them: the most probable word, and the words near a text."""
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from src.reading import ctc
from src.reading.word_list import WordEncoder

# Trie nodes kept per image and depth, pass after pass; see most_probable.
_WIDTHS = (8, 64, 512, 4096, 2**62)
# Smaller probabilities are compared in log space instead, where nothing underflows.
_SMALLEST = 1e-200
# See rivals: how much less probable than the best word a rival may be, how many trie nodes are kept per image and depth
# for it (so much that confidences come out right to 0.04), and below which probability of the best none is looked for.
_RIVAL_SHARE, _RIVAL_WIDTH, _RIVAL_LEAST = 1e-4, 256, 1e-9
# Texts that the search for near words takes together: enough to share the cost of a numpy call.
_NEAR_IMAGES = 8


@dataclass
class LexiconReport:
    """What of the lexicons could not be used; nothing is dropped silently.

    Attributes:
        words: words given, all lexicons together.
        empty: words without a character after normalising.
        outside: words with characters that the charset lacks.
        duplicates: words that equal an earlier one of their lexicon after normalising.
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


class Lexicon:
    """A set of words for one charset, with their trie.

    Args:
        words: the words as people write them; compared after ``src.common.charset.normalise``, read back as given here.
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

    def rivals(self, em: ctc.Emissions, best: np.ndarray, log_p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The best words and those that come near: at least a ten-thousandth as probable.

        Only the most promising trie nodes of every depth are followed, and nothing is looked for where even the best
        word is next to impossible.

        Args:
            em: frame probabilities of N images.
            best: ``(N,)`` the best word on each.
            log_p: ``(N,)`` its log probability.

        Returns:
            image ``(P,)`` and word ``(P,)``, the N best words first.
        """
        floor = np.exp(log_p) * _RIVAL_SHARE
        pending = np.flatnonzero(floor >= _RIVAL_LEAST * _RIVAL_SHARE)
        probs, unused = np.exp(em.log_probs()), np.zeros(em.images)
        images, words, group = [np.arange(em.images)], [best], 2048 // _RIVAL_WIDTH
        for start in range(0, len(pending), group):
            for image, word, p in self._walk(probs, pending[start:start + group], _RIVAL_WIDTH, floor, unused):
                near = (p >= floor[image]) & (word != best[image])
                images.append(image[near])
                words.append(word[near])
        return np.concatenate(images), np.concatenate(words)

    def _pass(self, probs: np.ndarray, images: np.ndarray, width: int, best: np.ndarray,
              best_p: np.ndarray) -> np.ndarray:
        """One search with at most ``width`` nodes per image and depth; raises ``best`` and ``best_p`` in place.

        Returns:
            ``(K,)`` the largest bound that was dropped for lack of width, 0 if none.
        """
        dropped = np.zeros(len(best))
        for image, word, p in self._walk(probs, images, width, best_p, dropped):
            order = np.argsort(p)  # the largest is assigned last and stays
            image, word, p = image[order], word[order], p[order]
            better = p > best_p[image]
            best[image[better]], best_p[image[better]] = word[better], p[better]
        return dropped[images]

    def _walk(self, probs: np.ndarray, images: np.ndarray, width: int, floor: np.ndarray,
              dropped: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Goes down the trie, with at most ``width`` nodes per image and depth.

        Args:
            probs: ``(T, N, C)``.
            images: ``(K,)`` which of the N.
            width: nodes kept.
            floor: ``(N,)`` nodes whose bound is not above it are left; the caller may raise it on the way.
            dropped: ``(N,)`` raised in place to the largest bound that was dropped for lack of width.

        Yields:
            The words at the nodes of each depth: image ``(P,)``, word ``(P,)``, and probability ``(P,)``.
        """
        steps, _, classes = probs.shape
        probs = probs.reshape(steps, -1)
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
            keep = np.flatnonzero(bound > floor[image] * (1 - 1e-9))
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
            yield image[word], self.word[node[word]], ends_blank[-1, word] + ends_char[-1, word]

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
