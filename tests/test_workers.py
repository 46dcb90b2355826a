"""A worker that dies or hangs costs one call."""

from __future__ import annotations

import os
import time

import pytest

from bridge.workers import WorkerLost, close, isolated


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """A worker that finds this module."""
    close()
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(__file__), prepend=os.pathsep)
    yield
    close()


def count(n: int):
    print("noise on stdout")
    yield from range(n)


def die(after: int):
    yield from range(after)
    os._exit(7)


def hang():
    yield 1
    time.sleep(60)


def fail():
    yield 1
    raise ValueError("no")


def test_values_come_one_by_one_and_the_process_is_kept():
    here = __name__
    assert list(isolated(f"{here}:count", {"n": 3})) == [0, 1, 2]
    assert list(isolated(f"{here}:count", {"n": 2})) == [0, 1]


@pytest.mark.parametrize(
    ("target", "arguments", "lost", "words"),
    [
        ("die", {"after": 1}, "crashed", "code 7"),
        ("hang", {}, "timeout", "over 2 s"),
    ],
)
def test_what_came_before_the_end_is_kept(target, arguments, lost, words):
    calls = isolated(f"{__name__}:{target}", arguments, timeout=2)
    assert next(calls) in (0, 1)
    with pytest.raises(WorkerLost, match=words) as error:
        list(calls)
    assert error.value.outcome == lost
    assert list(isolated(f"{__name__}:count", {"n": 1})) == [0]


def test_an_exception_is_told_in_its_own_words():
    with pytest.raises(RuntimeError, match="ValueError: no"):
        list(isolated(f"{__name__}:fail", {}))
