"""The conformance kit: subclass FormatTests in a test module, and pytest runs what every format must hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir
import pytest

import bridge
from bridge.errors import BridgeError, DestinationExists, UnsupportedModel
from bridge.formats import Format, by_name
from bridge.inputs import random_inputs

CASES = Path(__file__).parent / "cases"
FRAMEWORKS = (
    "tensorflow",
    "torch",
    "coremltools",
    "onnxruntime",
    "onnx",
    "onnx_ir",
    "ai_edge_litert",
    "lxml",
    "numpy",
)


def case_names() -> list[str]:
    """Names of the kit's cases, `cases/*.onnxtxt`."""
    return sorted(path.stem for path in CASES.glob("*.onnxtxt"))


class FormatTests:
    """What every format must hold. Set `format`; `known_failures` maps a case, or `test_name[case]`,
    to its reason, strictly. Which cases apply is told by the exporter's table.

    `rtol` and `atol` are those of `bridge.verify` when left None.
    """

    format: ClassVar[str]
    rtol: ClassVar[float | None] = None
    atol: ClassVar[float | None] = None
    known_failures: ClassVar[dict[str, str]] = {}

    @property
    def declaration(self) -> Format:
        return by_name(self.format)

    def run(self, path: Path, inputs: dict[str, Any]) -> dict[str, Any]:
        """Run a file of the format."""
        if self.declaration.runtime is None and self.declaration.importer is None:
            pytest.skip("the format is neither run nor read")
        return bridge.run(path, inputs, source=self.format)

    def destination(self, folder: Path, stem: str = "model") -> Path:
        return folder / f"{stem}{self.declaration.suffixes[0]}"

    def save(self, model: ir.Model, path: Path) -> Path:
        """Write the model. A case with an operator the format's table does not name does not apply to it; one whose Need is not met
        fails."""
        if self.declaration.exporter is None:
            pytest.skip("the format is not written")
        try:
            return bridge.save(model, path, to=self.format).path
        except UnsupportedModel as refusal:
            missing = [b.op for b in refusal.blockers if b.reason == "is not supported"]
            if missing:
                pytest.skip(f"the format has no {', '.join(missing)}")
            raise

    @property
    def sample(self) -> ir.Model:
        """The first case the format is not known to fail on and holds."""
        for name in case_names():
            model = bridge.load(CASES / f"{name}.onnxtxt")
            if self.declaration.exporter is None or bridge.check(model, to=self.format).ok:
                return model
        pytest.skip("no case applies")

    def test_declaration_imports_no_framework(self) -> None:
        code = (
            "import sys; from bridge.formats import by_name; "
            f"by_name({self.format!r}); print([m for m in {FRAMEWORKS!r} if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"

    @pytest.mark.parametrize("case", case_names())
    def test_export_runs_and_equals_the_reference(self, case: str, tmp_path: Path, request: Any) -> None:
        self._expect_known_failure(case, request)
        model = bridge.load(CASES / f"{case}.onnxtxt")
        inputs = random_inputs(model)
        expected = bridge.run(model, inputs)
        found = self.run(self.save(model, self.destination(tmp_path)), inputs)
        from bridge.verify import compare

        assert list(found) == list(expected)
        result = compare(expected, found, self.rtol, self.atol)  # type: ignore[arg-type]
        assert result.ok, str(result)

    @pytest.mark.parametrize("case", case_names())
    def test_what_is_written_reads_back_the_same(self, case: str, tmp_path: Path, request: Any) -> None:
        if self.declaration.importer is None:
            pytest.skip("the format is not read")
        self._expect_known_failure(case, request)
        model = bridge.load(CASES / f"{case}.onnxtxt")
        back = bridge.load(self.save(model, self.destination(tmp_path)), source=self.format)
        for before, after in (
            (model.graph.inputs, back.graph.inputs),
            (model.graph.outputs, back.graph.outputs),
        ):
            assert [(v.name, v.dtype, v.shape) for v in after] == [(v.name, v.dtype, v.shape) for v in before]
        result = bridge.verify(model, back, rtol=self.rtol, atol=self.atol)
        assert result.ok, str(result)

    def test_same_bytes_twice(self, tmp_path: Path) -> None:
        model = self.sample
        first, second = (self.save(model, self.destination(tmp_path, s)) for s in ("a", "b"))
        if first.is_file():
            assert first.read_bytes() == second.read_bytes()

    def test_saving_leaves_the_model_as_it_was(self, tmp_path: Path) -> None:
        model = self.sample
        before = ir.to_onnx_text(model)
        self.save(model, self.destination(tmp_path))
        assert ir.to_onnx_text(model) == before

    def test_an_existing_destination_is_refused(self, tmp_path: Path) -> None:
        path = self.destination(tmp_path)
        path.write_text("mine")
        with pytest.raises(DestinationExists):
            self.save(self.sample, path)
        assert path.read_text() == "mine"

    def test_all_problems_are_named_at_once_and_no_file_is_left(self, tmp_path: Path) -> None:
        from bridge.plugins import exporter

        if self.declaration.exporter is None or exporter(self.declaration).opaque:
            pytest.skip("not written, or takes every operator")
        text = '<ir_version: 10, opset_import: ["" : 21, "no.such" : 1]> g (float[2] x) => (float[2] z) '
        text += "{ y = no.such.First (x) z = no.such.Second (y) }"
        with pytest.raises(UnsupportedModel) as refusal:
            bridge.save(
                bridge.load(ir.to_proto(ir.from_onnx_text(text))), self.destination(tmp_path), to=self.format
            )
        assert {b.op for b in refusal.value.blockers} == {"First", "Second"}
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "content", [b"", b"some text", bytes(range(256)) * 4], ids=["empty", "text", "bytes"]
    )
    def test_garbage_gives_a_typed_error(self, content: bytes, tmp_path: Path) -> None:
        path = self.destination(tmp_path)
        path.write_bytes(content)
        if self.declaration.importer is not None:
            with pytest.raises(BridgeError):
                bridge.load(path, source=self.format)
        with pytest.raises(BridgeError):
            bridge.run(path, {"x": np.zeros(1, np.float32)}, source=self.format)

    def _expect_known_failure(self, case: str, request: Any) -> None:
        reason = self.known_failures.get(request.node.name) or self.known_failures.get(case)
        if reason:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
