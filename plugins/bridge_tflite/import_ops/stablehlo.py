"""StableHLO operators inside TFLite files that have one evident meaning in ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bridge.hub import rank_of
from bridge.importing import ints, permuted
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_tflite.import_ops.common import BOOL, INT32, INT64, bounded, spread
from bridge_tflite.import_ops.reduce import COMBINED, WINDOWED, windows
from bridge_tflite.import_ops.tensor import dynamic_update_slice

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
    STABLEHLO_SUBTRACT="Sub",
    STABLEHLO_TANH="Tanh",
)
ops.op("STABLEHLO_DYNAMIC_UPDATE_SLICE")(
    lambda op, node, x, update, *starts: dynamic_update_slice(
        op, node, x, update, op.Concat(*(op.Reshape(s, ints(1)) for s in starts), axis=0)
    )
)


def numbers(node: Any, field: str) -> list[int]:
    return [int(v) for v in node.get(field, [])]


@ops.op("STABLEHLO_AND", "STABLEHLO_OR")
def logical(op, node, x, y):
    kind = "And" if node.op.endswith("AND") else "Or"
    return op.node(kind if int(x.dtype) == BOOL else f"Bitwise{kind}", x, y)


@ops.op("STABLEHLO_RSQRT")
def rsqrt(op, node, x):
    return op.Reciprocal(op.Sqrt(x))


@ops.op("STABLEHLO_CBRT")
def cbrt(op, node, x):
    return op.Mul(op.Sign(x), op.Pow(op.Abs(x), np.array(1 / 3, x.dtype.numpy())))


@ops.op("STABLEHLO_REMAINDER")
def remainder(op, node, x, y):
    """With the sign of the dividend."""
    return op.Mod(x, y, fmod=1)


@ops.op("STABLEHLO_SHIFT_LEFT")
def shift_left(op, node, x, y):
    """Shifts of the width and more give 0."""
    bits = x.dtype.numpy().itemsize * 8
    places = op.Cast(y, to=INT64)
    far = op.Or(op.Less(places, np.int64(0)), op.GreaterOrEqual(places, np.int64(bits)))
    safe = op.Where(far, np.int64(0), places)
    powers = (np.uint64(1) << np.arange(64, dtype=np.uint64)).view(np.int64)
    moved = op.Mul(op.Cast(x, to=INT64), op.Gather(op.const(powers), safe, axis=0))
    return op.Cast(op.Where(far, np.int64(0), moved), to=int(x.dtype))


@ops.op("STABLEHLO_COMPARE")
def compare(op, node, x, y):
    kind = node.get("comparisonDirection", 0)
    names = ("Equal", "Equal", "GreaterOrEqual", "Greater", "LessOrEqual", "Less")
    found = op.node(names[kind], x, y)
    return op.Not(found) if kind == 1 else found


@ops.op("STABLEHLO_SELECT")
def select(op, node, condition, x, y):
    return op.Where(condition, x, y)


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
    return op.Transpose(x, perm=numbers(node, "permutation"))


@ops.op("STABLEHLO_CONCATENATE")
def concatenate(op, node, *inputs):
    return op.Concat(*inputs, axis=int(node.get("dimension", 0)))


@ops.op("STABLEHLO_BROADCAST_IN_DIM", needs=(STATIC_OUT,))
def broadcast_in_dim(op, node, x):
    """Dimension i of the input becomes the named one of the output."""
    out, dims = node.out(0).dims, numbers(node, "broadcastDimensions")
    spread = (
        op.Unsqueeze(x, ints(*(i for i in range(len(out)) if i not in dims))) if len(dims) < len(out) else x
    )
    return op.Expand(spread, ints(*out))


@ops.op("STABLEHLO_SLICE")
def slice_(op, node, x):
    starts, ends, steps = (numbers(node, n) for n in ("startIndices", "limitIndices", "strides"))
    return op.Slice(x, ints(*starts), ints(*ends), ints(*range(len(starts))), ints(*steps))


@ops.op("STABLEHLO_DYNAMIC_SLICE")
def dynamic_slice(op, node, x, *starts):
    """Starts are moved so that the slice lies inside."""
    sizes = ints(*numbers(node, "sliceSizes"))
    begin = op.Cast(op.Concat(*(op.Reshape(s, ints(1)) for s in starts), axis=0), to=INT64)
    begin = op.Min(op.Max(begin, ints(0)), op.Sub(op.Shape(x), op.const(sizes)))
    return op.Slice(x, begin, op.Add(begin, op.const(sizes)), op.const(np.arange(sizes.size)))


@ops.op("STABLEHLO_IOTA", needs=(STATIC_OUT,))
def iota(op, node):
    dims, axis = node.out(0).dims, int(node.get("iotaDimension", 0))
    bounded(int(np.prod(dims, dtype=np.float64)))
    places = np.arange(dims[axis]).reshape([-1 if i == axis else 1 for i in range(len(dims))])
    return op.const(np.broadcast_to(places, dims).astype(node.out_dtype().numpy()))


@ops.op("STABLEHLO_PAD")
def pad(op, node, x, value):
    """Where an edge is negative, elements go."""
    low, high, inner = (numbers(node, n) for n in ("edgePaddingLow", "edgePaddingHigh", "interiorPadding"))
    return padded(op, x, value, low, high, inner)


def padded(op: Any, x: Any, value: Any, low: list[int], high: list[int], inner: list[int]) -> Any:
    """Copies of the value between elements, then around."""
    rank = rank_of(x) or 0
    for axis, gap in enumerate(inner):
        spread(x, axis, gap + 1)
        if gap:
            around = [0] * (2 * rank + 2)
            around[rank + 1 + axis + 1] = gap
            spaced = op.Pad(op.Unsqueeze(x, ints(axis + 1)), ints(*around), value)
            lengths = [op.Shape(x, start=i, end=i + 1) for i in range(rank)]
            lengths[axis] = op.Mul(lengths[axis], ints(gap + 1))
            joined = op.Reshape(spaced, op.Concat(*lengths, axis=0))
            x = op.Slice(joined, ints(0), ints(-gap), ints(axis))
    for amount in (*low, *high):
        bounded(abs(amount))
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
    """The subgraph that an option names; None where there is none."""
    index = node.get(field, -1)
    return node.file.subgraphs[index] if 0 <= index < len(node.file.subgraphs) else None


def function(node: Any, field: str = "bodySubgraphIndex") -> int:
    """The reduction whose body is one known operator on both of its inputs, as the schema numbers it; ASSIGN where the body hands the
    second on; else 0."""
    body = body_of(node, field)
    if body is not None and not body.operators and body.outputs == body.inputs[1:]:
        return ASSIGN
    if body is None or len(body.operators) != 1 or sorted(body.operators[0].inputs) != sorted(body.inputs):
        return 0
    return FUNCTIONS.get(body.operators[0].name.removeprefix("STABLEHLO_"), 0)


KNOWN = condition("a body that adds, multiplies, compares or combines", lambda n: function(n) > 0)
SINGLE = condition("one operand", lambda n: len(n.operator.inputs) == 2)


@ops.op("STABLEHLO_REDUCE_WINDOW", needs=(KNOWN, SINGLE))
def reduce_window(op, node, x, start):
    """Base dilations and padding are copies of the start value."""
    edges, dilations = numbers(node, "padding"), numbers(node, "baseDilations")
    rank = rank_of(x)
    edges = edges or [0] * (2 * rank)
    start = op.Reshape(start, ints())
    x = padded(op, x, start, edges[::2], edges[1::2], [d - 1 for d in dilations])
    shape, strides, apart = (
        numbers(node, n) or [1] * rank for n in ("windowDimensions", "windowStrides", "windowDilations")
    )
    return windows(op, x, start, function(node), shape, strides, apart)


@ops.op("STABLEHLO_REDUCE", needs=(KNOWN, SINGLE))
def reduce(op, node, x, start):
    kind, bits = function(node), int(x.dtype) == BOOL
    values = op.Cast(x, to=INT32) if bits else x
    found = op.node(WINDOWED[kind], values, ints(*numbers(node, "dimensions")), keepdims=0)
    return op.node(COMBINED[kind], op.Cast(found, to=BOOL) if bits else found, op.Reshape(start, ints()))


@ops.op("STABLEHLO_DOT_GENERAL")
def dot_general(op, node, x, y):
    """Batch dimensions, then what is left of each side."""
    names = (
        "lhsBatchingDimensions",
        "rhsBatchingDimensions",
        "lhsContractingDimensions",
        "rhsContractingDimensions",
    )
    batch_x, batch_y, over_x, over_y = (numbers(node, n) for n in names)
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    left = [next(letters) for _ in range(rank_of(x))]
    right = [""] * rank_of(y)
    for i, j in zip(batch_x + over_x, batch_y + over_y, strict=True):
        right[j] = left[i]
    right = [r or next(letters) for r in right]
    kept = [left[i] for i in batch_x]
    kept += [v for i, v in enumerate(left) if i not in batch_x + over_x]
    kept += [v for i, v in enumerate(right) if i not in batch_y + over_y]
    return op.Einsum(x, y, equation=f"{''.join(left)},{''.join(right)}->{''.join(kept)}")


@ops.op("STABLEHLO_COMPOSITE")
def composite(op, node, *inputs):
    """What it is made of."""
    return tuple(node.inline(op, node.get("decompositionSubgraphIndex", 0), inputs))


@ops.op("STABLEHLO_CASE")
def case(op, node, index, *inputs):
    """A chain of branches; an index outside of them takes the last."""
    branches = node.subgraphs()
    flag = op.Reshape(op.Cast(index, to=INT64), ints())
    return node.choice(op, flag, branches, inputs)


def starts_last(op: Any, node: Any, indices: Any) -> tuple[Any, int]:
    """Indices as int64, the dimension of their components last, and how many components there are."""
    rank, axis = rank_of(indices) or 0, int(node.get("indexVectorDim", 0))
    wide = op.Cast(indices, to=INT64)
    if axis == rank:
        return op.Unsqueeze(wide, ints(axis)), 1
    order = [i for i in range(rank) if i != axis] + [axis]
    turned = wide if axis == rank - 1 else op.Transpose(wide, perm=order)
    return turned, node.shape(1)[axis]


def grid(lengths: Sequence[int]) -> np.ndarray:
    """Every place of a box of `lengths`, [*lengths, rank]."""
    bounded(int(np.prod([*lengths, len(lengths)], dtype=np.float64)))
    return np.stack(np.meshgrid(*map(np.arange, lengths), indexing="ij"), -1).reshape(*lengths, len(lengths))


STATIC_IN = condition(
    "static shapes", lambda n: all(None not in n.shape(i) for i in range(2)) and None not in n.out(0).dims
)


@ops.op("STABLEHLO_GATHER", needs=(STATIC_IN,))
def gather(op, node, x, indices):
    """A box of sizes `sliceSizes` for every index, moved so that it lies inside: dimensions a box does not span are indexed, others
    come along whole."""
    shape, sizes = node.shape(0), numbers(node, "sliceSizes")
    mapped, collapsed = numbers(node, "startIndexMap"), numbers(node, "collapsedSliceDims")
    starts, _ = starts_last(op, node, indices)
    rest = [d for d in range(len(shape)) if d not in mapped and sizes[d] == shape[d]]
    picked = mapped + [d for d in range(len(shape)) if d not in mapped and d not in rest]
    room = ints(*(shape[d] - sizes[d] for d in mapped))
    starts = op.Min(op.Max(starts, ints(0)), room)
    batch = rank_of(starts) - 1
    if len(picked) > len(mapped):
        starts = op.Pad(starts, ints(*[0] * (2 * batch + 1), len(picked) - len(mapped)), np.int64(0))
    box = grid([sizes[d] for d in picked])
    places = op.Add(op.Unsqueeze(starts, ints(*range(batch, batch + len(picked)))), op.const(box))
    found = op.GatherND(op.Transpose(x, perm=picked + rest), places)
    kept = [d for d in range(len(shape)) if d not in collapsed]
    offsets = numbers(node, "offsetDims")
    gone = [batch + i for i, d in enumerate(picked + rest) if d in collapsed]
    found = op.Squeeze(found, ints(*gone)) if gone else found
    order = [d for d in picked + rest if d not in collapsed]
    batches = iter(range(batch))
    perm = [
        batch + order.index(kept[offsets.index(i)]) if i in offsets else next(batches)
        for i in range(batch + len(kept))
    ]
    return op.Transpose(found, perm=perm)


UPDATED = "updateComputationSubgraphIndex"
REDUCTIONS = {ASSIGN: "none", 1: "add", 2: "mul", 3: "min", 4: "max"}
UPDATES = condition(
    "a body that replaces, adds, multiplies or compares", lambda n: function(n, UPDATED) in REDUCTIONS
)


@ops.op("STABLEHLO_SCATTER", needs=(STATIC_IN, UPDATES, condition("numbers", lambda n: n.kind(0) != "BOOL")))
def scatter(op, node, x, indices, updates):
    """Elements by their flat places; those that fall outside go to one more element, which is cut off."""
    shape, inserted = node.shape(0), numbers(node, "insertedWindowDims")
    mapped, window = numbers(node, "scatterDimsToOperandDims"), numbers(node, "updateWindowDims")
    starts, depth = starts_last(op, node, indices)
    lengths = node.shape(2)
    spanned = [d for d in range(len(shape)) if d not in inserted]
    sizes = [lengths[window[spanned.index(d)]] if d in spanned else 1 for d in range(len(shape))]
    select = np.zeros((depth, len(shape)), np.int64)
    select[np.arange(depth), mapped] = 1
    starts = op.MatMul(starts, op.const(select))
    batch = rank_of(starts) - 1
    spread_starts = op.Unsqueeze(starts, ints(*range(batch, batch + len(shape))))
    places = op.Add(spread_starts, op.const(grid(sizes)))
    inside = op.And(op.GreaterOrEqual(places, np.int64(0)), op.Less(places, ints(*shape)))
    inside = op.Cast(op.ReduceMin(op.Cast(inside, to=INT32), ints(-1), keepdims=0), to=BOOL)
    count = bounded(int(np.prod(shape, dtype=np.float64)))
    steps = np.cumprod([1, *shape[:0:-1]])[::-1].astype(np.int64)
    flat = op.Where(
        inside, op.ReduceSum(op.Mul(places, op.const(steps)), ints(-1), keepdims=0), np.int64(count)
    )
    order = [i for i in range(len(lengths)) if i not in window] + window
    parts = op.Reshape(op.Transpose(updates, perm=order), ints(-1))
    whole = op.Concat(op.Reshape(x, ints(-1)), op.const(np.zeros(1, x.dtype.numpy())), axis=0)
    reduction = REDUCTIONS[function(node, UPDATED)]
    found = op.ScatterND(whole, op.Reshape(flat, ints(-1, 1)), parts, reduction=reduction)
    return op.Reshape(op.Slice(found, ints(0), ints(count), ints(0)), ints(*shape))


GREATER, LESS = 3, 5


def ordering(node: Any) -> tuple[int, bool] | None:
    """Which operand a comparator sorts by, and whether the largest comes first; None for another comparator."""
    body = body_of(node, "comparatorSubgraphIndex")
    if body is None or len(body.operators) != 1 or len(body.operators[0].inputs) != 2:
        return None
    single = body.operators[0]
    names = {
        "LESS": LESS,
        "GREATER": GREATER,
        "STABLEHLO_COMPARE": getattr(single.options, "comparisonDirection", 0),
    }
    kind, pair = (
        names.get(single.name),
        [body.inputs.index(i) if i in body.inputs else -1 for i in single.inputs],
    )
    if kind not in (LESS, GREATER) or sorted(pair) != [min(pair), min(pair) + 1] or min(pair) % 2:
        return None
    return min(pair) // 2, (kind == GREATER) == (pair[0] < pair[1])


@ops.op("STABLEHLO_SORT", needs=(condition("a body that compares two elements of one operand", ordering),))
def sort(op, node, *operands):
    """All operands in the order of one; equal elements stay in their order."""
    by, falling = ordering(node)
    axis = int(node.get("dimension", 0))
    length = op.Shape(operands[by], start=axis, end=axis + 1)
    values, order = op.TopK(operands[by], length, axis=axis, largest=int(falling), sorted=1, _outputs=2)
    return tuple(
        values if i == by else op.GatherElements(v, order, axis=axis) for i, v in enumerate(operands)
    )


@ops.op(
    "STABLEHLO_CONVOLUTION",
    needs=(condition("no groups of the batch", lambda n: n.get("batchGroupCount", 1) <= 1),),
)
def convolution(op, node, x, weights):
    """Both sides with their dimensions as ONNX orders them; copies of zero between elements and around."""
    spatial = numbers(node, "inputSpatialDimensions")
    rank, count = rank_of(x), len(spatial)
    named = [node.get(f"input{n}Dimension", i) for i, n in enumerate(("Batch", "Feature"))]
    turned = op.Transpose(x, perm=[*map(int, named), *spatial])
    own = [node.get(f"kernel{n}FeatureDimension", i) for i, n in enumerate(("Output", "Input"))]
    kernel = permuted(op, weights, [*map(int, own), *numbers(node, "kernelSpatialDimensions")])
    back = [i + 2 for i, v in enumerate(numbers(node, "windowReversal")) if v]
    if back:
        kernel = op.Slice(
            kernel,
            ints(*[-1] * len(back)),
            ints(*[-(2**31)] * len(back)),
            ints(*back),
            ints(*[-1] * len(back)),
        )
    edges = numbers(node, "padding") or [0] * (2 * count)
    gaps = [d - 1 for d in numbers(node, "lhsDilation")]
    zero = np.zeros((), x.dtype.numpy())
    turned = padded(op, turned, zero, [0, 0, *edges[::2]], [0, 0, *edges[1::2]], [0, 0, *gaps])
    found = op.Conv(
        turned,
        kernel,
        strides=numbers(node, "windowStrides") or [1] * count,
        dilations=numbers(node, "rhsDilation") or [1] * count,
        group=int(node.get("featureGroupCount", 1)),
    )
    place = {int(node.get(f"output{n}Dimension", i)): i for i, n in enumerate(("Batch", "Feature"))}
    place |= {d: i + 2 for i, d in enumerate(numbers(node, "outputSpatialDimensions"))}
    return op.Transpose(found, perm=[place[i] for i in range(rank)])
