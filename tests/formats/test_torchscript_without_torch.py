"""TorchScript read and written without torch: as with it, and with nothing executed."""

import itertools
import pickle
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from bridge_torchscript.dtypes import TORCH_DTYPES
from bridge_torchscript.import_ops.common import promote_types
from bridge_torchscript.script.module import Records, ScriptModule
from bridge_torchscript.script.pickles import read_pickle
from bridge_torchscript.script.schema import overloads, parse_schema, table
from bridge_torchscript.values import Unsupported
from torch import Tensor, nn

from bridge.errors import UnreadableFile

COMPARED = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "framework_free.py"))
BLOCKED = "import sys; sys.modules['torch'] = None; import bridge; bridge.convert(*sys.argv[1:])"
MODEL = """<ir_version: 10, opset_import: ["" : 21]>
model (float[N, 3] x) => (float[N, 3] y, float[N] z) <float[3] w = {1, 2, 3}>
{ a = Mul (x, w) y = Softmax (a) axes = Constant <value_ints = [1]> () z = ReduceMax <keepdims = 0> (a, axes) }"""


class Pair(NamedTuple):
    low: Tensor
    high: Tensor


class Block(nn.Module):
    scale: Tensor

    def __init__(self, steps: int = 3) -> None:
        super().__init__()
        self.steps = steps
        self.layer = nn.Linear(4, 4)
        self.register_buffer("scale", torch.arange(4.0))

    def bounds(self, x: Tensor) -> Pair:
        return Pair(x.amin(), x.amax())

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        pair = self.bounds(x)
        found = []
        for i in range(self.steps):
            x = torch.relu(self.layer(x)) * self.scale + i
            found.append(x)
        if bias is not None:
            x = x + bias
        while x.sum() > 100.0:
            x = x / 2
        return torch.stack(found).sum(0) * pair.high - pair.low + x[:, 1:].sum() - 1 / (1 + x)


class Conditions(nn.Module):
    def forward(self, x: Tensor, big: bool = True) -> tuple[Tensor, Tensor]:
        y = x
        if bool(x.sum() > 0):
            y = x * 2
            z = x - 1
        else:
            z = x + 1
        sizes = {"rows": x.size(0), "columns": x.size(1)}
        assert big, f"no matrix: {x.dim()}"
        return y, z.reshape([sizes["columns"], sizes["rows"]])


class Lists(nn.Module):
    def forward(self, x: Tensor) -> list[Tensor]:
        parts = x.split([1, 3], 1)
        first, second = parts
        return [t * 2 for t in [first, second, second[None, ..., 0]]]


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(3, 4, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]


def quantized() -> nn.Module:
    from torch.ao.quantization import DeQuantStub, QuantStub, convert, get_default_qconfig, prepare

    layers = nn.Sequential(QuantStub(), nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), DeQuantStub()).eval()
    layers.qconfig = get_default_qconfig("qnnpack")
    prepared = prepare(layers)
    prepared(torch.rand(1, 3, 8, 8))
    return convert(prepared)


SOURCES: dict[str, tuple[Any, list[str]]] = {
    "scripted": (lambda: torch.jit.script(Block()), ["x:float32[n,4]"]),
    "with an option": (lambda: torch.jit.script(Block()), ["x:float32[n,4]", "bias:float32[4]"]),
    "conditions": (lambda: torch.jit.script(Conditions()), ["x:float32[2,3]"]),
    "a list": (lambda: torch.jit.script(Lists()), ["x:float32[2,4]"]),
    "traced": (lambda: torch.jit.trace(Block(), torch.rand(2, 4)), ["x:float32[2,4]"]),
    "recurrent": (lambda: torch.jit.script(Recurrent()), ["x:float32[5,2,3]"]),
    "attention": (
        lambda: torch.jit.script(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()),
        ["src:float32[2,3,8]"],
    ),
    "quantized": (lambda: torch.jit.script(quantized()), ["input:float32[1,3,8,8]"]),
    "half": (lambda: torch.jit.script(nn.Linear(3, 2).bfloat16()), ["input:bfloat16[1,3]"]),
}


@pytest.mark.parametrize("name", SOURCES)
def test_what_is_read_without_torch_is_what_torch_gives(name: str, tmp_path: Path) -> None:
    make, inputs = SOURCES[name]
    path = tmp_path / "model.pt"
    torch.jit.save(make(), path)
    found, expected = COMPARED["KINDS"]["torchscript"].pair(path, {"inputs": inputs})
    assert found == expected
    assert len(found) == 64, found


def test_models_cross_without_torch(tmp_path: Path) -> None:
    """To TorchScript and back, in a process that cannot import torch."""
    there, back = tmp_path / "model.pt", tmp_path / "back.onnx"
    onnx.save(onnx.parser.parse_model(MODEL), tmp_path / "model.onnx")
    for source, target in ((tmp_path / "model.onnx", there), (there, back)):
        subprocess.run([sys.executable, "-c", BLOCKED, source, target], check=True)
    x = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    before, after = (
        onnxruntime.InferenceSession(tmp_path / n).run(None, {"x": x}) for n in ("model.onnx", "back.onnx")
    )
    by_torch = torch.jit.load(there)(torch.from_numpy(x))
    for one, two, three in zip(before, after, by_torch, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_allclose(one, three.numpy(), rtol=1e-6)


def test_weights_are_mapped(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.jit.save(torch.jit.script(nn.Linear(3, 2)), path)
    assert isinstance(Records(path).array("data/0"), np.memmap)
    assert not ScriptModule(path).getattr("weight").array.flags.owndata


@pytest.mark.parametrize(("one", "two"), itertools.combinations_with_replacement(TORCH_DTYPES, 2))
def test_dtypes_are_promoted_as_torch_does(one: Any, two: Any) -> None:
    pair = [getattr(torch, TORCH_DTYPES[d].name) for d in (one, two)]
    try:
        expected = torch.promote_types(*pair)
    except RuntimeError:
        with pytest.raises(Unsupported):
            promote_types(one, two)
        return
    assert getattr(torch, TORCH_DTYPES[promote_types(one, two)].name) == expected


def test_schemas_are_parsed_as_torch_does() -> None:
    for schema in (s for name in table() for s in overloads(name)):
        parsed = torch._C.parse_schema(schema.text)
        expected = [(a.name, a.default_value, a.is_out, a.kwarg_only, a.N) for a in parsed.arguments]
        found = [(a.name, a.default_value, a.is_out, a.kwarg_only, a.size) for a in schema.arguments]
        assert str(found) == str(expected), schema.text
        assert parse_schema(schema.text).overload_name == parsed.overload_name


class Caller:
    def __reduce__(self) -> Any:
        return print, ("executed",)


def circle() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


def bomb() -> list[Any]:
    items: list[Any] = [1] * 10
    for _ in range(100):
        items = [items, items]
    return items


PICKLES = {
    "a call": pickle.dumps(Caller(), 2),
    "a circle": pickle.dumps(circle(), 2),
    "a bomb": pickle.dumps(bomb(), 2),
    "no end": b"\x80\x02]",
    "no beginning": b"\x80\x02]u.",
    "an empty stack": b"\x80\x02R.",
    "a memo of nothing": b"\x80\x02h\x07.",
    "a method of an object": b"\x80\x02c__torch__\nX\n)\x81cposix\nsystem\n(X\x02\x00\x00\x00lstR.",
    "a storage too short": b"\x80\x02(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x09tQ.",
}


@pytest.mark.parametrize("name", PICKLES)
def test_pickles_that_torch_does_not_write_are_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnreadableFile):
        read_pickle(PICKLES[name], lambda key: np.zeros(4, np.uint8), "pickle")
    assert not capsys.readouterr().out


def replaced(path: Path, record: str, change: Any) -> Path:
    """Copy of an archive with another content of the records whose names end in `record`."""
    target = path.with_name("changed.pt")
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(target, "w") as after:
        for name in before.namelist():
            data = before.read(name)
            after.writestr(name, change(data) if name.endswith(record) else data)
    return target


CODE = {
    "no Python": lambda code: code + b"\n)",
    "many minus signs": lambda code: code.replace(b"torch.linear(", b"torch.linear(" + b"-" * 100_000),
    "a long sum": lambda code: code.replace(b"return ", b"return " + b"self+" * 100_000, 1),
    "attributes of attributes": lambda code: code.replace(b"self.weight", b"self" + b".a" * 100_000),
    "branches that may return": lambda code: code.replace(
        b"    weight = self.weight",
        b"    if True:\n      if self.training:\n        return input\n" * 60 + b"    weight = self.weight",
    ),
    "a function that calls itself": lambda code: code.replace(
        b"    weight = self.weight", b"    weight = (self).forward(input, )"
    ),
}


@pytest.mark.parametrize("name", CODE)
def test_damaged_code_gives_typed_errors(name: str, tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Linear(3, 2)), tmp_path / "model.pt")
    path = replaced(tmp_path / "model.pt", ".py", CODE[name])
    outcome = COMPARED["KINDS"]["torchscript"].without(path, {"inputs": ["input:float32[1,3]"]})
    assert outcome.startswith(("UnreadableFile", "needs the framework")), outcome
