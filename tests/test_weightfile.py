"""Weights that stay in their file until they are read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from build import hub_from_text
from onnx import helper, numpy_helper

import bridge
from bridge.errors import UnreadableFile
from bridge.weightfile import Converted, FileTensor, Transposed, WeightFile, blocks, is_same, looks

SIDE = 256
PEAK = """
import resource, sys, bridge
bridge.load(sys.argv[2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
bridge.convert(sys.argv[1], sys.argv[3], overwrite=True)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def chain(path: Path, count: int = 2, side: int = SIDE, dtype: type = np.float32) -> Path:
    """A chain of `count` products of side × side, its weights inside."""
    drawn = [np.cos(np.arange(side * side, dtype=np.float32) + i).reshape(side, side) for i in range(count)]
    weights = [numpy_helper.from_array(array.astype(dtype), f"w{i}") for i, array in enumerate(drawn)]
    nodes = [helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"x{i + 1}"]) for i in range(count)]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    ends = [helper.make_tensor_value_info(f"x{i}", kind, [1, side]) for i in (0, count)]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return path


def on_file(path: Path, array: np.ndarray, ahead: int = 3) -> FileTensor:
    path.write_bytes(b"." * ahead + array.tobytes())
    return FileTensor(WeightFile(path), ahead, ir.DataType.from_numpy(array.dtype), array.shape)


@pytest.fixture
def x() -> dict[str, np.ndarray]:
    return {"x0": np.random.default_rng(0).standard_normal((1, SIDE), np.float32)}


def test_large_weights_are_left_in_the_file(tmp_path: Path) -> None:
    model = bridge.load(chain(tmp_path / "m.onnx"))
    assert all(isinstance(v.const_value, FileTensor) for v in model.graph.initializers.values())


def test_the_file_written_is_what_protobuf_writes(tmp_path: Path) -> None:
    written = bridge.convert(chain(tmp_path / "m.onnx"), tmp_path / "n.onnx").path
    assert onnx.load(written).SerializeToString() == written.read_bytes()


def test_weights_are_called_as_their_values_are(tmp_path: Path) -> None:
    model = bridge.load(chain(tmp_path / "m.onnx"))
    for value in list(model.graph.initializers.values()):
        value.name = f"renamed_{value.name}"
    written = onnx.load(bridge.save(model, tmp_path / "n.onnx").path)
    assert [weight.name for weight in written.graph.initializer] == ["renamed_w0", "renamed_w1"]


@pytest.mark.parametrize("suffix", [".onnx", ".tflite", ".pt", ".mlpackage"])
def test_every_target_holds_the_weights(suffix: str, tmp_path: Path) -> None:
    done = bridge.convert(chain(tmp_path / "m.onnx"), tmp_path / f"n{suffix}", verify=True)
    assert done.verification is not None
    assert done.verification.ok


def test_a_weight_that_many_read_is_written_once(tmp_path: Path) -> None:
    model = onnx.load(chain(tmp_path / "m.onnx", 1, 512))
    model.graph.node[0].output[0] = "y0"
    model.graph.node.append(helper.make_node("MatMul", ["y0", "w0"], ["x1"]))
    onnx.save(model, tmp_path / "m.onnx")
    written = bridge.convert(tmp_path / "m.onnx", tmp_path / "n.tflite").path
    assert written.stat().st_size < 1.1 * 512 * 512 * 4


def test_a_model_replaced_by_its_own_conversion_is_right(tmp_path: Path, x: dict[str, np.ndarray]) -> None:
    source = chain(tmp_path / "m.onnx")
    right = bridge.run(source, x)["x2"]
    bridge.convert(source, source, overwrite=True)
    np.testing.assert_array_equal(bridge.run(source, x)["x2"], right)


def test_a_model_whose_file_was_replaced_keeps_its_weights(tmp_path: Path, x: dict[str, np.ndarray]) -> None:
    source = chain(tmp_path / "m.onnx")
    right, model = bridge.run(source, x)["x2"], bridge.load(source)
    os.replace(chain(tmp_path / "other.onnx", 1), source)
    np.testing.assert_array_equal(bridge.run(bridge.save(model, tmp_path / "n.onnx").path, x)["x2"], right)


@pytest.mark.parametrize("size", [0, SIDE * SIDE * 4])
def test_a_file_cut_short_meanwhile_is_unreadable(size: int, tmp_path: Path) -> None:
    source = chain(tmp_path / "m.onnx")
    model = bridge.load(source)
    os.truncate(source, size)
    for suffix in (".onnx", ".tflite", ".pt", ".mlpackage"):
        with pytest.raises(UnreadableFile, match="changed while it was read"):
            bridge.save(model, tmp_path / f"n{suffix}")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx"]


def test_a_file_written_over_meanwhile_is_unreadable(tmp_path: Path) -> None:
    source = chain(tmp_path / "m.onnx")
    model = bridge.load(source)
    with source.open("r+b") as file:
        file.seek(SIDE * SIDE)
        file.write(b"0123")
    os.utime(source, ns=(0, 0))
    with pytest.raises(UnreadableFile, match="changed while it was read"):
        bridge.save(model, tmp_path / "n.onnx")


def test_a_weight_of_another_size_than_its_shape_is_refused(tmp_path: Path) -> None:
    model = onnx.load(chain(tmp_path / "m.onnx"))
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(UnreadableFile, match="holds another number of elements"):
        bridge.load(tmp_path / "m.onnx")


@pytest.mark.parametrize("part", [0.3, 0.7, 0.99])
def test_a_file_that_ends_early_is_unreadable(part: float, tmp_path: Path) -> None:
    content = chain(tmp_path / "m.onnx").read_bytes()
    (tmp_path / "m.onnx").write_bytes(content[: int(part * len(content))])
    with pytest.raises(UnreadableFile):
        bridge.load(tmp_path / "m.onnx")


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("suffix", [".onnx", ".tflite", ".pt", ".mlpackage"])
@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in kilobytes on Linux")
def test_memory_is_a_constant_and_the_largest_weight(suffix: str, dtype: type, tmp_path: Path) -> None:
    large, small = chain(tmp_path / "m.onnx", 24, 2048, dtype), chain(tmp_path / "s.onnx")
    asked = [sys.executable, "-c", PEAK, str(large), str(small), str(tmp_path / f"n{suffix}")]
    if suffix in (".pt", ".mlpackage"):
        framework = {".pt": "import torch\n", ".mlpackage": "import coremltools\n"}[suffix]
        asked[2] = framework + PEAK
    done = subprocess.run(asked, check=True, capture_output=True, text=True)
    assert int(done.stdout) < 100e6 + 2048 * 2048 * 4, "24 weights of 17 MB"


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.float64])
@pytest.mark.parametrize("shape", [(37, 5), (16, 16), (1, 7), (129, 300), (5, 1)])
def test_a_transposed_weight_is_the_transposed_array(
    dtype: type, shape: tuple[int, int], tmp_path: Path
) -> None:
    array = np.random.default_rng(0).integers(-100, 100, shape).astype(dtype)
    turned = Transposed(on_file(tmp_path / "w", array), (1, 0))
    assert b"".join(map(bytes, blocks(turned))) == array.T.tobytes() == turned.tobytes()
    np.testing.assert_array_equal(turned.numpy(), array.T)
    assert looks(turned) == looks(ir.Tensor(np.ascontiguousarray(array.T)))


def test_a_converted_weight_is_the_converted_array(tmp_path: Path) -> None:
    array = np.linspace(-1e6, 1e6, 300_000, dtype=np.float32).reshape(300, 1000)
    half = Converted(on_file(tmp_path / "w", array), ir.DataType.FLOAT16)
    with np.errstate(over="ignore"):
        expected = array.astype(np.float16)
    assert b"".join(map(bytes, blocks(half))) == expected.tobytes() == half.tobytes()


def test_weights_are_the_same_by_their_bytes(tmp_path: Path) -> None:
    array = np.arange(10_000, dtype=np.float32).reshape(100, 100)
    one, other = on_file(tmp_path / "a", array), on_file(tmp_path / "b", array, 5)
    third = on_file(tmp_path / "c", array + (np.arange(10_000).reshape(100, 100) == 77))
    assert is_same(one, other)
    assert not is_same(one, third)
    assert is_same(Transposed(one, (1, 0)), Transposed(other, (1, 0)))
    assert not is_same(Transposed(one, (1, 0)), one)
    assert is_same(Transposed(one, (1, 0)), ir.Tensor(np.ascontiguousarray(array.T)))


def test_a_weight_is_written_under_the_name_of_its_value(tmp_path):
    model = hub_from_text(
        "(float[1,256] x) => (float[1,256] y) { y = MatMul (x, w) }", w=np.eye(256, dtype=np.float32)
    )
    (value,) = (v for v in model.graph.initializers.values() if v.name == "w")
    value.const_value = ir.Tensor(np.eye(256, dtype=np.float32), name="another")
    x = np.arange(256, dtype=np.float32)[None]
    path = bridge.save(model, tmp_path / "m.onnx").path
    np.testing.assert_array_equal(bridge.run(path, {"x": x})["y"], x)
