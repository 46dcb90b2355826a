"""Moving, choosing and making elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
    clamped,
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


def known_slice(node: ir.Node) -> bool:
    """Constant axes and steps; starts and ends may be known at run time alone."""
    inputs = list(node.inputs)
    steps = const(inputs[4]) if len(inputs) > 4 and inputs[4] is not None else None
    known = all(len(inputs) <= i or inputs[i] is None or const(inputs[i]) is not None for i in (3, 4))
    return known and rank_of(inputs[0]) is not None and (steps is None or 0 not in steps)


@ops.op(
    "Slice",
    needs=(
        MOVED,
        TENSOR,
        condition("constant bounds, axes and steps", known_slice),
        constant(1, "starts"),
        constant(2, "ends"),
    ),
)
def slice_(mil, node, x, starts, ends, axes=None, steps=None):
    """Bounds beyond an end are masks."""
    rank = rank_of(x)
    first, last = clamped(const(starts)), clamped(const(ends))
    where = range(len(first)) if axes is None else [int(a) % rank for a in const(axes)]
    by = [1] * len(first) if steps is None else clamped(const(steps))
    begin, end, stride = [0] * rank, [0] * rank, [1] * rank
    begin_mask, end_mask = [True] * rank, [True] * rank
    for axis, low, high, step in zip(where, first, last, by, strict=True):
        size = x.shape[axis] if isinstance(x.shape[axis], int) else None
        begin[axis], begin_mask[axis] = _begin(low, step, size)
        end[axis], end_mask[axis] = _end(high, step, size)
        stride[axis] = step
    return mil.slice_by_index(
        x=x, begin=ints(begin), end=ints(end), stride=ints(stride), begin_mask=begin_mask, end_mask=end_mask
    )


def _begin(low: int, step: int, size: int | None) -> tuple[int, bool]:
    """Where a slice begins; beyond the first element (the last, going back) is a mask."""
    if size is not None:
        low = max(low + size if low < 0 else low, 0)
        low = min(low, size - 1) if step < 0 else low
        return low, low == (size - 1 if step < 0 else 0)
    return (low, low == 0) if step > 0 else (low, low == -1 or low >= 2**31 - 1)


def _end(high: int, step: int, size: int | None) -> tuple[int, bool]:
    if size is not None:
        high = high + size if high < 0 else high
        if step > 0:
            return min(high, size), high >= size
        return high, high < 0
    return high, high >= 2**31 - 1 if step > 0 else high <= -(2**31) + 1


def one_axis_running(node: ir.Node) -> bool:
    steps = const(input_at(node, 4))
    return steps is None or set(steps.ravel().tolist()) == {1}


@ops.op(
    "Slice",
    needs=(
        MOVED,
        TENSOR,
        condition("constant axes and steps", known_slice),
        condition("steps of 1 where bounds are known at run time alone", one_axis_running),
        condition("bounds of known number", lambda n: shape_of(n.inputs[1]) is not None),
    ),
)
def slice_at_run_time(mil, node, x, starts, ends, axes=None, steps=None):
    """Bounds held to the shape, as the hub does; what is not sliced keeps its whole length."""
    rank, count = rank_of(x), shape_of(starts)[0]
    where = list(range(count)) if axes is None else [int(a) % rank for a in const(axes)]
    sizes = mil.shape(x=x)
    held = []
    for bounds, whole in ((starts, False), (ends, True)):
        given = _clamped(mil, bounds)
        parts = []
        for axis in range(rank):
            size = mil.slice_by_index(x=sizes, begin=ints([axis]), end=ints([axis + 1]))
            if axis not in where:
                parts.append(size if whole else ints([0]))
                continue
            i = where.index(axis)
            bound = mil.slice_by_index(x=given, begin=ints([i]), end=ints([i + 1])) if count > 1 else given
            turned = mil.select(cond=mil.less(x=bound, y=0), a=mil.add(x=bound, y=size), b=bound)
            parts.append(mil.maximum(x=mil.minimum(x=turned, y=size), y=0))
        held.append(mil.concat(values=parts, axis=0) if rank > 1 else parts[0])
    return mil.slice_by_index(x=x, begin=held[0], end=held[1])


def _clamped(mil: Any, bounds: ir.Value) -> Any:
    array = const(bounds)
    return ints(clamped(array)) if array is not None else mil.var(bounds)


def positive(mil: Any, x: ir.Value, indices: ir.Value, axis: int) -> Any:
    """Indices counted from the start; from iOS 17 Core ML takes no others."""
    array, size = const(indices), x.shape[axis] if x.shape is not None else None
    if array is not None and (isinstance(size, int) or (array >= 0).all()):
        made = np.where(array < 0, array + (size or 0), array).astype(np.int32)
        return made if made.ndim else made[()]
    found = mil.var(indices)
    length = (
        np.int32(size)
        if isinstance(size, int)
        else mil.squeeze(x=mil.slice_by_index(x=mil.shape(x=x), begin=ints([axis]), end=ints([axis + 1])))
    )
    return mil.select(cond=mil.less(x=found, y=0), a=mil.add(x=found, y=length), b=found)


INDEX = dtype(*INTS, index=1)


@ops.op("Gather", needs=(MOVED, TENSOR, INDEX, IN_RANGE))
def gather(mil, node, x, indices):
    axis = axis_of(node)
    return mil.as_numbers(x, lambda v: mil.gather(x=v, indices=positive(mil, x, indices, axis), axis=axis))


@ops.op("GatherElements", needs=(MOVED, TENSOR, INDEX, IN_RANGE))
def gather_elements(mil, node, x, indices):
    axis = axis_of(node)
    return mil.as_numbers(
        x, lambda v: mil.gather_along_axis(x=v, indices=positive(mil, x, indices, axis), axis=axis)
    )


def sized(node: ir.Node) -> bool:
    dims = (node.inputs[1].shape or [None])[-1]
    data = node.inputs[0].shape
    return isinstance(dims, int) and data is not None and all(isinstance(d, int) for d in list(data)[:dims])


def wrapped_rows(mil: Any, x: ir.Value, indices: ir.Value) -> Any:
    """The last axis of `indices` counts the dimensions of `x`."""
    array = const(indices)
    count: Any = (indices.shape or [0])[-1]
    sizes = ints(list(x.shape or ())[:count])
    if array is not None:
        return np.where(array < 0, array + sizes, array).astype(np.int32)
    found = mil.var(indices)
    return mil.select(cond=mil.less(x=found, y=0), a=mil.add(x=found, y=sizes), b=found)


ROWS = condition("dimensions of known length where they are indexed", sized)


@ops.op("GatherND", needs=(MOVED, TENSOR, INDEX, attribute("batch_dims", 0), ROWS, IN_RANGE))
def gather_nd(mil, node, x, indices):
    return mil.as_numbers(x, lambda v: mil.gather_nd(x=v, indices=wrapped_rows(mil, x, indices)))


MODES = {"none": "update", "add": "add", "mul": "mul", "max": "max", "min": "min"}
SCATTERED = (dtype(*FLOATS, *INTS, *SMALL, "bool", "double"), TENSOR, INDEX, IN_RANGE)


def scattered(mil: Any, data: ir.Value, updates: ir.Value, operate: Callable[[Any, Any], Any]) -> Any:
    if data.dtype != ir.DataType.BOOL:
        return operate(mil.var(data), mil.var(updates))
    return mil.cast_to(operate(mil.cast_to(data, "int32"), mil.cast_to(updates, "int32")), "bool")


@ops.op("ScatterND", needs=(*SCATTERED, ROWS))
def scatter_nd(mil, node, data, indices, updates):
    mode, places = MODES[attr(node, "reduction")], wrapped_rows(mil, data, indices)
    return scattered(
        mil, data, updates, lambda d, u: mil.scatter_nd(data=d, indices=places, updates=u, mode=mode)
    )


@ops.op("ScatterElements", needs=SCATTERED)
def scatter_elements(mil, node, data, indices, updates):
    axis, mode = axis_of(node), MODES[attr(node, "reduction")]
    places = positive(mil, data, indices, axis)
    return scattered(
        mil,
        data,
        updates,
        lambda d, u: mil.scatter_along_axis(data=d, indices=places, updates=u, axis=axis, mode=mode),
    )


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


@ops.op("NonZero", needs=(dtype(*FLOATS, *INTS, *SMALL, "bool"), TENSOR))
def non_zero(mil, node, x):
    return mil.transpose(x=mil.non_zero(x=x), perm=ints([1, 0]))


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


def _random(mil: Any, node: ir.Node, x: ir.Value, operator: Callable[..., Any], **more: Any) -> Any:
    seed = attr(node, "seed")
    shape = shape_of(x)
    made = operator(
        shape=ints(shape) if shape is not None else mil.shape(x=x),
        seed=-1 if seed is None else int(seed),
        **more,
    )
    return mil.cast_to(made, HELD[node.outputs[0].dtype or ir.DataType.FLOAT])


LIKE = (
    TENSOR,
    condition(
        "a result of floats",
        lambda n: n.outputs[0].dtype is not None and HELD.get(n.outputs[0].dtype) in ("fp32", "fp16"),
    ),
)


@ops.op("RandomUniformLike", needs=LIKE)
def random_uniform(mil, node, x):
    low, high = (np.float32(attr(node, n)) for n in ("low", "high"))
    return _random(mil, node, x, mil.random_uniform, low=low, high=high)


@ops.op("RandomNormalLike", needs=LIKE)
def random_normal(mil, node, x):
    mean, deviation = (np.float32(attr(node, n)) for n in ("mean", "scale"))
    return _random(mil, node, x, mil.random_normal, mean=mean, stddev=deviation)


PADDED = f"{MIL}::Pad"


@ops.op(PADDED, needs=(dtype(*FLOATS, "double"), TENSOR, constant(2, "value")))
def pad_at_run_time(mil, node, x, pads, value=None):
    """Pads in pairs, none negative."""
    number = float(const(value).item()) if value is not None else 0.0
    return mil.pad(x=x, pad=pads, mode="constant", constant_val=mil.like(number, x))
