"""Integers of dequantized constants, kept beside the floats that other passes work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import const, held
from bridge.quant import QuantParams
from bridge.weightfile import Transposed

__all__ = ["WEIGHTS", "Weights", "keep", "kept", "weight_operand"]

WEIGHTS = "bridge.quantization"
GRIDS = "bridge.quantization.grids"
T = ir.DataType


@dataclass(frozen=True)
class Weights:
    """Integers of a dequantized constant, and their parameters, per tensor or per axis."""

    integers: np.ndarray
    params: QuantParams

    def transpose(self, perm: Sequence[int]) -> Weights:
        """Weights with the dimensions in the order of `perm`."""
        return Weights(np.ascontiguousarray(self.integers.transpose(perm)), self.params.transpose(perm))


def keep(graph: ir.Graph, value: ir.Value, weights: Weights) -> None:
    """Keep the integers beside a constant, and their parameters beside the graph."""
    value.meta[WEIGHTS] = weights
    if weights.params.per_tensor:
        graph.meta.setdefault(GRIDS, {})[weights.params] = None


def kept(graph: ir.Graph, value: ir.Value, dtype: ir.DataType) -> Weights | None:
    """The integers of `dtype`, per tensor, that a constant stands for. Where it was moved since, its elements
    tell by which of the parameters they were dequantized."""
    array, found = const(value), value.meta.get(WEIGHTS)
    if array is None:
        return None
    if found is not None and found.integers.shape == array.shape:
        return found if found.params.per_tensor and found.params.dtype == dtype else None
    for params in graph.meta.get(GRIDS, ()):
        if params.dtype == dtype and array.dtype == np.float32:
            integers = params.quantize(array)
            if np.array_equal(params.dequantize(integers), array):
                return Weights(integers, params)
    return None


def weight_operand(tfl: Any, weights: ir.Value, perm: Sequence[int]) -> Any:
    """Constant weights with the dimensions in the order of `perm`: dequantized from their bytes, where these
    are kept and stand for what the weights are now."""
    tensor, found = held(weights), weights.meta.get(WEIGHTS)
    assert tensor is not None
    if found is None or not _are_bytes(found, tensor.numpy()):
        return Transposed(tensor, perm)
    kept: Weights = found.transpose(perm)
    tensor, params, shape = ir.tensor(kept.integers), kept.params, ir.Shape(kept.integers.shape)
    source = ir.Value(name=weights.name, type=ir.TensorType(tensor.dtype), shape=shape, const_value=tensor)
    tfl.quantize(source, params.scale.reshape(-1), params.zero_point.reshape(-1), params.axis or 0)
    result = tfl.temporary(T.FLOAT, list(kept.integers.shape), "weights")
    tfl.DEQUANTIZE(source, outputs=[result])
    return result


def _are_bytes(kept: Weights, array: np.ndarray) -> bool:
    if kept.integers.shape != array.shape:
        return False
    if kept.params.dtype not in (T.INT8, T.UINT8) or kept.params.block_size:
        return False
    symmetric = kept.params.per_tensor or kept.params.symmetric
    return symmetric and np.array_equal(kept.params.dequantize(kept.integers), array)
