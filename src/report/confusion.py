"""Which characters are taken for which: counted along a shortest edit path between truth and prediction."""
from collections import Counter
from collections.abc import Iterable

NOTHING = ""  # stands for the other side of a character that was missed or invented


def align(truth: str, prediction: str) -> list[tuple[str, str]]:
    """Pairs of characters along one shortest edit path, in order.

    Where several paths are equally short, characters are paired rather than dropped.

    Returns:
        (truth, prediction) pairs; one of them is '' where a character was missed or invented.
    """
    rows, columns = len(truth), len(prediction)
    cost = [[*range(columns + 1)]]
    for i in range(1, rows + 1):
        above, row = cost[-1], [i]
        for j in range(1, columns + 1):
            row.append(min(above[j - 1] + (truth[i - 1] != prediction[j - 1]), above[j] + 1, row[j - 1] + 1))
        cost.append(row)
    pairs, i, j = [], rows, columns
    while i or j:
        if i and j and cost[i][j] == cost[i - 1][j - 1] + (truth[i - 1] != prediction[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((truth[i], prediction[j]))
        elif i and cost[i][j] == cost[i - 1][j] + 1:
            i -= 1
            pairs.append((truth[i], NOTHING))
        else:
            j -= 1
            pairs.append((NOTHING, prediction[j]))
    return pairs[::-1]


def confused_pairs(truth: str, prediction: str) -> list[tuple[str, str]]:
    """The unequal pairs of :func:`align`."""
    return [pair for pair in align(truth, prediction) if pair[0] != pair[1]]


def count_confusions(words: Iterable[tuple[str, str]]) -> tuple[Counter, Counter]:
    """Counts over all words.

    Args:
        words: (truth, prediction), normalised.

    Returns:
        (truth, prediction) -> how often, for unequal pairs; and character of the truths -> how often.
    """
    confusions, characters = Counter(), Counter()
    for truth, prediction in words:
        characters.update(truth)
        if truth != prediction:
            confusions.update(confused_pairs(truth, prediction))
    return confusions, characters


def most_confused(confusions: Counter, count: int = 16) -> list[str]:
    """The characters that take part in the most confusions of one character for another, most first."""
    shares = Counter()
    for (truth, prediction), number in confusions.items():
        if truth and prediction:
            shares[truth] += number
            shares[prediction] += number
    return [character for character, _ in sorted(shares.items(), key=lambda item: (-item[1], item[0]))[:count]]
