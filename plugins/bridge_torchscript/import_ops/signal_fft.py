"""Complex numbers as pairs of floats [..., 2], and Fourier transforms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.importing import ints, like, shape_tensor
from bridge.ops import OpTable
from bridge_torchscript.import_ops.common import (
    FLOATS,
    T,
    as_floating,
    cast,
    length,
    number,
    rank,
    result_type,
    static_value,
)
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


def complex_among(*values: Any) -> bool:
    return any(isinstance(v, (Complex, complex)) for v in values)


def numbers_as_pairs(op: Any, *operands: Any) -> list[Any]:
    """Operands with complex numbers of Python as pairs, in the float dtype of the tensor among them."""
    values = [v.value if isinstance(v, Complex) else v for v in operands]
    dtype = next((v.dtype for v in values if isinstance(v, ir.Value) and v.dtype in FLOATS), T.FLOAT)
    return [
        Complex(op.const(np.array([v.real, v.imag], dtype.numpy()))) if isinstance(v, complex) else v
        for v in operands
    ]


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


def alike(op: Any, x: Complex, other: Complex) -> tuple[Complex, Complex]:
    """Both in one dtype; a single number takes the other's."""
    a, b = x.value, other.value
    if a.dtype != b.dtype:
        alone = [rank(v) == 1 for v in (a, b)]
        dtype = result_type(a, b) if alone[0] == alone[1] else (b if alone[0] else a).dtype
        a, b = cast(op, a, dtype), cast(op, b, dtype)
    return Complex(a), Complex(b)


def multiply_complex(op: Any, x: Any, other: Any) -> Complex:
    if not isinstance(x, Complex) or not isinstance(other, Complex):
        pairs, factor = (x, other) if isinstance(x, Complex) else (other, x)
        if not isinstance(factor, ir.Value):
            return Complex(op.Mul(pairs.value, number(op, factor, pairs.value)))
        one, two = alike(op, pairs, Complex(op.Unsqueeze(as_floating(op, factor), ints(rank(factor)))))
        return Complex(op.Mul(one.value, two.value))
    x, other = alike(op, x, other)
    (a, b), (c, d) = ((component(op, v, 0), component(op, v, 1)) for v in (x, other))
    return pair(op, op.Sub(op.Mul(a, c), op.Mul(b, d)), op.Add(op.Mul(a, d), op.Mul(b, c)))


def divide_complex(op: Any, x: Any, other: Any) -> Complex:
    """x / y = x · conjugate(y) / |y|²."""
    if not isinstance(other, Complex):
        return multiply_complex(op, x, op.Reciprocal(as_floating(op, other)))
    x, other = alike(op, as_complex(op, x), other)
    size = op.ReduceSum(op.Mul(other.value, other.value), ints(rank(other.value) - 1), keepdims=1)
    return Complex(op.Div(multiply_complex(op, x, conjugate(op, other)).value, size))


def equal_complex(op: Any, x: Any, other: Any) -> ir.Value:
    """True where both parts are equal."""
    one, two = alike(op, as_complex(op, x), as_complex(op, other))
    hits = op.Equal(one.value, two.value)
    return op.And(*(op.Gather(hits, np.array(i), axis=-1) for i in (0, 1)))


BY_COMPONENT = """
alias cat clone contiguous cumsum detach diagonal expand fft_fftshift fft_ifftshift flatten flip hstack
index_select mT mean movedim
narrow neg permute repeat reshape roll select slice split split_with_sizes squeeze stack sum t tile
transpose unbind unflatten unfold unsqueeze view vstack
"""
"""Operators that give complex numbers what they give their real and their imaginary parts."""
WHOLE = """
_conj abs absolute add bmm conj conj_physical div divide eq matmul mm mul multiply ne not_equal real
resolve_conj rsub sub subtract true_divide
"""
"""Operators of other families whose rules take complex numbers."""


def by_component(operator: str, handler: Any) -> bool:
    """True if an operator takes the parts of complex numbers one by one, False if it takes them whole. Raises
    Unsupported if it takes none.
    """
    name = operator.partition("::")[2]
    if name in BY_COMPONENT.split():
        return True
    if name in WHOLE.split() or handler.__module__.rpartition(".")[2].startswith("signal_"):
        return False
    raise Unsupported("is not supported on complex numbers")


def is_complex(value: Any) -> bool:
    """True for complex numbers and lists that hold some."""
    return isinstance(value, Complex) or (isinstance(value, list) and any(map(is_complex, value)))


def components(op: Any, arguments: dict[str, Any], index: int) -> dict[str, Any]:
    """Arguments with the real (index 0) or imaginary (1) parts of what is complex in them."""
    if arguments.get("dtype") is not None:
        raise Unsupported("makes complex numbers of another dtype")

    def part(value: Any) -> Any:
        if isinstance(value, list) and is_complex(value):
            return [component(op, as_complex(op, v), index) for v in value]
        return component(op, value, index) if isinstance(value, Complex) else value

    return {name: part(value) for name, value in arguments.items()}


def paired(op: Any, real: Any, imaginary: Any) -> Any:
    """Complex numbers of their parts, or lists of them."""
    if isinstance(real, (list, tuple)):
        return [paired(op, r, i) for r, i in zip(real, imaginary, strict=True)]
    return pair(op, real, imaginary)


def magnitude(op: Any, x: Complex) -> ir.Value:
    """Absolute values."""
    return op.Sqrt(op.ReduceSum(op.Mul(x.value, x.value), ints(rank(x.value) - 1), keepdims=0))
