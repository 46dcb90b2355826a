"""Hub operators → OpenVINO operators, by family. What a rule needs is what OpenVINO's CPU computes as ONNX says."""

from bridge.ops import OpTable
from bridge_openvino.export_ops import control, math, nn, reduce, tensor

ops = OpTable("OpenVINO IR export")
for family in (control, math, nn, reduce, tensor):
    for rule in family.ops:
        ops.add(rule)
