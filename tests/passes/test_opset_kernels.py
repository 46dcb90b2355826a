"""ONNX files and hub runs keep to opsets whose kernels ONNX Runtime has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from build import hub_from_builder

import bridge
from bridge.passes.opset.down import runtime_opset


def aligned() -> ir.Model:
    """RoiAlign, whose opset 22 ONNX Runtime has no kernel for."""
    inputs = {"x": (np.float32, [1, 2, 8, 8]), "rois": (np.float32, ["n", 4]), "at": (np.int64, ["n"])}
    attributes = {"output_height": 2, "output_width": 2, "sampling_ratio": 2}
    return hub_from_builder(lambda op, *values: op.RoiAlign(*values, **attributes), inputs)


def test_an_operator_whose_newest_form_has_no_kernel_is_written_and_run_in_an_older_one(
    tmp_path: Path,
) -> None:
    model = aligned()
    inputs = {
        "x": np.ones((1, 2, 8, 8), np.float32),
        "rois": np.array([[0, 0, 4, 4]], np.float32),
        "at": np.zeros(1, np.int64),
    }
    assert runtime_opset(model) == 21
    assert bridge.run(model, inputs).engine.startswith("ONNX Runtime")
    path = bridge.save(model, tmp_path / "aligned.onnx").path
    assert onnx.load(path).opset_import[0].version == 21
    assert bridge.run(path, inputs).engine.startswith("ONNX Runtime")
