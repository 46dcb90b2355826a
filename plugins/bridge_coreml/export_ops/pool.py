"""Pooling."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge.geometry import window_of
from bridge.hub import attr, rank_of
from bridge.needs import attribute, condition, unused_output
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import FLOAT, ints
from bridge_coreml.export_ops.conv import IMAGE, flat, padded, pads_of, window

ops = OpTable()


def inside(node: ir.Node) -> bool:
    """Pads smaller than the window; with ceil_mode symmetric ones, no window that starts outside, and two
    axes at most."""
    pads, shape = pads_of(node), window_of(node)
    if pads is None or shape is None or not padded(node):
        return False
    rows = [(*pair, k, s) for pair, k, s in zip(pads, shape.kernel, shape.strides, strict=True)]
    if any(max(a, b) >= k for a, b, k, _ in rows):
        return False
    return not attr(node, "ceil_mode") or (len(rows) < 3 and all(a == b and s <= k for a, b, k, s in rows))


UNDILATED = condition("dilations of 1", lambda n: set(window(n).dilations) == {1})
INSIDE = condition(
    "pads smaller than the window, and with ceil_mode symmetric and along two axes at most", inside
)


def pool(mil: Any, node: ir.Node, x: ir.Value, name: str, **more: Any) -> Any:
    return getattr(mil, name)(
        x=x,
        kernel_sizes=ints(attr(node, "kernel_shape")),
        strides=ints(window(node).strides),
        pad_type="custom",
        pad=ints(flat(pads_of(node))),
        ceil_mode=bool(attr(node, "ceil_mode")),
        **more,
    )


@ops.op("MaxPool", needs=(FLOAT, IMAGE, INSIDE, UNDILATED, unused_output(1, "Indices")))
def max_pool(mil, node, x):
    return pool(mil, node, x, "max_pool")


def no_counting_beyond(node: ir.Node) -> bool:
    return not (attr(node, "ceil_mode") and attr(node, "count_include_pad"))


@ops.op(
    "AveragePool",
    needs=(FLOAT, IMAGE, INSIDE, UNDILATED, condition("no ceil_mode where pads count", no_counting_beyond)),
)
def average_pool(mil, node, x):
    return pool(mil, node, x, "avg_pool", exclude_padding_from_average=not attr(node, "count_include_pad"))


@ops.op(
    "LpPool",
    needs=(
        FLOAT,
        condition("one or two spatial dimensions", lambda n: rank_of(n.inputs[0]) in (3, 4)),
        INSIDE,
        UNDILATED,
        attribute("p", 2),
    ),
)
def lp_pool(mil, node, x):
    return pool(mil, node, x, "l2_pool")
