"""Shapes, axes, layout and padding, as handlers of several families need them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.geometry import pads_of, same_at_run_time, spatial_lengths
from bridge.hub import attr, const, rank_of
from bridge.needs import condition

RANKED = condition("a known rank", lambda n: all(v is None or v.shape is not None for v in n.inputs))
T = ir.DataType
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
REAL = ("float", "double", "float16", "bfloat16")


def axis_of(node: ir.Node) -> int:
    """The attribute `axis`, counted from the first dimension of input 0."""
    return attr(node, "axis") % (rank_of(node.inputs[0]) or 1)


def constant_ints(value: ir.Value | None) -> Any:
    """A constant as a list of ints; None for a missing value or one known only at run time."""
    array = None if value is None else const(value)
    return None if array is None else [int(v) for v in array.reshape(-1)]


def on_last_axis(tf: Any, x: ir.Value, axis: int, compute: Any) -> Any:
    """Apply `compute` with `axis` moved to the last position, and move the axis of its result (or of each
    result) back."""
    rank = rank_of(x) or 0
    if axis == rank - 1:
        return compute(x)
    perm = [*range(axis), *range(axis + 1, rank), axis]
    inverse = [perm.index(i) for i in range(rank)]
    result = compute(tf.Transpose(x, perm))
    if isinstance(result, (tuple, list)):
        return [tf.Transpose(v, inverse) for v in result]
    return tf.Transpose(result, inverse)


def spatial_attribute(node: ir.Node, name: str) -> list[int]:
    """Strides or dilations, one for each spatial dimension; ones where the node has none."""
    return attr(node, name) or [1] * ((rank_of(node.inputs[0]) or 2) - 2)


def with_batch_and_channels(values: list[int]) -> list[int]:
    """Strides or dilations over batch, spatial dimensions and channels; a single one counts for height and
    width."""
    return [1, *(values * 2 if len(values) == 1 else values), 1]


def with_height(tf: Any, x: Any, rank: int) -> Any:
    """A height of 1 for images of one spatial dimension."""
    return tf.ExpandDims(x, 1) if rank == 3 else x


def without_height(tf: Any, x: Any, rank: int) -> Any:
    return tf.Squeeze(x, axis=[1]) if rank == 3 else x


def pad_spatial(tf: Any, x: Any, pads: list[tuple[int, int]], number: Any = None) -> Any:
    """Pad the spatial dimensions. TensorFlow fuses a Pad, but no PadV2, with the convolution behind it: of
    that it infers the shape as if nothing were padded, and computes what follows by that shape."""
    if not any(map(any, pads)):
        return x
    paddings = np.maximum(np.array([(0, 0), *pads, (0, 0)], np.int32), 0)
    return tf.PadV2(x, paddings, tf.api.zeros([], tf.tensor(x).dtype) if number is None else number)


def padding_mode(node: ir.Node) -> tuple[str, list[tuple[int, int]]]:
    """TensorFlow's attribute `padding`, and the pads (before, after) of each spatial dimension to add
    first."""
    if same_at_run_time(node, spatial_lengths(node)):
        return "SAME", []
    return "VALID", pads_of(node, ceil=True) or []
