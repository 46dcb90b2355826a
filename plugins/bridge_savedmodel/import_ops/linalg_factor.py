"""Unique factorizations of matrices, and linear systems solved by them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import rank_of, shape_of
from bridge.importing import as_dtype, attribute, ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose import linalg as matrices
from bridge.passes.decompose.linalg import LARGEST, WIDEST, row, swap_last_axes
from bridge_savedmodel.import_ops.common import T, known_rank
from bridge_savedmodel.import_ops.linalg import SQUARE

ops = OpTable()

REAL = attribute("T", T.FLOAT, T.DOUBLE)


def _static_matrices(limit: int) -> Any:
    """The condition that matrices have static sizes of at most `most`."""

    def are_static(node: Any) -> bool:
        size = list(node.inputs[0].shape or [])[-2:]
        return len(size) == 2 and all(isinstance(d, int) and 0 < d <= limit for d in size)

    return condition(f"matrices of known size, at most {limit} × {limit}", are_static)


STATIC_MATRICES, STATIC_FOR_JACOBI = _static_matrices(LARGEST), _static_matrices(WIDEST)


@ops.op("Lu", needs=(SQUARE, REAL))
def lu(op, node, x):
    """L and U in one matrix, below and above its diagonal, and the row permutation; pivots are the largest of
    each column."""
    packed, _, order = matrices.factored(op, x)
    return packed, op.Cast(op.Squeeze(order, ints(-1)), to=int(node.get("output_idx_type")))


@ops.op("Qr", needs=(STATIC_MATRICES, REAL))
def qr(op, node, x):
    return matrices.orthogonal_upper(op, x, node.get("full_matrices"))


VALUES_ALONE = "the values alone: each library chooses the signs of the vectors by itself"


def _values_only(*names: str) -> Any:
    return condition(VALUES_ALONE, lambda n: not any(n.get(name) for name in names))


@ops.op(
    "SelfAdjointEigV2", "BatchSelfAdjointEigV2", needs=(STATIC_FOR_JACOBI, REAL, _values_only("compute_v"))
)
def eigenvalues(op, node, x):
    """Eigenvalues from the lower triangle; elements above the diagonal are not read."""
    values = matrices.eigenvalues(op, matrices.symmetric(op, x))
    return as_dtype(op, values, x.dtype), op.const(np.zeros(0, x.dtype.numpy()))


@ops.op("Svd", "BatchSvd", needs=(STATIC_FOR_JACOBI, REAL, _values_only("compute_uv")))
def singular_values(op, node, x):
    empty = op.const(np.zeros(0, x.dtype.numpy()))
    return as_dtype(op, matrices.singular_values(op, x), x.dtype), empty, empty


@ops.op("MatrixSolveLs", "BatchMatrixSolveLs", needs=(STATIC_MATRICES, REAL, attribute("fast", True)))
def least_squares(op, node, x, rhs, l2_regularizer):
    """Normal equations; with fewer rows than columns the solution of least norm."""
    rows, columns = list(x.shape)[-2:]
    size = min(rows, columns)
    regularizer = op.Mul(
        op.Cast(l2_regularizer, to=int(x.dtype)), op.const(np.eye(size, dtype=x.dtype.numpy()))
    )
    adjoint = swap_last_axes(op, x)
    gram = op.Add(op.MatMul(adjoint, x) if rows >= columns else op.MatMul(x, adjoint), regularizer)
    gram.shape = ir.Shape([*list(x.shape)[:-2], size, size])
    if rows >= columns:
        return matrices.eliminated(op, gram, op.MatMul(adjoint, rhs))
    return op.MatMul(adjoint, matrices.eliminated(op, gram, rhs))


def _off_diagonal(op: Any, diagonal: Any, offset: int, size: int) -> Any:
    """A vector [..., 1, n] as the diagonal at offset `by` of [..., n, n]; element k is in row k."""
    return op.Mul(
        swap_last_axes(op, diagonal), op.const(np.eye(size, k=offset).astype(diagonal.dtype.numpy()))
    )


def _has_static_diagonals(node: Any) -> bool:
    size = list(node.inputs[0].shape or [])
    return len(size) >= 2 and size[-2] == 3 and isinstance(size[-1], int) and 0 < size[-1] <= LARGEST


@ops.op(
    "TridiagonalSolve",
    needs=(
        condition(f"three diagonals of known size, at most {LARGEST}", _has_static_diagonals),
        known_rank(1),
    ),
)
def tridiagonal_solve(op, node, diagonals, rhs):
    """Eliminate the matrix with these three diagonals."""
    size = list(diagonals.shape)[-1]
    upper, main, lower = (row(op, diagonals, n) for n in range(3))
    matrix = op.Add(
        op.Add(_off_diagonal(op, upper, 1, size), _off_diagonal(op, main, 0, size)),
        _off_diagonal(op, lower, -1, size),
    )
    matrix.shape = ir.Shape([*list(diagonals.shape)[:-2], size, size])
    return matrices.eliminated(op, matrix, rhs)


def _has_static_bands(node: Any) -> bool:
    size = shape_of(node.inputs[0])
    return size is not None and len(size) == 2 and rank_of(node.inputs[1]) == 2 and 0 < size[1] <= LARGEST


@ops.op("BandedTriangularSolve", needs=(condition("one matrix of bands of known size", _has_static_bands),))
def banded_triangular_solve(op, node, bands, rhs):
    """Substitute in the matrix with these bands, from the upper to the lower one, aligned by column."""
    count, size = list(bands.shape)
    lower = node.get("lower")
    matrix: Any = None
    for n in range(count):
        offset = -n if lower else count - 1 - n
        diagonal = _off_diagonal(op, row(op, bands, n), offset, size)
        if lower:
            diagonal = op.Mul(
                swap_last_axes(op, row(op, bands, n)),
                op.const(np.eye(size, k=offset).astype(bands.dtype.numpy())),
            )
        matrix = diagonal if matrix is None else op.Add(matrix, diagonal)
    matrix.shape = ir.Shape([size, size])
    if node.get("adjoint"):
        matrix, lower = swap_last_axes(op, matrix), not lower
    return matrices.substituted(op, matrix, rhs, lower)
