"""Fourier transforms, by TensorFlow's transforms of complex numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, held, rank_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable

ops = OpTable()

REAL = dtype("float", "double")


def _has_real_or_complex_elements(node: ir.Node) -> bool:
    x = node.inputs[0]
    return x is not None and x.shape is not None and x.shape[-1] in (1, 2)


ELEMENTS = condition("a known rank, and real or complex elements", _has_real_or_complex_elements)


def _scalar(tf: Any, value: Any) -> Any:
    return tf.api.cast(tf.Reshape(value, np.zeros(0, np.int32)), tf.api.int32)


def _complex(tf: Any, x: Any, components: int) -> Any:
    """A tensor [..., 1] of real or [..., 2] of complex elements as a complex tensor."""
    real = x[..., 0]
    dtype = tf.api.complex64 if x.dtype == tf.api.float32 else tf.api.complex128
    return tf.Complex(real, x[..., 1] if components == 2 else tf.api.zeros_like(real), Tout=dtype)


def _real(tf: Any, x: Any) -> Any:
    """A complex tensor as a real one [..., 2]."""
    dtype = tf.api.float32 if x.dtype == tf.api.complex64 else tf.api.float64
    return tf.api.stack([tf.Real(x, Tout=dtype), tf.Imag(x, Tout=dtype)], -1)


@ops.op("DFT", needs=(REAL, ELEMENTS))
def dft(tf, node, x, length=None, axis=None):
    """Move the axis last, crop or zero-pad it to the requested length, transform, and move the axis back."""
    api, rank = tf.api, rank_of(x) - 1
    given = -2 if axis is None else axis if held(axis) is None else int(const(axis).reshape(()))
    position = (
        (given if given >= 0 else given + rank + 1)
        if isinstance(given, int)
        else api.math.floormod(_scalar(tf, given), rank + 1)
    )
    perm = tf.TensorScatterUpdate(
        np.arange(rank, dtype=np.int32), api.stack([[position], [rank - 1]]), api.stack([rank - 1, position])
    )
    signal = tf.Transpose(_complex(tf, tf.tensor(x), x.shape[-1]), perm)
    length_in, inverse, onesided = api.shape(signal)[-1], attr(node, "inverse"), attr(node, "onesided")
    if inverse and onesided:
        length_out = 2 * (length_in - 1) if length is None else _scalar(tf, length)
        dtype = api.float32 if signal.dtype == api.complex64 else api.float64
        return api.expand_dims(tf.Transpose(tf.IRFFT(signal, [length_out], Treal=dtype), perm), -1)
    length_out = length_in if length is None else _scalar(tf, length)
    paddings = api.concat(
        [api.zeros([rank - 1, 2], api.int32), [[0, api.maximum(length_out - length_in, 0)]]], 0
    )
    signal = api.pad(signal, paddings)[..., :length_out]
    spectrum = tf.IFFT(signal) if inverse else tf.FFT(signal)
    return _real(tf, tf.Transpose(spectrum[..., : length_out // 2 + 1] if onesided else spectrum, perm))


@ops.op("STFT", needs=(REAL, ELEMENTS))
def stft(tf, node, x, step, window=None, length=None):
    """Frames of the signal, windowed and transformed."""
    api = tf.api
    size = api.shape(tf.tensor(window))[0] if window is not None else _scalar(tf, length)
    signal = _complex(tf, tf.tensor(x), x.shape[-1])
    stride = _scalar(tf, step)
    count = (api.shape(signal)[1] - size) // stride + 1
    frames = api.gather(signal, api.range(count)[:, None] * stride + api.range(size), axis=1)
    if window is not None:
        frames = frames * api.cast(tf.tensor(window), frames.dtype)
    spectrum = tf.FFT(frames)
    return _real(tf, spectrum[..., : size // 2 + 1] if attr(node, "onesided") else spectrum)
