"""How every hub operator becomes TorchScript, by family."""

from bridge.ops import OpTable
from bridge_torchscript.export_ops import control, math, nn, quantize, random, recurrent, reduce, tensor

ops = OpTable()
for family in (control, math, nn, quantize, random, recurrent, reduce, tensor):
    for rule in family.ops:
        ops.add(rule)

__all__ = ["ops"]
