"""TensorArray of version 1: its flow value is the list itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import const
from bridge.importing import as_int64, int64_vector, ints, like
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops import sequence
from bridge_savedmodel.import_ops.common import as_scalar
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
        return sequence.set_element(op, flow, index, value, handle.grows)
    known = flow if flow.shape is not None else replace(flow, shape=_static_dims(value))
    if not sequence.has_known_elements(known):
        return NotImplemented
    return sequence.set_element(op, sequence.fill_with_zeros(op, known), index, value, handle.grows)


def _static_dims(value: ir.Value) -> tuple[Any, ...] | None:
    shape = value.shape
    return None if shape is None else tuple(d if isinstance(d, int) else None for d in shape)


@ops.op("TensorArrayReadV3", needs=(FLOWS, FILLED))
def read(op, node, handle, index, flow):
    return op.Gather(flow.items, as_scalar(op, as_int64(op, index)), axis=0)


@ops.op("TensorArrayGatherV3", needs=(FLOWS,))
def gather(op, node, handle, indices, flow):
    known = flow if flow.shape is not None else replace(flow, shape=node.get("element_shape"))
    if not sequence.has_known_elements(known):
        return NotImplemented
    items = sequence.fill_with_zeros(op, known).items
    return items if _is_range(indices) else op.Gather(items, as_int64(op, indices), axis=0)


def _is_range(indices: ir.Value) -> bool:
    """True if indices are 0, 1, 2, …."""
    array, producer = const(indices), indices.producer()
    if array is not None:
        return bool((array == np.arange(array.size)).all())
    if producer is None or producer.op_type != "Range":
        return False
    start, step = (const(v) for v in (producer.inputs[0], producer.inputs[2]))
    return start is not None and step is not None and int(start) == 0 and int(step) == 1


@ops.op("TensorArrayScatterV3", needs=(FLOWS,))
def scatter(op, node, handle, indices, value, flow):
    """Set all elements of an empty array, or some elements of any other."""
    if flow.items is None and _is_range(indices):
        return TensorList(value, None, value.dtype)
    coordinates = op.Unsqueeze(int64_vector(op, indices), ints(1))
    items = flow.items
    if items is None:
        size = op.Concat(int64_vector(op, flow.length), op.Shape(value, start=1), axis=0)
        items = op.Expand(like(op, value, 0), size)
    return TensorList(op.ScatterND(items, coordinates, value), None, value.dtype)


@ops.op("TensorArraySizeV3", needs=(FLOWS,))
def size(op, node, handle, flow):
    return sequence.length(op, node, flow)


@ops.op("TensorArrayConcatV3", needs=(FLOWS, FILLED))
def concat(op, node, handle, flow):
    """Concatenate elements; all have the same length, so the lengths are one number repeated."""
    items = flow.items
    if items.shape is None or len(items.shape) < 2:
        return NotImplemented
    inner_shape = op.Shape(items, start=2)
    lengths = op.Expand(op.Shape(items, start=1, end=2), op.Shape(items, start=0, end=1))
    return op.Reshape(items, op.Concat(ints(-1), inner_shape, axis=0)), lengths


@ops.op("TensorArrayCloseV3")
def close(op, node, handle):
    return []
