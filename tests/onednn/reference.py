"""What the operators compute, in float64 numpy; products can round their factors to bfloat16 as the CPU's do."""
import numpy as np


def bfloat16(x: np.ndarray) -> np.ndarray:
    """The nearest bfloat16 values (ties to even), in float64; the values pass through float32."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return rounded.view(np.float32).astype(np.float64)


def same(x: np.ndarray) -> np.ndarray:
    """The values themselves, in float64."""
    return np.asarray(x, np.float64)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)) without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))


class LSTM:
    """One bidirectional layer from zero states; gates in the order input, forget, cell, output.

    Args:
        x: (T, N, I).
        weights: w_ih (4 H, I), w_hh (4 H, H), b_ih (4 H), b_hh (4 H), forwards and then backwards in time.
        factor: what products do to their factors: ``same`` or ``bfloat16``.

    Attributes:
        y: (T, N, 2 H), h and c: (2, N, H).
    """

    def __init__(self, x, weights, factor=same):
        self.x, self.factor = same(x), factor
        self.weights = [[same(w) for w in weights[:4]], [same(w) for w in weights[4:]]]
        (self.steps, batch, _), hidden = x.shape, weights[1].shape[1]
        self.y = np.zeros((self.steps, batch, 2 * hidden))
        self.h, self.c = np.zeros((2, batch, hidden)), np.zeros((2, batch, hidden))
        self.kept = []
        for d in range(2):
            w_ih, w_hh, b_ih, b_hh = self.weights[d]
            sums = factor(self.x) @ factor(w_ih).T + b_ih + b_hh
            h, c, kept = self.h[d].copy(), self.c[d].copy(), {}
            for t in self._times(d):
                i, f, u, o = np.split(sums[t] + factor(h) @ factor(w_hh).T, 4, axis=-1)
                i, f, u, o = sigmoid(i), sigmoid(f), np.tanh(u), sigmoid(o)
                kept[t] = h, c, i, f, u, o
                c = f * c + i * u
                h = o * np.tanh(c)
                self.y[t, :, d * hidden:(d + 1) * hidden] = h
            self.h[d], self.c[d] = h, c
            self.kept.append(kept)

    def _times(self, direction):
        return range(self.steps) if direction == 0 else range(self.steps - 1, -1, -1)

    def gradients(self, dy, dh, dc):
        """Gradients from those of y, h and c: x, then w_ih, w_hh and the bias (of either) of each direction."""
        factor, hidden = self.factor, self.h.shape[-1]
        dx, out = np.zeros_like(self.x), []
        for d in range(2):
            w_ih, w_hh = (factor(w) for w in self.weights[d][:2])
            dw_ih, dw_hh, db = np.zeros_like(w_ih), np.zeros_like(w_hh), np.zeros(4 * hidden)
            dstate, dcell = same(dh[d]), same(dc[d])
            for t in reversed(self._times(d)):
                old_h, old_c, i, f, u, o = self.kept[d][t]
                tanh = np.tanh(f * old_c + i * u)
                dhidden = dstate + dy[t, :, d * hidden:(d + 1) * hidden]
                dcell = dcell + dhidden * o * (1 - tanh ** 2)
                gates = np.concatenate((dcell * u * i * (1 - i), dcell * old_c * f * (1 - f), dcell * i * (1 - u ** 2),
                                        dhidden * tanh * o * (1 - o)), axis=-1)
                db += gates.sum(axis=0)
                rounded = factor(gates)
                dx[t] += rounded @ w_ih
                dw_ih += rounded.T @ factor(self.x[t])
                dw_hh += rounded.T @ factor(old_h)
                dstate, dcell = rounded @ w_hh, dcell * f
            out += [dw_ih, dw_hh, db]
        return [dx, *out]
