"""Operators on more than 5 dimensions, which Core ML lacks: on as many as are left where axes that an
operator treats alike are joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import entries, lengths, product, reshape, vector
from bridge.hub import attr, const, held, input_at, rank_of, shape_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.traits import BROADCASTING, ELEMENTWISE, REDUCTION, RESHAPES

MAX_RANK = 5

JOINED = OpTable()


def fits_rank(node: ir.Node) -> bool:
    """True if no input or output has more dimensions than Core ML takes."""
    values = [v for v in (*node.inputs, *node.outputs) if v is not None]
    return all((rank_of(v) or 0) <= MAX_RANK for v in values)


RANKS = condition("known ranks", lambda n: all(v is None or rank_of(v) is not None for v in n.inputs))


def lengths_of(op: Any, x: ir.Value) -> list[Any]:
    """Lengths of `x`; those of a view of more than 5 dimensions are the ones it was given."""
    producer, rank = x.producer(), rank_of(x) or 0
    if rank <= MAX_RANK or shape_of(x) is not None or producer is None or producer.op_type != "Reshape":
        return lengths(op, x)
    source = producer.inputs[0]
    given = entries(op, producer.inputs[1], range(rank))
    copies = [isinstance(n, int) and n == 0 and not attr(producer, "allowzero") for n in given]
    before = lengths_of(op, source) if any(copies) else given
    known = [before[i] if c else n for i, (n, c) in enumerate(zip(given, copies, strict=True))]
    known = [int(d) if isinstance(d, int) else n for d, n in zip(x.shape, known, strict=True)]
    others = [n for n in known if not (isinstance(n, int) and n == -1)]
    rest = product(op, lengths_of(op, source)) // product(op, others) if len(others) < rank else 1
    return [rest if isinstance(n, int) and n == -1 else n for n in known]


def runs(marks: Sequence[Any]) -> list[list[int]]:
    """Neighbouring axes of equal marks."""
    groups: list[list[int]] = []
    for axis, mark in enumerate(marks):
        if groups and marks[groups[-1][-1]] == mark:
            groups[-1].append(axis)
        else:
            groups.append([axis])
    return groups


def joined(op: Any, sizes: Sequence[Any], groups: list[list[int]]) -> list[Any]:
    """The lengths of groups of axes."""
    return [product(op, [sizes[a] for a in group]) for group in groups]


def copy(op: Any, node: ir.Node, *inputs: Any, outputs: int = 1, **changed: Any) -> Any:
    """The operator of `node` with other inputs, and some attributes changed."""
    attributes = {name: attr(node, name) for name in node.attributes} | changed
    return op.node(node.op_type, *inputs, **attributes, _outputs=outputs)


COPIED_LENGTHS = condition(
    "lengths that are copied", lambda n: held(n.inputs[1]) is not None and (const(n.inputs[1]) == 0).any()
)


@JOINED.op("Reshape", needs=(RANKS, COPIED_LENGTHS))
def reshape_with_copied_lengths(op, node, x, shape):
    if (rank_of(x) or 0) <= MAX_RANK or attr(node, "allowzero"):
        return NotImplemented
    sizes = lengths_of(op, x)
    return reshape(op, x, [sizes[i] if n == 0 else int(n) for i, n in enumerate(const(shape))])


VIEW = condition(
    "a view", lambda n: n.inputs[0].producer() is not None and n.inputs[0].producer().op_type == "Reshape"
)


@JOINED.op("Shape", needs=(VIEW,))
def shape(op, node, x):
    """The lengths that a view was given."""
    return vector(op, lengths_of(op, x)[attr(node, "start") : attr(node, "end")])


@JOINED.op("Unsqueeze", needs=(RANKS,))
def unsqueeze(op, node, x, axes):
    if held(axes) is None:
        return NotImplemented
    sizes, rank = lengths_of(op, x), (rank_of(x) or 0) + const(axes).size
    for axis in sorted(int(a) % rank for a in const(axes)):
        sizes.insert(axis, 1)
    return reshape(op, x, sizes)


@JOINED.op("Squeeze", needs=(RANKS,))
def squeeze(op, node, x, axes=None):
    rank = rank_of(x)
    if axes is None or held(axes) is None:
        return NotImplemented
    dropped = {int(a) % rank for a in const(axes)}
    return reshape(op, x, [n for a, n in enumerate(lengths_of(op, x)) if a not in dropped])


@JOINED.op(*ELEMENTWISE, needs=(RANKS,))
def elementwise(op, node, x, *parameters):
    if any(rank_of(v) for v in parameters if v is not None):
        return NotImplemented
    return reshape(op, copy(op, node, reshape(op, x, [-1]), *parameters), lengths_of(op, x))


@JOINED.op(*BROADCASTING, "Where", needs=(RANKS,))
def broadcasting(op, node, *inputs):
    """Axes join where the same inputs are spread along them."""
    if all(v is None or not rank_of(v) for v in inputs[1:]):
        return elementwise(op, node, *inputs)
    rank = max(rank_of(v) or 0 for v in inputs)
    sizes = [[1] * (rank - (rank_of(v) or 0)) + lengths_of(op, v) for v in inputs]
    dims = [[1] * (rank - (rank_of(v) or 0)) + list(v.shape) for v in inputs]
    if any(len({str(d) for d in column if d != 1}) > 1 for column in zip(*dims, strict=True)):
        return NotImplemented
    spread = [tuple(d == 1 for d in column) for column in zip(*dims, strict=True)]
    groups = runs(spread)
    if len(groups) > MAX_RANK:
        return NotImplemented
    views = [reshape(op, v, joined(op, s, groups)) for v, s in zip(inputs, sizes, strict=True)]
    columns = zip(zip(*sizes, strict=True), spread, strict=True)
    widest = [next((n for n, one in zip(*pair, strict=True) if not one), 1) for pair in columns]
    return reshape(op, copy(op, node, *views), widest)


@JOINED.op("Expand", needs=(RANKS,))
def expand(op, node, x, shape):
    """Axes join that are all spread, or none of them."""
    count = (shape_of(shape) or [None])[0]
    if count is None:
        return NotImplemented
    rank = max(count, rank_of(x))
    sizes = [1] * (rank - rank_of(x)) + lengths_of(op, x)
    asked = [1] * (rank - count) + entries(op, shape, range(count))
    is_one = [isinstance(n, int) and n == 1 for n in sizes]
    may_spread = [
        not isinstance(n, int) and not (isinstance(a, int) and a == 1)
        for n, a in zip(sizes, asked, strict=True)
    ]
    groups = runs(is_one)
    if any(may_spread) or len(groups) > MAX_RANK:
        return NotImplemented
    spread = [a if one else n for n, a, one in zip(sizes, asked, is_one, strict=True)]
    view = reshape(op, x, joined(op, sizes, groups))
    return reshape(op, op.Expand(view, vector(op, joined(op, spread, groups))), spread)


@JOINED.op("Tile", needs=(RANKS,))
def tile(op, node, x, repeats):
    """Axes that are not repeated join."""
    counts, sizes = const(repeats), lengths_of(op, x)
    if counts is None:
        return NotImplemented
    groups = runs([axis if count != 1 else -1 for axis, count in enumerate(counts)])
    if len(groups) > MAX_RANK:
        return NotImplemented
    view = reshape(op, x, joined(op, sizes, groups))
    tiled = op.Tile(view, np.array([counts[group[0]] for group in groups], np.int64))
    return reshape(op, tiled, [n * int(c) for n, c in zip(sizes, counts, strict=True)])


@JOINED.op("MatMul", needs=(RANKS,))
def matmul(op, node, x, y):
    """Matrices of one batch, whose axes join; or of a batch times a single one."""
    if rank_of(y) > 2 and [str(d) for d in x.shape[:-2]] != [str(d) for d in y.shape[:-2]]:
        return NotImplemented
    (*batch, rows, depth), columns = lengths_of(op, x), lengths_of(op, y)[-1]
    if rank_of(y) > 2:
        y = reshape(op, y, [product(op, batch), depth, columns])
    result = op.MatMul(reshape(op, x, [product(op, batch), rows, depth]), y)
    return reshape(op, result, [*batch, rows, columns])


@JOINED.op("Gather", needs=(RANKS,))
def gather(op, node, x, indices):
    sizes, axis = lengths_of(op, x), attr(node, "axis") % rank_of(x)
    before, after = sizes[:axis], sizes[axis + 1 :]
    view = reshape(op, x, [product(op, before), sizes[axis], product(op, after)])
    return reshape(op, op.Gather(view, indices, axis=1), [*before, *lengths_of(op, indices), *after])


@JOINED.op("GatherElements", needs=(RANKS,))
def gather_elements(op, node, x, indices):
    axis = attr(node, "axis") % rank_of(x)
    others = [(d, i) for a, (d, i) in enumerate(zip(x.shape, indices.shape, strict=True)) if a != axis]
    if any(d != i for d, i in others):
        return NotImplemented
    views = [around(op, v, axis) for v in (x, indices)]
    return reshape(op, op.GatherElements(*views, axis=1), lengths_of(op, indices))


def around(op: Any, x: ir.Value, axis: int) -> ir.Value:
    """`x` as what lies before an axis, the axis, and what lies after it."""
    sizes = lengths_of(op, x)
    return reshape(op, x, [product(op, sizes[:axis]), sizes[axis], product(op, sizes[axis + 1 :])])


@JOINED.op("Softmax", "LogSoftmax", "Hardmax", needs=(RANKS,))
def on_axis(op, node, x):
    view = around(op, x, attr(node, "axis") % rank_of(x))
    return reshape(op, copy(op, node, view, axis=1), lengths_of(op, x))


@JOINED.op("CumSum", "CumProd", needs=(RANKS,))
def cumulative(op, node, x, axis):
    if held(axis) is None:
        return NotImplemented
    view = around(op, x, int(const(axis).reshape(())) % rank_of(x))
    return reshape(op, copy(op, node, view, np.array(1, np.int64)), lengths_of(op, x))


@JOINED.op("Split", needs=(RANKS,))
def split(op, node, x, sizes=None):
    axis, count = attr(node, "axis") % rank_of(x), len(node.outputs)
    parts = op.Split(
        around(op, x, axis), sizes, axis=1, num_outputs=attr(node, "num_outputs"), _outputs=count
    )
    parts, total = parts if count > 1 else [parts], lengths_of(op, x)
    part_lengths = [v.shape[axis] for v in node.outputs]
    if not all(isinstance(n, int) for n in part_lengths):
        return NotImplemented
    return [
        reshape(op, v, [*total[:axis], n, *total[axis + 1 :]])
        for v, n in zip(parts, part_lengths, strict=True)
    ]


@JOINED.op("Pad", needs=(RANKS,))
def pad(op, node, x, pads, value=None, axes=None):
    """Axes that are not padded join."""
    amounts, rank = const(pads), rank_of(x)
    if amounts is None or axes is not None:
        return NotImplemented
    sizes, amounts = lengths_of(op, x), amounts.reshape(2, rank)
    groups = runs([a if amounts[:, a].any() else -1 for a in range(rank)])
    if len(groups) > MAX_RANK:
        return NotImplemented
    view = reshape(op, x, joined(op, sizes, groups))
    padded = copy(op, node, view, amounts[:, [group[0] for group in groups]].ravel(), value)
    return reshape(op, padded, [n + int(a) for n, a in zip(sizes, amounts.sum(0), strict=True)])


@JOINED.op("ArgMax", "ArgMin", needs=(RANKS,))
def arg(op, node, x):
    axis, sizes = attr(node, "axis") % rank_of(x), lengths_of(op, x)
    kept = [1] if attr(node, "keepdims") else []
    found = copy(op, node, around(op, x, axis), axis=1, keepdims=0)
    return reshape(op, found, [*sizes[:axis], *kept, *sizes[axis + 1 :]])


@JOINED.op("Concat", needs=(RANKS,))
def concat(op, node, *inputs):
    axis, sizes = attr(node, "axis") % rank_of(inputs[0]), [lengths_of(op, v) for v in inputs]
    result = op.Concat(*(around(op, v, axis) for v in inputs), axis=1)
    total = sum((s[axis] for s in sizes[1:]), start=sizes[0][axis])
    return reshape(op, result, [*sizes[0][:axis], total, *sizes[0][axis + 1 :]])


@JOINED.op(*REDUCTION, needs=(RANKS,))
def reduction(op, node, x, axes=None):
    rank, sizes = rank_of(x), lengths_of(op, x)
    if axes is not None and held(axes) is None:
        return NotImplemented
    given = [] if axes is None else [int(a) % rank for a in const(axes)]
    if not given and attr(node, "noop_with_empty_axes"):
        return op.Identity(x)
    reduced = set(given or range(rank))
    groups = runs([a in reduced for a in range(rank)])
    if len(groups) > MAX_RANK:
        return NotImplemented
    view = reshape(op, x, joined(op, sizes, groups))
    places = [i for i, group in enumerate(groups) if group[0] in reduced]
    result = op.node(node.op_type, view, np.array(places, np.int64), keepdims=0)
    kept = [
        1 if a in reduced else n for a, n in enumerate(sizes) if a not in reduced or attr(node, "keepdims")
    ]
    return reshape(op, result, kept)


@JOINED.op("Slice", needs=(RANKS,))
def slice_(op, node, x, starts, ends, axes=None, steps=None):
    """Axes that are not sliced join."""
    rank, sizes, out_dims = rank_of(x), lengths_of(op, x), node.outputs[0].shape
    if out_dims is None or (axes is not None and held(axes) is None) or shape_of(starts) is None:
        return NotImplemented
    sliced = [int(a) % rank for a in (range(shape_of(starts)[0]) if axes is None else const(axes))]
    groups = runs([a if a in sliced else -1 for a in range(rank)])
    if len(groups) > MAX_RANK or not all(isinstance(out_dims[a], int) for a in sliced):
        return NotImplemented
    places = [next(i for i, group in enumerate(groups) if a in group) for a in sliced]
    view = reshape(op, x, joined(op, sizes, groups))
    result = op.Slice(view, starts, ends, np.array(places, np.int64), steps)
    return reshape(op, result, [out_dims[a] if a in sliced else n for a, n in enumerate(sizes)])


@JOINED.op("Transpose", needs=(RANKS,))
def transpose(op, node, x):
    """Dimensions of 1 are dropped, and those that stay adjacent are joined; where more than 5 are left, the
    first two of the result are brought together before."""
    sizes = lengths_of(op, x)
    perm = attr(node, "perm") or list(range(len(sizes)))[::-1]
    groups = merged_axes([isinstance(n, int) and n == 1 for n in sizes], perm)
    if len(groups) > MAX_RANK:
        order = [axis for axis in range(len(sizes)) if axis not in groups[1]]
        place = order.index(groups[0][-1]) + 1
        order[place:place] = groups[1]
        return op.Transpose(op.Transpose(x, perm=order), perm=[order.index(p) for p in perm])
    in_order = sorted(groups)
    view = reshape(op, x, joined(op, sizes, in_order))
    turned = op.Transpose(view, perm=[in_order.index(group) for group in groups])
    return reshape(op, turned, [sizes[p] for p in perm])


def merged_axes(is_one: list[bool], perm: list[int]) -> list[list[int]]:
    """Axes that a transpose keeps adjacent, in its order; those of length 1 are left out."""
    kept = [axis for axis, one in enumerate(is_one) if not one]
    groups: list[list[int]] = []
    for p in (p for p in perm if not is_one[p]):
        if groups and kept.index(p) == kept.index(groups[-1][-1]) + 1:
            groups[-1].append(p)
        else:
            groups.append([p])
    return groups or [[0]]


class JoinViews(ir.passes.InPlacePass):
    """1. A Reshape of a reshaped value of more than 5 dimensions reads the value before the first reshape."""

    follows = ("Decompose",)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = False
        for graph in (model.graph, *model.graph.subgraphs()):
            for node in list(graph):
                changed |= node.op_type in RESHAPES and not node.domain and self._reshape(graph, node)
        return ir.passes.PassResult(model, changed)

    def _reshape(self, graph: ir.Graph, node: ir.Node) -> bool:
        data, out_shape = node.inputs[0], shape_of(node.outputs[0])
        source = data
        while source.producer() is not None and source.producer().op_type in RESHAPES:
            source = source.producer().inputs[0]
        if source is data or max(rank_of(data) or 0, rank_of(source) or 0) <= MAX_RANK:
            return False
        op = hub.Builder(graph, before=node, source=hub.origin(node))
        if out_shape is not None:
            replace(graph, node, op.Reshape(source, np.array(out_shape, np.int64)))
            return True
        shape = const(input_at(node, 1))
        if node.op_type != "Reshape" or (shape is not None and 0 in shape):
            return False
        replace(graph, node, op.Reshape(source, node.inputs[1]))
        return True


def replace(graph: ir.Graph, node: ir.Node, new: ir.Value) -> None:
    old = node.outputs[0]
    new.type, new.shape = old.type, old.shape
    new.name, old.name = old.name, None
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    graph.remove(node, safe=True)
