"""Convolutions and transposed convolutions."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge.geometry import halves
from bridge.importing import ints
from bridge.ops import OpTable
from bridge_torchscript.import_ops.common import cast, rank, spatial_list, static_shape
from bridge_torchscript.import_ops.pool import with_batch

ops = OpTable()


def convolve(
    op: Any, x: ir.Value, weight: ir.Value, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    count = rank(weight) - 2
    attributes: dict[str, Any] = {}
    if isinstance(padding, str):
        if padding == "same":
            extents = [
                d * (k - 1)
                for d, k in zip(spatial_list(dilation, count), static_shape(weight)[2:], strict=True)
            ]
            before, after = zip(*(halves(r, upper=True) for r in extents), strict=True)
            attributes["pads"] = [*before, *after]
    else:
        attributes["pads"] = spatial_list(padding, count) * 2
    return with_batch(
        op,
        x,
        count,
        lambda v: op.Conv(
            v,
            weight,
            bias,
            strides=spatial_list(stride, count),
            dilations=spatial_list(dilation, count),
            group=groups,
            **attributes,
        ),
    )


@ops.op("aten::conv1d", "aten::conv2d", "aten::conv3d")
def conv(op, x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    return convolve(op, x, weight, bias, stride, padding, dilation, groups)


@ops.op("aten::conv_transpose1d", "aten::conv_transpose2d", "aten::conv_transpose3d")
def conv_transpose(op, x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    count = rank(weight) - 2
    pads, output_pads = spatial_list(padding, count), spatial_list(output_padding, count)
    strides = spatial_list(stride, count)
    is_padding_beyond_stride = any(e >= s for e, s in zip(output_pads, strides, strict=True))
    after = [p - e for p, e in zip(pads, output_pads, strict=True)] if is_padding_beyond_stride else pads
    attributes = {"strides": strides, "dilations": spatial_list(dilation, count), "group": groups}

    if bias is not None:
        bias = cast(op, bias, x.dtype)

    def make(v: ir.Value) -> ir.Value:
        if not is_padding_beyond_stride:
            return op.ConvTranspose(
                v, weight, bias, pads=[*pads, *pads], output_padding=output_pads, **attributes
            )
        full = op.ConvTranspose(v, weight, None, **attributes)
        cropped = op.Pad(full, ints(0, 0, *(-p for p in pads), 0, 0, *(-a for a in after)))
        return cropped if bias is None else op.Add(cropped, op.Reshape(bias, ints(-1, *[1] * count)))

    return with_batch(op, x, count, make)


@ops.op("aten::_convolution", "aten::convolution", "aten::_convolution_mode")
def convolution(
    op, x, weight, bias=None, stride=1, padding=0, dilation=1, transposed=False, output_padding=0, groups=1
):
    if transposed:
        return conv_transpose(op, x, weight, bias, stride, padding, output_padding, groups, dilation)
    return convolve(op, x, weight, bias, stride, padding, dilation, groups)
