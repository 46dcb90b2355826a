"""Values of two models that correspond, by their numbers on the same inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.traits import BROADCASTING, ELEMENTWISE, MOVES_DATA, is_a
from bridge.workbench.bisect_values import Values

__all__ = ["Pair", "View", "is_informative", "pairs_of", "similarity", "views_of"]

SWAPS = {
    2: ((1, 0),),
    3: ((0, 2, 1), (1, 0, 2)),
    4: ((0, 2, 3, 1), (0, 3, 1, 2)),
    5: ((0, 2, 3, 4, 1), (0, 4, 1, 2, 3)),
}
"""Layouts: channels last and first, time and batch."""
DISTINCT = 4
SAMPLE = 4096
NEAR = 1.5
"""The factor within which roots of mean squares lie of what may correspond."""


@dataclass(frozen=True)
class View:
    """The way the array of a reference's value is that of a candidate's: its axes in the order `perm`, or as
    they are, its elements in the shape `shape`, of each of several inputs."""

    perm: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]

    def of(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """The reference's arrays as the candidate has them."""
        moved = [np.transpose(a, self.perm) if self.perm else a for a in arrays]
        return [a.reshape(shape) for a, shape in zip(moved, self.shapes, strict=True)]

    @property
    def is_plain(self) -> bool:
        return not self.perm


@dataclass(frozen=True)
class Pair:
    """A value of the reference and one of the candidate that it is by `view`, but for `error`: the root of
    the mean square of the difference, as a part of that of the reference's elements."""

    first: ir.Value
    second: ir.Value
    view: View
    error: float = 0.0

    def measured(self, first: Values, second: Values) -> Pair:
        """The pair with its error among these values."""
        return replace(self, error=error_of(self.view.of(first[self.first]), second[self.second]))


def error_of(expected: list[np.ndarray], found: list[np.ndarray]) -> float:
    """The root of the mean square of the difference, as a part of that of what is expected; infinite where
    one is NaN or infinite and the other is not."""
    a, b = (np.concatenate([x.ravel() for x in arrays]).astype(np.float64) for arrays in (expected, found))
    if a.shape != b.shape:
        return float("inf")
    finite = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return float("inf")
    a, b = a[finite], b[finite]
    scale = _rms(a)
    return _rms(a - b) / scale if scale else float("inf") if b.any() else 0.0


def _rms(array: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(array)))) if array.size else 0.0


def is_informative(arrays: list[np.ndarray]) -> bool:
    """True for numbers that are hardly elsewhere by chance."""
    some = np.concatenate([a.ravel()[:SAMPLE] for a in arrays])
    if some.dtype.kind == "b":
        return False
    some = some[np.isfinite(some)] if some.dtype.kind == "f" else some
    enough = 2 if some.dtype.kind == "f" and some.size < 2 * DISTINCT else DISTINCT
    return len(np.unique(some)) >= enough


def views_of(first: ir.Value, arrays: list[np.ndarray], others: list[np.ndarray]) -> Iterator[View]:
    """The ways in which the arrays of a value may be these others. What only moves data is as it is: another
    layout of it would be what it does."""
    sides = zip(arrays, others, strict=True)
    if any(a.size != b.size or (a.dtype.kind == "f") != (b.dtype.kind == "f") for a, b in sides):
        return
    shapes = tuple(b.shape for b in others)
    yield View((), shapes)
    if is_moved(first):
        return
    for perm in SWAPS.get(arrays[0].ndim, ()):
        if all(
            squeezed(tuple(np.array(a.shape)[list(perm)])) == squeezed(shape)
            for a, shape in zip(arrays, shapes, strict=True)
        ):
            yield View(perm, shapes)


def is_moved(value: ir.Value, depth: int = 8) -> bool:
    """True for what an operator gives that moves data, and for what is computed of it element by element."""
    node = value.producer()
    if node is None or not depth:
        return False
    alone = is_a(node, ELEMENTWISE, BROADCASTING)
    return is_a(node, MOVES_DATA) or (
        alone and any(is_moved(v, depth - 1) for v in node.inputs if v is not None)
    )


def squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(n) for n in shape if n != 1)


def similarity(arrays: list[np.ndarray], others: list[np.ndarray]) -> float:
    """The cosine of two values, 0 where they are not finite."""
    a, b = (np.concatenate([x.ravel() for x in each]).astype(np.float64) for each in (arrays, others))
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return abs(float(a @ b)) / size if np.isfinite(size) and size else 0.0


def pairs_of(
    first: Values, second: Values, tolerance: float, taken: Iterable[ir.Value] = ()
) -> tuple[list[Pair], set[ir.Value]]:
    """Values that correspond, each at most once and none of `taken`, the nearest first; and the values of the
    reference that have any counterpart. Where numbers are equal those of one shape, of one name and at like
    places go together."""
    sized: dict[tuple[int, ...], list[tuple[int, ir.Value, float]]] = {}
    for place, (value, arrays) in enumerate(second.items()):
        sized.setdefault(_sizes(arrays), []).append((place, value, _spread(arrays)))
    found: list[tuple[tuple, Pair]] = []
    good: set[ir.Value] = set()
    used = set(taken)
    for place, (value, arrays) in enumerate(first.items()):
        if not is_informative(arrays):
            continue
        spread = _spread(arrays)
        for other_place, other, other_spread in sized.get(_sizes(arrays), ()):
            if not spread / NEAR <= other_spread <= spread * NEAR:
                continue
            pair = _nearest(value, other, arrays, second[other])
            if pair is None or pair.error > tolerance:
                continue
            good.add(value)
            if other in used:
                continue
            away = abs(place / len(first) - other_place / len(second))
            rank = (round(pair.error, 5), not pair.view.is_plain, arrays[0].shape != second[other][0].shape)
            found.append(((*rank, not own_names(value) & own_names(other), away), pair))
    pairs = []
    for _, pair in sorted(found, key=lambda item: item[0]):
        if not used & {pair.first, pair.second}:
            used |= {pair.first, pair.second}
            pairs.append(pair)
    return pairs, good


def _nearest(
    first: ir.Value, second: ir.Value, arrays: list[np.ndarray], others: list[np.ndarray]
) -> Pair | None:
    each = [
        Pair(first, second, view, error_of(view.of(arrays), others))
        for view in views_of(first, arrays, others)
    ]
    return min(each, key=lambda pair: pair.error, default=None)


def _sizes(arrays: list[np.ndarray]) -> tuple[int, ...]:
    return tuple(a.size for a in arrays)


def _spread(arrays: list[np.ndarray]) -> float:
    """The root of the mean square of what is finite."""
    flat = np.concatenate([a.ravel() for a in arrays]).astype(np.float64)
    return _rms(flat[np.isfinite(flat)])


def own_names(value: ir.Value) -> set[str]:
    """The names a value has, or had in its source."""
    producer = value.producer()
    names = {value.name or ""} | ({hub.origin(producer).name} if producer is not None else set())
    return names - {""}
