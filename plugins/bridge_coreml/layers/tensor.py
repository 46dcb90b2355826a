"""Moving, choosing and making elements."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import arange
from bridge.importing import as_int64, ints
from bridge.ops import OpTable
from bridge.passes.decompose.common import along
from bridge_coreml.import_ops.control import drawn
from bridge_coreml.import_ops.image import non_maximum_suppression
from bridge_coreml.import_ops.tensor import REDUCED
from bridge_coreml.layers.common import (
    FLOAT,
    I64_MAX,
    I64_MIN,
    as_float,
    const,
    images,
    lengths,
    need,
    product,
    rank_of,
    reshape,
    vector,
    weight,
)

ops = OpTable()


@ops.op("transpose")
def transpose(op, layer, x):
    rank = rank_of(x) or 1
    return op.Transpose(x, perm=[int(a) % rank for a in layer.params.axes])


@ops.op("permute")
def permute(op, layer, x):
    """Of sequence, channel, height, width; the batch stays."""
    order = list(layer.params.axis) or [0, 1, 2, 3]
    places = {0: 0, 1: 2, 2: 3, 3: 4}
    perm = [places[int(a)] for a in order]
    return op.Transpose(x, perm=[perm[0], 1, *perm[1:]])


@ops.op("reshape")
def reshape_blob(op, layer, x):
    p, target = layer.params, [int(d) for d in layer.params.targetShape]
    sizes = lengths(op, x)
    shape = [target[0], sizes[1], *target[1:]] if len(target) == 4 else [*sizes[:2], *target]
    if p.mode == 0:
        return reshape(op, x, shape)
    last = op.Transpose(x, perm=[0, 1, 3, 4, 2])
    made = reshape(op, last, [*shape[:2], shape[3], shape[4], shape[2]])
    return op.Transpose(made, perm=[0, 1, 4, 2, 3])


@ops.op("flatten")
def flatten(op, layer, x):
    rank, sizes = rank_of(x) or 3, lengths(op, x)
    if layer.params.mode == 1:
        lead = list(range(rank - 3))
        x = op.Transpose(x, perm=[*lead, rank - 2, rank - 1, rank - 3])
    return reshape(op, x, [*sizes[: rank - 3], product(op, sizes[rank - 3 :]), 1, 1])


@ops.op("concat")
def concat(op, layer, *inputs):
    return op.Concat(*inputs, axis=-5 if layer.params.sequenceConcat else -3)


@ops.op("concatND")
def concat_nd(op, layer, *inputs):
    axis = layer.params.axis
    if not layer.params.interleave:
        return op.Concat(*inputs, axis=axis)
    axis %= rank_of(inputs[0]) or 1
    sizes = lengths(op, inputs[0])
    sizes[axis] = product(op, [sizes[axis], len(inputs)])
    return reshape(op, op.Concat(*(op.Unsqueeze(v, ints(axis + 1)) for v in inputs), axis=axis + 1), sizes)


@ops.op("stack")
def stack(op, layer, *inputs):
    axis = layer.params.axis % ((rank_of(inputs[0]) or 0) + 1)
    return op.Concat(*(op.Unsqueeze(v, ints(axis)) for v in inputs), axis=axis)


@ops.op("split", "splitND")
def split(op, layer, x):
    count, p = len(layer.outputs), layer.params
    axis = -3 if layer.kind == "split" else p.axis
    sizes = np.asarray(p.splitSizes, np.int64) if layer.kind == "splitND" and p.splitSizes else None
    if count == 1:
        return op.Identity(x)
    if sizes is None:
        sizes = alike(op, lengths(op, x)[axis], count)
    return op.Split(x, sizes, axis=axis, _outputs=count)


def alike(op: hub.Builder, length: Any, count: int) -> Any:
    """Lengths of so many parts, the first ones longer by one where they do not come out even."""
    if isinstance(length, int):
        return np.asarray([length // count + (i < length % count) for i in range(count)], np.int64)
    rest = op.Mod(length, op.const(ints(count)))
    longer = op.Cast(op.Less(op.const(ints(*range(count))), rest), to=int(ir.DataType.INT64))
    return op.Add(op.Div(length, op.const(ints(count))), longer)


@ops.op("sequenceRepeat")
def sequence_repeat(op, layer, x):
    return op.Tile(x, ints(int(layer.params.nRepetitions) or 1, *[1] * ((rank_of(x) or 5) - 1)))


@ops.op("tile")
def tile(op, layer, x, reps=None):
    if reps is not None:
        return op.Tile(x, as_int64(op, reps))
    given = [int(r) for r in layer.params.reps]
    return op.Tile(x, np.asarray([1] * ((rank_of(x) or len(given)) - len(given)) + given, np.int64))


@ops.op("reorganizeData")
def reorganize(op, layer, x):
    p = layer.params
    x, back = images(op, x)
    size = int(p.blockSize)
    if p.mode == 0:
        return back(op.SpaceToDepth(x, blocksize=size))
    return back(op.DepthToSpace(x, blocksize=size, mode="CRD" if p.mode == 2 else "DCR"))


@ops.op("slice")
def slice_blob(op, layer, x):
    p = layer.params
    end = int(p.endIndex)
    return op.Slice(
        x,
        ints(int(p.startIndex)),
        ints(I64_MAX if end == 0 else end),
        ints({0: -3, 1: -2, 2: -1}[p.axis]),
        ints(int(p.stride) or 1),
    )


def _masks(given: Iterable[Any], rank: int) -> list[bool]:
    """One for each dimension; Apple's converter writes five of them, whatever the rank."""
    return [bool(v) for v in given][:rank] or [False] * rank


def _sliced(
    op: hub.Builder,
    x: ir.Value,
    begin: list[int],
    end: list[int],
    strides: list[int],
    begin_masks: list[bool],
    end_masks: list[bool],
    squeezed: list[bool],
) -> Any:
    rank = rank_of(x) or 0
    starts, ends = [], []
    for i in range(rank):
        back = strides[i] < 0
        starts.append((I64_MAX if back else 0) if begin_masks[i] else begin[i])
        ends.append((I64_MIN if back else I64_MAX) if end_masks[i] else end[i])
        if squeezed[i]:
            ends[i] = starts[i] + 1 if starts[i] != -1 else I64_MAX
    steps = [1 if squeezed[i] else strides[i] for i in range(rank)]
    made = op.Slice(
        x,
        np.asarray(starts, np.int64),
        np.asarray(ends, np.int64),
        ints(*range(rank)),
        np.asarray(steps, np.int64),
    )
    gone = [i for i in range(rank) if squeezed[i]]
    return op.Squeeze(made, np.asarray(gone, np.int64)) if gone and len(gone) < rank else made


@ops.op("sliceStatic")
def slice_static(op, layer, x):
    p, rank = layer.params, rank_of(x) or 0
    lists = [[int(v) for v in values] for values in (p.beginIds, p.endIds)]
    strides = [int(v) for v in p.strides] or [1] * rank
    return _sliced(
        op, x, *lists, strides, *(_masks(m, rank) for m in (p.beginMasks, p.endMasks, p.squeezeMasks))
    )


@ops.op("sliceDynamic")
def slice_dynamic(op, layer, x, begin, end=None, strides=None, *masks):
    """Masks are parameters; bounds and steps may be blobs."""
    p, rank = layer.params, rank_of(x) or 0
    steps = [int(v) for v in p.strides][:rank] or [1] * rank
    if strides is not None:
        known = const(strides)
        if known is None:
            return NotImplemented
        steps = [int(v) for v in known]
    begin_masks, end_masks, squeezed = (_masks(m, rank) for m in (p.beginMasks, p.endMasks, p.squeezeMasks))
    first = as_int64(op, begin)
    last = op.const(np.asarray(p.endIds[:rank], np.int64)) if end is None else as_int64(op, end)
    starts = op.Where(
        op.const(np.array(begin_masks)),
        op.const(np.asarray([I64_MAX if s < 0 else 0 for s in steps], np.int64)),
        first,
    )
    ends = op.Where(
        op.const(np.array(end_masks)),
        op.const(np.asarray([I64_MIN if s < 0 else I64_MAX for s in steps], np.int64)),
        last,
    )
    after = op.Where(
        op.Equal(first, op.const(np.array(-1, np.int64))),
        op.const(np.array(I64_MAX, np.int64)),
        op.Add(first, op.const(np.array(1, np.int64))),
    )
    ends = op.Where(op.const(np.array(squeezed)), after, ends)
    steps = [1 if squeezed[i] else steps[i] for i in range(rank)]
    made = op.Slice(x, starts, ends, ints(*range(rank)), np.asarray(steps, np.int64))
    gone = [i for i in range(rank) if squeezed[i]]
    return op.Squeeze(made, np.asarray(gone, np.int64)) if gone and len(gone) < rank else made


@ops.op("sliceBySize")
def slice_by_size(op, layer, x, begin):
    p = layer.params
    first = op.Reshape(as_int64(op, begin), ints(1))
    return op.Slice(x, first, op.Add(first, ints(int(p.size))), ints(int(p.axis)))


@ops.op("crop")
def crop(op, layer, x, like=None):
    p = layer.params
    if like is None:
        found = [(e.startEdgeSize, e.endEdgeSize) for e in p.cropAmounts.borderAmounts] or [(0, 0), (0, 0)]
        ends = [-int(e) if e else I64_MAX for _, e in found]
        return op.Slice(
            x, np.asarray([int(s) for s, _ in found], np.int64), np.asarray(ends, np.int64), ints(-2, -1)
        )
    offset = [int(v) for v in p.offset] or [0, 0]
    sizes = vector(op, lengths(op, like)[-2:])
    return op.Slice(
        x, np.asarray(offset, np.int64), op.Add(sizes, np.asarray(offset, np.int64)), ints(-2, -1)
    )


@ops.op("padding")
def padding(op, layer, x):
    p, rank = layer.params, rank_of(x) or 2
    found = [(int(e.startEdgeSize), int(e.endEdgeSize)) for e in p.paddingAmounts.borderAmounts] or [
        (0, 0),
        (0, 0),
    ]
    pads = [*[0] * (rank - 2), *(s for s, _ in found), *[0] * (rank - 2), *(e for _, e in found)]
    kind = p.WhichOneof("PaddingType") or "constant"
    if kind == "constant":
        return op.Pad(x, np.asarray(pads, np.int64), np.float32(p.constant.value))
    return op.Pad(x, np.asarray(pads, np.int64), mode="reflect" if kind == "reflection" else "edge")


@ops.op("constantPad")
def constant_pad(op, layer, x, amounts=None):
    p, rank = layer.params, rank_of(x) or 1
    value = np.float32(p.value)
    if amounts is not None:
        pads = op.Transpose(op.Reshape(as_int64(op, amounts), ints(rank, 2)), perm=[1, 0])
        if p.padToGivenOutputSizeMode:
            missing = op.Max(op.Sub(pads, op.Unsqueeze(vector(op, lengths(op, x)), ints(0))), 0)
            pads = op.Where(op.Equal(pads, 0), pads, missing)
        return op.Pad(x, op.Reshape(pads, ints(-1)), value)
    pairs = np.array(p.padAmounts, np.int64).reshape(rank, 2)
    if p.padToGivenOutputSizeMode:
        parts = [[], []]
        for i, size in enumerate(lengths(op, x)):
            for side in (0, 1):
                wanted = int(pairs[i, side])
                if isinstance(size, int):
                    parts[side].append(max(wanted - size, 0))
                else:
                    parts[side].append(op.Max(op.Sub(op.const(ints(wanted)), size), 0) if wanted else 0)
        return op.Pad(x, vector(op, parts[0] + parts[1]), value)
    return op.Pad(x, np.asarray(pairs.T.ravel(), np.int64), value)


@ops.op("squeeze")
def squeeze(op, layer, x):
    p, rank = layer.params, rank_of(x)
    named = [int(a) for a in p.axes] if rank is None else [int(a) % rank for a in p.axes]
    gone = [i for i, d in enumerate(x.shape or ()) if d == 1] if p.squeezeAll else named
    gone = gone[1:] if len(gone) == rank else gone
    return op.Squeeze(x, np.asarray(gone, np.int64)) if gone else op.Identity(x)


@ops.op("expandDims")
def expand_dims(op, layer, x):
    return op.Unsqueeze(x, np.asarray(layer.params.axes, np.int64))


@ops.op("flattenTo2D")
def flatten_to_2d(op, layer, x):
    return op.Flatten(x, axis=layer.params.axis)


@ops.op("reshapeStatic")
def reshape_static(op, layer, x):
    return op.Reshape(x, np.asarray(layer.params.targetShape, np.int64))


@ops.op("rankPreservingReshape")
def rank_preserving_reshape(op, layer, x):
    return op.Reshape(x, np.asarray(layer.params.targetShape, np.int64))


@ops.op("reshapeLike")
def reshape_like(op, layer, x, like):
    return reshape(op, x, lengths(op, like))


@ops.op("reshapeDynamic")
def reshape_dynamic(op, layer, x, shape):
    return op.Reshape(x, as_int64(op, shape))


@ops.op("getShape")
def get_shape(op, layer, x):
    return as_float(op, op.Shape(x))


@ops.op("loadConstant")
def load_constant(op, layer):
    dims = [int(d) for d in layer.params.shape]
    return op.Identity(
        op.const(weight(layer.params.data, dims).reshape([1, 1, *[1] * (3 - len(dims)), *dims]))
    )


@ops.op("loadConstantND")
def load_constant_nd(op, layer):
    return op.Identity(op.const(weight(layer.params.data, [int(d) for d in layer.params.shape])))


@ops.op("fillLike")
def fill_like(op, layer, like):
    return op.Expand(op.const(np.float32(layer.params.value)), op.Shape(like))


@ops.op("fillStatic")
def fill_static(op, layer):
    made = np.full([int(d) for d in layer.params.targetShape], layer.params.value, np.float32)
    return op.Identity(op.const(made))


@ops.op("fillDynamic")
def fill_dynamic(op, layer, shape):
    return op.Expand(op.const(np.float32(layer.params.value)), as_int64(op, shape))


@ops.op("broadcastToLike")
def broadcast_to_like(op, layer, x, like):
    return op.Expand(x, op.Shape(like))


@ops.op("broadcastToStatic")
def broadcast_to_static(op, layer, x):
    return op.Expand(x, np.asarray(layer.params.targetShape, np.int64))


@ops.op("broadcastToDynamic")
def broadcast_to_dynamic(op, layer, x, shape):
    return op.Expand(x, as_int64(op, shape))


@ops.op("gather")
def gather(op, layer, x, indices):
    return op.Gather(x, as_int64(op, indices), axis=int(layer.params.axis))


@ops.op("gatherND")
def gather_nd(op, layer, x, indices):
    made = op.GatherND(x, as_int64(op, indices))
    single = rank_of(indices) == 1 and indices.shape[0] == rank_of(x)
    return op.Reshape(made, ints(1)) if single else made


@ops.op("gatherAlongAxis")
def gather_along_axis(op, layer, x, indices):
    return op.GatherElements(x, as_int64(op, indices), axis=int(layer.params.axis))


MODES = ("update", "add", "sub", "mul", "div", "max", "min")


def _mode(op: hub.Builder, layer: Any, updates: ir.Value) -> tuple[Any, str | None]:
    mode = MODES[layer.params.mode]
    updates = op.Neg(updates) if mode == "sub" else op.Reciprocal(updates) if mode == "div" else updates
    return updates, REDUCED[mode]


@ops.op("scatter")
def scatter(op, layer, data, indices, updates):
    rank, own = rank_of(data) or 1, rank_of(indices) or 1
    axis = int(layer.params.axis) % rank
    updates, reduction = _mode(op, layer, updates)
    order = [axis, *(i for i in range(rank) if i != axis)]
    shift = [*range(axis, axis + own), *range(axis), *range(axis + own, own + rank - 1)]
    places = op.Unsqueeze(as_int64(op, indices), ints(-1))
    made = op.ScatterND(
        op.Transpose(data, perm=order), places, op.Transpose(updates, perm=shift), reduction=reduction
    )
    return op.Transpose(made, perm=[order.index(i) for i in range(rank)])


@ops.op("scatterND")
def scatter_nd(op, layer, data, indices, updates):
    updates, reduction = _mode(op, layer, updates)
    return op.ScatterND(data, as_int64(op, indices), updates, reduction=reduction)


@ops.op("scatterAlongAxis")
def scatter_along_axis(op, layer, data, indices, updates):
    updates, reduction = _mode(op, layer, updates)
    return op.ScatterElements(
        data, as_int64(op, indices), updates, axis=int(layer.params.axis), reduction=reduction
    )


@ops.op("reverse")
def reverse(op, layer, x):
    axes = [i for i, flag in enumerate(layer.params.reverseDim) if flag]
    if not axes:
        return op.Identity(x)
    count = len(axes)
    return op.Slice(
        x, ints(*[-1] * count), ints(*[I64_MIN] * count), np.asarray(axes, np.int64), ints(*[-1] * count)
    )


@ops.op("reverseSeq")
def reverse_seq(op, layer, x, sizes):
    rank = rank_of(x) or 2
    seq, batch = int(layer.params.sequenceAxis) % rank, int(layer.params.batchAxis) % rank
    order = [seq, batch, *(i for i in range(rank) if i not in (seq, batch))]
    turned = op.ReverseSequence(op.Transpose(x, perm=order), as_int64(op, sizes), time_axis=0, batch_axis=1)
    return op.Transpose(turned, perm=[order.index(i) for i in range(rank)])


@ops.op("slidingWindows")
def sliding_windows(op, layer, x):
    p, rank = layer.params, rank_of(x) or 1
    axis, size, step = int(p.axis) % rank, int(p.windowSize), int(p.step)
    length = lengths(op, x)[axis]
    offsets = op.const(np.arange(size, dtype=np.int64)[None])
    if isinstance(length, int):
        firsts = op.const((np.arange((length - size) // step + 1) * step)[:, None])
    else:
        count = op.Add(op.Div(op.Sub(length, size), step), 1)
        firsts = op.Unsqueeze(op.Mul(arange(op, count), step), ints(1))
    return op.Gather(x, op.Add(firsts, offsets), axis=axis)


@ops.op("rangeStatic")
def range_static(op, layer):
    p = layer.params
    return op.Identity(
        op.const(np.arange(p.startValue, p.endValue, p.stepSizeValue or 1.0, dtype=np.float32))
    )


@ops.op("rangeDynamic")
def range_dynamic(op, layer, end, start=None, step=None):
    p = layer.params
    first = op.const(np.float32(p.startValue)) if start is None else op.Reshape(start, op.const([]))
    by = op.const(np.float32(p.stepSizeValue or 1.0)) if step is None else op.Reshape(step, op.const([]))
    return op.Range(first, op.Reshape(end, op.const([])), by)


@ops.op("oneHot")
def one_hot(op, layer, indices, size=None):
    p, rank = layer.params, (rank_of(indices) or 0) + 1
    axis = int(p.axis) % rank
    depth = int(p.oneHotVectorSize) if size is None else op.Reshape(as_int64(op, size), ints(1))
    hit = op.Equal(op.Unsqueeze(as_int64(op, indices), ints(axis)), along(op, arange(op, depth), axis, rank))
    return op.Where(hit, op.const(np.float32(p.onValue)), op.const(np.float32(p.offValue)))


@ops.op("whereNonZero")
def where_non_zero(op, layer, x):
    return op.Cast(op.Transpose(op.NonZero(x), perm=[1, 0]), to=FLOAT)


@ops.op("matrixBandPart", "lowerTriangular", "upperTriangular")
def band_part(op, layer, x):
    p = layer.params
    if layer.kind != "matrixBandPart":
        return op.Trilu(x, np.array(p.k, np.int64), upper=int(layer.kind == "upperTriangular"))
    if p.numLower >= 0:
        x = op.Trilu(x, np.array(-p.numLower, np.int64), upper=1)
    return op.Trilu(x, np.array(p.numUpper, np.int64), upper=0) if p.numUpper >= 0 else op.Identity(x)


def _random(op: hub.Builder, layer: Any, frame: ir.Value) -> Any:
    p = layer.params
    seed = None if p.seed < 0 else float(p.seed)
    if "Normal" in layer.kind:
        return op.RandomNormalLike(frame, mean=p.mean, scale=p.stdDev, seed=seed)
    if "Uniform" in layer.kind:
        return op.RandomUniformLike(frame, low=p.minVal, high=p.maxVal, seed=seed)
    return op.Bernoulli(op.Add(op.Mul(frame, 0.0), p.prob), seed=seed)


@ops.op("randomNormalLike", "randomUniformLike", "randomBernoulliLike")
def random_like(op, layer, like):
    return _random(op, layer, like)


@ops.op("randomNormalStatic", "randomUniformStatic", "randomBernoulliStatic")
def random_static(op, layer):
    frame = op.Expand(op.const(np.float32(0)), np.asarray(layer.params.outputShape, np.int64))
    return _random(op, layer, frame)


@ops.op("randomNormalDynamic", "randomUniformDynamic", "randomBernoulliDynamic")
def random_dynamic(op, layer, shape):
    return _random(op, layer, op.Expand(op.const(np.float32(0)), as_int64(op, shape)))


@ops.op("categoricalDistribution")
def categorical(op, layer, x):
    p = layer.params
    logits = x if p.isLogits else op.Log(op.Add(x, np.float32(p.eps or 1e-10)))
    logits = op.Div(logits, p.temperature) if p.temperature not in (0.0, 1.0) else logits
    return op.Cast(drawn(op, logits, int(p.numSamples), None if p.seed < 0 else float(p.seed)), to=FLOAT)


class Suppression:
    """A NonMaximumSuppression layer as the MIL operator's handler sees a node."""

    version = 15

    def __init__(self, params: Any) -> None:
        self.held = {
            "max_boxes": int(params.maxBoxes),
            "score_threshold": params.scoreThreshold,
            "iou_threshold": params.iouThreshold,
            "per_class_suppression": params.perClassSuppression,
        }

    def get(self, name: str, default: Any = None) -> Any:
        return self.held.get(name, default)


@ops.op(
    "NonMaximumSuppression",
    needs=(need("thresholds and a number of boxes that are parameters", lambda p: p.maxBoxes > 0),),
)
def suppress(op, layer, boxes, scores, *given):
    if given:
        return NotImplemented
    return non_maximum_suppression(op, Suppression(layer.params), boxes, scores)
