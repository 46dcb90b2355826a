"""What handlers of every family share."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge.hub import attr, const, rank_of
from bridge.needs import condition

RANKED = condition("a known rank", lambda n: all(v is None or v.shape is not None for v in n.inputs))
T = ir.DataType
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
REAL = ("float", "double", "float16", "bfloat16")


def axis_of(node: ir.Node) -> int:
    """The attribute `axis`, counted from the first dimension of input 0."""
    return attr(node, "axis") % (rank_of(node.inputs[0]) or 1)


def known(value: ir.Value | None) -> Any:
    """A constant as a list of ints; None for what is absent or known at run time alone."""
    array = None if value is None else const(value)
    return None if array is None else [int(v) for v in array.reshape(-1)]


def on_last_axis(tf: Any, x: ir.Value, axis: int, compute: Any) -> Any:
    """Apply `compute` with `axis` transposed to be the last, and transpose its result, or each of several,
    back."""
    rank = rank_of(x) or 0
    if axis == rank - 1:
        return compute(x)
    order = [*range(axis), *range(axis + 1, rank), axis]
    inverse = [order.index(i) for i in range(rank)]
    made = compute(tf.Transpose(x, order))
    if isinstance(made, (tuple, list)):
        return [tf.Transpose(v, inverse) for v in made]
    return tf.Transpose(made, inverse)
