"""Schemes of quantization that Core ML holds, by the system a file is for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.quantize.schemes import SCHEMES, Holding, Kind
from bridge.quantize.standard import LAYER_WEIGHTS, ROUNDED, STATIC
from bridge_coreml.export_ops.common import IOS16, IOS17, IOS18
from bridge_coreml.options import version


def schemes(options: dict[str, Any]) -> Mapping[str, Holding]:
    """float16, 8-bit weights and palettes from iOS 16, activations of 8 bits from iOS 17, blocks and weights
    of 4 bits from iOS 18."""
    held: dict[str, Holding] = {}
    if version(options) >= IOS16:
        held |= {"float16": ROUNDED, "int8-weights": LAYER_WEIGHTS}
        held |= {name: ROUNDED for name, scheme in SCHEMES.items() if scheme.kind is Kind.PALETTE}
    if version(options) >= IOS17:
        held["int8"] = STATIC
    if version(options) >= IOS18:
        held |= {name: LAYER_WEIGHTS for name in SCHEMES if name.startswith("int4")}
    return held
