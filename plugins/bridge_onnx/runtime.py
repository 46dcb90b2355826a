"""ONNX files in ONNX Runtime, or in onnx.reference where it has no kernel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx

from bridge.errors import ExecutionFailed, UnreadableFile
from bridge.formats import Runtime
from bridge.runtime import OnnxRuntimeSession, Outputs, Session, second_choice
from bridge.stored import restored
from bridge_onnx import maps
from bridge_onnx.importer import is_text, read_proto

EXACT = 1
"""The accuracy level of products in float32."""
EXPERTS = "ORT_QMOE_CPU_QNBIT_GEMM"
"""ONNX Runtime's switch for the products of quantized experts, which round tokens to bytes."""


class OnnxSession(Session):
    """An ONNX file; maps are handed over, and come back, as the columns that stand for them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._refused: ExecutionFailed | None = None
        try:
            self._session = OnnxRuntimeSession(
                read_proto(path)[0].SerializeToString() if is_text(path) else str(path)
            )
        except ExecutionFailed as refused:
            self._refused, self.refusal = refused, str(refused)
        else:
            self.engine = self._session.engine
            self.inputs, self.outputs = self._session.inputs, self._session.outputs

    def run(self, inputs: dict[str, Any]) -> Outputs:
        """Raises ExecutionFailed when neither runtime takes the model, UnreadableFile when it has no
        outputs."""
        results = self._run(inputs)
        if not results:
            raise UnreadableFile(
                f"{self.path} is not an ONNX model: it has no outputs.", "Is the file complete?"
            )
        if any(isinstance(v, list) and v and isinstance(v[0], dict) for v in results.values()):
            maps.as_columns(self._proto(), results)
        self.engine = results.engine
        return Outputs(restored(results, self._metadata()), results.engine, results.refusal)

    def _run(self, inputs: dict[str, Any]) -> Outputs:
        try:
            if self._refused is not None:
                raise self._refused
            return self._session.run(inputs)
        except ExecutionFailed as refused:
            if self._refused is None and maps.map_input_keys(proto := self._proto()):
                return self._session.run(maps.as_maps(proto, inputs))
            return second_choice(refused, lambda: self._proto(whole=True), inputs)

    def _metadata(self) -> dict[str, str]:
        if self._refused is None:
            return self._session.metadata
        return {entry.key: entry.value for entry in self._proto().metadata_props}

    def variants(self) -> Iterator[Session]:
        """Without optimizations, and with products of quantized weights in float32."""
        if self._refused is None:
            yield from self._session.variants()
            if exact_products(self._proto()) or has_experts(self._proto()):
                proto = self._proto(whole=True)
                exact_products(proto)
                with exact_experts():
                    yield OnnxRuntimeSession(proto.SerializeToString(), optimized=False)

    def within(self, inputs: dict[str, Any]) -> dict[str, Any]:
        proto = self._proto(whole=True)
        known = {value.name for value in proto.graph.output}
        names = [name for node in proto.graph.node for name in node.output if name and name not in known]
        proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        return OnnxRuntimeSession(proto.SerializeToString()).run(inputs, names)

    def _proto(self, whole: bool = False) -> onnx.ModelProto:
        if is_text(self.path):
            return read_proto(self.path)[0]
        return onnx.load(self.path, load_external_data=whole)


def exact_products(proto: onnx.ModelProto) -> bool:
    """Let products of quantized weights be computed in float32, whatever accuracy they ask for; False without
    any that asks for less."""
    asked = [a for n in proto.graph.node for a in n.attribute if a.name == "accuracy_level" and a.i > EXACT]
    for attribute in asked:
        attribute.i = EXACT
    return bool(asked)


def has_experts(proto: onnx.ModelProto) -> bool:
    return any(node.op_type == "QMoE" for node in proto.graph.node)


@contextmanager
def exact_experts() -> Iterator[None]:
    """A context in which sessions that are made multiply quantized experts in float32."""
    before = os.environ.get(EXPERTS)
    os.environ[EXPERTS] = "0"
    try:
        yield
    finally:
        os.environ.pop(EXPERTS) if before is None else os.environ.update({EXPERTS: before})


runtime = Runtime(OnnxSession, foreign=False)
