"""Where in the image each character of a text was read: the most probable CTC path that gives the text."""
import numpy as np


def align(log_probs: np.ndarray, labels: np.ndarray) -> list[tuple[int, int]]:
    """The time steps that speak each character, along the best path of a text (Viterbi over the CTC states).

    Args:
        log_probs: ``(T, C)`` of one image, the blank last; each step's scores may be shifted by any number.
        labels: ``(L,)`` classes of the text.

    Returns:
        First and last step of each character, rising; nothing where the text needs more than T steps.

    Examples:
        >>> scores = np.log(np.array([[.8, .1, .1], [.7, .1, .2], [.1, .1, .8], [.1, .8, .1]]))
        >>> align(scores, np.array([0, 1]))
        [(0, 1), (3, 3)]
    """
    steps, blank = len(log_probs), log_probs.shape[1] - 1
    states = np.full(2 * len(labels) + 1, blank)  # blank, character, blank, character, ..., blank
    states[1::2] = labels
    skips = np.zeros(len(states), bool)  # entered from two states before: between different characters
    skips[3::2] = states[3::2] != states[1:-2:2]
    score = np.full(len(states), -np.inf)
    score[:2] = log_probs[0, states[:2]]
    came_from = np.zeros((steps, len(states)), np.int64)
    for t in range(1, steps):
        ways = np.full((3, len(states)), -np.inf)  # stay, one on, two on
        ways[0], ways[1, 1:] = score, score[:-1]
        ways[2, 2:] = np.where(skips[2:], score[:-2], -np.inf)
        came_from[t] = ways.argmax(axis=0)
        score = ways.max(axis=0) + log_probs[t, states]
    state = len(states) - 1 if len(states) == 1 or score[-1] >= score[-2] else len(states) - 2
    if score[state] == -np.inf:
        return []
    spoken: dict[int, tuple[int, int]] = {}
    for t in range(steps - 1, -1, -1):
        if state % 2:
            spoken[state] = (t, spoken.get(state, (t, t))[1])
        state -= came_from[t, state]
    return [spoken[state] for state in sorted(spoken)]
