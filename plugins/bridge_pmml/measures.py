"""ComparisonMeasure: distances and similarities of records from stored rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bridge.errors import UnreadableFile
from bridge_pmml import special
from bridge_pmml.reader import Element, child, describe, need_child, number, read_matrix
from bridge_pmml.values import Columns

MEASURES = (
    "euclidean",
    "squaredEuclidean",
    "chebychev",
    "cityBlock",
    "minkowski",
    "simpleMatching",
    "jaccard",
    "tanimoto",
    "binarySimilarity",
)
BINARY = ("simpleMatching", "jaccard", "tanimoto", "binarySimilarity")


class Measure:
    """Compares x [N, F] (NaN for missing) with rows [K, F]. Missing fields are left out and made up for by
    Σ q / Σ q of those that are there."""

    def __init__(
        self, columns: Columns, node: Element, fields: list[Element], weights: list[float], q: np.ndarray
    ) -> None:
        measure = child(node, *MEASURES)
        if measure is None:
            raise UnreadableFile(f"{describe(node)} names no measure that is known.")
        self.columns, self.node, self.measure = columns, node, measure
        self.similarity = node.get("kind") == "similarity"
        default = node.get("compareFunction", "absDiff")
        self.functions = [f.get("compareFunction") or default for f in fields]
        self.fields, self.weights, self.q = fields, weights, q

    def of(self, x: Any, rows: np.ndarray) -> Any:
        """Double [N, K]; missing where every field is."""
        return self._binary(x, rows) if self.measure.tag in BINARY else self._metric(x, rows)

    def _metric(self, x: Any, rows: np.ndarray) -> Any:
        columns, op = self.columns, self.columns.op
        gone = op.IsNaN(x)
        there = op.Cast(op.Not(gone), to=11)
        q = op.MatMul(there, op.const(self.q[:, None]))
        adjust = op.Div(columns.scalar(float(self.q.sum())), q)
        parts = self._compared(x, rows)
        parts = op.Where(op.Unsqueeze(gone, np.array([1])), op.const(np.zeros((1, 1, 1))), parts)
        weight = op.const(np.array(self.weights)[None, None])
        name = self.measure.tag
        if name == "chebychev":
            top = op.ReduceMax(op.Mul(parts, weight), np.array([2]), keepdims=0)
            return op.Mul(top, adjust)
        p = {"cityBlock": 1.0, "minkowski": number(self.measure, "p-parameter", 2.0)}.get(name, 2.0)
        raised = (
            parts if p == 1.0 else op.Mul(parts, parts) if p == 2.0 else op.Pow(parts, op.const(np.array(p)))
        )
        total = op.Mul(op.ReduceSum(op.Mul(raised, weight), np.array([2]), keepdims=0), adjust)
        if name == "euclidean":
            return op.Sqrt(total)
        return op.Pow(total, columns.scalar(1 / p)) if name == "minkowski" else total

    def _compared(self, x: Any, rows: np.ndarray) -> Any:
        """c(x_i, y_i) by each field's function, [N, K, F]."""
        op = self.columns.op
        if set(self.functions) == {"absDiff"}:
            return op.Abs(op.Sub(op.Unsqueeze(x, np.array([1])), op.const(rows[None])))
        parts = []
        for index, name in enumerate(self.functions):
            column = self.columns.gather_column(x, index)
            y = op.const(rows[:, index][None])
            parts.append(op.Unsqueeze(self._function(name, index, column, y, rows[:, index]), np.array([2])))
        return parts[0] if len(parts) == 1 else op.Concat(*parts, axis=2)

    def _function(self, name: str, index: int, x: Any, y: Any, stored: np.ndarray) -> Any:
        op, field = self.columns.op, self.fields[index]
        if name == "absDiff":
            return op.Abs(op.Sub(x, y))
        if name == "gaussSim":
            gap, scale = op.Sub(x, y), number(field, "similarityScale", 1.0)
            return special.exp(op, op.Mul(op.Mul(gap, gap), self.columns.scalar(-math.log(2) / scale**2)))
        if name in ("delta", "equal"):
            same = op.Equal(x, y)
            return op.Cast(same if name == "equal" else op.Not(same), to=11)
        if name == "table":
            comparisons = read_matrix(need_child(field, "Comparisons")[0])
            rows = comparisons[:, stored.astype(int)]
            at = op.Cast(op.Where(op.IsNaN(x), self.columns.scalar(0.0), x), to=7)
            return op.Gather(op.const(rows), op.Squeeze(at, np.array([1])), axis=0)
        raise UnreadableFile(f"{describe(field)}: the compare function {name!r} is unknown.")

    def _binary(self, x: Any, rows: np.ndarray) -> Any:
        """Similarity from the counts of fields that are 1 or 0 in both, or in one of them."""
        columns, op = self.columns, self.columns.op
        one = op.Cast(op.Equal(x, columns.scalar(1.0)), to=11)
        zero = op.Cast(op.Equal(x, columns.scalar(0.0)), to=11)
        y1, y0 = (op.const(np.ascontiguousarray((rows == v).astype(np.float64).T)) for v in (1, 0))
        a = {
            "11": op.MatMul(one, y1),
            "10": op.MatMul(one, y0),
            "01": op.MatMul(zero, y1),
            "00": op.MatMul(zero, y0),
        }
        up: dict[str, float]
        down: dict[str, float]
        name = self.measure.tag
        if name == "simpleMatching":
            up, down = {"11": 1, "00": 1}, {"11": 1, "10": 1, "01": 1, "00": 1}
        elif name == "jaccard":
            up, down = {"11": 1}, {"11": 1, "10": 1, "01": 1}
        elif name == "tanimoto":
            up, down = {"11": 1, "00": 1}, {"11": 1, "10": 2, "01": 2, "00": 1}
        else:
            up, down = ({k: number(self.measure, f"{side}{k}-parameter") for k in a} for side in "cd")
        totals = []
        for side in (up, down):
            total = columns.scalar(0.0)
            for key, factor in side.items():
                total = op.Add(total, op.Mul(a[key], columns.scalar(float(factor))))
            totals.append(total)
        return op.Div(*totals)
