"""Shapes, layouts, padding, concatenation, constants and ranges."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import arange
from bridge.importing import as_int64, ints
from bridge.ops import OpTable
from bridge_coreml.layers.common import (
    I64_MAX,
    I64_MIN,
    as_float,
    images,
    lengths,
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
    """Transpose of sequence, channel, height and width; the batch axis stays."""
    order = list(layer.params.axis) or [0, 1, 2, 3]
    positions = {0: 0, 1: 2, 2: 3, 3: 4}
    perm = [positions[int(a)] for a in order]
    return op.Transpose(x, perm=[perm[0], 1, *perm[1:]])


@ops.op("reshape")
def reshape_blob(op, layer, x):
    p, target = layer.params, [int(d) for d in layer.params.targetShape]
    sizes = lengths(op, x)
    shape = [target[0], sizes[1], *target[1:]] if len(target) == 4 else [*sizes[:2], *target]
    if p.mode == 0:
        return reshape(op, x, shape)
    channels_last = op.Transpose(x, perm=[0, 1, 3, 4, 2])
    reshaped = reshape(op, channels_last, [*shape[:2], shape[3], shape[4], shape[2]])
    return op.Transpose(reshaped, perm=[0, 1, 4, 2, 3])


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
        sizes = even_split_sizes(op, lengths(op, x)[axis], count)
    return op.Split(x, sizes, axis=axis, _outputs=count)


def even_split_sizes(op: hub.Builder, length: Any, count: int) -> Any:
    """Lengths of `count` parts; the first ones are longer by 1 where `length` is not divisible."""
    if isinstance(length, int):
        return np.asarray([length // count + (i < length % count) for i in range(count)], np.int64)
    remainder = op.Mod(length, op.const(ints(count)))
    extra = op.Cast(op.Less(op.const(ints(*range(count))), remainder), to=int(ir.DataType.INT64))
    return op.Add(op.Div(length, op.const(ints(count))), extra)


@ops.op("sequenceRepeat")
def sequence_repeat(op, layer, x):
    return op.Tile(x, ints(int(layer.params.nRepetitions) or 1, *[1] * ((rank_of(x) or 5) - 1)))


@ops.op("tile")
def tile(op, layer, x, reps=None):
    if reps is not None:
        return op.Tile(x, as_int64(op, reps))
    reps_list = [int(r) for r in layer.params.reps]
    return op.Tile(
        x, np.asarray([1] * ((rank_of(x) or len(reps_list)) - len(reps_list)) + reps_list, np.int64)
    )


@ops.op("reorganizeData")
def reorganize(op, layer, x):
    p = layer.params
    x, restore = images(op, x)
    size = int(p.blockSize)
    if p.mode == 0:
        return restore(op.SpaceToDepth(x, blocksize=size))
    return restore(op.DepthToSpace(x, blocksize=size, mode="CRD" if p.mode == 2 else "DCR"))


@ops.op("crop")
def crop(op, layer, x, like=None):
    p = layer.params
    if like is None:
        border_amounts = [(e.startEdgeSize, e.endEdgeSize) for e in p.cropAmounts.borderAmounts] or [
            (0, 0),
            (0, 0),
        ]
        crop_ends = [-int(e) if e else I64_MAX for _, e in border_amounts]
        return op.Slice(
            x,
            np.asarray([int(s) for s, _ in border_amounts], np.int64),
            np.asarray(crop_ends, np.int64),
            ints(-2, -1),
        )
    offset = [int(v) for v in p.offset] or [0, 0]
    sizes = vector(op, lengths(op, like)[-2:])
    return op.Slice(
        x, np.asarray(offset, np.int64), op.Add(sizes, np.asarray(offset, np.int64)), ints(-2, -1)
    )


@ops.op("padding")
def padding(op, layer, x):
    p, rank = layer.params, rank_of(x) or 2
    border_amounts = [(int(e.startEdgeSize), int(e.endEdgeSize)) for e in p.paddingAmounts.borderAmounts] or [
        (0, 0),
        (0, 0),
    ]
    pads = [
        *[0] * (rank - 2),
        *(s for s, _ in border_amounts),
        *[0] * (rank - 2),
        *(e for _, e in border_amounts),
    ]
    padding_type = p.WhichOneof("PaddingType") or "constant"
    if padding_type == "constant":
        return op.Pad(x, np.asarray(pads, np.int64), np.float32(p.constant.value))
    return op.Pad(x, np.asarray(pads, np.int64), mode="reflect" if padding_type == "reflection" else "edge")


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
        pads_by_side = [[], []]
        for i, size in enumerate(lengths(op, x)):
            for side in (0, 1):
                target_length = int(pairs[i, side])
                if isinstance(size, int):
                    pads_by_side[side].append(max(target_length - size, 0))
                else:
                    pads_by_side[side].append(
                        op.Max(op.Sub(op.const(ints(target_length)), size), 0) if target_length else 0
                    )
        return op.Pad(x, vector(op, pads_by_side[0] + pads_by_side[1]), value)
    return op.Pad(x, np.asarray(pairs.T.ravel(), np.int64), value)


@ops.op("squeeze")
def squeeze(op, layer, x):
    p, rank = layer.params, rank_of(x)
    axes = [int(a) for a in p.axes] if rank is None else [int(a) % rank for a in p.axes]
    squeezed_axes = [i for i, d in enumerate(x.shape or ()) if d == 1] if p.squeezeAll else axes
    squeezed_axes = squeezed_axes[1:] if len(squeezed_axes) == rank else squeezed_axes
    return op.Squeeze(x, np.asarray(squeezed_axes, np.int64)) if squeezed_axes else op.Identity(x)


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
    array = np.full([int(d) for d in layer.params.targetShape], layer.params.value, np.float32)
    return op.Identity(op.const(array))


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
    perm = [seq, batch, *(i for i in range(rank) if i not in (seq, batch))]
    reversed_ = op.ReverseSequence(op.Transpose(x, perm=perm), as_int64(op, sizes), time_axis=0, batch_axis=1)
    return op.Transpose(reversed_, perm=[perm.index(i) for i in range(rank)])


@ops.op("slidingWindows")
def sliding_windows(op, layer, x):
    p, rank = layer.params, rank_of(x) or 1
    axis, size, step = int(p.axis) % rank, int(p.windowSize), int(p.step)
    length = lengths(op, x)[axis]
    offsets = op.const(np.arange(size, dtype=np.int64)[None])
    if isinstance(length, int):
        starts = op.const((np.arange((length - size) // step + 1) * step)[:, None])
    else:
        count = op.Add(op.Div(op.Sub(length, size), step), 1)
        starts = op.Unsqueeze(op.Mul(arange(op, count), step), ints(1))
    return op.Gather(x, op.Add(starts, offsets), axis=axis)


@ops.op("rangeStatic")
def range_static(op, layer):
    p = layer.params
    return op.Identity(
        op.const(np.arange(p.startValue, p.endValue, p.stepSizeValue or 1.0, dtype=np.float32))
    )


@ops.op("rangeDynamic")
def range_dynamic(op, layer, end, start=None, step=None):
    p = layer.params
    start_scalar = op.const(np.float32(p.startValue)) if start is None else op.Reshape(start, op.const([]))
    step_scalar = (
        op.const(np.float32(p.stepSizeValue or 1.0)) if step is None else op.Reshape(step, op.const([]))
    )
    return op.Range(start_scalar, op.Reshape(end, op.const([])), step_scalar)


@ops.op("matrixBandPart", "lowerTriangular", "upperTriangular")
def band_part(op, layer, x):
    p = layer.params
    if layer.kind != "matrixBandPart":
        return op.Trilu(x, np.array(p.k, np.int64), upper=int(layer.kind == "upperTriangular"))
    if p.numLower >= 0:
        x = op.Trilu(x, np.array(-p.numLower, np.int64), upper=1)
    return op.Trilu(x, np.array(p.numUpper, np.int64), upper=0) if p.numUpper >= 0 else op.Identity(x)
