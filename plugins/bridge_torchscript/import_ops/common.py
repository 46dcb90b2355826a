"""What the families share: dtypes, numbers as tensors, promotion."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import vector
from bridge.hub import const, rank_of, shape_of
from bridge.importing import ints
from bridge_torchscript.dtypes import HELD
from bridge_torchscript.values import Poison, Sym, Unsupported

T = ir.DataType
BY_CODE = {held.code: dtype for dtype, held in HELD.items()}
FLOATS = (T.FLOAT, T.DOUBLE, T.FLOAT16, T.BFLOAT16)
FLOAT8 = (T.FLOAT8E4M3FN, T.FLOAT8E4M3FNUZ, T.FLOAT8E5M2, T.FLOAT8E5M2FNUZ)
INT64 = np.int64


def dtype_of(code: Any) -> ir.DataType:
    """The hub dtype of a c10::ScalarType."""
    if not isinstance(code, int) or code not in BY_CODE:
        raise Unsupported(f"makes a dtype the hub has not ({code})")
    return BY_CODE[code]


def rank(x: ir.Value) -> int:
    """The rank, which must be known."""
    found = rank_of(x)
    if found is None:
        raise Unsupported("needs a tensor whose rank can be known")
    return found


def dims_of(x: ir.Value) -> list[Any]:
    """The lengths, as ints or symbols, of a tensor whose rank must be known."""
    rank(x)
    return list(x.shape or ())


def axis(x: ir.Value, dim: int, extra: int = 0) -> int:
    """A dimension counted from the start."""
    count = rank(x) + extra
    return int(dim) % count if count else 0


def axes(x: ir.Value, dims: Any) -> list[int]:
    """Dimensions counted from the start; all of them for none."""
    if dims is None or dims == []:
        return list(range(rank(x)))
    return [axis(x, d) for d in ([dims] if isinstance(dims, int) else dims)]


def is_float(x: ir.Value) -> bool:
    return x.dtype in FLOATS


def cast(op: Any, x: ir.Value, to: ir.DataType) -> ir.Value:
    """`x` as dtype `to`."""
    if x.dtype == to:
        return x
    known = const(x)
    if known is not None and known.size <= 64 and to not in (T.BFLOAT16, *FLOAT8):
        return op.const(known.astype(to.numpy()))
    return op.Cast(x, to=int(to), saturate=0) if to in FLOAT8 else op.Cast(x, to=int(to))


def tensor(op: Any, x: Any, dtype: ir.DataType | None = None) -> ir.Value:
    """A tensor, a number or a run-time number as a hub value of `dtype`."""
    if isinstance(x, Sym):
        return cast(op, x.value, dtype or (T.FLOAT if x.kind is float else x.value.dtype or T.INT64))
    if isinstance(x, ir.Value):
        return x if dtype is None else cast(op, x, dtype)
    if isinstance(x, complex):
        raise Unsupported("computes with complex numbers")
    if isinstance(x, Poison):
        raise Unsupported(x.reason)
    if not isinstance(x, (bool, int, float)):
        raise Unsupported(f"needs a tensor or a number, not {type(x).__name__}")
    kind = dtype or (T.BOOL if isinstance(x, bool) else T.INT64 if isinstance(x, int) else T.FLOAT)
    with np.errstate(all="ignore"):
        return op.const(np.asarray(x).astype(kind.numpy()))


def truth(op: Any, x: Any) -> ir.Value:
    """What is not zero."""
    return cast(op, tensor(op, x), T.BOOL)


def number(op: Any, x: Any, like: ir.Value) -> ir.Value:
    """A number as a scalar of the dtype of `like`."""
    return tensor(op, x, like.dtype)


def floating(op: Any, x: Any) -> ir.Value:
    """Integers and truth values as float32."""
    value = tensor(op, x)
    return value if is_float(value) else cast(op, value, T.FLOAT)


def code_of(dtype: ir.DataType) -> Any:
    import torch

    return getattr(torch, HELD[dtype].name)


def promoted(*args: Any) -> ir.DataType:
    """The dtype torch computes several operands in (torch.result_type)."""
    import torch

    groups: list[list[Any]] = [[], [], []]
    for arg in args:
        if isinstance(arg, ir.Value):
            if arg.dtype is None or arg.dtype not in HELD:
                raise Unsupported("needs tensors of known dtype")
            groups[0 if rank(arg) else 1].append(code_of(arg.dtype))
        elif arg is not None:
            kind = arg.kind if isinstance(arg, Sym) else type(arg)
            groups[2].append(torch.bool if kind is bool else torch.int64 if kind is int else torch.float32)
    merged: list[Any] = []
    for group in groups:
        found = None
        for kind in group:
            found = kind if found is None else torch.promote_types(found, kind)
        merged.append(found)
    result = _combined(merged[0], _combined(merged[1], merged[2]))
    return next(d for d, held in HELD.items() if getattr(torch, held.name) == result)


def _combined(higher: Any, lower: Any) -> Any:
    import torch

    if higher is None or lower is None:
        return lower if higher is None else higher
    if higher.is_floating_point or higher.is_complex:
        return higher
    if higher == torch.bool or lower.is_floating_point or lower.is_complex:
        return torch.promote_types(higher, lower)
    return higher


def together(op: Any, *args: Any) -> list[ir.Value]:
    """Operands in the dtype torch computes them in."""
    kind = promoted(*args)
    return [tensor(op, a, kind) for a in args]


def sizes(op: Any, parts: Any) -> ir.Value:
    """A list of ints and run-time ints as an int64 vector."""
    return vector(op, [op.Reshape(p.value, ints(1)) if isinstance(p, Sym) else int(p) for p in parts])


def length(op: Any, x: ir.Value, dim: int) -> Any:
    """A dimension as an int, or a run-time int."""
    at = axis(x, dim)
    found = dims_of(x)[at]
    if isinstance(found, int):
        return int(found)
    return Sym(op.Squeeze(op.Shape(x, start=at, end=at + 1), ints(0)))


def scalar(op: Any, x: Any) -> ir.Value:
    """An int or run-time int as an int64 scalar."""
    return x.value if isinstance(x, Sym) else op.const(np.array(int(x), INT64))


def static(x: ir.Value, what: str = "a tensor") -> list[int]:
    """The shape, which must be known."""
    found = shape_of(x)
    if found is None:
        raise Unsupported(f"needs {what} of static shape")
    return found


def known(value: Any, name: str) -> Any:
    """A Python value that must be known before run time."""
    if isinstance(value, Sym):
        raise Unsupported(f"needs {name} to be known before run time")
    if isinstance(value, ir.Value):
        array = const(value)
        if array is None or array.size != 1:
            raise Unsupported(f"needs {name} to be known before run time")
        return array.reshape(()).item()
    return value


def spatial(values: Any, count: int) -> list[int]:
    """One number for every spatial dimension: one given stands for all."""
    found = [int(known(v, "sizes")) for v in ([values] if isinstance(values, int) else values)]
    return found * count if len(found) == 1 else found


def filled(op: Any, shape: Any, value: Any, dtype: ir.DataType) -> ir.Value:
    """A tensor of `shape` full of a number."""
    filler = tensor(op, value, dtype)
    if all(isinstance(p, int) for p in shape):
        array = const(filler)
        if array is not None and int(np.prod(shape, dtype=np.int64)) <= 2**22:
            return op.const(np.full(shape, array))
    return op.Expand(filler, sizes(op, shape))
