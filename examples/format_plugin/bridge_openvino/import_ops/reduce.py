"""Along axes."""

from __future__ import annotations

from bridge.ops import OpTable
from bridge_openvino.import_ops.common import constant, element, flag, integer, is_

ops = OpTable()

REDUCED = {
    name: name
    for name in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2")
} | {"ReduceLogicalOr": "ReduceMax", "ReduceLogicalAnd": "ReduceMin"}


@ops.op(*REDUCED)
def reduce(op, layer, x, axes):
    """No axes reduce nothing."""
    axes = op.Reshape(axes, [-1])
    return op.node(
        REDUCED[layer.type], x, axes, keepdims=int(flag(layer, "keep_dims")), noop_with_empty_axes=1
    )


@ops.op("TopK", needs=(constant(1, "k"), is_("sort", "value", "none", "score")))
def top_k(op, layer, x, k):
    largest = int(layer.data["mode"] == "max")
    values, indices = op.TopK(
        x, op.Cast(op.Reshape(k, [1]), to=7), axis=integer(layer, "axis"), largest=largest, _outputs=2
    )
    return values, op.Cast(indices, to=element(layer, "index_element_type", "i32"))
