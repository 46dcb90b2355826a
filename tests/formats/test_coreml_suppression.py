"""Non-maximum suppression as Core ML keeps the boxes that ONNX Runtime keeps, in its order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from build import hub_from_text, save_as

import bridge

RNG = np.random.default_rng(4)


def boxes_and_scores(batch: int, classes: int, count: int) -> dict[str, np.ndarray]:
    """Boxes around a few places, so that many overlap, as corners in any order; scores of many classes."""
    middles = RNG.integers(0, 3, (batch, count, 2)) * 4 + RNG.uniform(-0.4, 0.4, (batch, count, 2))
    sizes = RNG.uniform(-2, 2, (batch, count, 2))
    boxes = np.concatenate([middles - sizes, middles + sizes], -1)
    return {"b": boxes.astype(np.float32), "s": RNG.random((batch, classes, count)).astype(np.float32)}


THRESHOLDS: dict[str, dict[str, Any]] = {
    "few": {"m": np.array(3), "i": np.float32(0.5), "t": np.float32(0.25)},
    "all": {"m": np.array(2**63 - 1), "i": np.float32(0.3), "t": np.float32(0.6)},
    "none overlap": {"m": np.array([5]), "i": np.float32([0.0]), "t": np.float32([0.0])},
}


@pytest.mark.parametrize("shape", ["1,12", "2,N", "B,N"])
@pytest.mark.parametrize("name", THRESHOLDS)
def test_the_boxes_of_onnx_runtime_are_kept(name: str, shape: str, tmp_path: Path) -> None:
    batch, count = shape.split(",")
    graph = f"(float[{batch},{count},4] b, float[{batch},3,{count}] s) => (int64[K,3] y) {{ y = NonMaxSuppression (b, s, m, i, t) }}"
    model = hub_from_text(graph, **{k: np.asarray(v) for k, v in THRESHOLDS[name].items()})
    path = save_as("coreml", model, tmp_path)
    feed = boxes_and_scores(1 if batch == "1" else 2, 3, 12)
    np.testing.assert_array_equal(bridge.run(path, feed)["y"], bridge.run(model, feed)["y"])


def test_thresholds_are_known_at_run_time_alone(tmp_path: Path) -> None:
    graph = """(float[1,12,4] b, float[1,2,12] s, int64 m, float i, float t) => (int64[K,3] y) {
        y = NonMaxSuppression <center_point_box = 1> (b, s, m, i, t)
    }"""
    model = hub_from_text(graph)
    path = save_as("coreml", model, tmp_path)
    given = boxes_and_scores(1, 2, 12)
    given["b"][..., 2:] = np.abs(given["b"][..., 2:])
    for most, overlap, least in ((2, 0.5, 0.1), (12, 0.2, 0.4)):
        feed = given | {
            "m": np.array(most),
            "i": np.array(overlap, np.float32),
            "t": np.array(least, np.float32),
        }
        np.testing.assert_array_equal(bridge.run(path, feed)["y"], bridge.run(model, feed)["y"])
