"""Columns of two values side by side, and the conditions rules share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.needs import condition
from bridge_pmml.document import Cols


def column_scalars(array: np.ndarray, width: int) -> list[Any]:
    """A constant's entry for each of `width` columns, the same for every record."""
    return [python_scalar(v) for v in np.broadcast_to(first_row(array), (width,))]


def first_row(array: np.ndarray) -> np.ndarray:
    """The row a matrix repeats for every record."""
    return array[0] if array.ndim == 2 else array


def has_equal_rows(array: np.ndarray) -> bool:
    """True if all records have the same row."""
    first = array[:1]
    same = array == first
    if array.dtype.kind == "f":
        same = same | (np.isnan(array) & np.isnan(first))
    return bool(same.all())


def python_scalar(value: Any) -> Any:
    """A Python scalar: float, int, bool or str."""
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value


def width_of(values: tuple[Any, ...]) -> int:
    widths = [len(v) for v in values if isinstance(v, Cols)]
    widths += [v.shape[-1] for v in values if isinstance(v, np.ndarray) and v.ndim and v.size]
    return max(widths)


def broadcast_columns(*values: Any) -> Iterator[tuple[Any, ...]]:
    """The columns of several values, broadcast."""
    if all(v.flat for v in values if isinstance(v, Cols)):
        values = tuple(v if isinstance(v, Cols) else np.asarray(v).ravel()[:1] for v in values)
    width = width_of(values)
    rows = []
    for value in values:
        items = value.items if isinstance(value, Cols) else column_scalars(np.asarray(value), width)
        rows.append(items * width if len(items) == 1 else items)
    return zip(*rows, strict=True)


def with_rank_of(items: list[Any], *values: Any) -> Cols:
    """A result with the rank of its operands."""
    return Cols(items, all(v.flat for v in values if isinstance(v, Cols)))


def is_row_constant(value: ir.Value | None) -> bool:
    """A constant that is the same for every record: a scalar, [F] or [1, F]."""
    array = hub.const(value)
    return array is not None and (
        array.ndim < 2 or (array.ndim == 2 and array.size > 0 and has_equal_rows(array))
    )


def has_broadcastable_operands(node: ir.Node) -> bool:
    """Operands are records of one rank, or constants that are the same for every record."""
    read = [v for v in node.inputs if v is not None and hub.const(v) is None]
    ranks = {hub.rank_of(v) for v in read}
    if (
        len(
            {v.shape[0] for v in read if v.shape is not None and len(v.shape) and isinstance(v.shape[0], int)}
        )
        > 1
    ):
        return False
    constants = all(is_row_constant(v) for v in node.inputs if v is not None and hub.const(v) is not None)
    if ranks == {1}:
        arrays = [hub.const(v) for v in node.inputs if v is not None]
        return all(
            c is None or (c.size == 1 and c.ndim < 2) or (c.ndim == 1 and has_equal_rows(c)) for c in arrays
        )
    return constants and ranks == {2}


RECORDS = condition(
    "records in rows, and constants that are the same for every record", has_broadcastable_operands
)


ACROSS = condition(
    "axis=1 of a matrix of records",
    lambda n: hub.rank_of(n.inputs[0]) == 2 and hub.attr(n, "axis") in (1, -1),
)
