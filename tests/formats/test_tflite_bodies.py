"""What is legalised for TFLite runs as a hub model, and computes the same: semantics are in attributes, and
in the bodies of operators."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from bridge_tflite.export_ops.common import INTEGER, TFLITE
from bridge_tflite.exporter import exporter
from bridge_tflite.legalize.bodies import bodies
from build import model_from_text, save_as

import bridge
from bridge import hub
from bridge.detect import by_name
from bridge.errors import UnsupportedModel
from bridge.inputs import random_inputs
from bridge.runtime import run_reference
from bridge.testing import coverage
from bridge.verify import compare

RANDOM = (f"{TFLITE}::RandomUniform", f"{TFLITE}::RandomNormal")
LOOPS = (f"{TFLITE}::While",)
"""Operators with graphs as attributes, for which there are no function bodies."""


def legalize(proto: onnx.ModelProto) -> tuple[ir.Model, ir.Model]:
    """Hub model and its legalised form, after checking that the exporter takes each of its operators."""
    model = bridge.load(proto)
    legalized = coverage.legalized(model, by_name("tflite"))
    refused = [exporter.table.refusal(hub.qualified(n), n) for n in hub.all_nodes(legalized)]
    assert not any(refused)
    assert all(n.op_identifier() in legalized.functions for n in own_operators(legalized))
    return model, legalized


def own_operators(model: ir.Model) -> Iterator[ir.Node]:
    return (n for n in hub.all_nodes(model) if n.domain not in hub.STANDARD_OPSETS)


def assert_same(model: ir.Model, legalized: ir.Model, inputs: dict[str, np.ndarray] | None = None) -> None:
    inputs = inputs or random_inputs(model)
    expected, result = bridge.run(model, inputs), bridge.run(legalized, inputs)
    compared = compare(expected, result)
    assert compared.ok, str(compared)
    assert result.engine.startswith("ONNX Runtime") or expected.engine == result.engine


def with_weights(text: str, **shapes: tuple[int, ...]) -> onnx.ModelProto:
    """Model of a graph in ONNX text, with random float32 initializers of `shapes`."""
    rng = np.random.default_rng(0)
    return model_from_text(text, **{n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()})


ACTIVATIONS = {
    "none": ("y = Identity (h)", None),
    "relu": ("y = Relu (h)", "Relu"),
    "relu6": ("y = Clip (h, zero, six)", "Relu6"),
}
IMAGES = {"static": ("1,4,9,8", "9,8"), "dynamic": ("N,4,H,W", "9,8"), "batch": ("N,4,9,8", "9,8")}
PADDINGS = {
    "none": "",
    "same": "pads = [1, 1, 1, 1]",
    "same upper": 'auto_pad = "SAME_UPPER"',
    "same lower": 'auto_pad = "SAME_LOWER"',
    "one side": "pads = [1, 0, 0, 0]",
    "strided same": 'auto_pad = "SAME_UPPER", strides = [2, 2]',
    "strided": "pads = [1, 1, 1, 1], strides = [2, 2]",
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("lengths", IMAGES)
@pytest.mark.parametrize("op", ["Conv", "depthwise", "dilated", "MaxPool", "AveragePool"])
def test_windows_say_their_padding_and_activation(op, lengths, padding, activation) -> None:
    extra_attributes = {"depthwise": ["group = 4"], "dilated": ["dilations = [2, 1]"]}.get(op, [])
    extra_attributes += ["kernel_shape = [3, 3]"] if op.endswith("Pool") else []
    attributes = ", ".join(filter(None, [*extra_attributes, PADDINGS[padding]]))
    call = f"{op} <{attributes}> (x)" if op.endswith("Pool") else f"Conv <{attributes}> (x, w, b)"
    step, expected = ACTIVATIONS[activation]
    text = (
        f"g (float[{IMAGES[lengths][0]}] x) => (float[A,B,C,D] y) "
        f"<float zero = {{0}}, float six = {{6}}> {{ h = {call.replace(' <>', '')} {step} }}"
    )
    shapes = {} if op.endswith("Pool") else {"w": (4, 1 if op == "depthwise" else 4, 3, 3), "b": (4,)}
    model, legalized = legalize(with_weights(text, **shapes))
    inputs = {"x": 3 * np.random.default_rng(1).standard_normal((2, 4, 9, 8)).astype(np.float32)}
    assert_same(model, legalized, inputs if lengths != "static" else {"x": inputs["x"][:1]})
    layers = [n for n in own_operators(legalized) if n.op_type in ("Conv", "MaxPool", "AveragePool")]
    for node in layers:
        assert hub.attr(node, "auto_pad") in ("SAME_UPPER", "VALID")
        assert not any(key in node.metadata_props for key in ("bridge.padding", "bridge.activation"))
    if not op.endswith("Pool"):
        assert [hub.attr(n, "activation") for n in layers] == [expected] * len(layers)


@pytest.mark.parametrize("kernel", [(1, 1), (1, 2)])
@pytest.mark.parametrize("op", ["Conv", "MaxPool"])
def test_windows_smaller_than_their_stride_are_not_padded(op, kernel) -> None:
    shape = ", ".join(map(str, kernel))
    call = (
        f'<auto_pad = "SAME_UPPER", strides = [2, 2], kernel_shape = [{shape}]> '
        f"(x{', w' if op == 'Conv' else ''})"
    )
    text = f"g (float[1,4,4,4] x) => (float[1,4,2,2] y) {{ y = {op} {call} }}"
    _, legalized = legalize(with_weights(text, **({"w": (4, 4, *kernel)} if op == "Conv" else {})))
    (node,) = [n for n in own_operators(legalized) if n.op_type == op]
    assert hub.attr(node, "auto_pad") == "VALID"


TRANSPOSED = {
    "valid": "strides = [2, 2]",
    "same": "strides = [2, 2], pads = [0, 0, 1, 1]",
    "same upper": 'strides = [2, 2], auto_pad = "SAME_UPPER"',
    "grown": "strides = [3, 3], output_padding = [1, 1]",
    "cut": "strides = [2, 2], pads = [1, 0, 1, 1]",
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("padding", TRANSPOSED)
@pytest.mark.parametrize("bias", ["", ", b"])
@pytest.mark.parametrize("lengths", ["1,4,5,6", "N,4,5,6"])
def test_transposed_convolutions(lengths, bias, padding, activation) -> None:
    step, _ = ACTIVATIONS[activation]
    text = (
        f"g (float[{lengths}] x) => (float[A,B,C,D] y) <float zero = {{0}}, float six = {{6}}> "
        f"{{ h = ConvTranspose <{TRANSPOSED[padding]}> (x, w{bias}) {step} }}"
    )
    shapes = {"w": (4, 3, 3, 3), **({"b": (3,)} if bias else {})}
    assert_same(*legalize(with_weights(text, **shapes)))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("shape", ["2,3", "N,3"])
def test_arithmetic_says_its_activation(shape, op, activation) -> None:
    step, expected = ACTIVATIONS[activation]
    text = (
        f"g (float[{shape}] x, float[{shape}] z) => (float[{shape}] y) <float zero = {{0}}, float six = "
        f"{{6}}> "
        f"{{ h = {op} (x, z) {step} }}"
    )
    model, legalized = legalize(model_from_text(text))
    inputs = {
        n: 4 * np.random.default_rng(i).standard_normal((2, 3)).astype(np.float32) for i, n in enumerate("xz")
    }
    assert_same(model, legalized, inputs)
    names = [hub.qualified(n) for n in legalized.graph if n.op_type == op]
    assert names == [f"{TFLITE}::{op}" if expected else op]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", ["h = MatMul (x, w)", "m = MatMul (x, w) h = Add (m, b)"])
def test_fully_connected_layers(bias, activation) -> None:
    step, _ = ACTIVATIONS[activation]
    text = f"g (float[N,4] x) => (float[N,3] y) <float zero = {{0}}, float six = {{6}}> {{ {bias} {step} }}"
    assert_same(*legalize(with_weights(text, w=(4, 3), **({"b": (3,)} if "b)" in bias else {}))))


MODES = {
    "half pixel": 'mode = "linear"',
    "asymmetric": 'mode = "linear", coordinate_transformation_mode = "asymmetric"',
    "corners": 'mode = "linear", coordinate_transformation_mode = "align_corners"',
    "nearest": 'mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"',
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(8, 10), (3, 4), (4, 15)])
def test_images_are_resized_to_a_size(mode, size) -> None:
    text = (
        f"g (float[1,3,4,5] x) => (float[1,3,{size[0]},{size[1]}] y) <int64[4] s = {{1, 3, {size[0]}, "
        f"{size[1]}}}> "
        f"{{ y = Resize <{MODES[mode]}> (x, , , s) }}"
    )
    model, legalized = legalize(model_from_text(text))
    assert_same(model, legalized)
    (node,) = [n for n in own_operators(legalized) if n.op_type.startswith("Resize")]
    assert node.domain == TFLITE
    assert hub.const(node.inputs[1]).tolist() == list(size)


GRAPHS = {
    "LRN": "g (float[2,6,3,3] x) => (float[2,6,3,3] y) { y = LRN <size = 3, alpha = 0.5, beta = 0.7> (x) }",
    "BatchMatMul": (
        "g (float[2,3,4] x, float[2,5,4] z) => (float[2,3,5] y) { "
        "t = Transpose <perm = [0, 2, 1]> (z) y = MatMul (x, t) }"
    ),
    "SpaceToBatch": (
        "g (float[2,4,6,3] x) => (float[8,2,3,3] y) "
        "<int64[6] a = {2, 2, 2, 3, 2, 3}, int64[4] b = {8, 2, 3, 3}> { r = Reshape (x, a) "
        "t = Transpose <perm = [2, 4, 0, 1, 3, 5]> (r) y = Reshape (t, b) }"
    ),
    "BatchToSpace": (
        "g (float[8,2,3,3] x) => (float[2,4,6,3] y) "
        "<int64[6] a = {2, 2, 2, 2, 3, 3}, int64[4] b = {2, 4, 6, 3}> { r = Reshape (x, a) "
        "t = Transpose <perm = [2, 3, 0, 4, 1, 5]> (r) y = Reshape (t, b) }"
    ),
    "Suppress": (
        "g (float[1,6,4] x, float[1,2,6] s) => (int64[K,3] y) <int64 k = {3}, float o = {0.5}> { "
        "y = NonMaxSuppression (x, s, k, o) }"
    ),
    "Relu6": (
        "g (float[N,3] x) => (float[N,3] y) <float a = {0}, float b = {6}, float[3] c = {-1, 4, 9}> { "
        "s = Sin (x) t = Sub (c, s) m = Max (t, x) y = Clip (m, a, b) }"
    ),
    "Rsqrt": "g (float[N,3] x) => (float[N,3] y) { e = Exp (x) s = Sqrt (e) y = Reciprocal (s) }",
    "SquaredDifference": "g (float[N,3] x, float[3] z) => (float[N,3] y) { d = Sub (x, z) y = Mul (d, d) }",
    "RightShift": 'g (uint8[N] x, uint8[N] z) => (uint8[N] y) { y = BitShift <direction = "RIGHT"> (x, z) }',
    "FloorMod": "g (int32[N] x) => (int32[N] y) <int32 d = {-3}> { y = Mod (x, d) }",
    "Atan2": (
        "g (float[4] x) => (float[4] y) { a = Atan (x) t = Tanh (x) b = Asin (t) c = Acos (t) "
        "s = Add (a, b) y = Sub (s, c) }"
    ),
    "And": "g (int32[N] x, int32[N] z) => (int32[N] y) { y = BitwiseAnd (x, z) }",
    "ReduceAny": "g (bool[N,3] x) => (bool[N] y) <int64[1] a = {1}> { y = ReduceMax <keepdims = 0> (x, a) }",
    "ReduceAll": "g (bool[N,3] x) => (bool[N,1] y) <int64[1] a = {1}> { y = ReduceMin (x, a) }",
    "Reshape": (
        "g (float[N,M] x) => (float[M,N] y) { s = Shape (x) b = Shape <end = 1> (x) "
        "a = Shape <start = 1> (x) t = Concat <axis = 0> (a, b) y = Reshape (x, t) }"
    ),
    "ExpandDims": "g (float[N,M] x) => (float[N,1,M,1] y) <int64[2] a = {1, 3}> { y = Unsqueeze (x, a) }",
    "BroadcastTo": "g (float[N,1] x, float[N,M] z) => (float[N,M] y) { s = Shape (z) y = Expand (x, s) }",
    "BroadcastArgs": (
        "g (float[N,1] x, float[K,N,M] z) => (float[K,N,M] y) { s = Shape (z) y = Expand (x, s) }"
    ),
    "Fill": "g (float[N,M] z) => (float[N,M] y) <float x = {2}> { s = Shape (z) y = Expand (x, s) }",
    "Gather": "g (float[N,3] x) => (float[N,2] y) <int64[2] i = {2, -3}> { y = Gather <axis = 1> (x, i) }",
    "GatherND": "g (float[3,4,N] x) => (float[2,N] y) <int64[2,2] i = {2, -1, 0, 1}> { y = GatherND (x, i) }",
    "ScatterND": (
        "g (float[4,N] x, float[2,N] u) => (float[4,N] y) <int64[2,1] i = {2, -4}> { "
        'z = ScatterND (x, i, u) y = ScatterND <reduction = "add"> (z, i, u) }'
    ),
    "SegmentProd": (
        "g (float[4,3] x, float[2,3] u) => (float[4,3] y) <int64[2,1] i = {2, 2}> { "
        'y = ScatterND <reduction = "mul"> (x, i, u) }'
    ),
    "SegmentMax": (
        "g (float[4,3] x, float[2,3] u) => (float[4,3] y) <int64[2,1] i = {2, 2}> { "
        'y = ScatterND <reduction = "max"> (x, i, u) }'
    ),
    "SegmentMin": (
        "g (int32[4,3] x, int32[2,3] u) => (int32[4,3] y) <int64[2,1] i = {2, 2}> { "
        'y = ScatterND <reduction = "min"> (x, i, u) }'
    ),
    "StridedSlice": (
        "g (float[N,7] x) => (float[M,3] y) "
        "<int64[2] b = {-1, 1}, int64[2] e = {-9223372036854775807, 7}, int64[2] a = {0, 1}, "
        "int64[2] s = {-1, 2}> "
        "{ y = Slice (x, b, e, a, s) }"
    ),
    "Pad": (
        "g (float[N,3] x) => (float[M,5] y) <int64[4] p = {1, 0, 0, 2}, float v = {2}> { y = Pad (x, p, v) }"
    ),
    "MirrorPad": (
        'g (float[4,3] x) => (float[5,5] y) <int64[4] p = {1, 0, 0, 2}> { y = Pad <mode = "reflect"> (x, p) }'
    ),
    "Where": "g (bool[N,3] x) => (int64[2,K] y) { y = NonZero (x) }",
    "Exp": "g (float[N,3] x) => (float[N,3] y) { y = Exp (x) }",
    "TopK": (
        "g (float[N,5] x) => (float[N,2] y, int64[N,2] i) <int64[1] k = {2}> "
        "{ y, i = TopK <largest = 0> (x, k) }"
    ),
    "Unique": (
        "g (float[5] x) => (float[K] y, int64[K] i, int64[5] j, int64[K] k) "
        "{ y, i, j, k = Unique <sorted = 0> (x) }"
    ),
    **{
        f"Reduce{name}": (
            f"g (float[2,N] x, int64[1] a) => (float[2,1] y) {{ o = ReduceMin <keepdims = 0> (a, none) c = "
            "Mul (o, zero) "
            f"d = Add (c, one) e = Reshape (d, k) y = Reduce{name} (x, e) }}"
        )
        for name in ("Mean", "Sum", "Prod", "Max", "Min")
    },
}
SCALARS = "<int64[1] none = {0}, int64 zero = {0}, int64 one = {1}, int64[1] k = {1}>"


@pytest.mark.parametrize("name", GRAPHS)
def test_every_operator_of_its_own_has_a_body_that_means_the_same(name) -> None:
    text = GRAPHS[name].replace("{ o =", f"{SCALARS} {{ o =")
    model, legalized = legalize(model_from_text(text))
    assert f"{TFLITE}::{name}" in {hub.qualified(n) for n in own_operators(legalized)}
    assert_same(model, legalized)


def test_every_body_is_held_to_its_operator() -> None:
    elsewhere = {"Add", "Sub", "Mul", "Div", "Conv", "FullyConnected", "TransposeConv"}
    elsewhere |= {"ResizeBilinear", "ResizeNearestNeighbor"}
    named = {rule.op for rule in bodies if rule.op.startswith(f"{TFLITE}::")} - set(RANDOM)
    assert named == {f"{TFLITE}::{name}" for name in (*GRAPHS, *elsewhere)}
    written = {rule.op for rule in exporter.table if rule.op.startswith(f"{TFLITE}::")}
    assert written == named | set(RANDOM) | set(LOOPS)


@pytest.mark.parametrize("op", ["RandomUniform", "RandomNormal"])
def test_random_numbers_run(op) -> None:
    _, legalized = legalize(
        model_from_text(
            f"g (float[3] x) => (float[200,5] y) {{ y = {op} <shape = [200, 5], seed = 3.0> () }}"
        )
    )
    y = bridge.run(legalized, {"x": np.zeros(3, np.float32)})["y"]
    assert y.shape == (200, 5)
    assert y.std() > 0.1


QUANTIZED = {
    "conv": ("y = Conv <pads = [1, 1, 1, 1]> (d, v, b)", "Conv"),
    "relu": ('y = Conv <auto_pad = "SAME_UPPER", strides = [2, 2]> (d, v, b) z = Relu (y)', "Conv"),
    "transposed": ("y = ConvTranspose <strides = [2, 2]> (d, v, b)", "TransposeConv"),
    "pool": ("y = MaxPool <kernel_shape = [2, 2], strides = [2, 2], pads = [0, 0, 1, 1]> (d)", "MaxPool"),
    "average": ("y = AveragePool <kernel_shape = [2, 2]> (d)", "AveragePool"),
    "add": ("a = Mul (d, two) y = Add (d, d) z = Relu (y)", "Add"),
    "mean": ("y = ReduceMean (d, axes)", "ReduceMean"),
    "leaky": ("y = LeakyRelu (d)", "LeakyRelu"),
    "resize": ('y = Resize <mode = "linear"> (d, , , sizes)', "ResizeBilinear"),
}


KEEP_SCALE = ("average", "resize")
"""Kernels whose results have the scale of their inputs."""


@pytest.mark.parametrize("name", QUANTIZED)
def test_integer_kernels_have_bodies_too(name) -> None:
    steps, operator = QUANTIZED[name]
    scale = 0.05 if name in KEEP_SCALE else 0.1
    last = "z" if "z =" in steps else "y"
    text = (
        "g (float[1,4,6,6] x) => (float[A,B,C,D] out) <float s = {0.05}, int8 z0 = {3}, "
        f"float t = {{{scale}}}, "
        "int8 z1 = {-5}, "
        "float ws = {0.02}, int8 wz = {0}, float two = {2}, int64[2] axes = {2, 3}, int64[4] sizes = {1, "
        "4, 12, 12}> "
        f"{{ q = QuantizeLinear (x, s, z0) d = DequantizeLinear (q, s, z0) v = DequantizeLinear (w, ws, "
        f"wz) {steps} "
        f"e = QuantizeLinear ({last}, t, z1) out = DequantizeLinear (e, t, z1) }}"
    )
    proto = with_weights(text, b=(4,))
    weights = np.random.default_rng(2).integers(-100, 100, (4, 4, 3, 3)).astype(np.int8)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    model, legalized = legalize(proto)
    nodes = [n for n in own_operators(legalized) if n.op_type == operator]
    assert [n.domain for n in nodes] == [INTEGER]
    inputs = random_inputs(model)
    first, second = bridge.run(model, inputs)["out"], bridge.run(legalized, inputs)["out"]
    assert abs(first - second).max() < 1.001 * scale


@pytest.mark.parametrize(
    "layer", ['Conv <auto_pad = "SAME_UPPER", strides = [2, 2]> (x, w)', "ConvTranspose (x, w)"]
)
def test_bodies_run_in_the_reference_evaluator(layer) -> None:
    text = f"g (float[1,4,5,5] x) => (float[A,B,C,D] y) {{ h = {layer} y = Relu (h) }}"
    model, legalized = legalize(with_weights(text, w=(4, 4, 3, 3)))
    inputs = random_inputs(model)
    assert compare(bridge.run(model, inputs), run_reference(ir.to_proto(legalized), inputs)).ok


def test_strings_that_no_kernel_scatters_are_refused(tmp_path):
    text = "(string[4] x, int64[2,1] i, string[2] u) => (string[4] y) { y = ScatterND (x, i, u) }"
    with pytest.raises(UnsupportedModel, match=r"ScatterND.* needs input 0 of dtype float"):
        save_as("tflite", text, tmp_path)
