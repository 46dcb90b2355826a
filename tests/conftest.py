"""Shared fixtures."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

MODELS = Path(__file__).parent / "models"
SHARED = Path(__file__).parents[2] / "shared" / "models"
FORMATS = ["coreml", "onnx", "pmml", "savedmodel", "sklearn", "tflite", "torchscript"]


@pytest.fixture
def mnist() -> Path:
    return MODELS / "mnist.onnx"


@pytest.fixture
def parse():
    """ONNX text of a graph at opset 21 → ModelProto."""

    def parse(graph: str, opset: int = 21) -> onnx.ModelProto:
        return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {graph}')

    return parse
