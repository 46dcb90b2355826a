"""Moving, choosing and making elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import const, rank_of, shape_of
from bridge.importing import as_dtype, as_int64, constant_ints, int64_vector, ints, like, shape_tensor
from bridge.needs import condition, constant
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import FAR, T, parts, ranked, reshaped, scalar
from bridge_savedmodel.values import Pair, tensor_of

ops = OpTable()


@ops.op("Const", "HostConst")
def const_(op, node):
    """A complex one as its two parts."""
    array = node.get("value")
    if np.iscomplexobj(array):
        return Pair(op.const(np.ascontiguousarray(array.real)), op.const(np.ascontiguousarray(array.imag)))
    return op.const(tensor_of(array))


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
    "Print",
)
def identity(op, node, x, *rest):
    return x


@ops.op("IdentityN")
def identity_n(op, node, *inputs):
    return list(inputs)


@ops.op("EnsureShape")
def ensure_shape(op, node, x):
    """What the shape adds to what is known."""
    dims, own = node.get("shape"), [None] if x.shape is None else list(x.shape)
    if dims is None or (
        len(own) == len(dims) and all(isinstance(o, int) or d is None for o, d in zip(own, dims, strict=True))
    ):
        return x
    made = op.Identity(x)
    known = own if len(own) == len(dims) else [None] * len(dims)
    made.shape = ir.Shape([o if d is None else d for o, d in zip(known, dims, strict=True)])
    return made


@ops.op("Shape")
def shape(op, node, x):
    return shape_tensor(op, x, node.get("out_type"))


@ops.op("complex::Shape")
def shape_of_pair(op, node, x):
    return shape(op, node, x.real)


@ops.op("ShapeN")
def shape_n(op, node, *inputs):
    return [shape_tensor(op, x, node.get("out_type")) for x in inputs]


@ops.op("Size")
def size(op, node, x):
    return as_dtype(op, op.Size(x), node.get("out_type"))


@ops.op("Rank", needs=(ranked(),))
def rank(op, node, x):
    return op.const(np.array(rank_of(x), np.int32))


@ops.op("Reshape")
def reshape(op, node, x, target):
    return reshaped(op, x, int64_vector(op, target) if rank_of(target) != 1 else as_int64(op, target))


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
    return op.Unsqueeze(x, int64_vector(op, axis))


@ops.op("Transpose", "ConjugateTranspose", needs=(constant(1, "permutation"),))
def transpose(op, node, x, perm):
    order = [p % len(constant_ints(perm)) for p in constant_ints(perm)]
    return x if order == sorted(order) else op.Transpose(x, perm=order)


@ops.op("InvertPermutation")
def invert_permutation(op, node, x):
    found = op.TopK(x, op.Shape(x), largest=0, _outputs=2)[1]
    return as_dtype(op, found, x.dtype)


@ops.op("ConcatV2", "Concat")
def concat(op, node, *inputs):
    values, axis = (inputs[:-1], inputs[-1]) if node.op == "ConcatV2" else (inputs[1:], inputs[0])
    at = constant_ints(axis)
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
    axis, count = node.get("axis"), node.get("num")
    if count == 1:
        return [op.Squeeze(x, ints(axis))]
    return [op.Squeeze(p, ints(axis)) for p in op.Split(x, axis=axis, num_outputs=count, _outputs=count)]


@ops.op("Split", needs=(constant(0, "axis"),))
def split(op, node, axis, x):
    count = node.get("num_split")
    return (
        [op.Identity(x)]
        if count == 1
        else list(op.Split(x, axis=constant_ints(axis)[0], num_outputs=count, _outputs=count))
    )


@ops.op("SplitV", needs=(constant(2, "axis"),))
def split_v(op, node, x, sizes, axis):
    known, at, count = constant_ints(sizes), constant_ints(axis)[0], node.get("num_split")
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
    return as_dtype(op, op.Shape(op.Add(*ones)), node.get("T"))


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
    axis = node.get("axis")
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
    at = [i for i, f in enumerate(known) if f] if known.dtype == bool else constant_ints(axes)
    if not at:
        return op.Identity(x)
    count = len(at)
    return op.Slice(x, ints(*[-1] * count), ints(*[-FAR] * count), ints(*at), ints(*[-1] * count))


@ops.op("ReverseSequence")
def reverse_sequence(op, node, x, lengths):
    batch, time = node.get("batch_dim"), node.get("seq_dim")
    if {batch, time} == {0, 1}:
        return op.ReverseSequence(x, as_int64(op, lengths), batch_axis=batch, time_axis=time)
    if rank_of(x) is None:
        return NotImplemented
    order = [batch, time, *(i for i in range(rank_of(x)) if i not in (batch, time))]
    made = op.ReverseSequence(op.Transpose(x, perm=order), as_int64(op, lengths), batch_axis=0, time_axis=1)
    return op.Transpose(made, perm=[order.index(i) for i in range(len(order))])


@ops.op("Roll", needs=(constant(2, "axis"), ranked()))
def roll(op, node, x, shift, axis):
    """The last elements of each axis, as many as the remainder of the shift, before the others."""
    shifts, at = int64_vector(op, shift), constant_ints(axis)
    for n, place in enumerate(at):
        length = shape_tensor(op, x)
        size = op.Max(op.Slice(length, ints(place % rank_of(x)), ints(place % rank_of(x) + 1)), ints(1))
        amount = shifts if len(at) == 1 else op.Slice(shifts, ints(n), ints(n + 1))
        cut = op.Sub(size, op.Mod(amount, size))
        x = op.Concat(
            op.Slice(x, cut, ints(FAR), ints(place)), op.Slice(x, ints(0), cut, ints(place)), axis=place
        )
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


@ops.op("LowerBound", "UpperBound", needs=(ranked(),))
def bound(op, node, sorted_values, values):
    """How many of each row are smaller, or not larger."""
    rows, queries = op.Unsqueeze(sorted_values, ints(1)), op.Unsqueeze(values, ints(2))
    under = op.Less(rows, queries) if node.op == "LowerBound" else op.LessOrEqual(rows, queries)
    count = op.ReduceSum(op.Cast(under, to=int(T.INT64)), ints(2), keepdims=0)
    return as_dtype(op, count, node.get("out_type"))


@ops.op("Bucketize")
def bucketize(op, node, x):
    """How many boundaries are not larger than the element."""
    bounds = np.array(node.get("boundaries") or [], np.float32)
    reached = op.GreaterOrEqual(op.Unsqueeze(as_dtype(op, x, T.FLOAT), ints(-1)), op.const(bounds))
    return op.ReduceSum(op.Cast(reached, to=int(T.INT32)), ints(-1), keepdims=0)


@ops.op("BoostedTreesBucketize")
def boosted_trees_bucketize(op, node, *inputs):
    """How many boundaries are under the element, as long as one is not."""
    count, none = node.get("num_features"), op.const(np.array(0, np.int32))
    made = []
    for x, bounds in zip(inputs[:count], inputs[count:], strict=True):
        ends = op.Concat(bounds, np.full(1, np.inf, np.float32), axis=0)
        most = op.Sub(op.Shape(ends), ints(2))
        under = op.Cast(op.Less(op.Unsqueeze(ends, ints(0)), op.Unsqueeze(x, ints(-1))), to=int(T.INT32))
        found = op.Min(op.ReduceSum(under, ints(-1), keepdims=0), op.Cast(most, to=int(T.INT32)))
        made.append(op.Max(found, none))
    return made


@ops.op("ToBool", needs=(ranked(),))
def to_bool(op, node, x):
    """A scalar other than zero, or any elements at all."""
    if rank_of(x) == 0:
        return x if x.dtype == T.BOOL else op.Not(op.Equal(x, like(op, x, 0)))
    return op.Greater(op.Size(x), op.const(np.array(0, np.int64)))


@ops.op("ConcatOffset", needs=(constant(0, "axis"),))
def concat_offset(op, node, axis, *shapes):
    """Where each of several tensors begins once they are put together."""
    along = np.zeros(shape_of(shapes[0]) or [1], shapes[0].dtype.numpy())
    along[constant_ints(axis)[0]] = 1
    made = [op.const(np.zeros_like(along))]
    for shape in shapes[:-1]:
        made.append(op.Add(made[-1], op.Mul(shape, op.const(along))))
    return made


@ops.op("DataFormatDimMap")
def data_format_dims(op, node, x):
    """The number of each dimension in another layout."""
    source, target = node.get("src_format"), node.get("dst_format")
    table = np.array([target.index(c) for c in source], x.dtype.numpy())
    return op.Gather(op.const(table), as_int64(op, x), axis=0)


@ops.op("DataFormatVecPermute", needs=(ranked(),))
def data_format_vector(op, node, x):
    """One number, or pair, for each dimension, in the order of another layout."""
    source, target = node.get("src_format"), node.get("dst_format")
    size = x.shape[0] if x.shape is not None else None
    if size == len(source) - 2:
        source, target = ("".join(c for c in f if c not in "NC") for f in (source, target))
    elif size != len(source):
        return NotImplemented
    return op.Gather(x, ints(*(source.index(c) for c in target)), axis=0)


@ops.op("ParallelConcat")
def parallel_concat(op, node, *inputs):
    return op.Concat(*inputs, axis=0) if len(inputs) > 1 else op.Identity(inputs[0])


@ops.op("Empty", needs=(condition("numbers", lambda n: n.get("dtype") not in (None, T.STRING)),))
def empty(op, node, target):
    """Zeros, which any contents may be."""
    return fill(op, node, target, op.const(np.zeros((), node.get("dtype").numpy())))


@ops.op("FakeParam", needs=(condition("a known shape", lambda n: None not in (n.get("shape") or (None,))),))
def fake_param(op, node):
    """Stands for what a branch does not make."""
    return op.const(np.zeros(node.get("shape"), node.get("dtype").numpy()))


@ops.op("DeviceIndex")
def device_index(op, node):
    names = node.get("device_names") or []
    return op.const(np.array(names.index("CPU") if "CPU" in names else len(names), np.int32))


@ops.op("HistogramFixedWidth")
def histogram(op, node, x, bounds, bins):
    """How many values fall into each bin; those outside of the bounds into the first and last."""
    low, high = (op.Gather(bounds, np.array(i, np.int64), axis=0) for i in (0, 1))
    count = int64_vector(op, bins)
    scaled = op.Div(op.Sub(op.Reshape(x, ints(-1)), low), op.Sub(high, low))
    places = op.Floor(op.Mul(scaled, op.Cast(count, to=int(x.dtype))))
    at = op.Min(op.Max(op.Cast(places, to=int(T.INT64)), ints(0)), op.Sub(count, ints(1)))
    kind = node.get("dtype").numpy()
    zeros = op.Expand(op.const(np.zeros((), kind)), count)
    ones = op.Expand(op.const(np.ones((), kind)), op.Shape(at))
    return op.ScatterND(zeros, op.Unsqueeze(at, ints(1)), ones, reduction="add")
