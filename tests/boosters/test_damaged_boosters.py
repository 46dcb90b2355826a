"""Whatever bytes a model file holds, reading it ends in a model or a typed error."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bridge
from bridge.errors import UnreadableFile, UnsupportedModel

COUNT = 300
NUMBER = re.compile(rb"-?\d+(\.\d+)?([eE][-+]?\d+)?")
PUT = (
    *(
        b"-1",
        b"0",
        b"1",
        b"2",
        b"7",
        b"1.5",
        b"99999999999",
        b"-99999999999",
        b"18446744073709551616",
        b"1e999",
    ),
    *(b"nan", b"NaN", b"Infinity", b"null", b"true", b'""', b"[]", b""),
)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 3))
X[:, 2] = RNG.integers(0, 6, 200)
TARGET = X[:, 0] + X[:, 2] % 3


def xgboost_file(path: Path) -> None:
    xgboost = pytest.importorskip("xgboost")
    settings = {"max_depth": 3, "max_cat_to_onehot": 2, "objective": "multi:softprob", "num_class": 3}
    matrix = xgboost.DMatrix(
        X, np.digitize(TARGET, [0, 1]), feature_types=["q", "q", "c"], enable_categorical=True
    )
    xgboost.train(settings, matrix, 2).save_model(path)


def xgboost_vectors(path: Path) -> None:
    xgboost = pytest.importorskip("xgboost")
    settings = {"max_depth": 2, "multi_strategy": "multi_output_tree"}
    xgboost.train(settings, xgboost.DMatrix(X, np.c_[TARGET, -TARGET]), 2).save_model(path)


def lightgbm_file(path: Path, **settings: Any) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    settings |= {
        "verbose": -1,
        "num_leaves": 6,
        "min_data_per_group": 3,
        "cat_smooth": 1,
        "max_cat_to_onehot": 1,
    }
    data = lightgbm.Dataset(X, TARGET, categorical_feature=[2])
    lightgbm.train(settings, data, 3).save_model(path)


def lightgbm_linear(path: Path) -> None:
    lightgbm_file(path, linear_tree=True)


def catboost_file(path: Path) -> None:
    catboost = pytest.importorskip("catboost")
    model = catboost.CatBoostClassifier(iterations=2, depth=2, verbose=0, allow_writing_files=False)
    model.fit(X, np.digitize(TARGET, [0, 1])).save_model(str(path), format="json")


FILES = {
    "model.json": ("xgboost", xgboost_file),
    "model.ubj": ("xgboost", xgboost_file),
    "vectors.ubj": ("xgboost", xgboost_vectors),
    "model.txt": ("lightgbm", lightgbm_file),
    "linear.txt": ("lightgbm", lightgbm_linear),
    "catboost.json": ("catboost", catboost_file),
}


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """A file cut, with bytes changed, dropped, doubled or put in, or with a number that is another."""
    at, span = int(rng.integers(0, len(data))), int(rng.integers(1, 40))
    match rng.integers(0, 8):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + bytes(rng.integers(0, 256, 1, np.uint8)) + data[at + 1 :]
        case 2:
            return data[:at] + data[at + span :]
        case 3:
            return data[: at + span] + data[at:]
        case 4:
            return data[:at] + bytes(rng.integers(0, 256, 4, np.uint8)) + data[at:]
    numbers = list(NUMBER.finditer(data))
    number = numbers[int(rng.integers(0, len(numbers)))]
    return data[: number.start()] + PUT[int(rng.integers(0, len(PUT)))] + data[number.end() :]


@pytest.mark.parametrize("name", FILES)
def test_mutated_files_are_read_or_refused(name, tmp_path):
    source, write = FILES[name]
    path = tmp_path / name
    write(path)
    data, rng, read = path.read_bytes(), np.random.default_rng(1), 0
    for _ in range(COUNT):
        path.write_bytes(mutated(data, rng))
        try:
            bridge.load(path, source=source)
            read += 1
        except (UnreadableFile, UnsupportedModel):
            continue
    assert 0 < read < COUNT
