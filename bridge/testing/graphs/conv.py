"""Steps of windows: convolutions and pools."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bridge.testing.graphs.growth import Graph, step


def windows(g: Graph, kernel: list[int], dilated: bool = True, spare: bool = True) -> dict[str, Any]:
    """Strides, beyond the kernel too; dilations; padding of every kind. ONNX Runtime refuses SAME of what is
    dilated, or of pools computes it as if it were not."""
    chosen: dict[str, Any] = {}
    if g.maybe(0.8):
        chosen["strides"] = [g.pick(1, 1, 2, 3, 4) for _ in kernel]
    padding = g.pick("none", "same", "valid", "explicit", "even", "wide")
    if dilated and g.maybe(0.3):
        chosen["dilations"] = [g.pick(1, 2, 3) for _ in kernel]
    if padding == "same":
        chosen["auto_pad"] = g.pick("SAME_UPPER", "SAME_LOWER")
        chosen.pop("dilations", None)
    if padding == "valid":
        chosen["auto_pad"] = "VALID"
    if padding == "explicit":
        chosen["pads"] = [int(g.rng.integers(0, k)) for k in kernel * 2]
    if padding == "even":
        chosen["pads"] = [k // 2 for k in kernel] * 2
    if padding == "wide" and spare:
        chosen["pads"] = [int(g.rng.integers(0, k + 2)) for k in kernel * 2]
    return chosen


def kernel_of(g: Graph, x: np.ndarray) -> list[int]:
    return [int(k) for k in g.rng.integers(1, 5, x.ndim - 2)]


@step(3, most=5)
def conv(g: Graph, src: str, x: np.ndarray) -> str:
    g.fixed(src, 1)
    channels = x.shape[1]
    group = g.pick(1, 1, channels, *[n for n in range(2, channels) if channels % n == 0])
    out = group * g.pick(1, 1, 2, 3)
    kernel = kernel_of(g, x)
    weights = g.normal(out, channels // group, *kernel) / math.sqrt(math.prod(kernel) * channels / group)
    bias = [g.normal(out)] if g.maybe(0.6) else []
    shape: dict[str, Any] = {"kernel_shape": kernel} if g.maybe() else {}
    return g.add("Conv", src, weights.astype(np.float32), *bias, group=group, **shape, **windows(g, kernel))


@step(3, most=5)
def conv_transpose(g: Graph, src: str, x: np.ndarray) -> str:
    g.fixed(src, 1)
    channels = x.shape[1]
    group = g.pick(1, 1, channels)
    kernel = kernel_of(g, x)
    weights = (g.normal(channels, g.pick(1, 2, 3), *kernel) / 3).astype(np.float32)
    bias = [g.normal(group * weights.shape[1])] if g.maybe(0.4) else []
    chosen = windows(g, kernel, spare=False)
    strides = chosen.get("strides", [1] * len(kernel))
    if g.maybe(0.4):
        chosen["output_padding"] = [int(g.rng.integers(0, s)) for s in strides]
    if g.maybe(0.15) and "pads" not in chosen:
        chosen["output_shape"] = [n * s + g.pick(0, 1) for n, s in zip(x.shape[2:], strides, strict=True)]
        chosen.pop("output_padding", None)
    return g.add("ConvTranspose", src, weights, *bias, group=group, **chosen)


@step(3, most=5)
def conv_of_values(g: Graph, src: str, x: np.ndarray) -> str:
    """Weights that are computed."""
    g.fixed(src, 1)
    weights = g.normal(2, x.shape[1], *[g.pick(1, 2) for _ in x.shape[2:]])
    scale = g.add("ReduceMean", src, keepdims=0)
    return g.add("Conv", src, g.add("Mul", weights, g.add("Tanh", scale)))


@step(3, most=5)
def pool(g: Graph, src: str, x: np.ndarray) -> str:
    kernel = [min(k, n) for k, n in zip(kernel_of(g, x), g.extents(src)[2:], strict=True)]
    op = g.pick("MaxPool", "AveragePool", "LpPool")
    extra: dict[str, Any] = {"ceil_mode": g.pick(0, 0, 1)}
    if op == "AveragePool":
        extra["count_include_pad"] = g.pick(0, 1)
    if op == "LpPool":
        extra = {"p": g.pick(1, 2, 3)}
    return g.add(op, src, kernel_shape=kernel, **extra, **windows(g, kernel, op != "LpPool", False))


@step(3, most=4)
def pool_with_places(g: Graph, src: str, x: np.ndarray) -> list[str]:
    kernel = [min(g.pick(1, 2, 3), n) for n in g.extents(src)[2:]]
    return g.add("MaxPool", src, outputs=2, kernel_shape=kernel, **windows(g, kernel, spare=False))


@step(3)
def global_pool(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add(g.pick("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), src)


@step(4, most=4)
def space_to_depth(g: Graph, src: str, x: np.ndarray) -> str:
    size = g.pick(1, 2, 2, 3)
    if g.maybe():
        return g.add("SpaceToDepth", src, blocksize=size)
    if x.shape[1] % size**2:
        src = g.add("Tile", src, g.ints(1, size**2, 1, 1))
    return g.add("DepthToSpace", src, blocksize=size, mode=g.pick("DCR", "CRD"))
