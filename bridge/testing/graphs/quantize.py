"""Steps through integers of eight bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.testing.graphs.growth import Graph, step


def scales(g: Graph, shape: tuple[int, ...], dtype: Any) -> list[np.ndarray]:
    scale = (0.021 + 0.05 * g.rng.random(shape)).astype(np.float32)
    low, high = (0, 200) if dtype == np.uint8 else (-100, 100)
    return [scale, g.rng.integers(low, high, shape).astype(dtype)]


@step(1)
def quantized(g: Graph, src: str, x: np.ndarray) -> str:
    """To integers and back, with a scale for all or one for each of an axis."""
    dtype = g.pick(np.uint8, np.int8)
    axis = g.axis(x)
    shape = g.pick((), (), (x.shape[axis],))
    params = scales(g, shape, dtype)
    chosen = {"axis": axis} if shape else {}
    y = g.add("QuantizeLinear", src, *params, **chosen)
    return g.add("DequantizeLinear", y, *params, **chosen)


@step(1)
def weights_of_integers(g: Graph, src: str, x: np.ndarray) -> str:
    """Weights stored in eight bits."""
    n = g.pick(1, 3, 4)
    axis = g.pick(0, 1)
    dtype = g.pick(np.int8, np.uint8)
    stored = g.rng.integers(0, 100, (x.shape[-1], n)).astype(dtype)
    params = scales(g, g.pick((), (stored.shape[axis],)), dtype)
    weights = g.add("DequantizeLinear", stored, *params, **({"axis": axis} if params[0].ndim else {}))
    return g.add("MatMul", src, weights)


@step(2)
def products_of_integers(g: Graph, src: str, x: np.ndarray) -> str:
    """Integers of eight bits, with zero points, summed in 32."""
    y = g.add("QuantizeLinear", src, np.float32(0.05), np.array(g.pick(0, 12), np.uint8))
    weights = g.rng.integers(-20, 20, (x.shape[-1], 3)).astype(np.int8)
    zero_points = [np.array(g.pick(0, 12), np.uint8), np.array(g.pick(0, 3), np.int8)][: g.pick(0, 1, 2)]
    return g.add("MatMulInteger", y, weights, *zero_points)


@step(1)
def dynamically_quantized(g: Graph, src: str, x: np.ndarray) -> str:
    y, scale, zero = g.add("DynamicQuantizeLinear", src, outputs=3)
    return g.add("DequantizeLinear", y, scale, zero)
