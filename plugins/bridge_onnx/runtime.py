"""Run an ONNX file: ONNX Runtime, or onnx.reference where it has no kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bridge.errors import ExecutionFailed, UnreadableFile
from bridge.runtime import Outputs, run_onnxruntime, run_reference


def run(path: Path, inputs: dict[str, Any]) -> Outputs:
    """Outputs by name for `inputs` by name.

    Raises ExecutionFailed when neither runtime takes the model, UnreadableFile when it has no outputs.
    """
    results = _run(path, inputs)
    if not results:
        raise UnreadableFile(f"{path} is not an ONNX model: it has no outputs.", "Is the file complete?")
    return results


def _run(path: Path, inputs: dict[str, Any]) -> Outputs:
    import onnx

    try:
        return run_onnxruntime(str(path), None, inputs)
    except ExecutionFailed as refused:
        try:
            return run_reference(onnx.load(path), inputs)
        except Exception as error:
            raise ExecutionFailed(f"{refused}\nThe reference evaluator failed too: {error}") from error
