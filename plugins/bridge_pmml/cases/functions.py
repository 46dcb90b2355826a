"""The built-in functions of Apply: those of numbers by their formulas, the rest as PMML4S answers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from bridge_pmml.cases.common import active, case, reads, transformed, valued

NORMAL = statistics.NormalDist()
UNARY: dict[str, Callable[[float], float]] = {
    "sqrt": math.sqrt,
    "abs": abs,
    "exp": math.exp,
    "ln": math.log,
    "log10": math.log10,
    "floor": math.floor,
    "ceil": math.ceil,
    "round": lambda v: math.floor(v + 0.5),
    "rint": round,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "asin": math.asin,
    "acos": math.acos,
    "atan": math.atan,
    "sinh": math.sinh,
    "cosh": math.cosh,
    "tanh": math.tanh,
    "expm1": math.expm1,
    "ln1p": math.log1p,
    "erf": math.erf,
    "stdNormalCDF": NORMAL.cdf,
    "stdNormalPDF": NORMAL.pdf,
    "stdNormalIDF": NORMAL.inv_cdf,
}
BINARY: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "pow": lambda a, b: a**b,
    "modulo": lambda a, b: a - b * math.floor(a / b),
    "hypot": math.hypot,
    "threshold": lambda a, b: float(a > b),
}
AGGREGATES: dict[str, Callable[[list[float]], float]] = {
    "min": min,
    "max": max,
    "sum": sum,
    "avg": statistics.fmean,
    "median": statistics.median,
    "product": math.prod,
}
XS = [0.3, 0.5, 1e-3, 0.99, 2.5, -0.7, -2.5, 7.25, None]
PAIRS = ([5.5, 11, 14, 3, None, 1.5, -7], [2, 3, -5, None, 2, 1.5, 4])


def apply_element(name: str, *arguments: str, **attributes: str) -> str:
    """An Apply of fields of one letter, elements, and else constants."""
    inner = "".join(
        f'<FieldRef field="{a}"/>' if a.isalpha() else a if a[0] == "<" else f"<Constant>{a}</Constant>"
        for a in arguments
    )
    attribute_text = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return f'<Apply function="{name}"{attribute_text}>{inner}</Apply>'


def is_defined(function: Callable[..., float], *values: float | None) -> bool:
    """True where a formula takes the values; missing ones it need not."""
    try:
        return None in values or math.isfinite(function(*values))
    except (ValueError, ArithmeticError):
        return False


def function(
    name: str,
    expression: str,
    expected: Sequence[Any] | None = None,
    data_type: str = "double",
    title: str = "",
    words: bool = False,
    **columns: Any,
) -> None:
    """A case whose one output is the expression."""
    expected_outputs = None if expected is None else [expected]
    case(
        f"Apply {title or name}",
        f"Apply {name}",
        valued(expression, data_type, columns),
        expected_outputs,
        words=words,
        **columns,
    )


_expected: Sequence[Any]
for _name, _formula in UNARY.items():
    _values = [v for v in XS if is_defined(_formula, v)]
    function(_name, apply_element(_name, "x"), [v if v is None else _formula(v) for v in _values], x=_values)

for _name, _formula_of_two in BINARY.items():
    _rows = [p for p in zip(*PAIRS, strict=True) if is_defined(_formula_of_two, *p)]
    _expected = [None if None in p else _formula_of_two(*p) for p in _rows]
    function(
        _name, apply_element(_name, "x", "z"), _expected, x=[p[0] for p in _rows], z=[p[1] for p in _rows]
    )

for _name, _aggregate in AGGREGATES.items():
    _present = [[v for v in (*p, 7.0) if v is not None] for p in zip(*PAIRS, strict=True)]
    function(
        _name, apply_element(_name, "x", "z", "7"), [_aggregate(v) for v in _present], x=PAIRS[0], z=PAIRS[1]
    )
    function(
        _name,
        apply_element(_name, "x", "z"),
        [2, None, 3],
        title=f"{_name} of nothing",
        x=[2, None, None],
        z=[None, None, 3],
    )

_PROBABILITIES = [0.001, 0.2, 0.5, 0.975, None]
_SHIFTED = statistics.NormalDist(1.5, 2.0)
for _name, _formula in (
    ("normalCDF", _SHIFTED.cdf),
    ("normalPDF", _SHIFTED.pdf),
    ("normalIDF", _SHIFTED.inv_cdf),
):
    _expected = [v if v is None else _formula(v) for v in _PROBABILITIES]
    function(_name, apply_element(_name, "x", "1.5", "2"), _expected, x=_PROBABILITIES)

_ORDERS = ([1, 2, 3, None, 2], [2, 2, 2, 2, None])
for _name, _expected in (
    ("equal", [0, 1, 0]),
    ("notEqual", [1, 0, 1]),
    ("lessThan", [1, 0, 0]),
    ("lessOrEqual", [1, 1, 0]),
    ("greaterThan", [0, 0, 1]),
    ("greaterOrEqual", [0, 1, 1]),
):
    _choice = apply_element("if", apply_element(_name, "x", "z"), "1", "0")
    function(_name, _choice, [*_expected, None, None], x=_ORDERS[0], z=_ORDERS[1])
    function(_name, apply_element(_name, "x", "1.5"), _expected, title=f"{_name} as number", x=[1, 1.5, 3])
for _name, _expected in (("equal", [1, 0, None]), ("notEqual", [0, 1, None])):
    _choice = apply_element(
        "if", apply_element(_name, "c", '<Constant dataType="string">a</Constant>'), "1", "0"
    )
    function(_name, _choice, _expected, title=f"{_name} of text", c=["a", "b", None])

_SMALL, _LARGE = apply_element("lessThan", "x", "1"), apply_element("greaterThan", "z", "1")
_TABLE = {"x": [0, 0, 0, 2, 2, 2, None, None, None], "z": [2, 0, None, 2, 0, None, 2, 0, None]}
for _name, _expected in (
    ("and", [1, 0, None, 0, 0, 0, None, 0, None]),
    ("or", [1, 1, 1, 1, 0, None, 1, None, None]),
):
    function(_name, apply_element("if", apply_element(_name, _SMALL, _LARGE), "1", "0"), _expected, **_TABLE)
function("not", apply_element("if", apply_element("not", _SMALL), "1", "0"), [0, 1, None], x=[0, 2, None])
for _name, _expected in (("isIn", [1, 1, 0, None]), ("isNotIn", [0, 0, 1, None])):
    function(
        _name,
        apply_element("if", apply_element(_name, "x", "2", "7"), "1", "0"),
        _expected,
        x=[2, 7, 3, None],
    )
function("if", apply_element("if", _SMALL, "10", "20"), [10, 20, None], x=[0, 2, None])
function("if", apply_element("if", _SMALL, "10"), [10, None, None], title="if without else", x=[0, 2, None])
_CHOSEN = [0, 0, 0, 2, 0, None, None, None, None]
function("if", apply_element("if", _SMALL, "x", "z"), _CHOSEN, title="if of fields", **_TABLE)

for _name, _expected in (
    ("isMissing", [0, 1]),
    ("isNotMissing", [1, 0]),
    ("isValid", [1, 0]),
    ("isNotValid", [0, 1]),
):
    function(_name, apply_element("if", apply_element(_name, "x"), "1", "0"), _expected, x=[0.5, None])
_AS_IS = '<MiningField name="n" invalidValueTreatment="asIs"/>'
for _name, _expected in (("isValid", [1, 0, 0]), ("isNotValid", [0, 1, 1])):
    _text = transformed(apply_element("if", apply_element(_name, "n"), "1", "0"), _AS_IS)
    case(f"Apply {_name} invalid", f"Apply {_name}", _text, [_expected], n=[2, 9, None])

function("+", apply_element("+", "x", "1", mapMissingTo="-1"), title="mapMissingTo", x=[0.5, None])
function("+", apply_element("+", "x", "1", defaultValue="-2"), [1.5, -2], title="defaultValue", x=[0.5, None])
function(
    "-",
    apply_element("-", apply_element("*", "x", "x"), apply_element("exp", apply_element("/", "z", "3"))),
    title="nested",
    x=PAIRS[0],
    z=PAIRS[1],
)

for _name, _constants, _expected in (
    ("uppercase", (), ["A", "D", ""]),
    ("lowercase", (), ["a", "d", ""]),
    ("trimBlanks", (), ["a", "d", ""]),
    ("substring", ("1", "1"), ["a", "d", ""]),
    ("replace", ('<Constant '
    'dataType="string">a</Constant>', '<Constant dataType="string">q</Constant>'), ["q", "d", ""]),
    ("concat", ('<Constant dataType="string">!</Constant>',), ["a!", "d!", ""]),
):  # fmt: skip
    function(
        _name, apply_element(_name, "c", *_constants), _expected, "string", words=True, c=["a", "d", None]
    )
function("stringLength", apply_element("stringLength", "c"), [1, 1, None], "double", c=["a", "d", None])
for _name, _expected in (("matches", [1, 0]),):
    _pattern = '<Constant dataType="string">[ab]</Constant>'
    function(
        _name, apply_element("if", apply_element(_name, "c", _pattern), "1", "0"), _expected, c=["a", "d"]
    )

_NUMERALS = apply_element("formatNumber", "n", '<Constant dataType="string">no. %03d</Constant>')
function("formatNumber", _NUMERALS, ["no. 002", "no. 003", ""], "string", words=True, n=[2, 3, None])
_DAY = '<Constant dataType="date">2004-08-20</Constant>'
for _name, _pattern, _expected in (
    ("formatDatetime", '<Constant dataType="string">%d.%m.%y</Constant>', ["20.08.04"]),
    ("dateDaysSinceYear", '<Constant dataType="integer">2004</Constant>', [232]),
    ("dateSecondsSinceYear", '<Constant dataType="integer">2004</Constant>', [232 * 86400]),
):
    _data_type = "string" if _name == "formatDatetime" else "double"
    case(
        f"Apply {_name}",
        f"Apply {_name}",
        transformed(apply_element(_name, _DAY, _pattern), active("x"), _data_type),
        [_expected],
        words=True,
        x=[1],
    )
_NOON = '<Constant dataType="time">12:00:01</Constant>'
case(
    "Apply dateSecondsSinceMidnight",
    "Apply dateSecondsSinceMidnight",
    transformed(apply_element("dateSecondsSinceMidnight", _NOON), active("x")),
    [[43201]],
    x=[1],
)

_TWICE = (
    '<TransformationDictionary><DefineFunction name="twice" optype="continuous" dataType="double">'
    '<ParameterField name="p" dataType="double"/><Apply function="*">'
    '<Constant>2</Constant><FieldRef field="p"/>'
    '</Apply></DefineFunction><DerivedField name="w" optype="continuous" dataType="double">'
    f"{apply_element('twice', 'x')}</DerivedField></TransformationDictionary>"
)
case(
    "DefineFunction",
    "DefineFunction",
    f'<RegressionModel functionName="regression">{reads("x")}<RegressionTable intercept="1">'
    '<NumericPredictor name="w" coefficient="1"/></RegressionTable></RegressionModel>',
    dictionary=_TWICE,
    x=[3, -0.5, None],
)
