"""Lists of tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import arange
from bridge.facts import PRISTINE
from bridge.hub import const, shape_of
from bridge.importing import as_int64, ints
from bridge.ops import OpTable
from bridge_coreml.import_ops.common import DTYPES, INT32, lengths, rank_of, vector

ops = OpTable()


def element_dims(node: Any) -> list[int | None]:
    """Dimensions of a list's elements, from its type or its `elem_shape`; None for an unknown one."""
    element_type = node.outputs[0].type.listType.type.tensorType
    dims = [
        d.constant.size if d.WhichOneof("dimension") == "constant" else None for d in element_type.dimensions
    ]
    elem_shape = node.array("elem_shape")
    if elem_shape is not None and None in dims:
        lengths = elem_shape if isinstance(elem_shape, list) else list(np.ravel(elem_shape))
        known = [
            int(v) if not isinstance(v, str) and np.asarray(v).dtype.kind in "iu" else None for v in lengths
        ]
        dims = known if len(known) == len(dims) else dims
    return dims


@ops.op("make_list")
def make_list(op, node, init_length=None):
    """A list as a tensor of its stacked elements, [length, *elem_shape]; unknown element lengths are 0 until
    the first write."""
    dtype = DTYPES[node.get("dtype", "fp32")]
    dims = element_dims(node)
    length = const(init_length) if init_length is not None else np.array(1)
    if length is not None and None not in dims:
        return op.const(np.zeros([int(length), *dims], dtype.numpy()))
    list_length = int(length) if length is not None else op.Reshape(as_int64(op, init_length), [1])
    result = op.Expand(op.const(0, dtype), vector(op, [list_length, *[0 if d is None else d for d in dims]]))
    result.shape = ir.Shape(
        [list_length if isinstance(list_length, int) else None, *[0 if d is None else d for d in dims]]
    )
    PRISTINE.set(result.producer(), True)
    return result


def is_unwritten(ls: ir.Value) -> bool:
    """True if a list of unknown element shape was never written."""
    producer = ls.producer()
    return producer is not None and bool(PRISTINE.get(producer))


def with_element_shape(op: hub.Builder, ls: ir.Value, value: ir.Value) -> Any:
    """The list with elements of the shape of `value`, which is one element."""
    if not is_unwritten(ls):
        return ls
    dims = list(ls.shape or ())
    sizes = [
        d if isinstance(d, int) and d else size for d, size in zip(dims[1:], lengths(op, value), strict=True)
    ]
    length = dims[0] if isinstance(dims[0], int) else op.Shape(ls, start=0, end=1)
    return op.Expand(op.const(0, ls.dtype), vector(op, [length, *sizes]))


def lengthen(op: hub.Builder, ls: ir.Value, last: ir.Value) -> Any:
    """Pad the list so that it has an element at index `last` (int64, [1])."""
    missing = op.Max(op.Sub(op.Add(last, 1), op.Shape(ls, start=0, end=1)), 0)
    rank = rank_of(ls) or 1
    pads = op.Concat(op.const(ints(*[0] * rank)), missing, op.const(ints(*[0] * (rank - 1))), axis=0)
    return op.Pad(ls, pads)


def may_grow(ls: ir.Value, indices: ir.Value) -> bool:
    """True if a write may go past the end of the list."""
    constant, shape = const(indices), shape_of(ls)
    return constant is None or shape is None or int(np.max(constant, initial=-1)) >= shape[0]


@ops.op("list_write")
def list_write(op, node, ls, index, value):
    position = op.Reshape(as_int64(op, index), [1])
    ls = with_element_shape(op, ls, value)
    if node.scope.growing and may_grow(ls, position):
        ls = lengthen(op, ls, position)
    return replace_elements(
        op, ls, op.Equal(arange(op, lengths(op, ls)[0]), position), op.Unsqueeze(value, [0])
    )


def replace_elements(op: hub.Builder, ls: ir.Value, mask: ir.Value, values: Any) -> Any:
    """The list with `values` where `mask` (bool, [length]) is set."""
    result = op.Where(op.Reshape(mask, op.const(ints(-1, *[1] * ((rank_of(ls) or 1) - 1)))), values, ls)
    result.shape = ls.shape
    return result


@ops.op("list_scatter")
def list_scatter(op, node, ls, indices, value):
    positions = as_int64(op, indices)
    if is_whole_range(const(indices), ls.shape[0] if ls.shape is not None else None):
        return op.Identity(value)
    if is_unwritten(ls):
        ls = with_element_shape(op, ls, op.Gather(value, op.const(np.array(0, np.int64)), axis=0))
    if node.scope.growing and may_grow(ls, positions):
        ls = lengthen(op, ls, op.Reshape(op.ReduceMax(positions, keepdims=1), [1]))
    hits = op.Equal(op.Unsqueeze(arange(op, lengths(op, ls)[0]), [1]), op.Unsqueeze(positions, [0]))
    hits = op.Cast(hits, to=int(ir.DataType.INT32))
    mask = op.Greater(op.ReduceMax(hits, [1], keepdims=0), 0)
    last = op.ArgMax(hits, axis=1, keepdims=0, select_last_index=1)
    return replace_elements(op, ls, mask, op.Gather(value, last, axis=0))


def is_whole_range(indices: np.ndarray | None, length: Any) -> bool:
    """True if `indices` are 0, 1, …, length - 1."""
    return indices is not None and indices.size == length and (indices.ravel() == np.arange(length)).all()


@ops.op("list_read")
def list_read(op, node, ls, index):
    return op.Gather(ls, as_int64(op, index), axis=0)


@ops.op("list_gather")
def list_gather(op, node, ls, indices):
    return op.Gather(ls, as_int64(op, indices), axis=0)


@ops.op("list_length")
def list_length(op, node, ls):
    return op.Cast(op.Reshape(op.Shape(ls, start=0, end=1), op.const([])), to=INT32)
