"""Run a TFLite file in LiteRT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bridge.errors import ExecutionFailed, InvalidInput
from bridge.runtime import Outputs


def run(path: Path, inputs: dict[str, Any]) -> Outputs:
    """Outputs by signature name for arrays by signature name; dynamic dimensions follow the arrays.

    Raises InvalidInput for names or dtypes the signature does not have, ExecutionFailed in LiteRT's words.
    """
    import importlib.metadata

    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=str(path))
        values = _invoke(interpreter, inputs)
    except (RuntimeError, ValueError) as error:
        raise ExecutionFailed(f"LiteRT: {str(error).strip()}") from error
    return Outputs(values, f"LiteRT {importlib.metadata.version('ai-edge-litert')}")


def _invoke(interpreter: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    details = interpreter.get_input_details()
    signature = next(iter(interpreter.get_signature_list().items()), None)
    if signature is None:
        slots = {d["name"]: d for d in details}
        outputs = {d["name"]: d["index"] for d in interpreter.get_output_details()}
    else:
        runner = interpreter.get_signature_runner(signature[0])
        slots = runner.get_input_details()
        outputs = {name: d["index"] for name, d in runner.get_output_details().items()}
    if set(slots) != set(inputs):
        raise InvalidInput(f"The file's inputs are {', '.join(slots)}, not {', '.join(inputs)}.")
    for name, slot in slots.items():
        if list(slot["shape"]) != list(np.shape(inputs[name])):
            interpreter.resize_tensor_input(slot["index"], np.shape(inputs[name]))
    interpreter.allocate_tensors()
    for name, slot in slots.items():
        if slot["dtype"] != inputs[name].dtype and inputs[name].dtype.kind not in "OSU":
            raise InvalidInput(f"Input {name} takes {np.dtype(slot['dtype'])}, not {inputs[name].dtype}.")
        interpreter.set_tensor(slot["index"], inputs[name])
    interpreter.invoke()
    return {name: interpreter.get_tensor(index) for name, index in outputs.items()}
