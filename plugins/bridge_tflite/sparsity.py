"""The schema's sparse tensors: values along a tree of dense and compressed levels."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from bridge.errors import UnreadableFile

DENSE = 0


def dense(values: np.ndarray, shape: list[int], parameters: Any, what: str) -> np.ndarray:
    """The tensor of `shape` whose stored elements are `values`; all others are zero.

    The levels are the dimensions, then the blocks that cut some of them, in the order of traversal. A dense level has every
    place, a sparse one (compressed rows) those it names. Raises UnreadableFile where this does not add up.
    """
    order, blocks = _vector(parameters.TraversalOrderAsNumpy()), _vector(parameters.BlockMapAsNumpy())
    levels = [parameters.DimMetadata(i) for i in range(parameters.DimMetadataLength())]
    rank = len(shape)
    if sorted(order.tolist()) != list(range(rank + len(blocks))) or len(levels) != len(order):
        raise UnreadableFile(f"{what} has a sparsity that is no order of its dimensions.")
    places = np.zeros((1, 0), np.int64)
    position = np.zeros(1, np.int64)
    sizes = {}
    for axis, level in zip(order.tolist(), levels, strict=True):
        position, parents, found, size = _level(level, position, values.size, what)
        sizes[axis] = size
        places = np.concatenate([places[parents], found[:, None]], 1)
    columns = {axis: places[:, i] for i, axis in enumerate(order.tolist())}
    return _filled(values, shape, columns, sizes, blocks, position, what)


def _level(level: Any, position: np.ndarray, limit: int, what: str) -> tuple:
    """One level further: positions, the parent of each, its place along the level, and the level's length if dense."""
    if level.Format() == DENSE:
        size = level.DenseSize()
        if size < 0 or size * position.size > limit:
            raise UnreadableFile(f"{what} has more places than values.")
        parents = np.repeat(np.arange(position.size), size)
        found = np.tile(np.arange(size), position.size)
        return position[parents] * size + found, parents, found, size
    segments, indices = _union(level, "ArraySegments"), _union(level, "ArrayIndices")
    if position.size and (position.max() + 1 >= segments.size):
        raise UnreadableFile(f"{what} has a sparse level without its segments.")
    begins, ends = segments[position], segments[position + 1]
    counts = ends - begins
    if (counts < 0).any() or counts.sum() > limit or (begins < 0).any() or (ends > indices.size).any():
        raise UnreadableFile(f"{what} has a sparse level whose segments overlap.")
    parents = np.repeat(np.arange(position.size), counts)
    position = np.concatenate(
        [np.arange(b, e) for b, e in zip(begins, ends, strict=True)] or [np.zeros(0, np.int64)]
    )
    return position.astype(np.int64), parents, indices[position.astype(np.int64)], 0


def _filled(
    values: np.ndarray, shape: list[int], columns: dict, sizes: dict, blocks: Any, position: Any, what: str
) -> Any:
    rank = len(shape)
    index = []
    for axis in range(rank):
        place = columns[axis]
        for number, cut in enumerate(blocks.tolist()):
            if cut == axis:
                place = place * sizes[rank + number] + columns[rank + number]
        index.append(place)
    inside = all(((i >= 0) & (i < n)).all() for i, n in zip(index, shape, strict=True))
    if not inside or (position.size and position.max() >= values.size):
        raise UnreadableFile(f"{what} has sparse values outside of its shape.")
    result = np.zeros(shape, values.dtype)
    result[tuple(index)] = values[position]
    return result


def _vector(found: Any) -> np.ndarray:
    return np.zeros(0, np.int64) if isinstance(found, int) else np.asarray(found, np.int64)


def _union(level: Any, name: str) -> np.ndarray:
    """A vector of 8-, 16- or 32-bit numbers."""
    table = getattr(level, name)()
    kind = getattr(level, f"{name}Type")()
    known = {1: schema.Int32Vector, 2: schema.Uint16Vector, 3: schema.Uint8Vector}
    if table is None or kind not in known:
        return np.zeros(0, np.int64)
    vector = known[kind]()
    vector.Init(table.Bytes, table.Pos)
    return _vector(vector.ValuesAsNumpy())
