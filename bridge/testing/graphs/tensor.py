"""Steps that move, join, cut and repeat."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx import helper

from bridge.testing.graphs.growth import ANY, NUMBERS, Graph, step


@step(2, ANY)
def transpose(g: Graph, src: str, x: np.ndarray) -> str:
    perm: dict[str, Any] = {"perm": [int(p) for p in g.rng.permutation(x.ndim)]} if g.maybe(0.9) else {}
    return g.add("Transpose", src, **perm)


@step(4)
def channels_last(g: Graph, src: str, x: np.ndarray) -> str:
    last = [0, *range(2, x.ndim), 1]
    return g.add("Transpose", src, perm=g.pick(last, [0, x.ndim - 1, *range(1, x.ndim - 1)]))


@step(2, NUMBERS)
def merge(g: Graph, src: str, x: np.ndarray) -> str:
    """Two neighbouring axes become one."""
    i = int(g.rng.integers(0, x.ndim - 1))
    shape = [*([0] * i), -1, *x.shape[i + 2 :]]
    return g.add("Reshape", src, g.ints(*shape))


@step(1, NUMBERS)
def split_axis(g: Graph, src: str, x: np.ndarray) -> str:
    """One axis becomes two."""
    i = int(g.rng.integers(x.ndim))
    factors = [f for f in range(1, x.shape[i] + 1) if x.shape[i] % f == 0]
    return g.add(
        "Reshape",
        src,
        g.ints(*([0] * i), *g.pick((g.pick(*factors), -1), (-1, g.pick(*factors))), *x.shape[i + 1 :]),
    )


@step(1, NUMBERS)
def reshape(g: Graph, src: str, x: np.ndarray) -> str:
    """All axes anew."""
    front = g.pick(*(f for f in range(1, x.size + 1) if x.size % f == 0))
    rest = x.size // front
    shape = g.pick((-1,), (front, -1), (1, -1, 1), (-1, rest), (1, front, rest), (front, rest))
    return g.add("Reshape", src, g.ints(*shape), **g.pick({}, {"allowzero": 1}))


@step(2, NUMBERS)
def reshape_at_run_time(g: Graph, src: str, x: np.ndarray) -> str:
    """Through shape arithmetic at run time: as frameworks write a view."""
    way = g.pick("first", "last", "swap", "double")
    if way == "swap":
        return g.add("Reshape", src, g.add("Concat", g.length(src, 1), g.length(src, 0), g.ints(-1), axis=0))
    if way == "double":
        twice = g.add("Mul", g.length(src, 0), g.length(src, 1))
        return g.add("Reshape", src, g.add("Concat", twice, g.ints(-1), axis=0))
    parts = [g.length(src, 0), g.ints(-1)] if way == "first" else [g.ints(-1), g.length(src, -1)]
    return g.add("Reshape", src, g.add("Concat", *parts, axis=0))


@step(1, NUMBERS)
def flatten(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add("Flatten", src, axis=g.pick(g.axis(x), x.ndim))


@step(0, NUMBERS)
def unsqueeze(g: Graph, src: str, x: np.ndarray) -> str:
    if x.ndim and g.maybe(0.3):
        return g.add("Unsqueeze", src, g.ints(-1, 0))
    return g.add("Unsqueeze", src, g.ints(int(g.rng.integers(-x.ndim - 1, x.ndim + 1))))


@step(1, NUMBERS)
def squeeze(g: Graph, src: str, x: np.ndarray) -> str:
    ones = [i - g.pick(0, x.ndim) for i, n in enumerate(x.shape) if n == 1]
    return g.add("Squeeze", src, g.ints(*(ones[: g.pick(1, 9)] or [-1])))


@step(1, NUMBERS)
def concat(g: Graph, src: str, x: np.ndarray) -> str:
    """Lengths of an axis are added."""
    axis = g.axis(x)
    rest = np.delete(x.shape, axis % x.ndim)
    fitting = g.others(
        x, lambda v: v.ndim == x.ndim and np.array_equal(np.delete(v.shape, axis % x.ndim), rest)
    )
    fitting = [n for n in fitting if n != src] or fitting
    return g.add("Concat", src, *[str(n) for n in g.rng.choice(fitting, g.pick(1, 1, 2))], axis=axis)


@step(1, NUMBERS)
def concat_constant(g: Graph, src: str, x: np.ndarray) -> str:
    axis = g.axis(x)
    shape = [g.pick(1, 2) if i == axis % x.ndim else n for i, n in enumerate(x.shape)]
    parts = [src, (2 * g.normal(*shape)).astype(x.dtype)]
    return g.add("Concat", *g.pick(parts, parts[::-1], parts[:1]), axis=axis)


@step(1, NUMBERS)
def slice_(g: Graph, src: str, x: np.ndarray) -> str:
    """Ends beyond the length; steps backwards; several axes at once."""
    axes = [
        int(a) - g.pick(0, x.ndim) for a in g.rng.choice(x.ndim, min(x.ndim, g.pick(1, 1, 2)), replace=False)
    ]
    starts = [g.pick(0, 1, -1, 2, -3, 9, -9) for _ in axes]
    ends = [g.pick(0, 2, -1, 9, -9, 2**31 - 1, 2**63 - 1, -(2**63), 4) for _ in axes]
    steps = [g.pick(1, 1, 2, 3, -1, -2) for _ in axes]
    dtype = np.int64 if max(map(abs, ends)) >= 2**31 else g.pick(np.int64, np.int32)
    parts = [np.array(p, dtype) for p in (starts, ends, axes, steps)]
    return g.add("Slice", src, *parts[: 3 if g.maybe(0.2) else 4])


@step(1)
def slice_to_length(g: Graph, src: str, x: np.ndarray) -> str:
    """Up to a length that is computed."""
    axis = g.axis(x)
    end = (
        g.add("Sub", g.length(src, axis), g.ints(1))
        if g.maybe()
        else g.add("Div", g.length(src, axis), g.ints(2))
    )
    return g.add("Slice", src, g.ints(0), end, g.ints(axis))


@step(1, NUMBERS)
def split(g: Graph, src: str, x: np.ndarray) -> Any:
    """Even, with a shorter last part, or as given; a part may be empty."""
    axis = g.axis(x)
    n = x.shape[axis]
    if g.maybe():
        count = g.pick(1, 2, 3)
        made = g.add("Split", src, outputs=count, axis=axis, num_outputs=count)
        return made
    first = int(g.rng.integers(0, n + 1))
    parts = (
        g.pick([first, n - first], [n]) if n < 3 else [1, first * (n - 1) // n, n - 1 - first * (n - 1) // n]
    )
    made = g.add("Split", src, g.ints(*parts), outputs=len(parts), axis=axis)
    return made


@step(1, NUMBERS)
def pad(g: Graph, src: str, x: np.ndarray) -> str:
    """Pads of every mode, cutting too; of all axes or some."""
    mode = g.pick("constant", "constant", "reflect", "edge", "wrap")
    axes = sorted(int(a) for a in g.rng.choice(x.ndim, min(x.ndim, g.pick(1, 2)), replace=False))
    pads = [g.pick(0, 0, 1, 2, -1) for _ in range(2 * len(axes))]
    value = (
        [np.array(g.pick(0.5, -1e9) if x.dtype.kind == "f" else 3, x.dtype)]
        if mode == "constant" and g.maybe(0.7)
        else []
    )
    if g.maybe(0.4):
        return g.add(
            "Pad",
            src,
            g.ints(*pads),
            value[0] if value else "",
            g.ints(*(a - g.pick(0, x.ndim) for a in axes)),
            mode=mode,
        )
    full = np.zeros(2 * x.ndim, np.int64)
    full[[*axes, *(a + x.ndim for a in axes)]] = pads
    return g.add("Pad", src, full, *value, mode=mode)


@step(1, NUMBERS)
def tile(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add("Tile", src, g.ints(*(g.pick(1, 1, 2, 3) for _ in x.shape)))


@step(0, (*NUMBERS, "bool"))
def expand(g: Graph, src: str, x: np.ndarray) -> str:
    """Ones of either side are repeated."""
    shape = [g.pick(1, n) if n > 1 else g.pick(1, 1, 3) for n in x.shape]
    return g.add("Expand", src, g.ints(*g.pick([], [1], [2]), *shape))


@step(1)
def expand_like(g: Graph, src: str, x: np.ndarray) -> str:
    """A row as often as the value is long."""
    row = g.normal(1, x.shape[-1])
    shape = g.add("Concat", g.length(src, 0), g.ints(1), axis=0)
    return g.add("Expand", row, shape)


@step(2)
def triangle(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add("Trilu", src, *g.pick([], [np.array(g.pick(-1, 0, 1, 3), np.int64)]), upper=g.pick(0, 1))


@step(1)
def positions(g: Graph, src: str, x: np.ndarray) -> str:
    """Numbers from 0 to a length, or down from it, added."""
    axis = int(g.rng.integers(x.ndim))
    length = g.add("Squeeze", g.length(src, axis))
    bounds = [np.int64(0), length, np.int64(1)] if g.maybe() else [length, np.int64(0), np.int64(-1)]
    places = g.add("Cast", g.add("Range", *bounds), to=1)
    shape = [1] * x.ndim
    shape[axis] = -1
    return g.add("Add", src, g.add("Reshape", places, g.ints(*shape)))


@step(1)
def ones_like(g: Graph, src: str, x: np.ndarray) -> str:
    value = helper.make_tensor("value", 1, [1], [g.pick(1.0, -0.5)])
    return g.add("Sub", g.add("ConstantOfShape", g.add("Shape", src), value=value), src)


@step(1, NUMBERS, since=22)
def shape_part(g: Graph, src: str, x: np.ndarray) -> str:
    start = g.axis(x)
    shape = g.add("Shape", src, start=start, **g.pick({}, {"end": x.ndim + 3}))
    return g.add("Add", shape, g.add("Size", src))


@step(2)
def reverse(g: Graph, src: str, x: np.ndarray) -> str:
    """Each sequence by its own length."""
    batch = int(g.pick(0, 1))
    longest = g.extents(src)[1 - batch]
    lengths = g.ints(*(int(g.rng.integers(1, longest + 1)) for _ in range(x.shape[batch])))
    return g.add("ReverseSequence", src, lengths, batch_axis=batch, time_axis=1 - batch)


@step(2)
def diagonal(g: Graph, src: str, x: np.ndarray) -> str:
    eye = g.add(
        "EyeLike", g.add("Reshape", src, g.ints(x.shape[0], math.prod(x.shape[1:]))), k=g.pick(-1, 0, 1)
    )
    return eye
