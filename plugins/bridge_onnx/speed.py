"""ONNX files in ONNX Runtime, as fast as it runs them."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime as ort

from bridge.errors import ExecutionFailed
from bridge.session import Runner
from bridge_onnx.importer import is_text, read_proto

SUFFIX = "_kernel_time"


class OnnxRuntimeRunner(Runner):
    """A file in ONNX Runtime with all of its optimizations, by one of its execution providers."""

    engine = f"ONNX Runtime {ort.__version__}"

    def __init__(self, path: Path, threads: int, place: str) -> None:
        self._model: bytes | str = read_proto(path)[0].SerializeToString() if is_text(path) else str(path)
        self._threads, self._place = threads, place
        self._session = self._opened(self._settings())

    @classmethod
    def places(cls) -> tuple[str, ...]:
        """The execution providers of this build; the processor's is the usual one."""
        there = ort.get_available_providers()
        return ("CPUExecutionProvider", *(p for p in there if p != "CPUExecutionProvider"))

    def _settings(self) -> ort.SessionOptions:
        settings = ort.SessionOptions()
        settings.log_severity_level = 4
        settings.intra_op_num_threads, settings.inter_op_num_threads = self._threads, 1
        return settings

    def _opened(self, settings: ort.SessionOptions) -> ort.InferenceSession:
        try:
            return ort.InferenceSession(self._model, settings, providers=[self._place])
        except Exception as error:
            raise ExecutionFailed(f"ONNX Runtime: {str(error).strip()}") from error

    def prepared(self, inputs: dict[str, Any]) -> Callable[[], Any]:
        """A run of the session."""
        run = self._session.run
        return lambda: run(None, inputs)

    def profiled(self, inputs: dict[str, Any], runs: int) -> list[tuple[str, str, float]]:
        """By ONNX Runtime's own profile: nodes as it runs them, after its optimizations."""
        with tempfile.TemporaryDirectory() as folder:
            settings = self._settings()
            settings.enable_profiling, settings.profile_file_prefix = True, str(Path(folder) / "profile")
            session = self._opened(settings)
            for _ in range(runs):
                session.run(None, inputs)
            events = json.loads(Path(session.end_profiling()).read_text())
        spent: dict[tuple[str, str], float] = defaultdict(float)
        for event in events:
            if event.get("cat") == "Node" and event["name"].endswith(SUFFIX):
                spent[event["args"]["op_name"], event["name"].removesuffix(SUFFIX)] += event["dur"] / 1e6
        return [(kind, name, seconds / runs) for (kind, name), seconds in spent.items()]
