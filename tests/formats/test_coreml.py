"""Core ML holds what every format must hold."""

from bridge.testing import FormatTests


class TestCoreml(FormatTests):
    format = "coreml"
