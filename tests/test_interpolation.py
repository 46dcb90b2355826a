"""Coordinates and weights of a resized axis, against onnx.reference's Resize, whose weights are float32 in
part."""

import itertools

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from bridge.arrays import HubArray
from bridge.hub import Builder
from bridge.interpolation import (
    ResizeAxis,
    cubic_kernel,
    cubic_taps,
    dense,
    excluding_outside,
    filter_taps,
    linear_kernel,
    linear_taps,
    nearest_index,
    normalize_taps,
    original_coordinates,
    step_between,
)

LENGTHS = [(1, 3), (2, 5), (4, 8), (5, 1), (5, 3), (6, 4), (7, 7), (7, 12)]
COORDINATES = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"]
ROUNDINGS = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


def reference(x: np.ndarray, length_resized: int, roi: list[float] | None = None, **attributes) -> np.ndarray:
    """What onnx.reference makes of a vector of float64."""
    inputs = [helper.make_tensor_value_info(n, t, None) for n, t in (("x", 11), ("roi", 11), ("sizes", 7))]
    node = helper.make_node("Resize", ["x", "roi" if roi else "", "", "sizes"], ["y"], **attributes)
    output = helper.make_tensor_value_info("y", TensorProto.DOUBLE, None)
    graph = helper.make_graph([node], "resize", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])
    feeds = {"x": x, "roi": np.array(roi or [], np.float64), "sizes": np.array([length_resized], np.int64)}
    return ReferenceEvaluator(model).run(None, feeds)[0]


def axis_and_values(length_original: int, length_resized: int) -> tuple[ResizeAxis, np.ndarray]:
    scale = length_resized / length_original
    values = np.random.default_rng(length_original).normal(size=length_original)
    return ResizeAxis.static(length_original, length_resized, scale=scale), values


@pytest.mark.parametrize("mode", COORDINATES)
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_linear_and_cubic_weights_are_those_of_the_reference(lengths, mode):
    """But for the single sample of pytorch_half_pixel: it lies at 0, as the specification has it, at -0.5
    in the reference."""
    axis, values = axis_and_values(*lengths)
    x_original = original_coordinates(axis, mode)
    if mode == "pytorch_half_pixel" and lengths[1] == 1:
        assert x_original.tolist() == [0.0]
        return
    for name, taps in (("linear", linear_taps(x_original)), ("cubic", cubic_taps(x_original, -0.75))):
        want = reference(values, lengths[1], mode=name, coordinate_transformation_mode=mode)
        np.testing.assert_allclose(dense(taps, lengths[0]) @ values, want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_filters_are_widened_and_leave_out_what_is_outside_as_in_the_reference(lengths, mode):
    axis, values = axis_and_values(*lengths)
    kernel, radius = (linear_kernel, 1) if mode == "linear" else (lambda t: cubic_kernel(t, -0.75), 2)
    for antialias, exclude in itertools.product((0, 1), (0, 1)):
        scale = axis.scale if antialias else 1.0
        taps = filter_taps(original_coordinates(axis, "half_pixel"), kernel, radius, scale)
        taps = excluding_outside(taps, lengths[0]) if exclude else normalize_taps(taps)
        want = reference(values, lengths[1], mode=mode, antialias=antialias, exclude_outside=exclude)
        np.testing.assert_allclose(dense(taps, lengths[0]) @ values, want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("nearest_mode", ROUNDINGS)
@pytest.mark.parametrize("mode", COORDINATES)
def test_nearest_elements_are_those_of_the_reference(mode, nearest_mode):
    for lengths in LENGTHS:
        axis, values = axis_and_values(*lengths)
        index = nearest_index(original_coordinates(axis, mode), nearest_mode, lengths[0])
        want = reference(
            values, lengths[1], mode="nearest", nearest_mode=nearest_mode, coordinate_transformation_mode=mode
        )
        np.testing.assert_array_equal(values[index], want)


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_a_region_of_interest_is_cropped_as_in_the_reference(lengths):
    axis, values = axis_and_values(*lengths)
    taps = linear_taps(original_coordinates(axis, "tf_crop_and_resize", [0.25, 0.75]))
    attributes = {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"}
    want = reference(values, lengths[1], [0.25, 0.75], **attributes)
    np.testing.assert_allclose(dense(taps, lengths[0]) @ values, want, rtol=1e-6, atol=1e-6)


def test_coordinates_stay_in_the_float_type_asked_for():
    for dtype in (np.float32, np.float64):
        for mode in ("half_pixel", "asymmetric", "tf_half_pixel_for_nn"):
            axis = ResizeAxis.static(5, 3, dtype, step=step_between(5, 3, dtype=dtype))
            assert original_coordinates(axis, mode).dtype == dtype


def test_a_step_is_a_quotient_of_lengths_in_float32():
    assert step_between(3, 5) == np.float32(0.6)
    assert step_between(3, 5, align_corners=True) == np.float32(0.5)
    assert step_between(3, 1, align_corners=True) == np.float32(3)


def test_a_step_of_float32_moves_samples_that_fall_on_an_element():
    exact, rounded = (
        ResizeAxis.static(26, 22),
        ResizeAxis.static(26, 22, np.float32, step=step_between(26, 22)),
    )
    elements = [nearest_index(original_coordinates(a, "asymmetric"), "floor", 26) for a in (exact, rounded)]
    assert [e[11] for e in elements] == [13, 12]


@pytest.mark.parametrize("mode", COORDINATES)
def test_formulas_on_hub_values_compute_what_they_compute_on_arrays(mode):
    x = ir.Value(name="x", shape=ir.Shape([3]), type=ir.TensorType(ir.DataType.DOUBLE))
    graph = ir.Graph([x], [], nodes=[], opset_imports={"": 20}, name="formula")
    op = Builder(graph)
    axis = ResizeAxis(5, 3, HubArray(op, x), 0.6)
    taps = excluding_outside(cubic_taps(original_coordinates(axis, mode), -0.5), 5)
    for i, (position, weight) in enumerate(taps):
        position.value.name, weight.value.name = f"position{i}", f"weight{i}"
        graph.outputs.extend([position.value, weight.value])
    for number, node in enumerate(graph):
        for output in node.outputs:
            output.name = output.name or f"v{number}"
    model = ir.to_proto(ir.Model(graph, ir_version=10))
    results = ReferenceEvaluator(model).run(None, {"x": np.arange(3.0)})
    static = original_coordinates(ResizeAxis.static(5, 3, scale=0.6), mode)
    for i, (position, weight) in enumerate(excluding_outside(cubic_taps(static, -0.5), 5)):
        np.testing.assert_array_equal(results[2 * i], position)
        np.testing.assert_allclose(results[2 * i + 1], weight, rtol=1e-12, atol=1e-15)
