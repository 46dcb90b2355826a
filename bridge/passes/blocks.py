"""Space moved to the batch and back, as TensorFlow and TFLite do it around dilated windows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import dims, elements
from bridge.hub import Builder, all_nodes, attr, const, held, input_at, origin, rank_of
from bridge.importing import as_int64
from bridge.ops import OpTable
from bridge.passes.rewrite import Rewrite, replace
from bridge.traits import BROADCASTING, ELEMENTWISE

__all__ = ["BLOCKS", "ExpandBlocks", "FoldDilations", "blocks_node"]

BLOCKS = "bridge.blocks"
"""Domain of SpaceToBatch(x, paddings) and BatchToSpace(x, crops) with the attribute `block`, a size for each
of the dimensions behind the first; amounts are int64 [dimensions, 2]. Importers write them, no exporter
sees them."""

WINDOWS = ("Conv", "MaxPool", "AveragePool")
STEPS = 16
FAR = 2**31 - 1
MOVERS = ("Identity", "Squeeze", "Transpose", "Unsqueeze")

ops = OpTable()


def blocks_node(op: Builder, op_type: str, x: ir.Value, block: list[int], amounts: Any) -> ir.Value:
    """SpaceToBatch or BatchToSpace; the rank of `x` must be known."""
    count = len(block)
    table = op.Reshape(as_int64(op, amounts), np.array([count, 2], np.int64))
    known = const(as_int64(op, amounts))
    table = table if known is None else op.const(known.reshape(count, 2).astype(np.int64))
    shape = [None] * (count + 1) + list(x.shape or ())[count + 1 :]
    return op.node(op_type, x, table, _domain=BLOCKS, _dtype=x.dtype, _shape=shape, block=block)


@ops.op(f"{BLOCKS}::SpaceToBatch")
def space_to_batch(op, node, x, paddings):
    block, known = attr(node, "block"), const(paddings)
    count = len(block)
    if known is None or known.any():
        amounts = op.Reshape(op.Transpose(paddings, perm=[1, 0]), np.array([-1], np.int64))
        x = op.Pad(x, amounts, None, op.const(np.arange(1, count + 1)))
    batch, *lengths = dims.lengths(op, x)
    spatial, others = lengths[:count], lengths[count:]
    parts = [p for n, b in zip(spatial, block, strict=True) for p in (n // b, b)]
    split = dims.reshape(op, x, [batch, *parts, *others])
    rest = range(2 * count + 1, 2 * count + 1 + len(others))
    moved = op.Transpose(split, perm=[*range(2, 2 * count + 1, 2), 0, *range(1, 2 * count, 2), *rest])
    return dims.reshape(op, moved, [batch * math.prod(block), *parts[::2], *others])


@ops.op(f"{BLOCKS}::BatchToSpace")
def batch_to_space(op, node, x, crops):
    block = attr(node, "block")
    count = len(block)
    batch, *lengths = dims.lengths(op, x)
    spatial, others = lengths[:count], lengths[count:]
    batch = batch // math.prod(block)
    split = dims.reshape(op, x, [*block, batch, *spatial, *others])
    pairs = [a for i in range(count) for a in (count + 1 + i, i)]
    rest = range(2 * count + 1, 2 * count + 1 + len(others))
    wide = [n * b for n, b in zip(spatial, block, strict=True)]
    merged = dims.reshape(op, op.Transpose(split, perm=[count, *pairs, *rest]), [batch, *wide, *others])
    return _cropped(op, merged, crops, list(range(1, count + 1)))


def _cropped(op: Any, x: ir.Value, crops: ir.Value, axes: list[int]) -> ir.Value:
    """`x` without what `crops` [axes, 2] says before and after."""
    known = const(crops)
    if known is not None:
        ends = [-n if n else FAR for n in known[:, 1].tolist()]
        bounds = (known[:, 0].astype(np.int64), np.array(ends), np.array(axes))
        return op.Slice(x, *map(op.const, bounds)) if known.any() else x
    columns = [op.Reshape(op.Slice(crops, [i], [i + 1], [1]), np.array([-1], np.int64)) for i in (0, 1)]
    lengths = dims.vector(op, [dims.lengths(op, x)[a] for a in axes])
    return op.Slice(x, columns[0], op.Sub(lengths, columns[1]), op.const(np.array(axes, np.int64)))


class ExpandBlocks(Rewrite):
    """1. SpaceToBatch and BatchToSpace become Pad, Reshape, Transpose, Reshape, Slice."""

    def __init__(self) -> None:
        super().__init__(ops)


class FoldDilations(ir.passes.InPlacePass):
    """1. A window without padding and strides between SpaceToBatch and BatchToSpace is a dilated one on what
    SpaceToBatch reads. Around it are operators that move none of the dimensions into one another, and that
    treat all places alike.

    2. What paddings are more than crops is the padding of a Conv. Where this is known at run time alone,
    around pools, whose padding does not count, and behind operators that make numbers of zeros, it is a Pad
    before and a Slice behind.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        ends = [n for n in all_nodes(model) if n.domain == BLOCKS and n.op_type == "BatchToSpace"]
        return ir.passes.PassResult(model, any([_fold(node) for node in ends]))


def _fold(end: ir.Node) -> bool:
    block = attr(end, "block")
    axes = list(range(1, len(block) + 1))
    behind = _climb(end.inputs[0], [0, *axes])
    if behind is None or behind.window is None:
        return False
    window = behind.window
    before = _climb(window.inputs[0], behind.axes)
    if before is None or before.start is None or attr(before.start, "block") != block:
        return False
    if before.axes != [0, *axes] or not _is_plain(window) or behind.axes[0] != 0 or min(behind.axes[1:]) < 2:
        return False
    _rebuild(end, behind, before)
    return True


class _Path:
    """Nodes from a value up to a window or to a SpaceToBatch, and where the dimensions are there."""

    def __init__(self, nodes: list[ir.Node], found: ir.Node, axes: list[int]) -> None:
        self.nodes, self.axes = nodes, axes
        self.window = found if found.op_type in WINDOWS else None
        self.start = found if found.domain == BLOCKS else None


def _climb(value: ir.Value | None, axes: list[int]) -> _Path | None:
    """The way up from a value whose batch and spatial dimensions are `axes`."""
    nodes: list[ir.Node] = []
    for _ in range(STEPS):
        node = None if value is None else value.producer()
        if node is None or len(value.uses()) != 1 or value.is_graph_output():  # type: ignore[union-attr]
            return None
        if node.domain == BLOCKS:
            return _Path(nodes, node, axes) if node.op_type == "SpaceToBatch" else None
        if node.domain:
            return None
        if node.op_type in WINDOWS:
            return _Path(nodes, node, axes)
        above = _axes_above(node, axes)
        if above is None:
            return None
        nodes.append(node)
        index = _data_input(node)
        value, axes = node.inputs[index], above
    return None


def _data_input(node: ir.Node) -> int:
    """The input that is no constant."""
    return next((i for i, v in enumerate(node.inputs) if v is not None and held(v) is None), 0)


def _axes_above(node: ir.Node, axes: list[int]) -> list[int] | None:
    """Places of dimensions of the result in the input; None where the operator does more to them."""
    rank, result_rank = rank_of(node.inputs[_data_input(node)]), rank_of(node.outputs[0])
    if rank is None or result_rank is None:
        return None
    if node.op_type in ELEMENTWISE:
        return axes
    if node.op_type in BROADCASTING:
        others = [v for i, v in enumerate(node.inputs) if v is not None and i != _data_input(node)]
        alike = all(_is_alike(const(v), axes, result_rank) for v in others)
        return axes if alike and rank == result_rank else None
    if node.op_type == "Transpose":
        perm = attr(node, "perm") or list(range(rank))[::-1]
        return [perm[a] for a in axes]
    named = const(input_at(node, 1))
    if named is None or node.op_type not in ("Squeeze", "Unsqueeze"):
        return None
    moved = sorted(int(a) % max(rank, result_rank) for a in named)
    if node.op_type == "Squeeze":
        kept = [a for a in range(rank) if a not in moved]
        return [kept[a] for a in axes]
    return None if set(axes) & set(moved) else [a - sum(m < a for m in moved) for a in axes]


def _is_alike(array: np.ndarray | None, axes: list[int], rank: int) -> bool:
    """True for a constant that is the same at all places of `axes`."""
    if array is None:
        return False
    shape = [1] * (rank - array.ndim) + list(array.shape)
    return all(shape[a] == 1 for a in axes)


def _is_plain(window: ir.Node) -> bool:
    pads, strides = attr(window, "pads") or [], attr(window, "strides") or []
    padded = attr(window, "auto_pad") not in ("NOTSET", "VALID") or any(pads)
    return not padded and set(strides) <= {1} and len(window.outputs) == 1 and not attr(window, "ceil_mode")


def _rebuild(end: ir.Node, behind: _Path, before: _Path) -> None:
    """The nodes of both ways once more, on the undivided space."""
    window, start, axes = behind.window, before.start, behind.axes[1:]
    assert window is not None
    assert start is not None
    op = Builder(end.graph, before=end, source=origin(window))  # type: ignore[arg-type]
    x, paddings, crops, block = start.inputs[0], start.inputs[1], end.inputs[1], attr(start, "block")
    assert x is not None
    assert paddings is not None
    assert crops is not None
    attributes = {name: attr(window, name) for name in window.attributes if name not in ("auto_pad", "pads")}
    count = (rank_of(window.inputs[0]) or 0) - 2
    dilations = attributes.get("dilations") or [1] * count
    for size, axis in zip(block, axes, strict=True):
        dilations[axis - 2] *= size
    pads = _joined(paddings, crops)
    joins = window.op_type == "Conv" and all(n.op_type in MOVERS for n in before.nodes)
    if pads is not None and pads.any() and not joins:
        pads = None
    if pads is not None:
        table = np.zeros((count, 2), np.int64)
        table[[a - 2 for a in axes]] = pads
        attributes |= {"pads": table.T.ravel().tolist()} if pads.any() else {}
    else:
        spatial = op.const(np.arange(1, len(block) + 1))
        amounts = op.Reshape(op.Transpose(paddings, perm=[1, 0]), np.array([-1], np.int64))
        x = op.Pad(x, amounts, None, spatial)
    value = _again(op, before.nodes[::-1], x)
    value = op.node(window.op_type, value, *window.inputs[1:], **{**attributes, "dilations": dilations})
    value = _again(op, behind.nodes[::-1], value)
    if pads is None:
        value = _cropped(op, value, crops, list(range(1, len(block) + 1)))
    replace(end.graph, end, value, op)  # type: ignore[arg-type]


def _again(op: Builder, nodes: list[ir.Node], value: Any) -> Any:
    for node in nodes:
        inputs = list(node.inputs)
        inputs[_data_input(node)] = value
        attributes = {name: attr(node, name) for name in node.attributes}
        value = op.node(node.op_type, *inputs, **attributes)
    return value


def _joined(paddings: ir.Value, crops: ir.Value) -> np.ndarray | None:
    """Paddings less crops [dimensions, 2]; None where one is below zero or known at run time alone."""
    given, taken = elements.elements(paddings), elements.elements(crops)
    if given is None or taken is None:
        return None
    left = [elements.difference(a, b) for a, b in zip(given.ravel(), taken.ravel(), strict=True)]
    if any(n is None or n < 0 for n in left):
        return None
    return np.array(left, np.int64).reshape(given.shape)
