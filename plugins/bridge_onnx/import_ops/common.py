"""Needs and small values that several families share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, input_at
from bridge.importing import to_channels_first, to_channels_last
from bridge.needs import condition
from bridge.ops import Need

DOMAIN = "com.microsoft"
MS = f"{DOMAIN}::"
# Of every layer normalization of com.microsoft that adds or embeds first; ONNX's own have 1e-5
EPSILON = 1e-12


def absent(index: int, name: str) -> Need:
    """Input `index` is not given."""
    return condition(f"no {name}", lambda n: input_at(n, index) is None)


def unused(*indices: int) -> Need:
    """Outputs that training alone needs are not asked for."""
    return condition(
        "the saved statistics to be unused",
        lambda n: not any(o.uses() or o.is_graph_output() for i, o in enumerate(n.outputs) if i in indices),
    )


def node_attributes(node: ir.Node, *without: str) -> dict[str, Any]:
    """The attributes a node has, without some."""
    return {name: attr(node, name) for name in node.attributes if name not in without}


def channels_last(op: hub.Builder, x: ir.Value, compute: Callable[[ir.Value], ir.Value]) -> ir.Value:
    """`compute` of `x` with channels first, and its result with channels last as `x` has them."""
    return to_channels_last(op, compute(to_channels_first(op, x)))


def alike(op: hub.Builder, number: float, x: ir.Value) -> ir.Value:
    """A number in the dtype of `x`."""
    return op.const(np.array(number, x.dtype.numpy()))  # type: ignore[union-attr]
