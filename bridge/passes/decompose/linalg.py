"""Linear algebra of matrices in hub operators: unrolled step by step, or Jacobi's rotations in a Loop.

`x` is [..., rows, columns]. The last two dimensions are of known length; those before them need not be. Steps
are unrolled for at most `LARGEST` rows and columns, rotations turned for at most `WIDEST`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import lengths, sizes_of, vector
from bridge.hub import rank_of
from bridge.passes.decompose.common import zero

LARGEST = 32
WIDEST = 256
SWEEPS = 10
END = np.iinfo(np.int64).max


def sides(x: ir.Value) -> tuple[int, int]:
    """Rows and columns."""
    rows, columns = list(x.shape)[-2:]  # type: ignore[arg-type]
    return int(rows), int(columns)  # type: ignore[arg-type]


def row(op: Any, x: ir.Value, index: int) -> ir.Value:
    """[..., 1, columns]"""
    return op.Gather(x, np.array([index]), axis=-2)


def column(op: Any, x: ir.Value, index: int) -> ir.Value:
    """[..., rows, 1]"""
    return op.Gather(x, np.array([index]), axis=-1)


def swap_last_axes(op: Any, x: ir.Value) -> ir.Value:
    rank = rank_of(x) or 0
    return op.Transpose(x, perm=[*range(rank - 2), rank - 1, rank - 2])


def only(op: Any, hits: np.ndarray, x: ir.Value) -> ir.Value:
    """Zeros where `hits` is false."""
    return op.Where(op.const(hits), x, zero(op, x))


def sum_along(op: Any, x: ir.Value, axis: int, keepdims: int = 1) -> ir.Value:
    return op.ReduceSum(x, [axis], keepdims=keepdims)


def repeat_for_batch(op: Any, matrix: np.ndarray, x: ir.Value) -> ir.Value:
    """A matrix for every matrix of the batch of `x`."""
    result = op.Expand(op.const(matrix), vector(op, [*lengths(op, x)[:-2], *matrix.shape]))
    result.shape = ir.Shape([*list(x.shape)[:-2], *matrix.shape])  # type: ignore[arg-type]
    return result


def eye(op: Any, x: ir.Value, rows: int, columns: int) -> ir.Value:
    """The identity, in the dtype of `x`, for every matrix of its batch."""
    return repeat_for_batch(op, np.eye(rows, columns, dtype=x.dtype.numpy()), x)  # type: ignore[union-attr]


def eliminated(op: Any, a: ir.Value, b: ir.Value) -> ir.Value:
    """The solution of a · x = b, by Gauss and Jordan with the largest pivot of each column."""
    n, _ = sides(a)
    table, rows = op.Concat(a, b, axis=-1), np.arange(n).reshape(n, 1)
    for k in range(n):
        magnitudes = op.Where(op.const(rows >= k), op.Abs(column(op, table, k)), zero(op, a, -1))
        is_pivot = op.Equal(op.const(rows), op.ArgMax(magnitudes, axis=-2, keepdims=1))
        pivot_row = sum_along(op, op.Where(is_pivot, table, zero(op, a)), -2)
        swapped = op.Where(op.const(rows == k), pivot_row, op.Where(is_pivot, row(op, table, k), table))
        scaled = op.Div(pivot_row, column(op, pivot_row, k))
        cleared = op.Sub(swapped, op.Mul(only(op, rows != k, column(op, swapped, k)), scaled))
        table = op.Where(op.const(rows == k), scaled, cleared)
    return op.Slice(table, [n], [END], [-1])


def inverse(op: Any, x: ir.Value) -> ir.Value:
    return eliminated(op, x, eye(op, x, *sides(x)))


def substituted(op: Any, a: ir.Value, b: ir.Value, lower: bool) -> ir.Value:
    """The solution of a · x = b, row by row; what lies on the other side of the diagonal of `a` is not looked
    at."""
    size, _ = sides(a)
    rows: dict[int, Any] = {}
    for k in range(size) if lower else range(size - 1, -1, -1):
        remainder = row(op, b, k)
        for j, done in rows.items():
            remainder = op.Sub(remainder, op.Mul(column(op, row(op, a, k), j), done))
        rows[k] = op.Div(remainder, column(op, row(op, a, k), k))
    return op.Concat(*(rows[k] for k in range(size)), axis=-2)


def cholesky(op: Any, x: ir.Value) -> ir.Value:
    """The lower factor, a column at a time."""
    size, _ = sides(x)
    columns: list[ir.Value] = []
    for k in range(size):
        own = column(op, x, k)
        for done in columns:
            own = op.Sub(own, op.Mul(done, row(op, done, k)))
        scaled = op.Div(own, op.Sqrt(row(op, own, k)))
        columns.append(only(op, np.arange(size).reshape(size, 1) >= k, scaled))
    return op.Concat(*columns, axis=-1) if size > 1 else columns[0]


def factored(op: Any, x: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
    """L below and U on and above the diagonal; the row every step swapped with [..., k, 1]; the order of rows
    [..., m, 1].

    The pivot of a column is the first of its largest elements. A column without one is left as it is.
    """
    rows, columns = sides(x)
    rows_index = np.arange(rows, dtype=np.int64).reshape(rows, 1)
    order, pivots = repeat_for_batch(op, rows_index, x), []
    for k in range(min(rows, columns)):
        magnitudes = op.Where(op.const(rows_index >= k), op.Abs(column(op, x, k)), zero(op, x, -1))
        best = op.ArgMax(magnitudes, axis=-2, keepdims=1)
        pivots.append(best)
        order, x = (exchanged(op, v, best, k, rows) for v in (order, x))
        pivot = row(op, column(op, x, k), k)
        divisor = op.Where(op.Equal(pivot, zero(op, x)), zero(op, x, 1), pivot)
        factors = op.Div(only(op, rows_index > k, column(op, x, k)), divisor)
        right = only(op, np.arange(columns) > k, row(op, x, k))
        left = op.const((rows_index > k) & (np.arange(columns) == k))
        x = op.Where(left, factors, op.Sub(x, op.Mul(factors, right)))
    return x, op.Concat(*pivots, axis=-2), order


def exchanged(op: Any, x: ir.Value, best: ir.Value, k: int, rows: int) -> ir.Value:
    """Row `k` and the row `best` [..., 1, 1] of `x` in one another's place."""
    rows_index = np.arange(rows, dtype=np.int64).reshape(rows, 1)
    other = op.Where(op.Equal(op.const(rows_index), best), op.const(np.array(k)), op.const(rows_index))
    source = op.Where(op.const(rows_index == k), best, other)
    return op.GatherElements(x, op.Expand(source, sizes_of(op, x)), axis=-2)


def determinant(op: Any, x: ir.Value) -> ir.Value:
    """The product of the pivots, its sign turned by every exchange of rows."""
    size, _ = sides(x)
    factors, pivots, _ = factored(op, x)
    diagonal = sum_along(op, only(op, np.eye(size, dtype=bool), factors), -1)
    unswapped = op.Equal(pivots, op.const(np.arange(size, dtype=np.int64).reshape(size, 1)))
    signs = op.Where(unswapped, zero(op, x, 1), zero(op, x, -1))
    return op.ReduceProd(op.Mul(diagonal, signs), [-2, -1], keepdims=0)


def reflections(op: Any, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Householder's, with the signs of LAPACK's geqrf: R and below it the vectors; their factors [..., k]."""
    rows, columns = sides(x)
    rows_index = np.arange(rows).reshape(rows, 1)
    nothing, one = zero(op, x), zero(op, x, 1)
    taus = []
    for k in range(min(rows, columns)):
        own = column(op, x, k)
        alpha, below = row(op, own, k), only(op, rows_index > k, own)
        squares = sum_along(op, op.Mul(below, below), -2)
        length = op.Sqrt(op.Add(op.Mul(alpha, alpha), squares))
        idle = op.Equal(squares, nothing)
        beta = op.Where(idle, alpha, op.Where(op.Less(alpha, nothing), length, op.Neg(length)))
        taus.append(op.Where(idle, nothing, op.Div(op.Sub(beta, alpha), op.Where(idle, one, beta))))
        scaled = op.Div(below, op.Where(idle, one, op.Sub(alpha, beta)))
        v = op.Where(op.const(rows_index == k), one, scaled)
        after = op.Sub(x, op.Mul(op.Mul(taus[-1], v), op.MatMul(swap_last_axes(op, v), x)))
        new = op.Where(op.const(rows_index == k), beta, op.Where(op.const(rows_index > k), scaled, own))
        later = op.const(np.arange(columns) > k)
        x = op.Where(op.const(np.arange(columns) == k), new, op.Where(later, after, x))
    return x, op.Squeeze(op.Concat(*taus, axis=-1), [-2])


def reflected(op: Any, x: ir.Value, vectors: ir.Value, taus: ir.Value, backward: bool = False) -> ir.Value:
    """H1 · H2 · … · x, or with `backward` … · H2 · H1 · x."""
    rows, _ = sides(vectors)
    rows_index = np.arange(rows).reshape(rows, 1)
    count = int(list(taus.shape)[-1])  # type: ignore[arg-type]
    for k in range(count) if backward else reversed(range(count)):
        below = only(op, rows_index > k, column(op, vectors, k))
        v = op.Where(op.const(rows_index == k), zero(op, x, 1), below)
        tau = op.Unsqueeze(op.Gather(taus, np.array([k]), axis=-1), [-1])
        x = op.Sub(x, op.Mul(op.Mul(tau, v), op.MatMul(swap_last_axes(op, v), x)))
    return x


def orthogonal_upper(op: Any, x: ir.Value, complete: bool) -> tuple[ir.Value, ir.Value]:
    """Q and R, with as many columns and rows as the shorter side of `x`, or `complete`."""
    rows, columns = sides(x)
    factors, taus = reflections(op, x)
    k = rows if complete else min(rows, columns)
    upper = op.Slice(only(op, ~np.tri(rows, columns, -1, dtype=bool), factors), [0], [k], [-2])
    return reflected(op, eye(op, x, rows, k), factors, taus), upper


def _tournament(count: int) -> np.ndarray:
    """Permutation of the columns after a round: column i meets column i + count / 2; the first stays."""
    half = count // 2
    ring = [*range(1, half), *range(count - 1, half - 1, -1)]
    moved = dict(zip(ring, [ring[-1], *ring[:-1]], strict=True))
    return np.array([moved.get(i, i) for i in range(count)])


def _rotation(op: Any, alpha: ir.Value, beta: ir.Value, gamma: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Cosine and sine that take `gamma` from between a pair of squares `alpha` and `beta`."""
    nothing, one = zero(op, gamma), zero(op, gamma, 1)
    idle = op.Equal(gamma, nothing)
    zeta = op.Div(op.Sub(beta, alpha), op.Mul(zero(op, gamma, 2), op.Where(idle, one, gamma)))
    sign = op.Where(op.Less(zeta, nothing), zero(op, gamma, -1), one)
    size = op.Abs(zeta)
    far = op.Greater(size, zero(op, gamma, 1e15))
    near = op.Where(far, one, size)
    t = op.Div(sign, op.Add(near, op.Sqrt(op.Add(one, op.Mul(near, near)))))
    t = op.Where(op.Or(idle, far), nothing, t)
    c = op.Div(one, op.Sqrt(op.Add(one, op.Mul(t, t))))
    return c, op.Mul(c, t)


def _repeated(op: Any, body: Callable, count: int, *states: ir.Value) -> list[ir.Value]:
    """A Loop of `count` steps of `body(op, *states)`."""
    graph = ir.Graph([], [], nodes=[], name="round", opset_imports={"": hub.HUB_OPSET})
    dtypes = {"step": ir.DataType.INT64, "going": ir.DataType.BOOL}
    carried = {f"turned_{i}": v for i, v in enumerate(states)}
    graph.inputs.extend(
        ir.Value(name=n, type=ir.TensorType(d), shape=ir.Shape([])) for n, d in dtypes.items()
    )
    graph.inputs.extend(ir.Value(name=n, type=v.type, shape=v.shape) for n, v in carried.items())
    builder = hub.Builder(graph, source=op.source)
    results = body(builder, *graph.inputs[2:])
    graph.outputs.extend(builder.Identity(v) for v in (graph.inputs[1], *results))
    loop = ir.Node(
        "",
        "Loop",
        [op.const(np.array(count)), op.const(np.array(True)), *states],
        [ir.AttrGraph("body", graph)],
        num_outputs=len(states),
    )
    for output, value in zip(loop.outputs, states, strict=True):
        output.type, output.shape = value.type, value.shape
    op.insert(loop)
    return list(loop.outputs)


def orthogonal(op: Any, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """W [..., m, n] = x · V with orthogonal columns, and V [..., n, n], for at most as many columns as rows;
    in float64.

    Columns in pairs are turned until they are orthogonal; a tournament brings every pair together once a
    sweep.
    """
    rows, columns = sides(x)
    x = x if x.dtype == ir.DataType.DOUBLE else op.Cast(x, to=int(ir.DataType.DOUBLE))
    if columns == 1:
        return x, eye(op, x, 1, 1)
    even = columns + columns % 2
    wide = x if even == columns else op.Concat(x, repeat_for_batch(op, np.zeros((rows, 1)), x), axis=-1)
    order = op.const(_tournament(even))

    def around(op: Any, w: ir.Value, v: ir.Value) -> list[ir.Value]:
        halves = [op.Split(a, [even // 2, even // 2], axis=-1, _outputs=2) for a in (w, v)]
        one, two = halves[0]
        squares = [sum_along(op, op.Mul(a, b), -2) for a, b in ((one, one), (two, two), (one, two))]
        c, s = _rotation(op, *squares)
        results = []
        for a, b in halves:
            both = (op.Sub(op.Mul(c, a), op.Mul(s, b)), op.Add(op.Mul(s, a), op.Mul(c, b)))
            results.append(op.Gather(op.Concat(*both, axis=-1), order, axis=-1))
        return results

    w, v = _repeated(op, around, SWEEPS * (even - 1), wide, eye(op, wide, even, even))
    if even == columns:
        return w, v
    added = sum_along(op, only(op, np.arange(even).reshape(even, 1) == columns, op.Mul(v, v)), -2, keepdims=0)
    _, indices = op.TopK(added, [columns], largest=0, _outputs=2)
    columns_index = op.Unsqueeze(indices, [-2])
    batch = lengths(op, x)[:-2]
    w, v = (
        op.GatherElements(a, op.Expand(columns_index, vector(op, [*batch, n, columns])), axis=-1)
        for a, n in ((w, rows), (v, even))
    )
    return w, op.Slice(v, [0], [columns], [-2])


def column_lengths(op: Any, w: ir.Value) -> ir.Value:
    """[..., columns]"""
    return op.Sqrt(sum_along(op, op.Mul(w, w), -2, keepdims=0))


def singular_values(op: Any, x: ir.Value) -> ir.Value:
    """The largest first, in float64."""
    rows, columns = sides(x)
    w, _ = orthogonal(op, x if columns <= rows else swap_last_axes(op, x))
    return op.TopK(column_lengths(op, w), [min(rows, columns)], _outputs=2)[0]


def symmetric(op: Any, x: ir.Value, lower: bool = True) -> ir.Value:
    """The matrix one triangle stands for."""
    size, _ = sides(x)
    triangle = x if lower else swap_last_axes(op, x)
    mirror = swap_last_axes(op, only(op, np.tri(size, k=-1, dtype=bool), triangle))
    return op.Add(only(op, np.tri(size, dtype=bool), triangle), mirror)


def eigenvalues(op: Any, x: ir.Value) -> ir.Value:
    """Eigenvalues of symmetric matrices, the smallest first, in float64.

    A shift by the largest sum of a row makes them all positive, and so singular values.
    """
    size, _ = sides(x)
    wide = op.Cast(x, to=int(ir.DataType.DOUBLE))
    shift = op.ReduceMax(sum_along(op, op.Abs(wide), -1), [-2], keepdims=1)
    w, _ = orthogonal(op, op.Add(wide, op.Mul(op.const(np.eye(size)), shift)))
    values = op.Sub(column_lengths(op, w), op.Squeeze(shift, [-1]))
    return op.TopK(values, [size], largest=0, _outputs=2)[0]
