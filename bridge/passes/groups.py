"""GroupNormalization as ONNX Runtime computes it right."""

from __future__ import annotations

from bridge.passes.decompose import DECOMPOSITIONS
from bridge.passes.rewrite import Rewrite


class CentredGroups(Rewrite):
    """1. GroupNormalization is spelled out with the variance as the mean of squared distances.

    ONNX Runtime, as the operator's own function body, computes E[x²] - E[x]²: noise where values are far from
    zero, and below zero at times.
    """

    def __init__(self) -> None:
        super().__init__(DECOMPOSITIONS, keep=lambda node: node.op_type != "GroupNormalization")
