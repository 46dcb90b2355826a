"""Steps that reduce."""

from __future__ import annotations

import numpy as np

from bridge.testing.graphs.growth import Graph, step

REDUCE = (
    "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceProd",
    "ReduceSumSquare", "ReduceLogSumExp",
)  # fmt: skip


@step(1)
def reduce(g: Graph, src: str, x: np.ndarray) -> str:
    axes = np.unique(g.rng.integers(0, x.ndim, g.pick(1, 2, 3))) - g.pick(0, x.ndim)
    return g.add(g.pick(*REDUCE), src, axes.astype(np.int64), keepdims=g.pick(0, 1))


@step(1, ("int64", "int32"))
def reduce_whole(g: Graph, src: str, x: np.ndarray) -> str:
    op = g.pick("ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceMean")
    return g.add(op, src, g.ints(g.axis(x)), keepdims=g.pick(0, 1))


@step(1)
def reduce_log(g: Graph, src: str, x: np.ndarray) -> str:
    positive = g.add("Add", g.add("Abs", src), np.float32(0.1))
    return g.add("ReduceLogSum", positive, g.ints(g.axis(x)), keepdims=g.pick(0, 1))


@step(0)
def reduce_no_axes(g: Graph, src: str, x: np.ndarray) -> str:
    """Without axes all are meant, or none where the attribute says so."""
    axes = g.pick([], [np.zeros(0, np.int64)], [""])
    return g.add(g.pick(*REDUCE), src, *axes, noop_with_empty_axes=g.pick(0, 1), keepdims=g.pick(0, 1))


@step(1)
def reduce_nothing(g: Graph, src: str, x: np.ndarray) -> str:
    """An axis of no element: the sum is 0, the product 1."""
    axis = g.axis(x)
    empty = g.add("Slice", src, g.ints(g.pick(1, 3)), g.ints(g.pick(0, 1)), g.ints(axis))
    op = g.pick("ReduceSum", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare")
    return g.add(op, empty, g.ints(axis), keepdims=g.pick(0, 1))


@step(1)
def reduce_axes_at_run_time(g: Graph, src: str, x: np.ndarray) -> str:
    """Axes that are the rank, less one."""
    last = g.add("Sub", g.add("Shape", g.add("Shape", src)), g.ints(1))
    return g.add(g.pick("ReduceMean", "ReduceSum", "ReduceMax"), src, last, keepdims=g.pick(0, 1))


@step(1)
def softmax(g: Graph, src: str, x: np.ndarray) -> str:
    """Probabilities of large values too: the largest is taken away first."""
    if g.maybe(0.4):
        src = g.add("Mul", src, np.float32(g.pick(30, 300)))
    if g.maybe(0.2):
        src = g.add("Add", src, np.float32(g.pick(1000, -1000)))
    op = g.pick("Softmax", "LogSoftmax", "Softmax", "Hardmax")
    return g.add(op, src, **g.pick({"axis": g.axis(x)}, {}))


@step(1)
def masked_softmax(g: Graph, src: str, x: np.ndarray) -> str:
    """Some of a row are no candidates."""
    open_places = np.atleast_1d(g.rng.random(x.shape[-1]) < 0.6)
    open_places[0] = True
    return g.add(
        "Softmax", g.add("Where", open_places, src, np.float32(g.pick(-np.inf, -1e9, -3.4e38))), axis=-1
    )
