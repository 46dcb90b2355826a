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


def applied(name: str, *arguments: str, **attributes: str) -> str:
    """An Apply of fields of one letter, elements, and else constants."""
    inner = "".join(
        f'<FieldRef field="{a}"/>' if a.isalpha() else a if a[0] == "<" else f"<Constant>{a}</Constant>"
        for a in arguments
    )
    more = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return f'<Apply function="{name}"{more}>{inner}</Apply>'


def defined(function: Callable[..., float], *values: float | None) -> bool:
    """True where a formula takes the values; missing ones it need not."""
    try:
        return None in values or math.isfinite(function(*values))
    except (ValueError, ArithmeticError):
        return False


def function(
    name: str,
    expression: str,
    want: Sequence[Any] | None = None,
    kind: str = "double",
    title: str = "",
    words: bool = False,
    **columns: Any,
) -> None:
    """A case whose one output is the expression."""
    wanted = None if want is None else [want]
    case(
        f"Apply {title or name}",
        f"Apply {name}",
        valued(expression, kind, columns),
        wanted,
        words=words,
        **columns,
    )


_said: Sequence[Any]
for _name, _formula in UNARY.items():
    _xs = [v for v in XS if defined(_formula, v)]
    function(_name, applied(_name, "x"), [v if v is None else _formula(v) for v in _xs], x=_xs)

for _name, _pair in BINARY.items():
    _rows = [p for p in zip(*PAIRS, strict=True) if defined(_pair, *p)]
    _said = [None if None in p else _pair(*p) for p in _rows]
    function(_name, applied(_name, "x", "z"), _said, x=[p[0] for p in _rows], z=[p[1] for p in _rows])

for _name, _whole in AGGREGATES.items():
    _known = [[v for v in (*p, 7.0) if v is not None] for p in zip(*PAIRS, strict=True)]
    function(_name, applied(_name, "x", "z", "7"), [_whole(v) for v in _known], x=PAIRS[0], z=PAIRS[1])
    function(
        _name,
        applied(_name, "x", "z"),
        [2, None, 3],
        title=f"{_name} of nothing",
        x=[2, None, None],
        z=[None, None, 3],
    )

_PS = [0.001, 0.2, 0.5, 0.975, None]
_SHIFTED = statistics.NormalDist(1.5, 2.0)
for _name, _formula in (
    ("normalCDF", _SHIFTED.cdf),
    ("normalPDF", _SHIFTED.pdf),
    ("normalIDF", _SHIFTED.inv_cdf),
):
    _said = [v if v is None else _formula(v) for v in _PS]
    function(_name, applied(_name, "x", "1.5", "2"), _said, x=_PS)

_ORDERS = ([1, 2, 3, None, 2], [2, 2, 2, 2, None])
for _name, _said in (
    ("equal", [0, 1, 0]),
    ("notEqual", [1, 0, 1]),
    ("lessThan", [1, 0, 0]),
    ("lessOrEqual", [1, 1, 0]),
    ("greaterThan", [0, 0, 1]),
    ("greaterOrEqual", [0, 1, 1]),
):
    _inside = applied("if", applied(_name, "x", "z"), "1", "0")
    function(_name, _inside, [*_said, None, None], x=_ORDERS[0], z=_ORDERS[1])
    function(_name, applied(_name, "x", "1.5"), _said, title=f"{_name} as number", x=[1, 1.5, 3])
for _name, _said in (("equal", [1, 0, None]), ("notEqual", [0, 1, None])):
    _inside = applied("if", applied(_name, "c", '<Constant dataType="string">a</Constant>'), "1", "0")
    function(_name, _inside, _said, title=f"{_name} of text", c=["a", "b", None])

_SMALL, _LARGE = applied("lessThan", "x", "1"), applied("greaterThan", "z", "1")
_TABLE = {"x": [0, 0, 0, 2, 2, 2, None, None, None], "z": [2, 0, None, 2, 0, None, 2, 0, None]}
for _name, _said in (
    ("and", [1, 0, None, 0, 0, 0, None, 0, None]),
    ("or", [1, 1, 1, 1, 0, None, 1, None, None]),
):
    function(_name, applied("if", applied(_name, _SMALL, _LARGE), "1", "0"), _said, **_TABLE)
function("not", applied("if", applied("not", _SMALL), "1", "0"), [0, 1, None], x=[0, 2, None])
for _name, _said in (("isIn", [1, 1, 0, None]), ("isNotIn", [0, 0, 1, None])):
    function(_name, applied("if", applied(_name, "x", "2", "7"), "1", "0"), _said, x=[2, 7, 3, None])
function("if", applied("if", _SMALL, "10", "20"), [10, 20, None], x=[0, 2, None])
function("if", applied("if", _SMALL, "10"), [10, None, None], title="if without else", x=[0, 2, None])
_SAID = [0, 0, 0, 2, 0, None, None, None, None]
function("if", applied("if", _SMALL, "x", "z"), _SAID, title="if of fields", **_TABLE)

for _name, _said in (
    ("isMissing", [0, 1]),
    ("isNotMissing", [1, 0]),
    ("isValid", [1, 0]),
    ("isNotValid", [0, 1]),
):
    function(_name, applied("if", applied(_name, "x"), "1", "0"), _said, x=[0.5, None])
_FREE = '<MiningField name="n" invalidValueTreatment="asIs"/>'
for _name, _said in (("isValid", [1, 0, 0]), ("isNotValid", [0, 1, 1])):
    _text = transformed(applied("if", applied(_name, "n"), "1", "0"), _FREE)
    case(f"Apply {_name} invalid", f"Apply {_name}", _text, [_said], n=[2, 9, None])

function("+", applied("+", "x", "1", mapMissingTo="-1"), title="mapMissingTo", x=[0.5, None])
function("+", applied("+", "x", "1", defaultValue="-2"), [1.5, -2], title="defaultValue", x=[0.5, None])
function(
    "-",
    applied("-", applied("*", "x", "x"), applied("exp", applied("/", "z", "3"))),
    title="nested",
    x=PAIRS[0],
    z=PAIRS[1],
)

for _name, _more, _said in (
    ("uppercase", (), ["A", "D", ""]),
    ("lowercase", (), ["a", "d", ""]),
    ("trimBlanks", (), ["a", "d", ""]),
    ("substring", ("1", "1"), ["a", "d", ""]),
    ("replace", ('<Constant '
    'dataType="string">a</Constant>', '<Constant dataType="string">q</Constant>'), ["q", "d", ""]),
    ("concat", ('<Constant dataType="string">!</Constant>',), ["a!", "d!", ""]),
):  # fmt: skip
    function(_name, applied(_name, "c", *_more), _said, "string", words=True, c=["a", "d", None])
function("stringLength", applied("stringLength", "c"), [1, 1, None], "double", c=["a", "d", None])
for _name, _said in (("matches", [1, 0]),):
    _pattern = '<Constant dataType="string">[ab]</Constant>'
    function(_name, applied("if", applied(_name, "c", _pattern), "1", "0"), _said, c=["a", "d"])

_NUMERALS = applied("formatNumber", "n", '<Constant dataType="string">no. %03d</Constant>')
function("formatNumber", _NUMERALS, ["no. 002", "no. 003", ""], "string", words=True, n=[2, 3, None])
_DAY = '<Constant dataType="date">2004-08-20</Constant>'
for _name, _pattern, _said in (
    ("formatDatetime", '<Constant dataType="string">%d.%m.%y</Constant>', ["20.08.04"]),
    ("dateDaysSinceYear", '<Constant dataType="integer">2004</Constant>', [232]),
    ("dateSecondsSinceYear", '<Constant dataType="integer">2004</Constant>', [232 * 86400]),
):
    _kind = "string" if _name == "formatDatetime" else "double"
    case(
        f"Apply {_name}",
        f"Apply {_name}",
        transformed(applied(_name, _DAY, _pattern), active("x"), _kind),
        [_said],
        words=True,
        x=[1],
    )
_NOON = '<Constant dataType="time">12:00:01</Constant>'
case(
    "Apply dateSecondsSinceMidnight",
    "Apply dateSecondsSinceMidnight",
    transformed(applied("dateSecondsSinceMidnight", _NOON), active("x")),
    [[43201]],
    x=[1],
)

_TWICE = (
    '<TransformationDictionary><DefineFunction name="twice" optype="continuous" dataType="double">'
    '<ParameterField name="p" dataType="double"/><Apply function="*">'
    '<Constant>2</Constant><FieldRef field="p"/>'
    '</Apply></DefineFunction><DerivedField name="w" optype="continuous" dataType="double">'
    f"{applied('twice', 'x')}</DerivedField></TransformationDictionary>"
)
case(
    "DefineFunction",
    "DefineFunction",
    f'<RegressionModel functionName="regression">{reads("x")}<RegressionTable intercept="1">'
    '<NumericPredictor name="w" coefficient="1"/></RegressionTable></RegressionModel>',
    dictionary=_TWICE,
    x=[3, -0.5, None],
)
