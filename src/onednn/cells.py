"""Cells whose operators run in the C++ library. They replace the class of the network's own cells, not the cells."""
import itertools
from collections.abc import Iterator

import mindspore as ms
from mindspore import Tensor, nn, ops

try:
    from mindspore.graph.api import _cell_graph_executor
except ImportError:  # where it was before MindSpore 2.10
    from mindspore.common.api import _cell_graph_executor

from src import crnn
from src.onednn import operators
from src.onednn.build import library


class AcceleratedConv2d(nn.Conv2d):
    """nn.Conv2d with the same parameters."""

    def construct(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) to (N, O, OH, OW), float32."""
        y = self.fast_conv(x, self.weight, self.fast_settings)
        return self.bias_add(y, self.bias) if self.has_bias else y


class AcceleratedVGG(crnn.VGG):
    """The VGG as one operator."""

    def construct(self, x: Tensor) -> Tensor:
        """Maps images (N, 3, 32, W) to features (N, 512, 1, T)."""
        stages = (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5, self.conv6, self.conv7)
        inputs = (x,)
        for stage in stages:
            bn = stage.bn
            inputs += (stage.conv.weight, bn.gamma, bn.beta, bn.moving_mean, bn.moving_variance)
        inputs += (self.fast_settings,)
        if not self.training:
            return self.fast_evaluation(*inputs)
        out = self.fast_training(*inputs)
        moving = 2  # behind the features and the memory for the gradient
        for stage in stages:
            ops.assign(stage.bn.moving_mean, out[moving])
            ops.assign(stage.bn.moving_variance, out[moving + 1])
            moving += 2
        return out[0]


class AcceleratedLSTM(nn.LSTM):
    """nn.LSTM of one bidirectional layer; anything else it is asked for goes to the stock operators."""

    def construct(self, x: Tensor, hx: tuple[Tensor, Tensor] | None = None,
                  seq_length: Tensor | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Maps (T, N, I) to (T, N, 2 H) and the last states (2, N, H)."""
        if hx is not None or seq_length is not None:
            return super().construct(x, hx, seq_length)
        inputs = (x, self.w_ih_list[0], self.w_hh_list[0], self.b_ih_list[0], self.b_hh_list[0],
                  self.w_ih_list[1], self.w_hh_list[1], self.b_ih_list[1], self.b_hh_list[1])
        out = self.fast_training(*inputs) if self.training else self.fast_evaluation(*inputs, self.fast_settings)
        return out[0], (out[1], out[2])


_frozen_cells = itertools.count(1)
_STOCK = {AcceleratedConv2d: nn.Conv2d, AcceleratedVGG: crnn.VGG, AcceleratedLSTM: nn.LSTM}


def accelerate(net: nn.Cell, dtype: str, frozen: bool) -> str:
    """Swaps the operators of a network; see :func:`src.onednn.accelerate`."""
    target = ms.get_context("device_target")
    if target != "CPU":
        return f"stock operators: the accelerator is for the CPU, the device is {target}"
    restore(net)
    operators.load(library())
    version, can_bf16 = operators.describe()
    bf16 = dtype == "bfloat16" and can_bf16
    counts = {"convolution": 0, "LSTM": 0}
    inside = set()
    for cell in _cells(net):
        if type(cell) is crnn.VGG and _vgg_fits(cell):
            _accelerate_vgg(cell, bf16, _number(frozen))
            inside.update(id(stage.conv) for stage in _stages(cell))
            counts["convolution"] += 7
    for cell in _cells(net):
        if type(cell) is nn.Conv2d and id(cell) not in inside and _conv_fits(cell):
            cell.fast_conv, cell.fast_settings = _convolution(cell, True, True, bf16)
            cell.__class__ = AcceleratedConv2d
            counts["convolution"] += 1
        elif type(cell) is nn.LSTM and _lstm_fits(cell):
            cell.fast_training, cell.fast_evaluation, cell.fast_settings = operators.lstm(_number(frozen), bf16)
            cell.__class__ = AcceleratedLSTM
            counts["LSTM"] += 1
    _forget_graphs(net)
    note = " (this CPU has no 16-bit kernels)" if dtype == "bfloat16" and not bf16 else ""
    what = " and ".join(f"{count} {name}{'s' * (count > 1)}" for name, count in counts.items() if count)
    return f"{what or 'no operator'} by oneDNN {version}, {'bfloat16' if bf16 else 'float32'}{note}"


def _number(frozen: bool) -> int:
    """0, or the number of one more cell whose parameters do not change any more."""
    return next(_frozen_cells) if frozen else 0


def clipping(net: nn.Cell, clip_norm: float) -> tuple[ops.Custom, Tensor] | None:
    """See :func:`src.onednn.clipping`."""
    return operators.clipping(clip_norm) if any(type(cell) in _STOCK for cell in _cells(net)) else None


def restore(net: nn.Cell) -> None:
    """Gives every cell its own class back."""
    for cell in _cells(net):
        if type(cell) in _STOCK:
            cell.__class__ = _STOCK[type(cell)]
    _forget_graphs(net)


def _forget_graphs(net: nn.Cell) -> None:
    """Has graph mode compile the network anew; graphs of cells around it are compiled at their first call anyway."""
    for cell in _cells(net):
        if cell.compile_cache:
            _cell_graph_executor.del_net_res(cell, cell.compile_cache)
            cell.compile_cache.clear()


def _cells(net: nn.Cell) -> Iterator[nn.Cell]:
    return (cell for _, cell in net.cells_and_names())


def _stages(vgg: crnn.VGG) -> list[crnn.Conv]:
    return [vgg.conv1, vgg.conv2, vgg.conv3, vgg.conv4, vgg.conv5, vgg.conv6, vgg.conv7]


def _accelerate_vgg(vgg: crnn.VGG, bf16: bool, frozen: int) -> None:
    pools = {1: vgg.maxpool2d1, 2: vgg.maxpool2d1, 4: vgg.maxpool2d2, 6: vgg.maxpool2d2}
    stages = []
    for number, stage in enumerate(_stages(vgg), start=1):
        window = _pair(pools[number].kernel_size) if number in pools else (1, 1)
        stages.append((*window, _padding(stage.conv)[0]))
    # nn.BatchNorm2d keeps 1 - momentum under that name
    vgg.fast_training, vgg.fast_evaluation, vgg.fast_settings = operators.extractor(
        stages, vgg.conv1.bn.eps, 1 - vgg.conv1.bn.momentum, bf16, False, frozen)
    vgg.__class__ = AcceleratedVGG


def _convolution(conv: nn.Conv2d, x_plain: bool, y_plain: bool, bf16: bool) -> tuple[ops.Custom, Tensor]:
    return operators.convolution(_pair(conv.stride), _padding(conv), _pair(conv.dilation), x_plain, y_plain, bf16)


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[-2], value[-1])


def _padding(conv: nn.Conv2d) -> tuple[int, int, int, int]:
    """Top, left, bottom, right."""
    if conv.pad_mode == "same":  # stride 1, see _conv_fits
        total = [dilation * (kernel - 1) for dilation, kernel in
                 zip(_pair(conv.dilation), _pair(conv.kernel_size), strict=True)]
        return total[0] // 2, total[1] // 2, total[0] - total[0] // 2, total[1] - total[1] // 2
    if conv.pad_mode == "pad":
        given = conv.padding
        top, bottom, left, right = (given,) * 4 if isinstance(given, int) else given
        return top, left, bottom, right
    return 0, 0, 0, 0


def _computes_in_float32(cell: nn.Cell) -> bool:
    return not (getattr(cell, "fp16", False) or getattr(cell, "bf16", False))


def _conv_fits(conv: nn.Conv2d) -> bool:
    return (conv.group == 1 and conv.data_format == "NCHW" and conv.weight.dtype == ms.float32
            and (conv.pad_mode != "same" or _pair(conv.stride) == (1, 1)) and _computes_in_float32(conv))


def _vgg_fits(vgg: crnn.VGG) -> bool:
    stages, pools = _stages(vgg), (vgg.maxpool2d1, vgg.maxpool2d2)
    first = stages[0].bn
    return (all(_conv_fits(stage.conv) and not stage.conv.has_bias and stage.conv.out_channels % 16 == 0
                and _pair(stage.conv.stride) == _pair(stage.conv.dilation) == (1, 1)
                and len(set(_padding(stage.conv))) == 1
                and stage.bn.use_batch_statistics is None
                and (stage.bn.eps, stage.bn.momentum) == (first.eps, first.momentum)
                for stage in stages)
            and all(_pair(pool.kernel_size) == _pair(pool.stride) and max(_pair(pool.kernel_size)) <= 2
                    and pool.pad_mode.lower() == "same" for pool in pools))


def _lstm_fits(lstm: nn.LSTM) -> bool:
    return (lstm.bidirectional and lstm.num_layers == 1 and lstm.has_bias and not lstm.batch_first
            and all(w.shape[1] % 32 == 0 for w in (lstm.w_ih_list[0], lstm.w_hh_list[0]))
            and lstm.w_ih_list[0].dtype == ms.float32 and _computes_in_float32(lstm))
