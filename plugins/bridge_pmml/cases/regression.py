"""RegressionModel and GeneralRegressionModel: predictors, normalizations, links."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

from bridge_pmml.cases.common import case, class_outputs, function_of, reads

NORMAL = statistics.NormalDist()
XS = [0.3, 1.7, 0.0, -0.4, None]
TWO = (
    '<RegressionTable targetCategory="1" intercept="0.5">'
    '<NumericPredictor name="x" coefficient="2"/></RegressionTable>'
    '<RegressionTable targetCategory="0" intercept="1.25"/>'
)
THREE = (
    '<RegressionTable targetCategory="1" intercept="0.5">'
    '<NumericPredictor name="x" coefficient="0.25"/></RegressionTable>'
    '<RegressionTable targetCategory="0" intercept="0.1">'
    '<NumericPredictor name="x" coefficient="0.125"/></RegressionTable>'
    '<RegressionTable targetCategory="2" intercept="0.3"/>'
)
INVERSE: dict[str, Callable[[float], float]] = {
    "none": lambda y: y,
    "logit": lambda y: 1 / (1 + math.exp(-y)),
    "exp": math.exp,
    "probit": NORMAL.cdf,
    "cloglog": lambda y: 1 - math.exp(-math.exp(y)),
    "loglog": lambda y: math.exp(-math.exp(-y)),
    "cauchit": lambda y: 0.5 + math.atan(y) / math.pi,
}


def regression_model(tables: str, method: str = "", target: str = "y", names: str = "x") -> str:
    normalized = f'normalizationMethod="{method}"' if method else ""
    return (
        f'<RegressionModel functionName="{function_of(target)}" {normalized}>'
        f"{reads(names, target)}{tables}</RegressionModel>"
    )


def regression_table(predictors: str, intercept: float = 0.5) -> str:
    return f'<RegressionTable intercept="{intercept}">{predictors}</RegressionTable>'


def declare(name: str, text: str, expected: Any = None, **columns: Any) -> None:
    case(f"RegressionModel {name}", "RegressionModel", text, expected, **columns)


def applied_to(values: list[float | None], function: Callable[[float], float]) -> list[float | None]:
    return [None if v is None else function(v) for v in values]


for _method, _inverse in {**INVERSE, "softmax": INVERSE["logit"]}.items():
    _text = regression_model(regression_table('<NumericPredictor name="x" coefficient="2"/>'), _method)
    declare(f"of {_method}", _text, [applied_to(applied_to(XS, lambda v: 0.5 + 2 * v), _inverse)], x=XS)

_NUMERIC = '<NumericPredictor name="{}" coefficient="{}"/>'
declare(
    "several predictors",
    regression_model(regression_table(_NUMERIC.format("x", 2) + _NUMERIC.format("z", -0.5)), names="xz"),
    x=[1, 2, None],
    z=[3, -1, 1],
)
declare(
    "exponent",
    regression_model(regression_table('<NumericPredictor name="x" coefficient="2" exponent="3"/>')),
    x=[1.5, -2, 0, None],
)
declare(
    "negative exponent",
    regression_model(regression_table('<NumericPredictor name="x" coefficient="2" exponent="-1"/>')),
    x=[1.5, -2, None],
)
_CATEGORIES = "".join(
    f'<CategoricalPredictor name="n" value="{v}" coefficient="{w}"/>' for v, w in ((1, 1.5), (3, -2))
)
declare("categories", regression_model(regression_table(_CATEGORIES), names="n"), n=[1, 2, 3])
declare(
    "categories missing",
    regression_model(regression_table(_CATEGORIES), names="n"),
    [[2, 0.5, -1.5, 0.5]],
    n=[1, 2, 3, None],
)
declare(
    "categories of text",
    regression_model(
        regression_table('<CategoricalPredictor name="c" value="b" coefficient="3"/>'), names="c"
    ),
    [[0.5, 3.5, 0.5]],
    c=["a", "b", "d"],
)
declare(
    "interaction",
    regression_model(regression_table('<PredictorTerm coefficient="2"><FieldRef field="x"/>'
    '<FieldRef field="z"/></PredictorTerm>'), names="xz"),
    [[6.5, -3.5, None]],
    x=[1, 2, None],
    z=[3, -1, 1],
)  # fmt: skip
declare("intercept alone", regression_model(regression_table("", 7.25)), [[7.25, 7.25]], x=[1, 2])

_SECOND = 1.25
for _method in (*INVERSE, "softmax", "simplemax"):
    if _method == "exp":
        continue
    _first = applied_to([v for v in XS if v is not None], lambda v: 0.5 + 2 * v)
    if _method == "softmax":
        _probabilities = applied_to(_first, lambda a: 1 / (1 + math.exp(_SECOND - a)))
    elif _method == "simplemax":
        _probabilities = applied_to(_first, lambda a: a / (a + _SECOND))
    else:
        _probabilities = applied_to(applied_to(_first, INVERSE[_method]), lambda p: min(1, max(0, p)))
    _winner = [float(p > 0.5) for p in _probabilities if p is not None]
    _largest = [max(p, 1 - p) for p in _probabilities if p is not None]
    _of_class_0 = [1 - p for p in _probabilities if p is not None]
    declare(
        f"two classes {_method}",
        regression_model(TWO, _method, "t"),
        [_winner, _largest, _of_class_0, _probabilities],
        x=XS[:-1],
    )
for _method in ("none", "softmax", "simplemax"):
    declare(f"three classes {_method}", regression_model(THREE, _method, "u"), x=[0.3, 1.7, 0.0, 0.8])
for _method in ("logit", "probit", "cloglog", "loglog", "cauchit"):
    _tables = "".join(
        f'<RegressionTable targetCategory="{i}" intercept="{b}">'
        '<NumericPredictor name="x" coefficient="-0.5"/></RegressionTable>'
        for i, b in enumerate((-0.5, 0.75))
    )
    _last = '<RegressionTable targetCategory="2" intercept="0"/>'
    _parts = []
    for _x in (0.3, 1.7, -2.0):
        _low, _high = (INVERSE[_method](b - 0.5 * _x) for b in (-0.5, 0.75))
        _parts.append([_low, _high - _low, 1 - _high])
    _expected = [
        [float(p.index(max(p))) for p in _parts],
        [max(p) for p in _parts],
        *map(list, zip(*_parts, strict=True)),
    ]
    declare(
        f"ordinal {_method}", regression_model(_tables + _last, _method, "o"), _expected, x=[0.3, 1.7, -2.0]
    )


def general_regression(
    model_type: str, content: str, attributes: str = "", target: str = "y", names: str = "xn"
) -> str:
    """A GeneralRegressionModel of p0 = 1, p1 = x, p2 = 1 where n is 2."""
    parameters = "".join(f'<Parameter name="p{i}" label="p{i}"/>' for i in range(3))
    cells = (
        '<PPCell value="1" predictorName="x" parameterName="p1"/>'
        '<PPCell value="2" predictorName="n" parameterName="p2"/>'
    )
    return (
        f'<GeneralRegressionModel functionName="{function_of(target)}" modelType="{model_type}" '
        f"{attributes}>{reads(names, target)}"
        f'<ParameterList>{parameters}</ParameterList><FactorList><Predictor name="n"/></FactorList>'
        f'<CovariateList><Predictor name="x"/></CovariateList><PPMatrix>{cells}</PPMatrix>'
        f"{content}</GeneralRegressionModel>"
    )


def param_matrix(*rows: tuple[float, ...], categories: tuple[str, ...] = ("",)) -> str:
    cells = ""
    for category, row in zip(categories, rows, strict=True):
        target = f'targetCategory="{category}" ' if category else ""
        cells += "".join(
            f'<PCell {target}parameterName="p{i}" beta="{b}" df="1"/>' for i, b in enumerate(row)
        )
    return f"<ParamMatrix>{cells}</ParamMatrix>"


RECORDS: dict[str, list[float]] = {"x": [0.3, 1.5, -0.4, 0.9], "n": [1, 2, 3, 2]}
ETA = [0.25 + 0.5 * x - 0.125 * (n == 2) for x, n in zip(RECORDS["x"], RECORDS["n"], strict=True)]
ROW = (0.25, 0.5, -0.125)


def declare_general(name: str, text: str, expected: Any = None, **columns: Any) -> None:
    case(f"GeneralRegressionModel {name}", "GeneralRegressionModel", text, expected, **(columns or RECORDS))


for _model_type in ("regression", "generalLinear"):
    declare_general(_model_type, general_regression(_model_type, param_matrix(ROW)), [ETA])
declare_general(
    "of missing values",
    general_regression("regression", param_matrix(ROW)),
    [[0.4, None, None]],
    x=[0.3, None, 0.3],
    n=[1, 1, None],
)
LINKS: dict[str, tuple[str, Callable[[float], float]]] = {
    "identity": ("normal", lambda y: y),
    "log": ("poisson", math.exp),
    "logc": ("binomial", lambda y: 1 - math.exp(y)),
    "logit": ("binomial", INVERSE["logit"]),
    "probit": ("binomial", INVERSE["probit"]),
    "cloglog": ("binomial", INVERSE["cloglog"]),
    "loglog": ("binomial", INVERSE["loglog"]),
    "cauchit": ("binomial", INVERSE["cauchit"]),
    "negbin": ("negbin", lambda y: 1 / (2.5 * (math.exp(-y) - 1))),
    "power": ("gamma", lambda y: abs(y) ** (1 / 2)),
    "oddspower": ("binomial", lambda y: 1 / (1 + (1 + 2 * y) ** (-1 / 2))),
}
for _link, (_distribution, _inverse) in LINKS.items():
    _attributes = (
        f'distribution="{_distribution}" linkFunction="{_link}" linkParameter="2" distParameter="2.5"'
    )
    declare_general(
        f"link {_link}",
        general_regression("generalizedLinear", param_matrix(ROW), _attributes),
        [applied_to(ETA, _inverse)],
    )
for _distribution, _link in (("gamma", "log"), ("igauss", "log"), ("tweedie", "log"), ("negbin", "log")):
    declare_general(
        f"distribution {_distribution}",
        general_regression(
            "generalizedLinear", param_matrix(ROW), f'distribution="{_distribution}" linkFunction="{_link}"'
        ),
        [applied_to(ETA, math.exp)],
    )
declare_general(
    "offset and trials",
    general_regression(
        "generalizedLinear", param_matrix(ROW), 'linkFunction="logit" offsetValue="0.5" trialsValue="3"'
    ),
    [[3 * INVERSE["logit"](y + 0.5) for y in ETA]],
)
declare_general(
    "offset and trials of fields",
    general_regression(
        "generalizedLinear",
        param_matrix(ROW),
        'linkFunction="log" offsetVariable="z" trialsVariable="v"',
        names="xnzv",
    ),
    [[v * math.exp(y + z) for y, z, v in zip(ETA, (0.5, 0, 1, -1), (1, 2, 3, 4), strict=True)]],
    **RECORDS,
    z=[0.5, 0, 1, -1],
    v=[1, 2, 3, 4],
)


declare_general(
    "two classes",
    general_regression(
        "generalizedLinear",
        param_matrix(ROW, categories=("1",)),
        'linkFunction="logit" distribution="binomial" targetReferenceCategory="0"',
        "t",
    ),
    class_outputs([[1 - INVERSE["logit"](y), INVERSE["logit"](y)] for y in ETA]),
)
_OTHER = (-0.5, 1.0, 0.75)
_ODDS = [
    [math.exp(y), math.exp(-0.5 + x + 0.75 * (n == 2)), 1.0]
    for y, x, n in zip(ETA, RECORDS["x"], RECORDS["n"], strict=True)
]
declare_general(
    "multinomialLogistic",
    general_regression(
        "multinomialLogistic",
        param_matrix(ROW, _OTHER, categories=("0", "1")),
        'targetReferenceCategory="2"',
        "u",
    ),
    class_outputs([[v / sum(row) for v in row] for row in _ODDS]),
)
for _link in ("logit", "probit", "cloglog", "loglog", "cauchit"):
    _rows = []
    for _y in ETA:
        _low, _high = INVERSE[_link](_y), INVERSE[_link](_y + 1)
        _rows.append([_low, _high - _low, 1 - _high])
    _cells = param_matrix((0.25,), (1.25,), categories=("0", "1")).replace(
        "</ParamMatrix>",
        '<PCell parameterName="p1" beta="0.5"/><PCell parameterName="p2" beta="-0.125"/></ParamMatrix>',
    )
    declare_general(
        f"ordinalMultinomial {_link}",
        general_regression("ordinalMultinomial", _cells, f'cumulativeLink="{_link}"', "o"),
        class_outputs(_rows),
    )
_HAZARD = '<BaseCumHazardTables maxTime="9">' + "".join(
    f'<BaselineCell time="{t}" cumHazard="{h}"/>' for t, h in ((1, 0.1), (4, 0.3), (7, 0.8))
)
_CENTRED = '<Parameter name="p1" label="p1" referencePoint="0.5"/>'
_RISKS = [0.5 * (x - 0.5) for x in (0.3, 1.5, -0.4, 0.9)]
_TIMES = [0.5, 4, 8, 10]


def _cumulative_hazards(*baseline: float | None) -> list[float | None]:
    """The cumulative hazard of each record, for that of the baseline at its time; None past the last time."""
    return [None if h is None else h * math.exp(r) for h, r in zip(baseline, _RISKS, strict=True)]


declare_general(
    "CoxRegression",
    general_regression(
        "CoxRegression",
        param_matrix((0, 0.5)) + _HAZARD + "</BaseCumHazardTables>",
        'endTimeVariable="z"',
        names="xz",
    )
    .replace('<Parameter name="p1" label="p1"/>', _CENTRED)
    .replace('<PPCell value="2" predictorName="n" parameterName="p2"/>', ""),
    [_cumulative_hazards(0.0, 0.3, 0.8, None)],
    x=RECORDS["x"],
    z=_TIMES,
)
_STRATA = (
    '<BaseCumHazardTables><BaselineStratum value="1" maxTime="9">'
    '<BaselineCell time="1" cumHazard="0.2"/></BaselineStratum>'
    '<BaselineStratum value="2" maxTime="5"><BaselineCell time="1" cumHazard="0.4"/></BaselineStratum>'
)
declare_general(
    "CoxRegression of strata",
    general_regression(
        "CoxRegression",
        param_matrix((0, 0.5)) + _STRATA + "</BaseCumHazardTables>",
        'endTimeVariable="z" baselineStrataVariable="n"',
        names="xzn",
    )
    .replace('<Parameter name="p1" label="p1"/>', _CENTRED)
    .replace('<PPCell value="2" predictorName="n" parameterName="p2"/>', ""),
    [_cumulative_hazards(0.0, 0.4, 0.2, None)],
    x=RECORDS["x"],
    z=[0.5, 4, 8, 8],
    n=[1, 2, 1, 2],
)
