"""The rule is used where there is one, the body everywhere else, and the report says which."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from bridge_hard_swish import MODEL

import bridge

GRAPH = MODEL.partition("<domain")[0]


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "model.onnxtxt"
    path.write_text(GRAPH)
    return path


@pytest.mark.parametrize(
    ("to", "module", "outcome"),
    [
        ("tflite", "ai_edge_litert", "native"),
        ("torchscript", "torch", "expanded"),
        ("savedmodel", "tensorflow", "expanded"),
        ("coreml", "coremltools", "expanded"),
    ],
)
def test_the_report_says_which_was_used(to, module, outcome, source, tmp_path):
    pytest.importorskip(module)
    conversion = bridge.convert(source, tmp_path / "model", to=to, verify=True)
    assert conversion.verification.ok
    assert [(c.op, c.outcome) for c in conversion.report.crossings] == [("example::HardSwish", outcome)]


def test_onnx_keeps_the_operator_with_its_body(source, tmp_path):
    """ONNX holds functions, so nothing is expanded."""
    path = bridge.convert(source, tmp_path / "model.onnx").path
    written = onnx.load(path)
    assert [n.op_type for n in written.graph.node] == ["HardSwish"]
    assert [f.name for f in written.functions] == ["HardSwish"]
    x = np.float32([-4, -1, 0, 1, 4])
    np.testing.assert_allclose(bridge.run(path, {"x": x})["y"], x * np.clip(x + 3, 0, 6) / 6, rtol=1e-6)


def test_one_kernel_stands_for_four(source, tmp_path):
    pytest.importorskip("ai_edge_litert")
    path = bridge.convert(source, tmp_path / "model.tflite").path
    assert bridge.inspect(path).operators == {"HardSwish": 1}
