"""One case: written as the route's first format, read from it once, and written as each of the others."""

from __future__ import annotations

import contextlib
import functools
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import onnx

from bridge.comparison import Verification, compare, last_place, quanta
from bridge.convert import convert, save
from bridge.detect import by_name
from bridge.errors import ExecutionFailed, InvalidInput, UnsupportedModel
from bridge.load import load
from bridge.matrix.cases import Case, case_of
from bridge.matrix.cases import frozen as freeze
from bridge.matrix.evidence import Result
from bridge.matrix.native import Made, NativeCase
from bridge.remote import in_this_process
from bridge.runtime import Outputs, run, run_onnxruntime, run_reference
from bridge.traits import RANDOM

ORDER = ("native", "expanded", "approximated")


class Stopped(Exception):
    """The case ends here, with an outcome and its reason."""

    def __init__(self, outcome: str, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


def measure(route: str, name: str, frozen: bool = False) -> Result:
    """One case over one route, in this process."""
    source, _, target = route.partition(":")
    (record,) = cross(name, frozen, source, [target])
    return Result(**record | {"ops": tuple(record["ops"])})


def cross(name: str, frozen: bool, source: str, targets: list[str]) -> Iterator[dict[str, Any]]:
    """Results of one case on the routes from `source` to `targets`, one by one."""
    case = case_of(name)
    if frozen:
        case = freeze(case) or case
    native = isinstance(case, NativeCase)
    with in_this_process(), tempfile.TemporaryDirectory() as folder:
        start, early = time.perf_counter(), ("", "")
        try:
            with _stopping():
                hub_case = _read_case(case, source, Path(folder))
        except Stopped as stop:
            outcome = "untried" if stop.outcome == "refused" and not native else stop.outcome
            hub_case, early = None, (outcome, f"as {source}: {stop}")
        shared = (time.perf_counter() - start) / max(len(targets), 1)
        for target in targets:
            start, error = time.perf_counter(), 0.0
            try:
                if hub_case is None:
                    outcome, reason = early
                else:
                    with _stopping():
                        outcome, reason, error = _run_target(hub_case, target, Path(folder))
            except Stopped as stop:
                outcome, reason = stop.outcome, str(stop)
            seconds = round(time.perf_counter() - start + shared, 3)
            route = f"{source}:{target}"
            error = float(f"{error:.2g}")
            yield asdict(Result(route, name, outcome, reason[:500], error, seconds, frozen))


@contextlib.contextmanager
def _stopping() -> Iterator[None]:
    """Turn exceptions into the outcomes they mean."""
    try:
        yield
    except Stopped:
        raise
    except UnsupportedModel as refusal:
        reason = "; ".join(dict.fromkeys(f"{b.op} {b.reason}" for b in refusal.blockers))
        raise Stopped("refused", reason) from refusal
    except Exception as fault:
        raise Stopped("failed", f"{type(fault).__name__}: {fault}") from fault


@dataclass
class HubCase:
    """A case read into the hub: how its operators crossed on the way, the runs to compare, and the excuses
    other numbers may have."""

    model: Any
    outcomes_before: list[str]
    runs: list[tuple[dict[str, Any], Outputs]]
    excuse: Callable[[Path, dict[str, Any], Outputs, Outputs, Verification], str]
    rtol: float | None = None
    atol: float | None = None
    steps: dict[str, float] = field(default_factory=dict)

    def compare(self, expected: Outputs, actual: Outputs) -> Verification:
        atol = None if self.atol is None else max(self.atol, last_place(expected))
        return compare(expected, actual, self.rtol, atol, self.steps)


def _read_case(case: Case | NativeCase, source: str, folder: Path) -> HubCase:
    if isinstance(case, NativeCase):
        return _native(case, source, folder)
    return _written(case, source, folder)


def _written(case: Case, source: str, folder: Path) -> HubCase:
    """The hub model read from the case written as `source`."""
    original = folder / "case.onnx"
    onnx.save(case.model, original)
    outcomes_before: list[str] = []
    path = original
    if source != "onnx":
        path = _case_path(folder, "source", source)
        outcomes_before = list(convert(original, path, to=source).report.counts())
    names = [value.name for value in case.model.graph.output]
    runs = [
        (inputs, Outputs(dict(zip(names, values, strict=True)), "expected"))
        for inputs, values in zip(case.inputs, case.expected, strict=True)
    ]
    model = load(path, source=source)
    return HubCase(model, outcomes_before, runs, functools.partial(_excuse, case), case.rtol, case.atol)


def _native(case: NativeCase, source: str, folder: Path) -> HubCase:
    """The hub model read from a file of the format's own, and what the format's runtime makes of it."""
    try:
        file = case.make(folder)
    except Exception as fault:
        raise Stopped("untried", f"{type(fault).__name__}: {fault}") from fault
    model = load(file.source, source=source, **file.options)
    defaults = {v.name or "": v.const_value.numpy() for v in model.graph.inputs if v.const_value}
    inputs = defaults | dict(file.inputs)
    if file.expected is None:
        expected = run(file.source, inputs, source=source, **file.options)
    else:
        names = [value.name or "" for value in model.graph.outputs]
        expected = Outputs(dict(zip(names, file.expected, strict=True)), "expected")
    steps = {name: step * file.quanta for name, step in quanta(model).items()}
    excuse = functools.partial(_native_excuse, file)
    return HubCase(model, [], [(inputs, expected)], excuse, file.rtol, file.atol, steps)


def _run_target(hub_case: HubCase, target: str, folder: Path) -> tuple[str, str, float]:
    """Outcome, remark and worst error of the hub model as `target`."""
    target, _, options = target.partition("?")
    path = _case_path(folder, "target", target)
    given: dict[str, Any] = dict(parse_qsl(options))
    conversion = save(hub_case.model, path, to=target, overwrite=True, **given)
    remark, worst = "", 0.0
    for inputs, expected in hub_case.runs:
        try:
            actual = run(path, inputs, source=target)
        except (ExecutionFailed, InvalidInput) as error:
            raise Stopped("unrunnable", str(error)) from error
        checked = hub_case.compare(expected, actual)
        if checked.ok:
            worst = max([worst, *(o.max_abs for o in checked.outputs)])
            continue
        remark = hub_case.excuse(path, inputs, expected, actual, checked)
        if not remark:
            raise Stopped("wrong", str(checked))
    outcomes_before = {*hub_case.outcomes_before, *conversion.report.counts()}
    return next((o for o in reversed(ORDER) if o in outcomes_before), "native"), remark, worst


def _case_path(folder: Path, stem: str, name: str) -> Path:
    return folder / f"{stem}{by_name(name).suffixes[0]}"


def _native_excuse(
    file: Made, path: Path, inputs: dict[str, Any], expected: Outputs, actual: Outputs, checked: Verification
) -> str:
    """Other numbers are not wrong where they are random."""
    return _random_remark(checked) if file.random else ""


def _excuse(
    case: Case,
    path: Path,
    inputs: dict[str, Any],
    expected: Outputs,
    actual: Outputs,
    checked: Verification,
) -> str:
    """Why other numbers are not wrong: the operator is random, ONNX Runtime alone disagrees with the case, or
    the case is a Resize, which ONNX Runtime and torch scale by whole lengths and onnx.reference does not.
    Raises Stopped where no runtime computes what is expected from the case as it came either."""
    training = any(node.op_type == "Dropout" and len(node.input) == 3 for node in case.model.graph.node)
    if training or {node.op_type for node in case.model.graph.node} & RANDOM:
        return _random_remark(checked)

    def agrees(attempt: Callable[[], Outputs], expected: Outputs = expected) -> bool:
        with contextlib.suppress(Exception):
            return compare(expected, attempt(), case.rtol, case.atol).ok
        return False

    original = case.model.SerializeToString()
    resizes = {node.op_type for node in case.model.graph.node} == {"Resize"}
    if resizes and agrees(lambda: run_onnxruntime(original, list(expected), inputs), actual):
        return "agrees with what ONNX Runtime makes of the case"
    if path.suffix != ".onnx":
        return ""
    if checked.engines[1].startswith("ONNX Runtime") and agrees(
        lambda: run_reference(onnx.load(path), inputs)
    ):
        return "agrees in onnx.reference alone"
    if not agrees(lambda: run_onnxruntime(original, list(expected), inputs)) and not agrees(
        lambda: run_reference(case.model, inputs)
    ):
        raise Stopped("untried", "no runtime computes what the case expects, of the original neither")
    return ""


def _random_remark(checked: Verification) -> str:
    """The remark on random numbers whose names, dtypes and shapes are as expected."""
    same = all(o.problem in ("", "differs") for o in checked.outputs)
    return "random: shape and dtype compared" if same else ""
