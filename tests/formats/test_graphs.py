"""Small graphs that targets, or shape inference, once took for others: the numbers are ONNX Runtime's."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
from build import model_from_text, run_in

import bridge

BACKWARDS = "y = Slice (x, s, e, a, p) }"
BACK = "<int64[1] s = {-3}, int64[1] e = {-8}, int64[1] a = {0}, int64[1] p = {-2}>"


class Graph(NamedTuple):
    """A graph in ONNX text, and the shape of its input `x` when it runs."""

    shape: list[int]
    text: str


CASES = {
    "backwards": Graph([2], f"(float[n] x) => (float[m] y) {BACK} {{ {BACKWARDS}"),
    "backwards_static": Graph([2], f"(float[2] x) => (float[m] y) {BACK} {{ {BACKWARDS}"),
    "slice_of_nothing": Graph(
        [3, 3],
        "(float[n,3] x) => (float[n,2] y) <int64[1] s = {2}, int64[1] a = {1}, int64[4] p = {0,1,0,1}> { "
        "z = Slice (x, s, s, a) y = Pad (z, p) }",
    ),
    "all_cut_away": Graph(
        [3, 2, 1],
        "(float[n,2,1] x) => (float[n,2,1] y) <int64[6] p = {0,0,1,0,0,-1}> { y = Pad (x, p) }",
    ),
    "all_cut_away_static": Graph(
        [3, 1],
        "(float[3,1] x) => (float[3,2] y) <int64[4] p = {0,2,0,-1}> { y = Pad (x, p) }",
    ),
    "softmax_of_six_axes": Graph(
        [2, 1, 2, 1, 2, 2],
        "(float[2,1,2,1,2,2] x) => (float[2,1,2,1,2,2] y) { y = Softmax <axis: int = 4> (x) }",
    ),
    "pool_wider_than_its_input": Graph(
        [2, 1, 4, 2, 1],
        "(float[2,1,4,2,1] x) => (float[a,b,c,d,e] y) { y = AveragePool <kernel_shape = [2,3,2], pads = "
        "[1,1,1,1,1,1], strides = [1,2,1], count_include_pad: int = 1> (x) }",
    ),
    "volume_of_one_channel": Graph(
        [3, 2, 5, 3, 3],
        "(float[3,2,5,3,3] x) => (float[a,b,c,d,e] y) { i = Constant <value_ints = [2,1,3,2,2]> () "
        "w = ConstantOfShape <value = float[1] {0.5}> (i) y = Conv <group: int = 2, strides = [2,1,2]> "
        "(x, w) }",
    ),
    "image_of_one_channel": Graph(
        [6, 2, 16, 1],
        "(float[6,2,16,1] x) => (float[a,b,c,d] y) { i = Constant <value_ints = [2,1,1,3]> () "
        "w = ConstantOfShape <value = float[1] {0.5}> (i) y = Conv <group: int = 2, pads = [0,1,0,1], "
        "strides = [1,2]> (x, w) }",
    ),
    "reflected_grid_of_one_pixel": Graph(
        [1, 1, 1, 3],
        "(float[1,1,1,3] x) => (float[1,1,1,2] y) <float[1,1,2,2] g = {-1.2, 0.3, 0.4, 1.5}> "
        '{ y = GridSample <mode: string = "linear", padding_mode: string = "reflection", align_corners: '
        "int = 1> (x, g) }",
    ),
    "convolution_of_any_size": Graph(
        [2, 3, 5, 6],
        "(float[n,3,h,w] x) => (float[n,2,a,b] y) { i = Constant <value_ints = [2,3,3,2]> () "
        'w = ConstantOfShape <value = float[1] {0.5}> (i) y = Conv <auto_pad: string = "SAME_UPPER", '
        "strides = [2,2]> (x, w) }",
    ),
    "pool_of_any_size": Graph(
        [2, 3, 5, 6],
        '(float[n,3,h,w] x) => (float[n,3,a,b] y) { y = AveragePool <auto_pad: string = "SAME_UPPER", '
        "kernel_shape = [3,2], strides = [2,2]> (x) }",
    ),
    "pool_without_a_last_window": Graph(
        [2, 2, 4],
        "(float[n,2,4] x) => (float[n,2,3] y) { y = AveragePool <kernel_shape = [2], pads = [0,1], "
        "strides = [2], ceil_mode: int = 1> (x) }",
    ),
    "pool_that_leaves_elements_out": Graph(
        [1, 2, 5, 4],
        '(float[1,2,5,4] x) => (float[1,2,a,b] y) { y = LpPool <auto_pad: string = "SAME_UPPER", '
        "kernel_shape = [3,2], p: int = 3, strides = [2,4]> (x) }",
    ),
    "average_that_leaves_elements_out": Graph(
        [1, 2, 9, 12],
        '(float[1,2,h,w] x) => (float[1,2,a,b] y) { y = AveragePool <auto_pad: string = "SAME_LOWER", '
        "kernel_shape = [1,2], strides = [4,6]> (x) }",
    ),
    "convolution_that_leaves_elements_out": Graph(
        [1, 1, 8, 10],
        "(float[1,1,h,w] x) => (float[1,1,a,b] y) <float[1,1,1,2] k = {1.0, 2.0}> { y = Conv <auto_pad: "
        'string = "SAME_UPPER", strides = [4,5]> (x, k) }',
    ),
    "maxima_that_leave_elements_out": Graph(
        [1, 2, 6, 10],
        "(float[1,2,6,10] x) => (float[1,2,2,2] y, int64[1,2,2,2] i) { y, i = MaxPool <auto_pad: string = "
        '"SAME_UPPER", kernel_shape = [1,1], strides = [3,5], storage_order: int = 1> (x) }',
    ),
    "places_of_maxima_of_any_length": Graph(
        [2, 2, 6, 5],
        "(float[n,2,h,w] x) => (float[n,2,a,b] y, int64[n,2,a,b] i) { y, i = MaxPool <kernel_shape = [2,3], "
        "pads = [1,0,0,1], storage_order: int = 1> (x) }",
    ),
    "group_of_one_number_far_from_zero": Graph(
        [3, 4, 1],
        "(float[n,4,1] x) => (float[n,4,1] y) <float c = {0.00001}, float d = {-1000.0}, float[1] s = {2}, "
        "float[1] b = {1}> { a = Mul (x, c) e = Add (a, d) "
        "y = GroupNormalization <num_groups: int = 1> (e, s, b) }",
    ),
    "recurrence_of_constants": Graph(
        [1, 1, 1, 1],
        "(float[1,1,1,1] x) => (float[1,1,1,1] y) <float[1,1,1] c = {0.5}, float[1,4,1] w = {1,2,-1,0.5}, "
        "float[1,4,1] r = {0.5,1,2,-1}, float[1,8] b = {0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8}, "
        "float[1,1,1] h = {0.7}, float[1,1,1] s = {-0.4}> "
        "{ a = LSTM <hidden_size: int = 1, input_forget: int = 1> (c, w, r, b, , h, s) y = Add (a, x) }",
    ),
    "loop_whose_count_has_an_axis": Graph(
        [1],
        "(float[1] x) => (float[1] y, float[m,1] z) <int64[1] n = {3}, bool[1] c = {1}> { y, z = Loop (n, c, x) "
        "<body = b (int64[1] i, bool[1] go, float[1] s) => (bool[1] on, float[1] r, float[1] o) "
        "{ on = Identity (go) f = Cast <to: int = 1> (i) r = Add (s, f) o = Identity (r) }> }",
    ),
    "scan_that_collects_scalars": Graph(
        [5],
        "(float[5] x) => (float[5] y) <float s = {1}> { t, y = Scan <num_scan_inputs: int = 1, body = b (float a, float b) "
        "=> (float c, float d) { c = Add (a, b) d = Identity (c) }> (s, x) }",
    ),
    "blocks_of_one_element": Graph(
        [2, 3, 2, 4],
        "(float[n,3,2,4] x) => (float[n,3,2,4] y) { y = DepthToSpace <blocksize: int = 1> (x) }",
    ),
    "angle_of_any_length": Graph([3, 5], "(float[n,5] x) => (float[n,5] y) { y = Atan (x) }"),
    "sign_of_no_number": Graph([4], "(float[4] x) => (float[4] y) { a = Neg (x) b = Log (a) y = Sign (b) }"),
    "power_of_no_number": Graph([4], "(float[4] x) => (float[4] y) { a = Neg (x) b = Log (a) y = Exp (b) }"),
    "threshold_of_no_number": Graph(
        [4], "(float[4] x) => (float[4] y) { a = Neg (x) b = Log (a) y = ThresholdedRelu (b) }"
    ),
    "none_but_the_last": Graph(
        [5, 1],
        "(float[n,m] x) => (float[n,k] y) <int64[1] s = {0}, int64[1] o = {1}> { a = Shape (x) "
        "b = Gather <axis = 0> (a, o) e = Sub (b, o) y = Slice (x, s, e, o) }",
    ),
    "pool_wider_than_a_known_length": Graph(
        [2, 3, 3, 4],
        "(float[n,3,3,4] x) => (float[n,3,0,2] y) { y = MaxPool <dilations = [3,2], kernel_shape = [2,2]> (x) }",
    ),
    "convolution_wider_than_a_known_length": Graph(
        [2, 3, 5, 1],
        "(float[n,3,h,1] x) => (float[n,2,a,0] y) { i = Constant <value_ints = [2,3,3,2]> () "
        "w = ConstantOfShape <value = float[1] {0.5}> (i) y = Conv (x, w) }",
    ),
    "transposed_convolution_of_a_given_length": Graph(
        [2, 4, 6],
        "(float[n,4,6] x) => (float[n,2,24] y) { i = Constant <value_ints = [4,2,1]> () "
        "w = ConstantOfShape <value = float[1] {0.5}> (i) "
        "y = ConvTranspose <output_shape = [24], strides = [4]> (x, w) }",
    ),
    "backwards_by_int32": Graph(
        [5],
        "(float[n] x) => (float[m] y) <int32[1] s = {-3}, int32[1] e = {0}, int32[1] a = {-1}, "
        "int32[1] p = {-2}> { y = Slice (x, s, e, a, p) }",
    ),
    "resized_to_nothing": Graph(
        [1, 1, 3, 1],
        "(float[1,1,h,1] x) => (float[1,1,a,0] y) <float[2] s = {1.5, 0.5}> { y = Resize <axes = [2, 3], "
        'mode: string = "linear"> (x, "", s) }',
    ),
}
TARGETS = ("tflite", "torchscript", "savedmodel", "coreml")
REFUSED = {
    ("torchscript", "pool_of_any_size"),
    *(
        ("coreml", case)
        for case in (
            "slice_of_nothing",
            "all_cut_away",
            "softmax_of_six_axes",
            "convolution_of_any_size",
            "pool_of_any_size",
            "pool_wider_than_a_known_length",
            "convolution_wider_than_a_known_length",
            "resized_to_nothing",
        )
    ),
}


@pytest.mark.parametrize(
    ("to", "case"),
    [pair for pair in ((to, case) for to in TARGETS for case in CASES) if pair not in REFUSED],
)
def test_graphs_cross(to: str, case: str, tmp_path: Path) -> None:
    source, graph = tmp_path / "m.onnx", CASES[case]
    onnx.save(model_from_text(graph.text, opset=20), source)
    shape = graph.shape
    x = {"x": np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 7}
    found, expected = run_in(to, source, x, tmp_path)["y"], bridge.run(source, x)["y"]
    np.testing.assert_allclose(found, expected, 1e-5, 1e-6, strict=True)
