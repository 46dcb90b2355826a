"""TFLite holds what every format must hold."""

from typing import ClassVar

from bridge.testing import FormatTests


class TestTflite(FormatTests):
    format = "tflite"
    known_failures: ClassVar[dict[str, str]] = {
        "test_what_is_written_reads_back_the_same[dynamic_batch]": "the file does not keep names of dimensions"
    }
