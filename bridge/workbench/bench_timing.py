"""In the worker: a file opened as its runtime is fastest, and timed; and what the machine reaches."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from bridge.detect import by_name
from bridge.errors import ExecutionFailed
from bridge.remote import answer, in_this_process
from bridge.session import RE_READ, Runner, Session

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

WARM = 3
"""Runs before any is timed: runtimes compile, and choose kernels, at the first ones."""
SHORT = 0.02
"""Seconds of a run that what other processes did to the caches may change much."""
SIDE = 512
"""Rows and columns of the product that the machine's speed is measured by."""
PRODUCT = f"""<ir_version: 8, opset_import: ["": 13]>
g (float[{SIDE},{SIDE}] a, float[{SIDE},{SIDE}] b) => (float[{SIDE},{SIDE}] c) {{ c = MatMul (a, b) }}"""
COPIED = (2**18, 2**21, 2**24, 2**27)
"""Bytes of the copies, read and written, that its bandwidth is measured by: they fit into caches, or do
not."""
TRYING = 0.5
"""Seconds in which it is looked for what the machine reaches."""


class Timed:
    """The subject of this process: one file in its runtime."""

    def __init__(self, opened: Runner | Session, before: int) -> None:
        self.opened, self.before = opened, before
        self.engine = opened.engine
        self.inputs: list[dict[str, Any]] = []
        self.calls: Iterator[Callable[[], Any]] = iter(())
        self.last = math.inf

    def prepare(self, inputs: list[dict[str, Any]]) -> float:
        """Run on each of the inputs, and be ready to again; the seconds of the first run."""
        opened, self.inputs = self.opened, inputs
        if isinstance(opened, Runner):
            calls = [opened.prepared(each) for each in inputs]
        else:
            calls = [lambda each=each: opened.run(each) for each in inputs]  # type: ignore[misc]
        self.calls = itertools.cycle(calls)
        first = self.run()[0]
        self.engine = opened.engine
        for _ in range(WARM * len(calls) - 1):
            self.run()
        return first

    def run(self) -> tuple[float, float]:
        """Seconds of a run, by the clock and of processors."""
        call = next(self.calls)
        busy, start = time.process_time(), time.perf_counter()
        call()
        end = time.perf_counter()
        self.last = end - start
        return self.last, time.process_time() - busy


_timed: list[Timed] = []


def places(format: str) -> Iterator[dict[str, Any]]:
    """Yield the execution providers, delegates or devices of a format's runtime."""
    yield answer(lambda: {"places": list(_runner(format).places())})


def _runner(name: str) -> Any:
    """The class of runners of a format that has one. Raises UnknownFormat, MissingDependency."""
    fmt = by_name(name)
    try:
        return fmt.resolve("runner")
    except ModuleNotFoundError as error:
        raise fmt.missing(error) from error


def open_file(
    format: str, path: str, options: dict[str, Any], threads: int, place: str
) -> Iterator[dict[str, Any]]:
    """Yield how long a file took to open, and the engine that has it."""

    def measured() -> dict[str, Any]:
        fmt = by_name(format)
        part = fmt.part("runner")
        runner = _runner(format) if part is not None and not part.missing() else None
        usual = runner.places()[0] if runner is not None else ""
        session = fmt.resolve("runtime")
        before, start = _most_memory(), time.perf_counter()
        with in_this_process():
            if runner is not None:
                made = runner(Path(path), threads, place or usual, **options)
            else:
                made = session.open(Path(path), **options)
        seconds = time.perf_counter() - start
        _timed[:] = [Timed(made, before)]
        return {"seconds": seconds, "place": place or usual}

    yield answer(measured)


def prepared(inputs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the seconds of the first run. Raises ExecutionFailed where the runtime is not the format's
    own."""

    def first() -> dict[str, Any]:
        (one,) = _timed
        with _said(one.engine):
            seconds = one.prepare(inputs)
        if one.engine.startswith(RE_READ):
            raise ExecutionFailed("The format's own runtime is not here.")
        return {"seconds": seconds, "engine": one.engine}

    yield answer(first)


@contextlib.contextmanager
def _said(engine: str) -> Iterator[None]:
    """A context in which what a runtime raises is an ExecutionFailed in its words."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError) as error:
        raise ExecutionFailed(f"{engine}: {str(error).strip()}") from error


def turn(seconds: float, most: int) -> Iterator[dict[str, Any]]:
    """Yield times of runs, by the clock and of processors: as many as fit into so many seconds, `most` at
    most, two at least."""

    def measured() -> dict[str, Any]:
        (one,) = _timed
        with _said(one.engine):
            if one.last < SHORT:
                one.run()
            end, runs = time.perf_counter() + seconds, [one.run()]
            while len(runs) < most and (time.perf_counter() < end or len(runs) < 2):
                runs.append(one.run())
        return {"runs": np.array(runs)}

    yield answer(measured)


def profiled(runs: int) -> Iterator[dict[str, Any]]:
    """Yield the operators that ran, by kind and name, and the seconds of each; none where the runtime does
    not tell."""

    def measured() -> dict[str, Any]:
        (one,) = _timed
        with _said(one.engine):
            told = one.opened.profiled(one.inputs[0], runs) if isinstance(one.opened, Runner) else []
        return {"operators": [list(each) for each in told]}

    yield answer(measured)


def memory() -> Iterator[dict[str, Any]]:
    """Yield the most bytes this process held, and what it held before the file was opened."""
    yield {"most": _most_memory(), "before": _timed[0].before}


def _most_memory() -> int:
    """The most bytes that this process and those it began held, by what the system tells of each; `resource`
    also tells what the process that began this one held."""
    with contextlib.suppress(OSError):
        return sum(map(_highest, _processes(Path("/proc/self").resolve())))
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss if resource else 0


def _processes(place: Path) -> Iterator[Path]:
    """The folders of a process and of those it began."""
    yield place
    for children in place.glob("task/*/children"):
        for number in children.read_text().split():
            yield from _processes(place.with_name(number))


def _highest(place: Path) -> int:
    return 1024 * int((place / "status").read_text().partition("VmHWM:")[2].split()[0])


def machine(threads: int) -> Iterator[dict[str, Any]]:
    """Yield the operations a second of a product of float32 matrices, and the bytes a second that a copy
    reads and writes, the best of several each."""
    yield answer(lambda: {"operations": _product(threads), "bandwidth": _copies(threads)})


def _product(threads: int) -> float:
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    run = ort.InferenceSession(onnx.parser.parse_model(PRODUCT).SerializeToString(), settings).run
    matrix = np.random.default_rng(0).random((SIDE, SIDE), np.float32)
    return 2 * SIDE**3 / _least(lambda: run(None, {"a": matrix, "b": matrix}))


def _copies(threads: int) -> dict[int, float]:
    return {size: _copy(size, threads) for size in COPIED}


def _copy(size: int, threads: int) -> float:
    source = np.ones((threads, size // threads // 2), np.uint8)
    target, times = np.zeros_like(source), COPIED[-1] // size

    def copy(to: np.ndarray, one: np.ndarray) -> None:
        for _ in range(times):
            np.copyto(to, one)

    with ThreadPoolExecutor(threads) as pool:
        return 2 * source.size * times / _least(lambda: list(pool.map(copy, target, source)))


def _least(call: Callable[[], Any]) -> float:
    """The least seconds of the calls that fit into TRYING, of three at least."""
    times: list[float] = []
    end = time.perf_counter() + TRYING
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)
