"""`example::HardSwish`, an operator of one's own: a function body that every format gets, and a rule for
TFLite, which has a kernel for it.

Version 1 of the domain `example`: y = x · min(max(x + 3, 0), 6) / 6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from bridge import hookimpl

if TYPE_CHECKING:
    import onnx_ir as ir

    from bridge.ops import Rule

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


@hookimpl
def bridge_functions() -> list[ir.Function]:
    import onnx_ir as ir

    return list(ir.from_onnx_text(MODEL).functions.values())


@hookimpl
def bridge_rules(format: str, direction: Literal["import", "export"]) -> list[Rule]:
    from bridge_hard_swish.rule import ops

    return list(ops) if (format, direction) == ("tflite", "export") else []
