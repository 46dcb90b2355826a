"""Convolutions and transposed convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.geometry import crop_pads, transposed_total
from bridge.importing import attribute, constant, like
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_coreml.import_ops.common import RANKED, as_type

ops = OpTable()

PADDINGS = attribute("pad_type", "valid", "same", "same_lower", "custom")


def strides_and_dilations(node: Any, spatial: int) -> list[list[int]]:
    """Strides and dilations, each one integer per spatial dimension."""
    return [np.ravel(node.get(n, [1] * spatial)).tolist() for n in ("strides", "dilations")]


def window_attributes(node: Any, weight: Any) -> dict[str, Any]:
    """Attributes that Conv and ConvTranspose have in common."""
    kernel = [int(d) for d in weight.shape[2:]]
    strides, dilations = strides_and_dilations(node, len(kernel))
    group = node.get("groups", 1)
    return {"kernel_shape": kernel, "strides": strides, "dilations": dilations, "group": group}


def padding_attributes(node: Any, kernel: list[int]) -> dict[str, Any]:
    """Conv's attributes `pads` or `auto_pad` for the MIL parameters pad_type and pad."""
    pad_type = node.get("pad_type", "valid")
    if pad_type == "custom":
        pad = np.reshape(node.get("pad", [0] * 2 * len(kernel)), (-1, 2))
        return {"pads": [int(v) for v in (*pad[:, 0], *pad[:, 1])]}
    return {"auto_pad": {"same": "SAME_UPPER", "same_lower": "SAME_LOWER"}.get(pad_type)}


STATIC_WINDOW = condition(
    "a static input size where same padding meets dilation",
    lambda n: (
        n.get("pad_type", "valid") in ("valid", "custom")
        or max(np.ravel(n.get("dilations", [1]))) == 1
        or (n.dims("x") is not None and None not in n.dims("x")[2:])
    ),
)


@ops.op("conv", needs=(RANKED, PADDINGS, STATIC_WINDOW))
def conv(op, node, x, weight, bias=None):
    window = window_attributes(node, weight)
    padding = padding_attributes(node, window["kernel_shape"])
    return op.Conv(x, as_type(op, weight, x), as_type(op, bias, x), **window, **padding)


@ops.op(
    "conv_quantized",
    needs=(RANKED, PADDINGS, STATIC_WINDOW, constant("weight"), attribute("quantization_type", "linear")),
)
def conv_quantized(op, node, x, bias=None):
    quantized, scale, quant_bias = (node.array(n) for n in ("weight", "quant_scale", "quant_bias"))
    broadcast_shape = [-1] + [1] * (quantized.ndim - 1)
    scale, quant_bias = (np.reshape(v, broadcast_shape) if np.size(v) > 1 else v for v in (scale, quant_bias))
    return conv(op, node, x, like(op, x, quantized * scale + quant_bias), bias)


def transposed_pads(
    node: Any, x: ir.Value, kernel: list[int], strides: list[int], dilations: list[int]
) -> dict[str, Any]:
    """ConvTranspose's `pads` and `output_padding`; the node's output_shape is honored where it has one."""
    pad_type = node.get("pad_type", "valid")
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    output_shape = node.get("output_shape")
    in_lens = list(x.shape)[2:]
    if output_shape:
        rows = zip(in_lens, extents, strides, output_shape[2:], strict=True)
        totals = [transposed_total(*row[:3], 0, row[3]) for row in rows]
    else:
        totals = [extent - stride for extent, stride in zip(extents, strides, strict=True)]
    if pad_type == "same":
        pads, output_padding = crop_pads(totals)
    else:
        zeros = np.zeros(2 * len(kernel), int)
        begin, end = np.reshape(node.get("pad", zeros) if pad_type == "custom" else zeros, (-1, 2)).T
        excess = begin + end - totals if output_shape else 0 * begin
        pads = [*begin, *(end + np.maximum(-excess, 0))]
        output_padding = [int(e) for e in np.maximum(excess, 0)]
    return {
        "pads": [int(v) for v in pads],
        "output_padding": [int(v) for v in output_padding] if any(output_padding) else None,
    }


@ops.op(
    "conv_transpose",
    needs=(
        RANKED,
        attribute("pad_type", "valid", "same", "custom"),
        condition(
            "a static input size where output_shape is given",
            lambda n: n.get("output_shape") is None or (n.dims("x") or [None])[2:].count(None) == 0,
        ),
    ),
)
def conv_transpose(op, node, x, weight, bias=None):
    window = window_attributes(node, weight)
    padding = transposed_pads(node, x, window["kernel_shape"], window["strides"], window["dilations"])
    return op.ConvTranspose(x, as_type(op, weight, x), as_type(op, bias, x), **window, **padding)
