"""PMML trees as one TreeEnsemble of ai.onnx.ml over a matrix of doubles.

Numbers are compared as they are. Every other predicate becomes a column that is 1, 0 or NaN for unknown, so a
node tests one column. PMML nodes with several children become chains of tests.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from lxml import etree

from bridge.errors import UnreadableFile
from bridge_pmml import predicates
from bridge_pmml.binary_trees import NONE, BinaryTree, read_binary_tree
from bridge_pmml.fields import Scope
from bridge_pmml.folded_trees import FOLDED, unfold
from bridge_pmml.predicates import predicate_of
from bridge_pmml.reader import Element, child, describe, number, optional, text
from bridge_pmml.values import DOUBLE, ML, Columns, parse

MODES = {"lessOrEqual": 0, "lessThan": 1, "greaterOrEqual": 2, "greaterThan": 3, "equal": 4}
OPPOSITE = {
    "lessOrEqual": "greaterThan",
    "greaterThan": "lessOrEqual",
    "lessThan": "greaterOrEqual",
    "greaterOrEqual": "lessThan",
    "equal": "notEqual",
    "notEqual": "equal",
}
LEQ, GEQ = 0, 2
OPPOSITE_MODES = np.array([3, 2, 1, 0])
ASKING = ("lastPrediction", "nullPrediction", "defaultChild")
LARGEST = 4_000_000
Ref = int
"""A test by its index, or a leaf by ~index."""


class Features:
    """The matrix trees test, [N, F]: a column per numeric field, and one per other predicate."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.fields: dict[str, int] = {}
        self.present: set[int] = set()
        self.floats: set[int] = set()
        self.tests: dict[Any, int] = {}
        self.makers: list[Any] = []
        self.categories: dict[str, list[tuple[int, frozenset[Any], bool]]] = {}
        self.text: dict[str, bool] = {}

    def field_column(self, name: str) -> int | None:
        """The column of a numeric field, None for text."""
        if name in self.fields:
            return self.fields[name]
        if self.text.get(name):
            return None
        val = self.scope.get(name)
        if val.text:
            self.text[name] = True
            return None
        column = self._add(lambda: val.tensor)
        self.fields[name] = column
        if val.present:
            self.present.add(column)
        if val.data_type == "float":
            self.floats.add(column)
        return column

    def _add(self, maker: Any) -> int:
        self.makers.append(maker)
        return len(self.makers) - 1

    def test(self, node: Element) -> int:
        """The column of a predicate's truth: 1, 0, or NaN for unknown."""
        listed = self._categories(node)
        key = listed if listed is not None else etree.tostring(node, with_tail=False)
        if key not in self.tests:
            if listed is None:
                truth = predicates.evaluate(self.scope, node)
                self.tests[key] = self._add(lambda: self.scope.columns.truth(truth).tensor)
            else:
                name, items, inside = listed
                self.tests[key] = self._add(None)
                self.categories.setdefault(name, []).append((self.tests[key], items, inside))
        return self.tests[key]

    def _categories(self, node: Element) -> tuple[str, frozenset[Any], bool] | None:
        """Field, values and sense of a test of text against listed values."""
        if node.get("field") is not None and not self.scope.get(node.get("field")).text:
            return None
        if node.tag == "SimplePredicate" and node.get("operator") in ("equal", "notEqual"):
            items, inside = [text(node, "value")], node.get("operator") == "equal"
        elif node.tag == "SimpleSetPredicate":
            items, inside = predicates.set_items(node), node.get("booleanOperator") == "isIn"
        else:
            return None
        val = self.scope.get(text(node, "field"))
        return (text(node, "field"), frozenset(parse(i, val.data_type) for i in items), inside)

    def concat_columns(self) -> ir.Value:
        """All columns; those of one field's categories are rows of one table."""
        columns, op = self.scope.columns, self.scope.columns.op
        order: dict[int, int] = {}
        parts = []
        for index, maker in enumerate(self.makers):
            if maker is not None:
                order[index] = len(order)
                parts.append(maker())
        for name, tests in self.categories.items():
            val = self.scope.get(name)
            keys = sorted(set().union(*(items for _, items, _ in tests)))
            table = np.array([[float((k in items) == inside) for _, items, inside in tests] for k in keys])
            other = np.array([[float(not inside) for _, _, inside in tests]])
            table_rows = np.concatenate([table.reshape(len(keys), len(tests)), other])
            rows = op.Squeeze(columns.category_index(val, keys, len(keys)), np.array([1]))
            part = op.Gather(op.const(table_rows), rows, axis=0)
            missing = columns.missing(val)
            parts.append(
                part
                if missing is False
                else op.Where(columns.mask_column(missing), columns.scalar(math.nan), part)
            )
            for at, _, _ in tests:
                order[at] = len(order)
        self.order = order
        if not parts:
            self.order, parts = {0: 0}, [columns.constant(0.0).tensor]
        return parts[0] if len(parts) == 1 else op.Concat(*parts, axis=1)


@dataclass
class Arrays:
    """The tests of an ensemble, and its leaves: the tree each is of and its row there."""

    column: array[int] = field(default_factory=lambda: array("q"))
    mode: array[int] = field(default_factory=lambda: array("q"))
    split: array[float] = field(default_factory=lambda: array("d"))
    true: array[Ref] = field(default_factory=lambda: array("q"))
    false: array[Ref] = field(default_factory=lambda: array("q"))
    tracks: array[int] = field(default_factory=lambda: array("q"))
    roots: list[int] = field(default_factory=list)
    leaf_trees: array[int] = field(default_factory=lambda: array("q"))
    leaf_rows: array[int] = field(default_factory=lambda: array("q"))

    def leaf(self, tree: int, row: int) -> Ref:
        self.leaf_trees.append(tree)
        self.leaf_rows.append(row)
        return ~(len(self.leaf_rows) - 1)

    def node(self, column: int, mode: int, split: float, tracks: bool) -> Ref:
        self.reserve(1)
        self.column.append(column)
        self.mode.append(mode)
        self.split.append(split)
        self.tracks.append(int(tracks))
        self.true.append(0)
        self.false.append(0)
        return len(self.column) - 1

    def reserve(self, count: int) -> None:
        """Raise UnreadableFile if so many tests more are too many."""
        if len(self.column) + count > LARGEST:
            raise UnreadableFile(f"The trees need more than {LARGEST} tests.")

    def root(self, ref: Ref) -> None:
        """A tree that is a leaf alone becomes a test with two ways to it."""
        if ref < 0:
            at = self.node(0, LEQ, math.inf, False)
            self.true[at] = self.false[at] = ref
            ref = at
        self.roots.append(ref)


class Grower:
    """Turns one TreeModel into tests. Its leaves are rows: indices into `nodes`, -1 for no prediction."""

    def __init__(
        self, model: Element, features: Features, arrays: Arrays, tree: int, counted: bool = False
    ) -> None:
        self.features, self.arrays, self.tree = features, arrays, tree
        self.strategy = model.get("missingValueStrategy", "none")
        self.last = model.get("noTrueChildStrategy", "returnNullPrediction") == "returnLastPrediction"
        self.counted = counted
        self.rows: dict[tuple[Any, int], int] = {}
        self.nodes: list[tuple[Element | None, int]] = []

    def grow(self, root: Element) -> None:
        """The whole tree; its root's own predicate is tested first."""
        tree = None if self.counted else read_binary_tree(root, self.features)
        if tree is not None:
            self._grow_binary(tree)
            return
        if root.tag == FOLDED:
            self.grow(unfold(root))
            return
        predicate = predicate_of(root)
        known: frozenset[int] = frozenset()
        if predicate.tag == "True":
            ref = self._grow_node(root, known, 0)
        else:
            ref = self._test(
                predicate, known, lambda k: self._grow_node(root, k, 0), lambda k: self._leaf(None, 0), None
            )
        self.arrays.root(ref)

    def _leaf(self, node: Element | None, missed: int) -> Ref:
        key = (node, missed if self.counted else 0)
        if key not in self.rows:
            self.rows[key] = len(self.nodes)
            self.nodes.append(key)
        return self.arrays.leaf(self.tree, self.rows[key])

    def _grow_node(self, node: Element, known: frozenset[int], missed: int) -> Ref:
        below = list(node.iterchildren("Node"))
        return self._choose(node, below, 0, known, missed) if below else self._leaf(node, missed)

    def _grow_binary(self, tree: BinaryTree) -> None:
        """A tree of thresholds. Where a missing value goes neither way of a test, the opposite test tells it
        apart."""
        arrays, count = self.arrays, len(tree.splits)
        to_first, to_second = self._missing_ways(tree)
        sure = np.isin(tree.column, list(self.features.present)) | tree.known(to_first, to_second)
        apart, alone = ~(to_first | to_second | sure), tree.second == NONE
        arrays.reserve(count + int(apart.sum()))
        refs = np.empty(len(tree.nodes) + 1, np.int64)
        refs[tree.splits] = len(arrays.column) + np.arange(count) + np.cumsum(apart) - apart
        leaves = np.delete(np.arange(len(tree.nodes)), tree.splits)
        refs[leaves] = self._add_leaves([tree.nodes[i] for i in leaves.tolist()])
        otherwise, missing = refs[tree.second], np.zeros(count, np.int64)
        keeps = self.strategy == "lastPrediction" or (self.last and self.strategy != "nullPrediction")
        for mask, refs_of, kept in ((alone, otherwise, self.last), (apart, missing, keeps)):
            fallback = [tree.nodes[i] if kept else None for i in tree.splits[mask].tolist()]
            refs_of[mask] = self._add_leaves(fallback)
        tests = np.repeat(np.arange(count), 1 + apart)
        again = np.flatnonzero(np.diff(tests, prepend=-1) == 0)
        modes, true, false = tree.mode[tests], refs[tree.first][tests], otherwise[tests]
        modes[again], true[again] = OPPOSITE_MODES[modes[again]], otherwise[apart]
        false[again], false[again - 1] = missing[apart], again + len(arrays.column)
        arrays.roots.append(len(arrays.column))
        for entries, added in (
            (arrays.column, tree.column[tests]),
            (arrays.mode, modes),
            (arrays.split, tree.threshold[tests]),
            (arrays.tracks, to_first[tests].astype(np.int64)),
            (arrays.true, true),
            (arrays.false, false),
        ):
            entries.frombytes(added.tobytes())

    def _missing_ways(self, tree: BinaryTree) -> tuple[np.ndarray, np.ndarray]:
        """Masks of the splits whose missing values go on as if the test had passed, and as if it had not."""
        none = np.zeros(len(tree.splits), bool)
        if self.strategy == "defaultChild":
            names = [tree.nodes[i].get("defaultChild") for i in tree.splits.tolist()]
            first, second = (
                np.array([n is not None and n == i for n, i in zip(names, tree.ids(c.tolist()), strict=True)])
                for c in (tree.first, tree.second)
            )
            return first, second & ~first
        return none, none if self.strategy in ASKING else tree.rest | (tree.second == NONE)

    def _add_leaves(self, nodes: list[Element | None]) -> np.ndarray:
        """References to new leaves of these nodes, of a row each."""
        start = len(self.arrays.leaf_rows)
        self.arrays.leaf_trees.extend([self.tree] * len(nodes))
        self.arrays.leaf_rows.extend(range(len(self.nodes), len(self.nodes) + len(nodes)))
        self.nodes += [(node, 0) for node in nodes]
        return ~np.arange(start, start + len(nodes))

    def _choose(
        self,
        node: Element,
        below: list[Element],
        at: int,
        known: frozenset[int],
        missed: int,
        tried: Any = None,
    ) -> Ref:
        """The first child from `at` on whose predicate is true."""
        if at == len(below):
            return self._leaf(node if self.last else None, missed)
        chosen = below[at]
        predicate = predicate_of(chosen)
        if predicate.tag == "True" or self._is_implied(tried, predicate, known):
            return self._grow_node(chosen, known, missed)
        if predicate.tag == "False":
            return self._choose(node, below, at + 1, known, missed)
        return self._test(
            predicate,
            known,
            lambda k: self._grow_reached(chosen, predicate, k, missed),
            lambda k: self._choose(node, below, at + 1, k, missed, predicate),
            self._unknown(node, below, chosen, missed),
        )

    def _grow_reached(self, chosen: Element, predicate: Element, known: frozenset[int], missed: int) -> Ref:
        """A child whose predicate is true; where it took a surrogate to say so, a penalty counts."""
        surrogate = predicate.get("booleanOperator") == "surrogate"
        if not (self.counted and surrogate):
            return self._grow_node(chosen, known, missed)
        at = self.arrays.node(self.features.test(predicate[0]), LEQ, math.inf, False)
        self.arrays.true[at] = self._grow_node(chosen, known, missed)
        self.arrays.false[at] = self._grow_node(chosen, known, missed + 1)
        return at

    def _is_implied(self, tried: Any, predicate: Element, known: frozenset[int]) -> bool:
        """True if a predicate is the opposite of the one that was just false, on a value that is present."""
        if tried is None or tried.tag != "SimplePredicate" or predicate.tag != "SimplePredicate":
            return False
        if OPPOSITE.get(tried.get("operator")) != predicate.get("operator"):
            return False
        if tried.get("field") != predicate.get("field") or tried.get("value") != predicate.get("value"):
            return False
        column = self.features.field_column(predicate.get("field"))
        return column is not None and (column in known or column in self.features.present)

    def _unknown(self, node: Element, below: list[Element], chosen: Element, missed: int) -> Any:
        """Continuation after an unknown predicate; None where unknown counts as false."""
        if self.strategy == "lastPrediction":
            return lambda k: self._leaf(node, missed)
        if self.strategy == "nullPrediction":
            return lambda k: self._leaf(None, missed)
        if self.strategy == "defaultChild":
            name = node.get("defaultChild")
            child_node = next((b for b in below if b.get("id") == name and name is not None), None)
            if child_node is None:
                return lambda k: self._leaf(node if self.last else None, missed)
            return lambda k: self._grow_node(child_node, k, missed + 1)
        return None

    def _test(self, predicate: Element, known: frozenset[int], true: Any, false: Any, unknown: Any) -> Ref:
        compared = self._compared_or_missing(predicate)
        if compared is not None:
            column, mode, split, swapped, _ = self._compile(compared)
            after = known | {column}
            if swapped:
                return self._branch(column, mode, split, False, false, true, after, known)
            return self._branch(column, mode, split, True, true, false, known, after)
        column, mode, split, swapped, missing = self._compile(predicate)
        sure = column in known or column in self.features.present
        if missing:
            first, second = (true, false) if swapped else (false, true)
            return self._branch(column, LEQ, math.inf, False, first, second, known | {column}, known)
        if unknown is not None and not sure:
            at = self.arrays.node(column, LEQ, math.inf, False)
            self.arrays.true[at] = self._test(predicate, known | {column}, true, false, None)
            self.arrays.false[at] = unknown(known)
            return at
        first, second = (false, true) if swapped else (true, false)
        after = known | {column}
        return self._branch(
            column,
            mode,
            split,
            swapped and not sure,
            first,
            second,
            after if not swapped or sure else known,
            after if swapped or sure else known,
        )

    def _branch(
        self,
        column: int,
        mode: int,
        split: float,
        tracks: bool,
        first: Any,
        second: Any,
        k1: frozenset[int],
        k2: frozenset[int],
    ) -> Ref:
        at = self.arrays.node(column, mode, split, tracks)
        self.arrays.true[at] = first(k1)
        self.arrays.false[at] = second(k2)
        return at

    def _compared_or_missing(self, node: Element) -> Element | None:
        """The comparison of a number where a predicate says no more than that, or that the number is
        missing."""
        if node.get("booleanOperator") != "or" or [part.tag for part in node] != ["SimplePredicate"] * 2:
            return None
        first, second = sorted(node, key=lambda part: part.get("operator") != "isMissing")
        if first.get("operator") != "isMissing" or second.get("operator") in ("isMissing", "isNotMissing"):
            return None
        same = first.get("field") == second.get("field")
        return second if same and self.features.field_column(text(first, "field")) is not None else None

    def _compile(self, node: Element) -> tuple[int, int, float, bool, bool]:
        """Column, mode, split, whether true and false are swapped, whether it tests for missing."""
        if node.tag == "SimplePredicate":
            operator, column = text(node, "operator"), self.features.field_column(text(node, "field"))
            if column is not None:
                if operator in ("isMissing", "isNotMissing"):
                    return column, LEQ, math.inf, operator == "isNotMissing", True
                split = parse(text(node, "value"), "double")
                if column in self.features.floats:
                    split = float(np.float32(split))
                if operator == "notEqual":
                    return column, MODES["equal"], split, True, False
                if operator not in MODES:
                    raise UnreadableFile(f"{describe(node)}: the operator {operator!r} is unknown.")
                return column, MODES[operator], split, False, False
        return self.features.test(node), GEQ, 0.5, False, False


def ensemble(
    columns: Columns, features: Features, arrays: Arrays, targets: np.ndarray, weights: np.ndarray, count: int
) -> ir.Value:
    """Sums of leaf weights by target, double [N, count].

    `targets` and `weights` [leaves, k] say what each leaf adds; a leaf of several targets is copied by the
    caller.
    """
    matrix = features.concat_columns()
    order = np.array([features.order.get(c, 0) for c in range(max(features.order) + 1)])
    ways = {"true": np.array(arrays.true, np.int64), "false": np.array(arrays.false, np.int64)}
    integers = {
        "tree_roots": np.array(arrays.roots),
        "nodes_featureids": order[arrays.column],
        "leaf_targetids": targets,
    }
    for way, refs in ways.items():
        integers[f"nodes_{way}nodeids"] = np.where(refs < 0, ~refs, refs)
        integers[f"nodes_{way}leafs"] = (refs < 0).astype(np.int64)
    if any(arrays.tracks):
        integers["nodes_missing_value_tracks_true"] = np.array(arrays.tracks)
    return columns.op.node(
        "TreeEnsemble",
        matrix,
        _domain=ML,
        _dtype=DOUBLE,
        _shape=["N", count],
        aggregate_function=1,
        post_transform=0,
        n_targets=count,
        nodes_modes=ir.tensor(np.array(arrays.mode, np.uint8)),
        nodes_splits=ir.tensor(np.array(arrays.split)),
        leaf_weights=ir.tensor(weights),
        **integers,
    )


@dataclass(frozen=True)
class Leaf:
    """Prediction of a PMML node: its score as written, and per class its probability, confidence, record
    count."""

    score: str | None
    id: str
    counts: dict[str, float]
    probabilities: dict[str, float]
    confidences: dict[str, float]
    records: float

    @classmethod
    def of(cls, node: Element | dict[str, str]) -> Leaf:
        distribution = [] if isinstance(node, dict) else list(node.iterchildren("ScoreDistribution"))
        counts = _record_counts(distribution)
        total = sum(counts.values())
        probabilities = {v: c / total if total else math.nan for v, c in counts.items()}
        confidences = probabilities
        if any(d.get(a) is not None for a in ("probability", "confidence") for d in distribution):
            written = {d.get("value"): optional(d, "probability") for d in distribution}
            probabilities = {v: probabilities[v] if p is None else p for v, p in written.items()}
            sure = {d.get("value"): optional(d, "confidence") for d in distribution}
            confidences = {v: probabilities[v] if c is None else c for v, c in sure.items()}
        score = node.get("score")
        if score is None and distribution:
            score = max(counts, key=lambda v: counts[v] if counts[v] == counts[v] else probabilities[v])
        records = number(node, "recordCount", math.nan)
        return cls(score, node.get("id", ""), counts, probabilities, confidences, records)


def _record_counts(distribution: list[Element]) -> dict[str, float]:
    """The record counts of score distributions by value, NaN where there is none."""
    try:
        return {d.attrib["value"]: float(d.attrib["recordCount"]) for d in distribution}
    except (KeyError, ValueError):
        return {text(d, "value"): number(d, "recordCount", math.nan) for d in distribution}


def root_of(model: Element) -> Element:
    root = child(model, "Node", FOLDED)
    if root is None:
        raise UnreadableFile(f"{describe(model)} has no Node.")
    return root
