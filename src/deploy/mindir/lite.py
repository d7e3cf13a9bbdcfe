"""Rewrites a MINDIR of MindSpore 2.8 to 2.10 so that older runtimes, above all MindSpore Lite 2.0.0, load it.

Newer files hold "primitive functions", which take their settings (axis, transpose, ...) as constant inputs at the end;
older runtimes know primitives only, which have them as attributes. Every operator that is met needs a rule here; one
without a rule is an error, because a setting left behind would be read as its default.
"""
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mindspore.train import mind_ir_pb2 as pb

from src.common.errors import CheckpointError

_PRIMITIVE, _FUNCTION = pb.PrimitiveProto.PRIMITIVE, pb.PrimitiveProto.PRIMITIVE_FUNCTION
_TYPES = pb.AttributeProto
_FORMATS = ("NCHW", "NHWC", "NHWC4", "HWKC", "HWCK", "KCHW")


def _plain(name: str) -> Callable:
    def move(value: pb.AttributeProto) -> list[pb.AttributeProto]:
        moved = pb.AttributeProto()
        moved.CopyFrom(value)
        moved.name = name
        return [moved]

    return move


def _several(*names: str) -> Callable:
    return lambda value: [_plain(name)(value)[0] for name in names]


def _format(value: pb.AttributeProto) -> list[pb.AttributeProto]:
    return [pb.AttributeProto(name=name, type=_TYPES.STRING, s=_FORMATS[value.i].encode())
            for name in ("format", "data_format")]


@dataclass(frozen=True)
class _Rule:
    """How a primitive function becomes a primitive.

    Attributes:
        inputs: how many of its inputs stay inputs.
        settings: for every further input, which must be a constant, what makes attributes of its value.
    """

    inputs: int
    settings: tuple[Callable, ...] = ()


_TRANSPOSES = (_several("transpose_a", "transpose_x1"), _several("transpose_b", "transpose_x2"))
_RULES = {
    **{name: _Rule(2) for name in ("Add", "Sub", "Mul", "Div", "Maximum", "Minimum")},
    **{name: _Rule(1) for name in ("ReLU", "Sigmoid", "Tanh", "Exp", "Neg", "Identity")},
    **{name: _Rule(2) for name in ("Reshape", "Transpose", "ExpandDims")},  # shape, order and axis stay inputs
    "BatchNorm": _Rule(5, (_plain("is_training"), _plain("epsilon"), _plain("momentum"), _format)),
    "BiasAdd": _Rule(2, (_format,)),
    "MatMul": _Rule(2, _TRANSPOSES),
    "BatchMatMul": _Rule(2, _TRANSPOSES),
    "Concat": _Rule(1, (_plain("axis"),)),
    "Split": _Rule(1, (_plain("axis"), _plain("output_num"))),
    "Squeeze": _Rule(1, (_plain("axis"),)),
    "ReverseV2": _Rule(1, (_plain("axis"),)),
    "Softmax": _Rule(1, (_plain("axis"),)),
    "LogSoftmax": _Rule(1, (_plain("axis"),)),
    "StridedSlice": _Rule(4, tuple(_plain(f"{name}_mask") for name in
                                   ("begin", "end", "ellipsis", "new_axis", "shrink_axis"))),
}
# Primitives in new files as well as in old ones.
_KNOWN = {"Conv2D", "MaxPool", "Stack", "MakeTuple", "TupleGetItem", "Load", "Depend", "UpdateState", "LSTM", "Return"}


def rewrite(model: pb.ModelProto, where: str = "the model") -> pb.ModelProto:
    """Makes the older form of a model; the given one is left as it is.

    Args:
        model: as read from a MINDIR file.
        where: its file, for messages.

    Raises:
        CheckpointError: there is an operator without a rule, or one that Lite computes wrongly.
    """
    if model.functions:
        raise CheckpointError(f"{where} has {len(model.functions)} sub-graphs (control flow), for which the rewriting "
                              "has no rule; export the network without control flow")
    result = pb.ModelProto()
    result.CopyFrom(model)
    # What releases of the time wrote; without it they refuse the file.
    result.mind_ir_version, result.ir_version, result.model_version = 1, "0.1.1", "2.0.0"
    del result.primitives[:]
    primitives = {entry.name: entry for entry in model.primitives}
    producers = {name: node for node in result.graph.node for name in node.output}
    kept: dict[bytes, str] = {}
    for node in result.graph.node:
        kind, _, reference = node.op_type.partition("::")
        if kind != "REF":
            if kind not in ("Constant", "Parameter"):
                raise CheckpointError(f"{where}: the node {node.name} of type {node.op_type} has no rule to rewrite it")
            continue
        primitive = pb.PrimitiveProto()
        primitive.CopyFrom(primitives[reference])
        _check(primitive, node, producers, where)
        if primitive.prim_type == _FUNCTION:
            _to_primitive(primitive, node, producers, where)
        primitive.name = ""
        key = primitive.SerializeToString(deterministic=True)
        if key not in kept:
            kept[key] = f"{primitive.op_type}:{len(kept) + 1}"
            primitive.name = kept[key]
            result.primitives.append(primitive)
        node.op_type = f"REF::{kept[key]}"
    _drop_unused_constants(result.graph)
    return result


def _check(primitive: pb.PrimitiveProto, node: pb.NodeProto, producers: dict, where: str) -> None:
    if primitive.prim_type == _PRIMITIVE:
        if primitive.op_type not in _KNOWN | _RULES.keys():
            raise CheckpointError(f"{where}: the operator {primitive.op_type} has no rule to rewrite it")
        if primitive.op_type == "LSTM":
            batch = _batch_of(producers[node.input[1]])
            if batch < 2:
                raise CheckpointError(
                    f"{where} has an LSTM operator with batch {batch if batch == 1 else 'free'}, which MindSpore Lite "
                    "2.0.0 computes wrongly without a word; give the checkpoint, whose network is then unrolled, or a "
                    "file with a fixed batch of 2 or more")
    elif primitive.prim_type != _FUNCTION or primitive.op_type not in _RULES:
        raise CheckpointError(f"{where}: the operator {primitive.op_type} has no rule to rewrite it")


def _batch_of(state: pb.NodeProto) -> int:
    """Batch size of an LSTM, read from the shape (layers, batch, hidden) of its first state; -1 where it is free."""
    for attribute in state.attribute:
        if attribute.name in ("shape", "value") and attribute.tensors:
            return attribute.tensors[0].dims[1]
    return -1


def _to_primitive(primitive: pb.PrimitiveProto, node: pb.NodeProto, producers: dict, where: str) -> None:
    """Turns a primitive function into a primitive and moves the node's trailing constants into its attributes."""
    primitive.prim_type = _PRIMITIVE
    rule = _RULES[primitive.op_type]
    values = []
    for name in node.input[rule.inputs:]:
        source = producers.get(name)
        if source is None or source.op_type != "Constant":
            raise CheckpointError(f"{where}: input {name} of {node.name} ({primitive.op_type}) must be a constant")
        values.append(next(entry for entry in source.attribute if entry.name == "value"))
    if len(values) != len(rule.settings):
        raise CheckpointError(f"{where}: {node.name} ({primitive.op_type}) has {len(values)} settings, but the rule to "
                              f"rewrite it knows {len(rule.settings)}; it comes from another MindSpore version")
    del node.input[rule.inputs:]
    old = {entry.name for entry in primitive.attribute}
    for move, value in zip(rule.settings, values, strict=True):
        primitive.attribute.extend(entry for entry in move(value) if entry.name not in old)
    if primitive.op_type == "Concat":
        count = len(producers[node.input[0]].input)
        primitive.attribute.extend(pb.AttributeProto(name=name, type=_TYPES.INT64, i=count)
                                   for name in ("N", "inputNums"))


def _drop_unused_constants(graph: pb.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    for position in reversed(range(len(graph.node))):
        node = graph.node[position]
        if node.op_type == "Constant" and not used.intersection(node.output):
            del graph.node[position]


def rewrite_file(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """Reads a MINDIR file and writes its older form.

    Raises:
        CheckpointError: it is not a MINDIR file, or see :func:`rewrite`.
    """
    model = pb.ModelProto()
    try:
        model.ParseFromString(Path(source).read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {source} as MINDIR: {error}") from error
    except Exception as error:  # protobuf's DecodeError, whose module depends on its version
        if type(error).__name__ != "DecodeError":
            raise
        raise CheckpointError(f"{source} is not a MINDIR file, or it is damaged") from error
    if not model.graph.node:
        raise CheckpointError(f"{source} holds no graph; it is not a MINDIR file, or its weights lie in other files")
    Path(target).write_bytes(rewrite(model, str(source)).SerializeToString())
