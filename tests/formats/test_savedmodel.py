from typing import ClassVar

import pytest

from bridge.testing import FormatTests

pytest.importorskip("tensorflow")
RANDOM = "no case says what a random number is"


class TestSavedModel(FormatTests):
    format = "savedmodel"
    known_failures: ClassVar[dict[str, str]] = dict.fromkeys(
        ("Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"), RANDOM
    )
