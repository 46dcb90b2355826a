"""Nearest neighbours: distances to the training records, and the mean of the nearest ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge_sklearn.graphs import Outputs, Unwritten, gather_labels

NEAR = 1e-30
POWERS = {"euclidean": 2.0, "sqeuclidean": 2.0, "l2": 2.0, "manhattan": 1.0, "cityblock": 1.0, "l1": 1.0}


def neighbors_classifier(op: hub.Builder, src: Any, x: ir.Value) -> Outputs:
    """Shares of the classes among the neighbours; of several targets, side by side the labels, and the shares
    of each."""
    if not src.outputs_2d_:
        shares = average_neighbors(op, src, x, np.eye(len(src.classes_))[src._y.ravel()])
        return {
            "label": gather_labels(op, src.classes_, op.ArgMax(shares, axis=1, keepdims=0)),
            "probabilities": op.Identity(shares),
        }
    probabilities: Outputs = {}
    columns = []
    for index, classes in enumerate(src.classes_):
        shares = average_neighbors(op, src, x, np.eye(len(classes))[src._y[:, index]])
        columns.append(gather_labels(op, classes, op.ArgMax(shares, axis=1, keepdims=1)))
        probabilities[f"probabilities_{index + 1}"] = op.Identity(shares)
    return {"label": op.Concat(*columns, axis=1), **probabilities}


def neighbors_regressor(op: hub.Builder, src: Any, x: ir.Value) -> Outputs:
    y = np.asarray(src._y, np.float64)
    return {"variable": average_neighbors(op, src, x, y.reshape(len(y), -1))}


def refuse_radius(op: hub.Builder, src: Any, x: ir.Value) -> Outputs:
    """Neighbours within a radius, which no model element counts. Raises Unwritten."""
    raise Unwritten("it asks all neighbours within a radius, where models ask a fixed number of them")


def average_neighbors(op: hub.Builder, src: Any, x: ir.Value, table: np.ndarray) -> ir.Value:
    """The mean of the neighbours' rows of a table, [N, C]; or weighted by the inverse of their distance.

    Raises Unwritten for other weights and for distances that are no norm of the difference.
    """
    if src.weights not in (None, "uniform", "distance"):
        raise Unwritten("its weights are a function")
    rows = src._fit_X
    if not isinstance(rows, np.ndarray):
        raise Unwritten("it was fitted on a sparse matrix")
    differences = op.Sub(op.Unsqueeze(x, np.array([1])), op.const(np.asarray(rows, np.float64)[None]))
    distances, power = distance(op, src, differences)
    count = np.array([src.n_neighbors])
    near, indices = op.TopK(distances, count, axis=1, largest=0, sorted=1, _outputs=2)
    neighbors = op.Gather(op.const(table), indices, axis=0)
    if src.weights != "distance":
        return op.ReduceMean(neighbors, np.array([1]), keepdims=0)
    if power == 2.0:
        near = op.Sqrt(near)
    elif power not in (1.0, np.inf):
        near = op.Pow(near, op.const(np.array(1 / power)))
    weights = op.Div(op.const(np.array(1.0)), op.Add(near, op.const(np.array(NEAR))))
    weighted = op.Mul(neighbors, op.Unsqueeze(weights, np.array([2])))
    total = op.ReduceSum(weights, np.array([1]), keepdims=1)
    return op.Div(op.ReduceSum(weighted, np.array([1]), keepdims=0), total)


def distance(op: hub.Builder, src: Any, differences: ir.Value) -> tuple[ir.Value, float]:
    """Σ |difference|^p, or its maximum, and p: the same order of neighbours as the distance."""
    name, settings = src.effective_metric_, src.effective_metric_params_
    power = POWERS.get(name, settings.get("p") if name == "minkowski" and settings.get("w") is None else None)
    axes = np.array([2])
    if name == "chebyshev":
        return op.ReduceMax(op.Abs(differences), axes, keepdims=0), np.inf
    if power is None:
        raise Unwritten(f"its distance is {name}, no norm of the difference")
    if power == 2.0:
        return op.ReduceSum(op.Mul(differences, differences), axes, keepdims=0), power
    size = op.Abs(differences)
    raised = size if power == 1.0 else op.Pow(size, op.const(np.array(float(power))))
    return op.ReduceSum(raised, axes, keepdims=0), float(power)
