"""Properties of written SavedModels: names, variables, control flow, no output on the terminal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from build import hub_from_text, model_from_text, model_of_nodes, run_in
from onnx.helper import make_node

import bridge
from bridge import hub
from bridge.detect import by_name
from bridge.errors import InvalidInput, UnsupportedModel
from bridge.testing.coverage import legalized

pytest.importorskip("tensorflow")

import onnx_ir as ir
from bridge_savedmodel.tensorflow import has_kernel, tensorflow

tf = tensorflow()


def test_names_that_python_does_not_take_survive_in_their_order(tmp_path: Path) -> None:
    names = ["z.1", "a:0", "b/c d", *(f"x{n}" for n in range(9))]
    rows = (np.float32, ["batch", 2])
    nodes = [make_node("Sub", ["z.1", "a:0"], ["out.2"]), make_node("Sum", names, ["out:1"])]
    proto = model_of_nodes(nodes, dict.fromkeys(names, rows), dict.fromkeys(("out.2", "out:1"), rows))
    path = bridge.convert(proto, tmp_path / "m.savedmodel", verify=True).path
    function = tf.saved_model.load(str(path)).signatures["serving_default"]
    assert sorted(function.structured_input_signature[1]) == sorted(names)
    assert sorted(function.structured_outputs) == ["out.2", "out:1"]
    back = bridge.load(path)
    assert [v.name for v in back.graph.inputs] == names
    assert [v.name for v in back.graph.outputs] == ["out.2", "out:1"]
    assert str(back.graph.inputs[0].shape[0]) == "batch"


def test_weights_are_variables_to_train_or_constants(tmp_path: Path) -> None:
    graph = "g (float[n, 3] x) => (float[n, 2] y) <float[3, 2] w = {1, 2, 3, 4, 5, 6}> { y = MatMul (x, w) }"
    loaded = tf.saved_model.load(str(bridge.convert(model_from_text(graph), tmp_path / "v.savedmodel").path))
    (weight,) = loaded.weights
    assert weight.name.startswith("w")
    with tf.GradientTape() as tape:
        result = loaded.signatures["serving_default"](x=tf.ones([2, 3]))["y"]
    assert tape.gradient(result, weight).numpy().tolist() == [[2.0, 2.0]] * 3
    path = bridge.convert(model_from_text(graph), tmp_path / "c.savedmodel", weights="constants").path
    assert len(tf.saved_model.load(str(path)).weights) == 0


@pytest.mark.parametrize(
    "graph",
    [
        """g (float[n] x, bool c) => (float[n] y) { y = If (c)
             <then_branch = t () => (float[n] a) { a = Neg (x) },
              else_branch = e () => (float[n] b) { b = Add (x, x) }> }""",
        """g (float[2] x, int64 n) => (float[2] last, float[k, 2] all) {
             go = Constant <value = bool {1}> () last, all = Loop (n, go, x)
             <body = b (int64 i, bool c, float[2] s) => (bool d, float[2] t, float[2] u) {
               d = Identity (c) f = Cast <to = 1> (i) t = Add (s, f) u = Mul (s, t) }> }""",
    ],
    ids=["If", "Loop"],
)
def test_control_flow_stays_functional(graph: str, tmp_path: Path) -> None:
    conversion = bridge.convert(model_from_text(graph), tmp_path / "m.savedmodel", verify=True)
    assert conversion.verification.ok
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((conversion.path / "saved_model.pb").read_bytes())
    operators = {n.op for f in saved.meta_graphs[0].graph_def.library.function for n in f.node_def}
    assert operators & {"If", "StatelessIf", "While", "StatelessWhile"}


def test_inputs_that_do_not_fit_are_named(tmp_path: Path) -> None:
    path = bridge.convert(
        model_from_text("g (float[n, 3] x) => (float[n, 3] y) { y = Abs (x) }"), tmp_path / "m.savedmodel"
    ).path
    for inputs in ({}, {"z": np.zeros((1, 3), np.float32)}):
        with pytest.raises(InvalidInput, match="x"):
            bridge.run(path, inputs)
    with pytest.raises(InvalidInput, match="float32"):
        bridge.run(path, {"x": np.zeros((1, 3))})
    with pytest.raises(InvalidInput, match="shape"):
        bridge.run(path, {"x": np.zeros((1, 4), np.float32)})


def test_sequences_at_the_boundary_are_refused(tmp_path: Path) -> None:
    proto = model_from_text("g (float[2] x) => (seq(float[2]) y) { y = SequenceConstruct (x) }")
    with pytest.raises(UnsupportedModel, match="SequenceConstruct"):
        bridge.convert(proto, tmp_path / "m.savedmodel")


def test_tensorflow_writes_nothing_on_the_terminal(tmp_path: Path) -> None:
    source = tmp_path / "m.onnx"
    onnx.save(model_from_text("g (float[n, 3] x) => (float[n, 3] y) { y = Softmax (x) }"), source)
    command = [
        sys.executable,
        "-m",
        "bridge",
        "convert",
        str(source),
        str(tmp_path / "m.savedmodel"),
        "--verify",
    ]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert finished.stderr == ""


@pytest.mark.parametrize(
    ("operator", "dtype", "supported"),
    [
        ("AddV2", "UINT16", True),
        ("Neg", "UINT8", False),
        ("Conv2D", "BFLOAT16", True),
        ("Erf", "INT32", False),
    ],
)
def test_dtypes_are_asked_of_the_kernels(operator: str, dtype: str, supported: bool) -> None:
    assert has_kernel(operator, {"T": ir.DataType[dtype]}) is supported


ALONE = """
import sys, tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
made = loaded.signatures["serving_default"](x=tf.constant(["b", "a", "zz"]), s=tf.ones([1, 4, 3]))
assert made["y"].numpy().tolist() == [20, 10, -1], made["y"]
assert made["h"].shape == (4, 1, 1, 2), made["h"]
assert not [name for name in sys.modules if name.startswith("bridge")]
"""


def test_a_folder_serves_without_bridge(tmp_path: Path) -> None:
    """A lookup table and a recurrent layer in a process with TensorFlow only."""
    rng = np.random.default_rng(0)
    weights = {"w": (1, 8, 3), "r": (1, 8, 2)}
    nodes = [
        make_node(
            "LabelEncoder",
            ["x"],
            ["y"],
            domain="ai.onnx.ml",
            keys_strings=["a", "b"],
            values_int64s=[10, 20],
            default_int64=-1,
        ),
        make_node("Transpose", ["s"], ["t"], perm=[1, 0, 2]),
        make_node("LSTM", ["t", "w", "r"], ["h"], hidden_size=2),
    ]
    proto = model_of_nodes(
        nodes,
        {"x": (object, ["n"]), "s": (np.float32, [1, "steps", 3])},
        {"y": (np.int64, ["n"]), "h": (np.float32, ["steps", 1, 1, 2])},
        {name: rng.standard_normal(shape).astype(np.float32) for name, shape in weights.items()},
        {"": 22, "ai.onnx.ml": 4},
    )
    path = bridge.convert(proto, tmp_path / "m.savedmodel", verify=True).path
    finished = subprocess.run([sys.executable, "-c", ALONE, str(path)], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr[-800:]


TUNED = """
import sys, numpy as np, tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
serve, weights = loaded.signatures["serving_default"], list(loaded.weights)
before = [w.numpy().copy() for w in weights]
rng = np.random.default_rng(0)
x = tf.constant(rng.standard_normal((16, 8, 8, 3)).astype("float32"))
wanted = tf.constant(rng.standard_normal((16, 2)).astype("float32"))
optimizer = getattr(tf.keras.optimizers, sys.argv[3])(learning_rate=0.3 if sys.argv[3] == "SGD" else 0.02)
optimizer.build(weights)
losses = []
for _ in range(12):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((serve(x=x)["y"] - wanted) ** 2)
    optimizer.apply(tape.gradient(loss, weights), weights)
    losses.append(float(loss))
assert losses[-1] < 0.95 * losses[0], losses
assert all(np.abs(w.numpy() - b).max() > 0 for w, b in zip(weights, before))
tf.saved_model.save(loaded, sys.argv[2], signatures={"serving_default": serve})
again = tf.saved_model.load(sys.argv[2]).signatures["serving_default"]
np.testing.assert_allclose(again(x=x)["y"], serve(x=x)["y"], rtol=1e-6)
assert float(tf.reduce_mean((again(x=x)["y"] - wanted) ** 2)) < losses[0]
assert not [name for name in sys.modules if name.startswith("bridge")]
"""


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_a_written_model_is_trained_further_saved_and_read_again(optimizer: str, tmp_path: Path) -> None:
    """Twelve steps of an optimizer, in TensorFlow only: the loss falls, every weight changes, and the saved
    model serves."""
    rng = np.random.default_rng(1)
    weights = {"filters": (4, 3, 3, 3), "bias": (4,), "dense": (4, 2)}
    nodes = [
        make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        make_node("Conv", ["t", "filters", "bias"], ["c"], pads=[1, 1, 1, 1]),
        make_node("Relu", ["c"], ["r"]),
        make_node("GlobalAveragePool", ["r"], ["g"]),
        make_node("Flatten", ["g"], ["f"]),
        make_node("MatMul", ["f", "dense"], ["y"]),
    ]
    proto = model_of_nodes(
        nodes,
        {"x": (np.float32, ["n", 8, 8, 3])},
        {"y": (np.float32, ["n", 2])},
        {name: rng.standard_normal(shape).astype(np.float32) * 0.3 for name, shape in weights.items()},
    )
    path = bridge.convert(proto, tmp_path / "m.savedmodel", verify=True).path
    again = tmp_path / "again.savedmodel"
    command = [sys.executable, "-c", TUNED, str(path), str(again), optimizer]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr[-800:]
    x = np.ones((2, 8, 8, 3), np.float32)
    model = bridge.load(again)
    assert bridge.verify(again, model, {"x": x}).ok
    assert not np.allclose(bridge.run(model, {"x": x})["y"], bridge.run(path, {"x": x})["y"])


def test_serving_finds_a_tagged_signature_of_typed_tensors(tmp_path: Path) -> None:
    """The parts that TensorFlow Serving and saved_model_cli read: tag, method, names, dtypes and shapes."""
    from tensorflow.core.protobuf import saved_model_pb2

    graph = "g (float[n, 3] x, int64[m] at) => (float[m, 3] y) { y = Gather (x, at) }"
    path = bridge.convert(model_from_text(graph), tmp_path / "m.savedmodel").path
    (meta,) = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes()).meta_graphs
    assert list(meta.meta_info_def.tags) == ["serve"]
    signature = meta.signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    described = {
        n: (t.dtype, [d.size for d in t.tensor_shape.dim])
        for n, t in (*signature.inputs.items(), *signature.outputs.items())
    }
    assert described == {"x": (1, [-1, 3]), "at": (9, [-1]), "y": (1, [-1, 3])}
    assert (path / "fingerprint.pb").stat().st_size > 0
    names = {n.name for n in meta.graph_def.node}
    assert {t.name.split(":")[0] for t in (*signature.inputs.values(), *signature.outputs.values())} <= names


def raw_operators(path: Path) -> set[str]:
    """Names of the operators of the function that computes."""
    graphs = [f.graph for f in tf.saved_model.load(str(path)).signatures.values()]
    definitions = [g.as_graph_def() for g in graphs]
    return {n.op for d in definitions for f in d.library.function for n in f.node_def}


@pytest.mark.parametrize(
    ("attributes", "operator"),
    [
        ('mode = "linear"', "ResizeBilinear"),
        ('mode = "linear", coordinate_transformation_mode = "asymmetric"', "ResizeBilinear"),
        ('mode = "linear", coordinate_transformation_mode = "align_corners"', "ResizeBilinear"),
        (
            'mode = "nearest", nearest_mode = "floor", coordinate_transformation_mode = "asymmetric"',
            "ResizeNearestNeighbor",
        ),
    ],
)
def test_images_of_known_size_are_resized_by_an_operator_with_a_body(
    attributes: str, operator: str, tmp_path: Path
) -> None:
    proto = model_from_text(
        f"""g (float[2,3,4,6] x) => (float[2,3,8,9] y) <float[4] s = {{1, 1, 2, 1.5}}>
        {{ y = Resize <{attributes}> (x, , s) }}"""
    )
    loaded = bridge.load(proto)
    legal = legalized(loaded, by_name("savedmodel"))
    assert f"bridge.savedmodel::{operator}" in {hub.qualified(n) for n in legal.graph}
    inputs = {"x": np.random.default_rng(0).standard_normal((2, 3, 4, 6)).astype(np.float32)}
    expected = bridge.run(loaded, inputs)["y"]
    np.testing.assert_allclose(bridge.run(legal, inputs)["y"], expected, 1e-6, 1e-6)
    path = bridge.convert(proto, tmp_path / "m.savedmodel").path
    assert operator in raw_operators(path)
    np.testing.assert_allclose(bridge.run(path, inputs)["y"], expected, 1e-5, 1e-5)


def test_the_rounding_of_powers_of_two_does_not_concern_other_float8(tmp_path: Path) -> None:
    proto = model_from_text(
        'g (float[3] x) => (float[3] y) { a = Cast <to = 17, round_mode = "up"> (x) y = Cast <to = 1> (a) }',
        25,
    )
    assert bridge.check(proto, to="savedmodel").counts() == {"native": 2}
    path = bridge.convert(proto, tmp_path / "m.savedmodel").path
    inputs = {"x": np.array([0.07, -1.3, 448.0], np.float32)}
    np.testing.assert_array_equal(bridge.run(path, inputs)["y"], bridge.run(bridge.load(proto), inputs)["y"])


def test_sequences_of_many_dimensions_are_reversed(tmp_path: Path) -> None:
    graph = "(float[2,3,1,2,n,2] x) => (float[2,3,1,2,n,2] y) "
    graph += "{ y = ReverseSequence <time_axis = 1, batch_axis = 0> (x, lengths) }"
    inputs = {"x": np.random.default_rng(0).standard_normal((2, 3, 1, 2, 3, 2)).astype(np.float32)}
    loaded = hub_from_text(graph, lengths=np.array([2, 3]))
    found = run_in("savedmodel", loaded, inputs, tmp_path)["y"]
    np.testing.assert_array_equal(found, bridge.run(loaded, inputs)["y"])


def test_lengths_that_are_known_stay_known_beside_those_that_vary(tmp_path: Path) -> None:
    graph = """(float[b, n, 12] x, float[b, s, m] like) => (float[b, 6, s, m] y) {
        b = Shape <start = 0, end = 1> (x) sm = Shape <start = 1> (like)
        to = Concat <axis = 0> (b, six, sm)
        image = Reshape (x, to)
        y = Conv (image, w)
    }"""
    weights = np.random.default_rng(0).standard_normal((6, 6, 1, 1)).astype(np.float32)
    loaded = hub_from_text(graph, six=np.array([6]), w=weights)
    path = bridge.save(loaded, tmp_path / "m.savedmodel").path
    inputs = {"x": np.ones((2, 4, 12), np.float32), "like": np.ones((2, 2, 4), np.float32)}
    expected = bridge.run(loaded, inputs)["y"]
    for found in (bridge.run(path, inputs), bridge.run(bridge.load(path), inputs)):
        np.testing.assert_allclose(found["y"], expected, 1e-5, 1e-5)
