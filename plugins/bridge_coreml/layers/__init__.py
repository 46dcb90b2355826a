"""How every layer of a NeuralNetwork becomes hub operators, by family."""

from bridge_coreml.layers import control, math, nn, recurrent, reduce, tensor
from bridge_coreml.layers.common import layers

__all__ = ["control", "layers", "math", "nn", "recurrent", "reduce", "tensor"]
