"""Ranges of values as they are observed: the least and greatest number, a histogram that keeps its size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bridge.errors import InvalidOption

__all__ = ["METHODS", "Observed", "joined", "range_of"]

METHODS = ("mse", "minmax", "percentile", "entropy")
HALF = 4096
"""Bins on either side of zero."""
PERCENTILE = 99.999
CANDIDATES = np.linspace(0.2, 1.0, 65)
"""Parts of the greatest and least number that are tried as ends of a range."""
LEVELS = 128
"""Levels that ONNX Runtime's entropy calibration merges bins to, and the bins it is given a side."""
SIDE = 512


@dataclass
class Observed:
    """The numbers that a value had: `counts` are those of bins `width` wide, HALF on either side of zero.

    The width doubles when a number lies beyond the last bin, so that memory does not grow. Zeros are counted
    apart: every quantization holds them exactly. `broken` says that a number was infinite or NaN.
    """

    low: float = 0.0
    high: float = 0.0
    width: float = 0.0
    broken: bool = False
    counts: np.ndarray = field(default_factory=lambda: np.zeros(2 * HALF, np.int64))

    def add(self, array: Any) -> None:
        """Count the numbers of a float array of any shape."""
        flat = np.asarray(array, np.float32).ravel()
        if not flat.size:
            return
        low, high = float(flat.min()), float(flat.max())
        if not np.isfinite(low) or not np.isfinite(high):
            self.broken = True
            return
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._reach(max(-low, high))
        flat = flat[flat != 0]
        if self.width and flat.size:
            places = np.floor(flat / np.float32(self.width)).astype(np.int64) + HALF
            self.counts += np.bincount(np.clip(places, 0, 2 * HALF - 1), minlength=2 * HALF)

    def _reach(self, size: float) -> None:
        """Widen the bins until they reach numbers of this size."""
        if size <= 0:
            return
        if not self.width:
            self.width = 2.0 ** np.ceil(np.log2(size / HALF)) if size / HALF > 1e-37 else 1e-37
        while size > self.width * HALF:
            halves = np.zeros_like(self.counts)
            halves[HALF // 2 : HALF + HALF // 2] = self.counts.reshape(-1, 2).sum(1)
            self.counts, self.width = halves, self.width * 2


def joined(parts: Iterable[Observed]) -> Observed:
    """The numbers of several values as one."""
    result = Observed()
    for part in parts:
        result.broken |= part.broken
        result.low, result.high = min(result.low, part.low), max(result.high, part.high)
        if not part.width:
            continue
        other = Observed(width=part.width, counts=part.counts)
        result._reach(max(result.width, part.width) * HALF)
        other._reach(result.width * HALF)
        result.counts = result.counts + other.counts
    return result


def range_of(observed: Observed, method: str, levels: int, symmetric: bool = False) -> tuple[float, float]:
    """The least and the greatest number of `levels` steps, zero among them, that hold what was observed best.

    `minmax` holds all of it, `percentile` all but the outermost hundred-thousandth on a side, `entropy` is
    ONNX Runtime's, and `mse` the range of the least mean squared error: of rounding within it, and of what it
    cuts off.
    """
    if method not in METHODS:
        raise InvalidOption(f"method={method!r} is not one of {', '.join(METHODS)}.")
    low, high = min(observed.low, 0.0), max(observed.high, 0.0)
    if method != "minmax" and observed.counts.any():
        low, high = _CHOICES[method](observed, low, high, levels)
    if symmetric:
        high = max(-low, high)
        low = -high
    return low, high


def _percentile(observed: Observed, low: float, high: float, levels: int) -> tuple[float, float]:
    share = np.cumsum(observed.counts) / observed.counts.sum()
    cut = 1 - PERCENTILE / 100
    edges = (np.arange(2 * HALF + 1) - HALF) * observed.width
    lowest = float(edges[np.searchsorted(share, cut, "right")])
    highest = float(edges[np.searchsorted(share, 1 - cut) + 1])
    return min(max(low, lowest), 0.0), max(min(high, highest), 0.0)


def _entropy(observed: Observed, low: float, high: float, levels: int) -> tuple[float, float]:
    from onnxruntime.quantization.calibrate import HistogramCollector  # takes 0.2 s, which few ask for

    reach = int(np.ceil(max(-low, high) / observed.width)) or 1
    step = -(-reach // SIDE)
    side = observed.counts[HALF - step * SIDE : HALF + step * SIDE]
    counts = side.reshape(2 * SIDE, -1).sum(1)
    size = observed.width * side.size / 2
    edges = np.linspace(-size, size, 2 * SIDE + 1)
    collector = HistogramCollector("entropy", False, 2 * SIDE, LEVELS, PERCENTILE, "same")
    found = collector.get_entropy_threshold((counts, edges, np.float32(low), np.float32(high), size), LEVELS)
    return max(low, min(0.0, float(found[0]))), min(high, max(0.0, float(found[1])))


def _least_error(observed: Observed, low: float, high: float, levels: int) -> tuple[float, float]:
    """Both ends are tried at once: an error is a twelfth of a step squared for each number within, and the
    squared distance of each beyond."""
    centres = (np.arange(2 * HALF) - HALF + 0.5) * observed.width
    counts = observed.counts.astype(np.float64)
    total = counts.sum()
    lows, highs = low * CANDIDATES, high * CANDIDATES
    below, above = _beyond(centres, counts, lows), _beyond(-centres, counts, -highs)
    steps = (highs[None, :] - lows[:, None]) / (levels - 1)
    within = total - below[0][:, None] - above[0][None, :]
    errors = within * steps**2 / 12 + below[1][:, None] + above[1][None, :]
    i, j = np.unravel_index(np.argmin(errors), errors.shape)
    return float(lows[i]), float(highs[j])


def _beyond(centres: np.ndarray, counts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The count of numbers below each end, and the sum of their squared distances from it."""
    distances = np.maximum(ends[:, None] - centres[None, :], 0.0)
    return (distances > 0) @ counts, (distances**2) @ counts


_CHOICES = {"percentile": _percentile, "entropy": _entropy, "mse": _least_error}
