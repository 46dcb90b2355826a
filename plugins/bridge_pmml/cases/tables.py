"""Models of counts and rules: naive Bayes, Bayesian networks, scorecards, rule sets, association rules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bridge_pmml.cases.common import active, case, class_outputs, reads
from bridge_pmml.cases.trees import greater, less_or_equal


def declare(name: str, text: str, expected: Any = None, **columns: Any) -> None:
    """A case whose name begins with its model element."""
    case(name, name.split()[0], text, expected, **columns)


def normalized_rows(rows: list[list[float]]) -> list[list[float]]:
    return [[v / sum(r) for v in r] for r in rows]


def target_value_counts(*counts: int) -> str:
    elements = "".join(f'<TargetValueCount value="{i}" count="{c}"/>' for i, c in enumerate(counts))
    return f"<TargetValueCounts>{elements}</TargetValueCounts>"


def naive_bayes(inputs: str, names: str, output: str = "", threshold: float = 0.001) -> str:
    output = output or f'<BayesOutput fieldName="t">{target_value_counts(10, 14)}</BayesOutput>'
    return (
        f'<NaiveBayesModel functionName="classification" threshold="{threshold}">{reads(names, "t")}'
        f"<BayesInputs>{inputs}</BayesInputs>{output}</NaiveBayesModel>"
    )


COUNTS = {1: (6, 2), 2: (4, 7), 3: (0, 5)}
PAIRS = "".join(f'<PairCounts value="{v}">{target_value_counts(*c)}</PairCounts>' for v, c in COUNTS.items())
CATEGORIES = f'<BayesInput fieldName="n">{PAIRS}</BayesInput>'


def density(x: float, mean: float, variance: float) -> float:
    return math.exp(-((x - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)


def conditional_probability(value: int, row: int) -> float:
    return COUNTS[value][row] / (10, 14)[row] or 0.001


_PRIOR = (10, 14)
_ROWS = [[_PRIOR[i] * conditional_probability(v, i) for i in (0, 1)] for v in COUNTS]
declare(
    "NaiveBayesModel of categories",
    naive_bayes(CATEGORIES, "n"),
    class_outputs(normalized_rows(_ROWS)),
    n=[1, 2, 3],
)
declare(
    "NaiveBayesModel missing",
    naive_bayes(CATEGORIES, "n"),
    class_outputs(normalized_rows([_ROWS[0], list(map(float, _PRIOR))])),
    n=[1, None],
)
_STATS = ((1.0, 0.5), (2.0, 1.5))
_NORMAL = "".join(
    f'<TargetValueStat value="{i}"><GaussianDistribution mean="{m}" variance="{v}"/></TargetValueStat>'
    for i, (m, v) in enumerate(_STATS)
)
_GAUSS = f'<BayesInput fieldName="x"><TargetValueStats>{_NORMAL}</TargetValueStats></BayesInput>'
_XS = [0.5, 2.25, 1.5]
declare(
    "NaiveBayesModel GaussianDistribution",
    naive_bayes(_GAUSS, "x"),
    class_outputs(normalized_rows([[_PRIOR[i] * density(x, *_STATS[i]) for i in (0, 1)] for x in _XS])),
    x=_XS,
)
_POISSON = "".join(
    f'<TargetValueStat value="{i}"><PoissonDistribution mean="{m}"/></TargetValueStat>'
    for i, m in enumerate((1.5, 3.0))
)
declare(
    "NaiveBayesModel PoissonDistribution",
    naive_bayes(
        f'<BayesInput fieldName="x"><TargetValueStats>{_POISSON}</TargetValueStats></BayesInput>', "x"
    ),
    class_outputs(
        normalized_rows(
            [
                [_PRIOR[i] * m**x * math.exp(-m) / math.factorial(x) for i, m in enumerate((1.5, 3.0))]
                for x in (0, 2, 5)
            ]
        )
    ),
    x=[0, 2, 5],
)
declare(
    "NaiveBayesModel of both",
    naive_bayes(CATEGORIES + _GAUSS, "nx"),
    class_outputs(
        normalized_rows(
            [
                [_PRIOR[i] * conditional_probability(n, i) * density(x, *_STATS[i]) for i in (0, 1)]
                for n, x in zip((1, 3, 2), _XS, strict=True)
            ]
        )
    ),
    n=[1, 3, 2],
    x=_XS,
)
_BINNED = (
    '<BayesInput fieldName="x"><DerivedField name="w" optype="categorical" dataType="integer">'
    '<Discretize field="x" dataType="integer">'
    '<DiscretizeBin binValue="1"><Interval closure="openClosed" rightMargin="1"/></DiscretizeBin>'
    '<DiscretizeBin binValue="2"><Interval closure="openOpen" leftMargin="1"/>'
    "</DiscretizeBin></Discretize></DerivedField>"
    + "".join(
        f'<PairCounts value="{v}">{target_value_counts(*c)}</PairCounts>'
        for v, c in {1: (6, 2), 2: (4, 12)}.items()
    )
    + "</BayesInput>"
)
declare(
    "NaiveBayesModel of bins",
    naive_bayes(_BINNED, "x"),
    class_outputs(normalized_rows([[6, 2], [6, 2], [4, 12]])),
    x=[0.5, 1, 3],
)

CHARACTERISTICS = (
    '<Characteristics><Characteristic name="first" reasonCode="R1" baselineScore="20">'
    f'<Attribute partialScore="12">{less_or_equal("x", 1)}</Attribute>'
    f'<Attribute partialScore="25">{greater("x", 1)}</Attribute>'
    '<Attribute partialScore="5"><SimplePredicate field="x" operator="isMissing"/>'
    "</Attribute></Characteristic>"
    '<Characteristic name="second" baselineScore="15">'
    f'<Attribute reasonCode="R2" partialScore="10">{less_or_equal("z", 0)}</Attribute>'
    f'<Attribute reasonCode="R3" partialScore="{{}}">{greater("z", 0)}</Attribute>'
    "</Characteristic></Characteristics>"
)


def scorecard(attributes: str, output_fields: str = "", content: str = CHARACTERISTICS.format(18)) -> str:
    score = '<OutputField name="score" feature="predictedValue" dataType="double" optype="continuous"/>'
    return (
        f'<Scorecard functionName="regression" {attributes}>{reads("xz")}<Output>{score}{output_fields}'
        f"</Output>{content}</Scorecard>"
    )


_RECORDS = {"x": [0.5, 3, None, 0.5], "z": [-1, 2, -1, 1]}
_SCORES = [[12 + 10 + 100, 25 + 18 + 100, 5 + 10 + 100, 12 + 18 + 100]]
_CODES = "".join(
    f'<OutputField name="reason{r}" feature="reasonCode" rank="{r}" dataType="string" optype="categorical"/>'
    for r in (1, 2)
)
declare("Scorecard", scorecard('initialScore="100" useReasonCodes="false"'), _SCORES, **_RECORDS)
declare(
    "Scorecard without initialScore",
    scorecard('useReasonCodes="false"'),
    [[s - 100 for s in _SCORES[0]]],
    **_RECORDS,
)
declare(
    "Scorecard reason codes pointsBelow",
    scorecard('initialScore="100" useReasonCodes="true" reasonCodeAlgorithm="pointsBelow"', _CODES),
    [[122, 115], ["R1", "R1"], ["R2", "R2"]],
    words=True,
    x=[0.5, None],
    z=[-1, -1],
)
declare(
    "Scorecard reason codes pointsAbove",
    scorecard('initialScore="100" useReasonCodes="true" reasonCodeAlgorithm="pointsAbove"', _CODES),
    [[143], ["R1"], ["R3"]],
    words=True,
    x=[3],
    z=[2],
)
_COMPLEX = CHARACTERISTICS.format(18).replace(
    '<Attribute reasonCode="R2" partialScore="10">' + less_or_equal("z", 0) + "</Attribute>",
    '<Attribute reasonCode="R2">'
    + less_or_equal("z", 0)
    + '<ComplexPartialScore><Apply function="*"><FieldRef field="z"/><Constant>-4</Constant></Apply>'
    "</ComplexPartialScore></Attribute>",
)
declare(
    "Scorecard ComplexPartialScore",
    scorecard('initialScore="100" useReasonCodes="false"', content=_COMPLEX),
    [[12 + 4 + 100, 25 + 18 + 100]],
    x=[0.5, 3],
    z=[-1, 2],
)
declare(
    "Scorecard without a true attribute",
    scorecard('initialScore="100" useReasonCodes="false"'),
    [[122, None]],
    x=[0.5, 3],
    z=[-1, None],
)

RULES = (
    f'<SimpleRule id="r1" score="0" weight="0.75" confidence="0.9">{less_or_equal("x", 1)}</SimpleRule>'
    f"<CompoundRule>{greater('x', 0)}"
    f'<SimpleRule id="r2" score="1" weight="0.5" confidence="0.6">{less_or_equal("z", 1)}</SimpleRule>'
    f'<SimpleRule id="r3" score="1" weight="0.6" confidence="0.7">{less_or_equal("z", 0)}</SimpleRule>'
    "</CompoundRule>"
)


def rules(criterion: str, rank: str = 'defaultScore="2" defaultConfidence="0.1"') -> str:
    output_fields = (
        '<OutputField name="found" feature="predictedValue" dataType="integer" optype="categorical"/>'
        '<OutputField name="sure" feature="confidence" dataType="double" optype="continuous"/>'
    )
    return (
        f'<RuleSetModel functionName="classification">{reads("xz", "u")}<Output>'
        f"{output_fields}</Output><RuleSet {rank}>"
        f'<RuleSelectionMethod criterion="{criterion}"/>{RULES}</RuleSet></RuleSetModel>'
    )


_FACTS = {"x": [0.5, 3, 3, 3, -1], "z": [-1, 0.5, -1, 5, 5]}
for _criterion, _found in (
    ("firstHit", [[0, 1, 1, 2, 0], [0.9, 0.6, 0.6, 0.1, 0.9]]),
    ("weightedMax", [[0, 1, 1, 2, 0], [0.9, 0.6, 0.7, 0.1, 0.9]]),
    ("weightedSum", [[1, 1, 1, 2, 0], [1.1 / 3, 0.5, 1.1 / 2, 0.1, 0.75]]),
):
    declare(f"RuleSetModel {_criterion}", rules(_criterion), _found, **_FACTS)
declare(
    "RuleSetModel without default",
    rules("firstHit", ""),
    [[0, None], [0.9, None]],
    x=[0.5, 3],
    z=[-1, 5],
)

BASKET = ("a", "b", "d")
SETS = {"1": ("a",), "2": ("b",), "3": ("a", "b"), "4": ("d",)}
ASSOCIATIONS = (("1", "2", 0.5, 0.6, 1.2), ("2", "4", 0.25, 0.9, 1.5), ("3", "4", 0.125, 0.7, 2.5))


def association(output_fields: str, items: str) -> str:
    sets = "".join(
        f'<Itemset id="{i}">{"".join(f"<ItemRef itemRef={chr(34)}{v}{chr(34)}/>" for v in s)}</Itemset>'
        for i, s in SETS.items()
    )
    rule_elements = "".join(
        f'<AssociationRule id="{n}" antecedent="{a}" consequent="{c}" support="{s}" '
        f'confidence="{p}" lift="{u}"/>'
        for n, (a, c, s, p, u) in enumerate(ASSOCIATIONS)
    )
    return (
        '<AssociationModel functionName="associationRules" numberOfTransactions="4" '
        'numberOfItems="3" minimumSupport="0.1" '
        'minimumConfidence="0.5" numberOfItemsets="4" numberOfRules="3"><MiningSchema>'
        f"{active(BASKET)}</MiningSchema>"
        f"<Output>{output_fields}</Output>{items}{sets}{rule_elements}</AssociationModel>"
    )


_ITEMS = "".join(f'<Item id="{b}" value="{b}" field="{b}" category="1"/>' for b in BASKET)
_FLAGS = "".join(f'<DataField name="{b}" optype="categorical" dataType="integer"/>' for b in BASKET)
_BASKETS = [(1, 0, 0), (0, 1, 0), (1, 1, 0), (1, 1, 1), (0, 0, 0)]
for _algorithm in ("recommendation", "exclusiveRecommendation", "ruleAssociation"):
    for _basis, _place in (("confidence", 3), ("support", 2), ("lift", 4)):
        _expected: list[list[float | None]] = []
        for _rank in (1, 2):
            _column: list[float | None] = []
            for _basket in _BASKETS:
                _items_of_basket = {b for b, f in zip(BASKET, _basket, strict=True) if f}
                _rules = [
                    r
                    for r in ASSOCIATIONS
                    if set(SETS[r[0]]) <= _items_of_basket
                    and {
                        "recommendation": True,
                        "exclusiveRecommendation": not set(SETS[r[1]]) <= _items_of_basket,
                        "ruleAssociation": set(SETS[r[1]]) <= _items_of_basket,
                    }[_algorithm]
                ]
                _rules.sort(key=lambda r, at=_place: -r[at])  # type: ignore[misc]
                _column.append(_rules[_rank - 1][_place] if len(_rules) >= _rank else None)
            _expected.append(_column)
        _outputs = "".join(
            f'<OutputField name="r{r}" feature="ruleValue" ruleFeature="{_basis}" '
            f'algorithm="{_algorithm}" rankBasis="{_basis}" rank="{r}" '
            'dataType="double" optype="continuous"/>'
            for r in (1, 2)
        )
        case(
            f"AssociationModel {_algorithm} {_basis}",
            "AssociationModel",
            association(_outputs, _ITEMS),
            _expected,
            fields=_FLAGS,
            **{b: [row[i] for row in _BASKETS] for i, b in enumerate(BASKET)},
        )

_PRIORS = {0: 0.3, 1: 0.7}
_PARENT = '<ParentValue parent="t" value="{}"/>'
_N_GIVEN_T = {0: (0.5, 0.25, 0.25), 1: (0.1, 0.2, 0.7)}
_X_GIVEN_T = {0: (0.5, 2.0), 1: (-1.0, 0.5)}


def value_probabilities(table: Mapping[int, float]) -> str:
    return "".join(f'<ValueProbability value="{v}" probability="{p}"/>' for v, p in table.items())


_NODES = (
    f'<DiscreteNode name="t">{value_probabilities(_PRIORS)}</DiscreteNode><DiscreteNode name="n">'
    + "".join(
        f"<DiscreteConditionalProbability>{_PARENT.format(t)}"
        f"{value_probabilities(dict(zip((1, 2, 3), p, strict=True)))}"
        "</DiscreteConditionalProbability>"
        for t, p in _N_GIVEN_T.items()
    )
)
_NODES += '</DiscreteNode><ContinuousNode name="x">' + "".join(
    f"<ContinuousConditionalProbability>{_PARENT.format(t)}<ContinuousDistribution>"
    f"<NormalDistributionForBN><Mean><Constant>{m}</Constant></Mean>"
    f"<Variance><Constant>{v}</Constant></Variance></NormalDistributionForBN></ContinuousDistribution>"
    "</ContinuousConditionalProbability>"
    for t, (m, v) in _X_GIVEN_T.items()
)
_NODES += "</ContinuousNode>"
_NS, _AT = [1, 3, None, 2], [0.5, None, -1, 0]
_WEIGHTS = [
    [
        _PRIORS[t]
        * (1 if n is None else _N_GIVEN_T[t][n - 1])
        * (
            1
            if x is None
            else math.exp(-0.5 * (x - _X_GIVEN_T[t][0]) ** 2 / _X_GIVEN_T[t][1]) / math.sqrt(_X_GIVEN_T[t][1])
        )
        for t in (0, 1)
    ]
    for n, x in zip(_NS, _AT, strict=True)
]
case(
    "BayesianNetworkModel",
    "BayesianNetworkModel",
    f'<BayesianNetworkModel functionName="classification">{reads("nx", "t")}<BayesianNetworkNodes>{_NODES}'
    "</BayesianNetworkNodes></BayesianNetworkModel>",
    class_outputs(normalized_rows(_WEIGHTS)),
    n=_NS,
    x=_AT,
)
