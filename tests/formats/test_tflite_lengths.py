"""Axes, lengths and steps that are known at run time only: LiteRT computes what ONNX Runtime does, with its
XNNPACK delegate and without."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import OpResolverType
from bridge_tflite import runtime
from build import hub_from_text, run_in

import bridge
from bridge.verify import compare

RNG = np.random.default_rng(5)
KERNELS = (OpResolverType.AUTO, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)


def f(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def i(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def n(value: int) -> np.ndarray:
    return np.array(value, np.int64)


WINDOW = "float[8] w = {1., 2., 3., 4., 4., 3., 2., 1.}"
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "spectrogram of any length": (
        f"(float[B,T,1] x) => (float[B,F,5,2] y) <int64 s = {{4}}, int64 l = {{8}}, {WINDOW}> {{ y = STFT "
            f"(x, s, w, l) }}",
        {"x": f(2, 50, 1)},
    ),
    "spectrogram of any step": (
        f"(float[B,T,1] x, int64 s) => (float[B,F,5,2] y) <{WINDOW}> {{ y = STFT (x, s, w) }}",
        {"x": f(2, 50, 1), "s": n(5)},
    ),
    "spectrogram of any frame": (
        "(float[B,T,2] x, int64 s, int64 l) => (float[B,F,G,2] y) { y = STFT <onesided = 0> (x, s, , l) }",
        {"x": f(2, 50, 2), "s": n(5), "l": n(6)},
    ),
    "transform of any length": (
        "(float[B,T,2] x, int64 l) => (float[B,F,2] y) <int64 a = {1}> { y = DFT (x, l, a) }",
        {"x": f(2, 9, 2), "l": n(14)},
    ),
    "inverse transform, cut": (
        "(float[B,T,2] x, int64 l) => (float[B,F,2] y) <int64 a = {1}> { y = DFT <inverse = 1> (x, l, a) }",
        {"x": f(2, 9, 2), "l": n(5)},
    ),
    "half a spectrum of a real signal": (
        "(float[B,T,1] x) => (float[B,F,2] y) <int64 a = {1}> { y = DFT <onesided = 1> (x, , a) }",
        {"x": f(2, 13, 1)},
    ),
    "real signal of half a spectrum": (
        "(float[B,T,2] x) => (float[B,F,1] y) <int64 a = {1}> { y = DFT <onesided = 1, inverse = 1> (x, , "
            "a) }",
        {"x": f(2, 9, 2)},
    ),
    "real signal of odd length": (
        "(float[B,T,2] x, int64 l) => (float[B,F,1] y) <int64 a = {1}> { y = DFT <onesided = 1, inverse = "
            "1> (x, l, a) }",
        {"x": f(2, 9, 2), "l": n(17)},
    ),
    "images placed in batches of any size": (
        "(float[N,2,3] x, int64[4] s) => (float[N,H,W,2] y) { y = AffineGrid (x, s) }",
        {"x": f(2, 2, 3), "s": i(2, 3, 4, 5)},
    ),
    "volumes from end to end": (
        "(float[N,3,4] x, int64[5] s) => (float[N,D,H,W,3] y) { y = AffineGrid <align_corners = 1> (x, s) }",
        {"x": f(2, 3, 4), "s": i(2, 3, 4, 1, 3)},
    ),
    "columns of any image": (
        "(float[N,C,L] x, int64[2] s, int64[2] b) => (float[N,D,H,W] y) "
        "{ y = Col2Im <pads = [1,0,2,1], strides = [2,1], dilations = [1,2]> (x, s, b) }",
        {"x": f(2, 12, 12), "s": i(6, 6), "b": i(2, 3)},
    ),
    "smoothed while it shrinks": (
        "(float[1,1,H,W] x, float[4] s) => (float[1,1,h,w] y) { y = Resize <mode = \"linear\", antialias "
            "= 1> (x, , s) }",
        {"x": f(1, 1, 9, 8), "s": np.float32([1, 1, 0.6, 0.4])},
    ),
    "smoothed by cubics": (
        "(float[1,1,H,W] x, int64[4] s) => (float[1,1,h,w] y) "
        "{ y = Resize <mode = \"cubic\", antialias = 1, exclude_outside = 1> (x, , , s) }",
        {"x": f(1, 1, 9, 8), "s": i(1, 1, 4, 6)},
    ),
    "as large as fits": (
        "(float[1,1,H,W] x, int64[2] s) => (float[1,1,h,w] y) "
        "{ y = Resize <mode = \"linear\", axes = [2,3], keep_aspect_ratio_policy = \"not_larger\"> (x, , "
            ", s) }",
        {"x": f(1, 1, 9, 8), "s": i(12, 14)},
    ),
    "slices that differ": (
        "(float[A,B] x) => (float[C,B] y, int64[P] p, int64[Q] q, int64[R] r) { y, p, q, r = Unique <axis "
            "= 0> (x) }",
        {"x": RNG.integers(0, 2, (7, 2)).astype(np.float32)},
    ),
    "slices in order of appearance": (
        "(int64[3,8] x) => (int64[3,C] y, int64[P] p, int64[Q] q, int64[R] r) "
        "{ y, p, q, r = Unique <axis = 1, sorted = 0> (x) }",
        {"x": RNG.integers(0, 2, (3, 8))},
    ),
    "the last of what is put in one place": (
        "(float[N,3] x, int64[M,1] i, float[M,3] u) => (float[N,3] y) { y = ScatterND (x, i, u) }",
        {"x": f(4, 3), "i": i(2, -2, 0, 2).reshape(-1, 1), "u": f(4, 3)},
    ),
    "the last of elements put in one place": (
        "(float16[N,M] x, int64[2,K] i, float16[2,K] u) => (float16[N,M] y) "
        "{ y = ScatterElements <axis = 1> (x, i, u) }",
        {"x": f(3, 4).astype(np.float16), "i": i(3, 3, 1, 0, 0, 0).reshape(2, 3), "u": f(2, 3).astype(np.float16)},
    ),
    "nothing to put": (
        "(float[N,3] x, int64[M,1] i, float[M,3] u) => (float[N,3] y) { y = ScatterND (x, i, u) }",
        {"x": f(4, 3), "i": np.zeros((0, 1), np.int64), "u": f(0, 3)},
    ),
    "the largest of what is put in one place": (
        "(float[N,M] x, int64[K,2] i, float[K] u) => (float[N,M] y) "
        "{ y = ScatterND <reduction = \"max\"> (x, i, u) }",
        {"x": f(3, 4), "i": i(1, 2, 1, -2, 0, 3).reshape(3, 2), "u": f(3)},
    ),
    "whole powers": (
        "(int64[N] x, int64[N] e) => (int64[N] y) { y = Pow (x, e) }",
        {"x": i(2, 3, -3, 1, -1, 0, -1, 5, -1, 2), "e": i(40, 5, 7, 100, 101, 0, 64, -1, -3, 62)},
    ),
    "largest of nothing": (
        "(bool[2,0] x) => (bool[2,1] y) <int64[1] a = {1}> { y = ReduceMax (x, a) }",
        {"x": np.zeros((2, 0), bool)},
    ),
}  # fmt: skip
for _pad in (
    'auto_pad = "SAME_UPPER"',
    'auto_pad = "SAME_LOWER"',
    "ceil_mode = 1",
    "ceil_mode = 1, pads = [1,0,1,1]",
):
    for _pool in ("MaxPool", "AveragePool", "AveragePool, pads counted"):
        _more = ", count_include_pad = 1" * ("," in _pool)
        CASES[f"{_pool} with {_pad}"] = (
            f"(float[N,2,H,W] x) => (float[N,2,h,w] y) "
            f"{{ y = {_pool.split(',')[0]} <kernel_shape = [3,2], strides = [2,2], {_pad}{_more}> (x) }}",
            {"x": f(2, 2, 7, 6) - 3},
        )
for _pad in ("SAME_UPPER", "SAME_LOWER"):
    _weights = ",".join(str(v) for v in RNG.integers(-9, 9, 36) / 8)
    CASES[f"Conv with {_pad}"] = (
        f"(float[N,2,H,W] x) => (float[N,2,h,w] y) <float[2,2,3,3] w = {{{_weights}}}> "
        f'{{ y = Conv <auto_pad = "{_pad}", strides = [2,1], dilations = [1,2]> (x, w) }}',
        {"x": f(2, 2, 8, 5)},
    )
for _left, _right in (
    ("a,b,c,d,3,4", "a,b,c,d,4,2"),
    ("2,1,2,2,3,4", "2,1,4,2"),
    ("2,1,c,2,3,4", "3,c,1,4,2"),
):
    _shapes = [
        [dict(a=2, b=1, c=2, d=2).get(d) or int(d) for d in dims.split(",")] for dims in (_left, _right)
    ]
    CASES[f"matrices of {_left}"] = (
        f"(float[{_left}] x, float[{_right}] z) => (float[k,l,m,n,3,2] y) {{ y = MatMul (x, z) }}",
        {"x": f(*_shapes[0]), "z": f(*_shapes[1])},
    )
for _axis in (0, 1, -1):
    for _name, _flags in (("", ""), (", backwards", "<reverse = 1, exclusive = 1>")):
        CASES[f"products along {_axis}{_name}"] = (
            f"(float[A,3,C] x, int64 a) => (float[A,3,C] y) {{ y = CumProd {_flags} (x, a) }}",
            {"x": f(4, 3, 2), "a": n(_axis)},
        )
for _axis in (0, 1, -2):
    CASES[f"transform along {_axis}"] = (
        "(float[4,9,1] x, int64 a) => (float[F,G,2] y) { y = DFT <onesided = 1> (x, , a) }",
        {"x": f(4, 9, 1), "a": n(_axis)},
    )


@pytest.mark.parametrize("name", CASES)
def test_what_is_known_at_run_time_only_is_computed_then(name: str, tmp_path: Any) -> None:
    graph, feed = CASES[name]
    model = hub_from_text(graph, opset=26)
    path = bridge.save(model, tmp_path / "m.tflite").path
    expected = bridge.run(model, feed)
    for kernels in KERNELS:
        result = compare(expected, runtime.LiteRTSession(path, resolver=kernels).run(feed))
        assert result.ok, str(result)


@pytest.mark.parametrize("operator", ["ArgMax <axis=1>", "ArgMin <axis=-1, select_last_index=1>"])
@pytest.mark.parametrize("dtype", ["int64", "int16", "uint16", "uint32"])
def test_places_of_extremes_are_found_in_integers_that_litert_does_not_search(operator, dtype, tmp_path):
    model = hub_from_text(f"({dtype}[n,3,m] x) => (int64[a,b,c] y) {{ y = {operator} (x) }}")
    high = np.iinfo(dtype).max
    x = np.random.default_rng(1).integers(high - 3, high, (2, 3, 4), dtype=dtype)
    found = run_in("tflite", model, {"x": x}, tmp_path)["y"]
    places = x.argmax(1, keepdims=True) if "Max" in operator else 3 - x[..., ::-1].argmin(-1, keepdims=True)
    np.testing.assert_array_equal(found, places)


@pytest.mark.parametrize("operator", ["BitwiseAnd", "BitwiseOr", "BitwiseXor"])
@pytest.mark.parametrize("shapes", [("n,3,m", "1"), ("n,1,m", "n,3,m"), ("n,m", "3,n,m")])
def test_bits_of_varying_lengths_are_broadcast(operator, shapes, tmp_path):
    lengths, rng = {"n": 2, "m": 4}, np.random.default_rng(1)
    feeds = {
        name: rng.integers(-9, 9, [lengths.get(d) or int(d) for d in shape.split(",")])
        for name, shape in zip("xz", shapes, strict=True)
    }
    described = ", ".join(f"int64[{shape}] {name}" for name, shape in zip("xz", shapes, strict=True))
    model = hub_from_text(f"({described}) => (int64[p,q,r] y) {{ y = {operator} (x, z) }}")
    found = run_in("tflite", model, feeds, tmp_path)["y"]
    compute = {"BitwiseAnd": np.bitwise_and, "BitwiseOr": np.bitwise_or, "BitwiseXor": np.bitwise_xor}[
        operator
    ]
    np.testing.assert_array_equal(found, compute(feeds["x"], feeds["z"]))
