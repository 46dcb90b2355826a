"""TFLite chooses boxes whose number is known at run time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from build import hub_from_builder

import bridge

pytest.importorskip("ai_edge_litert")


def suppress(op: Any, boxes: Any, scores: Any, mask: Any) -> Any:
    """NonMaxSuppression of the boxes that a mask selects."""
    selected = op.Squeeze(op.NonZero(mask), np.array([0]))
    boxes, scores = op.Gather(boxes, selected, axis=0), op.Gather(scores, selected, axis=0)
    return op.NonMaxSuppression(
        op.Unsqueeze(boxes, np.array([0])),
        op.Unsqueeze(scores, np.array([0, 1])),
        op.Shape(scores),
        np.array([0.5], np.float32),
    )


INPUTS = {"boxes": (np.float32, [6, 4]), "scores": (np.float32, [6]), "mask": (bool, [6])}


@pytest.mark.parametrize("count", [6, 3, 1])
def test_boxes_of_run_time_number_are_suppressed(count: int, tmp_path: Path) -> None:
    model = hub_from_builder(suppress, INPUTS)
    corners = np.random.default_rng(0).random((6, 2, 2), np.float32) * 4
    inputs = {
        "boxes": np.concatenate([corners.min(1), corners.max(1)], 1),
        "scores": np.linspace(0.9, 0.1, 6, dtype=np.float32),
        "mask": np.arange(6) < count,
    }
    path = bridge.save(model, tmp_path / "boxes.tflite").path
    assert np.array_equal(bridge.run(path, inputs)["y"], bridge.run(model, inputs)["y"])
