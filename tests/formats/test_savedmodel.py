import pytest

from bridge.testing import FormatTests

pytest.importorskip("tensorflow")


class TestSavedModel(FormatTests):
    format = "savedmodel"
