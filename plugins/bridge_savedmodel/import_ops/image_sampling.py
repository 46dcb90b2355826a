"""Resizing by weights that are computed at run time, from lengths and scales known then alone.

These rules come after those of `image`, which take known lengths: the modules' names decide the order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bridge.dims import arange
from bridge.importing import int64_vector, ints, to_channels_first, to_channels_last
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import T, known_rank
from bridge_savedmodel.import_ops.image import DISTANCE_STEPS, step_of, transformation_mode

ops = OpTable()

FLOAT = int(T.FLOAT)
ZERO = np.float32(0)


class Axis(NamedTuple):
    """Float32 values of one axis: its length and the new one [1], places of new elements [new, 1] and of
    elements [1, length]."""

    length: Any
    resized: Any
    new: Any
    old: Any


def _axes(op: Any, x: Any, size: Any) -> list[Axis]:
    found = []
    for index in (0, 1):
        length = op.Shape(x, start=index + 1, end=index + 2)
        resized = op.Slice(int64_vector(op, size), ints(index), ints(index + 1), ints(0))
        new, old = (op.Cast(arange(op, n), to=FLOAT) for n in (resized, length))
        numbers = [op.Cast(n, to=FLOAT) for n in (length, resized)]
        places = op.Unsqueeze(new, ints(1)), op.Unsqueeze(old, ints(0))
        found.append(Axis(numbers[0], numbers[1], *places))
    return found


def _resampled(op: Any, x: Any, rows: Any, columns: Any) -> Any:
    """Products with the weights [new, length] of rows, then of columns."""
    source = to_channels_first(op, x if x.dtype == T.FLOAT else op.Cast(x, to=FLOAT))
    return to_channels_last(op, op.MatMul(op.MatMul(rows, source), op.Transpose(columns, perm=[1, 0])))


def _polynomial(op: Any, x: Any, factors: Sequence[float]) -> Any:
    """By Horner's rule, the highest power first."""
    value = op.Mul(x, float(factors[0]))
    for factor in factors[1:-1]:
        value = op.Mul(op.Add(value, float(factor)) if factor else value, x)
    return op.Add(value, float(factors[-1]))


@ops.op("ResizeArea", needs=(known_rank(),))
def resize_area(op, node, x, size):
    """The mean of the area that each new element covers; the last element goes on beyond the image."""
    weights = []
    for axis in _axes(op, x, size):
        step = step_of(op, axis.length, axis.resized, bool(node.get("align_corners")))
        last = op.Equal(axis.old, op.Sub(axis.length, 1.0))
        ends = op.Where(last, np.float32(2**30), op.Add(axis.old, 1.0))
        begins = op.Mul(axis.new, step)
        covered = op.Sub(op.Min(op.Mul(op.Add(axis.new, 1.0), step), ends), op.Max(begins, axis.old))
        weights.append(op.Div(op.Max(covered, 0.0), step))
    return _resampled(op, x, *weights)


@ops.op("ResizeBicubic", needs=(known_rank(),))
def resize_bicubic(op, node, x, size):
    """Four elements around each place, its distances rounded to 1/1024. With half-pixel centers those beyond
    the image are left out, else they are the outermost."""
    mode = transformation_mode(node)
    return _resampled(op, x, *(_cubic_weights(op, axis, mode) for axis in _axes(op, x, size)))


def _cubic_weights(op: Any, axis: Axis, mode: str) -> Any:
    is_half_pixel = mode == "half_pixel"
    a = -0.5 if is_half_pixel else -0.75
    step = step_of(op, axis.length, axis.resized, mode == "align_corners")
    place = op.Mul(op.Add(axis.new, 0.5), step) if is_half_pixel else op.Mul(axis.new, step)
    place = op.Sub(place, 0.5) if is_half_pixel else place
    low = op.Floor(place)
    distance = op.Div(op.Round(op.Mul(op.Sub(place, low), float(DISTANCE_STEPS))), float(DISTANCE_STEPS))
    near, far = (a + 2, -(a + 3), 0.0, 1.0), (a, -5 * a, 8 * a, -4 * a)
    total = None
    for tap, factors in ((-1, far), (0, near), (1, near), (2, far)):
        apart = op.Add(distance, 1.0) if tap < 0 else op.Sub(float(tap), distance) if tap else distance
        element = op.Add(low, float(tap))
        if not is_half_pixel:
            element = op.Min(op.Max(element, 0.0), op.Sub(axis.length, 1.0))
        weight = op.Where(op.Equal(element, axis.old), _polynomial(op, apart, factors), ZERO)
        total = weight if total is None else op.Add(total, weight)
    return op.Div(total, op.ReduceSum(total, ints(1))) if is_half_pixel else total


def _triangle(op: Any, x: Any) -> Any:
    return op.Sub(1.0, x)


def _keys(op: Any, x: Any) -> Any:
    inner, outer = _polynomial(op, x, (1.5, -2.5, 0, 1)), _polynomial(op, x, (-0.5, 2.5, -4, 2))
    return op.Where(op.Less(x, 1.0), inner, outer)


def _mitchell(op: Any, x: Any) -> Any:
    inner = _polynomial(op, x, (7 / 6, -2, 0, 8 / 9))
    outer = _polynomial(op, x, (-7 / 18, 2, -10 / 3, 16 / 9))
    return op.Where(op.Less(x, 1.0), inner, outer)


def _gaussian(op: Any, x: Any) -> Any:
    return op.Where(op.Less(x, 1.5), op.Exp(op.Mul(op.Mul(x, x), -2.0)), ZERO)


def _box(op: Any, x: Any) -> Any:
    return op.Where(op.Less(x, 0.5), np.float32(1), np.float32(0.5))


def _lanczos(radius: float) -> Any:
    def kernel(op: Any, x: Any) -> Any:
        angle = op.Mul(op.Max(x, 1e-3), float(np.pi))
        narrow = op.Div(angle, radius)
        return op.Div(op.Mul(op.Sin(angle), op.Sin(narrow)), op.Mul(angle, narrow))

    return kernel


KERNELS = {
    "triangle": (1.0, _triangle),
    "keyscubic": (2.0, _keys),
    "mitchellcubic": (2.0, _mitchell),
    "gaussian": (1.5, _gaussian),
    "box": (0.5, _box),
    **{f"lanczos{n}": (float(n), _lanczos(float(n))) for n in (1, 3, 5)},
}
"""The radius of each kernel, and its value at a distance within that."""


@ops.op(
    "ScaleAndTranslate",
    needs=(known_rank(), condition("a kernel of TensorFlow's", lambda n: n.get("kernel_type") in KERNELS)),
)
def scale_and_translate(op, node, x, size, scale, translation):
    """Weighted means over the support of a kernel, which widens for shrinking with antialias."""
    radius, kernel = KERNELS[node.get("kernel_type")]
    weights = []
    for index, axis in enumerate(_axes(op, x, size)):
        factor, shift = (op.Slice(v, ints(index), ints(index + 1), ints(0)) for v in (scale, translation))
        inverse = op.Div(1.0, factor)
        center = op.Sub(op.Mul(op.Add(axis.new, 0.5), inverse), op.Mul(shift, inverse))
        wide = op.Max(inverse, 1.0) if node.get("antialias") else op.const(np.float32(1))
        distance = op.Div(op.Abs(op.Sub(op.Add(axis.old, 0.5), center)), wide)
        inside = op.And(op.GreaterOrEqual(center, 0.0), op.LessOrEqual(center, axis.length))
        counts = op.And(op.LessOrEqual(distance, radius), inside)
        weight = op.Where(counts, kernel(op, distance), ZERO)
        total = op.ReduceSum(weight, ints(1))
        is_sum = op.GreaterOrEqual(op.Abs(total), float(1000 * np.finfo(np.float32).tiny))
        weights.append(op.Where(is_sum, op.Div(weight, op.Where(is_sum, total, np.float32(1))), ZERO))
    return _resampled(op, x, *weights)
