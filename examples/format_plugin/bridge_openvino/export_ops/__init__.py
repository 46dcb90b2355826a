"""Hub operators → OpenVINO operators, by family. What a rule needs is what OpenVINO's CPU computes as ONNX says."""

from dataclasses import replace

from bridge.ops import OpTable
from bridge_openvino.export_ops import control, math, nn, reduce, tensor
from bridge_openvino.export_ops.common import IN_RANGE

ops = OpTable()
for family in (control, math, nn, reduce, tensor):
    for rule in family.ops:
        ops.add(rule if rule.op == "Slice" else replace(rule, needs=(*rule.needs, IN_RANGE)))
