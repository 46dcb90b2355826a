"""Convolutions as TensorFlow's kernels take them: a transposed one as a gradient, filters with channels
last."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge import geometry
from bridge.geometry import spatial_lengths, window_of
from bridge.hub import NHWC, attr, rank_of


def is_conv_gradient(node: ir.Node) -> bool:
    """True if the ConvTranspose `node` is the gradient of a convolution, i.e. if a convolution of its result
    has the lengths of its input."""
    window = window_of(node)
    if window is None or min(attr(node, "pads") or [0]) < 0:
        return False
    output_padding, output_shape = (
        attr(node, "output_padding") or [0] * len(window.kernel),
        attr(node, "output_shape"),
    )
    if not output_shape:
        if any(m >= stride for m, stride in zip(output_padding, window.strides, strict=True)):
            return False
        same = attr(node, "auto_pad").startswith("SAME")
        return not same or all(map(int.__ge__, window.spans, window.strides))
    lengths, pads = spatial_lengths(node), geometry.transposed_pads(node)
    return pads is not None and all(
        before + size - full < stride
        for (before, _), size, full, stride in zip(
            pads, output_shape, _full_lengths(lengths, window), window.strides, strict=True
        )
    )


def _full_lengths(lengths: list[Any], window: geometry.Window) -> list[Any]:
    """Lengths of the result of a transposed convolution before its pads are cut off."""
    rows = zip(lengths, window.spans, window.strides, strict=True)
    return [(length - 1) * stride + span for length, span, stride in rows]


def transposed_lengths(tf: Any, node: ir.Node, x: ir.Value) -> tuple[list[Any], list[Any], list[Any]]:
    """Per spatial axis of a ConvTranspose with channels last: the begin of the result in the full one, its
    length, and the length of the full one. Lengths are ints or int64 scalar tensors."""
    window, lengths, pads = window_of(node), tf.lengths(x)[1:-1], geometry.transposed_pads(node)
    assert window is not None
    assert pads is not None
    output_padding, output_shape = attr(node, "output_padding") or [0] * len(pads), attr(node, "output_shape")
    full = _full_lengths(lengths, window)
    sizes = output_shape or [
        length + (extra - before - after)
        for length, extra, (before, after) in zip(full, output_padding, pads, strict=True)
    ]
    begins = [before for before, _ in pads]
    return begins, sizes, [_at_least(*row) for row in zip(full, output_padding, begins, sizes, strict=True)]


def _at_least(full: Any, output_padding: int, before: int, size: Any) -> Any:
    """The full length, at least the end of the slice cut from it. Elements beyond the windows are zeros, as
    in the gradient."""
    if isinstance(full, int) and isinstance(size, int):
        return max(full, before + size)
    return full + output_padding


def filter_order(node: ir.Node, index: int) -> tuple[int, ...] | None:
    """Permutation of a convolution's filters to spatial axes, input channels, output channels; None if input
    `index` is no filter."""
    if index != 1 or node.domain != NHWC or not node.op_type.startswith("Conv"):
        return None
    rank = rank_of(node.inputs[1]) or 0
    return (*range(2, rank), 1, 0)
