"""Convolutions and transposed convolutions."""

from __future__ import annotations

import onnx_ir as ir

from bridge import geometry
from bridge.geometry import Window, window_of
from bridge.hub import attr, const, rank_of, shape_of
from bridge.needs import condition, constant
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import FLOAT, IOS17, ints

ops = OpTable()


def known_window(node: ir.Node) -> Window:
    window = window_of(node)
    assert window is not None
    return window


def pads_of(node: ir.Node) -> geometry.Pads | None:
    """Pads before and after each spatial dimension; None where unknown."""
    if rank_of(node.inputs[0]) is None:
        return None
    return geometry.transposed_pads(node) if node.op_type == "ConvTranspose" else geometry.pads_of(node)


def mil_pads(pads: geometry.Pads) -> list[int]:
    """Pads in Core ML's order: before and after of the first dimension, of the second, …"""
    return [n for pair in pads for n in pair]


def has_known_pads(node: ir.Node) -> bool:
    pads = pads_of(node)
    return pads is not None and min(mil_pads(pads), default=0) >= 0


IMAGE = condition("one to three spatial dimensions", lambda n: rank_of(n.inputs[0]) in (3, 4, 5))
KNOWN_PADS = condition("pads that are known and not negative", has_known_pads)


@ops.op(
    "Conv",
    needs=(
        FLOAT,
        IMAGE,
        KNOWN_PADS,
        condition(
            "constant weights, or ones of known shape without dilation", lambda n: has_supported_weights(n)
        ),
        constant(2, "bias"),
    ),
)
def conv(mil, node, x, weights, bias=None):
    return mil.conv(
        x=x,
        weight=weights,
        bias=bias,
        strides=ints(known_window(node).strides),
        dilations=ints(known_window(node).dilations),
        groups=attr(node, "group"),
        pad_type="custom",
        pad=ints(mil_pads(pads_of(node))),
    )


def has_supported_weights(node: ir.Node) -> bool:
    if const(node.inputs[1]) is not None:
        return True
    return shape_of(node.inputs[1]) is not None and set(known_window(node).dilations) == {1}


def transposed_pads_and_shape(node: ir.Node) -> tuple[list[int], list[int]] | None:
    """Pads and output shape of a transposed convolution; None where unknown."""
    in_shape, out_shape, window = shape_of(node.inputs[0]), shape_of(node.outputs[0]), window_of(node)
    pads = pads_of(node)
    if in_shape is None or out_shape is None or window is None or pads is None or attr(node, "output_shape"):
        return None
    axes = zip(in_shape[2:], out_shape[2:], window.spans, window.strides, pads, strict=True)
    output_padding = [
        out_len - ((in_len - 1) * s + span - sum(pad_pair)) for in_len, out_len, span, s, pad_pair in axes
    ]
    return (mil_pads(pads), out_shape) if min([*output_padding, *mil_pads(pads)], default=0) >= 0 else None


TRANSPOSED_PADS = condition(
    "a static input, and pads that are not negative", lambda n: transposed_pads_and_shape(n) is not None
)


@ops.op("ConvTranspose", needs=(FLOAT, IMAGE, constant(1, "weights"), constant(2, "bias"), TRANSPOSED_PADS))
@ops.op("ConvTranspose", since=IOS17, needs=(FLOAT, IMAGE, TRANSPOSED_PADS))
def conv_transpose(mil, node, x, weights, bias=None):
    pads, output_shape = transposed_pads_and_shape(node)
    return mil.conv_transpose(
        x=x,
        weight=weights,
        bias=bias,
        strides=ints(known_window(node).strides),
        dilations=ints(known_window(node).dilations),
        groups=attr(node, "group"),
        pad_type="custom",
        pad=ints(pads),
        output_shape=ints(output_shape),
    )
