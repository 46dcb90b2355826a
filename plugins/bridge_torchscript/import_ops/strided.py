"""Elements read by strides: windows, and views of the memory of a tensor where its layout is certain."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import const, shape_of
from bridge.importing import ints
from bridge.ops import OpTable
from bridge_torchscript.import_ops.common import axis, known, length, rank, scalar
from bridge_torchscript.import_ops.python import PYTHON, sym
from bridge_torchscript.import_ops.shapes import VIEWS, MayCopy, Views, as_base, unchanged
from bridge_torchscript.values import Unsupported, Var

ops = OpTable()
views = Views(ops)

RESHAPED = frozenset(
    f"aten::{n}"
    for n in ("view", "_unsafe_view", "reshape", "view_as", "reshape_as", "flatten", "ravel", "unflatten", "squeeze", "unsqueeze")
)  # fmt: skip
FRESH = frozenset(
    f"aten::{n}"
    for n in ("cat", "stack", "hstack", "pad", "constant_pad_nd", "reflection_pad1d", "replication_pad1d", "linear", "mm", "bmm", "addmm", "embedding", "index_select")
)  # fmt: skip
ALIKE = frozenset(
    f"aten::{n}"
    for n in ("add", "sub", "mul", "div", "neg", "abs", "relu", "tanh", "sigmoid", "exp", "to", "clone", "detach", "float", "double", "flip")
) | RESHAPED | FRESH  # fmt: skip
LINED = RESHAPED | {
    "aten::contiguous",
    "aten::detach",
    "aten::alias",
    "aten::to",
    "aten::type_as",
    "aten::float",
}
DEEP = 64


@views.op("aten::unfold")
def unfold(op, x, dimension, size, step):
    if not rank(x):
        return op.Reshape(x, ints(*([1] if size else [0])))
    at = axis(x, dimension)
    total = known(length(op, x, at), "length")
    places = np.arange(0, total - size + 1, step)[:, None] + np.arange(size)
    made = op.Gather(x, op.const(places), axis=at)
    order = [i for i in range(rank(made)) if i != at + 1]
    return op.Transpose(made, perm=[*order, at + 1])


def kind_of(value: ir.Value) -> str:
    """The native operator that made a hub value."""
    return hub.origin(value.producer()).op


def row_major(value: ir.Value, depth: int = 0) -> bool:
    """Whether torch is certain to lay out a root tensor row by row: an input, or made by operators that do so."""
    node = value.producer()
    if node is None:
        return value.const_value is None
    if depth > DEEP or rank(value) > 3:
        return False
    kind = kind_of(value)
    if kind == "aten::contiguous" or (kind in FRESH and node.op_type not in ("Identity", "Transpose")):
        return True
    if kind not in ALIKE or node.op_type in ("Transpose", "Expand"):
        return False
    return all(row_major(v, depth + 1) for v in node.inputs if v is not None and v.const_value is None)


def in_a_row(x: Var) -> bool:
    """Whether the elements of a tensor lie one after another: row by row, or the rows of a part of such a tensor."""
    if x.base is None:
        return x.value is not None and row_major(x.value)
    made = x.value.producer() if x.value is not None else None
    if made is None or not in_a_row(x.base):
        return False
    if kind_of(x.value) == "aten::select":
        return made.op_type == "Gather" and made.attributes.get_int("axis", 0) == 0
    if kind_of(x.value) == "aten::slice":
        axes = const(made.inputs[3]) if made.op_type == "Slice" else None
        return made.op_type == "Identity" or (axes is not None and int(axes[0]) == 0 and _every(made))
    return not x.doubtful and kind_of(x.value) in LINED


def _every(node: ir.Node) -> bool:
    step = const(node.inputs[4]) if len(node.inputs) > 4 else np.array([1])
    return step is not None and int(step[0]) == 1


def _reshaped(base: Var, made: Any, arguments: dict[str, Any]) -> bool | None:
    return in_a_row(base) or None


def _same(base: Var, made: Any, arguments: dict[str, Any]) -> bool | None:
    """torch gives the tensor itself where there is nothing to convert."""
    if made.dtype != base.value.dtype or arguments.get("copy") or arguments.get("train"):
        return False
    return True if arguments.get("memory_format") in (None, PRESERVE) else None


def _contiguous(base: Var, made: Any, arguments: dict[str, Any]) -> bool | None:
    return (arguments.get("memory_format") in (None, CONTIGUOUS) and in_a_row(base)) or None


CONTIGUOUS, PRESERVE = 0, 1
ITSELF = ("alias", "cpu", "detach", "dropout", "feature_dropout", "lift_fresh", "positive", "requires_grad_", "resolve_conj", "resolve_neg", "to", "type_as", "float", "double", "half", "bfloat16", "int", "long", "bool")  # fmt: skip
for name in ("reshape", "reshape_as", "flatten", "ravel"):
    VIEWS[f"aten::{name}"] = MayCopy(_reshaped, as_base)
for name in ITSELF:
    VIEWS[f"aten::{name}"] = MayCopy(_same, unchanged)
VIEWS["aten::contiguous"] = MayCopy(_contiguous, unchanged)


@PYTHON.op("aten::stride")
def stride(op, x, dim=None):
    """Of tensors whose elements lie in a row."""
    if not in_a_row(x):
        raise Unsupported("asks how a tensor lies in memory, which is not certain here")
    value = x.read(op)
    made: list[Any] = [1]
    for at in reversed(range(1, rank(value))):
        step, size = made[0], length(op, value, at)
        both = isinstance(step, int) and isinstance(size, int)
        made.insert(0, step * max(size, 1) if both else sym(op.Mul(scalar(op, step), scalar(op, size))))
    return made[: rank(value)] if dim is None else made[axis(value, dim)]


@PYTHON.op("aten::as_strided")
def as_strided(op, x, size, stride, storage_offset=None):
    """Element `storage_offset + Σ index · stride` of the memory. What is written to it is refused."""
    value = x.read(op)
    if not in_a_row(x) or not (storage_offset is None or _whole(op, x)):
        raise Unsupported("reads a tensor as it lies in memory, which is not certain here")
    places = _places(op, size, stride, 0 if storage_offset is None else storage_offset)
    found, dims = const(places), shape_of(value)
    if found is not None and found.size and dims is not None and found.max() >= int(np.prod(dims)):
        raise Unsupported("reads beyond the tensor's own elements")

    def forward(op: Any, base: ir.Value) -> ir.Value:
        return op.Gather(op.Reshape(base, ints(-1)), places, axis=0)

    return Var(op, forward(op, value), x, forward)


def _whole(op: Any, x: Var) -> bool:
    """Whether a tensor starts where its memory does: it is the root, or has as many elements."""
    own, all_ = shape_of(x.read(op)), shape_of(x.root().read(op))
    return x.base is None or (own is not None and all_ is not None and np.prod(own) == np.prod(all_))


def _places(op: Any, size: list[Any], stride: list[Any], offset: Any) -> ir.Value:
    if all(isinstance(v, int) for v in (*size, *stride, offset)):
        grid = np.array(offset, np.int64)
        for count, step in zip(size, stride, strict=True):
            grid = grid[..., None] + np.arange(count) * step
        return op.const(grid)
    total = scalar(op, offset)
    for index, (count, step) in enumerate(zip(size, stride, strict=True)):
        along = op.Mul(op.Range(scalar(op, 0), scalar(op, count), scalar(op, 1)), scalar(op, step))
        total = op.Add(total, op.Reshape(along, ints(-1, *[1] * (len(size) - index - 1))))
    return total


@ops.op("aten::as_strided_scatter")
def as_strided_scatter(op, x, src, size, stride, storage_offset=None):
    """A copy of the tensor, its elements row by row, with those places set."""
    if not row_major(x):
        raise Unsupported("writes to a tensor as it lies in memory, which is not certain here")
    places = _places(op, size, stride, 0 if storage_offset is None else storage_offset)
    found = const(places)
    if found is None or len(np.unique(found)) < found.size:
        raise Unsupported("writes to places known at run time alone, or to one of them twice")
    flat = op.ScatterElements(
        op.Reshape(x, ints(-1)), op.Reshape(places, ints(-1)), op.Reshape(src, ints(-1)), axis=0
    )
    return as_base(op, x, flat)
