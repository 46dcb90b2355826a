"""Shapes, padding, making and looking up tensors, as com.microsoft and ONNX before opset 10 have them."""

from __future__ import annotations

import numpy as np

from bridge.dims import arange, lengths
from bridge.geometry import window_count
from bridge.hub import attr, rank_of
from bridge.importing import constant_ints, ints
from bridge.needs import attribute, condition, constant
from bridge.ops import OpTable
from bridge_onnx.import_ops.common import DOMAIN, MS, ranked

ops = OpTable()

RANKED = ranked(0, "an input")

ops.same(DOMAIN, {"upper": "upper"}, Trilu="Trilu")
ops.same(DOMAIN, GatherND="GatherND", SampleOp="Identity")


@ops.op(MS + "ExpandDims", needs=(RANKED, constant(1, "axis")))
def expand_dims(op, node, x, axis):
    return op.Unsqueeze(x, ints(*constant_ints(axis)))


@ops.op(MS + "Range")
def make_range(op, node, start, limit, delta=None):
    parts = [op.Reshape(x, ints()) for x in (start, limit)]
    step = op.const(np.array(1, start.dtype.numpy())) if delta is None else op.Reshape(delta, ints())
    return op.Range(*parts, step)


@ops.op(MS + "Pad")
def pad(op, node, x, pads, value=None):
    value = None if value is None else op.Reshape(value, ints())
    return op.Pad(x, op.Reshape(pads, ints(-1)), value, mode=attr(node, "mode", "constant"))


@ops.op(MS + "UnfoldTensor", needs=(RANKED,))
def unfold(op, node, x):
    """Windows along an axis, their elements on a last axis."""
    rank, size, step = rank_of(x), attr(node, "size"), attr(node, "step", 1)
    axis = attr(node, "dim", -1) % rank
    count = window_count(lengths(op, x)[axis], size, step)
    starts = op.Mul(arange(op, count), op.const(np.array(step)))
    windows = op.Gather(x, op.Add(op.Unsqueeze(starts, ints(1)), op.const(np.arange(size))), axis=axis)
    return op.Transpose(windows, perm=[*range(axis + 1), *range(axis + 2, rank + 1), axis + 1])


@ops.op(MS + "Unique")
def unique(op, node, x):
    """Elements in the order they come in, where each went, and how many of each there are."""
    y, _, index, counts = op.Unique(x, sorted=0, _outputs=4)
    return y, index, counts


@ops.op(MS + "TorchEmbedding")
def torch_embedding(op, node, table, index, *rest):
    return op.Gather(table, index, axis=0)


@ops.op("DynamicSlice")
def dynamic_slice(op, node, x, starts, ends, axes=None):
    return op.Slice(x, starts, ends, axes)


@ops.op(
    "GivenTensorFill", needs=(attribute("input_as_shape", 0), condition("no input", lambda n: not n.inputs))
)
def given_tensor_fill(op, node, *inputs):
    shape = [*(attr(node, "shape") or []), *(attr(node, "extra_shape") or [])]
    return op.const(np.array(attr(node, "values"), np.float32).reshape(shape))
