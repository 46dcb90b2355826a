"""Running TFLite files in LiteRT; without it, they are read back."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from bridge.errors import ExecutionFailed, InvalidInput
from bridge.facts import TFLITE_VARIABLE
from bridge.formats import Runtime
from bridge.load import load
from bridge.ports import Port
from bridge.runtime import HubSession, Outputs, Session
from bridge.session import RE_READ
from bridge.stored import restored
from bridge_tflite import importer, metadata
from bridge_tflite.flatbuffer import SELF
from bridge_tflite.reader import DTYPES, SUB_BYTE_WIDTHS, read


class LiteRTSession(Session):
    """Session of one signature of a TFLite file; dynamic dimensions follow the arrays.

    A file that keeps state takes and returns it too, by the names of its hub model. `resolver` is an
    OpResolverType: the kernels of LiteRT to use, its default ones if None. Raises InvalidInput for a
    signature the file does not have, ExecutionFailed with LiteRT's message.
    """

    variant_count = 2

    def __init__(self, path: Path, signature: str = "", resolver: Any = None) -> None:
        self.path, self.signature, self.resolver = path, signature, resolver
        self.engine = f"LiteRT {importlib.metadata.version('ai-edge-litert')}"
        try:
            self.interpreter = self._opened()
            self.signatures = self.interpreter.get_signature_list()
            self.slots = _input_dtypes(self.interpreter, self.signatures, signature)
        except (RuntimeError, ValueError) as error:
            raise ExecutionFailed(f"LiteRT: {str(error).strip()}") from error
        file = read(path)
        index, given, results = importer.interface(
            file, signature or next((s.key for s in file.signatures), "")
        )
        self.slots = _in_order(self.slots, [name for name, _ in given])
        self.results = {name: file.subgraphs[index].tensors[place].type for name, place in results}
        self.inputs = tuple(Port(name, np.dtype(dtype).name) for name, dtype in self.slots.items())
        self.assigns = any(o.name == "ASSIGN_VARIABLE" for graph in file.subgraphs for o in graph.operators)
        self.metadata = metadata.texts(file)
        self._ran = False

    def _opened(self, keeps: bool = False) -> Any:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        kernels = OpResolverType.AUTO if self.resolver is None else self.resolver
        return Interpreter(
            model_path=str(self.path),
            experimental_op_resolver_type=kernels,
            experimental_preserve_all_tensors=keeps,
        )

    def within(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Arrays of the tensors of the first graph, by their names."""
        kept = LiteRTSession(self.path, self.signature, self.resolver)
        kept.interpreter = kept._opened(keeps=True)
        kept.run(inputs)
        found = {}
        for tensor in kept.interpreter.get_tensor_details():
            with suppress(ValueError):
                found[tensor["name"]] = kept.interpreter.get_tensor(tensor["index"])
        return found

    def variants(self) -> Iterator[Session]:
        """The builtin kernels without XNNPACK's, and the reference kernels."""
        from ai_edge_litert.interpreter import OpResolverType

        for resolver in (OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES, OpResolverType.BUILTIN_REF):
            yield LiteRTSession(self.path, self.signature, resolver)

    def run(self, inputs: dict[str, Any]) -> Outputs:
        """Run once. Raises InvalidInput for unknown names or dtypes, ExecutionFailed with LiteRT's
        message."""
        try:
            if set(inputs) - {SELF} > set(self.slots) and (not self.signature or len(self.signatures) < 2):
                values = Stateful(self.path).run(inputs)
            else:
                values = self._run_signature(
                    {n: v.astype(BYTE_DTYPES.get(v.dtype, v.dtype)) for n, v in inputs.items()}
                )
        except (RuntimeError, ValueError) as error:
            raise ExecutionFailed(f"LiteRT: {str(error).strip()}") from error
        texts = {name: _decode_text(value) for name, value in values.items()}
        return Outputs(restored(texts, self.metadata), self.engine)

    def _run_signature(self, inputs: dict[str, Any]) -> dict[str, Any]:
        spare = [n for n in self.slots if n not in inputs]
        inputs = {spare[0] if n == SELF and len(spare) == 1 else n: v for n, v in inputs.items()}
        _check(self.slots, inputs)
        if self._ran and self.assigns:
            # LiteRT resets variable tensors alone, not the resources that VAR_HANDLE names
            self.interpreter = self._opened()
        elif self._ran:
            self.interpreter.reset_all_variables()
        self._ran = True
        values = _invoke(self.interpreter, self.signatures, self.signature, inputs)
        # LiteRT returns elements that are smaller than a byte as bytes
        sub_byte = {name: DTYPES[kind] for name, kind in self.results.items() if kind in SUB_BYTE_WIDTHS}
        values |= {name: values[name].astype(dtype) for name, dtype in sub_byte.items()}
        return _in_order(values, list(self.results))


def open_session(path: Path, signature: str = "", resolver: Any = None) -> Session:
    """Session of a file; without LiteRT, of the hub model it is read as."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        options: dict[str, Any] = {"signature": signature} if signature else {}
        return HubSession(load(path, source="tflite", **options), RE_READ)
    return LiteRTSession(path, signature, resolver)


runtime = Runtime(open_session, ("signature",))

BYTE_DTYPES = {np.dtype(ml_dtypes.int4): np.dtype(np.int8), np.dtype(ml_dtypes.uint4): np.dtype(np.uint8)}


def _in_order(values: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Values by name, which LiteRT gives in the order of the alphabet, in the order of the file."""
    places = {name: place for place, name in enumerate(names)}
    return dict(sorted(values.items(), key=lambda item: places.get(item[0], len(places))))


def _decode_text(value: Any) -> Any:
    """Text as str; LiteRT returns bytes."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "SO":
        return value
    texts = np.empty(value.size, object)
    texts[:] = [t.decode("utf-8", "replace") if isinstance(t, bytes) else t for t in value.ravel()]
    return texts.reshape(value.shape)


def _input_dtypes(interpreter: Any, signatures: Any, key: str) -> dict[str, Any]:
    """Dtype of each input by name: of the signature, else of the tensors."""
    if key and key not in signatures:
        raise InvalidInput(f"The file has no signature {key}; it has {', '.join(signatures) or 'none'}.")
    if not signatures:
        return {d["name"]: d["dtype"] for d in interpreter.get_input_details()}
    runner = interpreter.get_signature_runner(key or next(iter(signatures)))
    return {name: d["dtype"] for name, d in runner.get_input_details().items()}


def _invoke(interpreter: Any, signatures: Any, key: str, inputs: dict[str, Any]) -> dict[str, Any]:
    if signatures:
        runner = interpreter.get_signature_runner(key or next(iter(signatures)))
        try:
            return dict(runner(**inputs))
        except ValueError as error:
            if NOTHING not in str(error) or len(signatures) > 1:
                raise
            return {name: _tensor_of(interpreter, d) for name, d in runner.get_output_details().items()}
    slots = {d["name"]: d for d in interpreter.get_input_details()}
    for name, slot in slots.items():
        interpreter.resize_tensor_input(slot["index"], np.shape(inputs[name]))
    interpreter.allocate_tensors()
    for name, slot in slots.items():
        interpreter.set_tensor(slot["index"], inputs[name])
    interpreter.invoke()
    return {d["name"]: _tensor_of(interpreter, d) for d in interpreter.get_output_details()}


NOTHING = "Invalid tensor size"


def _tensor_of(interpreter: Any, described: dict[str, Any]) -> Any:
    """A tensor; LiteRT hands out none without elements."""
    if 0 in described["shape"]:
        return np.empty(described["shape"], described["dtype"])
    return interpreter.get_tensor(described["index"])


class Stateful:
    """A file that keeps state between runs, run step by step in one interpreter without delegates."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self.interpreter = Interpreter(
            model_path=str(path),
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        _, inputs, outputs = importer.interface(read(path), "")
        graph = importer.load(path).graph
        self.inputs: dict[str, int] = dict(inputs)
        self.outputs: dict[str, int] = dict(outputs)
        self.states = {v.name or "": v for v in graph.inputs if v.name not in self.inputs}
        self.variables = {
            n: int(index) for n, v in self.states.items() if (index := TFLITE_VARIABLE.get(v)) is not None
        }
        self.next = {
            v.name or "": int(index) for v in graph.outputs if (index := TFLITE_VARIABLE.get(v)) is not None
        }
        self.is_first_run = True

    def run(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Run one step; states that are not given continue from the last step.

        A variable starts at the value in the file. LiteRT accepts no other one: InvalidInput is raised for
        it.
        """
        self._check(inputs)
        if self.is_first_run:
            for name, index in self.inputs.items():
                self.interpreter.resize_tensor_input(index, np.shape(inputs[name]))
            self.interpreter.allocate_tensors()
            self.is_first_run = False
        for name, index in (*self.inputs.items(), *self.variables.items()):
            if name in inputs:
                self.interpreter.set_tensor(index, inputs[name])
        self.interpreter.invoke()
        return {n: self.interpreter.get_tensor(i) for n, i in (*self.outputs.items(), *self.next.items())}

    def _check(self, inputs: dict[str, Any]) -> None:
        missing = [name for name in self.inputs if name not in inputs]
        extra = [name for name in inputs if name not in self.inputs and name not in self.states]
        if missing or extra:
            names = ", ".join([*self.inputs, *self.states])
            raise InvalidInput(f"The file's inputs and states are {names}, not {', '.join(inputs)}.")
        for name, value in self.states.items():
            if name in self.variables or name not in inputs:
                continue
            first = None if value.const_value is None else value.const_value.numpy()
            if first is None or not np.array_equal(first, inputs[name]):
                raise InvalidInput(
                    f"LiteRT starts the variable {name} at its own value; run the hub model instead."
                )


def _check(slots: dict[str, Any], inputs: dict[str, Any]) -> None:
    if set(slots) != set(inputs):
        raise InvalidInput(f"The file's inputs are {', '.join(slots)}, not {', '.join(inputs)}.")
    for name, dtype in slots.items():
        if dtype != inputs[name].dtype and inputs[name].dtype.kind not in "OSU":
            raise InvalidInput(f"Input {name} takes {np.dtype(dtype)}, not {inputs[name].dtype}.")
