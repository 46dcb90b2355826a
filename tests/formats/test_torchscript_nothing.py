"""Functions of matrices without elements are what torch makes of them, without torch."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from bridge_torchscript.import_ops.linalg import OF_NOTHING

import bridge

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore")

KIND = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "framework_free.py"))["KINDS"][
    "programs"
]
SHAPES = [(0, 0), (0, 3, 3), (2, 0, 0), (0, 0, 0)]


class Called(torch.nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.function = getattr(torch.ops.aten, name.partition("::")[2])

    def forward(self, x: torch.Tensor) -> object:
        made = self.function(x)
        return (*made, x.sum()) if isinstance(made, (list, tuple)) else (made, x.sum())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", OF_NOTHING)
def test_results_for_nothing_are_torch_s(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    path, x = tmp_path / "m.pt2", torch.zeros(shape)
    module = Called(name)
    torch.export.save(torch.export.export(module, (x,), strict=False), path)
    assert len(KIND.without(path, {})) == 64
    found = list(bridge.run(bridge.load(path), {"x": x.numpy()}).values())
    for one, other in zip(found, module(x), strict=True):
        assert one.dtype == other.numpy().dtype
        assert one.shape == tuple(other.shape)
        assert (one == other.numpy()).all()


PLACED = {
    "gather": lambda x, at: torch.gather(x, 0, at),
    "scatter": lambda x, at: torch.scatter(x, 0, at, torch.ones(at.shape)),
    "scatter_add": lambda x, at: torch.scatter_add(x, 0, at, torch.ones(at.shape)),
    "scatter_reduce": lambda x, at: torch.scatter_reduce(x, 0, at, torch.ones(at.shape), "amax"),
}


@pytest.mark.parametrize("places", [(0,), (2, 0), (2, 0, 3)], ids=str)
@pytest.mark.parametrize("shape", [(), (5,), (3, 4)], ids=str)
@pytest.mark.parametrize("name", PLACED)
def test_an_index_of_nothing_may_have_any_number_of_dimensions(name, shape, places, tmp_path):
    x, at = torch.randn(shape), torch.zeros(places, dtype=torch.int64)
    torch.jit.save(torch.jit.trace(PLACED[name], (x, at), check_trace=False), str(tmp_path / "m.pt"))
    inputs = [f"{n}:{t.numpy().dtype}[{','.join(map(str, t.shape))}]" for n, t in (("x", x), ("at", at))]
    model = bridge.load(tmp_path / "m.pt", inputs=inputs)
    (found,) = bridge.run(model, {"x": x.numpy(), "at": at.numpy()}).values()
    expected = PLACED[name](x, at).numpy()
    assert found.shape == expected.shape
    assert (found == expected).all()
