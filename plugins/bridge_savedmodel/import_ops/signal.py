"""Fourier transforms and complex arithmetic; complex tensors are pairs of a real and an imaginary part."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.hub import rank_of
from bridge.importing import constant_ints, ints
from bridge.needs import condition, constant
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.math import atan2
from bridge_savedmodel.values import Pair

ops = OpTable()

COMPLEX = condition("a complex input made of parts", lambda n: isinstance(n.inputs[0], Pair))


@ops.op("Complex")
def complex_(op, node, real, imag):
    return Pair(real, imag)


@ops.op("Real", needs=(COMPLEX,))
def real(op, node, x):
    return x.real


@ops.op("Imag", needs=(COMPLEX,))
def imag(op, node, x):
    return x.imag


@ops.op("ComplexAbs", needs=(COMPLEX,))
def magnitude(op, node, x):
    return op.Sqrt(op.Add(op.Mul(x.real, x.real), op.Mul(x.imag, x.imag)))


@ops.op("Conj", needs=(COMPLEX,))
def conjugate(op, node, x):
    return Pair(x.real, op.Neg(x.imag))


def _stack_parts(op: Any, x: Pair) -> Any:
    """A pair as one tensor [..., 2]."""
    return op.Concat(op.Unsqueeze(x.real, ints(-1)), op.Unsqueeze(x.imag, ints(-1)), axis=-1)


def _split_parts(op: Any, x: Any) -> Pair:
    """A tensor [..., 2] as a pair."""
    real, imag = op.Split(x, axis=-1, num_outputs=2, _outputs=2)
    return Pair(op.Squeeze(real, ints(-1)), op.Squeeze(imag, ints(-1)))


def _axis_from_end(op: Any, rank: int, distance: int) -> Any:
    return op.const(np.array(rank - distance, np.int64))


@ops.op("FFT", "IFFT", "FFT2D", "IFFT2D", "FFT3D", "IFFT3D", needs=(COMPLEX,))
def fft(op, node, x):
    spectrum, rank = _stack_parts(op, x), rank_of(x.real)
    for axis_from_end in range(1, int(node.op[-2]) + 1 if node.op.endswith("D") else 2):
        spectrum = op.DFT(
            spectrum, None, _axis_from_end(op, rank, axis_from_end), inverse=int(node.op.startswith("I"))
        )
    return _split_parts(op, spectrum)


LENGTH = constant(1, "fft_length")


def _fit_length(op: Any, x: Any, axis: int, length: int) -> Any:
    """Crop an axis, or pad it with zeros, to `length`."""
    size = x.shape[axis]
    if size == length:
        return x
    if not isinstance(size, int) or size > length:
        x = op.Slice(x, ints(0), ints(length), ints(axis))
    if isinstance(size, int) and size < length:
        pads = np.zeros((2, len(x.shape)), np.int64)
        pads[1, axis] = length - size
        x = op.Pad(x, op.const(pads.ravel()))
    return x


@ops.op("RFFT", "RFFT2D", "RFFT3D", needs=(LENGTH,))
def rfft(op, node, x, length):
    lengths, rank = constant_ints(length), rank_of(x)
    for axis_from_end, size in enumerate(reversed(lengths), 1):
        x = _fit_length(op, x, rank - axis_from_end, size)
    spectrum = op.DFT(op.Unsqueeze(x, ints(-1)), None, _axis_from_end(op, rank, 1), onesided=1)
    for axis_from_end in range(2, len(lengths) + 1):
        spectrum = op.DFT(spectrum, None, _axis_from_end(op, rank, axis_from_end))
    return _split_parts(op, spectrum)


@ops.op("IRFFT", needs=(COMPLEX, LENGTH))
def irfft(op, node, x, length):
    """Complete the spectrum by the reversed conjugate of its half, then transform."""
    size, rank = constant_ints(length)[0], rank_of(x.real)
    half = size // 2 + 1
    real, imag = (_fit_length(op, v, rank - 1, half) for v in (x.real, x.imag))
    mirrored_positions = list(range(half - 1 if size % 2 == 0 else half, 1, -1))
    indices = np.array([i - 1 for i in mirrored_positions], np.int64)
    full_real = op.Concat(real, op.Gather(real, op.const(indices), axis=-1), axis=-1)
    full_imag = op.Concat(imag, op.Neg(op.Gather(imag, op.const(indices), axis=-1)), axis=-1)
    signal = op.DFT(
        _stack_parts(op, Pair(full_real, full_imag)), None, _axis_from_end(op, rank, 1), inverse=1
    )
    return _split_parts(op, signal).real


@ops.op("Angle", needs=(COMPLEX,))
def angle(op, node, x):
    return atan2(op, node, x.imag, x.real)


@ops.op("complex::Add", "complex::AddV2", "complex::Sub")
def complex_sum(op, node, x, y):
    name = "Sub" if node.op == "Sub" else "Add"
    return Pair(op.node(name, x.real, y.real), op.node(name, x.imag, y.imag))


@ops.op("complex::Mul")
def complex_product(op, node, x, y):
    real = op.Sub(op.Mul(x.real, y.real), op.Mul(x.imag, y.imag))
    return Pair(real, op.Add(op.Mul(x.real, y.imag), op.Mul(x.imag, y.real)))


@ops.op("complex::Div", "complex::RealDiv")
def complex_quotient(op, node, x, y):
    squared_magnitude = op.Add(op.Mul(y.real, y.real), op.Mul(y.imag, y.imag))
    numerator = complex_product(op, node, x, Pair(y.real, op.Neg(y.imag)))
    return Pair(op.Div(numerator.real, squared_magnitude), op.Div(numerator.imag, squared_magnitude))


@ops.op("complex::Square")
def complex_square(op, node, x):
    return complex_product(op, node, x, x)


@ops.op("complex::Exp")
def complex_exp(op, node, x):
    magnitude = op.Exp(x.real)
    return Pair(op.Mul(magnitude, op.Cos(x.imag)), op.Mul(magnitude, op.Sin(x.imag)))


@ops.op("complex::MatMul", "complex::BatchMatMul", "complex::BatchMatMulV2", "complex::BatchMatMulV3")
def complex_matmul(op, node, x, y):
    operands = []
    for value, names in ((x, ("transpose_a", "adj_x")), (y, ("transpose_b", "adj_y"))):
        if any(node.get(n) for n in names):
            rank = rank_of(value.real)
            order = [*range(rank - 2), rank - 1, rank - 2]
            real, imag = (op.Transpose(v, perm=order) for v in (value.real, value.imag))
            value = Pair(real, op.Neg(imag) if node.get(names[1]) else imag)
        operands.append(value)
    a, b = operands
    real = op.Sub(op.MatMul(a.real, b.real), op.MatMul(a.imag, b.imag))
    return Pair(real, op.Add(op.MatMul(a.real, b.imag), op.MatMul(a.imag, b.real)))


PARTWISE = frozenset(
    [
        "BroadcastTo",
        "ConcatV2",
        "Cumsum",
        "ExpandDims",
        "Fill",
        "Gather",
        "GatherV2",
        "Mean",
        "Neg",
        "Pack",
        "Pad",
        "Reshape",
        "ReverseV2",
        "Roll",
        "Slice",
        "Squeeze",
        "StridedSlice",
        "Sum",
        "Tile",
        "Transpose",
        "Unpack",
        "ZerosLike",
    ]
)
"""Operators that compute the real and the imaginary part alike, each on its own."""


@ops.op("IRFFT2D", "IRFFT3D", needs=(COMPLEX, LENGTH))
def irfft_nd(op, node, x, length):
    """Full inverse transforms over the outer dimensions, then the inverse real transform over the last."""
    lengths, rank = constant_ints(length), rank_of(x.real)
    spectrum = x
    for axis_from_end, size in enumerate(reversed(lengths[:-1]), 2):
        spectrum = Pair(
            *(_fit_length(op, v, rank - axis_from_end, size) for v in (spectrum.real, spectrum.imag))
        )
    half = lengths[-1] // 2 + 1
    stacked = _stack_parts(
        op, Pair(*(_fit_length(op, v, rank - 1, half) for v in (spectrum.real, spectrum.imag)))
    )
    for axis_from_end in range(2, len(lengths) + 1):
        stacked = op.DFT(stacked, None, _axis_from_end(op, rank, axis_from_end), inverse=1)
    return irfft(op, node, _split_parts(op, stacked), op.const(np.array(lengths[-1:], np.int64)))
