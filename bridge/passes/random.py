"""Random numbers that do not vary."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge.hub import attr
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.rewrite import Rewrite

ops = OpTable()

CERTAIN = condition("scale=0", lambda n: attr(n, "scale") == 0)


@ops.op("RandomNormal", needs=(CERTAIN,))
def mean(op: Any, node: ir.Node) -> Any:
    """The mean, once for each element."""
    return op.Cast(op.Expand(attr(node, "mean"), attr(node, "shape")), to=attr(node, "dtype"))


@ops.op("RandomNormalLike", needs=(CERTAIN,))
def mean_like(op: Any, node: ir.Node, x: ir.Value) -> Any:
    """The mean, once for each element of another tensor."""
    means = op.Expand(attr(node, "mean"), op.Shape(x))
    return op.Cast(means, to=int(node.outputs[0].dtype or ir.DataType.FLOAT))


class CertainNormals(Rewrite):
    """1. Normal numbers that never leave their mean are that mean: a deviation of 0 ends the process in ONNX
    Runtime."""

    def __init__(self) -> None:
        super().__init__(ops)
