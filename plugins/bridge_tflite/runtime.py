"""Run a TFLite file in LiteRT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bridge.errors import ExecutionFailed, InvalidInput
from bridge.runtime import Outputs


def run(path: Path, inputs: dict[str, Any], *, resolver: Any = None) -> Outputs:
    """Outputs by signature name for arrays by signature name; dynamic dimensions follow the arrays.

    `resolver` is an OpResolverType: which of LiteRT's kernels compute, its default ones when None.

    Raises InvalidInput for names or dtypes the signature does not have, ExecutionFailed in LiteRT's words.
    """
    import importlib.metadata

    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    try:
        kernels = OpResolverType.AUTO if resolver is None else resolver
        interpreter = Interpreter(model_path=str(path), experimental_op_resolver_type=kernels)
        values = _invoke(interpreter, inputs)
    except (RuntimeError, ValueError) as error:
        raise ExecutionFailed(f"LiteRT: {str(error).strip()}") from error
    return Outputs(values, f"LiteRT {importlib.metadata.version('ai-edge-litert')}")


def _invoke(interpreter: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    signature = next(iter(interpreter.get_signature_list()), None)
    if signature is None:
        return _by_tensor(interpreter, inputs)
    runner = interpreter.get_signature_runner(signature)
    _check({name: d["dtype"] for name, d in runner.get_input_details().items()}, inputs)
    return dict(runner(**inputs))


def _by_tensor(interpreter: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Files without a signature go by the names of their tensors."""
    slots = {d["name"]: d for d in interpreter.get_input_details()}
    _check({name: d["dtype"] for name, d in slots.items()}, inputs)
    for name, slot in slots.items():
        interpreter.resize_tensor_input(slot["index"], np.shape(inputs[name]))
    interpreter.allocate_tensors()
    for name, slot in slots.items():
        interpreter.set_tensor(slot["index"], inputs[name])
    interpreter.invoke()
    return {d["name"]: interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()}


def _check(slots: dict[str, Any], inputs: dict[str, Any]) -> None:
    if set(slots) != set(inputs):
        raise InvalidInput(f"The file's inputs are {', '.join(slots)}, not {', '.join(inputs)}.")
    for name, dtype in slots.items():
        if dtype != inputs[name].dtype and inputs[name].dtype.kind not in "OSU":
            raise InvalidInput(f"Input {name} takes {np.dtype(dtype)}, not {inputs[name].dtype}.")
