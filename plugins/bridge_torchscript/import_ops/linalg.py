"""Linear algebra of small matrices of static size, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge_torchscript.import_ops.common import ints, number, ops, rank, static, zero
from bridge_torchscript.values import Unsupported

LARGEST = 32


def size_of(x: ir.Value) -> int:
    *_, rows, columns = static(x)
    if rows != columns or rows > LARGEST:
        raise Unsupported(f"needs square matrices of at most {LARGEST} rows")
    return rows


def row(op: Any, x: ir.Value, index: Any) -> ir.Value:
    """A row as [..., 1, columns]."""
    return op.Gather(x, np.array([index]), axis=-2)


def column(op: Any, x: ir.Value, index: int) -> ir.Value:
    return op.Gather(x, np.array([index]), axis=-1)


def eliminated(op: Any, a: ir.Value, b: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Gauss-Jordan with pivots by size: the solution of a · x = b, and the determinant."""
    n = size_of(a)
    last = rank(a) - 1
    table = op.Concat(a, b, axis=last)
    sign: Any = None
    for k in range(n):
        rows = np.arange(n).reshape(n, 1)
        sizes = op.Where(op.const(rows >= k), op.Abs(column(op, table, k)), number(op, -1.0, a))
        best = op.ArgMax(sizes, axis=last - 1, keepdims=1)
        chosen = op.Equal(op.const(rows), best)
        picked = op.ReduceSum(op.Where(chosen, table, zero(op, table)), ints(last - 1))
        pivot = op.Gather(picked, np.array([k]), axis=-1)
        swapped = op.Where(op.const(rows == k), picked, op.Where(chosen, row(op, table, k), table))
        turned = op.Where(op.Equal(best, op.const(np.array(k))), pivot, op.Neg(pivot))
        sign = turned if sign is None else op.Mul(sign, turned)
        scaled = op.Div(picked, pivot)
        factors = op.Where(op.const(rows == k), zero(op, table), column(op, swapped, k))
        cleared = op.Sub(swapped, op.Mul(factors, scaled))
        table = op.Where(op.const(rows == k), scaled, cleared)
    width = static(table)[-1]
    return op.Slice(table, ints(n), ints(width), ints(last)), op.Squeeze(sign, ints(last - 1, last))


def identity(op: Any, x: ir.Value) -> ir.Value:
    eye = op.const(np.eye(static(x)[-1], dtype=x.dtype.numpy()))
    return op.Expand(eye, ints(*static(x)))


def inverse(op: Any, x: ir.Value) -> ir.Value:
    if 0 in static(x):
        return op.Identity(x)
    return eliminated(op, x, identity(op, x))[0]


@ops.op("aten::inverse", "aten::linalg_inv")
def inv(op, x):
    return inverse(op, x)


@ops.op("aten::linalg_inv_ex")
def inv_ex(op, x, check_errors=False):
    return inverse(op, x), op.const(np.zeros(static(x)[:-2], np.int32))


def solved(op: Any, a: ir.Value, b: ir.Value, left: bool = True) -> ir.Value:
    """a · x = b, or x · a = b."""
    if 0 in static(a) or 0 in static(b):
        raise Unsupported("solves for no unknowns")
    vector = rank(b) == 1 or (rank(b) == rank(a) - 1 and static(b) == static(a)[:-1])
    if not left:
        turn = [*range(rank(a) - 2), rank(a) - 1, rank(a) - 2]
        back = [*range(rank(b) - 2), rank(b) - 1, rank(b) - 2]
        made = solved(op, op.Transpose(a, perm=turn), op.Transpose(b, perm=back))
        order = [*range(rank(made) - 2), rank(made) - 1, rank(made) - 2]
        return op.Transpose(made, perm=order)
    if vector:
        b = op.Unsqueeze(b, ints(rank(b)))
    lead = list(np.broadcast_shapes(tuple(static(a)[:-2]), tuple(static(b)[:-2])))
    a, b = op.Expand(a, ints(*lead, *static(a)[-2:])), op.Expand(b, ints(*lead, *static(b)[-2:]))
    made = eliminated(op, a, b)[0]
    return op.Squeeze(made, ints(rank(made) - 1)) if vector else made


@ops.op("aten::linalg_solve")
def solve(op, x, B, left=True):
    return solved(op, x, B, left)


@ops.op("aten::linalg_solve_ex")
def solve_ex(op, x, B, left=True, check_errors=False):
    return solved(op, x, B, left), op.const(np.zeros(static(x)[:-2], np.int32))


def triangle(op: Any, x: ir.Value, upper: bool, unitriangular: bool) -> ir.Value:
    kept = op.Trilu(x, upper=int(upper))
    if not unitriangular:
        return kept
    eye = op.const(np.eye(static(x)[-1], dtype=bool))
    return op.Where(eye, number(op, 1, x), kept)


@ops.op("aten::linalg_solve_triangular")
def solve_triangular(op, x, B, upper, left=True, unitriangular=False):
    return solved(op, triangle(op, x, bool(upper), bool(unitriangular)), B, bool(left))


def lower(op: Any, x: ir.Value) -> ir.Value:
    """Cholesky, a column at a time."""
    n = size_of(x)
    columns: list[ir.Value] = []
    for k in range(n):
        own = column(op, x, k)
        for done in columns:
            own = op.Sub(own, op.Mul(done, row(op, done, k)))
        scaled = op.Div(own, op.Sqrt(row(op, own, k)))
        columns.append(op.Where(op.const(np.arange(n).reshape(n, 1) >= k), scaled, zero(op, x)))
    return op.Concat(*columns, axis=-1) if n > 1 else columns[0]


def turned(op: Any, x: ir.Value) -> ir.Value:
    return op.Transpose(x, perm=[*range(rank(x) - 2), rank(x) - 1, rank(x) - 2])


@ops.op("aten::linalg_cholesky", "aten::cholesky")
def cholesky(op, x, upper=False):
    if 0 in static(x):
        return op.Identity(x)
    made = lower(op, turned(op, x) if upper else x)
    return turned(op, made) if upper else made


@ops.op("aten::linalg_cholesky_ex")
def cholesky_ex(op, x, upper=False, check_errors=False):
    return cholesky(op, x, upper), op.const(np.zeros(static(x)[:-2], np.int32))


def _product(op: Any, x: ir.Value, upper: bool) -> ir.Value:
    kept = op.Trilu(x, upper=int(upper))
    return op.MatMul(turned(op, kept), kept) if upper else op.MatMul(kept, turned(op, kept))


@ops.op("aten::cholesky_inverse")
def cholesky_inverse(op, x, upper=False):
    return op.Identity(x) if 0 in static(x) else inverse(op, _product(op, x, upper))


@ops.op("aten::cholesky_solve")
def cholesky_solve(op, x, input2, upper=False):
    return solved(op, _product(op, input2, upper), x)


@ops.op("aten::det", "aten::linalg_det")
def det(op, x):
    if 0 in static(x):
        return op.const(np.ones(static(x)[:-2], x.dtype.numpy()))
    return op.Det(x)


@ops.op("aten::slogdet", "aten::linalg_slogdet")
def slogdet(op, x):
    found = det(op, x)
    return op.Sign(found), op.Log(op.Abs(found))


@ops.op("aten::logdet")
def logdet(op, x):
    return op.Log(det(op, x))


@ops.op("aten::linalg_tensorinv")
def tensorinv(op, x, ind=2):
    shape = static(x)
    count = int(np.prod(shape[:ind]))
    return op.Reshape(inverse(op, op.Reshape(x, ints(count, -1))), ints(*shape[ind:], *shape[:ind]))


@ops.op("aten::linalg_tensorsolve")
def tensorsolve(op, x, other, dims=None):
    if dims is not None:
        order = [i for i in range(rank(x)) if i not in [d % rank(x) for d in dims]]
        x = op.Transpose(x, perm=[*order, *(d % rank(x) for d in dims)])
    count = int(np.prod(static(other)))
    made = solved(op, op.Reshape(x, ints(count, -1)), op.Reshape(other, ints(-1)))
    return op.Reshape(made, ints(*static(x)[rank(other) :]))
