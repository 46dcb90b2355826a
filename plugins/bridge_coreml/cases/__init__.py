"""Core ML files of one operator, layer or model each, by family: what they compute is known without the importer."""

from __future__ import annotations

from bridge.matrix import NativeCase
from bridge_coreml.apple import coremltools


def cases() -> dict[str, NativeCase]:
    """Every case, as the matrix measures them."""
    coremltools()
    from coremltools.converters.mil.mil import Builder as mb

    from bridge_coreml.cases import math, reduce, tensor
    from bridge_coreml.cases.common import natives

    found: dict[str, NativeCase] = {}
    for family in (math, reduce, tensor):
        found |= natives(family.programs(mb))
    return found
