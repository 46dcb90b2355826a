"""Strided access: windows, and views of memory where the layout is certain."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import arange, lengths
from bridge.geometry import window_count
from bridge.hub import const, shape_of
from bridge.importing import ints
from bridge.ops import OpTable
from bridge_torchscript.import_ops.common import axis, int64_scalar, length, rank, static_value
from bridge_torchscript.import_ops.scalar import PYTHON, sym
from bridge_torchscript.import_ops.tensor import VIEWS, MayCopy, Views, identity_back, reshape_to_base
from bridge_torchscript.values import Unsupported, Var

ops = OpTable()
views = Views(ops)


def _aten(names: str) -> frozenset[str]:
    return frozenset(f"aten::{name}" for name in names.split())


RESHAPED = _aten("view _unsafe_view reshape view_as reshape_as flatten ravel unflatten squeeze unsqueeze")
FRESH = _aten(
    "cat stack hstack pad constant_pad_nd reflection_pad1d replication_pad1d linear mm bmm addmm embedding"
    " index_select"
)
LAYOUT_KEEPING = (
    RESHAPED
    | FRESH
    | _aten("add sub mul div neg abs relu tanh sigmoid exp to clone detach float double flip")
)
CONTIGUOUS_KEEPING = RESHAPED | {
    "aten::contiguous",
    "aten::detach",
    "aten::alias",
    "aten::to",
    "aten::type_as",
    "aten::float",
}
MAX_DEPTH = 64


@views.op("aten::unfold")
def unfold(op, x, dimension, size, step):
    if not rank(x):
        return op.Reshape(x, ints(*([1] if size else [0])))
    at = axis(x, dimension)
    size, step = static_value(size, "size"), static_value(step, "step")
    count = window_count(lengths(op, x)[at], size, step)
    firsts = op.Mul(op.Unsqueeze(arange(op, count), ints(1)), op.const(step))
    windows = op.Gather(x, op.Add(firsts, op.const(np.arange(size))), axis=at)
    order = [i for i in range(rank(windows)) if i != at + 1]
    return op.Transpose(windows, perm=[*order, at + 1])


def source_operator(value: ir.Value) -> str:
    """TorchScript operator that a hub value comes from."""
    return hub.origin(value.producer()).op


def is_row_major(value: ir.Value, depth: int = 0) -> bool:
    """True if torch certainly stores a root tensor in row-major order: an input, or a result of operators
    that do.
    """
    node = value.producer()
    if node is None:
        return value.const_value is None
    if depth > MAX_DEPTH or rank(value) > 3:
        return False
    operator = source_operator(value)
    if operator == "aten::contiguous" or (
        operator in FRESH and node.op_type not in ("Identity", "Transpose")
    ):
        return True
    if operator not in LAYOUT_KEEPING or node.op_type in ("Transpose", "Expand"):
        return False
    return all(is_row_major(v, depth + 1) for v in node.inputs if v is not None and v.const_value is None)


def is_contiguous(x: Var) -> bool:
    """True if the elements of a tensor are contiguous: a row-major tensor, or rows of one."""
    if x.base is None:
        return x.value is not None and is_row_major(x.value)
    node = x.value.producer() if x.value is not None else None
    if node is None or not is_contiguous(x.base):
        return False
    if source_operator(x.value) == "aten::select":
        return node.op_type == "Gather" and node.attributes.get_int("axis", 0) == 0
    if source_operator(x.value) == "aten::slice":
        axes = const(node.inputs[3]) if node.op_type == "Slice" else None
        return node.op_type == "Identity" or (axes is not None and int(axes[0]) == 0 and _has_step_one(node))
    return not x.doubtful and source_operator(x.value) in CONTIGUOUS_KEEPING


def _has_step_one(node: ir.Node) -> bool:
    step = const(node.inputs[4]) if len(node.inputs) > 4 else np.array([1])
    return step is not None and int(step[0]) == 1


def _reshape_shares(base: Var, result: Any, arguments: dict[str, Any]) -> bool | None:
    return is_contiguous(base) or None


def _conversion_shares(base: Var, result: Any, arguments: dict[str, Any]) -> bool | None:
    """True if torch returns the tensor itself because there is nothing to convert; None if unknown."""
    if result.dtype != base.value.dtype or arguments.get("copy") or arguments.get("train"):
        return False
    return True if arguments.get("memory_format") in (None, PRESERVE) else None


def _contiguous_shares(base: Var, result: Any, arguments: dict[str, Any]) -> bool | None:
    return (arguments.get("memory_format") in (None, CONTIGUOUS) and is_contiguous(base)) or None


CONTIGUOUS, PRESERVE = 0, 1
CONVERSIONS = _aten(
    "alias cpu detach dropout feature_dropout lift_fresh positive requires_grad_ resolve_conj resolve_neg"
    " to type_as float double half bfloat16 int long bool"
)
for name in ("reshape", "reshape_as", "flatten", "ravel"):
    VIEWS[f"aten::{name}"] = MayCopy(_reshape_shares, reshape_to_base)
for name in CONVERSIONS:
    VIEWS[name] = MayCopy(_conversion_shares, identity_back)
VIEWS["aten::contiguous"] = MayCopy(_contiguous_shares, identity_back)


@PYTHON.op("aten::stride")
def stride(op, x, dim=None):
    """Strides of a contiguous tensor."""
    if not is_contiguous(x):
        raise Unsupported("asks how a tensor lies in memory, which is not certain here")
    value = x.read(op)
    strides: list[Any] = [1]
    for at in reversed(range(1, rank(value))):
        step, size = strides[0], length(op, value, at)
        both = isinstance(step, int) and isinstance(size, int)
        strides.insert(
            0, step * max(size, 1) if both else sym(op.Mul(int64_scalar(op, step), int64_scalar(op, size)))
        )
    return strides[: rank(value)] if dim is None else strides[axis(value, dim)]


@PYTHON.op("aten::as_strided")
def as_strided(op, x, size, stride, storage_offset=None):
    """Elements `storage_offset + Σ index · stride` of the storage. Writes to the result are refused."""
    value = x.read(op)
    if not is_contiguous(x) or not (storage_offset is None or _starts_at_storage(op, x)):
        raise Unsupported("reads a tensor as it lies in memory, which is not certain here")
    indices = _strided_indices(op, size, stride, 0 if storage_offset is None else storage_offset)
    static_indices, dims = const(indices), shape_of(value)
    if (
        static_indices is not None
        and static_indices.size
        and dims is not None
        and static_indices.max() >= int(np.prod(dims))
    ):
        raise Unsupported("reads beyond the tensor's own elements")

    def forward(op: Any, base: ir.Value) -> ir.Value:
        return op.Gather(op.Reshape(base, ints(-1)), indices, axis=0)

    return Var(op, forward(op, value), x, forward)


def _starts_at_storage(op: Any, x: Var) -> bool:
    """True if the tensor starts where its storage does: it is the root, or has as many elements."""
    shape, root_shape = shape_of(x.read(op)), shape_of(x.root().read(op))
    return x.base is None or (
        shape is not None and root_shape is not None and np.prod(shape) == np.prod(root_shape)
    )


def _strided_indices(op: Any, size: list[Any], stride: list[Any], offset: Any) -> ir.Value:
    """Indices `offset + Σ index · stride` of shape `size`."""
    if all(isinstance(v, int) for v in (*size, *stride, offset)):
        grid = np.array(offset, np.int64)
        for count, step in zip(size, stride, strict=True):
            grid = grid[..., None] + np.arange(count) * step
        return op.const(grid)
    total = int64_scalar(op, offset)
    for index, (count, step) in enumerate(zip(size, stride, strict=True)):
        along = op.Mul(
            op.Range(int64_scalar(op, 0), int64_scalar(op, count), int64_scalar(op, 1)),
            int64_scalar(op, step),
        )
        total = op.Add(total, op.Reshape(along, ints(-1, *[1] * (len(size) - index - 1))))
    return total


@ops.op("aten::as_strided_scatter")
def as_strided_scatter(op, x, src, size, stride, storage_offset=None):
    """Row-major copy of the tensor with the strided elements replaced."""
    if not is_row_major(x):
        raise Unsupported("writes to a tensor as it lies in memory, which is not certain here")
    indices = _strided_indices(op, size, stride, 0 if storage_offset is None else storage_offset)
    static_indices = const(indices)
    if static_indices is None or len(np.unique(static_indices)) < static_indices.size:
        raise Unsupported("writes to places known at run time alone, or to one of them twice")
    flat = op.ScatterElements(
        op.Reshape(x, ints(-1)), op.Reshape(indices, ints(-1)), op.Reshape(src, ints(-1)), axis=0
    )
    return reshape_to_base(op, x, flat)
