"""Along axes."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, rank_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge_openvino.export_ops.common import AXES, FLOAT, INTEGER, NUMBER, RANKED, axis_of

ops = OpTable()


def _axes_matter(node: ir.Node) -> bool:
    """Empty axes, which may mean all or none, are for a decomposition."""
    given = node.inputs[1] if len(node.inputs) > 1 else None
    if given is None:
        return not attr(node, "noop_with_empty_axes") and rank_of(node.inputs[0]) != 0
    return given.shape is not None and given.shape[0] != 0 and isinstance(given.shape[0], int)


def _of_something(node: ir.Node) -> bool:
    shape = node.inputs[0].shape
    return shape is not None and 0 not in list(shape)


NEEDS = (
    RANKED,
    AXES,
    condition("axes to reduce", _axes_matter),
    condition("elements to reduce", _of_something),
)
NAMES = ("ReduceSum", "ReduceMean", "ReduceProd", "ReduceL1", "ReduceL2")


@ops.op(*NAMES, needs=(FLOAT, *NEEDS))
def reduce(ov, node, x, axes=None):
    axes = list(range(rank_of(x))) if axes is None else axes
    return ov.add(node.op_type, x, axes, keep_dims=bool(attr(node, "keepdims")))


@ops.op("ReduceMax", "ReduceMin", needs=(FLOAT, *NEEDS))
def extreme(ov, node, x, axes=None):
    """OpenVINO's CPU begins with the largest finite number, so infinities alone are looked for."""
    axes = list(range(rank_of(x))) if axes is None else axes
    kept = bool(attr(node, "keepdims"))
    made = ov.add(node.op_type, x, axes, keep_dims=kept)
    limit = ov.like(-np.inf if node.op_type == "ReduceMax" else np.inf, x)
    return ov.Select(
        ov.ReduceLogicalAnd(ov.Equal(x, limit), axes, keep_dims=kept), limit, made, _dtype=made.dtype
    )


@ops.op("ReduceSum", "ReduceMax", "ReduceMin", needs=(INTEGER, *NEEDS))
def reduce_whole(ov, node, x, axes=None):
    """Axis by axis, exactly: OpenVINO's CPU reduces integers as float32, but adds up and sorts them as they
    are."""
    rank = rank_of(x)
    named = sorted({int(a) % rank for a in (range(rank) if axes is None else const(axes))})
    for axis in named:
        if node.op_type == "ReduceSum":
            sums = ov.CumSum(x, ov.const(np.array(axis)), exclusive=False, reverse=False)
            x = ov.Gather(sums, [-1], ov.const(np.array(axis)), batch_dims=0)
        else:
            x, _ = _top(ov, x, ov.const(np.array(1)), axis, node.op_type.removeprefix("Reduce").lower())
    return x if attr(node, "keepdims") else ov.Squeeze(x, named)


@ops.op("ReduceMax", "ReduceMin", needs=(dtype("bool"), *NEEDS))
def any_or_all(ov, node, x, axes=None):
    axes = list(range(rank_of(x))) if axes is None else axes
    kind = "ReduceLogicalOr" if node.op_type == "ReduceMax" else "ReduceLogicalAnd"
    return ov.add(kind, x, axes, keep_dims=bool(attr(node, "keepdims")))


FIRST = condition("the first of equals", lambda n: not attr(n, "select_last_index"))


@ops.op(
    "ArgMax",
    "ArgMin",
    needs=(NUMBER, RANKED, FIRST, condition("dimensions", lambda n: bool(rank_of(n.inputs[0])))),
)
def arg_extreme(ov, node, x):
    mode = "max" if node.op_type == "ArgMax" else "min"
    _, found = _top(ov, x, ov.const(np.array(1)), axis_of(node), mode)
    if attr(node, "keepdims"):
        return found
    return ov.Squeeze(found, [axis_of(node)])


@ops.op("TopK", needs=(NUMBER, RANKED))
def top_k(ov, node, x, k):
    mode = "max" if attr(node, "largest") else "min"
    return _top(ov, x, ov.scalar(k), axis_of(node), mode)


def _top(ov, x, count, axis, mode):
    values, indices = ov.TopK(
        x, count, axis=axis, mode=mode, sort="value", index_element_type="i64", stable=True, _outputs=2
    )
    indices.dtype = ir.DataType.INT64
    return values, indices
