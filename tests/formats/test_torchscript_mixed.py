"""TorchScript is read: results written into `out=`, operands of different dtypes, counts, projected states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torchscript_programs import scripted

import bridge

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore")


def agree(path: Path, settings: list[dict[str, np.ndarray]], *specs: str) -> None:
    """The hub model gives torch's numbers and dtypes at every setting of the lengths."""
    model = bridge.load(path, source="torchscript", inputs=list(specs))
    for inputs in settings:
        checked = bridge.verify(path, model, inputs, reference_source="torchscript")
        assert checked.ok, str(checked)


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


INTO = {
    "of its shape": "r = torch.empty([2, 3])\ntorch.remainder(a, b, out=r)\nreturn r",
    "of another dtype": "r = torch.empty([2, 3], dtype=torch.float64)\nreturn torch.add(a, b, alpha=2, out=r)",
    "of bools": "r = torch.empty([2, 3], dtype=torch.bool)\nreturn torch.logical_not(a, out=r), r.sum()",
    "without elements": "r = torch.empty([0])\nreturn torch.hstack([a, b], out=r), r * 2",
    "two": "v, i = torch.empty([0]), torch.empty([0], dtype=torch.long)\ntorch.sort(a, values=v, indices=i)\n"
    "return v, i",
    "as wide as it sums": "r = torch.zeros([3], dtype=torch.float64)\nreturn torch.sum(a, [0], out=r)",
    "an argument": "y = a * 1\ntorch.mul(y, b, out=y)\nreturn y",
    "a row": "y = a * 1\ntorch.exp(b[0], out=y[1])\nreturn y",
    "in steps": "r = torch.empty([0])\nreturn torch.renorm(a, 2.0, 0, 1.0, out=r)",
}


@pytest.mark.parametrize("name", INTO)
def test_results_go_into_the_tensor_given(name: str, tmp_path: Path) -> None:
    path = scripted("a: Tensor, b: Tensor", INTO[name], tmp_path)
    inputs = {"a": floats(2, 3), "b": floats(2, 3, seed=1)}
    agree(path, [inputs], "a:float32[2,3]", "b:float32[2,3]")


def test_a_tensor_given_takes_lengths_known_at_run_time(tmp_path: Path) -> None:
    code = "r = torch.empty([0])\ntorch.cat([a, b], 1, out=r)\nreturn r.sum(0), r.shape[1]"
    path = scripted("a: Tensor, b: Tensor", code, tmp_path)
    settings = [{"a": floats(2, n), "b": floats(2, n + 1)} for n in (3, 5)]
    agree(path, settings, "a:float32[rows,n]", "b:float32[rows,m]")


COUNTS = ["x, 4, 0, 3", "x, 10", "x, 7, -1.5, 1.5", "x, 5, 2, 2", "x.argmax(-1).float(), 4, 0, 3"]


@pytest.mark.parametrize("arguments", COUNTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_elements_are_counted_in_intervals(arguments: str, dtype: str, tmp_path: Path) -> None:
    path = scripted("x: Tensor", f"return torch.histc({arguments})", tmp_path)
    ends = np.linspace(0, 3, 24).reshape(6, 4)
    settings = [{"x": v.astype(dtype)} for v in (floats(6, 4) * 2, floats(9, 4), ends, np.ones((1, 4)))]
    agree(path, settings, f"x:{dtype}[n,4]")


def test_nan_and_what_lies_outside_count_nowhere(tmp_path: Path) -> None:
    path = scripted("x: Tensor", "return torch.histc(x, 4, -1, 1)", tmp_path)
    settings = [{"x": np.array(v, np.float32)} for v in ([np.nan, 0, -1, 1, 1.01, -np.inf], [])]
    agree(path, settings, "x:float32[n]")


MIXED = {
    "outer": "torch.outer(x[:, 0], y[:, 1])",
    "its length": "torch.outer(x[:, 0], y[0]).shape[1] + torch.zeros([])",
    "added to a number": "torch.addr(y[0, 0], x[:, 0], x[0])",
    "kron": "torch.kron(x[:2, :2], y[:2, :2])",
    "inner": "torch.inner(x[0, 0], y)",
    "trapezoid": "torch.trapezoid(x, y)",
    "diff": "torch.diff(x, prepend=y)",
    "einsum": "torch.einsum('ij,ij->ji', x, y)",
    "mse": "torch.nn.functional.mse_loss(x, y)",
    "huber": "torch.nn.functional.huber_loss(x, y)",
    "smooth": "torch.nn.functional.smooth_l1_loss(x, y)",
    "kl": "torch.nn.functional.kl_div(x, y.abs())",
    "margin": "torch.nn.functional.soft_margin_loss(x, y)",
    "logits": "torch.nn.functional.binary_cross_entropy_with_logits(x, y.sigmoid())",
    "similar": "torch.nn.functional.cosine_similarity(x, y)",
    "pairs": "torch.nn.functional.pairwise_distance(x, y)",
    "dist": "torch.dist(x, y)",
    "one row": "torch.select_scatter(x, y[0], 0, 1)",
    "rows": "torch.slice_scatter(x, y[:2], 0, 0, 2)",
    "places": "torch.searchsorted(x.sort()[0], y)",
}


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize("size", ["3,4", "n,m"])
def test_operands_of_two_dtypes_are_computed_in_one(name: str, size: str, tmp_path: Path) -> None:
    path = scripted("x: Tensor, y: Tensor", f"return {MIXED[name]}", tmp_path)
    lengths = [(3, 4)] if size == "3,4" or name in ("kron", "one row") else [(3, 4), (5, 2)]
    settings = [{"x": floats(*n), "y": floats(*n, seed=1).astype(np.float64)} for n in lengths]
    fixed = "3,4" if len(lengths) == 1 else size
    agree(path, settings, f"x:float32[{fixed}]", f"y:float64[{fixed}]")


class Projected(torch.nn.Module):
    def __init__(self, started: bool, **options: Any) -> None:
        super().__init__()
        self.layer, self.started = torch.nn.LSTM(4, 6, proj_size=3, batch_first=True, **options), started

    def forward(self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> Any:
        return self.layer(x, (h, c)) if self.started else self.layer(x)


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("bias", [False, True])
def test_lstm_states_are_projected(started: bool, directions: int, bias: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Projected(started, bidirectional=directions == 2, num_layers=2, bias=bias).eval()
    settings = [
        {"x": floats(n, t, 4), "h": floats(2 * directions, n, 3), "c": floats(2 * directions, n, 6, seed=1)}
        for n, t in ((2, 5), (3, 1))
    ]
    path = tmp_path / "m.pt"
    example = tuple(torch.from_numpy(v) for v in settings[0].values())
    torch.jit.save(torch.jit.trace(module, example), path)
    states = [f"{s}:float32[{2 * directions},n,{w}]" for s, w in (("h", 3), ("c", 6))]
    agree(path, settings, "x:float32[n,t,4]", *states)


def test_packed_sequences_are_projected_backwards_from_their_own_ends(tmp_path: Path) -> None:
    torch.manual_seed(0)

    class Packed(Projected):
        def forward(self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> Any:
            rnn = torch.nn.utils.rnn
            packed = rnn.pack_padded_sequence(x, torch.tensor([5, 3]), batch_first=True)
            output, last = self.layer(packed, (h, c))
            return rnn.pad_packed_sequence(output, batch_first=True)[0], last

    inputs = {"x": floats(2, 5, 4), "h": floats(2, 2, 3), "c": floats(2, 2, 6)}
    path = tmp_path / "m.pt"
    example = tuple(torch.from_numpy(v) for v in inputs.values())
    torch.jit.save(torch.jit.trace(Packed(True, bidirectional=True).eval(), example), path)
    agree(path, [inputs], *(f"{n}:float32[{','.join(map(str, v.shape))}]" for n, v in inputs.items()))
