"""MiningModel: every way to combine segments, of trees and of others, and chains of them."""

from __future__ import annotations

import statistics
from typing import Any

from bridge_pmml.cases.common import case, class_outputs, function_of, reads
from bridge_pmml.cases.trees import SPLIT, greater, leaf, less_or_equal, tree

XS = [2, -0.5, 0, 1.75]


def linear_model(index: int) -> str:
    """The regression index · x + index + 1."""
    return (
        '<RegressionModel functionName="regression"><MiningSchema><MiningField name="x"/></MiningSchema>'
        f'<RegressionTable intercept="{index + 1}"><NumericPredictor name="x" coefficient="{index}"/>'
        "</RegressionTable></RegressionModel>"
    )


def mining(
    method: str,
    segments: list[str],
    target: str = "y",
    names: str = "x",
    attributes: str = "",
    output: str = "",
) -> str:
    """A MiningModel of segments, each a predicate and a model, of weights 1, 2, 3 and on."""
    segment_elements = "".join(
        f'<Segment id="s{i}" weight="{i + 1}">{s}</Segment>' for i, s in enumerate(segments)
    )
    return (
        f'<MiningModel functionName="{function_of(target)}">{reads(names, target)}{output}'
        f'<Segmentation multipleModelMethod="{method}" {attributes}>{segment_elements}</Segmentation>'
        "</MiningModel>"
    )


def declare(name: str, text: str, expected: Any = None, **columns: Any) -> None:
    case(f"MiningModel {name}", "MiningModel", text, expected, **columns)


def weighted_median(values: list[float]) -> float:
    """The first in order at which half of the weights 1, 2, 3 are reached."""
    total = 0
    for value, weight in sorted(zip(values, (1, 2, 3), strict=True)):
        total += weight
        if total >= 3:
            return value
    raise ValueError(values)


COMBINED: dict[str, Any] = {
    "sum": sum,
    "average": statistics.fmean,
    "weightedAverage": lambda v: (v[0] + 2 * v[1] + 3 * v[2]) / 6,
    "weightedSum": lambda v: v[0] + 2 * v[1] + 3 * v[2],
    "x-weightedSum": lambda v: v[0] + 2 * v[1] + 3 * v[2],
    "median": statistics.median,
    "weightedMedian": weighted_median,
    "x-weightedMedian": weighted_median,
    "selectFirst": lambda v: v[0],
}
_LINEAR = [f"<True/>{linear_model(i)}" for i in range(3)]
for _method, _formula in COMBINED.items():
    _combined = [_formula([i + 1 + i * x for i in range(3)]) for x in XS]
    declare(f"{_method} of regressions", mining(_method, _LINEAR), [[*_combined, None]], x=[*XS, None])

_TREES = [
    f"<True/>{tree(leaf('a', a, less_or_equal('x', t)) + leaf('b', b, greater('x', t)), names='x')}"
    for a, b, t in ((1, 2, 0.1), (3, 5, 1), (4, -2, 0.1))
]
for _method, _formula in COMBINED.items():
    _picked = [[a if x <= t else b for a, b, t in ((1, 2, 0.1), (3, 5, 1), (4, -2, 0.1))] for x in XS]
    declare(f"{_method} of trees", mining(_method, _TREES), [[_formula(p) for p in _picked]], x=XS)

_GUARDED = [
    f"{less_or_equal('x', 1)}{linear_model(0)}",
    f"{greater('x', 0)}{linear_model(1)}",
    f"<True/>{linear_model(2)}",
]
for _method, _formula in {k: v for k, v in COMBINED.items() if "eighted" not in k}.items():
    _fired = [
        [v for v, here in ((1, x <= 1), (2 + x, x > 0), (3 + 2 * x, True)) if here] for x in (0.5, -1, 2)
    ]
    declare(
        f"{_method} of guarded", mining(_method, _GUARDED), [[_formula(f) for f in _fired]], x=[0.5, -1, 2]
    )

_OTHER = (
    '<RegressionModel functionName="regression"><MiningSchema><MiningField name="z"/></MiningSchema>'
    '<RegressionTable intercept="1"><NumericPredictor name="z" coefficient="1"/>'
    "</RegressionTable></RegressionModel>"
)
for _treatment, _last in (("continue", None), ("returnMissing", None), ("skipSegment", 1)):
    declare(
        f"missing {_treatment}",
        mining(
            "average",
            [_LINEAR[0], f"<True/>{_OTHER}"],
            names="xz",
            attributes=f'missingPredictionTreatment="{_treatment}"',
        ),
        [[2, _last]],
        x=[0.5, 0.5],
        z=[2, None],
    )
declare(
    "missing beyond the threshold",
    mining(
        "average",
        [_LINEAR[0], f"<True/>{_OTHER}"],
        names="xz",
        attributes='missingPredictionTreatment="skipSegment" missingThreshold="0.3"',
    ),
    [[2, None]],
    x=[0.5, 0.5],
    z=[2, None],
)


def classifier_segment(a: int, b: int, bound: float, target: str = "t") -> str:
    """A tree of classes with their shares."""
    shares = [
        "".join(f'<ScoreDistribution value="{i}" recordCount="{c}"/>' for i, c in enumerate(counts))
        for counts in ((3, 1), (1, 4))
    ]
    nodes = leaf("a", a, less_or_equal("x", bound), 4, shares[a]) + leaf(
        "b", b, greater("x", bound), 5, shares[b]
    )
    return f"<True/>{tree(nodes, target=target, names='x', root='')}"


_CLASSIFIERS = [classifier_segment(0, 1, 0.1), classifier_segment(1, 0, 1), classifier_segment(0, 1, -0.25)]
_X, _BOUNDS = [2, -0.5, 0.5, 0], (0.1, 1, -0.25)
_VOTES = [[x > 0.1, not x > 1, x > -0.25] for x in _X]
for _method, _weights in (("majorityVote", (1, 1, 1)), ("weightedMajorityVote", (1, 2, 3))):
    _of_class_1 = [
        sum(w for w, s in zip(_weights, votes, strict=True) if s) / sum(_weights) for votes in _VOTES
    ]
    declare(
        _method, mining(_method, _CLASSIFIERS, "t"), class_outputs([(1 - p, p) for p in _of_class_1]), x=_X
    )
_PROBABILITIES = [[(0.8 if s else 0.25) for s in votes] for votes in _VOTES]
for _method, _formula in (
    ("average", statistics.fmean),
    ("weightedAverage", COMBINED["weightedAverage"]),
):
    _of_class_1 = [_formula(p) for p in _PROBABILITIES]
    declare(
        f"{_method} of classes",
        mining(_method, _CLASSIFIERS, "t"),
        class_outputs([(1 - p, p) for p in _of_class_1]),
        x=_X,
    )
_MAXIMA = []
for _combined in _PROBABILITIES:
    _best = max(max(p, 1 - p) for p in _combined)
    _winners = [p for p in _combined if max(p, 1 - p) == _best]
    _MAXIMA.append((1 - statistics.fmean(_winners), statistics.fmean(_winners)))
declare("max of classes", mining("max", _CLASSIFIERS, "t"), class_outputs(_MAXIMA), x=_X)
_ROWS = class_outputs([(1 - p[0], p[0]) for p in _PROBABILITIES])
declare(
    "selectFirst of classes",
    mining("selectFirst", _CLASSIFIERS, "t"),
    [_ROWS[0], *_ROWS[1:2] * 2, *_ROWS[2:]],
    x=_X,
)

_HALF = (
    '<True/><RegressionModel functionName="regression"><MiningSchema><MiningField name="x"/></MiningSchema>'
    "<Output>"
    '<OutputField name="half" feature="predictedValue" dataType="double" optype="continuous"/></Output>'
    '<RegressionTable intercept="0.25"><NumericPredictor name="x" coefficient="0.5"/>'
    "</RegressionTable></RegressionModel>"
)
_NEXT = (
    '<True/><RegressionModel functionName="regression"><MiningSchema>'
    '<MiningField name="half"/></MiningSchema>'
    '<RegressionTable intercept="1"><NumericPredictor name="half" coefficient="10"/>'
    "</RegressionTable></RegressionModel>"
)
declare("modelChain", mining("modelChain", [_HALF, _NEXT]), [[5 * x + 3.5 for x in XS]], x=XS)
_BOOSTED = (
    '<True/><MiningModel functionName="regression"><MiningSchema><MiningField name="x"/></MiningSchema>'
    "<Output>"
    '<OutputField name="half" feature="predictedValue" dataType="double" optype="continuous"/></Output>'
    '<Segmentation multipleModelMethod="sum">'
    f"{''.join(f'<Segment>{t}</Segment>' for t in _TREES)}</Segmentation></MiningModel>"
)
_LOGIT = (
    '<True/><RegressionModel functionName="classification" normalizationMethod="logit">'
    '<MiningSchema><MiningField name="half"/>'
    '<MiningField name="t" usageType="target"/></MiningSchema>'
    '<RegressionTable targetCategory="1" intercept="0">'
    '<NumericPredictor name="half" coefficient="0.25"/></RegressionTable>'
    '<RegressionTable targetCategory="0" intercept="0"/>'
    "</RegressionModel>"
)
declare("boosted trees", mining("modelChain", [_BOOSTED, _LOGIT], "t"), x=XS)
declare(
    "selectAll",
    mining("selectAll", [f"<True/>{linear_model(0)}", f"<True/>{linear_model(1)}"]),
    [[1] * 4, [2 + x for x in XS]],
    x=XS,
)
declare(
    "of a tree and a regression",
    mining("weightedSum", [f"<True/>{tree(SPLIT)}", f"<True/>{linear_model(1)}"], names="xz"),
    [[1 + 2 * 2, 4 + 2 * 9]],
    x=[0, 7],
    z=[1, 5.5],
)
