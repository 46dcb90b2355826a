"""Sorting."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.importing import constant
from bridge.ops import OpTable
from bridge_coreml.import_ops.common import DTYPES, INT32, RANKED, cast, rank_of

ops = OpTable()


def sort_along_axis(op: hub.Builder, node: Any, x: ir.Value, count: Any, largest: bool) -> Any:
    return op.TopK(x, count, axis=node.get("axis", -1), largest=int(largest), sorted=1, _outputs=2)


def axis_length(op: hub.Builder, node: Any, x: ir.Value) -> Any:
    axis = node.get("axis", -1) % (rank_of(x) or 1)
    size = x.shape[axis] if x.shape is not None else None
    return np.array([size], np.int64) if isinstance(size, int) else op.Shape(x, start=axis, end=axis + 1)


@ops.op("topk", needs=(constant("k"), RANKED))
def topk(op, node, x):
    k = node.get("k", 1)
    count = axis_length(op, node, x) if k == -1 else np.array([k], np.int64)
    values, indices = sort_along_axis(op, node, x, count, not node.get("ascending", False))
    if not node.get("return_indices", True):
        return values
    return values, cast(op, indices, DTYPES[node.get("output_indices_dtype", "int32")])


@ops.op("argsort", needs=(RANKED,))
def argsort(op, node, x):
    _, indices = sort_along_axis(op, node, x, axis_length(op, node, x), not node.get("ascending", False))
    return op.Cast(indices, to=INT32)
