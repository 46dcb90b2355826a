"""Models that would take too much are refused before they do."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from math import prod

import numpy as np
import onnx
import pytest
from build import hub_from_text, model_from_text, model_of_nodes
from onnx import TensorProto, helper

import bridge
from bridge import limits
from bridge.errors import InternalError, InvalidOption, TooLarge, UnreadableFile, UnsupportedModel
from bridge.hub import all_nodes
from bridge.ops import Rule
from bridge.passes.expand import ExpandFunctions
from bridge.runtime import run_reference

OPSETS = [helper.make_opsetid("", 21), helper.make_opsetid("d", 1)]


def nested(depth: int, calls: int, innermost: str = "Relu", domain: str = "") -> onnx.ModelProto:
    """A model of functions, each of which calls the one below `calls` times."""
    functions = []
    for level in range(depth + 1):
        values = ["x", *(f"v{i}" for i in range(1, calls if level else 1)), "y"]
        op, home = (f"F{level - 1}", "d") if level else (innermost, domain)
        nodes = [helper.make_node(op, [a], [b], domain=home) for a, b in pairwise(values)]
        functions.append(helper.make_function("d", f"F{level}", ["x"], ["y"], nodes, OPSETS))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node(f"F{depth}", ["x"], ["y"], domain="d")],
        "g",
        [value("x", TensorProto.FLOAT, [1])],
        [value("y", TensorProto.FLOAT, [1])],
    )
    return helper.make_model(graph, functions=functions, opset_imports=OPSETS, ir_version=10)


def test_functions_of_any_depth_are_expanded_in_one_walk():
    model = bridge.load(nested(300, 1))
    ExpandFunctions(lambda node: not node.domain)(model)
    assert [node.op_type for node in all_nodes(model)] == ["Relu"]


def test_functions_that_double_are_refused(tmp_path):
    with pytest.raises(TooLarge, match="1,073,741,824 nodes"):
        bridge.convert(nested(30, 2), tmp_path / "m.tflite")


def test_a_function_that_calls_itself_is_refused(tmp_path):
    with pytest.raises(UnreadableFile, match="calls itself"):
        bridge.convert(nested(0, 1, "F0", "d"), tmp_path / "m.tflite")


@pytest.mark.parametrize("op", ["Expand", "Tile", "ConstantOfShape"])
def test_what_no_machine_holds_is_refused(op, tmp_path):
    operands = ["s"] if op == "ConstantOfShape" else ["c", "s"]
    model = model_of_nodes(
        [helper.make_node(op, operands, ["big"]), helper.make_node("ReduceSum", ["big"], ["y"], keepdims=0)],
        {},
        {"y": (np.float32, [])},
        {"s": np.array([2**40]), "c": np.ones(1, np.float32)},
    )
    for suffix in (".onnx", ".tflite"):
        with pytest.raises(TooLarge, match=r"1,099,511,627,776 elements"):
            bridge.convert(model, tmp_path / f"m{suffix}")


def test_lengths_are_not_propagated_through_long_vectors():
    model = hub_from_text(
        "(float[1] x) => (float[n] y) { a = Mul (s, s) e = Expand (c, a) y = Add (x, e) }",
        s=np.array([2 * 10**6]),
        c=np.ones(1, np.float32),
    )
    assert model.graph.outputs[0].shape == [4 * 10**12]


def test_constants_are_computed_within_the_memory_allowed(monkeypatch):
    monkeypatch.setenv(limits.MEMORY, "16MB")
    fills = " ".join(f"c{i} = ConstantOfShape <value: tensor = float[1] {{{i}}}> (s)" for i in range(8))
    sums = " ".join(f"v{i + 1} = Add (v{i}, c{i})" for i in range(8)).replace("v0", "x").replace("v8", "y")
    model = hub_from_text(f"(float[1] x) => (float[n] y) {{ {fills} {sums} }}", s=np.array([2**18]))
    left = [node.op_type for node in all_nodes(model)]
    assert 0 < left.count("ConstantOfShape") < 8


@pytest.mark.parametrize(
    ("text", "size"), [("4GB", 4e9), ("512 mb", 512e6), ("1e9", 1e9), ("2.5GiB", 2.5e9), ("100", 100)]
)
def test_a_size_is_a_number_with_a_unit(monkeypatch, text, size):
    monkeypatch.setenv(limits.MEMORY, text)
    assert limits.memory() == size


def test_a_size_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv(limits.MEMORY, "much")
    with pytest.raises(InvalidOption, match="no size"):
        limits.memory()


def test_without_a_size_half_of_the_machine_is_allowed(monkeypatch):
    monkeypatch.delenv(limits.MEMORY, raising=False)
    assert limits.memory() > 10**8


def test_a_model_without_outputs_is_refused(tmp_path):
    with pytest.raises(UnsupportedModel, match="no outputs"):
        bridge.convert(model_of_nodes([], {"x": (np.float32, [1])}, {}), tmp_path / "m.onnx")


def test_a_defect_names_the_stage_and_the_operator(monkeypatch, tmp_path):
    def fail(op, node, *inputs):
        raise TypeError("nobody expected this")

    def rules(format, direction):
        return [Rule("HardSwish", fail)] if direction == "export" else []

    monkeypatch.setattr("bridge.plugins.rules", rules)
    model = model_from_text("(float[2] x) => (float[2] y) { y = HardSwish (x) }")
    with pytest.raises(
        InternalError, match=r"failed at HardSwish .*TypeError: nobody expected this\n.*report"
    ):
        bridge.convert(model, tmp_path / "m.tflite")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("version", [0, -(2**31), 2**40])
def test_an_opset_there_cannot_be_is_refused(mnist, version):
    model = onnx.load(mnist)
    model.opset_import[0].version = version
    with pytest.raises(UnreadableFile, match="imports opset"):
        bridge.load(model)


MALFORMED = {
    "an attribute missing": (
        "(float[2] x) => (y) { y = Einsum (x, x) }",
        "Einsum .* has no attribute equation",
    ),
    "an attribute of another type": (
        "(float[2] x) => (y) { y = Softmax <axis = 1.5> (x) }",
        "axis of type FLOAT",
    ),
    "an input missing": ("(float[2] x) => (y) { y = MatMul (x) }", "has 1 inputs, not 2"),
    "an input left out": ('(float[2] x) => (y) { y = MatMul ("", x) }', "has no input A"),
    "an input too many": ("(float[2] x) => (y) { y = Relu (x, x) }", "has 2 inputs, not 1"),
    "an output too many": ("(float[2] x) => (y) { y, z = Relu (x) }", "has 2 outputs, not 1"),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_an_operator_that_is_not_as_its_schema_says_is_refused(what):
    text, told = MALFORMED[what]
    with pytest.raises(UnreadableFile, match=told):
        bridge.load(model_from_text(text))


WIDTH = 5200
WATCHED = """
import bridge, re
bridge.{call}
print(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1])
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A model with 3 GB of weights in a file beside it, all of which is a hole."""
    path, size, weights = tmp_path_factory.mktemp("large") / "large.onnx", 0, []

    def weight(*shape):
        nonlocal size
        tensor = onnx.TensorProto(name=f"w{len(weights)}", data_type=TensorProto.FLOAT, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        place = {"location": "large.data", "offset": size, "length": 4 * prod(shape)}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        size += 4 * prod(shape)
        weights.append(tensor)
        return tensor.name

    def info(name, dtype, shape):
        return helper.make_tensor_value_info(name, dtype, shape)

    nodes = [
        helper.make_node("Gather", [weight(110_000, WIDTH), "ids"], ["words"]),
        helper.make_node("MatMul", ["words", weight(WIDTH, 2 * WIDTH)], ["wide"]),
        helper.make_node("Gemm", ["wide", weight(2 * WIDTH, WIDTH)], ["narrow"]),
        helper.make_node("Gemm", ["narrow", weight(2 * WIDTH, WIDTH)], ["scores"], transB=1),
        helper.make_node("Conv", ["image", weight(1024, 1024, 5, 5)], ["seen"]),
        helper.make_node("LSTM", ["steps", weight(1, 4 * 2048, 2048), weight(1, 4 * 2048, 2048)], ["heard"]),
    ]
    nodes[-1].attribute.append(helper.make_attribute("hidden_size", 2048))
    graph = helper.make_graph(
        nodes,
        "large",
        [
            info("ids", TensorProto.INT64, ["n"]),
            info("image", TensorProto.FLOAT, [1, 1024, "h", "w"]),
            info("steps", TensorProto.FLOAT, ["t", 1, 2048]),
        ],
        [info(name, TensorProto.FLOAT, None) for name in ("scores", "seen", "heard")],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    with (path.parent / "large.data").open("wb") as file:
        file.truncate(size)
    assert size > 3e9
    return path


def test_bytes_count_the_weights_beside_a_model(large):
    held = sum(path.stat().st_size for path in large.parent.iterdir())
    assert bridge.inspect(large).bytes == held > 3e9


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
@pytest.mark.parametrize(
    "call", ["inspect({})", *(f"check({{}}, to={t!r})" for t in ("onnx", "tflite", "torchscript", "coreml"))]
)
def test_three_gigabytes_of_weights_are_not_touched(large, call):
    words = WATCHED.format(call=call.format(repr(str(large))))
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 200e6


LOOP = """
(float[1] x) => (float[1] y) {
  y = Loop (n, t, x) <body = b (int64 i, bool go, float[1] s) => (bool on, float[1] r) {
    on = Identity (go) r = Add (s, s) }>
}
"""
ROUNDS = {"n": np.array(2**33), "t": np.array(True)}
X = {"x": np.zeros(1, np.float32)}


@pytest.fixture
def endless(tmp_path, monkeypatch):
    """A file whose loop takes hours, where an answer may take a tenth of a second."""
    monkeypatch.setenv(limits.SECONDS, "0.1")
    path = tmp_path / "loop.onnx"
    onnx.save(model_from_text(LOOP, **ROUNDS), path)
    return path


def test_a_slow_model_ends_with_the_limit_named(endless, tmp_path):
    with pytest.raises(
        TooLarge, match=r"ONNX Runtime took more than 0.1 s of a processor.*\n.*BRIDGE_SECONDS=0.6"
    ):
        bridge.run(endless, X)
    with pytest.raises(TooLarge, match="BRIDGE_SECONDS"):
        bridge.convert(endless, tmp_path / "m.onnx", verify=True)
    assert [p.name for p in tmp_path.iterdir()] == ["loop.onnx"]


def test_a_slow_answer_of_the_reference_evaluator_ends(endless):
    with pytest.raises(TooLarge, match=r"onnx.reference took more than"):
        run_reference(onnx.load(endless), X)


def test_a_slow_runtime_in_its_own_process_ends(endless, tmp_path, monkeypatch):
    pytest.importorskip("ai_edge_litert")
    bridge.convert(endless, tmp_path / "m.tflite")
    monkeypatch.setenv(limits.SECONDS, "1")
    with pytest.raises(TooLarge, match="The runtime of TFLite took more than 1 s"):
        bridge.run(tmp_path / "m.tflite", X)


GROWS = "(float[1] x, int64[1] n) => (float[] y) { a = Expand (x, n) y = ReduceSum <keepdims: int = 0> (a) }"


def test_a_runtime_in_its_own_process_that_grows_ends(tmp_path, monkeypatch):
    pytest.importorskip("ai_edge_litert")
    onnx.save(model_from_text(GROWS), tmp_path / "m.onnx")
    bridge.convert(tmp_path / "m.onnx", tmp_path / "m.tflite")
    monkeypatch.setenv(limits.MEMORY, "200MB")
    assert bridge.run(tmp_path / "m.tflite", X | {"n": np.array([9])})["y"] == 0
    with pytest.raises(
        TooLarge, match=r"The runtime of TFLite took more than 0.2 GB.*\n.*BRIDGE_MEMORY=64GB"
    ):
        bridge.run(tmp_path / "m.tflite", X | {"n": np.array([10**9])})


def test_a_limit_that_is_no_number_is_refused(monkeypatch):
    for text in ("soon", "0", "-1", "nan", "inf"):
        monkeypatch.setenv(limits.SECONDS, text)
        with pytest.raises(InvalidOption, match="BRIDGE_SECONDS=3600"):
            limits.seconds()
