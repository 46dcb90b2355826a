"""Run cases through routes, each in a worker process that a crash or a time-out costs only that case."""

from __future__ import annotations

import json
import multiprocessing
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from bridge.errors import InvalidOption, UnsupportedModel

TIMEOUT = 60.0
SURVIVED = ("native", "expanded", "approximated")


@dataclass(frozen=True)
class Result:
    """What became of one case on one route; `error` is the worst absolute error."""

    route: str
    case: str
    outcome: str
    reason: str = ""
    error: float = 0.0
    seconds: float = 0.0
    frozen: bool = False


def run(
    routes: list[str],
    names: list[str],
    folder: Path,
    *,
    frozen: bool = False,
    jobs: int = 2,
    resume: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Result]:
    """Every case of `names` over every route "a:b" or "a:b?option=value"; the evidence goes to `folder`/results.jsonl as it comes.

    With `frozen`, cases that cannot be frozen are left out. With `resume`, cases the file holds already
    are not run again. Raises InvalidOption for a bad route.
    """
    from bridge.formats import by_name

    for route in routes:
        first, _, second = route.partition(":")
        if first != "onnx" or not second:
            raise InvalidOption(f"The route {route!r} is not onnx:FORMAT.", "Cases start as ONNX models.")
        by_name(_target(second)[0])
    if frozen:
        from bridge.matrix.cases import frozen as freeze
        from bridge.matrix.cases import node_cases

        names = [name for name in names if freeze(node_cases()[name])]
    folder.mkdir(parents=True, exist_ok=True)
    evidence = folder / "results.jsonl"
    done = {(r.route, r.case): r for r in _read(evidence) if r.frozen == frozen} if resume else {}
    todo = [(r, n) for r in routes for n in names if (r, n) not in done]
    with evidence.open("a" if resume else "w") as file, ThreadPoolExecutor(jobs) as pool:
        workers = threading.local()
        measured = pool.map(lambda item: _supervised(workers, item[0], item[1], frozen), todo)
        for index, result in enumerate(measured, 1):
            done[result.route, result.case] = result
            file.write(json.dumps(asdict(result)) + "\n")
            file.flush()
            progress(index, len(todo))
    return [done[r, n] for r in routes for n in names]


def _read(evidence: Path) -> Iterator[Result]:
    if not evidence.exists():
        return
    for line in evidence.read_text().splitlines():
        try:
            yield Result(**json.loads(line))
        except (ValueError, TypeError):
            continue


def _target(text: str) -> tuple[str, dict[str, Any]]:
    """A format's name and its options, from `format?option=value&…`."""
    name, _, options = text.partition("?")
    return name, dict(parse_qsl(options))


def _supervised(workers: Any, route: str, name: str, frozen: bool) -> Result:
    """One case in this thread's worker process; a worker that dies or hangs is replaced."""
    start = time.perf_counter()
    if not getattr(workers, "process", None):
        context = multiprocessing.get_context("spawn")
        workers.pipe, theirs = context.Pipe()
        workers.process = context.Process(target=_worker, args=(theirs,), daemon=True)
        workers.process.start()
        theirs.close()
    workers.pipe.send((route, name, frozen))
    try:
        if workers.pipe.poll(TIMEOUT):
            return workers.pipe.recv()
        outcome, reason = "timeout", f"over {TIMEOUT:.0f} s"
    except (EOFError, ConnectionError):
        workers.process.join(5)
        outcome, reason = "crashed", f"worker ended with code {workers.process.exitcode}"
    workers.process.kill()
    workers.process = None
    return Result(route, name, outcome, reason, 0.0, round(time.perf_counter() - start, 3), frozen)


def _worker(pipe: Any) -> None:
    while True:
        try:
            route, name, frozen = pipe.recv()
        except EOFError:
            return
        pipe.send(measure(route, name, frozen))


def measure(route: str, name: str, frozen: bool = False) -> Result:
    """One case over one route, in this process."""
    from bridge.matrix.cases import frozen as freeze
    from bridge.matrix.cases import node_cases

    case = node_cases()[name]
    if frozen:
        case = freeze(case) or case
    start = time.perf_counter()
    try:
        outcome, reason, error = _outcome(*_target(route.partition(":")[2]), case)
    except UnsupportedModel as refusal:
        outcome, reason, error = "refused", "; ".join(f"{b.op} {b.reason}" for b in refusal.blockers), 0.0
    except Exception as fault:
        outcome, reason, error = "failed", f"{type(fault).__name__}: {fault}", 0.0
    return Result(route, name, outcome, reason[:500], error, round(time.perf_counter() - start, 3), frozen)


def _outcome(target: str, options: dict[str, Any], case: Any) -> tuple[str, str, float]:
    import onnx

    import bridge
    from bridge.errors import ExecutionFailed, InvalidInput
    from bridge.formats import by_name
    from bridge.runtime import Outputs
    from bridge.verify import compare, last_place

    names = [value.name for value in case.model.graph.output]
    remark, worst = "", 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"case{by_name(target).suffixes[0]}"
        source = Path(folder) / "source.onnx"
        onnx.save(case.model, source)
        conversion = bridge.convert(source, path, to=target, **options)
        for inputs, values in zip(case.inputs, case.expected, strict=True):
            try:
                found = bridge.run(path, inputs, source=target)
            except (ExecutionFailed, InvalidInput) as error:
                return "unrunnable", str(error), 0.0
            expected = Outputs(dict(zip(names, values, strict=True)), "expected")
            checked = compare(expected, found, case.rtol, max(case.atol, last_place(expected)))
            if not checked.ok:
                remark = _excuse(path, case, inputs, expected, checked)
                if not remark:
                    return "wrong", str(checked), max(o.max_abs for o in checked.outputs)
            else:
                worst = max([worst, *(o.max_abs for o in checked.outputs)])
    counts = conversion.report.counts()
    return next((o for o in ("approximated", "expanded") if counts.get(o)), "native"), remark, worst


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


def counts(results: list[Result]) -> dict[str, dict[str, Any]]:
    """Per route, how many cases had each outcome, how many survived, and the worst error of those approximated."""
    found: dict[str, dict[str, Any]] = {}
    for route in dict.fromkeys(r.route for r in results):
        mine = [r for r in results if r.route == route]
        outcomes = Counter(r.outcome for r in mine)
        found[route] = {
            "cases": len(mine),
            "survived": sum(outcomes[o] for o in SURVIVED),
            "outcomes": dict(outcomes.most_common()),
            "worst_approximated": max((r.error for r in mine if r.outcome == "approximated"), default=0.0),
        }
    return found


def summary(results: list[Result]) -> str:
    """`counts` in words, a line a route."""
    lines = []
    for route, found in counts(results).items():
        share = 100 * found["survived"] / max(found["cases"], 1)
        listed = ", ".join(f"{n} {o}" for o, n in found["outcomes"].items())
        if "approximated" in found["outcomes"]:
            listed += f" (within {found['worst_approximated']:.1e})"
        lines.append(f"{route}: {found['survived']} of {found['cases']} survived ({share:.1f} %): {listed}")
    return "\n".join(lines)
