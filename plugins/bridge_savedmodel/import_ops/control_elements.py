"""Loops of tf.vectorized_map that take one element after the other of a tensor."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge import elements
from bridge.hub import const, rank_of
from bridge.importing import as_int64, int64_vector, ints
from bridge.inputs.linear import Linear


def taken_elements(op: Any, loop: Any, index: int) -> Any:
    """The elements of a tensor that the steps of a loop collect in list `index`, at places a table gives, at
    once; None where the steps do anything else."""
    found = _source(loop, index)
    if found is None or not loop.is_counted_to(loop.arguments[index].length):
        return None
    x, table = found
    places = table if rank_of(table) == 1 else op.Squeeze(table, ints(1))
    if _counts(places) == elements.length(x, 0):
        return x
    steps = int64_vector(op, loop.arguments[index].length)
    return op.Gather(x, as_int64(op, op.Slice(places, ints(0), steps, ints(0))), axis=0)


def _source(loop: Any, index: int) -> tuple[ir.Value, ir.Value] | None:
    """The tensor and the table [steps, 1] of `x[table[step, 0]]`."""
    node = loop.made_by(loop.element_reference(index))
    if node is None or node.op != "StridedSlice" or _masks(node) != (0, 0, 0, 0, 1):
        return None
    x, row = loop.constant_argument(node.input[0]), loop.made_by(node.input[1])
    if x is None or row is None or row.op != "StridedSlice" or _masks(row) != (0, 0, 2, 0, 1):
        return None
    table, place = loop.constant_argument(row.input[0]), loop.made_by(row.input[1])
    is_row = place is not None and place.op == "Pack" and loop.is_step(place.input[0])
    shape = None if table is None else table.shape
    return (x, table) if is_row and shape is not None and len(shape) == 2 and shape[1] == 1 else None


def _masks(node: Any) -> tuple[int, ...]:
    names = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    return tuple(node.attr[name].i for name in names)


def _counts(value: ir.Value) -> Linear | None:
    """The number n of a vector that is 0, 1 … n - 1; None for any other."""
    node = value.producer()
    if node is None or node.domain:
        return None
    first = node.inputs[0]
    if node.op_type in ("Cast", "Identity") and first is not None:
        return _counts(first)
    if node.op_type == "Range":
        start, step = const(first), const(node.inputs[2])
        return elements.length(value, 0) if start == 0 and step == 1 else None
    if node.op_type in ("Squeeze", "Unsqueeze") and first is not None:
        pair = first.producer()
        if node.op_type == "Squeeze" and pair is not None and pair.op_type == "Unsqueeze":
            return _counts(pair.inputs[0]) if pair.inputs[0] is not None else None
        return None
    if node.op_type == "Gather":
        outer, inner = (_counts(v) for v in node.inputs if v is not None)
        return inner if inner == outer else None
    return _counts_of_choice(node) if node.op_type == "Where" else None


def _counts_of_choice(node: ir.Node) -> Linear | None:
    """The number of `where(n > 1, range(n), 0)`, which counts for every n."""
    condition, counting, other = node.inputs
    compared = condition.producer() if condition is not None else None
    zero, count = const(other), None if counting is None else _counts(counting)
    if compared is None or compared.op_type != "Greater" or zero is None or zero.any() or zero.size != 1:
        return None
    one, known = const(compared.inputs[1]), elements.elements(compared.inputs[0])
    return count if one == 1 and known is not None and known.size == 1 and known.item() == count else None
