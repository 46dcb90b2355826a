"""Fourier transforms, by TensorFlow's own over complex numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, rank_of
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


def _complex(tf: Any, x: Any, wide: int) -> Any:
    real = x[..., 0]
    kind = tf.api.complex64 if x.dtype == tf.api.float32 else tf.api.complex128
    return tf.Complex(real, x[..., 1] if wide == 2 else tf.api.zeros_like(real), Tout=kind)


def _real(tf: Any, x: Any) -> Any:
    kind = tf.api.float32 if x.dtype == tf.api.complex64 else tf.api.float64
    return tf.api.stack([tf.Real(x, Tout=kind), tf.Imag(x, Tout=kind)], -1)


@ops.op("DFT", needs=(REAL, ELEMENTS))
def dft(tf, node, x, length=None, axis=None):
    """The axis is brought last, cut or filled with zeros to the length asked for, transformed, and put
    back."""
    api, rank = tf.api, rank_of(x) - 1
    at = -2 if axis is None else axis if const(axis) is None else int(const(axis).reshape(()))
    place = (
        (at if at >= 0 else at + rank + 1)
        if isinstance(at, int)
        else api.math.floormod(_scalar(tf, at), rank + 1)
    )
    order = tf.TensorScatterUpdate(
        np.arange(rank, dtype=np.int32), api.stack([[place], [rank - 1]]), api.stack([rank - 1, place])
    )
    signal = tf.Transpose(_complex(tf, tf.tensor(x), x.shape[-1]), order)
    have, inverse, half = api.shape(signal)[-1], attr(node, "inverse"), attr(node, "onesided")
    if inverse and half:
        wanted = 2 * (have - 1) if length is None else _scalar(tf, length)
        kind = api.float32 if signal.dtype == api.complex64 else api.float64
        return api.expand_dims(tf.Transpose(tf.IRFFT(signal, [wanted], Treal=kind), order), -1)
    wanted = have if length is None else _scalar(tf, length)
    fill = api.concat([api.zeros([rank - 1, 2], api.int32), [[0, api.maximum(wanted - have, 0)]]], 0)
    signal = api.pad(signal, fill)[..., :wanted]
    made = tf.IFFT(signal) if inverse else tf.FFT(signal)
    return _real(tf, tf.Transpose(made[..., : wanted // 2 + 1] if half else made, order))


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
    made = tf.FFT(frames)
    return _real(tf, made[..., : size // 2 + 1] if attr(node, "onesided") else made)
