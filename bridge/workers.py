"""Calls in worker processes: one that crashes or hangs costs that call alone."""

from __future__ import annotations

import atexit
import importlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

TIMEOUT = 60.0
_idle: list[Worker] = []


class WorkerLost(Exception):
    """The worker process ended or ran out of time in the middle of a call; `outcome` is "crashed" or
    "timeout"."""

    def __init__(self, outcome: str, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


def isolated(target: str, arguments: dict[str, Any], timeout: float = TIMEOUT) -> Iterator[Any]:
    """Yield what the generator function `target` ("module:name") yields for JSON `arguments`, in a worker
    process of its own.

    Yielded values are JSON. `timeout` seconds is the most one of them may take. Raises WorkerLost when the
    process ends or hangs, and RuntimeError with the words of an exception the function raised. A process that
    did its work is used again.
    """
    worker = _idle.pop() if _idle else Worker()
    try:
        yield from worker.call(target, arguments, timeout)
    except BaseException:
        worker.close()
        raise
    _idle.append(worker)


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
        _idle.pop().close()


class Worker:
    """A process that runs generator functions by name; JSON lines in and out."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bridge.workers"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._rest = b""

    def alive(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()

    def call(self, target: str, arguments: dict[str, Any], timeout: float) -> Iterator[Any]:
        """Values `target` yields. Raises WorkerLost or RuntimeError."""
        stdin = self.process.stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps([target, arguments]).encode() + b"\n")
            stdin.flush()
        except OSError as error:
            raise WorkerLost("crashed", f"worker ended with code {self.process.wait(5)}") from error
        while True:
            message, value = json.loads(self._line(timeout))
            if message == "end":
                return
            if message == "error":
                raise RuntimeError(value)
            yield value

    def _line(self, timeout: float) -> bytes:
        stdout = self.process.stdout
        assert stdout is not None
        end = time.monotonic() + timeout
        while b"\n" not in self._rest:
            ready, _, _ = select.select([stdout], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise WorkerLost("timeout", f"over {timeout:.0f} s")
            read = os.read(stdout.fileno(), 65536)
            if not read:
                raise WorkerLost("crashed", f"worker ended with code {self.process.wait(5)}")
            self._rest += read
        line, _, self._rest = self._rest.partition(b"\n")
        return line


def main() -> None:
    """Serve calls from stdin. What libraries print goes to stderr, away from the answers."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(message: str, value: Any = None) -> None:
        answers.write(json.dumps([message, value]) + "\n")
        answers.flush()

    for line in sys.stdin:
        target, arguments = json.loads(line)
        try:
            module, _, name = target.partition(":")
            for value in getattr(importlib.import_module(module), name)(**arguments):
                answer("value", value)
            answer("end")
        except Exception as error:
            answer("error", f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
