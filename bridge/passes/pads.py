"""Padding said in numbers, by the operator that needs it."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.geometry import pads_of, spatial_lengths, transposed_pads, transposed_total, window_of
from bridge.hub import attr, const, input_at, largest, rank_of
from bridge.ops import OpTable
from bridge.passes.decompose.pool import PADDED_AT_RUN_TIME, pad_at_run_time, padded_at_run_time
from bridge.passes.rewrite import Rewrite
from bridge.passes.shapes import forget_shapes

_padded = OpTable()
_padded.op("Conv", "MaxPool", "AveragePool", "LpPool", needs=(PADDED_AT_RUN_TIME,))(pad_at_run_time)


class ExplicitPads(ir.passes.InPlacePass):
    """1. auto_pad of Conv, ConvInteger, ConvTranspose and pools becomes the pads that mean the same, wherever
    lengths tell them: VALID always, SAME_… where the strided axes have known lengths, and none is cut.

    2. output_shape of a ConvTranspose of known lengths becomes pads and output_padding.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        nodes = [node for node in hub.all_nodes(model) if not node.domain and _automatic(node)]
        return ir.passes.PassResult(model, any([_write(node) for node in nodes]))


def _automatic(node: ir.Node) -> bool:
    return attr(node, "auto_pad") not in (None, "NOTSET") or bool(attr(node, "output_shape"))


def _write(node: ir.Node) -> bool:
    if (rank_of(node.inputs[0]) or 0) < 3:
        return False
    transposed = node.op_type == "ConvTranspose"
    pads = transposed_pads(node) if transposed else pads_of(node)
    if pads is None or (transposed and not _sized(node)):
        return False
    flat = [pair[side] for side in (0, 1) for pair in pads]
    if not transposed and any(isinstance(n, int) and n < 0 for n in flat):
        return False
    node.attributes.pop("auto_pad", None)
    node.attributes["pads"] = ir.AttrInt64s("pads", flat)
    return True


def _sized(node: ir.Node) -> bool:
    """Say the result's length by output_padding; no where output_shape asks for more than that can add."""
    output_shape, window, known = attr(node, "output_shape"), window_of(node), spatial_lengths(node)
    if not output_shape:
        return True
    if window is None or not all(isinstance(n, int) for n in known):
        return False
    output_padding = attr(node, "output_padding") or [0] * len(output_shape)
    rows = list(zip(known, window.spans, window.strides, output_padding, output_shape, strict=True))
    needed = [
        old + largest(0 - transposed_total(*row), 0) for old, row in zip(output_padding, rows, strict=True)
    ]
    steps = zip(needed, output_padding, window.strides, window.dilations, strict=True)
    if any(new > old and new >= max(stride, dilation) for new, old, stride, dilation in steps):
        return False
    node.attributes.pop("output_shape")
    node.attributes["output_padding"] = ir.AttrInt64s("output_padding", needed)
    return True


class TransposedPads(ir.passes.InPlacePass):
    """1. SAME_… of a ConvTranspose with output_padding becomes pads, which depend on no length: the result
    is as long as input × stride, to which the shape inference of onnx adds output_padding. Shapes inferred
    before are forgotten.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        found = [node for node in hub.all_nodes(model) if not node.domain and _padded_beyond(node)]
        modified = any([_write(node) for node in found])
        if modified:
            forget_shapes(model)
        return ir.passes.PassResult(model, modified)


def _padded_beyond(node: ir.Node) -> bool:
    same = node.op_type == "ConvTranspose" and attr(node, "auto_pad").startswith("SAME")
    return same and any(attr(node, "output_padding") or ()) and not attr(node, "output_shape")


class PadsAtRunTime(Rewrite):
    """1. SAME padding of lengths known at run time alone is a Pad of amounts computed then, where a window is
    dilated or smaller than its stride: ONNX Runtime pads as if it were not dilated, and refuses to pad by
    less than nothing.
    """

    def __init__(self) -> None:
        super().__init__(_padded, keep=lambda node: not _beyond_onnxruntime(node))


def _beyond_onnxruntime(node: ir.Node) -> bool:
    if node.domain or not (attr(node, "auto_pad") or "").startswith("SAME") or not padded_at_run_time(node):
        return False
    window = window_of(node)
    assert window is not None
    return set(window.dilations) != {1} or any(
        k < s for k, s in zip(window.kernel, window.strides, strict=True)
    )


class JoinPads(ir.passes.InPlacePass):
    """1. A Pad that puts zeros around the spatial dimensions of an image, which a Conv alone reads, itself or
    transposed, joins the padding of the Conv.
    """

    precedes = ("ChannelsLast",)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        nodes = [n for n in hub.all_nodes(model) if n.op_type == "Conv" and not n.domain]
        return ir.passes.PassResult(model, any([_join(node) for node in nodes]))


def _join(node: ir.Node) -> bool:
    rank, padded = rank_of(node.inputs[0]), _sole_producer(node, "Pad")
    turn = _sole_producer(node, "Transpose")
    if turn is not None:
        padded = _sole_producer(turn, "Pad")
    table = _zeros(padded) if padded is not None else None
    if table is None or rank is None or attr(node, "auto_pad") not in ("NOTSET", "VALID"):
        return False
    if turn is not None:
        table = table[:, attr(turn, "perm") or list(range(rank))[::-1]]
    if table[:, :2].any():
        return False
    extra = table[:, 2:].ravel()
    pads = np.array(attr(node, "pads") or [0] * len(extra)) + extra
    node.attributes.pop("auto_pad", None)
    node.attributes["pads"] = ir.AttrInt64s("pads", pads.tolist())
    assert padded is not None
    if turn is None:
        node.replace_input_with(0, padded.inputs[0])
    else:
        turn.replace_input_with(0, padded.inputs[0])
        turn.outputs[0].shape = _transposed(padded.inputs[0], attr(turn, "perm"))
    return True


def _sole_producer(node: ir.Node, op_type: str) -> ir.Node | None:
    """The node of `op_type` whose result `node` alone reads, first."""
    value = node.inputs[0]
    producer = value.producer() if value is not None else None
    if producer is None or producer.op_type != op_type or producer.domain or producer.graph is not node.graph:
        return None
    only_reader = len(producer.outputs[0].uses()) == 1 and not producer.outputs[0].is_graph_output()
    return producer if only_reader else None


def _zeros(node: ir.Node) -> np.ndarray | None:
    """Zeros a Pad puts before and after each dimension; None where it does not, or takes some
    away."""
    pads, rank = const(node.inputs[1]), rank_of(node.inputs[0])
    value, axes = input_at(node, 2), input_at(node, 3)
    constant_mode = attr(node, "mode") == "constant" and axes is None
    if pads is None or rank is None or not constant_mode or (pads < 0).any():
        return None
    number = const(value)
    return None if value is not None and (number is None or number.any()) else pads.reshape(2, rank)


def _transposed(value: ir.Value | None, perm: list[int] | None) -> ir.Shape | None:
    if value is None or value.shape is None:
        return None
    return ir.Shape([value.shape[i] for i in perm or range(len(value.shape))[::-1]])


def cuts_all(node: ir.Node) -> bool:
    """True if the negative amounts of a Pad leave nothing along an axis of known length; no where amounts or
    axes are unknown."""
    x, pads, _, axes = (*node.inputs, None, None)[:4]
    amounts, named = const(pads), const(axes)
    if amounts is None or x is None or x.shape is None or (axes is not None and named is None):
        return False
    lengths = [x.shape[int(a)] for a in (range(len(x.shape)) if named is None else named)]
    cut = np.minimum(amounts.reshape(2, -1), 0).sum(0)
    return any(isinstance(d, int) and d + c <= 0 for d, c in zip(lengths, cut, strict=True))
