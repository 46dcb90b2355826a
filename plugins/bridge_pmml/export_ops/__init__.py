"""Hub operators → PMML, by family. Handlers take (document, node, *inputs): columns, or arrays for constants."""

from __future__ import annotations

from bridge.ops import OpTable
from bridge_pmml.export_ops import instances, math, ml, models, reduce, tensor

ops = OpTable()
for family in (instances, math, ml, models, reduce, tensor):
    for rule in family.ops:
        ops.add(rule)
