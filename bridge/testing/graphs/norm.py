"""Steps of normalizations, of values with a mean of a thousand too."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.testing.graphs.growth import Graph, step


def spread(g: Graph, src: str) -> str:
    """The value, or one far from zero and of a small deviation."""
    if g.maybe(0.6):
        return src
    scale, mean = g.pick((1, 1000), (3, -1000), (0.1, 100), (1e-3, 0), (20, 1000))
    return g.add("Add", g.add("Mul", src, np.float32(scale)), np.float32(mean))


def epsilon(g: Graph) -> dict[str, Any]:
    return g.pick({}, {"epsilon": 1e-3}, {"epsilon": 0.1}, {"epsilon": 1e-6})


@step(3)
def group_normalization(g: Graph, src: str, x: np.ndarray) -> str:
    g.fixed(src, 1)
    channels = x.shape[1]
    groups = g.pick(*(n for n in range(1, channels + 1) if channels % n == 0))
    count = groups if g.opset < 21 else channels
    return g.add(
        "GroupNormalization",
        spread(g, src),
        g.normal(count),
        g.normal(count),
        num_groups=groups,
        **epsilon(g),
    )


@step(2)
def batch_normalization(g: Graph, src: str, x: np.ndarray) -> str:
    g.fixed(src, 1)
    c = x.shape[1]
    variance = (abs(g.normal(c)) + np.float32(g.pick(0.5, 1e-3))).astype(np.float32)
    mean = (g.normal(c) + np.float32(g.pick(0, 0, 1000))).astype(np.float32)
    return g.add("BatchNormalization", src, g.normal(c), g.normal(c), mean, variance, **epsilon(g))


@step(3)
def instance_normalization(g: Graph, src: str, x: np.ndarray) -> str:
    g.fixed(src, 1)
    return g.add(
        "InstanceNormalization", spread(g, src), g.normal(x.shape[1]), g.normal(x.shape[1]), **epsilon(g)
    )


@step(1)
def layer_normalization(g: Graph, src: str, x: np.ndarray) -> str:
    axis = g.axis(x)
    g.fixed(src, *range(axis % x.ndim, x.ndim))
    shape = x.shape[axis % x.ndim :] if g.maybe(0.7) else x.shape[-1:]
    bias = [g.normal(*shape)] if g.maybe(0.7) else []
    return g.add("LayerNormalization", spread(g, src), g.normal(*shape), *bias, axis=axis, **epsilon(g))


@step(1, since=23)
def rms_normalization(g: Graph, src: str, x: np.ndarray) -> str:
    axis = g.axis(x)
    g.fixed(src, *range(axis % x.ndim, x.ndim))
    return g.add(
        "RMSNormalization", spread(g, src), g.normal(*x.shape[axis % x.ndim :]), axis=axis, **epsilon(g)
    )


@step(2)
def mean_variance(g: Graph, src: str, x: np.ndarray) -> str:
    axes: dict[str, Any] = {}
    if g.maybe() or x.ndim != 4:
        axes["axes"] = sorted({int(a) for a in g.rng.integers(0, x.ndim, 2)})
    return g.add("MeanVarianceNormalization", spread(g, src), **axes)


@step(1)
def lp(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add("LpNormalization", src, axis=g.axis(x), p=g.pick(1, 2))


@step(3, most=5)
def lrn(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add(
        "LRN",
        src,
        size=g.pick(1, 3, 5),
        alpha=g.pick(1e-4, 0.5),
        beta=g.pick(0.75, 0.5),
        bias=g.pick(1.0, 2.0),
    )


@step(1)
def by_hand(g: Graph, src: str, x: np.ndarray) -> str:
    """A normalization as frameworks write it out."""
    src, axes = spread(g, src), g.ints(g.axis(x))
    centred = g.add("Sub", src, g.add("ReduceMean", src, axes))
    square = g.add("Mul", centred, centred) if g.maybe() else g.add("Pow", centred, np.float32(2))
    variance = g.add("Add", g.add("ReduceMean", square, axes), np.float32(g.pick(1e-5, 1e-2)))
    scaled = g.add("Div", centred, g.add("Sqrt", variance))
    return g.add("Add", g.add("Mul", scaled, g.normal(x.shape[-1])), g.normal(x.shape[-1]))
