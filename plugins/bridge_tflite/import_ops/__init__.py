"""TFLite operators → hub operators, by family."""

from bridge.ops import OpTable

ops = OpTable.of(__name__)
