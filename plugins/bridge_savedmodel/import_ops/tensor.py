"""Moving, choosing and making elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import const, rank_of, shape_of
from bridge_savedmodel.import_ops.common import (
    T,
    as_dtype,
    as_int64,
    constant,
    flat,
    ints,
    like,
    need,
    ops,
    parts,
    ranked,
    reshaped,
    scalar,
    static,
    vector,
)
from bridge_savedmodel.import_ops.values import tensor_of

FAR = 2**31 - 1


@ops.op("Const", "HostConst")
def const_(op, node):
    return op.const(tensor_of(node.get("value")))


@ops.op(
    "Identity",
    "StopGradient",
    "PreventGradient",
    "CheckNumerics",
    "CheckNumericsV2",
    "Snapshot",
    "GuaranteeConst",
    "RefIdentity",
    "DeepCopy",
    "Copy",
    "PlaceholderWithDefault",
)
def identity(op, node, x, *rest):
    return x


@ops.op("IdentityN")
def identity_n(op, node, *inputs):
    return list(inputs)


@ops.op("EnsureShape")
def ensure_shape(op, node, x):
    return x


@ops.op("Shape")
def shape(op, node, x):
    return static(op, x, node.get("out_type", T.INT32))


@ops.op("ShapeN")
def shape_n(op, node, *inputs):
    return [static(op, x, node.get("out_type", T.INT32)) for x in inputs]


@ops.op("Size")
def size(op, node, x):
    return as_dtype(op, op.Size(x), node.get("out_type", T.INT32))


@ops.op("Rank", needs=(ranked(),))
def rank(op, node, x):
    return op.const(np.array(rank_of(x), np.int32))


@ops.op("Reshape")
def reshape(op, node, x, target):
    return reshaped(op, x, flat(op, target) if rank_of(target) != 1 else as_int64(op, target))


@ops.op("Squeeze")
def squeeze(op, node, x):
    axes = node.get("squeeze_dims") or node.get("axis") or []
    if not axes and x.shape is not None and shape_of(x) is None:
        axes = [i for i, d in enumerate(x.shape) if d == 1]
        if any(not isinstance(d, int) for d in x.shape):
            return op.Squeeze(x)
    return op.Squeeze(x, ints(*axes) if axes else None)


@ops.op("ExpandDims")
def expand_dims(op, node, x, axis):
    return op.Unsqueeze(x, flat(op, axis))


@ops.op("Transpose", "ConjugateTranspose", needs=(constant(1, "permutation"),))
def transpose(op, node, x, perm):
    order = vector(perm)
    return op.Transpose(x, perm=[p % len(order) for p in order])


@ops.op("InvertPermutation")
def invert_permutation(op, node, x):
    found = op.TopK(x, op.Shape(x), largest=0, _outputs=2)[1]
    return as_dtype(op, found, x.dtype)


@ops.op("ConcatV2", "Concat")
def concat(op, node, *inputs):
    values, axis = (inputs[:-1], inputs[-1]) if node.op == "ConcatV2" else (inputs[1:], inputs[0])
    at = vector(axis)
    if at is None:
        return NotImplemented
    kept = [v for v in values if shape_of(v) != [0]] or [values[0]]
    return op.Concat(*kept, axis=at[0]) if len(kept) > 1 else op.Identity(kept[0])


@ops.op("Pack", "Stack")
def pack(op, node, *inputs):
    axis = node.get("axis", 0)
    if len(inputs) == 1:
        return op.Unsqueeze(inputs[0], ints(axis))
    return op.Concat(*(op.Unsqueeze(v, ints(axis)) for v in inputs), axis=axis)


@ops.op("Unpack")
def unpack(op, node, x):
    axis, count = node.get("axis", 0), node.get("num")
    if count == 1:
        return [op.Squeeze(x, ints(axis))]
    return [op.Squeeze(p, ints(axis)) for p in op.Split(x, axis=axis, num_outputs=count, _outputs=count)]


@ops.op("Split", needs=(constant(0, "axis"),))
def split(op, node, axis, x):
    count = node.get("num_split")
    return (
        [op.Identity(x)]
        if count == 1
        else list(op.Split(x, axis=vector(axis)[0], num_outputs=count, _outputs=count))
    )


@ops.op("SplitV", needs=(constant(2, "axis"),))
def split_v(op, node, x, sizes, axis):
    known, at, count = vector(sizes), vector(axis)[0], node.get("num_split")
    if known is not None and -1 in known:
        dim = None if x.shape is None else x.shape[at]
        if not isinstance(dim, int):
            whole = op.Shape(x, start=at % rank_of(x), end=at % rank_of(x) + 1)
            rest = op.Sub(whole, ints(sum(s for s in known if s >= 0)))
            sizes = op.Concat(*(rest if s < 0 else op.const(ints(s)) for s in known), axis=0)
        else:
            sizes = op.const(ints(*(dim - sum(v for v in known if v >= 0) if s < 0 else s for s in known)))
    return [op.Identity(x)] if count == 1 else list(op.Split(x, as_int64(op, sizes), axis=at, _outputs=count))


@ops.op("Tile")
def tile(op, node, x, repeats):
    return op.Tile(x, as_int64(op, repeats))


@ops.op("Fill")
def fill(op, node, dims, value):
    made = op.Expand(value, as_int64(op, dims))
    known = parts(dims)
    if known is not None and made.shape is None:
        made.shape = ir.Shape(known)
    return made


@ops.op("BroadcastTo")
def broadcast_to(op, node, x, target):
    made = op.Expand(x, as_int64(op, target))
    known = parts(target)
    if known is not None and (made.shape is None or len(made.shape) != len(known)):
        made.shape = ir.Shape(known)
    return made


@ops.op("BroadcastArgs", needs=(ranked(), ranked(1)))
def broadcast_args(op, node, x, y):
    ones = [op.Expand(op.const(np.ones((), np.int64)), as_int64(op, v)) for v in (x, y)]
    return as_dtype(op, op.Shape(op.Add(*ones)), node.get("T", T.INT32))


@ops.op("Range")
def range_(op, node, start, limit, delta):
    return op.Range(*(scalar(op, v) for v in (start, limit, delta)))


@ops.op("LinSpace", needs=(constant(2, "num"),))
def lin_space(op, node, start, stop, count):
    steps = int(const(count).reshape(()))
    places = np.arange(steps) / max(steps - 1, 1)
    return op.Add(start, op.Mul(op.Sub(stop, start), op.const(places.astype(start.dtype.numpy()))))


@ops.op("OneHot", needs=(constant(1, "depth"),))
def one_hot(op, node, indices, depth, on, off):
    """Indices out of range, negative ones too, give a row of `off`."""
    count = int(const(depth).reshape(()))
    rank = rank_of(indices)
    axis = node.get("axis", -1)
    axis = rank if axis == -1 else axis
    at = op.Unsqueeze(as_int64(op, indices), ints(axis))
    places = np.arange(count, dtype=np.int64).reshape([-1 if i == axis else 1 for i in range(rank + 1)])
    return op.Where(op.Equal(at, op.const(places)), on, off)


@ops.op("Where", needs=(ranked(),))
def where(op, node, x):
    return op.Transpose(op.NonZero(x), perm=[1, 0])


@ops.op("ReverseV2", "Reverse", needs=(constant(1, "axes"), ranked()))
def reverse(op, node, x, axes):
    known = const(axes)
    at = [i for i, f in enumerate(known) if f] if known.dtype == bool else vector(axes)
    if not at:
        return op.Identity(x)
    count = len(at)
    return op.Slice(x, ints(*[-1] * count), ints(*[-FAR] * count), ints(*at), ints(*[-1] * count))


@ops.op("ReverseSequence")
def reverse_sequence(op, node, x, lengths):
    batch, time = node.get("batch_dim", 0), node.get("seq_dim")
    if {batch, time} != {0, 1}:
        return NotImplemented
    return op.ReverseSequence(x, as_int64(op, lengths), batch_axis=batch, time_axis=time)


@ops.op("Roll", needs=(constant(1, "shift"), constant(2, "axis"), ranked()))
def roll(op, node, x, shift, axis):
    for amount, at in zip(vector(shift), vector(axis), strict=True):
        length = x.shape[at]
        if isinstance(length, int):
            amount = amount % length if length else 0
        if amount == 0:
            continue
        tail = op.Slice(x, ints(-amount), ints(FAR), ints(at))
        x = op.Concat(tail, op.Slice(x, ints(0), ints(-amount), ints(at)), axis=at)
    return op.Identity(x)


def _pads(op: Any, paddings: Any) -> Any:
    table = const(paddings)
    if table is not None:
        return op.const(np.ascontiguousarray(table.T).ravel().astype(np.int64))
    return op.Reshape(op.Transpose(as_int64(op, paddings), perm=[1, 0]), ints(-1))


@ops.op("Pad", "PadV2")
def pad(op, node, x, paddings, value=None):
    return op.Pad(x, _pads(op, paddings), None if value is None else scalar(op, value))


@ops.op("MirrorPad", needs=(ranked(),))
def mirror_pad(op, node, x, paddings):
    """SYMMETRIC repeats the edge: the mirrored slices are put beside, an axis at a time."""
    if node.get("mode") == "REFLECT":
        return op.Pad(x, _pads(op, paddings), mode="reflect")
    table = const(paddings)
    if table is None:
        return NotImplemented
    for axis, (before, after) in enumerate(table.tolist()):
        pieces = [x]
        if before:
            pieces.insert(0, op.Slice(x, ints(before - 1), ints(-FAR), ints(axis), ints(-1)))
        if after:
            pieces.append(op.Slice(x, ints(-1), ints(-1 - after), ints(axis), ints(-1)))
        x = op.Concat(*pieces, axis=axis) if len(pieces) > 1 else x
    return op.Identity(x)


@ops.op("Slice", needs=(need("a known number of axes", lambda n: shape_of(n.inputs[1]) is not None),))
def slice_(op, node, x, begin, size):
    sizes, begin = vector(size), as_int64(op, begin)
    axes = op.const(np.arange(shape_of(begin)[0]))
    start = const(begin)
    if start is not None and sizes is not None:
        ends = op.const(ints(*(FAR if s < 0 else b + s for b, s in zip(start.tolist(), sizes, strict=True))))
    else:
        whole = as_int64(op, size)
        ends = op.Where(op.Less(whole, ints(0)), ints(FAR), op.Add(begin, whole))
    made = op.Slice(x, begin, ends, axes)
    if sizes is not None and x.shape is not None:
        made.shape = ir.Shape([s if s >= 0 else d for s, d in zip(sizes, made.shape or x.shape, strict=True)])
    return made


MASKS = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")


def _spec_known(node: Any) -> bool:
    return shape_of(node.inputs[1]) is not None and const(node.inputs[3]) is not None


@ops.op("StridedSlice", needs=(need("a known number of axes, and constant strides", _spec_known),))
def strided_slice(op, node, x, begin, end, strides):
    """Every entry of the specification is a slice of an axis, one element of it, a new axis, or the axes in between."""
    steps = vector(strides)
    place = vector(begin)
    if rank_of(x) == 1 and node.get("shrink_axis_mask", 0) == 1 and place is not None:
        known = (parts(x) or [])[place[0] :]
        if known and known[0] is not None:
            return op.const(np.array(known[0], x.dtype.numpy()))
    on = {m: [node.get(m, 0) >> i & 1 for i in range(len(steps))] for m in MASKS}
    used = sum(1 for i in range(len(steps)) if not on["new_axis_mask"][i] and not on["ellipsis_mask"][i])
    if any(on["ellipsis_mask"]) and rank_of(x) is None:
        return NotImplemented
    axis, plan, shrunk, new, out = 0, [], [], [], 0
    for i, step in enumerate(steps):
        if on["ellipsis_mask"][i]:
            hidden = rank_of(x) - used
            axis, out = axis + hidden, out + hidden
            continue
        if on["new_axis_mask"][i]:
            new.append(out)
            out += 1
            continue
        one = on["shrink_axis_mask"][i]
        plan.append((axis, i, 1 if one else step, one))
        shrunk += [axis] if one else []
        axis, out = axis + 1, out + (0 if one else 1)
    made = _sliced(op, x, begin, end, plan, on) if plan else x
    made = op.Squeeze(made, ints(*shrunk)) if shrunk else made
    return op.Unsqueeze(made, ints(*new)) if new else made


def _sliced(op: Any, x: Any, begin: Any, end: Any, plan: list, on: dict) -> Any:
    starts, ends = vector(begin), vector(end)
    firsts, lasts = [], []
    for _, i, step, one in plan:
        if on["begin_mask"][i] and not one:
            firsts.append(0 if step > 0 else FAR)
        else:
            firsts.append(starts[i] if starts is not None else _element(op, begin, i))
        if one:
            lasts.append(_next(op, firsts[-1]))
        elif on["end_mask"][i]:
            lasts.append(FAR if step > 0 else -FAR)
        else:
            lasts.append(ends[i] if ends is not None else _element(op, end, i))
    if all(
        f == 0 and e == FAR and s == 1
        for f, e, (_, _, s, _) in zip(firsts, lasts, plan, strict=True)
        if not _is_value(f, e)
    ) and not any(_is_value(f, e) for f, e in zip(firsts, lasts, strict=True)):
        return op.Identity(x)
    axes, steps = ints(*(a for a, *_ in plan)), ints(*(s for _, _, s, _ in plan))
    return op.Slice(x, _joined(op, firsts), _joined(op, lasts), axes, steps)


def _is_value(*values: Any) -> bool:
    return any(isinstance(v, ir.Value) for v in values)


def _element(op: Any, values: Any, index: int) -> Any:
    known = (parts(values) or [None] * (index + 1))[index]
    return (
        known if known is not None else op.Slice(as_int64(op, values), ints(index), ints(index + 1), ints(0))
    )


def _next(op: Any, start: Any) -> Any:
    """The end of a slice of the one element at `start`."""
    if isinstance(start, int):
        return start + 1 if start != -1 else FAR
    return op.Where(op.Equal(start, ints(-1)), ints(FAR), op.Add(start, ints(1)))


def _joined(op: Any, values: list) -> Any:
    if not _is_value(*values):
        return op.const(ints(*values))
    made = [v if isinstance(v, ir.Value) else op.const(ints(v)) for v in values]
    return op.Concat(*made, axis=0) if len(made) > 1 else made[0]


@ops.op("Gather", "GatherV2", "ResourceGather")
def gather(op, node, x, indices, axis=None):
    at = 0 if axis is None else vector(axis)[0] if const(axis) is not None else None
    batch = node.get("batch_dims", 0)
    if at is None:
        return NotImplemented
    x = x.read() if hasattr(x, "read") else x
    if rank_of(x) == 1 and vector(indices) is not None:
        known = [(parts(x) or [None] * (i + 1))[i] for i in vector(indices)]
        if None not in known:
            return op.const(np.array(known, x.dtype.numpy()).reshape(const(indices).shape))
    if not batch:
        return op.Gather(x, as_int64(op, indices), axis=at)
    return _batched_gather(op, x, indices, at, batch)


def _batched_gather(op: Any, x: Any, indices: Any, axis: int, batch: int) -> Any:
    """Along the axis right after the batch dimensions: a GatherND of whole rows."""
    rank, own = rank_of(x), rank_of(indices)
    if rank is None or own is None:
        return NotImplemented
    axis, batch = axis % rank, batch % own if batch < 0 else batch
    if axis != batch:
        order = [*range(batch), axis, *range(batch, axis), *range(axis + 1, rank)]
        found = _batched_gather(op, op.Transpose(x, perm=order), indices, batch, batch)
        moved = axis - batch
        between, rest = range(own, own + moved), range(own + moved, rank - 1 + own - batch)
        back = [*range(batch), *between, *range(batch, own), *rest]
        return op.Transpose(found, perm=back)
    return op.GatherND(x, op.Unsqueeze(as_int64(op, indices), ints(-1)), batch_dims=batch)


@ops.op("GatherNd", "ResourceGatherNd")
def gather_nd(op, node, x, indices):
    x = x.read() if hasattr(x, "read") else x
    return op.GatherND(x, as_int64(op, indices))


@ops.op("ScatterNd")
def scatter_nd(op, node, indices, updates, target):
    """What comes to one place is added."""
    empty = op.Expand(like(op, updates, 0), as_int64(op, target))
    return op.ScatterND(empty, as_int64(op, indices), updates, reduction="add")


SCATTER = {"Update": "none", "Add": "add", "Max": "max", "Min": "min"}


@ops.op("TensorScatterUpdate", "TensorScatterAdd", "TensorScatterMax", "TensorScatterMin", "TensorScatterSub")
def tensor_scatter(op, node, x, indices, updates):
    kind = node.op.removeprefix("TensorScatter")
    if kind == "Sub":
        kind, updates = "Add", op.Neg(updates)
    return op.ScatterND(x, as_int64(op, indices), updates, reduction=SCATTER[kind])


@ops.op("SparseToDense")
def sparse_to_dense(op, node, indices, target, values, default):
    size = as_int64(op, target)
    at = as_int64(op, indices)
    if rank_of(at) is None or rank_of(at) == 0:
        return NotImplemented
    at = op.Unsqueeze(at, ints(1)) if rank_of(at) == 1 else at
    if rank_of(values) == 0:
        values = op.Expand(values, op.Shape(at, start=0, end=1))
    return op.ScatterND(op.Expand(default, size), at, values)


@ops.op("LowerBound", "UpperBound", needs=(ranked(),))
def bound(op, node, sorted_values, values):
    """How many of each row are smaller, or not larger."""
    rows, queries = op.Unsqueeze(sorted_values, ints(1)), op.Unsqueeze(values, ints(2))
    under = op.Less(rows, queries) if node.op == "LowerBound" else op.LessOrEqual(rows, queries)
    count = op.ReduceSum(op.Cast(under, to=int(T.INT64)), ints(2), keepdims=0)
    return as_dtype(op, count, node.get("out_type", T.INT32))


@ops.op("Bucketize")
def bucketize(op, node, x):
    """How many boundaries are not larger than the element."""
    bounds = np.array(node.get("boundaries") or [], np.float32)
    reached = op.GreaterOrEqual(op.Unsqueeze(as_dtype(op, x, T.FLOAT), ints(-1)), op.const(bounds))
    return op.ReduceSum(op.Cast(reached, to=int(T.INT32)), ints(-1), keepdims=0)


@ops.op("BoostedTreesBucketize")
def boosted_trees_bucketize(op, node, *inputs):
    """How many boundaries are under the element."""
    count = node.get("num_features")
    made = []
    for x, bounds in zip(inputs[:count], inputs[count:], strict=True):
        above = op.Less(op.Unsqueeze(bounds, ints(0)), op.Unsqueeze(x, ints(-1)))
        made.append(op.ReduceSum(op.Cast(above, to=int(T.INT32)), ints(-1), keepdims=0))
    return made


@ops.op("ToBool", needs=(ranked(),))
def to_bool(op, node, x):
    """A scalar other than zero, or any elements at all."""
    if rank_of(x) == 0:
        return x if x.dtype == T.BOOL else op.Not(op.Equal(x, like(op, x, 0)))
    return op.Greater(op.Size(x), op.const(np.array(0, np.int64)))
