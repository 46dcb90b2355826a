"""Shapes, concatenation, splits, padding, blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import const, rank_of
from bridge.importing import as_int64, constant, constant_ints, int64_vector, ints
from bridge.needs import condition
from bridge.ops import Need, OpTable
from bridge.passes.blocks import blocks_node
from bridge_tflite.import_ops.common import (
    FLOAT,
    FUSED,
    INT32,
    INT64,
    activate,
    arange,
    check_count,
    check_expansion,
)

ops = OpTable()

FAR = 2**31 - 1
REFLECT = 0


def bounded_rank(index: int) -> Need:
    """Need: input `index` is a shape of at most 64 dimensions."""
    return condition(
        "a shape of 64 dimensions at most", lambda n: all((d or 0) <= 64 for d in n.shape(index))
    )


@ops.op("RESHAPE", needs=(condition("a shape", lambda n: n.has(1) or n.get("newShape", None) is not None),))
def reshape(op, node, x, shape=None):
    """A length of 0 means 0; it does not copy the input's length."""
    dims = [int(d) for d in node.get("newShape", [])] if shape is None else constant_ints(shape)
    if dims is None:
        return op.Reshape(x, int64_vector(op, shape), allowzero=1)
    return op.Reshape(x, ints(*dims), allowzero=1 if 0 in dims else None)


@ops.op("SQUEEZE")
def squeeze(op, node, x):
    axes = node.get("squeezeDims", None)
    squeezed = [] if axes is None else [int(a) for a in axes]
    return op.Squeeze(x, ints(*squeezed) if squeezed else None)


@ops.op("EXPAND_DIMS")
def expand_dims(op, node, x, axis):
    return op.Unsqueeze(x, int64_vector(op, axis))


@ops.op("TRANSPOSE", needs=(constant(1, "permutation"),))
def transpose(op, node, x, perm):
    return op.Transpose(x, perm=[p % rank_of(x) for p in constant_ints(perm)])


@ops.op("CONCATENATION", needs=(FUSED,))
def concatenation(op, node, *inputs):
    return activate(op, node, op.Concat(*inputs, axis=node.get("axis", 0)))


@ops.op("PACK")
def pack(op, node, *inputs):
    axis = node.get("axis", 0)
    axis = axis if axis >= 0 else axis + len(node.out(0).dims)
    return op.Concat(*(op.Unsqueeze(v, [axis]) for v in inputs), axis=axis)


@ops.op("UNPACK")
def unpack(op, node, x):
    axis, count = node.get("axis", 0), len(node.outputs)
    slices = op.Split(x, axis=axis, num_outputs=count, _outputs=count)
    slices = slices if isinstance(slices, tuple) else (slices,)
    return tuple(op.Squeeze(p, [axis]) for p in slices)


@ops.op("SPLIT", needs=(constant(0, "axis"),))
def split(op, node, axis, x):
    count = len(node.outputs)
    return op.Split(x, axis=constant_ints(axis)[0], num_outputs=count, _outputs=count)


@ops.op("SPLIT_V", needs=(constant(2, "axis"),))
def split_v(op, node, x, sizes, axis):
    """A size of -1 takes the remaining length."""
    axis, count, sizes = constant_ints(axis)[0], len(node.outputs), int64_vector(op, sizes)
    constant_sizes = constant_ints(sizes)
    if constant_sizes is None or -1 in constant_sizes:
        length = op.Shape(x, start=axis, end=axis + 1 if axis != -1 else None)
        remainder = op.Sub(length, op.ReduceSum(op.Max(sizes, ints(0)), keepdims=1))
        if node.shape(0)[axis] is not None and constant_sizes is not None:
            total = sum(v for v in constant_sizes if v > 0)
            sizes = op.const(ints(*(node.shape(0)[axis] - total if v < 0 else v for v in constant_sizes)))
        else:
            sizes = op.Where(op.Less(sizes, ints(0)), remainder, sizes)
    return op.Split(x, sizes, axis=axis, _outputs=count)


@ops.op("PAD", "PADV2")
def pad(op, node, x, paddings, value=None):
    return op.Pad(x, _to_onnx_pads(op, paddings), None if value is None else op.Reshape(value, ints()))


def _to_onnx_pads(op: Any, paddings: Any) -> Any:
    """Pads [rank, 2] (before, after) as ONNX's [2 * rank]: all before, then all after."""
    table = const(paddings)
    if table is not None:
        return op.const(table.reshape(-1, 2).T.ravel().astype(np.int64))
    wide = as_int64(op, paddings)
    columns = (op.Slice(wide, ints(i), ints(i + 1), ints(1)) for i in (0, 1))
    return op.Reshape(op.Concat(*columns, axis=0), ints(-1))


@ops.op(
    "MIRROR_PAD",
    needs=(condition("mode REFLECT", lambda n: n.get("mode", 0) == REFLECT), constant(1, "paddings")),
)
def mirror_pad(op, node, x, paddings):
    return op.Pad(x, op.const(const(paddings).T.ravel().astype(np.int64)), mode="reflect")


@ops.op(
    "MIRROR_PAD",
    needs=(condition("mode SYMMETRIC", lambda n: n.get("mode", 0) == 1), constant(1, "paddings")),
)
def mirror_pad_symmetric(op, node, x, paddings):
    """Mirror including the edge: each axis is gathered in the order before, itself, after."""
    for axis, (before, after) in enumerate(const(paddings).tolist()):
        if before or after:
            x = op.Gather(x, _mirror_indices(op, node, x, axis, before, after), axis=axis)
    return x


def _mirror_indices(op: Any, node: Any, x: Any, axis: int, before: int, after: int) -> Any:
    size = node.shape(0)[axis]
    if size is not None:
        indices = arange(size)
        return np.concatenate([indices[:before][::-1], indices, indices[size - after :][::-1]]).astype(
            np.int64
        )
    length = op.Squeeze(op.Shape(x, start=axis, end=axis + 1), ints(0))
    indices = op.Range(op.Neg(op.const(np.int64(before))), op.Add(length, np.int64(after)), np.int64(1))
    low = op.Where(op.Less(indices, np.int64(0)), op.Sub(np.int64(-1), indices), indices)
    return op.Where(op.Less(low, length), low, op.Sub(op.Sub(op.Add(length, length), np.int64(1)), low))


@ops.op("TILE")
def tile(op, node, x, repeats):
    return op.Tile(x, int64_vector(op, repeats))


@ops.op("BROADCAST_TO", needs=(bounded_rank(1),))
def broadcast_to(op, node, x, shape):
    return op.Expand(x, int64_vector(op, shape))


@ops.op("FILL", needs=(bounded_rank(0),))
def fill(op, node, shape, value):
    return op.Expand(value, int64_vector(op, shape))


@ops.op("SHAPE")
def shape(op, node, x):
    return op.Cast(op.Shape(x), to=int(node.out_dtype()))


@ops.op("RANK")
def rank(op, node, x):
    return op.Cast(op.Size(op.Shape(x)), to=INT32)


@ops.op("RANGE")
def range_(op, node, start, limit, delta):
    bounds = [const(v) for v in (start, limit, delta)]
    if all(v is not None and v.size == 1 for v in bounds):
        first, last, step = (float(v.ravel()[0]) for v in bounds)
        check_count(max((last - first) / step, 0) if step and np.isfinite([first, last, step]).all() else -1)
    return op.Range(*(op.Reshape(v, ints()) for v in (start, limit, delta)))


@ops.op("REVERSE_V2", needs=(constant(1, "axis"),))
def reverse_v2(op, node, x, axis):
    axes = constant_ints(axis)
    return op.Slice(
        x, ints(*[-1] * len(axes)), ints(*[-FAR] * len(axes)), ints(*axes), ints(*[-1] * len(axes))
    )


@ops.op("REVERSE_SEQUENCE")
def reverse_sequence(op, node, x, lengths):
    """Time and batch are transposed to the first two axes, as ONNX takes them."""
    rank = len(node.shape(0))
    time, batch = node.get("seqDim", 0) % rank, node.get("batchDim", 0) % rank
    order = [time, batch, *(a for a in range(rank) if a not in (time, batch))]
    reversed_x = op.ReverseSequence(
        op.Transpose(x, perm=order), op.Cast(lengths, to=INT64), time_axis=0, batch_axis=1
    )
    return op.Transpose(reversed_x, perm=[order.index(a) for a in range(rank)])


@ops.op("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", needs=(constant(1, "block shape"),))
def blocks_of_batch(op, node, x, block, amounts):
    moved = "SpaceToBatch" if node.op == "SPACE_TO_BATCH_ND" else "BatchToSpace"
    x.shape = x.shape or ir.Shape([None] * len(node.shape(0)))
    return blocks_node(op, moved, x, constant_ints(block), amounts)


@ops.op("UNIQUE")
def unique(op, node, x):
    values, _, inverse = op.Unique(x, sorted=0, _outputs=4)[:3]
    return values, op.Cast(inverse, to=int(node.out_dtype(1)))


@ops.op("BROADCAST_ARGS")
def broadcast_args(op, node, a, b):
    """Broadcast shape of two shapes."""
    lengths = [op.Shape(v) for v in (a, b)]
    longest = op.Max(*lengths)
    aligned = [
        op.Pad(v, op.Concat(op.Sub(longest, n), ints(0), axis=0), np.ones((), v.dtype.numpy()))
        for v, n in zip((a, b), lengths, strict=True)
    ]
    one = np.ones((), a.dtype.numpy())
    return op.Where(op.Equal(aligned[0], one), aligned[1], aligned[0])


@ops.op("BUCKETIZE")
def bucketize(op, node, x):
    """Number of boundaries that are not above each element."""
    bounds = np.asarray(node.get("boundaries", []), np.float32)
    wide = x if x.dtype.is_floating_point() else op.Cast(x, to=FLOAT)
    above = op.GreaterOrEqual(op.Unsqueeze(wide, ints(-1)), op.const(bounds))
    return op.ReduceSum(op.Cast(above, to=INT32), ints(-1), keepdims=0)


@ops.op("DILATE", needs=(constant(1, "dilations"),))
def dilate(op, node, x, dilations, padding):
    """Insert copies of the padding value after every element but the last of an axis."""
    for axis, step in enumerate(constant_ints(dilations)):
        check_expansion(x, axis, max(step, 0))
        if step > 1:
            rank = len(node.shape(0))
            pads = [0] * (2 * rank + 2)
            pads[rank + 1 + axis + 1] = step - 1
            spaced = op.Pad(op.Unsqueeze(x, ints(axis + 1)), ints(*pads), op.Reshape(padding, ints()))
            lengths = [op.Shape(x, start=i, end=i + 1) for i in range(rank)]
            lengths[axis] = op.Mul(lengths[axis], ints(step))
            joined = op.Reshape(spaced, op.Concat(*lengths, axis=0))
            x = op.Slice(joined, ints(0), ints(-(step - 1)), ints(axis))
    return x
