"""StableHLO operators with a meaning in ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bridge.hub import rank_of
from bridge.importing import ints, permuted
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_tflite.import_ops.common import BOOL, INT32, INT64, check_count, check_expansion
from bridge_tflite.import_ops.index import dynamic_update_slice
from bridge_tflite.import_ops.reduce import COMBINATIONS, WINDOW_REDUCTIONS, reduce_windows

ops = OpTable()

ops.same(
    STABLEHLO_ABS="Abs",
    STABLEHLO_ADD="Add",
    STABLEHLO_COSINE="Cos",
    STABLEHLO_DIVIDE="Div",
    STABLEHLO_EXPONENTIAL="Exp",
    STABLEHLO_FLOOR="Floor",
    STABLEHLO_LOG="Log",
    STABLEHLO_LOGISTIC="Sigmoid",
    STABLEHLO_MAXIMUM="Max",
    STABLEHLO_MINIMUM="Min",
    STABLEHLO_MULTIPLY="Mul",
    STABLEHLO_NEGATE="Neg",
    STABLEHLO_POWER="Pow",
    STABLEHLO_SELECT="Where",
    STABLEHLO_SUBTRACT="Sub",
    STABLEHLO_TANH="Tanh",
)
ops.op("STABLEHLO_DYNAMIC_UPDATE_SLICE")(
    lambda op, node, x, update, *starts: dynamic_update_slice(
        op, node, x, update, op.Concat(*(op.Reshape(s, ints(1)) for s in starts), axis=0)
    )
)


def int_list(node: Any, field: str) -> list[int]:
    return [int(v) for v in node.get(field, [])]


@ops.op("STABLEHLO_AND", "STABLEHLO_OR")
def logical(op, node, x, y):
    operator = "And" if node.op.endswith("AND") else "Or"
    return op.node(operator if int(x.dtype) == BOOL else f"Bitwise{operator}", x, y)


@ops.op("STABLEHLO_RSQRT")
def rsqrt(op, node, x):
    return op.Reciprocal(op.Sqrt(x))


@ops.op("STABLEHLO_CBRT")
def cbrt(op, node, x):
    return op.Mul(op.Sign(x), op.Pow(op.Abs(x), np.array(1 / 3, x.dtype.numpy())))


@ops.op("STABLEHLO_REMAINDER")
def remainder(op, node, x, y):
    """Remainder with the sign of the dividend."""
    return op.Mod(x, y, fmod=1)


@ops.op("STABLEHLO_SHIFT_LEFT")
def shift_left(op, node, x, y):
    """A shift by the bit width or more gives 0."""
    bits = x.dtype.numpy().itemsize * 8
    amount = op.Cast(y, to=INT64)
    too_far = op.Or(op.Less(amount, np.int64(0)), op.GreaterOrEqual(amount, np.int64(bits)))
    safe = op.Where(too_far, np.int64(0), amount)
    powers = (np.uint64(1) << np.arange(64, dtype=np.uint64)).view(np.int64)
    moved = op.Mul(op.Cast(x, to=INT64), op.Gather(op.const(powers), safe, axis=0))
    return op.Cast(op.Where(too_far, np.int64(0), moved), to=int(x.dtype))


@ops.op("STABLEHLO_COMPARE")
def compare(op, node, x, y):
    direction = node.get("comparisonDirection", 0)
    names = ("Equal", "Equal", "GreaterOrEqual", "Greater", "LessOrEqual", "Less")
    result = op.node(names[direction], x, y)
    return op.Not(result) if direction == 1 else result


@ops.op("STABLEHLO_CLAMP")
def clamp(op, node, low, x, high):
    return op.Min(op.Max(x, low), high)


@ops.op("STABLEHLO_CONVERT")
def convert(op, node, x):
    return op.Cast(x, to=int(node.out_dtype()))


STATIC_OUT = condition("a static result", lambda n: None not in n.out(0).dims)


@ops.op("STABLEHLO_RESHAPE", needs=(STATIC_OUT,))
def reshape(op, node, x):
    return op.Reshape(x, ints(*node.out(0).dims), allowzero=1 if 0 in node.out(0).dims else None)


@ops.op("STABLEHLO_TRANSPOSE")
def transpose(op, node, x):
    return op.Transpose(x, perm=int_list(node, "permutation"))


@ops.op("STABLEHLO_CONCATENATE")
def concatenate(op, node, *inputs):
    return op.Concat(*inputs, axis=int(node.get("dimension", 0)))


@ops.op("STABLEHLO_BROADCAST_IN_DIM", needs=(STATIC_OUT,))
def broadcast_in_dim(op, node, x):
    """Dimension i of the input becomes dimension `broadcastDimensions[i]` of the output."""
    out, dims = node.out(0).dims, int_list(node, "broadcastDimensions")
    unsqueezed = (
        op.Unsqueeze(x, ints(*(i for i in range(len(out)) if i not in dims))) if len(dims) < len(out) else x
    )
    return op.Expand(unsqueezed, ints(*out))


@ops.op("STABLEHLO_SLICE")
def slice_(op, node, x):
    starts, ends, steps = (int_list(node, n) for n in ("startIndices", "limitIndices", "strides"))
    return op.Slice(x, ints(*starts), ints(*ends), ints(*range(len(starts))), ints(*steps))


@ops.op("STABLEHLO_DYNAMIC_SLICE")
def dynamic_slice(op, node, x, *starts):
    """Start indices are clamped so that the slice lies inside."""
    sizes = ints(*int_list(node, "sliceSizes"))
    begin = op.Cast(op.Concat(*(op.Reshape(s, ints(1)) for s in starts), axis=0), to=INT64)
    begin = op.Min(op.Max(begin, ints(0)), op.Sub(op.Shape(x), op.const(sizes)))
    return op.Slice(x, begin, op.Add(begin, op.const(sizes)), op.const(np.arange(sizes.size)))


@ops.op("STABLEHLO_IOTA", needs=(STATIC_OUT,))
def iota(op, node):
    dims, axis = node.out(0).dims, int(node.get("iotaDimension", 0))
    check_count(int(np.prod(dims, dtype=np.float64)))
    counts = np.arange(dims[axis]).reshape([-1 if i == axis else 1 for i in range(len(dims))])
    return op.const(np.broadcast_to(counts, dims).astype(node.out_dtype().numpy()))


@ops.op("STABLEHLO_PAD")
def pad(op, node, x, value):
    """Negative amounts crop."""
    low, high, inner = (int_list(node, n) for n in ("edgePaddingLow", "edgePaddingHigh", "interiorPadding"))
    return pad_interior(op, x, value, low, high, inner)


def pad_interior(op: Any, x: Any, value: Any, low: list[int], high: list[int], inner: list[int]) -> Any:
    """Pad with `value` between elements, then at the edges."""
    rank = rank_of(x) or 0
    for axis, gap in enumerate(inner):
        check_expansion(x, axis, gap + 1)
        if gap:
            around = [0] * (2 * rank + 2)
            around[rank + 1 + axis + 1] = gap
            spaced = op.Pad(op.Unsqueeze(x, ints(axis + 1)), ints(*around), value)
            lengths = [op.Shape(x, start=i, end=i + 1) for i in range(rank)]
            lengths[axis] = op.Mul(lengths[axis], ints(gap + 1))
            joined = op.Reshape(spaced, op.Concat(*lengths, axis=0))
            x = op.Slice(joined, ints(0), ints(-gap), ints(axis))
    for amount in (*low, *high):
        check_count(abs(amount))
    return op.Pad(x, ints(*low, *high), value) if any((*low, *high)) else x


FUNCTIONS = {
    "ADD": 1,
    "MUL": 2,
    "MULTIPLY": 2,
    "MINIMUM": 3,
    "MAXIMUM": 4,
    "LOGICAL_AND": 5,
    "AND": 5,
    "LOGICAL_OR": 6,
    "OR": 6,
}


ASSIGN = -1


def body_of(node: Any, field: str) -> Any:
    """Subgraph that an option names, or None."""
    index = node.get(field, -1)
    return node.file.subgraphs[index] if 0 <= index < len(node.file.subgraphs) else None


def reduction_of(node: Any, field: str = "bodySubgraphIndex") -> int:
    """Reduction function, as the schema numbers it, whose body is one known operator on both of its inputs.

    ASSIGN if the body returns the second input; 0 if it is not known.
    """
    body = body_of(node, field)
    if body is not None and not body.operators and body.outputs == body.inputs[1:]:
        return ASSIGN
    if body is None or len(body.operators) != 1 or sorted(body.operators[0].inputs) != sorted(body.inputs):
        return 0
    return FUNCTIONS.get(body.operators[0].name.removeprefix("STABLEHLO_"), 0)


KNOWN = condition("a body that adds, multiplies, compares or combines", lambda n: reduction_of(n) > 0)
SINGLE = condition("one operand", lambda n: len(n.operator.inputs) == 2)


@ops.op("STABLEHLO_REDUCE_WINDOW", needs=(KNOWN, SINGLE))
def reduce_window(op, node, x, start):
    """Base dilation and padding insert the initial value."""
    edges, dilations = int_list(node, "padding"), int_list(node, "baseDilations")
    rank = rank_of(x)
    edges = edges or [0] * (2 * rank)
    start = op.Reshape(start, ints())
    x = pad_interior(op, x, start, edges[::2], edges[1::2], [d - 1 for d in dilations])
    shape, strides, window_dilations = (
        int_list(node, n) or [1] * rank for n in ("windowDimensions", "windowStrides", "windowDilations")
    )
    return reduce_windows(op, x, start, reduction_of(node), shape, strides, window_dilations)


@ops.op("STABLEHLO_REDUCE", needs=(KNOWN, SINGLE))
def reduce(op, node, x, start):
    reduction, is_bool = reduction_of(node), int(x.dtype) == BOOL
    values = op.Cast(x, to=INT32) if is_bool else x
    reduced = op.node(WINDOW_REDUCTIONS[reduction], values, ints(*int_list(node, "dimensions")), keepdims=0)
    return op.node(
        COMBINATIONS[reduction], op.Cast(reduced, to=BOOL) if is_bool else reduced, op.Reshape(start, ints())
    )


@ops.op("STABLEHLO_DOT_GENERAL")
def dot_general(op, node, x, y):
    """Einsum: batch dimensions, then the remaining dimensions of each side."""
    names = (
        "lhsBatchingDimensions",
        "rhsBatchingDimensions",
        "lhsContractingDimensions",
        "rhsContractingDimensions",
    )
    batch_x, batch_y, over_x, over_y = (int_list(node, n) for n in names)
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    left = [next(letters) for _ in range(rank_of(x))]
    right = [""] * rank_of(y)
    for i, j in zip(batch_x + over_x, batch_y + over_y, strict=True):
        right[j] = left[i]
    right = [r or next(letters) for r in right]
    output = [left[i] for i in batch_x]
    output += [v for i, v in enumerate(left) if i not in batch_x + over_x]
    output += [v for i, v in enumerate(right) if i not in batch_y + over_y]
    return op.Einsum(x, y, equation=f"{''.join(left)},{''.join(right)}->{''.join(output)}")


@ops.op("STABLEHLO_COMPOSITE")
def composite(op, node, *inputs):
    """Its decomposition, inlined."""
    return tuple(node.inline(op, node.get("decompositionSubgraphIndex", 0), inputs))


@ops.op("STABLEHLO_CASE")
def case(op, node, index, *inputs):
    """Chain of branches; an index out of range takes the last."""
    branches = node.subgraphs()
    flag = op.Reshape(op.Cast(index, to=INT64), ints())
    return node.choice(op, flag, branches, inputs)


def index_vectors_last(op: Any, node: Any, indices: Any) -> tuple[Any, int]:
    """Indices as int64 with their vector dimension last, and the length of it."""
    rank, axis = rank_of(indices) or 0, int(node.get("indexVectorDim", 0))
    wide = op.Cast(indices, to=INT64)
    if axis == rank:
        return op.Unsqueeze(wide, ints(axis)), 1
    order = [i for i in range(rank) if i != axis] + [axis]
    transposed = wide if axis == rank - 1 else op.Transpose(wide, perm=order)
    return transposed, node.shape(1)[axis]


def box_indices(lengths: Sequence[int]) -> np.ndarray:
    """Indices of all elements of a box, int64 [*lengths, rank]."""
    check_count(int(np.prod([*lengths, len(lengths)], dtype=np.float64)))
    return np.stack(np.meshgrid(*map(np.arange, lengths), indexing="ij"), -1).reshape(*lengths, len(lengths))


STATIC_IN = condition(
    "static shapes", lambda n: all(None not in n.shape(i) for i in range(2)) and None not in n.out(0).dims
)


@ops.op("STABLEHLO_GATHER", needs=(STATIC_IN,))
def gather(op, node, x, indices):
    """Gather a box of `sliceSizes` at every index, clamped so that it lies inside.

    Dimensions that a box spans completely are not indexed.
    """
    shape, sizes = node.shape(0), int_list(node, "sliceSizes")
    mapped, collapsed = int_list(node, "startIndexMap"), int_list(node, "collapsedSliceDims")
    starts, _ = index_vectors_last(op, node, indices)
    spanned_dims = [d for d in range(len(shape)) if d not in mapped and sizes[d] == shape[d]]
    picked = mapped + [d for d in range(len(shape)) if d not in mapped and d not in spanned_dims]
    last_starts = ints(*(shape[d] - sizes[d] for d in mapped))
    starts = op.Min(op.Max(starts, ints(0)), last_starts)
    batch = rank_of(starts) - 1
    if len(picked) > len(mapped):
        starts = op.Pad(starts, ints(*[0] * (2 * batch + 1), len(picked) - len(mapped)), np.int64(0))
    box = box_indices([sizes[d] for d in picked])
    positions = op.Add(op.Unsqueeze(starts, ints(*range(batch, batch + len(picked)))), op.const(box))
    gathered = op.GatherND(op.Transpose(x, perm=picked + spanned_dims), positions)
    output_dims = [d for d in range(len(shape)) if d not in collapsed]
    offsets = int_list(node, "offsetDims")
    squeezed = [batch + i for i, d in enumerate(picked + spanned_dims) if d in collapsed]
    gathered = op.Squeeze(gathered, ints(*squeezed)) if squeezed else gathered
    order = [d for d in picked + spanned_dims if d not in collapsed]
    batches = iter(range(batch))
    perm = [
        batch + order.index(output_dims[offsets.index(i)]) if i in offsets else next(batches)
        for i in range(batch + len(output_dims))
    ]
    return op.Transpose(gathered, perm=perm)


UPDATE_BODY = "updateComputationSubgraphIndex"
REDUCTIONS = {ASSIGN: "none", 1: "add", 2: "mul", 3: "min", 4: "max"}
UPDATES = condition(
    "a body that replaces, adds, multiplies or compares", lambda n: reduction_of(n, UPDATE_BODY) in REDUCTIONS
)


@ops.op("STABLEHLO_SCATTER", needs=(STATIC_IN, UPDATES, condition("numbers", lambda n: n.type(0) != "BOOL")))
def scatter(op, node, x, indices, updates):
    """Scatter elements by flat indices; those out of range go to one additional element, which is dropped."""
    shape, inserted = node.shape(0), int_list(node, "insertedWindowDims")
    mapped, window = int_list(node, "scatterDimsToOperandDims"), int_list(node, "updateWindowDims")
    starts, depth = index_vectors_last(op, node, indices)
    lengths = node.shape(2)
    spanned = [d for d in range(len(shape)) if d not in inserted]
    sizes = [lengths[window[spanned.index(d)]] if d in spanned else 1 for d in range(len(shape))]
    select = np.zeros((depth, len(shape)), np.int64)
    select[np.arange(depth), mapped] = 1
    starts = op.MatMul(starts, op.const(select))
    batch = rank_of(starts) - 1
    spread_starts = op.Unsqueeze(starts, ints(*range(batch, batch + len(shape))))
    positions = op.Add(spread_starts, op.const(box_indices(sizes)))
    inside = op.And(op.GreaterOrEqual(positions, np.int64(0)), op.Less(positions, ints(*shape)))
    inside = op.Cast(op.ReduceMin(op.Cast(inside, to=INT32), ints(-1), keepdims=0), to=BOOL)
    count = check_count(int(np.prod(shape, dtype=np.float64)))
    steps = np.cumprod([1, *shape[:0:-1]])[::-1].astype(np.int64)
    flat = op.Where(
        inside, op.ReduceSum(op.Mul(positions, op.const(steps)), ints(-1), keepdims=0), np.int64(count)
    )
    order = [i for i in range(len(lengths)) if i not in window] + window
    flat_updates = op.Reshape(op.Transpose(updates, perm=order), ints(-1))
    padded_x = op.Concat(op.Reshape(x, ints(-1)), op.const(np.zeros(1, x.dtype.numpy())), axis=0)
    reduction = REDUCTIONS[reduction_of(node, UPDATE_BODY)]
    scattered = op.ScatterND(padded_x, op.Reshape(flat, ints(-1, 1)), flat_updates, reduction=reduction)
    return op.Reshape(op.Slice(scattered, ints(0), ints(count), ints(0)), ints(*shape))


GREATER, LESS = 3, 5


def sort_order(node: Any) -> tuple[int, bool] | None:
    """Operand a comparator sorts by, and True for descending order; None for an unknown comparator."""
    body = body_of(node, "comparatorSubgraphIndex")
    if body is None or len(body.operators) != 1 or len(body.operators[0].inputs) != 2:
        return None
    single = body.operators[0]
    names = {
        "LESS": LESS,
        "GREATER": GREATER,
        "STABLEHLO_COMPARE": getattr(single.options, "comparisonDirection", 0),
    }
    comparison, pair = (
        names.get(single.name),
        [body.inputs.index(i) if i in body.inputs else -1 for i in single.inputs],
    )
    if comparison not in (LESS, GREATER) or sorted(pair) != [min(pair), min(pair) + 1] or min(pair) % 2:
        return None
    return min(pair) // 2, (comparison == GREATER) == (pair[0] < pair[1])


@ops.op("STABLEHLO_SORT", needs=(condition("a body that compares two elements of one operand", sort_order),))
def sort(op, node, *operands):
    """Stable sort of all operands by one of them."""
    operand, descending = sort_order(node)
    axis = int(node.get("dimension", 0))
    length = op.Shape(operands[operand], start=axis, end=axis + 1)
    values, order = op.TopK(
        operands[operand], length, axis=axis, largest=int(descending), sorted=1, _outputs=2
    )
    return tuple(
        values if i == operand else op.GatherElements(v, order, axis=axis) for i, v in enumerate(operands)
    )


@ops.op(
    "STABLEHLO_CONVOLUTION",
    needs=(condition("no groups of the batch", lambda n: n.get("batchGroupCount", 1) <= 1),),
)
def convolution(op, node, x, weights):
    """Transpose both operands to ONNX's layout, and pad with zeros between elements and at the edges."""
    spatial = int_list(node, "inputSpatialDimensions")
    rank, count = rank_of(x), len(spatial)
    named = [node.get(f"input{n}Dimension", i) for i, n in enumerate(("Batch", "Feature"))]
    image = op.Transpose(x, perm=[*map(int, named), *spatial])
    feature_dims = [node.get(f"kernel{n}FeatureDimension", i) for i, n in enumerate(("Output", "Input"))]
    kernel = permuted(op, weights, [*map(int, feature_dims), *int_list(node, "kernelSpatialDimensions")])
    reversed_axes = [i + 2 for i, v in enumerate(int_list(node, "windowReversal")) if v]
    if reversed_axes:
        kernel = op.Slice(
            kernel,
            ints(*[-1] * len(reversed_axes)),
            ints(*[-(2**31)] * len(reversed_axes)),
            ints(*reversed_axes),
            ints(*[-1] * len(reversed_axes)),
        )
    edges = int_list(node, "padding") or [0] * (2 * count)
    gaps = [d - 1 for d in int_list(node, "lhsDilation")]
    zero = np.zeros((), x.dtype.numpy())
    image = pad_interior(op, image, zero, [0, 0, *edges[::2]], [0, 0, *edges[1::2]], [0, 0, *gaps])
    result = op.Conv(
        image,
        kernel,
        strides=int_list(node, "windowStrides") or [1] * count,
        dilations=int_list(node, "rhsDilation") or [1] * count,
        group=int(node.get("featureGroupCount", 1)),
    )
    position = {int(node.get(f"output{n}Dimension", i)): i for i, n in enumerate(("Batch", "Feature"))}
    position |= {d: i + 2 for i, d in enumerate(int_list(node, "outputSpatialDimensions"))}
    return op.Transpose(result, perm=[position[i] for i in range(rank)])
