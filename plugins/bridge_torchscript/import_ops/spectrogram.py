"""Short-time Fourier transforms and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.importing import ints, like
from bridge.ops import OpTable
from bridge_torchscript.import_ops.common import known, number, rank, scalar
from bridge_torchscript.import_ops.fourier import part
from bridge_torchscript.import_ops.pool import PADDING, padded
from bridge_torchscript.values import Complex, Unsupported

ops = OpTable()


def _window(op: Any, window: Any, size: int, width: int, dtype: ir.DataType) -> ir.Value:
    """The window [size]: that of `width` elements, zeros around it."""
    if window is None:
        window = op.const(np.ones(width, dtype.numpy()))
    left = (size - width) // 2
    return window if width == size else op.Pad(window, ints(left, size - width - left))


@ops.op("aten::stft")
def stft(
    op,
    x,
    n_fft,
    hop_length=None,
    win_length=None,
    window=None,
    center=False,
    pad_mode="reflect",
    normalized=False,
    onesided=None,
    return_complex=None,
    align_to_window=None,
):
    """[batch, frequency, frame], as pairs of floats."""
    if isinstance(x, Complex) or isinstance(window, Complex) or align_to_window:
        raise Unsupported("is read of real numbers, from the first element on")
    size = int(known(n_fft, "n_fft"))
    hop = int(known(hop_length, "hop_length")) if hop_length is not None else size // 4
    width = int(known(win_length, "win_length")) if win_length is not None else size
    rows = x if rank(x) == 2 else op.Unsqueeze(x, ints(0))
    if center:
        rows = padded(op, op.Unsqueeze(rows, ints(1)), [size // 2, size // 2], PADDING[pad_mode])
        rows = op.Squeeze(rows, ints(1))
    half = onesided is not False
    made = op.STFT(
        op.Unsqueeze(rows, ints(2)),
        scalar(op, hop),
        _window(op, window, size, width, x.dtype),
        scalar(op, size),
        onesided=int(half),
    )
    if made.shape is None:
        made.shape = ir.Shape([rows.shape[0], None, size // 2 + 1 if half else size, 2])
    if normalized:
        made = op.Mul(made, number(op, size**-0.5, made))
    made = op.Transpose(made, perm=[0, 2, 1, 3])
    made = made if rank(x) == 2 else op.Squeeze(made, ints(0))
    return Complex(made) if return_complex else made


@ops.op("aten::istft")
def istft(
    op,
    x,
    n_fft,
    hop_length=None,
    win_length=None,
    window=None,
    center=True,
    normalized=False,
    onesided=None,
    length=None,
    return_complex=False,
):
    """Frames turned back and added where they overlap, over the sum of their squared windows: both transposed convolutions."""
    if not isinstance(x, Complex) or return_complex or isinstance(window, Complex):
        raise Unsupported("is read of complex spectra of real numbers alone")
    size = int(known(n_fft, "n_fft"))
    hop = int(known(hop_length, "hop_length")) if hop_length is not None else size // 4
    width = int(known(win_length, "win_length")) if win_length is not None else size
    value = x.value if rank(x.value) == 4 else op.Unsqueeze(x.value, ints(0))
    bins = value.shape[1]
    half = onesided if onesided is not None else bins != size
    window = _window(op, window, size, width, value.dtype)
    basis = _basis(size, size // 2 + 1 if half else size, bool(half)) * (size**0.5 if normalized else 1)
    kernel = op.Mul(op.const(basis[:, None].astype(value.dtype.numpy())), window)
    rows = op.Concat(part(op, Complex(value), 0), part(op, Complex(value), 1), axis=1)
    added = op.ConvTranspose(rows, kernel, strides=[hop])
    ones = op.Slice(rows, ints(0, 0), ints(1, 1), ints(0, 1))
    ones = op.Add(op.Mul(ones, like(op, ones)), number(op, 1, ones))
    square = op.Reshape(op.Mul(window, window), ints(1, 1, size))
    weights = op.ConvTranspose(ones, square, strides=[hop])
    start = size // 2 if center else 0
    end = -start if center else 2**62
    if length is not None:
        end = start + int(known(length, "length"))
    added, weights = (op.Slice(v, ints(start), ints(end), ints(2)) for v in (added, weights))
    made = op.Div(added, weights)
    if length is not None:
        made = _fitted(op, made, int(length))
    return op.Squeeze(made, ints(1) if rank(x.value) == 4 else ints(0, 1))


def _fitted(op: Any, x: ir.Value, count: int) -> ir.Value:
    """Zeros behind what is shorter than `count`."""
    if x.shape is not None and x.shape[2] == count:
        return x
    rest = op.Max(op.Sub(ints(count), op.Shape(x, start=2, end=3)), ints(0))
    return op.Pad(x, op.Concat(ints(0, 0, 0, 0, 0), rest, axis=0))


def _basis(size: int, bins: int, half: bool) -> np.ndarray:
    """What every real part, then every imaginary one, adds to the samples of a frame: [2 · bins, size]."""
    angle = 2 * np.pi * np.outer(np.arange(bins), np.arange(size)) / size
    weight = np.full((bins, 1), 2.0 if half else 1.0)
    if half:
        weight[0] = 1
        if size % 2 == 0:
            weight[-1] = 1
    return np.concatenate([weight * np.cos(angle), -weight * np.sin(angle)]) / size
