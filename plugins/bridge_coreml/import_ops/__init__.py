"""How every MIL operator becomes hub operators, by family."""

from bridge_coreml.import_ops import control, image, math, nn, quantize, recurrent, reduce, tensor
from bridge_coreml.import_ops.common import ops

__all__ = ["control", "image", "math", "nn", "ops", "quantize", "recurrent", "reduce", "tensor"]
