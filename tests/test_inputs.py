"""Inputs a graph can take: lengths that go together, values from what reads them, the user's own data."""

from __future__ import annotations

import numpy as np
import pytest
from build import hub_from_text, model_from_text, model_of_nodes
from onnx import helper as h

import bridge
from bridge.errors import InvalidInput, InvalidOption
from bridge.inputs import random_inputs
from bridge.inputs.data import read_inputs
from bridge.inputs.lengths import Lengths
from bridge.inputs.linear import number, parsed, variable
from bridge.inputs.values import inputs_at
from bridge.trials import Sampling, trials


@pytest.mark.parametrize(
    ("text", "lengths", "value"),
    [
        ("past_sequence_length + sequence_length", {"past_sequence_length": 3, "sequence_length": 4}, 7),
        ("2*n - 1", {"n": 4}, 7),
        ("n*(2 + 1)", {"n": 4}, 12),
        ("batch size", {"batch size": 5}, 5),
        ("n // 2", {"n // 2": 6}, 6),
        ("a*b", {"a*b": 6}, 6),
    ],
)
def test_a_dimension_is_a_sum_or_a_name_of_its_own(text, lengths, value):
    assert parsed(text).at(lengths) == value


def test_sums_are_told_apart_from_what_they_are_not():
    assert variable("n") + number(0) == variable("n")
    assert (variable("n") - variable("n")).whole == 0
    assert variable("n").times(2).at({}) is None


EQUATIONS = {
    "a concatenation and a broadcast": (
        "(float[batch,seq] x, float[batch,past] c, float[batch,total] mask) => (float[b,t] y) "
        "{ p = Concat <axis = 1> (c, x) y = Mul (p, mask) }",
        lambda s: s["total"] == s["past"] + s["seq"],
    ),
    "the sides of a product": (
        "(float[n,k] x, float[j,3] w) => (float[n,3] y) { y = MatMul (x, w) }",
        lambda s: s["j"] == s["k"],
    ),
    "an order of letters": (
        '(float[b,i] x, float[j,o] w) => (float[b,o] y) { y = Einsum <equation = "bi,io->bo"> (x, w) }',
        lambda s: s["j"] == s["i"],
    ),
    "a shape computed from another": (
        "(float[b,n,6] x, float[c,m,2,3] r) => (float[b,n,2,3] y) <int64[1] z = {0}, int64[1] o = {1}, "
        "int64[2] t = {2, 3}> { s = Shape (x) b1 = Slice (s, z, o) e = Constant <value_ints = [2]> () "
        "n1 = Slice (s, o, e) to = Concat <axis = 0> (b1, n1, t) f = Reshape (x, to) y = Add (f, r) }",
        lambda s: s["c"] == s["b"] and s["m"] == s["n"],
    ),
    "groups of a length": (
        "(float[b,n] x) => (float[b,m,4] y) <int64[3] to = {0, -1, 4}> { y = Reshape (x, to) }",
        lambda s: s["n"] % 4 == 0,
    ),
    "a split into halves": (
        "(float[b,n] x) => (float[b,m] y, float[b,m] z) { y, z = Split <axis = 1, num_outputs = 2> (x) }",
        lambda s: s["n"] % 2 == 0,
    ),
    "the channels of weights": (
        "(float[b,c,8,8] x) => (float[b,4,8,8] y) <float[4,3,1,1] w = "
        "{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}> { y = Conv (x, w) }",
        lambda s: s["c"] == 3,
    ),
    "the scale of a normalization": (
        "(float[b,n] x) => (float[b,n] y) <float[7] w = {1, 2, 3, 4, 5, 6, 7}> "
        "{ y = LayerNormalization <axis = -1> (x, w) }",
        lambda s: s["n"] == 7,
    ),
    "the batch and the state of a recurrence": (
        "(float[t,n,2] x, float[1,m,1] h) => (float[t,1,n,1] y) <float[1,1,2] w = {1, 2}, float[1,1,1] r = {1}> "
        "{ y = RNN <hidden_size = 1> (x, w, r, , , h) }",
        lambda s: s["m"] == s["n"],
    ),
    "both branches": (
        "(float[n,2] x, float[m,2] z, bool c) => (float[k,2] y) { y = If (c) <then_branch = a () => (float[k,2] p) "
        "{ p = Add (x, z) }, else_branch = b () => (float[k,2] q) { q = Mul (x, z) }> }",
        lambda s: s["n"] == s["m"],
    ),
}


@pytest.mark.parametrize("name", EQUATIONS)
def test_lengths_satisfy_the_equations_of_the_graph_at_both_settings(name):
    text, holds = EQUATIONS[name]
    model = hub_from_text(text)
    lengths = Lengths(model)
    first, second = next(lengths.pairs())
    assert holds(first)
    assert holds(second)
    assert all(first[n] != second[n] for n in lengths.free)
    for setting in (first, second):
        assert bridge.run(model, inputs_at(lengths, setting, 0)).refusal == ""


FOUND = {
    "windows that together are a multiple of eight": (
        "(float[1,1,h,w] x) => (float[m,8] y) <float[1,1,2,2] k = {1, 2, 3, 4}, int64[2] to = {-1, 8}> "
        "{ c = Conv <strides = [3, 2]> (x, k) y = Reshape <allowzero = 1> (c, to) }"
    ),
    "windows padded by SAME that are six together": (
        "(float[1,1,h,w] x, float[6,2] m) => (float[1,2] y) <float[1,1,2,2] k = {1, 2, 3, 4}> "
        '{ c = Conv <strides = [4, 3], auto_pad = "SAME_UPPER"> (x, k) f = Flatten (c) y = MatMul (f, m) }'
    ),
    "half a length that is two": (
        "(float[t,n] x) => (float[2,2] y) <int64[1] z = {0}, int64[1] o = {1}, int64[1] two = {2}, "
        "int64[2] to = {2, 2}> { s = Shape (x) t1 = Slice (s, z, o) half = Div (t1, two) "
        "h = Slice (x, z, half, z) e = Transpose <perm = [1, 0]> (h) p = MatMul (h, e) y = Reshape (p, to) }"
    ),
    "a row far enough from the first": (
        "(float[t,n] x, float[n,t] k) => (float[1] y) <int64[1,2] at = {2, 0}> { y = GatherND (x, at) }"
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_lengths_are_searched_where_no_equation_tells_them(name):
    model = hub_from_text(FOUND[name])
    found = trials(lambda inputs: bridge.run(model, inputs), Lengths(model), Sampling())
    assert len({str(trial.setting) for trial in found}) == 2


def test_lengths_differ_from_one_another_and_from_one():
    model = hub_from_text("(float[a,b,c,d] x) => (float[a,b,c,d] y) { y = Relu (x) }")
    for setting in next(Lengths(model).pairs()):
        assert len(set(setting.values())) == 4
        assert 1 not in setting.values()


def test_a_length_that_is_given_stays_and_others_follow_from_it():
    model = hub_from_text(EQUATIONS["a concatenation and a broadcast"][0])
    for setting in next(Lengths(model, {"total": 9, "batch": 1}).pairs()):
        assert setting["past"] + setting["seq"] == 9
        assert setting["batch"] == 1


def test_lengths_stay_within_limits_and_listed_shapes():
    model = hub_from_text("(float[1,3,h,w] x) => (float[1,3,h,w] y) { y = Relu (x) }")
    for pair in Lengths(model, limits={"h": (20, 40), "w": (20, 40)}).pairs():
        assert all(20 <= n <= 40 for s in pair for n in (s["h"], s["w"]))
    only = Lengths(model, shapes={"x": [[1, 3, 8, 9], [1, 3, 10, 11]]})
    assert next(only.pairs()) == [{"h": 8, "w": 9}, {"h": 10, "w": 11}]


def test_a_length_that_a_resize_would_leave_is_not_chosen():
    model = hub_from_text(
        "(float[1,1,h,1] x) => (float[1,1,k,1] y) <float[4] s = {1, 1, 1.2, 1}> "
        '{ y = Resize <mode = "nearest"> (x, , s) }'
    )
    assert all(int(s["h"] * 1.2) > s["h"] for s in next(Lengths(model).pairs()))


def node_model(node, inputs, **constants):
    outputs = {"y": None}
    return bridge.load(model_of_nodes(node, inputs, outputs, constants))


F, N = np.float32, np.int64
VALUES = {
    "rows of a table": (
        node_model(h.make_node("Gather", ["t", "x"], ["y"]), {"x": (N, [50])}, t=np.ones((7, 2), F)),
        lambda x: set(x) <= set(range(7)) and len(set(x)) > 2,
    ),
    "classes": (
        node_model(
            h.make_node("OneHot", ["x", "d", "v"], ["y"]),
            {"x": (N, [40])},
            d=np.array(9),
            v=np.array([0, 1], F),
        ),
        lambda x: set(x) <= set(range(9)) and len(set(x)) > 2,
    ),
    "places that are written to": (
        node_model(
            h.make_node("ScatterND", ["d", "x", "u"], ["y"]),
            {"x": (N, [6, 2]), "u": (F, [6])},
            d=np.zeros((3, 4), F),
        ),
        lambda x: len({tuple(p) for p in x}) == 6 and (x < [3, 4]).all() and (x >= 0).all(),
    ),
    "places along an axis": (
        node_model(
            h.make_node("ScatterElements", ["d", "x", "u"], ["y"], axis=1),
            {"x": (N, [2, 5]), "u": (F, [2, 5])},
            d=np.zeros((2, 6), F),
        ),
        lambda x: all(len(set(row)) == 5 for row in x) and x.max() < 6,
    ),
    "lengths of sequences": (
        node_model(
            h.make_node("ReverseSequence", ["d", "x"], ["y"], time_axis=0, batch_axis=1),
            {"d": (F, [6, 20]), "x": (N, [20])},
        ),
        lambda x: x.min() >= 1 and x.max() <= 6 and len(set(x)) > 2,
    ),
    "probabilities": (
        node_model(h.make_node("Log", ["x"], ["y"]), {"x": (F, [90])}),
        lambda x: (x > 0).all() and (x < 1).all(),
    ),
    "divisors": (
        node_model(h.make_node("Div", ["a", "x"], ["y"]), {"a": (N, [90]), "x": (N, [90])}),
        lambda x: (x > 0).all(),
    ),
    "a table of all bytes": (
        node_model(h.make_node("Equal", ["x", "k"], ["y"]), {"x": (N, [300, 1])}, k=np.arange(257)[None]),
        lambda x: x.max() > 200 and x.max() <= 256,
    ),
    "a choice among constants": (
        node_model(h.make_node("Equal", ["x", "k"], ["y"]), {"x": (N, [])}, k=np.array(16000)),
        lambda x: x == 16000,
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_are_those_that_what_reads_them_takes(name):
    model, holds = VALUES[name]
    for seed in (0, 1):
        assert holds(random_inputs(model, seed)["x"])


@pytest.mark.parametrize("form", ["keys_strings", "keys_tensor"])
def test_texts_are_those_that_a_map_knows(form):
    keys = {"keys_strings": "keys_strings = ['', 'red', 'blue'], values_int64s = [0, 1, 2]"}.get(
        form, "keys_tensor = string[3] {'', 'red', 'blue'}, values_tensor = int64[3] {0, 1, 2}"
    ).replace("'", '"')
    text = f"(string[40] x) => (int64[40] y) {{ y = ai.onnx.ml.LabelEncoder <{keys}> (x) }}"
    model = bridge.load(model_from_text(text, ml=4 if form == "keys_tensor" else 2))
    assert set(random_inputs(model)["x"]) == {"red", "blue"}


def test_values_are_found_through_what_moves_and_casts_them():
    model = hub_from_text(
        "(int32[2,6] x) => (float[12,3] y) <int64[1] to = {-1}> "
        "{ c = Cast <to = 7> (x) f = Reshape (c, to) y = Gather (t, f) }",
        t=np.ones((30, 3), F),
    )
    found = random_inputs(model)["x"]
    assert found.max() > 5
    assert found.max() < 30


def test_no_row_of_a_mask_is_empty():
    model = hub_from_text(
        "(int64[40,2] attention_mask) => (bool[40,2] y) { y = Cast <to = 9> (attention_mask) }"
    )
    assert random_inputs(model)["attention_mask"][:, 0].all()


def test_the_users_range_wins():
    model = VALUES["probabilities"][0]
    found = random_inputs(model, ranges={"x": (5, 6)})["x"]
    assert found.min() >= 5
    assert found.max() <= 6
    with pytest.raises(InvalidOption, match="no input is called 'z'"):
        random_inputs(model, ranges={"z": (0, 1)})


IMAGE = "(float[1,3,4,5] x) => (float[1,3,4,5] y) { y = Relu (x) }"


def test_pictures_are_read_in_the_layout_and_size_of_the_input(tmp_path):
    image = pytest.importorskip("PIL.Image")
    pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    image.fromarray(pixels).save(tmp_path / "a.png")
    inputs = hub_from_text(IMAGE).graph.inputs
    (found,) = read_inputs([str(tmp_path / "a.png")], inputs)
    np.testing.assert_array_equal(found["x"], pixels.transpose(2, 0, 1)[None].astype(F))
    last = hub_from_text("(uint8[4,5,3] x) => (uint8[4,5,3] y) { y = Identity (x) }").graph.inputs
    np.testing.assert_array_equal(read_inputs([f"x={tmp_path / 'a.png'}"], last)[0]["x"], pixels)


def test_a_folder_is_run_file_by_file(tmp_path):
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", np.full((3, 4, 5), ord(name), F))
    found = read_inputs([str(tmp_path)], hub_from_text(IMAGE).graph.inputs)
    assert [row["x"].shape for row in found] == [(1, 3, 4, 5)] * 2
    assert [row["x"].flat[0] for row in found] == [97, 98]


@pytest.mark.parametrize(
    ("files", "words"),
    [(["z=a.npy"], "No input is called z"), (["a.npy"], "is no .npy"), (["."], "holds no")],
)
def test_what_is_no_data_is_told(files, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if files != ["."]:
        (tmp_path / "a.npy").write_text("no")
    with pytest.raises(InvalidInput, match=words):
        read_inputs(files, hub_from_text(IMAGE).graph.inputs)


def test_batches_grow_where_a_far_row_is_read():
    """Only a batch is symbolic, and its fourth row is read."""
    text = "(float[n,3] x) => (float[2,3] y) <int64[2,1] i = {-4, 3}> { y = GatherND (x, i) }"
    model = hub_from_text(text)
    assert bridge.verify(model, model).settings == ({"n": 4}, {"n": 5})
