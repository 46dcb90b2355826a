"""Parts that importers of several formats share: needs on native nodes, constants of the hub, layout.

A native node answers `get(name, default)` for its attributes and `constant(key)` for whether an input is
stored in the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import Builder, attr, const, rank_of, shape_of
from bridge.ops import Need
from bridge.passes.channels_last import to_first, to_last

__all__ = [
    "as_dtype",
    "as_int64",
    "attribute",
    "constant",
    "constant_ints",
    "int64_vector",
    "ints",
    "like",
    "permuted",
    "select_boxes",
    "shape_tensor",
    "to_channels_first",
    "to_channels_last",
]


def constant(key: int | str, name: str | None = None) -> Need:
    """The input of index or name `key`, which the sentence calls `name`, is absent or stored in the file."""
    return Need(f"a constant {name or key}", lambda n: n.constant(key))


def attribute(name: str, *allowed: Any, default: Any = None) -> Need:
    """Attribute `name` is one of `allowed`; absent, it is `default` or the first of them."""
    fallback = allowed[0] if default is None else default
    return Need(f"{name}={' or '.join(map(str, allowed))}", lambda n: n.get(name, fallback) in allowed)


def ints(*values: int) -> np.ndarray:
    """An int64 vector."""
    return np.array(values, np.int64)


def constant_ints(value: ir.Value | None) -> list[int] | None:
    """The elements of a constant; None for what is absent or known at run time alone."""
    array = const(value)
    return None if array is None else [int(v) for v in array.ravel()]


def as_dtype(op: Builder, value: Any, dtype: ir.DataType) -> Any:
    """`value` in `dtype`; a constant becomes another one."""
    array = const(value)
    if array is not None:
        return op.const(array.astype(dtype.numpy()))
    return value if value.dtype == dtype else op.Cast(value, to=int(dtype))


def as_int64(op: Builder, value: Any) -> Any:
    """A shape, axis or index tensor in int64."""
    return as_dtype(op, value, ir.DataType.INT64)


def int64_vector(op: Builder, value: Any) -> Any:
    """An int64 vector of a scalar or vector."""
    array = const(value)
    if array is not None:
        return op.const(array.astype(np.int64).reshape(-1))
    wide = as_int64(op, value)
    return wide if rank_of(wide) == 1 else op.Reshape(wide, ints(-1))


def like(op: Builder, x: Any, number: Any = 0) -> ir.Value:
    """A constant, of an array or a scalar, of the dtype of `x`."""
    return op.const(np.asarray(number).astype(x.dtype.numpy()))


def shape_tensor(op: Builder, x: Any, dtype: ir.DataType = ir.DataType.INT64) -> Any:
    """The shape of `x`, a constant where it is static."""
    sizes = shape_of(x)
    if sizes is not None:
        return op.const(np.array(sizes, dtype.numpy()))
    shape = op.Shape(x)
    return shape if dtype == ir.DataType.INT64 else op.Cast(shape, to=int(dtype))


def to_channels_first(op: Builder, x: Any) -> Any:
    """N, spatial, C → N, C, spatial."""
    return op.Transpose(x, perm=to_first(rank_of(x) or 0))


def to_channels_last(op: Builder, x: Any) -> Any:
    """N, C, spatial → N, spatial, C."""
    return op.Transpose(x, perm=to_last(rank_of(x) or 0))


def permuted(op: Builder, x: Any, perm: Sequence[int]) -> Any:
    """`x` with its axes in another order; constants are reordered now, quantized ones before they are
    dequantized."""
    perm = list(perm)
    if perm == sorted(perm):
        return x
    array = const(x)
    if array is not None:
        return op.const(np.ascontiguousarray(array.transpose(perm)))
    node = x.producer()
    if node is not None and node.op_type == "DequantizeLinear" and rank_of(node.inputs[1]) in (0, 1):
        integers = const(node.inputs[0])
        if integers is not None:
            axis = perm.index(attr(node, "axis") % len(perm)) if rank_of(node.inputs[1]) else None
            reordered = op.const(np.ascontiguousarray(integers.transpose(perm)))
            return op.DequantizeLinear(reordered, *node.inputs[1:], axis=axis)
    return op.Transpose(x, perm=perm)


def select_boxes(
    op: Builder, boxes: Any, scores: Any, max_output_size: Any, iou_threshold: Any, score_threshold: Any
) -> Any:
    """Indices, int64 and best first, of the selected boxes [N, 4] of one class with scores [N]."""
    selected = op.NonMaxSuppression(
        op.Unsqueeze(boxes, ints(0)),
        op.Unsqueeze(scores, ints(0, 1)),
        max_output_size,
        iou_threshold,
        score_threshold,
    )
    return op.Squeeze(op.Slice(selected, ints(2), ints(3), ints(1)), ints(1))
