"""Run an IR in OpenVINO, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bridge.errors import ExecutionFailed, InvalidInput
from bridge.runtime import Outputs
from bridge_openvino.document import DTYPES

PRECISE = {"INFERENCE_PRECISION_HINT": "f32"}
LIMITS = np.iinfo(np.int32)


def run(path: Path, inputs: dict[str, Any]) -> Outputs:
    """Outputs by name for arrays by name, floats computed as float32.

    OpenVINO's CPU computes 64-bit integers in 32 bits: InvalidInput for numbers beyond. ExecutionFailed in
    OpenVINO's words.
    """
    import openvino

    try:
        core = openvino.Core()
        model = core.read_model(path)
        names = [port.node.friendly_name for port in model.inputs]
        if set(names) != set(inputs):
            given, wanted = ", ".join(inputs) or "none", ", ".join(names) or "none"
            raise InvalidInput(f"The file's inputs are {wanted}, not {given}.")
        tensors = [
            _tensor(name, port, np.asarray(inputs[name]))
            for name, port in zip(names, model.inputs, strict=True)
        ]
        request = core.compile_model(model, "CPU", PRECISE).create_infer_request()
        for index, tensor in enumerate(tensors):
            request.set_input_tensor(index, tensor)
        request.infer()
        values: dict[str, np.ndarray] = {}
        for index, port in enumerate(model.outputs):
            name = next(
                (n for n in sorted(port.names) if n not in (*names, *values)), port.node.friendly_name
            )
            values[name] = _array(request.get_output_tensor(index))
    except RuntimeError as error:
        raise ExecutionFailed(f"OpenVINO: {str(error).strip()}") from error
    return Outputs(values, f"OpenVINO {openvino.__version__.partition('-')[0]}")


def _tensor(name: str, port: Any, array: np.ndarray) -> Any:
    import openvino

    dtype = DTYPES[port.element_type.to_string()]
    if array.dtype != dtype.numpy():
        raise InvalidInput(f"Input {name} takes {dtype.numpy()}, not {array.dtype}.")
    if array.dtype == np.int64 and array.size and (array.min() < LIMITS.min or array.max() > LIMITS.max):
        raise InvalidInput(
            f"Input {name} holds integers beyond 32 bits, which OpenVINO's CPU does not compute."
        )
    tensor = openvino.Tensor(port.element_type, array.shape)
    tensor.data[...] = array.view(tensor.data.dtype)
    return tensor


def _array(tensor: Any) -> np.ndarray:
    return np.array(tensor.data).view(DTYPES[tensor.element_type.to_string()].numpy())
