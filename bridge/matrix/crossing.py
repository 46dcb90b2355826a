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

from bridge.convert import convert, save
from bridge.detect import by_name
from bridge.errors import ExecutionFailed, InvalidInput, UnsupportedModel
from bridge.load import load
from bridge.matrix.cases import Case, case_of
from bridge.matrix.cases import frozen as freeze
from bridge.matrix.evidence import Result
from bridge.matrix.native import Made, NativeCase
from bridge.runtime import Outputs, run, run_onnxruntime, run_reference
from bridge.traits import RANDOM
from bridge.verify import Verification, compare, last_place, quanta

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
    with tempfile.TemporaryDirectory() as folder:
        start, early = time.perf_counter(), ("", "")
        try:
            with _stopping():
                held = _held(case, source, Path(folder))
        except Stopped as stop:
            outcome = "untried" if stop.outcome == "refused" and not native else stop.outcome
            held, early = None, (outcome, f"as {source}: {stop}")
        shared = (time.perf_counter() - start) / max(len(targets), 1)
        for target in targets:
            start, error = time.perf_counter(), 0.0
            try:
                if held is None:
                    outcome, reason = early
                else:
                    with _stopping():
                        outcome, reason, error = _crossed(held, target, Path(folder))
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
class Held:
    """A case read into the hub: how its operators crossed on the way, the runs to compare, and the excuses
    other numbers may have."""

    model: Any
    kinds: list[str]
    runs: list[tuple[dict[str, Any], Outputs]]
    excuse: Callable[[Path, dict[str, Any], Outputs, Verification], str]
    rtol: float | None = None
    atol: float | None = None
    steps: dict[str, float] = field(default_factory=dict)

    def compare(self, expected: Outputs, found: Outputs) -> Verification:
        atol = None if self.atol is None else max(self.atol, last_place(expected))
        return compare(expected, found, self.rtol, atol, self.steps)


def _held(case: Case | NativeCase, source: str, folder: Path) -> Held:
    if isinstance(case, NativeCase):
        return _native(case, source, folder)
    return _written(case, source, folder)


def _written(case: Case, source: str, folder: Path) -> Held:
    """The hub model read from the case written as `source`."""
    original = folder / "case.onnx"
    onnx.save(case.model, original)
    kinds: list[str] = []
    path = original
    if source != "onnx":
        path = _named(folder, "source", source)
        kinds = list(convert(original, path, to=source).report.counts())
    names = [value.name for value in case.model.graph.output]
    runs = [
        (inputs, Outputs(dict(zip(names, values, strict=True)), "expected"))
        for inputs, values in zip(case.inputs, case.expected, strict=True)
    ]
    model = load(path, source=source)
    return Held(model, kinds, runs, functools.partial(_excuse, case), case.rtol, case.atol)


def _native(case: NativeCase, source: str, folder: Path) -> Held:
    """The hub model read from a file of the format's own, and what the format's runtime makes of it."""
    try:
        made = case.make(folder)
    except Exception as fault:
        raise Stopped("untried", f"{type(fault).__name__}: {fault}") from fault
    model = load(made.source, source=source, **made.options)
    defaults = {v.name or "": v.const_value.numpy() for v in model.graph.inputs if v.const_value}
    inputs = defaults | dict(made.inputs)
    if made.expected is None:
        expected = run(made.source, inputs, source=source, **made.options)
    else:
        names = [value.name or "" for value in model.graph.outputs]
        expected = Outputs(dict(zip(names, made.expected, strict=True)), "expected")
    steps = {name: step * made.quanta for name, step in quanta(model).items()}
    excuse = functools.partial(_native_excuse, made)
    return Held(model, [], [(inputs, expected)], excuse, made.rtol, made.atol, steps)


def _crossed(held: Held, target: str, folder: Path) -> tuple[str, str, float]:
    """Outcome, remark and worst error of the hub model as `target`."""
    target, _, options = target.partition("?")
    path = _named(folder, "target", target)
    conversion = save(held.model, path, to=target, overwrite=True, **dict(parse_qsl(options)))
    remark, worst = "", 0.0
    for inputs, expected in held.runs:
        try:
            found = run(path, inputs, source=target)
        except (ExecutionFailed, InvalidInput) as error:
            raise Stopped("unrunnable", str(error)) from error
        checked = held.compare(expected, found)
        if checked.ok:
            worst = max([worst, *(o.max_abs for o in checked.outputs)])
            continue
        remark = held.excuse(path, inputs, expected, checked)
        if not remark:
            raise Stopped("wrong", str(checked))
    kinds = {*held.kinds, *conversion.report.counts()}
    return next((o for o in reversed(ORDER) if o in kinds), "native"), remark, worst


def _named(folder: Path, stem: str, name: str) -> Path:
    return folder / f"{stem}{by_name(name).suffixes[0]}"


def _native_excuse(
    made: Made, path: Path, inputs: dict[str, Any], expected: Outputs, checked: Verification
) -> str:
    """Other numbers are not wrong where they are random."""
    return _alike(checked) if made.random else ""


def _excuse(case: Case, path: Path, inputs: dict[str, Any], expected: Outputs, checked: Verification) -> str:
    """Why other numbers are not wrong: the operator is random, or ONNX Runtime alone disagrees with the case.
    Raises Stopped where no runtime computes what is expected from the case as it came either."""
    training = any(node.op_type == "Dropout" and len(node.input) == 3 for node in case.model.graph.node)
    if training or {node.op_type for node in case.model.graph.node} & RANDOM:
        return _alike(checked)

    def computed(attempt: Callable[[], Outputs]) -> bool:
        with contextlib.suppress(Exception):
            return compare(expected, attempt(), case.rtol, case.atol).ok
        return False

    if path.suffix != ".onnx":
        return ""
    if checked.engines[1].startswith("ONNX Runtime") and computed(
        lambda: run_reference(onnx.load(path), inputs)
    ):
        return "agrees in onnx.reference alone"
    original = case.model.SerializeToString()
    if not computed(lambda: run_onnxruntime(original, list(expected), inputs)) and not computed(
        lambda: run_reference(case.model, inputs)
    ):
        raise Stopped("untried", "no runtime computes what the case expects, of the original neither")
    return ""


def _alike(checked: Verification) -> str:
    """The remark on random numbers whose names, dtypes and shapes are as expected."""
    same = all(o.problem in ("", "differs") for o in checked.outputs)
    return "random: shape and dtype compared" if same else ""
