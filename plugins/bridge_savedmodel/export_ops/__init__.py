"""Hub operators → TensorFlow raw operators, by family. The dtypes they take are those of TensorFlow's CPU
kernels."""

from bridge.ops import OpTable

ops = OpTable.of(__name__)
