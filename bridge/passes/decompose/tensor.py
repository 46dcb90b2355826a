"""Moving, choosing and making elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import arange, lengths, product, reshape, scalar, sizes_of, vector
from bridge.hub import attr, const, held, input_at, rank_of, shape_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose.common import along, wrap_indices, zero
from bridge.passes.decompose.control import at_axis

ops = OpTable()

INT32 = int(ir.DataType.INT32)

RANKED = condition("a known rank", lambda n: all(v is None or v.shape is not None for v in n.inputs))


@ops.op("Dropout")
def dropout(op, node, x, ratio=None, training=None):
    if training is not None and (held(training) is None or const(training).any()):
        return NotImplemented
    ones = (
        op.Cast(op.Expand(op.const(np.array(1, np.int64)), op.Shape(x)), to=9)
        if len(node.outputs) > 1
        else None
    )
    return op.Identity(x), ones


@ops.op("Trilu", needs=(RANKED,))
def trilu(op, node, x, k=None):
    rows, columns = (along(op, arange(op, n), a, 2) for a, n in enumerate(lengths(op, x)[-2:]))
    distance = op.Sub(columns, rows)
    k = op.const(np.array(0, np.int64)) if k is None else k
    mask = op.GreaterOrEqual(distance, k) if attr(node, "upper") else op.LessOrEqual(distance, k)
    return op.Where(mask, x, zero(op, x))


@ops.op("EyeLike", needs=(RANKED,))
def eye_like(op, node, x):
    rows, columns = (along(op, arange(op, n), a, 2) for a, n in enumerate(lengths(op, x)))
    diagonal = op.Equal(op.Sub(columns, rows), op.const(np.array(attr(node, "k"), np.int64)))
    return op.Cast(diagonal, to=attr(node, "dtype") or int(x.dtype))


@ops.op("ConstantOfShape")
def constant_of_shape(op, node, shape):
    value = attr(node, "value")
    number = np.zeros((), np.float32) if value is None else value.numpy().reshape(())
    return op.Expand(op.const(number), shape)


@ops.op("Size", needs=(RANKED,))
def size(op, node, x):
    return scalar(op, product(op, lengths(op, x)))


@ops.op("Shape", needs=(RANKED,))
def shape(op, node, x):
    rank = rank_of(x)
    dims = range(rank)[attr(node, "start") : attr(node, "end")]
    if not node.attributes:
        return NotImplemented
    full_shape = op.Shape(x)
    if len(dims) == rank:
        return full_shape
    return op.Slice(full_shape, [dims.start], [dims.stop], [0]) if dims else op.const(np.zeros(0, np.int64))


@ops.op("OneHot", needs=(RANKED,))
def one_hot(op, node, indices, depth, values):
    rank = rank_of(indices) + 1
    axis = attr(node, "axis") % rank
    count = op.Reshape(op.Cast(depth, to=7), [1])
    known = const(depth)
    classes = arange(op, int(known.reshape(()))) if known is not None else arange(op, count)
    expanded = op.Unsqueeze(wrap_indices(op, op.Cast(indices, to=7), count), [axis])
    off, on = (op.Gather(values, op.const(np.array(i, np.int64)), axis=0) for i in (0, 1))
    return op.Where(op.Equal(expanded, along(op, classes, axis, rank)), on, off)


@ops.op("Hardmax", needs=(RANKED,))
def hardmax(op, node, x):
    rank = rank_of(x)
    axis = attr(node, "axis") % rank
    positions = along(op, arange(op, lengths(op, x)[axis]), axis, rank)
    return op.Cast(op.Equal(op.ArgMax(x, axis=axis, keepdims=1), positions), to=int(x.dtype))


@ops.op("NonZero")
def non_zero(op, node, x):
    if x.dtype == ir.DataType.BOOL:
        return NotImplemented
    return op.NonZero(op.Not(op.Equal(x, zero(op, x))))


@ops.op("Compress", needs=(RANKED,))
def compress(op, node, x, condition):
    axis = attr(node, "axis")
    if axis is None:
        x, axis = op.Reshape(x, [-1]), 0
    return op.Gather(x, op.Reshape(op.NonZero(condition), [-1]), axis=axis)


def coordinate_grid(op: Any, shape: list[Any], axis: int) -> ir.Value:
    """The coordinate along `axis` of every place of a tensor of these lengths, with a last dimension of 1."""
    coordinates = along(op, arange(op, shape[axis]), axis, len(shape))
    return op.Unsqueeze(op.Expand(coordinates, vector(op, shape)), [len(shape)])


@ops.op("GatherElements", needs=(RANKED,))
def gather_elements(op, node, x, indices):
    """A Gather from the flattened input."""
    return op.Gather(reshape(op, x, [-1]), _flat(op, node, x, indices), axis=0)


def _flat(op: Any, node: ir.Node, x: ir.Value, indices: ir.Value) -> ir.Value:
    """Indices into the flattened `x` for indices along an axis."""
    sizes, rank = lengths(op, x), rank_of(x) or 0
    axis = attr(node, "axis") % rank
    total = op.Cast(wrap_indices(op, indices, sizes[axis]), to=7)
    if (step := product(op, sizes[axis + 1 :])) != 1:
        total = op.Mul(total, step)
    for other, length in enumerate(lengths(op, indices)):
        step = product(op, sizes[other + 1 :])
        if other != axis and length != 1:
            positions = along(op, arange(op, length), other, rank)
            total = op.Add(
                total, positions if isinstance(step, int) and step == 1 else op.Mul(positions, step)
            )
    return total


@ops.op("ScatterElements", needs=(RANKED,))
def scatter_elements(op, node, x, indices, updates):
    """A ScatterND into the flattened input."""
    flat = reshape(op, _flat(op, node, x, indices), [-1, 1])
    attributes = {"reduction": attr(node, "reduction")}
    return reshape(
        op, op.ScatterND(reshape(op, x, [-1]), flat, reshape(op, updates, [-1]), **attributes), lengths(op, x)
    )


@ops.op(
    "GatherND",
    needs=(
        RANKED,
        condition("batch_dims", lambda n: attr(n, "batch_dims") > 0),
        condition("indices of a known number of dimensions", lambda n: isinstance(index_length(n), int)),
    ),
)
def gather_nd_in_batches(op, node, x, indices):
    """A GatherND of indices that begin with those of their batch."""
    batch_dims = attr(node, "batch_dims")
    batches = [coordinate_grid(op, lengths(op, indices)[:-1], axis) for axis in range(batch_dims)]
    sizes = vector(op, lengths(op, x)[batch_dims : batch_dims + index_length(node)])
    positive = op.Where(op.Less(indices, 0), op.Add(indices, sizes), indices)
    return op.GatherND(x, op.Concat(*batches, positive, axis=-1))


def index_length(node: ir.Node) -> Any:
    """The last dimension of the indices of a GatherND; None for an unknown rank."""
    shape = node.inputs[1].shape
    return shape[-1] if shape else None


@ops.op(
    "Pad",
    needs=(
        RANKED,
        condition("mode other than constant", lambda n: attr(n, "mode") != "constant"),
    ),
)
def pad_by_index(op, node, x, pads, value=None, axes=None):
    """Crop by the negative amounts first. Then each axis is gathered: at the clamped place for edge, the
    remainder for wrap, the mirrored one for reflect."""
    rank = rank_of(x)
    known = const(axes) if axes is not None else np.arange(rank)
    amounts = shape_of(pads)
    if known is None or amounts is None:
        return NotImplemented
    values, axes = const(pads), [int(a) % rank for a in known]
    if values is None or (values < 0).any():
        firsts, lasts = op.Split(op.Min(pads, np.int64(0)), num_outputs=2, _outputs=2)
        ends = op.Add(op.Gather(op.Shape(x), op.const(np.array(axes))), lasts)
        x, pads = op.Slice(x, op.Neg(firsts), ends, axes), op.Max(pads, np.int64(0))
    sizes = lengths(op, x)
    for index, axis in enumerate(axes):
        length = scalar(op, sizes[axis])
        before, after = (op.Slice(pads, [i], [i + 1], [0]) for i in (index, index + amounts[0] // 2))
        total = op.Add(length, op.Add(op.Reshape(before, []), op.Reshape(after, [])))
        positions = op.Sub(
            op.Range(op.const(np.array(0, np.int64)), total, op.const(np.array(1, np.int64))), before
        )
        x = op.Gather(x, _outside(op, attr(node, "mode"), positions, length), axis=axis)
    return x


def _outside(op: Any, mode: str, positions: ir.Value, length: ir.Value) -> ir.Value:
    one = op.const(np.array(1, np.int64))
    if mode == "edge":
        return op.Min(op.Max(positions, 0), op.Sub(length, one))
    if mode == "wrap":
        return op.Mod(positions, length)
    period = op.Max(op.Mul(op.Sub(length, one), 2), 1)
    folded = op.Mod(positions, period)
    return op.Min(folded, op.Sub(period, folded))


@ops.op(
    "CumProd",
    "CumSum",
    needs=(RANKED, condition("a rank of 1 or more", lambda n: bool(rank_of(n.inputs[0])))),
)
def cumulative(op, node, x, axis):
    """Accumulate by doubling, where the length is known: after step s every element holds s of its
    predecessors."""
    rank = rank_of(x)
    axis = op.const(np.array(0)) if rank == 1 else axis
    known = const(axis)
    if known is None:
        attributes = {name: attr(node, name) for name in node.attributes}
        return at_axis(
            op,
            axis,
            rank,
            range(rank),
            lambda inner, at: inner.node(node.op_type, x, np.int64(at), **attributes),
        )
    at = int(known.reshape(())) % rank
    neutral = op.const(1 if node.op_type == "CumProd" else 0, x.dtype)
    length = lengths(op, x)[at]
    if isinstance(length, int):
        return _doubled(op, node, x, at, length, neutral)
    return _masked(op, node, x, at, length, neutral)


def _doubled(op: Any, node: ir.Node, x: ir.Value, axis: int, length: int, neutral: ir.Value) -> ir.Value:
    combine = op.Mul if node.op_type == "CumProd" else op.Add
    back, rank = attr(node, "reverse"), rank_of(x) or 0

    def shifted(value: Any, step: int) -> Any:
        pads = np.zeros((2, rank), np.int64)
        pads[1 if back else 0, axis] = step
        ends = ([step], [length]) if back else ([0], [length - step])
        return op.Pad(op.Slice(value, *ends, [axis]), op.const(pads.ravel()), neutral)

    if attr(node, "exclusive") and length:
        x = shifted(x, 1)
    step = 1
    while step < length:
        x = combine(x, shifted(x, step))
        step *= 2
    return op.Identity(x)


def _masked(op: Any, node: ir.Node, x: ir.Value, axis: int, length: ir.Value, neutral: ir.Value) -> ir.Value:
    """All elements for each position, neutral where they are not its predecessors."""
    positions = arange(op, length)
    first, last = (op.Unsqueeze(positions, [i]) for i in ((0, 1) if not attr(node, "reverse") else (1, 0)))
    mask = (op.Less if attr(node, "exclusive") else op.LessOrEqual)(first, last)
    mask = op.Unsqueeze(mask, list(range(2, (rank_of(x) or 0) - axis + 1)))
    masked = op.Where(mask, op.Unsqueeze(x, [axis]), neutral)
    return op.node("ReduceProd" if node.op_type == "CumProd" else "ReduceSum", masked, [axis + 1], keepdims=0)


@ops.op("DepthToSpace", "SpaceToDepth", needs=(RANKED,))
def depth_and_space(op, node, x):
    n, c, h, w = lengths(op, x)
    b = attr(node, "blocksize")
    if not isinstance(c, int):
        return NotImplemented
    if node.op_type == "SpaceToDepth":
        tall, wide = (d // b if isinstance(d, int) else op.Div(d, b) for d in (h, w))
        order = [0, 3, 5, 1, 2, 4] if attr(node, "mode") == "DCR" else [0, 1, 3, 5, 2, 4]
        blocks = op.Transpose(reshape(op, x, [n, c, tall, b, wide, b]), perm=order)
        return reshape(op, blocks, [n, c * b * b, tall, wide])
    dcr = attr(node, "mode") == "DCR"
    split = [n, b, b, c // (b * b), h, w] if dcr else [n, c // (b * b), b, b, h, w]
    blocks = op.Transpose(reshape(op, x, split), perm=[0, 3, 4, 1, 5, 2] if dcr else [0, 1, 4, 2, 5, 3])
    return reshape(
        op, blocks, [n, c // (b * b), *(d * b if isinstance(d, int) else op.Mul(d, b) for d in (h, w))]
    )


@ops.op("TensorScatter", needs=(RANKED,))
def tensor_scatter(op, node, cache, update, start=None):
    """Place p of the axis holds update p - start, counted round the cache when circular, where there is
    one."""
    rank = rank_of(cache)
    axis = attr(node, "axis") % rank
    sizes, count = lengths(op, cache), lengths(op, update)
    positions = along(op, arange(op, sizes[axis]), axis, rank)
    if start is not None:
        positions = op.Sub(positions, along(op, start, 0, rank))
    if attr(node, "mode") == "circular":
        positions = op.Mod(positions, scalar(op, sizes[axis]))
    limit = scalar(op, count[axis])
    new = op.And(op.GreaterOrEqual(positions, 0), op.Less(positions, limit))
    update_indices = op.Min(op.Max(positions, 0), op.Sub(limit, op.const(np.array(1, np.int64))))
    return op.Where(
        new, op.GatherElements(update, op.Expand(update_indices, sizes_of(op, cache)), axis=axis), cache
    )


@ops.op(
    "Dropout",
    needs=(condition("a run-time or true training_mode", lambda n: input_at(n, 2) is not None),),
)
def training_dropout(op, node, x, ratio=None, training=None):
    """Elements whose random number is under `ratio` are zero, the others divided by what is kept."""
    rate = op.const(0.5, x.dtype) if ratio is None else op.Cast(ratio, to=int(x.dtype))
    seed = attr(node, "seed")
    chance = op.RandomUniformLike(x, dtype=1, seed=None if seed is None else float(seed))
    mask = op.Or(op.GreaterOrEqual(chance, op.Cast(rate, to=1)), op.Not(training))
    scale = op.Where(training, op.Div(zero(op, x, 1), op.Sub(zero(op, x, 1), rate)), zero(op, x, 1))
    return op.Where(mask, op.Mul(x, scale), zero(op, x)), mask


@ops.op("Split", needs=(RANKED,))
def split(op, node, x, sizes=None):
    """A Slice for each part."""
    axis, count = attr(node, "axis") % rank_of(x), len(node.outputs)
    length = lengths(op, x)[axis]
    if sizes is not None:
        split_lengths = [op.Slice(sizes, [i], [i + 1], [0]) for i in range(count)]
    else:
        total = vector(op, [length])
        equal = op.Div(op.Add(total, count - 1), count)
        split_lengths = [equal] * count
    start, outputs = op.const(np.zeros(1, np.int64)), []
    for part in split_lengths:
        end = op.Add(start, part)
        outputs.append(op.Slice(x, start, end, [axis]))
        start = end
    return outputs


@ops.op("Unique", needs=(RANKED, condition("an axis", lambda n: attr(n, "axis") is not None)))
def unique_slices(op, node, x):
    """Every slice compared with every other, by the first element in which they differ; the first of equals
    stands for all."""
    rank, sizes = rank_of(x), lengths(op, x)
    axis = attr(node, "axis") % rank
    transposed = op.Transpose(x, perm=[axis, *range(axis), *range(axis + 1, rank)])
    width = product(op, [*sizes[:axis], *sizes[axis + 1 :]])
    rows = reshape(op, transposed, [sizes[axis], width])
    this, other = op.Unsqueeze(rows, [1]), op.Unsqueeze(rows, [0])
    differ = op.Cast(op.Not(op.Equal(this, other)), to=INT32)
    is_first_difference = op.Equal(arange(op, width), op.ArgMax(differ, axis=2, keepdims=1))
    before = op.ReduceMax(
        op.Cast(op.And(op.Less(this, other), is_first_difference), to=INT32), [2], keepdims=0
    )
    same = op.Sub(1, op.ReduceMax(differ, [2], keepdims=0))
    first, here = op.ArgMax(same, axis=1, keepdims=0), arange(op, sizes[axis])
    is_unique = op.Equal(first, here)
    if not attr(node, "sorted"):
        before = op.Cast(op.Less(op.Unsqueeze(here, [1]), op.Unsqueeze(first, [0])), to=INT32)
    before = op.Mul(before, op.Unsqueeze(op.Cast(is_unique, to=INT32), [1]))
    inverse = op.ReduceSum(op.Cast(before, to=7), [0], keepdims=0)
    firsts = op.Reshape(op.NonZero(is_unique), [-1])
    ranks = op.Unsqueeze(op.Gather(inverse, firsts), [1])
    order = op.ScatterND(op.Mul(firsts, 0), ranks, firsts)
    hits = op.Equal(op.Unsqueeze(inverse, [1]), op.Unsqueeze(arange(op, op.Shape(firsts)), [0]))
    counts = op.ReduceSum(op.Cast(hits, to=7), [0], keepdims=0)
    return op.Gather(x, order, axis=axis), order, inverse, counts
