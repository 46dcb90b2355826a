"""Hub operators → OpenVINO operators, by family. What a rule needs is what OpenVINO's CPU computes as ONNX
says."""

from dataclasses import replace

from bridge.ops import OpTable
from bridge_openvino.export_ops.common import IN_RANGE

ops = OpTable()
for rule in OpTable.of(__name__):
    ops.add(rule if rule.op == "Slice" else replace(rule, needs=(*rule.needs, IN_RANGE)))
