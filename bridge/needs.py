"""Stock conditions for rules on hub nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx_ir as ir

from bridge import hub
from bridge.ops import Need

__all__ = ["attribute", "condition", "constant", "dtype", "max_rank", "rank", "unused_output"]


def constant(index: int, name: str) -> Need:
    """Input `index`, called `name`, is absent or known before run time."""

    def holds(node: ir.Node) -> bool:
        value = hub.input_at(node, index)
        return value is None or hub.held(value) is not None

    return Need(f"a constant {name}", holds)


def attribute(name: str, *allowed: Any, default: Any = None) -> Need:
    """Attribute `name` is one of `allowed`. When absent it is `default`, else what the operator's schema
    says, else the first allowed."""
    words = " or ".join(str(a) for a in allowed)

    def holds(node: ir.Node) -> bool:
        value = hub.attr(node, name, default)
        return value is None or value in allowed

    return Need(f"{name}={words}", holds)


def dtype(*allowed: str, index: int = 0) -> Need:
    """Input `index` has one of the dtypes named as in onnx_ir.DataType, any case."""
    names = {a.upper() for a in allowed}

    def holds(node: ir.Node) -> bool:
        value = hub.input_at(node, index)
        return value is None or (value.dtype is not None and value.dtype.name in names)

    return Need(f"input {index} of dtype {' or '.join(a.lower() for a in allowed)}", holds)


def rank(*allowed: int, index: int = 0) -> Need:
    """Input `index` has one of the ranks."""
    words = " or ".join(map(str, allowed))
    return Need(
        f"input {index} of rank {words}", lambda node: hub.rank_of(hub.input_at(node, index)) in allowed
    )


def max_rank(limit: int, index: int = 0) -> Need:
    """Input `index` has a known rank of at most `limit`."""

    def holds(node: ir.Node) -> bool:
        known = hub.rank_of(hub.input_at(node, index))
        return known is not None and known <= limit

    return Need(f"input {index} of rank {limit} at most", holds)


def unused_output(index: int, name: str) -> Need:
    """Output `index`, called `name`, is not asked for."""

    def holds(node: ir.Node) -> bool:
        if index >= len(node.outputs):
            return True
        output = node.outputs[index]
        return not output.name or not (output.uses() or output.is_graph_output())

    return Need(f"output {name} to be unused", holds)


def condition(text: str, holds: Callable[[Any], bool]) -> Need:
    """Any other condition on a node, or on a value where an exporter's `values` asks for one, in words of its
    own."""
    return Need(text, holds)
