"""The recurrent layers with 8-bit integers and fixed ranges, of standard ONNX operators alone.

onnxruntime's own 8-bit LSTM takes the range of its input, and at every step that of its state, from whatever is in the
batch, and OpenVINO 2026.4 computes it in float (``findings/openvino_quantised_lstm.sh``). Here an LSTM is a Scan over
the time steps, in which the products are those of integers with fixed scales: an image is read alike in any company and
in every runtime. The state lies between -1 and 1, so its scale needs no calibration.

Products of weights and inputs of all steps are computed before the Scan. Weights have a scale for each column, those of
the state one for each direction, which takes onnxruntime less time at every step. They use 7 bits, as everywhere (see
``quantise.py``). Gates and the cell are float32, and so is the last linear map, which gives the class scores.
"""
import numpy as np
import onnx
from onnx import TensorProto, helper

from src.deploy.onnx.graph import INPUT, Graph

_STATE_SCALE, _STATE_ZERO = np.float32(1 / 127), np.uint8(128)
_LARGEST_WEIGHT = 63


class IntegerGraph(Graph):
    """A graph whose linear maps and LSTMs can be in 8 bits; the inputs of these come from DequantizeLinear."""

    def quantised(self, x: str, scale: str, zero: str) -> str:
        """``x`` by way of 8 bits, saturating; ``scale`` and ``zero`` are names of constants."""
        x = self.node("QuantizeLinear", [x, scale, zero], f"{x}.integers")
        return self.node("DequantizeLinear", [x, scale, zero], f"{x}.back")

    def range_constants(self, name: str, least: float, most: float) -> tuple[str, str]:
        """Constants of a range from ``least`` to ``most``, to which 0 always belongs: scale and zero point of uint8."""
        least, most = min(least, 0.0), max(most, 0.0)
        scale = np.float32(max(most - least, 1e-6) / 255)
        zero = np.uint8(np.clip(round(-least / float(scale)), 0, 255))
        return self.constant(f"{name}.scale", np.array(scale)), self.constant(f"{name}.zero", np.array(zero))

    def integers(self, name: str, value: np.ndarray, by_column: bool) -> str:
        """Weights (rows, columns) in 7 bits and what brings them back."""
        most = np.abs(value).max(axis=0 if by_column else None)
        scale = np.maximum(most / _LARGEST_WEIGHT, 1e-12).astype(np.float32)
        tensors = [self.constant(f"{name}.integers", np.rint(value / scale).astype(np.int8)),
                   self.constant(f"{name}.scale", scale)]
        return self.node("DequantizeLinear", tensors, name, **({"axis": 1} if by_column else {}))

    def integer_dense(self, name: str, x: str, output: str) -> str:
        """A linear map of the last dimension with weights in 8 bits."""
        x = self.node("MatMul", [x, self.integers(f"{name}.weight", self.weight(f"{name}.weight").T, True)],
                      f"{output}.product")
        return self.node("Add", [x, self.constant(f"{name}.bias", self.weight(f"{name}.bias"))], output)

    def integer_lstm(self, name: str, x: str) -> str:
        """A bidirectional LSTM over (steps, batch, features); returns (steps, batch, 2 * hidden), out of 8 bits."""
        kinds = self.lstm_weights(name)
        hidden = kinds["weight_hh"].shape[2]
        parts = []
        for direction, (weights, bias) in enumerate(zip(kinds["weight_ih"], kinds["bias_ih"] + kinds["bias_hh"],
                                                        strict=True)):
            part = f"{name}.{direction}"
            product = self.node("MatMul", [x, self.integers(f"{part}.weight", weights.T, True)], f"{part}.product")
            product = self.node("Add", [product, self.constant(f"{part}.bias", bias)], f"{part}.sum")
            parts.append(self.node("Unsqueeze", [product, self._numbers(f"{part}.axis", 1)], f"{part}.gates"))
        batch = self.node("Shape", [INPUT], f"{name}.batch", start=0, end=1)
        shape = self.node("Concat", [self._numbers(f"{name}.one", 1), batch, self._numbers(f"{name}.hidden", hidden)],
                          f"{name}.start_shape", axis=0)
        starts = [self.node("Expand", [self.constant(f"{name}.{kind}", value), shape], f"{name}.{kind}_start")
                  for kind, value in (("state", np.full((1, 1, hidden), _STATE_ZERO)),
                                      ("cell", np.zeros((2, 1, hidden), np.float32)))]
        self.nodes.append(helper.make_node(
            "Scan", [starts[0], starts[0], starts[1], *parts],
            [*(f"{name}.last_{k}" for k in range(3)), f"{name}.scan"], name=f"{name}/Scan",
            body=_step(name, kinds["weight_hh"]), num_scan_inputs=2,
            scan_input_directions=[0, 1]))
        # (steps, 2, batch, hidden): the second direction comes last step first.
        self.nodes.append(helper.make_node("Split", [f"{name}.scan"], [f"{name}.there", f"{name}.late"], axis=1,
                                           name=f"{name}/Split"))
        cut = [self._numbers(f"{name}.{word}", value) for word, value in
               (("first", -1), ("last", -2 ** 60), ("steps_axis", 0), ("backwards", -1))]
        back = self.node("Slice", [f"{name}.late", *cut], f"{name}.and_back")
        x = self.node("Concat", [f"{name}.there", back], f"{name}.directions", axis=3)
        x = self.node("Squeeze", [x, self._numbers(f"{name}.direction_axis", 1)], f"{name}.integers")
        scale, zero = (self.constant(f"{name}.state_{word}", np.array(value))
                       for word, value in (("scale", _STATE_SCALE), ("zero", _STATE_ZERO)))
        return self.node("DequantizeLinear", [x, scale, zero], name)

    def _numbers(self, name: str, *values: int) -> str:
        return self.constant(name, np.array(values, np.int64))


def _step(name: str, weights: np.ndarray) -> onnx.GraphProto:
    """One time step of both directions.

    Args:
        name: of the LSTM.
        weights: of the state, (2, 4 * hidden, hidden), gates i, o, f, c.

    Returns:
        The body of a Scan: states of both directions (1, batch, hidden) uint8 and cells (2, batch, hidden) go round;
        sums of the inputs of both directions (1, batch, 4 * hidden) come in; states (2, batch, hidden) uint8 go out.
    """
    hidden = weights.shape[2]
    step = IntegerGraph({})
    scale, zero = step.constant("scale", np.array(_STATE_SCALE)), step.constant("zero", np.array(_STATE_ZERO))
    sums = []
    for direction in (0, 1):
        state = step.node("DequantizeLinear", [f"state{direction}", scale, zero], f"real{direction}")
        product = step.node("MatMul", [state, step.integers(f"weight{direction}", weights[direction].T, False)],
                            f"product{direction}")
        sums.append(step.node("Add", [product, f"inputs{direction}"], f"sum{direction}"))
    both = step.node("Concat", sums, "gates", axis=0)
    gates = ["i", "o", "f", "c"]
    quarters = step.constant("quarters", np.full(4, hidden, np.int64))
    step.nodes.append(helper.make_node("Split", [both, quarters], [f"{gate}.sum" for gate in gates], axis=2))
    i, o, f, c = (step.node("Tanh" if gate == "c" else "Sigmoid", [f"{gate}.sum"], gate) for gate in gates)
    cell = step.node("Add", [step.node("Mul", [i, c], "new"), step.node("Mul", [f, "cell"], "kept")], "next_cell")
    real = step.node("Mul", [o, step.node("Tanh", [cell], "cell.tanh")], "next_real")
    step.nodes.append(helper.make_node("QuantizeLinear", [real, scale, zero], ["states"]))
    step.nodes.append(helper.make_node("Split", ["states"], ["next0", "next1"], axis=0))

    def tensor(tensor_name: str, size: int, columns: int, kind: int = TensorProto.UINT8) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(tensor_name, kind, [size, "batch", columns])

    real_kind = TensorProto.FLOAT
    return helper.make_graph(
        step.nodes, f"{name}.step",
        [tensor("state0", 1, hidden), tensor("state1", 1, hidden), tensor("cell", 2, hidden, real_kind),
         *(tensor(f"inputs{direction}", 1, 4 * hidden, real_kind) for direction in (0, 1))],
        [tensor("next0", 1, hidden), tensor("next1", 1, hidden), tensor("next_cell", 2, hidden, real_kind),
         tensor("states", 2, hidden)], step.initialisers)
