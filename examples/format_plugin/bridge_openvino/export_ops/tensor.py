"""Shapes, and moving elements."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, rank_of
from bridge.needs import attribute, condition, constant, dtype
from bridge.ops import OpTable
from bridge_openvino.export_ops.common import ANY, AXES, FLOAT, NUMBER, RANKED, axis_of
from bridge_openvino.names import PADDED, SAMPLED, SCATTERED

ops = OpTable()

ops.same(needs=(ANY, AXES), Unsqueeze="Unsqueeze")
ops.same(needs=(ANY, constant(1, "repeats")), Tile="Tile")
ops.same(needs=(ANY,), attributes={"axis": "axis"}, Concat="Concat")
ops.same(needs=(ANY,), attributes={"batch_dims": "batch_dims"}, GatherND="GatherND")
ops.same(
    needs=(ANY,),
    attributes={"batch_axis": "batch_axis", "time_axis": "seq_axis"},
    ReverseSequence="ReverseSequence",
)


@ops.op("Reshape", needs=(ANY,))
def reshape(ov, node, x, shape):
    return ov.Reshape(x, shape, special_zero=not attr(node, "allowzero"))


@ops.op("Transpose", needs=(ANY, RANKED))
def transpose(ov, node, x):
    return ov.Transpose(x, attr(node, "perm") or list(range(rank_of(x)))[::-1])


@ops.op("Squeeze", needs=(ANY, AXES))
def squeeze(ov, node, x, axes=None):
    return ov.Squeeze(x) if axes is None else ov.Squeeze(x, axes)


@ops.op("Flatten", needs=(ANY, RANKED))
def flatten(ov, node, x):
    axis, dims = axis_of(node), list(x.shape)
    if axis in (0, 1):
        return ov.Reshape(x, [[1, -1], [0, -1]][axis], special_zero=True)
    if all(isinstance(d, int) for d in dims[:axis]):
        return ov.Reshape(x, [int(np.prod(dims[:axis])), -1], special_zero=False)
    sizes = ov.ShapeOf(x, output_type="i64", _dtype=ir.DataType.INT64)
    leading = ov.Slice(sizes, [0], [axis], [1])
    return ov.Reshape(
        x, ov.Concat(ov.ReduceProd(leading, [0], keep_dims=True), [-1], axis=0), special_zero=False
    )


@ops.op("Shape", needs=(attribute("start", 0), condition("no end", lambda n: attr(n, "end") is None)))
def shape(ov, node, x):
    return ov.ShapeOf(x, output_type="i64", _dtype=ir.DataType.INT64)


@ops.op("Split", needs=(ANY, condition("sizes", lambda n: len(n.inputs) > 1 and n.inputs[1] is not None)))
def split(ov, node, x, sizes):
    made = ov.VariadicSplit(x, ov.const(np.array(attr(node, "axis"))), sizes, _outputs=len(node.outputs))
    return made if isinstance(made, tuple) else (made,)


@ops.op("Slice", needs=(ANY,))
def slice_(ov, node, x, starts, ends, axes=None, steps=None):
    starts, ends = (_clipped(ov, v) for v in (starts, ends))
    if steps is None:
        count = starts.dims[0] if getattr(starts, "dims", None) else starts.shape[0]
        steps = [1] * count
    return ov.Slice(x, starts, ends, steps) if axes is None else ov.Slice(x, starts, ends, steps, axes)


def _clipped(ov, value):
    """Bounds beyond 32 bits mean the end, and OpenVINO's CPU has no more."""
    array = const(value)
    if array is None:
        return value
    return ov.const(np.clip(array, -(2**31) + 1, 2**31 - 1))


@ops.op("Gather", needs=(ANY,))
def gather(ov, node, x, indices):
    return ov.Gather(x, indices, ov.const(np.array(attr(node, "axis"))), batch_dims=0)


@ops.op("GatherElements", needs=(ANY,))
def gather_elements(ov, node, x, indices):
    return ov.GatherElements(x, indices, axis=axis_of(node))


@ops.op("ScatterElements", needs=(ANY, attribute("reduction", "none")))
@ops.op("ScatterElements", needs=(NUMBER,))
def scatter_elements(ov, node, x, indices, updates):
    axis = ov.const(np.array(axis_of(node)))
    reduction = SCATTERED[attr(node, "reduction")]
    return ov.ScatterElementsUpdate(x, indices, updates, axis, reduction=reduction, use_init_val=True)


@ops.op("ScatterND", needs=(ANY, attribute("reduction", "none")))
@ops.op("ScatterND", needs=(NUMBER,))
def scatter_nd(ov, node, x, indices, updates):
    return ov.ScatterNDUpdate(x, indices, updates, reduction=SCATTERED[attr(node, "reduction")])


@ops.op("Expand", needs=(ANY,))
def expand(ov, node, x, shape):
    return ov.Broadcast(x, shape, mode="bidirectional")


@ops.op("Range", needs=(NUMBER,))
def range_(ov, node, start, limit, delta):
    start, limit, delta = (ov.scalar(v) for v in (start, limit, delta))
    return ov.Range(start, limit, delta, output_type=start.dtype)


@ops.op("NonZero", needs=(NUMBER,))
@ops.op("NonZero", needs=(dtype("bool"),))
def non_zero(ov, node, x):
    return ov.NonZero(x, output_type="i64", _dtype=ir.DataType.INT64)


KNOWN_AXES = constant(3, "axes")


@ops.op("Pad", needs=(ANY, RANKED, attribute("mode", *PADDED), KNOWN_AXES))
def pad(ov, node, x, pads, value=None, axes=None):
    rank, mode = rank_of(x), attr(node, "mode")
    named = list(range(rank)) if axes is None else [int(a) % rank for a in const(axes)]
    fill = [ov.like(0, x) if value is None else ov.scalar(value)] if mode == "constant" else []
    return ov.Pad(x, *_widths(ov, pads, named, rank), *fill, pad_mode=PADDED[mode])


def _widths(ov, pads, named, rank):
    """How much goes before and after each dimension, those not named getting nothing."""
    known = const(pads)
    if known is not None:
        widths = np.zeros((2, rank), np.int64)
        widths[:, named] = known.reshape(2, -1)
        return widths[0], widths[1]
    count = len(named)
    halves = [ov.Slice(pads, [first], [first + count], [1]) for first in (0, count)]
    if named == list(range(rank)):
        return halves
    nothing, along = [0] * rank, ov.const(np.array(0))
    return [
        ov.ScatterElementsUpdate(nothing, named, half, along, reduction="none", use_init_val=True)
        for half in halves
    ]


@ops.op("Unique", needs=(NUMBER,))
def unique(ov, node, x):
    axis = attr(node, "axis")
    inputs = [x] if axis is None else [x, ov.const(np.array(axis))]
    made = ov.Unique(
        *inputs,
        sorted=bool(attr(node, "sorted")),
        index_element_type="i64",
        count_element_type="i64",
        _outputs=4,
    )
    return made[: len(node.outputs)]


@ops.op("GridSample", needs=(FLOAT, condition("an image", lambda n: rank_of(n.inputs[0]) == 4)))
def grid_sample(ov, node, x, grid):
    mode = attr(node, "mode").removeprefix("bi")
    return ov.GridSample(
        x,
        grid,
        align_corners=bool(attr(node, "align_corners")),
        mode=SAMPLED[mode],
        padding_mode=attr(node, "padding_mode"),
    )


@ops.op("NonMaxSuppression", needs=(FLOAT,))
def non_max_suppression(ov, node, boxes, scores, *limits):
    """OpenVINO suppresses at the threshold too, which is why it is moved by its last bit."""
    given = [ov.const(np.array(0)), ov.const(np.float32([0])), ov.const(np.float32([-np.inf]))]
    given[: len(limits)] = [g if v is None else v for g, v in zip(given, limits, strict=False)]
    given[1] = ov.Maximum(ov.Multiply(given[1], np.float32([1 + 2**-23])), np.float32([1e-30]))
    coded = "center" if attr(node, "center_point_box") else "corner"
    made = ov.NonMaxSuppression(
        boxes,
        scores,
        *map(ov.scalar, given),
        box_encoding=coded,
        sort_result_descending=False,
        output_type="i64",
        _outputs=3,
    )
    made[0].dtype = ir.DataType.INT64
    return made[:1]
