"""Hub operators → MIL operators, by family."""

from __future__ import annotations

from bridge.ops import OpTable
from bridge_coreml.export_ops import control, math, nn, quantize, recurrent, reduce, tensor

ops = OpTable()
for family in (control, math, nn, quantize, recurrent, reduce, tensor):
    for rule in family.ops:
        ops.add(rule)
