"""TFLite chooses boxes whose number is known at run time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

import bridge
from bridge import hub

pytest.importorskip("ai_edge_litert")


def chosen() -> ir.Model:
    """NonMaxSuppression of the boxes that a mask keeps."""
    kinds = {
        "boxes": (ir.DataType.FLOAT, (6, 4)),
        "scores": (ir.DataType.FLOAT, (6,)),
        "mask": (ir.DataType.BOOL, (6,)),
    }
    inputs = [ir.Value(name=n, type=ir.TensorType(t), shape=ir.Shape(s)) for n, (t, s) in kinds.items()]
    graph = ir.Graph(inputs, [], nodes=[], name="chosen", opset_imports={"": hub.HUB_OPSET})
    op = hub.Builder(graph)
    boxes, scores, mask = inputs
    kept = op.Squeeze(op.NonZero(mask), np.array([0]))
    rows, own = op.Gather(boxes, kept, axis=0), op.Gather(scores, kept, axis=0)
    found = op.NonMaxSuppression(
        op.Unsqueeze(rows, np.array([0])), op.Unsqueeze(own, np.array([0, 1])), op.Shape(own), np.array([0.5], np.float32)
    )  # fmt: skip
    found.name = "output"
    graph.outputs.append(found)
    return ir.Model(graph, ir_version=hub.IR_VERSION)


@pytest.mark.parametrize("kept", [6, 3, 1])
def test_boxes_of_run_time_number_are_suppressed(kept: int, tmp_path: Path) -> None:
    model = chosen()
    corners = np.random.default_rng(0).random((6, 2, 2), np.float32) * 4
    inputs = {
        "boxes": np.concatenate([corners.min(1), corners.max(1)], 1),
        "scores": np.linspace(0.9, 0.1, 6, dtype=np.float32),
        "mask": np.arange(6) < kept,
    }
    path = bridge.save(model, tmp_path / "chosen.tflite").path
    assert np.array_equal(bridge.run(path, inputs)["output"], bridge.run(model, inputs)["output"])
