"""Convolutions as TensorFlow's kernels take them: transposed ones as gradients, filters with channels last."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge import geometry
from bridge.geometry import spatial_lengths, window_of
from bridge.hub import NHWC, attr, rank_of


def is_conv_gradient(node: ir.Node) -> bool:
    """Whether the gradient of a convolution is the ConvTranspose `node`: a convolution of its result must give
    back the lengths of its input."""
    window = window_of(node)
    if window is None or min(attr(node, "pads") or [0]) < 0:
        return False
    more, asked = attr(node, "output_padding") or [0] * len(window.kernel), attr(node, "output_shape")
    if not asked:
        if any(m >= stride for m, stride in zip(more, window.strides, strict=True)):
            return False
        same = attr(node, "auto_pad").startswith("SAME")
        return not same or all(map(int.__ge__, window.spans, window.strides))
    lengths, pads = spatial_lengths(node), geometry.transposed_pads(node)
    return pads is not None and all(
        before + size - whole < stride
        for (before, _), size, whole, stride in zip(
            pads, asked, _full_lengths(lengths, window), window.strides, strict=True
        )
    )


def _full_lengths(lengths: list[Any], window: geometry.Window) -> list[Any]:
    """Lengths of the result of a transposed convolution before it is cut."""
    rows = zip(lengths, window.spans, window.strides, strict=True)
    return [(length - 1) * stride + span for length, span, stride in rows]


def transposed_lengths(tf: Any, node: ir.Node, x: ir.Value) -> tuple[list[Any], list[Any], list[Any]]:
    """Of a ConvTranspose with channels last, for each spatial axis: where in the whole result the one asked for
    begins, its length, and the length of the whole. Lengths are ints or int64 scalar tensors."""
    window, lengths, pads = window_of(node), tf.lengths(x)[1:-1], geometry.transposed_pads(node)
    assert window is not None
    assert pads is not None
    more, asked = attr(node, "output_padding") or [0] * len(pads), attr(node, "output_shape")
    wholes = _full_lengths(lengths, window)
    sizes = asked or [
        whole + (m - before - after) for whole, m, (before, after) in zip(wholes, more, pads, strict=True)
    ]
    begins = [before for before, _ in pads]
    return begins, sizes, [_at_least(*row) for row in zip(wholes, more, begins, sizes, strict=True)]


def _at_least(whole: Any, more: int, before: int, size: Any) -> Any:
    """At least what is cut from it: the rest is zeros, as the gradient of a convolution is beyond its windows."""
    if isinstance(whole, int) and isinstance(size, int):
        return max(whole, before + size)
    return whole + more


def filter_order(node: ir.Node, index: int) -> tuple[int, ...] | None:
    """Permutation of a convolution's filters: spatial axes first, then those of channels, the last first; None
    for what is no filter."""
    if index != 1 or node.domain != NHWC or not node.op_type.startswith("Conv"):
        return None
    rank = rank_of(node.inputs[1]) or 0
    return (*range(2, rank), 1, 0)
