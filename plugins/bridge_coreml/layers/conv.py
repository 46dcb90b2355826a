"""Products, convolutions, pools, normalizations, resizing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import onnx_ir as ir

from bridge import hub
from bridge.ops import OpTable
from bridge_coreml.layers.common import images, weight

ops = OpTable()


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
