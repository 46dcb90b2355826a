"""LightGBM's text, from a file or a model in memory → hub, in double as LightGBM computes."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import facts, hub
from bridge.classical.trees import LEQ, MEMBER, Nodes, Tests, Trees
from bridge.errors import UnreadableFile
from bridge.formats import Importer, Option, flag
from bridge_boosters import links
from bridge_boosters.checks import check_predictions
from bridge_boosters.graphs import (
    Columns,
    Outputs,
    both_shares,
    finish_model,
    label_of,
    missing_where,
    reading,
    start_graph,
    truncated,
    unsupported,
)
from bridge_boosters.sessions import LibrarySession

VERSIONS = ("v2", "v3", "v4")
ZERO = float(np.float32(1e-35))
"""The largest number that is 0 to LightGBM."""
BELOW_ZERO = math.nextafter(-ZERO, -math.inf)
CATEGORICAL, DEFAULT_LEFT = 1, 2
NO_MISSING, ZERO_MISSING, NAN_MISSING = range(3)
REGRESSION = ("regression", "regression_l1", "huber", "fair", "quantile", "mape")
LOGARITHMIC = ("poisson", "gamma", "tweedie")
RANKS = ("lambdarank", "rank_xendcg")
ROOTED = "sqrt"


def link_of(objective: list[str]) -> links.Link:
    """The function that a line such as `binary sigmoid:1` stands for. Raises UnsupportedModel."""
    name, settings = objective[0] if objective else "", objective[1:]
    named = dict(s.split(":", 1) for s in settings if ":" in s)
    if name in REGRESSION:
        return links.signed_square if ROOTED in settings else links.identity
    if name in LOGARITHMIC:
        return links.exponential
    if name in ("binary", "multiclassova"):
        return links.logistic(float(named["sigmoid"]))
    if name in RANKS or not name or name == "custom":
        return links.identity
    if name == "multiclass":
        return links.softmax
    if name in ("cross_entropy", "xentropy"):
        return links.logistic()
    if name in ("cross_entropy_lambda", "xentlambda"):
        return links.softplus
    raise unsupported("LightGBM", name, "is no objective that is known")


@dataclass
class Tree:
    """A tree as its lines say: tests are numbered from 0, leaves from -1 downwards."""

    entries: dict[str, str]
    leaves: int = field(init=False)
    tests: int = field(init=False)

    def __post_init__(self) -> None:
        self.leaves = int(self.entries["num_leaves"])
        self.tests = max(0, self.leaves - 1)

    def numbers(self, key: str, kind: type = int) -> list[Any]:
        """The numbers of an entry; none where it is not there."""
        return list(map(kind, self.entries.get(key, "").split()))

    def sized(self, key: str, count: int, kind: type = int) -> list[Any]:
        """The numbers of an entry. Raises ValueError unless there are `count` of them."""
        numbers = self.numbers(key, kind)
        if len(numbers) != count:
            raise ValueError(f"{len(numbers)} numbers stand in {key}, not {count}")
        return numbers

    @property
    def values(self) -> list[float]:
        """The value of each leaf."""
        return self.sized("leaf_value", self.leaves, float)

    @property
    def is_linear(self) -> bool:
        return self.entries.get("is_linear", "0") == "1"

    def bitset(self, index: int) -> list[int]:
        """The categories of one test."""
        bounds, words = self.numbers("cat_boundaries"), self.numbers("cat_threshold")
        if not 0 <= index < len(bounds) - 1 or not 0 <= bounds[index] <= bounds[index + 1] <= len(words):
            raise ValueError(f"the categories of set {index} are not there")
        part = words[bounds[index] : bounds[index + 1]]
        return [32 * at + bit for at, word in enumerate(part) for bit in range(32) if word >> bit & 1]


@dataclass(frozen=True)
class LightgbmModel:
    """The parts of a text; `per_round` trees are grown at once, one for each of the K sums."""

    version: str
    objective: list[str]
    per_round: int
    features: int
    names: list[str]
    is_averaged: bool
    trees: list[Tree]

    @classmethod
    def of(cls, text: str) -> LightgbmModel:
        """Raises UnreadableFile, UnsupportedModel, ValueError."""
        if not text.startswith("tree"):
            raise UnreadableFile(
                "The text is no model of LightGBM: it does not begin with `tree`.",
                "Save one with booster.save_model('model.txt').",
            )
        head, *blocks = text.split("\nTree=")
        if "\nend of trees" not in text:
            raise UnreadableFile("The text has no `end of trees`.", "Is the file complete?")
        entries = entries_of(head)
        if entries.get("version", "v2") not in VERSIONS:
            known = ", ".join(VERSIONS)
            raise unsupported(
                "LightGBM", "version", f"{entries['version']} is none of {known}, which are known"
            )
        trees = [Tree(entries_of(block.split("\nend of trees")[0])) for block in blocks]
        if "tree_sizes" in entries and len(entries["tree_sizes"].split()) != len(trees):
            raise ValueError(f"{len(trees)} trees are there, not {len(entries['tree_sizes'].split())}")
        features = int(entries["max_feature_idx"]) + 1
        names = entries.get("feature_names", "").split(" ")
        generic = [f"Column_{i}" for i in range(len(names))]
        return cls(
            entries.get("version", "v2"),
            entries.get("objective", "").split(),
            int(entries.get("num_tree_per_iteration", entries["num_class"])),
            features,
            names if len(names) == features and names != generic else [],
            any(line.strip() == "average_output" for line in head.splitlines()),
            trees,
        )

    @property
    def rounds(self) -> int:
        return len(self.trees) // self.per_round


def entries_of(block: str) -> dict[str, str]:
    """The lines `key=value` of a block."""
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def zero_is_missing(op: Any, x: ir.Value) -> ir.Value:
    return missing_where(op, op.LessOrEqual(op.Abs(x), op.const(np.array(ZERO))), x)


def parting(thresholds: np.ndarray) -> np.ndarray:
    """The thresholds that part numbers as these part them when what is near 0 is 0."""
    below = np.where((thresholds >= -ZERO) & (thresholds < 0), BELOW_ZERO, thresholds)
    return np.where((thresholds >= 0) & (thresholds < ZERO), ZERO, below)


def of_tests(trees: list[Tree], key: str, kind: type = int) -> np.ndarray:
    """An entry of the tests of trees, int64 or double, [tests]. Raises ValueError as `sized` does."""
    numbers = [number for tree in trees if tree.tests for number in tree.sized(key, tree.tests, kind)]
    return np.array(numbers, np.int64 if kind is int else np.float64)


def nodes_of(trees: list[Tree]) -> tuple[Nodes, np.ndarray]:
    """The nodes of trees, in each of which leaves are numbered behind tests; and the test of each, counted
    through, -1 of a leaf."""
    children = [of_tests(trees, f"{side}_child") for side in ("left", "right")]
    tests, leaves = (np.array([getattr(tree, of) for tree in trees], np.int64) for of in ("tests", "leaves"))
    sizes = tests + leaves
    inner = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes) < np.repeat(tests, sizes)
    sides = []
    for child in children:
        if (child < -np.repeat(leaves, tests)).any():
            raise ValueError("a tree leads to a leaf that is not there")
        side = np.full(sizes.sum(), -1)
        side[inner] = np.where(child >= 0, child, np.repeat(tests, tests) - 1 - child)
        sides.append(side)
    number = np.full(sizes.sum(), -1)
    number[inner] = np.arange(tests.sum())
    return Nodes.of(sizes, *sides), number


def tests_of(trees: list[Tree], columns: Columns, order: np.ndarray) -> Tests:
    """These of all tests of trees; the true side is the left one. `decision_type` says whether a test is of
    categories, where missing values go, and which those are."""
    kinds, places = of_tests(trees, "decision_type")[order], of_tests(trees, "split_feature")[order]
    columns.require(places)
    thresholds = of_tests(trees, "threshold", float)[order]
    of_sets, missing = kinds & CATEGORICAL != 0, kinds >> 2 & 3
    if (missing[~of_sets] > NAN_MISSING).any():
        raise ValueError(f"{missing.max()} is no kind of missing values")
    if np.isnan(thresholds).any():
        raise ValueError("a threshold is no number")
    owners = np.repeat(np.arange(len(trees)), [tree.tests for tree in trees])[order]
    members: list[Collection[float]] = []
    for at in np.flatnonzero(of_sets | (missing == ZERO_MISSING)).tolist():
        if of_sets[at]:
            members.append(trees[owners[at]].bitset(int(thresholds[at])))
            places[at] = columns.of_categories(int(places[at]), truncated, members[-1])
        else:
            places[at] = columns.at(int(places[at]), zero_is_missing)
    tracks = np.where(missing == NO_MISSING, thresholds >= 0, kinds & DEFAULT_LEFT != 0)
    modes, splits = np.where(of_sets, MEMBER, LEQ), np.where(of_sets, 0.0, parting(thresholds))
    return Tests(places, modes, splits, tracks & ~of_sets, np.zeros(len(order), bool), members)


def grow(
    trees: Trees, columns: Columns, grown: list[Tree], values: list[list[float]], targets: list[int]
) -> None:
    """Add trees; `values` are those of the leaves of each, `targets` the sums they count for."""
    nodes, number = nodes_of(grown)
    leaf = np.zeros(len(number))
    leaf[number < 0] = np.concatenate(values)
    sizes = [tree.tests + tree.leaves for tree in grown]
    tests = tests_of(grown, columns, number[nodes.tests])
    trees.grow(nodes, tests, leaf, np.repeat(targets, sizes))


def sums(op: hub.Builder, model: LightgbmModel, x: ir.Value, columns: Columns) -> ir.Value:
    """Sums of the trees, [N, K]."""
    if model.per_round < 1 or len(model.trees) % model.per_round:
        raise ValueError(f"{len(model.trees)} trees are not {model.per_round} for each round")
    if any(tree.is_linear for tree in model.trees):
        total = linear_sums(op, model, x, columns)
    else:
        trees = Trees(model.per_round)
        if model.trees:
            targets = [index % model.per_round for index in range(len(model.trees))]
            grow(trees, columns, model.trees, [tree.values for tree in model.trees], targets)
        total = trees.build(op, columns.gather(op, x, trees))
    return total


def linear_sums(op: hub.Builder, model: LightgbmModel, x: ir.Value, columns: Columns) -> ir.Value:
    """Sums of the linear models of the leaves that trees end in.

    One TreeEnsemble gives the leaf of each tree, numbered through all of them; what each leaf reads stands in
    tables of a row per leaf, filled up with a column of zeros.
    """
    trees = Trees(len(model.trees))
    leaves: list[LinearLeaf] = []
    numbers: list[list[float]] = []
    for tree in model.trees:
        first = len(leaves)
        leaves += linear_leaves(tree, model.features)
        numbers.append([float(n) for n in range(first, len(leaves))])
    grow(trees, columns, model.trees, numbers, list(range(len(model.trees))))
    width = max(1, *(len(leaf.columns) for leaf in leaves))
    read, weights = np.full((len(leaves), width), model.features), np.zeros((len(leaves), width))
    for row, leaf in enumerate(leaves):
        read[row, : len(leaf.columns)], weights[row, : len(leaf.columns)] = leaf.columns, leaf.weights
    reached = op.Cast(trees.build(op, columns.gather(op, x, trees)), to=int(ir.DataType.INT64))
    rows = op.Shape(x, start=0, end=1)
    zeros = op.Expand(op.const(np.zeros((1, 1))), op.Concat(rows, np.array([1]), axis=0))
    flat = op.Reshape(op.Gather(op.const(read), reached, axis=0), np.array([0, -1]))
    values = op.GatherElements(op.Concat(x, zeros, axis=1), flat, axis=1)
    values = op.Reshape(values, np.array([0, len(model.trees), width]))
    terms = op.Mul(values, op.Gather(op.const(weights), reached, axis=0))
    linear = op.Add(
        op.ReduceSum(terms, [2], keepdims=0), of_leaves(op, reached, [leaf.offset for leaf in leaves])
    )
    gaps = op.ReduceMax(op.Cast(op.IsNaN(values), to=int(ir.DataType.INT32)), [2], keepdims=0)
    plain = of_leaves(op, reached, [leaf.value for leaf in leaves])
    given = op.Where(op.Greater(gaps, 0), plain, linear)
    return op.ReduceSum(op.Reshape(given, np.array([0, model.rounds, model.per_round])), [1], keepdims=0)


def of_leaves(op: hub.Builder, reached: ir.Value, numbers: list[float]) -> ir.Value:
    """A number of each leaf that is reached."""
    return op.Gather(op.const(np.array(numbers, np.float64)), reached, axis=0)


@dataclass(frozen=True)
class LinearLeaf:
    """A leaf: weighted columns and an offset; `value` where one of the columns is missing."""

    columns: list[int]
    weights: list[float]
    offset: float
    value: float


def linear_leaves(tree: Tree, features: int) -> Iterator[LinearLeaf]:
    """Leaves of a tree; one that is not linear has its value for an offset."""
    values = tree.values
    if not tree.is_linear:
        yield from (LinearLeaf([], [], value, value) for value in values)
        return
    counts = tree.sized("num_features", tree.leaves)
    offsets = tree.sized("leaf_const", tree.leaves, float)
    columns = tree.sized("leaf_features", sum(counts))
    weights = tree.sized("leaf_coeff", sum(counts), float)
    if not np.isfinite([*offsets, *weights, *values]).all():
        raise ValueError("a leaf is not finite")
    if columns and not 0 <= min(columns) <= max(columns) < features:
        raise ValueError("a leaf reads a column that is not there")
    at = 0
    for count, offset, value in zip(counts, offsets, values, strict=True):
        if count < 0:
            raise ValueError(f"a leaf reads {count} columns")
        yield LinearLeaf(columns[at : at + count], weights[at : at + count], offset, value)
        at += count


def build(text: str, source: Any = None, raw_score: bool = False) -> tuple[ir.Model, Columns]:
    """The hub model of a text as `source`, a live estimator or None for a Booster, predicts with it, and the
    columns that its tests read; of its sums alone with `raw_score`."""
    model = LightgbmModel.of(text)
    op, x = start_graph("LightGBM", model.features, ir.DataType.DOUBLE)
    columns = Columns(model.features)
    total = sums(op, model, x, columns)
    # LightGBM divides the sums of a forest where it gives no raw score
    mean = (
        op.Div(total, float(model.rounds)) if model.is_averaged and model.rounds and not raw_score else total
    )
    outputs = {"variable": mean} if raw_score else answers(op, link_of(model.objective)(op, mean), source)
    hub_model = finish_model(op, outputs, model.names, "lightgbm")
    facts.VERSION.set(hub_model, model.version)
    if "\npandas_categorical:[[" in text:
        hub.note(
            hub_model, ["categories are read as their codes, which `pandas_categorical` lists in the model"]
        )
    return hub_model, columns


def answers(op: hub.Builder, predicted: ir.Value, source: Any) -> Outputs:
    """`variable` as a Booster, a regressor or a ranker predicts; `label` and `probabilities` of a
    classifier."""
    if source is None or not hasattr(source, "classes_") or callable(source.objective_):
        return {"variable": predicted}
    width = predicted.shape[-1] if predicted.shape is not None else None
    shares = both_shares(op, predicted) if width == 1 else predicted
    index = op.ArgMax(shares, axis=1, keepdims=0)
    return {"label": label_of(op, source.classes_, index), "probabilities": shares}


def load(src: Any, raw_score: bool = False) -> ir.Model:
    """A file or a fitted model as a hub model: input `X`, double [N, F].

    A Booster and a file give `variable`, [N, K], as `Booster.predict` does; a classifier `label` and
    `probabilities`. Raises UnreadableFile, UnsupportedModel.
    """
    if isinstance(src, (str, Path)):
        with reading(Path(src), "LightGBM"):
            return build(Path(src).read_text("utf-8"), None, raw_score)[0]
    is_booster = not hasattr(src, "booster_")
    if not is_booster and src.get_params().get("pred_early_stop"):
        raise unsupported("LightGBM", "pred_early_stop", "leaves out trees for some records")
    booster = src if is_booster else src.booster_
    model, columns = build(booster.model_to_string(), None if is_booster else src, raw_score)
    facts.ESTIMATOR.set(model, type(src).__name__)
    check_predictions(model, src, columns.known, raw_score=raw_score)
    return model


RAW = Option("raw_score", "whether sums are given, before the function of the objective", False, flag)
importer = Importer(load, (RAW,), live=LibrarySession)
