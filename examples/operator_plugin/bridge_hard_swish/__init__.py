"""`example::HardSwish`, an operator of one's own: a function body that every format gets, and a rule for TFLite, which has a kernel for it.

Version 1 of the domain `example`: y = x · min(max(x + 3, 0), 6) / 6.
"""

from __future__ import annotations

from typing import Any, Literal

import onnx_ir as ir

from bridge import hookimpl
from bridge.needs import dtype
from bridge.ops import OpTable, Rule

MODEL = """<ir_version: 10, opset_import: ["" : 21, "example" : 1]>
g (float[N] x) => (float[N] y) { y = example.HardSwish (x) }
<domain: "example", opset_import: ["" : 21]>
HardSwish (x) => (y) {
  three = Constant <value = float {3.0}> ()
  zero = Constant <value = float {0.0}> ()
  six = Constant <value = float {6.0}> ()
  moved = Add (x, three)
  held = Clip (moved, zero, six)
  part = Div (held, six)
  y = Mul (x, part)
}
"""

native = OpTable("example operators in TFLite")


@native.op("example::HardSwish", needs=(dtype("float"),))
def hard_swish(tfl: Any, node: ir.Node, x: ir.Value) -> None:
    tfl.HARD_SWISH(x)


@hookimpl
def bridge_functions() -> list[ir.Function]:
    return list(ir.from_onnx_text(MODEL).functions.values())


@hookimpl
def bridge_rules(format: str, direction: Literal["import", "export"]) -> list[Rule]:
    return list(native) if (format, direction) == ("tflite", "export") else []
