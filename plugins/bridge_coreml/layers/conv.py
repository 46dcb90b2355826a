"""Convolutions and transposed convolutions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import onnx_ir as ir

from bridge import hub
from bridge.geometry import crop_pads, transposed_total
from bridge.ops import OpTable
from bridge_coreml.layers.common import images, weight

ops = OpTable()


def pair_or_default(values: Iterable[Any], default: int = 1) -> list[Any]:
    return list(values) or [default, default]


def border_amounts(amounts: Any) -> list[int]:
    """Edge sizes [top, bottom, left, right] of a BorderAmounts message."""
    amounts_by_axis = [(e.startEdgeSize, e.endEdgeSize) for e in amounts.borderAmounts] or [(0, 0), (0, 0)]
    return [int(v) for edges in amounts_by_axis for v in edges]


def padding_attributes(p: Any) -> dict[str, Any]:
    """Attributes `pads`, `ceil_mode` or `auto_pad` for the padding of a convolution or pool."""
    padding_type = p.WhichOneof(
        "ConvolutionPaddingType" if "isDeconvolution" in p.DESCRIPTOR.fields_by_name else "PoolingPaddingType"
    )
    if padding_type == "valid":
        top, bottom, left, right = border_amounts(p.valid.paddingAmounts)
        return {"pads": [top, left, bottom, right]}
    if padding_type == "includeLastPixel":
        top, left = [int(v) for v in pair_or_default(p.includeLastPixel.paddingAmounts, 0)]
        return {"pads": [top, left, top, left], "ceil_mode": 1}
    return (
        {} if padding_type is None else {"auto_pad": "SAME_LOWER" if p.same.asymmetryMode else "SAME_UPPER"}
    )


@ops.op("convolution")
def convolution(op, layer, x, kernel=None):
    p = layer.params
    x, restore = images(op, x)
    kernel_shape = [int(v) for v in (p.kernelSize or [3, 3])]
    strides, dilations, groups = pair_or_default(p.stride), pair_or_default(p.dilationFactor), p.nGroups or 1
    if p.isDeconvolution:
        return restore(_deconvolution(op, p, x, kernel_shape, strides, dilations, groups))
    if kernel is None:
        kernel = op.const(weight(p.weights, [p.outputChannels, p.kernelChannels, *kernel_shape]))
    bias = op.const(weight(p.bias, [p.outputChannels])) if p.hasBias else None
    attributes = {
        "kernel_shape": kernel_shape,
        "strides": [int(s) for s in strides],
        "dilations": [int(d) for d in dilations],
    }
    return restore(op.Conv(x, kernel, bias, group=groups, **attributes, **padding_attributes(p)))


def _deconvolution(
    op: hub.Builder,
    p: Any,
    x: ir.Value,
    kernel_shape: list[int],
    strides: list[int],
    dilations: list[int],
    groups: int,
) -> Any:
    """ConvTranspose; with `same` padding the output length is input length * stride."""
    kernel = op.const(weight(p.weights, [p.kernelChannels, p.outputChannels // groups, *kernel_shape]))
    bias = op.const(weight(p.bias, [p.outputChannels])) if p.hasBias else None
    extents = [(k - 1) * d + 1 for k, d in zip(kernel_shape, dilations, strict=True)]
    in_lens = list(x.shape)[2:]
    if p.outputShape:
        rows = zip(in_lens, extents, strides, p.outputShape, strict=True)
        pads, output_padding = crop_pads([transposed_total(n, e, s, 0, out) for n, e, s, out in rows])
    elif p.WhichOneof("ConvolutionPaddingType") == "same":
        pads, output_padding = crop_pads([e - s for e, s in zip(extents, strides, strict=True)])
    else:
        top, bottom, left, right = border_amounts(p.valid.paddingAmounts)
        pads, output_padding = [top, left, bottom, right], [0, 0]
    return op.ConvTranspose(
        x,
        kernel,
        bias,
        kernel_shape=kernel_shape,
        strides=[int(stride) for stride in strides],
        dilations=[int(d) for d in dilations],
        group=groups,
        pads=[int(v) for v in pads],
        output_padding=[int(v) for v in output_padding] if any(output_padding) else None,
    )


@ops.op("convolution3d")
def convolution_3d(op, layer, x):
    p = layer.params
    kernel_shape, strides, dilations = (
        [int(getattr(p, prefix + axis)) or 1 for axis in ("Depth", "Height", "Width")]
        for prefix in ("kernel", "stride", "dilation")
    )
    groups, channels_out = p.nGroups or 1, int(p.outputChannels)
    bias = op.const(weight(p.bias, [channels_out])) if p.hasBias else None
    custom = [
        [getattr(p, f"customPadding{side}") for side in sides]
        for sides in (("Front", "Top", "Left"), ("Back", "Bottom", "Right"))
    ]
    attributes = {"kernel_shape": kernel_shape, "strides": strides, "dilations": dilations, "group": groups}
    if p.isDeconvolution:
        kernel = op.const(weight(p.weights, [int(p.inputChannels), channels_out // groups, *kernel_shape]))
        pads = [*custom[0], *custom[1]] if p.paddingType == 0 else [0] * 6
        if p.paddingType == 2:
            rows = zip(kernel_shape, dilations, strides, strict=True)
            pads, _ = crop_pads([(k - 1) * d + 1 - s for k, d, s in rows])
        return op.ConvTranspose(x, kernel, bias, pads=pads, **attributes)
    kernel = op.const(weight(p.weights, [channels_out, int(p.inputChannels) // groups, *kernel_shape]))
    padding = {0: {"pads": [*custom[0], *custom[1]]}, 2: {"auto_pad": "SAME_UPPER"}}.get(p.paddingType, {})
    return op.Conv(x, kernel, bias, **padding, **attributes)
