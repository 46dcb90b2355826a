"""Fourier transforms and audio."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_savedmodel.cases.data import f


def fourier(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    x = f(2, 16)
    return {
        "RFFT": (lambda v: raw.ComplexAbs(x=raw.RFFT(input=v, fft_length=[16])), x),
        "RFFT cut": (lambda v: raw.Real(input=raw.RFFT(input=v, fft_length=[12])), x),
        "FFT": (lambda v: raw.Imag(input=raw.FFT(input=raw.Complex(real=v, imag=v * 2))), x),
        "IFFT": (lambda v: raw.Real(input=raw.IFFT(input=raw.Complex(real=v, imag=v * 2))), x),
        "FFT2D": (lambda v: raw.Real(input=raw.FFT2D(input=raw.Complex(real=v, imag=v * 2))), f(2, 4, 6)),
        "RFFT2D": (lambda v: raw.ComplexAbs(x=raw.RFFT2D(input=v, fft_length=[4, 6])), f(2, 4, 6)),
        "IRFFT": (lambda v: raw.IRFFT(input=raw.RFFT(input=v, fft_length=[16]), fft_length=[16]), x),
        "stft": (lambda v: tf.abs(tf.signal.stft(v, 8, 4)), f(2, 40)),
        "Angle": (lambda v: raw.Angle(input=raw.Complex(real=v, imag=v * v - 1)), x),
        "Shape of complex": (lambda v: raw.Shape(input=raw.Complex(real=v, imag=v)), x),
        "Conj": (lambda v: raw.Imag(input=raw.Conj(input=raw.Complex(real=v, imag=v))), x),
    }


def audio(tf: Any) -> dict[str, tuple]:
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
