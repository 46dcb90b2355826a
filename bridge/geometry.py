"""Geometry of the windows of Conv, ConvTranspose and pools, and of the axes of Resize.

A length is an int, a hub.Dim, or anything else where it is not known. Formulas are those of the operators'
pages (https://onnx.ai/onnx/operators/onnx__Conv.html, …ConvTranspose, …MaxPool, …Resize).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import NHWC, Dim, Length, attr, const, input_at, largest, shape_of
from bridge.interpolation import same_elements

__all__ = [
    "Window",
    "ceil_extra",
    "crop_pads",
    "halves",
    "is_same",
    "pads_of",
    "plain_resize",
    "same_at_run_time",
    "same_total",
    "spatial_lengths",
    "transposed_pads",
    "transposed_total",
    "window_count",
    "window_of",
]

Pads = list[tuple[Any, Any]]


@dataclass(frozen=True)
class Window:
    """The window of a convolution or pool, a number for each spatial axis."""

    kernel: list[int]
    strides: list[int]
    dilations: list[int]

    @property
    def spans(self) -> list[int]:
        """Receptive length of a window: (kernel - 1) * dilation + 1."""
        return [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True)]


def window_of(node: ir.Node) -> Window | None:
    """The window of a node; None where only weights of unknown shape tell its kernel."""
    kernel = attr(node, "kernel_shape") or _weights_kernel(node)
    if kernel is None:
        return None
    ones = [1] * len(kernel)
    return Window(list(kernel), attr(node, "strides") or ones, attr(node, "dilations") or ones)


def _weights_kernel(node: ir.Node) -> list[int] | None:
    weights = input_at(node, 1)
    dims = list(weights.shape)[2:] if weights is not None and weights.shape is not None else [None]
    return [int(d) for d in dims if isinstance(d, int)] if all(isinstance(d, int) for d in dims) else None


def spatial_lengths(node: ir.Node) -> list[Any]:
    """Lengths of the spatial axes of the image that `node` reads, whose rank must be known."""
    x = node.inputs[0]
    assert x is not None
    assert x.shape is not None
    return list(x.shape)[1:-1] if node.domain == NHWC else list(x.shape)[2:]


def window_count(length: Length, span: Length, stride: Length) -> Length:
    """Windows that fit into a padded length: floor((length - span) / stride) + 1; none, or less, where none
    does."""
    return (length + (stride - span)) // stride


def same_total(length: Length, span: int, stride: int) -> Length:
    """Padding of both ends together for ceil(length / stride) windows (auto_pad SAME_…), never less than
    nothing."""
    if stride == 1:
        return span - 1
    return largest((length + (stride - 1)) // stride * stride + (span - stride) - length, 0)


def halves(total: Length, upper: bool) -> tuple[Length, Length]:
    """Padding before and after, of which the latter is the larger where `upper` (SAME_UPPER), else the
    former."""
    less = total // 2
    return (less, total - less) if upper else (total - less, less)


def ceil_extra(length: Length, span: int, stride: int, before: int, after: int) -> Length:
    """Elements by which the last window of ceil_mode reaches beyond the padding; one that would start
    there is left out."""
    whole = length + (before + after)
    skipped = -(-span // stride) * stride
    reach = (whole + (skipped + stride - 1 - span)) // stride * stride - skipped
    if isinstance(reach, Dim):
        outside = reach.op.GreaterOrEqual(reach, length + before)
        reach = Dim(reach.op, reach.op.Where(outside, reach - stride, reach))
    elif isinstance(length, int) and reach >= length + before:
        reach -= stride
    return largest(reach + span - whole, 0)


def pads_of(node: ir.Node, lengths: Sequence[Any] | None = None, ceil: bool = False) -> Pads | None:
    """Padding before and after each spatial axis of a Conv or pool, whatever its auto_pad.

    With `ceil`, what the last window of ceil_mode reaches beyond its padding is added behind. None where the
    padding depends on a length that is not known, or the kernel is not.
    """
    window = window_of(node)
    if window is None:
        return None
    count, auto = len(window.kernel), attr(node, "auto_pad")
    own_pads = attr(node, "pads") if auto == "NOTSET" else None
    own_pads = own_pads or [0] * 2 * count
    ceil = ceil and bool(attr(node, "ceil_mode")) and not auto.startswith("SAME")
    pads: Pads = []
    for i, length in enumerate(spatial_lengths(node) if lengths is None else lengths):
        span, stride = window.spans[i], window.strides[i]
        before, after = own_pads[i], own_pads[i + count]
        known = isinstance(length, (int, Dim)) or stride == 1
        if (auto.startswith("SAME") or ceil) and not known:
            return None
        if auto.startswith("SAME"):
            before, after = halves(same_total(length, span, stride), auto == "SAME_UPPER")
        elif ceil and stride != 1:
            after = after + ceil_extra(length, span, stride, before, after)
        pads.append((before, after))
    return pads


def is_same(pads: Pads, window: Window, lengths: Sequence[Any]) -> bool:
    """True if pads are what SAME_UPPER is on these lengths."""
    rows = zip(pads, window.spans, window.strides, lengths, strict=True)
    return all(
        (stride == 1 or isinstance(length, int)) and pair == halves(same_total(length, span, stride), True)
        for pair, span, stride, length in rows
    )


def same_at_run_time(node: ir.Node, lengths: Sequence[Any]) -> bool:
    """True if the padding is TensorFlow's and LiteRT's SAME of lengths known at run time alone: SAME_UPPER,
    of elements that do not count."""
    dynamic = not all(isinstance(n, int) for n in lengths)
    return dynamic and attr(node, "auto_pad") == "SAME_UPPER" and not attr(node, "count_include_pad")


def transposed_total(
    length: Length, span: int, stride: int, output_padding: int, output_length: Length
) -> Length:
    """Elements a ConvTranspose cuts from both ends of (length - 1) * stride + span + `output_padding`
    together, for a result of length `output_length`; below 0 where that is longer."""
    return (length - 1) * stride + (span + output_padding) - output_length


def transposed_pads(node: ir.Node, lengths: Sequence[Any] | None = None) -> Pads | None:
    """Elements a ConvTranspose cuts off before and after each spatial axis, whatever its auto_pad and
    output_shape; None where that depends on a length that is not known."""
    window = window_of(node)
    if window is None:
        return None
    count, auto, output_shape = len(window.kernel), attr(node, "auto_pad"), attr(node, "output_shape")
    own_pads = (attr(node, "pads") if auto == "NOTSET" else None) or [0] * 2 * count
    output_padding = attr(node, "output_padding") or [0] * count
    cropped: Pads = []
    for i, length in enumerate(spatial_lengths(node) if lengths is None else lengths):
        span, stride = window.spans[i], window.strides[i]
        if not output_shape and not auto.startswith("SAME"):
            cropped.append((own_pads[i], own_pads[i + count]))
            continue
        if output_shape and not isinstance(length, (int, Dim)):
            return None
        total = (
            transposed_total(length, span, stride, output_padding[i], output_shape[i])
            if output_shape
            else span + output_padding[i] - stride
        )
        cropped.append(halves(largest(total, 0), auto == "SAME_UPPER"))
    return cropped


def crop_pads(totals: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """`pads` and `output_padding` of a ConvTranspose that cuts off `totals` elements of each axis, shared
    between both ends as by SAME_UPPER; below 0 the result is longer by as many."""
    pairs = [halves(max(total, 0), upper=True) for total in totals]
    return [pair[side] for side in (0, 1) for pair in pairs], [max(-total, 0) for total in totals]


def plain_resize(node: ir.Node) -> list[int] | None:
    """Lengths of the result of a Resize of static shape whose samples lie as the quotients of the lengths
    say: sizes that stretch, or scales that are those quotients but for rounding to float32; no region of
    interest, antialias or exclude_outside.

    For mode nearest every sample is the element that the quotient of the lengths, multiplied by its position
    in float32, leads to: divided by a scale, as ONNX Runtime does, another may be the nearest.
    """
    x, y = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    roi, scales = input_at(node, 1), input_at(node, 2)
    if x is None or y is None or 0 in x or roi is not None:
        return None
    if attr(node, "antialias") or attr(node, "exclude_outside"):
        return None
    axes = attr(node, "axes") or range(len(x))
    quotients = [np.float32(y[a] / x[a]) for a in axes]
    if scales is None:
        factors = np.array(quotients) if attr(node, "keep_aspect_ratio_policy") == "stretch" else None
    else:
        factors = const(scales)
    if factors is None or not np.allclose(quotients, factors, 1e-6, 0):
        return None
    rows = zip((x[a] for a in axes), (y[a] for a in axes), factors, strict=True)
    return y if attr(node, "mode") != "nearest" or all(same_elements(*row) for row in rows) else None
