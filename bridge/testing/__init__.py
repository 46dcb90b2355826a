"""The conformance kit: subclass FormatTests in a test module, and pytest runs what every format must hold;
PackageTests for a kind of package.

| test | holds |
|---|---|
| `test_declaration_is_valid` | names, suffixes and parts that resolve; `detect` knows its own files alone |
| `test_declaration_is_light` | no framework imported, loaded in 0.2 s of processor time |
| `test_every_operator_of_the_table_has_a_case` | an operator with a rule crosses in a case of onnx |
| `test_needs_are_told` | needs hold or do not, whatever is known of a node, and refusals name them |
| `test_export_runs_and_equals_the_reference` | what is written gives the numbers of the hub model |
| `test_random_graphs_keep_their_numbers` | graphs of several operators keep their numbers, or are refused |
| `test_what_is_written_reads_back_the_same` | names, order, dtypes, dimensions and numbers |
| `test_legalisation_keeps_the_meaning` | the hub model computes the same after the format's own passes |
| `test_a_session_runs_again_as_if_it_had_just_been_opened` | a session answers the same again |
| `test_same_bytes_twice` | the same model gives the same files, written reproducibly |
| `test_saving_leaves_the_model_as_it_was` | the hub model handed in is not changed |
| `test_an_existing_destination_is_refused` | and left as it is |
| `test_all_problems_are_named_at_once_and_no_file_is_left` | a model with two foreign operators |
| `test_garbage_gives_a_typed_error` | bytes that are no file of the format |
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir
import pytest

import bridge
from bridge import hub
from bridge.detect import by_name
from bridge.errors import BridgeError, DestinationExists, UnknownFormat, UnsupportedModel
from bridge.formats import Exporter, Format, Importer, Runtime
from bridge.inputs import random_inputs
from bridge.load import reader
from bridge.ops import Rule
from bridge.runtime import Outputs, open_session
from bridge.testing import coverage
from bridge.testing.graphs import random_case
from bridge.testing.packages import PackageTests
from bridge.verify import compare

__all__ = ["FormatTests", "PackageTests", "case_names"]

HEAD = '<ir_version: 10, opset_import: ["" : 21, "ai.onnx.ml" : 5]> '
LIGHT = 0.2
TRIES = 24
GRAPHS = 24
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
    """Tests every format must pass. Set `format`; `known_failures` maps a case, `test_name[case]` or an
    operator of the exporter's table to its reason, strictly: one that passes is told. Which cases apply is
    told by the exporter's table; `cases` maps operators to graphs in ONNX text, for those the cases of the
    onnx package do not show in a form the format takes.

    `rtol` and `atol` are those of `bridge.verify` when left None. Override `run` for a runtime the
    declaration does not name.
    """

    format: ClassVar[str]
    rtol: ClassVar[float | None] = None
    atol: ClassVar[float | None] = None
    known_failures: ClassVar[dict[str, str]] = {}
    cases: ClassVar[dict[str, str]] = {}

    @property
    def declaration(self) -> Format:
        return by_name(self.format)

    def run(self, path: Path, inputs: dict[str, Any]) -> dict[str, Any]:
        """Run a file of the format."""
        if self.declaration.runtime is None and self.declaration.importer is None:
            pytest.skip("the format is neither run nor read")
        return bridge.run(path, inputs, source=self.format)

    def destination(self, folder: Path, stem: str = "model") -> Path:
        """Path for a file of the format."""
        return folder / f"{stem}{self.declaration.suffixes[0]}"

    def save(self, model: ir.Model, path: Path) -> Path:
        """Write the model. A case with an operator the format's table does not name does not apply to it; one
        whose Need is not met fails."""
        if self.declaration.exporter is None:
            pytest.skip("the format is not written")
        try:
            return bridge.save(model, path, to=self.format, reproducible=True).path
        except UnsupportedModel as refusal:
            missing = [b.part or b.op for b in refusal.blockers if b.reason.startswith("is not supported")]
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

    @property
    def exporter(self) -> Exporter:
        """The format's exporter, where it says what it takes."""
        if self.declaration.exporter is None:
            pytest.skip("the format is not written")
        exporter = self.declaration.resolve("exporter")
        if coverage.claims_nothing(exporter):
            pytest.skip("the exporter's table says nothing")
        return exporter

    def test_declaration_is_valid(self, tmp_path: Path) -> None:
        fmt = self.declaration
        assert re.fullmatch(r"[a-z][a-z0-9_]*", fmt.name)
        assert fmt.title
        assert fmt.importer or fmt.exporter
        assert fmt.suffixes or not fmt.exporter
        assert all(s.startswith(".") and s == s.lower() for s in fmt.suffixes)
        assert bool(fmt.extra) == bool(fmt.requires())
        for part, part_class in (("importer", Importer), ("exporter", Exporter)):
            if getattr(fmt, part):
                assert isinstance(fmt.resolve(part), part_class)
        if fmt.runtime:
            assert isinstance(fmt.resolve("runtime"), Runtime)
        else:
            with pytest.raises(UnknownFormat):
                fmt.resolve("runtime")
        (tmp_path / "other").write_text("neither this nor that")
        assert not any(fmt.detect(src) for src in (tmp_path / "other", tmp_path, tmp_path / "none", object()))

    def test_declaration_is_light(self) -> None:
        code = (
            "import sys, time; import bridge.plugins, bridge.formats, importlib.metadata as m; "
            f"(point,) = [p for p in m.entry_points(group='bridge') if {self.format!r} in "
            "[f.name for f in getattr(p.load(), 'bridge_formats', list)()]]; "
            "[sys.modules.pop(n) for n in list(sys.modules) if n.split('.')[0] == point.module]; "
            "start = time.process_time(); point.load(); "
            f"print(time.process_time() - start, [n for n in {FRAMEWORKS!r} if n in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        seconds, _, imported = done.stdout.strip().partition(" ")
        assert imported == "[]"
        assert float(seconds) < LIGHT

    def test_every_operator_of_the_table_has_a_case(self, tmp_path: Path) -> None:
        problems = []
        for op in coverage.operators(self.exporter.table):
            own = self._own_case(op, tmp_path) if op in self.cases else None
            outcome, reason = own or coverage.cross_operator(self.declaration, op, TRIES)
            if op in self.known_failures:
                problems += [f"{op} crosses now"] * (outcome in coverage.SURVIVED)
            elif outcome not in (*coverage.SURVIVED, "unrunnable"):
                problems.append(f"{op} {outcome}: {reason}")
        assert not problems, "\n".join(problems)

    def _own_case(self, op: str, folder: Path) -> tuple[str, str]:
        """Outcome of the graph that `cases` gives an operator."""
        model = bridge.load(ir.to_proto(ir.from_onnx_text(HEAD + self.cases[op])))
        if op not in {hub.qualified(node) for node in hub.all_nodes(model)}:
            return "untried", "the graph does not have the operator"
        inputs = random_inputs(model)
        path = self.save(model, self.destination(folder, re.sub(r"\W", "_", op)))
        result = compare(
            bridge.run(model, inputs), Outputs(self.run(path, inputs), "the file"), self.rtol, self.atol
        )
        return ("native", "") if result.ok else ("wrong", str(result))

    def test_needs_are_told(self) -> None:
        table = self.exporter.table
        problems = set()
        for op in coverage.operators(table):
            models = (v for model in coverage.models_of(op) for v in coverage.variants(model))
            for rule, node in coverage.needs_of(table, models):
                problems |= set(_need_problems(rule, node))
        assert not problems, "\n".join(sorted(problems))

    @pytest.mark.parametrize("case", case_names())
    def test_legalisation_keeps_the_meaning(self, case: str) -> None:
        model = bridge.load(CASES / f"{case}.onnxtxt")
        if not self.exporter or not bridge.check(CASES / f"{case}.onnxtxt", to=self.format).ok:
            pytest.skip("the format does not take the case")
        legal = coverage.legalized(model, self.declaration)
        if not coverage.runs(legal):
            pytest.skip("the legal model has operators of the format's own")
        inputs = random_inputs(model)
        result = compare(bridge.run(model, inputs), bridge.run(legal, inputs), self.rtol, self.atol)
        assert result.ok, str(result)

    @pytest.mark.parametrize("case", case_names())
    def test_export_runs_and_equals_the_reference(self, case: str, tmp_path: Path, request: Any) -> None:
        self._expect_known_failure(case, request)
        model = bridge.load(CASES / f"{case}.onnxtxt")
        inputs = random_inputs(model)
        expected = bridge.run(model, inputs)
        outputs = self.run(self.save(model, self.destination(tmp_path)), inputs)
        assert list(outputs) == list(expected)
        result = compare(expected, Outputs(outputs, "the file"), self.rtol, self.atol)
        assert result.ok, str(result)

    def test_random_graphs_keep_their_numbers(self, tmp_path: Path) -> None:
        if self.declaration.exporter is None:
            pytest.skip("the format is not written")
        problems = []
        for number in range(GRAPHS):
            case = random_case(0, number)
            model, inputs = bridge.load(case.model), case.inputs[0]
            path = self.destination(tmp_path, f"graph_{number}")
            with contextlib.suppress(UnsupportedModel):
                outputs = Outputs(self.run(bridge.save(model, path, to=self.format).path, inputs), "the file")
                result = compare(bridge.run(model, inputs), outputs, self.rtol, self.atol)
                problems += [] if result.ok else [f"graph {number}:\n{result}"]
        assert not problems, "\n".join(problems)

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

    def test_a_session_runs_again_as_if_it_had_just_been_opened(self, tmp_path: Path) -> None:
        if self.declaration.runtime is None or self.declaration.exporter is None:
            pytest.skip("the format has no runtime of its own, or is not written")
        model = self.sample
        first, second = random_inputs(model, 0), random_inputs(model, 1)
        session = open_session(reader(self.save(model, self.destination(tmp_path)), self.format))
        before = session.run(first)
        assert compare(bridge.run(model, second), session.run(second), self.rtol, self.atol).ok
        again = session.run(first)
        assert again.engine == session.engine == before.engine
        assert all(np.array_equal(before[name], again[name], equal_nan=True) for name in before)

    def test_same_bytes_twice(self, tmp_path: Path) -> None:
        model = self.sample
        folders = [tmp_path / "a", tmp_path / "b"]
        for folder in folders:
            folder.mkdir()
            self.save(model, self.destination(folder))
        first, second = (
            {p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in folders
        )
        assert [str(p) for p in first if first[p] != second.get(p)] == []
        assert first.keys() == second.keys()

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
        if self.declaration.exporter is None or self.declaration.resolve("exporter").accepts_all_operators:
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

    @pytest.fixture(autouse=True)
    def _known_by_test(self, request: Any) -> None:
        self._expect_known_failure("", request)

    def _expect_known_failure(self, case: str, request: Any) -> None:
        reason = self.known_failures.get(request.node.name) or self.known_failures.get(case)
        if reason:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))


def _need_problems(rule: Rule, node: ir.Node) -> Iterator[str]:
    """Problems with the needs of a rule on one node."""
    for need in rule.needs:
        try:
            is_met = need.holds(node)
        except Exception as error:
            yield f"{rule.op}: the need {need.text!r} raises {type(error).__name__}: {error}"
            continue
        if not need.text.strip():
            yield f"{rule.op}: a need says nothing"
        if not is_met and need.text not in (rule.refusal(node, 2**31) or ""):
            yield f"{rule.op}: the refusal does not say {need.text!r}"
