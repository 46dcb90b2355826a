"""TFLite files in LiteRT, as fast as it runs them."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bridge.errors import ExecutionFailed, InvalidInput
from bridge.session import Runner

KERNELS = {"XNNPACK": "AUTO", "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "reference": "BUILTIN_REF"}
"""OpResolverType by what it is called."""


class LiteRTRunner(Runner):
    """The first signature of a file, or the one named, in LiteRT: with its delegate XNNPACK, its builtin
    kernels alone, or the reference kernels."""

    engine = f"LiteRT {importlib.metadata.version('ai-edge-litert')}"

    def __init__(self, path: Path, threads: int, place: str, signature: str = "") -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        kernels = getattr(OpResolverType, KERNELS[place])
        try:
            self._interpreter = Interpreter(
                str(path), num_threads=threads, experimental_op_resolver_type=kernels
            )
            self._interpreter.allocate_tensors()
            signatures = self._interpreter.get_signature_list()
            self._key = signature or next(iter(signatures), "")
            self._slots = self._named_slots()
        except (RuntimeError, ValueError) as error:
            raise ExecutionFailed(f"LiteRT: {str(error).strip()}") from error
        self._is_main = len(signatures) < 2

    @classmethod
    def places(cls) -> tuple[str, ...]:
        """XNNPACK, and the kernels without it."""
        importlib.import_module("ai_edge_litert.interpreter")
        return tuple(KERNELS)

    def _named_slots(self) -> dict[str, Any]:
        """Inputs of the signature by name, or of the file where it has none."""
        if self._key:
            return self._interpreter.get_signature_runner(self._key).get_input_details()
        return {slot["name"]: slot for slot in self._interpreter.get_input_details()}

    def prepared(self, inputs: dict[str, Any]) -> Callable[[], Any]:
        """The inputs copied, and an invocation. Raises InvalidInput for names that are not the file's."""
        slots, interpreter = self._slots, self._interpreter
        if set(slots) != set(inputs):
            raise InvalidInput(f"The file's inputs are {', '.join(slots)}, not {', '.join(inputs)}.")
        if not self._is_main:
            runner = interpreter.get_signature_runner(self._key)
            return lambda: runner(**inputs)
        arrays = [
            (slot["index"], np.ascontiguousarray(inputs[name]).astype(slot["dtype"], copy=False))
            for name, slot in slots.items()
        ]

        def invoke() -> None:
            shapes = {d["index"]: tuple(d["shape"]) for d in interpreter.get_input_details()}
            if any(shapes[index] != array.shape for index, array in arrays):
                for index, array in arrays:
                    interpreter.resize_tensor_input(index, array.shape)
                interpreter.allocate_tensors()
            for index, array in arrays:
                interpreter.set_tensor(index, array)
            interpreter.invoke()

        return invoke
