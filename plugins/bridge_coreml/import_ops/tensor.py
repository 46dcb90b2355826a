"""Shapes, layouts, padding, concatenation, constants and ranges."""

from __future__ import annotations

import numpy as np

from bridge.dims import arange, product
from bridge.importing import as_int64, attribute, constant, ints, like, permuted
from bridge.ops import OpTable
from bridge_coreml.import_ops.common import (
    I64_MAX,
    I64_MIN,
    RANKED,
    as_type,
    cast,
    const,
    lengths,
    rank_of,
    ranked,
    reshape,
)

ops = OpTable()


@ops.op("shape")
def shape(op, node, x):
    return cast(op, op.Shape(x), node.out_dtype())


@ops.op("reshape", needs=(RANKED,))
def reshape_to(op, node, x, shape):
    """Reshape. A 0 in `shape` copies the length of the same dimension; where the rank changes (iOS 17),
    dimensions are counted from the end."""
    array = const(shape)
    if array is None:
        return op.Reshape(x, as_int64(op, shape))
    sizes, rank, new_shape = lengths(op, x), rank_of(x) or 0, array.ravel().tolist()
    offset = rank - len(new_shape)
    dims = [n if n else (sizes[i + offset] if 0 <= i + offset < rank else 1) for i, n in enumerate(new_shape)]
    declared = [d for d in node.out_dims()]
    if -1 not in dims and len(declared) == len(dims) and all(isinstance(d, int) for d in declared):
        dims = declared
    return reshape(op, x, dims)


@ops.op("reshape_like", needs=(RANKED,))
def reshape_like(op, node, x):
    begins, ends, masks = (np.ravel(node.get(n)).tolist() for n in ("begins", "ends", "end_masks"))
    dims = []
    for reference, begin, end, mask in zip(node.values("ref_tensors"), begins, ends, masks, strict=True):
        dims += lengths(op, reference)[begin:] if mask else lengths(op, reference)[begin:end]
    return reshape(op, x, dims)


@ops.op("expand_dims")
def expand_dims(op, node, x):
    return op.Unsqueeze(x, np.asarray(node.get("axes"), np.int64).reshape(-1))


@ops.op("squeeze", needs=(RANKED,))
def squeeze(op, node, x):
    axes = node.get("axes")
    return op.Squeeze(x, None if axes is None else np.asarray(axes, np.int64).reshape(-1))


@ops.op("flatten2d")
def flatten2d(op, node, x):
    return op.Flatten(x, axis=node.get("axis", 1))


@ops.op("transpose", needs=(RANKED,))
def transpose_(op, node, x):
    rank = rank_of(x) or 1
    return op.Transpose(x, perm=[int(p) % rank for p in node.get("perm")])


@ops.op("tile")
def tile(op, node, x, reps):
    return op.Tile(x, as_int64(op, reps))


@ops.op("reverse", needs=(RANKED,))
def reverse(op, node, x):
    axes = node.get("axes")
    axes = list(range(rank_of(x) or 0)) if axes is None else np.ravel(axes).tolist()
    count = len(axes)
    return op.Slice(
        x, ints(*[-1] * count), ints(*[I64_MIN] * count), np.asarray(axes, np.int64), ints(*[-1] * count)
    )


@ops.op("reverse_sequence", needs=(RANKED,))
def reverse_sequence(op, node, x, lengths):
    rank = rank_of(x) or 2
    seq, batch = node.get("seq_axis", 0) % rank, node.get("batch_axis", 0) % rank
    perm = [seq, batch, *(i for i in range(rank) if i not in (seq, batch))]
    reversed_ = op.ReverseSequence(permuted(op, x, perm), as_int64(op, lengths), time_axis=0, batch_axis=1)
    return permuted(op, reversed_, [perm.index(i) for i in range(rank)])


@ops.op("concat", needs=(ranked("values"),))
def concat(op, node):
    values, axis = node.values("values"), node.get("axis")
    if len(values) == 1:
        return op.Identity(values[0])
    if not node.get("interleave", False):
        return op.Concat(*values, axis=axis)
    axis %= rank_of(values[0]) or 1
    stacked = op.Concat(*(op.Unsqueeze(v, ints(axis + 1)) for v in values), axis=axis + 1)
    sizes = lengths(op, values[0])
    sizes[axis] = product(op, [sizes[axis], len(values)])
    return reshape(op, stacked, sizes)


@ops.op("stack", needs=(ranked("values"),))
def stack(op, node):
    values, axis = node.values("values"), node.get("axis")
    axis %= (rank_of(values[0]) or 0) + 1
    return op.Concat(*(op.Unsqueeze(v, ints(axis)) for v in values), axis=axis)


@ops.op("split", needs=(RANKED, constant("split_sizes")))
def split(op, node, x):
    count, axis = len(node.outputs), node.get("axis")
    if count == 1:
        return (op.Identity(x),)
    sizes = node.get("split_sizes")
    if sizes is None:
        return op.Split(x, axis=axis, num_outputs=count, _outputs=count)
    return op.Split(x, np.asarray(sizes, np.int64), axis=axis, _outputs=count)


PAD_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}


@ops.op("pad", needs=(RANKED, attribute("mode", *PAD_MODES)))
def pad(op, node, x, pad):
    mode, rank, array = PAD_MODES[node.get("mode", "constant")], rank_of(x) or 0, const(pad)
    if array is not None:
        all_pads = np.zeros((rank, 2), np.int64)
        all_pads[rank - array.size // 2 :] = array.reshape(-1, 2)
        pads = op.const(all_pads.T.ravel())
    else:
        pads = op.Reshape(op.Transpose(op.Reshape(as_int64(op, pad), ints(rank, 2)), perm=[1, 0]), ints(-1))
    value = like(op, x, node.get("constant_val", 0)) if mode == "constant" else None
    return op.Pad(x, pads, value, mode=mode)


@ops.op("band_part", needs=(RANKED,))
def band_part(op, node, x):
    lower, upper = node.get("lower", -1), node.get("upper", -1)
    if lower >= 0:
        x = op.Trilu(x, np.array(-lower, np.int64), upper=1)
    if upper >= 0:
        x = op.Trilu(x, np.array(upper, np.int64), upper=0)
    return op.Identity(x)


@ops.op("fill")
def fill(op, node, shape):
    value = np.asarray(node.get("value", 0.0)).astype(node.out_dtype().numpy())
    return op.Expand(op.const(value), as_int64(op, shape))


@ops.op("fill_like")
def fill_like(op, node, ref_tensor):
    value = np.asarray(node.get("value", 0.0)).astype(node.out_dtype().numpy())
    return op.Expand(op.const(value), op.Shape(ref_tensor))


@ops.op("range_1d")
def range_1d(op, node, start, end, step):
    return op.Range(start, as_type(op, end, start), as_type(op, step, start))


@ops.op("sliding_windows", needs=(RANKED,))
def sliding_windows(op, node, x):
    axis, size, stride = node.get("axis"), node.get("size"), node.get("stride", 1)
    axis %= rank_of(x) or 1
    length = lengths(op, x)[axis]
    offsets = op.const(np.arange(size, dtype=np.int64)[None])
    if isinstance(length, int):
        starts = op.const((np.arange((length - size) // stride + 1, dtype=np.int64) * stride)[:, None])
    else:
        count = op.Div(op.Add(length, stride - size), stride)
        starts = op.Unsqueeze(op.Mul(arange(op, count), stride), ints(1))
    return op.Gather(x, op.Add(starts, offsets), axis=axis)


@ops.op("depth_to_space", "pixel_shuffle")
def depth_to_space(op, node, x):
    size = node.get("block_size", node.get("upscale_factor"))
    return op.DepthToSpace(x, blocksize=size, mode="CRD" if node.op == "pixel_shuffle" else "DCR")


@ops.op("space_to_depth")
def space_to_depth(op, node, x):
    return op.SpaceToDepth(x, blocksize=node.get("block_size"))


@ops.op("pixel_unshuffle", needs=(RANKED,))
def pixel_unshuffle(op, node, x):
    f = node.get("downscale_factor")
    n, c, h, w = lengths(op, x)
    height, width = (v // f if isinstance(v, int) else op.Div(v, f) for v in (h, w))
    split = reshape(op, x, [n, c, height, f, width, f])
    return reshape(
        op, op.Transpose(split, perm=[0, 1, 3, 5, 2, 4]), [n, product(op, [c, f * f]), height, width]
    )


@ops.op("space_to_batch", needs=(RANKED,))
def space_to_batch(op, node, x):
    """SpaceToBatch in the order of TensorFlow: the position inside the block is the outer part of the
    batch."""
    (block_h, block_w), pads = node.get("block_shape"), node.get("paddings")
    (top, bottom), (left, right) = pads
    x = op.Pad(x, ints(0, 0, top, left, 0, 0, bottom, right))
    batch, channels, height_in, width_in = lengths(op, x)
    height, width = (
        v // f if isinstance(v, int) else op.Div(v, f) for v, f in ((height_in, block_h), (width_in, block_w))
    )
    split = reshape(op, x, [batch, channels, height, block_h, width, block_w])
    return reshape(
        op,
        op.Transpose(split, perm=[3, 5, 0, 1, 2, 4]),
        [product(op, [batch, block_h * block_w]), channels, height, width],
    )


@ops.op("batch_to_space", needs=(RANKED,))
def batch_to_space(op, node, x):
    (a, b), crops = node.get("block_shape"), node.get("crops")
    n, c, h, w = lengths(op, x)
    batch = n // (a * b) if isinstance(n, int) else op.Div(n, a * b)
    split = op.Transpose(reshape(op, x, [a, b, batch, c, h, w]), perm=[2, 3, 4, 0, 5, 1])
    joined = reshape(op, split, [batch, c, product(op, [h, a]), product(op, [w, b])])
    (top, bottom), (left, right) = crops
    crop_ends = [-v if v else I64_MAX for v in (bottom, right)]
    return op.Slice(joined, ints(top, left), np.asarray(crop_ends, np.int64), ints(2, 3))


@ops.op("crop", needs=(RANKED,))
def crop(op, node, x):
    (top, bottom), (left, right) = node.get("crop_height"), node.get("crop_width")
    crop_ends = [-v if v else I64_MAX for v in (bottom, right)]
    return op.Slice(x, ints(top, left), np.asarray(crop_ends, np.int64), ints(-2, -1))
