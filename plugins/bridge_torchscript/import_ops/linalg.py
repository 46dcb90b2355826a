"""Linear algebra of small static matrices, emitted element by element."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import shape_of
from bridge.importing import ints
from bridge.ops import OpTable
from bridge.passes.decompose.linalg import (
    LARGEST,
    WIDEST,
    cholesky,
    eliminated,
    inverse,
    singular_values,
    swap_last_axes,
)
from bridge_torchscript.import_ops.common import cast, number, rank, require_torch, static_shape, torch_dtype
from bridge_torchscript.values import Unsupported

ops = OpTable()


class Matrices:
    """Registry of matrix functions in a family's table.

    Results without elements are computed by torch at import.
    """

    def __init__(self, table: OpTable) -> None:
        self.table = table

    def op(self, *names: str) -> Callable:
        """Register the decorated handler for `names`."""

        def register(handler: Callable) -> Callable:
            @functools.wraps(handler)
            def guarded(op: Any, **arguments: Any) -> Any:
                result = empty_results(op, names[0], arguments)
                return handler(op, **arguments) if result is None else result

            self.table.op(*names)(guarded)
            return handler

        return register


matrices = Matrices(ops)


def empty_results(op: Any, name: str, arguments: dict[str, Any]) -> Any:
    """Results for matrices without elements; None if a matrix or a result has elements."""
    tensors = [v for v in arguments.values() if isinstance(v, ir.Value)]
    if not any(0 in (shape_of(v) or ()) for v in tensors):
        return None
    if name in OF_NOTHING and len(tensors) == 1:
        outputs = _numpy_results(name, tensors[0])
    else:
        found = torch_results(name, {k: v for k, v in arguments.items() if v is not None})
        outputs = [p.numpy() for p in found]
    if any(0 not in static_shape(v) for v in tensors) and any(p.size for p in outputs):
        return None
    results = tuple(op.const(p) for p in outputs)
    return results if len(results) > 1 else results[0]


OF_NOTHING: dict[str, Callable[[np.ndarray], Any]] = {
    "aten::cholesky_inverse": np.linalg.inv,
    "aten::det": np.linalg.det,
    "aten::inverse": np.linalg.inv,
    "aten::linalg_cholesky": np.linalg.inv,
    "aten::linalg_eigvalsh": np.linalg.eigvalsh,
    "aten::linalg_matrix_rank": lambda x: np.zeros(x.shape[:-2], np.int64),
    "aten::linalg_pinv": np.linalg.pinv,
    "aten::linalg_svdvals": np.linalg.svdvals,
    "aten::logdet": lambda x: np.zeros(x.shape[:-2]),
    "aten::slogdet": np.linalg.slogdet,
}
"""Functions of NumPy whose results for matrices without elements are torch's."""


def _numpy_results(name: str, x: ir.Value) -> list[np.ndarray]:
    assert x.dtype is not None
    made = OF_NOTHING[name](np.zeros(static_shape(x), np.float64))
    parts = [np.asarray(p) for p in (made if isinstance(made, tuple) else (made,))]
    return [p if p.dtype == np.int64 else p.astype(x.dtype.numpy()) for p in parts]


def matrix_shape(x: ir.Value, most: int = LARGEST) -> tuple[int, int]:
    """Rows and columns of the matrices. Raises Unsupported for more than `most`."""
    *_, rows, columns = static_shape(x)
    if max(rows, columns) > most:
        raise Unsupported(f"needs matrices of at most {most} rows and columns")
    return rows, columns


def checked_singular_values(op: Any, x: ir.Value) -> ir.Value:
    """Singular values in falling order, for matrices of at most WIDEST rows and columns."""
    matrix_shape(x, WIDEST)
    return cast(op, singular_values(op, x), x.dtype)


def torch_results(name: str, arguments: dict[str, Any]) -> list[Any]:
    """torch's results for such arguments; placeholder matrices replace dynamic ones."""
    torch = require_torch(f"{name} of nothing is computed by torch alone")
    packet = getattr(torch.ops.aten, name.partition("::")[2])
    for overload in packet.overloads():
        schema = getattr(packet, overload)._schema.arguments
        formal = {a.name: a.has_default_value() for a in schema if not a.is_out}
        values = {next(iter(formal)) if k == "x" else k: v for k, v in arguments.items()}
        if len(formal) == len(schema) and {n for n in formal if not formal[n]} <= set(values) <= set(formal):
            stand_ins = {
                k: _placeholder_matrix(v) if isinstance(v, ir.Value) else v for k, v in values.items()
            }
            try:
                results = getattr(packet, overload)(**stand_ins)
            except RuntimeError:
                continue
            return list(results) if isinstance(results, (list, tuple)) else [results]
    raise Unsupported("is used in a way its rule does not read, of matrices without numbers")


def _placeholder_matrix(x: ir.Value) -> Any:
    import torch

    shape, dtype = static_shape(x), torch_dtype(x.dtype)
    if not dtype.is_floating_point:
        return torch.arange(1, (shape or [1])[-1] + 1).to(dtype).expand(shape).contiguous()
    return (
        torch.eye(*shape[-2:], dtype=dtype).expand(shape).contiguous()
        if len(shape) > 1
        else torch.ones(shape, dtype=dtype)
    )


def square_size(x: ir.Value) -> int:
    """Number of rows of square matrices. Raises Unsupported for more than LARGEST."""
    *_, rows, columns = static_shape(x)
    if rows != columns or rows > LARGEST:
        raise Unsupported(f"needs square matrices of at most {LARGEST} rows")
    return rows


@matrices.op("aten::inverse", "aten::linalg_inv")
def inv(op, x):
    square_size(x)
    return inverse(op, x)


@matrices.op("aten::linalg_inv_ex")
def inv_ex(op, x, check_errors=False):
    return inv(op, x), op.const(np.zeros(static_shape(x)[:-2], np.int32))


def solve_system(op: Any, a: ir.Value, b: ir.Value, left: bool = True) -> ir.Value:
    """Solution x of a · x = b, or of x · a = b if not `left`."""
    vector = rank(b) == 1 or (rank(b) == rank(a) - 1 and static_shape(b) == static_shape(a)[:-1])
    square_size(a)
    if not left:
        return swap_last_axes(op, solve_system(op, swap_last_axes(op, a), swap_last_axes(op, b)))
    if vector:
        b = op.Unsqueeze(b, ints(rank(b)))
    lead = list(np.broadcast_shapes(tuple(static_shape(a)[:-2]), tuple(static_shape(b)[:-2])))
    a, b = op.Expand(a, ints(*lead, *static_shape(a)[-2:])), op.Expand(b, ints(*lead, *static_shape(b)[-2:]))
    solution = eliminated(op, a, b)
    return op.Squeeze(solution, ints(rank(solution) - 1)) if vector else solution


@matrices.op("aten::linalg_solve")
def solve(op, x, B, left=True):
    return solve_system(op, x, B, left)


@matrices.op("aten::linalg_solve_ex")
def solve_ex(op, x, B, left=True, check_errors=False):
    return solve_system(op, x, B, left), op.const(np.zeros(static_shape(x)[:-2], np.int32))


def triangle(op: Any, x: ir.Value, upper: bool, unitriangular: bool) -> ir.Value:
    masked = op.Trilu(x, upper=int(upper))
    if not unitriangular:
        return masked
    eye = op.const(np.eye(static_shape(x)[-1], dtype=bool))
    return op.Where(eye, number(op, 1, x), masked)


@matrices.op("aten::linalg_solve_triangular")
def solve_triangular(op, x, B, upper, left=True, unitriangular=False):
    B = cast(op, B, x.dtype)
    return solve_system(op, triangle(op, x, bool(upper), bool(unitriangular)), B, bool(left))


@matrices.op("aten::linalg_cholesky", "aten::cholesky")
def cholesky_factor(op, x, upper=False):
    square_size(x)
    factor = cholesky(op, swap_last_axes(op, x) if upper else x)
    return swap_last_axes(op, factor) if upper else factor


@matrices.op("aten::linalg_cholesky_ex")
def cholesky_ex(op, x, upper=False, check_errors=False):
    return cholesky_factor(op, x, upper), op.const(np.zeros(static_shape(x)[:-2], np.int32))


def _gram_matrix(op: Any, x: ir.Value, upper: bool) -> ir.Value:
    factor = op.Trilu(x, upper=int(upper))
    return (
        op.MatMul(swap_last_axes(op, factor), factor)
        if upper
        else op.MatMul(factor, swap_last_axes(op, factor))
    )


@matrices.op("aten::cholesky_inverse")
def cholesky_inverse(op, x, upper=False):
    return inv(op, _gram_matrix(op, x, upper))


@matrices.op("aten::cholesky_solve")
def cholesky_solve(op, x, input2, upper=False):
    return solve_system(op, _gram_matrix(op, input2, upper), x)


@matrices.op("aten::det", "aten::linalg_det")
def det(op, x):
    return op.Det(x)


@matrices.op("aten::slogdet", "aten::linalg_slogdet")
def slogdet(op, x):
    determinant = det(op, x)
    return op.Sign(determinant), op.Log(op.Abs(determinant))


@matrices.op("aten::logdet")
def logdet(op, x):
    return op.Log(det(op, x))


@matrices.op("aten::linalg_tensorinv")
def tensorinv(op, x, ind=2):
    shape = static_shape(x)
    count = int(np.prod(shape[:ind]))
    return op.Reshape(inv(op, op.Reshape(x, ints(count, -1))), ints(*shape[ind:], *shape[:ind]))


@matrices.op("aten::linalg_tensorsolve")
def tensorsolve(op, x, other, dims=None):
    if dims is not None:
        order = [i for i in range(rank(x)) if i not in [d % rank(x) for d in dims]]
        x = op.Transpose(x, perm=[*order, *(d % rank(x) for d in dims)])
    count = int(np.prod(static_shape(other)))
    solution = solve_system(op, op.Reshape(x, ints(count, -1)), op.Reshape(other, ints(-1)))
    return op.Reshape(solution, ints(*static_shape(x)[rank(other) :]))
