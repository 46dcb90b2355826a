"""Quantization in tensor arithmetic is exact: every integer equals ONNX Runtime's, and LiteRT's too.

ONNX Runtime saturates quotients of blocks only within int32; the specification asks it of all.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from build import hub_from_text, run_in

import bridge
from bridge.passes.decompose import Decompose

RNG = np.random.default_rng(5)


def assert_exact(model: ir.Model, inputs: dict[str, np.ndarray], folder: Path) -> None:
    """The outputs of the model, of its decomposition and of LiteRT are the same bits."""
    expected, written = bridge.run(model, inputs), run_in("tflite", model, inputs, folder)
    Decompose(lambda node: False)(model)
    for found in (bridge.run(model, inputs), written):
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value)


def parameters(shape: str, dtype: type) -> dict[str, np.ndarray]:
    dims = tuple(int(d) for d in shape.split(",")) if shape else ()
    limits = np.iinfo(dtype)
    return {
        "s": RNG.uniform(1e-3, 2, dims).astype(np.float32),
        "z": RNG.integers(limits.min, limits.max, dims, dtype=dtype, endpoint=True),
    }


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16])
@pytest.mark.parametrize(
    ("attributes", "shape"),
    [
        ("", ""),
        ("axis: int = 0", "3"),
        ("", "10"),
        ("axis: int = -1", "5"),
        ("axis: int = 1, block_size: int = 4", "3,3,5"),
    ],
)
def test_linear_quantization_both_ways(dtype, attributes, shape, tmp_path):
    kind = np.dtype(dtype).name
    options = f"<{attributes}>" if attributes else ""
    given = parameters(shape, dtype)
    common = f"float[{shape}] s, {kind}[{shape}] z" if shape else f"float s, {kind} z"
    far = 5 if "block" in attributes else 9
    x = (RNG.standard_normal((3, 10, 5)) * 10 ** RNG.uniform(-3, far, (3, 10, 5))).astype(np.float32)
    x.flat[:4] = 0.5, 1.5, -0.5, -2.5
    if "block" not in attributes:
        x.flat[4:6] = np.inf, -np.inf
    model = hub_from_text(
        f"(float[3,10,5] x, {common}) => ({kind}[3,10,5] y) {{ y = QuantizeLinear {options} (x, s, z) }}"
    )
    assert_exact(model, {"x": x, **given}, tmp_path)
    limits = np.iinfo(dtype)
    q = RNG.integers(limits.min, limits.max, (3, 10, 5), dtype=dtype, endpoint=True)
    model = hub_from_text(
        f"({kind}[3,10,5] q, {common}) => (float[3,10,5] y) {{ y = DequantizeLinear {options} (q, s, z) }}"
    )
    assert_exact(model, {"q": q, **given}, tmp_path)


def test_ties_go_to_even(tmp_path):
    x = np.arange(-140, 140, dtype=np.float32) / 2
    model = hub_from_text("(float[280] x, float s) => (uint8[280] y) { y = QuantizeLinear (x, s) }")
    assert_exact(model, {"x": x, "s": np.float32(1).reshape(())}, tmp_path)


def test_half_precision_is_divided_as_float32(tmp_path):
    x = (RNG.standard_normal(5000) * 5).astype(np.float16)
    model = hub_from_text(
        "(float16[5000] x, float16 s, int8 z) => (int8[5000] y) { y = QuantizeLinear (x, s, z) }"
    )
    assert_exact(model, {"x": x, "s": np.array(0.1, np.float16), "z": np.array(3, np.int8)}, tmp_path)


@pytest.mark.parametrize("values", [[0, 0, 0], [1, 2, 3], [-1, -2, -3], [-1.5, 0, 2.5], [3e38, 0, 1]])
def test_dynamic_quantization(values, tmp_path):
    model = hub_from_text(
        "(float[3] x) => (uint8[3] y, float s, uint8 z) { y, s, z = DynamicQuantizeLinear (x) }"
    )
    assert_exact(model, {"x": np.array(values, np.float32)}, tmp_path)


@pytest.mark.parametrize("left", [np.uint8, np.int8])
@pytest.mark.parametrize("right", [np.uint8, np.int8])
@pytest.mark.parametrize("depth", [3, 258, 259, 1500])
def test_integer_products_are_exact_at_the_extremes(left, right, depth, tmp_path):
    """Every term is as large as it gets, so that float32 could not hold the whole sum."""
    a, b = np.dtype(left).name, np.dtype(right).name
    model = hub_from_text(
        f"({a}[2,4,{depth}] a, {b}[{depth},3] b, {a} p, {b} q) => (int32[2,4,3] y)"
        " { y = MatMulInteger (a, b, p, q) }"
    )
    low, high = np.iinfo(left), np.iinfo(right)
    x = RNG.choice(np.array([low.max, low.max - 1], left), (2, 4, depth))
    y = RNG.choice(np.array([high.max, high.max - 1], right), (depth, 3))
    assert_exact(
        model, {"a": x, "b": y, "p": np.array(low.min, left), "q": np.array(high.min, right)}, tmp_path
    )


@pytest.mark.parametrize(("channels", "group", "kernel"), [(4, 1, 3), (300, 1, 3), (2, 2, 17), (1, 1, 17)])
def test_integer_convolutions_are_exact_at_the_extremes(channels, group, kernel, tmp_path):
    shape = (2 * group, channels // group, kernel, kernel)
    weights = RNG.choice(np.array([255, 254], np.uint8), shape)
    model = hub_from_text(
        f"(uint8[1,{channels},18,18] x, uint8 p) => (int32[1,{2 * group},r,c] y) "
        f"{{ y = ConvInteger <group: int = {group}, pads: ints = [1,1,1,1]> (x, w, p) }}",
        w=weights,
    )
    x = RNG.choice(np.array([255, 254], np.uint8), (1, channels, 18, 18))
    assert_exact(model, {"x": x, "p": np.array(0, np.uint8)}, tmp_path)
