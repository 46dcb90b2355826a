"""How every TFLite operator becomes hub operators, by family."""

from bridge_tflite.import_ops import control, math, nn, quantize, reduce, tensor
from bridge_tflite.import_ops.common import ops

__all__ = ["control", "math", "nn", "ops", "quantize", "reduce", "tensor"]
