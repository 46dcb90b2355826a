"""Exported programs in files are read without torch as torch reads them, and what is damaged is refused."""

from __future__ import annotations

import json
import runpy
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bridge_torchscript.lengths import Lengths

from bridge.errors import BridgeError

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore")

KIND = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "framework_free.py"))["KINDS"][
    "programs"
]
DYNAMIC = torch.export.Dim.DYNAMIC
Tensor = torch.Tensor


class Function(torch.nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        self.layer = torch.nn.Linear(4, 4)
        self.tied = self.layer.weight
        self.register_buffer("count", torch.zeros(1))
        self.register_buffer("turned", torch.arange(12.0).reshape(3, 4).T)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def counting(module: Any, x: Tensor) -> Tensor:
    module.count += x.sum()
    return x * module.count


def branches(module: Any, x: Tensor) -> Tensor:
    return torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - module.layer.bias.sum(), (x,))


def loop(module: Any, x: Tensor) -> Any:
    def again(i: Tensor, x: Tensor) -> Tensor:
        return i < 3

    return torch.ops.higher_order.while_loop(again, lambda i, x: (i + 1, x * 2), (torch.tensor(0), x), ())


FUNCTIONS: dict[str, Callable[[Any, Tensor], Any]] = {
    "weights": lambda m, x: m.layer(x) + m.tied[0],
    "a view of weights": lambda m, x: x @ m.turned,
    "containers": lambda m, x: {"a": (x + 1, x.shape[0] * 2), "b": [x.mean(0), None, 7]},
    "lengths": lambda m, x: x.reshape(x.shape[0] // 2, 2, -1)[: max(x.shape[0] - 3, 1)].flatten(),
    "quotients": lambda m, x: torch.nn.functional.avg_pool1d(x.T[None], 3, 2, 1),
    "several results": lambda m, x: (
        x.topk(2)[0] * x.max(1).values[:, None] + torch.cat(x.split([1, 3], 1)[::-1], 1).sum()
    ),
    "numbers": lambda m, x: x.clamp(-0.5, float("inf")) * 2 + torch.full((4,), 1.5, dtype=torch.float64),
    "choices": lambda m, x: x[x[:, 0] > 0].sum(1),
    "state": counting,
    "branches": branches,
    "a loop": loop,
    "complex numbers": lambda m, x: torch.view_as_real(torch.fft.rfft(x)),
    "an operator of several others": lambda m, x: torch.nn.functional.multi_head_attention_forward(
        x[None],
        x[None],
        x[None],
        4,
        2,
        torch.ones(12, 4),
        torch.ones(12),
        None,
        None,
        False,
        0.0,
        torch.eye(4),
        None,
        need_weights=False,
    )[0],
}


def program(function: Callable[[Any, Tensor], Any], path: Path, varies: bool) -> Path:
    torch.manual_seed(0)
    dims = ({0: DYNAMIC},) if varies else None
    with torch.no_grad():
        made = torch.export.export(
            Function(function).eval(), (torch.rand(6, 4),), dynamic_shapes=dims, strict=False
        )
    torch.export.save(made, path)
    return path


@pytest.mark.parametrize("varies", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_program_is_read_without_torch_as_torch_reads_it(name: str, varies: bool, tmp_path: Path) -> None:
    path = program(FUNCTIONS[name], tmp_path / "m.pt2", varies)
    found, expected = KIND.pair(path, {})
    assert found == expected
    assert len(found) == 64, found


def test_what_torch_alone_spells_out_is_named(tmp_path: Path) -> None:
    path = program(lambda m, x: torch.igamma(x, x + 1), tmp_path / "m.pt2", False)
    assert "aten::igamma" in KIND.without(path, {})


LENGTHS = {
    "Symbol('s0', positive=True, integer=True)": "s0",
    "FloorDiv(Add(Symbol('s0', integer=True), Integer(4)), Integer(4))": "((s0//4)) + 1",
    "FloorDiv(Mul(Integer(6), Symbol('s0', integer=True)), Integer(4))": "((3*s0)//2)",
    "FloorDiv(FloorDiv(Symbol('s0', integer=True), Integer(2)), Integer(3))": "(s0//6)",
    "Mul(Integer(2), FloorDiv(Symbol('s0', integer=True), Integer(2)))": "2*((s0//2))",
    "FloorDiv(Integer(-7), Integer(2))": "-4",
    "Mod(Integer(7), Integer(2))": "1",
    "Max(Integer(1), Add(Symbol('s0', integer=True), Integer(-3)))": "Max(1, s0 - 3)",
}


@pytest.mark.parametrize("text", LENGTHS)
def test_lengths_are_written_as_torch_writes_them(text: str) -> None:
    from torch.utils._sympy import functions

    known = {name: getattr(functions, name) for name in functions.__all__}
    import sympy

    assert str(Lengths().parse(text)) == str(sympy.sympify(text, locals=known)) == LENGTHS[text]


@pytest.mark.parametrize(
    "text", ["__import__('os').getcwd()", "Symbol('s0').diff()", "[1][0]", "Lambda(Integer(1))", "1 +"]
)
def test_lengths_are_not_evaluated(text: str) -> None:
    with pytest.raises((ValueError, SyntaxError)):
        Lengths().parse(text)


def rewritten(path: Path, member: str, change: Callable[[Any], Any]) -> Path:
    """Copy of an archive, one JSON member changed."""
    target = path.with_name("changed.pt2")
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(target, "w") as after:
        for name in before.namelist():
            data = before.read(name)
            if name.endswith(member):
                value = json.loads(data)
                data = json.dumps(change(value) or value).encode()
            after.writestr(name, data)
    return target


def first_weight(config: Any) -> Any:
    return config["config"]["layer.weight"]


def graph(value: Any) -> Any:
    return value["graph_module"]["graph"]


DAMAGE: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "a weight outside its record": (
        "weights_config.json",
        lambda v: first_weight(v)["tensor_meta"]["sizes"].__setitem__(0, {"as_int": 999}),
    ),
    "a negative stride": (
        "weights_config.json",
        lambda v: first_weight(v)["tensor_meta"]["strides"].__setitem__(0, {"as_int": -4}),
    ),
    "a record that is not there": (
        "weights_config.json",
        lambda v: first_weight(v).update(path_name="weight_99"),
    ),
    "a record of the outside": (
        "weights_config.json",
        lambda v: first_weight(v).update(path_name="../../version"),
    ),
    "a weight that is not there": ("weights_config.json", lambda v: v["config"].pop("layer.weight") and None),
    "an odd dtype": ("weights_config.json", lambda v: first_weight(v)["tensor_meta"].update(dtype=77)),
    "no list of weights": ("weights_config.json", lambda v: {"other": 1}),
    "a value read before it is there": ("model.json", lambda v: graph(v)["nodes"].reverse()),
    "two values of one name": ("model.json", lambda v: graph(v)["nodes"].append(graph(v)["nodes"][0])),
    "fewer inputs": ("model.json", lambda v: graph(v)["inputs"].pop() and None),
    "an argument that is not there": ("model.json", lambda v: graph(v)["nodes"][0]["inputs"].pop(0) and None),
    "another schema": ("model.json", lambda v: v["schema_version"].update(major=99)),
    "a list": ("model.json", lambda v: [v]),
    "more results": ("model.json", lambda v: graph(v)["outputs"].append({"as_int": 1})),
    "deep lists": ("model.json", lambda v: graph(v)["nodes"][0]["inputs"][0].update(arg=nested(180))),
}


def nested(depth: int) -> Any:
    return {"as_nested_tensors": [nested(depth - 1)]} if depth else {"as_none": True}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_programs_are_refused(name: str, tmp_path: Path) -> None:
    path = program(FUNCTIONS["weights"], tmp_path / "m.pt2", False)
    outcome = KIND.without(rewritten(path, *DAMAGE[name]), {})
    assert outcome.startswith(("UnreadableFile", "UnsupportedModel")), outcome


def test_mutations_give_typed_errors(tmp_path: Path) -> None:
    """Bytes of the members, so that the archive itself is whole."""
    path = program(FUNCTIONS["lengths"], tmp_path / "m.pt2", True)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    rng = np.random.default_rng(0)
    (chosen,) = (n for n in members if n.endswith("model.json"))
    for _ in range(60):
        data = bytearray(members[chosen])
        for place in rng.integers(0, len(data), 2):
            data[place] = rng.integers(32, 127)
        with zipfile.ZipFile(tmp_path / "changed.pt2", "w") as archive:
            for name, content in members.items():
                archive.writestr(name, bytes(data) if name == chosen else content)
        try:
            KIND.absent(tmp_path / "changed.pt2", {})
        except BridgeError:
            continue
