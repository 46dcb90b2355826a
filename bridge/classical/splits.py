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


@dataclass(frozen=True)
class Split:
    """A test of a tree: the column it reads (of an input, where that reaches the tree unchanged), the value
    it compares with, and the split it hangs on with the branch of it."""

    x: ir.Value
    feature: int
    place: Place
    threshold: float
    mode: str
    parent: Split | None
    holds: bool

    @property
    def is_root(self) -> bool:
        return self.parent is None

    def bounds(self) -> dict[Place, tuple[float, float]]:
        """Bounds of each column, above and up to, on the path from the root."""
        bounds: dict[Place, tuple[float, float]] = {}
        node: Split | None = self
        while node is not None and node.parent is not None:
            above, holds = node.parent, node.holds
            low, high = bounds.get(above.place, (-np.inf, np.inf))
            if above.mode in ("BRANCH_EQ", "BRANCH_NEQ"):
                if holds == (above.mode == "BRANCH_EQ"):
                    low, high = np.nextafter(above.threshold, -np.inf), above.threshold
            elif above.mode != "BRANCH_MEMBER":
                below = holds == (above.mode in ("BRANCH_LEQ", "BRANCH_LT"))
                low, high = (low, min(high, above.threshold)) if below else (max(low, above.threshold), high)
            bounds[above.place] = (float(low), float(high))
            node = above
        return bounds


def splits(model: ir.Model) -> Iterator[Split]:
    """Every test of every tree of a hub model, parents first."""
    for node in model.graph:
        if node.op_type not in TREES or node.inputs[0] is None:
            continue
        forest = ensemble(node) if node.op_type == "TreeEnsemble" else Forest.of(node)
        yield from _of_forest(forest, node.inputs[0])


def _of_forest(forest: Forest, x: ir.Value) -> Iterator[Split]:
    places: dict[int, Place] = {}
    for root in forest.roots.tolist():
        pending: list[tuple[int, Split | None, bool]] = [(root, None, False)]
        while pending:
            index, parent, holds = pending.pop()
            left, right = int(forest.true[index]), int(forest.false[index])
            if left == index:
                continue
            feature = int(forest.feature[index])
            if feature not in places:
                places[feature] = column_of(x, feature) or ("", id(x) + feature)
            split = Split(
                x, feature, places[feature], float(forest.value[index]), forest.mode[index], parent, holds
            )
            yield split
            pending.append((left, split, True))
            if right != left:
                pending.append((right, split, False))


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
