"""Shared helpers of the families: dtypes, numbers as tensors, type promotion, shapes."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import vector
from bridge.errors import MissingDependency
from bridge.hub import const, rank_of, shape_of
from bridge.importing import ints
from bridge_torchscript.dtypes import TORCH_DTYPES
from bridge_torchscript.values import Poison, Sym, Unsupported

T = ir.DataType
BY_CODE = {entry.code: dtype for dtype, entry in TORCH_DTYPES.items()}
FLOATS = (T.FLOAT, T.DOUBLE, T.FLOAT16, T.BFLOAT16)
FLOAT8 = (T.FLOAT8E4M3FN, T.FLOAT8E4M3FNUZ, T.FLOAT8E5M2, T.FLOAT8E5M2FNUZ)
TINY = (*FLOAT8, T.FLOAT8E8M0)
WIDE_UNSIGNED = (T.UINT16, T.UINT32, T.UINT64)
INT64 = np.int64


@functools.cache
def parameters_of(handler: Callable[..., Any]) -> frozenset[str]:
    """Names of a handler's parameters, without the builder."""
    return frozenset(list(inspect.signature(handler).parameters)[1:])


def dtype_of(code: Any) -> ir.DataType:
    """Hub dtype of a c10::ScalarType."""
    if not isinstance(code, int) or code not in BY_CODE:
        raise Unsupported(f"makes a dtype the hub has not ({code})")
    return BY_CODE[code]


def dtype_or(code: Any, default: ir.DataType) -> ir.DataType:
    """Hub dtype of a c10::ScalarType; `default` for None."""
    return default if code is None else dtype_of(code)


def rank(x: ir.Value) -> int:
    """Rank of `x`. Raises Unsupported if unknown."""
    result = rank_of(x)
    if result is None:
        raise Unsupported("needs a tensor whose rank can be known")
    return result


def dims_of(x: ir.Value) -> list[Any]:
    """Dimensions of `x` as ints or symbols. Raises Unsupported if the rank is unknown."""
    rank(x)
    return list(x.shape or ())


def axis(x: ir.Value, dim: int, extra: int = 0) -> int:
    """Axis `dim` counted from the start; `extra` axes are about to be added."""
    count = rank(x) + extra
    return int(dim) % count if count else 0


def axes(x: ir.Value, dims: Any) -> list[int]:
    """Axes counted from the start; all axes for None or an empty list."""
    if dims is None or dims == []:
        return list(range(rank(x)))
    return [axis(x, d) for d in ([dims] if isinstance(dims, int) else dims)]


def is_float(x: ir.Value) -> bool:
    return x.dtype in FLOATS


def cast(op: Any, x: ir.Value, to: ir.DataType) -> ir.Value:
    """`x` in dtype `to`; constants of at most 64 elements are cast now."""
    if x.dtype == to:
        return x
    known = const(x)
    if known is not None and known.size <= 64 and to not in (T.BFLOAT16, *FLOAT8):
        return op.const(known.astype(to.numpy()))
    return op.Cast(x, to=int(to), saturate=0) if to in FLOAT8 else op.Cast(x, to=int(to))


def tensor(op: Any, x: Any, dtype: ir.DataType | None = None) -> ir.Value:
    """Hub value, in `dtype`, of a tensor, a number or a run-time number."""
    if isinstance(x, Sym):
        return cast(op, x.value, dtype or (T.FLOAT if x.python_type is float else x.value.dtype or T.INT64))
    if isinstance(x, ir.Value):
        return x if dtype is None else cast(op, x, dtype)
    if isinstance(x, complex):
        raise Unsupported("computes with complex numbers")
    if isinstance(x, Poison):
        raise Unsupported(x.reason)
    if not isinstance(x, (bool, int, float)):
        raise Unsupported(f"needs a tensor or a number, not {type(x).__name__}")
    target = dtype or (T.BOOL if isinstance(x, bool) else T.INT64 if isinstance(x, int) else T.FLOAT)
    with np.errstate(all="ignore"):
        return op.const(np.asarray(x).astype(target.numpy()))


def as_bool(op: Any, x: Any) -> ir.Value:
    """Bool tensor: True where `x` is not zero."""
    return cast(op, tensor(op, x), T.BOOL)


def number(op: Any, x: Any, like: ir.Value) -> ir.Value:
    """Scalar in the dtype of `like`."""
    return tensor(op, x, like.dtype)


def as_floating(op: Any, x: Any) -> ir.Value:
    """`x` in its float dtype; integers and bools as float32."""
    value = tensor(op, x)
    return value if is_float(value) else cast(op, value, T.FLOAT)


def require_torch(why: str) -> Any:
    """The module torch. Raises MissingDependency where it is not installed, which is needed as `why` says."""
    try:
        return importlib.import_module("torch")
    except ModuleNotFoundError as error:
        raise MissingDependency(
            f"{why}, and torch is not installed.", "Install it with: pip install 'formatbridge[torchscript]'"
        ) from error


def torch_dtype(dtype: ir.DataType) -> Any:
    """torch.dtype of a hub dtype."""
    import torch

    return getattr(torch, TORCH_DTYPES[dtype].name)


def result_type(*args: Any) -> ir.DataType:
    """Dtype in which torch computes the operands (torch.result_type)."""
    groups: list[list[ir.DataType]] = [[], [], []]
    for arg in args:
        if isinstance(arg, ir.Value):
            if arg.dtype is None or arg.dtype not in TORCH_DTYPES:
                raise Unsupported("needs tensors of known dtype")
            groups[0 if rank(arg) else 1].append(arg.dtype)
        elif arg is not None:
            dtype = arg.python_type if isinstance(arg, Sym) else type(arg)
            groups[2].append(T.BOOL if dtype is bool else T.INT64 if dtype is int else T.FLOAT)
    merged = [functools.reduce(promote_types, group) if group else None for group in groups]
    result = _promote_groups(merged[0], _promote_groups(merged[1], merged[2]))
    assert result is not None
    return result


def _promote_groups(higher: ir.DataType | None, lower: ir.DataType | None) -> ir.DataType | None:
    if higher is None or lower is None:
        return lower if higher is None else higher
    if kind_of(higher) >= FLOATING:
        return higher
    return promote_types(higher, lower) if kind_of(higher) < kind_of(lower) else higher


INTEGER, FLOATING, COMPLEX = 1, 2, 3


def kind_of(dtype: ir.DataType) -> int:
    """Rank of a dtype's kind: bool, integers, floats, complex numbers."""
    if dtype in (T.COMPLEX64, T.COMPLEX128):
        return COMPLEX
    return FLOATING if dtype.is_floating_point() else int(dtype != T.BOOL)


def promote_types(one: ir.DataType, two: ir.DataType) -> ir.DataType:
    """Smallest dtype that torch takes for both (torch.promote_types)."""
    low, high = sorted((one, two), key=lambda d: (kind_of(d), d.bitwidth, d in (T.BFLOAT16, T.INT8)))
    kind = kind_of(high)
    if low == high:
        return high
    if {low, high} & set(TINY) or (kind != FLOATING and {low, high} & set(WIDE_UNSIGNED)):
        raise Unsupported(f"joins {low} and {high}, which torch does not")
    if kind == COMPLEX:
        return T.COMPLEX128 if low == T.DOUBLE else high
    if kind_of(low) < kind or low.bitwidth != high.bitwidth:
        return high
    return T.FLOAT if kind == FLOATING else T.INT16


def promote(op: Any, *args: Any) -> list[ir.Value]:
    """Operands in the dtype in which torch computes them."""
    dtype = result_type(*args)
    return [tensor(op, a, dtype) for a in args]


def promoting(*names: str) -> Callable:
    """The decorated handler gets the tensors and lists of tensors `names` in the dtype in which torch
    computes them together.
    """

    def decorate(handler: Callable) -> Callable:
        @functools.wraps(handler)
        def promoted(op: Any, *operands: Any, **keywords: Any) -> Any:
            bound = inspect.signature(handler).bind(op, *operands, **keywords)
            given = bound.arguments
            together = [v for n in names for v in _listed(given.get(n)) if isinstance(v, ir.Value)]
            if len({v.dtype for v in together}) > 1:
                dtype = result_type(*together)
                given.update({n: _cast_all(op, given[n], dtype) for n in names if n in given})
            return handler(*bound.args, **bound.kwargs)

        return promoted

    return decorate


def _listed(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else [value]


def _cast_all(op: Any, value: Any, dtype: ir.DataType) -> Any:
    if isinstance(value, (list, tuple)):
        return [_cast_all(op, v, dtype) for v in value]
    return cast(op, value, dtype) if isinstance(value, ir.Value) else value


def lengths_vector(op: Any, lengths: Any) -> ir.Value:
    """Int64 vector of ints and run-time ints."""
    return vector(op, [op.Reshape(p.value, ints(1)) if isinstance(p, Sym) else int(p) for p in lengths])


def length(op: Any, x: ir.Value, dim: int) -> Any:
    """Dimension `dim` as an int or a run-time int."""
    at = axis(x, dim)
    size = dims_of(x)[at]
    if isinstance(size, int):
        return int(size)
    return Sym(op.Squeeze(op.Shape(x, start=at, end=at + 1), ints(0)))


def int64_scalar(op: Any, x: Any) -> ir.Value:
    """Int64 scalar of an int or a run-time int."""
    return x.value if isinstance(x, Sym) else op.const(np.array(int(x), INT64))


def static_shape(x: ir.Value, what: str = "a tensor") -> list[int]:
    """Static shape of `x`. Raises Unsupported if any dimension is unknown."""
    shape = shape_of(x)
    if shape is None:
        raise Unsupported(f"needs {what} of static shape")
    return shape


def static_value(value: Any, name: str) -> Any:
    """Python value known before run time. Raises Unsupported for a run-time number."""
    if isinstance(value, Sym):
        raise Unsupported(f"needs {name} to be known before run time")
    if isinstance(value, ir.Value):
        array = const(value)
        if array is None or array.size != 1:
            raise Unsupported(f"needs {name} to be known before run time")
        return array.reshape(()).item()
    return value


def spatial_list(values: Any, count: int) -> list[int]:
    """List of `count` numbers, one per spatial dimension; a single number is repeated."""
    numbers = [int(static_value(v, "sizes")) for v in ([values] if isinstance(values, int) else values)]
    return numbers * count if len(numbers) == 1 else numbers


def constant_of_shape(op: Any, shape: Any, value: Any, dtype: ir.DataType) -> ir.Value:
    """Tensor of `shape` filled with one number."""
    filler = tensor(op, value, dtype)
    if all(isinstance(p, int) for p in shape):
        array = const(filler)
        if array is not None and int(np.prod(shape, dtype=np.int64)) <= 2**22:
            return op.const(np.full(shape, array))
    return op.Expand(filler, lengths_vector(op, shape))


def multiply_by(op: Any, value: ir.Value, factor: Any) -> ir.Value:
    """Product of `value` and a number; `value` itself if the number is 1."""
    return value if factor == 1 else op.Mul(value, number(op, factor, value))


def is_zero(value: ir.Value) -> bool:
    """True if every element is zero, whatever the lengths."""
    array, node = const(value), value.producer()
    if array is None and node is not None and node.op_type in ("Cast", "Expand", "Identity"):
        return is_zero(node.inputs[0])
    return array is not None and not array.any()


def swap_last_axes(op: Any, x: ir.Value) -> ir.Value:
    """Matrices [..., m, n] transposed to [..., n, m]."""
    order = [*range(rank(x) - 2), rank(x) - 1, rank(x) - 2]
    return op.Transpose(x, perm=order)
