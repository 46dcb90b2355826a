"""Shapes, layouts, padding, concatenation and ranges."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, held, input_at, rank_of, shape_of
from bridge.needs import attribute, condition, constant, dtype
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import (
    FLOATS,
    HELD,
    IN_RANGE,
    INTS,
    MIL,
    MOVED,
    NUMPY,
    RANKED,
    SMALL,
    STATIC,
    TENSOR,
    axis_of,
    in_range,
    ints,
    is_empty,
)

ops = OpTable()


ops.same(needs=(MOVED,), Identity="identity")


def has_one_dynamic_dim(node: ir.Node) -> bool:
    """True if the output shape has at most one dynamic dimension, and no length 0."""
    shape = node.outputs[0].shape
    return shape is not None and sum(not isinstance(d, int) for d in shape) <= 1 and 0 not in list(shape)


ONE_UNKNOWN = condition("at most one dynamic dimension in the result", has_one_dynamic_dim)


@ops.op("Reshape", "Flatten", "Squeeze", "Unsqueeze", needs=(MOVED, ONE_UNKNOWN))
def reshape(mil, node, x, *inputs):
    dims = [d if isinstance(d, int) else -1 for d in node.outputs[0].shape]
    if not dims:
        return mil.squeeze(x=x) if rank_of(x) else mil.identity(x=x)
    return mil.reshape(x=x, shape=ints(dims))


def squeezed_axes(node: ir.Node) -> list[int] | None:
    """Axes that a Squeeze drops; None where they are known at run time alone."""
    x, axes = node.inputs[0], input_at(node, 1)
    rank = rank_of(x) or 1
    if axes is not None:
        return None if held(axes) is None else [int(a) % rank for a in const(axes).ravel()]
    ones = [axis for axis, d in enumerate(x.shape or ()) if d == 1]
    return ones if rank_of(node.outputs[0]) == rank - len(ones) else None


KNOWN_AXES = condition("axes that are known", lambda n: squeezed_axes(n) is not None)


@ops.op("Squeeze", needs=(MOVED, RANKED, KNOWN_AXES))
def squeeze(mil, node, x, axes=None):
    """The axes dropped; by a reshape where Core ML does not know that they have a length of 1."""
    gone, variable = squeezed_axes(node), mil.argument(x)
    if all(variable.shape[axis] == 1 for axis in gone):
        return mil.squeeze(x=x, axes=ints(gone))
    kept = ints([axis for axis in range(variable.rank) if axis not in gone])
    return mil.reshape(x=x, shape=mil.gather(x=mil.shape(x=x), indices=kept, axis=np.int32(0)))


@ops.op("Unsqueeze", needs=(MOVED, RANKED, constant(1, "axes")))
def unsqueeze(mil, node, x, axes):
    rank = rank_of(x) + const(axes).size
    return mil.expand_dims(x=x, axes=ints(sorted(int(a) % rank for a in const(axes).ravel())))


NO_ZERO = condition(
    "a shape without zeros",
    lambda n: held(n.inputs[1]) is None or not (const(n.inputs[1]) == 0).any(),
)


@ops.op(
    "Reshape",
    needs=(MOVED, condition("a shape of known length", lambda n: shape_of(n.inputs[1]) is not None), NO_ZERO),
)
def reshape_to(mil, node, x, shape):
    return mil.reshape(x=x, shape=shape)


@ops.op("Transpose", needs=(MOVED, RANKED))
def transpose(mil, node, x):
    rank = rank_of(x)
    if rank < 2:
        return mil.identity(x=x)
    return mil.transpose(x=x, perm=ints(attr(node, "perm") or range(rank)[::-1]))


NO_EMPTY_INPUT = condition("inputs with elements", lambda n: not any(is_empty(v) for v in n.inputs))


@ops.op("Concat", needs=(MOVED, TENSOR, IN_RANGE, NO_EMPTY_INPUT))
def concat(mil, node, *inputs):
    if len(inputs) == 1:
        return mil.identity(x=inputs[0])
    return mil.concat(values=list(inputs), axis=axis_of(node))


def split_sizes(node: ir.Node) -> list[int] | None:
    sizes = const(input_at(node, 1))
    if sizes is not None:
        return [int(v) for v in sizes]
    length = node.inputs[0].shape[axis_of(node)] if node.inputs[0].shape is not None else None
    if not isinstance(length, int) or input_at(node, 1) is not None:
        return None
    count = len(node.outputs)
    part = -(-length // count)
    return [*[part] * (count - 1), length - part * (count - 1)]


@ops.op(
    "Split", needs=(MOVED, TENSOR, condition("constant sizes", lambda n: 0 not in (split_sizes(n) or [0])))
)
def split(mil, node, x, sizes=None):
    split_lens = split_sizes(node)
    if len(split_lens) == 1:
        return mil.identity(x=x)
    return mil.split(x=x, split_sizes=ints(split_lens), axis=axis_of(node))


def tile_repeats(node: ir.Node) -> list[int] | None:
    """Repeats per output dimension that broadcast the input, padded with leading ones, to the output."""
    in_shape, out_shape = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    if in_shape is None or out_shape is None or len(out_shape) < len(in_shape):
        return None
    in_shape = [1] * (len(out_shape) - len(in_shape)) + in_shape
    return [b // a if a else 0 for a, b in zip(in_shape, out_shape, strict=True)]


@ops.op("Expand", needs=(MOVED, condition("a static result", lambda n: tile_repeats(n) is not None)))
def expand(mil, node, x, shape):
    repeats, rank = tile_repeats(node), len(shape_of(node.outputs[0]))
    expanded = mil.var(x)
    if rank != rank_of(x):
        expanded = mil.reshape(x=expanded, shape=ints([1] * (rank - rank_of(x)) + shape_of(x)))
    if all(t == 1 for t in repeats):
        return mil.identity(x=expanded)
    return mil.tile(x=expanded, reps=ints(repeats))


@ops.op(
    "Expand",
    needs=(
        MOVED,
        condition("a shape of known length", lambda n: shape_of(n.inputs[1]) is not None),
        in_range(1),
    ),
)
def expand_at_run_time(mil, node, x, shape):
    """Broadcast against a tensor of the target shape: zeros added to booleans, ones multiplied otherwise."""
    dtype = HELD[x.dtype]
    if dtype == "bool":
        neutral = mil.fill(shape=shape, value=np.int32(0))
        return mil.cast_to(mil.add(x=mil.cast_to(x, "int32"), y=neutral), "bool")
    neutral = mil.fill(shape=shape, value=mil.like(1, x))
    return mil.mul(x=x, y=neutral)


def has_positive_repeats(node: ir.Node) -> bool:
    """True unless constant repeats have a 0."""
    repeats = const(node.inputs[1])
    return repeats is None or bool((repeats > 0).all())


@ops.op(
    "Tile",
    needs=(
        MOVED,
        TENSOR,
        in_range(1),
        condition("repeats", has_positive_repeats),
    ),
)
def tile(mil, node, x, reps):
    return mil.tile(x=x, reps=reps)


def pads_of(node: ir.Node) -> np.ndarray | None:
    """Pads of every dimension, int64 [rank, 2]; None if they are no constants."""
    pads = const(node.inputs[1])
    axes = input_at(node, 3)
    rank = rank_of(node.inputs[0])
    if pads is None or rank is None or (axes is not None and held(axes) is None):
        return None
    all_pads = np.zeros((rank, 2), np.int64)
    padded_axes = range(rank) if axes is None else [int(a) % rank for a in const(axes)]
    pairs = pads.reshape(2, -1).T
    for axis, pair in zip(padded_axes, pairs, strict=True):
        all_pads[axis] = pair
    return all_pads


PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}


def has_supported_pads(node: ir.Node) -> bool:
    pads, mode = pads_of(node), attr(node, "mode")
    if pads is None or (pads < 0).any() or mode not in PAD_MODES:
        return False
    shape = list(node.inputs[0].shape or ())
    padded_axes = [i for i in range(len(pads)) if pads[i].any()]
    if mode == "constant":
        return True
    smaller = all(isinstance(d := shape[i], int) and pads[i].max() < d for i in padded_axes)
    return smaller and all(i >= len(pads) - 2 for i in padded_axes)


@ops.op(
    "Pad",
    needs=(
        dtype(*FLOATS, "double"),
        TENSOR,
        constant(2, "value"),
        condition(
            "constant pads that are not negative, smaller than the image and along its last two axes unless "
            "constant",
            has_supported_pads,
        ),
    ),
)
def pad(mil, node, x, pads, value=None, axes=None):
    all_pads, mode = pads_of(node), attr(node, "mode")
    if not all_pads.any():
        return mil.identity(x=x)
    constant_value = float(const(value).item()) if value is not None and mode == "constant" else 0.0
    return mil.pad(
        x=x, pad=ints(all_pads.ravel()), mode=PAD_MODES[mode], constant_val=mil.like(constant_value, x)
    )


@ops.op(
    "Pad",
    needs=(
        dtype(*INTS, *SMALL, "bool"),
        TENSOR,
        STATIC,
        constant(2, "value"),
        attribute("mode", "constant"),
        condition("constant pads that are not negative", has_supported_pads),
    ),
)
def pad_integers(mil, node, x, pads, value=None, axes=None):
    """Pad by concatenation with constants, one dimension after the other."""
    all_pads, shape = pads_of(node), shape_of(x)
    constant_value = const(value).item() if value is not None else 0
    padded = mil.cast_to(x, "int32")
    for axis, (before, after) in enumerate(all_pads):
        parts = [padded]
        for count, position in ((before, 0), (after, len(parts))):
            if count:
                dims = [*shape[:axis], int(count), *shape[axis + 1 :]]
                parts.insert(0 if position == 0 else len(parts), np.full(dims, constant_value, np.int32))
        shape[axis] += int(before + after)
        padded = mil.concat(values=parts, axis=axis) if len(parts) > 1 else padded
    padded = mil.cast_to(padded, HELD[x.dtype])
    return padded if padded is not mil.var(x) else mil.identity(x=padded)


@ops.op("Shape", needs=(RANKED, TENSOR, MOVED))
def shape(mil, node, x):
    start, end = attr(node, "start"), attr(node, "end")
    rank = rank_of(x)
    begin, stop = (max(min(v + rank if v < 0 else v, rank), 0) for v in (start, rank if end is None else end))
    dims = mil.shape(x=x)
    if (begin, stop) == (0, rank):
        return dims
    return mil.slice_by_index(x=dims, begin=ints([begin]), end=ints([stop]))


def _is_length(value: ir.Value) -> bool:
    """True for what is read from a Shape or Size and only moved."""
    node = value.producer()
    while node is not None and node.op_type in ("Cast", "Gather", "Reshape", "Slice", "Squeeze", "Unsqueeze"):
        node = node.inputs[0].producer()
    return node is not None and node.op_type in ("Shape", "Size")


@ops.op("Range", needs=(dtype(*FLOATS, *INTS), IN_RANGE))
def range_(mil, node, start, limit, delta):
    """Core ML counts less than nothing where the limit lies behind the start."""
    first, step = const(node.inputs[0]), const(node.inputs[2])
    if step is None:
        zero = NUMPY[HELD[node.inputs[2].dtype]](0)
        ahead, back = mil.maximum(x=limit, y=start), mil.minimum(x=limit, y=start)
        limit = mil.select(cond=mil.greater(x=delta, y=zero), a=ahead, b=back)
    elif first is None or first > 0 or step < 0 or not _is_length(node.inputs[1]):
        limit = (mil.maximum if step > 0 else mil.minimum)(x=limit, y=start)
    return mil.range_1d(start=start, end=limit, step=delta)


@ops.op("ReverseSequence", needs=(MOVED, RANKED, in_range(1)))
def reverse_sequence(mil, node, x, lengths):
    return mil.reverse_sequence(
        x=x, lengths=lengths, seq_axis=attr(node, "time_axis"), batch_axis=attr(node, "batch_axis")
    )


IMAGE = condition("two spatial dimensions", lambda n: rank_of(n.inputs[0]) == 4)


@ops.op("DepthToSpace", needs=(dtype(*FLOATS), IMAGE))
def depth_to_space(mil, node, x):
    size = attr(node, "blocksize")
    if attr(node, "mode") == "CRD":
        return mil.pixel_shuffle(x=x, upscale_factor=size)
    return mil.depth_to_space(x=x, block_size=size)


@ops.op("SpaceToDepth", needs=(dtype(*FLOATS), IMAGE, attribute("mode", "DCR")))
def space_to_depth(mil, node, x):
    return mil.space_to_depth(x=x, block_size=attr(node, "blocksize"))


@ops.op(
    "Trilu",
    needs=(
        MOVED,
        condition("a constant k of 0, or on the side that is kept", lambda n: band(n) is not None),
        RANKED,
    ),
)
def trilu(mil, node, x, k=None):
    lower, upper = band(node)
    return mil.band_part(x=x, lower=lower, upper=upper)


def band(node: ir.Node) -> tuple[int, int] | None:
    """Numbers of diagonals to keep below and above the main one, -1 for all; None where Trilu removes it."""
    k_input = input_at(node, 1)
    if k_input is not None and held(k_input) is None:
        return None
    k = 0 if k_input is None else int(const(k_input).item())
    if attr(node, "upper"):
        return (-k, -1) if k <= 0 else None
    return (-1, k) if k >= 0 else None


MIL_PAD = f"{MIL}::Pad"


@ops.op(MIL_PAD, needs=(dtype(*FLOATS, "double"), TENSOR, constant(2, "value")))
def pad_at_run_time(mil, node, x, pads, value=None):
    """Pad with run-time pads [before, after] of each dimension, none negative."""
    constant_value = float(const(value).item()) if value is not None else 0.0
    return mil.pad(x=x, pad=pads, mode="constant", constant_val=mil.like(constant_value, x))
