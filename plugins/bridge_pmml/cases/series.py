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
HORIZONS = [1, 2, 3, 5, 12, 40, 0, -2, 2.5, None, 10_001]
VALID_COUNT = 6
OBSERVED = [112.0, 118, 132, 129, 121, 135, 148, 148, 136, 119, 104, 118]


def time_series_model(
    best_fit: str, content: str, observed: Sequence[float] = OBSERVED, output: str = ""
) -> str:
    values = "".join(f'<TimeValue index="{i}" value="{v}"/>' for i, v in enumerate(observed))
    series = f'<TimeSeries usage="original" startTime="0" endTime="{len(observed) - 1}">{values}</TimeSeries>'
    return (
        f'<TimeSeriesModel functionName="timeSeries" bestFit="{best_fit}">{SCHEMA}{output}'
        f"{series if observed else ''}{content}</TimeSeriesModel>"
    )


def declare(name: str, text: str, *forecasts_of_steps: Sequence[float]) -> None:
    """A case of what is forecast at each step from the first on; steps that are none have no answer."""
    expected = [
        [f[int(h) - 1] for h in HORIZONS[:VALID_COUNT]] + [None] * (len(HORIZONS) - VALID_COUNT)
        for f in forecasts_of_steps
    ]
    case(name, "TimeSeriesModel", text, expected, fields=FIELDS, h=HORIZONS)


def array_element(*values: float) -> str:
    return f'<Array type="real" n="{len(values)}">{" ".join(map(str, values))}</Array>'


def smoothing(trend: str = "", season: str = "") -> str:
    return (
        '<ExponentialSmoothing><Level alpha="0.2" smoothedValue="120.5"/>'
        f"{trend}{season}</ExponentialSmoothing>"
    )


STEPS = range(1, 41)
DAMPED = [sum(0.9**i for i in range(1, h + 1)) for h in STEPS]
TRENDS = {
    "additive": (2.5, [120.5 + 2.5 * h for h in STEPS]),
    "damped_additive": (2.5, [120.5 + 2.5 * d for d in DAMPED]),
    "multiplicative": (1.02, [120.5 * 1.02**h for h in STEPS]),
    "damped_multiplicative": (1.02, [120.5 * 1.02**d for d in DAMPED]),
}
declare("TimeSeriesModel level", time_series_model("ExponentialSmoothing", smoothing(), []), [120.5] * 40)
for _kind, (_slope, _found) in TRENDS.items():
    _phi = ' phi="0.9"' if _kind.startswith("damped") else ""
    _trend = f'<Trend_ExpoSmooth trend="{_kind}" gamma="0.1"{_phi} smoothedValue="{_slope}"/>'
    declare(
        f"TimeSeriesModel trend {_kind}",
        time_series_model("ExponentialSmoothing", smoothing(_trend), []),
        _found,
    )
    for _type, _factors in (("additive", [3.0, -1.5, 0.25, -2]), ("multiplicative", [1.1, 0.9, 1.05, 0.95])):
        _season = (
            f'<Seasonality_ExpoSmooth type="{_type}" period="4">{array_element(*_factors)}'
            "</Seasonality_ExpoSmooth>"
        )
        _pairs = [(f, _factors[i % 4]) for i, f in enumerate(_found)]
        declare(
            f"TimeSeriesModel trend {_kind} season {_type}",
            time_series_model("ExponentialSmoothing", smoothing(_trend, _season)),
            [f + s if _type == "additive" else f * s for f, s in _pairs],
        )


def component(
    tag: str,
    ar_coefficients: Sequence[float],
    ma_coefficients: Sequence[float],
    residuals: Sequence[float],
    **attributes: Any,
) -> str:
    attribute_text = "".join(f' {key}="{value}"' for key, value in attributes.items())
    ar = f"<AR>{array_element(*ar_coefficients)}</AR>" if ar_coefficients else ""
    ma = (
        f"<MACoefficients>{array_element(*ma_coefficients)}</MACoefficients>"
        f"<Residuals>{array_element(*residuals)}</Residuals>"
    )
    return f"<{tag}{attribute_text}>{ar}{f'<MA>{ma}</MA>' if ma_coefficients else ''}</{tag}>"


def forecasts(
    ar_coefficients: dict[int, float],
    ma_coefficients: dict[int, float],
    residuals: Sequence[float],
    constant: float = 0.0,
) -> list[float]:
    """y = constant + Σ own[lag] y + Σ moving[lag] e, one step after the other."""
    y, e = list(OBSERVED), [*residuals]
    for _ in STEPS:
        total = constant + sum(c * y[-lag] for lag, c in ar_coefficients.items())
        total += sum(c * e[-lag] for lag, c in ma_coefficients.items() if lag <= len(e))
        y.append(total)
        e.append(0.0)
    return y[len(OBSERVED) :]


def arima(*parts: str, **attributes: Any) -> str:
    attribute_text = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return f"<ARIMA{attribute_text}>{''.join(parts)}</ARIMA>"


RESIDUALS = [0.8, -1.3, 2.1]
declare(
    "TimeSeriesModel ARIMA 2 0 2 around a mean",
    time_series_model(
        "ARIMA",
        arima(
            component("NonseasonalComponent", [0.6, 0.2], [0.5, -0.3], RESIDUALS[1:], p=2, d=0, q=2),
            constantTerm="120",
        ),
    ),
    forecasts({1: 0.6, 2: 0.2}, {1: 0.5, 2: -0.3}, RESIDUALS[1:], 120 * (1 - 0.6 - 0.2)),
)
declare(
    "TimeSeriesModel ARIMA 1 1 1",
    time_series_model(
        "ARIMA", arima(component("NonseasonalComponent", [0.6], [0.5], RESIDUALS[2:], p=1, d=1, q=1))
    ),
    forecasts({1: 1.6, 2: -0.6}, {1: 0.5}, RESIDUALS[2:]),
)
declare(
    "TimeSeriesModel ARIMA 1 2 0",
    time_series_model("ARIMA", arima(component("NonseasonalComponent", [0.4], [], [], p=1, d=2, q=0))),
    forecasts({1: 2.4, 2: -1.8, 3: 0.4}, {}, []),
)
declare(
    "TimeSeriesModel ARIMA of nothing",
    time_series_model("ARIMA", arima(component("NonseasonalComponent", [], [], []), constantTerm="7.5"), []),
    [7.5] * 40,
)
_RESIDUALS = [0.1, -0.4, 0.7, 0.2, -0.9]
declare(
    "TimeSeriesModel ARIMA 0 1 1 seasonal 0 1 1",
    time_series_model(
        "ARIMA",
        arima(
            component("NonseasonalComponent", [], [0.5], _RESIDUALS[4:], p=0, d=1, q=1),
            component("SeasonalComponent", [], [-0.3], _RESIDUALS, P=0, D=1, Q=1, period=4),
        ),
    ),
    forecasts({1: 1, 4: 1, 5: -1}, {1: 0.5, 4: -0.3, 5: -0.15}, _RESIDUALS),
)
declare(
    "TimeSeriesModel ARIMA 1 0 0 seasonal 1 0 0",
    time_series_model(
        "ARIMA",
        arima(
            component("NonseasonalComponent", [0.5], [], [], p=1, d=0, q=0),
            component("SeasonalComponent", [0.3], [], [], P=1, D=0, Q=0, period=4),
            constantTerm="100",
        ),
    ),
    forecasts({1: 0.5, 4: 0.3, 5: -0.15}, {}, [], 100 * 0.5 * 0.7),
)
declare(
    "TimeSeriesModel GARCH",
    time_series_model(
        "GARCH",
        f"<GARCH>{component('ARMAPart', [0.6, 0.2], [0.5], RESIDUALS[2:], p=2, q=1)}"
        '<GARCHPart constant="1" gp="0" gq="0"><ResidualSquareCoefficients/>'
        "<VarianceCoefficients/></GARCHPart></GARCH>",
    ),
    forecasts({1: 0.6, 2: 0.2}, {1: 0.5}, RESIDUALS[2:]),
)


def interval_outputs(percent: int) -> str:
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


def interval_bounds(mean: Sequence[float], variances: Sequence[float], percent: int) -> list[list[float]]:
    quantile = statistics.NormalDist().inv_cdf(0.5 + percent / 200)
    return [
        list(mean),
        *([m + s * quantile * v**0.5 for m, v in zip(mean, variances, strict=True)] for s in (-1, 1)),
    ]


_MEAN = forecasts({1: 1.6, 2: -0.6}, {1: 0.5}, RESIDUALS[2:])
_PSI = [1.0]
for _ in STEPS:
    _PSI.append(
        (0.5 if len(_PSI) == 1 else 0.0) + 1.6 * _PSI[-1] - (0.6 * _PSI[-2] if len(_PSI) > 1 else 0.0)
    )
_VARIANCES = [2.5**2 * sum(p * p for p in _PSI[:h]) for h in STEPS]
declare(
    "TimeSeriesModel ARIMA interval",
    time_series_model(
        "ARIMA",
        arima(component("NonseasonalComponent", [0.6], [0.5], RESIDUALS[2:], p=1, d=1, q=1), RMSE="2.5"),
        output=interval_outputs(95),
    ),
    *interval_bounds(_MEAN, _VARIANCES, 95),
)


def matrix_element(matrix: np.ndarray) -> str:
    return (
        f'<Matrix nbRows="{len(matrix)}" nbCols="{len(matrix[0])}">'
        f"{''.join(array_element(*r) for r in matrix)}</Matrix>"
    )


F = np.array([[0.7, 0.2, 0.0], [0.1, 0.5, -0.3], [0.0, 0.4, 0.9]])
G = np.array([[1.0, 0.5, -1.0]])
S = np.array([10.0, 20, -5])
P = np.array([[0.5, 0.1, 0.0], [0.1, 0.4, 0.05], [0.0, 0.05, 0.2]])
V = np.array([[1.0, 0.3, 0.0], [0.3, 0.5, 0.0], [0.0, 0.0, 0.1]])


def state_space(content: str = "", attribute_text: str = "") -> str:
    return (
        f"<StateSpaceModel{attribute_text}><StateVector>{array_element(*S)}</StateVector><TransitionMatrix>"
        f"{matrix_element(F)}</TransitionMatrix>"
        f"<MeasurementMatrix>{matrix_element(G)}</MeasurementMatrix>{content}</StateSpaceModel>"
    )


def measurements(drift: np.ndarray, constant: float) -> list[float]:
    forecasts_of_steps, state = [], S
    for _ in STEPS:
        forecasts_of_steps.append(float((G @ state)[0]) + constant)
        state = F @ state + drift
    return forecasts_of_steps


declare(
    "TimeSeriesModel StateSpaceModel",
    time_series_model("StateSpaceModel", state_space(attribute_text=' intercept="3"'), []),
    measurements(np.zeros(3), 3.0),
)
declare(
    "TimeSeriesModel StateSpaceModel state intercept",
    time_series_model(
        "StateSpaceModel",
        state_space(f'<InterceptVector type="state">{array_element(1, 2, 0.5)}</InterceptVector>'),
        [],
    ),
    measurements(np.array([1, 2, 0.5]), 0.0),
)
_OBSERVATION_VARIANCES, _covariance = [], P
for _ in STEPS:
    _covariance = F @ _covariance @ F.T + V
    _OBSERVATION_VARIANCES.append(1.7 * float((G @ _covariance @ G.T)[0, 0] + 0.2))
declare(
    "TimeSeriesModel StateSpaceModel interval",
    time_series_model(
        "StateSpaceModel",
        state_space(
            f'<InterceptVector type="observation">{array_element(4)}</InterceptVector>'
            f"<PredictedStateCovarianceMatrix>{matrix_element(P)}</PredictedStateCovarianceMatrix>"
            f"<SelectedStateCovarianceMatrix>{matrix_element(V)}</SelectedStateCovarianceMatrix>"
            f"<ObservationVarianceMatrix>{matrix_element(np.array([[0.2]]))}</ObservationVarianceMatrix>",
            ' variance="1.7"',
        ),
        [],
        interval_outputs(80),
    ),
    *interval_bounds(measurements(np.zeros(3), 4.0), _OBSERVATION_VARIANCES, 80),
)
