"""Convolutions and pools: padding as TFLite has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import vector
from bridge.geometry import is_same, pads_of, same_at_run_time, transposed_pads, window_of
from bridge.hub import attr, const, shape_of
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import NHWC, TFLITE
from bridge_tflite.export_ops.conv import padded
from bridge_tflite.legalize.bodies import dilated
from bridge_tflite.legalize.common import INT32
from bridge_tflite.legalize.ranges import never_negative

ops = OpTable()


@ops.op(f"{NHWC}::Conv", f"{NHWC}::MaxPool", f"{NHWC}::AveragePool")
def padding(op, node, x, *rest):
    """Padding becomes what auto_pad alone says, with a Pad before where that is too little: of zeros where they
    change no maximum, which XNNPACK fuses."""
    plan = pad_plan(node, list(x.shape[1:-1]))
    own = node.op_type == "Conv" and dilated(node)
    if plan is None or (padded(node) and plan[0] == attr(node, "auto_pad") and not own):
        return NotImplemented
    word, pads = plan
    dropped = ("pads", "auto_pad", "ceil_mode", "count_include_pad")
    kept = {name: attr(node, name) for name in node.attributes if name not in dropped}
    if word == "VALID" and any(pads):
        table = np.array([[0, 0], *np.reshape(pads, (2, -1)).T, [0, 0]], np.int32)
        below = node.op_type == "MaxPool" and not never_negative(node.inputs[0])
        lowest = op.const(np.finfo(np.float32).min) if below else None
        dims = [d + int(sum(t)) if isinstance(d, int) else None for d, t in zip(x.shape, table, strict=True)]
        x = op.Pad(x, op.const(table), lowest, _domain=TFLITE, _dtype=x.dtype, _shape=dims)
    made = ir.Node(
        TFLITE if own else NHWC,
        node.op_type,
        [x, *rest],
        ir.convenience.convert_attributes({**kept, "auto_pad": word}),
        overload="" if own else node.overload,
        num_outputs=1,
    )
    made.outputs[0].type, made.outputs[0].shape = node.outputs[0].type, node.outputs[0].shape
    return op.insert(made)


def pad_plan(node: ir.Node, sizes: list) -> tuple[str, list[int]] | None:
    """auto_pad: SAME_UPPER, or VALID after padding by [top, left, bottom, right], with front and back in volumes;
    None for what LiteRT cannot say.

    Of lengths known at run time alone SAME_UPPER is what auto_pad says; how much that is stays open.
    """
    if same_at_run_time(node, sizes):
        return "SAME_UPPER", []
    window, pads = window_of(node), pads_of(node, sizes, ceil=True)
    if window is None or pads is None or any(min(pair) < 0 for pair in pads):
        return None
    flat = [pair[side] for side in (0, 1) for pair in pads]
    if not any(flat):
        return "VALID", flat
    same = is_same(pads, window, sizes)
    if node.op_type != "AveragePool":
        return ("SAME_UPPER" if same else "VALID"), flat
    if pads != pads_of(node, sizes):
        return None
    if attr(node, "count_include_pad"):
        return None if attr(node, "ceil_mode") else ("VALID", flat)
    return ("SAME_UPPER", flat) if same else None


@ops.op(f"{NHWC}::ConvTranspose")
def conv_transpose(op, node, x, weights, bias=None):
    """TRANSPOSE_CONV to a size that it is told; what its padding cannot say is cut off behind it."""
    word, sizes, cut = transposed_plan(node, list(x.shape[1:-1]))
    channels = shape_of(weights)[1]
    batch = x.shape[0] if isinstance(x.shape[0], int) else op.Shape(x, end=1)
    shape = vector(op, [batch, *sizes, channels])
    made = op.TransposeConv(
        x,
        weights,
        op.const(const(shape).astype(np.int32)) if const(shape) is not None else op.Cast(shape, to=INT32),
        bias,
        _domain=TFLITE,
        _dtype=x.dtype,
        _shape=[x.shape[0], *sizes, channels],
        strides=attr(node, "strides") or [1] * len(sizes),
        auto_pad=word,
        output_shape=sizes,
    )
    if cut is None:
        return made
    begins, kept = cut
    ends = [first + length for first, length in zip(begins, kept, strict=True)]
    return op.Slice(made, begins, ends, [*range(1, len(sizes) + 1)])


def transposed_plan(node: ir.Node, sizes: list) -> tuple[str, list[int], Any] | None:
    """auto_pad (SAME_UPPER or VALID), the size to compute, and what to keep of it: (begin, lengths), None for all.

    None instead of a plan for what TRANSPOSE_CONV does not compute.
    """
    kernel = (shape_of(node.inputs[1]) or [])[2:]
    rank = len(sizes)
    strides, more = attr(node, "strides") or [1] * rank, attr(node, "output_padding") or [0] * rank
    pairs = transposed_pads(node, sizes)
    if pairs is None or any(min(pair) < 0 for pair in pairs):
        return None
    pads = [pair[side] for side in (0, 1) for pair in pairs]
    full = [(n - 1) * s + k for n, k, s in zip(sizes, kernel, strides, strict=True)]
    out = [f - pads[i] - pads[i + rank] + more[i] for i, f in enumerate(full)]
    if min(out) < 1 or out != (attr(node, "output_shape") or out):
        return None
    same = [max((n - 1) * s + k - o, 0) // 2 for n, k, s, o in zip(sizes, kernel, strides, out, strict=True)]
    if same == pads[:rank] and all(-(-o // s) == n for n, s, o in zip(sizes, strides, out, strict=True)):
        return "SAME_UPPER", out, None
    whole = [max(f, pads[i] + out[i]) for i, f in enumerate(full)]
    if any((w - k + s) // s != n for n, w, k, s in zip(sizes, whole, kernel, strides, strict=True)):
        return None
    return "VALID", whole, None if whole == out else (pads[:rank], out)
