"""TensorFlow operators → hub, by family."""

from bridge.ops import OpTable

ops = OpTable.of(__name__)
