"""TorchScript holds what every format must hold."""

from bridge.testing import FormatTests


class TestTorchscript(FormatTests):
    format = "torchscript"
