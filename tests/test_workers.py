"""A worker that dies or hangs costs one call."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import ml_dtypes
import numpy as np
import pytest

from bridge import workers
from bridge.workers import WorkerLost, close, isolated, prepare


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


def spin():
    yield 1
    while True:
        pass


def abort():
    yield 1
    os.abort()


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
        ("abort", {}, "crashed", "SIGABRT"),
        ("hang", {}, "timeout", "over 5 s"),
        ("spin", {}, "timeout", "of a processor"),
    ],
)
def test_what_came_before_the_end_is_kept(target, arguments, lost, words):
    list(isolated(f"{__name__}:count", {"n": 1}))  # a worker that has started
    wall = 5 if target == "hang" else 60
    calls = isolated(f"{__name__}:{target}", arguments, timeout=1, wall=wall)
    assert next(calls) in (0, 1)
    with pytest.raises(WorkerLost, match=words) as error:
        list(calls)
    assert error.value.outcome == lost
    assert list(isolated(f"{__name__}:count", {"n": 1})) == [0]


def test_an_exception_is_told_in_its_own_words():
    with pytest.raises(RuntimeError, match="ValueError: no"):
        list(isolated(f"{__name__}:fail", {}))


def echo(values):
    yield values


def test_arrays_travel_as_they_are():
    values = {
        "floats": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "half": np.ones((2, 0), ml_dtypes.bfloat16),
        "scalar": np.array(3, np.int64),
        "text": np.array([["a", b"\xff"]], object),
        "list": [None, np.array([True]), 1.5, "x"],
    }
    (back,) = isolated(f"{__name__}:echo", {"values": values})
    for name in ("floats", "half", "scalar", "text"):
        assert back[name].dtype == values[name].dtype
        assert back[name].shape == values[name].shape
        assert back[name].tolist() == values[name].tolist()
    assert back["list"][0] is None
    assert back["list"][1].tolist() == [True]
    assert back["list"][2:] == [1.5, "x"]


def test_a_worker_prepares_itself_while_others_go_on():
    prepare(f"{__name__}:fail", {})
    prepare(f"{__name__}:count", {"n": 3})
    assert list(isolated(f"{__name__}:count", {"n": 2})) == [0, 1]
    prepare(f"{__name__}:die", {"after": 0})
    with pytest.raises(WorkerLost):
        list(isolated(f"{__name__}:count", {"n": 1}))


def reach(port: int):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
        outside = "reached"
    except OSError as error:
        outside = type(error).__name__
    with socket.create_server(("127.0.0.1", 0)) as own:
        socket.create_connection(own.getsockname(), 5).close()
    yield outside, os.geteuid()


LEAVES = "from bridge.offline import leave_network; raise SystemExit(not leave_network())"


def can_leave() -> bool:
    return sys.platform == "linux" and subprocess.run([sys.executable, "-c", LEAVES]).returncode == 0


@pytest.mark.skipif(not can_leave(), reason="the system lets no process leave its network")
def test_an_offline_worker_reaches_nothing_but_itself():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = {"port": server.getsockname()[1]}
        for offline, wanted in (
            (True, "ConnectionRefusedError"),
            (False, "reached"),
            (True, "ConnectionRefusedError"),
        ):
            ((found, user),) = isolated(f"{__name__}:reach", port, offline=offline)
            assert found == wanted
            assert user == os.geteuid()


def test_workers_with_and_without_a_network_are_not_taken_for_one_another():
    for offline in (False, True, False):
        list(isolated(f"{__name__}:count", {"n": 1}, offline=offline))
    assert sorted(worker.offline for worker in workers._idle) == [False, True]
