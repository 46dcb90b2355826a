"""Factorizations of static matrices: LU and QR as in LAPACK, eigenvalues and singular values.

Eigenvectors and singular vectors are unique only up to their signs, which differ between libraries. Results
that depend on them are refused; values, rank and pseudoinverse are computed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.importing import ints
from bridge.ops import OpTable
from bridge.passes.decompose.linalg import (
    WIDEST,
    column_lengths,
    eigenvalues,
    exchanged,
    eye,
    factored,
    inverse,
    only,
    orthogonal,
    orthogonal_upper,
    reflected,
    reflections,
    repeat_for_batch,
    row,
    swap_last_axes,
    symmetric,
)
from bridge_torchscript.import_ops.common import T, cast, number, rank, static_shape, static_value, tensor
from bridge_torchscript.import_ops.linalg import (
    Matrices,
    checked_singular_values,
    matrix_shape,
    solve_system,
    triangle,
)
from bridge_torchscript.import_ops.reduce import matrix_norm
from bridge_torchscript.values import Poison, Unsupported

ops = OpTable()
matrices = Matrices(ops)

SIGNS = (
    "holds {0} vectors, whose signs every library chooses in its own way;"
    " what does not depend on them is read"
)


def lower(op: Any, x: ir.Value, rows: int, columns: int) -> ir.Value:
    """L of L · U, with ones on the diagonal: [..., rows, min(rows, columns)]."""
    k = min(rows, columns)
    part = op.Slice(x, ints(0), ints(k), ints(rank(x) - 1))
    return op.Where(
        op.const(np.eye(rows, k, dtype=bool)), number(op, 1, x), only(op, np.tri(rows, k, -1, bool), part)
    )


def upper(op: Any, x: ir.Value, rows: int, columns: int) -> ir.Value:
    """U of L · U: [..., min(rows, columns), columns]."""
    k = min(rows, columns)
    return only(op, ~np.tri(k, columns, -1, dtype=bool), op.Slice(x, ints(0), ints(k), ints(rank(x) - 2)))


def permutation(op: Any, order: ir.Value, rows: int, dtype: ir.DataType) -> ir.Value:
    """P of A = P · L · U: row `order[j]` of A is row j of L · U."""
    return cast(op, op.Equal(op.const(np.arange(rows).reshape(rows, 1)), swap_last_axes(op, order)), dtype)


def row_order(op: Any, pivots: ir.Value, rows: int) -> ir.Value:
    """Row order after the swaps of pivots [..., k], which count from 1."""
    steps = op.Sub(cast(op, op.Unsqueeze(pivots, ints(-1)), T.INT64), np.array(1))
    order = repeat_for_batch(op, np.arange(rows, dtype=np.int64).reshape(rows, 1), steps)
    for k in range(static_shape(pivots)[-1]):
        order = exchanged(op, order, row(op, steps, k), k, rows)
    return order


def _one_based_pivots(op: Any, pivots: ir.Value) -> ir.Value:
    return op.Cast(op.Add(op.Squeeze(pivots, ints(-1)), np.array(1)), to=int(T.INT32))


@matrices.op("aten::linalg_lu_factor")
def lu_factor(op, x, pivot=True):
    return lu_factor_ex(op, x, pivot)[:2]


@matrices.op("aten::linalg_lu_factor_ex", "aten::_lu_with_info")
def lu_factor_ex(op, x, pivot=True, check_errors=False):
    if not pivot:
        raise Unsupported("is read with pivoting alone")
    factors, pivots, _ = factored(op, x)
    return factors, _one_based_pivots(op, pivots), op.const(np.zeros(static_shape(x)[:-2], np.int32))


@matrices.op("aten::linalg_lu")
def lu(op, x, pivot=True):
    rows, columns = matrix_shape(x)
    if not pivot:
        raise Unsupported("is read with pivoting alone")
    factors, _, order = factored(op, x)
    return (
        permutation(op, order, rows, x.dtype),
        lower(op, factors, rows, columns),
        upper(op, factors, rows, columns),
    )


@matrices.op("aten::lu_unpack")
def lu_unpack(op, LU_data, LU_pivots, unpack_data=True, unpack_pivots=True):
    rows, columns = matrix_shape(LU_data)
    empty = op.const(np.zeros(0, LU_data.dtype.numpy()))
    factors = [f(op, LU_data, rows, columns) if unpack_data else empty for f in (lower, upper)]
    if not unpack_pivots:
        return empty, *factors
    return permutation(op, row_order(op, LU_pivots, rows), rows, LU_data.dtype), *factors


@matrices.op("aten::linalg_lu_solve")
def linalg_lu_solve(op, LU, pivots, B, left=True, adjoint=False):
    rows, columns = matrix_shape(LU)
    p = permutation(op, row_order(op, pivots, rows), rows, LU.dtype)
    a = op.MatMul(p, op.MatMul(lower(op, LU, rows, columns), upper(op, LU, rows, columns)))
    return solve_system(op, swap_last_axes(op, a) if adjoint else a, B, bool(left))


@matrices.op("aten::lu_solve")
def lu_solve(op, x, LU_data, LU_pivots):
    return linalg_lu_solve(op, LU_data, LU_pivots, x)


@matrices.op("aten::triangular_solve")
def triangular_solve(op, x, A, upper=True, transpose=False, unitriangular=False):
    masked = triangle(op, A, bool(upper), bool(unitriangular))
    copy = op.Expand(
        A,
        ints(
            *np.broadcast_shapes(tuple(static_shape(x)[:-2]), tuple(static_shape(A)[:-2])),
            *static_shape(A)[-2:],
        ),
    )
    return solve_system(op, swap_last_axes(op, masked) if transpose else masked, x), copy


# QR: Householder reflections with the signs of LAPACK's geqrf


@matrices.op("aten::geqrf")
def geqrf(op, x):
    matrix_shape(x)
    return reflections(op, x)


@matrices.op("aten::linalg_householder_product", "aten::orgqr")
def householder_product(op, x, tau=None, input2=None):
    rows, columns = matrix_shape(x)
    return reflected(op, eye(op, x, rows, columns), x, tau if tau is not None else input2)


@matrices.op("aten::ormqr")
def ormqr(op, x, input2, input3, left=True, transpose=False):
    matrix_shape(x)
    if not left:
        return swap_last_axes(op, ormqr(op, x, input2, swap_last_axes(op, input3), True, not transpose))
    return reflected(op, input3, x, input2, bool(transpose))


@matrices.op("aten::linalg_qr")
def linalg_qr(op, x, mode="reduced"):
    matrix_shape(x)
    q, r = orthogonal_upper(op, x, mode == "complete")
    return (op.const(np.zeros(0, x.dtype.numpy())) if mode == "r" else q), r


@matrices.op("aten::qr")
def qr(op, x, some=True):
    return linalg_qr(op, x, "reduced" if some else "complete")


@matrices.op("aten::linalg_svdvals")
def svdvals(op, x, driver=None):
    return checked_singular_values(op, x)


@matrices.op("aten::linalg_svd", "aten::_linalg_svd", "aten::svd")
def svd(op, x, full_matrices=True, compute_uv=True, driver=None, some=True):
    vectors = Poison(SIGNS.format("singular"))
    return vectors, checked_singular_values(op, x), vectors


def symmetrize(op: Any, x: ir.Value, UPLO: str = "L") -> ir.Value:
    """Symmetric matrix from its lower or upper triangle."""
    matrix_shape(x, WIDEST)
    return symmetric(op, x, UPLO.upper() == "L")


@matrices.op("aten::linalg_eigvalsh")
def eigvalsh(op, x, UPLO="L"):
    return cast(op, eigenvalues(op, symmetrize(op, x, UPLO)), x.dtype)


@matrices.op("aten::linalg_eigh", "aten::_linalg_eigh")
def eigh(op, x, UPLO="L", compute_v=True):
    return eigvalsh(op, x, UPLO), Poison(SIGNS.format("eigen"))


def _tolerance(op: Any, values: ir.Value, x: ir.Value, absolute: Any, relative: Any) -> ir.Value:
    """Lower bound of significant singular values [..., k]: max(atol, rtol · largest).

    Without either, rtol is eps · max(m, n).
    """
    has_absolute = isinstance(absolute, ir.Value) or absolute not in (None, 0, 0.0)
    if relative is None:
        eps = 0.0 if has_absolute else float(np.finfo(x.dtype.numpy()).eps) * max(static_shape(x)[-2:])
        relative = eps
    largest = op.ReduceMax(values, ints(rank(values) - 1), keepdims=1)
    limit = op.Mul(largest, _as_column(op, relative, values))
    return op.Max(limit, _as_column(op, 0.0 if absolute is None else absolute, values))


def _as_column(op: Any, value: Any, values: ir.Value) -> ir.Value:
    bound = tensor(op, value, values.dtype)
    return op.Unsqueeze(bound, ints(-1)) if rank(bound) else bound


@matrices.op("aten::linalg_matrix_rank")
def matrix_rank(op, x, tol=None, hermitian=False, atol=None, rtol=None):
    values = checked_singular_values(op, symmetrize(op, x) if hermitian else x)
    hits = op.Greater(values, _tolerance(op, values, x, tol if tol is not None else atol, rtol))
    return op.ReduceSum(op.Cast(hits, to=int(T.INT64)), ints(rank(x) - 2), keepdims=0)


@matrices.op("aten::linalg_pinv", "aten::pinverse")
def pinv(op, x, rcond=None, hermitian=False, atol=None, rtol=None):
    """Pseudoinverse V · (W / σ²)ᵀ, over the columns whose length σ exceeds the tolerance."""
    rows, columns = matrix_shape(x, WIDEST)
    if hermitian:
        x = symmetrize(op, x)
    if columns > rows:
        return swap_last_axes(op, pinv(op, swap_last_axes(op, x), rcond, False, atol, rtol))
    w, v = orthogonal(op, x)
    sizes = column_lengths(op, w)
    relative = rtol if rcond is None else rcond
    is_significant = op.Greater(sizes, _tolerance(op, sizes, x, atol, relative))
    one = number(op, 1, w)
    squares = op.Where(is_significant, op.Mul(sizes, sizes), one)
    inverses = op.Where(is_significant, op.Div(one, squares), number(op, 0, w))
    result = op.MatMul(v, swap_last_axes(op, op.Mul(w, op.Unsqueeze(inverses, ints(-2)))))
    return cast(op, result, x.dtype)


@matrices.op("aten::linalg_cond")
def cond(op, x, p=None):
    p = static_value(p, "p")
    if p in (None, 2, -2):
        values = checked_singular_values(op, x)
        large, small = (op.Gather(values, np.array(i), axis=-1) for i in (0, -1))
        return op.Div(small, large) if p == -2 else op.Div(large, small)
    return op.Mul(matrix_norm(op, x, p), matrix_norm(op, inverse(op, x), p))


@matrices.op("aten::linalg_lstsq")
def lstsq(op, x, b, rcond=None, driver=None):
    """Least-squares solution of minimal norm. Residuals, rank and singular values are refused when read."""
    vector = rank(b) == 1 or (rank(b) == rank(x) - 1 and static_shape(b) == static_shape(x)[:-1])
    columns = op.Unsqueeze(b, ints(rank(b))) if vector else b
    limit = rcond if rcond is not None else float(np.finfo(x.dtype.numpy()).eps) * max(static_shape(x)[-2:])
    solution = op.MatMul(pinv(op, x, limit), columns)
    unread = Poison("has residuals, rank and singular values, which are not read")
    return op.Squeeze(solution, ints(rank(solution) - 1)) if vector else solution, unread, unread, unread
