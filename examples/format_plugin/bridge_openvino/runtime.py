"""Run an IR in OpenVINO, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bridge.errors import ExecutionFailed, InvalidInput
from bridge.runtime import Outputs

PRECISE = {"INFERENCE_PRECISION_HINT": "f32"}
LIMITS = np.iinfo(np.int32)


def run(path: Path, inputs: dict[str, Any]) -> Outputs:
    """Outputs by name for arrays by name, floats computed as float32.

    OpenVINO's CPU computes 64-bit integers in 32 bits: InvalidInput for numbers beyond. ExecutionFailed in OpenVINO's words.
    """
    import openvino

    try:
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(path), "CPU", PRECISE)
        names = [name_of(port) for port in compiled.inputs]
        arrays = [_checked(port, name, inputs) for port, name in zip(compiled.inputs, names, strict=True)]
        _no_others(names, inputs)
        found = compiled(arrays)
        values = {name_of(port): _plain(found[port]) for port in compiled.outputs}
    except RuntimeError as error:
        raise ExecutionFailed(f"OpenVINO: {str(error).strip()}") from error
    return Outputs(values, f"OpenVINO {openvino.__version__.partition('-')[0]}")


def name_of(port: Any) -> str:
    """Tensors may have several names or none; layers have one."""
    return min(port.names) if port.names else port.node.friendly_name


def _checked(port: Any, name: str, inputs: dict[str, Any]) -> np.ndarray:
    if name not in inputs:
        raise InvalidInput(f"The file's input {name} is missing.")
    array = np.asarray(inputs[name])
    wanted = port.element_type.to_dtype()
    if (array.dtype.kind != wanted.kind and wanted != array.dtype) or array.dtype.itemsize != wanted.itemsize:
        raise InvalidInput(f"Input {name} takes {wanted}, not {array.dtype}.")
    if array.dtype == np.int64 and array.size and (array.min() < LIMITS.min or array.max() > LIMITS.max):
        raise InvalidInput(
            f"Input {name} holds integers beyond 32 bits, which OpenVINO's CPU does not compute."
        )
    return np.ascontiguousarray(array)


def _no_others(names: list[str], inputs: dict[str, Any]) -> None:
    extra = [name for name in inputs if name not in names]
    if extra:
        raise InvalidInput(f"The file's inputs are {', '.join(names) or 'none'}, not {', '.join(extra)}.")


def _plain(array: Any) -> np.ndarray:
    return np.array(array)
