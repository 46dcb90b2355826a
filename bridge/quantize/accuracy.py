"""Accuracy of a quantized model: what its outputs keep of those of the float model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

__all__ = ["Accuracy", "Meter", "worst"]


@dataclass(frozen=True)
class Accuracy:
    """One value on the samples held back: the ratio of signal to noise in dB, the cosine similarity, the
    largest error, and the part of rows whose greatest element is at the same place, for two or three
    dimensions; of integers the part that is equal (else None)."""

    name: str
    sqnr: float
    cosine: float
    max_error: float
    agreement: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        agreed = "" if self.agreement is None else f"  {self.agreement:7.1%}"
        return f"{self.sqnr:7.2f} dB  {self.cosine:9.6f}  {self.max_error:9.2e}{agreed}"


class Meter:
    """Sums over samples that give the Accuracy of each value; nothing is kept of the samples."""

    def __init__(self) -> None:
        self._sums: dict[str, np.ndarray] = {}
        self._worst: dict[str, float] = {}
        self._rows: dict[str, list[int]] = {}

    def add(self, expected: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        """Compare the values of one sample: numbers by name; what is no array is passed over."""
        for name, value in expected.items():
            if name in found and isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
                self._add(name, value, np.asarray(found[name]))

    def _add(self, name: str, value: np.ndarray, other: np.ndarray) -> None:
        a, b = value.astype(np.float64), other.astype(np.float64)
        if a.shape != b.shape:
            self._sums[name], self._worst[name] = np.array([1.0, np.inf, 0.0, 1.0]), np.inf
            return
        finite = np.isfinite(a)
        error = np.where(finite, a - b, 0.0)
        x, y = np.where(finite, a, 0.0), np.where(finite, b, 0.0)
        sums = np.array([np.vdot(x, x), np.vdot(error, error), np.vdot(x, y), np.vdot(y, y)])
        self._sums[name] = self._sums.get(name, np.zeros(4)) + sums
        largest = float(np.abs(error).max(initial=0.0))
        self._worst[name] = max(self._worst.get(name, 0.0), largest if largest == largest else np.inf)
        agreed = self._rows.setdefault(name, [0, 0])
        if value.dtype.kind in "iub":
            agreed[0], agreed[1] = agreed[0] + int((value == other).sum()), agreed[1] + value.size
        elif a.ndim in (2, 3) and a.shape[-1] > 1:
            agreed[0] += int((a.argmax(-1) == b.argmax(-1)).sum())
            agreed[1] += math.prod(a.shape[:-1])

    def accuracies(self) -> tuple[Accuracy, ...]:
        """The Accuracy of each value, in the order they came."""
        return tuple(self._accuracy(name) for name in self._sums)

    def _accuracy(self, name: str) -> Accuracy:
        signal, noise, product, other = self._sums[name]
        same, rows = self._rows.get(name, (0, 0))
        size = math.sqrt(signal) * math.sqrt(other)
        cosine = product / size if size else float(noise == 0)
        return Accuracy(
            name, decibels(signal, noise), float(cosine), self._worst[name], same / rows if rows else None
        )


def decibels(signal: float, noise: float) -> float:
    """10 log10 of a ratio of sums of squares: infinite without noise, minus infinite for noise alone."""
    if not math.isfinite(noise):
        return -math.inf
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


def worst(accuracies: tuple[Accuracy, ...]) -> Accuracy | None:
    """The one of the least ratio of signal to noise."""
    return min(accuracies, key=lambda a: a.sqnr, default=None)
