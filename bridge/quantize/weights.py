"""Weights as fewer bits: scales per tensor, per channel, per block; tables of a few values."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, rank_of
from bridge.quant import QuantParams, limits

__all__ = ["LAYERS", "channel_axis", "palette", "quantized", "summed_axis", "symmetric_params"]

LAYERS = frozenset(["Conv", "ConvTranspose", "Gemm", "MatMul"])
"""Operators whose second input are weights."""
SHRUNK = np.linspace(1.0, 0.6, 21).astype(np.float32)
"""Parts of the largest element of a group that its integers are made to reach, where they are few."""
ROUNDS = 100


def channel_axis(node: ir.Node) -> int | None:
    """The axis of the weights of a layer along which its output channels lie; None where groups of inputs
    share it."""
    weights = node.inputs[1]
    match node.op_type:
        case "Conv":
            return 0
        case "ConvTranspose":
            return 1 if attr(node, "group") == 1 else None
        case "Gemm":
            return 0 if attr(node, "transB") else 1
    return 1 if rank_of(weights) == 2 else None


def summed_axis(node: ir.Node) -> int:
    """The axis of the weights of a matrix product that is summed over."""
    return 1 if node.op_type == "Gemm" and attr(node, "transB") else 0


def symmetric_params(
    array: np.ndarray, dtype: ir.DataType, axis: int | None, least: np.ndarray | None = None
) -> QuantParams:
    """Parameters of zero point 0 that hold every element, one scale a channel along `axis` or one in all;
    no scale is below that of `least`."""
    others = tuple(i for i in range(array.ndim) if i != axis)
    sizes = np.abs(array.astype(np.float64)).max(axis=others if axis is not None else None, initial=0)
    scale = np.maximum(sizes / limits(dtype)[1], np.finfo(np.float32).tiny * 2**10)
    scale = np.where(sizes > 0, scale, 1.0)
    if least is not None:
        scale = np.maximum(scale, least)
    return QuantParams.of(scale.astype(np.float32), None, dtype, axis)


def few_bits_params(array: np.ndarray, dtype: ir.DataType, axis: int, block: int) -> QuantParams:
    """Parameters of zero point 0 for integers of few bits, one scale a channel along `axis`, or a block of
    that many elements along it. The integers have one more number below zero than above: the sign of a scale
    is free, and every scale is the best of several."""
    moved = np.moveaxis(array.astype(np.float32), axis, -1)
    size = block or 1
    if block:
        groups = moved.reshape(*moved.shape[:-1], -1, size)
    else:
        groups = np.moveaxis(array.astype(np.float32), axis, 0).reshape(array.shape[axis], -1)
    low, high = limits(dtype)
    peak = np.take_along_axis(groups, np.abs(groups).argmax(-1)[..., None], -1)
    best = np.where(peak == 0, np.float32(1), peak / np.float32(low))
    least = np.full(best.shape, np.inf, np.float32)
    for extreme in (low, -high, high):
        for part in SHRUNK:
            scale = np.where(peak == 0, np.float32(1), np.float32(part) * peak / np.float32(extreme))
            steps = np.clip(np.rint(groups / scale), low, high)
            error = ((steps * scale - groups) ** 2).sum(-1, keepdims=True)
            better = error < least
            best, least = np.where(better, scale, best), np.where(better, error, least)
    scales = best[..., 0]
    return QuantParams.of(np.moveaxis(scales, -1, axis) if block else scales, None, dtype, axis, block)


def quantized(array: np.ndarray, params: QuantParams) -> ir.Tensor:
    """The integers of weights, as a tensor of their dtype."""
    return ir.Tensor(params.quantize(array), dtype=params.dtype)


def palette(array: np.ndarray, bits: int) -> np.ndarray:
    """The array with 2**bits values at most, those of the least squared error that Lloyd's method finds; it
    begins with as many as the cube root of the density asks for, which is the best where they are many."""
    flat = np.sort(array.astype(np.float64).ravel())
    count = 2**bits
    if np.unique(flat).size <= count:
        return array
    sums = np.concatenate([[0.0], np.cumsum(flat)])
    density = np.concatenate([[0.0], np.cumsum(np.diff(flat) ** (2 / 3))])
    table = np.interp((np.arange(count) + 0.5) / count * density[-1], density, flat)
    for _ in range(ROUNDS):
        ends = np.searchsorted(flat, (table[1:] + table[:-1]) / 2)
        bounds = np.concatenate([[0], ends, [flat.size]])
        sizes = np.diff(bounds)
        means = np.diff(sums[bounds]) / np.maximum(sizes, 1)
        moved = np.sort(np.where(sizes > 0, means, table))
        if np.array_equal(moved, table):
            break
        table = moved
    values = table.astype(array.dtype)
    places = np.searchsorted((table[1:] + table[:-1]) / 2, array.astype(np.float64))
    return values[places]


def weights_of(node: ir.Node) -> np.ndarray | None:
    """The constant float32 weights of a layer."""
    if node.domain or node.op_type not in LAYERS:
        return None
    array = const(node.inputs[1])
    return array if array is not None and array.dtype == np.float32 and np.isfinite(array).all() else None
