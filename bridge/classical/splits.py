"""Splits of the trees of a hub model, and the columns of its inputs that those read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const
from bridge.passes.decompose.ml import Forest, ensemble

Place = tuple[str, int]
TREES = ("TreeEnsemble", "TreeEnsembleRegressor", "TreeEnsembleClassifier")
BELOW = ("BRANCH_LEQ", "BRANCH_LT")
EQUAL, UNEQUAL, MEMBER = "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER"


@dataclass(frozen=True)
class Splits:
    """Tests of the trees that read one value, parents first, an element each: the feature it reads, the place
    of that (a column of an input, where that reaches the trees unchanged) in `places`, the value it compares
    with, and the test it hangs on, -1 for a root, with the branch of it."""

    x: ir.Value
    places: list[Place]
    feature: np.ndarray
    place: np.ndarray
    threshold: np.ndarray
    mode: np.ndarray
    parent: np.ndarray
    holds: np.ndarray

    def __len__(self) -> int:
        return len(self.feature)

    def bounds(self, chosen: np.ndarray) -> dict[Place, tuple[np.ndarray, np.ndarray]]:
        """Bounds of each place, above and up to, on the paths from the roots to tests, [chosen]."""
        low = np.full((len(self.places), len(chosen)), -np.inf)
        high = np.full_like(low, np.inf)
        rows, node = np.arange(len(chosen)), chosen
        while len(rows := rows[(inner := self.parent[node] >= 0)]):
            holds, node = self.holds[node[inner]], self.parent[node[inner]]
            at, mode, threshold = (self.place[node], rows), self.mode[node], self.threshold[node]
            equal = (mode == EQUAL) | (mode == UNEQUAL)
            ordered = ~equal & (mode != MEMBER)
            below = holds == np.isin(mode, BELOW)
            high[at] = np.where(ordered & below, np.minimum(high[at], threshold), high[at])
            low[at] = np.where(ordered & ~below, np.maximum(low[at], threshold), low[at])
            met = equal & (holds == (mode == EQUAL))
            low[at] = np.where(met, np.nextafter(threshold, -np.inf), low[at])
            high[at] = np.where(met, threshold, high[at])
        return {p: (low[i], high[i]) for i, p in enumerate(self.places)}


def splits(model: ir.Model) -> Iterator[Splits]:
    """The tests of the trees of a hub model."""
    for node in model.graph:
        if node.op_type not in TREES or node.inputs[0] is None:
            continue
        forest = ensemble(node) if node.op_type == "TreeEnsemble" else Forest.of(node)
        yield _of_forest(forest, node.inputs[0])


def _of_forest(forest: Forest, x: ir.Value) -> Splits:
    found, parents, sides = [], [], []
    level, parent = forest.roots, np.full(len(forest.roots), -1)
    holds = np.zeros(len(level), bool)
    count = 0
    while (inner := forest.true[level] != level).any():
        level, left, right = level[inner], forest.true[level[inner]], forest.false[level[inner]]
        found.append(level)
        parents.append(parent[inner])
        sides.append(holds[inner])
        numbers, apart = count + np.arange(len(level)), right != left
        count += len(level)
        level, parent = np.concatenate([left, right[apart]]), np.concatenate([numbers, numbers[apart]])
        holds = np.arange(len(level)) < len(left)
    tests = np.concatenate([*found, np.zeros(0, np.int64)]).astype(np.int64)
    feature = forest.feature[tests]
    read, column = np.unique(feature, return_inverse=True)
    places = [column_of(x, int(f)) or ("", id(x) + int(f)) for f in read]
    distinct = list(dict.fromkeys(places))
    place = np.array([distinct.index(p) for p in places], np.int64)[column]
    return Splits(
        x,
        distinct,
        feature,
        place,
        forest.value[tests].astype(np.float64),
        np.array(forest.mode)[tests],
        np.concatenate([*parents, np.zeros(0, np.int64)]).astype(np.int64),
        np.concatenate([*sides, np.zeros(0, bool)]),
    )


def column_of(value: ir.Value | None, index: int) -> Place | None:
    """The column of an input that a column of a value is, unchanged; None for what was computed."""
    while value is not None:
        node = value.producer()
        if node is None:
            return (str(value.name), index) if value.is_graph_input() else None
        if node.op_type in ("Gather", "ArrayFeatureExtractor"):
            indices = const(node.inputs[1])
            if indices is None or (node.op_type == "Gather" and attr(node, "axis") not in (1, -1)):
                return None
            index = int(indices.ravel()[index])
        elif node.op_type == "Concat":
            for part in node.inputs:
                width = part.shape[-1] if part is not None and part.shape is not None else None
                if not isinstance(width, int):
                    return None
                if index < width:
                    value = part
                    break
                index -= width
            else:
                return None
            continue
        elif node.op_type not in ("Cast", "Identity"):
            return None
        value = node.inputs[0]
    return None
