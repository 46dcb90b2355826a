"""Run a Core ML model: Apple's own runtime on a Mac, elsewhere the file is read back and run as a hub model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import ExecutionFailed
from bridge.runtime import Outputs, check_inputs, run_hub


def run(path: Path, inputs: dict[str, Any]) -> Outputs:
    """Outputs by name, in the dtypes of the model that was converted where the file remembers them.

    Raises InvalidInput, ExecutionFailed, and what reading the file raises.
    """
    from bridge.convert import load

    model = load(path, source="coreml")
    if sys.platform == "darwin":
        return predicted(path, model, inputs)
    found = run_hub(model, inputs)
    found.engine = f"re-read, {found.engine}"
    return found


def predicted(path: Path, model: ir.Model, inputs: dict[str, Any]) -> Outputs:
    """What Core ML answers, given under the names and in the dtypes of `model`, the file as it was read."""
    from bridge_coreml.apple import coremltools
    from bridge_coreml.interface import KEY, loaded

    check_inputs({v.name or "": v for v in model.graph.inputs}, inputs)
    before, after = loaded(model.metadata_props.get(KEY, ""))
    ct = coremltools()
    try:
        described = ct.models.MLModel(str(path))
        given = {p.name: p.held for p in before.values()}
        values = described.predict({given.get(n, n): _plain(a) for n, a in inputs.items()})
    except Exception as error:
        raise ExecutionFailed(f"Core ML: {str(error).strip()}") from error
    held = {p.name: p.held for p in after.values()}
    found = {}
    for value in model.graph.outputs:
        array = np.asarray(values[held.get(value.name or "", value.name)])
        array = array.astype(value.dtype.numpy()) if value.dtype else array
        found[value.name or ""] = (
            array.reshape(()) if value.shape is not None and not len(value.shape) else array
        )
    return Outputs(found, f"Core ML through coremltools {ct.__version__}")


def _plain(array: np.ndarray) -> np.ndarray:
    """As Core ML takes it: no booleans, no 64 bits, no scalars."""
    kinds = {"b": np.int32, "i": np.int32, "u": np.int32}
    kind = kinds.get(array.dtype.kind, np.float16 if array.dtype == np.float16 else np.float32)
    return np.atleast_1d(array.astype(kind))
