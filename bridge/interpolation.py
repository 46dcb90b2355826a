"""Positions of the samples of a resized axis in the original one, and the weights of the elements around.

Names and formulas are those of ONNX's Resize (https://onnx.ai/onnx/operators/onnx__Resize.html). They are
written with numpy's operators and functions alone: what is known at run time alone is a HubArray among their
arguments. A tap is an element that a sample reads and the weight it has there; its position may lie outside
of the axis, where the element at the end is meant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = [
    "ResizeAxis",
    "Tap",
    "cubic_kernel",
    "cubic_taps",
    "dense",
    "excluding_outside",
    "filter_taps",
    "inside",
    "linear_kernel",
    "linear_taps",
    "nearest",
    "nearest_index",
    "normalize_taps",
    "original_coordinates",
    "same_elements",
    "step_between",
    "within",
]

Tap = tuple[Any, Any]
"""Positions in the original axis and their weights, a number of each for every sample."""


@dataclass(frozen=True)
class ResizeAxis:
    """One axis being resized: its lengths, and the positions 0, 1, … of the resized one in the float type to
    compute in.

    `scale` is length_resized / length_original, or near it where the length was rounded. Without it positions
    are multiplied by `step`, their distance in the original as a framework computes it, or else by one length
    and divided by the other.
    """

    length_original: Any
    length_resized: Any
    x_resized: Any
    scale: Any = None
    step: Any = None

    @classmethod
    def static(
        cls, length_original: int, length_resized: int, dtype: Any = np.float64, **how: Any
    ) -> ResizeAxis:
        """An axis of known lengths."""
        return cls(length_original, length_resized, np.arange(length_resized, dtype=dtype), **how)

    @property
    def length_scaled(self) -> Any:
        """length_original · scale, which need not be whole."""
        return self.length_resized if self.scale is None else self.length_original * self.scale

    def unscaled(self, x: Any) -> Any:
        """`x` / scale."""
        if self.scale is not None:
            return x / self.scale
        return x * self.length_original / self.length_resized if self.step is None else x * self.step


def step_between(
    length_original: int, length_resized: int, align_corners: bool = False, dtype: Any = np.float32
) -> Any:
    """Distance of samples in the original axis: the quotient of the lengths, of one less each where corners
    are aligned and there is more than one sample."""
    less = 1 if align_corners and length_resized > 1 else 0
    return dtype(length_original - less) / dtype(length_resized - less)


def original_coordinates(
    axis: ResizeAxis, coordinate_transformation_mode: str, roi: Sequence[Any] = ()
) -> Any:
    """x_original of every x_resized; `roi` is the start and the end of tf_crop_and_resize. Of the modes that
    ONNX had once, tf_half_pixel_for_nn is known as well."""
    mode, single = coordinate_transformation_mode, axis.length_resized == 1
    if mode == "asymmetric":
        return axis.unscaled(axis.x_resized)
    if mode == "tf_half_pixel_for_nn":
        return axis.unscaled(axis.x_resized + 0.5)
    if mode in ("align_corners", "tf_crop_and_resize"):
        last, gaps = axis.length_original - 1, axis.length_resized - 1
        with np.errstate(divide="ignore", invalid="ignore"):
            if mode == "align_corners":
                return np.where(single, 0.0, axis.x_resized * last / gaps)
            start, end = roi
            apart = start * last + axis.x_resized * (end - start) * last / np.where(single, 1.0, gaps)
            return np.where(single, (start + end) * last * 0.5, apart)
    centre = axis.unscaled(axis.x_resized + 0.5)
    if mode == "half_pixel_symmetric":
        rest = 1.0 - axis.length_resized / axis.length_scaled
        return axis.length_original * 0.5 * rest + centre - 0.5
    x_original = centre - 0.5
    if mode == "pytorch_half_pixel":
        return np.where(single, 0.0, x_original)
    assert mode == "half_pixel", mode
    return x_original


def nearest(x_original: Any, nearest_mode: str) -> Any:
    """The position nearest to each coordinate; it may lie outside of the axis."""
    if nearest_mode == "round_prefer_floor":
        return np.ceil(x_original - 0.5)
    if nearest_mode == "round_prefer_ceil":
        return np.floor(x_original + 0.5)
    return {"floor": np.floor, "ceil": np.ceil}[nearest_mode](x_original)


def within(position: Any, length_original: Any) -> Any:
    """Positions from 0 to the last of the axis; those outside become the ends."""
    return np.minimum(np.maximum(position, 0.0), length_original - 1)


def inside(position: Any, length_original: Any) -> Any:
    """True where positions are elements of the axis."""
    return np.logical_and(position >= 0.0, position < length_original)


def nearest_index(x_original: np.ndarray, nearest_mode: str, length_original: int) -> np.ndarray:
    """int64 index of the element nearest to each coordinate."""
    return within(nearest(x_original, nearest_mode), length_original).astype(np.int64)


def same_elements(length_original: int, length_resized: int, scale: Any = None) -> bool:
    """True if the elements before the samples are the same whether positions are divided by `scale`, by
    default the quotient of the lengths, or multiplied by the inverse quotient, in float32 both."""
    scale = np.float32(length_resized / length_original if scale is None else scale)
    ways = {"scale": scale}, {"step": step_between(length_original, length_resized)}
    axes = [ResizeAxis.static(length_original, length_resized, np.float32, **way) for way in ways]
    one, other = (
        nearest_index(original_coordinates(axis, "asymmetric"), "floor", length_original) for axis in axes
    )
    return np.array_equal(one, other)


def linear_kernel(distance: Any) -> Any:
    """1 - distance up to 1, then 0."""
    return np.maximum(1.0 - distance, 0.0)


def cubic_kernel(distance: Any, cubic_coeff_a: float) -> Any:
    """Keys' kernel, t the distance: ((a + 2) t - (a + 3)) t² + 1 up to 1, ((a t - 5 a) t + 8 a) t - 4 a up to
    2, then 0."""
    t, a = distance, cubic_coeff_a
    near = (t * (a + 2) - (a + 3)) * (t * t) + 1.0
    far = ((t * a - 5 * a) * t + 8 * a) * t - 4 * a
    return np.where(t <= 1.0, near, np.where(t < 2.0, far, 0.0))


def linear_taps(x_original: Any) -> list[Tap]:
    """The two elements around each coordinate."""
    low = np.floor(x_original)
    share = x_original - low
    return [(low, 1.0 - share), (low + 1.0, share)]


def cubic_taps(x_original: Any, cubic_coeff_a: float) -> list[Tap]:
    """The four elements around each coordinate."""
    return filter_taps(x_original, lambda distance: cubic_kernel(distance, cubic_coeff_a), 2)


def filter_taps(x_original: Any, kernel: Callable[[Any], Any], radius: int, scale: float = 1.0) -> list[Tap]:
    """The elements that a kernel of `radius` reaches; one that is widened by 1 / scale, for antialias, below
    a scale of 1."""
    scale = min(scale, 1.0)
    low = np.floor(x_original)
    share = x_original - low
    first = math.floor(-radius / scale) + 1
    end = 2 * radius - first if scale < 1 else radius + 1
    return [(low + float(i), kernel(np.absolute(i - share) * scale)) for i in range(first, end)]


def excluding_outside(taps: list[Tap], length_original: Any) -> list[Tap]:
    """Taps of which those outside of the axis weigh nothing, and the others as much more."""
    return normalize_taps([(x, np.where(inside(x, length_original), weight, 0.0)) for x, weight in taps])


def normalize_taps(taps: list[Tap]) -> list[Tap]:
    """Taps whose weights add up to 1."""
    total = taps[0][1]
    for _, weight in taps[1:]:
        total = total + weight
    return [(x, weight / total) for x, weight in taps]


def dense(taps: list[Tap], length_original: int) -> np.ndarray:
    """Weights of all elements for each sample, float64 of shape [length_resized, length_original]."""
    matrix = np.zeros((len(taps[0][0]), length_original))
    for x, weight in taps:
        np.add.at(matrix, (np.arange(len(x)), within(x, length_original).astype(np.int64)), weight)
    return matrix
