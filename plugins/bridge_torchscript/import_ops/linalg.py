"""Linear algebra of small matrices of static size, step by step."""

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
    transposed,
)
from bridge_torchscript.import_ops.common import cast, code_of, number, rank, static
from bridge_torchscript.values import Unsupported

ops = OpTable()


class Matrices:
    """Registers functions of matrices in a family's table; results without elements are those torch gives."""

    def __init__(self, table: OpTable) -> None:
        self.table = table

    def op(self, *names: str) -> Callable:
        """Register the decorated handler for `names`."""

        def register(handler: Callable) -> Callable:
            @functools.wraps(handler)
            def guarded(op: Any, **arguments: Any) -> Any:
                result = empty(op, names[0], arguments)
                return handler(op, **arguments) if result is None else result

            self.table.op(*names)(guarded)
            return handler

        return register


matrices = Matrices(ops)


def empty(op: Any, name: str, arguments: dict[str, Any]) -> Any:
    """Results for matrices without elements; None where results or matrices have some."""
    tensors = [v for v in arguments.values() if isinstance(v, ir.Value)]
    if not any(0 in (shape_of(v) or ()) for v in tensors):
        return None
    parts = hollow(name, {k: v for k, v in arguments.items() if v is not None})
    if any(0 not in static(v) for v in tensors) and any(p.numel() for p in parts):
        return None
    found = tuple(op.const(p.numpy()) for p in parts)
    return found if len(found) > 1 else found[0]


def sides(x: ir.Value, most: int = LARGEST) -> tuple[int, int]:
    """Rows and columns, of which there may be so many."""
    *_, rows, columns = static(x)
    if max(rows, columns) > most:
        raise Unsupported(f"needs matrices of at most {most} rows and columns")
    return rows, columns


def singular(op: Any, x: ir.Value) -> ir.Value:
    """Singular values, the largest first."""
    sides(x, WIDEST)
    return cast(op, singular_values(op, x), x.dtype)


def hollow(name: str, arguments: dict[str, Any]) -> list[Any]:
    """The tensors torch makes of such arguments; matrices that have numbers stand for any."""
    import torch

    packet = getattr(torch.ops.aten, name.partition("::")[2])
    for overload in packet.overloads():
        schema = getattr(packet, overload)._schema.arguments
        formal = {a.name: a.has_default_value() for a in schema if not a.is_out}
        given = {next(iter(formal)) if k == "x" else k: v for k, v in arguments.items()}
        if len(formal) == len(schema) and {n for n in formal if not formal[n]} <= set(given) <= set(formal):
            stand_ins = {k: _any_matrix(v) if isinstance(v, ir.Value) else v for k, v in given.items()}
            try:
                results = getattr(packet, overload)(**stand_ins)
            except RuntimeError:
                continue
            return list(results) if isinstance(results, (list, tuple)) else [results]
    raise Unsupported("is used in a way its rule does not read, of matrices without numbers")


def _any_matrix(x: ir.Value) -> Any:
    import torch

    shape, dtype = static(x), code_of(x.dtype)
    if not dtype.is_floating_point:
        return torch.arange(1, (shape or [1])[-1] + 1).to(dtype).expand(shape).contiguous()
    return (
        torch.eye(*shape[-2:], dtype=dtype).expand(shape).contiguous()
        if len(shape) > 1
        else torch.ones(shape, dtype=dtype)
    )


def size_of(x: ir.Value) -> int:
    *_, rows, columns = static(x)
    if rows != columns or rows > LARGEST:
        raise Unsupported(f"needs square matrices of at most {LARGEST} rows")
    return rows


@matrices.op("aten::inverse", "aten::linalg_inv")
def inv(op, x):
    size_of(x)
    return inverse(op, x)


@matrices.op("aten::linalg_inv_ex")
def inv_ex(op, x, check_errors=False):
    return inv(op, x), op.const(np.zeros(static(x)[:-2], np.int32))


def solved(op: Any, a: ir.Value, b: ir.Value, left: bool = True) -> ir.Value:
    """a · x = b, or x · a = b."""
    vector = rank(b) == 1 or (rank(b) == rank(a) - 1 and static(b) == static(a)[:-1])
    size_of(a)
    if not left:
        return transposed(op, solved(op, transposed(op, a), transposed(op, b)))
    if vector:
        b = op.Unsqueeze(b, ints(rank(b)))
    lead = list(np.broadcast_shapes(tuple(static(a)[:-2]), tuple(static(b)[:-2])))
    a, b = op.Expand(a, ints(*lead, *static(a)[-2:])), op.Expand(b, ints(*lead, *static(b)[-2:]))
    made = eliminated(op, a, b)
    return op.Squeeze(made, ints(rank(made) - 1)) if vector else made


@matrices.op("aten::linalg_solve")
def solve(op, x, B, left=True):
    return solved(op, x, B, left)


@matrices.op("aten::linalg_solve_ex")
def solve_ex(op, x, B, left=True, check_errors=False):
    return solved(op, x, B, left), op.const(np.zeros(static(x)[:-2], np.int32))


def triangle(op: Any, x: ir.Value, upper: bool, unitriangular: bool) -> ir.Value:
    kept = op.Trilu(x, upper=int(upper))
    if not unitriangular:
        return kept
    eye = op.const(np.eye(static(x)[-1], dtype=bool))
    return op.Where(eye, number(op, 1, x), kept)


@matrices.op("aten::linalg_solve_triangular")
def solve_triangular(op, x, B, upper, left=True, unitriangular=False):
    return solved(op, triangle(op, x, bool(upper), bool(unitriangular)), B, bool(left))


@matrices.op("aten::linalg_cholesky", "aten::cholesky")
def cholesky_factor(op, x, upper=False):
    size_of(x)
    made = cholesky(op, transposed(op, x) if upper else x)
    return transposed(op, made) if upper else made


@matrices.op("aten::linalg_cholesky_ex")
def cholesky_ex(op, x, upper=False, check_errors=False):
    return cholesky_factor(op, x, upper), op.const(np.zeros(static(x)[:-2], np.int32))


def _product(op: Any, x: ir.Value, upper: bool) -> ir.Value:
    kept = op.Trilu(x, upper=int(upper))
    return op.MatMul(transposed(op, kept), kept) if upper else op.MatMul(kept, transposed(op, kept))


@matrices.op("aten::cholesky_inverse")
def cholesky_inverse(op, x, upper=False):
    return inv(op, _product(op, x, upper))


@matrices.op("aten::cholesky_solve")
def cholesky_solve(op, x, input2, upper=False):
    return solved(op, _product(op, input2, upper), x)


@matrices.op("aten::det", "aten::linalg_det")
def det(op, x):
    return op.Det(x)


@matrices.op("aten::slogdet", "aten::linalg_slogdet")
def slogdet(op, x):
    found = det(op, x)
    return op.Sign(found), op.Log(op.Abs(found))


@matrices.op("aten::logdet")
def logdet(op, x):
    return op.Log(det(op, x))


@matrices.op("aten::linalg_tensorinv")
def tensorinv(op, x, ind=2):
    shape = static(x)
    count = int(np.prod(shape[:ind]))
    return op.Reshape(inv(op, op.Reshape(x, ints(count, -1))), ints(*shape[ind:], *shape[:ind]))


@matrices.op("aten::linalg_tensorsolve")
def tensorsolve(op, x, other, dims=None):
    if dims is not None:
        order = [i for i in range(rank(x)) if i not in [d % rank(x) for d in dims]]
        x = op.Transpose(x, perm=[*order, *(d % rank(x) for d in dims)])
    count = int(np.prod(static(other)))
    made = solved(op, op.Reshape(x, ints(count, -1)), op.Reshape(other, ints(-1)))
    return op.Reshape(made, ints(*static(x)[rank(other) :]))
