"""Quantized operators of com.microsoft mean in the hub what ONNX Runtime computes for them."""

from __future__ import annotations

import numpy as np
import pytest
from vendor_nodes import RNG, Case, f, i8, one_of_each, require_as_onnx_runtime, require_in_tflite, u8

S = np.float32


def z(value: int, dtype: type = np.uint8) -> np.ndarray:
    return np.array(value, dtype)


def i32(*shape: int) -> np.ndarray:
    return RNG.integers(-500, 500, shape).astype(np.int32)


def columns(count: int) -> np.ndarray:
    return np.abs(f(count)) * S(0.02)


A = [S(0.05), S(0.02)]
CASES = {
    "of numbers with sign": Case("MatMulIntegerToFloat", [i8(3, 8), i8(8, 4), *A, z(3, np.int8)], {}),
    "of one scale in a vector": Case("MatMulIntegerToFloat", [u8(3, 8), i8(8, 4), np.array([0.05], S), S(0.02)], {}),
    "of batches": Case("MatMulIntegerToFloat", [u8(2, 3, 8), u8(2, 8, 4), *A, z(120), z(128)], {}, fed=[0, 1]),
    "of batches, dynamic": Case("DynamicQuantizeMatMul", [f(2, 3, 8), u8(2, 8, 4), S(0.02)], {}),
    "of 16 bits": Case("MatMulInteger16", [f(3, 8).astype(np.int16), (f(8, 4) * 100).astype(np.int16)], {}),
    "averages with sign": Case(
        "QLinearAveragePool",
        [i8(1, 2, 4, 4), S(0.05), z(3, np.int8), S(0.05), z(-3, np.int8)],
        {"kernel_shape": [2, 2]},
    ),
    "largest of images": Case(
        "NhwcMaxPool",
        [u8(1, 6, 6, 3)],
        {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2], "ceil_mode": 1},
    ),
    "largest, spread": Case("NhwcMaxPool", [i8(1, 6, 6, 3)], {"kernel_shape": [2, 2], "dilations": [2, 2]}),
    "largest of a line": Case("NhwcMaxPool", [i8(1, 6, 3)], {"kernel_shape": [2]}),
    "softmax with sign": Case(
        "QLinearSoftmax",
        [i8(2, 3), S(0.05), z(12, np.int8), S(1 / 256), z(-128, np.int8)],
        {"opset": 13, "axis": 0},
    ),
    "where with sign": Case(
        "QLinearWhere",
        [RNG.integers(0, 2, (2, 3)).astype(bool), i8(2, 3), S(0.05), z(1, np.int8), i8(3), S(0.02), z(2, np.int8),
         S(0.05), z(3, np.int8)],
        {},
        fed=[0, 1, 4],
    ),
    "concat of three": Case(
        "QLinearConcat",
        [S(0.03), z(11, np.int8), i8(2, 3), S(0.02), z(1, np.int8), i8(2, 3), S(0.05), z(2, np.int8), i8(2, 1),
         S(0.01), z(2, np.int8)],
        {"axis": 1},
        fed=[2, 5, 8],
    ),
    "to 16 bits": Case("QuantizeLinear", [f(3, 4), S(0.001), z(5, np.int16)], {}),
    "from 16 bits": Case("DequantizeLinear", [u8(3, 4).astype(np.uint16), S(0.001), z(5, np.uint16)], {}),
    "from 32 bits": Case("DequantizeLinear", [i32(3, 4), S(0.001)], {}),
    "from bytes of rows": Case("DequantizeLinear", [u8(3, 4), columns(3), u8(3)], {"axis": 0}),
    "to bytes of columns": Case("QuantizeLinear", [f(3, 4), columns(4), u8(4)], {"axis": 1}),
    "to bytes without a zero point": Case("QuantizeLinear", [f(3, 4), S(0.1)], {}),
}  # fmt: skip

for kind in (u8, i8):
    name, point = kind.__name__, z(3, kind(1).dtype)
    CASES |= {
        f"of {name}": Case("MatMulIntegerToFloat", [u8(3, 8), kind(8, 4), *A, z(120), point, f(4)], {}),
        f"of columns of {name}": Case(
            "MatMulIntegerToFloat", [u8(2, 3, 8), kind(8, 4), S(0.05), columns(4), z(120), kind(4), f(4)], {}
        ),
        f"of {name} around zero": Case("MatMulIntegerToFloat", [u8(3, 8), kind(8, 4), *A], {}),
        f"of {name}, dynamic": Case("DynamicQuantizeMatMul", [f(3, 8), kind(8, 4), S(0.02), point, f(4)], {}),
        f"of columns of {name}, dynamic": Case(
            "DynamicQuantizeMatMul", [f(2, 3, 8), kind(8, 4), columns(4), kind(4)], {}
        ),
        f"of {name} around zero, dynamic": Case(
            "DynamicQuantizeMatMul", [f(3, 8), kind(8, 4), np.array([0.02], S)], {}
        ),
    }

for last in (0, 1):
    image = u8(1, 5, 6, 4) if last else u8(1, 4, 5, 6)
    given, layout = [image, S(0.05), z(120)], {"channels_last": last}
    odd = {"pads": [1, 0, 1, 1], "strides": [2, 1]}
    CASES |= {
        f"convolution, channels last {last}": Case(
            "QLinearConv",
            [*given, u8(6, 4, 3, 3), S(0.02), z(4), S(0.5), z(128), i32(6)],
            {**layout, **odd},
        ),
        f"convolution in groups, channels last {last}": Case(
            "QLinearConv",
            [*given, i8(6, 2, 3, 3), S(0.02), z(4, np.int8), S(0.5), z(128), i32(6)],
            {**layout, **odd, "group": 2},
        ),
        f"convolution of columns, channels last {last}": Case(
            "QLinearConv",
            [*given, i8(6, 4, 2, 2), columns(6), np.zeros(6, np.int8), S(0.5), z(128)],
            {**layout, "auto_pad": "SAME_UPPER"},
        ),
        f"averages, channels last {last}": Case(
            "QLinearAveragePool", [*given, S(0.05), z(110)], {**layout, **odd, "kernel_shape": [2, 3]}
        ),
        f"averages with pads, channels last {last}": Case(
            "QLinearAveragePool",
            [*given, S(0.05), z(110)],
            {**layout, "kernel_shape": [2, 2], "pads": [1, 1, 0, 0], "strides": [2, 2], "ceil_mode": last,
             "count_include_pad": 1 - last},
        ),
        f"one average, channels last {last}": Case("QLinearGlobalAveragePool", [*given, S(0.05), z(110)], layout),
    }  # fmt: skip

for op in ("QLinearAdd", "QLinearMul"):
    CASES |= {
        f"{op} of shapes": Case(
            op, [u8(2, 3), S(0.05), z(120), u8(3), S(0.02), z(0), S(0.1), z(5)], {}, fed=[0, 3]
        ),
        f"{op} with sign": Case(
            op, [i8(2, 3), S(0.05), z(12, np.int8), i8(3), S(0.02), z(1, np.int8), S(0.1)], {}
        ),
    }

for op in ("QLinearSigmoid", "QLinearLeakyRelu"):
    CASES[f"{op} with sign"] = Case(op, [i8(2, 3), S(0.05), z(12, np.int8), S(0.01), z(-12, np.int8)], {})

for turned in (0, 1):
    for quantized in (0, 1):
        a, b = (u8(8, 3), i8(4, 8)) if turned else (u8(3, 8), i8(8, 4))
        inputs = [a, S(0.05), z(120), b, columns(4), np.zeros(4, np.int8), i32(4), S(0.3), z(128)]
        CASES[f"QGemm turned {turned} quantized {quantized}"] = Case(
            "QGemm", inputs[: 9 if quantized else 7], {"transA": turned, "transB": turned, "alpha": 0.7}
        )
for shape in (None, (3, 4), (1,), (3, 1)):
    bias = [] if shape is None else [i32(*shape)]
    CASES[f"QGemm with a bias of {shape}"] = Case(
        "QGemm", [u8(3, 8), S(0.05), z(120), u8(8, 4), S(0.02), z(9), *bias], {}
    )


@pytest.mark.parametrize("name", CASES)
def test_quantized_operator_equals_onnx_runtime(name):
    require_as_onnx_runtime(CASES[name])


@pytest.mark.parametrize("name", one_of_each(CASES))
def test_operator_equals_onnx_runtime_in_tflite(tmp_path, name):
    require_in_tflite(CASES[name], tmp_path)


def test_softmax_of_columns_is_of_columns_in_tflite(tmp_path):
    require_in_tflite(CASES["softmax with sign"], tmp_path)
