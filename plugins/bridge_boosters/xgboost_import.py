"""XGBoost's JSON or UBJSON, from a file or a model in memory → hub, in float as XGBoost computes."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import facts, hub
from bridge.classical.trees import LT, MEMBER, Nodes, Tests, Trees
from bridge.errors import UnreadableFile
from bridge.formats import Importer
from bridge_boosters import links
from bridge_boosters.checks import check_xgboost
from bridge_boosters.graphs import (
    Columns,
    Outputs,
    both_shares,
    finish_model,
    floor,
    label_of,
    missing_where,
    positive_index,
    reading,
    start_graph,
    unsupported,
)
from bridge_boosters.sessions import LibrarySession
from bridge_boosters.ubjson import decode

NEWEST = 3
LOGISTIC = links.logistic(lowest=88.7)
SQUARE = ("reg:squarederror", "reg:linear", "reg:squaredlogerror", "reg:pseudohubererror")
ROBUST = ("reg:absoluteerror", "reg:quantileerror")
RANKS = ("rank:pairwise", "rank:ndcg", "rank:map")
LOGARITHMIC = ("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft")
LINKS: dict[str, links.Link] = {
    **dict.fromkeys((*SQUARE, *ROBUST, *RANKS, "binary:logitraw"), links.identity),
    **dict.fromkeys(LOGARITHMIC, links.exponential),
    "binary:logistic": LOGISTIC,
    "reg:logistic": LOGISTIC,
    "binary:hinge": links.step,
    "multi:softprob": links.softmax,
    "multi:softmax": links.index_of_largest,
}
LOGITS = ("binary:logistic", "reg:logistic")
RIM = np.float32(1e-6)


def margin(objective: str, score: np.ndarray) -> np.ndarray:
    """The sum trees start from, float32, of a base score as it is predicted; probabilities keep off 0 and 1
    by RIM. Raises ValueError for a score outside the objective's range."""
    with np.errstate(all="ignore"):
        if objective in LOGITS and (score >= 0).all() and (score <= 1).all():
            sums = -np.log(np.float32(1) / score.clip(RIM, np.float32(1) - RIM) - np.float32(1))
        elif objective in LOGITS:
            sums = np.full_like(score, np.nan)
        else:
            sums = np.log(score) if objective in LOGARITHMIC else score
    if not np.isfinite(sums).all():
        raise ValueError(f"a base score of {score.tolist()} is not one of {objective}")
    return sums.astype(np.float32)


@dataclass(frozen=True)
class XgboostModel:
    """The parts of a learner: `base` is the sum that every target starts from, [K]."""

    objective: str
    booster: str
    body: dict[str, Any]
    base: np.ndarray
    features: int
    names: Sequence[str]
    recoded: bool
    drops: Sequence[float] | None
    version: str

    @classmethod
    def of(cls, document: Any) -> XgboostModel:
        """Raises UnreadableFile, UnsupportedModel, ValueError."""
        learner = document["learner"]
        version = [int(v) for v in document.get("version", [NEWEST])]
        if version[0] > NEWEST:
            told = ".".join(map(str, version))
            raise unsupported("XGBoost", "version", f"{told} is newer than the {NEWEST}.x that is known")
        objective = learner["objective"]["name"]
        if objective not in LINKS:
            raise unsupported("XGBoost", str(objective), "is no objective that is known")
        params = learner["learner_model_param"]
        count = max(1, int(params.get("num_class", 0)), int(params.get("num_target", 1)))
        booster, drops = learner["gradient_booster"], None
        name = booster["name"]
        if name == "dart":
            drops, booster = [float(w) for w in booster["weight_drop"]], booster["gbtree"]
        if name not in ("gbtree", "dart", "gblinear"):
            raise unsupported("XGBoost", str(name), "is no booster that is known")
        body = booster["model"]
        is_grown = int(body.get("boosted_rounds", 1)) if name == "gblinear" else len(body["trees"])
        is_estimated = bool(is_grown) or str(params.get("boost_from_average", "0")) == "0"
        return cls(
            objective,
            name,
            body,
            start_sums(objective, params["base_score"], count, is_estimated),
            int(params["num_feature"]),
            [str(n) for n in learner.get("feature_names") or []],
            bool((body.get("cats") or {}).get("enc")),
            drops,
            ".".join(map(str, version)),
        )

    @property
    def width(self) -> int:
        """The number of targets."""
        return len(self.base)

    @property
    def linear(self) -> np.ndarray | None:
        """Weights of a linear booster, those of the bias last, [F + 1, K]; None for trees. Raises ValueError
        for one that is not finite."""
        if self.booster != "gblinear":
            return None
        weights = np.asarray(self.body["weights"], np.float32)
        if not len(weights) and not int(self.body.get("boosted_rounds", 1)):
            weights = np.zeros((self.features + 1) * self.width, np.float32)
        if not np.isfinite(weights).all():
            raise ValueError("a weight is not finite")
        return weights.reshape(self.features + 1, self.width)


def start_sums(objective: str, base_score: Any, count: int, is_estimated: bool) -> np.ndarray:
    """The sums of `count` targets before any tree, float32: of one score for all, or one for each. XGBoost
    takes a score for a sum that it has not estimated yet."""
    if count > 2**16:
        raise ValueError(f"{count} targets are more than any model has")
    listed = json.loads(base_score) if isinstance(base_score, str) else base_score
    scores = np.atleast_1d(np.array(listed, np.float32))
    if scores.ndim != 1 or len(scores) not in (1, count):
        raise ValueError(f"{len(scores)} base scores are given for {count} targets")
    return margin(objective if is_estimated else "", np.broadcast_to(scores, count))


def grow(
    trees: Trees, columns: Columns, grown: list[dict[str, Any]], groups: list[int], scales: list[float]
) -> None:
    """Add trees of these targets, their leaves times `scales`; where leaves are vectors, a copy of all for
    each target."""
    sides = [of_nodes(grown, f"{side}_children", whole) for side in ("left", "right")]
    sizes = [len(tree["left_children"]) for tree in grown]
    nodes = Nodes.of(sizes, *sides)
    tests = tests_of(grown, columns, nodes)
    vectors = leaf_vectors(grown, nodes, sides[1], trees.targets)
    values = of_nodes(grown, "split_conditions", floats)[:, None] if vectors is None else vectors
    with np.errstate(over="ignore"):
        values = values * np.repeat(np.asarray(scales, np.float32), sizes)[:, None]
    for target in range(values.shape[1]):
        targets = np.repeat(groups, sizes) if vectors is None else np.full(len(values), target)
        trees.grow(nodes, tests, values[:, target], targets)


def of_nodes(trees: list[dict[str, Any]], key: str, kind: Callable[[Any], np.ndarray]) -> np.ndarray:
    """An entry of the nodes of trees, [nodes]. Raises ValueError unless it has one for each."""
    parts = [kind(tree[key]) for tree in trees]
    if [len(part) for part in parts] != [len(tree["left_children"]) for tree in trees]:
        raise ValueError(f"{key} has an entry too few or too many")
    return np.concatenate(parts)


def tests_of(trees: list[dict[str, Any]], columns: Columns, nodes: Nodes) -> Tests:
    """The tests of trees. The true side is the left one of a threshold, the right one of categories."""
    at = nodes.tests
    splits = of_nodes(trees, "split_conditions", floats)[at]
    defaults = of_nodes(trees, "default_left", floats)[at] != 0
    places = of_nodes(trees, "split_indices", whole)[at]
    columns.require(places)
    of_sets, members = np.zeros(len(at), bool), list[Collection[float]]()
    if any(tree.get("categories_nodes") is not None and len(tree["categories_nodes"]) for tree in trees):
        of_sets = of_nodes(trees, "split_type", whole)[at] == 1
        sets = {
            first + node: each
            for first, tree in zip(nodes.roots.tolist(), trees, strict=True)
            for node, each in category_sets(tree).items()
        }
        members = [sets[node] for node in at[of_sets].tolist()]
        pairs = zip(places[of_sets].tolist(), members, strict=True)
        places[of_sets] = [columns.of_categories(place, floor, each) for place, each in pairs]
    modes, splits = np.where(of_sets, MEMBER, LT), np.where(of_sets, np.float32(0), splits)
    return Tests(places, modes, splits, defaults != of_sets, of_sets, members)


def category_sets(tree: dict[str, Any]) -> dict[int, list[int]]:
    """The categories of each node that tests them."""
    categories = whole(tree.get("categories", [])).tolist()
    parts = (whole(tree.get(f"categories_{name}", [])) for name in ("nodes", "segments", "sizes"))
    nodes, starts, sizes = (part.tolist() for part in parts)
    sets = {}
    for node, start, size in zip(nodes, starts, sizes, strict=True):
        if not 0 <= start <= start + size <= len(categories):
            raise ValueError(f"the categories of node {node} are not there")
        sets[node] = categories[start : start + size]
    return sets


def leaf_vectors(trees: list[dict[str, Any]], nodes: Nodes, right: np.ndarray, width: int) -> Any:
    """The vectors of leaves, at their places among all nodes, [nodes, width]; None where leaves are
    numbers."""
    [size, *others] = {int(tree.get("tree_param", {}).get("size_leaf_vector", 1) or 1) for tree in trees}
    if size <= 1 and not others:
        return None
    if size != width or others:
        raise ValueError(f"leaves of {size} values stand in a model of {width} targets")
    is_apart = all("leaf_weights" in tree for tree in trees)
    tables = [
        floats(tree["leaf_weights" if is_apart else "base_weights"]).reshape(-1, size) for tree in trees
    ]
    counts = [len(tree["left_children"]) for tree in trees]
    lengths, first = np.repeat([len(table) for table in tables], counts), np.repeat(nodes.roots, counts)
    place = (right if is_apart else np.arange(len(first)) - first)[nodes.leaves]
    if ((place < 0) | (place >= lengths[nodes.leaves])).any():
        raise ValueError("the values of a leaf are not there")
    starts = np.repeat(np.cumsum([0, *map(len, tables)])[:-1], counts)
    vectors = np.zeros((len(first), size), np.float32)
    vectors[nodes.leaves] = np.concatenate(tables)[starts[nodes.leaves] + place]
    return vectors


def has_leaves_in_nodes(document: Any) -> bool:
    """True if leaves are vectors as XGBoost wrote them before 3.2, among the weights of all nodes."""
    booster = document["learner"]["gradient_booster"]
    trees = booster.get("model", {}).get("trees") or []
    sizes = (int(t.get("tree_param", {}).get("size_leaf_vector", 1) or 1) for t in trees)
    return any(size > 1 and "leaf_weights" not in tree for size, tree in zip(sizes, trees, strict=True))


def aslist(values: Any) -> list[Any]:
    """Numbers of JSON, or an array of UBJSON, as a list."""
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def floats(values: Any) -> np.ndarray:
    """The same, as float32. Raises ValueError for lists of lists."""
    numbers = np.asarray(values, np.float32)
    if numbers.ndim != 1:
        raise ValueError("a list holds lists where numbers are due")
    return numbers


def whole(values: Any) -> np.ndarray:
    """The same, of whole numbers, int64. Raises ValueError for others."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        return values.astype(np.int64)
    numbers = aslist(values)
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
        raise ValueError("a number that is no whole one names a node, a column or a category")
    return np.array(numbers, np.int64)


def tree_range(body: dict[str, Any], rounds: int | None) -> int:
    """The number of trees that the first rounds of boosting made; all without `rounds`."""
    total = len(body["trees"])
    if rounds is None:
        return total
    ends = aslist(body.get("iteration_indptr") or [])
    if ends:
        return int(ends[min(rounds, len(ends) - 1)])
    groups = len(set(aslist(body["tree_info"]))) or 1
    return min(total, rounds * groups * int(body["gbtree_model_param"].get("num_parallel_tree", 1) or 1))


def tree_sums(
    op: hub.Builder, model: XgboostModel, x: ir.Value, columns: Columns, rounds: int | None
) -> ir.Value:
    """Sums of the base score and the trees, [N, K]."""
    body = model.body
    expected = int(body["gbtree_model_param"]["num_trees"])
    groups = whole(body["tree_info"]).tolist()
    if not len(body["trees"]) == len(groups) == expected:
        raise ValueError(f"{len(body['trees'])} trees are there, not {expected}")
    if model.drops is not None and len(model.drops) != expected:
        raise ValueError(f"{len(model.drops)} weights are given for {expected} trees")
    count = tree_range(body, rounds)
    groups = groups[:count]
    if any(not 0 <= group < model.width for group in groups):
        raise ValueError(f"a tree is of none of {model.width} targets")
    trees = Trees(model.width)
    if count:
        scales = [1.0] * count if model.drops is None else model.drops[:count]
        grow(trees, columns, body["trees"][:count], groups, list(scales))
    sums = trees.build(op, columns.gather(op, x, trees))
    return op.Add(sums, op.const(model.base)) if model.base.any() else sums


def linear_sums(op: hub.Builder, model: XgboostModel, x: ir.Value) -> ir.Value:
    """Weighted features and the bias; missing values count for nothing."""
    weights = model.linear
    assert weights is not None
    present = op.Where(op.IsNaN(x), np.float32(0), x)
    # In double, as the order in which XGBoost adds its floats is not kept
    wide = op.Cast(present, to=int(ir.DataType.DOUBLE))
    # XGBoost starts every target from the first one's base score
    offsets = weights[-1].astype(np.float64) + model.base[0]
    sums = op.Add(op.MatMul(wide, op.const(weights[:-1].astype(np.float64))), op.const(offsets))
    return op.Cast(sums, to=int(ir.DataType.FLOAT))


def build(model: XgboostModel, source: Any = None) -> tuple[ir.Model, Columns]:
    """The hub model of a learner as `source`, a live estimator or None for a Booster, predicts with it, and
    the columns that its tests read."""
    op, x = start_graph("XGBoost", model.features, ir.DataType.FLOAT)
    read, columns = mark_missing(op, x, getattr(source, "missing", None)), Columns(model.features)
    if model.booster == "gblinear":
        sums = linear_sums(op, model, read)
    else:
        sums = tree_sums(op, model, read, columns, best_rounds(source))
    hub_model = finish_model(op, answers(op, model, sums, source), model.names, "xgboost")
    facts.VERSION.set(hub_model, model.version)
    if model.recoded:
        hub.note(hub_model, ["categories are read as the codes that the model gives them"])
    return hub_model, columns


def mark_missing(op: hub.Builder, x: ir.Value, missing: Any) -> ir.Value:
    """The records with NaN where they have the value an estimator takes for missing."""
    if missing is None or np.isnan(missing):
        return x
    return missing_where(op, op.Equal(x, op.const(np.float32(missing))), x)


def best_rounds(source: Any) -> int | None:
    """The rounds an estimator predicts with: up to the best one where it was stopped early."""
    try:
        return None if source is None else int(source.best_iteration) + 1
    except AttributeError:
        return None


def answers(op: hub.Builder, model: XgboostModel, sums: ir.Value, source: Any) -> Outputs:
    """`variable` as a Booster, a regressor or a ranker predicts; `label` and `probabilities` of a
    classifier."""
    predicted = LINKS[model.objective](op, sums)
    if source is None or not hasattr(source, "predict_proba"):
        return {"variable": predicted}
    count = int(source.n_classes_)
    if model.objective == "multi:softmax":
        index = op.ArgMax(sums, axis=1, keepdims=0)
        return {"label": index, "probabilities": op.Softmax(sums, axis=-1)}
    if model.width > 1 and count != 2:
        index = op.ArgMax(predicted, axis=1, keepdims=0)
        return {"label": label_of(op, source.classes_, index), "probabilities": predicted}
    passed = op.Greater(predicted, 0.5)
    if model.width > 1:
        return {"label": op.Cast(passed, to=int(ir.DataType.INT64)), "probabilities": predicted}
    label = label_of(op, source.classes_, positive_index(op, passed))
    return {"label": label, "probabilities": both_shares(op, predicted)}


def document_of(path: Path) -> Any:
    """The JSON or UBJSON of a file. Raises UnreadableFile."""
    data = path.read_bytes()
    if data.startswith(b"binf"):
        raise UnreadableFile(
            f"{path} is in the binary form of before XGBoost 3.1.",
            "Load it with such a version, then: booster.save_model('model.json')",
        )
    # A key in JSON is quoted, in UBJSON its length stands before it
    is_ubjson = data.startswith(b"{") and not data[1:].lstrip().startswith((b'"', b"}"))
    try:
        document = decode(data) if is_ubjson else json.loads(data)
    except (ValueError, RecursionError) as error:
        what = f"{path} is neither JSON nor UBJSON: {error}"
        raise UnreadableFile(what, "Is the file complete?") from error
    if not isinstance(document, dict) or "learner" not in document:
        raise UnreadableFile(
            f"{path} holds no model of XGBoost.",
            "Save one with booster.save_model('model.json'); a dump does not hold all of it.",
        )
    return document


def load(src: Any) -> ir.Model:
    """A file or a fitted model as a hub model: input `X`, float [N, F].

    A Booster and a file give `variable`, [N, K], as `Booster.predict` does; a classifier `label` and
    `probabilities`. Raises UnreadableFile, UnsupportedModel.
    """
    if isinstance(src, (str, Path)):
        with reading(Path(src), "XGBoost"):
            return build(XgboostModel.of(document_of(Path(src))))[0]
    booster = src.get_booster() if hasattr(src, "get_booster") else src
    learner = XgboostModel.of(decode(bytes(booster.save_raw("ubj"))))
    model, columns = build(learner, None if booster is src else src)
    facts.ESTIMATOR.set(model, type(src).__name__)
    is_exponential = LINKS[learner.objective] is links.exponential
    check_xgboost(model, src, columns.known, learner.linear, is_exponential)
    return model


importer = Importer(load, live=LibrarySession)
