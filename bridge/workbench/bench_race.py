"""Files in processes of their own that take turns."""

from __future__ import annotations

import itertools
import math
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from bridge import workers
from bridge.errors import BridgeError
from bridge.formats import Format
from bridge.limits import runtime_memory
from bridge.limits import seconds as allowed_seconds
from bridge.remote import answer_of
from bridge.workbench.bench_figures import Latency, Operator

__all__ = ["Contestant", "asked", "race", "ratios"]

SLICE = 0.1
"""Seconds that a file runs before it is the next one's turn."""
TURNS = 6
"""Turns that tell where the median is, at least."""
FEWEST = 3
"""Turns of what takes longer than it may."""
MOST = 100_000
"""Runs of a turn, at most."""
STABLE = 0.02
"""The part of the median that half of its interval is, at most, where it is stable."""
PROFILED = 10
"""Runs that a profile is the mean of."""

Turns = list[np.ndarray]


class Contestant:
    """A file that a process of its own opens and runs. `problem` says what became of it, empty where it
    runs."""

    def __init__(self, name: str, fmt: Format, size: int, place: str = "", problem: str = "") -> None:
        self.name, self.format, self.size, self.place, self.problem = name, fmt, size, place, problem
        self.engine, self.load, self.first = "", 0.0, 0.0
        self._worker: workers.Worker | None = None

    @property
    def runs(self) -> bool:
        return not self.problem

    def open(self, path: Path, options: dict[str, Any], threads: int, inputs: list[dict[str, Any]]) -> None:
        """Open the file, and run it on each of the inputs."""
        if self.format.runtime is None:
            self.problem = f"{self.format.title} has no runtime."
        self._worker = workers.Worker(offline=True)
        self._worker.memory = runtime_memory()
        place = {"format": self.format.name, "path": str(path), "options": options}
        told = self.ask("open_file", **place, threads=threads, place=self.place)
        if told:
            self.load, self.place = told["seconds"], told["place"]
            self.prepare(inputs)

    def prepare(self, inputs: list[dict[str, Any]]) -> None:
        """Run on each of the inputs, on which it will be timed."""
        told = self.ask("prepared", inputs=inputs)
        if told:
            self.engine, self.first = told["engine"], self.first or told["seconds"]

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        """The answer of the process; nothing where it fails, and `problem` says why."""
        worker = self._worker
        if self.problem or worker is None:
            return {}
        try:
            return asked(worker, self.format.title, what, **arguments)
        except BridgeError as error:
            self.problem = str(error)
            return {}

    def profile(self) -> tuple[Operator, ...]:
        """Kinds of operators by the time they take, the longest first."""
        told: dict[str, list[float]] = defaultdict(list)
        for kind, _, seconds in self.ask("profiled", runs=PROFILED).get("operators", ()):
            told[kind].append(seconds)
        every = sum(map(sum, told.values()))
        found = [Operator(kind, len(s), sum(s), sum(s) / every) for kind, s in told.items()]
        return tuple(sorted(found, key=lambda operator: -operator.seconds))

    def close(self) -> None:
        if self._worker is not None:
            self._worker.close()


def asked(worker: workers.Worker, title: str, what: str, **arguments: Any) -> dict[str, Any]:
    """The answer of a worker about the runtime of the format called `title`. The clock alone bounds it: under
    a limit of processor time Linux counts that in ticks. Raises the error it met."""
    wall = workers.PATIENCE * allowed_seconds()
    target = f"bridge.workbench.bench_timing:{what}"
    return answer_of(title, lambda: worker.call(target, arguments, math.inf, wall))


def race(contestants: Iterable[Contestant], seconds: float) -> dict[Contestant, Turns]:
    """Times by turn, [runs, 2], of those that run: they take turns until the median of each is stable, or
    each has taken so many seconds."""
    running = [one for one in contestants if one.runs]
    turns: dict[Contestant, Turns] = {one: [] for one in running}
    end = time.monotonic() + seconds * len(running)
    for number in itertools.count(1):
        for one in running[:: 1 if number % 2 else -1]:
            told = one.ask("turn", seconds=min(SLICE, seconds / TURNS), most=MOST)
            turns[one] += [told["runs"]] if told else []
        running = [one for one in running if one.runs]
        late = time.monotonic() > end
        if not running or (late and number >= FEWEST):
            break
        if number >= TURNS and all(Latency.of(turns[one]).spread <= STABLE for one in running):
            break
    return {one: turns[one] for one in running}


def ratios(turns: Turns, others: Turns) -> tuple[float, float]:
    """The median, turn by turn, of the median of one by that of another: by the clock and of processors."""
    pairs = zip(turns, others, strict=False)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.array([np.median(one, 0) / np.median(other, 0) for one, other in pairs])
    clock, processor = np.median(found, 0)
    return float(clock), float(processor)
