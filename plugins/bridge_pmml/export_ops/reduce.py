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
from bridge_pmml.export_ops.common import ACROSS, plain, repeated, row_constant
from bridge_pmml.raising import vanishes

ops = OpTable()


def columns_alone(node: ir.Node) -> bool:
    axes = hub.const(input_at(node, 1))
    return hub.rank_of(node.inputs[0]) == 2 and axes is not None and [int(a) % 2 for a in axes.ravel()] == [1]


COLUMNS = condition("axes=[1] of a matrix of records", columns_alone)


def linear(doc: Document, x: Cols, weights: np.ndarray, bias: np.ndarray | None) -> Cols:
    """x · weights + bias, a sum of products per column."""
    items = []
    for index in range(weights.shape[1]):
        terms = [doc.times(a, plain(w)) for a, w in zip(x.items, weights[:, index], strict=True)]
        if bias is not None:
            terms.append(plain(np.broadcast_to(bias.ravel(), (weights.shape[1],))[index]))
        items.append(doc.total(terms))
    return Cols(items)


FACTORS = condition(
    "a matrix of records and a matrix or a column B",
    lambda n: hub.rank_of(n.inputs[0]) == 2 and hub.rank_of(n.inputs[1]) in (1, 2),
)


@ops.op("MatMul", needs=(constant(1, "B"), FACTORS))
def matmul(doc, node, x, weights):
    return Cols(linear(doc, x, weights.reshape(len(weights), -1), None).items, weights.ndim == 1)


def same_bias(node: ir.Node) -> bool:
    bias = input_at(node, 2)
    return bias is None or row_constant(bias) or vanishes(bias)


BIAS = condition("C the same for every record", same_bias)


@ops.op("Gemm", needs=(constant(1, "B"), attribute("transA", 0), BIAS))
def gemm(doc, node, x, weights, bias=None):
    weights = (weights.T if attr(node, "transB") else weights) * attr(node, "alpha")
    given = repeated(bias) * attr(node, "beta") if isinstance(bias, np.ndarray) else None
    return linear(doc, x, weights, given)


REDUCTIONS = ("Sum", "Mean", "Prod", "Max", "Min", "SumSquare", "L1", "L2")


@ops.op(*(f"Reduce{name}" for name in REDUCTIONS), needs=(COLUMNS,))
def reduction(doc, node, x, axes):
    name, items = node.op_type, x.items
    if name == "ReduceL1":
        items = [doc.apply("abs", a) for a in items]
    if name in ("ReduceSumSquare", "ReduceL2"):
        items = [doc.apply("*", a, a) for a in items]
    if name in ("ReduceMax", "ReduceMin"):
        found = best(doc, items, "greaterOrEqual" if name == "ReduceMax" else "lessOrEqual")[0]
    elif name == "ReduceProd":
        found = items[0]
        for a in items[1:]:
            found = doc.apply("*", found, a)
    else:
        found = doc.total(items)
    if name == "ReduceMean":
        found = doc.apply("/", found, float(len(items)))
    if name == "ReduceL2":
        found = doc.apply("sqrt", found)
    return Cols([found], not attr(node, "keepdims"))


def best(doc: Document, items: list[Any], function: str) -> tuple[Any, Any]:
    """The extreme of columns, and its place; the first of several."""
    value, place = items[0], 0
    for index, a in enumerate(items[1:], 1):
        keep = doc.apply(function, value, a, kind="boolean")
        value, place = doc.choose(keep, value, a), doc.choose(keep, place, index, "integer")
    return value, place


@ops.op("ArgMax", "ArgMin", needs=(ACROSS, attribute("select_last_index", 0)))
def place_of_best(doc, node, x):
    function = "greaterOrEqual" if node.op_type == "ArgMax" else "lessOrEqual"
    return Cols([best(doc, x.items, function)[1]], not attr(node, "keepdims"))


@ops.op("Softmax", needs=(ACROSS,))
def softmax(doc, node, x):
    top = best(doc, x.items, "greaterOrEqual")[0]
    raised = [doc.apply("exp", doc.apply("-", a, top)) for a in x.items]
    total = doc.total(raised)
    return Cols([doc.apply("/", a, total) for a in raised])
