"""TensorFlow operators on sounds as functions of small inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_savedmodel.cases.operators import f


def sounds(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    samples = f(900, 2, low=-1.0, high=1.0)

    def spectrum(x: Any, width: int = 100, **more: Any) -> Any:
        return raw.AudioSpectrogram(input=x, window_size=width, stride=64, **more)

    def cepstrum(x: Any, **more: Any) -> Any:
        return raw.Mfcc(spectrogram=spectrum(x, 200, magnitude_squared=True), sample_rate=16000, **more)

    return {
        "AudioSpectrogram": (spectrum, samples),
        "AudioSpectrogram squared": (lambda x: spectrum(x, 128, magnitude_squared=True), samples),
        "AudioSpectrogram too short": (spectrum, np.ones((20, 1), np.float32)),
        "Mfcc": (cepstrum, samples),
        "Mfcc few": (
            lambda x: cepstrum(
                x, filterbank_channel_count=12, dct_coefficient_count=7, upper_frequency_limit=7000.0
            ),
            samples,
        ),
    }


FAMILIES = (sounds,)
