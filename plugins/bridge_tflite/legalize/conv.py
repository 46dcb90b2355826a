"""Convolutions and pools with the padding that TFLite has."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import vector
from bridge.geometry import (
    crop_pads,
    is_same,
    pads_of,
    same_at_run_time,
    transposed_pads,
    transposed_total,
    window_of,
)
from bridge.hub import attr, const, held, shape_of
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import NHWC, TFLITE
from bridge_tflite.export_ops.conv import has_native_padding
from bridge_tflite.legalize.bodies import is_dilated
from bridge_tflite.legalize.common import INT32
from bridge_tflite.legalize.ranges import never_negative

ops = OpTable()


@ops.op(f"{NHWC}::Conv", f"{NHWC}::MaxPool", f"{NHWC}::AveragePool")
def padding(op, node, x, *others):
    """Express padding by `auto_pad` alone, with a Pad before it where needed.

    A MaxPool of non-negative values is padded with zeros, which XNNPACK fuses; any other one with the lowest
    float32.
    """
    plan = pad_plan(node, list(x.shape[1:-1]))
    needs_own_body = node.op_type == "Conv" and is_dilated(node)
    if plan is None or (
        has_native_padding(node) and plan[0] == attr(node, "auto_pad") and not needs_own_body
    ):
        return NotImplemented
    auto_pad, pads = plan
    dropped = ("pads", "auto_pad", "ceil_mode", "count_include_pad")
    attributes = {name: attr(node, name) for name in node.attributes if name not in dropped}
    if auto_pad == "VALID" and any(pads):
        table = np.array([[0, 0], *np.reshape(pads, (2, -1)).T, [0, 0]], np.int32)
        below = node.op_type == "MaxPool" and not never_negative(node.inputs[0])
        lowest = op.const(np.finfo(np.float32).min) if below else None
        dims = [d + int(sum(t)) if isinstance(d, int) else None for d, t in zip(x.shape, table, strict=True)]
        x = op.Pad(x, op.const(table), lowest, _domain=TFLITE, _dtype=x.dtype, _shape=dims)
    window = ir.Node(
        TFLITE if needs_own_body else NHWC,
        node.op_type,
        [x, *others],
        ir.convenience.convert_attributes({**attributes, "auto_pad": auto_pad}),
        overload="" if needs_own_body else node.overload,
        num_outputs=1,
    )
    window.outputs[0].type, window.outputs[0].shape = node.outputs[0].type, node.outputs[0].shape
    return op.insert(window)


def pad_plan(node: ir.Node, sizes: list) -> tuple[str, list[int]] | None:
    """(SAME_UPPER or VALID, pads of a Pad before it as [begins, ends]); None for padding that LiteRT cannot
    express.

    With lengths known at run time only, SAME_UPPER is kept if `auto_pad` says so, and the pads are empty.
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
    """TRANSPOSE_CONV to an explicit output size; what its padding cannot express is sliced off afterwards."""
    auto_pad, sizes, cut = transposed_plan(node, list(x.shape[1:-1]))
    channels = shape_of(weights)[1]
    batch = x.shape[0] if isinstance(x.shape[0], int) else op.Shape(x, end=1)
    shape = vector(op, [batch, *sizes, channels])
    full = op.TransposeConv(
        x,
        weights,
        op.const(const(shape).astype(np.int32)) if held(shape) is not None else op.Cast(shape, to=INT32),
        bias,
        _domain=TFLITE,
        _dtype=x.dtype,
        _shape=[x.shape[0], *sizes, channels],
        strides=attr(node, "strides") or [1] * len(sizes),
        auto_pad=auto_pad,
        output_shape=sizes,
    )
    if cut is None:
        return full
    begins, lengths_kept = cut
    limits = [first + length for first, length in zip(begins, lengths_kept, strict=True)]
    return op.Slice(full, begins, limits, [*range(1, len(sizes) + 1)])


def transposed_plan(node: ir.Node, sizes: list) -> tuple[str, list[int], Any] | None:
    """(SAME_UPPER or VALID, output size to compute, slice of it to keep as (begins, lengths) or None for
    all).

    None instead of a plan if TRANSPOSE_CONV cannot compute it.
    """
    kernel = (shape_of(node.inputs[1]) or [])[2:]
    rank = len(sizes)
    strides, output_padding = attr(node, "strides") or [1] * rank, attr(node, "output_padding") or [0] * rank
    pairs = transposed_pads(node, sizes)
    if pairs is None or any(min(pair) < 0 for pair in pairs):
        return None
    pads = [pair[side] for side in (0, 1) for pair in pairs]
    full = [(n - 1) * s + k for n, k, s in zip(sizes, kernel, strides, strict=True)]
    out = [f - pads[i] - pads[i + rank] + output_padding[i] for i, f in enumerate(full)]
    if min(out) < 1 or out != (attr(node, "output_shape") or out):
        return None
    rows = list(zip(sizes, kernel, strides, out, strict=True))
    same, _ = crop_pads([transposed_total(n, k, s, 0, o) for n, k, s, o in rows])
    if same[:rank] == pads[:rank] and all(-(-o // s) == n for n, _, s, o in rows):
        return "SAME_UPPER", out, None
    computed = [max(f, pads[i] + out[i]) for i, f in enumerate(full)]
    if any((w - k + s) // s != n for n, w, k, s in zip(sizes, computed, kernel, strides, strict=True)):
        return None
    return "VALID", computed, None if computed == out else (pads[:rank], out)
