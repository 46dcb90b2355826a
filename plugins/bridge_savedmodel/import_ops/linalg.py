"""Matrices: diagonals, bands, determinants, inverses, and products with bands."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.dims import arange
from bridge.hub import rank_of
from bridge.importing import as_int64, constant_ints, ints, like
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose import linalg as matrices
from bridge.passes.decompose.linalg import LARGEST, swap_last_axes
from bridge_savedmodel.import_ops.common import FAR, T, as_scalar, known_rank

ops = OpTable()


@ops.op("MatrixBandPart", "BatchMatrixBandPart", needs=(known_rank(),))
def matrix_band_part(op, node, x, lower, upper):
    """Zero outside the given numbers of diagonals below and above the main one; negative numbers keep all."""
    rows, columns = (as_int64(op, op.Shape(x, start=a, end=a + 1 or None)) for a in (-2, -1))
    zero = op.const(np.array(0, np.int64))
    row_index, column_index = (arange(op, n) for n in (rows, columns))
    distance = op.Sub(op.Unsqueeze(row_index, ints(1)), op.Unsqueeze(column_index, ints(0)))
    mask = None
    for limit, offset in ((lower, distance), (upper, op.Neg(distance))):
        bound = as_scalar(op, as_int64(op, limit))
        in_band = op.Or(op.Less(bound, zero), op.LessOrEqual(offset, bound))
        mask = in_band if mask is None else op.And(mask, in_band)
    return op.And(mask, x) if x.dtype == T.BOOL else op.Where(mask, x, like(op, x, 0))


MAIN_DIAGONAL = condition(
    "the main diagonal", lambda n: len(n.inputs) < 2 or not any(constant_ints(n.inputs[1]) or [1])
)


def _eye(op: Any, size: Any) -> Any:
    """The identity matrix [size, size] as bool."""
    positions = arange(op, size)
    return op.Equal(op.Unsqueeze(positions, ints(1)), op.Unsqueeze(positions, ints(0)))


@ops.op(
    "MatrixDiag",
    "BatchMatrixDiag",
    "MatrixDiagV2",
    "MatrixDiagV3",
    needs=(
        MAIN_DIAGONAL,
        known_rank(),
        condition(
            "a square result", lambda n: all(set(constant_ints(v) or [0]) <= {-1} for v in n.inputs[2:4])
        ),
    ),
)
def matrix_diag(op, node, x, *rest):
    size = op.Shape(x, start=rank_of(x) - 1)
    padding = rest[3] if len(rest) > 3 else like(op, x, 0)
    return op.Where(_eye(op, size), op.Unsqueeze(x, ints(-1)), padding)


@ops.op("Diag", needs=(condition("a vector", lambda n: rank_of(n.inputs[0]) == 1),))
def diag(op, node, x):
    return op.Where(_eye(op, op.Shape(x)), op.Unsqueeze(x, ints(-1)), like(op, x, 0))


@ops.op(
    "MatrixDiagPart",
    "BatchMatrixDiagPart",
    "MatrixDiagPartV2",
    "MatrixDiagPartV3",
    "DiagPart",
    needs=(MAIN_DIAGONAL, known_rank()),
)
def matrix_diag_part(op, node, x, *rest):
    rank = rank_of(x)
    if node.op == "DiagPart" and rank != 2:
        return NotImplemented
    size = op.ReduceMin(op.Shape(x, start=rank - 2), keepdims=1)
    square = op.Slice(x, ints(0, 0), op.Concat(size, size, axis=0), ints(-2, -1))
    masked = op.Where(_eye(op, size), square, like(op, x, 0))
    return op.ReduceSum(masked, ints(-1), keepdims=0)


@ops.op(
    "MatrixSetDiag",
    "BatchMatrixSetDiag",
    "MatrixSetDiagV2",
    "MatrixSetDiagV3",
    needs=(
        condition(
            "the main diagonal", lambda n: len(n.inputs) < 3 or not any(constant_ints(n.inputs[2]) or [1])
        ),
        known_rank(),
        condition(
            "square matrices",
            lambda n: (
                isinstance(list(n.inputs[0].shape)[-1], int)
                and list(n.inputs[0].shape)[-1] == list(n.inputs[0].shape)[-2]
            ),
        ),
    ),
)
def matrix_set_diag(op, node, x, diagonal, *rest):
    return op.Where(_eye(op, op.Shape(x, start=rank_of(x) - 1)), op.Unsqueeze(diagonal, ints(-1)), x)


ops.same(MatrixDeterminant="Det", BatchMatrixDeterminant="Det")


@ops.op("Cross", needs=(known_rank(),))
def cross(op, node, a, b):
    def permute_components(v: Any, *order: int) -> Any:
        return op.Gather(v, ints(*order), axis=-1)

    return op.Sub(
        op.Mul(permute_components(a, 1, 2, 0), permute_components(b, 2, 0, 1)),
        op.Mul(permute_components(a, 2, 0, 1), permute_components(b, 1, 2, 0)),
    )


@ops.op("LogMatrixDeterminant")
def log_determinant(op, node, x):
    determinant = op.Det(x)
    return op.Sign(determinant), op.Log(op.Abs(determinant))


@ops.op("TridiagonalMatMul", needs=(known_rank(3),))
def tridiagonal_product(op, node, upper, middle, lower, x):
    """Sum of three products of a diagonal with rows: the same row, the one below and the one above."""
    rank = rank_of(x)
    axis = rank - 2

    def shift_rows(step: int) -> Any:
        begin, end = (1, FAR) if step > 0 else (0, -1)
        pads = np.zeros((2, rank), np.int64)
        pads[1 if step > 0 else 0, axis] = 1
        return op.Pad(op.Slice(x, ints(begin), ints(end), ints(axis)), op.const(pads.ravel()))

    factors = [(middle, x), (upper, shift_rows(1)), (lower, shift_rows(-1))]
    products = [op.Mul(op.Transpose(d, perm=[*range(rank - 2), rank - 1, rank - 2]), v) for d, v in factors]
    return op.Add(op.Add(products[0], products[1]), products[2])


SQUARE = condition(
    f"square matrices of known size, at most {LARGEST}",
    lambda n: (
        (rank_of(n.inputs[0]) or 0) >= 2
        and isinstance(list(n.inputs[0].shape)[-1], int)
        and 0 < list(n.inputs[0].shape)[-1] <= LARGEST
        and list(n.inputs[0].shape)[-1] == list(n.inputs[0].shape)[-2]
    ),
)


@ops.op("MatrixInverse", "BatchMatrixInverse", needs=(SQUARE,))
def inverse(op, node, x):
    return matrices.inverse(op, swap_last_axes(op, x) if node.get("adjoint") else x)


@ops.op("MatrixSolve", "BatchMatrixSolve", needs=(SQUARE,))
def solve(op, node, a, b):
    return matrices.eliminated(op, swap_last_axes(op, a) if node.get("adjoint") else a, b)


SAME_BATCH = condition(
    "as many matrices on both sides",
    lambda n: list(n.inputs[0].shape)[:-2] == list(n.inputs[1].shape or [])[:-2],
)


@ops.op("MatrixTriangularSolve", "BatchMatrixTriangularSolve", needs=(SQUARE, known_rank(1), SAME_BATCH))
def triangular_solve(op, node, a, b):
    """Substitution; elements on the other side of the diagonal are not read."""
    lower = node.get("lower")
    if node.get("adjoint"):
        a, lower = swap_last_axes(op, a), not lower
    return matrices.substituted(op, a, b, lower)


@ops.op("Cholesky", "BatchCholesky", needs=(SQUARE,))
def cholesky(op, node, x):
    return matrices.cholesky(op, x)
