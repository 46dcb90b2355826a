"""Shapes, layout, indexing, sorting and creation of tensors."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, rank_of, shape_of
from bridge.needs import attribute, condition, dtype
from bridge.ops import OpTable
from bridge_savedmodel.export_ops.common import (
    INTEGERS,
    RANKED,
    REAL,
    T,
    axis_of,
    constant_ints,
    on_last_axis,
)
from bridge_savedmodel.tensorflow import FEW_GROUPS, cpu_kernel, has_kernel, max_dimensions

ops = OpTable()


@ops.op("Shape", needs=(condition("the whole shape", lambda n: not n.attributes),))
def shape(tf, node, x):
    return tf.Shape(x, out_type=tf.api.int64)


@ops.op("Size")
def size(tf, node, x):
    return tf.Size(x, out_type=tf.api.int64)


@ops.op(
    "Reshape",
    needs=(
        RANKED,
        condition(
            "a result of known rank, or allowzero",
            lambda n: attr(n, "allowzero") or shape_of(n.inputs[1]) is not None,
        ),
    ),
)
def reshape(tf, node, x, target):
    """Reshape; a length of zero is the input's length, unless allowzero."""
    sizes = constant_ints(target)
    if sizes is not None and (attr(node, "allowzero") or 0 not in sizes):
        return tf.Reshape(x, np.array(sizes, np.int64))
    if attr(node, "allowzero"):
        return tf.Reshape(x, _with_known(tf, target, node.outputs[0]))
    if sizes is not None:
        lengths = tf.lengths(x)
        return tf.Reshape(x, tf.vector([lengths[i] if s == 0 else s for i, s in enumerate(sizes)]))
    rank, count = rank_of(x), shape_of(target)[0]
    lengths = tf.Shape(x, out_type=tf.api.int64)
    lengths = (
        tf.StridedSlice(lengths, [0], [count], [1]) if rank >= count else tf.Pad(lengths, [[0, count - rank]])
    )
    target = tf.SelectV2(tf.Equal(target, np.int64(0)), lengths, target)
    return tf.Reshape(x, _with_known(tf, target, node.outputs[0]))


def _with_known(tf: Any, lengths: T, value: ir.Value) -> T:
    """`lengths` of `value`, those that are known as constants: what infers shapes reads them."""
    pieces, start = [], 0
    for known, run in itertools.groupby(value.shape or (), lambda dim: isinstance(dim, int)):
        dims = list(run)
        stop = start + len(dims)
        pieces.append(np.array(dims, np.int64) if known else tf.StridedSlice(lengths, [start], [stop], [1]))
        start = stop
    return tf.ConcatV2(pieces, axis=0) if len(pieces) > 1 else lengths


@ops.op("Flatten", needs=(RANKED,))
def flatten(tf, node, x):
    axis, rank = attr(node, "axis"), rank_of(x)
    sizes = tf.lengths(x)
    axis = axis + rank if axis < 0 else axis
    return tf.Reshape(x, tf.vector([_product(tf, sizes[:axis]), _product(tf, sizes[axis:])]))


def _product(tf: Any, lengths: list[Any]) -> Any:
    if all(isinstance(p, int) for p in lengths):
        return int(np.prod(lengths, dtype=np.int64))
    return tf.Prod(tf.vector(lengths), 0)


@ops.op("Unsqueeze", needs=(RANKED,))
def unsqueeze(tf, node, x, axes):
    constant_axes, rank = constant_ints(axes), rank_of(x)
    if constant_axes is None:
        return (
            tf.ExpandDims(x, tf.Reshape(axes, np.zeros(0, np.int32)))
            if shape_of(axes) == [1]
            else _insert_axes(tf, x, axes)
        )
    new_rank = rank + len(constant_axes)
    sizes, new_axes = iter(tf.lengths(x)), {a % new_rank for a in constant_axes}
    if len(new_axes) == 1:
        return tf.ExpandDims(x, new_axes.pop())
    return tf.Reshape(x, tf.vector([1 if i in new_axes else next(sizes) for i in range(new_rank)]))


def _insert_axes(tf: Any, x: ir.Value, axes: ir.Value) -> Any:
    """Axes of length 1 at positions known only at run time."""
    rank = rank_of(x) + shape_of(axes)[0]  # type: ignore[operator,index]
    flags = _axis_flags(tf, axes, rank)
    index = tf.Maximum(tf.Sub(tf.Cumsum(tf.Sub(1, flags), 0), 1), 0)
    lengths = tf.Shape(x) if rank_of(x) else np.ones(1, np.int32)
    return tf.Reshape(x, tf.SelectV2(tf.Equal(flags, 1), 1, tf.GatherV2(lengths, index, 0)))


def _axis_flags(tf: Any, axes: ir.Value, rank: int) -> Any:
    """int32 [rank] with ones at the given axes."""
    positions = tf.FloorMod(axes, np.int64(rank))
    return tf.TensorScatterUpdate(
        np.zeros(rank, np.int32), tf.Reshape(positions, [-1, 1]), tf.Fill(tf.Shape(axes), 1)
    )


@ops.op("Squeeze", needs=(RANKED,))
def squeeze(tf, node, x, axes=None):
    constant_axes, rank = constant_ints(axes), rank_of(x)
    if axes is None:
        return tf.Squeeze(x)
    if constant_axes is not None:
        return tf.Squeeze(x, axis=[a % rank for a in constant_axes]) if constant_axes else tf.Identity(x)
    remaining = tf.Reshape(tf.Where(tf.Equal(_axis_flags(tf, axes, rank), 0)), [-1])
    squeezed = tf.Reshape(x, tf.GatherV2(tf.Shape(x), remaining, 0))
    if shape_of(axes) is not None:
        squeezed.set_shape([None] * (rank - shape_of(axes)[0]))
    return squeezed


@ops.op("Transpose", needs=(cpu_kernel("Transpose", T=0),))
def transpose(tf, node, x):
    perm = attr(node, "perm")
    return tf.Transpose(x, list(range(rank_of(x)))[::-1] if perm is None else perm)


@ops.op("Expand", needs=(cpu_kernel("BroadcastTo", T=0), FEW_GROUPS))
def expand(tf, node, x, target):
    static = shape_of(node.outputs[0])
    if static is not None:
        return tf.BroadcastTo(x, np.array(static, np.int64))
    return tf.BroadcastTo(x, tf.BroadcastArgs(tf.Shape(x, out_type=tf.api.int64), target))


ops.same(needs=(cpu_kernel("Tile", T=0),), Tile="Tile")
ops.same(needs=(cpu_kernel("SelectV2", T=1), max_dimensions(8)), Where="SelectV2")


@ops.op("ReverseSequence", needs=(cpu_kernel("ReverseSequence", T=0), RANKED))
def reverse_sequence(tf, node, x, lengths):
    """TensorFlow reverses tensors of up to five dimensions: of more, what follows time and batch is one."""
    options = {"seq_dim": attr(node, "time_axis"), "batch_dim": attr(node, "batch_axis")}
    if rank_of(x) <= 5:
        return tf.ReverseSequence(x, lengths, **options)
    shape = tf.Shape(x, out_type=tf.api.int64)
    flat = tf.Reshape(x, tf.ConcatV2([shape[:4], tf.Prod(shape[4:], [0], keep_dims=True)], 0))
    return tf.Reshape(tf.ReverseSequence(flat, lengths, **options), shape)


@ops.op("Concat", needs=(cpu_kernel("ConcatV2", T=0), RANKED))
def concat(tf, node, *inputs):
    return tf.ConcatV2(list(inputs), axis_of(node)) if len(inputs) > 1 else tf.Identity(inputs[0])


@ops.op("Split", needs=(cpu_kernel("SplitV", T=0), RANKED))
def split(tf, node, x, sizes=None):
    axis, count = axis_of(node), len(node.outputs)
    if sizes is None:
        length = tf.lengths(x)[axis]
        if isinstance(length, int):
            part_length = -(-length // count)
            sizes = np.array([*[part_length] * (count - 1), length - part_length * (count - 1)], np.int64)
        else:
            part_length = tf.FloorDiv(tf.AddV2(length, np.int64(count - 1)), np.int64(count))
            sizes = tf.Pack(
                [*[part_length] * (count - 1), tf.Sub(length, tf.Mul(part_length, np.int64(count - 1)))]
            )
    if count == 1:
        return tf.Identity(x)
    return tf.SplitV(x, sizes, np.int32(axis), num_split=count)


@ops.op("ConstantOfShape")
def constant_of_shape(tf, node, target):
    value = attr(node, "value")
    number = np.zeros((), np.float32) if value is None else value.numpy().reshape(())
    return tf.Fill(target, tf.constant(number, T.FLOAT if value is None else value.dtype))


@ops.op("Range", needs=(cpu_kernel("Range", Tidx=0),))
def range_(tf, node, start, limit, delta):
    return tf.Range(*(tf.Reshape(v, np.zeros(0, np.int32)) for v in (start, limit, delta)))


WIDE_INDEX = dtype("int32", "int64", index=1)


def wrap_indices(tf: Any, indices: ir.Value, length: Any) -> Any:
    """Negative indices counted from the end, as non-negative ones."""
    array = const(indices)
    if array is not None and isinstance(length, int):
        return np.where(array < 0, array + length, array).astype(array.dtype)
    if array is not None and (array >= 0).all():
        return indices
    size = tf.api.cast(length, tf.dtype(indices.dtype))
    return tf.SelectV2(tf.Less(indices, tf.api.zeros([], size.dtype)), tf.AddV2(indices, size), indices)


@ops.op("Gather", needs=(RANKED, WIDE_INDEX, cpu_kernel("GatherV2", Tparams=0, Tindices=1)))
def gather(tf, node, x, indices):
    axis = axis_of(node)
    return tf.GatherV2(x, wrap_indices(tf, indices, tf.lengths(x)[axis]), axis)


def _leading_lengths(tf: Any, x: ir.Value, depth: Any) -> Any:
    sizes = tf.lengths(x)[:depth]
    return np.array(sizes, np.int64) if all(isinstance(s, int) for s in sizes) else tf.vector(sizes)


def _has_known_depth(node: ir.Node) -> bool:
    shape = node.inputs[1].shape
    return shape is not None and len(shape) > 0 and isinstance(shape[-1], int) and shape[-1] <= 7


DEPTH = condition("indices of known depth, 7 at most", _has_known_depth)


def _wrap_nd_indices(tf: Any, x: ir.Value, indices: ir.Value) -> Any:
    """Negative coordinates counted from the end, as non-negative ones."""
    sizes = _leading_lengths(tf, x, list(indices.shape or [])[-1])
    return tf.SelectV2(tf.Less(indices, np.int64(0)), tf.AddV2(indices, sizes), indices)


@ops.op(
    "GatherND",
    needs=(RANKED, DEPTH, attribute("batch_dims", 0), cpu_kernel("GatherNd", Tparams=0, Tindices=1)),
)
def gather_nd(tf, node, x, indices):
    return tf.GatherNd(x, _wrap_nd_indices(tf, x, indices))


SCATTER = {"none": "Update", "add": "Add", "max": "Max", "min": "Min"}


def _has_kernel(node: ir.Node) -> bool:
    native = SCATTER.get(attr(node, "reduction"))
    return native is not None and has_kernel(f"TensorScatter{native}", {"T": node.inputs[0].dtype})


@ops.op("ScatterND", needs=(RANKED, DEPTH, condition("a reduction and dtype TensorFlow has", _has_kernel)))
def scatter_nd(tf, node, x, indices, updates):
    native = "TensorScatter" + SCATTER[attr(node, "reduction")]
    return tf.call(native, x, _wrap_nd_indices(tf, x, indices), updates)


@ops.op(
    "ScatterND",
    needs=(
        RANKED,
        DEPTH,
        attribute("reduction", "mul", default="none"),
        cpu_kernel("UnsortedSegmentProd", T=0),
    ),
)
def scatter_products(tf, node, x, indices, updates):
    """Multiply the updates of each row, by segments of the flattened leading dimensions."""
    depth = indices.shape[-1]
    sizes = _leading_lengths(tf, x, rank_of(x))
    leading = tf.StridedSlice(sizes, [0], [depth], [1])
    steps = tf.Cumprod(leading, 0, exclusive=True, reverse=True)
    segments = tf.Reshape(tf.Sum(tf.Mul(_wrap_nd_indices(tf, x, indices), steps), -1), [-1])
    inner_shape = tf.StridedSlice(sizes, [depth], [rank_of(x)], [1])
    rows = (
        tf.Reshape(updates, tf.ConcatV2([np.array([-1], np.int64), inner_shape], 0))
        if rank_of(x) > depth
        else tf.Reshape(updates, [-1])
    )
    products = tf.UnsortedSegmentProd(rows, segments, tf.Prod(leading, 0))
    return tf.Mul(x, tf.Reshape(products, sizes))


def _has_known_axes(node: ir.Node) -> bool:
    starts = shape_of(node.inputs[1])
    return starts is not None and rank_of(node.inputs[0]) is not None


@ops.op(
    "Slice",
    needs=(
        condition("a known number of axes", _has_known_axes),
        cpu_kernel("StridedSlice", T=0),
        max_dimensions(8),
    ),
)
def slice_(tf, node, x, starts, ends, axes=None, steps=None):
    rank, count = rank_of(x), shape_of(starts)[0]
    if count == 0 or rank == 0:
        return tf.Identity(x)
    constants = [constant_ints(v) for v in (starts, ends, steps)]
    positions = list(range(count)) if axes is None else constant_ints(axes)
    full = np.zeros(rank, np.int64), np.full(rank, np.iinfo(np.int64).max), np.ones(rank, np.int64)
    if positions is not None:
        positions = [a % rank for a in positions]
        masks = {
            name: sum(1 << i for i in range(rank) if i not in positions)
            for name in ("begin_mask", "end_mask")
        }
        if None not in constants[:2] and (steps is None or constants[2] is not None):
            for row, values in zip(full, constants, strict=True):
                if values is not None:
                    row[positions] = values
            return tf.StridedSlice(x, *full, **masks)
    else:
        masks = {}
        positions = tf.FloorMod(tf.Cast(axes, DstT=tf.api.int64), np.int64(rank))
    row_indices = (
        np.array(positions)[:, None] if isinstance(positions, list) else tf.Reshape(positions, [-1, 1])
    )
    dynamic = [None if v is None else tf.Cast(v, DstT=tf.api.int64) for v in (starts, ends, steps)]
    rows = [
        r if v is None else tf.TensorScatterUpdate(r, row_indices, v)
        for r, v in zip(full, dynamic, strict=True)
    ]
    return tf.StridedSlice(x, *rows, **masks)


def _has_known_pads(node: ir.Node) -> bool:
    return shape_of(node.inputs[1]) is not None and rank_of(node.inputs[0]) is not None


@ops.op(
    "Pad",
    needs=(
        attribute("mode", "constant"),
        condition("a known number of axes", _has_known_pads),
        cpu_kernel("PadV2", T=0),
        max_dimensions(6),
    ),
)
def pad(tf, node, x, pads, value=None, axes=None):
    """PadV2; negative amounts crop."""
    rank, count = rank_of(x), shape_of(pads)[0] // 2
    amounts, constant_axes = constant_ints(pads), list(range(rank)) if axes is None else constant_ints(axes)
    fill = tf.api.zeros([], tf.dtype(x.dtype)) if value is None else tf.Reshape(value, np.zeros(0, np.int32))
    if rank == 0:
        return tf.Identity(x)
    if x.dtype == T.STRING and value is None:
        fill = ""
    if amounts is not None and constant_axes is not None:
        table = np.zeros((rank, 2), np.int32)
        table[[a % rank for a in constant_axes]] = np.array(amounts).reshape(2, count).T
        padded = tf.PadV2(x, np.maximum(table, 0), fill) if (table > 0).any() else tf.Identity(x)
        return padded if (table >= 0).all() else _crop(tf, padded, np.maximum(-table, 0).astype(np.int64))
    rows = tf.Transpose(tf.Reshape(pads, [2, count]), [1, 0])
    if axes is not None:
        row_indices = tf.FloorMod(tf.Cast(axes, DstT=tf.api.int64), np.int64(rank))
        rows = tf.TensorScatterUpdate(np.zeros((rank, 2), np.int64), tf.Reshape(row_indices, [-1, 1]), rows)
    padded = tf.PadV2(x, tf.Cast(tf.Maximum(rows, np.int64(0)), DstT=tf.api.int32), fill)
    return _crop(tf, padded, tf.Maximum(tf.Neg(rows), np.int64(0)))


def _crop(tf: Any, x: Any, rows: Any) -> Any:
    """`x` without the given numbers of elements before and after each axis."""
    before, after = tf.Unpack(rows, num=2, axis=1)
    return tf.Slice(x, before, tf.Sub(tf.Sub(tf.Shape(x, out_type=tf.api.int64), before), after))


def _reverse_order(tf: Any, x: Any, dtype: ir.DataType) -> Any:
    """A decreasing map of numbers, which sorts them in the opposite order."""
    return tf.Neg(x) if dtype.is_floating_point() else tf.Invert(x)


@ops.op("TopK", needs=(RANKED, cpu_kernel("TopKV2", T=0), dtype(*REAL, *INTEGERS)))
def top_k(tf, node, x, k):
    largest, count = (
        attr(node, "largest"),
        tf.Cast(tf.Reshape(k, np.zeros(0, np.int32)), DstT=tf.api.int32),
    )

    def compute(v: Any) -> Any:
        source = v if largest else _reverse_order(tf, v, x.dtype)
        values, at = tf.TopKV2(source, count, sorted=True, index_type=tf.api.int64)
        return [values if largest else _reverse_order(tf, values, x.dtype), at]

    return on_last_axis(tf, x, axis_of(node), compute)


@ops.op(
    "NonZero",
    needs=(
        cpu_kernel("Where", T=0),
        RANKED,
        max_dimensions(8),
        condition("a rank of 1 or more", lambda n: bool(rank_of(n.inputs[0]))),
    ),
)
def non_zero(tf, node, x):
    return tf.Transpose(tf.Where(x), [1, 0])


@ops.op("Unique", needs=(cpu_kernel("UniqueWithCountsV2", T=0), RANKED, dtype(*REAL, *INTEGERS)))
def unique(tf, node, x):
    """Unique elements in the order of first appearance, or in lexicographic order if sorted."""
    axis, rank = attr(node, "axis"), rank_of(x)
    source, dim = (tf.Reshape(x, [-1]), 0) if axis is None else (tf.tensor(x), axis % rank)
    api = tf.api
    values, inverse, counts = tf.UniqueWithCountsV2(source, np.array([dim], np.int64), out_idx=api.int64)
    segments = tf.Size(counts, out_type=api.int64)
    positions = api.range(api.size(inverse, api.int64))
    first_index = tf.UnsortedSegmentMin(positions, inverse, segments)
    if attr(node, "sorted"):
        order = tf.Cast(_sorted_order(tf, values, dim, x.dtype), DstT=api.int64)
        values = tf.GatherV2(values, order, dim)
        first_index, counts = (tf.GatherV2(v, order, 0) for v in (first_index, counts))
        inverse = tf.GatherV2(tf.InvertPermutation(order), inverse, 0)
    return values, first_index, inverse, counts


def _sorted_order(tf: Any, values: Any, axis: int, dtype: ir.DataType) -> Any:
    """Order of the slices along `axis`, lexicographic: a stable sort by each column, the last one first."""
    api = tf.api
    rank = values.shape.rank
    rows = api.transpose(values, [axis, *(i for i in range(rank) if i != axis)])
    count = api.shape(rows)[0]
    columns = api.reshape(rows, api.stack([count, -1 if rank == 1 else api.reduce_prod(api.shape(rows)[1:])]))
    width = api.shape(columns)[1]

    def sort_by_column(i: Any, order: Any) -> Any:
        column = api.gather(api.gather(columns, width - 1 - i, axis=1), order)
        _, at = tf.TopKV2(_reverse_order(tf, column, dtype), count, sorted=True)
        return i + 1, api.gather(order, at)

    start = (api.constant(0), api.range(count))
    shapes = (api.TensorShape([]), api.TensorShape([None]))
    return api.while_loop(lambda i, order: i < width, sort_by_column, start, shape_invariants=shapes)[1]
