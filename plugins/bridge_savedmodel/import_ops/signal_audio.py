"""Spectrograms and cepstral coefficients of audio, as matrix products with tables of waves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bridge.dims import arange
from bridge.hub import const, rank_of
from bridge.importing import ints
from bridge.needs import condition, constant
from bridge.ops import OpTable

ops = OpTable()

MIN_ENERGY = 1e-12


@ops.op("AudioSpectrogram", needs=(condition("samples by channels", lambda n: rank_of(n.inputs[0]) == 2),))
def spectrogram(op, node, audio):
    """Power (or magnitude) of Hann windows padded to a power of two: [channels, windows, frequencies]."""
    width, step = node.get("window_size"), node.get("stride")
    fft_length = 2 ** math.ceil(math.log2(width))
    times, frequencies = np.arange(width), np.arange(fft_length // 2 + 1)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * times / width)
    angles = 2 * np.pi * np.outer(times, frequencies) / fft_length
    length = op.Add(op.Div(op.Sub(op.Shape(audio, end=1), ints(width)), ints(step)), ints(1))
    starts = arange(op, op.Max(length, ints(0)))
    indices = op.Add(op.Unsqueeze(op.Mul(starts, ints(step)), ints(1)), op.const(times))
    frames = op.Gather(op.Transpose(audio, perm=[1, 0]), indices, axis=1)
    power: Any = None
    for trigonometric in (np.cos, np.sin):
        component = op.MatMul(frames, op.const((hann[:, None] * trigonometric(angles)).astype(np.float32)))
        square = op.Mul(component, component)
        power = square if power is None else op.Add(power, square)
    return power if node.get("magnitude_squared") else op.Sqrt(power)


def _to_mel(frequency: Any) -> Any:
    return 1127.0 * np.log1p(np.asarray(frequency, np.float64) / 700.0)


def _mel_filterbank(count: int, bins: int, rate: float, low: float, high: float) -> np.ndarray:
    """Weight of each frequency in each band: triangles evenly spaced on the mel scale, [bins, count]."""
    bin_width = 0.5 * rate / (bins - 1)
    centers = _to_mel(low) + (_to_mel(high) - _to_mel(low)) / (count + 1) * np.arange(1, count + 2)
    weights = np.zeros((bins, count))
    for n in range(int(1.5 + low / bin_width), min(int(high / bin_width), bins - 1) + 1):
        mel = _to_mel(n * bin_width)
        band = int(np.searchsorted(centers[:count], mel)) - 1
        below = _to_mel(low) if band < 0 else centers[band]
        weight = (centers[band + 1] - mel) / (centers[band + 1] - below)
        if band >= 0:
            weights[n, band] += weight
        if band + 1 < count:
            weights[n, band + 1] += 1 - weight
    return weights


SOUND = condition(
    "a known number of frequencies", lambda n: isinstance((list(n.inputs[0].shape or []) or [None])[-1], int)
)


@ops.op("Mfcc", needs=(SOUND, constant(1, "rate of samples")))
def cepstral_coefficients(op, node, power, rate):
    """Discrete cosine transform of the logarithms of mel band magnitudes."""
    count, coefficients = node.get("filterbank_channel_count"), node.get("dct_coefficient_count")
    limits = node.get("lower_frequency_limit"), node.get("upper_frequency_limit")
    bands = _mel_filterbank(count, list(power.shape)[-1], float(const(rate).reshape(())), *limits)
    waves = math.sqrt(2 / count) * np.cos(
        np.pi / count * np.outer(np.arange(count) + 0.5, np.arange(coefficients))
    )
    magnitudes = op.Max(op.MatMul(op.Sqrt(power), op.const(bands.astype(np.float32))), MIN_ENERGY)
    return op.MatMul(op.Log(magnitudes), op.const(waves.astype(np.float32)))
