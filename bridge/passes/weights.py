"""Weights that are the same are one."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

__all__ = ["ShareWeights"]

LOOKS = 64
"""Elements that are compared before all are."""


class ShareWeights(ir.passes.InPlacePass):
    """1. Of the weights of a graph that have one dtype, one shape and the same bytes, one is left."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        return ir.passes.PassResult(model, any([_share(graph) for graph in model.graphs()]))


def _share(graph: ir.Graph) -> bool:
    kept: dict[tuple, list[ir.Value]] = {}
    shared = False
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or tensor.dtype == ir.DataType.STRING or tensor.size < LOOKS:
            continue
        if value.is_graph_input() or value.is_graph_output():
            continue
        array = tensor.numpy()
        places = np.unravel_index(np.linspace(0, array.size - 1, LOOKS).astype(np.int64), array.shape)
        alike = kept.setdefault((tensor.dtype, array.shape, array[places].tobytes()), [])
        twin = next((v for v in alike if np.array_equal(_bytes(v.const_value), _bytes(tensor))), None)
        if twin is None:
            alike.append(value)
            continue
        ir.convenience.replace_all_uses_with(value, twin)
        del graph.initializers[name]
        shared = True
    return shared


def _bytes(tensor: Any) -> np.ndarray:
    return np.ascontiguousarray(tensor.numpy()).reshape(-1).view(np.uint8)
