"""TreeModel: splits, predicates, and the strategies for missing values and for nodes without a true child."""

from __future__ import annotations

import itertools
from typing import Any

from bridge_pmml.cases.common import case, function_of, reads


def less_or_equal(field: str, value: float) -> str:
    return f'<SimplePredicate field="{field}" operator="lessOrEqual" value="{value}"/>'


def greater(field: str, value: float) -> str:
    return f'<SimplePredicate field="{field}" operator="greaterThan" value="{value}"/>'


def leaf(name: str, score: Any, predicate: str, count: int = 1, content: str = "") -> str:
    score_attribute = "" if score is None else f'score="{score}"'
    return f'<Node id="{name}" {score_attribute} recordCount="{count}">{predicate}{content}</Node>'


def tree(
    nodes: str, attributes: str = "", target: str = "y", names: str = "xz", root: str = 'score="0"'
) -> str:
    return (
        f'<TreeModel functionName="{function_of(target)}" splitCharacteristic="multiSplit" '
        f"{attributes}>{reads(names, target)}"
        f'<Node id="r" recordCount="10" {root}><True/>{nodes}</Node></TreeModel>'
    )


def declare(name: str, text: str, expected: Any = None, ops: str = "TreeModel", **columns: Any) -> None:
    case(f"{ops} {name}", ops, text, expected, **columns)


BELOW = leaf("c", 3, less_or_equal("z", 5), 1) + leaf("d", 4, greater("z", 5), 3)
SPLIT = leaf("a", 1, less_or_equal("x", 0.1), 4) + leaf("b", 2, greater("x", 0.1), 6, BELOW)
RECORDS = {"x": [0, 0.1, 0.2, 7, None, 3], "z": [1, 1, 5, 5.5, 1, None]}

declare("of doubles", tree(SPLIT), [[1, 1, 3, 4]], x=[0, 0.1, 0.2, 7], z=[1, 1, 5, 5.5])
for _strategy, _last, _missed in (
    ("none", False, [None, None]),
    ("none", True, [0, 2]),
    ("lastPrediction", False, [0, 2]),
    ("nullPrediction", False, [None, None]),
    ("defaultChild", False, [4, 3]),
):
    _nodes, _attributes = SPLIT, f'missingValueStrategy="{_strategy}"'
    if _last:
        _attributes += ' noTrueChildStrategy="returnLastPrediction"'
    if _strategy == "defaultChild":
        _nodes = SPLIT.replace('id="b"', 'id="b" defaultChild="c"')
        _missed = [3, 3]
    _text = tree(_nodes, _attributes, root='score="0" defaultChild="b"')
    declare(f"missing {_strategy}{' last' * _last}", _text, [[1, 1, 3, 4, *_missed]], **RECORDS)

_GAP = leaf("a", 1, less_or_equal("x", 0)) + leaf("b", 2, greater("x", 1))
for _strategy, _score in (("returnNullPrediction", None), ("returnLastPrediction", 0)):
    _text = tree(_GAP, f'noTrueChildStrategy="{_strategy}"', names="x")
    declare(f"no true child {_strategy}", _text, [[1, _score, 2]], x=[-1, 0.5, 2])

for _operator in ("equal", "notEqual", "lessThan", "lessOrEqual", "greaterThan", "greaterOrEqual"):
    _first = f'<SimplePredicate field="x" operator="{_operator}" value="1.5"/>'
    _text = tree(leaf("a", 1, _first) + leaf("b", 2, "<True/>"), names="x")
    declare(_operator, _text, ops="SimplePredicate", x=[1, 1.5, 2])
for _operator in ("isMissing", "isNotMissing"):
    _first = f'<SimplePredicate field="x" operator="{_operator}"/>'
    _text = tree(leaf("a", 1, _first) + leaf("b", 2, "<True/>"), names="x")
    declare(_operator, _text, ops="SimplePredicate", x=[1, None, 2])
_IS_B = '<SimplePredicate field="c" operator="equal" value="b"/>'
declare(
    "of text",
    tree(leaf("a", 1, _IS_B) + leaf("b", 2, "<True/>"), names="c"),
    ops="SimplePredicate",
    c=["a", "b", "d"],
)
_ORDER = '<SimplePredicate field="o" operator="lessThan" value="2"/>'
declare(
    "of an ordinal",
    tree(leaf("a", 1, _ORDER) + leaf("b", 2, "<True/>"), names="o"),
    ops="SimplePredicate",
    o=[0, 1, 2],
)
for _side, _field in itertools.product(("isIn", "isNotIn"), "nc"):
    _items = ('<Array n="2" type="int">1 3</Array>', '<Array n="2" type="string">a "d"</Array>')[
        _field == "c"
    ]
    _first = f'<SimpleSetPredicate field="{_field}" booleanOperator="{_side}">{_items}</SimpleSetPredicate>'
    _text = tree(leaf("a", 1, _first) + leaf("b", 2, "<True/>"), names=_field)
    _values: Any = {"n": [1, 2, 3], "c": ["a", "b", "d"]}[_field]
    declare(
        f"{_side} {'text' if _field == 'c' else 'numbers'}",
        _text,
        ops="SimpleSetPredicate",
        **{_field: _values},
    )

_PAIRS = list(itertools.product([0, 2, None], repeat=2))
_TRUTH = {
    "and": [1, 0, None, 0, 0, 0, None, 0, None],
    "or": [1, 1, 1, 1, 0, None, 1, None, None],
    "xor": [0, 1, None, 1, 0, None, None, None, None],
    "surrogate": [1, 1, 1, 0, 0, 0, 1, 0, None],
}
for _operator, _truth in _TRUTH.items():
    _first = (
        f'<CompoundPredicate booleanOperator="{_operator}">'
        f"{less_or_equal('x', 1)}{less_or_equal('z', 1)}</CompoundPredicate>"
    )
    _text = tree(leaf("a", 1, _first) + leaf("b", 2, "<True/>"), 'missingValueStrategy="nullPrediction"')
    _expected = [{1: 1, 0: 2, None: None}[t] for t in _truth]
    declare(
        _operator,
        _text,
        [_expected],
        ops="CompoundPredicate",
        x=[p[0] for p in _PAIRS],
        z=[p[1] for p in _PAIRS],
    )
_NESTED = (
    f'<CompoundPredicate booleanOperator="or">{less_or_equal("x", -1)}'
    f'<CompoundPredicate booleanOperator="and">{greater("x", 1)}{less_or_equal("z", 1)}'
    '<SimpleSetPredicate field="n" booleanOperator="isIn">'
    '<Array n="2" type="int">1 2</Array></SimpleSetPredicate>'
    "</CompoundPredicate></CompoundPredicate>"
)
declare(
    "nested",
    tree(leaf("a", 1, _NESTED) + leaf("b", 2, "<True/>"), names="xzn"),
    ops="CompoundPredicate",
    x=[-2, 0, 2, 2, 2],
    z=[5, 0, 0, 5, 0],
    n=[1, 1, 2, 1, 3],
)
declare("False", tree(leaf("a", 1, "<False/>") + leaf("b", 2, "<True/>"), names="x"), ops="False", x=[0, 1])


def score_distributions(*counts: int, confidences: bool = False) -> str:
    confidence = ' confidence="0.{}"' if confidences else ""
    return "".join(
        f'<ScoreDistribution value="{i}" recordCount="{c}"{confidence.format(c)}/>'
        for i, c in enumerate(counts)
    )


def classification_tree(attributes: str = "", confidences: bool = False) -> str:
    nodes = leaf(
        "a", 0, less_or_equal("x", 0.1), 4, score_distributions(3, 1, confidences=confidences)
    ) + leaf(
        "b",
        1,
        greater("x", 0.1),
        6,
        score_distributions(2, 4, confidences=confidences)
        + leaf("c", 1, less_or_equal("z", 5), 4, score_distributions(1, 3, confidences=confidences))
        + leaf("d", 0, greater("z", 5), 2, score_distributions(1, 1, confidences=confidences)),
    )
    content = f"{score_distributions(5, 5, confidences=confidences)}{nodes}"
    return tree(content, attributes, "t", root='score="1" defaultChild="b"')


_RECORDS = {"x": [0, 0.2, 7], "z": [1, 5, 5.5]}
declare(
    "classes",
    classification_tree(),
    [[0, 1, 0], [0.75, 0.75, 0.5], [0.75, 0.75, 0.5], [0.75, 0.25, 0.5], [0.25, 0.75, 0.5]],
    **_RECORDS,
)
_RECORDS_WITH_GAPS = {"x": [0, 0.2, 7, None, 3, None], "z": [1, 5, 5.5, 1, None, None]}
declare(
    "classes lastPrediction",
    classification_tree('missingValueStrategy="lastPrediction"'),
    [
        [0, 1, 0, 1, 1, 1],
        *[[0.75, 0.75, 0.5, 0.5, 4 / 6, 0.5]] * 2,
        [0.75, 0.25, 0.5, 0.5, 2 / 6, 0.5],
        [0.25, 0.75, 0.5, 0.5, 4 / 6, 0.5],
    ],
    **_RECORDS_WITH_GAPS,
)
declare(
    "classes with confidences",
    classification_tree(confidences=True).replace(
        "</MiningSchema>",
        "</MiningSchema><Output>"
        '<OutputField name="f" feature="confidence" dataType="double" optype="continuous"/>'
        '<OutputField name="g" feature="confidence" value="0" dataType="double" optype="continuous"/>'
        "</Output>",
    ),
    [[0.3, 0.3, 0.1], [0.3, 0.1, 0.1], [0, 1, 0]],
    **_RECORDS,
)
_FACTOR = 0.8
declare(
    "missingValuePenalty",
    classification_tree(
        f'missingValueStrategy="defaultChild" missingValuePenalty="{_FACTOR}"', confidences=True
    )
    .replace('id="b"', 'id="b" defaultChild="c"')
    .replace(
        "</MiningSchema>",
        "</MiningSchema><Output>"
        '<OutputField name="f" feature="confidence" dataType="double" optype="continuous"/></Output>',
    ),
    [[0.3, 0.3, 0.1, 0.3 * _FACTOR, 0.3 * _FACTOR, 0.3 * _FACTOR**2], [0, 1, 0, 1, 1, 1]],
    **_RECORDS_WITH_GAPS,
)
_AGGREGATE = [[3, 1], [1, 3], [1, 1], [4, 4], [2, 4], [5, 5]]
_TOTAL = [[a / (a + b), b / (a + b)] for a, b in _AGGREGATE]
declare(
    "aggregateNodes",
    classification_tree('missingValueStrategy="aggregateNodes"'),
    [[0, 1, 0, 0, 1, 0], *[[max(p) for p in _TOTAL]] * 2, [p[0] for p in _TOTAL], [p[1] for p in _TOTAL]],
    **_RECORDS_WITH_GAPS,
)
_WEIGHED = [
    [3 / 4, 1 / 4],
    [1 / 4, 3 / 4],
    [1 / 2, 1 / 2],
    [0.4 * 0.75 + 0.6 * 2 / 6, 0.4 * 0.25 + 0.6 * 4 / 6],
    [4 / 6 / 4 + 2 / 6 / 2, 4 / 6 * 0.75 + 2 / 6 / 2],
]
declare(
    "weightedConfidence",
    classification_tree('missingValueStrategy="weightedConfidence"'),
    [
        [0, 1, 0, 0 if _WEIGHED[3][0] >= _WEIGHED[3][1] else 1, 1],
        *[[max(p) for p in _WEIGHED]] * 2,
        [p[0] for p in _WEIGHED],
        [p[1] for p in _WEIGHED],
    ],
    **{k: v[:5] for k, v in _RECORDS_WITH_GAPS.items()},
)
declare(
    "entityId",
    tree(SPLIT).replace(
        "</MiningSchema>",
        "</MiningSchema><Output>"
        '<OutputField name="e" feature="entityId" dataType="string" optype="categorical"/></Output>',
    ),
    [["a", "c", "d"], [1, 3, 4]],
    words=True,
    **_RECORDS,
)
