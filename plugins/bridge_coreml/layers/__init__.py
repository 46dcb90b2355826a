"""Layers of a NeuralNetwork → hub operators, by family."""

from __future__ import annotations

from bridge.ops import OpTable

ops = OpTable.of(__name__)
