"""Shapes, slices, gathers, joins."""

from __future__ import annotations

import numpy as np

from bridge.hub import const, rank_of
from bridge_tflite.import_ops.common import FUSED, activate, as_int64, constant, ints, need, ops, vector


@ops.op("RESHAPE", needs=(need("a shape", lambda n: n.has(1) or n.get("newShape", None) is not None),))
def reshape(op, node, x, shape=None):
    if shape is None:
        shape = op.const(np.array(node.get("newShape"), np.int64))
    return op.Reshape(x, as_int64(op, shape))


@ops.op("SQUEEZE")
def squeeze(op, node, x):
    axes = node.get("squeezeDims", None)
    found = [] if axes is None else [int(a) for a in axes]
    return op.Squeeze(x, ints(*found) if found else None)


@ops.op("EXPAND_DIMS")
def expand_dims(op, node, x, axis):
    return op.Unsqueeze(x, as_int64(op, axis))


@ops.op("TRANSPOSE", needs=(constant(1, "permutation"),))
def transpose(op, node, x, perm):
    return op.Transpose(x, perm=[p % rank_of(x) for p in vector(perm)])


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
    parts = op.Split(x, axis=axis, num_outputs=count, _outputs=count)
    parts = parts if isinstance(parts, tuple) else (parts,)
    return tuple(op.Squeeze(p, [axis]) for p in parts)


@ops.op("SPLIT", needs=(constant(0, "axis"),))
def split(op, node, axis, x):
    count = len(node.outputs)
    return op.Split(x, axis=vector(axis)[0], num_outputs=count, _outputs=count)


SIZES = need("constant sizes without -1", lambda n: n.constant(1) and (n.file.array(n.tensor(1)) >= 0).all())


@ops.op("SPLIT_V", needs=(SIZES, constant(2, "axis")))
def split_v(op, node, x, sizes, axis):
    return op.Split(x, as_int64(op, sizes), axis=vector(axis)[0], _outputs=len(node.outputs))


@ops.op("PAD", "PADV2")
def pad(op, node, x, paddings, value=None):
    table = const(paddings)
    if table is not None:
        pads = op.const(table.T.ravel().astype(np.int64))
    else:
        pads = op.Reshape(op.Transpose(op.Cast(paddings, to=7), perm=[1, 0]), [-1])
    return op.Pad(x, pads, None if value is None else op.Reshape(value, ints()))


@ops.op("MIRROR_PAD", needs=(constant(1, "paddings"), need("mode REFLECT", lambda n: n.get("mode", 0) == 0)))
def mirror_pad(op, node, x, paddings):
    return op.Pad(x, op.const(const(paddings).T.ravel().astype(np.int64)), mode="reflect")


@ops.op("SLICE", needs=(constant(2, "size"),))
def slice_(op, node, x, begin, size):
    sizes = np.array(vector(size), np.int64)
    begin = as_int64(op, begin)
    start = const(begin)
    if start is not None:
        ends = op.const(np.where(sizes < 0, 2**31 - 1, start + sizes))
    else:
        ends = op.Where(sizes < 0, np.full(sizes.shape, 2**31 - 1), op.Add(begin, op.const(sizes)))
    return op.Slice(x, begin, ends, op.const(np.arange(sizes.size)))


SIMPLE_SLICE = need(
    "no ellipsis and no new axis",
    lambda n: not n.get("ellipsisMask", 0) and not n.get("newAxisMask", 0) and not n.get("offset", False),
)


@ops.op(
    "STRIDED_SLICE",
    needs=(SIMPLE_SLICE, *(constant(i, n) for i, n in ((1, "begin"), (2, "end"), (3, "strides")))),
)
def strided_slice(op, node, x, begin, end, strides):
    starts, ends, steps = vector(begin), vector(end), vector(strides)
    shrink = [i for i in range(len(starts)) if node.get("shrinkAxisMask", 0) >> i & 1]
    far = 2**31 - 1
    for i, step in enumerate(steps):
        if i in shrink:
            ends[i], steps[i] = (starts[i] + 1) or far, 1
            continue
        if node.get("beginMask", 0) >> i & 1:
            starts[i] = 0 if step > 0 else far
        if node.get("endMask", 0) >> i & 1:
            ends[i] = far if step > 0 else -far
    y = op.Slice(x, ints(*starts), ints(*ends), np.arange(len(starts)), ints(*steps))
    return op.Squeeze(y, ints(*shrink)) if shrink else y


INDICES = need("indices in 32 or 64 bits", lambda n: n.kind(1) in ("INT32", "INT64"))


@ops.op(
    "GATHER",
    needs=(
        INDICES,
        need("no batch dimensions", lambda n: n.get("batchDims", 0) == 0),
    ),
)
def gather(op, node, x, indices):
    return op.Gather(x, indices, axis=node.get("axis", 0))


@ops.op("GATHER_ND")
def gather_nd(op, node, x, indices):
    return op.GatherND(x, op.Cast(indices, to=7))


@ops.op("TILE")
def tile(op, node, x, repeats):
    return op.Tile(x, as_int64(op, repeats))


@ops.op("BROADCAST_TO")
def broadcast_to(op, node, x, shape):
    return op.Expand(x, as_int64(op, shape))


@ops.op("FILL")
def fill(op, node, shape, value):
    return op.Expand(value, as_int64(op, shape))


@ops.op("SHAPE")
def shape(op, node, x):
    return op.Cast(op.Shape(x), to=int(node.out_dtype()))


@ops.op("RANK")
def rank(op, node, x):
    return op.Cast(op.Size(op.Shape(x)), to=6)


@ops.op("RANGE")
def range_(op, node, start, limit, delta):
    return op.Range(start, limit, delta)


@ops.op("REVERSE_V2", needs=(constant(1, "axis"),))
def reverse_v2(op, node, x, axis):
    axes = vector(axis)
    far = -(2**31) + 1
    return op.Slice(
        x, ints(*[-1] * len(axes)), ints(*[far] * len(axes)), ints(*axes), ints(*[-1] * len(axes))
    )
