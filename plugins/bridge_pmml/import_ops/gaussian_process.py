"""GaussianProcessModel: kernels against the training rows, weighted once and for all at import."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.errors import UnreadableFile
from bridge.ops import OpTable
from bridge_pmml import special
from bridge_pmml.fields import Scope
from bridge_pmml.import_ops.nearest_neighbor import Training
from bridge_pmml.reader import Element, child, describe, need_child, number, numbers, to_number
from bridge_pmml.results import Result, target_name
from bridge_pmml.values import Val

ops = OpTable()
KERNELS = (
    "RadialBasisKernel",
    "ARDSquaredExponentialKernel",
    "AbsoluteExponentialKernel",
    "GeneralizedExponentialKernel",
)


def length_scales(node: Element) -> np.ndarray:
    """Lambda: one for each field, or one for all."""
    scales = child(node, "Lambda")
    return np.array([number(node, "lambda", 1.0)]) if scales is None else numbers(scales)


def numpy_kernel(node: Element, differences: Any, exp: Any, power: Any, total: Any) -> Any:
    """The kernel of differences [.., F]: gamma · exp(-Σ (|d| / lambda)^degree), halved for the squared
    ones."""
    gamma, name, scales = number(node, "gamma", 1.0), node.tag, length_scales(node)
    if name == "RadialBasisKernel":
        return gamma * exp(total(power(differences, 2.0)) * (-0.5 / scales[0] ** 2))
    if name == "ARDSquaredExponentialKernel":
        return gamma * exp(total(power(differences / scales, 2.0)) * -0.5)
    degree = 1.0 if name == "AbsoluteExponentialKernel" else number(node, "degree", 1.0)
    return gamma * exp(-total(power(differences / scales, degree)))


@ops.op("GaussianProcessModel")
def gaussian_process(scope: Scope, node: Element) -> Result:
    columns, op = scope.columns, scope.columns.op
    kernel, training = need_child(node, *KERNELS), Training(scope, node)
    target = target_name(node)
    names = [n for n in training.column if n != target]
    if any(scope.get(n).text for n in names):
        raise UnreadableFile(f"{describe(node)}: a Gaussian process compares numbers.")
    rows = np.array([[to_number(c, node) for c in training.cells(n)] for n in names]).T
    y = np.array([to_number(c, node) for c in training.cells(target)])
    training_differences = np.abs(rows[:, None] - rows[None])
    gram = numpy_kernel(kernel, training_differences, np.exp, np.power, lambda a: a.sum(axis=-1))
    gram = gram + number(kernel, "noiseVariance", 1.0) * np.eye(len(rows))
    weights, inverse = np.linalg.solve(gram, y), np.linalg.inv(gram)
    x = columns.concat_numbers([scope.get(n) for n in names])
    differences = op.Abs(op.Sub(op.Unsqueeze(x, np.array([1])), op.const(rows[None])))
    covariances = hub_kernel(op, kernel, differences)
    result = Result("regression", columns.number(op.MatMul(covariances, op.const(weights[:, None]))))

    def standard_deviation(item: Element) -> Val | None:
        """The standard deviation of the process at a record: √(k(x, x) - k(x)ᵀ (K + noise)⁻¹ k(x))."""
        if item.get("feature") != "standardDeviation":
            return None
        explained = op.ReduceSum(
            op.Mul(op.MatMul(covariances, op.const(inverse)), covariances), np.array([1])
        )
        variance = op.Sub(columns.scalar(number(kernel, "gamma", 1.0)), explained)
        return columns.number(op.Sqrt(op.Max(variance, columns.scalar(0.0))))

    result.outputs = standard_deviation
    return result


def hub_kernel(op: Any, node: Element, differences: Any) -> Any:
    """`kernel` of hub values."""
    gamma = number(node, "gamma", 1.0)
    degree = {
        "AbsoluteExponentialKernel": 1.0,
        "GeneralizedExponentialKernel": number(node, "degree", 1.0),
    }.get(node.tag, 2.0)
    scaled = op.Div(differences, op.const(length_scales(node)))
    raised = op.Pow(scaled, op.const(np.array(degree)))
    total = op.ReduceSum(raised, np.array([2]), keepdims=0)
    factor = -0.5 if node.tag in KERNELS[:2] else -1.0
    return op.Mul(op.const(np.array(gamma)), special.exp(op, op.Mul(total, op.const(np.array(factor)))))
