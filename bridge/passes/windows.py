"""Windows that fit nowhere."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge.geometry import window_of
from bridge.hub import attr, rank_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.rewrite import Rewrite

ops = OpTable()

BARREN = condition(
    "a dynamic length, and an axis without windows",
    lambda n: bool(_barren(n)) and any(not isinstance(d, int) for d in n.outputs[0].shape),
)


def _barren(node: ir.Node) -> list[int]:
    """Spatial axes of the result that have no element."""
    shape = node.outputs[0].shape
    if shape is None or rank_of(node.inputs[0]) != len(shape) or window_of(node) is None:
        return []
    return [i for i, n in enumerate(list(shape)[2:]) if n == 0]


@ops.op("Conv", "MaxPool", "AveragePool", "LpPool", needs=(BARREN,))
def nothing(op: Any, node: ir.Node, x: ir.Value, *others: ir.Value) -> Any:
    """Windows of one element there, none of which is kept."""
    window, axes = window_of(node), _barren(node)
    assert window is not None
    count = len(window.kernel)
    pads = list(attr(node, "pads") or [0] * 2 * count)
    for side in (0, count):
        for axis in axes:
            pads[side + axis] = 0
    changed = {
        "kernel_shape": _ones(window.kernel, axes),
        "strides": _ones(window.strides, axes),
        "dilations": _ones(window.dilations, axes),
        "pads": pads,
    }
    attributes = {name: attr(node, name) for name in node.attributes if name != "auto_pad"} | changed
    if node.op_type == "Conv":
        sliced = op.Slice(others[0], [0] * len(axes), [1] * len(axes), [a + 2 for a in axes])
        others = (sliced, *others[1:])
    results = op.node(node.op_type, x, *others, _outputs=len(node.outputs), **attributes)
    made = results if isinstance(results, tuple) else (results,)
    ends = [0] * len(axes)
    kept = tuple(op.Slice(y, ends, ends, [a + 2 for a in axes]) for y in made)
    return kept if len(kept) > 1 else kept[0]


def _ones(numbers: list[int], axes: list[int]) -> list[int]:
    return [1 if i in axes else n for i, n in enumerate(numbers)]


class NoWindows(Rewrite):
    """1. A convolution or pool of an axis that is shorter than its window, with other lengths known at run
    time alone, has a window of one element there, and a Slice that keeps none: what runtimes refuse, or
    compute something for, is nothing. (What is nothing by lengths all known is a constant.)
    """

    def __init__(self) -> None:
        super().__init__(ops)
