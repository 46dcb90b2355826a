"""Transforms of signals as matrix products, and the steps of optimizers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import arange, length_of, lengths, reshape, scalar, vector
from bridge.geometry import window_count
from bridge.hub import attr, largest, rank_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge.passes.decompose.common import zero
from bridge.passes.decompose.control import at_axis

ops = OpTable()

TRAINING = "ai.onnx.preview.training"

RANKED = condition("a known rank", lambda n: rank_of(n.inputs[0]) is not None)


def parts_known(node: ir.Node) -> bool:
    """True if the last dimension is surely real and imaginary parts, or real ones alone."""
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    return shape is not None and len(shape) > 0 and isinstance(shape[-1], int)


COMPLEX = condition("a last dimension of known length", parts_known)


@ops.op("DFT", needs=(RANKED, COMPLEX, dtype("float", "double")))
def dft(op, node, x, length=None, axis=None):
    """A product with the matrix of roots of unity; the last dimension holds real and imaginary parts."""
    rank = rank_of(x)
    axis = op.const(np.array(rank - 2)) if axis is None else axis
    return at_axis(
        op, axis, rank, range(rank - 1), lambda inner, at: _transform_axis(inner, node, x, length, at)
    )


def _transform_axis(op: Any, node: ir.Node, x: ir.Value, length: Any, axis: int) -> ir.Value:
    sizes, inverse, onesided = lengths(op, x), attr(node, "inverse"), attr(node, "onesided")
    size = sizes[axis]
    if length is not None:
        size = length_of(op, length)
    elif inverse and onesided:
        size = (size - 1) * 2
    half = size // 2 + 1
    rows, columns = (half if onesided and inverse else size), (half if onesided and not inverse else size)
    components = [op.Gather(x, np.array(i), axis=-1) for i in range(sizes[-1])]
    components = [_fit_length(op, v, axis, sizes[axis], rows) for v in components]
    cos, sin = _roots(op, size, rows, columns, x.dtype, bool(inverse))
    if inverse and onesided:
        doubled = _doubled(op, size, rows, x.dtype)
        cos, sin = (op.Mul(m, op.Unsqueeze(doubled, [1])) for m in (cos, sin))
    transformed = _complex_product(op, components, cos, sin, axis)
    if inverse:
        count = op.Cast(scalar(op, size), to=int(x.dtype))
        transformed = [op.Div(v, count) for v in transformed]
    if inverse and onesided:
        return op.Unsqueeze(transformed[0], [-1])
    return op.Concat(*(op.Unsqueeze(v, [-1]) for v in transformed), axis=-1)


def _roots(op: Any, size: Any, rows: Any, columns: Any, dtype: ir.DataType, inverse: bool) -> list[Any]:
    """Real and imaginary part of the roots of unity of each row and column."""
    if all(isinstance(n, int) for n in (size, rows, columns)):
        turns = np.outer(np.arange(rows), np.arange(columns)) % max(size, 1) / max(size, 1)
        roots = np.exp((2j if inverse else -2j) * np.pi * turns)
        return [op.const(np.ascontiguousarray(m).astype(dtype.numpy())) for m in (roots.real, roots.imag)]
    count = scalar(op, size)
    turns = op.Mod(op.Mul(op.Unsqueeze(arange(op, rows), [1]), arange(op, columns)), count)
    divisor = op.Cast(count, to=int(dtype))
    angles = op.Mul(op.Div(op.Cast(turns, to=int(dtype)), divisor), op.const(2 * np.pi, dtype))
    cos, sin = op.Cos(angles), op.Sin(angles)
    return [cos, sin if inverse else op.Neg(sin)]


def _doubled(op: Any, size: Any, rows: Any, dtype: ir.DataType) -> ir.Value:
    """Multiplicity of a frequency in the half spectrum of a real signal: the first and the middle one once,
    the others for their mirror image too."""
    frequencies = arange(op, rows)
    unpaired = op.Or(op.Equal(frequencies, 0), op.Equal(op.Mul(frequencies, 2), scalar(op, size)))
    return op.Where(unpaired, op.const(1, dtype), op.const(2, dtype))


def _complex_product(op: Any, components: list, cos: Any, sin: Any, axis: int) -> list:
    """Real and imaginary part of a complex product along `axis`: from the right along the last, from the left
    else."""
    rank = rank_of(components[0]) or 0
    last = axis == rank - 1
    order = [i for i in range(rank) if i != axis]
    order.insert(rank - 1 if last else rank - 2, axis)
    inverse = [order.index(i) for i in range(rank)]
    cos, sin = (face if last else op.Transpose(face, perm=[1, 0]) for face in (cos, sin))

    def multiply(v: Any, face: Any) -> Any:
        return op.MatMul(v, face) if last else op.MatMul(face, v)

    def transpose(v: Any, perm: list[int]) -> Any:
        return v if axis >= rank - 2 else op.Transpose(v, perm=perm)

    re, *im = (transpose(v, order) for v in components)
    real, imaginary = multiply(re, cos), multiply(re, sin)
    for v in im:
        real, imaginary = op.Sub(real, multiply(v, sin)), op.Add(imaginary, multiply(v, cos))
    return [transpose(v, inverse) for v in (real, imaginary)]


def _fit_length(op: Any, v: ir.Value, axis: int, length: Any, size: Any) -> ir.Value:
    """Cut, or followed by zeros, to the transform's length."""
    if size is length or (isinstance(size, int) and size == length):
        return v
    more = largest(size - length, 0)
    v = v if isinstance(more, int) and more else op.Slice(v, [0], vector(op, [size]), [axis])
    return op.Pad(v, vector(op, [0, more]), zero(op, v), op.const(np.array([axis])))


@ops.op(
    "STFT",
    needs=(
        RANKED,
        condition(
            "a last dimension of known length",
            lambda n: rank_of(n.inputs[0]) == 2 or parts_known(n),
        ),
        dtype("float", "double"),
    ),
)
def stft(op, node, signal, step, window=None, length=None):
    """Frames gathered, windowed and transformed."""
    signal = op.Unsqueeze(signal, [-1]) if rank_of(signal) == 2 else signal
    size, hop = (lengths(op, window)[0] if v is None else length_of(op, v) for v in (length, step))
    count = window_count(lengths(op, signal)[1], size, hop)
    starts = op.Mul(arange(op, count), scalar(op, hop))
    frames = op.Gather(signal, op.Add(op.Unsqueeze(starts, [1]), arange(op, size)), axis=1)
    if window is not None:
        frames = op.Mul(frames, reshape(op, window, [1, 1, -1, 1]))
    onesided = attr(node, "onesided")
    return op.DFT(frames, None, op.const(np.array(2)), onesided=onesided)


@ops.op(f"{TRAINING}::Momentum")
def momentum(op, node, rate, step, *tensors):
    """V = alpha · V + beta · G, then X - R · V, or X - R · (G + alpha · V) of mode nesterov; beta is 1 at the
    first step."""
    alpha, decay = attr(node, "alpha"), attr(node, "norm_coefficient")
    count = len(tensors) // 3
    first = op.Equal(step, op.const(np.array(0, np.int64)))
    beta = op.Where(first, op.const(1.0, rate.dtype), op.const(attr(node, "beta"), rate.dtype))
    news, speeds = [], []
    for x, g, v in (tensors[i::count] for i in range(count)):
        g = op.Add(op.Mul(x, decay), g)
        v = op.Add(op.Mul(v, alpha), op.Mul(g, beta))
        slope = op.Add(g, op.Mul(v, alpha)) if attr(node, "mode") == "nesterov" else v
        news.append(op.Sub(x, op.Mul(slope, rate)))
        speeds.append(v)
    return [*news, *speeds]


@ops.op(f"{TRAINING}::Adagrad")
def adagrad(op, node, rate, step, *tensors):
    """H = H + G², X - r · G / (√H + ε), r = R / (1 + T · decay)."""
    count = len(tensors) // 3
    slowed = op.Add(op.Mul(op.Cast(step, to=int(rate.dtype)), attr(node, "decay_factor")), 1.0)
    rate = op.Div(rate, slowed)
    news, squares = [], []
    for x, g, h in (tensors[i::count] for i in range(count)):
        g = op.Add(op.Mul(x, attr(node, "norm_coefficient")), g)
        h = op.Add(h, op.Mul(g, g))
        news.append(op.Sub(x, op.Div(op.Mul(g, rate), op.Add(op.Sqrt(h), attr(node, "epsilon")))))
        squares.append(h)
    return [*news, *squares]


@ops.op(f"{TRAINING}::Adam")
def adam(op, node, rate, step, *tensors):
    """Means of the gradient and of its square, the rate corrected for their start at zero while T > 0."""
    alpha, beta, count = attr(node, "alpha"), attr(node, "beta"), len(tensors) // 4
    time = op.Cast(step, to=int(rate.dtype))
    fading = [op.Sub(1.0, op.Pow(op.const(base, rate.dtype), time)) for base in (alpha, beta)]
    started = op.Greater(step, op.const(np.array(0, np.int64)))
    rate = op.Where(
        started,
        op.Mul(rate, op.Div(op.Sqrt(fading[1]), op.Where(started, fading[0], op.const(1.0, rate.dtype)))),
        rate,
    )
    after = 1 - attr(node, "norm_coefficient_post")
    news, means, squares = [], [], []
    for x, g, v, h in (tensors[i::count] for i in range(count)):
        g = op.Add(op.Mul(x, attr(node, "norm_coefficient")), g)
        v = op.Add(op.Mul(v, alpha), op.Mul(g, 1 - alpha))
        h = op.Add(op.Mul(h, beta), op.Mul(op.Mul(g, g), 1 - beta))
        moved = op.Sub(x, op.Div(op.Mul(v, rate), op.Add(op.Sqrt(h), attr(node, "epsilon"))))
        news.append(op.Mul(moved, after))
        means.append(v)
        squares.append(h)
    return [*news, *means, *squares]
