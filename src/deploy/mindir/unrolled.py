"""The CRNN with its LSTMs written out step by step, for runtimes whose own LSTM operator cannot be trusted.

MindSpore Lite 2.0.0 reads the recurrent weights of an LSTM in another gate order when the batch is 1, without a word.
Here a step is one matrix product for both directions, one sigmoid for all gates and a few sums and products; the batch
stays free, the width is fixed.

The tanh of these runtimes is a rational approximation, wrong by up to 1e-4, while their sigmoid is good to 1e-6. So
tanh(x) = 2 sigmoid(2x) - 1 takes its place, and the factors of two go into the weights, where they cost nothing and,
being powers of two, no digit either.
"""
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src.network.description import FEATURES, VERSIONS, num_steps


class UnrolledLSTM(nn.Cell):
    """Both directions of one LSTM layer, step by step.

    Args:
        rnn: the layer, with its weights.
        steps: length T of the sequences.
        name: prefix of the parameters.
        input_gain: the input arrives divided by this.
    """

    def __init__(self, rnn: nn.LSTM, steps: int, name: str, input_gain: float = 1.0) -> None:
        super().__init__()
        kernels = [np.stack([value.asnumpy().T for value in values]) for values in (rnn.w_ih_list, rnn.w_hh_list)]
        bias = np.stack([(one.asnumpy() + other.asnumpy())[None]
                         for one, other in zip(rnn.b_ih_list, rnn.b_hh_list, strict=True)])
        self.steps = steps
        self.features, self.gates = kernels[0].shape[1:]
        self.hidden = self.gates // 4
        gain = np.ones(self.gates, np.float32)
        gain[2 * self.hidden:3 * self.hidden] = 2  # gate order: input, forget, cell, output; the cell's is a tanh
        self.input_weight = Parameter(Tensor(kernels[0] * gain * np.float32(input_gain)), name=f"{name}.input_weight")
        self.hidden_weight = Parameter(Tensor(kernels[1] * gain * np.float32(2)), name=f"{name}.hidden_weight")
        self.bias = Parameter(Tensor(bias * gain), name=f"{name}.bias")
        self.half, self.four = (Tensor(np.array([value], np.float32)) for value in (0.5, 4))
        self.add, self.sub, self.mul, self.sigmoid = ops.Add(), ops.Sub(), ops.Mul(), ops.Sigmoid()
        self.matmul, self.reshape, self.transpose = ops.BatchMatMul(), ops.Reshape(), ops.Transpose()
        self.stack, self.concat, self.reverse = ops.Stack(0), ops.Concat(2), ops.ReverseV2([0])
        self.split_steps, self.split_directions = ops.Split(0, steps), ops.Split(1, 2)
        self.split_gates = ops.Split(2, 4)

    def construct(self, x: Tensor) -> Tensor:
        """Maps (T, N, features) to half the output of the LSTM, (T, N, 2 * hidden)."""
        both = self.reshape(self.stack((x, self.reverse(x))), (2, -1, self.features))
        both = self.add(self.matmul(both, self.input_weight), self.bias)
        both = self.transpose(self.reshape(both, (2, self.steps, -1, self.gates)), (1, 0, 2, 3))
        inputs = self.split_steps(both)
        outputs = ()
        output = memory = None  # half of what they are in the books
        for step in range(self.steps):
            total = self.reshape(inputs[step], (2, -1, self.gates))
            if step > 0:
                total = self.add(total, self.matmul(output, self.hidden_weight))
            gate_in, gate_forget, new, gate_out = self.split_gates(self.sigmoid(total))
            new = self.mul(gate_in, self.sub(new, self.half))
            memory = new if step == 0 else self.add(self.mul(gate_forget, memory), new)
            output = self.mul(gate_out, self.sub(self.sigmoid(self.mul(memory, self.four)), self.half))
            outputs += (output,)
        forward, backward = self.split_directions(self.stack(outputs))
        forward = self.reshape(forward, (self.steps, -1, self.hidden))
        backward = self.reverse(self.reshape(backward, (self.steps, -1, self.hidden)))
        return self.concat((forward, backward))


class _Linear(nn.Cell):
    """A linear map of the last dimension; its input arrives halved."""

    def __init__(self, dense: nn.Dense, steps: int, name: str) -> None:
        super().__init__()
        kernel = dense.weight.asnumpy()
        self.steps = steps
        self.outputs, self.inputs = kernel.shape
        self.weight = Parameter(Tensor(kernel * np.float32(2)), name=f"{name}.weight")
        self.bias = Parameter(Tensor(dense.bias.asnumpy()), name=f"{name}.bias")
        self.matmul, self.add, self.reshape = ops.MatMul(transpose_b=True), ops.Add(), ops.Reshape()

    def construct(self, x: Tensor) -> Tensor:
        """Maps (T, N, inputs) to (T, N, outputs)."""
        x = self.add(self.matmul(self.reshape(x, (-1, self.inputs)), self.weight), self.bias)
        return self.reshape(x, (self.steps, -1, self.outputs))


class UnrolledCRNN(nn.Cell):
    """What a trained CRNN computes, made of operators that every runtime has.

    Args:
        net: the network with its weights, V1 or V2; its values are copied, but for the VGG's, which are shared.
        width: of the images in pixels.
    """

    def __init__(self, net: nn.Cell, width: int = 100) -> None:
        super().__init__()
        self.steps = num_steps(width)
        self.vgg = net.vgg
        self.reshape, self.transpose = ops.Reshape(), ops.Transpose()
        cells = dict(net.cells_and_names())
        version = next(version for version in VERSIONS.values() if version.last in cells)
        layers, gain = [], 1.0
        for lstm, dense in zip(version.lstms, version.denses, strict=True):
            layers.append(UnrolledLSTM(cells[lstm], self.steps, lstm, gain))
            gain = 2.0  # an LSTM gives half of its output
            if dense:
                layers.append(_Linear(cells[dense], self.steps, dense))
                gain = 1.0  # a linear map has made up for it
        self.sequence = nn.SequentialCell(layers)
        self.set_train(False)

    def construct(self, x: Tensor) -> Tensor:
        """Maps images (N, 3, 32, width) to class scores (T, N, class_num)."""
        features = self.reshape(self.vgg(x), (-1, FEATURES, self.steps))
        return self.sequence(self.transpose(features, (2, 0, 1)))
