"""Tensor lists: the elements stacked along a first axis."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import const, rank_of
from bridge.importing import as_dtype, as_int64, constant_ints, int64_vector, ints, like
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import T, as_scalar, known_elements
from bridge_savedmodel.values import TensorList

ops = OpTable()

FILLED = condition("a list whose elements are known", lambda n: n.inputs[0].items is not None)


@ops.op("TensorListReserve")
def reserve(op, node, shape, count):
    return TensorList(None, count, node.get("element_dtype"), _element_dims(shape))


@ops.op("EmptyTensorList")
def empty(op, node, shape, most):
    return TensorList(None, op.const(np.array(0, np.int32)), node.get("element_dtype"), _element_dims(shape))


def _element_dims(shape: Any) -> tuple[Any, ...] | None:
    known = known_elements(shape)
    if known is None or (len(known) == 1 and known[0] == -1 and rank_of(shape) == 0):
        return None
    return tuple(d if d is not None and d >= 0 else None for d in known)


@ops.op("TensorListFromTensor")
def from_tensor(op, node, x, shape):
    return TensorList(x, None, x.dtype)


@ops.op("TensorListStack", needs=(FILLED,))
def stack(op, node, tensors, shape):
    return tensors.items


def has_known_elements(tensors: Any) -> bool:
    """True if the list has elements, or if zeros of known shape can be made for them."""
    dims = tensors.shape
    return tensors.items is not None or (dims is not None and None not in dims and tensors.length is not None)


def fill_with_zeros(op: Any, tensors: Any) -> Any:
    """The list with zeros for elements that were never set."""
    if tensors.items is not None:
        return tensors
    size = op.Concat(int64_vector(op, tensors.length), ints(*tensors.shape), axis=0)
    blank = op.Expand(op.const(np.zeros((), tensors.dtype.numpy())), size)
    return replace(tensors, items=blank)


@ops.op("TensorListStack")
def stack_blank(op, node, tensors, shape):
    known = tensors if tensors.shape is not None else replace(tensors, shape=_element_dims(shape))
    return fill_with_zeros(op, known).items if has_known_elements(known) else NotImplemented


@ops.op("TensorListGetItem", needs=(FILLED,))
def get_item(op, node, tensors, index, shape):
    return op.Gather(tensors.items, as_scalar(op, as_int64(op, index)), axis=0)


@ops.op("TensorListSetItem", needs=(FILLED,))
def set_item(op, node, tensors, index, item):
    return set_element(op, tensors, index, item, node.get("resize_if_index_out_of_bounds"))


def set_element(op: Any, tensors: Any, index: Any, item: Any, grows: bool) -> Any:
    """The list with an element set; a list that grows is extended to the index first."""
    position = op.Reshape(as_int64(op, index), ints(1, 1))
    items = _pad_to_index(op, tensors.items, position) if grows else tensors.items
    return replace(tensors, items=op.ScatterND(items, position, op.Unsqueeze(item, ints(0))))


def _pad_to_index(op: Any, items: Any, position: Any) -> Any:
    """Elements padded with zeros up to index `at` [1, 1]."""
    length = op.Shape(items, start=0, end=1)
    missing = op.Max(op.Sub(op.Add(op.Reshape(position, ints(1)), ints(1)), length), ints(0))
    inner_rank = len(items.shape) - 1
    padded = op.Pad(items, op.Concat(ints(*[0] * (inner_rank + 1)), missing, ints(*[0] * inner_rank), axis=0))
    padded.shape = ir.Shape([None, *list(items.shape)[1:]])
    return padded


@ops.op(
    "TensorListSetItem",
    needs=(condition("elements of a known shape", lambda n: has_known_elements(n.inputs[0])),),
)
def set_blank_item(op, node, tensors, index, item):
    return set_item(op, node, fill_with_zeros(op, tensors), index, item)


@ops.op(
    "TensorListSetItem",
    needs=(
        condition(
            "a constant length",
            lambda n: n.inputs[0].length is not None and const(n.inputs[0].length) is not None,
        ),
    ),
)
def first_item(op, node, tensors, index, item):
    """Set an element of an uninitialized list; the others are zeros of the same shape."""
    count = constant_ints(tensors.length)[0]
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


@ops.op("TensorListConcatV2", "TensorListConcat", needs=(FILLED,))
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
    needs=(
        FILLED,
        condition("a second list whose elements are known", lambda n: n.inputs[1].items is not None),
    ),
)
def concat_lists(op, node, first, second):
    return replace(first, items=op.Concat(first.items, second.items, axis=0))


@ops.op("TensorListElementShape")
def element_shape(op, node, tensors):
    """Known dimensions of elements, -1 for the others."""
    dtype = node.get("shape_type").numpy()
    dims = tensors.shape if tensors.items is None else list(tensors.items.shape)[1:]
    if dims is None:
        return op.const(np.array(-1, dtype))
    return op.const(np.array([d if isinstance(d, int) else -1 for d in dims], dtype))


@ops.op("TensorListScatterV2", "TensorListScatter")
def scatter(op, node, x, indices, *rest):
    """A list as long as the largest index, or as requested."""
    positions = as_int64(op, indices)
    known = constant_ints(rest[1]) if len(rest) > 1 else [-1]
    if known is None:
        return NotImplemented
    count = op.Add(op.ReduceMax(positions, keepdims=1), ints(1)) if known[0] < 0 else op.const(ints(known[0]))
    blank = op.Expand(like(op, x, 0), op.Concat(count, op.Shape(x, start=1), axis=0))
    return TensorList(op.ScatterND(blank, op.Unsqueeze(positions, ints(1)), x), None, x.dtype)


@ops.op(
    "TensorListScatterIntoExistingList",
    needs=(condition("a list whose elements are known", lambda n: has_known_elements(n.inputs[0])),),
)
def scatter_into(op, node, tensors, x, indices):
    tensors = fill_with_zeros(op, tensors)
    positions = op.Unsqueeze(as_int64(op, indices), ints(1))
    return replace(tensors, items=op.ScatterND(tensors.items, positions, x))


@ops.op(
    "TensorListSplit",
    needs=(
        condition("parts of one constant length", lambda n: len(set(constant_ints(n.inputs[2]) or [])) == 1),
    ),
)
def split(op, node, x, shape, lengths):
    count, size = len(constant_ints(lengths)), constant_ints(lengths)[0]
    inner_shape = op.Shape(x, start=1) if rank_of(x) > 1 else ints()
    return TensorList(op.Reshape(x, op.Concat(ints(count, size), inner_shape, axis=0)), None, x.dtype)
