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
from bridge_coreml.coremltools_import import coremltools
from bridge_coreml.source_interface import loaded


class CoreMLSession(Session):
    """A Core ML file, answering in the dtypes of the model that was converted where the file remembers them.

    Raises what reading the file raises.
    """

    def __init__(self, path: Path) -> None:
        self.model = load(path, source="coreml")
        self.inputs = tuple(map(port_of, self.model.graph.inputs))
        self.outputs = tuple(map(port_of, self.model.graph.outputs))
        self._apple = Apple(path, self.model) if sys.platform == "darwin" else None
        self._hub = HubSession(self.model, "re-read, ")

    def run(self, inputs: dict[str, Any]) -> Outputs:
        """Raises InvalidInput, ExecutionFailed."""
        check_range(self.model, inputs)
        found = self._hub.run(inputs) if self._apple is None else self._apple.run(inputs)
        self.engine = found.engine
        return found


runtime = Runtime(CoreMLSession)


def check_range(model: ir.Model, inputs: dict[str, Any]) -> None:
    """Raise InvalidInput for integers that do not fit into the 32 bits a file holds them in."""
    held, _ = loaded(facts.INTERFACE.get(model) or "")
    for port in held.values():
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
    """The file at `path`, read as `model`, in Apple's own runtime: given and answering under its names and in
    its dtypes."""

    def __init__(self, path: Path, model: ir.Model) -> None:
        ct, self.model = coremltools(), model
        units = getattr(ct.ComputeUnit, facts.COMPUTE_UNITS.get(model) or "", ct.ComputeUnit.ALL)
        try:
            self.described = ct.models.MLModel(str(path), compute_units=units)
        except Exception as error:
            raise ExecutionFailed(f"Core ML: {str(error).strip()}") from error
        self.engine = f"Core ML through coremltools {ct.__version__}"

    def run(self, inputs: dict[str, Any]) -> Outputs:
        model = self.model
        check_inputs({v.name or "": v for v in model.graph.inputs}, inputs)
        before, after = loaded(facts.INTERFACE.get(model) or "")
        given = {p.name: p.held for p in before.values()}
        pictures = {n for n in inputs if facts.COREML_IMAGE.of(given.get(n, n)).get(model)}
        try:
            if facts.COREML_ROWS.get(model):
                values = _records(self.described, {given.get(n, n): a for n, a in inputs.items()}, model)
            else:
                values = self.described.predict(
                    {given.get(n, n): _picture(a) if n in pictures else _plain(a) for n, a in inputs.items()}
                )
        except Exception as error:
            raise ExecutionFailed(f"Core ML: {str(error).strip()}") from error
        held = {p.name: p.held for p in after.values()}
        found = {}
        for value in model.graph.outputs:
            array = _array(values[held.get(value.name or "", value.name or "")], model)
            array = array.astype(value.dtype.numpy()) if value.dtype else array
            if facts.COREML_ROWS.get(model) and value.shape is not None and array.ndim != len(value.shape):
                array = array.reshape([len(array), *[-1] * (len(value.shape) - 1)])
            scalar = value.shape is not None and not len(value.shape)
            found[value.name or ""] = array.reshape(()) if scalar else array
        return Outputs(found, self.engine)


def _records(described: Any, inputs: dict[str, np.ndarray], model: ir.Model) -> dict[str, np.ndarray]:
    """What a classical model answers to many records, which Core ML is given one by one."""
    count = len(next(iter(inputs.values()), ()))
    answers = [described.predict({n: _record(a[i]) for n, a in inputs.items()}) for i in range(count)]
    return {
        name: np.stack([_array(a[name], model) for a in answers]) for name in (answers[0] if answers else ())
    }


def _record(row: np.ndarray) -> Any:
    """One record's features: a vector of doubles, or a single text or whole number."""
    flat = np.ravel(row)
    if len(flat) == 1 and flat.dtype.kind in "OUSi":
        return flat[0] if flat.dtype.kind in "OUS" else int(flat[0])
    return flat.astype(np.float64)


def _array(answer: Any, model: ir.Model) -> np.ndarray:
    """Probabilities by class in the order of the classes; anything else as it is."""
    if not isinstance(answer, dict):
        return np.asarray(answer)
    classes = facts.COREML_CLASSES.get(model) or list(answer)
    return np.array([answer[c] for c in classes])


def _plain(array: np.ndarray) -> np.ndarray:
    """As Core ML takes it: no booleans, no 64 bits, no scalars."""
    kinds = {"b": np.int32, "i": np.int32, "u": np.int32}
    kind = kinds.get(array.dtype.kind, np.float16 if array.dtype == np.float16 else np.float32)
    return np.atleast_1d(array.astype(kind))


def _picture(array: np.ndarray) -> Any:
    """[1, channels, height, width] from 0 to 255 as the image Core ML takes."""
    from PIL import Image

    pixels = np.clip(np.rint(array[0]), 0, 255).astype(np.uint8)
    return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
