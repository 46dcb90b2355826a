"""Core ML files of one operator, layer or model each, by family: what they compute is known without the
importer."""

from __future__ import annotations

from bridge.matrix import NativeCase
from bridge_coreml.cases import (
    control,
    dynamic,
    image,
    legacy,
    math,
    ml,
    network,
    network_math,
    network_nn,
    network_tensor,
    nn,
    quantize,
    recurrent,
    reduce,
    tensor,
)
from bridge_coreml.cases.common import Program, natives
from bridge_coreml.coremltools_import import coremltools


def cases() -> dict[str, NativeCase]:
    """Every case, as the matrix measures them."""
    return natives(programs()) | network.natives(layers()) | ml.cases()


def programs() -> dict[str, Program]:
    """ML Programs by name, whose first word is the operator."""
    coremltools()
    from coremltools.converters.mil.mil import Builder as mb

    found: dict[str, Program] = {}
    for family in (math, reduce, tensor, nn, recurrent, control, quantize, image):
        found |= family.programs(mb)
    return found


def layers() -> dict[str, network.Network]:
    """Networks by name, whose first word is the layer's type."""
    found: dict[str, network.Network] = {}
    for family in (network_math, network_tensor, network_nn, legacy, dynamic):
        found |= family.layers()
    return found
