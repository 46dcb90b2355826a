"""Run cases over routes on an executor, and keep the evidence as it comes."""

from __future__ import annotations

import datetime
import importlib.metadata
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

from bridge import workers
from bridge.detect import by_name
from bridge.errors import InvalidOption
from bridge.matrix.cases import case_of, keys
from bridge.matrix.evidence import NAME, Evidence, Journal, Result
from bridge.matrix.native import source_of
from bridge.output import make_folder
from bridge.plugins import DISTRIBUTION, formats

Unit = tuple[str, bool, str, tuple[str, ...]]


def run(
    routes: list[str],
    names: list[str],
    folder: Path,
    *,
    mode: str = "as-is",
    jobs: int = 2,
    executor: Executor | None = None,
    resume: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evidence:
    """Every case of `names` over every route "a:b" or "a:b?option=value&…"; the evidence goes to
    `folder`/results.jsonl as it comes.

    A native case is run over the routes from its format. `mode` is as-is, frozen (every input but the first a
    constant; cases that cannot be frozen are left out) or both. With `resume`, what the file holds already is
    not run again. Work is done by `jobs` worker processes, or through `executor`, such as that of a Dask
    client. Raises InvalidOption for a bad route, WriteFailed.
    """
    sources = _sources(routes)
    make_folder(folder)
    todo = keys(names, mode)
    wanted = [(r, *key) for r in routes for key in todo if source_of(key[0]) in ("", r.partition(":")[0])]
    order = {key: i for i, key in enumerate(wanted)}
    journal = Journal(folder / NAME, _facts(routes), resume)
    done = {r.key for r in journal.evidence.results} & set(order)
    units = []
    for source, targets in sources.items():
        for name, frozen in todo:
            mine = ((t, (f"{source}:{t}", name, frozen)) for t in targets)
            left = tuple(t for t, key in mine if key in order and key not in done)
            if left:
                units.append((name, frozen, source, left))
    finished, total = len(done), len(order)
    progress(finished, total)
    with workers.worker_pool(jobs, executor) as pool:
        for results in _each(pool, units):
            for result in results:
                journal.add(replace(result, ops=case_of(result.case).ops))
            finished += len(results)
            progress(finished, total)
    evidence = journal.finish(order)
    return Evidence(evidence.facts, [r for r in evidence.results if r.key in order])


def _each(pool: Executor, units: list[Unit]) -> Iterator[list[Result]]:
    futures = {pool.submit(unit, *each): each for each in units}
    for future in as_completed(futures):
        name, frozen, source, targets = futures.pop(future)
        try:
            yield future.result()
        except Exception as lost:
            reason = f"{type(lost).__name__}: {lost}"
            yield [Result(f"{source}:{t}", name, "crashed", reason, frozen=frozen) for t in targets]


def unit(name: str, frozen: bool, source: str, targets: tuple[str, ...]) -> list[Result]:
    """One case from `source` to each target, in a worker process. A route on which the process ends is tried
    once more in a new one, and so are those after it."""
    results: list[Result] = []
    left, crashed = list(targets), ""
    while left:
        arguments = {"name": name, "frozen": frozen, "source": source, "targets": left}
        try:
            for record in workers.isolated("bridge.matrix.case_runner:cross", arguments):
                results.append(Result(**record))
                left.pop(0)
        except workers.WorkerLost as lost:
            if lost.outcome == "crashed" and crashed != left[0]:
                crashed = left[0]
                continue
            results.append(Result(f"{source}:{left.pop(0)}", name, lost.outcome, str(lost), frozen=frozen))
        except RuntimeError as fault:
            results += [Result(f"{source}:{t}", name, "failed", str(fault), frozen=frozen) for t in left]
            left = []
    return results


def all_routes() -> list[str]:
    """Every route between installed formats whose packages are there: from one that is read (and, but for
    ONNX, written) to one that is written."""
    there = [f for f in formats() if all(f.installed().values())]
    return [
        f"{a.name}:{b.name}"
        for a in there
        for b in there
        if a.importer and (a.exporter or a.name == "onnx") and b.exporter
    ]


def _sources(routes: list[str]) -> dict[str, list[str]]:
    """Targets by source; the source of a route is read, and unless it is ONNX, cases are first written as
    it."""
    by_source: dict[str, list[str]] = {}
    for route in routes:
        source, target = require_route(route)
        by_source.setdefault(source, []).append(target)
    return by_source


def require_route(route: str) -> tuple[str, str]:
    """Source and target of a route. Raises InvalidOption, UnknownFormat."""
    source, _, target = route.partition(":")
    if not source or not target or ":" in target.partition("?")[0]:
        raise InvalidOption(f"The route {route!r} is not FORMAT:FORMAT.", "Write it as onnx:tflite.")
    for name, side in ((source, "importer"), (target.split("?")[0], "exporter")):
        by_name(name, side)
    return source, target


def _facts(routes: list[str]) -> dict[str, Any]:
    """Date of the run and the versions of all that took part."""
    names = dict.fromkeys(name.split("?")[0] for route in routes for name in route.split(":"))
    packages = {p: v for name in names for p, v in by_name(name).installed().items()}
    return {
        "date": datetime.date.today().isoformat(),
        "bridge": importlib.metadata.version(DISTRIBUTION),
        "versions": {"onnx": importlib.metadata.version("onnx"), **packages},
    }
