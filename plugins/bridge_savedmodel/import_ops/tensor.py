"""Shapes, layout and creation of tensors: constants, concatenation, splitting, padding, broadcasting."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import const, rank_of, shape_of
from bridge.importing import as_dtype, as_int64, constant_ints, int64_vector, ints, like, shape_tensor
from bridge.needs import condition, constant
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import FAR, T, as_scalar, known_elements, known_rank, reshape_to
from bridge_savedmodel.values import Pair, tensor_of

ops = OpTable()


@ops.op("Const", "HostConst")
def const_(op, node):
    """A constant; a complex one as a pair of its parts."""
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
    """Add the declared dimensions to the shape; the input itself if they add nothing."""
    dims, dims_known = node.get("shape"), [None] if x.shape is None else list(x.shape)
    if dims is None or (
        len(dims_known) == len(dims)
        and all(isinstance(o, int) or d is None for o, d in zip(dims_known, dims, strict=True))
    ):
        return x
    annotated = op.Identity(x)
    inferred = dims_known if len(dims_known) == len(dims) else [None] * len(dims)
    annotated.shape = ir.Shape([o if d is None else d for o, d in zip(inferred, dims, strict=True)])
    return annotated


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


@ops.op("Rank", needs=(known_rank(),))
def rank(op, node, x):
    return op.const(np.array(rank_of(x), np.int32))


@ops.op("Reshape")
def reshape(op, node, x, target):
    return reshape_to(op, x, int64_vector(op, target) if rank_of(target) != 1 else as_int64(op, target))


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
    inverse = op.TopK(x, op.Shape(x), largest=0, _outputs=2)[1]
    return as_dtype(op, inverse, x.dtype)


@ops.op("ConcatV2", "Concat")
def concat(op, node, *inputs):
    values, axis = (inputs[:-1], inputs[-1]) if node.op == "ConcatV2" else (inputs[1:], inputs[0])
    known_axis = constant_ints(axis)
    if known_axis is None:
        return NotImplemented
    non_empty = [v for v in values if shape_of(v) != [0]] or [values[0]]
    return op.Concat(*non_empty, axis=known_axis[0]) if len(non_empty) > 1 else op.Identity(non_empty[0])


@ops.op("Pack", "Stack")
def pack(op, node, *inputs):
    axis = node.get("axis", 0)
    if len(inputs) == 1:
        return op.Unsqueeze(inputs[0], ints(axis))
    return op.Concat(*(op.Unsqueeze(v, ints(axis)) for v in inputs), axis=axis)


@ops.op("Unpack")
def unpack(op, node, x):
    axis, count = node.get("axis"), node.get("num")
    return [op.Squeeze(p, ints(axis)) for p in _parts(op, x, axis, count)]


def _parts(op: Any, x: Any, axis: int, count: int) -> list[Any]:
    """`x` in `count` parts of the same length; vectors of integers as slices, through which shapes are
    inferred."""
    if count == 1:
        return [op.Identity(x)]
    known = shape_of(x)
    if known is None or len(known) != 1 or not x.dtype.is_integer() or known[0] % count:
        return list(op.Split(x, axis=axis, num_outputs=count, _outputs=count))
    size = known[0] // count
    return [op.Slice(x, ints(i * size), ints((i + 1) * size), ints(0)) for i in range(count)]


@ops.op("Split", needs=(constant(0, "axis"),))
def split(op, node, axis, x):
    return _parts(op, x, constant_ints(axis)[0], node.get("num_split"))


@ops.op("SplitV", needs=(constant(2, "axis"),))
def split_v(op, node, x, sizes, axis):
    known, dim_index, count = constant_ints(sizes), constant_ints(axis)[0], node.get("num_split")
    if known is not None and -1 in known:
        dim = None if x.shape is None else x.shape[dim_index]
        if not isinstance(dim, int):
            length = op.Shape(x, start=dim_index % rank_of(x), end=dim_index % rank_of(x) + 1)
            inferred = op.Sub(length, ints(sum(s for s in known if s >= 0)))
            sizes = op.Concat(*(inferred if s < 0 else op.const(ints(s)) for s in known), axis=0)
        else:
            sizes = op.const(ints(*(dim - sum(v for v in known if v >= 0) if s < 0 else s for s in known)))
    return (
        [op.Identity(x)]
        if count == 1
        else list(op.Split(x, as_int64(op, sizes), axis=dim_index, _outputs=count))
    )


@ops.op("Tile")
def tile(op, node, x, repeats):
    known = const(repeats)
    if known is not None and (known == 1).all() and len(known) == rank_of(x):
        return x
    return op.Tile(x, as_int64(op, repeats))


@ops.op("Fill")
def fill(op, node, dims, value):
    filled = op.Expand(value, as_int64(op, dims))
    known = known_elements(dims)
    if known is not None and filled.shape is None:
        filled.shape = ir.Shape(known)
    return filled


@ops.op("BroadcastTo")
def broadcast_to(op, node, x, target):
    expanded = op.Expand(x, as_int64(op, target))
    known = known_elements(target)
    if known is not None and (expanded.shape is None or len(expanded.shape) != len(known)):
        expanded.shape = ir.Shape(known)
    return expanded


@ops.op("BroadcastArgs", needs=(known_rank(), known_rank(1)))
def broadcast_args(op, node, x, y):
    ones = [op.Expand(op.const(np.ones((), np.int64)), as_int64(op, v)) for v in (x, y)]
    return as_dtype(op, op.Shape(op.Add(*ones)), node.get("T"))


@ops.op("Range")
def range_(op, node, start, limit, delta):
    return op.Range(*(as_scalar(op, v) for v in (start, limit, delta)))


@ops.op("LinSpace", needs=(constant(2, "num"),))
def lin_space(op, node, start, stop, count):
    steps = int(const(count).reshape(()))
    fractions = np.arange(steps) / max(steps - 1, 1)
    return op.Add(start, op.Mul(op.Sub(stop, start), op.const(fractions.astype(start.dtype.numpy()))))


@ops.op("OneHot", needs=(constant(1, "depth"),))
def one_hot(op, node, indices, depth, on, off):
    """Rows of `off` for indices out of range, negative ones included."""
    count = int(const(depth).reshape(()))
    rank = rank_of(indices)
    axis = node.get("axis")
    axis = rank if axis == -1 else axis
    expanded_indices = op.Unsqueeze(as_int64(op, indices), ints(axis))
    positions = np.arange(count, dtype=np.int64).reshape([-1 if i == axis else 1 for i in range(rank + 1)])
    return op.Where(op.Equal(expanded_indices, op.const(positions)), on, off)


@ops.op("Where", needs=(known_rank(),))
def where(op, node, x):
    return op.Transpose(op.NonZero(x), perm=[1, 0])


@ops.op("ReverseV2", "Reverse", needs=(constant(1, "axes"), known_rank()))
def reverse(op, node, x, axes):
    known = const(axes)
    reversed_axes = [i for i, f in enumerate(known) if f] if known.dtype == bool else constant_ints(axes)
    if not reversed_axes:
        return op.Identity(x)
    count = len(reversed_axes)
    return op.Slice(x, ints(*[-1] * count), ints(*[-FAR] * count), ints(*reversed_axes), ints(*[-1] * count))


@ops.op("ReverseSequence")
def reverse_sequence(op, node, x, lengths):
    batch, time = node.get("batch_dim"), node.get("seq_dim")
    if {batch, time} == {0, 1}:
        return op.ReverseSequence(x, as_int64(op, lengths), batch_axis=batch, time_axis=time)
    if rank_of(x) is None:
        return NotImplemented
    perm = [batch, time, *(i for i in range(rank_of(x)) if i not in (batch, time))]
    reversed_ = op.ReverseSequence(
        op.Transpose(x, perm=perm), as_int64(op, lengths), batch_axis=0, time_axis=1
    )
    return op.Transpose(reversed_, perm=[perm.index(i) for i in range(len(perm))])


@ops.op("Roll", needs=(constant(2, "axis"), known_rank()))
def roll(op, node, x, shift, axis):
    """Along each axis, move the last elements to the front, as many as the shift modulo the length."""
    shifts, axes = int64_vector(op, shift), constant_ints(axis)
    for n, dim in enumerate(axes):
        length = shape_tensor(op, x)
        size = op.Max(op.Slice(length, ints(dim % rank_of(x)), ints(dim % rank_of(x) + 1)), ints(1))
        steps = shifts if len(axes) == 1 else op.Slice(shifts, ints(n), ints(n + 1))
        cut = op.Sub(size, op.Mod(steps, size))
        x = op.Concat(op.Slice(x, cut, ints(FAR), ints(dim)), op.Slice(x, ints(0), cut, ints(dim)), axis=dim)
    return op.Identity(x)


def _pads(op: Any, paddings: Any) -> Any:
    """ONNX pads [2 · rank] from TensorFlow paddings [rank, 2]."""
    pairs = const(paddings)
    if pairs is not None:
        return op.const(np.ascontiguousarray(pairs.T).ravel().astype(np.int64))
    return op.Reshape(op.Transpose(as_int64(op, paddings), perm=[1, 0]), ints(-1))


@ops.op("Pad", "PadV2")
def pad(op, node, x, paddings, value=None):
    return op.Pad(x, _pads(op, paddings), None if value is None else as_scalar(op, value))


@ops.op("MirrorPad", needs=(known_rank(),))
def mirror_pad(op, node, x, paddings):
    """Pad by mirrored slices, one axis at a time, for SYMMETRIC, which repeats the edge."""
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


@ops.op("LowerBound", "UpperBound", needs=(known_rank(),))
def bound(op, node, sorted_values, values):
    """Number of elements of each row below a value, or not above it."""
    rows, queries = op.Unsqueeze(sorted_values, ints(1)), op.Unsqueeze(values, ints(2))
    is_below = op.Less(rows, queries) if node.op == "LowerBound" else op.LessOrEqual(rows, queries)
    count = op.ReduceSum(op.Cast(is_below, to=int(T.INT64)), ints(2), keepdims=0)
    return as_dtype(op, count, node.get("out_type"))


@ops.op("Bucketize")
def bucketize(op, node, x):
    """Number of boundaries not above each element."""
    bounds = np.array(node.get("boundaries") or [], np.float32)
    is_reached = op.GreaterOrEqual(op.Unsqueeze(as_dtype(op, x, T.FLOAT), ints(-1)), op.const(bounds))
    return op.ReduceSum(op.Cast(is_reached, to=int(T.INT32)), ints(-1), keepdims=0)


@ops.op("BoostedTreesBucketize")
def boosted_trees_bucketize(op, node, *inputs):
    """Index of the bucket of each element: the number of boundaries below it, the last of them aside."""
    count, zero = node.get("num_features"), op.const(np.array(0, np.int32))
    buckets = []
    for x, bounds in zip(inputs[:count], inputs[count:], strict=True):
        edges = op.Concat(bounds, np.full(1, np.inf, np.float32), axis=0)
        last_bucket = op.Sub(op.Shape(edges), ints(2))
        is_below = op.Cast(op.Less(op.Unsqueeze(edges, ints(0)), op.Unsqueeze(x, ints(-1))), to=int(T.INT32))
        bucket = op.Min(op.ReduceSum(is_below, ints(-1), keepdims=0), op.Cast(last_bucket, to=int(T.INT32)))
        buckets.append(op.Max(bucket, zero))
    return buckets


@ops.op("ToBool", needs=(known_rank(),))
def to_bool(op, node, x):
    """True for a scalar other than zero, or for a tensor with any elements."""
    if rank_of(x) == 0:
        return x if x.dtype == T.BOOL else op.Not(op.Equal(x, like(op, x, 0)))
    return op.Greater(op.Size(x), op.const(np.array(0, np.int64)))


@ops.op("ConcatOffset", needs=(constant(0, "axis"),))
def concat_offset(op, node, axis, *shapes):
    """Offset of each of several tensors in their concatenation."""
    direction = np.zeros(shape_of(shapes[0]) or [1], shapes[0].dtype.numpy())
    direction[constant_ints(axis)[0]] = 1
    offsets = [op.const(np.zeros_like(direction))]
    for shape in shapes[:-1]:
        offsets.append(op.Add(offsets[-1], op.Mul(shape, op.const(direction))))
    return offsets


@ops.op("DataFormatDimMap")
def data_format_dims(op, node, x):
    """The index of each dimension in another layout."""
    source, target = node.get("src_format"), node.get("dst_format")
    table = np.array([target.index(c) for c in source], x.dtype.numpy())
    return op.Gather(op.const(table), as_int64(op, x), axis=0)


@ops.op("DataFormatVecPermute", needs=(known_rank(),))
def data_format_vector(op, node, x):
    """A value or pair per dimension, in the order of another layout."""
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
    """Zeros: any content is valid."""
    return fill(op, node, target, op.const(np.zeros((), node.get("dtype").numpy())))


@ops.op("FakeParam", needs=(condition("a known shape", lambda n: None not in (n.get("shape") or (None,))),))
def fake_param(op, node):
    """Zeros for an output that a branch does not compute."""
    return op.const(np.zeros(node.get("shape"), node.get("dtype").numpy()))


@ops.op("DeviceIndex")
def device_index(op, node):
    names = node.get("device_names") or []
    return op.const(np.array(names.index("CPU") if "CPU" in names else len(names), np.int32))


@ops.op("HistogramFixedWidth")
def histogram(op, node, x, bounds, bins):
    """Number of values in each bin; values beyond the bounds count in the first and last bin."""
    low, high = (op.Gather(bounds, np.array(i, np.int64), axis=0) for i in (0, 1))
    count = int64_vector(op, bins)
    scaled = op.Div(op.Sub(op.Reshape(x, ints(-1)), low), op.Sub(high, low))
    positions = op.Floor(op.Mul(scaled, op.Cast(count, to=int(x.dtype))))
    bin_indices = op.Min(op.Max(op.Cast(positions, to=int(T.INT64)), ints(0)), op.Sub(count, ints(1)))
    dtype = node.get("dtype").numpy()
    zeros = op.Expand(op.const(np.zeros((), dtype)), count)
    ones = op.Expand(op.const(np.ones((), dtype)), op.Shape(bin_indices))
    return op.ScatterND(zeros, op.Unsqueeze(bin_indices, ints(1)), ones, reduction="add")
