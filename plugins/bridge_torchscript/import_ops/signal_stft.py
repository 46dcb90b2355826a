"""Short-time Fourier transform and its inverse."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.importing import ints, like
from bridge.ops import OpTable
from bridge_torchscript.import_ops.common import int64_scalar, number, promoting, rank, static_value
from bridge_torchscript.import_ops.pool import PADDING, pad_with_mode
from bridge_torchscript.import_ops.signal_fft import component
from bridge_torchscript.values import Complex, Unsupported

ops = OpTable()


def _window(op: Any, window: Any, size: int, width: int, dtype: ir.DataType) -> ir.Value:
    """Window [size]: `width` elements, centred between zeros."""
    if window is None:
        window = op.const(np.ones(width, dtype.numpy()))
    left = (size - width) // 2
    return window if width == size else op.Pad(window, ints(left, size - width - left))


@ops.op("aten::stft")
@promoting("x", "window")
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
    """Short-time Fourier transform: [batch, frequency, frame], as pairs of floats."""
    if isinstance(x, Complex) or isinstance(window, Complex) or align_to_window:
        raise Unsupported("is read of real numbers, from the first element on")
    size = int(static_value(n_fft, "n_fft"))
    hop = int(static_value(hop_length, "hop_length")) if hop_length is not None else size // 4
    width = int(static_value(win_length, "win_length")) if win_length is not None else size
    rows = x if rank(x) == 2 else op.Unsqueeze(x, ints(0))
    if center:
        rows = pad_with_mode(op, op.Unsqueeze(rows, ints(1)), [size // 2, size // 2], PADDING[pad_mode])
        rows = op.Squeeze(rows, ints(1))
    is_onesided = onesided is not False
    spectrum = op.STFT(
        op.Unsqueeze(rows, ints(2)),
        int64_scalar(op, hop),
        _window(op, window, size, width, x.dtype),
        int64_scalar(op, size),
        onesided=int(is_onesided),
    )
    if spectrum.shape is None:
        spectrum.shape = ir.Shape([rows.shape[0], None, size // 2 + 1 if is_onesided else size, 2])
    if normalized:
        spectrum = op.Mul(spectrum, number(op, size**-0.5, spectrum))
    spectrum = op.Transpose(spectrum, perm=[0, 2, 1, 3])
    spectrum = spectrum if rank(x) == 2 else op.Squeeze(spectrum, ints(0))
    return Complex(spectrum) if return_complex else spectrum


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
    """Inverse STFT: overlap-add of the frames, divided by the overlap-add of the squared window.

    Both are transposed convolutions.
    """
    if not isinstance(x, Complex) or return_complex or isinstance(window, Complex):
        raise Unsupported("is read of complex spectra of real numbers alone")
    size = int(static_value(n_fft, "n_fft"))
    hop = int(static_value(hop_length, "hop_length")) if hop_length is not None else size // 4
    width = int(static_value(win_length, "win_length")) if win_length is not None else size
    value = x.value if rank(x.value) == 4 else op.Unsqueeze(x.value, ints(0))
    bins = value.shape[1]
    is_onesided = onesided if onesided is not None else bins != size
    window = _window(op, window, size, width, value.dtype)
    basis = _basis(size, size // 2 + 1 if is_onesided else size, bool(is_onesided)) * (
        size**0.5 if normalized else 1
    )
    kernel = op.Mul(op.const(basis[:, None].astype(value.dtype.numpy())), window)
    rows = op.Concat(component(op, Complex(value), 0), component(op, Complex(value), 1), axis=1)
    overlapped = op.ConvTranspose(rows, kernel, strides=[hop])
    ones = op.Slice(rows, ints(0, 0), ints(1, 1), ints(0, 1))
    ones = op.Add(op.Mul(ones, like(op, ones)), number(op, 1, ones))
    square = op.Reshape(op.Mul(window, window), ints(1, 1, size))
    weights = op.ConvTranspose(ones, square, strides=[hop])
    start = size // 2 if center else 0
    end = -start if center else 2**62
    if length is not None:
        end = start + int(static_value(length, "length"))
    overlapped, weights = (op.Slice(v, ints(start), ints(end), ints(2)) for v in (overlapped, weights))
    signal = op.Div(overlapped, weights)
    if length is not None:
        signal = _pad_to_length(op, signal, int(length))
    return op.Squeeze(signal, ints(1) if rank(x.value) == 4 else ints(0, 1))


def _pad_to_length(op: Any, x: ir.Value, count: int) -> ir.Value:
    """`x` [batch, channel, sample] padded with zeros to `count` samples."""
    if x.shape is not None and x.shape[2] == count:
        return x
    missing = op.Max(op.Sub(ints(count), op.Shape(x, start=2, end=3)), ints(0))
    return op.Pad(x, op.Concat(ints(0, 0, 0, 0, 0), missing, axis=0))


def _basis(size: int, bins: int, half: bool) -> np.ndarray:
    """Samples [2 · bins, size] of a frame for each real part, then for each imaginary part."""
    angle = 2 * np.pi * np.outer(np.arange(bins), np.arange(size)) / size
    weight = np.full((bins, 1), 2.0 if half else 1.0)
    if half:
        weight[0] = 1
        if size % 2 == 0:
            weight[-1] = 1
    return np.concatenate([weight * np.cos(angle), -weight * np.sin(angle)]) / size
