"""PMML holds what every format must hold, as far as fields of a record can."""

from typing import ClassVar

import pytest

from bridge.testing import FormatTests

pytest.importorskip("pypmml")
TENSORS = "PMML holds fields of a record and no tensors"
APART = "records do not read one another"
SAME, TRUTH, ONE = "float[N, 3] y", "bool[N, 3] y", "float[N, 1] y"
ROW = "<float[3] c = {0.5, -1.0, 0.1}>"
REDUCED = (
    "ReduceSum",
    "ReduceMean",
    "ReduceProd",
    "ReduceMax",
    "ReduceMin",
    "ReduceSumSquare",
    "ReduceL1",
    "ReduceL2",
)
COMPARED = ("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal")


def records(result: str, body: str, given: str = ROW) -> str:
    """A graph over records of three fields."""
    return f"g (float[N, 3] x) => ({result}) {given} {{ {body} }}"


RECORDS = (
    {op: records(ONE, f"y = {op} (x, a)", "<int64[1] a = {1}>") for op in REDUCED}
    | {op: records(TRUTH, f"y = {op} (x, c)") for op in COMPARED}
    | {op: records(SAME, f"y = {op} (x, c)") for op in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum")}
    | {
        op: records(SAME, f"y = {op} (x)")
        for op in ("Identity", "Abs", "Neg", "Relu", "Sigmoid", "Tanh", "Exp", "Softmax")
    }
)


LEFT = "in this form no record holds it; tests/pmml goes through what records hold"


class TestPmml(FormatTests):
    format = "pmml"
    cases: ClassVar[dict[str, str]] = RECORDS
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
    } | dict.fromkeys(
        (
            *("Expand", "Flatten", "Gather", "Reshape", "Shape", "Slice", "Squeeze", "Unsqueeze"),
            *("ai.onnx.ml::OneHotEncoder", "ai.onnx.ml::SVMRegressor", "ai.onnx.ml::TreeEnsembleRegressor"),
        ),
        LEFT,
    )
