"""Tensors made from nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.importing import ints
from bridge.ops import OpTable
from bridge_torchscript.import_ops.common import (
    T,
    cast,
    code_of,
    dtype_of,
    filled,
    known,
    promoted,
    sizes,
    tensor,
)
from bridge_torchscript.import_ops.shapes import size_list
from bridge_torchscript.values import Sym, Unsupported

ops = OpTable()


def _kind(dtype: Any, fallback: ir.DataType) -> ir.DataType:
    return fallback if dtype is None else dtype_of(dtype)


def constant(name: str, value: float) -> None:
    @ops.op(f"aten::{name}")
    def make(op, size, dtype=None):
        return filled(op, size, value, _kind(dtype, T.FLOAT))

    @ops.op(f"aten::new_{name}")
    def make_new(op, x, size, dtype=None):
        return filled(op, size, value, _kind(dtype, x.dtype))

    @ops.op(f"aten::{name}_like")
    def make_like(op, x, dtype=None):
        return filled(op, size_list(op, x), value, _kind(dtype, x.dtype))


constant("zeros", 0)
constant("ones", 1)
constant("empty", 0)


@ops.op("aten::full")
def full(op, size, fill_value, dtype=None):
    kinds = {bool: T.BOOL, int: T.INT64, float: T.FLOAT}
    own = fill_value.kind if isinstance(fill_value, Sym) else type(fill_value)
    fallback = fill_value.dtype if isinstance(fill_value, ir.Value) else kinds[own]
    return filled(op, size, fill_value, _kind(dtype, fallback))


@ops.op("aten::full_like")
def full_like(op, x, fill_value, dtype=None):
    return filled(op, size_list(op, x), fill_value, _kind(dtype, x.dtype))


@ops.op("aten::new_full")
def new_full(op, x, size, fill_value, dtype=None):
    return filled(op, size, fill_value, _kind(dtype, x.dtype))


@ops.op("aten::fill")
def fill(op, x, value):
    return filled(op, size_list(op, x), value, x.dtype)


@ops.op("aten::copy_into", "aten::copy")
def copy_into(op, x, src):
    return op.Expand(cast(op, src, x.dtype), sizes(op, size_list(op, x)))


@ops.op("aten::scalar_tensor")
def scalar_tensor(op, s, dtype=None):
    return tensor(op, s, _kind(dtype, T.FLOAT))


@ops.op("aten::tensor", "aten::as_tensor")
def make_tensor(op, data=None, t=None, dtype=None):
    data = t if data is None else data
    if isinstance(data, ir.Value):
        return cast(op, data, _kind(dtype, data.dtype))
    flat = _leaves(data)
    if any(isinstance(v, ir.Value) for v in flat):
        raise Unsupported("makes a tensor of tensors")
    if not any(isinstance(v, Sym) for v in flat):
        array = np.array(data)
        fallback = T.BOOL if array.dtype == bool else T.INT64 if array.dtype.kind == "i" else T.FLOAT
        return op.const(array.astype(_kind(dtype, fallback).numpy()))
    kind = _kind(dtype, promoted(*flat))
    if not isinstance(data, list):
        return tensor(op, data, kind)
    shape = (
        np.array([None if isinstance(v, Sym) else v for v in flat], object).shape
        if all(v is w for v, w in zip(flat, data, strict=False))
        else None
    )
    if shape is None:
        raise Unsupported("makes a tensor of nested lists of values known at run time alone")
    return op.Concat(*(op.Reshape(tensor(op, v, kind), ints(1)) for v in flat), axis=0)


def _leaves(data: Any) -> list[Any]:
    if isinstance(data, (list, tuple)):
        return [leaf for item in data for leaf in _leaves(item)]
    return [data]


@ops.op("aten::arange")
def arange(op, end, start=0, step=1, dtype=None):
    parts = [0 if start is None else start, end, step]
    floats = any((v.kind if isinstance(v, Sym) else type(v)) is float for v in parts)
    kind = _kind(dtype, T.FLOAT if floats else T.INT64)
    if not any(isinstance(v, (Sym, ir.Value)) for v in parts):
        import torch

        return op.const(
            torch.arange(*parts, dtype=torch.float64 if floats else torch.int64).numpy().astype(kind.numpy())
        )
    made = op.Range(*(tensor(op, v, T.DOUBLE if floats else T.INT64) for v in parts))
    return cast(op, made, kind)


@ops.op("aten::linspace")
def linspace(op, start, end, steps, dtype=None):
    import torch

    kind = _kind(dtype, T.FLOAT)
    if any(isinstance(v, (Sym, ir.Value)) for v in (start, end)):
        count = known(steps, "steps")
        low, high = (tensor(op, v, kind) for v in (start, end))
        parts = np.linspace(0, 1, count).astype(kind.numpy())
        return op.Add(op.Mul(low, op.const(1 - parts)), op.Mul(high, op.const(parts)))
    return op.const(torch.linspace(start, end, steps, dtype=code_of(kind)).numpy())


@ops.op("aten::logspace")
def logspace(op, start, end, steps, base=10.0, dtype=None):
    import torch

    if any(isinstance(v, (Sym, ir.Value)) for v in (start, end, steps)):
        raise Unsupported("needs constant ends")
    return op.const(torch.logspace(start, end, steps, base, dtype=code_of(_kind(dtype, T.FLOAT))).numpy())


@ops.op("aten::eye")
def eye(op, n, m=None, dtype=None):
    return op.const(
        np.eye(known(n, "size"), known(n if m is None else m, "size"), dtype=_kind(dtype, T.FLOAT).numpy())
    )


@ops.op("aten::_shape_as_tensor")
def shape_as_tensor(op, x):
    return op.Shape(x)
