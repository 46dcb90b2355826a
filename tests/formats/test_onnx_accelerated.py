"""Operators that ONNX Runtime has no kernel for on the CPU mean in the hub what its specification says."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from vendor_nodes import RNG, Case, f, i8, model_of, require_equal, u8

import bridge


def last(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(x, 1, -1)


def first(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(x, -1, 1)


def convolved(x: np.ndarray, w: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Of channels first, without pads."""
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))
    return np.einsum("nchwij,ocij->nohw", windows, w) + bias[:, None, None]


def erf_gelu(x: np.ndarray) -> np.ndarray:
    return (x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))).astype(np.float32)


def tanh_gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def softmax(x: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def grouped(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, silu: bool) -> np.ndarray:
    """Group normalization of channels last in four groups."""
    parts = x.reshape(x.shape[0], -1, 4, x.shape[-1] // 4)
    mean, variance = (m(parts, axis=(1, 3), keepdims=True) for m in (np.mean, np.var))
    y = ((parts - mean) / np.sqrt(variance + 1e-5)).reshape(x.shape) * gamma + beta
    return y / (1 + np.exp(-y)) if silu else y


def paired(x: np.ndarray) -> np.ndarray:
    return x[..., 0] + 1j * x[..., 1]


def apart(x: np.ndarray) -> np.ndarray:
    return np.stack([x.real, x.imag], -1).astype(np.float32)


Expected = Callable[..., tuple[np.ndarray, ...]]
IMAGE, WEIGHT, BIAS = f(2, 5, 6, 3), f(4, 3, 3, 3), f(4)
SUM = f(2, 3, 4, 4)
X, GAMMA, BETA, SKIP = f(2, 3, 4, 8), f(8), f(8), f(2, 8)

CASES: dict[str, tuple[Case, Expected]] = {
    "weights of channels last": (
        Case("NhwcConv", [IMAGE, last(WEIGHT).copy(), BIAS], {"kernel_shape": [3, 3]}),
        lambda x, w, b: (last(convolved(first(x), first(w), b)),),
    ),
    "weights of channels first": (
        Case("NhwcFusedConv", [IMAGE, WEIGHT, BIAS, SUM], {"activation": "Relu"}),
        lambda x, w, b, z: (np.maximum(last(convolved(first(x), w, b)) + z, 0),),
    ),
    "groups": (
        Case("GroupNorm", [X, GAMMA, BETA], {"groups": 4, "activation": 1}),
        lambda x, g, b: (grouped(x, g, b, True),),
    ),
    "groups of channels first": (
        Case("GroupNorm", [first(X).copy(), GAMMA, BETA], {"groups": 4, "activation": 0, "channels_last": 0}),
        lambda x, g, b: (first(grouped(last(x), g, b, False)),),
    ),
    "groups of a sum": (
        Case("SkipGroupNorm", [X, GAMMA, BETA, SKIP, f(8)], {"groups": 4, "activation": 0}, 2),
        lambda x, g, b, s, c: (grouped(x + s[:, None, None] + c, g, b, False), x + s[:, None, None] + c),
    ),
    "gated halves": (
        Case("BiasSplitGelu", [f(2, 3, 8), f(8)], {}),
        lambda x, b: ((x + b)[..., :4] * erf_gelu((x + b)[..., 4:]),),
    ),
    "sum of three": (Case("BiasAdd", [f(2, 3, 8), f(8), f(2, 3, 8)], {}), lambda x, b, s: (x + b + s,)),
    "softmax of a sum": (
        Case("BiasSoftmax", [f(2, 3, 4, 5), f(2, 1, 1, 5)], {"axis": 3, "is_inner_broadcast": 1}),
        lambda x, b: (softmax(x + b, 3),),
    ),
    "softmax of a sum over axes": (
        Case("BiasSoftmax", [f(2, 3, 4, 5), f(4, 5)], {"axis": 2, "is_inner_broadcast": 0}),
        lambda x, b: (softmax(x + b, (2, 3)),),
    ),
    "product and Gelu": (
        Case("GemmFastGelu", [f(2, 3), f(3, 4), f(4)], {}),
        lambda x, w, b: (tanh_gelu(x @ w + b),),
    ),
    "product and activation": (
        Case("FusedMatMulActivation", [f(2, 3), f(4, 3)], {"transB": 1, "activation": "Relu", "alpha": 0.5}),
        lambda x, w: (np.maximum(x @ w.T * np.float32(0.5), 0),),
    ),
    "complex product": (
        Case("ComplexMul", [f(3, 4, 2), f(4, 2)], {}),
        lambda x, y: (apart(paired(x) * paired(y)),),
    ),
    "complex product with a conjugate": (
        Case("ComplexMulConj", [f(3, 4, 2), f(3, 4, 2)], {}),
        lambda x, y: (apart(paired(x) * paired(y).conj()),),
    ),
    "Fourier transform": (Case("Rfft", [f(3, 8)], {"signal_ndim": 1}), lambda x: (apart(np.fft.rfft(x)),)),
    "all finite": (Case("IsAllFinite", [f(3), f(2, 2)], {}), lambda *_: (np.array(True),)),
    "none finite": (
        Case("IsAllFinite", [f(3), np.array([np.inf], np.float32)], {}),
        lambda *_: (np.array(False),),
    ),
    "none missing": (
        Case("IsAllFinite", [f(3), np.array([np.inf], np.float32)], {"isnan_only": 1}),
        lambda *_: (np.array(True),),
    ),
    "rows of a table": (
        Case("TorchEmbedding", [f(5, 3), RNG.integers(0, 5, (2, 3))], {}),
        lambda table, index: (table[index],),
    ),
    "integer product": (
        Case("MulInteger", [u8(2, 3), np.uint8(7), u8(3), np.uint8(9)], {}),
        lambda a, p, b, q: ((a.astype(np.int32) - p) * (b.astype(np.int32) - q),),
    ),
    "integer sum": (
        Case("ReduceSumInteger", [i8(2, 3, 4)], {"axes": [1, 2], "keepdims": 0}),
        lambda x: (x.sum((1, 2), dtype=np.int32),),
    ),
    "quantized mean": (
        Case(
            "QLinearReduceMean",
            [u8(2, 3, 4), np.float32(0.5), np.uint8(7), np.float32(0.25), np.uint8(3)],
            {"axes": [1], "keepdims": 1},
        ),
        lambda x, s, p, t, q: (
            np.clip(np.rint(((x.astype(np.float32) - p) * s).mean(1, keepdims=True) / t) + q, 0, 255).astype(
                np.uint8
            ),
        ),
    ),
    "filled": (
        Case("GivenTensorFill", [], {"shape": [2, 2], "values": [1.0, 2.0, 3.0, 4.0]}, domain=""),
        lambda: (np.array([[1, 2], [3, 4]], np.float32),),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_operator_is_what_its_specification_says(name):
    case, expected = CASES[name]
    model, inputs = model_of(case)
    found = bridge.run(bridge.load(model), inputs)
    results = expected(*(np.asarray(v) for v in case.inputs))
    require_equal({f"y{n}": result for n, result in enumerate(results)}, found)
