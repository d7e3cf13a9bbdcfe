"""Plain, slow, independent implementations that the decoder tests compare with."""
import itertools
import math

import numpy as np


def softmax(logits):
    e = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def collapse(path, blank):
    """CTC's map from a path to a label sequence."""
    result, previous = [], None
    for c in path:
        if c != previous and c != blank:
            result.append(int(c))
        previous = c
    return tuple(result)


def all_texts(probs):
    """Probability of every label sequence of one image, by listing all paths; probs (T, C), the blank last."""
    steps, classes = probs.shape
    result = {}
    for path in itertools.product(range(classes), repeat=steps):
        p = math.prod(probs[t, c] for t, c in enumerate(path))
        text = collapse(path, classes - 1)
        result[text] = result.get(text, 0.0) + p
    return result


def forward(probs, labels):
    """p(labels | image) by a memoised recursion over (frames left, labels left, last class)."""
    blank = probs.shape[1] - 1
    memo = {}

    def rest(t, i, last):
        if t == len(probs):
            return 1.0 if i == len(labels) else 0.0
        if (t, i, last) not in memo:
            p = probs[t, blank] * rest(t + 1, i, blank)
            if last != blank:
                p += probs[t, last] * rest(t + 1, i, last)
            if i < len(labels) and labels[i] != last:
                p += probs[t, labels[i]] * rest(t + 1, i + 1, labels[i])
            memo[t, i, last] = p
        return memo[t, i, last]

    return rest(0, 0, blank)


def levenshtein(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        new = [i]
        for j, y in enumerate(b, 1):
            new.append(min(row[j] + 1, new[-1] + 1, row[j - 1] + (x != y)))
        row = new
    return row[-1]


def word_logits(rng, charset, words, steps=24, noise=2.0, peak=7.0):
    """Logits that look like a network's: blanks, one peak per character, noise. (T, N, C) float32."""
    logits = rng.normal(size=(steps, len(words), charset.class_num)) * noise
    logits[:, :, charset.blank] += peak
    for n, word in enumerate(words):
        labels = charset.encode(word)
        needed = len(labels) + int((labels[1:] == labels[:-1]).sum())
        free = np.sort(rng.choice(steps - needed + 1, len(labels), replace=True))
        position = -1
        for i, label in enumerate(labels):
            gap = 1 + (i > 0 and label == labels[i - 1])
            position = max(position + gap, free[i] + i)
            logits[min(position, steps - 1), n, label] += 1.6 * peak
    return logits.astype(np.float32)
