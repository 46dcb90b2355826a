"""Exported programs in files are read and run; what in them could run code is refused."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bridge
from bridge.errors import BridgeError, InvalidOption, UnreadableFile, UnsupportedModel

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore")


class Containers(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)
        self.offset = torch.arange(3.0)

    def forward(self, x: torch.Tensor, rest: tuple[torch.Tensor], named: dict[str, torch.Tensor]) -> Any:
        made = torch.tanh(self.layer(x)) + self.offset
        whole = torch.cat([made, rest[0].reshape(x.shape[0] * 1, -1)], 1)
        return {"whole": whole, "parts": (whole.sum() + named["scale"], x.shape[0] * 2)}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    batch = torch.export.Dim("batch", min=2, max=64)
    exported = torch.export.export(
        Containers().eval(),
        (torch.randn(4, 4), (torch.randn(4, 3),), {"scale": torch.ones(2)}),
        dynamic_shapes={"x": {0: batch}, "rest": ({0: batch},), "named": {"scale": None}},
    )
    path = tmp_path_factory.mktemp("program") / "model.pt2"
    torch.export.save(exported, path)
    return path


@pytest.mark.parametrize("suffix", ["onnx", "tflite", "pt"])
def test_files_of_exported_programs_agree_on_every_route(program: Path, suffix: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    inputs = {
        name: rng.standard_normal(shape).astype(np.float32)
        for name, shape in (("x", (6, 4)), ("rest_0", (6, 3)), ("named_scale", (2,)))
    }
    report = bridge.convert(program, tmp_path / f"made.{suffix}")
    assert set(bridge.run(report.path, inputs)) == {"whole", "parts", "parts_1"}
    result = bridge.verify(program, report.path, inputs)
    assert result.ok, str(result)


def test_dimensions_stay_symbolic(program: Path) -> None:
    x, rest, scale = bridge.load(program).graph.inputs
    assert isinstance(x.shape[0], type(rest.shape[0]))
    assert not isinstance(x.shape[0], int)
    assert list(scale.shape) == [2]


def changed(path: Path, destination: Path, suffix: str, change: Callable[[Any], Any]) -> Path:
    """A copy whose members ending in `suffix` are changed as JSON."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(destination, "w") as copy:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith(suffix):
                value = json.loads(data)
                data = json.dumps(change(value) or value).encode()
            copy.writestr(name, data)
    return destination


def function(value: Any) -> None:
    value["graph_module"]["graph"]["nodes"][0]["target"] = "torch.os.system"


def size(value: Any) -> None:
    first = next(iter(value["graph_module"]["graph"]["sym_int_values"].values()))
    first["as_expr"]["expr_str"] = "__import__('pathlib').Path('executed').touch()"


def power(value: Any) -> None:
    first = next(iter(value["graph_module"]["graph"]["sym_int_values"].values()))
    first["as_expr"]["expr_str"] = "Pow(Integer(9), Pow(Integer(9), Integer(99)))"


def name(value: Any) -> None:
    value["graph_module"]["graph"]["inputs"][0]["as_tensor"]["name"] = "x=open('executed','w')"


def container(value: Any) -> None:
    signature = value["graph_module"]["module_call_graph"][0]["signature"]
    signature["in_spec"] = signature["in_spec"].replace("builtins.tuple", "os.system")


def deep(value: Any) -> Any:
    nested: Any = 1
    for _ in range(900):
        nested = [nested]
    return {**value, "more": nested}


@pytest.mark.parametrize("change", [function, size, power, name, container, deep])
def test_words_that_could_run_are_refused(
    change: Any, program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = changed(program, tmp_path / "hostile.pt2", "models/model.json", change)
    with pytest.raises((UnsupportedModel, UnreadableFile)):
        bridge.load(path)
    with pytest.raises(BridgeError):
        bridge.run(path, {"x": np.ones((2, 4), np.float32)})
    assert not Path("executed").exists()


def test_guards_of_a_file_do_not_run(program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def guarded(value: Any) -> None:
        value["guards_code"] = ["open('executed', 'w')"]

    path = changed(program, tmp_path / "hostile.pt2", "models/model.json", guarded)
    assert bridge.load(path).graph.outputs
    assert not Path("executed").exists()


def test_pickled_weights_are_refused(program: Path, tmp_path: Path) -> None:
    def pickled(value: Any) -> None:
        next(iter(value["config"].values()))["use_pickle"] = True

    path = changed(program, tmp_path / "hostile.pt2", "weights_config.json", pickled)
    with pytest.raises(UnsupportedModel, match="pickled"):
        bridge.load(path)


def test_damaged_programs_give_typed_errors(program: Path, tmp_path: Path) -> None:
    original = program.read_bytes()
    rng = np.random.default_rng(0)
    for index in range(20):
        data = bytearray(original)
        for position in rng.integers(0, len(data), 4):
            data[position] = rng.integers(0, 256)
        damaged = tmp_path / f"{index}.pt2"
        damaged.write_bytes(bytes(data))
        try:
            model = bridge.load(damaged, source="torchscript")
        except BridgeError:
            continue
        assert model.graph.outputs


def test_programs_have_one_method(program: Path) -> None:
    with pytest.raises(InvalidOption, match="no method but forward"):
        bridge.load(program, method="other")
