"""formatNumber spells as printf, formatDatetime as strftime; functions of text read what functions of text
say."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bridge_pmml.cases.common import FIELDS
from documents import column, document, scores, write

from bridge.errors import BridgeError

OTHER_FIELDS = (
    '<DataField name="i" optype="continuous" dataType="integer"/>'
    '<DataField name="n" optype="categorical" dataType="double"><Value value="1.5"/><Value '
    'value="-2.25"/></DataField>'
    '<DataField name="t" optype="continuous" dataType="dateTime"/>'
)


def values_of(
    folder: Path, expression: str, field: str, values: Sequence[Any], kind: str = "string"
) -> list[Any]:
    """The values of an expression of one field, by record."""
    output = (
        '<Output><OutputField name="out" feature="transformedValue" '
        f'dataType="{kind}">{expression}</OutputField></Output>'
    )
    model = (
        '<RegressionModel functionName="regression"><MiningSchema><MiningField '
        f'name="{field}"/></MiningSchema>'
        f'{output}<RegressionTable intercept="0"/></RegressionModel>'
    )
    return scores(write(folder, document(model, FIELDS + OTHER_FIELDS)), {field: column(values)})["out"]


def apply_element(name: str, field: str, *constants: str) -> str:
    constants_text = "".join(f'<Constant dataType="string">{c}</Constant>' for c in constants)
    inner = field if field.startswith("<") else f'<FieldRef field="{field}"/>'
    return f'<Apply function="{name}">{inner}{constants_text}</Apply>'


@pytest.mark.parametrize(
    "pattern",
    [
        "%d",
        "%3d",
        "%05d",
        "%-6d|",
        "%+d",
        "% 4d",
        "%.4d",
        "%8.3d",
        "%.2f",
        "%010.1f",
        "%f",
        "no. %i of 100%%",
        "%-08d",
        "%+05d",
    ],
)
def test_integers_are_spelled_as_printf_does(pattern, tmp_path):
    values = [0, 7, -7, 10, 99999, -123456, 10**15]
    found = values_of(
        tmp_path, apply_element("formatNumber", "i", pattern), "i", [*map(float, values), np.nan]
    )
    assert found == [*(pattern % v for v in values), ""]


def test_declared_numbers_are_spelled_in_any_way(tmp_path):
    found = values_of(tmp_path, apply_element("formatNumber", "n", "%8.3e"), "n", [1.5, -2.25, np.nan])
    assert found == ["1.500e+00", "-2.250e+00", ""]


def test_real_numbers_are_not_rounded_to_digits(tmp_path):
    with pytest.raises(BridgeError, match="rounds to digits"):
        values_of(tmp_path, apply_element("formatNumber", "x", "%.2f"), "x", [0.125])


MOMENTS = ["2004-08-20T00:00:00", "1999-12-31T23:59:59", "2000-02-29T12:00:01", "1970-01-01T01:02:03"]


@pytest.mark.parametrize(
    "pattern",
    [
        "%Y",
        "%m/%d/%y",
        "%d.%m.%Y %H:%M:%S",
        "%A, %d %B",
        "%a %b %e",
        "%j",
        "%I:%M %p",
        "%u%w",
        "%D",
        "%F %T",
        "%c",
        "100%% %R",
    ],
)
def test_moments_are_spelled_as_strftime_does(pattern, tmp_path):
    found = values_of(tmp_path, apply_element("formatDatetime", "t", pattern), "t", [*MOMENTS, "", "none"])
    wanted = [datetime.datetime.fromisoformat(m).strftime(pattern) for m in MOMENTS]
    assert found == [*wanted, "", ""]


def test_what_a_moment_lacks_is_missing(tmp_path):
    given = ["12:34:56", "2004-08-20", "2004-13-01"]
    assert values_of(tmp_path, apply_element("formatDatetime", "t", "%H:%M"), "t", given) == [
        "12:34",
        "00:00",
        "",
    ]
    assert values_of(tmp_path, apply_element("formatDatetime", "t", "%B"), "t", given) == ["", "August", ""]
    with pytest.raises(BridgeError, match="%Z"):
        values_of(tmp_path, apply_element("formatDatetime", "t", "%Z"), "t", given)


def test_functions_of_text_read_each_other(tmp_path):
    inner = apply_element("uppercase", apply_element("concat", apply_element("lowercase", "c"), "-z"))
    assert values_of(tmp_path, apply_element("substring", inner, "1", "2"), "c", ["a", "d", ""]) == [
        "A-",
        "D-",
        "",
    ]
    length = apply_element("stringLength", apply_element("concat", "c", "xyz"))
    assert values_of(tmp_path, length, "c", ["a", "d"], "double") == [4, 4]
