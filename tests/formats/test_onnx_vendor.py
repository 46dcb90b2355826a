"""Vendor operators mean in the hub what ONNX Runtime computes for them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
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

# name → (operator, inputs, constants among them, attributes, outputs)
CASES = {
    "FusedConv": ("FusedConv", [f(1, 2, 5, 5), f(3, 2, 3, 3), f(3)], {"activation": "Relu"}, 1),
    "FusedConv leaky": (
        "FusedConv",
        [f(1, 2, 5, 5), f(3, 2, 3, 3), f(3)],
        {"activation": "LeakyRelu", "activation_params": [0.3]},
        1,
    ),
    "FusedMatMul": ("FusedMatMul", [f(2, 4, 3), f(2, 5, 4)], {"transA": 1, "transB": 1, "alpha": 0.5}, 1),
    "FusedGemm": ("FusedGemm", [f(2, 3), f(3, 4), f(4)], {"activation": "Relu"}, 1),
    "Gelu": ("Gelu", [f(3, 4)], {}, 1),
    "BiasGelu": ("BiasGelu", [f(3, 4), f(4)], {}, 1),
    "FastGelu": ("FastGelu", [f(3, 4), f(4)], {}, 1),
    "QuickGelu": ("QuickGelu", [f(3, 4)], {"alpha": 1.5}, 1),
    "SkipLayerNormalization": (
        "SkipLayerNormalization",
        [f(2, 3, 8), f(2, 3, 8), f(8), f(8), f(8)],
        {"epsilon": 1e-3},
        4,
    ),
    "SkipSimplifiedLayerNormalization": (
        "SkipSimplifiedLayerNormalization",
        [f(2, 3, 8), f(2, 3, 8), f(8), f(8)],
        {},
        4,
    ),
    "EmbedLayerNormalization": (
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
    "Attention": ("Attention", [f(2, 5, 8), f(8, 24), f(24)], {"num_heads": 2}, 1),
    "Attention masked": ("Attention", [f(2, 5, 8), f(8, 24), f(24), MASK], {"num_heads": 2}, 1),
    "Attention causal": (
        "Attention",
        [f(2, 5, 8), f(8, 24), f(24)],
        {"num_heads": 2, "unidirectional": 1, "scale": 0.3},
        1,
    ),
    "MultiHeadAttention": (
        "MultiHeadAttention",
        [f(2, 5, 8), f(2, 7, 8), f(2, 7, 8), f(24)],
        {"num_heads": 2},
        1,
    ),
    "MultiHeadAttention biased": (
        "MultiHeadAttention",
        [f(2, 5, 8), f(2, 5, 8), f(2, 5, 8), None, MASK, f(2, 2, 5, 5)],
        {"num_heads": 2},
        1,
    ),
    "FusedMatMul batches": (
        "FusedMatMul",
        [f(4, 2, 3), f(5, 2, 3)],
        {"transBatchA": 1, "transBatchB": 1, "transB": 1},
        1,
    ),
    "FusedMatMul batch turned": ("FusedMatMul", [f(3, 2, 4), f(2, 3, 5)], {"transBatchA": 1, "transA": 1}, 1),
    "Attention of lengths": (
        "Attention",
        [f(2, 5, 8), f(8, 24), f(24), np.array([3, 5], np.int32)],
        {"num_heads": 2},
        1,
    ),
    "Attention of ends and starts": (
        "Attention",
        [f(2, 5, 8), f(8, 24), f(24), np.array([3, 5, 0, 2], np.int32)],
        {"num_heads": 2},
        1,
    ),
    "Attention of a mask per query": (
        "Attention",
        [f(2, 5, 8), f(8, 24), f(24), RNG.integers(0, 2, (2, 5, 5)).astype(np.int32)],
        {"num_heads": 2, "mask_filter_value": -5000.0},
        1,
    ),
    "Attention with past": (
        "Attention",
        [f(2, 5, 8), f(8, 24), f(24), None, f(2, 2, 2, 3, 4)],
        {"num_heads": 2, "unidirectional": 1},
        2,
    ),
    "Attention with past and mask": (
        "Attention",
        [f(2, 2, 8), f(8, 24), f(24), MASK, f(2, 2, 2, 3, 4)],
        {"num_heads": 2},
        2,
    ),
    "Attention with present": ("Attention", [f(2, 5, 8), f(8, 24), f(24)], {"num_heads": 2}, 2),
    "Attention of sizes": (
        "Attention",
        [f(2, 5, 8), f(8, 28), f(28)],
        {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 12]},
        1,
    ),
    "MultiHeadAttention of lengths": (
        "MultiHeadAttention",
        [f(2, 5, 8), f(2, 7, 8), f(2, 7, 8), None, np.array([3, 7], np.int32)],
        {"num_heads": 2},
        1,
    ),
    "MultiHeadAttention of a mask per query": (
        "MultiHeadAttention",
        [f(2, 5, 8), f(2, 7, 8), f(2, 7, 8), None, RNG.integers(0, 2, (2, 5, 7)).astype(np.int32)],
        {"num_heads": 2},
        1,
    ),
    "MultiHeadAttention with past": (
        "MultiHeadAttention",
        [f(2, 5, 8), f(2, 5, 8), f(2, 5, 8), f(24), None, None, f(2, 2, 3, 4), f(2, 2, 3, 4)],
        {"num_heads": 2, "unidirectional": 1},
        3,
    ),
    "MultiHeadAttention with present": (
        "MultiHeadAttention",
        [f(2, 5, 8), f(2, 7, 8), f(2, 7, 8), f(24)],
        {"num_heads": 2},
        3,
    ),
    "MultiHeadAttention of a cache": (
        "MultiHeadAttention",
        [f(2, 5, 8), f(2, 2, 7, 4), f(2, 2, 7, 4)],
        {"num_heads": 2},
        1,
    ),
    "RotaryEmbedding": ("RotaryEmbedding", [f(2, 3, 16), np.array([[0, 1, 2], [4, 5, 6]]), COS, SIN], {}, 1),
    "RotaryEmbedding offset": (
        "RotaryEmbedding",
        [f(2, 2, 3, 8), np.array([3]), COS, SIN],
        {"interleaved": 1},
        1,
    ),
    "MatMulNBits": (
        "MatMulNBits",
        [f(3, 40), u8(5, 3, 8), f(15), u8(10)],
        {"K": 40, "N": 5, "bits": 4, "block_size": 16},
        1,
    ),
    "MatMulNBits without zero points": (
        "MatMulNBits",
        [f(3, 32), u8(5, 2, 8), f(10)],
        {"K": 32, "N": 5, "bits": 4, "block_size": 16},
        1,
    ),
    "QLinearAdd": ("QLinearAdd", [*Q, *Q, scale(0.05), zero(100)], {}, 1),
    "QLinearMul": ("QLinearMul", [*Q, *Q, scale(0.05), zero(100)], {}, 1),
    "QLinearSigmoid": ("QLinearSigmoid", [*Q, scale(1 / 256), zero(0)], {}, 1),
    "QLinearLeakyRelu": ("QLinearLeakyRelu", [*Q, scale(0.02), zero(100)], {"alpha": 0.2}, 1),
    "QLinearAveragePool": ("QLinearAveragePool", [*Q, scale(0.02), zero(120)], {"kernel_shape": [2, 2]}, 1),
    "QLinearGlobalAveragePool": ("QLinearGlobalAveragePool", [*Q, scale(0.02), zero(120)], {}, 1),
    "QLinearConcat": ("QLinearConcat", [scale(0.03), zero(110), *Q, *Q], {"axis": 1}, 1),
    "QLinearSoftmax": ("QLinearSoftmax", [*Q, scale(1 / 256), zero(0)], {"axis": -1, "opset": 13}, 1),
    "QLinearSoftmax of opset 11": (
        "QLinearSoftmax",
        [*Q, scale(1 / 256), zero(0)],
        {"axis": 2, "opset": 11},
        1,
    ),
    "QLinearWhere": (
        "QLinearWhere",
        [RNG.integers(0, 2, (2, 3, 4, 4)).astype(bool), *Q, *Q, scale(0.02), zero(120)],
        {},
        1,
    ),
}


def model_of(
    op: str, inputs: list, attributes: dict, outputs: int, domain: str = MS
) -> tuple[onnx.ModelProto, dict]:
    """One node; its first tensor is an input and the others are initializers."""
    names = [f"i{n}" if v is not None else "" for n, v in enumerate(inputs)]
    first = next(n for n, v in enumerate(inputs) if v is not None and v.ndim > 0)
    wanted = ["y", "", "", "sum"][:outputs] if outputs == 4 else [f"y{n}" for n in range(outputs)]
    node = helper.make_node(op, names, wanted, domain=domain, **attributes)
    constants = [
        onnx.numpy_helper.from_array(v, names[n])
        for n, v in enumerate(inputs)
        if n != first and v is not None
    ]
    x = inputs[first]
    given = helper.make_tensor_value_info(names[first], helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
    found = [helper.make_empty_tensor_value_info(name) for name in wanted if name]
    graph = helper.make_graph([node], "g", [given], found, constants)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(MS, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8), {names[first]: x}


@pytest.mark.parametrize("name", CASES)
def test_vendor_operator_equals_onnx_runtime(name):
    model, inputs = model_of(*CASES[name])
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
    apart, _ = model_of("MultiHeadAttention", [q, k, v], {"num_heads": 2}, 1)
    expected = bridge.run(bridge.load(apart), {"i0": q})["y0"]
    heads = [part.reshape(2, 5, 2, 1, 4) for part in (q, k, v)]
    for inputs in ([np.concatenate(heads, 3)], [q, np.concatenate(heads[1:], 3)]):
        packed, given = model_of("MultiHeadAttention", inputs, {"num_heads": 2}, 1)
        hub = bridge.load(packed)
        assert not any(node.domain == MS for node in hub.graph)
        np.testing.assert_allclose(bridge.run(hub, given)["y0"], expected, rtol=1e-5, atol=1e-6)


def test_what_no_rule_takes_is_kept_for_onnx_and_said(tmp_path):
    mask = RNG.integers(0, 2, (2, 1, 5, 5)).astype(np.int32)
    model, _ = model_of("Attention", [f(2, 5, 8), f(8, 24), f(24), mask], {"num_heads": 2}, 1)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y0", 1, [2, 5, 8]))
    conversion = bridge.convert(model, tmp_path / "m.onnx")
    assert any("com.microsoft" in note and "Attention" in note for note in conversion.report.notes)
    assert {o.domain for o in onnx.load(conversion.path).opset_import} == {"", MS}
    with pytest.raises(UnsupportedModel, match="Attention"):
        bridge.convert(model, tmp_path / "m.tflite")
