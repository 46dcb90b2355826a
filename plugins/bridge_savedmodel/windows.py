"""The geometry of windows over spatial dimensions that come second to last but one."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge.hub import NHWC, attr, rank_of, shape_of

Pads = list[tuple[int, int]]


def spans_of(node: ir.Node) -> list[int]:
    """How far each window reaches."""
    kernel = attr(node, "kernel_shape") or (shape_of(node.inputs[1]) or [])[2:]
    dilations = attr(node, "dilations") or [1] * len(kernel)
    return [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]


def pads_of(node: ir.Node, sizes: list[Any], spans: list[int]) -> Pads | None:
    """Padding before and after each spatial dimension, what ceil_mode adds included; None where it depends on
    lengths known at run time alone."""
    count = len(sizes)
    strides, auto = attr(node, "strides") or [1] * count, attr(node, "auto_pad")
    given = attr(node, "pads") or [0] * 2 * count
    made = []
    for i, (size, span, stride) in enumerate(zip(sizes, spans, strides, strict=True)):
        before, after = given[i], given[i + count]
        if auto == "VALID":
            before = after = 0
        elif auto.startswith("SAME"):
            if not isinstance(size, int) and stride != 1:
                return None
            total = span - 1 if stride == 1 else max((-(-size // stride) - 1) * stride + span - size, 0)
            small = total // 2
            before, after = (small, total - small) if auto == "SAME_UPPER" else (total - small, small)
        elif attr(node, "ceil_mode") and stride != 1:
            if not isinstance(size, int):
                return None
            places = -(-(size + before + after - span) // stride) + 1
            if (places - 1) * stride >= size + before:
                places -= 1
            after += max((places - 1) * stride + span - size - before - after, 0)
        made.append((before, after))
    return made


def transposed_pads(
    tf: Any, node: ir.Node, x: ir.Value, weights: ir.Value
) -> tuple[list[int], list[Any], list[Any]]:
    """Of a ConvTranspose, for each spatial dimension: where in the whole result the one asked for begins, its
    length, and the length of the whole."""
    count = (rank_of(x) or 2) - 2
    strides, kernel = attr(node, "strides") or [1] * count, (shape_of(weights) or [])[2:]
    dilations = attr(node, "dilations") or [1] * count
    pads, more = attr(node, "pads") or [0] * 2 * count, attr(node, "output_padding") or [0] * count
    auto, asked = attr(node, "auto_pad"), attr(node, "output_shape")
    begins, sizes, wholes = [], [], []
    for i, length in enumerate(tf.lengths(x)[1:-1]):
        span = (kernel[i] - 1) * dilations[i] + 1
        whole = (length - 1) * strides[i] + span
        before, after = (0, 0) if auto == "VALID" else (pads[i], pads[i + count])
        if asked or auto.startswith("SAME"):
            size = asked[i] if asked else length * strides[i]
            total = whole + more[i] - asked[i] if asked else span + more[i] - strides[i]
            total = max(total, 0) if isinstance(total, int) else total
            before = total // 2 if auto == "SAME_UPPER" else total - total // 2
        else:
            size = whole + (more[i] - before - after)
        begins.append(before)
        sizes.append(size)
        wholes.append(_larger(whole, more[i], before, size))
    return begins, sizes, wholes


def _larger(whole: Any, more: int, before: int, size: Any) -> Any:
    """At least what is cut from it: the rest is zeros, which the gradient of a convolution gives beyond its
    windows."""
    if isinstance(whole, int) and isinstance(size, int):
        return max(whole, before + size)
    return whole + more


def transposes(node: ir.Node, x: ir.Value) -> bool:
    """Whether the gradient of a convolution is the ConvTranspose `node`: its length must give back that of
    `x`."""
    count = (rank_of(x) or 2) - 2
    kernel = (shape_of(node.inputs[1]) or [])[2:]
    if len(kernel) != count:
        return False
    strides = attr(node, "strides") or [1] * count
    more = attr(node, "output_padding") or [0] * count
    pads = attr(node, "pads") or [0] * 2 * count
    asked = attr(node, "output_shape")
    lengths = [d for d in list(x.shape or [])[2:] if isinstance(d, int)]
    if asked is not None and len(lengths) < count:
        return False
    if min(pads, default=0) < 0:
        return False
    if asked is None and all(m < s for m, s in zip(more, strides, strict=True)):
        return not attr(node, "auto_pad").startswith("SAME") or _same_fits(node, kernel, strides)
    if asked is None:
        return False
    dilations = attr(node, "dilations") or [1] * count
    for i, length in enumerate(lengths):
        whole = (length - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1
        total = max(whole + more[i] - asked[i], 0)
        before = total // 2 if attr(node, "auto_pad") == "SAME_UPPER" else total - total // 2
        if before + asked[i] - whole >= strides[i]:
            return False
    return True


def _same_fits(node: ir.Node, kernel: list[int], strides: list[int]) -> bool:
    dilations = attr(node, "dilations") or [1] * len(kernel)
    return all((k - 1) * d + 1 >= s for k, d, s in zip(kernel, dilations, strides, strict=True))


def filter_order(node: ir.Node, index: int) -> tuple[int, ...] | None:
    """How the dimensions of a convolution's filters are turned: spatial ones first, then those of channels,
    the last first."""
    if index != 1 or node.domain != NHWC or not node.op_type.startswith("Conv"):
        return None
    rank = rank_of(node.inputs[1]) or 0
    return (*range(2, rank), 1, 0)
