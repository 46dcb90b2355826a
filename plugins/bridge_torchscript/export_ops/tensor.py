"""Shapes, indices and data movement."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, rank_of, shape_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge_torchscript.dtypes import STAND_IN
from bridge_torchscript.export_ops.common import (
    COMPUTED,
    FLOAT_NAMES,
    INT_NAMES,
    RANKED,
    axis_of,
    flag,
    list_literal,
    register_functions,
)
from bridge_torchscript.source import Source, elements, number_literal

ops = OpTable()

T = ir.DataType
NUMERIC = condition("no strings", lambda n: all(v is None or v.dtype != T.STRING for v in n.inputs))


register_functions(ops, NUMERIC, Where="where")


def static_input(node: ir.Node, index: int) -> np.ndarray | None:
    return const(node.inputs[index]) if index < len(node.inputs) else None


@ops.op("Reshape", needs=(NUMERIC,))
def reshape(ts, node, x, shape):
    static_shape = static_input(node, 1)
    if static_shape is None:
        return ts.lib("reshape", x, ts.ints(node.inputs[1]), flag(attr(node, "allowzero")))
    copied = not attr(node, "allowzero")
    lengths = [f"{x}.size({i})" if d == 0 and copied else int(d) for i, d in enumerate(static_shape)]
    return f"torch.reshape({x}, {list_literal(lengths)})"


@ops.op("Expand", needs=(NUMERIC,))
def expand(ts, node, x, shape):
    return ts.lib("expand", x, ts.ints(node.inputs[1]))


@ops.op("Flatten", needs=(RANKED, NUMERIC))
def flatten(ts, node, x):
    rank, axis = rank_of(node.inputs[0]), attr(node, "axis")
    axis = axis + rank if axis < 0 else axis
    if axis == 0:
        return f"torch.reshape({x}, [1, {x}.numel()])"
    if axis == rank:
        return f"torch.reshape({x}, [{x}.numel(), 1])"
    return (
        f"torch.flatten({x}, 1)" if axis == 1 else f"torch.flatten(torch.flatten({x}, {axis}), 0, {axis - 1})"
    )


@ops.op("Squeeze", needs=(NUMERIC,))
def squeeze(ts, node, x, axes=None):
    """torch.squeeze keeps an axis of another length than 1: where the length is known at run time alone the
    only element is selected, and the rank stays known."""
    fixed, dims = static_input(node, 1), node.inputs[0].shape
    if axes is None:
        return f"torch.squeeze({x})"
    if fixed is None or dims is None or all(isinstance(dims[int(a)], int) for a in fixed):
        return f"torch.squeeze({x}, {ts.ints(node.inputs[1])})"
    for axis in sorted((int(a) % len(dims) for a in fixed), reverse=True):
        x = (
            f"torch.squeeze({x}, [{axis}])"
            if isinstance(dims[axis], int)
            else f"torch.select({x}, {axis}, 0)"
        )
    return x


@ops.op("Unsqueeze", needs=(NUMERIC,))
def unsqueeze(ts, node, x, axes):
    fixed = static_input(node, 1)
    rank = rank_of(node.inputs[0])
    if fixed is None or (rank is None and (fixed < 0).any()):
        return ts.lib("unsqueeze", x, ts.ints(node.inputs[1]))
    rank = (rank or 0) + fixed.size if rank is not None else fixed.max() + 1
    for axis in sorted(int(a) % rank for a in fixed.reshape(-1)):
        x = f"torch.unsqueeze({x}, {axis})"
    return x


@ops.op(
    "Transpose",
    needs=(
        NUMERIC,
        condition("a known rank, or perm", lambda n: attr(n, "perm") or rank_of(n.inputs[0]) is not None),
    ),
)
def transpose(ts, node, x):
    order = attr(node, "perm") or list(range(rank_of(node.inputs[0])))[::-1]
    return f"torch.permute({x}, {order})"


@ops.op("Concat", needs=(NUMERIC,))
def concat(ts, node, *inputs):
    return f"torch.cat({list_literal(inputs)}, {attr(node, 'axis')})"


@ops.op("Split", needs=(NUMERIC,))
def split(ts, node, x, sizes=None):
    count = len(node.outputs)
    axis = attr(node, "axis")
    length = None if node.inputs[0].shape is None else node.inputs[0].shape[axis]
    if sizes is not None:
        lengths = ts.ints(node.inputs[1])
    elif isinstance(length, int):
        step = -(-length // count)
        lengths = list_literal(max(min(step, length - i * step), 0) for i in range(count))
    else:
        lengths = ts.lib("even_split_lengths", f"{x}.size({axis})", count)
    return ts.unpack(
        f"torch.split_with_sizes({x}, {lengths}, {axis})",
        *(v.name or f"part_{i}" for i, v in enumerate(node.outputs)),
    )


@ops.op("Slice", needs=(NUMERIC,))
def slice_(ts, node, x, starts, ends, axes=None, steps=None):
    """One torch.slice per axis for static axes and positive steps; else a library function."""
    inputs = list(node.inputs) + [None] * 2
    count = shape_of(inputs[1]) or shape_of(inputs[2])
    static_axes, static_steps = (const(v) for v in inputs[3:5])
    known = axes is None or static_axes is not None
    if (
        count is None
        or not known
        or (steps is not None and (static_steps is None or (static_steps <= 0).any()))
    ):
        arguments = [ts.ints(v) for v in inputs[1:3]]
        arguments.append(f"list(range(len({arguments[0]})))" if axes is None else ts.ints(inputs[3]))
        arguments.append(f"[1] * len({arguments[0]})" if steps is None else ts.ints(inputs[4]))
        return ts.lib("slice_axes", x, *arguments)
    bounds = [_element_expressions(ts, v, count[0]) for v in inputs[1:3]]
    for index in range(count[0]):
        axis = index if static_axes is None else int(static_axes[index])
        step = 1 if static_steps is None else int(static_steps[index])
        x = f"torch.slice({x}, {axis}, {bounds[0][index]}, {bounds[1][index]}, {step})"
    return x


def _element_expressions(ts: Source, value: ir.Value, count: int) -> list[Any]:
    """Elements of a vector as ints and int expressions."""
    items = elements(ts, value)
    return items if items is not None else [f"{ts.ints(value)}[{i}]" for i in range(count)]


@ops.op("Gather", needs=(RANKED, NUMERIC))
def gather(ts, node, x, indices):
    data, indices_value = node.inputs
    axis = axis_of(attr(node, "axis"), data)
    fixed = const(indices_value)
    if fixed is not None and not fixed.ndim:
        return f"torch.select({x}, {axis}, {int(fixed)})"
    return f"{x}[{':, ' * axis}{indices}]"


@ops.op("GatherElements", needs=(COMPUTED,))
def gather_elements(ts, node, x, indices):
    axis = attr(node, "axis")
    return f"torch.gather({x}, {axis}, {ts.lib('non_negative_indices', indices, f'{x}.size({axis})')})"


@ops.op("GatherND", needs=(NUMERIC,))
def gather_nd(ts, node, x, indices):
    return ts.lib("gather_nd", x, indices, attr(node, "batch_dims"))


REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


@ops.op("ScatterElements", needs=(COMPUTED,))
def scatter_elements(ts, node, x, indices, updates):
    axis, reduction = attr(node, "axis"), attr(node, "reduction")
    from_start = ts.lib("non_negative_indices", indices, f"{x}.size({axis})")
    if reduction == "none":
        return f"torch.scatter({x}, {axis}, {from_start}, {updates})"
    return f'torch.scatter_reduce({x}, {axis}, {from_start}, {updates}, "{REDUCTIONS[reduction]}")'


@ops.op("ScatterND", needs=(COMPUTED,))
def scatter_nd(ts, node, x, indices, updates):
    reduction = attr(node, "reduction")
    return ts.lib("scatter_nd", x, indices, updates, f'"{REDUCTIONS.get(reduction, reduction)}"')


@ops.op("Tile", needs=(NUMERIC,))
def tile(ts, node, x, repeats):
    return f"{x}.repeat({ts.ints(node.inputs[1])})"


@ops.op("Shape")
def shape(ts, node, x):
    start, end = attr(node, "start"), attr(node, "end", None)
    value = node.inputs[0]
    if value.shape is None:
        return f"torch.tensor({x}.size()[{start}:{'' if end is None else end}], dtype=torch.int64)"
    lengths = [d if isinstance(d, int) else f"{x}.size({i})" for i, d in enumerate(value.shape)][start:end]
    return f"torch.tensor(annotate(List[int], {list_literal(lengths)}), dtype=torch.int64)"


@ops.op("Size")
def size(ts, node, x):
    return f"torch.tensor({x}.numel())"


@ops.op("ConstantOfShape", needs=(condition("no strings", lambda n: n.outputs[0].dtype != T.STRING),))
def constant_of_shape(ts, node, shape):
    tensor = attr(node, "value")
    dtype = T.FLOAT if tensor is None else tensor.dtype
    number = 0.0 if tensor is None else tensor.numpy().reshape(-1)[0]
    number = (
        number.item()
        if hasattr(number, "item") and dtype not in STAND_IN and number.dtype.kind != "V"
        else float(number)
    )
    return f"torch.full({ts.ints(node.inputs[0])}, {number_literal(number)}, dtype={ts.dtype(dtype)})"


@ops.op("Range", needs=(COMPUTED,))
def range_(ts, node, start, limit, delta):
    dtype = ts.dtype(node.inputs[0])
    if node.inputs[0].dtype == T.INT64:
        return f"torch.arange({', '.join(ts.int(v) for v in node.inputs)}, dtype={dtype})"
    helper = "range_of_integers" if node.inputs[0].dtype.is_integer() else "range_of_floats"
    return f"{ts.lib(helper, start, limit, delta)}.to({dtype})"


@ops.op("EyeLike", needs=(condition("a matrix", lambda n: rank_of(n.inputs[0]) == 2),))
def eye_like(ts, node, x):
    dtype = ir.DataType(attr(node, "dtype", int(node.inputs[0].dtype)))
    return f"{ts.lib('eye_mask', f'{x}.size(0)', f'{x}.size(1)', attr(node, 'k'))}.to({ts.dtype(dtype)})"


@ops.op("OneHot", needs=(RANKED, NUMERIC))
def one_hot(ts, node, indices, depth, values):
    axis = attr(node, "axis") % (rank_of(node.inputs[0]) + 1)
    return ts.lib("one_hot", f"{indices}.to(torch.int64)", f"int({depth})", values, axis)


@ops.op("NonZero", needs=(COMPUTED, condition("a rank of 1 or more", lambda n: bool(rank_of(n.inputs[0])))))
def non_zero(ts, node, x):
    return f"torch.t(torch.nonzero({x}))"


@ops.op("Compress", needs=(NUMERIC,))
def compress(ts, node, x, condition):
    axis = attr(node, "axis")
    indices = f"torch.reshape(torch.nonzero({condition}), [-1])"
    if axis is None:
        return f"torch.index_select(torch.reshape({x}, [-1]), 0, {indices})"
    return f"torch.index_select({x}, {axis}, {indices})"


@ops.op("Unique", needs=(COMPUTED, RANKED))
def unique(ts, node, x):
    axis, ordered = attr(node, "axis"), flag(attr(node, "sorted"))
    if axis is None:
        call = ts.lib("unique", f"torch.reshape({x}, [-1])", 0, ordered)
    else:
        call = ts.lib("unique", x, axis_of(axis, node.inputs[0]), ordered)
    names = [v.name or "unused" for v in node.outputs]
    return ts.unpack(call, *[*names, *["unused"] * 4][:4])[: len(node.outputs)]


@ops.op(
    "TopK",
    needs=(
        dtype(*FLOAT_NAMES, *INT_NAMES, "uint16", "uint32", "uint64"),
        RANKED,
        condition("a rank of 1 or more", lambda n: bool(rank_of(n.inputs[0]))),
    ),
)
def top_k(ts, node, x, k):
    """Stable sort: among equal values the first index comes first."""
    axis, largest = attr(node, "axis"), flag(attr(node, "largest"))
    values, indices = ts.unpack(
        f"torch.sort({x}, stable=True, dim={axis}, descending={largest})", "sorted_values", "order"
    )
    return [f"torch.slice({v}, {axis}, 0, {ts.int(node.inputs[1])})" for v in (values, indices)]


@ops.op("Trilu", needs=(COMPUTED,))
def trilu(ts, node, x, k=None):
    diagonal = "0" if k is None else ts.int(node.inputs[1])
    return f"torch.{'triu' if attr(node, 'upper') else 'tril'}({x}, {diagonal})"


@ops.op("DepthToSpace", needs=(NUMERIC,))
def depth_to_space(ts, node, x):
    return ts.lib("depth_to_space", x, attr(node, "blocksize"), flag(attr(node, "mode") == "DCR"))


@ops.op("SpaceToDepth", needs=(NUMERIC,))
def space_to_depth(ts, node, x):
    return ts.lib("space_to_depth", x, attr(node, "blocksize"), flag(attr(node, "mode") == "DCR"))


@ops.op("ReverseSequence", needs=(COMPUTED,))
def reverse_sequence(ts, node, x, lengths):
    return ts.lib("reverse_sequence", x, lengths, attr(node, "time_axis"), attr(node, "batch_axis"))


@ops.op("Pad", needs=(RANKED, NUMERIC))
def pad(ts, node, x, pads, value=None, axes=None):
    inputs = list(node.inputs) + [None] * 2
    rank, mode = rank_of(node.inputs[0]), attr(node, "mode")
    static_axes = const(inputs[3]) if axes is not None else np.arange(rank)
    amounts = elements(ts, inputs[1])
    axes_text = ts.ints(inputs[3]) if axes is not None else list_literal(range(rank))
    if mode != "constant":
        return ts.lib("pad_by_index", x, ts.ints(inputs[1]), axes_text, f'"{mode}"')
    filler = "0" if value is None else ts.number(inputs[2]) or _as_number(inputs[2], value)
    if static_axes is None or amounts is None:
        order = ts.lib("from_last_axis", ts.ints(inputs[1]), axes_text, rank)
    else:
        count = len(static_axes)
        pairs = {int(a) % rank: (amounts[i], amounts[i + count]) for i, a in enumerate(static_axes)}
        order = list_literal(
            p for axis in reversed(range(min(pairs, default=rank), rank)) for p in pairs.get(axis, (0, 0))
        )
    return f"torch.constant_pad_nd({x}, {order}, {filler})"


def _as_number(value: ir.Value, name: str) -> str:
    dtype = value.dtype
    return f"{'float' if dtype.is_floating_point() else 'bool' if dtype == T.BOOL else 'int'}({name})"
