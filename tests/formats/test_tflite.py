"""TFLite holds what every format must hold."""

from typing import ClassVar

from bridge.testing import FormatTests

OWN = "TFLite's own form names its padding, which the body of the operator it came from does not know"


class TestTflite(FormatTests):
    format = "tflite"
    known_failures: ClassVar[dict[str, str]] = {
        f"test_legalisation_keeps_the_meaning[{case}]": OWN for case in ("conv", "conv_padded", "max_pool")
    }
