"""Expressions: constants, fields, normalizations, bins and tables, as PMML4S answers or the specification
says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bridge_pmml.cases.common import case, derived, valued

POINTS = '<LinearNorm orig="0" norm="0"/><LinearNorm orig="1" norm="10"/><LinearNorm orig="3" norm="20"/>'
XS = [-1, 0, 0.5, 1, 2, 3, 4, None]


def expression(
    name: str, node: str, expected: Any = None, data_type: str = "double", words: bool = False, **columns: Any
) -> None:
    """A case of an expression, whose name begins with its element."""
    expected_outputs = None if expected is None else [expected]
    case(name, name.split()[0], valued(node, data_type, columns), expected_outputs, words=words, **columns)


_expected: Sequence[float | None]
for _outliers, _expected in (
    ("asIs", [-10, 0, 5, 10, 15, 20, 25, None]),
    ("asMissingValues", [None, 0, 5, 10, 15, 20, None, None]),
    ("asExtremeValues", [0, 0, 5, 10, 15, 20, 20, None]),
):
    expression(
        f"NormContinuous {_outliers}",
        f'<NormContinuous field="x" outliers="{_outliers}">{POINTS}</NormContinuous>',
        _expected,
        x=XS,
    )
expression(
    "NormContinuous mapMissingTo",
    f'<NormContinuous field="x" mapMissingTo="0.25">{POINTS}</NormContinuous>',
    x=[0.5, 2, None],
)
expression(
    "NormContinuous two points",
    '<NormContinuous field="x"><LinearNorm orig="1" norm="-3"/>'
    '<LinearNorm orig="5" norm="7"/></NormContinuous>',
    x=[1, 2, 5, None],
)

expression("NormDiscrete", '<NormDiscrete field="n" value="2"/>', n=[1, 2, 3])
expression("NormDiscrete of text", '<NormDiscrete field="c" value="b"/>', c=["a", "b", "d"])
expression(
    "NormDiscrete mapMissingTo", '<NormDiscrete field="n" value="2" mapMissingTo="0.5"/>', n=[1, 2, None]
)
expression("NormDiscrete missing", '<NormDiscrete field="n" value="2"/>', [0, 1, None], n=[1, 2, None])


def bins(*closures: str) -> str:
    """Bins that meet at 1 and 2, and one beyond 3."""
    bounds = ('rightMargin="1"', 'leftMargin="1" rightMargin="2"', 'leftMargin="3"')
    return "".join(
        f'<DiscretizeBin binValue="{i + 1}"><Interval closure="{c}" {b}/></DiscretizeBin>'
        for i, (c, b) in enumerate(zip(closures, bounds, strict=True))
    )


_X = [0, 1, 1.5, 2, 2.5, 3, 4]
for _closures, _expected in (
    (("openClosed", "openOpen", "closedOpen"), [1, 1, 2, 9, 9, 3, 3]),
    (("openOpen", "closedClosed", "openOpen"), [1, 2, 2, 2, 9, 9, 3]),
    (("openOpen", "closedOpen", "openOpen"), [1, 2, 2, 9, 9, 9, 3]),
):
    expression(
        f"Discretize {' '.join(_closures)}",
        f'<Discretize field="x" defaultValue="9" dataType="double">{bins(*_closures)}</Discretize>',
        _expected,
        x=_X,
    )
_BINS = bins("openClosed", "openOpen", "closedOpen")
expression(
    "Discretize without default",
    f'<Discretize field="x" dataType="double">{_BINS}</Discretize>',
    x=[*_X, None],
)
expression(
    "Discretize mapMissingTo",
    f'<Discretize field="x" defaultValue="9" mapMissingTo="-1" dataType="double">{_BINS}</Discretize>',
    [1, 2, 9, -1],
    x=[0, 1.5, 2.5, None],
)
_WORDS = _BINS.replace('"1">', '"low">').replace('"2">', '"mid">').replace('"3">', '"high">')
expression(
    "Discretize to text",
    f'<Discretize field="x" defaultValue="none" dataType="string">{_WORDS}</Discretize>',
    ["low", "low", "mid", "none", "none", "high", "high"],
    "string",
    words=True,
    x=_X,
)


def map_values(pairs: str, rows: str, attributes: str = "") -> str:
    columns = "".join(f'<FieldColumnPair field="{f}" column="{f}"/>' for f in pairs)
    table = "".join(
        "<row>" + "".join(f"<{k}>{v}</{k}>" for k, v in zip(f"{pairs}o", row.split(), strict=True)) + "</row>"
        for row in rows.split(",")
    )
    return (
        f'<MapValues outputColumn="o" dataType="double" {attributes}>{columns}<InlineTable>'
        f"{table}</InlineTable></MapValues>"
    )


_ONE, _TWO = "1 10,2 20", "1 1 10,2 1 20,1 2 30"
expression("MapValues", map_values("n", _ONE), [10, 20, None], n=[1, 2, 3])
expression("MapValues defaultValue", map_values("n", _ONE, 'defaultValue="-1"'), n=[1, 2, 3])
expression(
    "MapValues mapMissingTo",
    map_values("n", _ONE, 'defaultValue="-1" mapMissingTo="-2"'),
    n=[1, 2, 3, None],
)
expression(
    "MapValues of two fields",
    map_values("nm", _TWO, 'defaultValue="-1"'),
    n=[1, 2, 1, 2, 3],
    m=[1, 1, 2, 2, 1],
)
expression(
    "MapValues of text",
    map_values("cn", "a 1 10,b 1 20,a 2 30", 'defaultValue="-1"'),
    c=["a", "b", "a", "b"],
    n=[1, 1, 2, 2],
)

expression("FieldRef", '<FieldRef field="x"/>', x=[0.5, None])
expression("FieldRef mapMissingTo", '<FieldRef field="x" mapMissingTo="9"/>', x=[0.5, None])
expression("FieldRef of text", '<FieldRef field="c"/>', data_type="string", words=True, c=["a", "b", None])
for _title, _node, _number in (
    ("Constant", '<Constant dataType="double">1.25</Constant>', 1.25),
    ("Constant integer", '<Constant dataType="integer">-3</Constant>', -3),
    ("Constant untyped", "<Constant>1e-3</Constant>", 1e-3),
):
    _sum = f'<Apply function="+"><FieldRef field="x"/>{_node}</Apply>'
    expression(_title, _sum, [0.5 + _number, 1 + _number], x=[0.5, 1])
expression(
    "Constant missing",
    '<Apply function="sum"><FieldRef field="x"/><Constant dataType="double" missing="true"/></Apply>',
    [0.5, 1],
    x=[0.5, 1],
)
for _data_type, _expected in (
    ("double", [0.1, -2.7]),
    ("float", [float(np.float32(v)) for v in (0.1, -2.7)]),
):
    _text = derived('<FieldRef field="x"/>', "x", _data_type)
    case(f"DerivedField of {_data_type}", "DerivedField", _text, [_expected], x=[0.1, -2.7])
_text = derived('<Apply function="floor"><FieldRef field="x"/></Apply>', "x", "integer")
case("DerivedField of integer", "DerivedField", _text, x=[0.1, -2.7])
