"""Trees of thresholds, read in one sweep: every node that has children has one on a side of a threshold, and
after it at most one, on the other side or for whatever is left.

Arrays are in document order of the nodes, or of the splits, which are the nodes with children.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridge_pmml.folded_trees import FOLDED, TESTED, Listing, listed
from bridge_pmml.reader import Element

MODES = {"lessOrEqual": 0, "lessThan": 1, "greaterOrEqual": 2, "greaterThan": 3}
OPPOSITE = np.array([3, 2, 1, 0, -1])
NONE = -1


@dataclass(frozen=True)
class BinaryTree:
    """The splits of a tree: the node each is, its children (NONE for no second one), whether its second child
    takes what is left, its column, mode and threshold."""

    nodes: list[Any]
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
    listing = listed(root.text) if root.tag == FOLDED else _elements(root)
    if listing is None or len(listing.nodes) < 2 or not listing.always[0]:
        return None
    structure = _structure(listing.parents)
    if structure is None:
        return None
    splits, first, second = structure
    modes = np.array([MODES.get(each, 4) for each in listing.operators.tolist()])
    if (modes[first] == 4).any():
        return None
    tested = _thresholds(listing, modes, features)
    if tested is None:
        return None
    columns, thresholds = tested
    rest = (second != NONE) & (modes[second] == 4) & listing.always[second]
    opposite = (
        (OPPOSITE[modes[first]] == modes[second])
        & (columns[first] == columns[second])
        & (thresholds[first] == thresholds[second])
    )
    if not (opposite | rest | (second == NONE)).all():
        return None
    return BinaryTree(
        listing.nodes, splits, first, second, rest, columns[first], modes[first], thresholds[first]
    )


def _elements(root: Element) -> Listing | None:
    """The nodes below a root as elements; None where one is not below another."""
    nodes = list(root.iter("Node"))
    place = {node: index for index, node in enumerate(nodes)}
    parents = [NONE, *(place.get(node.getparent(), NONE) for node in nodes[1:])]
    if NONE in parents[1:]:
        return None
    predicates = [node[0] if len(node) else node for node in nodes]
    always = np.array([p.tag == "True" for p in predicates])
    tests = np.array([[p.get(name) for p in predicates] for name in TESTED], object)
    return Listing(nodes, np.array(parents), always, *tests)


Structure = tuple[np.ndarray, np.ndarray, np.ndarray]
"""The splits, and the first and second child of each."""


def _structure(parents: np.ndarray) -> Structure | None:
    """The structure of nodes; None where one has more than two children."""
    counts = np.bincount(parents[1:], minlength=len(parents))
    if counts.max() > 2:
        return None
    splits, children = np.flatnonzero(counts), np.argsort(parents[1:], kind="stable") + 1
    starts = np.cumsum(counts[splits]) - counts[splits]
    seconds = children[np.minimum(starts + 1, len(children) - 1)]
    return splits, children[starts], np.where(counts[splits] == 2, seconds, NONE)


def _thresholds(listing: Listing, modes: np.ndarray, features: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Column and threshold of the nodes that compare a number, of each node; None where one does not."""
    compared = np.flatnonzero(modes < 4)
    names, values = listing.fields[compared].tolist(), listing.values[compared]
    if None in names:
        return None
    column_of = {name: features.field_column(name) for name in dict.fromkeys(names)}
    try:
        numbers = values.astype(np.float64)
    except (TypeError, ValueError):
        return None
    if None in column_of.values() or np.isnan(numbers).any():
        return None
    columns, thresholds = np.full(len(modes), NONE), np.zeros(len(modes))
    columns[compared], thresholds[compared] = [column_of[n] for n in names], numbers
    single = np.isin(columns, list(features.floats))
    thresholds[single] = thresholds[single].astype(np.float32)
    return columns, thresholds
