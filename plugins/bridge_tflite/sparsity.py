"""Sparse tensors of the schema: values along a tree of dense and compressed levels."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.errors import UnreadableFile

DENSE = 0


def to_dense(values: np.ndarray, shape: list[int], parameters: Any, title: str) -> np.ndarray:
    """Dense tensor of `shape` whose stored elements are `values`; all others are zero.

    The levels are the dimensions, then the blocks of blocked dimensions, in traversal order. A dense level
    has every index, a sparse one (compressed rows) the listed ones. Raises UnreadableFile for inconsistent
    metadata.
    """
    order, blocks = _vector(parameters.traversalOrder), _vector(parameters.blockMap)
    levels = list(parameters.dimMetadata or ())
    rank = len(shape)
    if sorted(order.tolist()) != list(range(rank + len(blocks))) or len(levels) != len(order):
        raise UnreadableFile(f"{title} has a sparsity that is no order of its dimensions.")
    positions = np.zeros((1, 0), np.int64)
    offsets = np.zeros(1, np.int64)
    sizes = {}
    for axis, level in zip(order.tolist(), levels, strict=True):
        offsets, parents, indices, size = _level(level, offsets, values.size, title)
        sizes[axis] = size
        positions = np.concatenate([positions[parents], indices[:, None]], 1)
    columns = {axis: positions[:, i] for i, axis in enumerate(order.tolist())}
    return _scatter_values(values, shape, columns, sizes, blocks, offsets, title)


def _level(level: Any, offsets: np.ndarray, limit: int, title: str) -> tuple:
    """Expand one level: offsets, the parent of each, its index along the level, and the length of a dense
    level."""
    if level.format == DENSE:
        size = level.denseSize
        if size < 0 or size * offsets.size > limit:
            raise UnreadableFile(f"{title} has more places than values.")
        parents = np.repeat(np.arange(offsets.size), size)
        indices_along = np.tile(np.arange(size), offsets.size)
        return offsets[parents] * size + indices_along, parents, indices_along, size
    segments, indices = _values(level.arraySegments), _values(level.arrayIndices)
    if offsets.size and (offsets.max() + 1 >= segments.size):
        raise UnreadableFile(f"{title} has a sparse level without its segments.")
    begins, limits = segments[offsets], segments[offsets + 1]
    counts = limits - begins
    if (counts < 0).any() or counts.sum() > limit or (begins < 0).any() or (limits > indices.size).any():
        raise UnreadableFile(f"{title} has a sparse level whose segments overlap.")
    parents = np.repeat(np.arange(offsets.size), counts)
    offsets = np.concatenate(
        [np.arange(b, e) for b, e in zip(begins, limits, strict=True)] or [np.zeros(0, np.int64)]
    )
    return offsets.astype(np.int64), parents, indices[offsets.astype(np.int64)], 0


def _scatter_values(
    values: np.ndarray, shape: list[int], columns: dict, sizes: dict, blocks: Any, offsets: Any, title: str
) -> Any:
    rank = len(shape)
    index = []
    for axis in range(rank):
        index_along = columns[axis]
        for number, cut in enumerate(blocks.tolist()):
            if cut == axis:
                index_along = index_along * sizes[rank + number] + columns[rank + number]
        index.append(index_along)
    inside = all(((i >= 0) & (i < n)).all() for i, n in zip(index, shape, strict=True))
    if not inside or (offsets.size and offsets.max() >= values.size):
        raise UnreadableFile(f"{title} has sparse values outside of its shape.")
    result = np.zeros(shape, values.dtype)
    result[tuple(index)] = values[offsets]
    return result


def _vector(array: Any) -> np.ndarray:
    return np.zeros(0, np.int64) if array is None else np.asarray(array, np.int64)


def _values(table: Any) -> np.ndarray:
    """Vector of int32, uint16 or uint8 that the schema holds in a union, as int64."""
    return _vector(None if table is None else table.values)
