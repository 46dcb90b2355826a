"""Factors of matrices whose numbers are one choice alone, and systems solved by way of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import rank_of, shape_of
from bridge.importing import as_dtype, attribute, ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose import linalg as matrices
from bridge.passes.decompose.linalg import LARGEST, WIDEST, row, transposed
from bridge_savedmodel.import_ops.common import T, ranked
from bridge_savedmodel.import_ops.matrix import SQUARE

ops = OpTable()

REAL = attribute("T", T.FLOAT, T.DOUBLE)


def _sized(most: int) -> Any:
    def holds(node: Any) -> bool:
        size = list(node.inputs[0].shape or [])[-2:]
        return len(size) == 2 and all(isinstance(d, int) and 0 < d <= most for d in size)

    return condition(f"matrices of known size, at most {most} × {most}", holds)


SIZED, TURNED = _sized(LARGEST), _sized(WIDEST)


@ops.op("Lu", needs=(SQUARE, REAL))
def lower_upper(op, node, x):
    """Factors in one matrix, below and above its diagonal, and the row that each row was; by the largest
    pivot of each column."""
    packed, _, order = matrices.factored(op, x)
    return packed, op.Cast(op.Squeeze(order, ints(-1)), to=int(node.get("output_idx_type")))


@ops.op("Qr", needs=(SIZED, REAL))
def orthogonal_upper(op, node, x):
    return matrices.orthogonal_upper(op, x, node.get("full_matrices"))


VALUES_ALONE = "the values alone: each library chooses the signs of the vectors by itself"


def _alone(*names: str) -> Any:
    return condition(VALUES_ALONE, lambda n: not any(n.get(name) for name in names))


@ops.op("SelfAdjointEigV2", "BatchSelfAdjointEigV2", needs=(TURNED, REAL, _alone("compute_v")))
def eigenvalues(op, node, x):
    """What is above the diagonal is not looked at."""
    found = matrices.eigenvalues(op, matrices.symmetric(op, x))
    return as_dtype(op, found, x.dtype), op.const(np.zeros(0, x.dtype.numpy()))


@ops.op("Svd", "BatchSvd", needs=(TURNED, REAL, _alone("compute_uv")))
def singular_values(op, node, x):
    none = op.const(np.zeros(0, x.dtype.numpy()))
    return as_dtype(op, matrices.singular_values(op, x), x.dtype), none, none


@ops.op("MatrixSolveLs", "BatchMatrixSolveLs", needs=(SIZED, REAL, attribute("fast", True)))
def least_squares(op, node, x, right, regular):
    """By the normal equations; with fewer rows than columns, the smallest solution."""
    rows, columns = list(x.shape)[-2:]
    size = min(rows, columns)
    eye = op.Mul(op.Cast(regular, to=int(x.dtype)), op.const(np.eye(size, dtype=x.dtype.numpy())))
    other = transposed(op, x)
    whole = op.Add(op.MatMul(other, x) if rows >= columns else op.MatMul(x, other), eye)
    whole.shape = ir.Shape([*list(x.shape)[:-2], size, size])
    if rows >= columns:
        return matrices.eliminated(op, whole, op.MatMul(other, right))
    return op.MatMul(other, matrices.eliminated(op, whole, right))


def _shifted(op: Any, diagonal: Any, by: int, size: int) -> Any:
    """A vector [..., 1, n] as the diagonal of [..., n, n] that lies `by` above the main one, its element k in
    row k."""
    return op.Mul(transposed(op, diagonal), op.const(np.eye(size, k=by).astype(diagonal.dtype.numpy())))


def _diagonals(node: Any) -> bool:
    size = list(node.inputs[0].shape or [])
    return len(size) >= 2 and size[-2] == 3 and isinstance(size[-1], int) and 0 < size[-1] <= LARGEST


@ops.op(
    "TridiagonalSolve",
    needs=(condition(f"three diagonals of known size, at most {LARGEST}", _diagonals), ranked(1)),
)
def tridiagonal_solve(op, node, diagonals, right):
    """The diagonals in a matrix, which is eliminated."""
    size = list(diagonals.shape)[-1]
    upper, main, lower = (row(op, diagonals, n) for n in range(3))
    whole = op.Add(
        op.Add(_shifted(op, upper, 1, size), _shifted(op, main, 0, size)), _shifted(op, lower, -1, size)
    )
    whole.shape = ir.Shape([*list(diagonals.shape)[:-2], size, size])
    return matrices.eliminated(op, whole, right)


def _bands(node: Any) -> bool:
    size = shape_of(node.inputs[0])
    return size is not None and len(size) == 2 and rank_of(node.inputs[1]) == 2 and 0 < size[1] <= LARGEST


@ops.op("BandedTriangularSolve", needs=(condition("one matrix of bands of known size", _bands),))
def banded_triangular_solve(op, node, bands, right):
    """Bands from the upper to the lower one in a matrix, column by column."""
    count, size = list(bands.shape)
    lower = node.get("lower")
    whole: Any = None
    for n in range(count):
        by = -n if lower else count - 1 - n
        own = _shifted(op, row(op, bands, n), by, size)
        if lower:
            own = op.Mul(
                transposed(op, row(op, bands, n)), op.const(np.eye(size, k=by).astype(bands.dtype.numpy()))
            )
        whole = own if whole is None else op.Add(whole, own)
    whole.shape = ir.Shape([size, size])
    if node.get("adjoint"):
        whole, lower = transposed(op, whole), not lower
    return matrices.substituted(op, whole, right, lower)
