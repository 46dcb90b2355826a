"""Fourier transforms; complex tensors as their two parts."""

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


def _stacked(op: Any, x: Pair) -> Any:
    return op.Concat(op.Unsqueeze(x.real, ints(-1)), op.Unsqueeze(x.imag, ints(-1)), axis=-1)


def _parts(op: Any, x: Any) -> Pair:
    real, imag = op.Split(x, axis=-1, num_outputs=2, _outputs=2)
    return Pair(op.Squeeze(real, ints(-1)), op.Squeeze(imag, ints(-1)))


def _axis(op: Any, rank: int, back: int) -> Any:
    return op.const(np.array(rank - back, np.int64))


@ops.op("FFT", "IFFT", "FFT2D", "IFFT2D", "FFT3D", "IFFT3D", needs=(COMPLEX,))
def fft(op, node, x):
    made, rank = _stacked(op, x), rank_of(x.real)
    for back in range(1, int(node.op[-2]) + 1 if node.op.endswith("D") else 2):
        made = op.DFT(made, None, _axis(op, rank, back), inverse=int(node.op.startswith("I")))
    return _parts(op, made)


LENGTH = constant(1, "fft_length")


def _cut(op: Any, x: Any, axis: int, length: int) -> Any:
    """Cut or filled with zeros to a length."""
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
    for back, size in enumerate(reversed(lengths), 1):
        x = _cut(op, x, rank - back, size)
    made = op.DFT(op.Unsqueeze(x, ints(-1)), None, _axis(op, rank, 1), onesided=1)
    for back in range(2, len(lengths) + 1):
        made = op.DFT(made, None, _axis(op, rank, back))
    return _parts(op, made)


@ops.op("IRFFT", needs=(COMPLEX, LENGTH))
def irfft(op, node, x, length):
    """The half that is left out is the conjugate of the other, backwards."""
    size, rank = constant_ints(length)[0], rank_of(x.real)
    half = size // 2 + 1
    real, imag = (_cut(op, v, rank - 1, half) for v in (x.real, x.imag))
    tail = list(range(half - 1 if size % 2 == 0 else half, 1, -1))
    mirrored = np.array([i - 1 for i in tail], np.int64)
    whole = op.Concat(real, op.Gather(real, op.const(mirrored), axis=-1), axis=-1)
    other = op.Concat(imag, op.Neg(op.Gather(imag, op.const(mirrored), axis=-1)), axis=-1)
    made = op.DFT(_stacked(op, Pair(whole, other)), None, _axis(op, rank, 1), inverse=1)
    return _parts(op, made).real


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
    size = op.Add(op.Mul(y.real, y.real), op.Mul(y.imag, y.imag))
    made = complex_product(op, node, x, Pair(y.real, op.Neg(y.imag)))
    return Pair(op.Div(made.real, size), op.Div(made.imag, size))


@ops.op("complex::Square")
def complex_square(op, node, x):
    return complex_product(op, node, x, x)


@ops.op("complex::Exp")
def complex_exp(op, node, x):
    size = op.Exp(x.real)
    return Pair(op.Mul(size, op.Cos(x.imag)), op.Mul(size, op.Sin(x.imag)))


@ops.op("complex::MatMul", "complex::BatchMatMul", "complex::BatchMatMulV2", "complex::BatchMatMulV3")
def complex_matmul(op, node, x, y):
    sides = []
    for value, names in ((x, ("transpose_a", "adj_x")), (y, ("transpose_b", "adj_y"))):
        if any(node.get(n) for n in names):
            rank = rank_of(value.real)
            order = [*range(rank - 2), rank - 1, rank - 2]
            real, imag = (op.Transpose(v, perm=order) for v in (value.real, value.imag))
            value = Pair(real, op.Neg(imag) if node.get(names[1]) else imag)
        sides.append(value)
    a, b = sides
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
def irfft_of_many(op, node, x, length):
    """The outer dimensions in full, then the last from its half."""
    lengths, rank = constant_ints(length), rank_of(x.real)
    parts = x
    for back, size in enumerate(reversed(lengths[:-1]), 2):
        parts = Pair(*(_cut(op, v, rank - back, size) for v in (parts.real, parts.imag)))
    half = lengths[-1] // 2 + 1
    made = _stacked(op, Pair(*(_cut(op, v, rank - 1, half) for v in (parts.real, parts.imag))))
    for back in range(2, len(lengths) + 1):
        made = op.DFT(made, None, _axis(op, rank, back), inverse=1)
    return irfft(op, node, _parts(op, made), op.const(np.array(lengths[-1:], np.int64)))
