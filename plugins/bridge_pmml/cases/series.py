"""Time series: forecasts by the textbook's recursions, written out step by step."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from bridge_pmml.cases.common import case

FIELDS = """
<DataField name="y" optype="continuous" dataType="double"/>
<DataField name="h" optype="continuous" dataType="integer"/>
"""
SCHEMA = (
    '<MiningSchema><MiningField name="y" usageType="target"/>'
    '<MiningField name="h" usageType="supplementary"/></MiningSchema>'
)
AHEAD = [1, 2, 3, 5, 12, 40, 0, -2, 2.5, None, 10_001]
GOOD = 6
PAST = [112.0, 118, 132, 129, 121, 135, 148, 148, 136, 119, 104, 118]


def model(best: str, inside: str, past: Sequence[float] = PAST, output: str = "") -> str:
    values = "".join(f'<TimeValue index="{i}" value="{v}"/>' for i, v in enumerate(past))
    series = f'<TimeSeries usage="original" startTime="0" endTime="{len(past) - 1}">{values}</TimeSeries>'
    return (
        f'<TimeSeriesModel functionName="timeSeries" bestFit="{best}">{SCHEMA}{output}'
        f"{series if past else ''}{inside}</TimeSeriesModel>"
    )


def declare(name: str, text: str, *found: Sequence[float]) -> None:
    """A case of what is forecast at each step from the first on; steps that are none have no answer."""
    want = [[f[int(h) - 1] for h in AHEAD[:GOOD]] + [None] * (len(AHEAD) - GOOD) for f in found]
    case(name, "TimeSeriesModel", text, want, fields=FIELDS, h=AHEAD)


def array(*values: float) -> str:
    return f'<Array type="real" n="{len(values)}">{" ".join(map(str, values))}</Array>'


def smoothing(trend: str = "", season: str = "") -> str:
    return (
        '<ExponentialSmoothing><Level alpha="0.2" smoothedValue="120.5"/>'
        f"{trend}{season}</ExponentialSmoothing>"
    )


H = range(1, 41)
DAMPED = [sum(0.9**i for i in range(1, h + 1)) for h in H]
TRENDS = {
    "additive": (2.5, [120.5 + 2.5 * h for h in H]),
    "damped_additive": (2.5, [120.5 + 2.5 * d for d in DAMPED]),
    "multiplicative": (1.02, [120.5 * 1.02**h for h in H]),
    "damped_multiplicative": (1.02, [120.5 * 1.02**d for d in DAMPED]),
}
declare("TimeSeriesModel level", model("ExponentialSmoothing", smoothing(), []), [120.5] * 40)
for _kind, (_slope, _found) in TRENDS.items():
    _phi = ' phi="0.9"' if _kind.startswith("damped") else ""
    _trend = f'<Trend_ExpoSmooth trend="{_kind}" gamma="0.1"{_phi} smoothedValue="{_slope}"/>'
    declare(f"TimeSeriesModel trend {_kind}", model("ExponentialSmoothing", smoothing(_trend), []), _found)
    for _type, _factors in (("additive", [3.0, -1.5, 0.25, -2]), ("multiplicative", [1.1, 0.9, 1.05, 0.95])):
        _season = (
            f'<Seasonality_ExpoSmooth type="{_type}" period="4">{array(*_factors)}</Seasonality_ExpoSmooth>'
        )
        _pairs = [(f, _factors[i % 4]) for i, f in enumerate(_found)]
        declare(
            f"TimeSeriesModel trend {_kind} season {_type}",
            model("ExponentialSmoothing", smoothing(_trend, _season)),
            [f + s if _type == "additive" else f * s for f, s in _pairs],
        )


def part(
    tag: str, own: Sequence[float], moving: Sequence[float], errors: Sequence[float], **more: Any
) -> str:
    said = "".join(f' {key}="{value}"' for key, value in more.items())
    ar = f"<AR>{array(*own)}</AR>" if own else ""
    ma = f"<MACoefficients>{array(*moving)}</MACoefficients><Residuals>{array(*errors)}</Residuals>"
    return f"<{tag}{said}>{ar}{f'<MA>{ma}</MA>' if moving else ''}</{tag}>"


def forecasts(
    own: dict[int, float], moving: dict[int, float], errors: Sequence[float], constant: float = 0.0
) -> list[float]:
    """y = constant + Σ own[lag] y + Σ moving[lag] e, one step after the other."""
    y, e = list(PAST), [*errors]
    for _ in H:
        total = constant + sum(c * y[-lag] for lag, c in own.items())
        total += sum(c * e[-lag] for lag, c in moving.items() if lag <= len(e))
        y.append(total)
        e.append(0.0)
    return y[len(PAST) :]


def arima(*parts: str, **more: Any) -> str:
    said = "".join(f' {key}="{value}"' for key, value in more.items())
    return f"<ARIMA{said}>{''.join(parts)}</ARIMA>"


E = [0.8, -1.3, 2.1]
declare(
    "TimeSeriesModel ARIMA 2 0 2 around a mean",
    model(
        "ARIMA",
        arima(
            part("NonseasonalComponent", [0.6, 0.2], [0.5, -0.3], E[1:], p=2, d=0, q=2), constantTerm="120"
        ),
    ),
    forecasts({1: 0.6, 2: 0.2}, {1: 0.5, 2: -0.3}, E[1:], 120 * (1 - 0.6 - 0.2)),
)
declare(
    "TimeSeriesModel ARIMA 1 1 1",
    model("ARIMA", arima(part("NonseasonalComponent", [0.6], [0.5], E[2:], p=1, d=1, q=1))),
    forecasts({1: 1.6, 2: -0.6}, {1: 0.5}, E[2:]),
)
declare(
    "TimeSeriesModel ARIMA 1 2 0",
    model("ARIMA", arima(part("NonseasonalComponent", [0.4], [], [], p=1, d=2, q=0))),
    forecasts({1: 2.4, 2: -1.8, 3: 0.4}, {}, []),
)
declare(
    "TimeSeriesModel ARIMA of nothing",
    model("ARIMA", arima(part("NonseasonalComponent", [], [], []), constantTerm="7.5"), []),
    [7.5] * 40,
)
_ERRORS = [0.1, -0.4, 0.7, 0.2, -0.9]
declare(
    "TimeSeriesModel ARIMA 0 1 1 seasonal 0 1 1",
    model(
        "ARIMA",
        arima(
            part("NonseasonalComponent", [], [0.5], _ERRORS[4:], p=0, d=1, q=1),
            part("SeasonalComponent", [], [-0.3], _ERRORS, P=0, D=1, Q=1, period=4),
        ),
    ),
    forecasts({1: 1, 4: 1, 5: -1}, {1: 0.5, 4: -0.3, 5: -0.15}, _ERRORS),
)
declare(
    "TimeSeriesModel ARIMA 1 0 0 seasonal 1 0 0",
    model(
        "ARIMA",
        arima(
            part("NonseasonalComponent", [0.5], [], [], p=1, d=0, q=0),
            part("SeasonalComponent", [0.3], [], [], P=1, D=0, Q=0, period=4),
            constantTerm="100",
        ),
    ),
    forecasts({1: 0.5, 4: 0.3, 5: -0.15}, {}, [], 100 * 0.5 * 0.7),
)
declare(
    "TimeSeriesModel GARCH",
    model(
        "GARCH",
        f"<GARCH>{part('ARMAPart', [0.6, 0.2], [0.5], E[2:], p=2, q=1)}"
        '<GARCHPart constant="1" gp="0" gq="0"><ResidualSquareCoefficients/>'
        "<VarianceCoefficients/></GARCHPart></GARCH>",
    ),
    forecasts({1: 0.6, 2: 0.2}, {1: 0.5}, E[2:]),
)


def bounds(percent: int) -> str:
    """A prediction and the interval that holds so many percent."""
    return (
        "<Output>"
        + '<OutputField name="mean" feature="predictedValue" optype="continuous" dataType="double"/>'
        + "".join(
            f'<OutputField name="{side}" feature="confidenceInterval{side}" value="{percent}" '
            'optype="continuous" dataType="double"/>'
            for side in ("Lower", "Upper")
        )
        + "</Output>"
    )


def within(mean: Sequence[float], variances: Sequence[float], percent: int) -> list[list[float]]:
    wide = statistics.NormalDist().inv_cdf(0.5 + percent / 200)
    return [
        list(mean),
        *([m + s * wide * v**0.5 for m, v in zip(mean, variances, strict=True)] for s in (-1, 1)),
    ]


_MEAN = forecasts({1: 1.6, 2: -0.6}, {1: 0.5}, E[2:])
_PSI = [1.0]
for _ in H:
    _PSI.append(
        (0.5 if len(_PSI) == 1 else 0.0) + 1.6 * _PSI[-1] - (0.6 * _PSI[-2] if len(_PSI) > 1 else 0.0)
    )
_VARIANCES = [2.5**2 * sum(p * p for p in _PSI[:h]) for h in H]
declare(
    "TimeSeriesModel ARIMA interval",
    model(
        "ARIMA",
        arima(part("NonseasonalComponent", [0.6], [0.5], E[2:], p=1, d=1, q=1), RMSE="2.5"),
        output=bounds(95),
    ),
    *within(_MEAN, _VARIANCES, 95),
)


def rows(matrix: np.ndarray) -> str:
    return (
        f'<Matrix nbRows="{len(matrix)}" nbCols="{len(matrix[0])}">'
        f"{''.join(array(*r) for r in matrix)}</Matrix>"
    )


F = np.array([[0.7, 0.2, 0.0], [0.1, 0.5, -0.3], [0.0, 0.4, 0.9]])
G = np.array([[1.0, 0.5, -1.0]])
S = np.array([10.0, 20, -5])
P = np.array([[0.5, 0.1, 0.0], [0.1, 0.4, 0.05], [0.0, 0.05, 0.2]])
V = np.array([[1.0, 0.3, 0.0], [0.3, 0.5, 0.0], [0.0, 0.0, 0.1]])


def space(inside: str = "", said: str = "") -> str:
    return (
        f"<StateSpaceModel{said}><StateVector>{array(*S)}</StateVector><TransitionMatrix>"
        f"{rows(F)}</TransitionMatrix>"
        f"<MeasurementMatrix>{rows(G)}</MeasurementMatrix>{inside}</StateSpaceModel>"
    )


def measured(drift: np.ndarray, constant: float) -> list[float]:
    found, state = [], S
    for _ in H:
        found.append(float((G @ state)[0]) + constant)
        state = F @ state + drift
    return found


declare(
    "TimeSeriesModel StateSpaceModel",
    model("StateSpaceModel", space(said=' intercept="3"'), []),
    measured(np.zeros(3), 3.0),
)
declare(
    "TimeSeriesModel StateSpaceModel state intercept",
    model(
        "StateSpaceModel", space(f'<InterceptVector type="state">{array(1, 2, 0.5)}</InterceptVector>'), []
    ),
    measured(np.array([1, 2, 0.5]), 0.0),
)
_SPREAD, _held = [], P
for _ in H:
    _held = F @ _held @ F.T + V
    _SPREAD.append(1.7 * float((G @ _held @ G.T)[0, 0] + 0.2))
declare(
    "TimeSeriesModel StateSpaceModel interval",
    model(
        "StateSpaceModel",
        space(
            f'<InterceptVector type="observation">{array(4)}</InterceptVector>'
            f"<PredictedStateCovarianceMatrix>{rows(P)}</PredictedStateCovarianceMatrix>"
            f"<SelectedStateCovarianceMatrix>{rows(V)}</SelectedStateCovarianceMatrix>"
            f"<ObservationVarianceMatrix>{rows(np.array([[0.2]]))}</ObservationVarianceMatrix>",
            ' variance="1.7"',
        ),
        [],
        bounds(80),
    ),
    *within(measured(np.zeros(3), 4.0), _SPREAD, 80),
)
