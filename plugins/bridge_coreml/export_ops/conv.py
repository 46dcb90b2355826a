"""Products, convolutions, pools, normalizations, resizing, recurrent layers."""

from __future__ import annotations

import onnx_ir as ir

from bridge import geometry
from bridge.geometry import Window, window_of
from bridge.hub import attr, const, rank_of, shape_of
from bridge.needs import condition, constant
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import FLOAT, IOS17, ints

ops = OpTable()


def window(node: ir.Node) -> Window:
    found = window_of(node)
    assert found is not None
    return found


def pads_of(node: ir.Node) -> geometry.Pads | None:
    """Pads before and after each spatial dimension; None where they cannot be told."""
    if rank_of(node.inputs[0]) is None:
        return None
    return geometry.transposed_pads(node) if node.op_type == "ConvTranspose" else geometry.pads_of(node)


def flat(pads: geometry.Pads) -> list[int]:
    """As Core ML lists them: before and after of one dimension after the other."""
    return [n for pair in pads for n in pair]


def padded(node: ir.Node) -> bool:
    pads = pads_of(node)
    return pads is not None and min(flat(pads), default=0) >= 0


IMAGE = condition("one to three spatial dimensions", lambda n: rank_of(n.inputs[0]) in (3, 4, 5))
PADDED = condition("pads that are known and not negative", padded)


@ops.op(
    "Conv",
    needs=(
        FLOAT,
        IMAGE,
        PADDED,
        condition("constant weights, or ones of known shape without dilation", lambda n: _weights(n)),
        constant(2, "bias"),
    ),
)
def conv(mil, node, x, weights, bias=None):
    return mil.conv(
        x=x,
        weight=weights,
        bias=bias,
        strides=ints(window(node).strides),
        dilations=ints(window(node).dilations),
        groups=attr(node, "group"),
        pad_type="custom",
        pad=ints(flat(pads_of(node))),
    )


def _weights(node: ir.Node) -> bool:
    if const(node.inputs[1]) is not None:
        return True
    return shape_of(node.inputs[1]) is not None and set(window(node).dilations) == {1}


def transposed(node: ir.Node) -> tuple[list[int], list[int]] | None:
    """Pads and output shape of a transposed convolution; None where they cannot be told."""
    before, after, shape = shape_of(node.inputs[0]), shape_of(node.outputs[0]), window_of(node)
    pads = pads_of(node)
    if before is None or after is None or shape is None or pads is None or attr(node, "output_shape"):
        return None
    rows = zip(before[2:], after[2:], shape.spans, shape.strides, pads, strict=True)
    missing = [length - ((size - 1) * s + span - sum(pair)) for size, length, span, s, pair in rows]
    return (flat(pads), after) if min([*missing, *flat(pads)], default=0) >= 0 else None


TRANSPOSED = condition("a static input, and pads that are not negative", lambda n: transposed(n) is not None)


@ops.op("ConvTranspose", needs=(FLOAT, IMAGE, constant(1, "weights"), constant(2, "bias"), TRANSPOSED))
@ops.op("ConvTranspose", since=IOS17, needs=(FLOAT, IMAGE, TRANSPOSED))
def conv_transpose(mil, node, x, weights, bias=None):
    pads, after = transposed(node)
    return mil.conv_transpose(
        x=x,
        weight=weights,
        bias=bias,
        strides=ints(window(node).strides),
        dilations=ints(window(node).dilations),
        groups=attr(node, "group"),
        pad_type="custom",
        pad=ints(pads),
        output_shape=ints(after),
    )
