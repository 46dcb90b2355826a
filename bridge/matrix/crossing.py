"""One case: written as the route's first format, read from it once, and written as each of the others."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from bridge.errors import ExecutionFailed, InvalidInput, UnsupportedModel
from bridge.matrix.evidence import Result

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
    from bridge.matrix.cases import case_of
    from bridge.matrix.cases import frozen as freeze

    case = case_of(name)
    if frozen:
        case = freeze(case) or case
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        try:
            with _stopping():
                held, model = _held(case, source, Path(folder))
        except Stopped as stop:
            outcome = "untried" if stop.outcome == "refused" else stop.outcome
            held, model, early = [], None, (outcome, f"as {source}: {stop}")
        else:
            early = ("", "")
        shared = (time.perf_counter() - start) / max(len(targets), 1)
        for target in targets:
            start, error = time.perf_counter(), 0.0
            try:
                if early[0]:
                    outcome, reason = early
                else:
                    with _stopping():
                        outcome, reason, error = _crossed(case, model, held, target, Path(folder))
            except Stopped as stop:
                outcome, reason = stop.outcome, str(stop)
            seconds = round(time.perf_counter() - start + shared, 3)
            route = f"{source}:{target}"
            error = float(f"{error:.2g}")
            yield asdict(Result(route, name, outcome, reason[:500], error, seconds, frozen))


@contextmanager
def _stopping() -> Iterator[None]:
    """What is raised as the outcome it means."""
    try:
        yield
    except Stopped:
        raise
    except UnsupportedModel as refusal:
        reason = "; ".join(dict.fromkeys(f"{b.op} {b.reason}" for b in refusal.blockers))
        raise Stopped("refused", reason) from refusal
    except Exception as fault:
        raise Stopped("failed", f"{type(fault).__name__}: {fault}") from fault


def _held(case: Any, source: str, folder: Path) -> tuple[list[str], Any]:
    """The hub model read from the case written as `source`, and how its operators crossed."""
    import onnx

    import bridge

    original = folder / "case.onnx"
    onnx.save(case.model, original)
    if source == "onnx":
        return [], bridge.load(original)
    path = _named(folder, "source", source)
    conversion = bridge.convert(original, path, to=source)
    return list(conversion.report.counts()), bridge.load(path, source=source)


def _crossed(case: Any, model: Any, held: list[str], target: str, folder: Path) -> tuple[str, str, float]:
    """Outcome, remark and worst error of the case's hub model as `target`."""
    import bridge
    from bridge.runtime import Outputs
    from bridge.verify import compare, last_place

    target, _, options = target.partition("?")
    path = _named(folder, "target", target)
    conversion = bridge.save(model, path, to=target, overwrite=True, **dict(parse_qsl(options)))
    names = [value.name for value in case.model.graph.output]
    remark, worst = "", 0.0
    for inputs, values in zip(case.inputs, case.expected, strict=True):
        try:
            found = bridge.run(path, inputs, source=target)
        except (ExecutionFailed, InvalidInput) as error:
            raise Stopped("unrunnable", str(error)) from error
        expected = Outputs(dict(zip(names, values, strict=True)), "expected")
        checked = compare(expected, found, case.rtol, max(case.atol, last_place(expected)))
        if checked.ok:
            worst = max([worst, *(o.max_abs for o in checked.outputs)])
            continue
        remark = _excuse(path, case, inputs, expected, checked)
        if not remark and target == "onnx" and _misses(case, inputs, expected):
            raise Stopped("untried", "no runtime computes what the case expects, of the original neither")
        if not remark:
            raise Stopped("wrong", str(checked))
    kinds = {*held, *conversion.report.counts()}
    return next((o for o in reversed(ORDER) if o in kinds), "native"), remark, worst


def _misses(case: Any, inputs: dict[str, Any], expected: Any) -> bool:
    """Neither ONNX Runtime nor the reference evaluator computes what is expected from the case as it came."""
    from bridge.runtime import run_onnxruntime, run_reference
    from bridge.verify import compare

    names = [value.name for value in case.model.graph.output]
    for compute in (
        lambda: run_onnxruntime(case.model.SerializeToString(), names, inputs),
        lambda: run_reference(case.model, inputs),
    ):
        try:
            found = compute()
        except Exception:
            continue
        if compare(expected, found, case.rtol, case.atol).ok:
            return False
    return True


def _named(folder: Path, stem: str, name: str) -> Path:
    from bridge.formats import by_name

    return folder / f"{stem}{by_name(name).suffixes[0]}"


def _excuse(path: Path, case: Any, inputs: dict[str, Any], expected: Any, checked: Any) -> str:
    """Why other numbers are not wrong: the operator is random, or ONNX Runtime alone disagrees with the case."""
    from bridge.passes.fold import RANDOM

    training = any(node.op_type == "Dropout" and len(node.input) == 3 for node in case.model.graph.node)
    if training or {node.op_type for node in case.model.graph.node} & set(RANDOM):
        same = all(o.problem in ("", "differs") for o in checked.outputs)
        return "random: shape and dtype compared" if same else ""
    if not checked.engines[1].startswith("ONNX Runtime"):
        return ""
    import onnx

    from bridge.runtime import run_reference
    from bridge.verify import compare

    try:
        found = run_reference(onnx.load(path), inputs)
    except Exception:
        return ""
    return "agrees in onnx.reference alone" if compare(expected, found, case.rtol, case.atol).ok else ""
