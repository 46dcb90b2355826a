"""Weights of a few bits and mixtures of experts mean in the hub what ONNX Runtime computes for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
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
from bridge.errors import UnsupportedModel

K, N, BLOCK = 80, 16, 32
BLOCKS = 3


def points(kind: str | None, bits: int) -> np.ndarray | None:
    """Zero points of MatMulNBits: none, packed in bytes, or floats."""
    if kind is None:
        return None
    return u8(N * -(-BLOCKS * bits // 8)) if kind == "packed" else f(N, BLOCKS) + np.float32(2)


def product(bits: int, kind: str | None, groups: np.ndarray | None = None, bias: bool = True) -> Case:
    inputs = [
        f(2, 3, K), u8(N, BLOCKS, BLOCK * bits // 8), np.abs(f(N * BLOCKS)), points(kind, bits), groups,
        f(N) if bias else None,
    ]  # fmt: skip
    return Case("MatMulNBits", inputs, {"K": K, "N": N, "bits": bits, "block_size": BLOCK})


PRODUCTS = {
    f"{bits} bits, zero points {kind}": product(bits, kind)
    for bits in (2, 4, 8)
    for kind in (None, "packed", "float")
    if (bits, kind) != (8, "float")
} | {
    f"groups, zero points {kind}": product(4, kind, (np.arange(K) * 7 % BLOCKS).astype(np.int32), bias=False)
    for kind in (None, "float")
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_product_equals_onnx_runtime(name):
    require_as_onnx_runtime(PRODUCTS[name])


def test_float_zero_points_of_bytes_are_what_the_specification_says():
    case = product(8, "float", bias=False)
    x, codes, scales, zeros, *_ = case.inputs
    model, inputs = model_of(case)
    shifted = codes.astype(np.float32) - zeros[..., None]
    weights = (shifted * scales.reshape(N, BLOCKS, 1)).reshape(N, -1)[:, :K]
    require_equal({"y0": x @ weights.T}, bridge.run(bridge.load(model), inputs))


@pytest.mark.parametrize(("bits", "zeros"), [(4, "packed"), (2, None), (8, None)])
def test_groups_that_onnx_runtime_reads_otherwise_are_refused(tmp_path, bits, zeros):
    model, _ = model_of(product(bits, zeros, np.zeros(K, np.int32)))
    with pytest.raises(UnsupportedModel, match=r"MatMulNBits .* needs no g_idx"):
        bridge.convert(model, tmp_path / "m.tflite")


def rows(bits: int, zeros: bool, index: np.ndarray, width: int = 64, block: int = 32) -> Case:
    blocks = -(-width // block)
    table = [u8(10, width * bits // 8), index, np.abs(f(10, blocks))]
    table += [u8(10, -(-blocks * bits // 8))] if zeros else []
    return Case("GatherBlockQuantized", table, {"bits": bits, "block_size": block}, fed=[1])


PLACES = np.array([[1, 2], [9, -1]])
ROWS = {
    f"{bits} bits{' and zero points' * zeros}": rows(bits, zeros, PLACES)
    for bits in (2, 4, 8)
    for zeros in (False, True)
} | {
    "of places there are not": rows(4, False, np.array([3, 12, -1, -11], np.int32)),
    "of a part of a block": rows(4, True, np.array([3]), 40, 16),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_bytes_equal_onnx_runtime(name):
    require_as_onnx_runtime(ROWS[name])


@pytest.mark.parametrize("dtype", ["UINT4", "INT4"])
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize(
    ("shape", "gathered", "quantized"),
    [((6, 64), 0, 1), ((64, 6), 1, 0), ((3, 6, 64), 1, -1), ((6, 64), 1, 1)],
)
def test_rows_of_four_bits_equal_onnx_runtime(dtype, zeros, shape, gathered, quantized):
    low, kind = (0 if dtype == "UINT4" else -8), getattr(TensorProto, dtype)
    scaled = [n // 32 if axis == quantized % len(shape) else n for axis, n in enumerate(shape)]
    tables = [
        helper.make_tensor(name, kind, dims, RNG.integers(low, low + 16, dims).ravel())
        for name, dims in (("w", shape), ("z", scaled))
    ]
    index = np.array([[1, 5], [-1, 0]])
    node = helper.make_node(
        "GatherBlockQuantized", ["w", "i", "s", *"z" * zeros], ["y"], domain=MS,
        gather_axis=gathered, quantize_axis=quantized, block_size=32,
    )  # fmt: skip
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("i", TensorProto.INT64, index.shape)],
        [helper.make_empty_tensor_value_info("y")],
        [*tables[: 1 + zeros], numpy_helper.from_array(np.abs(f(*scaled)), "s")],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(MS, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    require_equal(in_onnx_runtime(model, {"i": index}), bridge.run(bridge.load(model), {"i": index}))


@pytest.mark.parametrize("kind", [0, 1], ids=["FP4", "NF4"])
def test_weights_of_bitsandbytes_equal_onnx_runtime(kind):
    attributes = {"K": 20, "N": 6, "block_size": 16, "quant_type": kind}
    require_as_onnx_runtime(Case("MatMulBnb4", [f(2, 3, 20), u8(60), np.abs(f(8))], attributes))


EXPERTS, WIDTH, INNER = 4, 32, 64
SWIGLU = {"swiglu_fusion": 1, "activation_alpha": 1.7, "activation_beta": 1.0}


def experts(k: int, activation: str, tokens: tuple[int, ...] = (5,), bias: bool = True, **given: Any) -> Case:
    wide = INNER * 2 if activation == "swiglu" else INNER
    inputs = [
        f(*tokens, WIDTH), f(int(np.prod(tokens)), EXPERTS),
        f(EXPERTS, wide, WIDTH), f(EXPERTS, wide) if bias else None,
        f(EXPERTS, WIDTH, INNER), f(EXPERTS, WIDTH) if bias else None,
    ]  # fmt: skip
    return Case("MoE", inputs, {"k": k, "activation_type": activation, **given}, fed=[0, 1])


MIXTURES = {
    f"{activation}, {k} chosen{', normalized' * normalized}": experts(
        k, activation, normalize_routing_weights=normalized
    )
    for activation in ("relu", "gelu", "silu", "identity")
    for k, normalized in ((1, 0), (1, 1), (3, 0), (2, 1))
} | {
    "rank 3": experts(3, "silu", (2, 3), bias=False),
    "swiglu": experts(2, "swiglu", **SWIGLU),
    "swiglu limited": experts(2, "swiglu", **SWIGLU, swiglu_limit=1.5),
}


@pytest.mark.parametrize("name", MIXTURES)
def test_mixture_of_experts_equals_onnx_runtime(name):
    require_as_onnx_runtime(MIXTURES[name])


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


@pytest.mark.parametrize("activation", ["silu", "swiglu"])
def test_third_product_of_experts_gates_as_the_specification_says(activation):
    x, router, w1, w2, w3 = f(5, 8), f(5, 3), f(3, 6, 8), f(3, 8, 6), f(3, 6, 8)
    attributes = {"k": 1, "activation_type": activation, "normalize_routing_weights": 1}
    model, inputs = model_of(Case("MoE", [x, router, w1, None, w2, None, w3], attributes, fed=[0, 1]))
    chosen = router.argmax(-1)
    hidden = [silu(w1[e] @ t) * (w3[e] @ t) for t, e in zip(x, chosen, strict=True)]
    expected = np.stack([w2[e] @ h for h, e in zip(hidden, chosen, strict=True)])
    require_equal({"y0": expected}, bridge.run(bridge.load(model), inputs))


def gates_side_by_side(y: np.ndarray) -> np.ndarray:
    first, second = np.split(y, 2, axis=-1)
    return silu(first) * second


def test_gates_side_by_side_are_what_the_specification_says():
    x, w1, w2 = f(5, 8), f(1, 12, 8), f(1, 8, 6)
    attributes = {"k": 1, "activation_type": "swiglu", "swiglu_fusion": 2}
    model, inputs = model_of(
        Case("MoE", [x, np.ones((5, 1), np.float32), w1, None, w2], attributes, fed=[0, 1])
    )
    expected = gates_side_by_side(x @ w1[0].T) @ w2[0].T
    require_equal({"y0": expected}, bridge.run(bridge.load(model), inputs))


def quantized(
    bits: int = 4, block: int = 0, zeros: bool = False, activation: str = "silu", mixing: bool = False,
    tokens: tuple[int, ...] = (6,), dtype: Any = np.float32, **given: Any,
) -> Case:  # fmt: skip
    """QMoE with two products, of rows or blocks, and what mixes the experts if not the router."""
    codes = 8 // bits

    def parts(rows: int, columns: int) -> list[np.ndarray | None]:
        scales = np.abs(f(EXPERTS, rows, columns // block) if block else f(EXPERTS, rows)) * np.float32(0.02)
        packed = (EXPERTS, rows, -(-(columns // block) // codes)) if block else (EXPERTS, -(-rows // codes))
        return [u8(EXPERTS, rows, columns // codes), scales, f(EXPERTS, rows), u8(*packed) if zeros else None]

    wide = INNER * 2 if activation == "swiglu" else INNER
    (*first, z1), (*second, z2), count = parts(wide, WIDTH), parts(WIDTH, INNER), int(np.prod(tokens))
    inputs = [f(*tokens, WIDTH), f(count, EXPERTS), *first, *second, None, None, None, z1, z2, None]
    inputs += [f(count, EXPERTS) if mixing else None]
    inputs = [v.astype(dtype) if v is not None and v.dtype == np.float32 else v for v in inputs]
    attributes = {"k": 2, "activation_type": activation, "expert_weight_bits": bits, **given}
    attributes |= {"block_size": block} if block else {}
    attributes |= {**SWIGLU, "swiglu_limit": 7.0} if activation == "swiglu" else {}
    return Case("QMoE", inputs, attributes, fed=[0, 1, *[14] * mixing])


QUANTIZED = {
    f"{bits} bits, blocks of {block}{', zero points' * zeros}": quantized(bits, block, zeros)
    for bits in (2, 4, 8)
    for block in (0, 32)
    for zeros in (False, True)
    if (bits, block) != (8, 32)
} | {
    "normalized": quantized(normalize_routing_weights=1),
    "swiglu": quantized(activation="swiglu"),
    "swiglu of bytes of rank 3": quantized(8, activation="swiglu", tokens=(2, 3)),
    "swiglu of blocks": quantized(4, 32, True, "swiglu"),
    "mixed otherwise": quantized(mixing=True),
    "mixed otherwise, normalized": quantized(mixing=True, normalize_routing_weights=1),
    "relu": quantized(activation="relu"),
    "gelu": quantized(activation="gelu"),
    "identity": quantized(activation="identity"),
    "half": quantized(dtype=np.float16),
}  # fmt: skip


@pytest.mark.parametrize("name", QUANTIZED)
def test_quantized_mixture_of_experts_equals_onnx_runtime(name):
    require_as_onnx_runtime(QUANTIZED[name], worst=1e-2 if name == "half" else 1e-4)


def test_blocks_of_bytes_are_what_the_specification_says():
    """ONNX Runtime rounds tokens to bytes before it multiplies such blocks."""
    require_as_onnx_runtime(quantized(8, 32), worst=2e-2)


ALL = {**PRODUCTS, **ROWS, **MIXTURES, **QUANTIZED}


@pytest.mark.parametrize("name", one_of_each(ALL))
def test_operator_equals_onnx_runtime_in_tflite(tmp_path, name):
    require_in_tflite(ALL[name], tmp_path)


@pytest.mark.parametrize("target", ["m.onnx", "m.tflite"])
def test_tokens_that_onnx_runtime_rounds_to_bytes_are_verified(tmp_path, target):
    case = quantized(8, 32, True)
    model, _ = model_of(case)
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("y0", TensorProto.FLOAT, case.inputs[0].shape)
    )
    onnx.save(model, tmp_path / "source.onnx")
    assert bridge.convert(tmp_path / "source.onnx", tmp_path / target, verify=True).verification.ok
