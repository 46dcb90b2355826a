"""Convolutions and transposed convolutions of two and three spatial dimensions."""

from __future__ import annotations

from typing import Any

from bridge.importing import (
    constant,
    constant_ints,
    int64_vector,
    ints,
    permuted,
    to_channels_first,
    to_channels_last,
)
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_tflite.import_ops.common import FUSED, activate, mark_hybrid

ops = OpTable()

SAME, VALID = 0, 1


def padding(node: Any) -> dict[str, Any]:
    """ONNX attributes for TFLite's SAME or VALID."""
    return {} if node.get("padding", SAME) == VALID else {"auto_pad": "SAME_UPPER"}


def strides_and_dilations(node: Any) -> tuple[list[int], list[int]]:
    return [node.get("strideH", 1), node.get("strideW", 1)], [
        node.get("dilationHFactor", 1),
        node.get("dilationWFactor", 1),
    ]


STATIC_WINDOW = condition(
    "a static input size where SAME padding meets dilation",
    lambda n: (
        n.get("padding", SAME) == VALID
        or max(strides_and_dilations(n)[1]) == 1
        or all(d is not None for d in n.tensor(0).dims[1:-1])
    ),
)


CHANNELS = condition("a known number of channels", lambda n: n.shape(0)[-1] is not None)


@ops.op("CONV_2D", needs=(FUSED, STATIC_WINDOW, CHANNELS))
def conv_2d(op, node, x, w, bias=None):
    strides, dilations = strides_and_dilations(node)
    kernel = node.shape(1)[1:3]
    group = node.shape(0)[3] // node.shape(1)[3]
    y = op.Conv(
        to_channels_first(op, x),
        permuted(op, w, [0, 3, 1, 2]),
        bias,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        group=group,
        **padding(node),
    )
    return to_channels_last(op, activate(op, node, mark_hybrid(node, y, 1)))


@ops.op("DEPTHWISE_CONV_2D", needs=(FUSED, STATIC_WINDOW))
def depthwise_conv_2d(op, node, x, w, bias=None):
    strides, dilations = strides_and_dilations(node)
    kernel = node.shape(1)[1:3]
    y = op.Conv(
        to_channels_first(op, x),
        permuted(op, w, [3, 0, 1, 2]),
        bias,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        group=node.shape(0)[3] or node.shape(1)[3] // node.get("depthMultiplier", 1),
        **padding(node),
    )
    return to_channels_last(op, activate(op, node, mark_hybrid(node, y, 1)))


STATIC_INPUT = condition("a static input size", lambda n: all(d is not None for d in n.tensor(2).dims[1:]))
STATIC_VOLUME = condition(
    "a static input size where SAME padding meets dilation",
    lambda n: (
        n.get("padding", SAME) == VALID
        or max(_strides_and_dilations_3d(n)[1]) == 1
        or all(d is not None for d in n.tensor(0).dims[1:-1])
    ),
)


def _static_conv_transpose(
    op: Any,
    node: Any,
    x: Any,
    w: Any,
    bias: Any,
    out: list[int],
    kernel: list[int],
    strides: list[int],
    dilations: list[int],
) -> Any:
    """ConvTranspose to the static size `out`: pads as for the convolution of `out`, cropped or padded at the
    end."""
    begin, end, extra = [], [], []
    rank = len(out)
    for size, k, s, d, out_length in zip(
        node.shape(2)[1 : 1 + rank], kernel, strides, dilations, out, strict=True
    ):
        span = (k - 1) * d + 1
        full = (size - 1) * s + span
        steps = (out_length - span + s) // s if node.get("padding", SAME) == VALID else -(-out_length // s)
        before = max((steps - 1) * s + span - out_length, 0) // 2
        begin.append(before)
        end.append(full - before - out_length if full - before > out_length else 0)
        extra.append(max(out_length - (full - before), 0))
    y = op.ConvTranspose(
        to_channels_first(op, x),
        w,
        None,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        pads=begin + end,
    )
    if any(extra):
        y = op.Pad(y, ints(0, 0, *[0] * rank, 0, 0, *extra))
    return y if bias is None else op.Add(y, op.Reshape(bias, ints(-1, *[1] * rank)))


def _dynamic_conv_transpose(
    op: Any,
    node: Any,
    x: Any,
    w: Any,
    bias: Any,
    shape: Any,
    kernel: list[int],
    strides: list[int],
    dilations: list[int],
) -> Any:
    """ConvTranspose to a run-time size, channels last: a slice of the full result."""
    rank, same = len(kernel), node.get("padding", SAME) != VALID
    full = op.ConvTranspose(
        to_channels_first(op, x), w, None, kernel_shape=kernel, strides=strides, dilations=dilations
    )
    out_lengths = op.Slice(int64_vector(op, shape), ints(1), ints(1 + rank), ints(0))
    step, span = ints(*strides), ints(*((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)))
    steps = op.Div(op.Add(out_lengths, step - 1 if same else step - span), step)
    total_padding = op.Sub(op.Add(op.Mul(op.Sub(steps, ints(*[1] * rank)), step), span), out_lengths)
    begin = op.Div(op.Max(total_padding, ints(*[0] * rank)), ints(*[2] * rank))
    pads = op.Concat(ints(*[0] * (rank + 3)), out_lengths, ints(0), axis=0)
    y = op.Slice(
        op.Pad(to_channels_last(op, full), pads),
        begin,
        op.Add(begin, out_lengths),
        ints(*range(1, rank + 1)),
    )
    return y if bias is None else op.Add(y, bias)


@ops.op("TRANSPOSE_CONV", needs=(FUSED, constant(0, "output shape"), STATIC_INPUT))
def transpose_conv(op, node, shape, w, x, bias=None):
    strides, _ = strides_and_dilations(node)
    kernel, out = node.shape(1)[1:3], constant_ints(shape)[1:3]
    y = _static_conv_transpose(op, node, x, permuted(op, w, [3, 0, 1, 2]), bias, out, kernel, strides, [1, 1])
    return to_channels_last(op, activate(op, node, y))


@ops.op("TRANSPOSE_CONV", needs=(FUSED,))
def transpose_conv_computed(op, node, shape, w, x, bias=None):
    filters, kernel = permuted(op, w, [3, 0, 1, 2]), node.shape(1)[1:3]
    return activate(
        op,
        node,
        _dynamic_conv_transpose(
            op, node, x, filters, bias, shape, kernel, strides_and_dilations(node)[0], [1, 1]
        ),
    )


def _strides_and_dilations_3d(node: Any) -> tuple[list[int], list[int]]:
    strides = [node.get("strideD", 1), node.get("strideH", 1), node.get("strideW", 1)]
    names = ("dilationDFactor", "dilationHFactor", "dilationWFactor")
    return strides, [node.get(n, 1) for n in names]


@ops.op("CONV_3D", needs=(FUSED, STATIC_VOLUME, CHANNELS))
def conv_3d(op, node, x, w, bias=None):
    strides, dilations = _strides_and_dilations_3d(node)
    kernel = node.shape(1)[:3]
    y = op.Conv(
        to_channels_first(op, x),
        permuted(op, w, [4, 3, 0, 1, 2]),
        bias,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        group=node.shape(0)[4] // node.shape(1)[3],
        **padding(node),
    )
    return to_channels_last(op, activate(op, node, y))


@ops.op("CONV_3D_TRANSPOSE", needs=(FUSED, constant(0, "output shape"), STATIC_INPUT))
def conv_3d_transpose(op, node, shape, w, x, bias=None):
    strides, dilations = _strides_and_dilations_3d(node)
    y = _static_conv_transpose(
        op,
        node,
        x,
        permuted(op, w, [4, 3, 0, 1, 2]),
        bias,
        constant_ints(shape)[1:4],
        node.shape(1)[:3],
        strides,
        dilations,
    )
    return to_channels_last(op, activate(op, node, y))


@ops.op("CONV_3D_TRANSPOSE", needs=(FUSED,))
def conv_3d_transpose_computed(op, node, shape, w, x, bias=None):
    filters, kernel = permuted(op, w, [4, 3, 0, 1, 2]), node.shape(1)[:3]
    return activate(
        op,
        node,
        _dynamic_conv_transpose(op, node, x, filters, bias, shape, kernel, *_strides_and_dilations_3d(node)),
    )
