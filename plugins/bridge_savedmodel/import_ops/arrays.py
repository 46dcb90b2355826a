"""Arrays of tensors of version 1: the value called flow is the list itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import const
from bridge.importing import as_int64, int64_vector, ints, like
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops import lists
from bridge_savedmodel.import_ops.common import scalar
from bridge_savedmodel.values import ListHandle, TensorList

ops = OpTable()

FLOWS = condition("a list that flows in", lambda n: isinstance(n.inputs[-1], TensorList))
FILLED = condition("a list whose elements are known", lambda n: n.inputs[-1].items is not None)


@ops.op("TensorArrayV3", "TensorArrayV2")
def tensor_array(op, node, size):
    shape = node.get("element_shape")
    handle = ListHandle(node.get("dtype"), shape, node.get("dynamic_size"))
    return handle, TensorList(None, size, handle.dtype, shape)


@ops.op("TensorArrayWriteV3", needs=(FLOWS,))
def write(op, node, handle, index, value, flow):
    if flow.items is not None:
        return lists.placed(op, flow, index, value, handle.grows)
    known = flow if flow.shape is not None else replace(flow, shape=_dims(value))
    if not lists.blank_known(known):
        return NotImplemented
    return lists.placed(op, lists.filled(op, known), index, value, handle.grows)


def _dims(value: ir.Value) -> tuple[Any, ...] | None:
    shape = value.shape
    return None if shape is None else tuple(d if isinstance(d, int) else None for d in shape)


@ops.op("TensorArrayReadV3", needs=(FLOWS, FILLED))
def read(op, node, handle, index, flow):
    return op.Gather(flow.items, scalar(op, as_int64(op, index)), axis=0)


@ops.op("TensorArrayGatherV3", needs=(FLOWS,))
def gather(op, node, handle, indices, flow):
    known = flow if flow.shape is not None else replace(flow, shape=node.get("element_shape"))
    if not lists.blank_known(known):
        return NotImplemented
    items = lists.filled(op, known).items
    return items if _every(indices) else op.Gather(items, as_int64(op, indices), axis=0)


def _every(indices: ir.Value) -> bool:
    """Whether places count from 0, one by one."""
    array, maker = const(indices), indices.producer()
    if array is not None:
        return bool((array == np.arange(array.size)).all())
    if maker is None or maker.op_type != "Range":
        return False
    start, step = (const(v) for v in (maker.inputs[0], maker.inputs[2]))
    return start is not None and step is not None and int(start) == 0 and int(step) == 1


@ops.op("TensorArrayScatterV3", needs=(FLOWS,))
def scatter(op, node, handle, indices, value, flow):
    """Into an empty list at every place: the list."""
    if flow.items is None and _every(indices):
        return TensorList(value, None, value.dtype)
    at = op.Unsqueeze(int64_vector(op, indices), ints(1))
    items = flow.items
    if items is None:
        size = op.Concat(int64_vector(op, flow.length), op.Shape(value, start=1), axis=0)
        items = op.Expand(like(op, value, 0), size)
    return TensorList(op.ScatterND(items, at, value), None, value.dtype)


@ops.op("TensorArraySizeV3", needs=(FLOWS,))
def size(op, node, handle, flow):
    return lists.length(op, node, flow)


@ops.op("TensorArrayConcatV3", needs=(FLOWS, FILLED))
def concat(op, node, handle, flow):
    """Elements of one length, so the lengths are the same number over and over."""
    items = flow.items
    if items.shape is None or len(items.shape) < 2:
        return NotImplemented
    rest = op.Shape(items, start=2)
    lengths = op.Expand(op.Shape(items, start=1, end=2), op.Shape(items, start=0, end=1))
    return op.Reshape(items, op.Concat(ints(-1), rest, axis=0)), lengths


@ops.op("TensorArrayCloseV3")
def close(op, node, handle):
    return []
