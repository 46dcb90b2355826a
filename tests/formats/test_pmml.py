"""PMML holds what every format must hold, as far as fields of a record can."""

from typing import ClassVar

import pytest

from bridge.testing import FormatTests

pytest.importorskip("pypmml")
TENSORS = "PMML holds fields of a record and no tensors"
APART = "records do not read one another"


class TestPmml(FormatTests):
    format = "pmml"
    known_failures: ClassVar[dict[str, str]] = {
        "add": "the constant differs from record to record",
        "conv": TENSORS,
        "conv_padded": TENSORS,
        "gather": TENSORS,
        "layer_normalization": TENSORS,
        "lstm": TENSORS,
        "max_pool": TENSORS,
        "slice_reverse": TENSORS,
        "softmax_axis": APART,
    }
