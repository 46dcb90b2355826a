"""OpenVINO IR on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bridge.errors import ExecutionFailed, InvalidInput
from bridge.formats import Runtime
from bridge.ports import Port
from bridge.runtime import Outputs, Session
from bridge_openvino.document import DTYPES

PRECISE = {"INFERENCE_PRECISION_HINT": "f32"}
LIMITS = np.iinfo(np.int32)


class OpenVinoSession(Session):
    """An IR compiled for the CPU, floats computed as float32. Raises ExecutionFailed in OpenVINO's words."""

    def __init__(self, path: Path) -> None:
        import openvino

        try:
            core = openvino.Core()
            self.model = core.read_model(path)
            self.compiled = core.compile_model(self.model, "CPU", PRECISE)
        except RuntimeError as error:
            raise ExecutionFailed(f"OpenVINO: {str(error).strip()}") from error
        self.engine = f"OpenVINO {openvino.__version__.partition('-')[0]}"
        self.inputs = tuple(Port(port.node.friendly_name) for port in self.model.inputs)

    def run(self, inputs: dict[str, Any]) -> Outputs:
        """OpenVINO's CPU computes 64-bit integers in 32 bits: InvalidInput for numbers beyond.
        ExecutionFailed in OpenVINO's words."""
        names = [port.name for port in self.inputs]
        if set(names) != set(inputs):
            given, wanted = ", ".join(inputs) or "none", ", ".join(names) or "none"
            raise InvalidInput(f"The file's inputs are {wanted}, not {given}.")
        try:
            request = self.compiled.create_infer_request()
            for index, (name, port) in enumerate(zip(names, self.model.inputs, strict=True)):
                request.set_input_tensor(index, _tensor(name, port, np.asarray(inputs[name])))
            request.infer()
            values: dict[str, np.ndarray] = {}
            for index, port in enumerate(self.model.outputs):
                taken = (*names, *values)
                name = next((n for n in sorted(port.names) if n not in taken), port.node.friendly_name)
                values[name] = _array(request.get_output_tensor(index))
        except RuntimeError as error:
            raise ExecutionFailed(f"OpenVINO: {str(error).strip()}") from error
        return Outputs(values, self.engine)


runtime = Runtime(OpenVinoSession)


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
