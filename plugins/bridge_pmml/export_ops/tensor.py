"""Columns put side by side, picked, and read by place."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, const, input_at
from bridge.needs import condition, constant
from bridge.ops import OpTable
from bridge_pmml.document import Cols, Document, Ref, kind_of
from bridge_pmml.export_ops.common import ACROSS, plain

ops = OpTable()


def kept(node: ir.Node) -> bool:
    """A shape of records with the same number of columns: [N, F] stays, [N, 1] and [N] and [1, N] are one
    column."""
    wanted = const(node.inputs[1])
    if wanted is None or attr(node, "allowzero"):
        return False
    target, shape = [int(d) for d in wanted.ravel()], node.inputs[0].shape
    if picked(node.inputs[0]):
        return target in ([-1, 1], [-1])
    if one_hot(node.inputs[0]) and shape is not None:
        return target in ([-1, shape[len(shape) - 1]], [0, shape[len(shape) - 1]])
    if shape is None or len(shape) not in (1, 2):
        return False
    width = shape[1] if len(shape) == 2 else 1
    return target in ([-1, width], [0, width]) or (width == 1 and target == [-1])


def one_hot(value: ir.Value) -> bool:
    """A [N, 1, C] that OneHotEncoders make, side by side or some of their columns, which is written as [N,
    C]."""
    maker = value.producer()
    if maker is None or maker.op_type == "OneHotEncoder":
        return maker is not None
    if maker.op_type in ("Concat", "Gather") and attr(maker, "axis") not in (-1, 2):
        return False
    if maker.op_type == "Concat":
        return all(one_hot(v) for v in maker.inputs)
    return maker.op_type in ("Cast", "Identity", "Gather") and one_hot(maker.inputs[0])


def picked(value: ir.Value) -> bool:
    """A [1, N] that ArrayFeatureExtractor makes of places."""
    maker = value.producer()
    while maker is not None and maker.op_type in ("Cast", "Identity"):
        maker = maker.inputs[0].producer()
    extracts = maker is not None and maker.op_type == "ArrayFeatureExtractor"
    return extracts and const(maker.inputs[0]) is not None


@ops.op("Identity", needs=(condition("a value read from the record", lambda n: const(n.inputs[0]) is None),))
def identity(doc, node, x):
    return x


@ops.op("Reshape", needs=(constant(1, "shape"), condition("records kept apart", kept)))
def reshape(doc, node, x, shape):
    return Cols(x.items, shape.size == 1)


@ops.op("Flatten", needs=(ACROSS,))
def flatten(doc, node, x):
    return x


def one_column(node: ir.Node) -> bool:
    shape = node.inputs[0].shape
    axes = const(input_at(node, 1))
    return (
        shape is not None
        and len(shape) == 2
        and axes is not None
        and [int(a) % 2 for a in axes.ravel()] == [1]
    )


@ops.op("Squeeze", needs=(condition("axes=[1] of one column", one_column),))
def squeeze(doc, node, x, axes):
    return Cols(x.items, True)


def flat_column(node: ir.Node) -> bool:
    axes = const(node.inputs[1])
    return hub.rank_of(node.inputs[0]) == 1 and axes is not None and int(axes.ravel()[0]) in (1, -1)


@ops.op("Unsqueeze", needs=(condition("axes=[1] of a flat column", flat_column),))
def unsqueeze(doc, node, x, axes):
    return Cols(x.items)


READ = condition("columns read from the record", lambda n: all(const(v) is None for v in n.inputs))


@ops.op("Concat", needs=(condition("encoded columns", lambda n: one_hot(n.outputs[0])),))
@ops.op("Concat", needs=(ACROSS, READ))
def concat(doc, node, *given):
    return Cols([a for x in given for a in x.items])


def gathers_columns(node: ir.Node) -> bool:
    indices, axis = const(node.inputs[1]), attr(node, "axis")
    if indices is None:
        return False
    return (hub.rank_of(node.inputs[0]) == 2 and axis in (1, -1)) or (
        indices.ndim == 1 and axis in (2, -1) and one_hot(node.inputs[0])
    )


@ops.op("Gather", needs=(condition("axis=1 and constant indices", gathers_columns),))
def gather(doc, node, x, indices):
    return Cols([x.items[int(i)] for i in indices.ravel()], indices.ndim == 0)


def reads_table(node: ir.Node) -> bool:
    table = const(node.inputs[0])
    return (
        table is not None
        and table.ndim == 1
        and attr(node, "axis") == 0
        and hub.rank_of(node.inputs[1]) in (1, 2)
    )


@ops.op("Gather", needs=(condition("a constant row read by places", reads_table),))
def gather_table(doc, node, table, places):
    return Cols([by_place(doc, table, p) for p in places.items], places.flat)


def by_place(doc: Document, table: np.ndarray, place: Any) -> Any:
    """The entry of a row at a place, counted from its end below zero: a chain of choices."""
    entries = [plain(v) for v in table.ravel()]
    if not isinstance(place, Ref):
        return entries[int(place)]
    if all(isinstance(e, int) and e == i for i, e in enumerate(entries)):
        return place
    kind, found, count = kind_of(entries[0]), entries[-1], len(entries)
    counted = doc.apply(
        "+", place, count if kind_of(place) == "integer" else float(count), kind=kind_of(place)
    )
    place = doc.choose(doc.compare("lessThan", place, 0), counted, place, kind_of(place))
    for index in range(count - 2, -1, -1):
        found = doc.choose(doc.compare("equal", place, index), entries[index], found, kind)
    return found


COLUMNS = condition(
    "constant places of columns",
    lambda n: hub.rank_of(n.inputs[0]) == 2 and const(n.inputs[1]) is not None,
)


@ops.op("ai.onnx.ml::ArrayFeatureExtractor", needs=(COLUMNS,))
def feature_extractor(doc, node, x, places):
    return Cols([x.items[int(i)] for i in places.ravel()])


def constant_row(node: ir.Node) -> bool:
    table = const(node.inputs[0])
    return table is not None and 1 in (table.ndim, table.shape[0])


@ops.op(
    "ai.onnx.ml::ArrayFeatureExtractor", needs=(condition("a constant row read by places", constant_row),)
)
def row_extractor(doc, node, table, places):
    return Cols([by_place(doc, table, p) for p in places.items], True)


def sliced(node: ir.Node) -> bool:
    parts = [None if v is None else const(v) for v in list(node.inputs)[1:]]
    there = all(p is not None for p, v in zip(parts, list(node.inputs)[1:], strict=True) if v is not None)
    return (
        there
        and hub.rank_of(node.inputs[0]) == 2
        and len(parts) > 2
        and parts[2] is not None
        and [int(a) % 2 for a in parts[2]] == [1]
    )


@ops.op("Slice", needs=(condition("constant bounds of axis 1", sliced),))
def slice_columns(doc, node, x, starts, ends, axes, steps=None):
    step = int(steps[0]) if steps is not None else 1
    start, end = int(starts[0]), int(ends[0])
    items = x.items[slice(start, None if step < 0 and end < -len(x) else end, step)]
    return Cols(items)


def only_expands(node: ir.Node) -> bool:
    uses = [u.node for u in node.outputs[0].uses()]
    return bool(uses) and all(u.op_type == "Expand" and fills(u) for u in uses)


def fills(node: ir.Node) -> bool:
    """A constant in every row of a matrix as high as another."""
    constant_of, shape = const(node.inputs[0]), node.outputs[0].shape
    source = node.inputs[1].producer()
    known = shape is not None and len(shape) == 2 and isinstance(shape[1], int)
    return (
        constant_of is not None
        and constant_of.size == 1
        and known
        and source is not None
        and source.op_type == "Shape"
    )


@ops.op("Shape", needs=(condition("to be read by Expand of a constant alone", only_expands),))
def shape_of_rows(doc, node, x):
    return Cols([])


@ops.op("Expand", needs=(condition("one constant for every record", fills),))
def expand(doc, node, value, shape):
    return Cols([plain(value.ravel()[0])] * int(node.outputs[0].shape[1]))
