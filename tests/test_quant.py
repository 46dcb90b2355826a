"""Quantization parameters: the arithmetic of the specification, and which ones a value has."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from build import hub_from_builder, hub_from_text, model_of_nodes
from hypothesis import given
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

import bridge
from bridge import hub
from bridge.quant import QuantParams, limits, quant_of, quant_params

T = ir.DataType
INTEGERS = [T.INT8, T.UINT8, T.INT16, T.UINT16, T.INT4, T.UINT4, T.INT2, T.UINT2]
FLOATS = [T.FLOAT8E4M3FN, T.FLOAT8E4M3FNUZ, T.FLOAT8E5M2, T.FLOAT8E5M2FNUZ]
TINY = [T.FLOAT4E2M1, T.FLOAT6E2M3, T.FLOAT6E3M2]
SCALES = [T.FLOAT, T.FLOAT16, T.BFLOAT16]


@st.composite
def cases(draw: Any, dtypes: list[ir.DataType]) -> tuple[QuantParams, np.ndarray, np.random.Generator]:
    """Parameters, the shape of a tensor they are of as an empty array, and a source of numbers."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    axis, block = draw(st.integers(0, len(shape) - 1)), draw(st.integers(1, 4))
    dtype = draw(st.sampled_from(dtypes))
    granularity = draw(st.sampled_from(["tensor", "axis", "block"]))
    sizes = {
        "tensor": [],
        "axis": [shape[axis]],
        "block": [*shape[:axis], -(-shape[axis] // block), *shape[axis + 1 :]],
    }[granularity]
    scale = np.exp2(rng.uniform(-8, 3, sizes)).astype(draw(st.sampled_from(SCALES)).numpy())
    low, high = limits(dtype)
    zero = rng.integers(int(low), int(high), sizes, endpoint=True) if dtype in INTEGERS else None
    params = QuantParams.of(scale, zero, dtype, axis, block if granularity == "block" else 0)
    return params, np.empty(shape), rng


def numbers(params: QuantParams, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Numbers whose quotients have all sizes below float16's largest, halves among them: from infinity the
    reference evaluator makes any int32."""
    ratio = np.clip(rng.standard_normal(shape) * np.exp2(rng.uniform(-4, 14, shape)), -3e4, 3e4)
    halves = rng.integers(-300, 300, shape) / 2
    scale, _ = params.broadcast(shape)
    return np.clip(np.where(rng.random(shape) < 0.3, halves, ratio) * scale.astype(np.float64), -3e4, 3e4)


def reference(operator: str, params: QuantParams, x: np.ndarray, **attributes: int) -> np.ndarray:
    """What the reference evaluator computes."""
    along = {} if params.axis is None else {"axis": params.axis, "block_size": params.block_size}
    node = onnx.helper.make_node(operator, ["x", "s", "z"], ["y"], **along, **attributes)
    given = {"x": x, "s": params.scale, "z": params.zero_point}
    model = model_of_nodes(
        node, {n: (v.dtype, v.shape) for n, v in given.items()}, {"y": None}, opsets={"": 28}
    )
    return ReferenceEvaluator(model).run(None, given)[0]


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found.astype(np.float64), expected.astype(np.float64))


@given(cases(INTEGERS + FLOATS + TINY), st.sampled_from([0, 1]))
def test_quantize_is_quantize_linear(case, saturate):
    params, empty, rng = case
    x = numbers(params, empty.shape, rng).astype(params.scale.dtype)
    expected = reference("QuantizeLinear", params, x, saturate=saturate)
    assert_same(params.quantize(x, saturate=bool(saturate)), expected)


@given(cases(INTEGERS), st.sampled_from(SCALES), st.sampled_from([np.float32, np.float16, np.int32]))
def test_the_quotient_has_the_precision_asked_for(case, precision, dtype):
    params, empty, rng = case
    x = numbers(params, empty.shape, rng).astype(dtype)
    expected = reference("QuantizeLinear", params, x, precision=int(precision))
    assert_same(params.quantize(x, precision), expected)


@given(cases([*INTEGERS, *FLOATS, T.FLOAT4E2M1]), st.sampled_from([None, *SCALES]))
def test_dequantize_is_dequantize_linear(case, dtype):
    params, empty, rng = case
    low, high = limits(params.dtype)
    draw = rng.uniform(low / 8, high / 8, empty.shape) if params.dtype not in INTEGERS else None
    x = rng.integers(int(low), int(high), empty.shape, endpoint=True) if draw is None else draw
    x = np.asarray(x, np.float32).astype(params.dtype.numpy())
    attributes = {} if dtype is None else {"output_dtype": int(dtype)}
    assert_same(params.dequantize(x, dtype), reference("DequantizeLinear", params, x, **attributes))


def test_quotients_beyond_int32_and_infinities_saturate():
    params = QuantParams.of(1e-3, 3, T.INT8)
    x = np.float32([3e38, -3e38, np.inf, -np.inf, 2.5e-3, 3.5e-3])
    np.testing.assert_array_equal(params.quantize(x), np.int8([127, -128, 127, -128, 5, 7]))


def test_the_dtype_of_the_scale_decides_the_precision_of_the_quotient():
    """In float16, 2049 / 1 is 2048."""
    x = np.float32([2049])
    assert QuantParams.of(np.float16(1), None, T.INT16).quantize(x) == [2048]
    assert QuantParams.of(np.float32(1), None, T.INT16).quantize(x) == [2049]


def test_integers_of_32_bits_are_rounded_once():
    params = QuantParams.of(np.float32(1), np.int32(1), T.INT32)
    np.testing.assert_array_equal(
        params.dequantize(np.int32([2**24 + 2, 2**24])), np.float32([2**24, 2**24 - 1])
    )


def test_one_element_is_per_tensor_and_a_zero_point_is_as_many_as_scales():
    params = QuantParams.of(np.float32([0.5]), np.array([3]), T.UINT8, axis=1)
    assert params.per_tensor
    assert (params.scale.shape, params.zero_point.shape, params.axis) == ((), (), None)
    wide = QuantParams.of(np.float32([0.5, 1]), 3, T.UINT8, axis=1)
    assert wide.zero_point.tolist() == [3, 3]
    assert wide.zero_point.dtype == np.uint8


def test_parameters_are_equal_where_they_say_the_same():
    one, same = (QuantParams.of(np.float32([0.5, 1]), None, T.INT8, axis=1) for _ in range(2))
    assert one == same
    assert len({one, same}) == 1
    others = [
        QuantParams.of(np.float32([0.5, 1]), None, T.INT8, axis=0),
        QuantParams.of(np.float32([0.5, 2]), None, T.INT8, axis=1),
        QuantParams.of(np.float32([0.5, 1]), 1, T.INT8, axis=1),
        QuantParams.of(np.float32([0.5, 1]), None, T.UINT8, axis=1),
        QuantParams.of(np.float16([0.5, 1]), None, T.INT8, axis=1),
    ]
    assert all(one != other for other in others)


@pytest.mark.parametrize(
    ("scale", "zero", "axis", "block"),
    [
        ([1.0, 1.0], [0], 0, 0),
        (1.0, 0, 0, 0),
        ([1.0, 1.0], [0, 0], None, 0),
        ([[1.0]], [[0]], 1, 0),
        ([1.0], [0], 1, 2),
    ],
)
def test_parameters_that_do_not_fit_are_refused(scale, zero, axis, block):
    with pytest.raises(ValueError, match="scale"):
        QuantParams(np.array(scale, np.float32), np.array(zero, np.int8), axis, block, T.INT8)


def output_params(build: Any) -> QuantParams | None:
    """Of the first result of a graph of `x`, integers of shape [2, 3, 4]."""
    model = hub_from_builder(build, {"x": (np.int8, [2, 3, 4])})
    return quant_of(model.graph.outputs[0])


PER_AXIS = QuantParams.of(np.float32([1, 2, 3]), np.int8([0, 1, 2]), T.INT8, axis=1)
BLOCKS = QuantParams.of(
    np.random.default_rng(0).random((2, 3, 2), np.float32), None, T.INT8, axis=-1, block_size=2
)
SINGLE = QuantParams.of(0.5, 3, T.INT8)
MOVES = {
    "identity": (lambda op, d: op.Identity(d), 1),
    "transpose": (lambda op, d: op.Transpose(d, perm=[2, 0, 1]), 2),
    "reverse": (lambda op, d: op.Transpose(d), 1),
    "unsqueeze": (lambda op, d: op.Unsqueeze(d, [0]), 2),
    "reshape before": (lambda op, d: op.Reshape(d, [1, 2, 3, 2, 2]), 2),
    "reshape across": (lambda op, d: op.Reshape(d, [6, 4]), None),
    "concat": (lambda op, d: op.Concat(d, d, axis=0), 1),
    "concat along": (lambda op, d: op.Concat(d, d, axis=1), None),
    "split": (lambda op, d: op.Split(d, num_outputs=2, axis=-1, _outputs=2)[1], 1),
    "slice": (lambda op, d: op.Slice(d, [0], [1], [-1]), 1),
    "slice along": (lambda op, d: op.Slice(d, [0], [3], [-2]), None),
    "max pool": (lambda op, d: op.MaxPool(d, kernel_shape=[2]), 1),
    "gather": (lambda op, d: op.Gather(d, [0, 0], axis=1), None),
    "arithmetic": (lambda op, d: op.Neg(d), None),
}


@pytest.mark.parametrize(("move", "axis"), MOVES.values(), ids=MOVES)
def test_data_that_moves_keeps_its_parameters_at_the_axis_they_vary_along(move, axis):
    spec = {"x": (np.int8, [2, 3, 4])}
    numbers = hub_from_builder(lambda op, x: move(op, PER_AXIS.dequantize_linear(op, x)), spec)
    found = quant_of(numbers.graph.outputs[0])
    assert (None if found is None else found.axis) == axis
    if found is not None:
        x = np.random.default_rng(1).integers(-99, 99, (2, 3, 4)).astype(np.int8)
        integers = bridge.run(hub_from_builder(move, spec), {"x": x})["y"]
        np.testing.assert_array_equal(found.dequantize(integers), bridge.run(numbers, {"x": x})["y"])
    single = output_params(lambda op, x: move(op, SINGLE.dequantize_linear(op, x)))
    assert single == (None if move is MOVES["arithmetic"][0] else SINGLE)


def test_blocks_are_transposed_with_the_data():
    found = output_params(lambda op, x: op.Transpose(BLOCKS.dequantize_linear(op, x), perm=[2, 0, 1]))
    assert found == BLOCKS.transpose([2, 0, 1])
    assert (found.axis, found.scale.shape) == (0, (2, 2, 3))
    x = np.random.default_rng(1).integers(-9, 9, (2, 3, 4)).astype(np.int8)
    moved = x.transpose(2, 0, 1)
    np.testing.assert_array_equal(found.dequantize(moved), BLOCKS.dequantize(x).transpose(2, 0, 1))


def test_joined_data_of_other_parameters_has_none():
    other = QuantParams.of(0.25, 3, T.INT8)
    joined = output_params(
        lambda op, x: op.Concat(SINGLE.dequantize_linear(op, x), other.dequantize_linear(op, x), axis=0)
    )
    assert joined is None


def test_places_of_a_maximum_have_no_parameters():
    def places(op: hub.Builder, x: ir.Value) -> ir.Value:
        return op.MaxPool(SINGLE.dequantize_linear(op, x), kernel_shape=[2], _outputs=2)[1]

    assert output_params(places) is None


@pytest.mark.parametrize("params", [SINGLE, PER_AXIS, BLOCKS])
def test_nodes_have_the_parameters_they_were_made_of(params):
    def both(op: hub.Builder, x: ir.Value) -> ir.Value:
        return params.quantize_linear(op, params.dequantize_linear(op, x))

    model = hub_from_builder(both, {"x": (np.int8, [2, 3, 4])})
    assert [quant_params(node) for node in model.graph] == [params, params]


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        ("(float[4] x) => (uint8[4] y) <float s = {0.5}> { y = QuantizeLinear (x, s) }", T.UINT8),
        (
            "(float[4] x) => (int4[4] y) <float s = {0.5}> "
            "{ y = QuantizeLinear <output_dtype: int = 22> (x, s) }",
            T.INT4,
        ),
        ("(float[4] x, float s) => (uint8[4] y) { y = QuantizeLinear (x, s) }", None),
        ("(float[4] x, uint8 z) => (uint8[4] y) <float s = {0.5}> { y = QuantizeLinear (x, s, z) }", None),
    ],
)
def test_defaults_are_the_schemas_and_what_is_known_at_run_time_is_none(graph, expected):
    found = quant_of(hub_from_text(graph).graph.outputs[0])
    assert (None if found is None else found.dtype) == expected
    if found is not None:
        assert found == QuantParams.of(0.5, None, expected)


def test_limits_are_the_dtypes():
    assert limits(T.INT4) == (-8, 7)
    assert limits(T.UINT2) == (0, 3)
    assert limits(T.FLOAT8E4M3FN) == (-448, 448)
    assert float(ml_dtypes.finfo(ml_dtypes.float8_e5m2).max) == limits(T.FLOAT8E5M2)[1]
