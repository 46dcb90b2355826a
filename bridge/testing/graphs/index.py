"""Steps that gather, scatter, sort and find."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.testing.graphs.growth import NUMBERS, Graph, step


def places(g: Graph, length: int, shape: Any) -> np.ndarray:
    """Indices, from the end too."""
    return np.asarray(g.rng.integers(-length, length, shape), g.pick(np.int64, np.int32))


@step(1, NUMBERS)
def gather(g: Graph, src: str, x: np.ndarray) -> str:
    axis, lengths = g.axis(x), g.extents(src)
    return g.add(
        "Gather",
        src,
        places(g, lengths[axis], g.pick((), (2,), (2, 2), (1,), (0,) if g.maybe(0.1) else (3,))),
        axis=axis,
    )


@step(0, ("int64", "int32"))
def embed(g: Graph, src: str, x: np.ndarray) -> str:
    """Rows of a table, at places that are computed."""
    at = g.add("Clip", src, np.array(-3, x.dtype), np.array(2, x.dtype))
    return g.add("Gather", g.normal(3, 4), at)


@step(1, NUMBERS)
def gather_elements(g: Graph, src: str, x: np.ndarray) -> str:
    axis, lengths = g.axis(x), g.extents(src)
    shape = [g.pick(1, n, n + 1) if i == axis % x.ndim else g.pick(1, n) for i, n in enumerate(lengths)]
    return g.add("GatherElements", src, places(g, lengths[axis], shape), axis=axis)


@step(1, NUMBERS)
def gather_nd(g: Graph, src: str, x: np.ndarray) -> str:
    lengths = g.extents(src)
    batch = g.pick(0, 0, 1) if x.ndim > 1 else 0
    depth = int(g.rng.integers(1, x.ndim - batch + 1))
    shape = [*lengths[:batch], *g.pick((), (2,), (2, 1))]
    index = [g.rng.integers(-n, n, shape) for n in lengths[batch : batch + depth]]
    return g.add("GatherND", src, np.stack(index, -1).astype(np.int64), batch_dims=batch)


@step(1)
def scatter_elements(g: Graph, src: str, x: np.ndarray) -> str:
    axis, lengths = g.axis(x), g.extents(src)
    reduction = g.pick("none", "add", "mul", "max", "min")
    shape = [g.pick(1, n) for n in lengths]
    n = lengths[axis]
    index = places(g, n, shape)
    if reduction == "none":
        index = np.argsort(
            g.rng.random([n if i == axis % x.ndim else k for i, k in enumerate(shape)]), axis % x.ndim
        )
        index = np.take(index, range(shape[axis]), axis % x.ndim) - g.pick(0, n)
    return g.add(
        "ScatterElements", src, index.astype(np.int64), g.normal(*shape), axis=axis, reduction=reduction
    )


@step(1)
def scatter_nd(g: Graph, src: str, x: np.ndarray) -> str:
    lengths = g.extents(src)
    reduction = g.pick("none", "add", "mul", "max", "min")
    depth = int(g.rng.integers(1, x.ndim + 1))
    cells = int(np.prod(lengths[:depth]))
    count = min(cells, g.pick(1, 2, 3))
    flat = g.rng.choice(cells, count, replace=reduction != "none")
    index = np.stack(np.unravel_index(flat, lengths[:depth]), -1)
    index = index - np.array(lengths[:depth]) * g.pick(0, 1)
    return g.add(
        "ScatterND", src, index.astype(np.int64), g.normal(count, *lengths[depth:]), reduction=reduction
    )


@step(1, ("float32", "int64"))
def top(g: Graph, src: str, x: np.ndarray) -> Any:
    """The largest and where they are; of equal ones the first. All of a length at run time too."""
    axis = g.axis(x)
    k: Any = g.ints(int(g.rng.integers(1, g.extents(src)[axis] + 1)))
    return g.add(
        "TopK", src, g.length(src, axis) if g.maybe(0.2) else k, outputs=2, axis=axis, largest=g.pick(0, 1)
    )


@step(1, ("float32", "int32", "int64"))
def arg(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add(
        g.pick("ArgMax", "ArgMin"), src, axis=g.axis(x), keepdims=g.pick(0, 1), select_last_index=g.pick(0, 1)
    )


@step(1, ("float32", "int64"))
def one_of_equals(g: Graph, src: str, x: np.ndarray) -> str:
    """The place of the first, or last, of several equal ones."""
    axis = g.axis(x)
    twice = g.add("Concat", src, src, axis=axis)
    return g.add(
        g.pick("ArgMax", "ArgMin"), twice, axis=axis, keepdims=g.pick(0, 1), select_last_index=g.pick(0, 1)
    )


@step(1, ("float32", "int32", "int64", "float64"))
def cumsum(g: Graph, src: str, x: np.ndarray) -> str:
    axis = np.array(g.axis(x), g.pick(np.int64, np.int32))
    return g.add("CumSum", src, axis, exclusive=g.pick(0, 1), reverse=g.pick(0, 1))


@step(0, ("int64", "int32"))
def one_hot(g: Graph, src: str, x: np.ndarray) -> str:
    """Places from the end too, and beyond."""
    values = np.array(g.pick((0, 1), (-0.5, 2)), np.float32)
    return g.add(
        "OneHot",
        src,
        np.array(g.pick(1, 3, 4), np.int64),
        values,
        axis=int(g.rng.integers(-x.ndim - 1, x.ndim + 1)),
    )


@step(1, last=True)
def found(g: Graph, src: str, x: np.ndarray) -> str:
    """Places of what is positive: as many as there are."""
    return g.add("NonZero", g.add("Greater", src, np.float32(0.1)))


@step(1)
def compress(g: Graph, src: str, x: np.ndarray) -> str:
    axis = g.axis(x)
    keep = g.rng.random(g.extents(src)[axis]) < 0.6
    return g.add("Compress", src, keep, **g.pick({"axis": axis}, {}))
