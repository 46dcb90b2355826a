"""The operator at which two models part is named, whatever the format, and told from rounding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from build import SUFFIXES, hub_from_text, model_from_text
from click.testing import CliRunner

import bridge
from bridge import hub
from bridge.cli import main
from bridge.detect import by_name
from bridge.errors import DestinationExists, InvalidInput
from bridge.load import reader
from bridge.runtime import open_session

FORMATS = ["coreml", "onnx", "savedmodel", "tflite", "torchscript"]
BODY = {
    "image": np.random.default_rng(0).normal(0, 0.4, (4, 3, 3, 3)).astype(np.float32),
    "first": np.random.default_rng(1).normal(0, 0.4, (64, 8)).astype(np.float32),
    "bias": np.random.default_rng(2).normal(0, 0.4, 8).astype(np.float32),
    "turn": np.random.default_rng(3).normal(0, 0.4, (8, 8)).astype(np.float32),
    "last": np.random.default_rng(4).normal(0, 0.4, (8, 5)).astype(np.float32),
}
NET = """(float[2,3,4,4] x) => (float[2,5] y) <int64[2] flat = {2, 64}> {
    [conv] c = Conv <pads = [1,1,1,1]> (x, image)
    [relu] r = LeakyRelu <alpha = 0.1> (c)
    [layout] t = Transpose <perm = [0,2,3,1]> (r)
    [flatten] f = Reshape (t, flat)
    [dense] d = MatMul (f, first)
    [shift] s = Add (d, bias)
    [bend] b = Tanh (s)
    [turn] u = MatMul (b, turn)
    [share] p = Softmax <axis = -1> (u)
    [sum] a = Add (p, b)
    [head] y = MatMul (a, last)
}"""
FAULTS = {
    "conv": ("pads = [1,1,1,1]", "pads = [2,1,0,1]"),
    "relu": ("alpha = 0.1", "alpha = 0.4"),
    "layout": ("perm = [0,2,3,1]", "perm = [0,3,2,1]"),
    "shift": ("Add (d, bias)", "Sub (d, bias)"),
    "bend": ("Tanh (s)", "Sigmoid (s)"),
    "share": ("axis = -1", "axis = 0"),
}


def net(text: str = NET, **weights: np.ndarray) -> onnx.ModelProto:
    return model_from_text(text, **(BODY | weights))


def named(node: str) -> str:
    return next(str(hub.origin(n)) for n in bridge.load(net()).graph if n.name == node)


@pytest.mark.parametrize(
    ("place", "to"), [(p, FORMATS[(i + j) % len(FORMATS)]) for i, p in enumerate(FAULTS) for j in (0, 2)]
)
def test_a_wrong_operator_is_named(place, to, tmp_path):
    path = tmp_path / f"m{SUFFIXES[to]}"
    bridge.convert(net(NET.replace(*FAULTS[place])), path, to=to)
    found = bridge.bisect(net(), path, candidate_source=to)
    assert found.kind == "operator"
    assert found.operators[0] == named(place)
    assert len(found.operators) <= 2
    assert found.conversions == 0


@pytest.mark.parametrize("to", ["savedmodel", "tflite"])
@pytest.mark.parametrize(
    ("place", "weight", "change"),
    [
        ("conv", "image", lambda w: w * np.array([1, 1, 3, 1], np.float32).reshape(4, 1, 1, 1)),
        ("dense", "first", lambda w: w * np.float32(1.05)),
        ("shift", "bias", np.zeros_like),
        ("turn", "turn", lambda w: w.T.copy()),
    ],
)
def test_a_wrong_weight_is_named(place, weight, change, to, tmp_path):
    path = tmp_path / f"m{SUFFIXES[to]}"
    bridge.convert(net(**{weight: change(BODY[weight])}), path, to=to)
    found = bridge.bisect(net(), path, candidate_source=to)
    assert found.kind == "operator"
    assert found.operators[0] == named(place)
    rows = {row.value: row for row in found.growth}
    before = list(rows)[: list(rows).index(found.value)]
    assert all(rows[value].error < 1e-5 for value in before)
    assert rows["y"].error > 1e-3 > rows["y"].own


@pytest.mark.parametrize("to", FORMATS)
def test_a_right_model_is_not_accused(to, tmp_path):
    path = tmp_path / f"m{SUFFIXES[to]}"
    bridge.convert(net(), path, to=to)
    assert bridge.bisect(net(), path, candidate_source=to).ok


def test_the_part_that_fails_is_written_ready_to_run(tmp_path):
    path = tmp_path / "m.tflite"
    bridge.convert(net(NET.replace(*FAULTS["relu"])), path)
    found = bridge.bisect(net(), path, write=tmp_path / "part")
    assert found.folder == tmp_path / "part"
    assert found.conversions == 1
    inputs, expected, wrong = (
        dict(np.load(found.folder / f"{name}.npz")) for name in ("inputs", "expected", "found")
    )
    for file, answer in (
        ("reference.onnx", expected),
        ("candidate.onnx", wrong),
        ("candidate.tflite", wrong),
    ):
        np.testing.assert_allclose(
            bridge.run(found.folder / file, inputs)[found.value], answer[found.value], rtol=1e-4, atol=1e-5
        )
    assert len(bridge.load(found.folder / "reference.onnx").graph) == 1
    assert "bridge verify reference.onnx candidate.tflite" in (found.folder / "report.txt").read_text()
    with pytest.raises(DestinationExists):
        bridge.bisect(net(), path, write=tmp_path / "part")


def test_rounding_that_adds_up_is_no_fault():
    chain = " ".join(f"h{i + 1} = Mul (h{i}, s)" for i in range(60))
    text = f"(float[8] x) => (float[8] y) <float s = {{SCALE}}> {{ h0 = Exp (x) {chain} y = Identity (h60) }}"
    first, second = (hub_from_text(text.replace("SCALE", scale)) for scale in ("0.98", "0.98005"))
    found = bridge.bisect(first, second)
    assert found.kind == "rounding"
    assert "No operator is wrong" in str(found)


LOOP = """(float[3] x) => (float[3] y) <int64 steps = {5}, bool go = {1}, float half = {0.5}> {
    [loop] y = Loop (steps, go, x) <body = b (int64 i, bool c, float[3] s) => (bool k, float[3] n) {
        k = Identity (c)
        t = Tanh (s)
        [grow] f = Cast <to = 1> (i)
        [scale] m = Mul (t, half)
        [step] n = Add (m, GROWN)
    }>
}"""


def test_a_loop_is_followed_to_the_step():
    right = LOOP.replace("GROWN", "f")
    wrong = right.replace("[step] n = Add (m, f)", "three = Constant <value = float {3}> () "
                          "l = Min (f, three) [step] n = Add (m, l)")  # fmt: skip
    found = bridge.bisect(hub_from_text(right), hub_from_text(wrong))
    assert found.kind == "operator"
    assert found.operators[0] == "Add step, step 4 of Loop loop"


BRANCHES = """(float[3] x) => (float[3] y) <float zero = {0}> {
    s = ReduceMax <keepdims = 0> (x)
    above = Greater (s, zero)
    [choice] r = If (above) <
        then_branch = t () => (float[3] a) { h = Exp (x) [taken] a = Sqrt (h) },
        else_branch = e () => (float[3] b) { [other] b = Neg (x) }>
    y = Tanh (r)
}"""


def test_a_branch_is_followed_into():
    wrong = BRANCHES.replace("[taken] a = Sqrt", "[taken] a = Log")
    inputs = {"x": np.array([0.3, 1.0, 0.7], np.float32)}
    found = bridge.bisect(hub_from_text(BRANCHES), hub_from_text(wrong), inputs)
    assert found.operators[0] == "Sqrt taken"
    inputs = {"x": np.array([-0.3, -1.0, -0.7], np.float32)}
    assert bridge.bisect(hub_from_text(BRANCHES), hub_from_text(wrong), inputs).ok


def test_other_names_and_layouts_of_inputs_are_matched():
    text = NET.replace("float[2,3,4,4] x", "float[2,4,4,3] picture").replace(
        "c = Conv <pads = [1,1,1,1]> (x,",
        "i = Transpose <perm = [0,3,1,2]> (picture) c = Conv <pads = [1,1,1,1]> (i,",
    )
    text = text.replace("y = MatMul (a, last)", "scores = MatMul (a, last)").replace(
        "[2,5] y", "[2,5] scores"
    )
    assert bridge.bisect(net(), net(text)).ok
    found = bridge.bisect(net(), net(text.replace("alpha = 0.1", "alpha = 0.3")))
    assert found.operators == (named("relu"),)


def test_half_precision_that_overflows_is_named(tmp_path):
    weights = {
        "grow": np.full((4, 4), 300, np.float32),
        "more": np.full((4, 4), 250, np.float32),
        "shrink": np.full((4, 4), 1e-4, np.float32),
    }
    text = """(float[2,4] x) => (float[2,4] y) {
        [first] a = MatMul (x, grow) [second] b = MatMul (a, more) [third] c = MatMul (b, shrink) y = Relu (c)
    }"""
    path = tmp_path / "m.mlpackage"
    bridge.convert(model_from_text(text, **weights), path, precision="float16")
    inputs = {"x": np.array([[0.1, 0.2, 0.1, 0.05], [0.01, 0.02, 0.03, 0.01]], np.float32)}
    found = bridge.bisect(model_from_text(text, **weights), path, inputs)
    assert found.kind == "operator"
    assert found.operators[0] == "MatMul second"
    assert "MatMul second gives 1.35e+05, more than float16 holds" in found.note


def test_the_worst_layer_of_a_quantized_file_is_named(tmp_path):
    rng = np.random.default_rng(0)
    weights = {f"w{i}": rng.normal(0, 0.3, (16, 16)).astype(np.float32) for i in range(4)}
    text = """(float[8,16] x) => (float[8,16] y) {
        [first] a = MatMul (x, w0) r = Relu (a) [second] b = MatMul (r, w1) s = Tanh (b)
        [third] c = MatMul (s, w2) t = Tanh (c) [fourth] y = MatMul (t, w3)
    }"""
    source = model_from_text(text, **weights)
    coarse = dict(weights, w2=weights["w2"].round(0) * 0.4 + 0.1 * np.sign(weights["w2"]))
    path = tmp_path / "m.tflite"
    bridge.convert(
        model_from_text(text, **{n: w.astype(np.float32) for n, w in coarse.items()}),
        path,
        quantize="int8",
        calibration="random",
    )
    found = bridge.bisect(source, path)
    assert found.kind == "quantization"
    assert found.operators[0] == "MatMul third"
    assert "dB" in str(found)


def test_another_dtype_is_told_as_one_of_the_interface():
    text = "(float[4] x) => (float[4] y) { y = Relu (x) }"
    double = "(float[4] x) => (double[4] y) { r = Relu (x) y = Cast <to = 11> (r) }"
    found = bridge.bisect(hub_from_text(text), hub_from_text(double))
    assert found.kind == "interface"
    assert not found.ok


def test_models_without_a_common_input_are_refused():
    first = hub_from_text("(float[4] x) => (float[4] y) { y = Relu (x) }")
    second = hub_from_text("(float[2,3] a) => (float[2,3] b) { b = Relu (a) }")
    with pytest.raises(InvalidInput, match=r"no common inputs: x: float\[4\] and a: float\[2,3\]"):
        bridge.bisect(first, second)


def test_models_without_a_common_output_are_refused():
    first = hub_from_text("(float[4] x) => (float[4] y) { y = Relu (x) }")
    second = hub_from_text("(float[4] x) => (int64[4] z) { z = Cast <to = 7> (x) }")
    with pytest.raises(InvalidInput, match="no common outputs: y and z"):
        bridge.bisect(first, second)


def test_the_command_says_where_and_exits_with_3(tmp_path):
    source, path = tmp_path / "m.onnx", tmp_path / "m.tflite"
    onnx.save(net(), source)
    bridge.convert(net(NET.replace(*FAULTS["bend"])), path)
    result = CliRunner().invoke(main, ["bisect", str(source), str(path)])
    assert result.exit_code == 3
    assert "The candidate parts from the reference at Tanh bend." in result.output
    result = CliRunner().invoke(main, ["bisect", str(source), str(source), "--json"])
    assert result.exit_code == 0
    assert '"kind": "same"' in result.output


@pytest.mark.parametrize(
    ("to", "wrong", "right"), [("tflite", "LOGISTIC", "TANH"), ("torchscript", "aten::sigmoid", "aten::tanh")]
)
def test_a_runtime_that_answers_otherwise_than_is_read_is_followed(to, wrong, right, tmp_path, monkeypatch):
    path = tmp_path / f"m{SUFFIXES[to]}"
    read, write = (by_name(to).resolve(part).table for part in ("importer", "exporter"))
    monkeypatch.setitem(write._rules, "Tanh", [replace(write._rules["Sigmoid"][0], op="Tanh")])
    monkeypatch.setitem(read._rules, wrong, [replace(rule, op=wrong) for rule in read._rules[right]])
    bridge.save(bridge.load(net()), path, to=to)
    found = bridge.bisect(net(), path, candidate_source=to)
    assert found.kind == "runtime"
    assert wrong in found.operators[0]
    assert found.conversions <= np.log2(11) + 3
    assert "answers otherwise than the candidate is read" in str(found)


def test_onnx_runtime_and_litert_show_values_within(tmp_path):
    paths = [tmp_path / "m.onnx", tmp_path / "m.tflite"]
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32)
    for path in paths:
        bridge.convert(net(), path)
        session = open_session(reader(path))
        shown = session.within({"x": x})
        sizes = {np.asarray(array).size for array in shown.values()}
        assert {2 * 4 * 4 * 4, 2 * 8} <= sizes
        assert session.run({"x": x})["y"].shape == (2, 5)


def test_a_wrong_order_of_axes_is_no_layout():
    text = """(float[2,3,3] x) => (float[2,3] y) {
        [turn] t = Transpose <perm = [PERM]> (x) h = Tanh (t) s = Sin (h) y = ReduceMax <keepdims = 0> (s, one)
    }"""
    first, second = (
        hub_from_text(text.replace("PERM", perm), one=np.array([1])) for perm in ("0,2,1", "0,1,2")
    )
    assert bridge.bisect(first, second).operators[0] == "Transpose turn"


def test_what_is_no_number_is_not_followed():
    text = "(string[2] x) => (string[2] y) { y = StringConcat (x, end) }"
    first, second = (hub_from_text(text, end=np.array([word, word], object)) for word in ("!", "?"))
    found = bridge.bisect(first, second, {"x": np.array(["a", "b"], object)})
    assert found.kind == "text"
    assert "what is no number is not followed" in str(found)


def test_an_operator_of_another_shape_is_named():
    text = (
        "(float[1,2,6,6] x) => (float[a,b,c,d] y) { r = Relu (x) [pool] p = MaxPool <KIND> (r) y = Tanh (p) }"
    )
    kinds = ("kernel_shape = [2,2], strides = [2,2]", "kernel_shape = [3,3], strides = [1,1]")
    first, second = (hub_from_text(text.replace("KIND", kind)) for kind in kinds)
    found = bridge.bisect(first, second)
    assert found.kind == "operator"
    assert found.operators[0] == "MaxPool pool"
