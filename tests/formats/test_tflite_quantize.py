"""QDQ models are integer TFLite: no float kernel between the ends, parameters bit for bit, one quantum at
most apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import ml_dtypes
import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import OpResolverType
from bridge_tflite import runtime
from build import hub_from_text, model_from_text

import bridge
from bridge.inputs import random_inputs
from bridge.runtime import OnnxRuntimeSession

RNG = np.random.default_rng(11)


def qdq(
    body: str, inputs: list[list[int]], dtype: str, out: tuple[float, int], constants=()
) -> onnx.ModelProto:
    """float inputs → Q → DQ → body → Q → DQ; the body names its inputs x0, x1 and its result r."""
    zero = {"int8": -5, "uint8": 123, "int16": 0}[dtype]
    nodes, names = "", []
    initializers = [onnx.numpy_helper.from_array(np.array(v), n) for n, v in constants]
    for i in range(len(inputs)):
        nodes += f"q{i} = QuantizeLinear (f{i}, s{i}, z) x{i} = DequantizeLinear (q{i}, s{i}, z) "
        names.append(f"float[{','.join(map(str, inputs[i]))}] f{i}")
        initializers.append(onnx.numpy_helper.from_array(np.float32(0.0473 + 0.01 * i * (i < 2)), f"s{i}"))
    initializers.append(onnx.numpy_helper.from_array(np.array(zero, dtype), "z"))
    initializers.append(onnx.numpy_helper.from_array(np.array(out[0], np.float32), "so"))
    initializers.append(onnx.numpy_helper.from_array(np.array(out[1], dtype), "zo"))
    proto = model_from_text(
        f"({', '.join(names)}) => (float[] y) "
        f"{{ {nodes} {body} p = QuantizeLinear (r, so, zo) y = DequantizeLinear (p, so, zo) }}"
    )
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    proto.graph.initializer.extend(initializers)
    return proto


def weights(shape: list[int], per_channel: bool, axis: int = 0) -> list[tuple[str, np.ndarray]]:
    count = shape[axis] if per_channel else None
    scale = np.asarray(RNG.uniform(0.01, 0.03, count), np.float32)
    bias_scale = np.asarray(np.float32(0.0473) * scale)
    return [
        ("wq", RNG.integers(-127, 127, shape, dtype=np.int8)),
        ("ws", scale),
        ("wz", np.zeros(count or (), np.int8)),
        ("bq", RNG.integers(-2000, 2000, shape[axis], dtype=np.int32)),
        ("bs", bias_scale),
        ("bz", np.zeros(count or (), np.int32)),
    ]


LAYER = "w = DequantizeLinear <axis: int = 0> (wq, ws, wz) b = DequantizeLinear <axis: int = 0> (bq, bs, bz) "
IMAGE = [1, 8, 9, 9]


def operators(path) -> list[str]:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    return [names[model.operatorCodes[o.opcodeIndex].builtinCode] for o in model.subgraphs[0].operators]


def assert_integer(proto: onnx.ModelProto, out: tuple[float, int], tmp_path, *expected: str) -> None:
    """Check that all kernels between the ends are integer, and LiteRT is within one step of ONNX Runtime."""
    path = bridge.convert(proto, tmp_path / "q.tflite").path
    names = operators(path)

    assert names.count("DEQUANTIZE") == 1
    assert names[-1] == "DEQUANTIZE"
    assert {"DIV", "ROUND", "CAST"}.isdisjoint(names)
    assert set(expected) <= set(names)
    inputs = {
        v.name: (RNG.standard_normal([d.dim_value for d in v.type.tensor_type.shape.dim]) * 3).astype(
            np.float32
        )
        for v in proto.graph.input
    }
    want, got = bridge.run(bridge.load(proto), inputs)["y"], bridge.run(path, inputs)["y"]
    assert want.shape == got.shape
    assert np.abs(want - got).max() <= out[0] * 1.001


def assert_exact(proto: onnx.ModelProto, tmp_path) -> None:
    """Check that LiteRT's numbers are ONNX Runtime's, but for one in a hundred, which lies between two."""
    onnx.save(proto, tmp_path / "m.onnx")
    bridge.convert(tmp_path / "m.onnx", tmp_path / "m.tflite")
    inputs = random_inputs(bridge.load(proto), seed=3)
    (expected,) = OnnxRuntimeSession(str(tmp_path / "m.onnx"), optimized=False).run(inputs).values()
    (found,) = bridge.run(tmp_path / "m.tflite", inputs).values()
    assert np.mean(np.abs(found - expected) > 1e-6) < 0.01


DTYPES = ["int8", "uint8", "int16"]
ZERO = {"int8": 7, "uint8": 130, "int16": 0}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(
    ("body", "shape", "expected"),
    [
        ("r = Conv <pads: ints = [1,1,1,1]> (x0, w, b)", [6, 8, 3, 3], "CONV_2D"),
        (
            "c = Conv <strides: ints = [2,2], pads: ints = [1,1,1,1]> (x0, w, b) r = Relu (c)",
            [6, 8, 3, 3],
            "CONV_2D",
        ),
        ("r = Conv <group: int = 8> (x0, w, b)", [8, 1, 3, 3], "DEPTHWISE_CONV_2D"),
        ("r = Conv <group: int = 8> (x0, w)", [16, 1, 3, 3], "DEPTHWISE_CONV_2D"),
    ],
)
def test_convolutions(dtype, per_channel, body, shape, expected, tmp_path):
    out = (0.4 if dtype != "int16" else 0.01, ZERO[dtype])
    assert_integer(
        qdq(LAYER + body, [IMAGE], dtype, out, weights(shape, per_channel)), out, tmp_path, expected
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(
    ("strides", "pads", "cut"),
    [((1, 1), (0, 0, 0, 0), False), ((2, 2), (0, 0, 1, 1), False), ((2, 3), (1, 0, 2, 1), True)],
)
def test_transposed_convolutions(dtype, per_channel, strides, pads, cut, tmp_path):
    body = (
        "w = DequantizeLinear <axis: int = 1> (wq, ws, wz) b = DequantizeLinear <axis: int = 0> (bq, bs, "
        f"bz) r = ConvTranspose <strides: ints = {list(strides)}, pads: ints = {list(pads)}> (x0, w, b)"
    )
    out = (0.4 if dtype != "int16" else 0.01, ZERO[dtype])
    expected = ["TRANSPOSE_CONV", *["STRIDED_SLICE"] * cut]
    assert_integer(
        qdq(body, [IMAGE], dtype, out, weights([8, 6, 3, 3], per_channel, 1)), out, tmp_path, *expected
    )


@pytest.mark.parametrize("per_channel", [False, True])
def test_weights_around_no_zero_stay_uint8(per_channel, tmp_path):
    """uint8 kernels take one zero point for all weights; otherwise the layer stays float."""
    layer = dict(weights([6, 8, 3, 3], per_channel))
    zero = np.full(np.shape(layer["wz"]), 117, np.uint8)
    layer |= {"wq": (layer["wq"].astype(np.int16) + 120).clip(0, 255).astype(np.uint8), "wz": zero}
    proto = qdq(LAYER + "r = Conv (x0, w, b)", [IMAGE], "uint8", (0.4, 130), list(layer.items()))
    path = bridge.convert(proto, tmp_path / "u.tflite").path
    assert (operators(path).count("DEQUANTIZE") == 1) is not per_channel
    x = {"f0": RNG.standard_normal(IMAGE).astype(np.float32)}
    assert np.abs(bridge.run(bridge.load(proto), x)["y"] - bridge.run(path, x)["y"]).max() <= 0.4001


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(
    "body",
    [
        "r = Gemm <transB: int = 1> (x0, w, b)",
        "t = Gemm <transB: int = 1> (x0, w) r = Relu (t)",
        "v = Transpose (w) m = MatMul (x0, v) r = Add (m, b)",
    ],
)
def test_fully_connected(dtype, per_channel, body, tmp_path):
    out = (0.5 if dtype != "int16" else 0.01, ZERO[dtype])
    assert_integer(
        qdq(LAYER + body, [[3, 20]], dtype, out, weights([7, 20], per_channel)),
        out,
        tmp_path,
        "FULLY_CONNECTED",
    )


class Row(NamedTuple):
    """One operator between quantizations, and the kernel it becomes."""

    body: str
    operator: str
    inputs: int = 1
    scale: float = 0.0
    """Scale of the output; 0 for the parameters of the input."""
    integer: Sequence[str] = ("int8", "uint8", "int16")
    """The dtypes between which nothing is a float; of others LiteRT would round twice."""


OPERATORS = [
    Row("r = Add (x0, x1)", "ADD", inputs=2, scale=0.09),
    Row("r = Sub (x0, x1)", "SUB", inputs=2, scale=0.09),
    Row("r = Mul (x0, x1)", "MUL", inputs=2, scale=0.2),
    Row("r = Mul (x0, half)", "MUL", scale=0.03),
    Row("r = Add (two, x0)", "ADD", scale=0.07),
    Row("r = Sigmoid (x0)", "LOGISTIC", scale=1 / 256, integer=("int8", "uint8")),
    Row("r = Sigmoid (x0)", "LOGISTIC", scale=1 / 100, integer=()),
    Row("r = Tanh (x0)", "TANH", scale=1 / 128, integer=("int8", "uint8")),
    Row("r = Relu (x0)", "RELU", scale=0.03),
    Row("r = Clip (x0, none, six)", "RELU6", scale=0.03),
    Row("r = LeakyRelu <alpha: float = 0.1> (x0)", "LEAKY_RELU", scale=0.05),
    Row("r = PRelu (x0, half)", "PRELU", scale=0.05),
    Row("r = HardSwish (x0)", "HARD_SWISH", scale=0.05),
    Row("r = Gelu (x0)", "GELU", scale=0.05),
    Row("r = Elu (x0)", "ELU", scale=0.05),
    Row("r = LogSoftmax (x0)", "LOG_SOFTMAX", scale=0.13, integer=()),
    Row("r = Softmax (x0)", "SOFTMAX", scale=1 / 100, integer=()),
    Row("r = MatMul (x0, x1)", "BATCH_MATMUL", inputs=2, scale=0.7),
    Row("r = GlobalAveragePool (x0)", "MEAN", scale=0.02),
    Row("r = ReduceSum <keepdims: int = 0> (x0, one)", "SUM", scale=0.3),
    Row("r = Abs (x0)", "ABS", scale=0.04),
    Row("r = Expand (x0, wide)", "BROADCAST_TO"),
    Row("r = GatherND (x0, indices)", "GATHER_ND"),
    Row(
        "r = MaxPool <kernel_shape: ints = [3,3], strides: ints = [2,2], pads: ints = [1,1,1,1]> (x0)",
        "MAX_POOL_2D",
    ),
    Row("r = AveragePool <kernel_shape: ints = [2,2], strides: ints = [2,2]> (x0)", "AVERAGE_POOL_2D"),
    Row(
        "r = AveragePool <kernel_shape: ints = [2,2], strides: ints = [2,2]> (x0)",
        "AVERAGE_POOL_2D",
        scale=0.1,
        integer=(),
    ),
    Row("r = Transpose <perm: ints = [0,2,1,3]> (x0)", "TRANSPOSE"),
    Row("r = Concat <axis: int = 1> (x0, x0)", "CONCATENATION"),
    Row("r = Concat <axis: int = 1> (x0, x1)", "CONCATENATION", inputs=2, scale=0.07, integer=()),
    Row("r = Max (x0, half)", "MAXIMUM"),
    Row("r = Min (x0, x1)", "MINIMUM", inputs=2, scale=0.07, integer=()),
    Row("a, b = Split <axis: int = 1, num_outputs: int = 2> (x0) r = Add (a, b)", "SPLIT_V", scale=0.09),
    Row("r = Slice (x0, one, three, one)", "STRIDED_SLICE"),
    Row("r = Pad (x0, pads)", "PAD"),
    Row("r = ReduceMax <keepdims: int = 0> (x0, one)", "REDUCE_MAX"),
    Row('r = Resize <mode: string = "linear"> (x0, , doubled)', "RESIZE_BILINEAR"),
]
LACKING = {
    "uint8": {"ABS", "ELU"},
    "int16": {"PRELU", "HARD_SWISH", "GELU", "ELU", "LOG_SOFTMAX", "SUM"},
}
CONSTANTS = [
    ("half", np.float32(0.5)),
    ("two", np.float32([2])),
    ("none", np.float32(0)),
    ("six", np.float32(6)),
    ("one", np.array([1])),
    ("three", np.array([3])),
    ("pads", np.array([0, 0, 1, 1, 0, 0, 2, 0])),
    ("wide", np.array([3, 1, 1, 1])),
    ("indices", np.array([[0, 1], [0, 7], [0, 1]])),
    ("doubled", np.float32([1, 1, 2, 2])),
]


@pytest.mark.parametrize("body", ["r = Sigmoid (x0)", "r = Softmax (x0)", "r = GlobalAveragePool (x0)"])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_what_a_kernel_would_round_twice_is_computed_in_floats(dtype, body, tmp_path):
    """LiteRT's integer kernel knows 1/256 alone: rounded again to 1/240, a quantum is off in many places."""
    out = (1 / 240, {"int8": -128, "uint8": 0}[dtype])
    assert_exact(qdq(body, [IMAGE], dtype, out, []), tmp_path)


@pytest.mark.parametrize("source", DTYPES)
@pytest.mark.parametrize("result", DTYPES)
@pytest.mark.parametrize("scale", [0.0259, 0.0648, 0.162])
def test_integers_of_another_scale_are_rounded_once(source, result, scale, tmp_path):
    zero = np.zeros((), result)
    body = "q = QuantizeLinear (x0, t, w) r = DequantizeLinear (q, t, w)"
    proto = qdq(body, [[256]], source, (scale, 0), [("t", np.float32(scale)), ("w", zero)])
    assert_exact(proto, tmp_path)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("row", OPERATORS, ids=lambda row: row.body)
def test_other_operators(dtype, row, tmp_path):
    if row.operator in LACKING.get(dtype, ()):
        pytest.skip(f"LiteRT has no {row.operator} of {dtype}")
    same = {"int8": -5, "uint8": 123, "int16": 0}[dtype]
    out = (row.scale, {"int8": -3, "uint8": 121, "int16": 0}[dtype]) if row.scale else (0.0473, same)
    used = [(name, value) for name, value in CONSTANTS if name in row.body]
    proto = qdq(row.body, [IMAGE] * row.inputs, dtype, out, used)
    if dtype in row.integer:
        assert_integer(proto, out, tmp_path, row.operator)
    else:
        assert_exact(proto, tmp_path)


@pytest.mark.parametrize(
    ("scale", "zero", "integer"), [(1 / 256, -128, True), (0.01, 3, False), (0.002, -100, False)]
)
def test_softmax_is_integer_where_its_own_scale_is_asked_for(scale, zero, integer, tmp_path):
    proto = qdq("r = Softmax <axis: int = -1> (x0)", [[2, 5, 8]], "int8", (scale, zero))
    path = bridge.convert(proto, tmp_path / "s.tflite").path
    assert (operators(path).count("DEQUANTIZE") == 1) is integer
    x = {"f0": (RNG.standard_normal((2, 5, 8)) * 3).astype(np.float32)}
    assert np.abs(bridge.run(bridge.load(proto), x)["y"] - bridge.run(path, x)["y"]).max() <= scale * 1.001


@pytest.mark.parametrize("kernels", ["AUTO", "BUILTIN_WITHOUT_DEFAULT_DELEGATES"])
@pytest.mark.parametrize("dtype_name", ["int2", "int4", "uint4"])
def test_less_than_a_byte_is_kept_between_operators(dtype_name, kernels, tmp_path):
    """Quantized by saturation, and cast by the low bits."""
    number = onnx.TensorProto.DataType.Value(dtype_name.upper())
    model = hub_from_text(
        f"(float[12] x) => (float[12] y, int32[12] z) <float s = {{0.5}}, {dtype_name} o = {{1}}> "
        "{ q = QuantizeLinear (x, s, o) y = DequantizeLinear (q, s, o) "
        f"c = Cast <to = {number}> (x) z = Cast <to = 6> (c) }}",
        25,
    )
    x = np.float32([0, 1, 2, 3, 7, 8, 9, 15, 16, -1, -8, -9])
    path = bridge.save(model, tmp_path / "few.tflite").path
    outputs = runtime.LiteRTSession(path, resolver=getattr(OpResolverType, kernels)).run({"x": x})
    dtype = np.dtype(getattr(ml_dtypes, dtype_name))
    limits = ml_dtypes.iinfo(dtype)
    steps = np.clip(np.round(x / 0.5) + 1, limits.min, limits.max)
    np.testing.assert_array_equal(outputs["y"], (steps - 1) * np.float32(0.5))
    np.testing.assert_array_equal(
        outputs["z"], (x.astype(np.int32) - limits.min) % 2**limits.bits + limits.min
    )


@pytest.mark.parametrize("dtype_name", ["int4", "uint4"])
def test_less_than_a_byte_goes_in_and_out(dtype_name, tmp_path):
    number = onnx.TensorProto.DataType.Value(dtype_name.upper())
    model = hub_from_text(
        f"({dtype_name}[5] x) => ({dtype_name}[5] y, float[5] z) "
        f"{{ z = Cast <to = 1> (x) n = Neg (z) y = Cast <to = {number}> (n) }}",
        25,
    )
    path = bridge.save(model, tmp_path / "few.tflite").path
    x = np.array([0, 1, 3, 7, 5], np.int8).astype(getattr(ml_dtypes, dtype_name))
    outputs, back = bridge.run(path, {"x": x}), bridge.load(path)
    assert (outputs["y"].dtype, back.graph.inputs[0].dtype.name) == (x.dtype, dtype_name.upper())
    want = -x.astype(np.int32) % 16
    np.testing.assert_array_equal(outputs["y"].astype(np.int32) % 16, want)
