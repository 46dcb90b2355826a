"""Products, convolutions, pools, normalizations, resizing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.importing import as_int64, ints
from bridge.ops import OpTable
from bridge_coreml.import_ops.image import bilinear, crop_resize_of_rois, resized
from bridge_coreml.import_ops.nn import response_norm
from bridge_coreml.layers.common import images, lengths, need, rank_of, reshape, shape_of, weight

ops = OpTable()


@ops.op("innerProduct")
def inner_product(op, layer, x):
    """Of a blob of rank 4 or 5 the last three dimensions are the vector."""
    p, rank = layer.params, rank_of(x) or 1
    kernel = weight(p.weights, [p.outputChannels, p.inputChannels])
    flat = x
    if rank >= 4:
        flat = reshape(op, x, [*lengths(op, x)[: rank - 3], p.inputChannels])
    made = op.MatMul(flat, op.const(np.ascontiguousarray(kernel.T)))
    if p.hasBias:
        made = op.Add(made, op.const(weight(p.bias, [p.outputChannels])))
    return op.Unsqueeze(made, ints(rank - 2, rank - 1)) if rank >= 4 else made


@ops.op("batchedMatmul")
def batched_matmul(op, layer, x, y=None):
    p = layer.params
    if y is None:
        kernel = weight(p.weights, [p.weightMatrixSecondDimension, p.weightMatrixFirstDimension])
        made = op.MatMul(x, op.const(np.ascontiguousarray(kernel.T)))
        return op.Add(made, op.const(weight(p.bias, [p.weightMatrixSecondDimension]))) if p.hasBias else made
    sides = []
    for value, turn in ((x, p.transposeA), (y, p.transposeB)):
        rank = rank_of(value) or 2
        sides.append(
            op.Transpose(value, perm=[*range(rank - 2), rank - 1, rank - 2]) if turn and rank > 1 else value
        )
    for i, axis in enumerate((0, 1)):
        if rank_of(sides[i]) == 1:
            sides[i] = op.Unsqueeze(sides[i], ints(axis))
    return op.MatMul(*sides)


@ops.op("embedding")
def embedding(op, layer, x):
    p, rank = layer.params, rank_of(x) or 4
    table = weight(p.weights, [p.outputChannels, p.inputDim]).T
    places = op.Squeeze(as_int64(op, x), ints(*range(rank - 3, rank)))
    made = op.Gather(op.const(np.ascontiguousarray(table)), places, axis=0)
    if p.hasBias:
        made = op.Add(made, op.const(weight(p.bias, [p.outputChannels])))
    return op.Unsqueeze(made, ints(rank - 2, rank - 1))


@ops.op("embeddingND")
def embedding_nd(op, layer, x):
    p, rank = layer.params, rank_of(x) or 2
    table = weight(p.weights, [p.embeddingSize, p.vocabSize]).T
    made = op.Gather(
        op.const(np.ascontiguousarray(table)), op.Squeeze(as_int64(op, x), ints(rank - 1)), axis=0
    )
    return op.Add(made, op.const(weight(p.bias, [p.embeddingSize]))) if p.hasBias else made


@ops.op("dot")
def dot(op, layer, x, y):
    def total(a, b):
        return op.ReduceSum(op.Mul(a, b), ints(-3), keepdims=1)

    made = total(x, y)
    if layer.params.cosineSimilarity:
        made = op.Div(made, op.Sqrt(op.Mul(total(x, x), total(y, y))))
    return made


def pair(values: Iterable[Any], default: int = 1) -> list[Any]:
    return list(values) or [default, default]


def borders(amounts: Any) -> list[int]:
    """Before and after, of height and width."""
    found = [(e.startEdgeSize, e.endEdgeSize) for e in amounts.borderAmounts] or [(0, 0), (0, 0)]
    return [int(v) for edges in found for v in edges]


def pads(p: Any) -> dict[str, Any]:
    """The hub's attributes for the padding of a convolution or pool."""
    which = p.WhichOneof(
        "ConvolutionPaddingType" if "isDeconvolution" in p.DESCRIPTOR.fields_by_name else "PoolingPaddingType"
    )
    if which == "valid":
        top, bottom, left, right = borders(p.valid.paddingAmounts)
        return {"pads": [top, left, bottom, right]}
    if which == "includeLastPixel":
        top, left = [int(v) for v in pair(p.includeLastPixel.paddingAmounts, 0)]
        return {"pads": [top, left, top, left], "ceil_mode": 1}
    return {} if which is None else {"auto_pad": "SAME_LOWER" if p.same.asymmetryMode else "SAME_UPPER"}


@ops.op("convolution")
def convolution(op, layer, x, kernel=None):
    p = layer.params
    x, back = images(op, x)
    size = [int(v) for v in (p.kernelSize or [3, 3])]
    strides, dilations, groups = pair(p.stride), pair(p.dilationFactor), p.nGroups or 1
    if p.isDeconvolution:
        return back(_deconvolution(op, p, x, size, strides, dilations, groups))
    if kernel is None:
        kernel = op.const(weight(p.weights, [p.outputChannels, p.kernelChannels, *size]))
    bias = op.const(weight(p.bias, [p.outputChannels])) if p.hasBias else None
    common = {
        "kernel_shape": size,
        "strides": [int(s) for s in strides],
        "dilations": [int(d) for d in dilations],
    }
    return back(op.Conv(x, kernel, bias, group=groups, **common, **pads(p)))


def _deconvolution(
    op: hub.Builder,
    p: Any,
    x: ir.Value,
    size: list[int],
    strides: list[int],
    dilations: list[int],
    groups: int,
) -> Any:
    """Same padding makes the output the input times the stride."""
    kernel = op.const(weight(p.weights, [p.kernelChannels, p.outputChannels // groups, *size]))
    bias = op.const(weight(p.bias, [p.outputChannels])) if p.hasBias else None
    spans = [(k - 1) * d + 1 for k, d in zip(size, dilations, strict=True)]
    dims = list(x.shape)[2:]
    begin, end, extra = [0, 0], [0, 0], [0, 0]
    if p.outputShape or p.WhichOneof("ConvolutionPaddingType") == "same":
        for i, (span, s) in enumerate(zip(spans, strides, strict=True)):
            total = (dims[i] - 1) * s + span - p.outputShape[i] if p.outputShape else span - s
            begin[i], end[i] = max(total, 0) // 2, max(total, 0) - max(total, 0) // 2
            extra[i] = max(-total, 0)
    else:
        top, bottom, left, right = borders(p.valid.paddingAmounts)
        begin, end = [top, left], [bottom, right]
    return op.ConvTranspose(
        x,
        kernel,
        bias,
        kernel_shape=size,
        strides=[int(s) for s in strides],
        dilations=[int(d) for d in dilations],
        group=groups,
        pads=[int(v) for v in begin + end],
        output_padding=[int(v) for v in extra] if any(extra) else None,
    )


@ops.op("convolution3d")
def convolution_3d(op, layer, x):
    p = layer.params
    size, strides, dilations = (
        [int(getattr(p, prefix + axis)) or 1 for axis in ("Depth", "Height", "Width")]
        for prefix in ("kernel", "stride", "dilation")
    )
    groups, count = p.nGroups or 1, int(p.outputChannels)
    bias = op.const(weight(p.bias, [count])) if p.hasBias else None
    custom = [
        [getattr(p, f"customPadding{side}") for side in sides]
        for sides in (("Front", "Top", "Left"), ("Back", "Bottom", "Right"))
    ]
    common = {"kernel_shape": size, "strides": strides, "dilations": dilations, "group": groups}
    if p.isDeconvolution:
        kernel = op.const(weight(p.weights, [int(p.inputChannels), count // groups, *size]))
        begin, end = custom if p.paddingType == 0 else ([0] * 3, [0] * 3)
        if p.paddingType == 2:
            total = [(k - 1) * d + 1 - s for k, d, s in zip(size, dilations, strides, strict=True)]
            begin, end = [max(t, 0) // 2 for t in total], [max(t, 0) - max(t, 0) // 2 for t in total]
        return op.ConvTranspose(x, kernel, bias, pads=[*begin, *end], **common)
    kernel = op.const(weight(p.weights, [count, int(p.inputChannels) // groups, *size]))
    padding = {0: {"pads": [*custom[0], *custom[1]]}, 2: {"auto_pad": "SAME_UPPER"}}.get(p.paddingType, {})
    return op.Conv(x, kernel, bias, **padding, **common)


NAMES = {0: "Max", 1: "Average", 2: "L2"}


@ops.op("pooling")
def pooling(op, layer, x):
    p = layer.params
    kind, (x, back) = NAMES[p.type], images(op, x)
    if p.globalPooling:
        return back(_all_of(op, x, kind, ints(2, 3)))
    size, strides = [int(v) for v in (p.kernelSize or [3, 3])], [int(v) for v in pair(p.stride)]
    common = {"kernel_shape": size, "strides": strides, **pads(p)}
    if kind == "L2":
        return back(op.LpPool(x, p=2, **common))
    if kind == "Max":
        return back(op.MaxPool(x, **common))
    return back(op.AveragePool(x, count_include_pad=int(not p.avgPoolExcludePadding), **common))


def _all_of(op: hub.Builder, x: ir.Value, kind: str, axes: np.ndarray) -> Any:
    name = {"Max": "ReduceMax", "Average": "ReduceMean", "L2": "ReduceL2"}[kind]
    return op.node(name, x, axes, keepdims=1)


@ops.op("pooling3d")
def pooling_3d(op, layer, x):
    p = layer.params
    size, strides = (
        [int(getattr(p, prefix + a)) or 1 for a in ("Depth", "Height", "Width")]
        for prefix in ("kernel", "stride")
    )
    sides = ("Front", "Top", "Left", "Back", "Bottom", "Right")
    custom = [int(getattr(p, f"customPadding{side}")) for side in sides]
    padding = {0: {"pads": custom}, 2: {"auto_pad": "SAME_UPPER"}}.get(p.paddingType, {})
    common = {"kernel_shape": size, "strides": strides, **padding}
    if p.type == 0:
        return op.MaxPool(x, **common)
    return op.AveragePool(x, count_include_pad=int(not p.countExcludePadding), **common)


@ops.op("globalPooling3d")
def global_pooling_3d(op, layer, x):
    return _all_of(op, x, NAMES[layer.params.type], ints(2, 3, 4))


@ops.op("batchnorm")
def batchnorm(op, layer, x):
    p = layer.params
    x, back = images(op, x)
    count = int(p.channels)
    gamma, beta = (op.const(weight(v, [count])) for v in (p.gamma, p.beta))
    epsilon = p.epsilon or 1e-5
    if p.computeMeanVar and p.instanceNormalization:
        return back(op.InstanceNormalization(x, gamma, beta, epsilon=epsilon))
    if p.computeMeanVar:
        return back(op.BatchNormalization(x, gamma, beta, *of_batch(op, x), epsilon=epsilon))
    mean, variance = (op.const(weight(v, [count])) for v in (p.mean, p.variance))
    return back(op.BatchNormalization(x, gamma, beta, mean, variance, epsilon=epsilon))


def of_batch(op: hub.Builder, x: ir.Value) -> tuple[Any, Any]:
    """Mean and variance of each channel over the whole batch."""
    axes = ints(0, 2, 3)
    centred = op.Sub(x, op.ReduceMean(x, axes, keepdims=1))
    return op.ReduceMean(x, axes, keepdims=0), op.ReduceMean(op.Mul(centred, centred), axes, keepdims=0)


@ops.op("mvn")
def mvn(op, layer, x):
    p = layer.params
    axes = np.asarray([-3, -2, -1] if p.acrossChannels else [-2, -1], np.int64)
    centred = op.Sub(x, op.ReduceMean(x, axes, keepdims=1))
    if not p.normalizeVariance:
        return centred
    spread = op.Sqrt(op.ReduceMean(op.Mul(centred, centred), axes, keepdims=1))
    return op.Div(centred, op.Add(spread, np.float32(p.epsilon or 1e-6)))


@ops.op("l2normalize")
def l2_normalize(op, layer, x):
    total = op.ReduceSum(op.Mul(x, x), ints(-3, -2, -1), keepdims=1)
    return op.Div(x, op.Sqrt(op.Add(total, np.float32(layer.params.epsilon or 1e-6))))


@ops.op("lrn")
def lrn(op, layer, x):
    p = layer.params
    x, back = images(op, x)
    return back(response_norm(op, x, int(p.localSize), p.alpha, p.beta, p.k or 1.0))


@ops.op("layerNormalization")
def layer_normalization(op, layer, x):
    p = layer.params
    dims = [int(d) for d in p.normalizedShape]
    gamma, beta = (op.const(weight(v, dims)) for v in (p.gamma, p.beta))
    return op.LayerNormalization(x, gamma, beta, axis=-len(dims), epsilon=p.eps or 1e-5)


def spread(op: hub.Builder, shape: Iterable[int], params: Any, x: ir.Value) -> Any:
    """A weight of shape [1], [C], [1, H, W] or [C, H, W] that meets the last three dimensions."""
    dims = [int(d) for d in shape]
    made = weight(params, dims)
    return op.const(made.reshape(-1, 1, 1) if len(dims) == 1 and (rank_of(x) or 0) >= 3 else made)


@ops.op("scale")
def scale(op, layer, x):
    p = layer.params
    made = op.Mul(x, spread(op, p.shapeScale, p.scale, x))
    return op.Add(made, spread(op, p.shapeBias, p.bias, x)) if p.hasBias else made


@ops.op("bias")
def bias(op, layer, x):
    return op.Add(x, spread(op, layer.params.shape, layer.params.bias, x))


@ops.op(
    "upsample",
    needs=(
        need(
            "whole factors for the nearest neighbour",
            lambda p: (
                p.mode == 1
                or not p.fractionalScalingFactor
                or all(f == int(f) for f in p.fractionalScalingFactor)
            ),
        ),
    ),
)
def upsample(op, layer, x):
    p = layer.params
    factors = list(p.fractionalScalingFactor) or pair(p.scalingFactor)
    sizes = [
        int(np.floor(s * f)) if isinstance(s, int) else op.Mul(s, int(f))
        for s, f in zip(lengths(op, x)[-2:], factors, strict=True)
    ]
    if p.mode == 0:
        return resized(op, x, sizes, "nearest", "asymmetric")
    return resized(
        op, x, sizes, "linear", {1: "align_corners", 2: "half_pixel"}.get(p.linearUpsampleMode, "asymmetric")
    )


MODES = {0: "STRICT_ALIGN_CORNERS", 1: "ALIGN_CORNERS", 2: "DEFAULT", 3: "OFFSET_CORNERS"}


@ops.op("resizeBilinear")
def resize_bilinear(op, layer, x):
    counts, mode = [int(v) for v in pair(layer.params.targetSize)], MODES[layer.params.mode.samplingMethod]
    known = x.shape is not None and all(isinstance(d, int) for d in list(x.shape)[-2:])
    if not known and (mode == "OFFSET_CORNERS" or (mode == "ALIGN_CORNERS" and 1 in counts)):
        return NotImplemented
    return bilinear(op, x, mode, counts)


class Boxes:
    """A cropResize layer as the MIL operator's handler sees a node."""

    version = 15

    def __init__(self, params: Any) -> None:
        order = [
            "CORNERS_HEIGHT_FIRST",
            "CORNERS_WIDTH_FIRST",
            "CENTER_SIZE_HEIGHT_FIRST",
            "CENTER_SIZE_WIDTH_FIRST",
        ]
        height, width = pair(params.targetSize)
        self.held = {
            "target_height": int(height),
            "target_width": int(width),
            "normalized_coordinates": params.normalizedCoordinates,
            "spatial_scale": params.spatialScale or 1.0,
            "sampling_mode": MODES[params.mode.samplingMethod],
            "box_coordinate_mode": order[params.boxIndicesMode.boxMode],
        }

    def get(self, name: str, default: Any = None) -> Any:
        return self.held.get(name, default)


@ops.op("cropResize")
def crop_resize(op, layer, x, boxes):
    flat, _ = images(op, x)
    if shape_of(flat) is None:
        return NotImplemented
    return crop_resize_of_rois(op, Boxes(layer.params), flat, boxes)
