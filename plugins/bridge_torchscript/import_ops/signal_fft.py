"""Complex numbers as pairs of floats [..., 2], and Fourier transforms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.importing import ints, like, shape_tensor
from bridge.ops import OpTable
from bridge_torchscript.import_ops.common import as_floating, length, number, rank, static_value
from bridge_torchscript.values import Complex, Unsupported

ops = OpTable()

BACK = {None: "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}


def component(op: Any, x: Complex, index: int) -> ir.Value:
    """Real (index 0) or imaginary (1) part."""
    return op.Gather(x.value, np.array(index), axis=-1)


def pair(op: Any, real: ir.Value, imaginary: ir.Value) -> Complex:
    if real.shape != imaginary.shape:
        shape = shape_tensor(op, op.Equal(real, imaginary))
        real, imaginary = op.Expand(real, shape), op.Expand(imaginary, shape)
    last = ints(rank(real))
    return Complex(op.Concat(op.Unsqueeze(real, last), op.Unsqueeze(imaginary, last), axis=rank(real)))


def as_complex(op: Any, x: Any) -> Complex:
    if isinstance(x, Complex):
        return x
    x = as_floating(op, x)
    return pair(op, x, op.Mul(x, like(op, x)))


def conjugate(op: Any, x: Complex) -> Complex:
    return Complex(op.Mul(x.value, op.const(np.array([1, -1], x.value.dtype.numpy()))))


def _scale(count: int, norm: Any, inverse: bool) -> float:
    """Factor of the normalization `norm` for a transform of `count` elements."""
    if norm == "ortho":
        return 1 / math.sqrt(count)
    return 1 / count if (norm in (None, "backward")) == inverse else 1.0


def _fft_axes(x: Any, dim: Any, s: Any) -> list[int]:
    count = rank(x.value) - 1 if isinstance(x, Complex) else rank(x)
    if dim is None:
        dims = list(range(count)) if s is None else list(range(count - len(s), count))
    else:
        dims = [dim] if isinstance(dim, int) else list(dim)
    return [d % count for d in dims]


def dft(op: Any, x: Complex, n: Any, at: int, inverse: bool, norm: Any) -> Complex:
    """Fourier transform along `at`, of length `n`."""
    count = int(static_value(n if n is not None else length(op, x.value, at), "length"))
    spectrum = op.DFT(x.value, np.array(count), np.array(at), inverse=int(inverse))
    default = 1 / count if inverse else 1.0
    factor = _scale(count, norm, inverse) / default
    return Complex(spectrum if factor == 1 else op.Mul(spectrum, number(op, factor, spectrum)))


def rfft_axis(op: Any, x: ir.Value, n: Any, at: int, norm: Any) -> Complex:
    """One-sided spectrum of real values along `at`."""
    x = as_floating(op, x)
    count = int(static_value(n if n is not None else length(op, x, at), "length"))
    spectrum = op.DFT(op.Unsqueeze(x, ints(rank(x))), np.array(count), np.array(at), onesided=1)
    factor = _scale(count, norm, False)
    return Complex(spectrum if factor == 1 else op.Mul(spectrum, number(op, factor, spectrum)))


def irfft_axis(op: Any, x: Complex, n: Any, at: int, norm: Any) -> ir.Value:
    """Real values from a one-sided spectrum along `at`: products with cosine and sine tables."""
    bins = int(static_value(length(op, x.value, at), "length"))
    count = int(n) if n is not None else 2 * (bins - 1)
    used = min(bins, count // 2 + 1)
    angle = 2 * np.pi * np.outer(np.arange(used), np.arange(count)) / count
    weight = np.full((used, 1), 2.0)
    weight[0] = 1
    if count % 2 == 0 and used == count // 2 + 1:
        weight[-1] = 1
    dtype = x.value.dtype.numpy()
    tables = [weight * np.cos(angle), -weight * np.sin(angle)]
    factor = _scale(count, norm, True)
    sides = []
    for index, table in enumerate(tables):
        values = op.Slice(component(op, x, index), ints(0), ints(used), ints(at))
        order = [i for i in range(rank(values)) if i != at] + [at]
        product = op.MatMul(op.Transpose(values, perm=order), op.const((table * factor).astype(dtype)))
        sides.append(op.Transpose(product, perm=[order.index(i) for i in range(len(order))]))
    return op.Add(*sides)


def _register_fft(name: str, inverse: bool) -> None:
    @ops.op(f"aten::fft_{name}")
    def transform(op, x, n=None, dim=-1, norm=None):
        x = as_complex(op, x)
        return dft(op, x, n, _fft_axes(x, dim, None)[0], inverse, norm)

    @ops.op(f"aten::fft_{name}2", f"aten::fft_{name}n")
    def transform_many(op, x, s=None, dim=None, norm=None):
        x = as_complex(op, x)
        dims = _fft_axes(x, dim, s)
        for at, n in zip(dims, s or [None] * len(dims), strict=True):
            x = dft(op, x, None if n == -1 else n, at, inverse, norm)
        return x


_register_fft("fft", False)
_register_fft("ifft", True)


@ops.op("aten::fft_rfft")
def rfft(op, x, n=None, dim=-1, norm=None):
    return rfft_axis(op, x, n, _fft_axes(x, dim, None)[0], norm)


@ops.op("aten::fft_irfft")
def irfft(op, x, n=None, dim=-1, norm=None):
    x = as_complex(op, x)
    return irfft_axis(op, x, n, _fft_axes(x, dim, None)[0], norm)


@ops.op("aten::fft_hfft")
def hfft(op, x, n=None, dim=-1, norm=None):
    return irfft(op, conjugate(op, as_complex(op, x)), n, dim, BACK[norm])


@ops.op("aten::fft_ihfft")
def ihfft(op, x, n=None, dim=-1, norm=None):
    return conjugate(op, rfft(op, x, n, dim, BACK[norm]))


def _fft_lengths(s: Any, dims: Sequence[int]) -> list[Any]:
    return [None if n == -1 else n for n in s] if s else [None] * len(dims)


@ops.op("aten::fft_rfft2", "aten::fft_rfftn")
def rfftn(op, x, s=None, dim=None, norm=None):
    dims = _fft_axes(x, dim, s)
    lengths = _fft_lengths(s, dims)
    spectrum = rfft_axis(op, x, lengths[-1], dims[-1], norm)
    for at, n in zip(dims[:-1], lengths[:-1], strict=True):
        spectrum = dft(op, spectrum, n, at, False, norm)
    return spectrum


@ops.op("aten::fft_irfft2", "aten::fft_irfftn")
def irfftn(op, x, s=None, dim=None, norm=None):
    x = as_complex(op, x)
    dims = _fft_axes(x, dim, s)
    lengths = _fft_lengths(s, dims)
    for at, n in zip(dims[:-1], lengths[:-1], strict=True):
        x = dft(op, x, n, at, True, norm)
    return irfft_axis(op, x, lengths[-1], dims[-1], norm)


@ops.op("aten::fft_hfft2", "aten::fft_hfftn")
def hfftn(op, x, s=None, dim=None, norm=None):
    return irfftn(op, conjugate(op, as_complex(op, x)), s, dim, BACK[norm])


@ops.op("aten::fft_ihfft2", "aten::fft_ihfftn")
def ihfftn(op, x, s=None, dim=None, norm=None):
    return conjugate(op, rfftn(op, x, s, dim, BACK[norm]))


@ops.op("aten::complex")
def complex_(op, real, imag):
    return pair(op, real, imag)


@ops.op("aten::polar")
def polar(op, abs, angle):
    return pair(op, op.Mul(abs, op.Cos(angle)), op.Mul(abs, op.Sin(angle)))


@ops.op("aten::view_as_complex")
def view_as_complex(op, x):
    return Complex(x)


@ops.op("aten::view_as_real")
def view_as_real(op, x):
    return op.Identity(x.value) if isinstance(x, Complex) else _refuse()


def _refuse() -> Any:
    raise Unsupported("needs complex numbers")


@ops.op("aten::imag")
def imag(op, x):
    return component(op, x, 1) if isinstance(x, Complex) else _refuse()


def multiply_complex(op: Any, x: Any, other: Any) -> Complex:
    if not isinstance(x, Complex) or not isinstance(other, Complex):
        pairs, factor = (x, other) if isinstance(x, Complex) else (other, x)
        if isinstance(factor, ir.Value) and rank(factor):
            factor = op.Unsqueeze(factor, ints(rank(factor)))
        return Complex(
            op.Mul(pairs.value, factor if isinstance(factor, ir.Value) else number(op, factor, pairs.value))
        )
    (a, b), (c, d) = ((component(op, v, 0), component(op, v, 1)) for v in (x, other))
    return pair(op, op.Sub(op.Mul(a, c), op.Mul(b, d)), op.Add(op.Mul(a, d), op.Mul(b, c)))


def magnitude(op: Any, x: Complex) -> ir.Value:
    """Absolute values."""
    return op.Sqrt(op.ReduceSum(op.Mul(x.value, x.value), ints(rank(x.value) - 1), keepdims=0))
