"""Hub operators → TensorFlow raw operators, by family. Which dtypes they take is asked of TensorFlow's
kernels."""

from bridge.ops import OpTable

ops = OpTable.of(__name__)
