"""Products, convolutions, pools, normalizations, attention."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.importing import attribute, constant, like
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_coreml.import_ops.common import RANKED, as_type

ops = OpTable()

PADDINGS = attribute("pad_type", "valid", "same", "same_lower", "custom")


def window(node: Any, spatial: int) -> list[list[int]]:
    """Strides and dilations per spatial dimension."""
    return [np.ravel(node.get(n, [1] * spatial)).tolist() for n in ("strides", "dilations")]


def padding(node: Any, kernel: list[int]) -> dict[str, Any]:
    """The hub's attributes for pad_type and pad."""
    kind = node.get("pad_type", "valid")
    if kind == "custom":
        pad = np.reshape(node.get("pad", [0] * 2 * len(kernel)), (-1, 2))
        return {"pads": [int(v) for v in (*pad[:, 0], *pad[:, 1])]}
    return {"auto_pad": {"same": "SAME_UPPER", "same_lower": "SAME_LOWER"}.get(kind)}


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
    weight, bias = as_type(op, weight, x), as_type(op, bias, x)
    kernel = [int(d) for d in weight.shape[2:]]
    strides, dilations = window(node, len(kernel))
    return op.Conv(
        x,
        weight,
        bias,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        group=node.get("groups", 1),
        **padding(node, kernel),
    )


@ops.op(
    "conv_quantized",
    needs=(RANKED, PADDINGS, STATIC_WINDOW, constant("weight"), attribute("quantization_type", "linear")),
)
def conv_quantized(op, node, x, bias=None):
    stored, scale, offset = (node.array(n) for n in ("weight", "quant_scale", "quant_bias"))
    spread = [-1] + [1] * (stored.ndim - 1)
    scale, offset = (np.reshape(v, spread) if np.size(v) > 1 else v for v in (scale, offset))
    return conv(op, node, x, like(op, x, stored * scale + offset), bias)


def transposed(
    node: Any, x: ir.Value, kernel: list[int], strides: list[int], dilations: list[int]
) -> dict[str, Any]:
    """Pads and output padding of a transposed convolution whose output may be given."""
    kind = node.get("pad_type", "valid")
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    wanted = node.get("output_shape")
    sizes = list(x.shape)[2:]
    begin, end, extra = [], [], []
    for i, (span, stride) in enumerate(zip(spans, strides, strict=True)):
        if kind == "same":
            length = wanted[2 + i] if wanted else None
            total = (sizes[i] - 1) * stride + span - length if length else span - stride
            begin.append(max(total, 0) // 2)
            end.append(max(total, 0) - max(total, 0) // 2)
            extra.append(max(-total, 0))
            continue
        pads = [0, 0] if kind == "valid" else node.get("pad", [0] * 2 * len(kernel))[2 * i : 2 * i + 2]
        natural = (sizes[i] - 1) * stride + span - sum(pads) if wanted else 0
        missing = wanted[2 + i] - natural if wanted else 0
        begin.append(pads[0])
        end.append(pads[1] + max(-missing, 0))
        extra.append(max(missing, 0))
    return {
        "pads": [int(v) for v in begin + end],
        "output_padding": [int(v) for v in extra] if any(extra) else None,
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
    weight, bias = as_type(op, weight, x), as_type(op, bias, x)
    kernel = [int(d) for d in weight.shape[2:]]
    strides, dilations = window(node, len(kernel))
    return op.ConvTranspose(
        x,
        weight,
        bias,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        group=node.get("groups", 1),
        **transposed(node, x, kernel, strides, dilations),
    )
