"""TFLite holds what every format must hold."""

from bridge.testing import FormatTests


class TestTflite(FormatTests):
    format = "tflite"
