"""CatBoost's JSON, from a file, a .cbm by way of CatBoost, or a model in memory → hub.

Features are float, as CatBoost reads them; sums are double.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import facts, hub
from bridge.classical.trees import DEEPEST, GT, Ref, Trees
from bridge.errors import UnreadableFile, first_line
from bridge.formats import Importer
from bridge.workers import WorkerLost, isolated
from bridge_boosters import links
from bridge_boosters.checks import check_predictions
from bridge_boosters.graphs import (
    Columns,
    Outputs,
    both_shares,
    finish_model,
    label_of,
    positive_index,
    reading,
    start_graph,
    unsupported,
)
from bridge_boosters.sessions import LibrarySession

OTHER_FEATURES = ("categorical_features", "text_features", "embedding_features")
BINARY, MANY_LABELS = ("Logloss", "CrossEntropy"), ("MultiLogloss", "MultiCrossEntropy")
ONE_OF_MANY = {"MultiClass": links.softmax, "MultiClassOneVsAll": links.logistic()}
EXPONENTS = ("Poisson", "Tweedie")
MEAN_AND_VARIANCE = "RMSEWithUncertainty"
MOST_DIMENSIONS = 2**16
SECONDS = 60.0
"""Of a processor, for CatBoost to read a file."""


def document_of(path: Path) -> Any:
    """The JSON of a file. Raises UnreadableFile, MissingDependency through the format.

    A .cbm is made JSON by CatBoost in a process of its own, which a broken one ends.
    """
    if not is_binary(path):
        try:
            return json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise UnreadableFile(f"{path} is no JSON: {error}", "Is the file complete?") from error
    if find_spec("catboost") is None:
        raise ModuleNotFoundError("No module named 'catboost'", name="catboost")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "model.json"
        try:
            (refusal,) = isolated(f"{__name__}:rewrite", {"source": str(path), "made": str(made)}, SECONDS)
            if refusal:
                raise ValueError(refusal)
            return json.loads(made.read_bytes())
        except (WorkerLost, RuntimeError, OSError, ValueError) as error:
            what = f"{path} is not read by CatBoost: {(str(error).splitlines() or [''])[0][:200]}"
            raise UnreadableFile(what, "Is the file complete?") from error


def rewrite(source: str, made: str) -> Iterator[str]:
    """Write a .cbm as JSON, in a worker process; why CatBoost does not, empty where it does."""
    import catboost

    try:
        model = catboost.CatBoost()
        model.load_model(source)
        model.save_model(made, format="json")
    except Exception as error:
        yield str(error) or type(error).__name__
        return
    yield ""


def is_binary(path: Path) -> bool:
    """True for a .cbm file."""
    with open(path, "rb") as file:
        return file.read(4) == b"CBM1"


def exported(model: Any) -> Any:
    """A model in memory as JSON, which CatBoost writes to files alone."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        try:
            model.save_model(str(path), format="json")
        except Exception as error:
            reason = f"cannot be written as JSON by CatBoost: {first_line(error)}"
            raise unsupported("CatBoost", type(model).__name__, reason) from error
        return json.loads(path.read_text("utf-8"))


class Forest:
    """The trees of a document in a Trees, over `dimensions` sums."""

    def __init__(self, document: Any) -> None:
        features = document["features_info"]
        for kind in OTHER_FEATURES:
            if features.get(kind):
                what = kind.replace("_", " ")
                reason = f"are known to the model by hashes alone: {named(features[kind])}"
                raise unsupported("CatBoost", what, reason, "Encode them as numbers before fitting.")
        self.floats = {int(f["feature_index"]): f for f in features.get("float_features", [])}
        scale, bias = document["scale_and_bias"]
        self.scale, self.bias = float(scale), np.atleast_1d(np.array(bias, np.float64))
        self.dimensions = len(self.bias)
        if not np.isfinite([self.scale, *self.bias]).all() or self.dimensions > MOST_DIMENSIONS:
            raise ValueError("the scale and the bias are no numbers")
        self.count = 1 + max((int(f["flat_feature_index"]) for f in self.floats.values()), default=0)
        self.trees, self.columns = Trees(self.dimensions), Columns(self.count)
        for tree in document.get("oblivious_trees", []):
            self.add_oblivious(tree)
        for tree in document.get("trees", []):
            self.add_nested(tree)

    @property
    def names(self) -> list[str]:
        """Names of the columns, none where one has none."""
        named = {int(f["flat_feature_index"]): str(f.get("feature_id", "")) for f in self.floats.values()}
        names = [named[at] for at in sorted(named)]
        generic = [str(at) for at in range(len(names))]
        return names if len(names) == self.count and all(names) and names != generic else []

    def test(self, split: Any) -> Ref:
        """A test that is true above its border."""
        if split["split_type"] != "FloatFeature":
            raise unsupported("CatBoost", str(split["split_type"]), "is no split of a number")
        feature = self.floats[int(split["float_feature_index"])]
        column = self.columns.at(int(feature["flat_feature_index"]))
        border = float(np.float32(split["border"]))
        return self.trees.test(column, GT, border, feature["nan_value_treatment"] == "AsTrue")

    def add_oblivious(self, tree: Any) -> None:
        """A tree whose tests are the bits of a leaf's index, the first the lowest; one for each sum."""
        splits = tree.get("splits") or []
        values = np.array(tree["leaf_values"], np.float64)
        if len(splits) > 24 or len(values) != self.dimensions << len(splits):
            raise ValueError(f"{len(values)} leaves do not fit {len(splits)} splits")
        table = values.reshape(-1, self.dimensions)
        for target in range(self.dimensions):
            level = [self.trees.leaf(float(v), target) for v in table[:, target]]
            for split in splits:
                joined = []
                for low, high in zip(level[::2], level[1::2], strict=True):
                    joined.append(self.test(split))
                    self.trees.lead(joined[-1], high, low)
                level = joined
            self.trees.root(level[0])

    def add_nested(self, tree: Any) -> None:
        """A tree of nodes within nodes; one for each sum."""
        for target in range(self.dimensions):
            pending: list[tuple[Any, int, Callable[[Ref], None]]] = [(tree, 0, self.trees.root)]
            while pending:
                node, depth, place = pending.pop()
                if depth > DEEPEST:
                    raise ValueError(f"a tree is deeper than {DEEPEST}")
                if "split" not in node:
                    values = np.atleast_1d(np.array(node["value"], np.float64))
                    if len(values) != self.dimensions:
                        raise ValueError(f"a leaf has {len(values)} values, not {self.dimensions}")
                    place(self.trees.leaf(float(values[target]), target))
                    continue
                test = self.test(node["split"])
                place(test)
                pending.append((node["right"], depth + 1, self.side(self.trees.true, test)))
                pending.append((node["left"], depth + 1, self.side(self.trees.false, test)))

    @staticmethod
    def side(refs: list[Ref], test: Ref) -> Callable[[Ref], None]:
        """A place below a test."""
        return lambda ref: refs.__setitem__(test[1], ref)


def named(features: Any) -> str:
    """The first features of a list by name, or by number."""
    told = [str(f.get("feature_id") or f["flat_feature_index"]) for f in features[:5]]
    return ", ".join(told) + " …" * (len(features) > 5)


def loss_of(document: Any) -> str:
    """The loss function a model was fitted with."""
    params = document.get("model_info", {}).get("params", {})
    params = json.loads(params) if isinstance(params, str) else params
    return str(params.get("loss_function", {}).get("type", "RMSE"))


def build(document: Any, is_raw: bool = False) -> ir.Model:
    """The hub model of a document: its sums alone where `is_raw`, else what its loss function makes of
    them."""
    loss = loss_of(document)
    forest = Forest(document)
    op, x = start_graph("CatBoost", forest.count, ir.DataType.FLOAT)
    sums = forest.trees.build(op, op.Cast(x, to=int(ir.DataType.DOUBLE)))
    if forest.scale != 1:
        sums = op.Mul(sums, forest.scale)
    if forest.bias.any():
        sums = op.Add(sums, op.const(forest.bias))
    outputs = {"variable": sums} if is_raw else answers(op, sums, loss, document)
    return finish_model(op, outputs, forest.names, "catboost")


def classes_of(document: Any) -> np.ndarray:
    """The classes of a classifier; 0 and 1 where it names none."""
    params = document.get("model_info", {}).get("class_params") or {}
    params = json.loads(params) if isinstance(params, str) else params
    names, kind = params.get("class_names"), params.get("class_label_type")
    if not names:
        return np.arange(2)
    if kind == "Boolean":
        return np.array([str(n) for n in names], object)
    return np.array(names, object if kind == "String" else None)


def answers(op: hub.Builder, sums: ir.Value, loss: str, document: Any) -> Outputs:
    """`label` and `probabilities` of a classifier, `variable` of others."""
    if loss in BINARY:
        passed = op.Greater(sums, op.const(np.array(least_sum(document))))
        label = label_of(op, classes_of(document), positive_index(op, passed))
        return {"label": label, "probabilities": both_shares(op, links.logistic()(op, sums))}
    if loss in MANY_LABELS:
        label = op.Cast(op.Greater(sums, 0.0), to=int(ir.DataType.INT64))
        return {"label": label, "probabilities": links.logistic()(op, sums)}
    if loss in ONE_OF_MANY:
        label = label_of(op, classes_of(document), op.ArgMax(sums, axis=1, keepdims=0))
        return {"label": label, "probabilities": ONE_OF_MANY[loss](op, sums)}
    if loss == MEAN_AND_VARIANCE:
        mean, deviation = op.Split(sums, axis=1, num_outputs=2, _outputs=2)
        return {"variable": op.Concat(mean, op.Exp(op.Mul(deviation, 2.0)), axis=1)}
    return {"variable": op.Exp(sums) if loss in EXPONENTS else sums}


def least_sum(document: Any) -> float:
    """The sum above which a record is of the second class: 0 where no threshold is set."""
    threshold = float(document.get("model_info", {}).get("binclass_probability_threshold", 0.5))
    if not 0 < threshold < 1:
        reason = f"{threshold} is not between 0 and 1"
        raise unsupported("CatBoost", "binclass_probability_threshold", reason)
    return -math.log(1 / threshold - 1)


def load(src: Any) -> ir.Model:
    """A file or a fitted model as a hub model: input `X`, float [N, F].

    A classifier, and a file of one, gives `label` and `probabilities`; others `variable`, [N, K]. Raises
    UnreadableFile, UnsupportedModel; MissingDependency for a .cbm where CatBoost is not installed.
    """
    if isinstance(src, (str, Path)):
        with reading(Path(src), "CatBoost"):
            return build(document_of(Path(src)))
    kinds = {base.__name__ for base in type(src).__mro__}
    model = build(exported(src), not kinds & {"CatBoostClassifier", "CatBoostRegressor"})
    facts.ESTIMATOR.set(model, type(src).__name__)
    check_predictions(model, src)
    return model


importer = Importer(load, live=LibrarySession)
