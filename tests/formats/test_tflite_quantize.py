"""QDQ models are integer TFLite: no float kernel between the ends, parameters bit for bit, one quantum at
most apart."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import OpResolverType
from bridge_tflite import runtime

import bridge

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
    proto = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 21]> g ({", ".join(names)}) => (float[] y) '
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


def integer(proto: onnx.ModelProto, out: tuple[float, int], tmp_path, *expected: str) -> None:
    """The middle of the graph is integer, and LiteRT is at most one quantum from ONNX Runtime."""
    path = bridge.convert(proto, tmp_path / "q.tflite").path
    found = operators(path)

    assert found.count("DEQUANTIZE") == 1
    assert found[-1] == "DEQUANTIZE"
    assert {"DIV", "ROUND", "CAST"}.isdisjoint(found)
    assert set(expected) <= set(found)
    inputs = {
        v.name: (RNG.standard_normal([d.dim_value for d in v.type.tensor_type.shape.dim]) * 3).astype(
            np.float32
        )
        for v in proto.graph.input
    }
    want, got = bridge.run(bridge.load(proto), inputs)["y"], bridge.run(path, inputs)["y"]
    assert want.shape == got.shape
    assert np.abs(want - got).max() <= out[0] * 1.001


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
    integer(qdq(LAYER + body, [IMAGE], dtype, out, weights(shape, per_channel)), out, tmp_path, expected)


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
    integer(qdq(body, [IMAGE], dtype, out, weights([8, 6, 3, 3], per_channel, 1)), out, tmp_path, *expected)


@pytest.mark.parametrize("per_channel", [False, True])
def test_weights_around_no_zero_stay_uint8(per_channel, tmp_path):
    """uint8 kernels take one zero point for all weights; otherwise the layer stays float."""
    held = dict(weights([6, 8, 3, 3], per_channel))
    zero = np.full(np.shape(held["wz"]), 117, np.uint8)
    held |= {"wq": (held["wq"].astype(np.int16) + 120).clip(0, 255).astype(np.uint8), "wz": zero}
    proto = qdq(LAYER + "r = Conv (x0, w, b)", [IMAGE], "uint8", (0.4, 130), list(held.items()))
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
    integer(
        qdq(LAYER + body, [[3, 20]], dtype, out, weights([7, 20], per_channel)),
        out,
        tmp_path,
        "FULLY_CONNECTED",
    )


OPERATORS = [
    ("r = Add (x0, x1)", 2, 0.09, "ADD"),
    ("r = Sub (x0, x1)", 2, 0.09, "SUB"),
    ("r = Mul (x0, x1)", 2, 0.2, "MUL"),
    ("r = Mul (x0, half)", 1, 0.03, "MUL"),
    ("r = Add (two, x0)", 1, 0.07, "ADD"),
    ("r = Sigmoid (x0)", 1, 1 / 256, "LOGISTIC"),
    ("r = Sigmoid (x0)", 1, 1 / 200, "LOGISTIC"),
    ("r = Tanh (x0)", 1, 1 / 128, "TANH"),
    ("r = Relu (x0)", 1, 0.03, "RELU"),
    ("r = Clip (x0, none, six)", 1, 0.03, "RELU6"),
    ("r = LeakyRelu <alpha: float = 0.1> (x0)", 1, 0.05, "LEAKY_RELU"),
    ("r = PRelu (x0, half)", 1, 0.05, "PRELU"),
    ("r = HardSwish (x0)", 1, 0.05, "HARD_SWISH"),
    ("r = Gelu (x0)", 1, 0.05, "GELU"),
    ("r = Elu (x0)", 1, 0.05, "ELU"),
    ("r = LogSoftmax (x0)", 1, 0.08, "LOG_SOFTMAX"),
    ("r = Softmax (x0)", 1, 1 / 200, "SOFTMAX"),
    ("r = MatMul (x0, x1)", 2, 0.7, "BATCH_MATMUL"),
    ("r = GlobalAveragePool (x0)", 1, 0.02, "MEAN"),
    ("r = ReduceSum <keepdims: int = 0> (x0, one)", 1, 0.3, "SUM"),
    ("r = Abs (x0)", 1, 0.04, "ABS"),
    ("r = Expand (x0, wide)", 1, 0, "BROADCAST_TO"),
    ("r = GatherND (x0, places)", 1, 0, "GATHER_ND"),
    (
        "r = MaxPool <kernel_shape: ints = [3,3], strides: ints = [2,2], pads: ints = [1,1,1,1]> (x0)",
        1,
        0,
        "MAX_POOL_2D",
    ),
    ("r = AveragePool <kernel_shape: ints = [2,2], strides: ints = [2,2]> (x0)", 1, 0, "AVERAGE_POOL_2D"),
    ("r = AveragePool <kernel_shape: ints = [2,2], strides: ints = [2,2]> (x0)", 1, 0.07, "AVERAGE_POOL_2D"),
    ("r = Transpose <perm: ints = [0,2,1,3]> (x0)", 1, 0, "TRANSPOSE"),
    ("r = Concat <axis: int = 1> (x0, x0)", 1, 0, "CONCATENATION"),
    ("r = Concat <axis: int = 1> (x0, x1)", 2, 0.07, "CONCATENATION"),
    ("r = Max (x0, half)", 1, 0, "MAXIMUM"),
    ("r = Min (x0, x1)", 2, 0.07, "MINIMUM"),
    ("a, b = Split <axis: int = 1, num_outputs: int = 2> (x0) r = Add (a, b)", 1, 0.09, "SPLIT_V"),
    ("r = Slice (x0, one, three, one)", 1, 0, "STRIDED_SLICE"),
    ("r = Pad (x0, pads)", 1, 0, "PAD"),
    ("r = ReduceMax <keepdims: int = 0> (x0, one)", 1, 0, "REDUCE_MAX"),
    ('r = Resize <mode: string = "linear"> (x0, , doubled)', 1, 0, "RESIZE_BILINEAR"),
]
LACKING = {
    "uint8": {"ABS", "ELU"},
    "int16": {"PRELU", "HARD_SWISH", "GELU", "ELU", "LOG_SOFTMAX", "SUM"},
}
NUMBERS = [
    ("half", np.float32(0.5)),
    ("two", np.float32([2])),
    ("none", np.float32(0)),
    ("six", np.float32(6)),
    ("one", np.array([1])),
    ("three", np.array([3])),
    ("pads", np.array([0, 0, 1, 1, 0, 0, 2, 0])),
    ("wide", np.array([3, 1, 1, 1])),
    ("places", np.array([[0, 1], [0, 7], [0, 1]])),
    ("doubled", np.float32([1, 1, 2, 2])),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("body", "count", "scale", "expected"), OPERATORS)
def test_other_operators(dtype, body, count, scale, expected, tmp_path):
    if expected in LACKING.get(dtype, ()):
        pytest.skip(f"LiteRT has no {expected} of {dtype}")
    same = {"int8": -5, "uint8": 123, "int16": 0}[dtype]
    out = (scale, {"int8": -3, "uint8": 121, "int16": 0}[dtype]) if scale else (0.0473, same)
    used = [(name, value) for name, value in NUMBERS if name in body]
    integer(qdq(body, [IMAGE] * count, dtype, out, used), out, tmp_path, expected)


@pytest.mark.parametrize(
    ("scale", "zero", "coarse"), [(1 / 256, -128, True), (0.01, 3, True), (0.002, -100, False)]
)
def test_softmax_is_integer_where_its_own_scale_is_fine_enough(scale, zero, coarse, tmp_path):
    proto = qdq("r = Softmax <axis: int = -1> (x0)", [[2, 5, 8]], "int8", (scale, zero))
    path = bridge.convert(proto, tmp_path / "s.tflite").path
    assert (operators(path).count("DEQUANTIZE") == 1) is coarse
    x = {"f0": (RNG.standard_normal((2, 5, 8)) * 3).astype(np.float32)}
    assert np.abs(bridge.run(bridge.load(proto), x)["y"] - bridge.run(path, x)["y"]).max() <= scale * 1.001


@pytest.mark.parametrize("kernels", ["AUTO", "BUILTIN_WITHOUT_DEFAULT_DELEGATES"])
@pytest.mark.parametrize("kind", ["int2", "int4", "uint4"])
def test_less_than_a_byte_is_kept_between_operators(kind, kernels, tmp_path):
    """Quantized by saturation, and cast by the low bits."""
    model = bridge.load(
        onnx.parser.parse_model(
            f'<ir_version: 13, opset_import: ["" : 25]> g (float[12] x) => (float[12] y, int32[12] z) '
            f"<float s = {{0.5}}, {kind} o = {{1}}> {{ q = QuantizeLinear (x, s, o) y = DequantizeLinear (q, "
            "s, o) "
            f"c = Cast <to = {onnx.TensorProto.DataType.Value(kind.upper())}> (x) z = Cast <to = 6> (c) }}"
        )
    )
    x = np.float32([0, 1, 2, 3, 7, 8, 9, 15, 16, -1, -8, -9])
    path = bridge.save(model, tmp_path / "few.tflite").path
    found = runtime.LiteRTSession(path, resolver=getattr(OpResolverType, kernels)).run({"x": x})
    dtype = np.dtype(getattr(ml_dtypes, kind))
    limits = ml_dtypes.iinfo(dtype)
    steps = np.clip(np.round(x / 0.5) + 1, limits.min, limits.max)
    np.testing.assert_array_equal(found["y"], (steps - 1) * np.float32(0.5))
    np.testing.assert_array_equal(found["z"], (x.astype(np.int32) - limits.min) % 2**limits.bits + limits.min)


@pytest.mark.parametrize("kind", ["int4", "uint4"])
def test_less_than_a_byte_goes_in_and_out(kind, tmp_path):
    number = onnx.TensorProto.DataType.Value(kind.upper())
    model = onnx.parser.parse_model(
        f'<ir_version: 13, opset_import: ["" : 25]> g ({kind}[5] x) => ({kind}[5] y, float[5] z) '
        f"{{ z = Cast <to = 1> (x) n = Neg (z) y = Cast <to = {number}> (n) }}"
    )
    path = bridge.save(bridge.load(model), tmp_path / "few.tflite").path
    x = np.array([0, 1, 3, 7, 5], np.int8).astype(getattr(ml_dtypes, kind))
    found, back = bridge.run(path, {"x": x}), bridge.load(path)
    assert (found["y"].dtype, back.graph.inputs[0].dtype.name) == (x.dtype, kind.upper())
    want = -x.astype(np.int32) % 16
    np.testing.assert_array_equal(found["y"].astype(np.int32) % 16, want)
