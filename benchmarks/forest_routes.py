"""Forests to every format: `python benchmarks/forest_routes.py [--targets onnx,pmml] [--rows 1000]`.

Seconds to read an isolation forest of 100 trees, a forest of 500 and gradient boosting of 500, fitted by scikit-learn
on seeded data, with the comparison that reading ends in; and seconds to write each as every format, with the size
of the file.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import GradientBoostingRegressor, IsolationForest, RandomForestClassifier

import bridge

TARGETS = ("onnx", "pmml", "coreml", "tflite", "torchscript", "savedmodel")
FEATURES = 20


def forests() -> dict[str, Any]:
    return {
        "isolation forest of 100": IsolationForest(n_estimators=100, random_state=0),
        "forest of 500": RandomForestClassifier(500, random_state=0),
        "gradient boosting of 500": GradientBoostingRegressor(n_estimators=500, random_state=0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--rows", type=int, default=1_000)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(given.rows, FEATURES))
    y = np.digitize(np.sin(x[:, 0]) * 3 + x[:, 1] * x[:, 2] + rng.normal(size=len(x)), [-1.0, 1.0])
    for name, made in forests().items():
        if given.names and not any(part in name for part in given.names):
            continue
        made.fit(x, y)
        start = time.process_time()
        model = bridge.load(made)
        print(f"{name}: read in {time.process_time() - start:.1f} s", flush=True)
        for target in given.targets.split(","):
            print(f"    {target:12} {written(model, target)}", flush=True)


def written(model: Any, target: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        try:
            path = bridge.save(model, Path(folder) / "model", to=target).path
        except bridge.BridgeError as error:
            return str(error).splitlines()[0]
        spent = time.process_time() - start
        files = [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
        return f"{spent:6.1f} s {sum(f.stat().st_size for f in files) / 1e6:8.1f} MB"


if __name__ == "__main__":
    main()
