"""LightGBM's text and models in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from build import save_as

import bridge
from bridge.errors import UnreadableFile, UnsupportedModel

lightgbm = pytest.importorskip("lightgbm")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4))
X[:, 3] = RNG.integers(0, 9, 300)
TARGET = X[:, 0] * 3 + X[:, 1] ** 2 + np.array([0, 3, -2, 5, 1, -4.0, 2, -3, 4])[X[:, 3].astype(int)]
SETS = {"min_data_per_group": 5, "cat_smooth": 1, "max_cat_to_onehot": 2}
ZERO = float(np.float32(1e-35))


def train(target: Any = TARGET, records: np.ndarray = X, codes: Any = "auto", **settings: Any) -> Any:
    data = lightgbm.Dataset(records, target, categorical_feature=codes)
    return lightgbm.train({"verbose": -1, "num_leaves": 8, **settings}, data, 6)


def same(model: Any, records: np.ndarray = X) -> None:
    """Doubles within 1e-9, for they are added up as LightGBM adds them."""
    found = bridge.run(bridge.load(model), {"X": records})["variable"]
    expected = model.predict(records)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-9, atol=1e-12)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "model.txt"
    path.write_text(text)
    return path


def test_files_are_read_and_verified_in_lightgbm(tmp_path):
    booster = train((TARGET > 0).astype(int), objective="binary", sigmoid=2.0)
    path = tmp_path / "model.txt"
    booster.save_model(path)
    done = bridge.convert(path, tmp_path / "model.onnx", verify=True)
    assert done.verification.ok
    assert done.verification.engines[0].startswith("lightgbm")


def test_files_are_read_without_lightgbm(tmp_path):
    path = written(tmp_path, train().model_to_string())
    code = "import sys; sys.modules['lightgbm'] = None; import bridge; bridge.load(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


@pytest.mark.parametrize(
    "settings",
    [
        {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.7},
        {"boosting": "dart"},
        {"data_sample_strategy": "goss"},
        {"linear_tree": True},
        {"reg_sqrt": True},
        {"objective": "quantile"},
    ],
    ids=str,
)
def test_boosters_of_every_kind_of_boosting(settings):
    same(train(**settings))


def test_linear_leaves_have_a_value_for_missing_numbers():
    booster = train(linear_tree=True)
    records = np.where(RNG.random(X.shape) < 0.3, np.nan, X)
    same(booster, records)


@pytest.mark.parametrize("kind", ["Booster", "LGBMRegressor"])
def test_categories_are_truncated(kind):
    estimator = lightgbm.LGBMRegressor(n_estimators=8, verbose=-1, **SETS).fit(
        X, TARGET, categorical_feature=[3]
    )
    records = np.repeat(X[:1], 14, axis=0)
    records[:, 3] = [0, 3, 3.7, 8.999, 9, 40, -1, -0.5, -0.0, 1e12, 2.0**31, np.inf, -np.inf, np.nan]
    same(estimator.booster_ if kind == "Booster" else estimator, records)


def test_doubles_are_compared():
    booster = train()
    lines = dict(line.split("=", 1) for line in booster.model_to_string().splitlines() if "=" in line)
    thresholds = np.array(lines["threshold"].split(), float)
    columns = np.array(lines["split_feature"].split(), int)
    records = np.repeat(X[:1], 3 * len(columns), axis=0)
    for row, (column, bound) in enumerate(zip(columns, thresholds, strict=True)):
        beside = [np.nextafter(bound, -np.inf), bound, np.nextafter(bound, np.inf)]
        records[3 * row : 3 * row + 3, column] = beside
    same(booster, records)


@pytest.mark.parametrize("settings", [{}, {"use_missing": False}, {"zero_as_missing": True}], ids=str)
@pytest.mark.parametrize("has_missing", [True, False])
def test_missing_values_and_zeros(settings, has_missing):
    records = np.where(RNG.random(X.shape) < 0.3, 0, X)
    records = np.where((RNG.random(X.shape) < 0.2) & has_missing, np.nan, records)
    booster = train(records=records, **settings)
    near_zero = [
        0.0,
        -0.0,
        ZERO,
        -ZERO,
        np.nextafter(ZERO, 1),
        -np.nextafter(ZERO, 1),
        ZERO / 2,
        -1e-40,
        np.nan,
    ]
    same(booster, RNG.choice([*near_zero, 1.0, -1.0], (400, 4)))


def test_the_best_iteration_is_the_last():
    held = lightgbm.Dataset(X[150:], TARGET[150:] + RNG.normal(size=150))
    booster = lightgbm.train(
        {"verbose": -1, "learning_rate": 0.9, "min_data_in_leaf": 5},
        lightgbm.Dataset(X[:150], TARGET[:150]),
        60,
        valid_sets=[held],
        keep_training_booster=True,
        callbacks=[lightgbm.early_stopping(2, verbose=False)],
    )
    assert 0 < booster.best_iteration < booster.current_iteration()
    same(booster)


@pytest.mark.parametrize("names", [[4, 9], ["no", "yes", "so"], [1.0, 2.0], [False, True], [2**40, 2**41, 7]])
def test_classifiers_give_label_and_probabilities(names):
    classes = np.array(names)[np.digitize(TARGET, np.quantile(TARGET, np.arange(1, len(names)) / len(names)))]
    estimator = lightgbm.LGBMClassifier(n_estimators=4, verbose=-1).fit(X, classes)
    found = bridge.run(bridge.load(estimator), {"X": X})
    assert found["label"].tolist() == estimator.predict(X).tolist()
    np.testing.assert_allclose(found["probabilities"], estimator.predict_proba(X), rtol=1e-9)


@pytest.mark.parametrize("boosting", ["gbdt", "rf"])
def test_sums_before_the_function_of_the_objective(boosting, tmp_path):
    bagging = {"bagging_freq": 1, "bagging_fraction": 0.7}
    booster = train((TARGET > 0).astype(int), objective="binary", boosting=boosting, **bagging)
    path = tmp_path / "model.txt"
    booster.save_model(path)
    expected = booster.predict(X, raw_score=True)
    for source in (booster, path):
        found = bridge.run(bridge.load(source, raw_score=True), {"X": X})["variable"][:, 0]
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(bridge.run(path, {"X": X}, raw_score=True)["variable"][:, 0], expected)


def test_predictions_that_stop_early_are_refused():
    estimator = lightgbm.LGBMClassifier(n_estimators=4, verbose=-1, pred_early_stop=True)
    estimator.fit(X, (TARGET > 0).astype(int))
    with pytest.raises(UnsupportedModel, match="pred_early_stop"):
        bridge.load(estimator)


@pytest.mark.parametrize("target", ["coreml", "pmml", "savedmodel"])
def test_categories_reach_other_formats(target, tmp_path):
    booster = train(codes=[3], **SETS)
    found = bridge.run(save_as(target, booster, tmp_path), {"X": X})["variable"]
    np.testing.assert_allclose(np.ravel(found), booster.predict(X), rtol=1e-4)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("left_child=1", "left_child=0"),
        ("left_child=1", "left_child=99"),
        ("left_child=1", "left_child=-99"),
        ("left_child=1", "left_child="),
        ("num_leaves=8", "num_leaves=1000000000000"),
        ("leaf_value=", "leaf_value=nan "),
        ("leaf_value=", "leaf_value=inf "),
        ("threshold=", "threshold=nan "),
        ("split_feature=", "split_feature=77 "),
        ("max_feature_idx=3", "max_feature_idx=-5"),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=0"),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=4"),
        ("decision_type=2", "decision_type=14"),
        ("end of trees", ""),
        ("Tree=3", "Three"),
    ],
)
def test_broken_files_are_unreadable(old, new, tmp_path):
    text = train().model_to_string()
    assert old in text
    replaced = text.replace(old, new, 1)
    if old.endswith("=") and new != old:
        start = replaced.index(new)
        line = replaced[start : replaced.index("\n", start)]
        replaced = replaced.replace(line, line.rsplit(" ", 1)[0], 1)
    with pytest.raises(UnreadableFile):
        bridge.load(written(tmp_path, replaced))


@pytest.mark.parametrize(
    ("old", "new"), [("version=v4", "version=v9"), ("objective=regression", "objective=odd")]
)
def test_what_is_not_known_is_refused_by_name(old, new, tmp_path):
    with pytest.raises(UnsupportedModel, match=new.partition("=")[2]):
        bridge.load(written(tmp_path, train().model_to_string().replace(old, new, 1)))
