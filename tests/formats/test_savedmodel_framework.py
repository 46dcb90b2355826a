"""Folders and frozen graphs read where TensorFlow is not imported, or not installed; the data that stands in for
it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from bridge_savedmodel import definitions
from bridge_savedmodel.tensors import array_of
from conftest import SHARED
from test_savedmodel_checkpoint import NUMBERS

import bridge

tf = pytest.importorskip("tensorflow")

READ = """
import hashlib, json, sys
if {absent!r}:
    class Absent:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in ("tensorflow", "keras"):
                raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
    sys.meta_path.insert(0, Absent())
import bridge, onnx_ir as ir
found = {{}}
for path, options in json.loads({paths!r}):
    try:
        model = ir.serde.serialize_model(bridge.load(path, **options))
        found[path + str(options)] = hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
    except bridge.BridgeError as error:
        found[path + str(options)] = f"{{type(error).__name__}}: {{error}}"
found["imported"] = sorted({{"tensorflow", "keras"}} & set(sys.modules))
print(json.dumps(found))
"""


def read_elsewhere(readings: list[tuple[str, dict[str, Any]]], absent: bool) -> dict[str, Any]:
    """The digest of each hub, or its error, in a process of its own."""
    code = READ.format(absent=absent, paths=json.dumps(readings))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def read_here(path: str, options: dict[str, Any]) -> str:
    try:
        model = ir.serde.serialize_model(bridge.load(path, **options))
        return hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
    except bridge.BridgeError as error:
        return f"{type(error).__name__}: {error}"


def vector(*dims: int | None) -> Any:
    return tf.TensorSpec(list(dims), tf.float32, "x")


def save(module: Any, function: Any, path: Path, *specs: Any) -> str:
    tf.saved_model.save(module, str(path), signatures=tf.function(function).get_concrete_function(*specs))
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("framework")


@pytest.fixture(scope="module")
def written(folder: Path) -> list[str]:
    """Variables, a vocabulary in a file, loops, special functions; the same graph frozen."""
    module = tf.Module()
    module.w, module.steps = tf.Variable(np.eye(4, dtype=np.float32) * 3), tf.Variable(0)
    words = folder / "words.txt"
    words.write_text("one\ntwo\nthree\n")
    index = tf.lookup.TextFileIndex
    module.table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(str(words), tf.string, index.WHOLE_LINE, tf.int64, index.LINE_NUMBER),
        -1,
    )

    def compute(x: Any) -> dict[str, Any]:
        module.steps.assign_add(1)
        y = tf.while_loop(lambda v: tf.reduce_sum(v) < 100.0, lambda v: v @ module.w, [x])[0]
        return {"y": tf.math.bessel_i0(y), "z": tf.nn.conv1d(x[None], tf.ones([1, 4, 2]), 1, "SAME")}

    text = tf.TensorSpec([None], tf.string, "words")
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 4], "x")
        tf.compat.v1.while_loop(lambda i, v: i < 3, lambda i, v: (i + 1, tf.math.special.dawsn(v)), [0, x])
    (folder / "frozen.pb").write_bytes(graph.as_graph_def().SerializeToString())
    return [
        save(module, compute, folder / "numbers", vector(None, 4)),
        save(module, lambda words: {"i": module.table.lookup(words)}, folder / "text", text),
        str(folder / "frozen.pb"),
    ]


def shared() -> list[tuple[str, dict[str, Any]]]:
    """Every signature of other people's folders."""
    readings: list[tuple[str, dict[str, Any]]] = []
    for path in sorted({str(p.parent) for p in (SHARED / "savedmodel").glob("*/*/saved_model.pb*")}):
        try:
            bridge.load(path)
        except bridge.errors.SeveralModels as error:
            readings += [(path, {error.option: name}) for name in error.choices]
        except bridge.BridgeError:
            pass
        else:
            readings.append((path, {}))
    return readings


@pytest.mark.parametrize("absent", [False, True], ids=["not imported", "not installed"])
def test_a_file_is_read_the_same_without_tensorflow(absent: bool, written: list[str]) -> None:
    readings = [*((path, {}) for path in written), *shared()]
    found = read_elsewhere(readings, absent)
    assert found.pop("imported") == []
    assert found == {path + str(options): read_here(path, options) for path, options in readings}
    assert not any("Error" in found[path + "{}"] for path in written)


def test_what_needs_tensorflow_says_so(folder: Path) -> None:
    matrix = tf.constant(np.arange(6, dtype=np.float32).reshape(2, 3))
    path = save(
        tf.Module(),
        lambda x: {"y": x + tf.linalg.svd(matrix, compute_uv=True)[1][0, 0]},
        folder / "svd",
        vector(None),
    )
    keras = folder / "model.h5"
    keras.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    found = read_elsewhere([(path, {}), (str(keras), {})], absent=True)
    needed = "MissingDependency: SavedModel needs the package 'tensorflow', which is not installed."
    assert found[path + "{}"].startswith(f"{needed} It computes Svd (")
    assert found[str(keras) + "{}"].startswith(
        f"{needed} Keras, which comes with it, reads .keras and .h5 files."
    )
    assert all("pip install '" in found[p + "{}"] for p in (path, str(keras)))


# The data that stands in for TensorFlow


@pytest.mark.skipif(tf.__version__ != definitions.VERSION, reason="of another TensorFlow")
def test_the_definitions_are_those_of_their_tensorflow() -> None:
    from bridge_savedmodel.definitions import generate

    assert generate.messages() == (definitions.FOLDER / "messages.binpb").read_bytes()
    assert generate.operators() == (definitions.FOLDER / "operators.binpb").read_bytes()
    with np.load(definitions.FOLDER / "functions.npz") as stored:
        assert set(stored) == set(generate.FITTED)
    np.testing.assert_allclose(generate.coefficients("Dawsn"), definitions.coefficients("Dawsn"), atol=1e-12)


DTYPES = [*NUMBERS, "float8_e5m2", "float8_e4m3fn", "int4", "uint4", "string"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dims", [(), (0,), (3,), (2, 3)])
def test_a_stored_tensor_has_the_numbers_tensorflow_gives_it(dtype: str, dims: tuple[int, ...]) -> None:
    kind = tf.dtypes.as_dtype(dtype)
    numbers = np.random.default_rng(1).integers(0, 4, dims)
    array = numbers.astype(bytes).astype(object) if dtype == "string" else numbers.astype(kind.as_numpy_dtype)
    listed = array.ravel().tolist() if dtype == "string" else array.ravel()
    protos = [tf.make_tensor_proto(array, kind)]
    if array.size and not dtype.startswith("float8"):
        protos.append(tf.make_tensor_proto(listed[0], kind, dims))
    for proto in protos:
        found = array_of(definitions.message("TensorProto").FromString(proto.SerializeToString()))
        expected = tf.make_ndarray(proto)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
