"""SAME and VALID padding, ceil_mode and the lengths asked of a ConvTranspose mean one thing in the hub and in
every format."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx_ir as ir
import pytest
from build import hub_from_text, model_from_text, run_in, save_as

import bridge
from bridge import hub
from bridge.geometry import halves, same_total
from bridge.runtime import run_onnxruntime

TARGETS = ("tflite", "savedmodel", "torchscript", "coreml", "onnx")
REDUCE = {"MaxPool": np.nanmax, "AveragePool": np.nanmean, "LpPool": lambda v: np.sqrt(np.nansum(v * v))}


class Case(NamedTuple):
    """A window along an axis of `length` elements."""

    op: str
    length: int
    kernel: int
    stride: int
    dilation: int = 1
    auto_pad: str = "SAME_UPPER"


SAME = [
    Case(op, length, kernel, stride, dilation, auto_pad)
    for op in (*REDUCE, "Conv")
    for auto_pad in ("SAME_UPPER", "SAME_LOWER")
    for length in (4, 5)
    for kernel, stride, dilation in ((1, 2, 1), (2, 3, 1), (3, 2, 1), (2, 1, 2), (2, 2, 2))
]
CROSSED = [
    Case(op, length, *window)
    for op in ("MaxPool", "AveragePool", "Conv")
    for length in (4, 6)
    for window in ((1, 2), (2, 3), (3, 2))
]


def hub_of(case: Case, dynamic: bool, more: str = "") -> ir.Model:
    length = "N" if dynamic else case.length
    weights = f", float[1,1,{case.kernel},1] w" if case.op == "Conv" else ""
    return hub_from_text(
        f"(float[1,1,{length},2] x{weights}) => (float[1,1,M,2] y) "
        f"{{ y = {case.op} <kernel_shape=[{case.kernel},1], strides=[{case.stride},1], "
        f"dilations=[{case.dilation},1], "
        f'auto_pad="{case.auto_pad}"{more}> (x{", w" if weights else ""}) }}',
        opset=22,
    )


def inputs(case: Case) -> dict[str, np.ndarray]:
    found = {"x": np.random.default_rng(3).standard_normal((1, 1, case.length, 2)).astype(np.float32)}
    if case.op == "Conv":
        found["w"] = np.arange(1, case.kernel + 1, dtype=np.float32).reshape(1, 1, -1, 1)
    return found


def expected(case: Case) -> np.ndarray:
    """ceil(length / stride) windows, the padding left out of what is reduced."""
    given = inputs(case)
    x, places = given["x"][0, 0], -(-case.length // case.stride)
    span = (case.kernel - 1) * case.dilation + 1
    total = max((places - 1) * case.stride + span - case.length, 0)
    before = total // 2 if case.auto_pad == "SAME_UPPER" else total - total // 2
    blank = 0.0 if case.op == "Conv" else np.nan
    wide = np.pad(x, ((before, total - before + span), (0, 0)), constant_values=blank)
    windows = [wide[i * case.stride : i * case.stride + span : case.dilation] for i in range(places)]
    if case.op == "Conv":
        return np.array([[(w * given["w"][0, 0]).sum(0) for w in windows]])[None]
    return np.array([[[REDUCE[case.op](w[:, j]) for j in range(2)] for w in windows]])[None]


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("case", SAME, ids=str)
def test_the_hub_pads_never_by_less_than_nothing(case, dynamic):
    loaded = hub_of(case, dynamic)
    assert dynamic or not any("auto_pad" in node.attributes for node in hub.all_nodes(loaded))
    found = bridge.run(loaded, inputs(case))["y"]
    np.testing.assert_allclose(found, expected(case), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dynamic", [False, True])
def test_every_format_pads_as_the_hub(target, dynamic, tmp_path):
    for case in CROSSED:
        try:
            path = save_as(target, hub_of(case, dynamic), tmp_path)
        except bridge.BridgeError:
            assert dynamic
            assert target == "coreml"
            continue
        found = bridge.run(path, inputs(case), source=target)["y"]
        np.testing.assert_allclose(found, expected(case), rtol=1e-5, atol=1e-6, err_msg=str(case))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("length", [5, 6, 7])
def test_ceil_mode_counts_where_padding_is_valid(target, length, tmp_path):
    """ONNX Runtime and the shape inference of onnx count the last, shorter window."""
    case = Case("MaxPool", length, 2, 2, 1, "VALID")
    path = save_as(target, hub_of(case, False, ", ceil_mode=1"), tmp_path)
    x = inputs(case)["x"]
    want = [x[:, :, i : i + 2].max(2, keepdims=True) for i in range(0, length, 2)]
    np.testing.assert_array_equal(bridge.run(path, {"x": x}, source=target)["y"], np.concatenate(want, 2))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("outputs", ["y", "y, places"])
def test_a_pool_without_windows_is_a_constant(outputs, target, tmp_path):
    graph = (
        f"(float[6,1,4] x) => (float[6,1,n] z) {{ {outputs} = MaxPool <kernel_shape=[3], dilations=[2]> (x)"
    )
    graph += " z = Concat <axis=2> (y, c) }"
    model = model_from_text(graph, c=np.ones((6, 1, 1), np.float32))
    found = run_in(target, model, {"x": np.ones((6, 1, 4), np.float32)}, tmp_path)["z"]
    np.testing.assert_array_equal(found, np.ones((6, 1, 1)))


@pytest.mark.parametrize("target", ["tflite", "savedmodel", "onnx"])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(2, 3, 3), (2, 2, 4), (3, 3, 2)])
def test_windows_that_fit_nowhere_at_run_time_are_none(kernel, stride, dilation, target, tmp_path):
    """By the formula of the operator's page, floor((length - span) / stride) + 1; ONNX Runtime, which rounds
    towards zero, counts one that does not fit."""
    pool = f"MaxPool <kernel_shape=[{kernel}], strides=[{stride}], dilations=[{dilation}]>"
    path = save_as(target, f"(float[1,1,n] x) => (float[1,1,m] y) {{ y = {pool} (x) }}", tmp_path)
    span = (kernel - 1) * dilation + 1
    for length in range(span if target == "onnx" else max(span - stride, 1), 12):
        x = np.arange(length, dtype=np.float32)
        starts = range(0, length - span + 1, stride)
        want = [x[i : i + span : dilation].max() for i in starts]
        found = bridge.run(path, {"x": x[None, None]}, source=target)["y"]
        np.testing.assert_array_equal(found.ravel(), want)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("columns", [0, 1])
def test_of_equal_maxima_the_first_in_the_order_of_rows_is_told(columns, target, tmp_path):
    graph = "(float[1,1,h,w] x) => (float[1,1,i,j] y, int64[1,1,k,l] places) "
    graph += f"{{ y, places = MaxPool <kernel_shape=[3,2], strides=[1,2], storage_order={columns}> (x) }}"
    x = np.random.default_rng(2).integers(0, 3, (1, 1, 7, 6)).astype(np.float32)
    model = hub_from_text(graph)
    try:
        found = run_in(target, model, {"x": x}, tmp_path)["places"]
    except bridge.UnsupportedModel:
        assert target == "coreml"
        return
    np.testing.assert_array_equal(found, bridge.run(model, {"x": x})["places"])


TRANSPOSED = [
    'strides=[2,1], auto_pad="SAME_UPPER"',
    'strides=[2,1], auto_pad="SAME_LOWER"',
    'strides=[4,1], auto_pad="SAME_UPPER"',
    'strides=[2,1], auto_pad="VALID"',
    'strides=[2,1], auto_pad="SAME_UPPER", output_padding=[1,0]',
    'strides=[3,1], auto_pad="SAME_LOWER", output_padding=[1,0]',
    "strides=[2,1], output_shape=[6,2]",
    'strides=[2,1], output_shape=[6,2], auto_pad="SAME_UPPER"',
    "strides=[2,1], output_shape=[8,2]",
    "strides=[2,1], output_shape=[6,2], output_padding=[1,0]",
    "strides=[2,1], output_shape=[5,2], dilations=[2,1]",
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("attributes", TRANSPOSED)
def test_the_length_asked_of_a_transposed_convolution(attributes, target, tmp_path):
    """As ONNX Runtime computes the model given."""
    proto = model_from_text(
        "(float[1,1,3,2] x) => (float[1,1,M,2] y) <float[1,1,3,1] w = {1,10,100}> "
        f"{{ y = ConvTranspose <{attributes}> (x, w) }}",
        opset=22,
    )
    x = np.arange(1, 7, dtype=np.float32).reshape(1, 1, 3, 2)
    want = run_onnxruntime(proto.SerializeToString(), ["y"], {"x": x})["y"]
    loaded = bridge.load(proto)
    np.testing.assert_array_equal(bridge.run(loaded, {"x": x})["y"], want)
    found = run_in(target, loaded, {"x": x}, tmp_path)["y"]
    np.testing.assert_allclose(found, want, rtol=1e-6)


def test_what_follows_a_transposed_convolution_is_padded_by_the_length_it_gives():
    """SAME gives input × stride, whatever output_padding is; a Conv of stride 2 over 6, not 7, elements."""
    loaded = bridge.load(
        model_from_text(
            "(float[1,1,3] x) => (float[1,1,M] z) <float[1,1,3] w = {1,10,100}> "
            '{ y = ConvTranspose <strides=[2], auto_pad="SAME_UPPER", output_padding=[1]> (x, w) '
            '  z = Conv <strides=[2], auto_pad="SAME_UPPER"> (y, w) }',
            opset=22,
        )
    )
    (conv,) = [node for node in loaded.graph if node.op_type == "Conv"]
    assert list(conv.inputs[0].shape) == [1, 1, 6]
    assert list(conv.attributes["pads"].as_ints()) == [0, 1]


def test_what_follows_a_padded_convolution_of_volumes_is_computed_by_its_shape(tmp_path):
    """Where nothing is padded, one row and one column are left, and swapping them moves nothing."""
    proto = model_from_text(
        "(float[1,1,3,4,2] x) => (float[1,1,4,3,2] z) <float[1,1,3,4,2] w> "
        "{ y = Conv <pads=[1,1,1,1,2,0], strides=[1,1,1]> (x, w) "
        "  z = Transpose <perm=[0,1,3,2,4]> (y) }",
        w=np.random.default_rng(0).standard_normal([1, 1, 3, 4, 2]).astype(np.float32),
    )
    x = np.random.default_rng(1).standard_normal([1, 1, 3, 4, 2]).astype(np.float32)
    want = run_onnxruntime(proto.SerializeToString(), ["z"], {"x": x})["z"]
    found = run_in("savedmodel", bridge.load(proto), {"x": x}, tmp_path)["z"]
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("op", "dtype"),
    [
        *(("MaxPool", dtype) for dtype in ("uint8", "int8", "double", "float16")),
        *((op, dtype) for op in ("AveragePool", "Conv") for dtype in ("double", "float16")),
    ],
)
def test_windows_are_padded_in_the_dtype_they_have(op, dtype, tmp_path):
    words = ("", ", w") if op == "Conv" else ("kernel_shape=[3,3], ", "")
    text = (
        f"(float[1,1,3,4] x) => (float[1,1,h,v] y) <float[1,1,3,3] w> "
        f"{{ y = {op} <{words[0]}pads=[1,1,1,0]> (x{words[1]}) }}"
    )
    w = np.arange(1, 10, dtype=np.float32).reshape(1, 1, 3, 3)
    x = np.arange(1, 13, dtype=np.float32).reshape(1, 1, 3, 4)
    want = run_onnxruntime(model_from_text(text, w=w).SerializeToString(), ["y"], {"x": x})["y"]
    numpy_dtype = {"double": "float64"}.get(dtype, dtype)
    proto = model_from_text(text.replace("float[", f"{dtype}["), w=w.astype(numpy_dtype))
    hub_model, fed = bridge.load(proto), x.astype(numpy_dtype)
    found = run_in("savedmodel", hub_model, {"x": fed}, tmp_path)["y"]
    assert found.dtype == fed.dtype
    np.testing.assert_allclose(found.astype(np.float32), want, rtol=1e-3)


def test_padding_is_halved_with_the_rest_behind_or_before():
    assert halves(same_total(5, 4, 2), True) == (1, 2)
    assert halves(same_total(5, 4, 2), False) == (2, 1)
    assert same_total(4, 1, 2) == 0
