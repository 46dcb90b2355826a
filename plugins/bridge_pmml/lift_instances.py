"""Lifting of comparisons with stored records to models: nearest neighbours and kernel machines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, const, rank_of
from bridge.passes.rewrite import replace
from bridge_pmml.lift_models import DOMAIN

RUNNABLE = "bridge.pmml.runnable"


@dataclass(frozen=True)
class Distance:
    """Order of stored rows by their distance from a record: Σ |x - row|^power, or with inf the maximum."""

    x: ir.Value
    rows: np.ndarray
    power: float


class LiftInstances(ir.passes.InPlacePass):
    """1. The mean of the table rows of the k nearest stored records, or one weighted by
       1 / (distance + threshold), becomes Neighbors.
    2. A constant matrix times exp(-gamma Σ (x - row)²), times a power of gamma x·row + coef0, or times the
       tanh of such, becomes Kernels.

    The model as it was stays with the new one, for nothing runs these.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = False
        if not any(is_comparison(node) for node in model.graph):
            return ir.passes.PassResult(model, changed)
        before = model.clone()
        for node in list(model.graph):
            if node.graph is model.graph and not node.domain:
                changed |= self._neighbors(model.graph, node) or self._kernels(model.graph, node)
        if changed:
            model.meta[RUNNABLE] = before
            model.graph.opset_imports.setdefault(DOMAIN, 1)
            ir.passes.common.RemoveUnusedNodesPass()(model)
        return ir.passes.PassResult(model, changed)

    def _neighbors(self, graph: ir.Graph, node: ir.Node) -> bool:
        match = match_mean(node) or match_weighted_mean(node)
        if match is None:
            return False
        distance, table, count, threshold = match
        attributes = {"rows": distance.rows, "table": table.astype(np.float64)}
        settings = {"power": distance.power, "count": count, "threshold": threshold}
        return replace_with_model(graph, node, "Neighbors", distance.x, attributes, settings)

    def _kernels(self, graph: ir.Graph, node: ir.Node) -> bool:
        weights = const(node.inputs[1]) if node.op_type == "MatMul" else None
        if weights is None or weights.ndim != 2:
            return False
        kernel = match_radial(node.inputs[0]) or match_products(node.inputs[0])
        if kernel is None:
            return False
        attributes = {"rows": kernel.rows, "weights": weights.astype(np.float64)}
        settings = {
            "kernel": kernel.name,
            "gamma": kernel.gamma,
            "coef0": kernel.coef0,
            "degree": kernel.degree,
        }
        return replace_with_model(graph, node, "Kernels", kernel.x, attributes, settings)


@dataclass(frozen=True)
class Kernel:
    """A kernel of each record with stored rows: radial exp(-gamma |x - row|²), polynomial
    (gamma x·row + coef0)^degree, or sigmoid tanh(gamma x·row + coef0)."""

    name: str
    x: ir.Value
    rows: np.ndarray
    gamma: float
    coef0: float = 0.0
    degree: float = 1.0


def is_comparison(node: ir.Node) -> bool:
    """True where a record is compared with stored ones."""
    return bool(node.op_type == "Sub" and match_differences(node.outputs[0])) or (
        node.op_type in ("Pow", "Tanh") and match_products(node.outputs[0]) is not None
    )


def match_radial(value: ir.Value | None) -> Kernel | None:
    grown = producer_of(value, "Exp")
    scaled = None if grown is None else split_constant(producer_of(grown.inputs[0], "Mul"))
    if scaled is None or scaled[1].size != 1:
        return None
    distance, gamma = match_distance(scaled[0]), -float(scaled[1].ravel()[0])
    if distance is None or distance.power != 2.0 or gamma <= 0:
        return None
    return Kernel("radial", distance.x, distance.rows, gamma)


def match_products(value: ir.Value | None) -> Kernel | None:
    """A power, or the tanh, of products with stored rows."""
    node = producer_of(value, "Pow", "Tanh")
    if node is None:
        return None
    degree = const(node.inputs[1]) if node.op_type == "Pow" else np.ones(1)
    inner, coef0 = without_constant(node.inputs[0], "Add", 0.0)
    inner, gamma = without_constant(inner, "Mul", 1.0)
    product = producer_of(inner, "MatMul")
    rows = None if product is None else const(product.inputs[1])
    if product is None or rows is None or rows.ndim != 2 or degree is None or degree.size != 1:
        return None
    x = product.inputs[0]
    if x is None or rank_of(x) != 2 or const(x) is not None:
        return None
    name = "polynomial" if node.op_type == "Pow" else "sigmoid"
    return Kernel(name, x, rows.T, gamma, coef0, float(degree.ravel()[0]))


def without_constant(value: ir.Value | None, op_type: str, neutral: float) -> tuple[ir.Value | None, float]:
    """The value a number is added to, or multiplied with, and the number; itself and `neutral` else."""
    parts = split_constant(producer_of(value, op_type))
    return (value, neutral) if parts is None or parts[1].size != 1 else (parts[0], float(parts[1].ravel()[0]))


def replace_with_model(
    graph: ir.Graph, node: ir.Node, op_type: str, x: ir.Value, arrays: Any, settings: Any
) -> bool:
    op, out = hub.Builder(graph, before=node, source=hub.origin(node)), node.outputs[0]
    tensors = {name: ir.tensor(np.asarray(array, np.float64)) for name, array in arrays.items()}
    attributes: dict[str, Any] = {**tensors, **settings}
    y = op.node(op_type, x, _domain=DOMAIN, _dtype=out.dtype, _shape=out.shape, **attributes)
    replace(graph, node, [y], op)
    return True


def producer_of(value: ir.Value | None, *ops: str) -> ir.Node | None:
    """The node a value comes from, if it is one of these."""
    node = None if value is None else value.producer()
    return node if node is not None and not node.domain and node.op_type in ops else None


def split_constant(node: ir.Node | None) -> tuple[ir.Value, np.ndarray] | None:
    """The variable and the constant operand of a node of two."""
    if node is None or len(node.inputs) != 2:
        return None
    for own, other in ((0, 1), (1, 0)):
        constant, variable = const(node.inputs[other]), node.inputs[own]
        if constant is not None and variable is not None and const(variable) is None:
            return variable, constant
    return None


def match_reduction(node: ir.Node | None, axis: int, keepdims: int) -> ir.Value | None:
    """Operand of a node that reduces along one axis."""
    if node is None or len(node.inputs) < 2 or attr(node, "keepdims") != keepdims:
        return None
    axes, rank = const(node.inputs[1]), rank_of(node.inputs[0])
    if axes is None or rank is None or [int(a) % rank for a in axes.ravel()] != [axis]:
        return None
    return node.inputs[0]


def match_differences(value: ir.Value | None) -> tuple[ir.Value, np.ndarray] | None:
    """x and rows of x[:, None] - rows, [N, R, F]."""
    node = producer_of(value, "Sub")
    rows = None if node is None else const(node.inputs[1])
    wide = None if node is None else producer_of(node.inputs[0], "Unsqueeze")
    axes = None if wide is None else const(wide.inputs[1])
    if rows is None or wide is None or axes is None or axes.tolist() != [1]:
        return None
    x = wide.inputs[0]
    if x is None or rank_of(x) != 2 or rows.ndim not in (2, 3) or (rows.ndim == 3 and len(rows) != 1):
        return None
    return x, rows.reshape(rows.shape[-2:])


def match_distance(value: ir.Value | None) -> Distance | None:
    node = producer_of(value, "ReduceSum", "ReduceMax")
    inner = match_reduction(node, 2, 0)
    if node is None or inner is None:
        return None
    square = producer_of(inner, "Mul")
    power, size = 1.0, inner
    if square is not None and square.inputs[0] is square.inputs[1]:
        operands = match_differences(square.inputs[0])
        return None if operands is None or node.op_type == "ReduceMax" else Distance(*operands, 2.0)
    high = producer_of(inner, "Pow")
    if high is not None and node.op_type == "ReduceSum":
        exponent = const(high.inputs[1])
        if exponent is None or exponent.size != 1 or high.inputs[0] is None:
            return None
        power, size = float(exponent.ravel()[0]), high.inputs[0]
    absolute = producer_of(size, "Abs")
    operands = None if absolute is None else match_differences(absolute.inputs[0])
    if operands is None:
        return None
    return Distance(*operands, math.inf if node.op_type == "ReduceMax" else power)


def match_neighbors(value: ir.Value | None) -> tuple[ir.Node, np.ndarray] | None:
    """The TopK and the table of Gather(table, places)."""
    node = producer_of(value, "Gather")
    table = None if node is None else const(node.inputs[0])
    near = None if node is None else producer_of(node.inputs[1], "TopK")
    if node is None or near is None or table is None or table.ndim != 2 or attr(node, "axis"):
        return None
    smallest = not attr(near, "largest") and attr(near, "axis") in (1, -1)
    return (near, table) if smallest and node.inputs[1] is near.outputs[1] else None


def as_neighbors(
    near: ir.Node, table: np.ndarray, threshold: float
) -> tuple[Distance, np.ndarray, int, float] | None:
    distance, count = match_distance(near.inputs[0]), const(near.inputs[1])
    if distance is None or count is None or len(table) != len(distance.rows):
        return None
    return distance, table, int(count.ravel()[0]), threshold


def match_mean(node: ir.Node) -> tuple[Distance, np.ndarray, int, float] | None:
    """The mean of the neighbours' rows; its threshold is -1."""
    match = match_neighbors(match_reduction(node, 1, 0)) if node.op_type == "ReduceMean" else None
    return None if match is None else as_neighbors(*match, -1.0)


def match_weighted_mean(node: ir.Node) -> tuple[Distance, np.ndarray, int, float] | None:
    """Σ weight · row / Σ weight of weights 1 / (distance + threshold)."""
    if node.op_type != "Div":
        return None
    product = producer_of(match_reduction(producer_of(node.inputs[0], "ReduceSum"), 1, 0), "Mul")
    weights = match_reduction(producer_of(node.inputs[1], "ReduceSum"), 1, 1)
    match = None if product is None else match_neighbors(product.inputs[0])
    wide = None if product is None else producer_of(product.inputs[1], "Unsqueeze")
    inverse = producer_of(weights, "Div")
    if match is None or wide is None or inverse is None or wide.inputs[0] is not weights:
        return None
    one, shifted = const(inverse.inputs[0]), split_constant(producer_of(inverse.inputs[1], "Add"))
    axes = const(wide.inputs[1])
    if one is None or not (one == 1).all() or shifted is None or axes is None or axes.tolist() != [2]:
        return None
    result = as_neighbors(*match, float(shifted[1].ravel()[0]))
    if result is None or shifted[1].size != 1:
        return None
    return result if is_root_of(shifted[0], match[0].outputs[0], result[0].power) else None


def is_root_of(value: ir.Value, near: ir.Value, power: float) -> bool:
    """True if a value is the distances themselves, whose powers are `near`."""
    if power in (1.0, math.inf):
        return value is near
    if power == 2.0:
        node = producer_of(value, "Sqrt")
        return node is not None and node.inputs[0] is near
    node = producer_of(value, "Pow")
    root = None if node is None else const(node.inputs[1])
    return (
        root is not None
        and node is not None
        and node.inputs[0] is near
        and float(root.ravel()[0]) == 1 / power
    )
