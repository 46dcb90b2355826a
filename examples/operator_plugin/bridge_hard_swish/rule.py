"""The native rule: HARD_SWISH, which LiteRT has a kernel for. Imported when TFLite is written, so that every other command stays quick."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge.needs import dtype
from bridge.ops import OpTable

native = OpTable()


@native.op("example::HardSwish", needs=(dtype("float"),))
def hard_swish(tfl: Any, node: ir.Node, x: ir.Value) -> None:
    tfl.HARD_SWISH(x)
