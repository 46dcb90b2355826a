"""Dtypes of torch's kernels, and source text that several families use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import onnx_ir as ir

from bridge.hub import attr, rank_of
from bridge.needs import condition, dtype
from bridge.ops import Need, OpTable

FLOAT_NAMES = ("float", "double", "float16", "bfloat16")
INT_NAMES = ("int8", "int16", "int32", "int64", "uint8")
FLOATS = dtype(*FLOAT_NAMES)
INTS = dtype(*INT_NAMES)
NUMBERS = dtype(*FLOAT_NAMES, *INT_NAMES)
COMPUTED = dtype(*FLOAT_NAMES, *INT_NAMES, "bool")
RANKED = condition("a known rank", lambda n: all(v is None or v.shape is not None for v in n.inputs))


def register_functions(table: OpTable, *needs: Need, attributes: tuple[str, ...] = (), **names: str) -> None:
    """Register operators that are one torch function of the same inputs, followed by `attributes`."""
    for name, function in names.items():

        @table.op(name, needs=needs)
        def call(ts, node, *inputs, function=function):
            arguments = [*inputs, *(attr(node, a) for a in attributes)]
            return f"torch.{function}({', '.join(map(str, arguments))})"


def same_dtype(node: ir.Node) -> bool:
    return len({v.dtype for v in node.inputs if v is not None}) <= 1


def list_literal(items: Iterable[Any]) -> str:
    """Source of a list."""
    return f"[{', '.join(map(str, items))}]"


def axis_of(axis: int, value: ir.Value) -> int:
    """Axis counted from the start; unchanged if the rank is unknown."""
    rank = rank_of(value)
    return axis % rank if rank else axis


def flag(value: Any) -> str:
    """Source of a bool."""
    return str(bool(value))
