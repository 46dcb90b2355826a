"""Every classifier and regressor that skl2onnx knows, to PMML and PMML4S: `python
benchmarks/pmml_estimators.py [NAME…]`.

Each is fitted on scikit-learn's bundled data (iris and breast cancer, or diabetes; six features) with its
default settings and scored on a test split. Classes must be equal, and numbers within 1e-6 (1e-5 for models
of trees, which read float32).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from skl2onnx._supported_operators import sklearn_operator_name_map
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import train_test_split
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import all_estimators

import bridge
from bridge.errors import BridgeError

KNOWN = {cls.__name__ for cls in sklearn_operator_name_map}
CLASSIFIERS = [("a", LogisticRegression()), ("b", DecisionTreeClassifier(max_depth=3))]
REGRESSORS = [("a", LinearRegression()), ("b", DecisionTreeRegressor(max_depth=3))]
COUNTS = ("MultinomialNB", "ComplementNB", "CategoricalNB")
SETTINGS: dict[str, Any] = {"n_estimators": 5, "random_state": 0}


def made(name: str, cls: Any) -> Any:
    """An unfitted estimator."""
    if name == "VotingClassifier":
        return cls(CLASSIFIERS, voting="soft")
    if name.startswith(("Stacking", "Voting")):
        return cls(CLASSIFIERS if name.endswith("Classifier") else REGRESSORS)
    if name == "GaussianProcessRegressor":
        return cls(alpha=0.1, normalize_y=True)
    try:
        found = cls()
    except TypeError:
        found = cls(Ridge() if "Regressor" in name else LogisticRegression())
    return found.set_params(**{k: v for k, v in SETTINGS.items() if k in found.get_params(deep=False)})


def data(name: str, load: Any) -> tuple[np.ndarray, np.ndarray]:
    x, y = load(return_X_y=True)
    x = x[:, :6]
    if name in COUNTS:
        x = np.clip(np.abs(x), 0, 3 if name == "CategoricalNB" else None).round()
    if load is load_diabetes and ("MultiTask" in name or name in ("MultiOutputRegressor", "RegressorChain")):
        y = np.stack([y, -y], axis=1)
    if name in ("MultiOutputClassifier", "ClassifierChain"):
        y = np.stack([y, 1 - y % 2], axis=1)
    return x, y


def outcome(estimator: Any, x: np.ndarray, folder: Path) -> tuple[str, str]:
    try:
        path = bridge.convert(estimator, folder / "model.pmml", to="pmml", overwrite=True).path
        value = bridge.load(estimator).graph.inputs[0]
        found = list(bridge.run(path, {"X": x.astype(value.dtype.numpy())}).values())
    except BridgeError as error:
        return "refused", " | ".join(line.strip() for line in str(error).splitlines())[:150]
    bound = 1e-6 if value.dtype.name == "DOUBLE" else 1e-5
    expected = np.asarray(estimator.predict(x))
    if not hasattr(estimator, "classes_"):
        gap = np.abs(found[0].reshape(expected.shape) - expected)
        error = (gap / np.maximum(np.abs(expected), 1e-12)).max()
        return "equal" if error <= bound else "wrong", f"within {error:.0e}"
    same = (found[0].reshape(expected.shape).astype(str) == expected.astype(str)).mean()
    if not hasattr(estimator, "predict_proba") or len(found) < 2:
        return "equal" if same == 1 else "wrong", f"{same:.1%} of classes"
    shares = estimator.predict_proba(x)
    shares = np.concatenate(shares, axis=1) if isinstance(shares, list) else np.asarray(shares)
    error = np.abs(np.concatenate(found[1:], axis=1) - shares).max()
    good = same == 1 and error <= bound
    return "equal" if good else "wrong", f"{same:.1%} of classes, probabilities within {error:.0e}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    names = set(parser.parse_args().names)
    warnings.filterwarnings("ignore")
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for kind, loads in (("classifier", (load_iris, load_breast_cancer)), ("regressor", (load_diabetes,))):
            for name, cls in all_estimators(kind):
                if name in KNOWN and (not names or name in names):
                    for load in loads:
                        said, detail = tried(made(name, cls), name, load, Path(folder))
                        found[said] += 1
                        print(f"{said:8} {name:32} {load.__name__[5:]:14} {detail}", flush=True)
    print(", ".join(f"{count} {what}" for what, count in sorted(found.items())))
    return 1 if found["wrong"] else 0


def tried(estimator: Any, name: str, load: Any, folder: Path) -> tuple[str, str]:
    x, y = data(name, load)
    train, test, target, _ = train_test_split(x, y, random_state=1, test_size=50)
    try:
        estimator.fit(train, target)
    except ValueError as error:
        return "unfitted", str(error)[:100]
    return outcome(estimator, test, folder)


if __name__ == "__main__":
    sys.exit(main())
