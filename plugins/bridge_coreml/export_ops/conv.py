"""Convolutions and transposed convolutions."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge import geometry
from bridge.geometry import Window, window_of
from bridge.hub import attr, held, rank_of, shape_of
from bridge.needs import condition
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
    ),
)
def conv(mil, node, x, weights, bias=None):
    convolved = mil.conv(
        x=x,
        weight=weights,
        bias=constant_bias(mil, bias),
        strides=ints(known_window(node).strides),
        dilations=ints(known_window(node).dilations),
        groups=attr(node, "group"),
        pad_type="custom",
        pad=ints(mil_pads(pads_of(node))),
    )
    return add_runtime_bias(mil, convolved, bias)


def constant_bias(mil: Any, bias: ir.Value | None) -> Any:
    """The bias if it is constant, which Core ML requires of that of a convolution; else None."""
    return None if bias is None or held(bias) is None else mil.var(bias)


def add_runtime_bias(mil: Any, convolved: Any, bias: ir.Value | None) -> Any:
    """The convolution plus a bias [channels] that is known at run time alone."""
    if bias is None or held(bias) is not None:
        return convolved
    shape = ints([1, -1, *[1] * (len(convolved.shape) - 2)])
    return mil.add(x=convolved, y=mil.reshape(x=bias, shape=shape))


def is_made_of_constants(value: ir.Value | None) -> bool:
    """True for a constant or none at all, and for what DequantizeLinear or its steps make of constants."""
    if value is None or held(value) is not None:
        return True
    producer = value.producer()
    return (
        producer is not None
        and producer.op_type in ("Cast", "DequantizeLinear", "Mul", "Reshape", "Sub")
        and all(is_made_of_constants(v) for v in producer.inputs)
    )


def has_supported_weights(node: ir.Node) -> bool:
    if is_made_of_constants(node.inputs[1]):
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


CONSTANT_WEIGHTS = condition("constant weights", lambda n: is_made_of_constants(n.inputs[1]))


@ops.op("ConvTranspose", needs=(FLOAT, IMAGE, CONSTANT_WEIGHTS, TRANSPOSED_PADS))
@ops.op("ConvTranspose", since=IOS17, needs=(FLOAT, IMAGE, TRANSPOSED_PADS))
def conv_transpose(mil, node, x, weights, bias=None):
    pads, output_shape = transposed_pads_and_shape(node)
    convolved = mil.conv_transpose(
        x=x,
        weight=weights,
        bias=constant_bias(mil, bias),
        strides=ints(known_window(node).strides),
        dilations=ints(known_window(node).dilations),
        groups=attr(node, "group"),
        pad_type="custom",
        pad=ints(pads),
        output_shape=ints(output_shape),
    )
    return add_runtime_bias(mil, convolved, bias)
