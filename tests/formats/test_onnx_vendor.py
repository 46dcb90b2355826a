"""Vendor operators mean in the hub what ONNX Runtime computes for them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from build import model_of_nodes, spec_of
from onnx import helper

import bridge
from bridge.errors import UnsupportedModel

RNG = np.random.default_rng(0)
MS = "com.microsoft"


def f(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def u8(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape).astype(np.uint8)


def scale(value: float) -> np.ndarray:
    return np.array(value, np.float32)


def zero(value: int) -> np.ndarray:
    return np.array(value, np.uint8)


MASK = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)
Q = (u8(2, 3, 4, 4), scale(0.02), zero(120))
COS, SIN = f(16, 4), f(16, 4)


class Case(NamedTuple):
    """A node of com.microsoft: operator, inputs (None for one left out), attributes, how many outputs, or
    their names."""

    op: str
    inputs: list[np.ndarray | None]
    attributes: dict[str, Any]
    count: int = 1
    outputs: list[str] | None = None


SKIPPED = ["y", "", "", "sum"]
CASES = {
    "FusedConv": Case("FusedConv", [f(1, 2, 5, 5), f(3, 2, 3, 3), f(3)], {"activation": "Relu"}),
    "FusedConv leaky": Case(
        "FusedConv",
        [f(1, 2, 5, 5), f(3, 2, 3, 3), f(3)],
        {"activation": "LeakyRelu", "activation_params": [0.3]},
    ),
    "FusedMatMul": Case("FusedMatMul", [f(2, 4, 3), f(2, 5, 4)], {"transA": 1, "transB": 1, "alpha": 0.5}),
    "FusedGemm": Case("FusedGemm", [f(2, 3), f(3, 4), f(4)], {"activation": "Relu"}),
    "Gelu": Case("Gelu", [f(3, 4)], {}),
    "BiasGelu": Case("BiasGelu", [f(3, 4), f(4)], {}),
    "FastGelu": Case("FastGelu", [f(3, 4), f(4)], {}),
    "QuickGelu": Case("QuickGelu", [f(3, 4)], {"alpha": 1.5}),
    "SkipLayerNormalization": Case(
        "SkipLayerNormalization",
        [f(2, 3, 8), f(2, 3, 8), f(8), f(8), f(8)],
        {"epsilon": 1e-3},
        outputs=SKIPPED,
    ),
    "SkipSimplifiedLayerNormalization": Case(
        "SkipSimplifiedLayerNormalization",
        [f(2, 3, 8), f(2, 3, 8), f(8), f(8)],
        {},
        outputs=SKIPPED,
    ),
    "EmbedLayerNormalization": Case(
        "EmbedLayerNormalization",
        [
            np.array([[1, 2, 3, 4, 0]] * 2, np.int32),
            np.array([[0, 1, 1, 0, 0]] * 2, np.int32),
            f(6, 8),
            f(5, 8),
            f(2, 8),
            f(8),
            f(8),
            MASK,
        ],
        {},
        2,
    ),
    "Attention": Case("Attention", [f(2, 5, 8), f(8, 24), f(24)], {"num_heads": 2}),
    "Attention masked": Case("Attention", [f(2, 5, 8), f(8, 24), f(24), MASK], {"num_heads": 2}),
    "Attention causal": Case(
        "Attention",
        [f(2, 5, 8), f(8, 24), f(24)],
        {"num_heads": 2, "unidirectional": 1, "scale": 0.3},
    ),
    "MultiHeadAttention": Case(
        "MultiHeadAttention",
        [f(2, 5, 8), f(2, 7, 8), f(2, 7, 8), f(24)],
        {"num_heads": 2},
    ),
    "MultiHeadAttention biased": Case(
        "MultiHeadAttention",
        [f(2, 5, 8), f(2, 5, 8), f(2, 5, 8), None, MASK, f(2, 2, 5, 5)],
        {"num_heads": 2},
    ),
    "FusedMatMul batches": Case(
        "FusedMatMul",
        [f(4, 2, 3), f(5, 2, 3)],
        {"transBatchA": 1, "transBatchB": 1, "transB": 1},
    ),
    "FusedMatMul batch turned": Case(
        "FusedMatMul", [f(3, 2, 4), f(2, 3, 5)], {"transBatchA": 1, "transA": 1}
    ),
    "Attention of lengths": Case(
        "Attention",
        [f(2, 5, 8), f(8, 24), f(24), np.array([3, 5], np.int32)],
        {"num_heads": 2},
    ),
    "Attention of ends and starts": Case(
        "Attention",
        [f(2, 5, 8), f(8, 24), f(24), np.array([3, 5, 0, 2], np.int32)],
        {"num_heads": 2},
    ),
    "Attention of a mask per query": Case(
        "Attention",
        [f(2, 5, 8), f(8, 24), f(24), RNG.integers(0, 2, (2, 5, 5)).astype(np.int32)],
        {"num_heads": 2, "mask_filter_value": -5000.0},
    ),
    "Attention with past": Case(
        "Attention",
        [f(2, 5, 8), f(8, 24), f(24), None, f(2, 2, 2, 3, 4)],
        {"num_heads": 2, "unidirectional": 1},
        2,
    ),
    "Attention with past and mask": Case(
        "Attention",
        [f(2, 2, 8), f(8, 24), f(24), MASK, f(2, 2, 2, 3, 4)],
        {"num_heads": 2},
        2,
    ),
    "Attention with present": Case("Attention", [f(2, 5, 8), f(8, 24), f(24)], {"num_heads": 2}, 2),
    "Attention of sizes": Case(
        "Attention",
        [f(2, 5, 8), f(8, 28), f(28)],
        {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 12]},
    ),
    "MultiHeadAttention of lengths": Case(
        "MultiHeadAttention",
        [f(2, 5, 8), f(2, 7, 8), f(2, 7, 8), None, np.array([3, 7], np.int32)],
        {"num_heads": 2},
    ),
    "MultiHeadAttention of a mask per query": Case(
        "MultiHeadAttention",
        [f(2, 5, 8), f(2, 7, 8), f(2, 7, 8), None, RNG.integers(0, 2, (2, 5, 7)).astype(np.int32)],
        {"num_heads": 2},
    ),
    "MultiHeadAttention with past": Case(
        "MultiHeadAttention",
        [f(2, 5, 8), f(2, 5, 8), f(2, 5, 8), f(24), None, None, f(2, 2, 3, 4), f(2, 2, 3, 4)],
        {"num_heads": 2, "unidirectional": 1},
        3,
    ),
    "MultiHeadAttention with present": Case(
        "MultiHeadAttention",
        [f(2, 5, 8), f(2, 7, 8), f(2, 7, 8), f(24)],
        {"num_heads": 2},
        3,
    ),
    "MultiHeadAttention of a cache": Case(
        "MultiHeadAttention",
        [f(2, 5, 8), f(2, 2, 7, 4), f(2, 2, 7, 4)],
        {"num_heads": 2},
    ),
    "RotaryEmbedding": Case("RotaryEmbedding", [f(2, 3, 16), np.array([[0, 1, 2], [4, 5, 6]]), COS, SIN], {}),
    "RotaryEmbedding offset": Case(
        "RotaryEmbedding",
        [f(2, 2, 3, 8), np.array([3]), COS, SIN],
        {"interleaved": 1},
    ),
    "MatMulNBits": Case(
        "MatMulNBits",
        [f(3, 40), u8(5, 3, 8), f(15), u8(10)],
        {"K": 40, "N": 5, "bits": 4, "block_size": 16},
    ),
    "MatMulNBits without zero points": Case(
        "MatMulNBits",
        [f(3, 32), u8(5, 2, 8), f(10)],
        {"K": 32, "N": 5, "bits": 4, "block_size": 16},
    ),
    "QLinearAdd": Case("QLinearAdd", [*Q, *Q, scale(0.05), zero(100)], {}),
    "QLinearMul": Case("QLinearMul", [*Q, *Q, scale(0.05), zero(100)], {}),
    "QLinearSigmoid": Case("QLinearSigmoid", [*Q, scale(1 / 256), zero(0)], {}),
    "QLinearLeakyRelu": Case("QLinearLeakyRelu", [*Q, scale(0.02), zero(100)], {"alpha": 0.2}),
    "QLinearAveragePool": Case("QLinearAveragePool", [*Q, scale(0.02), zero(120)], {"kernel_shape": [2, 2]}),
    "QLinearGlobalAveragePool": Case("QLinearGlobalAveragePool", [*Q, scale(0.02), zero(120)], {}),
    "QLinearConcat": Case("QLinearConcat", [scale(0.03), zero(110), *Q, *Q], {"axis": 1}),
    "QLinearSoftmax": Case("QLinearSoftmax", [*Q, scale(1 / 256), zero(0)], {"axis": -1, "opset": 13}),
    "QLinearSoftmax of opset 11": Case(
        "QLinearSoftmax",
        [*Q, scale(1 / 256), zero(0)],
        {"axis": 2, "opset": 11},
    ),
    "QLinearWhere": Case(
        "QLinearWhere",
        [RNG.integers(0, 2, (2, 3, 4, 4)).astype(bool), *Q, *Q, scale(0.02), zero(120)],
        {},
    ),
}


def model_of(case: Case) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """One node, and its input: the first tensor of the case, the others being initializers."""
    names = [f"i{n}" if v is not None else "" for n, v in enumerate(case.inputs)]
    arrays = {n: v for n, v in zip(names, case.inputs, strict=True) if v is not None}
    first = next(n for n, v in arrays.items() if v.ndim > 0)
    x = arrays.pop(first)
    outputs = case.outputs or [f"y{n}" for n in range(case.count)]
    node = helper.make_node(case.op, names, outputs, domain=MS, **case.attributes)
    described = dict.fromkeys(name for name in outputs if name)
    opsets = {"": 17, MS: 1}
    return model_of_nodes(node, {first: spec_of(x)}, described, arrays, opsets), {first: x}


@pytest.mark.parametrize("name", CASES)
def test_vendor_operator_equals_onnx_runtime(name):
    model, inputs = model_of(CASES[name])
    expected = ort.InferenceSession(model.SerializeToString()).run(None, inputs)
    hub = bridge.load(model)
    assert not any(node.domain == MS for node in hub.graph)
    found = list(bridge.run(hub, inputs).values())
    for a, b in zip(expected, found, strict=True):
        assert a.dtype == b.dtype
        if a.dtype == np.uint8:
            assert np.abs(a.astype(int) - b.astype(int)).max() <= 1
        else:
            np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5)


def test_packed_heads_mean_what_the_parts_mean():
    q, k, v = f(2, 5, 8), f(2, 5, 8), f(2, 5, 8)
    apart, _ = model_of(Case("MultiHeadAttention", [q, k, v], {"num_heads": 2}))
    expected = bridge.run(bridge.load(apart), {"i0": q})["y0"]
    heads = [part.reshape(2, 5, 2, 1, 4) for part in (q, k, v)]
    for inputs in ([np.concatenate(heads, 3)], [q, np.concatenate(heads[1:], 3)]):
        packed, given = model_of(Case("MultiHeadAttention", inputs, {"num_heads": 2}))
        hub = bridge.load(packed)
        assert not any(node.domain == MS for node in hub.graph)
        np.testing.assert_allclose(bridge.run(hub, given)["y0"], expected, rtol=1e-5, atol=1e-6)


def test_what_no_rule_takes_is_kept_for_onnx_and_said(tmp_path):
    mask = RNG.integers(0, 2, (2, 1, 5, 5)).astype(np.int32)
    model, _ = model_of(Case("Attention", [f(2, 5, 8), f(8, 24), f(24), mask], {"num_heads": 2}))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y0", 1, [2, 5, 8]))
    conversion = bridge.convert(model, tmp_path / "m.onnx")
    assert any("com.microsoft" in note and "Attention" in note for note in conversion.report.notes)
    assert {o.domain for o in onnx.load(conversion.path).opset_import} == {"", MS}
    with pytest.raises(UnsupportedModel, match="Attention"):
        bridge.convert(model, tmp_path / "m.tflite")
