"""Lists of tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import arange
from bridge.facts import PRISTINE
from bridge.hub import const, shape_of
from bridge.ops import OpTable
from bridge_coreml.import_ops.common import DTYPES, INT32, int64, ints, lengths, rank_of, vector

ops = OpTable()


def element_dims(node: Any) -> list[int | None]:
    """Dimensions of a list's elements, as its type or its maker says; None where one is not known."""
    described = node.outputs[0].type.listType.type.tensorType
    dims = [
        d.constant.size if d.WhichOneof("dimension") == "constant" else None for d in described.dimensions
    ]
    given = node.array("elem_shape")
    if given is not None and None in dims:
        flat = given if isinstance(given, list) else list(np.ravel(given))
        known = [
            int(v) if not isinstance(v, str) and np.asarray(v).dtype.kind in "iu" else None for v in flat
        ]
        dims = known if len(known) == len(dims) else dims
    return dims


@ops.op("make_list")
def make_list(op, node, init_length=None):
    """A list is a tensor with its elements stacked; an element of lengths not known yet has length 0."""
    dtype = DTYPES[node.get("dtype", "fp32")]
    dims = element_dims(node)
    count = const(init_length) if init_length is not None else np.array(1)
    if count is not None and None not in dims:
        return op.const(np.zeros([int(count), *dims], dtype.numpy()))
    first = int(count) if count is not None else op.Reshape(int64(op, init_length), [1])
    made = op.Expand(op.const(0, dtype), vector(op, [first, *[0 if d is None else d for d in dims]]))
    made.shape = ir.Shape([first if isinstance(first, int) else None, *[0 if d is None else d for d in dims]])
    PRISTINE.set(made.producer(), True)
    return made


def pristine(ls: ir.Value) -> bool:
    """Whether a list was made without knowing its elements, and never written."""
    made = ls.producer()
    return made is not None and bool(PRISTINE.get(made))


def _rows(op: hub.Builder, ls: ir.Value, value: ir.Value) -> Any:
    """The list with elements of the shape of `value` (of one element)."""
    if not pristine(ls):
        return ls
    dims = list(ls.shape or ())
    sizes = [
        d if isinstance(d, int) and d else size for d, size in zip(dims[1:], lengths(op, value), strict=True)
    ]
    first = dims[0] if isinstance(dims[0], int) else op.Shape(ls, start=0, end=1)
    return op.Expand(op.const(0, ls.dtype), vector(op, [first, *sizes]))


def _grown(op: hub.Builder, ls: ir.Value, last: ir.Value) -> Any:
    """The list, lengthened to hold place `last` (int64 of shape [1])."""
    missing = op.Max(op.Sub(op.Add(last, 1), op.Shape(ls, start=0, end=1)), 0)
    rank = rank_of(ls) or 1
    pads = op.Concat(op.const(ints([0] * rank)), missing, op.const(ints([0] * (rank - 1))), axis=0)
    return op.Pad(ls, pads)


def _grows(ls: ir.Value, indices: ir.Value) -> bool:
    """Whether a write may go past the end."""
    known, size = const(indices), shape_of(ls)
    return known is None or size is None or int(np.max(known, initial=-1)) >= size[0]


@ops.op("list_write")
def list_write(op, node, ls, index, value):
    place = op.Reshape(int64(op, index), [1])
    ls = _rows(op, ls, value)
    if node.scope.growing and _grows(ls, place):
        ls = _grown(op, ls, place)
    return placed(op, ls, op.Equal(arange(op, lengths(op, ls)[0]), place), op.Unsqueeze(value, [0]))


def placed(op: hub.Builder, ls: ir.Value, here: ir.Value, values: Any) -> Any:
    """The list with `values` where `here` [length] says."""
    made = op.Where(op.Reshape(here, op.const(ints([-1, *[1] * ((rank_of(ls) or 1) - 1)]))), values, ls)
    made.shape = ls.shape
    return made


@ops.op("list_scatter")
def list_scatter(op, node, ls, indices, value):
    places = int64(op, indices)
    if _every(const(indices), ls.shape[0] if ls.shape is not None else None):
        return op.Identity(value)
    if pristine(ls):
        ls = _rows(op, ls, op.Gather(value, op.const(ints(0)), axis=0))
    if node.scope.growing and _grows(ls, places):
        ls = _grown(op, ls, op.Reshape(op.ReduceMax(places, keepdims=1), [1]))
    hits = op.Equal(op.Unsqueeze(arange(op, lengths(op, ls)[0]), [1]), op.Unsqueeze(places, [0]))
    hits = op.Cast(hits, to=int(ir.DataType.INT32))
    written = op.Greater(op.ReduceMax(hits, [1], keepdims=0), 0)
    last = op.ArgMax(hits, axis=1, keepdims=0, select_last_index=1)
    return placed(op, ls, written, op.Gather(value, last, axis=0))


def _every(indices: np.ndarray | None, length: Any) -> bool:
    """Whether indices name every place once, in order."""
    return indices is not None and indices.size == length and (indices.ravel() == np.arange(length)).all()


@ops.op("list_read")
def list_read(op, node, ls, index):
    return op.Gather(ls, int64(op, index), axis=0)


@ops.op("list_gather")
def list_gather(op, node, ls, indices):
    return op.Gather(ls, int64(op, indices), axis=0)


@ops.op("list_length")
def list_length(op, node, ls):
    return op.Cast(op.Reshape(op.Shape(ls, start=0, end=1), op.const([])), to=INT32)
