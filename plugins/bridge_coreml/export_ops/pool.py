"""Pooling."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge.geometry import window_of
from bridge.hub import attr, rank_of
from bridge.needs import attribute, condition, unused_output
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import FLOAT, ints
from bridge_coreml.export_ops.conv import IMAGE, has_known_pads, known_window, mil_pads, pads_of

ops = OpTable()


def has_supported_pads(node: ir.Node) -> bool:
    """True if pads are smaller than the kernel; with ceil_mode also symmetric, strides at most the kernel,
    and at most two axes."""
    pads, window = pads_of(node), window_of(node)
    if pads is None or window is None or not has_known_pads(node):
        return False
    axes = [(*pair, k, s) for pair, k, s in zip(pads, window.kernel, window.strides, strict=True)]
    if any(max(a, b) >= k for a, b, k, _ in axes):
        return False
    return not attr(node, "ceil_mode") or (len(axes) < 3 and all(a == b and s <= k for a, b, k, s in axes))


UNDILATED = condition("dilations of 1", lambda n: set(known_window(n).dilations) == {1})
SUPPORTED_PADS = condition(
    "pads smaller than the window, and with ceil_mode symmetric and along two axes at most",
    has_supported_pads,
)


def pool(mil: Any, node: ir.Node, x: ir.Value, name: str, **attributes: Any) -> Any:
    return getattr(mil, name)(
        x=x,
        kernel_sizes=ints(attr(node, "kernel_shape")),
        strides=ints(known_window(node).strides),
        pad_type="custom",
        pad=ints(mil_pads(pads_of(node))),
        ceil_mode=bool(attr(node, "ceil_mode")),
        **attributes,
    )


@ops.op("MaxPool", needs=(FLOAT, IMAGE, SUPPORTED_PADS, UNDILATED, unused_output(1, "Indices")))
def max_pool(mil, node, x):
    return pool(mil, node, x, "max_pool")


def counts_no_ceil_padding(node: ir.Node) -> bool:
    return not (attr(node, "ceil_mode") and attr(node, "count_include_pad"))


@ops.op(
    "AveragePool",
    needs=(
        FLOAT,
        IMAGE,
        SUPPORTED_PADS,
        UNDILATED,
        condition("no ceil_mode where pads count", counts_no_ceil_padding),
    ),
)
def average_pool(mil, node, x):
    return pool(mil, node, x, "avg_pool", exclude_padding_from_average=not attr(node, "count_include_pad"))


@ops.op(
    "LpPool",
    needs=(
        FLOAT,
        condition("one or two spatial dimensions", lambda n: rank_of(n.inputs[0]) in (3, 4)),
        SUPPORTED_PADS,
        UNDILATED,
        attribute("p", 2),
    ),
)
def lp_pool(mil, node, x):
    return pool(mil, node, x, "l2_pool")
