"""XGBoost's JSON, UBJSON and models in memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from build import save_as

import bridge
from bridge import facts
from bridge.errors import ExecutionFailed, UnreadableFile, UnsupportedModel

xgboost = pytest.importorskip("xgboost")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 4)).astype(np.float32)
X[:, 3] = RNG.integers(0, 7, 200)
TARGET = X[:, 0] + X[:, 1] * X[:, 2] + np.array([1, -2, 0, 3, -1, 2, 0])[X[:, 3].astype(int)]
CODED = ["q", "q", "q", "c"]


def train(target: Any = TARGET, types: list[str] | None = None, rounds: int = 4, **settings: Any) -> Any:
    matrix = xgboost.DMatrix(X, target, feature_types=types, enable_categorical=True)
    return xgboost.train({"max_depth": 3, **settings}, matrix, rounds)


def predicted(booster: Any, records: np.ndarray = X, types: list[str] | None = None) -> np.ndarray:
    return booster.predict(xgboost.DMatrix(records, feature_types=types, enable_categorical=True))


def near(found: np.ndarray, expected: np.ndarray) -> None:
    """Floats of sizes around 1, whose sums are added up in another order."""
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)


def document(booster: Any) -> dict[str, Any]:
    return json.loads(booster.save_raw("json"))


def written(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "model.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("suffix", [".json", ".ubj"])
def test_files_are_read_and_verified_in_xgboost(suffix, tmp_path):
    booster = train((TARGET > 0).astype(int), objective="binary:logistic")
    path = tmp_path / f"model{suffix}"
    booster.save_model(path)
    done = bridge.convert(path, tmp_path / "model.onnx", verify=True)
    assert done.verification.ok
    assert done.verification.engines[0].startswith("xgboost")
    found = bridge.run(done.path, {"X": X})["variable"]
    near(found, predicted(booster))


def test_files_are_read_without_xgboost(tmp_path):
    path = written(tmp_path, document(train()))
    code = "import sys; sys.modules['xgboost'] = None; import bridge; bridge.load(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


@pytest.mark.parametrize(
    ("objective", "settings"),
    [
        ("binary:logistic", {}),
        ("multi:softprob", {"num_class": 2}),
        ("binary:logitraw", {}),
        ("rank:pairwise", {}),
        ("binary:hinge", {}),
        ("survival:cox", {}),
    ],
)
def test_boosters_of_every_kind_of_objective(objective, settings):
    matrix = xgboost.DMatrix(X, (TARGET > 0).astype(int))
    if objective.startswith("rank"):
        matrix.set_group([20] * 10)
    booster = xgboost.train({"objective": objective, "max_depth": 2, **settings}, matrix, 3)
    found = bridge.run(bridge.load(booster), {"X": X})["variable"]
    expected = predicted(booster)
    near(found, expected)


def test_survival_times(tmp_path):
    matrix = xgboost.DMatrix(X)
    matrix.set_float_info("label_lower_bound", np.exp(TARGET))
    matrix.set_float_info("label_upper_bound", np.full(200, np.inf))
    booster = xgboost.train({"objective": "survival:aft"}, matrix, 3)
    found = bridge.run(bridge.load(booster), {"X": X})["variable"]
    near(found, predicted(booster))


@pytest.mark.parametrize("strategy", ["one_output_per_tree", "multi_output_tree"])
def test_several_targets(strategy):
    booster = train(np.c_[TARGET, -TARGET, TARGET**2], multi_strategy=strategy)
    found = bridge.run(bridge.load(booster), {"X": X})["variable"]
    near(found, predicted(booster))


def test_vectors_of_leaves_as_older_versions_write_them(tmp_path):
    booster = train(np.c_[TARGET, -TARGET], multi_strategy="multi_output_tree")
    content = document(booster)
    for tree in content["learner"]["gradient_booster"]["model"]["trees"]:
        weights = np.zeros((len(tree["left_children"]), 2))
        for node, (left, place) in enumerate(zip(tree["left_children"], tree["right_children"], strict=True)):
            if left == -1:
                weights[node] = tree["leaf_weights"][2 * place : 2 * place + 2]
                tree["right_children"][node] = -1
        tree["base_weights"] = weights.ravel().tolist()
        del tree["leaf_weights"]
    path = written(tmp_path, content)
    near(bridge.run(bridge.load(path), {"X": X})["variable"], predicted(booster))
    with pytest.raises(ExecutionFailed, match=r"before 3\.2"):
        bridge.run(path, {"X": X})


@pytest.mark.parametrize("most", [1, 20], ids=["sets", "single categories"])
def test_categories_as_xgboost_reads_codes(most):
    booster = train(types=CODED, max_cat_to_onehot=most)
    rows = np.repeat(X[:1], 9, axis=0)
    rows[:, 3] = [0, 3, 3.7, 6.999, 7, -1, -0.5, 2.0**24, np.nan]
    found = bridge.run(bridge.load(booster), {"X": rows})["variable"]
    near(found, predicted(booster, rows, CODED))


@pytest.mark.parametrize("missing", [-999.0, 0.0])
def test_another_value_for_missing(missing):
    records = np.where(RNG.random(X.shape) < 0.2, np.float32(missing), X)
    estimator = xgboost.XGBRegressor(n_estimators=4, missing=missing).fit(records, TARGET)
    found = bridge.run(bridge.load(estimator), {"X": records})["variable"]
    near(found, estimator.predict(records))


def test_early_stopping_counts_for_estimators_alone():
    estimator = xgboost.XGBRegressor(n_estimators=40, early_stopping_rounds=2, learning_rate=1.0)
    noise = RNG.normal(size=100)
    estimator.fit(X[:100], TARGET[:100] + noise, eval_set=[(X[100:], TARGET[100:] - noise)], verbose=False)
    booster = estimator.get_booster()
    assert estimator.best_iteration + 1 < booster.num_boosted_rounds()
    for source, expected in ((estimator, estimator.predict(X)), (booster, predicted(booster))):
        found = bridge.run(bridge.load(source), {"X": X})["variable"]
        near(found, expected)


def test_classifiers_give_label_and_probabilities():
    for classes in (2, 3):
        known = np.digitize(TARGET, np.quantile(TARGET, np.arange(1, classes) / classes))
        estimator = xgboost.XGBRFClassifier(n_estimators=6).fit(X, known)
        found = bridge.run(bridge.load(estimator), {"X": X})
        assert found["label"].tolist() == estimator.predict(X).tolist()
        near(found["probabilities"], estimator.predict_proba(X))


def test_small_probabilities_keep_their_digits():
    known = (TARGET > 0).astype(int)
    booster = train(known, objective="binary:logistic", rounds=60, eta=1.0, base_score=1e-6)
    found = bridge.run(bridge.load(booster), {"X": X})["variable"][:, 0]
    assert found.min() < 1e-4
    np.testing.assert_allclose(found, predicted(booster), rtol=1e-5)


def test_weights_of_dropped_trees():
    booster = train(booster="dart", rate_drop=0.5, rounds=8)
    assert min(document(booster)["learner"]["gradient_booster"]["weight_drop"]) < 1
    found = bridge.run(bridge.load(booster), {"X": X})["variable"]
    near(found, predicted(booster))


def test_names_of_columns_are_kept():
    matrix = xgboost.DMatrix(X, TARGET, feature_names=["a", "b", "c", "d"])
    assert facts.FEATURE_NAMES.get(bridge.load(xgboost.train({}, matrix, 2))) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("target", ["coreml", "pmml", "tflite", "torchscript"])
def test_classifiers_reach_other_formats(target, tmp_path):
    estimator = xgboost.XGBClassifier(n_estimators=4).fit(X, np.digitize(TARGET, [-1, 1]))
    found = bridge.run(save_as(target, estimator, tmp_path), {"X": X})
    assert np.ravel(found["label"]).astype(int).tolist() == estimator.predict(X).tolist()


def broken(kind: str, content: dict[str, Any]) -> None:
    learner = content["learner"]
    model = learner["gradient_booster"]["model"]
    tree = model["trees"][0]
    match kind:
        case "version":
            content["version"] = [4, 0, 0]
        case "objective":
            learner["objective"]["name"] = "reg:unheard"
        case "booster":
            learner["gradient_booster"]["name"] = "unheard"
        case "loop":
            tree["left_children"][0] = 0
        case "dangling":
            tree["left_children"][0] = 1000
        case "twice":
            tree["left_children"][0] = tree["right_children"][0]
        case "leaf":
            tree["split_conditions"][-1] = float("nan")
        case "threshold":
            tree["split_conditions"][0] = float("nan")
        case "column":
            tree["split_indices"][0] = 10**9
        case "trees":
            model["gbtree_model_param"]["num_trees"] = str(10**12)
        case "targets":
            learner["learner_model_param"]["num_target"] = str(10**12)
        case "group":
            model["tree_info"][0] = 7
        case "base":
            learner["learner_model_param"]["base_score"] = "[1,2,3]"
        case "weights":
            tree["split_conditions"] = tree["split_conditions"][:2]


@pytest.mark.parametrize("kind", ["version", "objective", "booster"])
def test_what_is_not_known_is_refused_by_name(kind, tmp_path):
    content = document(train())
    broken(kind, content)
    with pytest.raises(UnsupportedModel, match="4.0.0" if kind == "version" else "unheard"):
        bridge.load(written(tmp_path, content))


@pytest.mark.parametrize(
    "kind",
    [
        *("loop", "dangling", "twice", "leaf", "threshold", "column", "trees", "targets", "group", "base"),
        "weights",
    ],
)
def test_broken_files_are_unreadable(kind, tmp_path):
    content = document(train())
    broken(kind, content)
    with pytest.raises(UnreadableFile):
        bridge.load(written(tmp_path, content))


def test_the_old_binary_form_names_the_way_out(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(b"binf" + bytes(100))
    with pytest.raises(UnreadableFile, match="save_model"):
        bridge.load(path)


@pytest.mark.parametrize("content", [[], {}, [{"nodeid": 0, "leaf": 1.0}], {"name": "tree", "tree_info": []}])
def test_what_is_no_model_names_the_way_out(content, tmp_path):
    with pytest.raises(UnreadableFile, match="save_model"):
        bridge.load(written(tmp_path, content))
