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
