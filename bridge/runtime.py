"""Run a hub model, or any file in its own runtime."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from bridge import hub
from bridge.errors import ExecutionFailed, InvalidInput, TooLarge
from bridge.limits import watched
from bridge.load import Reader, reader
from bridge.passes.opset.down import for_runtime
from bridge.ports import Port, port_of
from bridge.remote import RemoteSession, here
from bridge.session import RE_READ, Outputs, Session
from bridge.stored import restored

__all__ = ["HubSession", "Outputs", "Session", "open_session", "run"]

# What ONNX Runtime would quantize by itself, float weights between quantized activations; and the factor of a
# product of
# double matrices, which it would keep as a float
DISABLED_OPTIMIZERS = ["WeightBiasQuantization", "MatMulScaleFusion"]
# A product with dequantized weights would quantize its other side to 8 bits: 1 computes it in float32
SESSION_CONFIG = {"session.qdq_matmulnbits_accuracy_level": "1"}


def run(model: Any, inputs: dict[str, np.ndarray], *, source: str | None = None, **options: Any) -> Outputs:
    """Run a hub model (`onnx_ir.Model`) or a model file on `inputs`, arrays by input name.

    A hub model runs in ONNX Runtime, or in onnx.reference where that has no kernel; a file runs in its
    format's own runtime, or is read back and run as a hub model where there is none. `options` are those of
    the format's importer; a runtime is given those it knows (which signature, for example). Raises
    InvalidInput, ExecutionFailed, UnreadableFile, UnknownFormat, MissingDependency.
    """
    return open_session(model if isinstance(model, ir.Model) else reader(model, source, options)).run(inputs)


def open_session(model: ir.Model | Reader) -> Session:
    """A session of a hub model, or of what a Reader names in its format's own runtime. Raises as `run`
    does."""
    if isinstance(model, ir.Model):
        return HubSession(model)
    fmt = model.format
    if fmt.runtime is None or not model.is_file:
        return HubSession(model.read(), RE_READ)
    runtime = fmt.resolve("runtime")
    known = {name: model.options[name] for name in runtime.options}
    path = Path(model.source)
    if runtime.foreign and not here.get():
        return RemoteSession(fmt, path, known)
    try:
        return runtime.open(path, **known)
    except ModuleNotFoundError as error:
        raise fmt.missing(error) from error


def open_source(source: Reader, model: ir.Model) -> Session:
    """A session of what a Reader read as `model`, in its own runtime or framework; of the hub model where it
    has none. Raises as `run` does."""
    if source.is_file:
        return open_session(source) if source.format.runtime else HubSession(model)
    live = source.importer.live
    session = live(source.source, model, **source.options) if live else None
    return HubSession(model) if session is None else session


class HubSession(Session):
    """A hub model in ONNX Runtime, or in onnx.reference where that has no kernel. Bodies of own-domain
    operators travel with it."""

    def __init__(self, model: ir.Model, prefix: str = "") -> None:
        self._values = {v.name or "": v for v in model.graph.inputs}
        self._model, self._prefix = model, prefix
        self._session: OnnxRuntimeSession | None = None
        self.inputs = tuple(map(port_of, model.graph.inputs))
        self.outputs = tuple(map(port_of, model.graph.outputs))

    def run(self, inputs: dict[str, Any]) -> Outputs:
        """Outputs by name. Raises InvalidInput, ExecutionFailed."""
        check_inputs(self._values, inputs)
        inputs = {name: widened(array, self._values[name]) for name, array in inputs.items()}
        try:
            outputs = self._opened().run(inputs, [port.name for port in self.outputs])
        except ExecutionFailed as refused:
            outputs = second_choice(refused, lambda: ir.to_proto(self._model), inputs)
        outputs.update(restored(outputs, self._model.metadata_props))
        self.engine = outputs.engine = f"{self._prefix}{outputs.engine}"
        return outputs

    def _opened(self) -> OnnxRuntimeSession:
        if self.refusal:
            raise ExecutionFailed(self.refusal)
        if self._session is None:
            proto = ir.to_proto(for_runtime(self._model))
            try:
                self._session = OnnxRuntimeSession(proto.SerializeToString())
            except ExecutionFailed as refused:
                self.refusal = str(refused)
                raise
        return self._session

    def variants(self) -> Iterator[Session]:
        """The model in ONNX Runtime without optimizations."""
        if self._session is not None:
            yield from self._session.variants()


def run_hub(model: ir.Model, inputs: dict[str, Any]) -> Outputs:
    """Run a hub model once."""
    return HubSession(model).run(inputs)


class OnnxRuntimeSession(Session):
    """Serialized ONNX, or the file at a path, in ONNX Runtime on the CPU, computed as the operators say and
    not faster; without optimizations as each operator is written."""

    variant_count = 1

    def __init__(self, model: bytes | str, optimized: bool = True) -> None:
        import onnxruntime as ort

        self._source = model
        _require_harmless(model)
        ort.set_default_logger_severity(4)
        settings = ort.SessionOptions()
        settings.log_severity_level = 4
        for key, value in SESSION_CONFIG.items():
            settings.add_session_config_entry(key, value)
        if not optimized:
            settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self._session = ort.InferenceSession(
                model,
                settings,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=DISABLED_OPTIMIZERS,
            )
        except Exception as error:
            raise ExecutionFailed(f"ONNX Runtime: {str(error).strip()}") from error
        self.engine = f"ONNX Runtime {ort.__version__}"
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        self.inputs, self.outputs = (
            tuple(Port(v.name, v.type, tuple(d if d is not None else "?" for d in v.shape)) for v in values)
            for values in (self._session.get_inputs(), self._session.get_outputs())
        )

    def variants(self) -> Iterator[Session]:
        yield OnnxRuntimeSession(self._source, optimized=False)

    def run(self, inputs: dict[str, Any], names: list[str] | None = None) -> Outputs:
        import onnxruntime as ort

        names, settings = names or [port.name for port in self.outputs], ort.RunOptions()
        try:
            with watched("ONNX Runtime", lambda: setattr(settings, "terminate", True)):
                values = self._session.run(names, inputs, settings)
        except TooLarge:
            raise
        except Exception as error:
            raise ExecutionFailed(f"ONNX Runtime: {str(error).strip()}") from error
        return Outputs(dict(zip(names, values, strict=True)), self.engine)


def _require_harmless(model: bytes | str) -> None:
    """Raise ExecutionFailed for random numbers within bounds that are none: ONNX Runtime ends the process."""
    if not (b"Random" in model if isinstance(model, bytes) else _mentions(Path(model), b"Random")):
        return
    proto = (
        onnx.load_from_string(model)
        if isinstance(model, bytes)
        else onnx.load(model, load_external_data=False)
    )
    for node in hub.all_nodes(ir.from_proto(proto)):
        normal, uniform = (
            node.op_type in (name, f"{name}Like") for name in ("RandomNormal", "RandomUniform")
        )
        if node.domain or not (normal or uniform):
            continue
        if not (hub.attr(node, "scale") > 0 if normal else hub.attr(node, "low") <= hub.attr(node, "high")):
            said = "scale" if normal else "low and high"
            raise ExecutionFailed(f"ONNX Runtime: {node.op_type} {node.name} has no {said} that it takes")


def _mentions(path: Path, word: bytes) -> bool:
    """True if a file has a word, however large it is."""
    with path.open("rb") as file:
        end = b""
        while block := file.read(2**20):
            if word in end + block:
                return True
            end = block[-len(word) :]
    return False


def run_onnxruntime(model: bytes | str, names: list[str] | None, inputs: dict[str, Any]) -> Outputs:
    """Run serialized ONNX, or the file at a path, once; all outputs without `names`. Raises
    ExecutionFailed."""
    return OnnxRuntimeSession(model).run(inputs, names)


def second_choice(refused: ExecutionFailed, proto: Callable[[], Any], inputs: dict[str, Any]) -> Outputs:
    """Outputs of a model that ONNX Runtime refused, by the reference evaluator. Raises ExecutionFailed
    where it does not compute it either."""
    try:
        outputs = run_reference(proto(), inputs)
    except TooLarge:
        raise
    except Exception as error:
        raise ExecutionFailed(f"{refused}\nThe reference evaluator failed too: {error}") from error
    outputs.refusal = str(refused)
    return outputs


def run_reference(proto: Any, inputs: dict[str, Any]) -> Outputs:
    """Run an ONNX proto in the reference evaluator. Raises ExecutionFailed for what it does not compute."""
    from bridge.reference import evaluator  # takes 0.1 s, which models ONNX Runtime runs do without

    thread = threading.get_ident()

    def stop() -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(TimeoutError))

    with watched("onnx.reference", stop):
        values = evaluator(proto).run(None, inputs)
    names = [o.name for o in proto.graph.output]
    return Outputs(dict(zip(names, values, strict=True)), f"onnx.reference {onnx.__version__}")


def check_inputs(expected: dict[str, ir.Value], inputs: dict[str, Any]) -> None:
    """Raise InvalidInput unless names, dtypes and known dimensions agree with the typed values `expected`;
    narrower floats do."""
    missing = [name for name, v in expected.items() if name not in inputs and v.const_value is None]
    extra = [name for name in inputs if name not in expected]
    if missing or extra:
        wrong = [f"missing: {', '.join(missing)}"] * bool(missing)
        wrong += [f"unknown: {', '.join(extra)}"] * bool(extra)
        raise InvalidInput(f"The model's inputs are {', '.join(expected) or 'none'}; {'; '.join(wrong)}")
    for name, value in expected.items():
        array = inputs.get(name)
        if not isinstance(array, np.ndarray) or not isinstance(value.type, ir.TensorType):
            continue
        wanted = value.type.dtype
        if wanted == ir.DataType.STRING:
            continue
        if array.dtype != wanted.numpy() and not is_narrower(array, wanted):
            raise InvalidInput(f"Input {name} takes {wanted.numpy()}, not {array.dtype}.")
        shape = value.shape
        if shape is not None and (
            len(shape) != array.ndim
            or any(isinstance(d, int) and d != n for d, n in zip(shape, array.shape, strict=True))
        ):
            raise InvalidInput(f"Input {name} takes shape {shape}, not {list(array.shape)}.")


def is_narrower(array: np.ndarray, dtype: ir.DataType) -> bool:
    """True for floats that another dtype of floats holds as they are."""
    wanted = dtype.numpy()
    return array.dtype.kind == wanted.kind == "f" and np.can_cast(array.dtype, wanted)


def widened(array: Any, value: ir.Value) -> Any:
    """An input in the dtype of its value where that holds it as it is."""
    if isinstance(array, np.ndarray) and value.dtype is not None and is_narrower(array, value.dtype):
        return array.astype(value.dtype.numpy(), copy=False)
    return array
