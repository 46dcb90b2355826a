"""Dimensions of results by operator, and the equations each states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from bridge import hub
from bridge.inputs.linear import ONE, Linear, number
from bridge.inputs.shape_data import shape_data
from bridge.traits import BROADCASTING, ELEMENTWISE

if TYPE_CHECKING:
    from bridge.inputs.shapes import Dims, Shapes

__all__ = ["RULES"]

FAR = 2**20
"""An end of a slice that no length reaches."""

SAME = ELEMENTWISE | {
    "BatchNormalization", "CastLike", "Clip", "CumProd", "CumSum", "DequantizeLinear", "Dropout",
    "GroupNormalization", "Hardmax", "InstanceNormalization", "LayerNormalization", "LogSoftmax",
    "LpNormalization", "LRN", "MeanVarianceNormalization", "QuantizeLinear", "RMSNormalization",
    "ReverseSequence", "Softmax", "Trilu",
}  # fmt: skip
"""The first result has the shape of the first input."""


def _given(node: ir.Node) -> list[ir.Value]:
    return [v for v in node.inputs if v is not None]


def _axis(node: ir.Node, rank: int, default: int = 0) -> int:
    axis = hub.attr(node, "axis")
    return (default if axis is None else int(axis)) % max(rank, 1)


def _same(s: Shapes, node: ir.Node) -> list[Dims | None]:
    x = s.dims(node.inputs[0])
    return [None if x is None else list(x)]


def _normalized(s: Shapes, node: ir.Node) -> list[Dims | None]:
    x = s.dims(node.inputs[0])
    for value in node.inputs[1:]:
        dims = s.dims(value)
        if x is not None and len(x) > 1 and dims:
            s.equal(x[1], dims[0])
    return _same(s, node)


def _normalized_last(s: Shapes, node: ir.Node) -> list[Dims | None]:
    x = s.dims(node.inputs[0])
    for value in node.inputs[1:]:
        for length, own in zip(reversed(x or []), reversed(s.dims(value) or []), strict=False):
            if own != ONE:
                s.equal(length, own)
    return _same(s, node)


def _reversed(s: Shapes, node: ir.Node) -> list[Dims | None]:
    x, lengths = s.dims(node.inputs[0]), s.dims(node.inputs[1])
    if x is not None and lengths:
        s.equal(x[int(hub.attr(node, "batch_axis"))], lengths[0])
    return _same(s, node)


def _broadcast(s: Shapes, node: ir.Node) -> list[Dims | None]:
    return [s.broadcast([s.dims(v) for v in _given(node)])]


def _concat(s: Shapes, node: ir.Node) -> list[Dims | None]:
    shapes = [s.dims(v) for v in _given(node)]
    known = [x for x in shapes if x is not None]
    if len(known) < len(shapes):
        return [None]
    axis = _axis(node, len(known[0]))
    result: Dims = []
    for index, column in enumerate(zip(*known, strict=True)):
        if index == axis:
            whole = [d for d in column if d is not None]
            result.append(sum(whole, number(0)) if len(whole) == len(column) else None)
            continue
        named = [d for d in column if d is not None]
        for other in named[1:]:
            s.equal(named[0], other)
        result.append(named[0] if named else None)
    return [result]


def _matmul(s: Shapes, node: ir.Node) -> list[Dims | None]:
    a, b = s.dims(node.inputs[0]), s.dims(node.inputs[1])
    if a is None or b is None:
        return [None]
    left, right = ([ONE, *a] if len(a) == 1 else a), ([*b, ONE] if len(b) == 1 else b)
    s.equal(left[-1], right[-2])
    batch = s.broadcast([left[:-2], right[:-2]]) or []
    return [batch + left[-2:-1] * (len(a) > 1) + right[-1:] * (len(b) > 1)]


def _gemm(s: Shapes, node: ir.Node) -> list[Dims | None]:
    a, b = s.dims(node.inputs[0]), s.dims(node.inputs[1])
    if a is None or b is None:
        return [None]
    a = a[::-1] if hub.attr(node, "transA") else a
    b = b[::-1] if hub.attr(node, "transB") else b
    s.equal(a[1], b[0])
    return [[a[0], b[1]]]


def _einsum(s: Shapes, node: ir.Node) -> list[Dims | None]:
    left, _, right = hub.attr(node, "equation").replace(" ", "").partition("->")
    if "." in left or not right:
        return [None]
    lengths: dict[str, Linear | None] = {}
    for letters, value in zip(left.split(","), node.inputs, strict=True):
        for letter, dim in zip(letters, s.dims(value) or [None] * len(letters), strict=True):
            s.equal(lengths.get(letter), dim)
            lengths[letter] = dim if lengths.get(letter) is None else lengths[letter]
    return [[lengths[letter] for letter in right]]


def _gather(s: Shapes, node: ir.Node) -> list[Dims | None]:
    x, indices = s.dims(node.inputs[0]), s.dims(node.inputs[1])
    if x is None or indices is None:
        return [None]
    axis = _axis(node, len(x))
    return [[*x[:axis], *indices, *x[axis + 1 :]]]


def _transpose(s: Shapes, node: ir.Node) -> list[Dims | None]:
    x = s.dims(node.inputs[0])
    if x is None:
        return [None]
    return [[x[axis] for axis in hub.attr(node, "perm") or range(len(x))[::-1]]]


def _unsqueeze(s: Shapes, node: ir.Node) -> list[Dims | None]:
    x, axes = s.dims(node.inputs[0]), s.ints(node.inputs[1])
    if x is None or axes is None:
        return [None]
    rest, rank = list(x), len(x) + len(axes)
    places = {a % rank for a in axes}
    return [[ONE if i in places else rest.pop(0) for i in range(rank)]]


def _squeeze(s: Shapes, node: ir.Node) -> list[Dims | None]:
    x = s.dims(node.inputs[0])
    axes = s.ints(hub.input_at(node, 1))
    if x is None or axes is None:
        return [None]
    for axis in axes:
        s.equal(x[axis], ONE)
    return [[d for i, d in enumerate(x) if i not in {a % len(x) for a in axes}]]


def _flatten(s: Shapes, node: ir.Node) -> list[Dims | None]:
    x = s.dims(node.inputs[0])
    if x is None:
        return [None]
    axis = _axis(node, len(x) + 1)
    return [[s.product(x[:axis]), s.product(x[axis:])]]


def _reshape(s: Shapes, node: ir.Node) -> list[Dims | None]:
    x, wanted = s.dims(node.inputs[0]), s.data(node.inputs[1])
    if wanted is None:
        return [None]
    keep = not hub.attr(node, "allowzero")
    result = [
        (x[i] if x is not None else None) if keep and d is not None and d.whole == 0 else d
        for i, d in enumerate(wanted)
    ]
    open_at = [i for i, d in enumerate(result) if d is not None and d.whole == -1]
    if x is None or None in x:
        return [[None if i in open_at else d for i, d in enumerate(result)]]
    rest, others = list(x), [d for i, d in enumerate(result) if i not in open_at]
    for dim in list(others):
        if dim is not None and dim.terms and dim in rest:
            others.remove(dim)
            rest.remove(dim)
    total, known = s.product(rest), s.product(others)
    if open_at:
        fits = total is not None and known is not None and known.whole
        result[open_at[0]] = s.quotient(total, int(known.whole)) if fits else None  # type: ignore[arg-type, union-attr]
    else:
        s.equal(total, known)
    return [result]


def _slice(s: Shapes, node: ir.Node) -> list[Dims | None]:
    x, starts, ends = s.dims(node.inputs[0]), s.ints(node.inputs[1]), s.data(node.inputs[2])
    if x is None:
        return [None]
    axes = s.ints(hub.input_at(node, 3)) or list(range(len(starts or ends or x)))
    steps = s.ints(hub.input_at(node, 4)) or [1] * len(axes)
    result = list(x)
    for i, axis in enumerate(axes):
        result[axis] = (
            None if starts is None or ends is None else _sliced(x[axis], starts[i], ends[i], steps[i])
        )
    return [result]


def _sliced(dim: Linear | None, start: int, end: Linear | None, step: int) -> Linear | None:
    if dim is None or end is None or (dim.terms and step != 1):
        return None
    if dim.whole is not None and end.whole is not None:
        return number(len(range(dim.whole)[start : end.whole : step]))
    stop = end.whole
    if stop is None:
        return end - number(start) if start >= 0 and step == 1 else None
    if stop >= FAR:
        return dim - number(start) if start >= 0 else number(-start)
    if start >= 0:
        return dim + number(stop - start) if stop < 0 else number(stop - start) if stop <= 1 else None
    return number(stop - start) if stop < 0 else None


def _pad(s: Shapes, node: ir.Node) -> list[Dims | None]:
    x, pads = s.dims(node.inputs[0]), s.ints(node.inputs[1])
    if x is None or pads is None:
        return [None]
    axes = s.ints(hub.input_at(node, 3)) or list(range(len(x)))
    result = list(x)
    for i, axis in enumerate(axes):
        dim = x[axis]
        result[axis] = None if dim is None else dim + number(pads[i] + pads[i + len(axes)])
    return [result]


def _split(s: Shapes, node: ir.Node) -> list[Dims | None]:
    x, parts = s.dims(node.inputs[0]), s.data(hub.input_at(node, 1))
    if x is None:
        return [None]
    axis, count = _axis(node, len(x)), len(node.outputs)
    dim = x[axis]
    if parts is None:
        even = hub.input_at(node, 1) is None and dim is not None and (dim.terms or dim.constant % count == 0)
        parts = [s.quotient(dim, count) if even and dim is not None else None] * count
    elif None not in parts:
        s.equal(dim, sum((p for p in parts if p is not None), number(0)))
    return [[*x[:axis], part, *x[axis + 1 :]] for part in parts]


def _expand(s: Shapes, node: ir.Node) -> list[Dims | None]:
    return [s.broadcast([s.dims(node.inputs[0]), s.data(node.inputs[1])])]


def _tile(s: Shapes, node: ir.Node) -> list[Dims | None]:
    x, times = s.dims(node.inputs[0]), s.data(node.inputs[1])
    if x is None or times is None:
        return [None]
    return [[s.product([d, t]) for d, t in zip(x, times, strict=True)]]


def _reduced(s: Shapes, node: ir.Node) -> list[Dims | None]:
    x = s.dims(node.inputs[0])
    if x is None:
        return [None]
    if node.op_type.startswith("Arg"):
        axes: list[int] | None = [_axis(node, len(x))]
    elif hub.input_at(node, 1) is None:
        axes = [] if hub.attr(node, "noop_with_empty_axes") else list(range(len(x)))
    else:
        axes = s.ints(node.inputs[1])
    if axes is None:
        return [[None] * len(x)] if hub.attr(node, "keepdims") else [None]
    places = {a % max(len(x), 1) for a in axes}
    if hub.attr(node, "keepdims"):
        return [[ONE if i in places else d for i, d in enumerate(x)]]
    return [[d for i, d in enumerate(x) if i not in places]]


def _topk(s: Shapes, node: ir.Node) -> list[Dims | None]:
    x, k = s.dims(node.inputs[0]), s.data(node.inputs[1])
    if x is None:
        return [None]
    axis = _axis(node, len(x), -1)
    result = [*x[:axis], k[0] if k else None, *x[axis + 1 :]]
    return [result, list(result)]


def _recurrent(s: Shapes, node: ir.Node) -> list[Dims | None]:
    x, w = s.dims(node.inputs[0]), s.dims(node.inputs[1])
    if x is None:
        return [None]
    first = bool(hub.attr(node, "layout"))
    batch, time = (x[0], x[1]) if first else (x[1], x[0])
    s.equal(x[2], w[2] if w else None)
    lens = s.dims(hub.input_at(node, 4))
    s.equal(batch, lens[0] if lens else None)
    ways = number(2 if hub.attr(node, "direction") == "bidirectional" else 1)
    hidden = number(hub.attr(node, "hidden_size"))
    for index in (5, 6) if node.op_type == "LSTM" else (5,):
        state = s.dims(hub.input_at(node, index))
        s.equal(batch, state[0 if first else 1] if state else None)
    last = [batch, ways, hidden] if first else [ways, batch, hidden]
    every = [batch, time, ways, hidden] if first else [time, ways, batch, hidden]
    return [every, last, list(last)]


def _attention(s: Shapes, node: ir.Node) -> list[Dims | None]:
    q, k, v, mask, past = (s.dims(hub.input_at(node, i)) for i in range(5))
    if q is None or k is None or v is None:
        return [None]
    s.equal(q[0], k[0])
    s.equal(k[-2], v[-2])
    total = k[-2]
    if past is not None and total is not None:
        total = None if past[-2] is None else total + past[-2]
    if mask is not None:
        s.joined([mask[-1], total])
        s.joined([mask[-2], q[-2]])
    heads = hub.attr(node, "kv_num_heads")
    size = k[-1] if len(k) == 4 else None
    present = [k[0], k[1] if len(k) == 4 else number(heads) if heads else None, total, size]
    return [[*q[:-1], v[-1] if len(q) == 4 else None], present, list(present)]


def _window(s: Shapes, node: ir.Node) -> list[Dims | None]:
    x, w = s.dims(node.inputs[0]), s.dims(hub.input_at(node, 1))
    if x is None:
        return [None]
    kernel = hub.attr(node, "kernel_shape") or [None if d is None else d.whole for d in (w or [])[2:]]
    if "Pool" not in node.op_type and w is not None:
        groups = int(hub.attr(node, "group") or 1)
        s.equal(
            x[1], w[0] if node.op_type == "ConvTranspose" else None if w[1] is None else w[1].times(groups)
        )
    rank, auto = len(x) - 2, hub.attr(node, "auto_pad") or "NOTSET"
    strides, dilations = (hub.attr(node, n) or [1] * rank for n in ("strides", "dilations"))
    if auto.startswith("SAME"):
        return [None if node.op_type == "ConvTranspose" else _strided(s, node, x, w, strides)]
    pads = (auto == "NOTSET" and hub.attr(node, "pads")) or [0] * 2 * rank
    moved = [
        None if size is None else pads[i] + pads[i + rank] - dilations[i] * (size - 1) - 1
        for i, size in enumerate(kernel)
    ]
    if node.op_type == "ConvTranspose":
        return [_spread(node, x, w, moved, strides)]
    upwards = bool(hub.attr(node, "ceil_mode"))
    if node.op_type == "MaxPool":
        s.misfits += sum(_jumped(dim, step) for dim, step in zip(x[2:], dilations, strict=True))
    sides: Dims = [
        None if dim is None or room is None else _windows(s, dim, room, stride, upwards)
        for dim, room, stride in zip(x[2:], moved, strides, strict=True)
    ]
    return [[x[0], x[1] if "Pool" in node.op_type else w[0] if w else None, *sides]]


def _strided(s: Shapes, node: ir.Node, x: Dims, w: Dims | None, strides: Sequence[int]) -> Dims:
    """Dimensions of windows padded by SAME: one for each stride, however far it reaches."""
    sides = [
        None if d is None else d if step == 1 else s.floored(d + number(step - 1), step)
        for d, step in zip(x[2:], strides, strict=True)
    ]
    return [x[0], x[1] if "Pool" in node.op_type else w[0] if w else None, *sides]


def _jumped(dim: Linear | None, dilation: int) -> bool:
    """True if a window may lie on padding alone, on both sides of the dimension: the largest of nothing."""
    return dim is not None and dim.whole is not None and dim.whole < dilation


def _windows(s: Shapes, dim: Linear, moved: int, stride: int, upwards: bool) -> Linear | None:
    """The number of windows along a dimension, where it is known or they stand side by side."""
    if stride == 1:
        s.misfits += not dim.terms and dim.constant + moved < 0
        return dim + number(moved + 1)
    if dim.whole is None:
        found = None if upwards else s.floored(dim + number(moved), stride)
        return None if found is None else found + ONE
    room = dim.whole + moved
    s.misfits += room < 0
    return number(max((-(-room // stride) if upwards else room // stride) + 1, 0))


def _spread(node: ir.Node, x: Dims, w: Dims | None, moved: list[int | None], strides: Any) -> Dims:
    """Dimensions of a transposed convolution, which windows of the result would give `x`."""
    shape = hub.attr(node, "output_shape")
    if shape:
        sides: Dims = [number(int(n)) for n in shape]
    else:
        more = hub.attr(node, "output_padding") or [0] * len(moved)
        sides = [
            None if dim is None or room is None else (dim - ONE).times(stride) + number(extra - room)
            for dim, room, stride, extra in zip(x[2:], moved, strides, more, strict=True)
        ]
    groups = int(hub.attr(node, "group") or 1)
    return [x[0], None if not w or w[1] is None else w[1].times(groups), *sides]


def _global(s: Shapes, node: ir.Node) -> list[Dims | None]:
    x = s.dims(node.inputs[0])
    return [None if x is None else [*x[:2], *[ONE] * (len(x) - 2)]]


def _resize(s: Shapes, node: ir.Node) -> list[Dims | None]:
    x, sizes = s.dims(node.inputs[0]), s.data(hub.input_at(node, 3))
    scales = hub.const(hub.input_at(node, 2))
    if hub.attr(node, "axes") or x is None:
        return [None]
    if sizes is not None:
        return [list(sizes)]
    if scales is None or len(scales) != len(x):
        return [None]
    s.scaled += [(d, float(f)) for d, f in zip(x, scales, strict=True) if d is not None and f != 1]
    return [[None if d is None else _scaled(s, d, float(f)) for d, f in zip(x, scales, strict=True)]]


def _scaled(s: Shapes, dim: Linear, scale: float) -> Linear | None:
    """A length times a scale that is a whole number, or divides it."""
    if scale == int(scale):
        return dim.times(int(scale))
    return s.floored(dim, int(1 / scale)) if scale > 0 and 1 / scale == int(1 / scale) else None


def _scatter(s: Shapes, node: ir.Node) -> list[Dims | None]:
    x, indices, updates = (s.dims(v) for v in node.inputs[:3])
    if indices is not None and updates is not None:
        wanted = indices
        if node.op_type == "ScatterND":
            depth = None if indices[-1] is None else indices[-1].whole
            wanted = [] if x is None or depth is None else [*indices[:-1], *x[depth:]]
        for one, other in zip(wanted, updates, strict=False):
            s.equal(one, other)
    return [None if x is None else list(x)]


def _indexed(s: Shapes, node: ir.Node) -> list[Dims | None]:
    return [s.dims(node.inputs[1])]


def _gather_nd(s: Shapes, node: ir.Node) -> list[Dims | None]:
    x, indices = s.dims(node.inputs[0]), s.dims(node.inputs[1])
    batch = int(hub.attr(node, "batch_dims") or 0)
    if x is None or indices is None or indices[-1] is None or indices[-1].whole is None:
        return [None]
    for one, other in zip(x[:batch], indices[:batch], strict=True):
        s.equal(one, other)
    return [[*indices[:-1], *x[batch + indices[-1].whole :]]]


def _range(s: Shapes, node: ir.Node) -> list[Dims | None]:
    start, limit, step = (s.data(v) for v in node.inputs)
    if not start or not limit or not step or step[0] != ONE or None in (start[0], limit[0]):
        return [[None]]
    return [[limit[0] - start[0]]]  # type: ignore[operator]


def _filled(s: Shapes, node: ir.Node) -> list[Dims | None]:
    return [s.data(node.inputs[0])]


def _shape_vector(s: Shapes, node: ir.Node) -> list[Dims | None]:
    elements = shape_data(s, node)
    return [None if elements is None else [number(len(elements))]]


def _one_hot(s: Shapes, node: ir.Node) -> list[Dims | None]:
    x, depth = s.dims(node.inputs[0]), s.data(node.inputs[1])
    if x is None:
        return [None]
    axis = _axis(node, len(x) + 1, -1)
    return [[*x[:axis], depth[0] if depth else None, *x[axis:]]]


RULES: dict[str, Callable[[Shapes, ir.Node], list[Dims | None]]] = {
    **dict.fromkeys(SAME, _same),
    **dict.fromkeys(BROADCASTING, _broadcast),
    **dict.fromkeys(["ArgMax", "ArgMin"], _reduced),
    **dict.fromkeys(["LSTM", "GRU", "RNN"], _recurrent),
    **dict.fromkeys(["Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool"], _window),
    **dict.fromkeys(["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"], _global),
    **dict.fromkeys(["ScatterND", "ScatterElements"], _scatter),
    **{f"Reduce{n}": _reduced for n in (
        "L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")},
    **dict.fromkeys(["BatchNormalization", "InstanceNormalization", "GroupNormalization"], _normalized),
    **dict.fromkeys(["LayerNormalization", "RMSNormalization"], _normalized_last),
    "ReverseSequence": _reversed,
    "Concat": _concat, "MatMul": _matmul, "Gemm": _gemm, "Einsum": _einsum, "Gather": _gather,
    "Transpose": _transpose, "Unsqueeze": _unsqueeze, "Squeeze": _squeeze, "Flatten": _flatten,
    "Reshape": _reshape, "Slice": _slice, "Pad": _pad, "Split": _split, "Expand": _expand, "Tile": _tile,
    "TopK": _topk, "Attention": _attention, "Resize": _resize, "GatherElements": _indexed,
    "GatherND": _gather_nd, "Range": _range, "ConstantOfShape": _filled, "OneHot": _one_hot,
    "Shape": _shape_vector,
}  # fmt: skip
