"""Moving, choosing and making elements."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, input_at, rank_of, shape_of
from bridge.needs import attribute, condition, constant, dtype
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import (
    FLOATS,
    HELD,
    IN_RANGE,
    INTS,
    MIL,
    MOVED,
    RANKED,
    SMALL,
    STATIC,
    TENSOR,
    axis_of,
    in_range,
    ints,
)

ops = OpTable()


ops.same(needs=(MOVED,), Identity="identity")


def one_unknown(node: ir.Node) -> bool:
    """A result of static shape, or with one dimension to be told from the others."""
    shape = node.outputs[0].shape
    return shape is not None and sum(not isinstance(d, int) for d in shape) <= 1 and 0 not in list(shape)


ONE_UNKNOWN = condition("at most one dynamic dimension in the result", one_unknown)


@ops.op("Reshape", "Flatten", "Squeeze", "Unsqueeze", needs=(MOVED, ONE_UNKNOWN))
def reshape(mil, node, x, *rest):
    dims = [d if isinstance(d, int) else -1 for d in node.outputs[0].shape]
    if not dims:
        return mil.squeeze(x=x) if rank_of(x) else mil.identity(x=x)
    return mil.reshape(x=x, shape=ints(dims))


@ops.op("Squeeze", needs=(MOVED, RANKED, constant(1, "axes")))
def squeeze(mil, node, x, axes):
    return mil.squeeze(x=x, axes=ints([int(a) % rank_of(x) for a in const(axes).ravel()]))


@ops.op("Unsqueeze", needs=(MOVED, RANKED, constant(1, "axes")))
def unsqueeze(mil, node, x, axes):
    rank = rank_of(x) + const(axes).size
    return mil.expand_dims(x=x, axes=ints(sorted(int(a) % rank for a in const(axes).ravel())))


NO_ZERO = condition(
    "a shape without zeros",
    lambda n: const(n.inputs[1]) is None or not (const(n.inputs[1]) == 0).any(),
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


@ops.op("Concat", needs=(MOVED, TENSOR, IN_RANGE))
def concat(mil, node, *inputs):
    if len(inputs) == 1:
        return mil.identity(x=inputs[0])
    return mil.concat(values=list(inputs), axis=axis_of(node))


def split_sizes(node: ir.Node) -> list[int] | None:
    given = const(input_at(node, 1))
    if given is not None:
        return [int(v) for v in given]
    length = node.inputs[0].shape[axis_of(node)] if node.inputs[0].shape is not None else None
    if not isinstance(length, int) or input_at(node, 1) is not None:
        return None
    count = len(node.outputs)
    each = -(-length // count)
    return [*[each] * (count - 1), length - each * (count - 1)]


@ops.op(
    "Split", needs=(MOVED, TENSOR, condition("constant sizes", lambda n: 0 not in (split_sizes(n) or [0])))
)
def split(mil, node, x, sizes=None):
    found = split_sizes(node)
    if len(found) == 1:
        return mil.identity(x=x)
    return mil.split(x=x, split_sizes=ints(found), axis=axis_of(node))


def repeats(node: ir.Node) -> list[int] | None:
    """How often each dimension of the input, led by ones, is repeated to give the result."""
    before, after = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    if before is None or after is None or len(after) < len(before):
        return None
    before = [1] * (len(after) - len(before)) + before
    return [b // a if a else 0 for a, b in zip(before, after, strict=True)]


@ops.op("Expand", needs=(MOVED, condition("a static result", lambda n: repeats(n) is not None)))
def expand(mil, node, x, shape):
    times, rank = repeats(node), len(shape_of(node.outputs[0]))
    made = mil.var(x)
    if rank != rank_of(x):
        made = mil.reshape(x=made, shape=ints([1] * (rank - rank_of(x)) + shape_of(x)))
    if all(t == 1 for t in times):
        return mil.identity(x=made)
    return mil.tile(x=made, reps=ints(times))


@ops.op(
    "Expand",
    needs=(
        MOVED,
        condition("a shape of known length", lambda n: shape_of(n.inputs[1]) is not None),
        in_range(1),
    ),
)
def expand_at_run_time(mil, node, x, shape):
    """Met by a tensor of the shape that changes nothing."""
    kind = HELD[x.dtype]
    if kind == "bool":
        frame = mil.fill(shape=shape, value=np.int32(0))
        return mil.cast_to(mil.add(x=mil.cast_to(x, "int32"), y=frame), "bool")
    frame = mil.fill(shape=shape, value=mil.like(1, x))
    return mil.mul(x=x, y=frame)


def repeated(node: ir.Node) -> bool:
    """Every dimension is there once at least, as far as that is known."""
    times = const(node.inputs[1])
    return times is None or bool((times > 0).all())


@ops.op(
    "Tile",
    needs=(
        MOVED,
        TENSOR,
        in_range(1),
        condition("repeats", repeated),
    ),
)
def tile(mil, node, x, reps):
    return mil.tile(x=x, reps=reps)


def pads_of(node: ir.Node) -> np.ndarray | None:
    """Pads of every dimension, [rank, 2]; None when they are known at run time alone."""
    given = const(node.inputs[1])
    axes = input_at(node, 3)
    rank = rank_of(node.inputs[0])
    if given is None or rank is None or (axes is not None and const(axes) is None):
        return None
    found = np.zeros((rank, 2), np.int64)
    where = range(rank) if axes is None else [int(a) % rank for a in const(axes)]
    half = given.reshape(2, -1).T
    for place, pair in zip(where, half, strict=True):
        found[place] = pair
    return found


PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}


def paddable(node: ir.Node) -> bool:
    pads, mode = pads_of(node), attr(node, "mode")
    if pads is None or (pads < 0).any() or mode not in PAD_MODES:
        return False
    shape = list(node.inputs[0].shape or ())
    padded = [i for i in range(len(pads)) if pads[i].any()]
    if mode == "constant":
        return True
    fits = all(isinstance(d := shape[i], int) and pads[i].max() < d for i in padded)
    return fits and all(i >= len(pads) - 2 for i in padded)


@ops.op(
    "Pad",
    needs=(
        dtype(*FLOATS, "double"),
        TENSOR,
        constant(2, "value"),
        condition(
            "constant pads that are not negative, smaller than the image and along its last two axes unless "
            "constant",
            paddable,
        ),
    ),
)
def pad(mil, node, x, pads, value=None, axes=None):
    found, mode = pads_of(node), attr(node, "mode")
    if not found.any():
        return mil.identity(x=x)
    number = float(const(value).item()) if value is not None and mode == "constant" else 0.0
    return mil.pad(x=x, pad=ints(found.ravel()), mode=PAD_MODES[mode], constant_val=mil.like(number, x))


@ops.op(
    "Pad",
    needs=(
        dtype(*INTS, *SMALL, "bool"),
        TENSOR,
        STATIC,
        constant(2, "value"),
        attribute("mode", "constant"),
        condition("constant pads that are not negative", paddable),
    ),
)
def pad_whole(mil, node, x, pads, value=None, axes=None):
    """Joined with what goes before and after, dimension by dimension."""
    found, shape = pads_of(node), shape_of(x)
    number = const(value).item() if value is not None else 0
    made = mil.cast_to(x, "int32")
    for axis, (before, after) in enumerate(found):
        parts = [made]
        for count, place in ((before, 0), (after, len(parts))):
            if count:
                dims = [*shape[:axis], int(count), *shape[axis + 1 :]]
                parts.insert(0 if place == 0 else len(parts), np.full(dims, number, np.int32))
        shape[axis] += int(before + after)
        made = mil.concat(values=parts, axis=axis) if len(parts) > 1 else made
    made = mil.cast_to(made, HELD[x.dtype])
    return made if made is not mil.var(x) else mil.identity(x=made)


@ops.op("Shape", needs=(RANKED, TENSOR, MOVED))
def shape(mil, node, x):
    start, end = attr(node, "start"), attr(node, "end")
    rank = rank_of(x)
    first, last = (max(min(v + rank if v < 0 else v, rank), 0) for v in (start, rank if end is None else end))
    made = mil.shape(x=x)
    if (first, last) == (0, rank):
        return made
    return mil.slice_by_index(x=made, begin=ints([first]), end=ints([last]))


@ops.op("Range", needs=(dtype(*FLOATS, *INTS), IN_RANGE))
def range_(mil, node, start, limit, delta):
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
        condition("a constant k of 0, or on the side that is kept", lambda n: _band(n) is not None),
        RANKED,
    ),
)
def trilu(mil, node, x, k=None):
    lower, upper = _band(node)
    return mil.band_part(x=x, lower=lower, upper=upper)


def _band(node: ir.Node) -> tuple[int, int] | None:
    """Diagonals kept below and above the middle, -1 for all of them."""
    given = input_at(node, 1)
    if given is not None and const(given) is None:
        return None
    k = 0 if given is None else int(const(given).item())
    if attr(node, "upper"):
        return (-k, -1) if k <= 0 else None
    return (-1, k) if k >= 0 else None


PADDED = f"{MIL}::Pad"


@ops.op(PADDED, needs=(dtype(*FLOATS, "double"), TENSOR, constant(2, "value")))
def pad_at_run_time(mil, node, x, pads, value=None):
    """Pads in pairs, none negative."""
    number = float(const(value).item()) if value is not None else 0.0
    return mil.pad(x=x, pad=pads, mode="constant", constant_val=mil.like(number, x))
