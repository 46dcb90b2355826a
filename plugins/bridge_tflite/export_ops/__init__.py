"""Hub operators → TFLite builtins, by family. The dtypes are those LiteRT's kernels compute as ONNX says."""

from __future__ import annotations

from bridge.ops import OpTable
from bridge_tflite.export_ops import math, nn, reduce, tensor

ops = OpTable("TFLite export")
for family in (math, nn, tensor, reduce):
    for rule in family.ops:
        ops.add(rule)
