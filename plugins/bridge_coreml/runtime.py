"""Core ML models in Apple's own runtime on a Mac; elsewhere the file is read back and runs as a hub model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import facts
from bridge.errors import ExecutionFailed, InvalidInput
from bridge.formats import Runtime
from bridge.load import load
from bridge.ports import port_of
from bridge.runtime import HubSession, Outputs, Session, check_inputs
from bridge.session import RE_READ
from bridge.stored import restored
from bridge_coreml.coremltools_import import coremltools
from bridge_coreml.reader import read
from bridge_coreml.source_interface import from_text


class CoreMLSession(Session):
    """Core ML file, with the names and dtypes of the converted model where the file stores them.

    Raises what reading the file raises.
    """

    def __init__(self, path: Path) -> None:
        self.model = load(path, source="coreml")
        self.inputs = tuple(map(port_of, self.model.graph.inputs))
        self.outputs = tuple(map(port_of, self.model.graph.outputs))
        self._apple = Apple(path, self.model) if sys.platform == "darwin" else None
        self._hub = HubSession(self.model, RE_READ)

    def run(self, inputs: dict[str, Any]) -> Outputs:
        """Raises InvalidInput, ExecutionFailed."""
        check_int32_range(self.model, inputs)
        outputs = self._hub.run(inputs) if self._apple is None else self._apple.run(inputs)
        self.engine = outputs.engine
        return outputs


runtime = Runtime(CoreMLSession, foreign=sys.platform == "darwin")


def check_int32_range(model: ir.Model, inputs: dict[str, Any]) -> None:
    """Raise InvalidInput for integers that do not fit into int32, which Core ML files store."""
    ports, _ = from_text(facts.INTERFACE.get(model) or "")
    for port in ports.values():
        array = inputs.get(port.name)
        if (
            not isinstance(array, np.ndarray)
            or array.dtype.name not in ("int64", "uint64", "uint32")
            or not array.size
        ):
            continue
        if int(array.min()) < -(2**31) or int(array.max()) >= 2**31:
            raise InvalidInput(
                f"Input {port.name} holds numbers beyond 32 bits, which Core ML has no dtype for."
            )


class Apple(Session):
    """Apple's runtime for the file at `path`; inputs and outputs have the names and dtypes of `model`."""

    def __init__(self, path: Path, model: ir.Model) -> None:
        ct, self.model = coremltools(), model
        units = getattr(ct.ComputeUnit, facts.COMPUTE_UNITS.get(model) or "", ct.ComputeUnit.ALL)
        try:
            self.described = ct.models.MLModel(str(path), compute_units=units)
        except Exception as error:
            raise ExecutionFailed(f"Core ML: {str(error).strip()}") from error
        self.engine = f"Core ML through coremltools {ct.__version__}"
        self.metadata = dict(read(path).message.description.metadata.userDefined)

    def run(self, inputs: dict[str, Any]) -> Outputs:
        model = self.model
        check_inputs({v.name or "": v for v in model.graph.inputs}, inputs)
        inputs_in_file, outputs_in_file = from_text(facts.INTERFACE.get(model) or "")
        file_names = {p.name: p.file_name for p in inputs_in_file.values()}
        pictures = {n for n in inputs if facts.COREML_IMAGE.of(file_names.get(n, n)).get(model)}
        try:
            if facts.COREML_ROWS.get(model):
                values = run_records(
                    self.described, {file_names.get(n, n): a for n, a in inputs.items()}, model
                )
            else:
                values = self.described.predict(
                    {
                        file_names.get(n, n): as_image(a) if n in pictures else as_mil_array(a)
                        for n, a in inputs.items()
                    }
                )
        except Exception as error:
            raise ExecutionFailed(f"Core ML: {str(error).strip()}") from error
        output_names = {p.name: p.file_name for p in outputs_in_file.values()}
        outputs = {}
        for value in model.graph.outputs:
            array = output_array(values[output_names.get(value.name or "", value.name or "")], model)
            array = array.astype(value.dtype.numpy()) if value.dtype else array
            if facts.COREML_ROWS.get(model) and value.shape is not None and array.ndim != len(value.shape):
                array = array.reshape([len(array), *[-1] * (len(value.shape) - 1)])
            scalar = value.shape is not None and not len(value.shape)
            outputs[value.name or ""] = array.reshape(()) if scalar else array
        return Outputs(restored(outputs, self.metadata), self.engine)


def run_records(described: Any, inputs: dict[str, np.ndarray], model: ir.Model) -> dict[str, np.ndarray]:
    """Outputs of a classical model for many records; Core ML takes them one by one."""
    count = len(next(iter(inputs.values()), ()))
    answers = [described.predict({n: record_features(a[i]) for n, a in inputs.items()}) for i in range(count)]
    return {
        name: np.stack([output_array(a[name], model) for a in answers])
        for name in (answers[0] if answers else ())
    }


def record_features(row: np.ndarray) -> Any:
    """Features of one record: a float64 vector, or one text or integer."""
    flat = np.ravel(row)
    if len(flat) == 1 and flat.dtype.kind in "OUSi":
        return flat[0] if flat.dtype.kind in "OUS" else int(flat[0])
    return flat.astype(np.float64)


def output_array(answer: Any, model: ir.Model) -> np.ndarray:
    """Array of an output; probabilities by class are ordered as the classes are."""
    if not isinstance(answer, dict):
        return np.asarray(answer)
    classes = facts.COREML_CLASSES.get(model) or list(answer)
    return np.array([answer[c] for c in classes])


def as_mil_array(array: np.ndarray) -> np.ndarray:
    """Cast to a dtype Core ML takes: int32, float16 or float32, of rank 1 at least."""
    dtypes = {"b": np.int32, "i": np.int32, "u": np.int32}
    dtype = dtypes.get(array.dtype.kind, np.float16 if array.dtype == np.float16 else np.float32)
    return np.atleast_1d(array.astype(dtype))


def as_image(array: np.ndarray) -> Any:
    """PIL image of pixels [1, channels, height, width] from 0 to 255."""
    from PIL import Image

    pixels = np.clip(np.rint(array[0]), 0, 255).astype(np.uint8)
    return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
