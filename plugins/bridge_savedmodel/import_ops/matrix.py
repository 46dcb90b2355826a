"""Matrices: diagonals, bands, determinants, products of vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.dims import arange
from bridge.hub import rank_of
from bridge.importing import as_int64, constant_ints, ints, like
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose import linalg as matrices
from bridge.passes.decompose.linalg import LARGEST, transposed
from bridge_savedmodel.import_ops.common import FAR, ranked, scalar

ops = OpTable()


@ops.op("MatrixBandPart", "BatchMatrixBandPart", needs=(ranked(),))
def matrix_band_part(op, node, x, lower, upper):
    """What lies at most so far under and over the diagonal; negative for all."""
    rows, columns = (as_int64(op, op.Shape(x, start=a, end=a + 1 or None)) for a in (-2, -1))
    zero = op.const(np.array(0, np.int64))
    down, across = (arange(op, n) for n in (rows, columns))
    distance = op.Sub(op.Unsqueeze(down, ints(1)), op.Unsqueeze(across, ints(0)))
    kept = None
    for limit, far in ((lower, distance), (upper, op.Neg(distance))):
        bound = scalar(op, as_int64(op, limit))
        inside = op.Or(op.Less(bound, zero), op.LessOrEqual(far, bound))
        kept = inside if kept is None else op.And(kept, inside)
    return op.Where(kept, x, like(op, x, 0))


MAIN = condition(
    "the main diagonal", lambda n: len(n.inputs) < 2 or not any(constant_ints(n.inputs[1]) or [1])
)


def _eye(op: Any, size: Any) -> Any:
    places = arange(op, size)
    return op.Equal(op.Unsqueeze(places, ints(1)), op.Unsqueeze(places, ints(0)))


@ops.op(
    "MatrixDiag",
    "BatchMatrixDiag",
    "MatrixDiagV2",
    "MatrixDiagV3",
    needs=(
        MAIN,
        ranked(),
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
    needs=(MAIN, ranked()),
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
        ranked(),
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


@ops.op("Cross", needs=(ranked(),))
def cross(op, node, a, b):
    def turned(v: Any, *order: int) -> Any:
        return op.Gather(v, ints(*order), axis=-1)

    return op.Sub(
        op.Mul(turned(a, 1, 2, 0), turned(b, 2, 0, 1)), op.Mul(turned(a, 2, 0, 1), turned(b, 1, 2, 0))
    )


@ops.op("LogMatrixDeterminant")
def log_determinant(op, node, x):
    found = op.Det(x)
    return op.Sign(found), op.Log(op.Abs(found))


@ops.op("TridiagonalMatMul", needs=(ranked(3),))
def tridiagonal_product(op, node, upper, middle, lower, x):
    """Every row is a sum of three: its own, the one below and the one above."""
    rank = rank_of(x)
    axis = rank - 2

    def moved(by: int) -> Any:
        begin, end = (1, FAR) if by > 0 else (0, -1)
        pads = np.zeros((2, rank), np.int64)
        pads[1 if by > 0 else 0, axis] = 1
        return op.Pad(op.Slice(x, ints(begin), ints(end), ints(axis)), op.const(pads.ravel()))

    sides = [(middle, x), (upper, moved(1)), (lower, moved(-1))]
    products = [op.Mul(op.Transpose(d, perm=[*range(rank - 2), rank - 1, rank - 2]), v) for d, v in sides]
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
    return matrices.inverse(op, transposed(op, x) if node.get("adjoint") else x)


@ops.op("MatrixSolve", "BatchMatrixSolve", needs=(SQUARE,))
def solve(op, node, a, b):
    return matrices.eliminated(op, transposed(op, a) if node.get("adjoint") else a, b)


SAME_BATCH = condition(
    "as many matrices on both sides",
    lambda n: list(n.inputs[0].shape)[:-2] == list(n.inputs[1].shape or [])[:-2],
)


@ops.op("MatrixTriangularSolve", "BatchMatrixTriangularSolve", needs=(SQUARE, ranked(1), SAME_BATCH))
def triangular_solve(op, node, a, b):
    """What is on the other side of the diagonal is not looked at."""
    lower = node.get("lower")
    if node.get("adjoint"):
        a, lower = transposed(op, a), not lower
    return matrices.substituted(op, a, b, lower)


@ops.op("Cholesky", "BatchCholesky", needs=(SQUARE,))
def cholesky(op, node, x):
    return matrices.cholesky(op, x)
