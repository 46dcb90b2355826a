"""Tensors created from numbers and shapes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.importing import ints
from bridge.ops import OpTable
from bridge_torchscript.import_ops.common import (
    T,
    cast,
    constant_of_shape,
    dtype_or,
    lengths_vector,
    require_torch,
    result_type,
    static_value,
    tensor,
    torch_dtype,
)
from bridge_torchscript.import_ops.tensor import size_list
from bridge_torchscript.values import Sym, Unsupported

ops = OpTable()


def register_constant(name: str, value: float) -> None:
    @ops.op(f"aten::{name}")
    def make(op, size, dtype=None):
        return constant_of_shape(op, size, value, dtype_or(dtype, T.FLOAT))

    @ops.op(f"aten::new_{name}")
    def make_new(op, x, size, dtype=None):
        return constant_of_shape(op, size, value, dtype_or(dtype, x.dtype))

    @ops.op(f"aten::{name}_like")
    def make_like(op, x, dtype=None):
        return constant_of_shape(op, size_list(op, x), value, dtype_or(dtype, x.dtype))


register_constant("zeros", 0)
register_constant("ones", 1)
register_constant("empty", 0)


@ops.op("aten::full")
def full(op, size, fill_value, dtype=None):
    kinds = {bool: T.BOOL, int: T.INT64, float: T.FLOAT}
    own = fill_value.python_type if isinstance(fill_value, Sym) else type(fill_value)
    fallback = fill_value.dtype if isinstance(fill_value, ir.Value) else kinds[own]
    return constant_of_shape(op, size, fill_value, dtype_or(dtype, fallback))


@ops.op("aten::full_like")
def full_like(op, x, fill_value, dtype=None):
    return constant_of_shape(op, size_list(op, x), fill_value, dtype_or(dtype, x.dtype))


@ops.op("aten::new_full")
def new_full(op, x, size, fill_value, dtype=None):
    return constant_of_shape(op, size, fill_value, dtype_or(dtype, x.dtype))


@ops.op("aten::fill")
def fill(op, x, value):
    return constant_of_shape(op, size_list(op, x), value, x.dtype)


@ops.op("aten::copy_into", "aten::copy")
def copy_into(op, x, src):
    return op.Expand(cast(op, src, x.dtype), lengths_vector(op, size_list(op, x)))


@ops.op("aten::scalar_tensor")
def scalar_tensor(op, s, dtype=None):
    return tensor(op, s, dtype_or(dtype, T.FLOAT))


@ops.op("aten::tensor", "aten::as_tensor")
def make_tensor(op, data=None, t=None, dtype=None):
    data = t if data is None else data
    if isinstance(data, ir.Value):
        return cast(op, data, dtype_or(dtype, data.dtype))
    flat = _leaves(data)
    if any(isinstance(v, ir.Value) for v in flat):
        raise Unsupported("makes a tensor of tensors")
    if not any(isinstance(v, Sym) for v in flat):
        array = np.array(data)
        fallback = T.BOOL if array.dtype == bool else T.INT64 if array.dtype.kind == "i" else T.FLOAT
        return op.const(array.astype(dtype_or(dtype, fallback).numpy()))
    target = dtype_or(dtype, result_type(*flat))
    if not isinstance(data, list):
        return tensor(op, data, target)
    extents = _extents(data)
    flat_tensor = op.Concat(*(op.Reshape(tensor(op, v, target), ints(1)) for v in flat), axis=0)
    return flat_tensor if len(extents) == 1 else op.Reshape(flat_tensor, ints(*extents))


def _extents(data: Any) -> list[int]:
    """Shape of the tensor of nested lists."""
    if not isinstance(data, (list, tuple)):
        return []
    inner = [_extents(item) for item in data]
    if any(extents != inner[0] for extents in inner):
        raise Unsupported("makes a tensor of lists of different lengths")
    return [len(data), *(inner[0] if inner else [])]


def _leaves(data: Any) -> list[Any]:
    if isinstance(data, (list, tuple)):
        return [leaf for item in data for leaf in _leaves(item)]
    return [data]


@ops.op("aten::arange")
def arange(op, end, start=0, step=1, dtype=None):
    bounds = [0 if start is None else start, end, step]
    floats = any((v.python_type if isinstance(v, Sym) else type(v)) is float for v in bounds)
    target = dtype_or(dtype, T.FLOAT if floats else T.INT64)
    if not any(isinstance(v, (Sym, ir.Value)) for v in bounds):
        return op.const((_steps(*bounds) if floats else np.arange(*bounds)).astype(target.numpy()))
    result = op.Range(*(tensor(op, v, T.DOUBLE if floats else T.INT64) for v in bounds))
    return cast(op, result, target)


def _steps(start: float, end: float, step: float) -> np.ndarray:
    """Numbers from `start` on below `end`; by torch where its kernels round."""
    count = max(math.ceil((end - start) / step), 0)
    if _are_exact(start, step, count, 53):
        return start + step * np.arange(count, dtype=np.float64)
    torch = require_torch("aten::arange of these numbers rounds as torch does")
    return np.asarray(torch.arange(start, end, step, dtype=torch.float64).numpy())


def _are_exact(start: float, step: float, count: int, bits: int) -> bool:
    """True if numbers of `bits` hold every `start + i * step` and its parts, in whatever order computed."""
    largest = (abs(start) + abs(step) * count) * 2.0**FRACTION
    return largest < 2.0**bits and all((v * 2.0**FRACTION).is_integer() for v in (float(start), float(step)))


FRACTION = 8
"""Binary digits after the point of numbers that add up without rounding."""


@ops.op("aten::linspace")
def linspace(op, start, end, steps, dtype=None):
    target = dtype_or(dtype, T.FLOAT)
    if any(isinstance(v, (Sym, ir.Value)) for v in (start, end)):
        count = static_value(steps, "steps")
        low, high = (tensor(op, v, target) for v in (start, end))
        weights = np.linspace(0, 1, count).astype(target.numpy())
        return op.Add(op.Mul(low, op.const(1 - weights)), op.Mul(high, op.const(weights)))
    step = (end - start) / max(steps - 1, 1)
    if target in (T.FLOAT, T.DOUBLE) and _are_exact(start, step, steps, 24) and _are_exact(end, 0, 0, 24):
        return op.const((start + step * np.arange(steps)).astype(target.numpy()))
    torch = require_torch("aten::linspace of these numbers rounds as torch does")
    return op.const(torch.linspace(start, end, steps, dtype=torch_dtype(target)).numpy())


@ops.op("aten::logspace")
def logspace(op, start, end, steps, base=10.0, dtype=None):
    if any(isinstance(v, (Sym, ir.Value)) for v in (start, end, steps)):
        raise Unsupported("needs constant ends")
    torch = require_torch("aten::logspace rounds as torch does")
    made = torch.logspace(start, end, steps, base, dtype=torch_dtype(dtype_or(dtype, T.FLOAT)))
    return op.const(made.numpy())


@ops.op("aten::eye")
def eye(op, n, m=None, dtype=None):
    return op.const(
        np.eye(
            static_value(n, "size"),
            static_value(n if m is None else m, "size"),
            dtype=dtype_or(dtype, T.FLOAT).numpy(),
        )
    )


@ops.op("aten::_shape_as_tensor")
def shape_as_tensor(op, x):
    return op.Shape(x)
