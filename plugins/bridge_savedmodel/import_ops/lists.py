"""Lists of tensors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import const, rank_of
from bridge_savedmodel.import_ops.common import (
    T,
    as_dtype,
    as_int64,
    flat,
    ints,
    need,
    ops,
    parts,
    scalar,
    vector,
)
from bridge_savedmodel.import_ops.values import TensorList

FILLED = need("a list whose elements are known", lambda n: n.inputs[0].items is not None)


@ops.op("TensorListReserve")
def reserve(op, node, shape, count):
    return TensorList(None, count, node.get("element_dtype"), _dims(shape))


@ops.op("EmptyTensorList")
def empty(op, node, shape, most):
    return TensorList(None, op.const(np.array(0, np.int32)), node.get("element_dtype"), _dims(shape))


def _dims(shape: Any) -> tuple[Any, ...] | None:
    known = parts(shape)
    if known is None or (len(known) == 1 and known[0] == -1 and rank_of(shape) == 0):
        return None
    return tuple(d if d is not None and d >= 0 else None for d in known)


@ops.op("TensorListFromTensor")
def from_tensor(op, node, x, shape):
    return TensorList(x, None, x.dtype)


@ops.op("TensorListStack", needs=(FILLED,))
def stack(op, node, tensors, shape):
    return tensors.items


def blank_known(tensors: Any) -> bool:
    """Whether the list has elements, or elements of a known shape can be made."""
    dims = tensors.shape
    return tensors.items is not None or (dims is not None and None not in dims and tensors.length is not None)


def filled(op: Any, tensors: Any) -> Any:
    """The list with zeros where nothing was put yet."""
    if tensors.items is not None:
        return tensors
    size = op.Concat(flat(op, tensors.length), ints(*tensors.shape), axis=0)
    blank = op.Expand(op.const(np.zeros((), tensors.dtype.numpy())), size)
    return replace(tensors, items=blank)


@ops.op("TensorListStack")
def stack_blank(op, node, tensors, shape):
    known = tensors if tensors.shape is not None else replace(tensors, shape=_dims(shape))
    return filled(op, known).items if blank_known(known) else NotImplemented


@ops.op("TensorListGetItem", needs=(FILLED,))
def get_item(op, node, tensors, index, shape):
    return op.Gather(tensors.items, scalar(op, as_int64(op, index)), axis=0)


@ops.op("TensorListSetItem", needs=(FILLED,))
def set_item(op, node, tensors, index, item):
    return placed(op, tensors, index, item, node.get("resize_if_index_out_of_bounds", False))


def placed(op: Any, tensors: Any, index: Any, item: Any, grows: bool) -> Any:
    """The list with an element set; one that grows is made as long as it takes."""
    at = op.Reshape(as_int64(op, index), ints(1, 1))
    items = _reaching(op, tensors.items, at) if grows else tensors.items
    return replace(tensors, items=op.ScatterND(items, at, op.Unsqueeze(item, ints(0))))


def _reaching(op: Any, items: Any, at: Any) -> Any:
    """The list with as many zeros behind it as it takes to have a place `at` [1, 1]."""
    there = op.Shape(items, start=0, end=1)
    missing = op.Max(op.Sub(op.Add(op.Reshape(at, ints(1)), ints(1)), there), ints(0))
    rest = len(items.shape) - 1
    longer = op.Pad(items, op.Concat(ints(*[0] * (rest + 1)), missing, ints(*[0] * rest), axis=0))
    longer.shape = ir.Shape([None, *list(items.shape)[1:]])
    return longer


@ops.op("TensorListSetItem", needs=(need("elements of a known shape", lambda n: blank_known(n.inputs[0])),))
def set_blank_item(op, node, tensors, index, item):
    return set_item(op, node, filled(op, tensors), index, item)


@ops.op(
    "TensorListSetItem",
    needs=(
        need(
            "a constant length",
            lambda n: n.inputs[0].length is not None and const(n.inputs[0].length) is not None,
        ),
    ),
)
def first_item(op, node, tensors, index, item):
    """The others are zeros of the same shape until they are set."""
    count = vector(tensors.length)[0]
    row = op.Unsqueeze(item, ints(0))
    zeros = op.Sub(row, row) if item.dtype != T.BOOL else op.And(row, op.Not(row))
    blank = op.Tile(
        zeros, op.Concat(ints(count), op.Expand(op.const(ints(1)), op.Shape(op.Shape(item))), axis=0)
    )
    return set_item(op, node, replace(tensors, items=blank), index, item)


@ops.op("TensorListPushBack")
def push_back(op, node, tensors, item):
    row = op.Unsqueeze(item, ints(0))
    return replace(tensors, items=row if tensors.items is None else op.Concat(tensors.items, row, axis=0))


@ops.op("TensorListLength")
def length(op, node, tensors):
    if tensors.items is None:
        return as_dtype(op, tensors.length, T.INT32)
    return op.Cast(op.Squeeze(op.Shape(tensors.items, start=0, end=1), ints(0)), to=int(T.INT32))


@ops.op("TensorListConcatV2", needs=(FILLED,))
def concat(op, node, tensors, *rest):
    shape = tensors.items.shape
    if shape is None or len(shape) < 2:
        return NotImplemented
    inner = [d if isinstance(d, int) else None for d in list(shape)[2:]]
    if any(d is None for d in inner):
        return NotImplemented
    return op.Reshape(tensors.items, ints(-1, *inner)), op.const(np.zeros(0, np.int64))


@ops.op("TensorListResize")
def resize(op, node, tensors, size):
    return TensorList(None, size, tensors.dtype, tensors.shape) if tensors.items is None else NotImplemented


@ops.op("TensorListGather", needs=(FILLED,))
def gather(op, node, tensors, indices, shape):
    return op.Gather(tensors.items, as_int64(op, indices), axis=0)


@ops.op("TensorListPopBack", needs=(FILLED,))
def pop_back(op, node, tensors, shape):
    last = op.Gather(tensors.items, np.array(-1, np.int64), axis=0)
    return replace(tensors, items=op.Slice(tensors.items, ints(0), ints(-1), ints(0))), last


@ops.op(
    "TensorListConcatLists",
    needs=(FILLED, need("a second list whose elements are known", lambda n: n.inputs[1].items is not None)),
)
def concat_lists(op, node, first, second):
    return replace(first, items=op.Concat(first.items, second.items, axis=0))
