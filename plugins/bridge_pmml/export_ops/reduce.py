"""Sums, products with matrices, extremes and their places, across the columns of a record."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, input_at
from bridge.needs import attribute, condition, constant
from bridge.ops import OpTable
from bridge_pmml.document import Cols, Document
from bridge_pmml.export_ops.common import ACROSS, first_row, is_row_constant, python_scalar
from bridge_pmml.lift_models import is_zero_product

ops = OpTable()


def reduces_columns(node: ir.Node) -> bool:
    axes = hub.const(input_at(node, 1))
    return hub.rank_of(node.inputs[0]) == 2 and axes is not None and [int(a) % 2 for a in axes.ravel()] == [1]


COLUMNS = condition("axes=[1] of a matrix of records", reduces_columns)


def dot_products(doc: Document, x: Cols, weights: np.ndarray, bias: np.ndarray | None) -> Cols:
    """x · weights + bias, a sum of products per column."""
    items = []
    for index in range(weights.shape[1]):
        terms = [doc.times(a, python_scalar(w)) for a, w in zip(x.items, weights[:, index], strict=True)]
        if bias is not None:
            terms.append(python_scalar(np.broadcast_to(bias.ravel(), (weights.shape[1],))[index]))
        items.append(doc.sum_terms(terms))
    return Cols(items)


FACTORS = condition(
    "a matrix of records and a matrix or a column B",
    lambda n: hub.rank_of(n.inputs[0]) == 2 and hub.rank_of(n.inputs[1]) in (1, 2),
)


@ops.op("MatMul", needs=(constant(1, "B"), FACTORS))
def matmul(doc, node, x, weights):
    return Cols(dot_products(doc, x, weights.reshape(len(weights), -1), None).items, weights.ndim == 1)


def has_row_bias(node: ir.Node) -> bool:
    bias = input_at(node, 2)
    return bias is None or is_row_constant(bias) or is_zero_product(bias)


BIAS = condition("C the same for every record", has_row_bias)


@ops.op("Gemm", needs=(constant(1, "B"), attribute("transA", 0), BIAS))
def gemm(doc, node, x, weights, bias=None):
    weights = (weights.T if attr(node, "transB") else weights) * attr(node, "alpha")
    scaled_bias = first_row(bias) * attr(node, "beta") if isinstance(bias, np.ndarray) else None
    return dot_products(doc, x, weights, scaled_bias)


REDUCTIONS = ("Sum", "Mean", "Prod", "Max", "Min", "SumSquare", "L1", "L2")


@ops.op(*(f"Reduce{name}" for name in REDUCTIONS), needs=(COLUMNS,))
def reduce_columns(doc, node, x, axes):
    name, items = node.op_type, x.items
    if name == "ReduceL1":
        items = [doc.apply("abs", a) for a in items]
    if name in ("ReduceSumSquare", "ReduceL2"):
        items = [doc.apply("*", a, a) for a in items]
    if name in ("ReduceMax", "ReduceMin"):
        result = extreme_column(doc, items, "greaterOrEqual" if name == "ReduceMax" else "lessOrEqual")[0]
    elif name == "ReduceProd":
        result = items[0]
        for a in items[1:]:
            result = doc.apply("*", result, a)
    else:
        result = doc.sum_terms(items)
    if name == "ReduceMean":
        result = doc.apply("/", result, float(len(items)))
    if name == "ReduceL2":
        result = doc.apply("sqrt", result)
    return Cols([result], not attr(node, "keepdims"))


def extreme_column(doc: Document, items: list[Any], function: str) -> tuple[Any, Any]:
    """The extreme of columns, and its place; the first of several."""
    value, index_of_extreme = items[0], 0
    for index, a in enumerate(items[1:], 1):
        keep = doc.apply(function, value, a, data_type="boolean")
        value, index_of_extreme = (
            doc.choose(keep, value, a),
            doc.choose(keep, index_of_extreme, index, "integer"),
        )
    return value, index_of_extreme


@ops.op("ArgMax", "ArgMin", needs=(ACROSS, attribute("select_last_index", 0)))
def column_arg_extreme(doc, node, x):
    function = "greaterOrEqual" if node.op_type == "ArgMax" else "lessOrEqual"
    return Cols([extreme_column(doc, x.items, function)[1]], not attr(node, "keepdims"))


@ops.op("Softmax", needs=(ACROSS,))
def softmax(doc, node, x):
    top = extreme_column(doc, x.items, "greaterOrEqual")[0]
    raised = [doc.apply("exp", doc.apply("-", a, top)) for a in x.items]
    total = doc.sum_terms(raised)
    return Cols([doc.apply("/", a, total) for a in raised])
