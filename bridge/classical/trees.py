"""Decision trees of a model, gathered into one TreeEnsemble."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub

__all__ = ["LEAF", "MEMBER", "MODES", "Nodes", "Ref", "Tests", "Trees", "node_keys", "walk"]

MODES = tuple(f"BRANCH_{test}" for test in ("LEQ", "LT", "GTE", "GT", "EQ", "NEQ", "MEMBER"))
"""Tests of a node by what TreeEnsemble calls them, in the order of their numbers."""
LEAF = "LEAF"
LEQ, LT, GTE, GT, EQ, NEQ, MEMBER = range(7)
DEEPEST = 2000
Ref = tuple[bool, int]
"""True and the index of a leaf, or False and that of a test."""


def node_keys(trees: Any, ids: Any) -> np.ndarray:
    """One number for each node, of those of its tree and its own, both below 2³¹."""
    return np.asarray(trees, np.int64) << 32 | np.asarray(ids, np.int64)


def walk(left: Sequence[int], right: Sequence[int], roots: Iterable[int] = (0,)) -> list[int]:
    """Nodes of trees from their roots, each before those below it; a node without children has -1 as its left
    one.

    Raises ValueError for a child that is not there, a node that is reached twice, and more than DEEPEST
    tests one below the other.
    """
    order: list[int] = []
    count = len(left)
    reached = bytearray(count)
    for root in roots:
        pending = [(root, 0)]
        while pending:
            node, depth = pending.pop()
            if not 0 <= node < count:
                raise ValueError(f"a tree leads to node {node} of {count}")
            if reached[node]:
                raise ValueError(f"node {node} of a tree is reached twice")
            if depth > DEEPEST:
                raise ValueError(f"a tree is deeper than {DEEPEST}")
            reached[node] = 1
            order.append(node)
            if left[node] != -1:
                pending.append((right[node], depth + 1))
                pending.append((left[node], depth + 1))
    return order


@dataclass(frozen=True)
class Nodes:
    """The nodes of trees, numbered through: the first of each tree, which is its root, and the sides of all,
    -1 of a leaf; `order` is that of `walk`."""

    roots: np.ndarray
    left: np.ndarray
    right: np.ndarray
    order: np.ndarray

    @classmethod
    def of(cls, sizes: Sequence[int] | np.ndarray, left: np.ndarray, right: np.ndarray) -> Nodes:
        """Nodes of trees of these sizes, whose sides [nodes] count from the root of each. Raises ValueError
        as `walk` does."""
        counts = np.asarray(sizes, np.int64)
        roots = np.cumsum(counts) - counts
        first, count = np.repeat(roots, counts), np.repeat(counts, counts)
        if not len(left) == len(right) == len(first):
            raise ValueError(f"{len(left)} and {len(right)} sides of {len(first)} nodes are told")
        beyond = len(left)
        left, right = (
            np.where(side == -1, -1, np.where((side >= 0) & (side < count), side + first, beyond))
            for side in (left, right)
        )
        return cls(roots, left, right, np.array(walk(left.tolist(), right.tolist(), roots.tolist())))

    @property
    def tests(self) -> np.ndarray:
        """The nodes that have sides, in order."""
        return self.order[self.left[self.order] != -1]

    @property
    def leaves(self) -> np.ndarray:
        return self.order[self.left[self.order] == -1]


def refs_to(nodes: np.ndarray, is_leaf: np.ndarray, place: np.ndarray) -> list[Ref]:
    """References to nodes, of which it is told whether they are leaves, and their places among such."""
    return list(zip(is_leaf[nodes].tolist(), place[nodes].tolist(), strict=True))


@dataclass(frozen=True)
class Tests:
    """The tests of trees, in the order of their nodes: columns, numbers of MODES, thresholds, whether missing
    values lead to the true side and whether that is the right one, [tests]; the members of those that test a
    set."""

    columns: np.ndarray
    modes: np.ndarray
    splits: np.ndarray
    tracks: np.ndarray
    swapped: np.ndarray
    members: list[Collection[float]] = field(default_factory=list)


@dataclass
class Trees:
    """Trees whose leaves add to `targets` sums. A test leads to its `true` or its `false` side; a missing
    value leads to the true side where `tracks`, else to the false one."""

    targets: int = 1
    columns: list[int] = field(default_factory=list)
    modes: list[int] = field(default_factory=list)
    splits: list[float] = field(default_factory=list)
    tracks: list[int] = field(default_factory=list)
    true: list[Ref] = field(default_factory=list)
    false: list[Ref] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)
    leaf_targets: list[int] = field(default_factory=list)
    leaf_weights: list[float] = field(default_factory=list)
    members: list[Collection[float]] = field(default_factory=list)

    def leaf(self, weight: float, target: int = 0) -> Ref:
        """A leaf. Raises ValueError for a weight that is not finite."""
        if not math.isfinite(weight):
            raise ValueError(f"a leaf is {weight}")
        self.leaf_targets.append(target)
        self.leaf_weights.append(weight)
        return True, len(self.leaf_weights) - 1

    def test(
        self,
        column: int,
        mode: int,
        split: float = 0.0,
        tracks: bool = False,
        members: Collection[float] = (),
    ) -> Ref:
        """A test of one column against `split`, or of whether it is one of `members`; its sides are set by
        `lead`. Raises ValueError for a threshold or a member that is no number."""
        if math.isnan(split) or not all(map(math.isfinite, members)):
            raise ValueError("a threshold is no number")
        if mode == MEMBER:
            self.members.append(members)
        self.columns.append(column)
        self.modes.append(mode)
        self.splits.append(split)
        self.tracks.append(int(tracks))
        self.true.append((False, -1))
        self.false.append((False, -1))
        return False, len(self.columns) - 1

    def lead(self, test: Ref, true: Ref, false: Ref) -> None:
        """Set the two sides of a test."""
        self.true[test[1]], self.false[test[1]] = true, false

    def root(self, ref: Ref) -> None:
        """End a tree. One that is a leaf alone becomes a test of two such leaves."""
        if ref[0]:
            test = self.test(0, LEQ)
            self.lead(test, ref, self.leaf(self.leaf_weights[ref[1]], self.leaf_targets[ref[1]]))
            ref = test
        self.roots.append(ref[1])

    def grow(self, nodes: Nodes, tests: Tests, values: np.ndarray, targets: np.ndarray) -> None:
        """Add trees: the tests of those nodes that have some, the values and targets of the others, [nodes].

        Raises ValueError as `leaf` and `test` do.
        """
        inner, leaves = nodes.tests, nodes.leaves
        weights = values[leaves]
        if not np.isfinite(weights).all():
            raise ValueError(f"a leaf is {weights[~np.isfinite(weights)][0]}")
        if np.isnan(tests.splits).any() or not all(math.isfinite(m) for each in tests.members for m in each):
            raise ValueError("a threshold is no number")
        place, is_leaf = np.zeros(len(nodes.left), np.int64), nodes.left == -1
        place[inner] = len(self.columns) + np.arange(len(inner))
        place[leaves] = len(self.leaf_weights) + np.arange(len(leaves))
        left, right = nodes.left[inner], nodes.right[inner]
        self.true += refs_to(np.where(tests.swapped, right, left), is_leaf, place)
        self.false += refs_to(np.where(tests.swapped, left, right), is_leaf, place)
        self.columns += tests.columns.tolist()
        self.modes += tests.modes.tolist()
        self.splits += tests.splits.tolist()
        self.tracks += tests.tracks.tolist()
        self.members += tests.members
        self.leaf_weights += weights.tolist()
        self.leaf_targets += targets[leaves].tolist()
        for root in refs_to(nodes.roots, is_leaf, place):
            self.root(root)

    def build(self, op: hub.Builder, x: ir.Value) -> ir.Value:
        """Sums of leaves by target, [N, targets], of the dtype of `x`, [N, columns]."""
        if not self.roots:
            self.root(self.leaf(0.0))
        assert x.dtype is not None
        number = x.dtype.numpy()
        sets = [np.array([*each, np.nan], number) for each in self.members]
        return op.node(
            "TreeEnsemble",
            x,
            _domain="ai.onnx.ml",
            _dtype=x.dtype,
            _shape=["N", self.targets],
            **self._attributes(number),
            membership_values=ir.tensor(np.concatenate(sets)) if sets else None,
        )

    def _attributes(self, number: np.dtype) -> dict[str, Any]:
        sides = {}
        for name, refs in (("true", self.true), ("false", self.false)):
            leads = np.array(refs, np.int64)
            sides[f"nodes_{name}nodeids"], sides[f"nodes_{name}leafs"] = leads[:, 1], leads[:, 0]
        return {
            "aggregate_function": 1,
            "post_transform": 0,
            "n_targets": self.targets,
            "tree_roots": np.array(self.roots),
            "nodes_featureids": np.array(self.columns),
            "nodes_modes": ir.tensor(np.array(self.modes, np.uint8)),
            "nodes_splits": ir.tensor(np.array(self.splits).astype(number)),
            "nodes_missing_value_tracks_true": np.array(self.tracks),
            "leaf_targetids": np.array(self.leaf_targets),
            "leaf_weights": ir.tensor(np.array(self.leaf_weights).astype(number)),
            **sides,
        }
