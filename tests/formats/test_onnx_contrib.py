"""Every operator ONNX Runtime registers for the CPU beside ONNX's own is read, or refused with a reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime.capi.onnxruntime_pybind11_state as state
import pytest
from bridge_onnx.import_ops import ops, unsupported
from build import model_of_nodes, spec_of
from onnx import helper, numpy_helper
from vendor_nodes import (
    MS,
    RNG,
    Case,
    f,
    in_onnx_runtime,
    model_of,
    one_of_each,
    require_as_onnx_runtime,
    require_equal,
    require_in_tflite,
    u8,
)

import bridge
from bridge.errors import UnreadableFile, UnsupportedModel

KERNELS = [k for k in state.get_all_opkernel_def() if k.provider == "CPUExecutionProvider"]
REASONS = {name for names in unsupported.REASONS.values() for name in names.split()}
MEMORY = {"MemcpyFromHost", "MemcpyToHost"}
"""Written while a graph runs alone."""


def test_every_operator_of_microsofts_is_read_or_refused_with_a_reason():
    names = {k.op_name for k in KERNELS if k.domain == MS}
    names |= {s.name for s in state.get_all_operator_schema() if s.domain == MS}
    without = [name for name in names if f"{MS}::{name}" not in ops and name not in REASONS]
    assert without == []
    assert [name for name in REASONS if f"{MS}::{name}" in ops] == []


def test_every_domain_of_onnx_runtimes_is_known():
    domains = {k.domain for k in KERNELS} | {s.domain for s in state.get_all_operator_schema()}
    assert domains - {"", "ai.onnx.ml", MS} == {*unsupported.DOMAINS}


def test_every_operator_that_onnx_has_forgotten_is_read():
    known = {s.name for s in onnx.defs.get_all_schemas_with_history() if not s.domain}
    forgotten = {k.op_name for k in KERNELS if not k.domain} - known - MEMORY
    assert [name for name in forgotten if name not in ops] == []


@pytest.mark.parametrize("name", sorted(REASONS))
def test_a_refusal_says_the_reason(tmp_path, name):
    model, _ = model_of(Case(name, [f(2, 3)], {}))
    with pytest.raises(UnsupportedModel, match=f"{name} .*is not supported: ..."):
        bridge.convert(model, tmp_path / "m.tflite")


def test_a_refusal_of_a_domain_says_how_to_save_the_file(tmp_path):
    model = model_of_nodes(
        helper.make_node("ReorderInput", ["x"], ["y"], domain="com.microsoft.nchwc"),
        {"x": (np.float32, [1, 8, 4, 4])},
        {"y": (np.float32, [1, 8, 4, 4])},
        opsets={"": 17, "com.microsoft.nchwc": 1},
    )
    with pytest.raises(UnsupportedModel, match="ORT_ENABLE_EXTENDED"):
        bridge.convert(model, tmp_path / "m.tflite")


def half(*shape: int) -> np.ndarray:
    return f(*shape).astype(np.float16)


S = np.float32
IDS, SEGMENTS = np.array([[1, 2, 3, 4, 0]] * 2, np.int32), np.array([[0, 1, 1, 0, 0]] * 2, np.int32)
TABLES = [f(6, 8), f(5, 8), f(2, 8), f(8), f(8)]
GAPS = np.array([[1, 0, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)
SCALES, POINTS = [S(0.02 + 0.01 * n) for n in range(5)], [np.uint8(100 + n) for n in range(5)]
BOXES = np.array([[0, 0, 1, 1], [0.1, 0.2, 0.7, 0.8], [-0.2, 0.1, 0.5, 1.3], [0.5, 0.5, 0.4, 0.2]], S)
OF = {"num_branches": 3}

CASES = {
    "embedding without a mask": Case("EmbedLayerNormalization", [IDS, SEGMENTS, *TABLES], {}, 3, fed=[0, 1]),
    "embedding with gaps": Case(
        "EmbedLayerNormalization", [IDS, SEGMENTS, *TABLES, GAPS], {"mask_index_type": 1}, 2
    ),
    "embedding at places": Case(
        "EmbedLayerNormalization",
        [IDS, None, *TABLES[:2], None, *TABLES[3:], None, np.array([[1, 2, 3, 4, 0]], np.int32)],
        {"epsilon": 1e-3},
        2,
    ),
    "embedding of bytes": Case(
        "QEmbedLayerNormalization",
        [IDS, SEGMENTS, u8(6, 8), u8(5, 8), u8(2, 8), u8(8), u8(8), GAPS, *SCALES, *POINTS],
        {},
        2,
    ),
    "embedding of bytes without segments": Case(
        "QEmbedLayerNormalization",
        [IDS, None, u8(6, 8), u8(5, 8), None, u8(8), u8(8), None, *SCALES[:2], None, *SCALES[3:], *POINTS[:2],
         None, *POINTS[3:]],
        {},
        2,
    ),
    "layer norm of a row": Case("SkipLayerNormalization", [f(2, 3, 8), f(3, 8), f(8)], {}),
    "layer norm of one batch": Case("SkipLayerNormalization", [f(2, 3, 8), f(1, 3, 8), f(8), f(8)], {}),
    "layer norm of rank 2": Case("SkipLayerNormalization", [f(6, 8), f(6, 8), f(8)], {}),
    "layer norm of halves": Case("SkipLayerNormalization", [half(2, 3, 8), half(2, 3, 8), half(8), half(8)], {}),
    "root norm of one batch": Case(
        "SkipSimplifiedLayerNormalization", [f(2, 3, 8), f(1, 3, 8), f(8)], {"epsilon": 1e-3}
    ),
    "root norm of halves": Case(
        "SkipSimplifiedLayerNormalization", [half(2, 3, 8), half(2, 3, 8), half(8)], {}, outputs=["y", "", "", "s"]
    ),
    "root norm of two axes": Case("SimplifiedLayerNormalization", [f(2, 3, 8), f(3, 8)], {"axis": 1}, domain=""),
    "state of four, none given": Case("CausalConvWithState", [f(2, 3, 1), f(3, 1, 4), None, f(2, 3, 3)], {}, 2),
    "state of nothing": Case("CausalConvWithState", [f(2, 3, 4), f(3, 1, 1)], {}, 2),
    "state of streams": Case(
        "CausalConvWithState", [f(2, 6, 2, 3), f(6, 1, 3), None, f(2, 2, 2, 3)], {"channels_last": 1}, 2
    ),
    "convolution and sum": Case(
        "FusedConv",
        [f(1, 2, 5, 5), f(4, 1, 3, 3), f(4), f(1, 4, 5, 5)],
        {"activation": "Relu", "group": 2, "pads": [1, 1, 1, 1]},
    ),
    "Gemm without a bias": Case("FusedGemm", [f(2, 3), f(3, 4)], {"activation": "Relu"}),
    "turned product": Case("TransposeMatMul", [f(2, 4, 3), f(2, 5, 4)], {"transA": 1, "transB": 1, "alpha": 0.5}),
    "turned vector": Case("FusedMatMul", [f(4), f(4, 5)], {"transA": 1}),
    "turned second vector": Case("FusedMatMul", [f(2, 3, 4), f(4)], {"transB": 1}),
    "product of doubles": Case("FusedMatMul", [f(2, 3).astype(float), f(3, 4).astype(float)], {"alpha": 0.3}),
    "triangle of whole numbers": Case("Trilu", [RNG.integers(0, 5, (4, 4))], {}),
    "range of floats": Case("Range", [np.array([v], S) for v in (1, 4.4, 0.7)], {}),
    "range of whole numbers": Case("Range", [np.array([1]), np.array([5])], {}),
    "pad with a value": Case("Pad", [f(3, 4), np.array([[1, 2, 0, 1]]), np.array([2.5], S)], {}),
    "pad and crop": Case("Pad", [f(3, 4), np.array([-1, 2, 0, -1])], {}),
    "windows": Case("UnfoldTensor", [f(3, 5, 6)], {"size": 3}),
    "windows of an axis": Case("UnfoldTensor", [f(3, 5, 6)], {"dim": 1, "size": 2, "step": 2}),
    "each once": Case("Unique", [np.array([2, 1, 1, 3, 4, 3], S)], {}, 3),
    "gathered rows": Case("GatherND", [f(3, 4, 5), np.array([[0, 1], [1, 0]], np.int32)], {}),
    "gathered elements": Case("GatherND", [f(3, 4), np.array([[0, 1], [-1, -2]])], {}),
    "echo": Case("SampleOp", [f(3)], {}),
    "inverse": Case("Inverse", [f(2, 4, 4) + 3 * np.eye(4, dtype=S)], {}),
    "inverse of doubles": Case("Inverse", [f(4, 4).astype(float)], {}),
    "distances of doubles": Case("CDist", [f(3, 5).astype(float), f(4, 5).astype(float)], {}),
    "wide transposed convolution": Case(
        "ConvTransposeWithDynamicPads",
        [f(1, 2, 4, 4), f(2, 3, 3, 3), np.array([1, 0, 1, 1]), f(3)],
        {"strides": [2, 2], "output_padding": [1, 1]},
    ),
}  # fmt: skip

for last in (0, 1):
    for dilation in (1, 2):
        state_shape = (2, 2 * dilation, 3) if last else (2, 3, 2 * dilation)
        inputs = [f(2, 6, 3) if last else f(2, 3, 6), f(3, 1, 3), f(3), f(*state_shape)]
        attributes = {"channels_last": last, "dilation": dilation, "activation": "silu"}
        CASES[f"state, channels last {last}, dilation {dilation}"] = Case(
            "CausalConvWithState", inputs, attributes, 2
        )

ACTIVATIONS: dict[str, dict[str, float]] = {
    "Relu": {},
    "Tanh": {},
    "Sigmoid": {},
    "LeakyRelu": {"alpha": 0.3},
    "HardSigmoid": {"alpha": 0.3, "beta": 0.4},
    "Elu": {"alpha": 0.3},
    "Selu": {"alpha": 1.5, "gamma": 1.1},
    "Softplus": {},
    "Softsign": {},
    "ThresholdedRelu": {"alpha": 0.3},
    "ScaledTanh": {"alpha": 0.3, "beta": 1.2},
    "ParametricSoftplus": {"alpha": 0.3, "beta": 1.2},
    "Celu": {"alpha": 0.3},
}
for name, values in ACTIVATIONS.items():
    given = {"activation": name, **{f"activation_{key}": value for key, value in values.items()}}
    options = {"transA": 1, "transB": 1, "alpha": 0.5, "beta": 0.7}
    CASES[f"Gemm and {name}"] = Case("FusedGemm", [f(3, 2), f(4, 3), f(4)], {**options, **given})
for name, numbers in (("Tanh", []), ("Sigmoid", []), ("Clip", [-0.5, 0.7]), ("HardSigmoid", [0.3, 0.4])):
    given = {"activation": name, **({"activation_params": numbers} if numbers else {})}
    CASES[f"convolution and {name}"] = Case("FusedConv", [f(1, 2, 5, 5), f(3, 2, 3, 3), f(3)], given)

for upper in (0, 1):
    for diagonal in (None, 1, -2):
        inputs = [f(2, 4, 5)] + ([] if diagonal is None else [np.array(diagonal)])
        CASES[f"triangle {upper} from {diagonal}"] = Case("Trilu", inputs, {"upper": upper})
for axis in (0, -1, 2):
    CASES[f"new axis {axis}"] = Case("ExpandDims", [f(2, 3), np.array(axis, np.int32)], {})
for mode in ("reflect", "edge"):
    CASES[f"pad by {mode}"] = Case("Pad", [f(3, 4), np.array([1, 2, 0, 1])], {"mode": mode})
for metric in ("sqeuclidean", "euclidean"):
    CASES[f"distances {metric}"] = Case("CDist", [f(3, 5), f(4, 5)], {"metric": metric}, fed=[0, 1])
for mode in ("bilinear", "nearest", "bicubic"):
    for padding in ("zeros", "border", "reflection"):
        attributes = {"mode": mode, "padding_mode": padding, "align_corners": int(padding != "border")}
        CASES[f"samples {mode} {padding}"] = Case(
            "GridSample", [f(2, 2, 4, 5), f(2, 3, 3, 2)], attributes, fed=[0, 1]
        )
for mode in ("bilinear", "nearest"):
    for size in ((3, 4), (1, 2)):
        inputs = [f(2, 3, 6, 7), BOXES, np.array([0, 1, 1, 0], np.int32), np.array(size, np.int32)]
        CASES[f"crops {mode} {size}"] = Case(
            "CropAndResize", inputs, {"mode": mode, "extrapolation_value": 0.5}, fed=[0, 1, 2]
        )

for kind in (f, half):
    CASES |= {
        f"{name} in {kind.__name__}": case
        for name, case in {
            "gated norm": Case("GatedRMSNorm", [kind(2, 3, 8), kind(4), kind(2, 3, 8)], {}),
            "gated norm by sigmoid": Case(
                "GatedRMSNorm",
                [kind(2, 3, 8), kind(8), kind(2, 3, 8)],
                {"activation": "sigmoid", "epsilon": 1e-2},
            ),
            "norm of branches": Case("BranchwiseRMSNorm", [kind(2, 3, 4), f(4)], {}),
            "norm of branches by scales": Case("BranchwiseRMSNorm", [kind(2, 3, 4), f(3, 4)], {}),
            "norm of flat branches": Case("BranchwiseRMSNorm", [kind(2, 12), kind(12)], OF),
            "norm of flat branches by one scale": Case("BranchwiseRMSNorm", [kind(2, 12), f(4)], OF),
            "norm of flat branches alone": Case("BranchwiseRMSNorm", [kind(2, 12)], OF),
            "branches by weight": Case(
                "HyperConnectionPreMix", [kind(5, 3, 4), f(5, 3)], {"reduction_scale": 0.5}
            ),
            "branches by column": Case("HyperConnectionPreMix", [kind(5, 3, 4), f(5, 3, 1)], {}),
            "branches by element": Case("HyperConnectionPreMix", [kind(5, 3, 4), f(5, 3, 4)], {}),
            "flat branches by element": Case("HyperConnectionPreMix", [kind(5, 12), f(5, 12)], OF),
            "flat branches by weight": Case("HyperConnectionPreMix", [kind(5, 12), kind(5, 3)], OF),
            "streams mixed": Case(
                "HyperConnectionPostMix", [kind(5, 3, 4), kind(5, 4), f(5, 3), f(5, 3, 3)], {}
            ),
            "streams by element": Case("HyperConnectionPostMix", [kind(5, 3, 4), kind(5, 4), f(5, 3, 4)], {}),
            "flat streams": Case("HyperConnectionPostMix", [kind(2, 5, 12), kind(2, 5, 4), f(2, 5, 3)], OF),
            "gate of n-grams": Case(
                "EngramGate",
                [kind(2, 3, 2, 8), kind(2, 3, 2, 8), kind(2, 3, 8), kind(2, 8), kind(2, 8), kind(2, 8)],
                {},
                2,
            ),
            "gated sum": Case("GatedAdd", [kind(2, 3, 4), kind(2, 3, 4), kind(2, 3, 1)], {}),
            "scaled SiLU": Case("ScaledSiLU", [kind(2, 3, 4)], {"alpha": 1.5}),
            "SiLU by a scale": Case("ScaledSiLU", [kind(2, 3, 4), S(0.3)], {}),
            "gates of linear attention": Case(
                "LinearAttentionGate", [kind(2, 3, 4), f(4), f(4), kind(2, 3, 4)], {}, 2
            ),
        }.items()
    }


@pytest.mark.parametrize("name", CASES)
def test_operator_equals_onnx_runtime(name):
    halves = any(v is not None and v.dtype == np.float16 for v in CASES[name].inputs)
    require_as_onnx_runtime(CASES[name], worst=4e-3 if halves else 1e-4)


OLD: list[tuple[str, dict[str, Any], int, list[np.ndarray]]] = [
    ("Affine", {"alpha": 2.0, "beta": 1.0}, 8, []),
    ("Affine", {}, 8, []),
    ("ScaledTanh", {"alpha": 2.0, "beta": 1.0}, 8, []),
    ("ParametricSoftplus", {"alpha": 2.0, "beta": 1.5}, 9, []),
    ("Scale", {"scale": 3.0}, 7, []),
    ("ImageScaler", {"scale": 2.0, "bias": [1.0, 2.0, 3.0]}, 8, []),
    ("Crop", {"border": [1, 0, 1, 1]}, 8, []),
    ("Crop", {"border": [1, 1, 1, 0], "scale": [2, 2]}, 8, []),
    ("ThresholdedRelu", {"alpha": 0.5}, 7, []),
    ("ThresholdedRelu", {}, 9, []),
    ("LayerNormalization", {"axis": -1}, 12, [f(4), f(4)]),
    ("LayerNormalization", {"axis": 1}, 12, [f(3, 4, 4)]),
    ("DynamicSlice", {}, 8, [np.array([0, 1]), np.array([1, -1])]),
    ("DynamicSlice", {}, 8, [np.array([1]), np.array([100]), np.array([2])]),
    ("MeanVarianceNormalization", {"across_channels": 1, "normalize_variance": 1}, 8, []),
    ("MeanVarianceNormalization", {"across_channels": 0, "normalize_variance": 0}, 7, []),
    ("MeanVarianceNormalization", {}, 8, []),
]


@pytest.mark.parametrize(("op", "attributes", "opset", "rest"), OLD)
def test_operator_of_an_old_opset_equals_onnx_runtime(op, attributes, opset, rest):
    x, names = f(2, 3, 4, 4), [f"i{n}" for n in range(len(rest) + 1)]
    node = helper.make_node(op, names, ["y"], **attributes)
    constants = dict(zip(names[1:], rest, strict=True))
    model = model_of_nodes(node, {"i0": spec_of(x)}, {"y": None}, constants, {"": opset})
    require_equal(in_onnx_runtime(model, {"i0": x}), bridge.run(bridge.load(model), {"i0": x}))


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (Case("FusedConv", [f(1, 2, 5, 5)], {}), "FusedConv .*has 1 inputs, not 2 to 4"),
        (Case("QuickGelu", [f(3), f(3)], {}), "QuickGelu .*has 2 inputs, not 1 to 1"),
        (
            Case("MatMulNBits", [f(3, 32), u8(5, 2, 8), f(10)], {"K": 32, "N": 5}),
            "has no attribute block_size",
        ),
    ],
    ids=lambda value: getattr(value, "op", ""),
)
def test_a_node_that_no_rule_can_read_is_said_to_be_wrong(case, words):
    with pytest.raises(UnreadableFile, match=words):
        bridge.load(model_of(case)[0])


@pytest.mark.parametrize("target", ["tflite", "savedmodel", "torchscript", "coreml"])
def test_what_a_rule_needs_is_said(tmp_path, target):
    case = Case(
        "MatMulNBits", [f(3, 32), u8(5, 2, 8), f(10)], {"K": 32, "N": 5, "block_size": 16}, fed=[0, 1]
    )
    with pytest.raises(UnsupportedModel, match=r"MatMulNBits .*needs a constant B"):
        bridge.convert(model_of(case)[0], tmp_path / "model", to=target)


@pytest.mark.parametrize("name", one_of_each(CASES))
def test_operator_equals_onnx_runtime_in_tflite(tmp_path, name):
    require_in_tflite(CASES[name], tmp_path)


def test_what_is_filled_in_half_precision_is_of_the_dtype_it_is_computed_in(tmp_path):
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node(
            "ConstantOfShape", ["s"], ["c"], value=numpy_helper.from_array(np.array([-7], np.float16))
        ),
        helper.make_node("Trilu", ["c"], ["d"], upper=1),
        helper.make_node("Add", ["x", "d"], ["y"]),
    ]
    model = model_of_nodes(
        nodes, {"x": (np.float16, ["t", "u"])}, {"y": (np.float16, ["t", "u"])}, None, {"": 17}
    )
    x = {"x": half(4, 5)}
    converted = bridge.convert(model, tmp_path / "m.tflite").path
    require_equal(in_onnx_runtime(model, x), bridge.run(converted, x), 1e-3)
