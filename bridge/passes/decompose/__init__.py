"""Operators spelled out in simpler ones, by family: for every target that does not take them as they are.

A rule's inputs may be constants or run-time values, of any dtype and with dynamic dimensions, unless its
needs say otherwise: what is constant folds afterwards.
"""

from __future__ import annotations

from bridge.ops import OpTable
from bridge.passes.rewrite import Accepts, Rewrite

__all__ = ["Decompose"]

DECOMPOSITIONS = OpTable.of(__name__)


class Decompose(Rewrite):
    """1. Every node that `accepts` refuses and a decomposition takes is spelled out; what it is made of is
    visited again."""

    precedes = ("ChannelsLast",)

    def __init__(self, accepts: Accepts) -> None:
        super().__init__(DECOMPOSITIONS, keep=accepts)
