"""ONNX holds what every format must hold."""

from bridge.testing import FormatTests


class TestOnnx(FormatTests):
    format = "onnx"
