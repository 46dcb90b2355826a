"""Slices and ranges that go backwards, which runtimes clamp and count differently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import const, shape_of
from bridge.passes.rewrite import replace

FAR = 2**31 - 1


class ReachableStarts(ir.passes.InPlacePass):
    """1. The start of a Slice that may lie before the first element while a step is negative is clamped to
    the first element.

    ONNX Runtime and the specification of Slice say so; NumPy, the reference evaluator, TensorFlow and LiteRT
    slice as Python does.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        nodes = [node for node in hub.all_nodes(model) if _reaches_out(node)]
        for node in nodes:
            _clamp(node)
        return ir.passes.PassResult(model, bool(nodes))


def _reaches_out(node: ir.Node) -> bool:
    if node.domain or node.op_type != "Slice" or len(node.inputs) < 5 or node.inputs[4] is None:
        return False
    starts, steps, lengths = const(node.inputs[1]), const(node.inputs[4]), _lengths(node)
    if shape_of(node.inputs[1]) is None or (steps is not None and (steps > 0).all()):
        return False
    if starts is None or steps is None:
        return not _clamped(node)
    lengths = [1] * len(starts) if lengths is None else lengths
    return any(
        step < 0 and start < -length for start, step, length in zip(starts, steps, lengths, strict=True)
    )


def _clamped(node: ir.Node) -> bool:
    producer = node.inputs[1].producer()  # type: ignore[union-attr]
    if producer is not None and producer.op_type == "Cast":
        producer = producer.inputs[0].producer()  # type: ignore[union-attr]
    return producer is not None and producer.op_type == "Where"


def _lengths(node: ir.Node) -> list[int] | None:
    """The axes' lengths, where all are known."""
    shape, axes = node.inputs[0].shape, node.inputs[3]  # type: ignore[union-attr]
    named = const(axes) if axes is not None else np.arange(*(shape_of(node.inputs[1]) or ()))
    if shape is None or named is None:
        return None
    dims = [shape[int(a)] for a in named]
    return dims if all(isinstance(d, int) for d in dims) else None  # type: ignore[return-value]


def _clamp(node: ir.Node) -> None:
    x, starts, _, axes, steps = node.inputs[:5]
    op = hub.Builder(node.graph, before=node, source=hub.origin(node))  # type: ignore[arg-type]
    named = np.arange(shape_of(starts)[0]) if axes is None else axes  # type: ignore[index]
    sizes = op.Gather(op.Shape(x), named, axis=0)
    wide = op.Cast(starts, to=int(ir.DataType.INT64))
    backwards = op.And(op.Less(op.Cast(steps, to=int(ir.DataType.INT64)), 0), op.Less(wide, 0))
    reached = op.Where(backwards, op.Max(op.Add(wide, sizes), 0), wide)
    node.replace_input_with(1, op.Cast(reached, to=int(starts.dtype)))  # type: ignore[union-attr, arg-type]


class RisingRanges(ir.passes.InPlacePass):
    """1. A Range that may fall and that a Gather reads is the negative of one that rises.

    ONNX Runtime 1.31 turns Gather by Range into Slice, which counts an end of -1 from the end.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        nodes = [node for node in hub.all_nodes(model) if _may_fall(node)]
        for node in nodes:
            op = hub.Builder(node.graph, before=node, source=hub.origin(node))  # type: ignore[arg-type]
            replace(node.graph, node, op.Neg(op.Range(*(op.Neg(v) for v in node.inputs))), op)  # type: ignore[arg-type]
        return ir.passes.PassResult(model, bool(nodes))


def _may_fall(node: ir.Node) -> bool:
    if node.domain or node.op_type != "Range":
        return False
    step = const(node.inputs[2])
    read = any(use.node.op_type == "Gather" and use.idx == 1 for use in node.outputs[0].uses())
    return read and (step is None or bool((step < 0).all()))


def python_slice(
    op: Any, x: ir.Value, starts: Any, ends: Any, axes: Sequence[int], steps: Sequence[int]
) -> ir.Value:
    """`x` sliced as Python slices: what goes backwards is cut forwards first, then taken from its last
    element on.

    ONNX Runtime takes an end of 2³¹ - 1 for the far end in either direction; Python takes nothing backwards
    from there. Starts and ends are int64 arrays or values, an entry for each of `axes`.
    """
    starts, ends = (v if isinstance(v, ir.Value) else op.const(np.asarray(v)) for v in (starts, ends))
    first, last, cut = const(starts), const(ends), np.array(steps, np.int64) < 0
    if first is not None and last is not None:
        cut &= (first < -1) | (last >= FAR)
    along = op.const(np.array(axes, np.int64))
    if cut.any():
        none, far = (op.const(np.array(n, np.int64)) for n in (0, FAR))
        low, high = op.Where(cut, _past(op, ends), none), op.Where(cut, _past(op, starts), far)
        x = op.Slice(x, low, high, along)
        starts, ends = op.Where(cut, far, starts), op.Where(cut, op.Neg(far), ends)
    return op.Slice(x, starts, ends, along, op.const(np.array(steps, np.int64)))


def _past(op: Any, positions: ir.Value) -> ir.Value:
    """One further; from the last element, which is -1, to the end."""
    far, last, one = (op.const(np.array(n, np.int64)) for n in (FAR, -1, 1))
    return op.Where(op.Equal(positions, last), far, op.Add(op.Min(positions, far), one))
