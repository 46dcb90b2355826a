"""Needs and small values that several families share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, input_at, rank_of, shape_of
from bridge.needs import condition
from bridge.ops import Need
from bridge.passes.channels_last import to_first, to_last

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


def size_at(value: ir.Value | None, axis: int) -> int | None:
    """The length of an axis of a value, None where it is unknown."""
    rank = rank_of(value)
    if rank is None or not -rank <= axis < rank:
        return None
    length = value.shape[axis]  # type: ignore[union-attr, index]
    return length if isinstance(length, int) else None


def sized(index: int, axis: int, words: str) -> Need:
    """Axis `axis` of input `index`, which the sentence calls by `words`, is of known length."""
    return condition(f"{words} of known size", lambda n: size_at(input_at(n, index), axis) is not None)


def ranked(index: int, words: str) -> Need:
    """Input `index`, which the sentence calls by `words`, is of known rank."""
    return condition(f"{words} of known rank", lambda n: rank_of(input_at(n, index)) is not None)


def static(index: int, words: str) -> Need:
    """Input `index`, which the sentence calls by `words`, is of known shape."""
    return condition(f"{words} of known shape", lambda n: shape_of(input_at(n, index)) is not None)


def node_attributes(node: ir.Node, *without: str) -> dict[str, Any]:
    """The attributes a node has, without some."""
    return {name: attr(node, name) for name in node.attributes if name not in without}


def channels_last(op: hub.Builder, x: ir.Value, compute: Callable[[ir.Value], ir.Value]) -> ir.Value:
    """`compute` of `x` with channels first, and its result with channels last as `x` has them."""
    rank = rank_of(x) or 0
    return op.Transpose(compute(op.Transpose(x, perm=to_first(rank))), perm=to_last(rank))


def alike(op: hub.Builder, number: float, x: ir.Value) -> ir.Value:
    """A number in the dtype of `x`."""
    return op.const(np.array(number, x.dtype.numpy()))  # type: ignore[union-attr]
