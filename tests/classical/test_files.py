"""Files of estimators are read where they hold data alone, and refused with a way out where they run code."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import bridge
from bridge.errors import UnreadableFile

pytest.importorskip("skl2onnx")

from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge


@pytest.mark.parametrize(
    ("name", "load"),
    [("m.pkl", "pickle.loads(open"), ("m.pickle", "pickle.loads"), ("m.joblib", "joblib.load(")],
)
def test_a_pickle_is_refused_with_the_lines_that_load_it(name, load, tmp_path):
    path = tmp_path / name
    path.write_bytes(pickle.dumps(Ridge().fit(np.eye(4), np.arange(4))))
    with pytest.raises(UnreadableFile) as refused:
        bridge.convert(path, tmp_path / "m.onnx")
    *_, first, second = str(refused.value).splitlines()
    assert first.startswith("import bridge, ")
    assert load in second
    assert "to='onnx'" in second
    assert not (tmp_path / "m.onnx").exists()


def test_a_skops_file_is_read_with_the_types_that_are_trusted(tmp_path):
    skops = pytest.importorskip("skops.io")
    x = np.random.default_rng(0).normal(size=(60, 3))
    estimator = HistGradientBoostingRegressor(max_iter=3).fit(x, x[:, 0])
    path = tmp_path / "m.skops"
    skops.dump(estimator, path)
    with pytest.raises(UnreadableFile, match="TreePredictor") as refused:
        bridge.load(path)
    trusted = str(refused.value).split("trusted=")[1].split(" ")[0]
    found = bridge.run(bridge.load(path, trusted=trusted), {"X": x})["variable"]
    np.testing.assert_allclose(found.ravel(), estimator.predict(x))


def test_what_is_no_skops_file_is_refused(tmp_path):
    pytest.importorskip("skops.io")
    path = tmp_path / "m.skops"
    path.write_bytes(b"PK\x03\x04 not a model")
    with pytest.raises(UnreadableFile, match="skops"):
        bridge.load(path)
