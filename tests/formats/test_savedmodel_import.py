"""TensorFlow operators, Keras layers, other people's models and damaged files, read into the hub."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from conftest import SHARED

import bridge
from bridge.errors import BridgeError, UnreadableFile, UnsupportedModel
from bridge.inputs import random_inputs
from bridge.runtime import Outputs
from bridge.verify import compare

pytest.importorskip("tensorflow")

from bridge_savedmodel import import_ops
from bridge_savedmodel.cases import as_array, cases
from bridge_savedmodel.cases.layers import cases as layer_cases
from bridge_savedmodel.import_context import registered_default
from bridge_savedmodel.tensorflow import tensorflow

MODELS = SHARED / "savedmodel"

tf = tensorflow()
OPERATORS = cases()


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_computes_what_tensorflow_computes(name: str, tmp_path: Path) -> None:
    case = OPERATORS[name].make(tmp_path)
    outputs = bridge.run(bridge.load(case.source), case.inputs)
    checked = compare(Outputs(dict(zip(outputs, case.expected, strict=True)), "TensorFlow"), outputs)
    assert checked.ok, str(checked)
    assert outputs.engine.startswith("ONNX Runtime") or name.startswith(LOCALE)


LOCALE = ("StringLower", "StringUpper")
"""Operators whose kernel in ONNX Runtime asks for a locale that this machine may not have."""


def filled(value: Any, rng: np.random.Generator) -> np.ndarray:
    """Random values of the dtype and shape of an input."""
    dims = [d if isinstance(d, int) else 2 if n == 0 else 9 for n, d in enumerate(value.shape)]
    if value.dtype.name == "STRING":
        return rng.choice(["a", "b", "zz"], dims).astype(object)
    if value.dtype.is_floating_point():
        return rng.standard_normal(dims).astype(value.dtype.numpy())
    return rng.integers(0, 5, dims).astype(value.dtype.numpy())


def test_keras_layers_compute_what_keras_computes() -> None:
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    wrong = {}
    for name, (inputs, make) in layer_cases(keras).items():
        model = keras.Model(inputs, make()(*inputs))
        rng = np.random.default_rng(1)
        for weight in model.weights:
            if "seed" not in weight.path:
                weight.assign(np.abs(rng.standard_normal(weight.shape)).astype(weight.dtype) * 0.5 + 0.1)
        hub = bridge.load(model, state="initial")
        arrays = {v.name: filled(v, rng) for v in hub.graph.inputs}
        tensors = [tf.constant(a) for a in arrays.values()]
        values = [
            as_array(t)
            for t in tf.nest.flatten(model(tensors if len(tensors) > 1 else tensors[0], training=False))
        ]
        outputs = bridge.run(hub, arrays)
        checked = compare(Outputs(dict(zip(outputs, values, strict=True)), "Keras"), outputs)
        if not checked.ok:
            wrong[name] = str(checked)
    assert not wrong


def signatures() -> list[str]:
    """Every signature of every folder, as folder:signature."""
    from bridge_savedmodel.reader import read_message

    paths = sorted(p.parent for p in MODELS.glob("*/*/saved_model.pb*"))
    definitions = {p.relative_to(MODELS): read_message(p)[0].meta_graphs[0].signature_def for p in paths}
    return [
        f"{p}:{name}"
        for p, signatures_ in definitions.items()
        for name in sorted(signatures_)
        if not name.startswith("__")
    ]


TARGETS = [
    name for name, package in (("tflite", "ai_edge_litert"), ("torchscript", "torch")) if find_spec(package)
]
TEXT = "tensorflow_tfx/tft_tf2_saved_model:serving_default"
REFUSED = {
    TEXT: "StringToHashBucketFast",
    "tensorflow_rust/regression_savedmodel:train": "BroadcastGradientArgs",
}
HALVES = "tensorflow_serving/saved_model_half_plus_two"
EXAMPLES = [
    *(
        f"tensorflow_tfx/trained_saved_model:{n}"
        for n in ("classification", "predict", "regression", "serving_default")
    ),
    *(
        f"{HALVES}_{kind}:{n}_x_to_{y}"
        for kind in ("cpu", "tf2_cpu")
        for n, y in (("classify", "y"), ("regress", "y"), ("regress", "y2"))
    ),
]
REFUSED |= dict.fromkeys(EXAMPLES, "ParseExample")
NO_RANK = "tensorflow_java/using_python"


@pytest.mark.parametrize("name", [n for n in signatures() if n in EXAMPLES and n.startswith(HALVES)])
def test_models_of_serialized_examples_compute_the_same_of_features(name: str, tmp_path: Path) -> None:
    folder, _, signature = name.partition(":")
    model = bridge.load(MODELS / folder, signature=signature, examples="features")
    inputs = {v.name or "": np.float32([[1.5], [-2], [3]]) for v in model.graph.inputs}
    expected = bridge.run(MODELS / folder, inputs, signature=signature or None)
    assert compare(expected, bridge.run(model, inputs)).ok
    for target in TARGETS:
        written = bridge.save(model, tmp_path / f"model.{target}", to=target).path
        assert compare(expected, bridge.run(written, inputs)).ok, target


@pytest.mark.parametrize(
    "name", signatures() or [pytest.param("", marks=pytest.mark.skip("no models of others here"))]
)
def test_models_of_others_compute_the_same(name: str, tmp_path: Path) -> None:
    folder, _, signature = name.partition(":")
    if name in REFUSED:
        with pytest.raises(UnsupportedModel, match=REFUSED[name]):
            bridge.load(MODELS / folder, signature=signature)
        return
    model = bridge.load(MODELS / folder, signature=signature)
    inputs = random_inputs(model)
    expected = bridge.run(MODELS / folder, inputs, signature=signature or None)
    assert compare(expected, bridge.run(model, inputs)).ok
    for target in TARGETS:
        if folder == NO_RANK and target == "tflite":
            with pytest.raises(UnsupportedModel, match="rank"):
                bridge.save(model, tmp_path / "model.tflite")
            continue
        written = bridge.save(model, tmp_path / f"model.{target}", to=target).path
        assert compare(expected, bridge.run(written, inputs)).ok, target


@pytest.mark.skipif(not MODELS.exists(), reason="no models of others here")
def test_a_model_that_hashes_unknown_words_is_read_of_short_ones() -> None:
    """TensorFlow 2.21 cannot run it: BoostedTreesBucketize has no kernel."""
    folder, _, signature = TEXT.partition(":")
    model = bridge.load(MODELS / folder, signature=signature, characters=24)
    words = np.array(["Cash", "a long company name"], object)
    parts = {0: np.array([[0, 0], [1, 0]]), 1: np.array([3, 5]), 2: np.array([2, 1])}
    order = sorted(model.graph.inputs, key=lambda v: int((v.name or "").partition("_")[2] or 0))
    inputs = {
        v.name or "": words if v.dtype == ir.DataType.STRING else parts[n % 3].astype(v.dtype.numpy())
        for n, v in enumerate(order)
    }
    outputs = bridge.run(model, inputs)
    buckets = tf.strings.to_hash_bucket_fast(words, 10).numpy()
    assert (outputs["company_xf"] - buckets).tolist() == [150, 150]
    assert outputs["payment_type_xf"].tolist()[0] == 0


@pytest.mark.skipif(not MODELS.exists(), reason="no models of others here")
@pytest.mark.parametrize("signature", ["predict", "serving_default", "classification", "regression"])
def test_a_model_of_examples_that_hashes_words_is_read_as_features_of_short_ones(signature: str) -> None:
    """The same model, whose buckets current TensorFlow cannot compute: signatures agree on the same
    features."""
    folder = MODELS / "tensorflow_tfx/trained_saved_model"
    model = bridge.load(folder, signature=signature, examples="features", characters=24)
    parts = {"indices": np.array([[0, 0], [1, 0]]), "shape": np.array([2, 1])}
    words = np.array(["Cash", "a long company name"], object)
    inputs = {}
    for value in model.graph.inputs:
        part = (value.name or "").split("/")[-1]
        numbers = np.array([3, 5]).reshape(2, *[1] * (len(value.shape or []) - 1))
        column = words if value.dtype == ir.DataType.STRING else numbers.astype(value.dtype.numpy())
        inputs[value.name or ""] = parts.get(part, column)
    outputs = bridge.run(model, inputs)
    likely = {"predict": "logistic", "regression": "outputs"}.get(signature, "scores")
    np.testing.assert_allclose(outputs[likely].reshape(2, -1)[:, -1], LIKELY, rtol=1e-4)


LIKELY = [0.38929403, 0.4011761]


def dense(path: Path) -> Path:
    """A SavedModel of two signatures, neither the default one, with a variable."""
    module = tf.Module()
    module.w = tf.Variable(np.arange(6, dtype=np.float32).reshape(2, 3))
    spec = tf.TensorSpec([None, 2], tf.float32, "x")
    once = tf.function(lambda x: {"y": x @ module.w}).get_concrete_function(spec)
    twice = tf.function(lambda x: {"y": x @ module.w * 2}).get_concrete_function(spec)
    tf.saved_model.save(module, str(path), signatures={"once": once, "twice": twice})
    return path


def test_a_signature_is_named_where_there_are_several(tmp_path: Path) -> None:
    path = dense(tmp_path / "m")
    with pytest.raises(UnreadableFile, match="once, twice"):
        bridge.load(path)
    with pytest.raises(UnreadableFile, match="thrice"):
        bridge.load(path, signature="thrice")
    model = bridge.load(path, signature="twice")
    outputs = bridge.run(model, {"x": np.ones((1, 2), np.float32)})
    assert outputs["y"].tolist() == [[6.0, 10.0, 14.0]]


def test_missing_parts_are_named(tmp_path: Path) -> None:
    path = dense(tmp_path / "m")
    (path / "variables" / "variables.data-00000-of-00001").unlink()
    with pytest.raises(UnreadableFile, match="variables"):
        bridge.load(path, signature="once")
    shutil.rmtree(path / "variables")
    with pytest.raises(UnreadableFile, match=r"variables\.index is missing"):
        bridge.load(path, signature="once")
    (path / "saved_model.pb").unlink()
    with pytest.raises(UnreadableFile, match=r"saved_model\.pb"):
        bridge.load(path, source="savedmodel")


def test_a_damaged_graph_gives_a_typed_error(tmp_path: Path) -> None:
    path = dense(tmp_path / "m")
    raw = (path / "saved_model.pb").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(20):
        broken = bytearray(raw)
        for position in rng.integers(0, len(raw), 8):
            broken[position] = rng.integers(0, 256)
        (path / "saved_model.pb").write_bytes(bytes(broken))
        try:
            bridge.load(path, source="savedmodel", signature="once")
        except BridgeError:
            continue


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    path = dense(tmp_path / "m")
    raw = (path / "saved_model.pb").read_bytes()
    (path / "saved_model.pb").write_bytes(raw.replace(b"MatMul", b"MyMul7"))
    with pytest.raises(UnsupportedModel, match="MyMul7"):
        bridge.load(path, signature="once")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_keras_files_are_read(suffix: str, tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    model = keras.Sequential(
        [keras.Input((4,), name="x"), keras.layers.Dense(3, activation="relu", name="y")]
    )
    path = tmp_path / f"m{suffix}"
    model.save(path)
    array = np.ones((2, 4), np.float32)
    outputs = bridge.run(bridge.load(path), {"x": array})
    assert np.allclose(next(iter(outputs.values())), model(array).numpy(), atol=1e-5)
    assert bridge.convert(path, tmp_path / "m.onnx", verify=True).verification.ok


@pytest.mark.parametrize("also", [True, False])
def test_a_list_that_nothing_reads_is_no_output(also: bool, tmp_path: Path) -> None:
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [3, 2], name="x")
        tf.raw_ops.TensorListFromTensor(tensor=x, element_shape=[2], name="list")
        if also:
            tf.identity(x, name="y")
    path = tmp_path / "frozen.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    if also:
        assert [v.name for v in bridge.load(path).graph.outputs] == ["y"]
        assert "list is left out" in str(bridge.check(path, to="onnx"))
        return
    with pytest.raises(UnsupportedModel, match="no output that is a tensor"):
        bridge.load(path)


def test_a_frozen_graph_is_read(tmp_path: Path) -> None:
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None, 2], "x")
        tf.identity(tf.matmul(x, tf.constant([[1.0], [2.0]])), "y")
    path = tmp_path / "frozen.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    model = bridge.load(path)
    assert [v.name for v in model.graph.outputs] == ["y"]
    assert bridge.run(model, {"x": np.ones((1, 2), np.float32)})["y"].tolist() == [[3.0]]
    assert bridge.verify(path, model).ok


def test_a_dense_layer_with_gelu_is_three_operators() -> None:
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((7, 8, 12)), keras.layers.Dense(5, activation="gelu")])
    assert [n.op_type for n in bridge.load(model).graph] == ["MatMul", "Add", "Gelu"]


def test_images_cross_without_transposes() -> None:
    keras = pytest.importorskip("keras")
    layer = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layer.Conv2D(4, 3),
            layer.BatchNormalization(),
            layer.ReLU(),
            layer.MaxPooling2D(),
        ]
    )
    hub = bridge.load(model)
    assert sum(n.op_type == "Transpose" for n in hub.graph) == 2
    assert [d if isinstance(d, int) else "?" for d in hub.graph.inputs[0].shape] == ["?", 8, 8, 3]


APPLICATIONS = {"MobileNetV2": (96, {"alpha": 0.35}), "MobileNetV3Small": (64, {"minimalistic": True})}


@pytest.mark.parametrize("name", APPLICATIONS)
def test_applications_reach_onnx_and_tflite(name: str, tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    size, more = APPLICATIONS[name]
    make = getattr(keras.applications, name)
    model = make(input_shape=(size, size, 3), weights=None, classes=10, classifier_activation=None, **more)
    for weight in model.weights:
        if weight.path.endswith("moving_variance"):
            weight.assign(weight * 0.1)
    image = np.random.default_rng(0).uniform(0, 1, (2, size, size, 3)).astype(np.float32)
    expected = np.asarray(model(image, training=False))
    hub = bridge.load(model)
    for suffix in (".onnx", ".tflite"):
        path = bridge.save(hub, tmp_path / f"m{suffix}").path
        output = next(iter(bridge.run(path, {hub.graph.inputs[0].name: image}).values()))
        np.testing.assert_allclose(output, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def said_defaults(path: Path) -> Iterator[tuple[str, list[str], str]]:
    """Reads of an attribute with a default, in handlers: the read, the operators, the attribute."""
    for function in ast.walk(ast.parse(path.read_text())):
        if not isinstance(function, ast.FunctionDef):
            continue
        calls = [d for d in function.decorator_list if isinstance(d, ast.Call)]
        operators = [str(a.value) for d in calls for a in d.args if isinstance(a, ast.Constant)]
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and len(node.args) == 2 and ast.unparse(node.func) == "node.get":
                yield f"{path.name}:{node.lineno}", operators, ast.literal_eval(node.args[0])


def test_no_default_that_tensorflow_registers_is_said_again() -> None:
    paths = Path(import_ops.__file__).parent.glob("*.py")
    repeated = [
        location
        for path in paths
        for location, operators, name in said_defaults(path)
        if operators and all(registered_default(op, name) is not None for op in operators)
    ]
    assert not repeated
