"""Calls in worker processes: one that crashes or hangs costs that call alone."""

from __future__ import annotations

import atexit
import importlib
import math
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bridge.frames import decode, encode, read_frame, sizes

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

TIMEOUT = 60.0
PATIENCE = 10.0
"""How much longer than its processor time a call may take: other work, waiting for files."""
LOOK = 0.1
"""Seconds between two looks at the memory of a worker."""
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
CORES = 4
"""The processors a call may keep busy at once, at most."""

OFFLINE = """
from bridge.offline import leave_network
leave_network()
from bridge.workers import main
main()
"""
"""A worker that leaves the network before libraries that start threads are imported."""

_idle: list[Worker] = []
_choosing = threading.Lock()


class WorkerLost(Exception):
    """The worker process ended, or took more time or memory than it may, in the middle of a call; `outcome`
    is "crashed", "timeout" or "memory"."""

    def __init__(self, outcome: str, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


def isolated(
    target: str,
    arguments: dict[str, Any],
    timeout: float = TIMEOUT,
    wall: float | None = None,
    offline: bool = False,
    memory: float = math.inf,
) -> Iterator[Any]:
    """Yield what the generator function `target` ("module:name") yields for `arguments`, in a worker process
    of its own, without a network where it is to be `offline` and the system lets us.

    Arguments and values are plain data and arrays. `timeout` seconds of a processor is the most one of them
    may take, `wall` of the clock (ten times as many without it), `memory` bytes the most the process may
    hold, where the system tells (Linux). Raises WorkerLost when the process ends, hangs or grows beyond, and
    RuntimeError with the words of an exception the function raised. A process that did its work
    is used again.
    """
    worker = _waiting(offline) or Worker(offline)
    try:
        worker.memory = memory
        yield from worker.call(target, arguments, timeout, PATIENCE * timeout if wall is None else wall)
    except BaseException:
        worker.close()
        raise
    _idle.append(worker)


def prepare(target: str, arguments: dict[str, Any], timeout: float = TIMEOUT, offline: bool = False) -> None:
    """Have a worker process call the generator function `target` while this process goes on; the next call
    waits for it. Nothing it yields or raises is told."""
    worker = _waiting(offline) or Worker(offline)
    with suppress(WorkerLost):
        worker.send(target, arguments, timeout)
        worker.preparing += 1
    _idle.append(worker)


def _waiting(offline: bool) -> Worker | None:
    """A worker of this process that waits for work, with or without a network."""
    with _choosing:
        for worker in reversed(_idle[:]):
            own = worker.owner == os.getpid() and worker.alive()
            if not own or worker.offline == offline:
                _idle.remove(worker)
            if own and worker.offline == offline:
                return worker
    return None


@contextmanager
def worker_pool(jobs: int, executor: Executor | None = None) -> Iterator[Executor]:
    """`executor` as it is; without one, `jobs` threads, what they have not begun cancelled at the end."""
    if executor is not None:
        yield executor
        return
    own = ThreadPoolExecutor(jobs)
    try:
        yield own
    finally:
        own.shutdown(wait=True, cancel_futures=True)


@atexit.register
def close() -> None:
    """End the worker processes that wait for work."""
    while _idle:
        worker = _idle.pop()
        if worker.owner == os.getpid():
            worker.close()


class Worker:
    """A process that runs generator functions by name; frames of plain data and arrays in and out."""

    def __init__(self, offline: bool = False) -> None:
        self.owner, self.offline = os.getpid(), offline
        code = ["-c", OFFLINE] if offline and sys.platform == "linux" else ["-m", "bridge.workers"]
        self.process = subprocess.Popen(
            [sys.executable, *code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.preparing = 0
        self.memory = math.inf
        self._rest = bytearray()

    def alive(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        self.process.kill()
        with suppress(OSError, ValueError):
            self.process.communicate()

    def call(self, target: str, arguments: dict[str, Any], timeout: float, wall: float) -> Iterator[Any]:
        """Values `target` yields. Raises WorkerLost or RuntimeError."""
        while self.preparing:
            self.preparing -= 1
            with suppress(RuntimeError):
                list(self._answers(timeout, wall))
        self.send(target, arguments, timeout)
        yield from self._answers(timeout, wall)

    def send(self, target: str, arguments: dict[str, Any], timeout: float) -> None:
        """Begin a call. Raises WorkerLost."""
        stdin = self.process.stdin
        assert stdin is not None
        frame = encode([target, arguments, timeout])
        try:
            stdin.write(frame)
            stdin.flush()
        except OSError:
            raise self._lost(timeout) from None

    def _answers(self, timeout: float, wall: float) -> Iterator[Any]:
        while True:
            message, value = self._answer(timeout, wall)
            if message == "end":
                return
            if message == "error":
                raise RuntimeError(value)
            yield value

    def _answer(self, timeout: float, wall: float) -> Any:
        end = time.monotonic() + wall
        while (newline := self._rest.find(b"\n")) < 0:
            self._read(end, timeout, wall)
        line, parts = bytes(self._rest[:newline]), sizes(bytes(self._rest[:newline]))
        place = newline + 1
        while len(self._rest) < place + sum(parts):
            self._read(end, timeout, wall)
        buffers = []
        for size in parts:
            buffers.append(bytes(self._rest[place : place + size]))
            place += size
        del self._rest[:place]
        return decode(line, buffers)

    def _read(self, end: float, timeout: float, wall: float) -> None:
        stdout = self.process.stdout
        assert stdout is not None
        while not select.select([stdout], [], [], max(0.0, min(LOOK, end - time.monotonic())))[0]:
            if time.monotonic() >= end:
                raise WorkerLost("timeout", f"over {wall:.0f} s")
            if self._resident() > self.memory:
                raise WorkerLost("memory", f"over {self.memory:.0f} bytes")
        read = os.read(stdout.fileno(), 1 << 20)
        if not read:
            raise self._lost(timeout)
        self._rest += read

    def _resident(self) -> int:
        """Bytes of memory the process holds; 0 where the system does not tell."""
        try:
            return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * PAGE
        except (OSError, IndexError):
            return 0

    def _lost(self, timeout: float) -> WorkerLost:
        """The end of the process in words."""
        code = self.process.wait(5)
        if code >= 0:
            return WorkerLost("crashed", f"worker ended with code {code}")
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        if name == "SIGXCPU":
            return WorkerLost("timeout", f"over {timeout:.0f} s of a processor")
        return WorkerLost("crashed", f"worker ended by {name}")


def main() -> None:
    """Serve calls from stdin. What libraries print goes to stderr, away from the answers."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def answer(message: str, value: Any = None) -> None:
        answers.write(encode([message, value]))
        answers.flush()

    while True:
        try:
            target, arguments, timeout = read_frame(sys.stdin.buffer)
        except EOFError:
            return
        try:
            module, _, name = target.partition(":")
            _limit(timeout)
            for value in getattr(importlib.import_module(module), name)(**arguments):
                answer("value", value)
                _limit(timeout)
            answer("end")
        except Exception as error:
            answer("error", f"{type(error).__name__}: {error}")


def _limit(seconds: float) -> None:
    """End this process by SIGXCPU when it has used so many more seconds of processor time, times the
    processors it may keep busy. Where there are no such limits, or infinitely many seconds, the clock alone
    bounds it."""
    if resource is None or math.isinf(seconds):
        return
    with suppress(OSError, ValueError):
        busy = min(CORES, os.cpu_count() or 1)
        soft = math.ceil(time.process_time() + seconds * busy)
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


if __name__ == "__main__":
    main()
