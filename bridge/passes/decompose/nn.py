"""Layers: products, convolutions, pooling, normalization."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import arange, broadcast, lengths, product, reshape
from bridge.errors import UnreadableFile
from bridge.hub import attr, const, held, rank_of
from bridge.needs import attribute, condition, dtype
from bridge.ops import OpTable
from bridge.passes.decompose.common import along, like, wide, zero
from bridge.passes.decompose.linalg import LARGEST, determinant
from bridge.weightfile import Transposed

ops = OpTable()


RANKED = condition("a known rank", lambda n: all(v is None or v.shape is not None for v in n.inputs))


@ops.op("GlobalAveragePool", needs=(RANKED,))
def global_average_pool(op, node, x):
    return op.ReduceMean(x, list(range(2, rank_of(x))))


@ops.op("GlobalMaxPool", needs=(RANKED,))
def global_max_pool(op, node, x):
    return op.ReduceMax(x, list(range(2, rank_of(x))))


def centre(op: Any, x: ir.Value, axes: Any) -> tuple[ir.Value, ir.Value, ir.Value]:
    """`x` less its mean along `axes`, its variance and its mean there. The variance is the mean of squared
    distances: E[x²] - E[x]² is noise where values are far from zero."""
    mean = op.ReduceMean(x, axes)
    centred = op.Sub(x, mean)
    return centred, op.ReduceMean(op.Mul(centred, centred), axes), mean


@ops.op("BatchNormalization", needs=(RANKED,))
def batch_normalization(op, node, x, scale, bias, mean, variance):
    rank, momentum, running = rank_of(x), attr(node, "momentum"), ()
    image, scale, bias, mean, variance = (wide(op, v) for v in (x, scale, bias, mean, variance))
    if attr(node, "training_mode"):
        channels = [reshape(op, v, [-1]) for v in centre(op, image, [0, *range(2, rank)])[1:]]
        pairs = zip((mean, variance), reversed(channels), node.inputs[3:], strict=True)
        running = tuple(
            like(op, op.Add(op.Mul(old, momentum), op.Mul(new, 1 - momentum)), given)
            for old, new, given in pairs
        )
        variance, mean = channels
    factor = op.Div(scale, op.Sqrt(op.Add(variance, attr(node, "epsilon"))))
    offset = op.Sub(bias, op.Mul(mean, factor))
    result = op.Add(op.Mul(image, along(op, factor, 1, rank)), along(op, offset, 1, rank))
    return like(op, result, x), *running


@ops.op("LayerNormalization", needs=(RANKED, attribute("stash_type", 1)))
def layer_normalization(op, node, x, scale, bias=None):
    axes = op.const(np.arange(attr(node, "axis") % rank_of(x), rank_of(x)))
    centred, variance, mean = centre(op, wide(op, x), axes)
    inverse = op.Reciprocal(op.Sqrt(op.Add(variance, attr(node, "epsilon"))))
    scaled = op.Mul(like(op, op.Mul(centred, inverse), x), scale)
    stashed = (op.Cast(v, to=int(ir.DataType.FLOAT)) for v in (mean, inverse))
    return scaled if bias is None else op.Add(scaled, bias), *stashed


@ops.op("GroupNormalization", needs=(RANKED, attribute("stash_type", 1)))
def group_normalization(op, node, x, scale, bias):
    rank = rank_of(x)
    groups = reshape(op, wide(op, x), [lengths(op, x)[0], attr(node, "num_groups"), -1])
    centred, variance, _ = centre(op, groups, [2])
    normal = op.Div(centred, op.Sqrt(op.Add(variance, attr(node, "epsilon"))))
    normal = like(op, reshape(op, normal, lengths(op, x)), x)
    return op.Add(op.Mul(normal, along(op, scale, 1, rank)), along(op, bias, 1, rank))


@ops.op("MeanVarianceNormalization", needs=(RANKED,))
def mean_variance_normalization(op, node, x):
    """Divided by the deviation plus 1e-9."""
    centred, variance, _ = centre(op, wide(op, x), attr(node, "axes"))
    return like(op, op.Div(centred, op.Add(op.Sqrt(variance), 1e-9)), x)


@ops.op("Gemm")
def gemm(op, node, a, b, c=None):
    if attr(node, "transA"):
        a = op.Transpose(a, perm=[1, 0])
    alpha, beta = attr(node, "alpha"), attr(node, "beta")
    weights = held(b)
    if weights is not None:
        matrix = Transposed(weights, (1, 0)) if attr(node, "transB") else weights
        if alpha != 1:
            array = matrix.numpy()
            matrix = ir.Tensor(array * array.dtype.type(alpha))
        product = op.MatMul(a, op.const(matrix))
    else:
        product = op.MatMul(a, op.Transpose(b, perm=[1, 0]) if attr(node, "transB") else b)
        product = product if alpha == 1 else op.Mul(product, alpha)
    if c is None:
        return product
    return op.Add(product, c if beta == 1 else op.Mul(c, beta))


@ops.op("Conv", "MaxPool", "AveragePool", "ConvTranspose", "LpPool")
def one_dimension(op, node, x, *parameters):
    """One spatial dimension becomes two."""
    if rank_of(x) != 3 or any(o.uses() or o.is_graph_output() for o in node.outputs[1:]):
        return NotImplemented
    leading = {
        "kernel_shape": [1],
        "strides": [1],
        "dilations": [1],
        "output_padding": [0],
        "output_shape": [1],
    }
    attributes = {name: attr(node, name) for name in node.attributes}
    for name, value in attributes.items():
        if name in leading:
            attributes[name] = leading[name] + value
    if "pads" in attributes:
        attributes["pads"] = [0, attributes["pads"][0], 0, attributes["pads"][1]]
    weights = [op.Unsqueeze(w, [2]) if i == 0 and w is not None else w for i, w in enumerate(parameters)]
    if weights and held(parameters[0]) is not None:
        weights[0] = op.const(const(parameters[0])[:, :, None, :])
    return op.Squeeze(op.node(node.op_type, op.Unsqueeze(x, [2]), *weights, **attributes), [2])


@ops.op("MatMul")
def matmul(op, node, x, y):
    """A vector is a matrix of one row on the left, of one column on the right."""
    ranks = rank_of(x), rank_of(y)
    if 1 not in ranks or None in ranks:
        return NotImplemented
    product = op.MatMul(
        *(op.Unsqueeze(v, [i]) if r == 1 else v for i, (v, r) in enumerate(zip((x, y), ranks, strict=True)))
    )
    return op.Squeeze(product, [axis for axis, r in zip((-2, -1), ranks, strict=True) if r == 1])


@ops.op("InstanceNormalization", needs=(RANKED,))
def instance_normalization(op, node, x, scale, bias):
    rank = rank_of(x)
    centred, variance, _ = centre(op, wide(op, x), list(range(2, rank)))
    normal = like(op, op.Div(centred, op.Sqrt(op.Add(variance, attr(node, "epsilon")))), x)
    return op.Add(op.Mul(normal, along(op, scale, 1, rank)), along(op, bias, 1, rank))


@ops.op("LpNormalization", needs=(RANKED,))
def lp_normalization(op, node, x):
    """Divided by the norm along the axis; zero where that is zero."""
    axis = attr(node, "axis") % rank_of(x)
    one = attr(node, "p") == 1
    norm = op.ReduceSum(op.Abs(x), [axis]) if one else op.Sqrt(op.ReduceSum(op.Mul(x, x), [axis]))
    return op.Div(x, op.Where(op.Equal(norm, zero(op, x)), zero(op, x, 1), norm))


@ops.op("Einsum", needs=(RANKED,))
def einsum(op, node, *inputs):
    """Operands aligned on all labels, multiplied, and summed over the labels the result lacks; pairs as
    matrix products."""
    terms, result = _labels(attr(node, "equation"), [rank_of(v) for v in inputs])
    aligned = _stretched(op, [_without_repeats(op, v, t) for v, t in zip(inputs, terms, strict=True)])
    value, labels = aligned[0]
    for index, (other, names) in enumerate(aligned[1:], 2):
        later = set(result).union(*(t for _, t in aligned[index:]))
        value, labels = _pair(op, value, labels, other, names, later)
    gone = [i for i, label in enumerate(labels) if label not in result]
    if gone:
        value = op.ReduceSum(value, gone, keepdims=0)
        labels = [label for label in labels if label in result]
    order = [labels.index(label) for label in result]
    return value if order == sorted(order) else op.Transpose(value, perm=order)


def _labels(equation: str, ranks: list) -> tuple[list[list[str]], list[str]]:
    """Labels of each operand and of the result; the dimensions of an ellipsis are named 0, 1, … from the
    right."""
    left, _, right = equation.replace(" ", "").partition("->")
    if left.count(",") + 1 != len(ranks) or not set(right) <= {*left, "."}:
        raise UnreadableFile(f"Einsum {equation!r} does not fit its {len(ranks)} operands.")
    terms = []
    for text, rank in zip(left.split(","), ranks, strict=True):
        hidden = rank - len(text.replace("...", ""))
        if hidden < 0 or (hidden and "..." not in text):
            raise UnreadableFile(f"Einsum {equation!r} does not fit an operand of rank {rank}.")
        dots = [str(i) for i in range(hidden)[::-1]]
        head, _, tail = text.partition("...")
        terms.append([*head, *(dots if "..." in text else []), *tail])
    dots = sorted({label for term in terms for label in term if label.isdigit()}, reverse=True)
    if "->" in equation:
        head, _, tail = right.partition("...")
        return terms, [*head, *(dots if "..." in right else []), *tail]
    flat = [label for term in terms for label in term if not label.isdigit()]
    return terms, [*dots, *sorted(label for label in set(flat) if flat.count(label) == 1)]


def _without_repeats(op: Any, value: ir.Value, labels: list[str]) -> tuple[ir.Value, list[str]]:
    """The diagonal of axes that share a label."""
    for label in [name for name in dict.fromkeys(labels) if labels.count(name) > 1]:
        while labels.count(label) > 1:
            first, second = [i for i, name in enumerate(labels) if name == label][:2]
            size, rank = lengths(op, value)[first], len(labels)
            rows, columns = (along(op, arange(op, size), axis, rank) for axis in (first, second))
            value = op.ReduceSum(
                op.Where(op.Equal(rows, columns), value, zero(op, value)), [second], keepdims=0
            )
            labels = labels[:second] + labels[second + 1 :]
    return value, labels


def _stretched(op: Any, operands: list[tuple[ir.Value, list[str]]]) -> list[tuple[ir.Value, list[str]]]:
    """Operands without the axes of one element that broadcast to what another has under their label."""
    longer = {x for value, labels in operands for x, n in zip(labels, value.shape, strict=True) if n != 1}
    rest = []
    for value, labels in operands:
        sizes = list(value.shape or ())
        ones = [i for i, x in enumerate(labels) if x in longer and sizes[i] == 1]
        rest.append(
            (op.Squeeze(value, ones) if ones else value, [x for i, x in enumerate(labels) if i not in ones])
        )
    return rest


def _pair(
    op: Any, a: ir.Value, left: list[str], b: ir.Value, right: list[str], later: Any
) -> tuple[ir.Value, list[str]]:
    """The product of two operands, summed over the labels that nothing else has."""
    shared = [x for x in left if x in right]
    batch, summed = [x for x in shared if x in later], [x for x in shared if x not in later]
    own = [x for x in left if x not in shared], [x for x in right if x not in shared]
    sides = []
    for value, labels, mine, first in ((a, left, own[0], True), (b, right, own[1], False)):
        sizes = dict(zip(labels, lengths(op, value), strict=True))
        middle = [
            product(op, [sizes[x] for x in group]) for group in ((mine, summed) if first else (summed, mine))
        ]
        order = [labels.index(x) for x in (*batch, *(mine + summed if first else summed + mine))]
        transposed = value if order == sorted(order) else op.Transpose(value, perm=order)
        sides.append((reshape(op, transposed, [*(sizes[x] for x in batch), *middle]), sizes))
    multiplied = op.MatMul(sides[0][0], sides[1][0])
    label_lengths = {**sides[1][1], **sides[0][1]}
    dims = dict(zip(left, a.shape or (), strict=True)), dict(zip(right, b.shape or (), strict=True))
    for x in batch:
        if dims[0][x] != dims[1][x]:
            label_lengths[x] = broadcast(op, sides[0][1][x], sides[1][1][x])
    labels = [*batch, *own[0], *own[1]]
    return reshape(op, multiplied, [label_lengths[x] for x in labels]), labels


@ops.op(
    "Det",
    needs=(
        condition(
            f"square matrices of {LARGEST} rows at most",
            lambda n: list(n.inputs[0].shape or [0])[-1] in range(1, LARGEST + 1),
        ),
    ),
)
def det(op, node, x):
    """Determinant by cofactors of the first row up to 4 rows, by elimination beyond."""
    size = x.shape[-1]
    if size > 4:
        return determinant(op, x)
    rows = [
        [op.Gather(op.Gather(x, np.array(i), axis=-2), np.array(j), axis=-1) for j in range(size)]
        for i in range(size)
    ]
    return op.Identity(_cofactors(op, rows)) if size == 1 else _cofactors(op, rows)


def _cofactors(op: Any, rows: list[list[ir.Value]]) -> ir.Value:
    """Determinant by the cofactors of the first row."""
    if len(rows) == 1:
        return rows[0][0]
    total: Any = None
    for j, pivot in enumerate(rows[0]):
        term = op.Mul(pivot, _cofactors(op, [row[:j] + row[j + 1 :] for row in rows[1:]]))
        total = term if total is None else op.Add(total, term) if j % 2 == 0 else op.Sub(total, term)
    return total


@ops.op("MatMul", needs=(RANKED, dtype("int32", "int64", "uint32", "uint64")))
def integer_matmul(op, node, x, y):
    """Exact products and sums of integers."""
    if min(rank_of(x), rank_of(y)) < 2:
        return NotImplemented
    return op.ReduceSum(op.Mul(op.Unsqueeze(x, [-1]), op.Unsqueeze(y, [-3])), [-2], keepdims=0)
