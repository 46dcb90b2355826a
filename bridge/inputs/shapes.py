"""Shapes of all values of a graph in terms of its inputs' symbolic dimensions, and the equations between those
that the operators state."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.inputs.linear import ONE, Linear, number, parsed, product
from bridge.traits import BROADCASTING, ELEMENTWISE

__all__ = ["Dims", "Shapes"]

Dims = list[Linear | None]
Rule = Callable[["Shapes", ir.Node], list[Dims | None]]
SMALL = 64

SAME = ELEMENTWISE | {
    "BatchNormalization", "CastLike", "Clip", "CumProd", "CumSum", "DequantizeLinear", "Dropout", "GroupNormalization",
    "Hardmax", "InstanceNormalization", "LayerNormalization", "LogSoftmax", "LpNormalization", "LRN",
    "MeanVarianceNormalization", "QuantizeLinear", "RMSNormalization", "ReverseSequence", "Softmax", "Trilu",
}  # fmt: skip
"""The first result has the shape of the first input."""


class Shapes:
    """Dimensions of every value as sums of the inputs' symbolic dimensions, None where they are not known.

    `equations` are pairs that the operators need to be equal, `whole` what must come out as a whole number,
    `scaled` what a Resize multiplies, with its factor.
    """

    def __init__(self, model: ir.Model) -> None:
        self.equations: list[tuple[Linear, Linear]] = []
        self.whole: list[Linear] = []
        self.scaled: list[tuple[Linear, float]] = []
        self._dims: dict[ir.Value, Dims | None] = {}
        self._data: dict[ir.Value, Dims | None] = {}
        self.names: dict[str, None] = {}
        for value in model.graph.inputs:
            dims = None if value.shape is None else [_declared(d) for d in value.shape]
            self._dims[value] = None if dims is None else list(dims)
            for dim in dims or []:
                self.names |= dict.fromkeys(sorted(dim.names))
        for node in model.graph:
            self._visit(node)

    def _visit(self, node: ir.Node) -> None:
        rule = RULES.get(node.op_type) if node.domain == "" else None
        results: list[Dims | None] = []
        if rule is not None:
            try:
                results = rule(self, node)
            except (IndexError, TypeError, ValueError, ZeroDivisionError):
                results = []
        for index, value in enumerate(node.outputs):
            found = results[index] if index < len(results) else None
            self._dims[value] = self._completed(value, found)
        if node.domain == "" and node.op_type in DATA:
            try:
                self._data[node.outputs[0]] = DATA[node.op_type](self, node)
            except (IndexError, TypeError, ValueError, ZeroDivisionError):
                self._data[node.outputs[0]] = None

    def _completed(self, value: ir.Value, found: Dims | None) -> Dims | None:
        """What the rule left open, by the shape that is declared."""
        if value.shape is None:
            return found
        declared = [self._known(d) for d in value.shape]
        if found is None or len(found) != len(declared):
            return declared
        return [d if d is not None else e for d, e in zip(found, declared, strict=True)]

    def _known(self, dim: object) -> Linear | None:
        length = _declared(dim)
        return length if length.names <= set(self.names) else None

    def dims(self, value: ir.Value | None) -> Dims | None:
        """Dimensions of a value; None where not even the rank is known."""
        if value is None:
            return None
        if value not in self._dims:
            self._dims[value] = self._completed(value, None)
        return self._dims[value]

    def lengths(self, value: ir.Value | None, setting: Mapping[str, int]) -> list[int | None] | None:
        """Dimensions of a value where the inputs' have the lengths of `setting`."""
        dims = self.dims(value)
        if dims is None:
            return None
        found = [None if d is None else d.at(setting) for d in dims]
        return [int(d) if d is not None and d.denominator == 1 else None for d in found]

    def data(self, value: ir.Value | None) -> Dims | None:
        """The elements of a small tensor of integers, flat."""
        array = hub.const(value)
        if array is not None:
            small = array.dtype.kind in "iub" and array.size <= SMALL
            return [number(int(v)) for v in array.ravel()] if small else None
        return None if value is None else self._data.get(value)

    def ints(self, value: ir.Value | None) -> list[int] | None:
        """The elements of a small tensor of integers, where all are known."""
        found = self.data(value)
        whole = [None if d is None else d.whole for d in found or []]
        return None if found is None or None in whole else [int(w) for w in whole if w is not None]

    def equal(self, one: Linear | None, other: Linear | None) -> None:
        """Note that two lengths are the same."""
        if one is not None and other is not None and one != other:
            self.equations.append((one, other))

    def joined(self, dims: Sequence[Linear | None]) -> Linear | None:
        """The length dimensions broadcast to; those that are not 1 are the same."""
        known = [d for d in dims if d is not None and d != ONE]
        for other in known[1:]:
            self.equal(known[0], other)
        return known[0] if known else None if None in dims else ONE

    def broadcast(self, shapes: Sequence[Dims | None]) -> Dims | None:
        known = [s for s in shapes if s is not None]
        if len(known) < len(shapes):
            return None
        rank = max(map(len, known), default=0)
        padded = [[ONE] * (rank - len(s)) + s for s in known]
        return [self.joined(column) for column in zip(*padded, strict=True)]

    def quotient(self, length: Linear, divisor: int) -> Linear:
        """A length that `divisor` divides."""
        result = length.times(Fraction(1, divisor))
        self.whole.append(result)
        return result


def _declared(dim: object) -> Linear:
    return parsed(dim if isinstance(dim, int) else getattr(dim, "value", dim))


def _given(node: ir.Node) -> list[ir.Value]:
    return [v for v in node.inputs if v is not None]


def _axis(node: ir.Node, rank: int, default: int = 0) -> int:
    axis = hub.attr(node, "axis")
    return (default if axis is None else int(axis)) % max(rank, 1)


def _same(s: Shapes, node: ir.Node) -> list[Dims | None]:
    x = s.dims(node.inputs[0])
    return [None if x is None else list(x)]


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
    return [[product(x[:axis]), product(x[axis:])]]


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
    total, known = product(rest), product(others)
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
        result[axis] = None if starts is None or ends is None else _sliced(x[axis], starts[i], ends[i], steps[i])
    return [result]


def _sliced(dim: Linear | None, start: int, end: Linear | None, step: int) -> Linear | None:
    if dim is None or end is None or (dim.terms and step != 1):
        return None
    if dim.whole is not None and end.whole is not None:
        return number(len(range(dim.whole)[start : end.whole : step]))
    stop = end.whole
    if stop is None:
        return end - number(start) if start >= 0 and step == 1 else None
    if stop >= 2**31 - 1:
        return dim - number(start) if start >= 0 else number(-start)
    if start >= 0:
        return dim + number(stop - start) if stop < 0 else number(stop - start)
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
    return [[product([d, t]) for d, t in zip(x, times, strict=True)]]


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
        s.equal(x[1], w[0] if node.op_type == "ConvTranspose" else None if w[1] is None else w[1].times(groups))
    if node.op_type == "ConvTranspose" or hub.attr(node, "auto_pad") not in (None, "NOTSET"):
        return [None]
    rank = len(x) - 2
    strides, dilations = (hub.attr(node, n) or [1] * rank for n in ("strides", "dilations"))
    pads = hub.attr(node, "pads") or [0] * 2 * rank
    sides: Dims = []
    for i, dim in enumerate(x[2:]):
        fits = dim is not None and strides[i] == 1 and kernel[i] is not None
        moved = pads[i] + pads[i + rank] - dilations[i] * (kernel[i] - 1) if fits else 0
        sides.append(dim + number(moved) if fits and dim is not None else None)
    return [[x[0], x[1] if "Pool" in node.op_type else w[0] if w else None, *sides]]


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
    return [[d.times(int(f)) if d is not None and f == int(f) else None for d, f in zip(x, scales, strict=True)]]


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
    elements = _shape_data(s, node)
    return [None if elements is None else [number(len(elements))]]


def _one_hot(s: Shapes, node: ir.Node) -> list[Dims | None]:
    x, depth = s.dims(node.inputs[0]), s.data(node.inputs[1])
    if x is None:
        return [None]
    axis = _axis(node, len(x) + 1, -1)
    return [[*x[:axis], depth[0] if depth else None, *x[axis:]]]


RULES: dict[str, Rule] = {
    **dict.fromkeys(SAME, _same),
    **dict.fromkeys(BROADCASTING, _broadcast),
    **dict.fromkeys(["ArgMax", "ArgMin"], _reduced),
    **dict.fromkeys(["LSTM", "GRU", "RNN"], _recurrent),
    **dict.fromkeys(["Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool"], _window),
    **dict.fromkeys(["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"], _global),
    **dict.fromkeys(["ScatterND", "ScatterElements"], _scatter),
    **{f"Reduce{n}": _reduced for n in (
        "L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")},
    "Concat": _concat, "MatMul": _matmul, "Gemm": _gemm, "Einsum": _einsum, "Gather": _gather,
    "Transpose": _transpose, "Unsqueeze": _unsqueeze, "Squeeze": _squeeze, "Flatten": _flatten,
    "Reshape": _reshape, "Slice": _slice, "Pad": _pad, "Split": _split, "Expand": _expand, "Tile": _tile,
    "TopK": _topk, "Attention": _attention, "Resize": _resize, "GatherElements": _indexed,
    "GatherND": _gather_nd, "Range": _range, "ConstantOfShape": _filled, "OneHot": _one_hot,
    "Shape": _shape_vector,
}  # fmt: skip


def _shape_data(s: Shapes, node: ir.Node) -> Dims | None:
    x = s.dims(node.inputs[0])
    return None if x is None else x[hub.attr(node, "start") or 0 : hub.attr(node, "end")]


def _first(s: Shapes, node: ir.Node) -> Dims | None:
    return s.data(node.inputs[0])


def _data_gather(s: Shapes, node: ir.Node) -> Dims | None:
    elements, indices = s.data(node.inputs[0]), s.ints(node.inputs[1])
    return None if elements is None or indices is None else [elements[i] for i in indices]


def _data_slice(s: Shapes, node: ir.Node) -> Dims | None:
    elements = s.data(node.inputs[0])
    bounds = [s.ints(v) for v in node.inputs[1:3]]
    steps = s.ints(hub.input_at(node, 4)) or [1]
    if elements is None or bounds[0] is None or bounds[1] is None:
        return None
    return elements[bounds[0][0] : bounds[1][0] : steps[0]]


def _data_concat(s: Shapes, node: ir.Node) -> Dims | None:
    parts = []
    for value in _given(node):
        part = s.data(value)
        dims = s.dims(value)
        if part is None and (not dims or dims[0] is None or dims[0].whole is None):
            return None
        parts += part if part is not None else [None] * int(dims[0].whole or 0)  # type: ignore[index, union-attr]
    return parts


def _pairs(s: Shapes, node: ir.Node) -> list[tuple[Linear | None, Linear | None]] | None:
    one, other = s.data(node.inputs[0]), s.data(node.inputs[1])
    if not one or not other:
        return None
    count = max(len(one), len(other))
    return list(zip(one * (count // len(one)), other * (count // len(other)), strict=True))


def _data_of(compute: Callable[[Linear, Linear], Linear | None]) -> Callable[[Shapes, ir.Node], Dims | None]:
    def data(s: Shapes, node: ir.Node) -> Dims | None:
        pairs = _pairs(s, node)
        if pairs is None:
            return None
        return [None if a is None or b is None else compute(a, b) for a, b in pairs]

    return data


def _data_div(s: Shapes, node: ir.Node) -> Dims | None:
    def divide(a: Linear, b: Linear) -> Linear | None:
        if not b.whole:
            return None
        if a.whole is not None:
            return number(int(a.whole / b.whole))
        return s.quotient(a, b.whole)

    return _data_of(divide)(s, node)


def _equality(a: Linear, b: Linear) -> Linear | None:
    """1 or 0; a length is no number below one."""
    if a.whole is not None and b.whole is not None:
        return number(int(a.whole == b.whole))
    constants = [x.whole for x in (a, b) if x.whole is not None]
    return number(0) if constants and constants[0] < 1 else None


def _data_where(s: Shapes, node: ir.Node) -> Dims | None:
    parts = [s.data(v) for v in node.inputs]
    if None in parts:
        return None
    count = max(len(p or []) for p in parts)
    columns = zip(*[(p or []) * (count // len(p or [0])) for p in parts], strict=True)
    return [None if c is None or c.whole is None else a if c.whole else b for c, a, b in columns]


def _data_filled(s: Shapes, node: ir.Node) -> Dims | None:
    shape, value = s.ints(node.inputs[0]), hub.attr(node, "value")
    if shape is None or math.prod(shape) > SMALL:
        return None
    element = 0 if value is None else np.ravel(value.numpy())[0]
    return [number(int(element))] * math.prod(shape)


def _data_product(s: Shapes, node: ir.Node) -> Dims | None:
    return [product(s.data(node.inputs[0]) or [None])]


def _data_size(s: Shapes, node: ir.Node) -> Dims | None:
    return [product(s.dims(node.inputs[0]) or [None])]


def _data_range(s: Shapes, node: ir.Node) -> Dims | None:
    bounds = [s.ints(v) for v in node.inputs]
    if None in bounds:
        return None
    found = range(*(b[0] for b in bounds if b))
    return [number(i) for i in found] if len(found) <= SMALL else None


DATA: dict[str, Callable[[Shapes, ir.Node], Dims | None]] = {
    **dict.fromkeys(["Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze"], _first),
    "Add": _data_of(lambda a, b: a + b), "Sub": _data_of(lambda a, b: a - b),
    "Mul": _data_of(lambda a, b: product([a, b])), "Div": _data_div, "Equal": _data_of(_equality),
    "Shape": _shape_data, "Gather": _data_gather, "Slice": _data_slice, "Concat": _data_concat,
    "Where": _data_where, "ConstantOfShape": _data_filled, "ReduceProd": _data_product, "Size": _data_size,
    "Range": _data_range,
}  # fmt: skip
"""Elements of small integer results: what shapes are computed with."""
