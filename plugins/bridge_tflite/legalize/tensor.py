"""Reshaping, expanding, padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import lengths, product, reshape, vector
from bridge.hub import attr, const, held, input_at, rank_of, shape_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import GATHER_DTYPES, PADDED_RANK, RESHAPE_DTYPES, TFLITE
from bridge_tflite.legalize.common import I32_MAX, RANKED, as_int32, value_per_axis

ops = OpTable()
MOVED_DTYPES = {
    **dict.fromkeys(
        (
            "Slice",
            "Expand",
            "Tile",
            "Reshape",
            "Squeeze",
            "Unsqueeze",
            "Flatten",
            "Identity",
            "Transpose",
            "Where",
        ),
        RESHAPE_DTYPES,
    ),
    **dict.fromkeys(("Gather", "GatherND", "GatherElements", "Concat", "Compress"), GATHER_DTYPES),
    "Pad": GATHER_DTYPES,
    "Split": ("int8", "int16", "uint8"),
    "Shape": (*RESHAPE_DTYPES, "string"),
    "Size": (*RESHAPE_DTYPES, "string"),
    "DepthToSpace": RESHAPE_DTYPES,
    "SpaceToDepth": RESHAPE_DTYPES,
    "ReverseSequence": ("int16", "uint8"),
}


@ops.op("Reshape", needs=(RANKED,))
def reshape_to(op, node, x, shape):
    """Reshape to a run-time shape. A 0 copies the input's dimension unless `allowzero`; a static result makes
    the shape constant."""
    if has_static_result(node):
        dims = [d if isinstance(d, int) else -1 for d in node.outputs[0].shape]
        return NotImplemented if held(shape) is not None else op.Reshape(x, dims, allowzero=int(0 in dims))
    count = shape_of(shape)
    if count is None:
        return NotImplemented
    if not attr(node, "allowzero"):
        shape = _without_zeros(op, x, shape, count[0])
    return op.Reshape(x, as_int32(op, shape), _domain=TFLITE)


def has_static_result(node: ir.Node) -> bool:
    shape = node.outputs[0].shape
    return shape is not None and (
        shape.is_static() or (sum(not isinstance(d, int) for d in shape) == 1 and 0 not in list(shape))
    )


def _without_zeros(op: Any, x: ir.Value, shape: ir.Value, count: int) -> ir.Value:
    array, sizes = const(shape), None
    if array is not None:
        sizes = lengths(op, x) if (array == 0).any() else []
        return vector(op, [sizes[i] if n == 0 else int(n) for i, n in enumerate(array)])
    rank = rank_of(x) or 0
    if not _may_hold_zero(shape):
        return shape
    copied = vector(op, [*lengths(op, x)[:count], *[0] * (count - rank)])
    return op.Where(op.Equal(shape, 0), copied, shape)


def _may_hold_zero(shape: ir.Value) -> bool:
    """False for shapes computed from dimensions, in which 0 stands for itself."""
    node = shape.producer()
    if node is None:
        array = const(shape)
        return array is None or bool((array == 0).any())
    if node.op_type in ("Concat", "Slice", "Mul", "Unsqueeze", "Reshape", "Cast", "Gather"):
        sources = node.inputs if node.op_type in ("Concat", "Mul") else node.inputs[:1]
        return any(_may_hold_zero(v) for v in sources)
    return node.op_type != "Shape"


@ops.op("Flatten", needs=(RANKED,))
def flatten(op, node, x):
    if has_static_result(node):
        return NotImplemented
    axis = attr(node, "axis")
    rank = rank_of(x)
    axis = axis + rank if axis < 0 else axis

    sizes = lengths(op, x)
    return reshape(op, x, [product(op, sizes[:axis]), product(op, sizes[axis:])])


@ops.op("Unsqueeze", needs=(RANKED,))
def unsqueeze(op, node, x, axes):
    constant_axes = const(axes)
    if has_static_result(node) or constant_axes is None:
        return NotImplemented
    rank = rank_of(x) + constant_axes.size
    for axis in sorted(int(a) % rank for a in constant_axes.reshape(-1)):
        dims = [*list(x.shape)[:axis], 1, *list(x.shape)[axis:]]
        x = op.ExpandDims(x, _domain=TFLITE, _dtype=x.dtype, _shape=dims, axis=axis)
    return x


@ops.op("Squeeze", needs=(RANKED,))
def squeeze(op, node, x, axes=None):
    if axes is not None or has_static_result(node):
        return NotImplemented
    ones = [i for i, d in enumerate(x.shape) if d == 1]
    return op.Squeeze(x, ones) if all(isinstance(d, int) for d in x.shape) else NotImplemented


@ops.op("Expand", needs=(dtype(*RESHAPE_DTYPES), RANKED))
def expand(op, node, x, shape):
    result = shape_of(node.outputs[0])
    if result is not None:
        return op.BroadcastTo(x, op.const(np.array(result, np.int32)), _domain=TFLITE)
    if rank_of(x) == 0:
        return op.Fill(x, as_int32(op, shape), _domain=TFLITE)
    count = max(rank_of(x) or 0, (shape_of(shape) or [0])[0])
    sizes = as_int32(op, op.Shape(x)), as_int32(op, shape)
    shape_of_result = op.BroadcastArgs(*sizes, _domain=TFLITE, _dtype=ir.DataType.INT32, _shape=[count])
    return op.BroadcastTo(x, shape_of_result, _domain=TFLITE)


def is_mirror_pad(node: ir.Node) -> bool:
    """True for constant amounts below the lengths, which LiteRT requires."""
    full, shape = _pad_table(node), shape_of(node.inputs[0])
    return (
        full is not None
        and shape is not None
        and bool((full >= 0).all())
        and all(max(c) < d for c, d in zip(full.T, shape, strict=True))
    )


def _pad_table(node: ir.Node) -> np.ndarray | None:
    """Constant amounts [2, rank] before and after every axis, or None."""
    x, amounts = node.inputs[0], const(node.inputs[1])
    axes = input_at(node, 3)
    rank = rank_of(x)
    if rank is None or amounts is None or (axes is not None and held(axes) is None):
        return None
    named = range(rank) if axes is None else [int(a) % rank for a in const(axes)]
    full = np.zeros((2, rank), np.int64)
    full[:, list(named)] = amounts.reshape(2, -1)
    return full


@ops.op(
    "Pad",
    needs=(
        dtype(*RESHAPE_DTYPES),
        condition(
            "mode reflect by less than each length",
            lambda n: attr(n, "mode") == "reflect" and is_mirror_pad(n),
        ),
    ),
)
def mirror_pad(op, node, x, pads, value=None, axes=None):
    return op.MirrorPad(x, op.const(_pad_table(node).T.astype(np.int32)), _domain=TFLITE)


@ops.op(
    "Pad",
    needs=(
        dtype(*GATHER_DTYPES),
        RANKED,
        condition("mode constant", lambda n: attr(n, "mode") == "constant"),
        condition("a known number of pads", lambda n: shape_of(n.inputs[1]) is not None),
    ),
)
def constant_pad(op, node, x, pads, value=None, axes=None):
    full, rank = _pad_table(node), rank_of(x)
    value = None if value is None or (held(value) is not None and not const(value).any()) else value
    if full is not None and (full < 0).any():
        limits = [int(n) if n < 0 else I32_MAX for n in full[1]]
        x = op.Slice(x, np.maximum(-full[0], 0), np.array(limits))
        full = np.maximum(full, 0)
    if full is not None and rank > PADDED_RANK:
        return _pad_by_axis(op, x, full, value)
    if full is not None:
        return op.Pad(x, op.const(full.T.astype(np.int32)), value, _domain=TFLITE)
    count = shape_of(pads)[0] // 2
    amounts = [
        value_per_axis(
            op, axes, rank, count, as_int32(op, op.Slice(pads, [i * count], [(i + 1) * count], [0])), 0
        )
        for i in (0, 1)
    ]
    cut = [op.Max(op.Neg(b), 0) for b in amounts]
    sizes = as_int32(op, op.Shape(x))
    ones = op.const(np.ones(rank, np.int32))
    result = {"_domain": TFLITE, "_dtype": x.dtype, "_shape": [None] * rank}
    x = op.StridedSlice(x, cut[0], op.Sub(sizes, cut[1]), ones, **result)
    columns = [op.Unsqueeze(op.Max(b, 0), [1]) for b in amounts]
    return op.Pad(x, op.Concat(*columns, axis=1), value, _domain=TFLITE)


def _pad_by_axis(op: Any, x: ir.Value, full: np.ndarray, value: ir.Value | None) -> ir.Value:
    """Pad axis by axis, with the other axes flattened before and after it."""
    sizes = lengths(op, x)
    for axis, (before, after) in enumerate(full.T.tolist()):
        if before or after:
            flat = reshape(op, x, [product(op, sizes[:axis]), sizes[axis], product(op, sizes[axis + 1 :])])
            table = op.const(np.array([[0, 0], [before, after], [0, 0]], np.int32))
            more = before + after
            sizes[axis] = sizes[axis] + more if isinstance(sizes[axis], int) else op.Add(sizes[axis], more)
            dims = [d if isinstance(d, int) else None for d in (flat.shape[0], sizes[axis], flat.shape[2])]  # type: ignore[index]
            x = op.Pad(flat, table, value, _domain=TFLITE, _dtype=x.dtype, _shape=dims)
    return reshape(op, x, sizes)


def has_vector_bound(node: ir.Node) -> bool:
    return any(rank_of(v) != 0 for v in node.inputs)


@ops.op("Range", needs=(condition("bounds that are no scalars", has_vector_bound),))
def range_(op, node, *bounds):
    return op.Range(*(reshape(op, v, []) for v in bounds))
