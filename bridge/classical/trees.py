"""Decision trees of a model, gathered into one TreeEnsemble."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub

__all__ = ["LEAF", "MEMBER", "MODES", "Ref", "Trees", "node_keys", "walk"]

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


def walk(left: Sequence[int], right: Sequence[int]) -> list[int]:
    """Nodes of one tree from its root, node 0, each before those below it; a node without children has -1 as
    its left one.

    Raises ValueError for a child that is not there, a node that is reached twice, and more than DEEPEST
    tests one below the other.
    """
    order: list[int] = []
    reached = bytearray(len(left))
    pending = [(0, 0)]
    while pending:
        node, depth = pending.pop()
        if not 0 <= node < len(left):
            raise ValueError(f"a tree leads to node {node} of {len(left)}")
        if reached[node]:
            raise ValueError(f"node {node} of a tree is reached twice")
        if depth > DEEPEST:
            raise ValueError(f"a tree is deeper than {DEEPEST}")
        reached[node] = 1
        order.append(node)
        if left[node] != -1:
            pending += [(int(right[node]), depth + 1), (int(left[node]), depth + 1)]
    return order


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
            sides[f"nodes_{name}nodeids"] = [at for _, at in refs]
            sides[f"nodes_{name}leafs"] = [int(is_leaf) for is_leaf, _ in refs]
        return {
            "aggregate_function": 1,
            "post_transform": 0,
            "n_targets": self.targets,
            "tree_roots": self.roots,
            "nodes_featureids": self.columns,
            "nodes_modes": ir.tensor(np.array(self.modes, np.uint8)),
            "nodes_splits": ir.tensor(np.array(self.splits).astype(number)),
            "nodes_missing_value_tracks_true": self.tracks,
            "leaf_targetids": self.leaf_targets,
            "leaf_weights": ir.tensor(np.array(self.leaf_weights).astype(number)),
            **sides,
        }
