"""Core ML files of one operator, layer or model each, by family: what they compute is known without the importer."""

from __future__ import annotations

from bridge.matrix import NativeCase
from bridge_coreml.apple import coremltools


def cases() -> dict[str, NativeCase]:
    """Every case, as the matrix measures them."""
    coremltools()
    from coremltools.converters.mil.mil import Builder as mb

    from bridge_coreml.cases import control, image, math, ml, network, nn, quantize, recurrent, reduce, tensor
    from bridge_coreml.cases.common import natives

    found: dict[str, NativeCase] = {}
    for family in (math, reduce, tensor, nn, recurrent, control, quantize, image):
        found |= natives(family.programs(mb))
    return found | network.cases() | ml.cases()
