"""Products of matrices and vectors, and distances between rows."""

from __future__ import annotations

import math
import string
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.importing import ints, shape_tensor
from bridge.ops import OpTable
from bridge.passes.decompose.linalg import inverse
from bridge_torchscript.import_ops.common import (
    axes,
    axis,
    multiply_by,
    number,
    promote,
    promoting,
    rank,
    static_shape,
    swap_last_axes,
)
from bridge_torchscript.import_ops.reduce import norm_of
from bridge_torchscript.import_ops.signal_fft import alike, as_complex, component, pair
from bridge_torchscript.values import Complex

ops = OpTable()


MATMUL = "matmul mm bmm mv dot vdot linalg_matmul chain_matmul __rmatmul__"


@ops.op(*(f"aten::{name}" for name in MATMUL.split()))
def matmul(op, x, other=None, mat2=None, vec=None, tensor=None, tensor2=None):
    second = next(v for v in (other, mat2, vec, tensor, tensor2) if v is not None)
    if isinstance(x, Complex) or isinstance(second, Complex):
        return _complex_product(op, as_complex(op, x), as_complex(op, second))
    return op.MatMul(x, second)


def _complex_product(op: Any, x: Complex, other: Complex) -> Complex:
    (a, b), (c, d) = ([component(op, v, i) for i in (0, 1)] for v in alike(op, x, other))
    real = op.Sub(op.MatMul(a, c), op.MatMul(b, d))
    return pair(op, real, op.Add(op.MatMul(a, d), op.MatMul(b, c)))


@ops.op("aten::inner")
@promoting("x", "other")
def inner(op, x, other):
    if not rank(x) or not rank(other):
        return op.Mul(x, other)
    return (
        op.MatMul(x, swap_last_axes(op, other) if rank(other) > 1 else other)
        if rank(other) < 3
        else _tensordot(op, x, other, [-1], [-1])
    )


@ops.op("aten::outer", "aten::ger")
@promoting("x", "vec2")
def outer(op, x, vec2):
    return op.Mul(op.Unsqueeze(x, ints(1)), op.Unsqueeze(vec2, ints(0)))


def _add_scaled(op: Any, x: ir.Value, product: ir.Value, beta: Any, alpha: Any) -> ir.Value:
    product = multiply_by(op, product, alpha)
    return op.Identity(product) if beta == 0 else op.Add(multiply_by(op, x, beta), product)


@ops.op("aten::addmm", "aten::addmv", "aten::baddbmm", "aten::addr")
def addmm(
    op,
    x,
    mat1=None,
    mat2=None,
    mat=None,
    vec=None,
    batch1=None,
    batch2=None,
    vec1=None,
    vec2=None,
    beta=1,
    alpha=1,
):
    if vec1 is not None:
        x, product = promote(op, op.Unsqueeze(x, ints(0)) if not rank(x) else x, outer(op, vec1, vec2))
        return _add_scaled(op, x, product, beta, alpha)
    first = next(v for v in (mat1, mat, batch1) if v is not None)
    second = next(v for v in (mat2, vec, batch2) if v is not None)
    return _add_scaled(op, x, op.MatMul(first, second), beta, alpha)


@ops.op("aten::addbmm")
def addbmm(op, x, batch1, batch2, beta=1, alpha=1):
    return _add_scaled(op, x, op.ReduceSum(op.MatMul(batch1, batch2), ints(0), keepdims=0), beta, alpha)


@ops.op("aten::linalg_multi_dot")
def multi_dot(op, tensors):
    result = tensors[0]
    for value in tensors[1:]:
        result = op.MatMul(result, value)
    return result


@ops.op("aten::linalg_vecdot")
@promoting("x", "y")
def vecdot(op, x, y, dim=-1):
    product = op.Mul(x, y)
    return op.ReduceSum(product, ints(axis(product, dim)), keepdims=0)


@ops.op("aten::linalg_cross", "aten::cross")
@promoting("x", "other")
def cross(op, x, other, dim=-1):
    if dim is None:
        dim = static_shape(x).index(3)
    shape = [max(a, b) for a, b in zip(static_shape(x), static_shape(other), strict=True)]
    x, other = (op.Expand(v, ints(*shape)) for v in (x, other))
    at = axis(x, dim)
    one, two = (np.array([1, 2, 0]), np.array([2, 0, 1]))
    left = op.Mul(op.Gather(x, one, axis=at), op.Gather(other, two, axis=at))
    return op.Sub(left, op.Mul(op.Gather(x, two, axis=at), op.Gather(other, one, axis=at)))


@ops.op("aten::einsum")
@promoting("tensors")
def einsum(op, equation, tensors, path=None):
    """Einstein sum.

    ONNX needs a letter for each ellipsis dimension if the result has none; torch sums over them.
    """
    terms, arrow, result = equation.replace(" ", "").partition("->")
    if arrow and "..." in terms and "..." not in result:
        free = [letter for letter in string.ascii_letters if letter not in equation]
        named = []
        for term, value in zip(terms.split(","), tensors, strict=True):
            width = rank(value) - len(term.replace("...", ""))
            named.append(term.replace("...", "".join(free[-width:] if width else "")))
        terms = ",".join(named)
    return op.Einsum(*tensors, equation=terms + arrow + result)


def _tensordot(op: Any, x: ir.Value, other: ir.Value, dims_self: Any, dims_other: Any) -> ir.Value:
    one, two = axes(x, dims_self) if dims_self else [], axes(other, dims_other) if dims_other else []
    for i, j in zip(one, two, strict=True):
        if static_shape(x)[i] != static_shape(other)[j]:
            x = op.ReduceSum(x, ints(i)) if static_shape(x)[i] != 1 else x
            other = op.ReduceSum(other, ints(j)) if static_shape(other)[j] != 1 else other
    a, b = static_shape(x), static_shape(other)
    free = [i for i in range(len(a)) if i not in one], [i for i in range(len(b)) if i not in two]
    count = math.prod(a[i] for i in one)
    left = op.Reshape(op.Transpose(x, perm=[*free[0], *one]), ints(math.prod(a[i] for i in free[0]), count))
    right = op.Reshape(
        op.Transpose(other, perm=[*two, *free[1]]), ints(count, math.prod(b[i] for i in free[1]))
    )
    return op.Reshape(op.MatMul(left, right), ints(*(a[i] for i in free[0]), *(b[i] for i in free[1])))


@ops.op("aten::tensordot")
def tensordot(op, x, other, dims_self, dims_other):
    return _tensordot(op, x, other, dims_self, dims_other)


@ops.op("aten::kron")
@promoting("x", "other")
def kron(op, x, other):
    count = max(rank(x), rank(other))
    one, two = ([1] * (count - rank(v)) + static_shape(v) for v in (x, other))
    left = op.Reshape(x, ints(*(n for size in one for n in (size, 1))))
    right = op.Reshape(other, ints(*(n for size in two for n in (1, size))))
    return op.Reshape(op.Mul(left, right), ints(*(a * b for a, b in zip(one, two, strict=True))))


@ops.op("aten::bilinear")
def bilinear(op, input1, input2, weight, bias=None):
    product = op.Einsum(input1, weight, input2, equation="...i,oij,...j->...o")
    return product if bias is None else op.Add(product, bias)


@ops.op("aten::cdist", "aten::_cdist_forward")
@promoting("x1", "x2")
def cdist(op, x1, x2, p=2.0, compute_mode=None):
    gap = op.Sub(op.Unsqueeze(x1, ints(-2)), op.Unsqueeze(x2, ints(-3)))
    return norm_of(op, gap, p, [-1], False)


@ops.op("aten::pdist", "aten::_pdist_forward")
def pdist(op, x, p=2.0):
    one, two = np.triu_indices(static_shape(x)[0], 1)
    gap = op.Sub(op.Gather(x, op.const(one), axis=0), op.Gather(x, op.const(two), axis=0))
    return norm_of(op, gap, p, [-1], False)


@ops.op("aten::matrix_power", "aten::linalg_matrix_power")
def matrix_power(op, x, n):
    if n < 0:
        return matrix_power(op, inverse(op, x), -n)
    if n == 0:
        eye = op.const(np.eye(static_shape(x)[-1], dtype=x.dtype.numpy()))
        return op.Expand(eye, shape_tensor(op, x))
    result = x
    for _ in range(n - 1):
        result = op.MatMul(result, x)
    return op.Identity(result)


@ops.op("aten::vander", "aten::linalg_vander")
def vander(op, x, N=None, increasing=True):
    x, count = (op.Reshape(x, ints(1)) if not rank(x) else x), N or static_shape(x)[-1]
    powers = [op.Expand(number(op, 1, x), shape_tensor(op, x))]
    for _ in range(count - 1):
        powers.append(op.Mul(powers[-1], x))
    powers = powers[:count] if increasing else powers[:count][::-1]
    return op.Concat(*(op.Unsqueeze(p, ints(-1)) for p in powers), axis=-1)
