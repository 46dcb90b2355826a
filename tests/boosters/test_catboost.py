"""CatBoost's files and models in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bridge
from bridge.errors import UnreadableFile, UnsupportedModel

catboost = pytest.importorskip("catboost")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 4)).astype(np.float32)
X[RNG.random(X.shape) < 0.1] = np.nan
TARGET = np.nan_to_num(X[:, 0] + X[:, 1] * X[:, 2])
QUIET = {"iterations": 5, "depth": 3, "verbose": 0, "allow_writing_files": False}


def written(model: Any, tmp_path: Path, kind: str = "json") -> Path:
    path = tmp_path / f"model.{kind}"
    model.save_model(str(path), format=kind)
    return path


@pytest.mark.parametrize("kind", ["json", "cbm"])
def test_files_are_read_and_verified_in_catboost(kind, tmp_path):
    path = written(catboost.CatBoostRegressor(**QUIET).fit(X, TARGET), tmp_path, kind)
    done = bridge.convert(path, tmp_path / "model.onnx", verify=True)
    assert done.verification.ok
    assert done.verification.engines[0].startswith("catboost")


@pytest.mark.parametrize("grow", ["SymmetricTree", "Depthwise", "Lossguide"])
@pytest.mark.parametrize("names", [["no", "yes"], [3, 5, 8]])
def test_classifiers_give_label_and_probabilities(grow, names, tmp_path):
    classes = np.array(names)[np.digitize(TARGET, [0, 1][: len(names) - 1])]
    model = catboost.CatBoostClassifier(grow_policy=grow, **QUIET).fit(X, classes)
    for source in (model, written(model, tmp_path)):
        found = bridge.run(bridge.load(source), {"X": X})
        assert found["label"].tolist() == model.predict(X).ravel().tolist()
        np.testing.assert_allclose(found["probabilities"], model.predict_proba(X), rtol=1e-9)


def test_a_threshold_of_the_probability_counts():
    model = catboost.CatBoostClassifier(**QUIET).fit(X, (TARGET > 0).astype(int))
    model.set_probability_threshold(0.3)
    found = bridge.run(bridge.load(model), {"X": X})["label"]
    assert found.tolist() == model.predict(X).tolist()


def test_categories_are_refused_by_name():
    records = np.nan_to_num(X).astype(object)
    records[:, 3] = RNG.choice(["a", "b"], 200)
    model = catboost.CatBoostRegressor(cat_features=[3], **QUIET).fit(records, TARGET)
    with pytest.raises(UnsupportedModel, match=r"categorical features .* 3"):
        bridge.load(model)


def test_broken_files_are_unreadable(tmp_path):
    model = catboost.CatBoostRegressor(**QUIET).fit(X, TARGET)
    path = written(model, tmp_path)
    for change in ("leaves", "column", "leaf"):
        content = json.loads(path.read_text())
        tree = content["oblivious_trees"][0]
        if change == "leaves":
            tree["leaf_values"].pop()
        elif change == "column":
            tree["splits"][0]["float_feature_index"] = 99
        else:
            tree["leaf_values"][0] = float("inf")
        other = tmp_path / f"{change}.json"
        other.write_text(json.dumps(content))
        with pytest.raises(UnreadableFile):
            bridge.load(other)
    cut = tmp_path / "cut.cbm"
    cut.write_bytes(written(model, tmp_path, "cbm").read_bytes()[:900])
    with pytest.raises(UnreadableFile):
        bridge.load(cut)
