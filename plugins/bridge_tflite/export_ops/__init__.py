"""Hub operators → TFLite builtins, by family. The dtypes are those LiteRT's kernels compute as ONNX says."""

from __future__ import annotations

from bridge.ops import OpTable
from bridge_tflite.export_ops import quantize

ops = OpTable.of(__name__)
for rule in quantize.alike(list(ops)):
    ops.add(rule)
