"""Hub operators → TensorFlow raw operators, by family. Which dtypes they take is asked of TensorFlow's kernels."""

from __future__ import annotations

from bridge.ops import OpTable
from bridge_savedmodel.export_ops import control, math, ml, nn, random, reduce, signal, tensor, text

ops = OpTable()
for family in (control, math, ml, nn, random, reduce, signal, tensor, text):
    for rule in family.ops:
        ops.add(rule)
