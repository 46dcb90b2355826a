"""TorchScript is read: lists that grow in loops, state that makes no difference, objects of classes, lengths
known late."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

import bridge
from bridge.errors import UnsupportedModel

torch = pytest.importorskip("torch")
F = torch.nn.functional

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def read(module: Any, folder: Path, *specs: str) -> tuple[Path, ir.Model]:
    """The archive of a scripted module, and what it is in the hub."""
    path = folder / "m.pt"
    torch.jit.save(torch.jit.script(module.eval()), path)
    return path, bridge.load(path, source="torchscript", inputs=list(specs))


def agrees(path: Path, model: ir.Model, *arrays: Any) -> None:
    inputs = {v.name: np.asarray(a) for v, a in zip(model.graph.inputs, arrays, strict=True)}
    checked = bridge.verify(path, model, inputs, reference_source="torchscript")
    assert checked.ok, str(checked)


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


class Steps(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = torch.nn.GRUCell(3, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
        outs: list[torch.Tensor] = []
        state = torch.zeros(x.size(1), 4)
        for t in range(x.size(0)):
            state = self.cell(x[t], state)
            if bool(state.sum() > 0):
                outs.append(state)
            outs.append(state * 2)
        return torch.stack(outs), torch.cat(outs, 1), len(outs)


class Longer(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        outs = [x[0]]
        for t in range(x.size(0)):
            outs.append(x[t] * 2)
        return torch.stack(outs, 1), outs[-1]


@pytest.mark.parametrize("module", [Steps(), Longer()], ids=["in a branch, from nothing", "after others"])
@pytest.mark.parametrize("steps", [1, 5])
def test_a_list_grows_in_a_loop_of_run_time_length(module: Any, steps: int, tmp_path: Path) -> None:
    path, model = read(module, tmp_path, "x:float32[steps,2,3]")
    agrees(path, model, floats(steps, 2, 3))
    assert len(model.graph.outputs[0].shape) == 3
    written = bridge.save(model, tmp_path / "again.pt", to="torchscript").path
    agrees(written, model, floats(steps, 2, 3))


class Scales:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


class Owner(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scales = Scales(2.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scales.apply(x) + self.scales.factor


def test_attributes_of_compiled_classes_are_read(tmp_path: Path) -> None:
    path, model = read(Owner(), tmp_path, "x:float32[n]")
    agrees(path, model, floats(3))


class Cache(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factors = torch.jit.Attribute(None, list[float] | None)
        self.warned = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.warned:
            self.warned = True
        if self.factors is None:
            self.factors = [float(x.dim()), 3.0]
        factors = self.factors
        assert factors is not None
        return x * factors[0] + factors[1]


class Flag(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.later = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x * 2 if self.later else x
        self.later = True
        return y


@pytest.mark.parametrize(("module", "state"), [(Cache(), []), (Flag(), ["later"])], ids=["caches", "matters"])
def test_only_state_that_makes_a_difference_is_carried(module: Any, state: list[str], tmp_path: Path) -> None:
    path, model = read(module, tmp_path, "x:float32[2]")
    assert [v.name for v in model.graph.inputs] == ["x", *state]
    agrees(path, model, floats(2), *[np.array(False)] * len(state))


class Larger(torch.nn.Module):
    def __init__(self, **how: Any) -> None:
        super().__init__()
        self.factor: float = how["factor"]
        self.mode: str = how["mode"]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x, scale_factor=self.factor, mode=self.mode)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic", "nearest-exact"])
@pytest.mark.parametrize("factor", [2.0, 0.5, 3.0])
def test_run_time_lengths_are_resized_by_factors(mode: str, factor: float, tmp_path: Path) -> None:
    path, model = read(Larger(factor=factor, mode=mode), tmp_path, "x:float32[n,2,h,w]")
    agrees(path, model, floats(1, 2, 5, 8))


def test_factors_that_float32_rounds_are_refused_for_run_time_lengths(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="factors that float32 rounds"):
        read(Larger(factor=1.3, mode="bilinear"), tmp_path, "x:float32[1,2,h,w]")


class ToOne(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x, size=(1, 3), mode="bilinear")


def test_one_element_left_by_resizing_is_where_torch_takes_it(tmp_path: Path) -> None:
    path, model = read(ToOne(), tmp_path, "x:float32[1,1,4,6]")
    agrees(path, model, floats(1, 1, 4, 6))


class Named(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts: dict[str, torch.Tensor] = {}
        for i in range(3):
            parts[f"part {i}"] = x * i
        assert x.size(0) > 0, f"{x.size(0)} rows"
        return parts["part 1"] + parts["part 2"]


def test_text_is_made_of_what_is_known(tmp_path: Path) -> None:
    path, model = read(Named(), tmp_path, "x:float32[n]")
    agrees(path, model, floats(3))


class Rows(torch.nn.Module):
    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        kept = x[mask]
        count = kept.size(0)
        if count > 0:
            kept = kept.reshape(count, -1, 2)
        return kept.sum(0)


class Kept(torch.nn.Module):
    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        one, two = x[mask].split([int(mask.sum()) - 1, 1])
        return one, two


def test_a_reshape_where_there_are_rows_is_a_reshape(tmp_path: Path) -> None:
    path, model = read(Rows(), tmp_path, "x:float32[n,6]", "mask:bool[n]")
    assert not any(n.op_type == "If" for n in model.graph.all_nodes())
    agrees(path, model, floats(4, 6), [True, False, True, True])


def test_lengths_of_parts_may_be_known_at_run_time(tmp_path: Path) -> None:
    path, model = read(Kept(), tmp_path, "x:float32[n,6]", "mask:bool[n]")
    agrees(path, model, floats(4, 6), [True, False, True, True])


class Untrained(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.linalg.ldl_factor(x)[0]
        if self.training:
            return torch.linalg.ldl_solve(y, torch.ones(3, dtype=torch.int32), x)
        return y


def test_branches_of_training_are_no_blockers(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel) as refused:
        read(Untrained(), tmp_path, "x:float32[3,3]")
    assert [b.op for b in refused.value.blockers] == ["aten::linalg_ldl_factor"]


class Every(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
        outs: list[torch.Tensor] = []
        total = torch.zeros(2, 3)
        for t in range(x.size(0)):
            total = total + x[t]
            outs.append(total)
        return torch.stack(outs, 1), torch.cat(outs, 1), len(outs)


class Pasted(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outs: list[torch.Tensor] = []
        for t in range(x.size(0)):
            place = torch.zeros(4, 5)
            low = int(x[t, 0, 0].abs() > 0.5)
            place[low : low + 2, 1:4] = x[t]
            outs.append(place)
        return torch.stack(outs)


@pytest.mark.parametrize("module", [Every(), Pasted()], ids=["carried", "written into"])
def test_what_grows_in_every_step_is_collected_where_there_are_no_sequences(
    module: Any, tmp_path: Path
) -> None:
    path, model = read(module, tmp_path, "x:float32[steps,2,3]")
    written = bridge.save(model, tmp_path / "every.tflite").path
    for steps in (1, 4):
        arrays = {"x": floats(steps, 2, 3)}
        checked = bridge.verify(path, written, arrays, reference_source="torchscript")
        assert checked.ok, str(checked)


class Nested(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[tuple[torch.Tensor, torch.Tensor], torch.Tensor]:
        return (x + 1, x + 2), x + 3


def test_results_of_nested_tuples_have_names_of_their_own(tmp_path: Path) -> None:
    path, model = read(Nested(), tmp_path, "x:float32[2]")
    assert len({v.name for v in model.graph.outputs}) == 3
    agrees(path, model, floats(2))


def test_a_written_reshape_by_run_time_lengths_is_read_again(tmp_path, parse):
    text = """g (float[n,m] x) => (float[n,a] y) <int64[1] r = {-1}> {
        s = Shape <start: int = 0, end: int = 1> (x)  t = Concat <axis: int = 0> (s, r)
        z = Transpose (x)  y = Reshape (z, t)
    }"""
    path = bridge.convert(parse(text, opset=20), tmp_path / "m.pt", to="torchscript").path
    assert bridge.verify(path, bridge.load(path), inputs={"x": np.ones((3, 4), np.float32)}).ok


class Windows(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pairs = torch.complex(x, x * 2).unfold(1, 3, 1)
        return x.unfold(-1, 4, 3), torch.view_as_real(pairs)


def test_windows_of_any_length(tmp_path: Path) -> None:
    path, model = read(Windows(), tmp_path, "x:float32[N,L]")
    for length in (5, 10, 4):
        agrees(path, model, floats(2, length))


class Adaptive(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        wide = torch.nn.functional.adaptive_max_pool2d(x, (3, x.size(3)))
        return wide, torch.nn.functional.adaptive_max_pool1d(x[:, 0], x.size(2) - 1)


def test_the_largest_of_windows_of_any_length(tmp_path: Path) -> None:
    path, model = read(Adaptive(), tmp_path, "x:float32[N,2,H,W]")
    for height, width in ((7, 5), (10, 12), (3, 4)):
        agrees(path, model, floats(2, 2, height, width))
    written = bridge.convert(path, tmp_path / "m.tflite", inputs=["x:float32[N,2,H,W]"], verify=True)
    assert written.verification.ok


class Sizes(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if bool(x.sum() > 0):
            size: list[int] = x.size()
            size[0] = 1
            more = size[1:] + [2] * 2
            more[1] = 3
            return torch.cat([x, torch.zeros(size)]).sum() + float(sum(more))
        return x.sum()


def test_lists_made_in_a_branch_change_there(tmp_path: Path) -> None:
    path, model = read(Sizes(), tmp_path, "x:float32[N,4]")
    for x in (np.ones((2, 4), np.float32), -np.ones((3, 4), np.float32)):
        agrees(path, model, x)


class Tables(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        n, m = x.size(0), x.size(1)
        return torch.tensor([[n, m, 3], [m, 5, n]]), torch.tensor([[[1.5 * n]], [[2.0]]])


def test_tensors_of_nested_lists_of_lengths(tmp_path: Path) -> None:
    path, model = read(Tables(), tmp_path, "x:float32[N,M]")
    for shape in ((3, 4), (1, 2)):
        agrees(path, model, floats(*shape))


def test_written_suppression_of_boxes_is_read_again(tmp_path, parse):
    text = """g (float[1,n,4] boxes, float[1,2,n] scores) => (int64[k,3] y)
        <int64 most = {3}, float overlap = {0.4}, float least = {0.1}> {
        y = NonMaxSuppression (boxes, scores, most, overlap, least)
    }"""
    path = bridge.convert(parse(text, opset=20), tmp_path / "m.pt", to="torchscript").path
    low = np.random.default_rng(0).random((1, 9, 2), np.float32)
    inputs = {
        "boxes": np.concatenate([low, low + 0.5], -1),
        "scores": np.random.default_rng(1).random((1, 2, 9), np.float32),
    }
    assert bridge.verify(path, bridge.load(path), inputs=inputs).ok
