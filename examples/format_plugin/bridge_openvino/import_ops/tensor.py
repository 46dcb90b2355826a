"""Shapes, and moving elements."""

from __future__ import annotations

import numpy as np

from bridge.hub import const, rank_of, shape_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_openvino.import_ops.common import constant, element, flag, integer, is_, known, listed
from bridge_openvino.names import PADDED, SCATTERED, backwards

ops = OpTable(attribute=integer)

ops.same(attributes={"axis": "axis"}, Concat="Concat", GatherElements="GatherElements")


def whole(op, x):
    """Sizes and axes of any integer dtype as int64, of one dimension."""
    known = const(x)
    return (
        op.Reshape(op.Cast(x, to=7), [-1]) if known is None else op.const(known.astype(np.int64).reshape(-1))
    )


@ops.op("Reshape")
def reshape(op, layer, x, shape):
    return op.Reshape(x, whole(op, shape), allowzero=int(not flag(layer, "special_zero")))


@ops.op("Transpose", needs=(constant(1, "order"),))
def transpose(op, layer, x, order=None):
    named = [] if order is None else const(order).ravel().tolist()
    return op.Transpose(x, perm=named or list(range(rank_of(x)))[::-1])


@ops.op("Squeeze")
def squeeze(op, layer, x, axes=None):
    return op.Squeeze(x) if axes is None else op.Squeeze(x, whole(op, axes))


@ops.op("Unsqueeze")
def unsqueeze(op, layer, x, axes):
    return op.Unsqueeze(x, whole(op, axes))


@ops.op("ShapeOf")
def shape(op, layer, x):
    return op.Cast(op.Shape(x), to=element(layer, "output_type"))


@ops.op("Split", needs=(constant(1, "axis"),))
def split(op, layer, x, axis):
    count = integer(layer, "num_splits")
    return op.Split(x, axis=const(axis).item(), num_outputs=count, _outputs=count)


@ops.op("VariadicSplit", needs=(constant(1, "axis"), constant(2, "lengths")))
def variadic_split(op, layer, x, axis, lengths):
    sizes, at = const(lengths).astype(np.int64).ravel(), const(axis).item()
    if (sizes == -1).any():
        total = x.shape[at]
        sizes[sizes == -1] = total - (sizes.sum() + 1)
    return op.Split(x, op.const(sizes), axis=at, _outputs=len(layer.outputs))


@ops.op("Slice")
def slice_(op, layer, x, starts, ends, steps, axes=None):
    rest = [] if axes is None else [axes]
    starts, ends, steps, *rest = (whole(op, v) for v in (starts, ends, steps, *rest))
    named = rest[0] if rest else op.const(np.arange(layer.inputs[1].dims[0]))
    return op.Slice(x, starts, ends, named, steps)


PLAIN = condition(
    "no new axes and no ellipsis", lambda n: not any(listed(n, "new_axis_mask") + listed(n, "ellipsis_mask"))
)


@ops.op("StridedSlice", needs=(PLAIN, constant(1, "begin"), constant(2, "end"), constant(3, "strides")))
def strided_slice(op, layer, x, begin, end, strides=None):
    first, last = (const(v).astype(np.int64).ravel() for v in (begin, end))
    step = np.ones_like(first) if strides is None else const(strides).astype(np.int64).ravel()
    masks = [listed(layer, f"{name}_mask") + [0] * len(first) for name in ("begin", "end", "shrink_axis")]
    limit = np.iinfo(np.int32).max
    gone = [i for i in range(len(first)) if masks[2][i]]
    for i in range(len(first)):
        if masks[0][i] and i not in gone:
            first[i] = 0 if step[i] > 0 else limit
        if i in gone:
            last[i], step[i] = (first[i] + 1) or limit, 1
        elif masks[1][i]:
            last[i] = limit if step[i] > 0 else -limit
    made = op.Slice(x, *(op.const(v) for v in (first, last, np.arange(len(first)), step)))
    return op.Squeeze(made, gone) if gone else made


ALONE = condition("batch_dims=0", lambda n: integer(n, "batch_dims") == 0)


@ops.op("Gather", needs=(ALONE, constant(2, "axis")))
def gather(op, layer, x, indices, axis):
    return op.Gather(x, indices, axis=const(axis).item())


@ops.op("GatherND")
def gather_nd(op, layer, x, indices):
    return op.GatherND(x, op.Cast(indices, to=7), batch_dims=integer(layer, "batch_dims"))


REDUCTION = is_("reduction", *SCATTERED.values(), default="none")


@ops.op(
    "ScatterElementsUpdate",
    needs=(constant(3, "axis"), REDUCTION, is_("use_init_val", "true", "1", default="true")),
)
def scatter_elements(op, layer, x, indices, updates, axis):
    reduction = backwards(SCATTERED)[layer.data.get("reduction", "none").lower()]
    return op.ScatterElements(x, indices, updates, axis=const(axis).item(), reduction=reduction)


@ops.op("ScatterNDUpdate", needs=(REDUCTION,))
def scatter_nd(op, layer, x, indices, updates):
    reduction = backwards(SCATTERED)[layer.data.get("reduction", "none").lower()]
    return op.ScatterND(x, op.Cast(indices, to=7), updates, reduction=reduction)


@ops.op("Broadcast", needs=(is_("mode", "numpy", "bidirectional"),))
def broadcast(op, layer, x, shape):
    return op.Expand(x, whole(op, shape))


@ops.op("Tile")
def tile(op, layer, x, repeats):
    """Dimensions are added in front to whichever has fewer."""
    repeats = whole(op, repeats)
    missing = shape_of(repeats)[0] - rank_of(x)
    if missing > 0:
        x = op.Unsqueeze(x, list(range(missing)))
    elif missing < 0:
        repeats = op.Concat(op.const(np.ones(-missing, np.int64)), repeats, axis=0)
    return op.Tile(x, repeats)


@ops.op("Range")
def range_(op, layer, start, limit, delta):
    to = element(layer, "output_type")
    return op.Range(*(op.Cast(op.Reshape(v, []), to=to) for v in (start, limit, delta)))


@ops.op("NonZero")
def non_zero(op, layer, x):
    return op.Cast(op.NonZero(x), to=element(layer, "output_type"))


@ops.op("Pad", needs=(is_("pad_mode", *PADDED.values()),))
def pad(op, layer, x, begin, end, value=None):
    pads = op.Concat(whole(op, begin), whole(op, end), axis=0)
    mode = backwards(PADDED)[layer.data.get("pad_mode", "constant").lower()]
    return op.Pad(x, pads, None if value is None or mode != "constant" else op.Reshape(value, []), mode=mode)


@ops.op("Unique", needs=(constant(1, "axis"),))
def unique(op, layer, x, axis=None):
    at = None if axis is None else const(axis).item()
    values, *rest = op.Unique(x, axis=at, sorted=int(flag(layer, "sorted", True)), _outputs=4)
    kinds = ["index_element_type", "index_element_type", "count_element_type"]
    return values, *(op.Cast(v, to=element(layer, kind)) for v, kind in zip(rest, kinds, strict=True))


@ops.op("ReverseSequence")
def reverse_sequence(op, layer, x, lengths):
    axes = {"batch_axis": integer(layer, "batch_axis"), "time_axis": integer(layer, "seq_axis", 1)}
    return op.ReverseSequence(x, op.Cast(lengths, to=7), **axes)


@ops.op("DepthToSpace")
def depth_to_space(op, layer, x):
    mode = "CRD" if layer.data["mode"] == "depth_first" else "DCR"
    return op.DepthToSpace(x, blocksize=integer(layer, "block_size", 1), mode=mode)


@ops.op("SpaceToDepth", needs=(is_("mode", "blocks_first"),))
def space_to_depth(op, layer, x):
    return op.SpaceToDepth(x, blocksize=integer(layer, "block_size", 1))


@ops.op("NonMaxSuppression", needs=(condition("no soft suppression", lambda n: len(n.inputs) < 6),))
def non_max_suppression(op, layer, boxes, scores, *limits):
    limits = [op.Reshape(op.Cast(v, to=7 if i == 0 else 1), [1]) for i, v in enumerate(limits)]
    centred = int(layer.data.get("box_encoding", "corner").lower() == "center")
    made = op.NonMaxSuppression(boxes, scores, *limits, center_point_box=centred)
    return op.Cast(made, to=element(layer, "output_type")), None, None


def _depth(layer) -> bool:
    return known(layer, 1) is not None


@ops.op("OneHot", needs=(condition("a constant depth", _depth), is_("negative_indices_mode", "normalize")))
def one_hot(op, layer, indices, depth, on, off):
    """Negative indices count from the end in opset 16 alone; before, they match nothing."""
    if layer.version != "opset16":
        outside = op.const(const(depth).item(), indices.dtype)
        indices = op.Where(op.Less(indices, op.const(0, indices.dtype)), outside, indices)
    values = op.Concat(op.Reshape(off, [1]), op.Reshape(on, [1]), axis=0)
    return op.OneHot(indices, depth, values, axis=integer(layer, "axis", -1))
