"""Exported programs and live modules are read: lengths, state, graphs inside graphs, quantized programs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bridge
from bridge.errors import UnsupportedModel

torch = pytest.importorskip("torch")
tree = torch.utils._pytree

pytestmark = pytest.mark.filterwarnings("ignore")

DYNAMIC = torch.export.Dim.DYNAMIC
Arguments = tuple[Any, ...]


def module_of(function: Callable[..., Any]) -> torch.nn.Module:
    return type("Given", (torch.nn.Module,), {"forward": lambda self, *arguments: function(*arguments)})()


def exported(module: torch.nn.Module, example: Arguments, dims: Any) -> Any:
    torch.manual_seed(0)
    return torch.export.export(module.eval(), example, dynamic_shapes=dims, strict=False)


def agree(source: Any, module: torch.nn.Module, settings: list[Arguments], quanta: int = 0) -> Any:
    """The hub model of a program gives torch's results and the state that torch leaves, at every setting."""
    model = bridge.load(source)
    names = [v.name for v in model.graph.inputs]
    for arguments in settings:
        fresh = copy.deepcopy(module)
        given = [v for v in tree.tree_leaves(arguments) if isinstance(v, torch.Tensor)]
        arrays = dict(zip(names, [v.numpy().copy() for v in given], strict=False))
        arrays |= {n: dict(fresh.named_buffers())[n].numpy().copy() for n in names[len(given) :]}
        with torch.no_grad():
            wanted = [v for v in tree.tree_leaves(fresh(*copy.deepcopy(arguments))) if v is not None]
        found = bridge.run(model, arrays)
        wanted += [dict(fresh.named_buffers())[n[:-5]] for n in found if n.endswith(".next")]
        for name, value in zip(found, wanted, strict=True):
            expected = np.asarray(value)
            assert found[name].shape == expected.shape, name
            assert found[name].dtype == expected.dtype or not isinstance(value, torch.Tensor), name
            whole = expected.dtype.kind in "iub"
            tolerance = quanta if whole else 1e-5
            np.testing.assert_allclose(found[name], expected, rtol=0 if whole else 1e-4, atol=tolerance)
    return model


def sizes(x: torch.Tensor, k: int, more: Any) -> Any:
    n = x.shape[0]
    return {
        "halves": x.reshape(n // 2, 2, -1).sum(1),
        "rest": [x[: max(n - 3, 1)], n * 2, None, 5],
        "least": x[:, : min(x.shape[1], 3)] * k,
        "more": more[0] + more[1]["u"],
    }


def test_lengths_are_computed_and_results_keep_their_places() -> None:
    module = module_of(sizes)
    settings = [
        (torch.rand(n, m), 7, (torch.rand(n), {"u": torch.rand(n)})) for n, m in ((6, 4), (8, 5), (4, 2))
    ]
    both = {0: DYNAMIC, 1: DYNAMIC}
    program = exported(module, settings[0], ((both, None, ({0: DYNAMIC}, {"u": {0: DYNAMIC}})),))
    model = agree(program, module, settings)
    names = [v.name for v in model.graph.outputs]
    assert names == ["halves", "rest", "rest_1", "rest_3", "least", "more"]


def test_dimensions_keep_the_names_they_were_exported_with() -> None:
    batch, time = torch.export.Dim("batch"), torch.export.Dim("time")
    module = module_of(lambda x, y: torch.cat([x, y], 1))
    dims = (({0: batch, 1: time}, {0: batch}),)
    model = bridge.load(exported(module, (torch.rand(3, 4), torch.rand(3, 2)), dims))
    assert [str(v.shape) for v in model.graph.inputs] == ["[batch,time]", "[batch,2]"]
    assert [str(v.shape) for v in model.graph.outputs] == ["[batch,time + 2]"]


@pytest.mark.parametrize("file", [False, True])
def test_lengths_that_guards_bind_are_sums(file: bool, tmp_path: Path) -> None:
    def masked(x: torch.Tensor, past: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        together = torch.cat([past, x], 1)
        fits = mask.shape[1] <= together.shape[1] and mask.shape[1] >= together.shape[1]
        return together.sum(1) + mask.sum(1) if fits else together.sum(1)

    both = {0: DYNAMIC, 1: DYNAMIC}
    settings = [
        (torch.rand(b, n), torch.rand(b, m), torch.rand(b, n + m)) for b, n, m in ((3, 4, 5), (2, 6, 3))
    ]
    program = exported(module_of(masked), settings[0], ((both, both, both),))
    if file:
        torch.export.save(program, tmp_path / "m.pt2")
    model = agree(tmp_path / "m.pt2" if file else program, module_of(masked), settings)
    shapes = [[str(d) for d in v.shape] for v in model.graph.inputs]
    assert shapes[2][1] in (f"{shapes[0][1]} + {shapes[1][1]}", f"{shapes[1][1]} + {shapes[0][1]}")


def test_functions_over_a_batch_are_spelled_out() -> None:
    module = module_of(lambda x, y: torch.vmap(lambda a, b: torch.dot(a, b) * a.sum())(x, y))
    settings = [(torch.rand(n, 4), torch.rand(n, 4)) for n in (3, 5)]
    agree(exported(module, settings[0], (({0: DYNAMIC}, {0: DYNAMIC}),)), module, settings)


CONDITIONS = {
    "of numbers": lambda x: torch.cond(
        x.sum() > 0, lambda x: (x * 2, x.sum(0)), lambda x: (x - 1, x.amax(0)), (x,)
    ),
    "of lengths": lambda x: torch.cond(x.shape[0] > 4, lambda x: x * 2, lambda x: x - 1, (x,)),
    "without gradients": lambda x: without_gradients(x) + 1,
}


def without_gradients(x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        return x.float() * 2


@pytest.mark.parametrize("name", CONDITIONS)
@pytest.mark.parametrize("file", [False, True])
def test_graphs_inside_a_program(name: str, file: bool, tmp_path: Path) -> None:
    module = module_of(CONDITIONS[name])
    program = exported(module, (torch.ones(3, 4),), (({0: DYNAMIC},),))
    if file:
        torch.export.save(program, tmp_path / "m.pt2")
    settings = [(torch.rand(5, 4),), (-torch.rand(2, 4),)]
    agree(tmp_path / "m.pt2" if file else program, module, settings)


def test_loops_inside_a_program() -> None:
    from torch._higher_order_ops.while_loop import while_loop

    def loop(x: torch.Tensor, n: torch.Tensor) -> Any:
        start = (torch.tensor(0), x, n)
        return while_loop(lambda i, x, n: i < n, lambda i, x, n: (i + 1, x.tanh(), n.clone()), start)

    module = module_of(loop)
    program = exported(module, (torch.ones(3, 4), torch.tensor(3)), (({0: DYNAMIC}, None),))
    agree(program, module, [(torch.rand(5, 4), torch.tensor(4)), (torch.rand(2, 4), torch.tensor(0))])


def test_scans_inside_a_program() -> None:
    from torch._higher_order_ops.scan import scan

    module = module_of(lambda c, xs: scan(lambda c, x: (c * 0.5 + x, c.sum() + x), c, xs))
    program = exported(module, (torch.ones(4), torch.rand(6, 4)), ((None, {0: DYNAMIC}),))
    agree(program, module, [(torch.rand(4), torch.rand(n, 4)) for n in (5, 2)])


def test_associative_scans_inside_a_program() -> None:
    from torch._higher_order_ops.associative_scan import associative_scan_op

    def compose(a: Any, b: Any, c: Any, d: Any, factor: Any) -> Any:
        return [a * c * factor, c * b + d]

    module = module_of(lambda a, b, factor: associative_scan_op(compose, [a, b], (factor,)))
    example = (torch.rand(6, 3), torch.rand(6, 3), torch.rand(3))
    program = exported(module, example, (({0: DYNAMIC}, {0: DYNAMIC}, None),))
    assert "associative_scan" in str(program.graph)
    agree(program, module, [(torch.rand(n, 3), torch.rand(n, 3), torch.ones(3)) for n in (2, 5, 1)])


class Remembering(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(3))
        self.register_buffer("factor", torch.arange(3.0))
        self.register_buffer("last", torch.zeros(()), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.add_(x.sum(0))
        self.last.copy_(x.sum())
        return self.seen * self.factor


@pytest.mark.parametrize("functional", [False, True])
def test_buffers_that_a_call_changes_are_state(functional: bool, tmp_path: Path) -> None:
    module = Remembering()
    program = exported(module, (torch.ones(3, 3),), ({0: DYNAMIC},))
    program = program.run_decompositions() if functional else program
    model = agree(program, module, [(torch.rand(5, 3),), (torch.rand(2, 3),)])
    assert [v.name for v in model.graph.outputs] == ["output", "last.next", "seen.next"]
    torch.export.save(program, tmp_path / "m.pt2")
    for source in (program, tmp_path / "m.pt2"):
        assert bridge.convert(source, tmp_path / "m.onnx", verify=True, overwrite=True).verification.ok
    assert not program.state_dict["seen"].any()


class Rotated(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("turns", torch.polar(torch.ones(5, 2), torch.rand(5, 2)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pairs = torch.view_as_complex(x.reshape(x.shape[0], 5, 2, 2))
        return torch.view_as_real(pairs * self.turns).flatten(2)


def test_complex_constants_are_pairs() -> None:
    module = Rotated()
    program = exported(module, (torch.rand(3, 5, 4),), ({0: DYNAMIC},))
    agree(program, module, [(torch.rand(n, 5, 4),) for n in (2, 4)])


def test_core_operators_of_a_layer() -> None:
    layer = torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    module = torch.nn.Sequential(layer, torch.nn.Conv1d(6, 8, 3), torch.nn.BatchNorm1d(8)).eval()
    program = exported(module, (torch.rand(2, 6, 16),), ({0: DYNAMIC},)).run_decompositions()
    agree(program, module, [(torch.rand(n, 6, 16),) for n in (3, 5)])


def test_operators_without_a_rule_are_decomposed_at_lengths_that_vary() -> None:
    module = module_of(lambda x: torch.renorm(x, 2.0, 0, 1.0) + torch.special.entr(x))
    program = exported(module, (torch.rand(3, 4),), (({0: DYNAMIC},),))
    agree(program, module, [(torch.rand(n, 4),) for n in (2, 5)])


def test_what_has_no_rule_is_refused_by_its_name() -> None:
    module = module_of(lambda x: (torch.mode(x)[0], torch.igamma(x, x)))
    with pytest.raises(UnsupportedModel) as refused:
        bridge.load(exported(module, (torch.rand(3, 4),), None))
    assert {b.op for b in refused.value.blockers} == {"aten::mode", "prims::igamma"}


def test_autocast_is_refused() -> None:
    def cast(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return (x @ x.mT).float()

    with pytest.raises(UnsupportedModel, match="autocast"):
        bridge.load(exported(module_of(cast), (torch.rand(3, 4),), None))


def test_sizes_that_numbers_make() -> None:
    module = module_of(lambda x: (x.nonzero(), x[x > 0], x.nonzero().shape[0] * 2))
    program = exported(module, (torch.rand(6, 4),), (({0: DYNAMIC},),))
    agree(program, module, [(torch.rand(n, 4) - 0.5,) for n in (8, 2)])


def quantized_operators() -> Any:
    import torch.ao.quantization.fx._decomposed

    return torch.ops.quantized_decomposed


LIMITS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "int32": (-(2**31), 2**31 - 1)}


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("channels", [False, True])
def test_quantized_dtypes(name: str, channels: bool) -> None:
    q, dtype, limits = quantized_operators(), getattr(torch, name), LIMITS[name]
    scales, zeros = torch.linspace(0.01, 0.1, 8), torch.arange(8)

    def whole(x: torch.Tensor) -> Any:
        made = q.quantize_per_tensor(x, 0.05, 3, *limits, dtype)
        return made, q.dequantize_per_tensor(made, 0.05, 3, *limits, dtype)

    def along(x: torch.Tensor) -> Any:
        made = q.quantize_per_channel(x, scales, zeros, 1, *limits, dtype)
        return made, q.dequantize_per_channel(made, scales, zeros, 1, *limits, dtype)

    module = module_of(along if channels else whole)
    x = torch.linspace(-9.03, 9.01, 48).reshape(6, 8)
    agree(exported(module, (x,), (({0: DYNAMIC},),)), module, [(x,), (x[:4] * 0.7,)])


def dynamic(q: Any, x: torch.Tensor) -> Any:
    scale, zero = q.choose_qparams(x, -128, 127, 1e-5, torch.int8)
    made = q.quantize_per_tensor(x, scale, zero, -128, 127, torch.int8)
    return scale, zero, made, q.dequantize_per_tensor(made, scale, zero, -128, 127, torch.int8)


def symmetric(q: Any, x: torch.Tensor) -> Any:
    scale, zero = q.choose_qparams_symmetric(x, 0, 255, 1e-5, torch.uint8)
    return scale, zero, q.quantize_per_tensor(x, scale, zero, 0, 255, torch.uint8)


def tokens(q: Any, x: torch.Tensor, choose: str = "choose_qparams_per_token") -> Any:
    scales, zeros = getattr(q, choose)(x, torch.int8)
    made = q.quantize_per_token(x, scales, zeros, -128, 127, torch.int8)
    back = q.dequantize_per_token(made, scales, zeros, -128, 127, torch.int8, torch.float32)
    return scales, zeros, made, back


def lopsided_tokens(q: Any, x: torch.Tensor) -> Any:
    return tokens(q, x, "choose_qparams_per_token_asymmetric")


def narrow(q: Any, x: torch.Tensor) -> Any:
    return q.quantize_per_tensor(x, 0.2, 0, -8, 7, torch.int8), q.quantize_per_tensor(
        x, 0.02, 0, -127, 127, torch.int8
    )


def groups(q: Any, x: torch.Tensor) -> Any:
    scales, zeros = torch.linspace(0.1, 0.2, 8).reshape(4, 2), torch.arange(8).reshape(4, 2).to(torch.int8)
    stored = torch.arange(-16, 16).reshape(4, 8).to(torch.int8)
    return x @ q.dequantize_per_channel_group(stored, scales, zeros, -8, 7, torch.int8, 4, torch.float32).T


@pytest.mark.parametrize("function", [dynamic, symmetric, tokens, lopsided_tokens, narrow, groups])
def test_parameters_of_quantized_programs(function: Callable[..., Any]) -> None:
    q = quantized_operators()
    module = module_of(lambda x: function(q, x))
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((6, 8)).astype(np.float32))
    settings = [(x,), (x[:3].abs() + 1,), (x[:2] * 0,)]
    agree(exported(module, (x,), (({0: DYNAMIC},),)), module, settings, quanta=1)


class Cached(torch.nn.Module):
    def forward(self, x: torch.Tensor, past: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.cat([past, x], 1) * mask


class Placed(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.places = torch.nn.Parameter(torch.rand(32, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.places[: x.shape[1]]


class Patched(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = torch.nn.Conv2d(3, 4, 8, 8)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.patches(image).flatten(2)
        return x.reshape(image.shape[0], 4, (image.shape[2] // 8) * (image.shape[3] // 8))


class Recurrent(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.LSTM(8, 4, batch_first=True, bidirectional=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)[0]


class Counted(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls.add_(1)
        return x * self.calls


LIVE = {
    "cached": (Cached, ["x:float32[b,seq]", "past:float32[b,past]", "mask:float32[b,total]"]),
    "placed": (Placed, ["x:float32[b,seq,8]"]),
    "patched": (Patched, ["image:float32[b,3,h,w]"]),
    "recurrent": (Recurrent, ["x:float32[b,seq,8]"]),
    "counted": (Counted, ["x:float32[b,8]"]),
}


@pytest.mark.parametrize("name", LIVE)
def test_live_modules_take_lengths_by_name(name: str, tmp_path: Path) -> None:
    made, specs = LIVE[name]
    module = made()
    done = bridge.convert(module, tmp_path / "m.onnx", inputs=specs, verify=True)
    assert done.verification.ok
    assert module.training
    assert not any(b.any() for b in module.buffers())


def test_lengths_that_torch_binds_are_told(tmp_path: Path) -> None:
    cached = bridge.convert(Cached(), tmp_path / "c.onnx", inputs=LIVE["cached"][1])
    assert "torch.export finds that total is past + seq." in cached.report.notes
    placed = bridge.convert(Placed(), tmp_path / "p.onnx", inputs=LIVE["placed"][1])
    assert any("seq is 2 at least, 32 at most" in note for note in placed.report.notes)


def test_a_module_for_one_length_is_refused_in_torch_s_words() -> None:
    module = module_of(lambda x: x).eval()
    type(module).forward = lambda self, x: x.reshape(4, 6)
    with pytest.raises(UnsupportedModel, match="specialized it to be a constant") as refused:
        bridge.load(module, inputs=["x:float32[n,6]"])
    assert "\x1b" not in str(refused.value)


def test_a_branch_on_numbers_is_no_trace() -> None:
    module = module_of(lambda x: x).eval()
    type(module).forward = lambda self, x: x * 2 if x.sum() > 0 else x
    with pytest.raises(UnsupportedModel, match="data-dependent"):
        bridge.load(module, inputs=["x:float32[n,6]"])


def test_rows_of_experts() -> None:
    pytest.importorskip("transformers.integrations.moe")
    module = module_of(lambda x, w, ends: torch.ops.transformers.grouped_mm_fallback(x, w, ends))
    weights = torch.rand(3, 4, 5)
    settings = [
        (torch.rand(n, 4), weights, torch.tensor(ends)) for n, ends in ((6, [2, 2, 6]), (4, [0, 1, 3]))
    ]
    program = exported(module, settings[0], (({0: DYNAMIC}, None, None),))
    agree(program, module, settings)
