"""Layers: products, convolutions, activations, recurrence, attention."""

from __future__ import annotations

import math
import string
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.geometry import halves
from bridge.importing import ints, like, shape_tensor
from bridge.ops import OpTable
from bridge.passes.decompose.linalg import inverse
from bridge_torchscript.import_ops.common import axes, axis, number, rank, spatial, static
from bridge_torchscript.import_ops.pool import batched
from bridge_torchscript.import_ops.reduce import norm_of
from bridge_torchscript.values import Unsupported

ops = OpTable()


def turned(op: Any, x: ir.Value) -> ir.Value:
    """The last two dimensions swapped; constants swapped now."""
    order = [*range(rank(x) - 2), rank(x) - 1, rank(x) - 2]
    return op.Transpose(x, perm=order)


@ops.op("aten::linear")
def linear(op, x, weight, bias=None):
    width, wanted = x.shape[-1] if x.shape else None, weight.shape[-1] if weight.shape else None
    if isinstance(width, int) and isinstance(wanted, int) and width != wanted:
        raise Unsupported(f"needs {wanted} columns, not {width}; describe the inputs so")
    if rank(x) == 2 and rank(weight) == 2 and (bias is None or rank(bias) == 1):
        return op.Gemm(x, weight, bias, transB=1)
    made = op.MatMul(x, turned(op, weight) if rank(weight) > 1 else weight)
    return made if bias is None else op.Add(made, bias)


@ops.op("aten::matmul", "aten::mm", "aten::bmm", "aten::mv", "aten::dot", "aten::vdot", "aten::linalg_matmul", "aten::chain_matmul", "aten::__rmatmul__")  # fmt: skip
def matmul(op, x, other=None, mat2=None, vec=None, tensor=None, tensor2=None):
    second = next(v for v in (other, mat2, vec, tensor, tensor2) if v is not None)
    return op.MatMul(x, second)


@ops.op("aten::inner")
def inner(op, x, other):
    if not rank(x) or not rank(other):
        return op.Mul(x, other)
    return (
        op.MatMul(x, turned(op, other) if rank(other) > 1 else other)
        if rank(other) < 3
        else _tensordot(op, x, other, [-1], [-1])
    )


@ops.op("aten::outer", "aten::ger")
def outer(op, x, vec2):
    return op.Mul(op.Unsqueeze(x, ints(1)), op.Unsqueeze(vec2, ints(0)))


def _scaled(op: Any, value: ir.Value, factor: Any) -> ir.Value:
    return value if factor == 1 else op.Mul(value, number(op, factor, value))


def _sum_of(op: Any, x: ir.Value, product: ir.Value, beta: Any, alpha: Any) -> ir.Value:
    product = _scaled(op, product, alpha)
    return op.Identity(product) if beta == 0 else op.Add(_scaled(op, x, beta), product)


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
        return _sum_of(op, x, outer(op, vec1, vec2), beta, alpha)
    first = next(v for v in (mat1, mat, batch1) if v is not None)
    second = next(v for v in (mat2, vec, batch2) if v is not None)
    return _sum_of(op, x, op.MatMul(first, second), beta, alpha)


@ops.op("aten::addbmm")
def addbmm(op, x, batch1, batch2, beta=1, alpha=1):
    return _sum_of(op, x, op.ReduceSum(op.MatMul(batch1, batch2), ints(0), keepdims=0), beta, alpha)


@ops.op("aten::linalg_multi_dot")
def multi_dot(op, tensors):
    result = tensors[0]
    for value in tensors[1:]:
        result = op.MatMul(result, value)
    return result


@ops.op("aten::linalg_vecdot")
def vecdot(op, x, y, dim=-1):
    made = op.Mul(x, y)
    return op.ReduceSum(made, ints(axis(made, dim)), keepdims=0)


@ops.op("aten::linalg_cross", "aten::cross")
def cross(op, x, other, dim=-1):
    if dim is None:
        dim = static(x).index(3)
    shape = [max(a, b) for a, b in zip(static(x), static(other), strict=True)]
    x, other = (op.Expand(v, ints(*shape)) for v in (x, other))
    at = axis(x, dim)
    one, two = (np.array([1, 2, 0]), np.array([2, 0, 1]))
    left = op.Mul(op.Gather(x, one, axis=at), op.Gather(other, two, axis=at))
    return op.Sub(left, op.Mul(op.Gather(x, two, axis=at), op.Gather(other, one, axis=at)))


@ops.op("aten::einsum")
def einsum(op, equation, tensors, path=None):
    """torch sums over what an ellipsis stands for when the result has none; ONNX has to name it for that."""
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
        if static(x)[i] != static(other)[j]:
            x = op.ReduceSum(x, ints(i)) if static(x)[i] != 1 else x
            other = op.ReduceSum(other, ints(j)) if static(other)[j] != 1 else other
    a, b = static(x), static(other)
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
def kron(op, x, other):
    count = max(rank(x), rank(other))
    one, two = ([1] * (count - rank(v)) + static(v) for v in (x, other))
    left = op.Reshape(x, ints(*(n for size in one for n in (size, 1))))
    right = op.Reshape(other, ints(*(n for size in two for n in (1, size))))
    return op.Reshape(op.Mul(left, right), ints(*(a * b for a, b in zip(one, two, strict=True))))


@ops.op("aten::bilinear")
def bilinear(op, input1, input2, weight, bias=None):
    made = op.Einsum(input1, weight, input2, equation="...i,oij,...j->...o")
    return made if bias is None else op.Add(made, bias)


@ops.op("aten::cdist")
def cdist(op, x1, x2, p=2.0, compute_mode=None):
    gap = op.Sub(op.Unsqueeze(x1, ints(-2)), op.Unsqueeze(x2, ints(-3)))
    return norm_of(op, gap, p, [-1], False)


@ops.op("aten::pdist")
def pdist(op, x, p=2.0):
    one, two = np.triu_indices(static(x)[0], 1)
    gap = op.Sub(op.Gather(x, op.const(one), axis=0), op.Gather(x, op.const(two), axis=0))
    return norm_of(op, gap, p, [-1], False)


@ops.op("aten::matrix_power", "aten::linalg_matrix_power")
def matrix_power(op, x, n):
    if n < 0:
        return matrix_power(op, inverse(op, x), -n)
    if n == 0:
        eye = op.const(np.eye(static(x)[-1], dtype=x.dtype.numpy()))
        return op.Expand(eye, shape_tensor(op, x))
    result = x
    for _ in range(n - 1):
        result = op.MatMul(result, x)
    return op.Identity(result)


@ops.op("aten::vander", "aten::linalg_vander")
def vander(op, x, N=None, increasing=True):
    x, count = (op.Reshape(x, ints(1)) if not rank(x) else x), N or static(x)[-1]
    powers = [op.Expand(number(op, 1, x), shape_tensor(op, x))]
    for _ in range(count - 1):
        powers.append(op.Mul(powers[-1], x))
    powers = powers[:count] if increasing else powers[:count][::-1]
    return op.Concat(*(op.Unsqueeze(p, ints(-1)) for p in powers), axis=-1)


def convolved(
    op: Any, x: ir.Value, weight: ir.Value, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    count = rank(weight) - 2
    extra: dict[str, Any] = {}
    if isinstance(padding, str):
        if padding == "same":
            reach = [d * (k - 1) for d, k in zip(spatial(dilation, count), static(weight)[2:], strict=True)]
            before, after = zip(*(halves(r, upper=True) for r in reach), strict=True)
            extra["pads"] = [*before, *after]
    else:
        extra["pads"] = spatial(padding, count) * 2
    return batched(
        op,
        x,
        count,
        lambda v: op.Conv(
            v,
            weight,
            bias,
            strides=spatial(stride, count),
            dilations=spatial(dilation, count),
            group=groups,
            **extra,
        ),
    )


@ops.op("aten::conv1d", "aten::conv2d", "aten::conv3d")
def conv(op, x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    return convolved(op, x, weight, bias, stride, padding, dilation, groups)


@ops.op("aten::conv_transpose1d", "aten::conv_transpose2d", "aten::conv_transpose3d")
def conv_transpose(op, x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    count = rank(weight) - 2
    pads, extra = spatial(padding, count), spatial(output_padding, count)
    steps = spatial(stride, count)
    far = any(e >= s for e, s in zip(extra, steps, strict=True))
    after = [p - e for p, e in zip(pads, extra, strict=True)] if far else pads
    shared = {"strides": steps, "dilations": spatial(dilation, count), "group": groups}

    def make(v: ir.Value) -> ir.Value:
        if not far:
            return op.ConvTranspose(v, weight, bias, pads=[*pads, *pads], output_padding=extra, **shared)
        whole = op.ConvTranspose(v, weight, None, **shared)
        cut = op.Pad(whole, ints(0, 0, *(-p for p in pads), 0, 0, *(-a for a in after)))
        return cut if bias is None else op.Add(cut, op.Reshape(bias, ints(-1, *[1] * count)))

    return batched(op, x, count, make)


@ops.op("aten::_convolution", "aten::convolution", "aten::_convolution_mode")
def convolution(
    op, x, weight, bias=None, stride=1, padding=0, dilation=1, transposed=False, output_padding=0, groups=1
):
    if transposed:
        return conv_transpose(op, x, weight, bias, stride, padding, output_padding, groups, dilation)
    return convolved(op, x, weight, bias, stride, padding, dilation, groups)


@ops.op("aten::dropout")
def dropout(op, x, p=0.5, train=False):
    """Drops only when the module was saved in training mode."""
    if not train or not p:
        return op.Identity(x)
    if p == 1:
        return op.Mul(x, like(op, x))
    return op.Dropout(x, np.array(p, np.float32), np.array(True))


@ops.op("aten::feature_dropout")
def feature_dropout(op, x, p=0.5, train=False):
    """Whole channels at random."""
    if not train or not p:
        return op.Identity(x)
    if p == 1:
        return op.Mul(x, like(op, x))
    kept = _kept(op, [*static(x)[:2], *[1] * (rank(x) - 2)], p)
    return op.Mul(x, op.Div(op.Cast(kept, to=int(x.dtype)), number(op, 1 - p, x)))


def _kept(op: Any, shape: list[int], p: float) -> ir.Value:
    return op.Less(op.RandomUniform(shape=shape or [1]), np.array(1 - p, np.float32))


def alpha_dropped(name: str, whole: bool) -> None:
    @ops.op(f"aten::{name}")
    def drop(op, x, p=0.5, train=False):
        """To the negative limit of SELU, mean and variance restored."""
        if not train or not p:
            return op.Identity(x)
        limit = -1.7580993408473766
        a = 1 / math.sqrt((1 - p) * (1 + p * limit**2)) if p < 1 else 0.0
        kept = _kept(op, [*static(x)[:2], *[1] * (rank(x) - 2)] if whole else static(x), p)
        mixed = op.Where(kept, x, number(op, limit, x))
        return op.Add(op.Mul(mixed, number(op, a, x)), number(op, -a * p * limit, x))


alpha_dropped("alpha_dropout", False)
alpha_dropped("feature_alpha_dropout", True)


@ops.op("aten::relu6")
def relu6(op, x):
    return op.Clip(x, number(op, 0, x), number(op, 6, x))


@ops.op("aten::hardtanh")
def hardtanh(op, x, min_val=-1, max_val=1):
    return op.Clip(x, number(op, min_val, x), number(op, max_val, x))


@ops.op("aten::hardsigmoid")
def hardsigmoid(op, x):
    return op.HardSigmoid(x, alpha=1 / 6, beta=0.5)


@ops.op("aten::leaky_relu")
def leaky_relu(op, x, negative_slope=0.01):
    return op.LeakyRelu(x, alpha=float(negative_slope))


@ops.op("aten::elu")
def elu(op, x, alpha=1, scale=1, input_scale=1):
    inner = (
        op.Elu(_scaled(op, x, input_scale), alpha=float(alpha))
        if input_scale != 1
        else op.Elu(x, alpha=float(alpha))
    )
    return _scaled(op, inner if input_scale == 1 else op.Where(op.Greater(x, like(op, x)), x, inner), scale)


@ops.op("aten::selu")
def selu(op, x):
    return op.Selu(x)


@ops.op("aten::celu")
def celu(op, x, alpha=1.0):
    return op.Celu(x, alpha=float(alpha))


@ops.op("aten::gelu")
def gelu(op, x, approximate="none"):
    return op.Gelu(x, approximate=approximate)


@ops.op("aten::silu")
def silu(op, x):
    return op.Mul(x, op.Sigmoid(x))


@ops.op("aten::softplus")
def softplus(op, x, beta=1, threshold=20):
    made = op.Softplus(_scaled(op, x, beta))
    made = made if beta == 1 else op.Div(made, number(op, beta, x))
    return op.Where(op.Greater(_scaled(op, x, beta), number(op, threshold, x)), x, made)


@ops.op("aten::softsign")
def softsign(op, x):
    return op.Softsign(x)


@ops.op("aten::softshrink")
def softshrink(op, x, lambd=0.5):
    return op.Shrink(x, bias=float(lambd), lambd=float(lambd))


@ops.op("aten::hardshrink")
def hardshrink(op, x, lambd=0.5):
    inside = op.LessOrEqual(op.Abs(x), number(op, lambd, x))
    return op.Where(inside, like(op, x), x)


@ops.op("aten::tanhshrink")
def tanhshrink(op, x):
    return op.Sub(x, op.Tanh(x))


@ops.op("aten::threshold")
def threshold(op, x, threshold, value):
    return op.Where(op.LessOrEqual(x, number(op, threshold, x)), number(op, value, x), x)


@ops.op("aten::log_sigmoid")
def log_sigmoid(op, x):
    return op.Neg(op.Softplus(op.Neg(x)))


@ops.op("aten::prelu")
def prelu(op, x, weight):
    if rank(weight) == 1 and rank(x) > 2:
        weight = op.Reshape(weight, ints(-1, *[1] * (rank(x) - 2)))
    return op.Where(
        op.Greater(x, like(op, x)), x, op.Mul(x, weight if rank(x) else op.Reshape(weight, ints()))
    )


@ops.op("aten::_prelu_kernel")
def prelu_kernel(op, x, weight):
    return op.Where(op.Greater(x, like(op, x)), x, op.Mul(x, weight))


@ops.op("aten::rrelu")
def rrelu(op, x, lower=1 / 8, upper=1 / 3, training=False):
    if not training:
        return op.LeakyRelu(x, alpha=(lower + upper) / 2)
    slopes = op.RandomUniform(shape=static(x) or [1], low=float(lower), high=float(upper))
    slopes = slopes if rank(x) else op.Reshape(slopes, ints())
    return op.Where(op.Less(x, like(op, x)), op.Mul(x, slopes), x)


@ops.op("aten::glu")
def glu(op, x, dim=-1):
    a, b = op.Split(x, axis=axis(x, dim), num_outputs=2, _outputs=2)
    return op.Mul(a, op.Sigmoid(b))
