"""Lengths, indices, biases and iteration counts that are known at run time alone, as Core ML."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from build import hub_from_text, model_of_nodes, save_as
from onnx import helper

import bridge
from bridge.errors import TooLarge

RNG = np.random.default_rng(7)
TARGETS = ("iOS15", "iOS18")


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def assert_as_source(model: Any, feeds: list[dict[str, np.ndarray]], folder: Path, **options: Any) -> None:
    """The package answers what ONNX Runtime does of the source."""
    source = bridge.load(model)
    path = save_as("coreml", model, folder, **options)
    for feed in feeds:
        expected, outputs = bridge.run(source, feed), bridge.run(path, feed)
        for name, value in expected.items():
            assert outputs[name].shape == value.shape
            np.testing.assert_allclose(outputs[name], value, 1e-4, 1e-5)


PAIRS = np.array([[0, 1], [-1, 2], [2, -1]])
ROWS = np.array([[0, -1], [2, 1]])
X = floats(3, 4)
INDEXED: dict[str, tuple[str, dict[str, np.ndarray]]] = {
    "GatherND": (
        "(float[A,B] x, int64[N,2] k) => (float[N] y) { y = GatherND (x, k) }", {"x": X, "k": PAIRS},
    ),
    "GatherND of truths": (
        "(bool[A,B] x, int64[N,2] k) => (bool[N] y) { y = GatherND (x, k) }", {"x": X > 0, "k": PAIRS},
    ),
    "GatherND in batches": (
        "(float[A,B] x, int64[A,N,1] k) => (float[A,N] y) { y = GatherND <batch_dims = 1> (x, k) }",
        {"x": X, "k": np.array([[[0], [-1]], [[1], [2]], [[3], [-4]]])},
    ),
    "GatherND of constants": (
        "(float[A,B] x) => (float[3] y) <int64[3,2] k = {0, 1, -1, 2, 2, -1}> { y = GatherND (x, k) }", {"x": X},
    ),
    "ScatterND": (
        "(float[A,B] x, int64[N,2] k, float[N] u) => (float[A,B] y) { y = ScatterND (x, k, u) }",
        {"x": X, "k": PAIRS, "u": floats(3)},
    ),
    "ScatterND added": (
        '(float[A,B] x, int64[N,1] k, float[N,B] u) => (float[A,B] y) { y = ScatterND <reduction = "add"> (x, k, u) }',
        {"x": X, "k": PAIRS[:2, :1], "u": X[:2]},
    ),
    "ScatterElements of fewer": (
        "(float[A,B] x, int64[N,M] k, float[N,M] u) => (float[A,B] y) { y = ScatterElements <axis = 1> (x, k, u) }",
        {"x": X, "k": ROWS, "u": floats(2, 2)},
    ),
    "GatherElements of fewer": (
        "(float[A,B] x, int64[N,M] k) => (float[N,M] y) { y = GatherElements <axis = 1> (x, k) }",
        {"x": X, "k": ROWS},
    ),
    "TopK of fewer": (
        "(float[A,B] x, int64[1] k) => (float[C,B] y, int64[C,B] i) { y, i = TopK <axis = 0> (x, k) }",
        {"x": X, "k": np.array([2])},
    ),
    "TopK, smallest": (
        "(int32[A,B] x, int64[1] k) => (int32[A,C] y, int64[A,C] i) { y, i = TopK <largest = 0> (x, k) }",
        {"x": (10 * X).astype(np.int32), "k": np.array([3])},
    ),
    "Einsum of patches": (
        """(float[N,L,W] x) => (float[N,C,H,P] y)
        <int64[6] s = {-1, 3, 2, 2, 4, 5}, int64[4] o = {-1, 5, 6, 8}> {
        v = Reshape (x, s) t = Einsum <equation = "nhwpqc->nchpwq"> (v) a = Shape <end = 3> (t) b = Shape <start = 3> (t)
        p = ReduceProd <keepdims = 0> (b) c = Shape <start = 1, end = 2> (t) q = Shape <end = 1> (t)
        n = Constant <value_ints = [6, -1]> () r = Concat <axis = 0> (q, c, n) y = Reshape (t, r) }""",
        {"x": floats(2, 6, 40)},
    ),
    "RotaryEmbedding": (
        "(float[N,4,L,8] x, float[N,L,4] c, float[N,L,4] s) => (float[N,4,L,8] y) { y = RotaryEmbedding (x, c, s) }",
        {"x": floats(2, 4, 3, 8), "c": floats(2, 3, 4), "s": floats(2, 3, 4)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", INDEXED)
def test_lengths_vary(name: str, target: str, tmp_path: Path) -> None:
    graph, feed = INDEXED[name]
    assert_as_source(hub_from_text(graph, opset=23), [feed], tmp_path, minimum_deployment_target=target)


SHAPED = {
    "Flatten": "(float[A,B,C] x) => (float[D,E] y) { y = Flatten <axis = 2> (x) }",
    "Reshape": "(float[A,B,C] x) => (float[D,E] y) <int64[2] s = {0, -1}> { y = Reshape (x, s) }",
    "Squeeze": "(float[A,B,C] x) => (float[D,E,F] y) <int64[1] s = {0}> { u = Unsqueeze (x, s)  y = Squeeze (u) }",
    "BatchNormalization": """(float[A,B,C] x) => (float[A,B,C] y) <float[3] s = {1, 2, 3}, float[3] o = {0, 1, 0}> {
        y = BatchNormalization (x, s, o, o, s) }""",
    "InstanceNormalization": """(float[A,B,C] x) => (float[A,B,C] y)
        <float[3] s = {1, 2, 3}, float[3] o = {0, 1, 0}> { y = InstanceNormalization (x, s, o) }""",
}


@pytest.mark.parametrize("name", SHAPED)
def test_no_length_is_known(name: str, tmp_path: Path) -> None:
    feeds = [{"x": floats(*shape)} for shape in ((2, 3, 5), (4, 3, 2))]
    assert_as_source(hub_from_text(SHAPED[name]), feeds, tmp_path)


MASKS = {"float[B,1,L,S]": floats(2, 1, 3, 5), "float[L,S]": floats(3, 5), "bool[L,S]": np.tri(3, 5, 2, bool)}


@pytest.mark.parametrize("heads", [4, 2])
@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("mask", MASKS)
def test_attention_is_masked_at_any_length(mask: str, causal: int, heads: int, tmp_path: Path) -> None:
    graph = f"""(float[B,4,L,8] q, float[B,{heads},S,8] k, float[B,{heads},S,8] v, {mask} m) => (float[B,4,L,8] y) {{
        y = Attention <is_causal = {causal}> (q, k, v, m)
    }}"""
    feed = {
        "q": floats(2, 4, 3, 8),
        "k": floats(2, heads, 5, 8),
        "v": floats(2, heads, 5, 8),
        "m": MASKS[mask],
    }
    assert_as_source(hub_from_text(graph, opset=23), [feed], tmp_path)


PADDED = {
    "amounts and value": "(float[A,B] x, int64[4] p, float v) => (float[C,D] y) { y = Pad (x, p, v) }",
    "value": "(float[A,B] x, float v) => (float[C,D] y) <int64[4] p = {1, 0, 0, 2}> { y = Pad (x, p, v) }",
}


@pytest.mark.parametrize("value", [0.1, 1e9, -np.inf])
@pytest.mark.parametrize("name", PADDED)
def test_a_value_to_pad_with_is_known_at_run_time_alone(name: str, value: float, tmp_path: Path) -> None:
    feed = {"x": X, "v": np.array(value, np.float32)}
    amounts = [[1, 0, 0, 2], [0, -1, 1, 0]] if name == "amounts and value" else [None]
    feeds = [feed if p is None else {**feed, "p": np.array(p)} for p in amounts]
    assert_as_source(hub_from_text(PADDED[name]), feeds, tmp_path)


@pytest.mark.parametrize(
    ("dtype", "array"), [("bool", X > 0), ("int64", np.array([[2**30 + 1, -5], [7, -(2**31)]]))]
)
def test_whole_numbers_of_any_length_are_padded(dtype: str, array: np.ndarray, tmp_path: Path) -> None:
    graph = f"({dtype}[A,B] x) => ({dtype}[C,D] y) <int64[4] p = {{1, 0, 0, 2}}, {dtype} v = {{1}}> {{ y = Pad (x, p, v) }}"
    assert_as_source(hub_from_text(graph), [{"x": array}], tmp_path)


GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
LAYERS = [("LSTM", {}), ("RNN", {}), ("GRU", {}), ("GRU", {"linear_before_reset": 1})]


def recurrent(kind: str, direction: str, batch: str | int, **attributes: Any) -> Any:
    """A recurrent layer of 3 inputs and 4 states over any time."""
    count, gates = 2 if direction == "bidirectional" else 1, GATES[kind]
    constants = {
        "w": floats(count, 4 * gates, 3),
        "r": floats(count, 4 * gates, 4),
        "b": floats(count, 8 * gates),
    }
    node = helper.make_node(
        kind, ["x", "w", "r", "b"], ["y", "h"], hidden_size=4, direction=direction, **attributes
    )
    outputs = {"y": (np.float32, ["T", count, batch, 4]), "h": (np.float32, [count, batch, 4])}
    return model_of_nodes(node, {"x": (np.float32, ["T", batch, 3])}, outputs, constants)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("layer", "direction"), list(product(LAYERS, ["forward", "reverse", "bidirectional"]))
)
def test_recurrent_layers_take_any_time_and_batch(
    layer: Any, direction: str, target: str, tmp_path: Path
) -> None:
    model = recurrent(layer[0], direction, "N", **layer[1])
    feeds = [{"x": floats(*shape)} for shape in ((5, 1, 3), (3, 4, 3))]
    assert_as_source(model, feeds, tmp_path, minimum_deployment_target=target)


LOOPS = {
    "while": """(float[N] x, int64 count) => (float[N] y)
        <int64 trip = {9223372036854775807}, int64 limit = {5}, int64 one = {1}> {
        first = Less (count, limit)
        y, end = Loop (trip, first, x, count) <body = b (int64 i, bool c, float[N] a, int64 n) =>
            (bool go, float[N] t, int64 m) { t = Sigmoid (a)  m = Add (n, one)  go = Less (m, limit) }>
    }""",
    "collects": """(float[N] x, int64 count) => (float[T,N] y) <bool true = {1}> {
        end, y = Loop (count, true, x) <body = b (int64 i, bool c, float[N] a) =>
            (bool go, float[N] t, float[N] u) { t = Sigmoid (a)  u = Neg (t)  go = Identity (c) }>
    }""",
    "collects until": """(float[N] x, int64 count) => (float[T,N] y)
        <int64 trip = {9223372036854775807}, bool true = {1}> {
        end, y = Loop (trip, true, x) <body = b (int64 i, bool c, float[N] a) =>
            (bool go, float[N] t, float[N] u) { t = Sigmoid (a)  u = Neg (t)  go = Less (i, count) }>
    }""",
    "grows": """(float[N] x, int64 count) => (float[M] y) <bool true = {1}> {
        y = Loop (count, true, x) <body = b (int64 i, bool c, float[K] a) =>
            (bool go, float[L] t) { t = Concat <axis = 0> (a, x)  go = Identity (c) }>
    }""",
}

BRANCHES = {
    "nothing or something": """(float[N] x, bool c) => (int64[M] y) { y = If (c) <
        then_branch = t () => (int64[0] none) { none = Constant <value = int64[0] {}> () },
        else_branch = e () => (int64[K] some) { p = NonZero (x) s = Constant <value_ints = [-1]> () some = Reshape (p, s) }> }""",
    "one or more": """(float[N] x, bool c) => (float[M] z) { y = If (c) <
        then_branch = t () => (float[1] one) { one = Constant <value_floats = [7.0]> () },
        else_branch = e () => (float[N] some) { some = Neg (x) }> z = Relu (y) }""",
    "of two lengths": """(float[N] x, bool c) => (float[M,2] y) { y = If (c) <
        then_branch = t () => (float[3,2] some) { some = Constant <value = float[3,2] {1,2,3,4,5,6}> () },
        else_branch = e () => (float[N,2] some) {
            s = Constant <value_ints = [-1, 1]> () v = Reshape (x, s) some = Concat <axis = 1> (v, v) }> }""",
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", BRANCHES)
def test_branches_give_what_they_give(name: str, target: str, tmp_path: Path) -> None:
    feeds = [{"x": floats(n), "c": np.array(c)} for n in (4, 6) for c in (True, False)]
    assert_as_source(hub_from_text(BRANCHES[name]), feeds, tmp_path, minimum_deployment_target=target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", LOOPS)
def test_loops_are_as_long_as_they_are(name: str, target: str, tmp_path: Path) -> None:
    feeds = [{"x": floats(n), "count": np.array(c)} for n, c in ((3, 2), (2, 4))]
    assert_as_source(hub_from_text(LOOPS[name]), feeds, tmp_path, minimum_deployment_target=target)


@pytest.mark.parametrize("target", ["iOS15", "iOS16", "iOS18"])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
def test_weights_and_biases_of_convolutions_are_dequantized(
    kind: str, dilation: int, target: str, tmp_path: Path
) -> None:
    graph = f"""(float[1,3,8,8] x) => (float[1,C,H,W] y) <float s = {{0.01}}> {{
        wf = DequantizeLinear (w, s)  bf = DequantizeLinear (b, s)
        y = {kind} <pads = [1,1,1,1], dilations = [{dilation},{dilation}]> (x, wf, bf)
    }}"""
    constants = {"w": RNG.integers(-99, 99, (3, 3, 3, 3)).astype(np.int8), "b": np.int32([500, -900, 7])}
    model = hub_from_text(graph, **constants)
    assert_as_source(model, [{"x": floats(1, 3, 8, 8)}], tmp_path, minimum_deployment_target=target)


def test_a_bias_is_known_at_run_time_alone(tmp_path: Path) -> None:
    graph = "(float[N,3,H,W] x, float[3] b) => (float[N,3,J,K] y) { y = Conv (x, w, b) }"
    model = hub_from_text(graph, w=floats(3, 3, 3, 3))
    assert_as_source(model, [{"x": floats(2, 3, 6, 7), "b": floats(3)}], tmp_path)


DRAWN = {
    "RandomUniform": "y = RandomUniform <shape = [2, 3], low = 1.0, high = 2.0> ()",
    "RandomNormal": "y = RandomNormal <shape = [2, 3], mean = 9.0> ()",
    "RandomUniformLike": "y = RandomUniformLike <low = 1.0, high = 2.0> (x)",
    "RandomNormalLike": "y = RandomNormalLike <mean = 9.0> (x)",
    "Bernoulli": "p = Abs (x)  y = Bernoulli (p)",
    "Multinomial": "i = Multinomial <sample_size = 3> (x)  y = Cast <to = 1> (i)",
}
RANGES = {"RandomUniform": (1, 2), "RandomNormal": (2, 16), "Bernoulli": (0, 1), "Multinomial": (0, 2)}


@pytest.mark.parametrize("name", DRAWN)
def test_random_numbers_are_drawn_at_any_length(name: str, tmp_path: Path) -> None:
    model = hub_from_text(f"(float[A,B] x) => (float[C,D] y) {{ {DRAWN[name]} }}")
    drawn = bridge.run(save_as("coreml", model, tmp_path), {"x": np.full((2, 3), 0.5, np.float32)})["y"]
    low, high = RANGES[name.removesuffix("Like")]
    assert drawn.shape == (2, 3)
    assert low <= drawn.min() <= drawn.max() <= high


def test_an_axis_that_joining_tells_to_be_one_is_squeezed(tmp_path: Path) -> None:
    text = (
        "(float[n,2,h,w] x, float[n,3,1,w] y) => (float[n,v,c] z) "
        "{ j = Concat <axis = 1> (x, y) s = Squeeze (j, a) z = Transpose <perm = [0, 2, 1]> (s) }"
    )
    feeds = [{"x": floats(n, 2, 1, w), "y": floats(n, 3, 1, w)} for n, w in ((1, 4), (2, 3))]
    assert_as_source(hub_from_text(text, a=np.array([2])), feeds, tmp_path)


@pytest.mark.parametrize(
    "graph",
    [
        "y = Slice (t, m9, m1, zero, m1)",
        "s = Shape (x)  l = Squeeze (s)  y = Range (two, l, one)",
        "s = Shape (x)  l = Squeeze (s)  y = Range (l, two, one)",
        "s = Shape (x)  l = Squeeze (s)  y = Range (l, two, back)",
        "s = Shape (x)  l = Squeeze (s)  d = Sub (l, two)  y = Range (two, l, d)",
    ],
)
def test_a_range_whose_limit_lies_behind_its_start_is_empty(graph: str, tmp_path: Path) -> None:
    numbers = {name: np.array([n]) for name, n in (("k", 2), ("m9", -9), ("m1", -1), ("zero", 0))}
    numbers |= {name: np.array(n) for name, n in (("one", 1), ("two", 2), ("back", -1))}
    kind = "float" if "Slice" in graph else "int64"
    text = f"(float[n] x) => (float[k] t, {kind}[m] y) {{ t, i = TopK <axis = 0> (x, k)  {graph} }}"
    assert_as_source(hub_from_text(text, **numbers), [{"x": floats(n)} for n in (3, 4)], tmp_path)


def test_a_length_that_core_ml_does_not_count_is_too_large(tmp_path):
    text = f"(float[1,12,{2**31 - 1},2] x) => (float[1,3,n,4] y) {{ y = DepthToSpace <blocksize=2> (x) }}"
    with pytest.raises(TooLarge, match="a length of 4,294,967,294"):
        save_as("coreml", text, tmp_path)


def test_responses_are_normalized_over_channels_of_any_number(tmp_path: Path) -> None:
    model = hub_from_text("(float[n,c,h,w] x) => (float[n,c,h,w] y) { y = LRN <size = 3, alpha = 0.5> (x) }")
    assert_as_source(model, [{"x": floats(2, 5, 3, 4)}, {"x": floats(1, 2, 3, 3)}], tmp_path)
