"""Trees of thresholds, read in one sweep: every node that has children has one on a side of a threshold, and
after it at most one, on the other side or for whatever is left.

Arrays are in document order of the nodes, or of the splits, which are the nodes with children.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridge_pmml.reader import Element

MODES = {"lessOrEqual": 0, "lessThan": 1, "greaterOrEqual": 2, "greaterThan": 3}
OPPOSITE = np.array([3, 2, 1, 0, -1])
NONE = -1


@dataclass(frozen=True)
class BinaryTree:
    """The splits of a tree: the node each is, its children (NONE for no second one), whether its second child
    takes what is left, its column, mode and threshold."""

    nodes: list[Element]
    splits: np.ndarray
    first: np.ndarray
    second: np.ndarray
    rest: np.ndarray
    column: np.ndarray
    mode: np.ndarray
    threshold: np.ndarray

    def ids(self, places: Iterable[int]) -> list[str | None]:
        """The identifiers of nodes; None for NONE."""
        return [None if i == NONE else self.nodes[i].get("id") for i in places]

    def known(self, to_first: np.ndarray, to_second: np.ndarray) -> np.ndarray:
        """Mask of the splits whose value is there, because a split above tested it; masks tell where a
        missing value goes on to the first or the second child."""
        place = np.full(len(self.nodes) + 1, NONE)
        above, side = place.copy(), place.copy()
        place[self.splits] = np.arange(len(self.splits))
        for children, which in ((self.first, 0), (self.second, 1)):
            above[children], side[children] = np.arange(len(self.splits)), which
        passes = np.stack([to_first, to_second])
        known = np.zeros(len(self.splits), bool)
        pending, at = np.arange(len(self.splits)), self.splits
        while len(pending):
            split, branch = above[at], side[at]
            go = split != NONE
            pending, split, branch = pending[go], split[go], branch[go]
            known[pending] |= (self.column[split] == self.column[pending]) & ~passes[branch, split]
            at = self.splits[split]
        return known


def read_binary_tree(root: Element, features: Any) -> BinaryTree | None:
    """The tree below a root that is always true; None for one that is of another kind."""
    nodes = list(root.iter("Node"))
    place = {node: index for index, node in enumerate(nodes)}
    parents = np.array([place.get(node.getparent(), NONE) for node in nodes[1:]], np.int64)
    if not len(parents) or (parents == NONE).any() or root[0].tag != "True":
        return None
    counts = np.bincount(parents, minlength=len(nodes))
    if counts.max() > 2:
        return None
    predicates = [node[0] if len(node) else node for node in nodes]
    modes = np.array([MODES.get(p.get("operator"), 4) for p in predicates])
    splits = np.flatnonzero(counts)
    children = np.argsort(parents, kind="stable") + 1
    starts = np.cumsum(counts[splits]) - counts[splits]
    first = children[starts]
    second = np.where(counts[splits] == 2, children[np.minimum(starts + 1, len(children) - 1)], NONE)
    if (modes[first] == 4).any():
        return None
    tested = _thresholds(predicates, modes, features)
    if tested is None:
        return None
    columns, thresholds = tested
    rest = np.array([i != NONE and predicates[i].tag == "True" for i in second.tolist()])
    opposite = (
        (OPPOSITE[modes[first]] == modes[second])
        & (columns[first] == columns[second])
        & (thresholds[first] == thresholds[second])
    )
    if not (opposite | rest | (second == NONE)).all():
        return None
    return BinaryTree(nodes, splits, first, second, rest, columns[first], modes[first], thresholds[first])


def _thresholds(
    predicates: list[Element], modes: np.ndarray, features: Any
) -> tuple[np.ndarray, np.ndarray] | None:
    """Column and threshold of the nodes that compare a number, of each node; None where one does not."""
    compared = np.flatnonzero(modes < 4).tolist()
    names = [predicates[i].get("field") for i in compared]
    values = [predicates[i].get("value") for i in compared]
    if None in names or None in values:
        return None
    column_of = {name: features.field_column(name) for name in dict.fromkeys(names)}
    try:
        numbers = np.array(list(map(float, values)))
    except ValueError:
        return None
    if None in column_of.values() or np.isnan(numbers).any():
        return None
    columns, thresholds = np.full(len(predicates), NONE), np.zeros(len(predicates))
    columns[compared], thresholds[compared] = [column_of[n] for n in names], numbers
    single = np.isin(columns, list(features.floats))
    thresholds[single] = thresholds[single].astype(np.float32)
    return columns, thresholds
