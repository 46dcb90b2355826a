"""Moving, choosing and making elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import arange, product
from bridge.importing import as_int64, attribute, constant, ints, like, permuted
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose.common import along
from bridge.passes.slices import python_slice
from bridge_coreml.import_ops.common import (
    I64_MAX,
    I64_MIN,
    IOS18,
    RANKED,
    as_type,
    cast,
    const,
    index,
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
    """0 copies a length: from the same place, or, from iOS 17 and with another rank, from the same place
    counted from the end."""
    array = const(shape)
    if array is None:
        return op.Reshape(x, as_int64(op, shape))
    sizes, rank, want = lengths(op, x), rank_of(x) or 0, array.ravel().tolist()
    shift = rank - len(want)
    parts = [n if n else (sizes[i + shift] if 0 <= i + shift < rank else 1) for i, n in enumerate(want)]
    known = [d for d in node.out_dims()]
    if -1 not in parts and len(known) == len(parts) and all(isinstance(d, int) for d in known):
        parts = known
    return reshape(op, x, parts)


@ops.op("reshape_like", needs=(RANKED,))
def reshape_like(op, node, x):
    begins, ends, masks = (np.ravel(node.get(n)).tolist() for n in ("begins", "ends", "end_masks"))
    parts = []
    for given, begin, end, mask in zip(node.values("ref_tensors"), begins, ends, masks, strict=True):
        parts += lengths(op, given)[begin:] if mask else lengths(op, given)[begin:end]
    return reshape(op, x, parts)


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
    order = [seq, batch, *(i for i in range(rank) if i not in (seq, batch))]
    turned = op.ReverseSequence(permuted(op, x, order), as_int64(op, lengths), time_axis=0, batch_axis=1)
    return permuted(op, turned, [order.index(i) for i in range(rank)])


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


def bounds(
    op: hub.Builder, node: Any, x: ir.Value, begin: ir.Value, end: ir.Value, stride: ir.Value | None
) -> tuple[Any, Any, np.ndarray, list[int]]:
    """Starts, ends, steps and squeezed axes of slice_by_index, each an array or a value of int64."""
    rank = rank_of(x) or 0
    steps = node.get("stride", [1] * rank)
    begin_mask, end_mask, squeezed = (
        node.get(n, [False] * rank) for n in ("begin_mask", "end_mask", "squeeze_mask")
    )
    starts, ends = const(begin), const(end)
    if starts is not None:
        first = [(0 if steps[i] > 0 else I64_MAX) if begin_mask[i] else int(starts[i]) for i in range(rank)]
    if starts is None or (ends is None and any(not m for m in end_mask)):
        return _running_bounds(op, node, begin, end, steps, begin_mask, end_mask, squeezed)
    last = []
    for i in range(rank):
        if squeezed[i]:
            last.append(first[i] + 1 if first[i] != -1 else I64_MAX)
        elif end_mask[i] or ends is None:
            last.append(I64_MAX if steps[i] > 0 else I64_MIN)
        else:
            last.append(int(ends[i]))
    steps = [1 if squeezed[i] else steps[i] for i in range(rank)]
    return (
        np.asarray(first, np.int64),
        np.asarray(last, np.int64),
        np.asarray(steps, np.int64),
        [i for i in range(rank) if squeezed[i]],
    )


def _running_bounds(
    op: hub.Builder,
    node: Any,
    begin: ir.Value,
    end: ir.Value,
    steps: list[int],
    begin_mask: list[bool],
    end_mask: list[bool],
    squeezed: list[bool],
) -> tuple[Any, Any, np.ndarray, list[int]]:
    rank = len(steps)
    starts, ends = as_int64(op, begin), as_int64(op, end)
    begin_for = np.asarray([0 if s > 0 else I64_MAX for s in steps], np.int64)
    end_for = np.asarray([I64_MAX if s > 0 else I64_MIN for s in steps], np.int64)
    if any(begin_mask):
        starts = op.Where(op.const(np.array(begin_mask)), op.const(begin_for), starts)
    if any(end_mask):
        ends = op.Where(op.const(np.array(end_mask)), op.const(end_for), ends)
    if any(squeezed):
        after = op.Add(starts, op.const(ints(*[1] * rank)))
        after = op.Where(
            op.Equal(starts, op.const(np.array(-1, np.int64))), op.const(np.array(I64_MAX, np.int64)), after
        )
        ends = op.Where(op.const(np.array(squeezed)), after, ends)
    steps = [1 if squeezed[i] else steps[i] for i in range(rank)]
    return starts, ends, np.asarray(steps, np.int64), [i for i in range(rank) if squeezed[i]]


def sliced(
    op: hub.Builder, node: Any, x: ir.Value, begin: ir.Value, end: ir.Value, stride: ir.Value | None
) -> Any:
    starts, ends, steps, squeezed = bounds(op, node, x, begin, end, stride)
    made = python_slice(op, x, starts, ends, range(rank_of(x) or 0), steps)
    return op.Squeeze(made, np.asarray(squeezed, np.int64)) if squeezed else made


SLICED = (
    RANKED,
    constant("stride"),
    constant("begin_mask"),
    constant("end_mask"),
    constant("squeeze_mask"),
)


@ops.op("slice_by_index", needs=SLICED)
def slice_by_index(op, node, x, begin, end, stride=None):
    return sliced(op, node, x, begin, end, stride)


@ops.op("slice_by_size", needs=(RANKED,))
def slice_by_size(op, node, x, begin, size):
    """A size of -1 takes all that is left."""
    starts, sizes, rank = const(begin), const(size), rank_of(x) or 0
    axes = ints(*range(rank))
    if starts is not None and sizes is not None:
        starts, sizes = starts.astype(np.int64), sizes.astype(np.int64)
        ends = np.where(sizes == -1, I64_MAX, starts + sizes)
        ends = np.where((ends == 0) & (starts < 0), I64_MAX, ends)
        return op.Slice(x, starts, ends, axes)
    starts, sizes = as_int64(op, begin), as_int64(op, size)
    ends = op.Where(
        op.Equal(sizes, op.const(np.array(-1, np.int64))),
        op.const(np.array(I64_MAX, np.int64)),
        op.Add(starts, sizes),
    )
    return op.Slice(x, starts, ends, axes)


@ops.op("slice_update", since=IOS18, needs=SLICED)
def slice_update(op, node, x, update, begin, end, stride=None):
    """The places of the slice in the flattened tensor are sliced alike, and written."""
    sizes = lengths(op, x)
    places = reshape(op, arange(op, product(op, sizes)), sizes)
    chosen = op.Reshape(sliced(op, node, places, begin, end, stride), ints(-1))
    flat = op.ScatterElements(op.Reshape(x, ints(-1)), chosen, op.Reshape(update, ints(-1)), axis=0)
    return reshape(op, flat, sizes)


PAD_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}


@ops.op("pad", needs=(RANKED, attribute("mode", *PAD_MODES)))
def pad(op, node, x, pad):
    mode, rank, array = PAD_MODES[node.get("mode", "constant")], rank_of(x) or 0, const(pad)
    if array is not None:
        pairs = np.zeros((rank, 2), np.int64)
        pairs[rank - array.size // 2 :] = array.reshape(-1, 2)
        pads = op.const(pairs.T.ravel())
    else:
        pads = op.Reshape(op.Transpose(op.Reshape(as_int64(op, pad), ints(rank, 2)), perm=[1, 0]), ints(-1))
    value = like(op, x, node.get("constant_val", 0)) if mode == "constant" else None
    return op.Pad(x, pads, value, mode=mode)


@ops.op("gather", needs=(RANKED,))
def gather(op, node, x, indices):
    axis, batch, rank = node.get("axis", 0), node.get("batch_dims", 0), rank_of(x) or 1
    places = index(op, indices)
    if not batch:
        return op.Gather(x, places, axis=axis)
    axis %= rank
    order = [*range(batch), axis, *(i for i in range(batch, rank) if i != axis)]
    made = op.GatherND(
        permuted(op, x, order), op.Unsqueeze(as_int64(op, indices), ints(-1)), batch_dims=batch
    )
    own, between = (rank_of(indices) or batch) - batch, axis - batch
    first, total = batch + own, batch + own + rank - batch - 1
    back = [
        *range(batch),
        *range(first, first + between),
        *range(batch, first),
        *range(first + between, total),
    ]
    return permuted(op, made, back)


@ops.op("gather_along_axis")
def gather_along_axis(op, node, x, indices):
    return op.GatherElements(x, index(op, indices), axis=node.get("axis", 0))


@ops.op("gather_nd")
def gather_nd(op, node, x, indices):
    return op.GatherND(x, as_int64(op, indices), batch_dims=node.get("batch_dims", 0))


REDUCED = {"add": "add", "sub": "add", "mul": "mul", "div": "mul", "max": "max", "min": "min", "update": None}


def whole_division(node: Any) -> bool:
    return node.get("mode", "add") == "div" and node.kind("data") not in ("fp16", "fp32")


SCATTERED = (
    attribute("mode", "add", *REDUCED),
    condition("floats where mode=div", lambda n: not whole_division(n)),
    ranked("data"),
)


def _mode(op: hub.Builder, node: Any, data: ir.Value, updates: ir.Value) -> tuple[Any, str | None]:
    """The reduction the hub knows, and updates that make it mean the mode."""
    mode, updates = node.get("mode", "add"), as_type(op, updates, data)
    if mode == "sub":
        updates = op.Neg(updates)
    if mode == "div":
        updates = op.Reciprocal(updates)
    return updates, REDUCED[mode]


@ops.op("scatter", needs=SCATTERED)
def scatter(op, node, data, indices, updates):
    rank = rank_of(data) or 1
    axis = node.get("axis", 0) % rank
    own = rank_of(indices) or 0
    updates, reduction = _mode(op, node, data, updates)
    order = [axis, *(i for i in range(rank) if i != axis)]
    shift = [*range(axis, axis + own), *range(axis), *range(axis + own, own + rank - 1)]
    places = op.Unsqueeze(as_int64(op, indices), ints(-1))
    made = op.ScatterND(permuted(op, data, order), places, permuted(op, updates, shift), reduction=reduction)
    return permuted(op, made, [order.index(i) for i in range(rank)])


@ops.op("scatter_along_axis", needs=SCATTERED)
def scatter_along_axis(op, node, data, indices, updates):
    updates, reduction = _mode(op, node, data, updates)
    return op.ScatterElements(
        data, index(op, indices), updates, axis=node.get("axis", 0), reduction=reduction
    )


@ops.op("scatter_nd", needs=SCATTERED)
def scatter_nd(op, node, data, indices, updates):
    updates, reduction = _mode(op, node, data, updates)
    return op.ScatterND(data, as_int64(op, indices), updates, reduction=reduction)


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


@ops.op("one_hot", needs=(ranked("indices"),))
def one_hot(op, node, indices, one_hot_vector_size):
    """A place outside the vector leaves it all off."""
    rank = (rank_of(indices) or 0) + 1
    axis = node.get("axis", -1) % rank
    depth = const(one_hot_vector_size)
    count = int(depth) if depth is not None else op.Reshape(as_int64(op, one_hot_vector_size), [1])
    on, off = (
        op.const(np.asarray(node.get(n, d)).astype(node.out_dtype().numpy()))
        for n, d in (("on_value", 1), ("off_value", 0))
    )
    places = op.Unsqueeze(as_int64(op, indices), ints(axis))
    return op.Where(op.Equal(places, along(op, arange(op, count), axis, rank)), on, off)


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
        firsts = op.const((np.arange((length - size) // stride + 1, dtype=np.int64) * stride)[:, None])
    else:
        count = op.Add(op.Div(op.Sub(length, size), stride), 1)
        firsts = op.Unsqueeze(op.Mul(arange(op, count), stride), ints(1))
    return op.Gather(x, op.Add(firsts, offsets), axis=axis)


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
    """The block's place comes first in the batch, as TensorFlow has it."""
    (a, b), pads = node.get("block_shape"), node.get("paddings")
    (top, bottom), (left, right) = pads
    x = op.Pad(x, ints(0, 0, top, left, 0, 0, bottom, right))
    n, c, h, w = lengths(op, x)
    height, width = (v // f if isinstance(v, int) else op.Div(v, f) for v, f in ((h, a), (w, b)))
    split = reshape(op, x, [n, c, height, a, width, b])
    return reshape(
        op, op.Transpose(split, perm=[3, 5, 0, 1, 2, 4]), [product(op, [n, a * b]), c, height, width]
    )


@ops.op("batch_to_space", needs=(RANKED,))
def batch_to_space(op, node, x):
    (a, b), crops = node.get("block_shape"), node.get("crops")
    n, c, h, w = lengths(op, x)
    batch = n // (a * b) if isinstance(n, int) else op.Div(n, a * b)
    split = op.Transpose(reshape(op, x, [a, b, batch, c, h, w]), perm=[2, 3, 4, 0, 5, 1])
    whole = reshape(op, split, [batch, c, product(op, [h, a]), product(op, [w, b])])
    (top, bottom), (left, right) = crops
    ends = [-v if v else I64_MAX for v in (bottom, right)]
    return op.Slice(whole, ints(top, left), np.asarray(ends, np.int64), ints(2, 3))


@ops.op("crop", needs=(RANKED,))
def crop(op, node, x):
    (top, bottom), (left, right) = node.get("crop_height"), node.get("crop_width")
    ends = [-v if v else I64_MAX for v in (bottom, right)]
    return op.Slice(x, ints(top, left), np.asarray(ends, np.int64), ints(-2, -1))
