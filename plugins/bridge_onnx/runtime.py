"""Run an ONNX file: ONNX Runtime, or onnx.reference where it has no kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from bridge.errors import ExecutionFailed, UnreadableFile
from bridge.runtime import Outputs, run_onnxruntime, run_reference
from bridge_onnx import maps


def run(path: Path, inputs: dict[str, Any]) -> Outputs:
    """Outputs by name for `inputs` by name; maps are given and returned as the columns that stand for them.

    Raises ExecutionFailed when neither runtime takes the model, UnreadableFile when it has no outputs.
    """
    results = _run(path, inputs)
    if not results:
        raise UnreadableFile(f"{path} is not an ONNX model: it has no outputs.", "Is the file complete?")
    if any(isinstance(v, list) and v and isinstance(v[0], dict) for v in results.values()):
        maps.as_columns(_proto(path), results)
    return results


def _run(path: Path, inputs: dict[str, Any]) -> Outputs:
    try:
        return run_onnxruntime(str(path), None, inputs)
    except ExecutionFailed as refused:
        try:
            proto = _proto(path)
            if maps.keyed(proto):
                return run_onnxruntime(str(path), None, maps.as_maps(proto, inputs))
            return run_reference(_proto(path, whole=True), inputs)
        except Exception as error:
            raise ExecutionFailed(f"{refused}\nThe reference evaluator failed too: {error}") from error


def _proto(path: Path, whole: bool = False) -> onnx.ModelProto:
    return onnx.load(path, load_external_data=whole)
