"""Arithmetic, comparisons and choices, column by column."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge.hub import attr
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose.math import fits_int32
from bridge_pmml.document import Cols, Document, Ref, kind_of
from bridge_pmml.export_ops.common import RECORDS, broadcast_columns, with_rank_of

ops = OpTable()

UNARY = {
    "Abs": "abs",
    "Exp": "exp",
    "Log": "ln",
    "Sqrt": "sqrt",
    "Floor": "floor",
    "Ceil": "ceil",
    "Round": "rint",
    "Sin": "sin",
    "Cos": "cos",
    "Tan": "tan",
    "Asin": "asin",
    "Acos": "acos",
    "Atan": "atan",
    "Sinh": "sinh",
    "Cosh": "cosh",
    "Tanh": "tanh",
    "Erf": "erf",
}
BINARY = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/", "Pow": "pow"}
COMPARED = {
    "Less": "lessThan",
    "LessOrEqual": "lessOrEqual",
    "Greater": "greaterThan",
    "GreaterOrEqual": "greaterOrEqual",
    "Equal": "equal",
}
FLOATS = condition(
    "real numbers", lambda n: n.inputs[0].dtype is not None and n.inputs[0].dtype.is_floating_point()
)


@ops.op(*UNARY)
def unary_function(doc, node, x):
    return Cols([doc.apply(UNARY[node.op_type], a) for a in x.items], x.flat)


@ops.op("Add", "Sub", "Mul", "Pow", needs=(RECORDS,))
@ops.op("Div", needs=(RECORDS, FLOATS))
def arithmetic(doc, node, x, y):
    """Neutral constants leave a column as it is."""
    name, items = node.op_type, []
    for a, b in broadcast_columns(x, y):
        neutral = {"Add": 0, "Sub": 0, "Mul": 1, "Div": 1, "Pow": 1}[name]
        same = isinstance(a, Ref) and not isinstance(b, Ref) and b == neutral
        data_type = "integer" if {kind_of(a), kind_of(b)} == {"integer"} else "double"
        items.append(a if same else doc.apply(BINARY[name], a, b, data_type=data_type))
    return with_rank_of(items, x, y)


@ops.op("Sum", needs=(RECORDS,))
def add_up(doc, node, *values):
    return with_rank_of([doc.sum_terms(row) for row in broadcast_columns(*values)], *values)


@ops.op("Neg")
def negate(doc, node, x):
    return Cols([doc.apply("*", a, -1.0) for a in x.items], x.flat)


@ops.op("Reciprocal")
def reciprocal(doc, node, x):
    return Cols([doc.apply("/", 1.0, a) for a in x.items], x.flat)


@ops.op("Relu")
def relu(doc, node, x):
    return Cols(
        [doc.choose(doc.apply("lessThan", a, 0.0, data_type="boolean"), 0.0, a) for a in x.items], x.flat
    )


@ops.op("Sigmoid")
def sigmoid(doc, node, x):
    return Cols([logistic(doc, a) for a in x.items], x.flat)


def logistic(doc: Document, a: Any) -> Any:
    return doc.apply("/", 1.0, doc.apply("+", doc.apply("exp", doc.apply("*", a, -1.0)), 1.0))


@ops.op("Sign")
def sign(doc, node, x):
    def sign_of(a):
        low = doc.choose(doc.apply("lessThan", a, 0.0, data_type="boolean"), -1.0, 0.0)
        return doc.choose(doc.apply("greaterThan", a, 0.0, data_type="boolean"), 1.0, low)

    return Cols([sign_of(a) for a in x.items], x.flat)


@ops.op("Min", "Max", needs=(RECORDS,))
def extreme(doc, node, *values):
    """Missing where a value is."""
    function = "lessOrEqual" if node.op_type == "Min" else "greaterOrEqual"
    items = []
    for row in broadcast_columns(*values):
        best = row[0]
        for other in row[1:]:
            best = doc.choose(doc.apply(function, best, other, data_type="boolean"), best, other)
        items.append(best)
    return with_rank_of(items, *values)


@ops.op(*COMPARED, needs=(RECORDS,))
def compare_columns(doc, node, x, y):
    return with_rank_of([doc.compare(COMPARED[node.op_type], a, b) for a, b in broadcast_columns(x, y)], x, y)


@ops.op("And", "Or", needs=(RECORDS,))
def connective(doc, node, x, y):
    name = node.op_type.lower()
    return with_rank_of(
        [doc.apply(name, a, b, data_type="boolean") for a, b in broadcast_columns(x, y)], x, y
    )


@ops.op("Not")
def logical_not(doc, node, x):
    return Cols([doc.apply("not", a, data_type="boolean") for a in x.items], x.flat)


@ops.op("IsNaN")
def is_nan(doc, node, x):
    return Cols([doc.apply("isMissing", a, data_type="boolean") for a in x.items], x.flat)


LARGEST = 1.7976931348623157e308


@ops.op("IsInf")
def is_infinite(doc, node, x):
    """True beyond the largest double, on the sides that `detect_positive` and `detect_negative` select."""
    high, low = attr(node, "detect_positive"), attr(node, "detect_negative")
    items = []
    for a in x.items:
        above = doc.compare("greaterThan", a, LARGEST)
        below = doc.compare("lessThan", a, -LARGEST)
        beyond = (
            doc.apply("or", above, below, data_type="boolean") if high and low else above if high else below
        )
        items.append(beyond if high or low else doc.apply("and", above, below, data_type="boolean"))
    return Cols(items, x.flat)


@ops.op("Where", needs=(RECORDS,))
def where(doc, node, condition, x, y):
    items = [
        doc.choose(c, a, b, kind_of(b if kind_of(a) == "double" else a))
        for c, a, b in broadcast_columns(condition, x, y)
    ]
    return with_rank_of(items, condition, x, y)


KINDS = {"BOOL": "boolean", "STRING": "string"}


def wrap_int32(doc: Document, item: Any) -> Any:
    """A whole number as 32 bits hold it."""
    if not isinstance(item, Ref):
        return (int(item) + 2**31) % 2**32 - 2**31
    number = doc.as_double(item)
    turns = doc.apply("floor", doc.apply("/", doc.apply("+", number, 2.0**31), 2.0**32))
    return doc.apply("-", number, doc.apply("*", turns, 2.0**32))


@ops.op(
    "Cast",
    needs=(
        condition(
            "a known dtype, and no text on one side alone",
            lambda n: (
                n.inputs[0].dtype is not None
                and (n.inputs[0].dtype.name == "STRING") == (attr(n, "to") == ir.DataType.STRING)
            ),
        ),
    ),
)
def cast(doc, node, x):
    """Real numbers are doubles whatever their width; what is cut off towards zero is a double to PMML4S
    still."""
    before, after = node.inputs[0].dtype, ir.DataType(attr(node, "to"))
    if (
        before == after
        or before.name == "STRING"
        or (before.is_floating_point() and after.is_floating_point())
    ):
        return x
    if after.name == "BOOL":
        return Cols([doc.compare("notEqual", a, 0.0) for a in x.items], x.flat)
    if before.name == "BOOL":
        data_type = "integer" if after.is_integer() else "double"
        one, zero = (1, 0) if data_type == "integer" else (1.0, 0.0)
        return Cols([doc.choose(a, one, zero, data_type) for a in x.items], x.flat)
    if before.is_integer():
        narrow = after.name == "INT32" and before.name == "INT64" and not fits_int32(node.inputs[0])
        return Cols([wrap_int32(doc, a) for a in x.items], x.flat) if narrow else x
    items = []
    for a in x.items:
        if kind_of(a) == "integer":
            items.append(a)
            continue
        low = doc.apply("lessThan", a, 0.0, data_type="boolean")
        items.append(doc.choose(low, doc.apply("ceil", a), doc.apply("floor", a)))
    return Cols(items, x.flat)
