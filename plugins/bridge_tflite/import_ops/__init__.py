"""How every TFLite operator becomes hub operators, by family."""

from bridge_tflite.import_ops import control, math, nn, quantize, reduce, state, tensor
from bridge_tflite.import_ops.common import ops

__all__ = ["control", "math", "nn", "ops", "quantize", "reduce", "state", "tensor"]
