"""Classical models (domain ai.onnx.ml) as tensor operators."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import facts
from bridge.classical.trees import LEAF, MODES, node_keys
from bridge.dims import lengths, vector
from bridge.hub import attr, integers, rank_of, strings
from bridge.needs import condition, dtype
from bridge.ops import OpTable

ops = OpTable()

ML = "ai.onnx.ml"
SHALLOW = 4
COMPARED = {
    "BRANCH_LEQ": "LessOrEqual",
    "BRANCH_LT": "Less",
    "BRANCH_GTE": "GreaterOrEqual",
    "BRANCH_GT": "Greater",
    "BRANCH_EQ": "Equal",
}
MATRIX = condition("rows of float32", lambda n: rank_of(n.inputs[0]) == 2)


def numbers(node: ir.Node, name: str) -> np.ndarray:
    """An attribute of numbers: doubles where a tensor of them stands in its place, else floats; empty when
    absent."""
    tensor = attr(node, f"{name}_as_tensor")
    return tensor.numpy() if tensor is not None else np.array(attr(node, name) or [], np.float32)


@dataclass(frozen=True)
class Forest:
    """Every node of every tree, numbered through; a leaf leads to itself. `keys` are the numbers of tree and
    node that an operator names each by."""

    roots: np.ndarray
    feature: np.ndarray
    value: np.ndarray
    mode: list[str]
    true: np.ndarray
    false: np.ndarray
    tracks: np.ndarray
    keys: np.ndarray
    members: np.ndarray | None = None

    @classmethod
    def of(cls, node: ir.Node) -> Forest:
        trees = integers(node, "nodes_treeids")
        keys = node_keys(trees, integers(node, "nodes_nodeids"))
        modes = [str(m) for m in attr(node, "nodes_modes")]
        inner, leads = np.array([m != LEAF for m in modes]), []
        for name in ("nodes_truenodeids", "nodes_falsenodeids"):
            side = np.arange(len(trees))
            side[inner] = places(keys, node_keys(trees, integers(node, name))[inner])
            leads.append(side)
        missing = integers(node, "nodes_missing_value_tracks_true").astype(bool)
        return cls(
            np.unique(trees, return_index=True)[1],
            integers(node, "nodes_featureids"),
            numbers(node, "nodes_values"),
            modes,
            leads[0],
            leads[1],
            missing if len(missing) else np.zeros(len(trees), bool),
            keys,
        )

    @property
    def ids(self) -> list[int]:
        """The numbers of nodes in their trees."""
        return (self.keys & (2**32 - 1)).tolist()  # type: ignore[no-any-return]

    @functools.cached_property
    def depth(self) -> int:
        """Steps from the roots to the deepest leaf."""
        level, steps = self.roots, 0
        while len(level := level[self.true[level] != level]):
            level = np.concatenate([self.true[level], self.false[level]])
            steps += 1
        return steps

    def leaves(self, op: Any, x: ir.Value) -> ir.Value:
        """The leaf every row ends in, [rows, trees]: by products for trees so small that this costs less than
        a walk."""
        return self.selected(op, x) if self.shallow else self.walked(op, x)

    @property
    def shallow(self) -> bool:
        """True if all tests at once, and a product of tests with paths, cost less than `depth` rounds of
        gathering.

        Measured in LiteRT, torch and ONNX Runtime by `benchmarks/forest_expansion.py`.
        """
        return self.depth <= SHALLOW and len(self.value) < 2**24

    def paths(self) -> list[tuple[list[int], list[tuple[int, dict[int, int]]]]]:
        """Per tree its tests, and its leaves with the way each test on their path goes: 1 where it holds, -1
        where not."""
        paths = []
        for root in self.roots.tolist():
            tests: list[int] = []
            leaves: list[tuple[int, dict[int, int]]] = []
            pending: list[tuple[int, dict[int, int]]] = [(root, {})]
            while pending:
                index, path = pending.pop()
                if self.true[index] == index:
                    leaves.append((index, path))
                    continue
                tests.append(index)
                pending += [
                    (int(self.true[index]), {**path, index: 1}),
                    (int(self.false[index]), {**path, index: -1}),
                ]
            paths.append((tests, leaves))
        return paths

    def selected(self, op: Any, x: ir.Value) -> ir.Value:
        """Every test of every tree, then the leaf whose path they agree with, by matrix products.

        Trees are padded to as many tests and leaves; tests are 1 and 0, so a path of p tests that hold adds
        up to p alone.
        """
        paths = self.paths()
        test_count = max(1, *(len(t) for t, _ in paths))
        leaf_count = max(len(e) for _, e in paths)
        tests = np.zeros((len(paths), test_count), np.int64)
        along = np.zeros((len(paths), leaf_count, test_count), np.float32)
        needed = np.full((len(paths), leaf_count, 1), -1.0 - test_count, np.float32)
        ids = np.zeros((len(paths), 1, leaf_count), np.float32)
        for tree, (own, leaves) in enumerate(paths):
            tests[tree, : len(own)] = own
            for row, (leaf, path) in enumerate(leaves):
                for node, side in path.items():
                    along[tree, row, own.index(node)] = side
                needed[tree, row], ids[tree, 0, row] = sum(s for s in path.values() if s > 0), leaf
        flat = tests.ravel()
        read = op.Gather(op.Transpose(x, perm=[1, 0]), op.const(self.feature[flat]), axis=0)
        held = {name: op.const(array[flat][:, None]) for name, array in self.tests.items()}
        turn = op.Cast(self._turn(op, read, held), to=1)
        turn = op.Reshape(turn, op.const(np.array([len(paths), test_count, -1])))
        hit = op.Cast(op.Equal(op.MatMul(op.const(along), turn), op.const(needed)), to=1)
        leaf = op.Squeeze(op.MatMul(op.const(ids), hit), [1])
        return op.Cast(op.Transpose(leaf, perm=[1, 0]), to=7)

    def walked(self, op: Any, x: ir.Value) -> ir.Value:
        """All trees walked a step at a time."""
        rows = lengths(op, x)[0]
        at = op.Expand(op.const(self.roots[None]), vector(op, [rows, len(self.roots)]))
        feature, left, right = (op.const(array) for array in (self.feature, self.true, self.false))
        tests = {name: op.const(array) for name, array in self.tests.items()}
        for _ in range(self.depth):
            read = op.GatherElements(x, op.Gather(feature, at, axis=0), axis=1)
            held = {name: op.Gather(array, at, axis=0) for name, array in tests.items()}
            turn = self._turn(op, read, held)
            at = op.Where(turn, op.Gather(left, at, axis=0), op.Gather(right, at, axis=0))
        return at

    @functools.cached_property
    def tests(self) -> dict[str, np.ndarray]:
        """Arrays a test reads of its node: the threshold or set, which of several modes is its own, where a
        missing value leads."""
        modes = sorted({*self.mode} - {LEAF})
        own = {mode: np.array([m == mode for m in self.mode]) for mode in modes[1:]}
        tracks = {"tracks": self.tracks} if self.tracks.any() else {}
        members = {"members": self.members} if self.members is not None else {}
        return {"value": self.value, **members, **own, **tracks}

    def _turn(self, op: Any, read: ir.Value, held: dict[str, ir.Value]) -> ir.Value:
        """Mask of the nodes whose tests hold; `held` are `tests` of the nodes that are tested."""
        bound, turn = held["value"], None
        for mode in sorted({*self.mode} - {LEAF}):
            equal = op.Equal(read, bound)
            if mode == "BRANCH_MEMBER":
                hits = op.Cast(op.Equal(op.Unsqueeze(read, [2]), held["members"]), to=6)
                equal = op.Greater(op.ReduceMax(hits, [2], keepdims=0), 0)
            passed = (
                equal
                if mode in ("BRANCH_MEMBER", "BRANCH_EQ")
                else op.Not(equal)
                if mode == "BRANCH_NEQ"
                else op.node(COMPARED[mode], read, bound)
            )
            turn = passed if turn is None else op.Where(held[mode], passed, turn)
        if "tracks" in held:
            turn = op.Or(turn, op.And(op.IsNaN(read), held["tracks"]))
        return turn  # type: ignore[return-value]

    def weights(self, node: ir.Node, prefix: str, count: int, initial: float) -> np.ndarray:
        """Weights of each leaf for each target (`prefix` "target") or class ("class"): [nodes, count]."""
        weights = numbers(node, f"{prefix}_weights")
        named = node_keys(attr(node, f"{prefix}_treeids"), attr(node, f"{prefix}_nodeids"))
        at = places(self.keys, named), np.array(attr(node, f"{prefix}_ids"), np.int64)
        table = np.full((len(self.feature), count), initial, weights.dtype)
        table[at] = 0.0
        np.add.at(table, at, weights)
        return table


def places(keys: np.ndarray, named: np.ndarray) -> np.ndarray:
    """The index of each named key among `keys`, which has them all."""
    order = np.argsort(keys, kind="stable")
    return order[np.searchsorted(keys, named, sorter=order)]  # type: ignore[no-any-return]


POSTS = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT")
FLOATS = condition("no double thresholds", lambda n: "nodes_values_as_tensor" not in n.attributes)


def post_transformed(op: Any, node: ir.Node, scores: ir.Value) -> ir.Value:
    """Scores after the operator's post_transform, as ONNX Runtime computes it."""
    post_transform = attr(node, "post_transform")
    if post_transform == "LOGISTIC":
        return op.Sigmoid(scores)
    if post_transform == "SOFTMAX":
        return op.Softmax(scores, axis=-1)
    return (
        {"SOFTMAX_ZERO": softmax_zero, "PROBIT": probit}[post_transform](op, scores)
        if post_transform != "NONE"
        else scores
    )


def softmax_zero(op: Any, scores: ir.Value) -> ir.Value:
    """Softmax in which what is zero stays zero."""
    top = op.ReduceMax(scores, [1])
    none = op.Less(op.Abs(scores), op.const(1e-7, scores.dtype))
    raised = op.Where(none, op.Mul(scores, op.Exp(op.Neg(top))), op.Exp(op.Sub(scores, top)))
    return op.Div(raised, op.ReduceSum(raised, [1]))


def probit(op: Any, scores: ir.Value) -> ir.Value:
    """√2 · erf⁻¹(2p - 1) by Winitzki's formula, in ONNX Runtime's constants and order: near ½ its last places
    are noise."""
    a, pi = np.float32(0.147), np.float32(3.14159)
    y = op.Sub(op.Mul(scores, 2.0), op.const(1.0, scores.dtype))
    logged = op.Log(op.Mul(op.Sub(1.0, y), op.Add(y, 1.0)))
    first = op.Add(op.Mul(logged, 0.5), float(np.float32(2) / (pi * a)))
    root = op.Sqrt(op.Sub(op.Mul(first, first), op.Mul(logged, float(np.float32(1) / a))))
    return op.Mul(op.Mul(op.Sign(y), op.Sqrt(op.Sub(root, first))), float(np.float32(1.41421356)))


CLEAR = condition(
    "post_transform NONE for a single target, which ONNX Runtime leaves as it is and the "
    "specification does not",
    lambda n: (attr(n, "n_targets") or attr(n, "targets") or 1) > 1 or attr(n, "post_transform") == "NONE",
)


@ops.op(f"{ML}::TreeEnsembleRegressor", needs=(MATRIX, dtype("float"), FLOATS, CLEAR))
def tree_regressor(op, node, x):
    forest, count = Forest.of(node), attr(node, "n_targets", 1)
    aggregate = attr(node, "aggregate_function")
    initial = {"MIN": np.inf, "MAX": -np.inf}.get(aggregate, 0.0)
    table = op.const(forest.weights(node, "target", count, initial))
    leaf_weights_of_rows = op.Gather(table, forest.leaves(op, x), axis=0)
    reduced = op.node(
        {"MIN": "ReduceMin", "MAX": "ReduceMax"}.get(aggregate, "ReduceSum"),
        leaf_weights_of_rows,
        [1],
        keepdims=0,
    )
    if aggregate == "AVERAGE":
        reduced = op.Div(reduced, float(len(forest.roots)))
    base = attr(node, "base_values")
    scores = reduced if not base else op.Add(reduced, op.const(np.array(base, np.float32)))
    return op.Identity(post_transformed(op, node, scores))


LOWER, UPPER = ("BRANCH_LEQ", "BRANCH_GT"), ("BRANCH_LT", "BRANCH_GTE")


def parting(mode: str, value: float) -> float:
    """The float32 that parts float32 numbers as the float64 `value` does; one that equals none where none
    does."""
    near = np.float32(value)
    if mode in LOWER:
        return float(np.nextafter(near, np.float32(-np.inf)) if near > value else near)
    if mode in UPPER:
        return float(np.nextafter(near, np.float32(np.inf)) if near < value else near)
    return float(near) if near == value else float("nan")


KNOWN = condition(
    "post_transform NONE, LOGISTIC or SOFTMAX",
    lambda n: attr(n, "post_transform") in ("NONE", "LOGISTIC", "SOFTMAX"),
)


@ops.op(f"{ML}::TreeEnsembleRegressor", needs=(MATRIX, dtype("double"), KNOWN, CLEAR))
def tree_regressor_of_doubles(op, node, x):
    """Features rounded to float32, thresholds so that they part those alike."""
    attributes = {n: attr(node, n) for n in node.attributes if not n.endswith("_as_tensor")}
    doubles = {n: attr(node, f"{n}_as_tensor") for n in ("nodes_values", "target_weights", "base_values")}
    doubles = {n: attributes.pop(n, None) if v is None else v.numpy().tolist() for n, v in doubles.items()}
    modes = attributes["nodes_modes"]
    doubles["nodes_values"] = [
        0.0 if m == "LEAF" else parting(m, v) for m, v in zip(modes, doubles["nodes_values"], strict=True)
    ]
    regression = op.TreeEnsembleRegressor(
        op.Cast(x, to=int(ir.DataType.FLOAT)),
        _domain=ML,
        _dtype=ir.DataType.FLOAT,
        _shape=node.outputs[0].shape,
        **{**attributes, **doubles},
    )
    for each in op.nodes:
        facts.APPROXIMATED.set(each, "float64 features computed as float32")
    return regression


@ops.op(f"{ML}::Scaler", needs=(dtype("float", "double", "int32", "int64"),))
def scaler(op, node, x):
    """(x - offset) · scale."""
    wide = x if x.dtype == ir.DataType.DOUBLE else op.Cast(x, to=1)
    offset, scale = (op.const(np.array(attr(node, name), wide.dtype.numpy())) for name in ("offset", "scale"))
    return op.Cast(op.Mul(op.Sub(wide, offset), scale), to=1)


@ops.op(f"{ML}::Binarizer")
def binarizer(op, node, x):
    return op.Cast(op.Greater(x, op.const(attr(node, "threshold"), x.dtype)), to=int(x.dtype))


@ops.op(
    f"{ML}::ArrayFeatureExtractor", needs=(condition("rank 1 or more", lambda n: bool(rank_of(n.inputs[0]))),)
)
def array_feature_extractor(op, node, x, y):
    features = op.Gather(x, op.Reshape(y, [-1]), axis=rank_of(x) - 1)
    return features if rank_of(x) > 1 else op.Unsqueeze(features, [0])


@ops.op(
    f"{ML}::Normalizer",
    needs=(dtype("float", "int32", "int64"), condition("a known rank", lambda n: bool(rank_of(n.inputs[0])))),
)
def normalizer(op, node, x):
    """Divided by the largest, the sum of sizes, or the Euclidean norm of each row."""
    wide, norm_type = op.Cast(x, to=1), attr(node, "norm")
    if norm_type == "MAX":
        norm = op.ReduceMax(wide, [-1])
    elif norm_type == "L1":
        norm = op.ReduceSum(op.Abs(wide), [-1])
    else:
        norm = op.Sqrt(op.ReduceSum(op.Mul(wide, wide), [-1]))
    zero = op.Equal(norm, op.const(np.float32(0)))
    return op.Div(wide, op.Where(zero, op.const(np.float32(1)), norm))


@ops.op(f"{ML}::LinearRegressor", needs=(MATRIX, dtype("float", "int32", "int64"), CLEAR))
def linear_regressor(op, node, x):
    count = attr(node, "targets")
    weights = np.array(attr(node, "coefficients"), np.float32).reshape(count, -1).T
    scores = op.MatMul(op.Cast(x, to=1), op.const(np.ascontiguousarray(weights)))
    offsets = attr(node, "intercepts")
    scores = op.Add(scores, op.const(np.array(offsets, np.float32))) if offsets else scores
    return op.Identity(post_transformed(op, node, scores))


def ensemble(node: ir.Node) -> Forest:
    """The trees of a TreeEnsemble: its nodes, and after them its leaves."""
    features = integers(node, "nodes_featureids")
    inner, leaves = len(features), len(integers(node, "leaf_targetids"))
    modes = [MODES[i] for i in attr(node, "nodes_modes").numpy().tolist()]
    own = np.arange(inner + leaves)
    leads = []
    for word in ("true", "false"):
        at, leaf = (integers(node, f"nodes_{word}{suffix}") for suffix in ("nodeids", "leafs"))
        leads.append(np.concatenate([np.where(leaf == 1, at + inner, at), own[inner:]]))
    missing = integers(node, "nodes_missing_value_tracks_true").astype(bool)
    splits = attr(node, "nodes_splits").numpy()
    return Forest(
        integers(node, "tree_roots"),
        np.concatenate([features, np.zeros(leaves, np.int64)]),
        np.concatenate([splits, np.zeros(leaves, splits.dtype)]),
        [*modes, *["LEAF"] * leaves],
        leads[0],
        leads[1],
        np.concatenate([missing, np.zeros(inner + leaves - len(missing), bool)]),
        own,
        _members(node, modes, inner + leaves),
    )


def _members(node: ir.Node, modes: list[str], count: int) -> np.ndarray | None:
    """The values of each set, [nodes, largest set], filled up with NaN; sets end with a NaN in the
    attribute."""
    attribute = attr(node, "membership_values")
    if attribute is None:
        return None
    values = attribute.numpy()
    ends = np.flatnonzero(np.isnan(values))
    sets = [part[~np.isnan(part)] for part in np.split(values, ends + 1)]
    table = np.full((count, max(1, *(len(each) for each in sets))), np.nan, values.dtype)
    for index, each in zip((i for i, k in enumerate(modes) if k == "BRANCH_MEMBER"), sets, strict=False):
        table[index, : len(each)] = each
    return table


def leaf_weights(node: ir.Node, trees: Forest, blank: float) -> np.ndarray:
    """Weights of each leaf of a TreeEnsemble for each target, [nodes, targets]."""
    weights, targets = attr(node, "leaf_weights").numpy(), integers(node, "leaf_targetids")
    table = np.full((len(trees.feature), attr(node, "n_targets", 1)), blank, weights.dtype)
    table[len(table) - len(targets) + np.arange(len(targets)), targets] = weights
    return table


@ops.op(
    f"{ML}::TreeEnsemble",
    needs=(
        MATRIX,
        dtype("float", "double"),
        condition("post_transform=0", lambda n: not attr(n, "post_transform")),
    ),
)
def tree_ensemble(op, node, x):
    trees, aggregate = ensemble(node), attr(node, "aggregate_function")
    table = leaf_weights(node, trees, {2: np.inf, 3: -np.inf}.get(aggregate, 0.0))
    leaf_values = op.Gather(op.const(table), trees.leaves(op, x), axis=0)
    result = op.node(
        {2: "ReduceMin", 3: "ReduceMax"}.get(aggregate, "ReduceSum"), leaf_values, [1], keepdims=0
    )
    return op.Div(result, float(len(trees.roots))) if aggregate == 0 else result


@ops.op(f"{ML}::Imputer", needs=(dtype("float", "double", "int64"),))
def imputer(op, node, x):
    """One value for all, or one for each place of the last axis, where `x` holds the replaced one."""
    suffix, dtype_name = ("int64s", "int64") if x.dtype == ir.DataType.INT64 else ("floats", "float")
    values = attr(node, f"imputed_value_{suffix}")
    if not values:
        return NotImplemented
    replaced = attr(node, f"replaced_value_{dtype_name}", 0)
    mask = op.IsNaN(x) if np.isnan(replaced) else op.Equal(x, op.const(replaced, x.dtype))
    return op.Where(mask, op.const(values if len(values) > 1 else values[0], x.dtype), x)


@ops.op(
    f"{ML}::OneHotEncoder",
    needs=(
        dtype("float", "int32", "int64"),
        condition("integer categories", lambda n: bool(attr(n, "cats_int64s"))),
        condition("zeros=1", lambda n: attr(n, "zeros") == 1),
    ),
)
def one_hot_encoder(op, node, x):
    matches = op.Equal(op.Unsqueeze(op.Cast(x, to=7), [-1]), op.const(np.array(attr(node, "cats_int64s"))))
    return op.Cast(matches, to=1)


def _number_array(node: ir.Node, side: str) -> np.ndarray | None:
    """Keys or values of a LabelEncoder that are numbers."""
    tensor = attr(node, f"{side}_tensor")
    if tensor is not None:
        return tensor.numpy() if tensor.dtype != ir.DataType.STRING else None
    for name, number_type in (("int64s", np.int64), ("floats", np.float32)):
        if attr(node, f"{side}_{name}"):
            return np.array(attr(node, f"{side}_{name}"), number_type)
    return None


def numeric(node: ir.Node) -> bool:
    """Keys and values are numbers, and no key is there twice."""
    keys = _number_array(node, "keys")
    return (
        keys is not None and _number_array(node, "values") is not None and len(np.unique(keys)) == len(keys)
    )


@ops.op(f"{ML}::LabelEncoder", needs=(condition("numbers as keys, all different, and as values", numeric),))
def label_encoder(op, node, x):
    """The value whose key each element equals (NaN equals NaN), else the default."""
    keys, values = _number_array(node, "keys"), _number_array(node, "values")
    wide = op.Unsqueeze(x, [-1])
    hits = op.Equal(wide, op.const(keys))
    if keys.dtype.kind == "f" and np.isnan(keys).any():
        hits = op.Or(hits, op.And(op.IsNaN(wide), op.const(np.isnan(keys))))
    hits = op.Cast(hits, to=6)
    known = op.Greater(op.ReduceMax(hits, [-1], keepdims=0), 0)
    return op.Where(
        known, op.Gather(op.const(values), op.ArgMax(hits, axis=-1, keepdims=0)), _default(op, node, values)
    )


def _default(op: Any, node: ir.Node, values: np.ndarray) -> ir.Value:
    tensor = attr(node, "default_tensor")
    if tensor is not None:
        return op.const(tensor.numpy().reshape(()).astype(values.dtype))
    name, fallback = ("default_float", 0.0) if values.dtype.kind == "f" else ("default_int64", -1)
    return op.const(np.array(attr(node, name, fallback), values.dtype))


@dataclass(frozen=True)
class Grams:
    """The n-grams of one length: [n, length], and the output each counts into."""

    length: int
    rows: np.ndarray
    outputs: np.ndarray


def grams(node: ir.Node) -> list[Grams]:
    """The n-grams of a TfIdfVectorizer's pool, of the lengths it asks for."""
    text = attr(node, "pool_strings")
    pool = np.array(text, object) if text else np.array(attr(node, "pool_int64s"), np.int64)
    grams_by_length, done = [], 0
    for length, (begin, end) in enumerate(itertools.pairwise([*attr(node, "ngram_counts"), len(pool)]), 1):
        rows = pool[begin:end].reshape(-1, length)
        outputs = np.array(attr(node, "ngram_indexes"))[done : done + len(rows)]
        done += len(rows)
        if len(rows) and attr(node, "min_gram_length") <= length <= attr(node, "max_gram_length"):
            grams_by_length.append(Grams(length, rows, outputs))
    return grams_by_length


def row_length(node: ir.Node) -> int | None:
    """Number of words in a row of the input, where that is known."""
    x = node.inputs[0]
    length = x.shape[-1] if x is not None and rank_of(x) in (1, 2) else None  # type: ignore[index]
    return length if isinstance(length, int) else None


@ops.op(
    "TfIdfVectorizer",
    needs=(condition("one row or several, of a static length", lambda n: row_length(n) is not None),),
)
def tf_idf(op, node, x):
    """Counts of each n-gram of the pool in a row, at every skip; its weight where it occurs at all for
    IDF."""
    output_indices = attr(node, "ngram_indexes")
    width, length = max(output_indices) + 1, row_length(node)
    words = x if x.dtype == ir.DataType.STRING else op.Cast(x, to=int(ir.DataType.INT64))
    total = None
    for group in grams(node):
        ngrams = op.const(strings(group.rows) if group.rows.dtype == object else group.rows)
        for skip in range(attr(node, "max_skip_count") + 1 if group.length > 1 else 1):
            starts = np.arange(max(length - (group.length - 1) * (skip + 1), 0))
            if not starts.size:
                continue
            at = starts[:, None] + np.arange(group.length) * (skip + 1)
            windows = op.Unsqueeze(op.Gather(words, op.const(at), axis=-1), [-2])
            same = op.Cast(op.Equal(windows, ngrams), to=int(ir.DataType.FLOAT))
            counts = op.ReduceSum(op.ReduceMin(same, [-1], keepdims=0), [-2], keepdims=0)
            each = op.MatMul(counts, op.const(np.eye(width, dtype=np.float32)[group.outputs]))
            total = each if total is None else op.Add(total, each)
    if total is None:
        none = op.const(np.zeros(width, np.float32))
        total = none if rank_of(x) == 1 else op.Expand(none, vector(op, [lengths(op, x)[0], width]))
    mode = attr(node, "mode")
    if mode == "TF":
        return total
    weights = np.zeros(width, np.float32)
    weights[output_indices] = attr(node, "weights") or np.ones(len(output_indices), np.float32)
    hits = op.Cast(op.Greater(total, np.float32(0)), to=int(ir.DataType.FLOAT)) if mode == "IDF" else total
    return op.Mul(hits, weights)
