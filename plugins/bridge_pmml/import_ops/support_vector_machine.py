"""SupportVectorMachineModel: kernels against the support vectors, then votes or the extreme value."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from bridge.errors import UnreadableFile
from bridge.ops import OpTable
from bridge_pmml import special
from bridge_pmml.fields import Scope
from bridge_pmml.import_ops.regression import reorder_columns
from bridge_pmml.reader import Element, child, children, describe, flag, need_child, number, numbers, text
from bridge_pmml.results import Result, classified, defaults, target_labels, target_name, winner
from bridge_pmml.values import Columns, parse

ops = OpTable()
KERNELS = ("LinearKernelType", "PolynomialKernelType", "RadialBasisKernelType", "SigmoidKernelType")


def kernel_matrix(columns: Columns, node: Element, x: Any, vectors: np.ndarray) -> Any:
    """The kernel of every record with every vector, double [N, vectors]."""
    op = columns.op
    gamma, coef0 = number(node, "gamma", 1.0), number(node, "coef0", 1.0)
    if node.tag == "RadialBasisKernelType":
        gaps = op.Sub(op.Unsqueeze(x, np.array([1])), op.const(vectors[None]))
        square = op.ReduceSum(op.Mul(gaps, gaps), np.array([2]), keepdims=0)
        return special.exp(op, op.Mul(columns.scalar(-gamma), square))
    product = op.MatMul(x, op.const(np.ascontiguousarray(vectors.T)))
    if node.tag == "LinearKernelType":
        return product
    inner = op.Add(op.Mul(columns.scalar(gamma), product), columns.scalar(coef0))
    if node.tag == "SigmoidKernelType":
        return op.Tanh(inner)
    return op.Where(op.IsNaN(inner), inner, op.Pow(inner, columns.scalar(number(node, "degree", 1.0))))


def machine_values(scope: Scope, node: Element) -> list[Any]:
    """The value of each machine, double [N, 1]."""
    columns, op = scope.columns, scope.columns.op
    dictionary = child(node, "VectorDictionary")
    if dictionary is None:
        raise UnreadableFile(f"{describe(node)} has no VectorDictionary.")
    x = columns.concat_numbers([_field(scope, f) for f in need_child(dictionary, "VectorFields")])
    machines = children(node, "SupportVectorMachine")
    if node.get("svmRepresentation") == "Coefficients":
        weights = [numbers_of(m) for m in machines]
        return [
            op.Add(op.MatMul(x, op.const(w[:, None])), columns.scalar(_bias(m)))
            for w, m in zip(weights, machines, strict=True)
        ]
    kernel = need_child(node, *KERNELS)
    vectors = {text(v, "id"): numbers(v) for v in children(dictionary, "VectorInstance")}
    order = {name: i for i, name in enumerate(vectors)}
    width = len(need_child(dictionary, "VectorFields"))
    stacked = np.array(
        [np.resize(v, width) if len(v) == width else _refuse_length(node) for v in vectors.values()]
    ).reshape(-1, width)
    gram = kernel_matrix(columns, kernel, x, stacked) if len(stacked) else None
    decision_values = []
    for machine in machines:
        column = np.zeros((len(stacked), 1))
        names = [text(v, "vectorId") for v in children(child(machine, "SupportVectors"), "SupportVector")]
        coefficients = numbers_of(machine)
        if len(names) != len(coefficients) or any(n not in order for n in names):
            raise UnreadableFile(f"{describe(machine)}: its vectors and coefficients do not match.")
        for name, weight in zip(names, coefficients, strict=True):
            column[order[name], 0] += weight
        bias = columns.scalar(_bias(machine))
        total = columns.constant(0.0).tensor if gram is None else op.MatMul(gram, op.const(column))
        decision_values.append(op.Add(total, bias))
    return decision_values


def _refuse_length(node: Element) -> np.ndarray:
    raise UnreadableFile(f"{describe(node)}: a vector has another length than its fields.")


def _field(scope: Scope, node: Element) -> Any:
    if node.tag == "CategoricalPredictor":
        val = scope.get(text(node, "name"))
        hit = scope.columns.lookup(
            val, {parse(text(node, "value"), val.data_type): number(node, "coefficient", 1.0)}, 0.0, 0.0
        )
        return hit
    return scope.get(text(node, "field"))


def numbers_of(machine: Element) -> np.ndarray:
    return np.array(
        [number(c, "value", 0.0) for c in children(need_child(machine, "Coefficients"), "Coefficient")]
    )


def _bias(machine: Element) -> float:
    return number(need_child(machine, "Coefficients"), "absoluteValue", 0.0)


@ops.op("SupportVectorMachineModel")
def support_vector_machine(scope: Scope, node: Element) -> Result:
    columns, op = scope.columns, scope.columns.op
    machines, decision_values = children(node, "SupportVectorMachine"), machine_values(scope, node)
    if not machines:
        raise UnreadableFile(f"{describe(node)} has no SupportVectorMachine.")
    if node.get("functionName") != "classification":
        return Result("regression", columns.number(decision_values[0]))
    categories = [text(m, "targetCategory") for m in machines]
    binary = node.get("alternateBinaryTargetCategory")
    others = [m.get("alternateTargetCategory") or binary for m in machines]
    labels, data_type = target_labels(scope, node, [*categories, *(o for o in others if o)])
    if len(machines) == 1 and others[0] is None and len(labels) == 2:
        others = [next(v for v in labels if parse(v, data_type) != parse(categories[0], data_type))]
    if not is_pairwise(node, others):
        matrix = reorder_columns(
            columns, op.Concat(*decision_values, axis=1), categories, tuple(categories), data_type
        )
        value = winner(columns, matrix, tuple(categories), data_type, largest=flag(node, "maxWins"))
        return Result("classification", value.with_(values=labels), labels=labels, data_type=data_type)
    index_of_class = {parse(v, data_type): i for i, v in enumerate(labels)}
    votes = None
    for machine, value, category, other in zip(machines, decision_values, categories, others, strict=True):
        if other is None:
            raise UnreadableFile(f"{describe(machine)} has no alternateTargetCategory.")
        wins, undecided = decide(columns, node, machine, value)
        first, second = (
            np.eye(len(labels))[[index_of_class[parse(c, data_type)]]] for c in (category, other)
        )
        vote = op.Where(wins, op.const(first), op.const(second))
        vote = op.Where(undecided, columns.scalar(float("nan")), vote)
        votes = vote if votes is None else op.Add(votes, vote)
    result = classified(columns, op.Div(votes, columns.scalar(float(len(machines)))), labels, data_type)
    if len(machines) == 1 and node.get("classificationMethod") != "OneAgainstOne":
        without = replace(result, probabilities=None, target=target_name(node))
        result.defaults = defaults(scope, without)
    return result


def decide(columns: Columns, node: Element, machine: Element, value: Any) -> tuple[Any, Any]:
    """Masks of the records a machine gives its targetCategory, and of those it gives no class.

    With an alternateBinaryTargetCategory the value rounds to 1 for the targetCategory and to 0 for the other;
    without it is below the threshold, or above it with maxWins.
    """
    op = columns.op
    if (
        node.get("alternateBinaryTargetCategory") is not None
        and machine.get("alternateTargetCategory") is None
    ):
        wins = op.GreaterOrEqual(value, columns.scalar(0.5))
        low, high = (columns.scalar(v) for v in (-0.5, 1.5))
        return wins, op.Not(op.And(op.GreaterOrEqual(value, low), op.Less(value, high)))
    limit = columns.scalar(number(machine, "threshold", number(node, "threshold", 0.0)))
    wins = op.Greater(value, limit) if flag(node, "maxWins") else op.Less(value, limit)
    return wins, op.IsNaN(value)


def is_pairwise(node: Element, others: list[str | None]) -> bool:
    """True if each machine decides between two classes: as the model says, else as its machines do, whose
    method models of before PMML 4.2 leave out."""
    method = node.get("classificationMethod")
    if method in ("OneAgainstOne", "OneAgainstAll"):
        return method == "OneAgainstOne" or len(others) == 1
    if method is not None:
        raise UnreadableFile(f"{describe(node)}: classificationMethod={method!r} is unknown.")
    return all(others)
