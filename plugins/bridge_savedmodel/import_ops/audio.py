"""Sounds as spectrograms and cepstral coefficients, as products with tables of waves."""

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

LEAST = 1e-12


@ops.op("AudioSpectrogram", needs=(condition("samples by channels", lambda n: rank_of(n.inputs[0]) == 2),))
def spectrogram(op, node, sound):
    """Powers of the frequencies of windows of Hann, filled up to a power of two: [channels, windows,
    frequencies]."""
    width, step = node.get("window_size"), node.get("stride")
    whole = 2 ** math.ceil(math.log2(width))
    times, turns = np.arange(width), np.arange(whole // 2 + 1)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * times / width)
    angles = 2 * np.pi * np.outer(times, turns) / whole
    length = op.Add(op.Div(op.Sub(op.Shape(sound, end=1), ints(width)), ints(step)), ints(1))
    starts = arange(op, op.Max(length, ints(0)))
    places = op.Add(op.Unsqueeze(op.Mul(starts, ints(step)), ints(1)), op.const(times))
    frames = op.Gather(op.Transpose(sound, perm=[1, 0]), places, axis=1)
    power: Any = None
    for wave in (np.cos, np.sin):
        part = op.MatMul(frames, op.const((hann[:, None] * wave(angles)).astype(np.float32)))
        square = op.Mul(part, part)
        power = square if power is None else op.Add(power, square)
    return power if node.get("magnitude_squared") else op.Sqrt(power)


def _mel(frequency: Any) -> Any:
    return 1127.0 * np.log1p(np.asarray(frequency, np.float64) / 700.0)


def _bands(count: int, bins: int, rate: float, low: float, high: float) -> np.ndarray:
    """How much each frequency counts for each band: triangles evenly spread on the mel scale, [bins,
    count]."""
    each = 0.5 * rate / (bins - 1)
    centres = _mel(low) + (_mel(high) - _mel(low)) / (count + 1) * np.arange(1, count + 2)
    made = np.zeros((bins, count))
    for n in range(int(1.5 + low / each), min(int(high / each), bins - 1) + 1):
        own = _mel(n * each)
        band = int(np.searchsorted(centres[:count], own)) - 1
        below = _mel(low) if band < 0 else centres[band]
        share = (centres[band + 1] - own) / (centres[band + 1] - below)
        if band >= 0:
            made[n, band] += share
        if band + 1 < count:
            made[n, band + 1] += 1 - share
    return made


SOUND = condition(
    "a known number of frequencies", lambda n: isinstance((list(n.inputs[0].shape or []) or [None])[-1], int)
)


@ops.op("Mfcc", needs=(SOUND, constant(1, "rate of samples")))
def cepstral_coefficients(op, node, power, rate):
    """The cosine transform of the logarithms of mel bands of magnitudes."""
    count, kept = node.get("filterbank_channel_count"), node.get("dct_coefficient_count")
    limits = node.get("lower_frequency_limit"), node.get("upper_frequency_limit")
    bands = _bands(count, list(power.shape)[-1], float(const(rate).reshape(())), *limits)
    waves = math.sqrt(2 / count) * np.cos(np.pi / count * np.outer(np.arange(count) + 0.5, np.arange(kept)))
    found = op.Max(op.MatMul(op.Sqrt(power), op.const(bands.astype(np.float32))), LEAST)
    return op.MatMul(op.Log(found), op.const(waves.astype(np.float32)))
