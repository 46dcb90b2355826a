"""OpenVINO operators → hub operators, by family."""

from bridge.ops import OpTable
from bridge_openvino.import_ops import control, math, nn, reduce, tensor

ops = OpTable()
for family in (control, math, nn, reduce, tensor):
    for rule in family.ops:
        ops.add(rule)
