"""Cases of a mining schema's values, of Targets, and of what an OutputField asks for."""

from __future__ import annotations

import math
from typing import Any

from bridge_pmml.cases.common import case, reads, schema


def regression(content: str, table: str, targets: str = "", target: str = "y") -> str:
    return (
        '<RegressionModel functionName="regression">'
        f"{schema(content, target)}{targets}{table}</RegressionModel>"
    )


def linear_document(name: str, coefficient: float = 1, intercept: float = 0) -> str:
    return (
        f'<RegressionTable intercept="{intercept}">'
        f'<NumericPredictor name="{name}" coefficient="{coefficient}"/></RegressionTable>'
    )


def mining_field_case(
    title: str, field: str, attributes: str, expected: Any, values: list[Any], table: str = ""
) -> None:
    """A case of a MiningField whose value is the answer."""
    item = f'<MiningField name="{field}" {attributes}/>'
    expected_outputs = None if expected is None else [expected]
    model = regression(item, table or linear_document(field))
    case(f"MiningField {title}", "MiningField", model, expected_outputs, **{field: values})


INVALID, REPLACED = "invalidValueTreatment", 'invalidValueReplacement="5"'
_VALUES = [0, 10, 11, -1, 4.5, None]
mining_field_case("returnInvalid", "v", f'{INVALID}="returnInvalid"', [0, 10, None, None, 4.5, None], _VALUES)
mining_field_case("asIs", "v", f'{INVALID}="asIs"', [0, 10, 11, -1, 4.5, None], _VALUES)
mining_field_case("asMissing", "v", f'{INVALID}="asMissing"', [0, 10, None, None, 4.5, None], _VALUES)
mining_field_case(
    "asMissing replaced",
    "v",
    f'{INVALID}="asMissing" missingValueReplacement="7"',
    [0, 10, 7, 7, 4.5, 7],
    _VALUES,
)
mining_field_case("asValue", "v", f'{INVALID}="asValue" {REPLACED}', [0, 10, 5, 5, 4.5, None], _VALUES)
mining_field_case(
    "asValue and missing replaced",
    "v",
    f'{INVALID}="asValue" {REPLACED} missingValueReplacement="7"',
    [0, 10, 5, 5, 4.5, 7],
    _VALUES,
)
_CATEGORICAL = (
    '<RegressionTable intercept="1"><CategoricalPredictor name="n" value="1" coefficient="1"/>'
    '<CategoricalPredictor name="n" value="3" coefficient="3"/></RegressionTable>'
)
mining_field_case("returnInvalid category", "n", "", [2, 1, 4, None, 1], [1, 2, 3, 9, None], _CATEGORICAL)
mining_field_case(
    "asIs category", "n", f'{INVALID}="asIs"', [2, 1, 4, 1, 1], [1, 2, 3, 9, None], _CATEGORICAL
)
mining_field_case(
    "asMissing category",
    "n",
    f'{INVALID}="asMissing" missingValueReplacement="3"',
    [2, 1, 4, 4, 4],
    [1, 2, 3, 9, None],
    _CATEGORICAL,
)
_TEXT = (
    '<RegressionTable intercept="1">'
    '<CategoricalPredictor name="c" value="a" coefficient="1"/></RegressionTable>'
)
mining_field_case("returnInvalid text", "c", "", [2, 1, None, 1], ["a", "b", "zzz", None], _TEXT)
mining_field_case(
    "asValue text",
    "c",
    f'{INVALID}="asValue" invalidValueReplacement="a"',
    [2, 1, 2, 1],
    ["a", "b", "zzz", None],
    _TEXT,
)
mining_field_case("missingValueReplacement", "x", 'missingValueReplacement="2.5"', None, [1, None])
for _treatment in ("asIs", "asMean", "asMode", "asMedian", "asValue"):
    mining_field_case(
        f"missing {_treatment}",
        "x",
        f'missingValueReplacement="2.5" missingValueTreatment="{_treatment}"',
        [1, 2.5],
        [1, None],
    )
mining_field_case("missing returnInvalid", "x", 'missingValueTreatment="returnInvalid"', [1, None], [1, None])
_BOUNDS = 'lowValue="0" highValue="3"'
mining_field_case("outliers asIs", "x", f'outliers="asIs" {_BOUNDS}', None, [-5, 0, 1, 3, 9, None])
mining_field_case(
    "outliers asMissingValues",
    "x",
    f'outliers="asMissingValues" {_BOUNDS}',
    [None, 0, 1, 3, None, None],
    [-5, 0, 1, 3, 9, None],
)
mining_field_case(
    "outliers asExtremeValues", "x", f'outliers="asExtremeValues" {_BOUNDS}', None, [-5, 0, 1, 3, 9, None]
)
mining_field_case(
    "outliers asMissingValues replaced",
    "x",
    f'outliers="asMissingValues" {_BOUNDS} missingValueReplacement="2"',
    [2, 0, 1, 3, 2, 2],
    [-5, 0, 1, 3, 9, None],
)
mining_field_case(
    "usageType supplementary", "x", '/><MiningField name="z" usageType="supplementary"', None, [1, None]
)

_FIELDS = """
<DataField name="a" optype="continuous" dataType="double">
  <Interval closure="openOpen" leftMargin="0" rightMargin="1"/>
  <Interval closure="closedOpen" leftMargin="5"/></DataField>
<DataField name="b" optype="categorical" dataType="boolean"/>
<DataField name="d" optype="continuous" dataType="double">
  <Value value="-999" property="missing"/><Value value="-1" property="invalid"/></DataField>
<DataField name="f" optype="continuous" dataType="float"/>
<DataField name="i" optype="continuous" dataType="integer"/>
<DataField name="y" optype="continuous" dataType="double"/>
"""
case(
    "DataField intervals",
    "DataField",
    regression('<MiningField name="a"/>', linear_document("a")),
    [[None, 0.5, None, None, 5, 7, None]],
    fields=_FIELDS,
    a=[0, 0.5, 1, 3, 5, 7, None],
)
case(
    "DataField missing and invalid values",
    "DataField",
    regression('<MiningField name="d" missingValueReplacement="2"/>', linear_document("d")),
    [[0.5, 2, None, 2]],
    fields=_FIELDS,
    d=[0.5, -999, -1, None],
)
case(
    "DataField integer",
    "DataField",
    regression('<MiningField name="i"/>', linear_document("i", 0.5)),
    fields=_FIELDS,
    i=[1, -7, None],
)
case(
    "DataField boolean",
    "DataField",
    regression(
        '<MiningField name="b"/>',
        '<RegressionTable intercept="1">'
        '<CategoricalPredictor name="b" value="true" coefficient="2"/></RegressionTable>',
    ),
    [[3, 1, 1]],
    fields=_FIELDS,
    b=[1, 0, None],
)


def targets_case(title: str, attributes: str, values: str = "", expected: Any = None) -> None:
    item = f'<Targets><Target field="y" {attributes}>{values}</Target></Targets>'
    model = regression('<MiningField name="x"/>', linear_document("x"), item)
    case(
        f"Targets {title}",
        "Targets",
        model,
        None if expected is None else [expected],
        x=[-3, 1.5, 2.2, 99, -2.5, None],
    )


targets_case("min and max", 'min="0" max="10"')
targets_case("min", 'min="0"')
targets_case("rescale", 'rescaleFactor="2" rescaleConstant="0.6"')
for _treatment in ("round", "ceiling", "floor"):
    targets_case(f"castInteger {_treatment}", f'castInteger="{_treatment}"')
targets_case(
    "all of it",
    'min="0" max="10" rescaleFactor="2" rescaleConstant="0.6" castInteger="round"',
)
targets_case("defaultValue", "", '<TargetValue defaultValue="-1"/>', [-3, 1.5, 2.2, 99, -2.5, -1])

_CLASSES = (
    '<RegressionTable targetCategory="1" intercept="0.5">'
    '<NumericPredictor name="x" coefficient="2"/></RegressionTable>'
    '<RegressionTable targetCategory="0" intercept="0.25"/>'
)
_PRIORS = (
    '<Targets><Target field="t"><TargetValue value="0" priorProbability="0.7"/>'
    '<TargetValue value="1" priorProbability="0.3"/></Target></Targets>'
)


def classification(output: str, targets: str = "") -> str:
    output_element = f"<Output>{output}</Output>" if output else ""
    return (
        '<RegressionModel functionName="classification" normalizationMethod="softmax">'
        f"{reads('x', 't')}{output_element}{targets}{_CLASSES}</RegressionModel>"
    )


def field(name: str, feature: str, attributes: str = "", data_type: str = "double", content: str = "") -> str:
    return (
        f'<OutputField name="{name}" feature="{feature}" dataType="{data_type}" optype="continuous" '
        f"{attributes}>{content}</OutputField>"
    )


_XS = [0.5, -2, 0.125, -1]
_PROBABILITIES = [1 / (1 + math.exp(-v)) for v in (1.25, -3.75, 0.5, -1.75)]
case(
    "Targets priorProbability",
    "Targets",
    classification("", _PRIORS),
    [
        [1, 0, 1, 0, 0],
        [*(max(p, 1 - p) for p in _PROBABILITIES), 0.7],
        [*(1 - p for p in _PROBABILITIES), 0.7],
        [*_PROBABILITIES, 0.3],
    ],
    x=[*_XS, None],
)
case(
    "OutputField predictedValue",
    "OutputField predictedValue",
    classification(field("p", "predictedValue", data_type="integer")),
    x=_XS,
)
case("OutputField probability", "OutputField probability", classification(field("p", "probability")), x=_XS)
case(
    "OutputField probability of a class",
    "OutputField probability",
    classification(field("p", "probability", 'value="1"') + field("q", "probability", 'value="0"')),
    x=[*_XS, None],
)
case(
    "OutputField transformedValue",
    "OutputField transformedValue",
    classification(
        field("p", "probability", 'value="1"')
        + field(
            "q",
            "transformedValue",
            content='<Apply function="*"><FieldRef field="p"/><Constant>100</Constant></Apply>',
        )
    ),
    x=_XS,
)
case(
    "OutputField not final",
    "OutputField",
    classification(
        field("p", "probability", 'value="1" isFinalResult="false"')
        + field(
            "q",
            "transformedValue",
            content='<Apply function="-"><Constant>1</Constant><FieldRef field="p"/></Apply>',
        )
    ),
    [[1 - p for p in _PROBABILITIES], [1, 0, 1, 0]],
    x=_XS,
)
_DECISION = (
    '<Apply function="if"><Apply function="greaterThan"><FieldRef field="p"/><Constant>0.5</Constant></Apply>'
    "<Constant>1</Constant><Constant>0</Constant></Apply>"
)
case(
    "OutputField decision",
    "OutputField decision",
    classification(field("p", "probability", 'value="1"') + field("d", "decision", "", "integer", _DECISION)),
    [_PROBABILITIES, [1, 0, 1, 0], [1, 0, 1, 0]],
    x=_XS,
)
case(
    "OutputField residual",
    "OutputField residual",
    regression(
        '<MiningField name="x"/>',
        linear_document("x"),
        f"<Output>{field('p', 'predictedValue')}{field('r', 'residual')}</Output>",
    ),
    [[0.5, -1], [0.5, 1.5]],
    x=[0.5, -1],
    y=[1, 0.5],
)
_DISPLAY_VALUES = (
    '<Targets><Target field="k"><TargetValue value="yes" displayValue="Yes!"/>'
    '<TargetValue value="no" displayValue="No!"/></Target></Targets>'
)
case(
    "OutputField predictedDisplayValue",
    "OutputField predictedDisplayValue",
    classification(field("p", "predictedDisplayValue", data_type="string"), _DISPLAY_VALUES)
    .replace('name="t"', 'name="k"')
    .replace('"1"', '"yes"')
    .replace('"0"', '"no"'),
    [["Yes!", "No!", "Yes!", "No!"], ["yes", "no", "yes", "no"]],
    words=True,
    x=_XS,
)
case(
    "OutputField predictedValue of text",
    "OutputField predictedValue",
    classification("").replace('name="t"', 'name="k"').replace('"1"', '"yes"').replace('"0"', '"no"'),
    words=True,
    x=_XS,
)
