"""Expressions of PMML compute what the specification says, missing values included."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bridge_pmml import values
from bridge_pmml.cases import cases
from bridge_pmml.cases.functions import AGGREGATES, BINARY, NORMAL, UNARY, apply_element, is_defined
from bridge_pmml.functions import functions
from documents import document, rows, schema, scores, transformed, write

import bridge
from bridge.errors import BridgeError, UnsupportedModel

X = [0.3, -0.7, 1.5, 0.99, 0.0, -2.5, None]


def values_of(folder: Path, expression: str, xs: Sequence[float | None] = X, **others: Any) -> list[Any]:
    """The values of an expression of x, and of z and c where `others` are theirs."""
    path = write(folder, transformed(expression, data_type=others.pop("kind", "double")))
    return scores(path, rows(xs, **others))["out"]


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_number_are_exact_to_twelve_digits(name, tmp_path):
    xs = [0.3, 1e-9, 0.99, 2.5, -0.7, -2.5, 7.25, None]
    xs = [v for v in xs if v is None or is_defined(UNARY[name], v)]
    found = values_of(tmp_path, apply_element(name, "x"), xs)
    expected = [math.nan if v is None else UNARY[name](v) for v in xs]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


def test_the_normal_quantile_inverts_the_distribution(tmp_path):
    ps = [0.001, 0.2, 0.5, 0.975, 0.9999]
    np.testing.assert_allclose(
        values_of(tmp_path, apply_element("stdNormalIDF", "x"), ps),
        [NORMAL.inv_cdf(p) for p in ps],
        rtol=1e-9,
        atol=1e-12,
    )


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_numbers_are_missing_where_one_is(name, tmp_path):
    xs, zs = [5.5, 11, 14, 3, None], [2, 3, -5, None, 2]
    found = values_of(tmp_path, apply_element(name, "x", "z"), xs, z=zs)
    pairs = zip(xs, zs, strict=True)
    expected = [math.nan if None in p else BINARY[name](*p) for p in pairs]
    np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("name", AGGREGATES)
def test_aggregates_leave_missing_values_out(name, tmp_path):
    xs, zs = [5.5, None, 4, None], [2, 3, None, None]
    found = values_of(tmp_path, apply_element(name, "x", "z", "7"), xs, z=zs)
    known = [[v for v in (*pair, 7) if v is not None] for pair in zip(xs, zs, strict=True)]
    assert found == pytest.approx([AGGREGATES[name](v) for v in known])


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('<Apply function="isMissing"><FieldRef field="x"/></Apply>', [0, 0, 1]),
        (
            '<Apply function="if"><Apply function="lessThan"><FieldRef '
            'field="x"/><Constant>1</Constant></Apply><Constant>10</Constant>'
            "<Constant>20</Constant></Apply>",
            [10, 20, None],
        ),
        (
            '<Apply function="+" mapMissingTo="-1"><FieldRef field="x"/><Constant>1</Constant></Apply>',
            [1.5, 3, -1],
        ),
        (
            '<Apply function="+" defaultValue="-2"><FieldRef field="x"/><Constant>1</Constant></Apply>',
            [1.5, 3, -2],
        ),
        (
            '<Apply function="or"><Apply function="isMissing"><FieldRef field="x"/></Apply><Apply '
            'function="greaterThan"><FieldRef field="x"/><Constant>1</Constant></Apply></Apply>',
            [0, 1, 1],
        ),
        (
            '<Apply function="and"><Apply function="isMissing"><FieldRef field="x"/></Apply><Apply '
            'function="greaterThan"><FieldRef field="x"/>'
            "<Constant>1</Constant></Apply></Apply>",
            [0, 0, None],
        ),
        (
            '<Apply function="isIn"><FieldRef field="x"/><Constant>2</Constant>'
            "<Constant>7</Constant></Apply>",
            [0, 1, None],
        ),
        ('<Apply function="threshold"><FieldRef field="x"/><Constant>1</Constant></Apply>', [0, 1, None]),
        ('<FieldRef field="x" mapMissingTo="9"/>', [0.5, 2, 9]),
        (
            '<NormContinuous field="x" mapMissingTo="0.25"><LinearNorm orig="0" norm="0"/><LinearNorm '
            'orig="1" norm="10"/><LinearNorm orig="3" norm="20"/></NormContinuous>',
            [5, 15, 0.25],
        ),
    ],
)
def test_conditions_know_three_values(expression, expected, tmp_path):
    found = values_of(tmp_path, expression, [0.5, 2, None])
    np.testing.assert_allclose(found, [math.nan if e is None else e for e in expected])


@pytest.mark.parametrize(
    ("outliers", "expected"),
    [("asIs", [-10, 40]), ("asMissingValues", [math.nan, math.nan]), ("asExtremeValues", [0, 20])],
)
def test_norm_continuous_beyond_its_points(outliers, expected, tmp_path):
    node = (
        f'<NormContinuous field="x" outliers="{outliers}"><LinearNorm orig="0" norm="0"/><LinearNorm '
        'orig="2" norm="20"/></NormContinuous>'
    )
    np.testing.assert_allclose(values_of(tmp_path, node, [-1, 4]), expected)


def test_discretize_takes_the_closures_as_written(tmp_path):
    bins = (
        '<DiscretizeBin binValue="low"><Interval closure="openClosed" rightMargin="1"/></DiscretizeBin>'
        '<DiscretizeBin binValue="mid"><Interval closure="openOpen" leftMargin="1" '
        'rightMargin="2"/></DiscretizeBin>'
    )
    node = (
        f'<Discretize field="x" defaultValue="high" mapMissingTo="none" dataType="string">{bins}</Discretize>'
    )
    assert values_of(tmp_path, node, [1, 1.5, 2, None], kind="string") == ["low", "mid", "high", "none"]


def test_map_values_looks_up_pairs(tmp_path):
    table = "".join(
        f"<row><k>{k}</k><v>{v}</v><o>{o}</o></row>" for k, v, o in [("a", 1, 10), ("b", 1, 20), ("a", 2, 30)]
    )
    node = (
        '<MapValues outputColumn="o" defaultValue="-1" dataType="double"><FieldColumnPair field="c" '
        'column="k"/>'
        f'<FieldColumnPair field="x" column="v"/><InlineTable>{table}</InlineTable></MapValues>'
    )
    found = values_of(tmp_path, node, [1, 1, 2, 2, None], c=["a", "b", "a", "b", "a"])
    np.testing.assert_array_equal(found, [10, 20, 30, -1, math.nan])


@pytest.mark.parametrize(
    ("name", "more", "expected"),
    [
        ("uppercase", "", ["A", "D", ""]),
        ("substring", "<Constant>1</Constant><Constant>1</Constant>", ["a", "d", ""]),
        ("replace", "<Constant>a</Constant><Constant>q</Constant>", ["q", "d", ""]),
        ("concat", "<Constant>!</Constant>", ["a!", "d!", ""]),
    ],
)
def test_functions_of_text(name, more, expected, tmp_path):
    node = f'<Apply function="{name}"><FieldRef field="c"/>{more}</Apply>'
    assert values_of(tmp_path, node, [1, 1, 1], c=["a", "d", None], kind="string") == expected


def test_defined_functions_bind_their_parameters(tmp_path):
    function = (
        '<TransformationDictionary><DefineFunction name="twice" optype="continuous" dataType="double">'
        '<ParameterField name="p" dataType="double"/><Apply function="*"><Constant>2</Constant><FieldRef '
        'field="p"/>'
        "</Apply></DefineFunction>"
        '<DerivedField name="w" optype="continuous" dataType="double"><Apply function="twice"><FieldRef '
        'field="x"/></Apply>'
        "</DerivedField></TransformationDictionary>"
    )
    table = '<RegressionTable intercept="1"><NumericPredictor name="w" coefficient="1"/></RegressionTable>'
    model = f'<RegressionModel functionName="regression">{schema()}{table}</RegressionModel>'
    path = write(tmp_path, document(model, dictionary=function))
    assert scores(path, rows([3]))["predicted_y"] == [7]


@pytest.mark.parametrize(
    "expression",
    [
        '<Apply function="nope"><FieldRef field="x"/></Apply>',
        '<Aggregate field="x" function="sum"/>',
        '<Lag field="x"/>',
    ],
)
def test_what_no_function_of_the_record_gives_is_refused_by_name(expression, tmp_path):
    with pytest.raises(UnsupportedModel) as refusal:
        bridge.load(write(tmp_path, transformed(expression)))
    assert refusal.value.blockers[0].op.split()[-1] in expression


def test_a_field_defined_by_itself_is_an_error(tmp_path):
    local = (
        '<LocalTransformations><DerivedField name="w" dataType="double"><FieldRef '
        'field="w"/></DerivedField></LocalTransformations>'
    )
    table = '<RegressionTable intercept="1"><NumericPredictor name="w" coefficient="1"/></RegressionTable>'
    model = f'<RegressionModel functionName="regression">{schema()}{local}{table}</RegressionModel>'
    with pytest.raises(BridgeError, match="defined by itself"):
        bridge.load(write(tmp_path, document(model)))


def test_functions_that_double_over_and_over_are_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(values, "LARGEST", 500)
    inner = '<FieldRef field="p"/>'
    functions = ""
    for level in range(40):
        functions += (
            f'<DefineFunction name="f{level}" optype="continuous"><ParameterField name="p"/><Apply '
            f'function="+">{inner}{inner}</Apply></DefineFunction>'
        )
        inner = f'<Apply function="f{level}"><FieldRef field="p"/></Apply>'
    derived = (
        '<DerivedField name="w" optype="continuous" dataType="double"><Apply function="f39"><FieldRef '
        'field="x"/></Apply></DerivedField>'
    )
    table = '<RegressionTable intercept="1"><NumericPredictor name="w" coefficient="1"/></RegressionTable>'
    model = f'<RegressionModel functionName="regression">{schema()}{table}</RegressionModel>'
    text = document(
        model, dictionary=f"<TransformationDictionary>{functions}{derived}</TransformationDictionary>"
    )
    with pytest.raises(BridgeError, match="expand"):
        bridge.load(write(tmp_path, text))


BUILT_IN = [
    "+",
    "-",
    "*",
    "/",
    "min",
    "max",
    "sum",
    "avg",
    "median",
    "product",
    "log10",
    "ln",
    "sqrt",
    "abs",
    "exp",
    "pow",
    "threshold",
    "floor",
    "ceil",
    "round",
    "modulo",
    "isMissing",
    "isNotMissing",
    "isValid",
    "isNotValid",
    "equal",
    "notEqual",
    "lessThan",
    "lessOrEqual",
    "greaterThan",
    "greaterOrEqual",
    "and",
    "or",
    "not",
    "isIn",
    "isNotIn",
    "if",
    "uppercase",
    "lowercase",
    "stringLength",
    "substring",
    "trimBlanks",
    "concat",
    "replace",
    "matches",
    "formatNumber",
    "formatDatetime",
    "dateDaysSinceYear",
    "dateSecondsSinceYear",
    "dateSecondsSinceMidnight",
    "normalCDF",
    "normalPDF",
    "stdNormalCDF",
    "stdNormalPDF",
    "erf",
    "normalIDF",
    "stdNormalIDF",
    "expm1",
    "hypot",
    "ln1p",
    "rint",
    "sin",
    "asin",
    "sinh",
    "cos",
    "acos",
    "cosh",
    "tan",
    "atan",
    "tanh",
]


def test_every_built_in_function_of_the_specification_has_a_case():
    covered = {op for made in cases().values() for op in made.ops}
    assert [name for name in BUILT_IN if name not in functions or f"Apply {name}" not in covered] == []
