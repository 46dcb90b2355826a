from typing import ClassVar

import pytest

from bridge.testing import FormatTests

pytest.importorskip("tensorflow")
RANDOM = "no case says what a random number is"


class TestSavedModel(FormatTests):
    format = "savedmodel"
    known_failures: ClassVar[dict[str, str]] = {
        "test_same_bytes_twice": "TensorFlow numbers functions by a counter of the process"
    } | dict.fromkeys(
        ("Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"), RANDOM
    )
