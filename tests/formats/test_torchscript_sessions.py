"""A session runs every time as if it had just been opened, and opens the archive again only after a call
that left something behind."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from bridge_torchscript import runtime
from bridge_torchscript.runtime import TorchJitSession
from torch import nn

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


class Module(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("state", torch.zeros(3))


class Layers(Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.ReLU(inplace=True))

    def forward(self, x):
        x.mul_(2)
        return self.layers(x) + self.state


class Untaken(Module):
    def forward(self, x):
        if self.training:
            self.state.add_(1)
        return x + self.state


class WrittenInPlace(Module):
    def forward(self, x):
        self.state.add_(x.sum(0))
        return x + self.state


class WrittenThroughView(Module):
    def forward(self, x):
        first = self.state[:2]
        first.copy_(x[0, :2] + first)
        return x + self.state


class WrittenAsData(Module):
    def forward(self, x):
        self.state.data.add_(1.0)
        return x + self.state


class BufferSet(Module):
    def forward(self, x):
        self.state = self.state * 0.5 + x.mean(0)
        return x + self.state


class Within(Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = BufferSet()

    def forward(self, x):
        return self.inner(x)


class Number(Module):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def forward(self, x):
        self.count += 1
        return x + self.count


class Containers(Module):
    rows: list[int]
    table: dict[str, torch.Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.table = [1], {"a": torch.zeros(1)}

    def forward(self, x):
        self.rows.append(x.size(0))
        self.table["a"] += 1
        return x * len(self.rows) + self.table["a"]


class Absent(Module):
    last: torch.Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.last = None

    def forward(self, x):
        last = self.last
        self.last = x[0]
        return x if last is None else x + last


class Forked(Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = WrittenInPlace()

    def forward(self, x):
        return torch.jit.wait(torch.jit.fork(self.inner, x))


class GivesItsState(Module):
    def forward(self, x):
        return self.state, x + self.state


CLEAN = [Layers, Untaken]
LEAVING = [
    WrittenInPlace,
    WrittenThroughView,
    WrittenAsData,
    BufferSet,
    Within,
    Number,
    Containers,
    Absent,
    Forked,
    GivesItsState,
]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The archives opened, in order."""
    paths: list[Path] = []
    original = runtime.open_archive

    def open_archive(path: Path):
        paths.append(path)
        return original(path)

    monkeypatch.setattr(runtime, "open_archive", open_archive)
    return paths


def scripted_archive(module: type[nn.Module], folder: Path) -> Path:
    torch.manual_seed(0)
    torch.jit.script(module().eval()).save(folder / "m.pt")
    return folder / "m.pt"


def feeds() -> Iterator[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    for rows in (4, 2, 7, 4):
        yield {"x": rng.standard_normal((rows, 3)).astype(np.float32)}


@pytest.mark.parametrize("module", [*CLEAN, *LEAVING])
def test_every_run_is_that_of_a_session_just_opened(module, tmp_path):
    session = TorchJitSession(scripted_archive(module, tmp_path))
    for feed in feeds():
        found, want = session.run(feed), TorchJitSession(tmp_path / "m.pt").run(feed)
        assert list(found) == list(want)
        for name, value in want.items():
            np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("module", CLEAN)
def test_an_archive_whose_calls_leave_nothing_is_opened_once(module, opened, tmp_path):
    session = TorchJitSession(scripted_archive(module, tmp_path))
    for feed in feeds():
        session.run(feed)
    assert len(opened) == 1


@pytest.mark.parametrize("module", LEAVING)
def test_an_archive_is_opened_again_after_a_call_that_left_something(module, opened, tmp_path):
    session = TorchJitSession(scripted_archive(module, tmp_path))
    for feed in feeds():
        session.run(feed)
    assert len(opened) == 4


def test_writing_to_a_result_does_not_reach_the_module(tmp_path):
    session = TorchJitSession(scripted_archive(GivesItsState, tmp_path))
    x = np.ones((2, 3), np.float32)
    session.run({"x": x})["output"][:] = 9
    np.testing.assert_array_equal(session.run({"x": x})["output_1"], x)


def test_a_traced_constant_written_in_place_starts_anew(opened, tmp_path):
    held = torch.zeros(3)

    def traced(x):
        return x + torch.zeros_like(x).add_(held.add_(1))

    torch.jit.trace(traced, torch.ones(2, 3), check_trace=False).save(str(tmp_path / "m.pt"))
    session, x = TorchJitSession(tmp_path / "m.pt"), np.ones((2, 3), np.float32)
    first, second = (session.run({name: x for name in session.names}) for _ in range(2))
    np.testing.assert_array_equal(first["output"], second["output"])
    assert len(opened) == 2
