"""TimeSeriesModel: forecasts as a table over the steps ahead, which a series ends with and no record changes.

The conventions the schema leaves open are those of the Zementis server, whose makers wrote this part of PMML
4.4 and whose answers their R package `pmml` compares with `forecast`: coefficients of moving averages are
added, an ARIMA's constant is the mean of the differenced series, residuals are listed oldest first, and a
state vector is that of the first step ahead.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from bridge.errors import UnreadableFile, UnsupportedModel
from bridge.ops import OpTable
from bridge.report import Blocker
from bridge_pmml.fields import Scope
from bridge_pmml.reader import (
    Element,
    child,
    children,
    describe,
    need_child,
    number,
    numbers,
    optional,
    read_matrix,
    text,
)
from bridge_pmml.results import Result, target_name
from bridge_pmml.values import INT64, Val

ops = OpTable()
STEPS = 10_000
LARGEST = 500
LONGEST = 20_000
BOUNDS = {"confidenceIntervalLower": -1.0, "confidenceIntervalUpper": 1.0}


@dataclass(frozen=True)
class Forecast:
    """Expected value of each step ahead, [STEPS], and its variance where the document has one."""

    mean: np.ndarray
    variance: np.ndarray | None = None
    why: str = "of a model that tells no variance"


def refuse_element(node: Element, why: str) -> UnsupportedModel:
    return UnsupportedModel("A model cannot be read:", [Blocker(node.tag, describe(node), "", why)])


def horizon_field(node: Element) -> Element:
    """The mining field that counts the steps ahead: the one field beside the target. Raises
    UnsupportedModel."""
    fields = children(need_child(node, "MiningSchema"), "MiningField")
    horizons = [f for f in fields if f.get("usageType", "active") in ("active", "supplementary")]
    if any(f.get("usageType") in ("order", "group") for f in fields):
        raise refuse_element(
            node, "is asked by a field of time, of which it is not said how many steps ahead it is"
        )
    if len(horizons) != 1 or not target_name(node):
        raise refuse_element(node, "names no single field, beside its target, for the steps ahead")
    return horizons[0]


@ops.op("TimeSeriesModel")
def time_series(scope: Scope, node: Element) -> Result:
    item, best = horizon_field(node), text(node, "bestFit")
    if best not in FORECASTS:
        raise refuse_element(node, f"is fitted best by {best}, for which PMML 4.4 defines no numbers")
    with np.errstate(all="ignore"):
        forecast = FORECASTS[best](node, need_child(node, best))
    steps = scope.treat(item, scope.get(text(item, "name")))
    if steps.text:
        raise UnreadableFile(f"{describe(item)} counts steps and is no number.")
    result = Result("regression", forecast_at(scope, steps, forecast.mean))

    def interval_bound(output: Element) -> Val | None:
        """A bound of the interval that holds `value` percent."""
        side = BOUNDS.get(output.get("feature", ""))
        if side is None:
            return None
        if forecast.variance is None:
            raise refuse_element(output, f"asks for an interval {forecast.why}")
        quantile = statistics.NormalDist().inv_cdf(0.5 + level(output) / 200)
        return forecast_at(scope, steps, forecast.mean + side * quantile * np.sqrt(forecast.variance))

    result.outputs = interval_bound
    return result


def level(output: Element) -> float:
    """The percentage an interval holds. Raises UnreadableFile."""
    percentage = number(output, "value")
    if not 0 < percentage < 100:
        raise UnreadableFile(f"{describe(output)}: {percentage} is no percentage.")
    return percentage


def forecast_at(scope: Scope, steps: Val, table: np.ndarray) -> Val:
    """The entry of a whole number of steps from 1 on; missing for any other."""
    columns, op = scope.columns, scope.columns.op
    x = steps.tensor
    inside = op.And(
        op.GreaterOrEqual(x, columns.scalar(1.0)), op.LessOrEqual(x, columns.scalar(float(STEPS)))
    )
    good = op.And(inside, op.Equal(x, op.Floor(x)))
    index = op.Cast(op.Where(good, op.Sub(x, columns.scalar(1.0)), columns.scalar(0.0)), to=INT64)
    return columns.blank(columns.by_row(index, table.tolist()), good)


def history(node: Element) -> np.ndarray:
    """The values of the original series of the target, oldest first, which must follow one another evenly."""
    target = target_name(node)
    series = [
        s
        for s in children(node, "TimeSeries")
        if s.get("usage", "original") == "original" and s.get("field", target) == target
    ]
    if len(series) != 1:
        raise refuse_element(node, f"holds {len(series)} original time series of {target}")
    values = children(series[0], "TimeValue")
    times = [optional(v, "index") if v.get("index") else optional(v, "time") for v in values]
    if any(t is not None for t in times):
        gaps = np.diff(np.array([np.nan if t is None else t for t in times]))
        if len(gaps) and not (gaps[0] > 0 and np.all(gaps == gaps[0])):
            raise refuse_element(series[0], "has values at times that do not follow one another evenly")
    return np.array([number(v, "value") for v in values])


def check_untransformed(node: Element) -> None:
    """Raises UnsupportedModel for a series that was transformed before it was fitted."""
    how = node.get("transformation", "none")
    if how != "none":
        raise refuse_element(
            node, f"forecasts a {how} series, and PMML leaves open with what correction it is turned back"
        )


def exponential_smoothing(node: Element, element: Element) -> Forecast:
    """ExponentialSmoothing: level, trend and season carried on, in Gardner's forms."""
    check_untransformed(element)
    h = np.arange(1.0, STEPS + 1)
    mean = np.full(STEPS, number(need_child(element, "Level"), "smoothedValue"))
    trend = child(element, "Trend_ExpoSmooth")
    if trend is not None:
        trend_type, phi = trend.get("trend", "additive"), number(trend, "phi", 1.0)
        steps = np.cumsum(phi**h) if trend_type.startswith("damped_") else h
        if trend_type.endswith("polynomial_exponential"):
            raise refuse_element(trend, f"is {trend_type}, whose coefficients the schema does not describe")
        slope = number(trend, "smoothedValue")
        mean = mean * slope**steps if trend_type.endswith("multiplicative") else mean + slope * steps
    season = child(element, "Seasonality_ExpoSmooth")
    if season is not None:
        factors = np.resize(factors_ahead(node, season), STEPS)
        mean = mean * factors if text(season, "type") == "multiplicative" else mean + factors
    return Forecast(mean)


def factors_ahead(node: Element, season: Element) -> np.ndarray:
    """Seasonal factors from the first step ahead on. Where the series holds whole seasons these are the
    factors as listed, counted from its start or from its end alike."""
    period, factors = int(number(season, "period")), numbers(season)
    if period < 1 or len(factors) != period:
        raise UnreadableFile(f"{describe(season)}: {len(factors)} factors for a period of {period}.")
    if season.get("phase") is not None:
        raise refuse_element(season, "has a phase, and PMML does not say of which time")
    if len(history(node)) % period:
        raise refuse_element(season, "names no phase, and its series does not hold whole seasons")
    return factors


def lag_polynomial(coefficients: np.ndarray, sign: float, period: int = 1) -> np.ndarray:
    """1 + sign · Σ cᵢ Bⁱ of the lags 1, 2, … times `period`."""
    coefficients_by_lag = np.zeros(len(coefficients) * period + 1)
    coefficients_by_lag[0] = 1.0
    coefficients_by_lag[period::period] = sign * coefficients
    return coefficients_by_lag


def read_coefficients(node: Element | None, name: str, count: int) -> np.ndarray:
    """Coefficients of AR, or of the MACoefficients of MA, `count` of them."""
    element = child(node, name) if node is not None else None
    if name == "MA" and element is not None:
        element = child(element, "MACoefficients")
    coefficients = np.zeros(0) if element is None else numbers(element)
    if node is not None and len(coefficients) != count:
        raise UnreadableFile(
            f"{describe(node)}: {len(coefficients)} coefficients of {name}, where {count} are said."
        )
    return coefficients


def lag_count(node: Element | None, name: str) -> int:
    count = 0 if node is None else int(number(node, name, 0.0))
    if not 0 <= count <= LARGEST and node is not None:
        raise UnreadableFile(f"{describe(node)}: {name}={count} is out of range.")
    return count


def arima(node: Element, element: Element) -> Forecast:
    """ARIMA by conditional least squares: φ(B) Φ(Bˢ) ((1-B)ᵈ (1-Bˢ)ᴰ y - constant) = θ(B) Θ(Bˢ) e, errors to
    come zero."""
    check_untransformed(element)
    if element.get("predictionMethod", "conditionalLeastSquares") != "conditionalLeastSquares":
        raise refuse_element(
            element, "predicts by exact least squares, from a state PMML describes for Kalman filters alone"
        )
    for more in ("DynamicRegressor", "OutlierEffect"):
        if child(element, more) is not None:
            raise refuse_element(element, f"has a {more}, whose future no field of a record tells")
    nonseasonal, season = child(element, "NonseasonalComponent"), child(element, "SeasonalComponent")
    seasonal = sum(lag_count(season, name) for name in "PDQ")
    season = season if seasonal else None
    period = 1 if season is None else int(number(season, "period"))
    if period < 1 or period * seasonal > LONGEST:
        raise UnreadableFile(f"{describe(element)}: a period of {period} is out of range.")
    ma = lag_polynomial(read_coefficients(nonseasonal, "MA", lag_count(nonseasonal, "q")), 1.0)
    ma = np.convolve(ma, lag_polynomial(read_coefficients(season, "MA", lag_count(season, "Q")), 1.0, period))
    ar = lag_polynomial(read_coefficients(nonseasonal, "AR", lag_count(nonseasonal, "p")), -1.0)
    ar = np.convolve(
        ar, lag_polynomial(read_coefficients(season, "AR", lag_count(season, "P")), -1.0, period)
    )
    constant = number(element, "constantTerm", 0.0) * ar.sum()
    for count, step in ((lag_count(nonseasonal, "d"), 1), (lag_count(season, "D"), period)):
        for _ in range(count):
            ar = np.convolve(ar, lag_polynomial(np.ones(1), -1.0, step))
    errors = residuals(element, len(ma) - 1)
    mean = recursion(node, ar, ma, constant, errors)
    rmse = optional(element, "RMSE")
    if season is not None or rmse is None:
        return Forecast(mean, why="of a seasonal ARIMA" if season is not None else "and tells no RMSE")
    weights = np.zeros(STEPS)
    weights[: len(ma)] = ma
    return Forecast(mean, rmse**2 * np.cumsum(recursive_filter(ar, weights) ** 2))


def residuals(element: Element, count: int) -> np.ndarray:
    """The last so many errors, oldest first; the longest list of the document holds them. Raises
    UnreadableFile."""
    lists = [numbers(r) for r in element.iter("Residuals")]
    longest = max(lists, key=len, default=np.zeros(0))
    if len(longest) < count:
        raise UnreadableFile(
            f"{describe(element)}: {len(longest)} residuals, where the last {count} are needed."
        )
    return longest[len(longest) - count :]


def recursion(
    node: Element, ar: np.ndarray, ma: np.ndarray, constant: float, errors: np.ndarray
) -> np.ndarray:
    """Forecasts by own(B) y = constant + moving(B) e after the history, errors to come zero."""
    lags = len(ar) - 1
    past = history(node)[-lags:] if lags else np.zeros(0)
    if len(past) < lags:
        raise UnreadableFile(f"{describe(node)}: {len(past)} values, where the last {lags} are needed.")
    driven = np.full(STEPS, constant)
    for step in range(len(ma) - 1):
        left = ma[step + 1 :]
        driven[step] += left @ errors[::-1][: len(left)]
    return recursive_filter(ar, driven, past)


def recursive_filter(ar: np.ndarray, driven: np.ndarray, past: np.ndarray | None = None) -> np.ndarray:
    """y with own(B) y = driven, after the values `past`."""
    lags = len(ar) - 1
    y = np.concatenate([np.zeros(lags) if past is None else past, driven])
    back = ar[:0:-1]
    for step in range(lags, len(y)) if lags else ():
        y[step] -= back @ y[step - lags : step]
    return y[lags:]


def garch(node: Element, element: Element) -> Forecast:
    """GARCH: the mean its ARMAPart expects; y = constant + Σ φ y + Σ θ e + e."""
    part = need_child(element, "ARMAPart")
    p, q, constant = lag_count(part, "p"), lag_count(part, "q"), number(part, "constant", 0.0)
    if constant and p:
        raise refuse_element(part, "has a constant beside its own past, which may be a mean or an intercept")
    ma = lag_polynomial(read_coefficients(part, "MA", q), 1.0)
    mean = recursion(
        node, lag_polynomial(read_coefficients(part, "AR", p), -1.0), ma, constant, residuals(part, q)
    )
    return Forecast(mean, why="of a GARCH model, whose variances PMML 4.4 names and does not order")


def state_space(node: Element, element: Element) -> Forecast:
    """StateSpaceModel: G s + intercept at the first step, s ← F s (+ intercept of the state) from there
    on."""
    if child(element, "DynamicRegressor") is not None or child(element, "PsiVector") is not None:
        raise refuse_element(element, "has regressors, whose future no field of a record tells")
    transition, measurement = (
        read_matrix(need_child(need_child(element, n), "Matrix"))
        for n in ("TransitionMatrix", "MeasurementMatrix")
    )
    state = numbers(need_child(element, "StateVector"))
    if len(measurement) != 1:
        raise refuse_element(element, "measures several series, in an order PMML does not tell")
    if (
        transition.shape != (len(state), len(state))
        or measurement.shape[1] != len(state)
        or len(state) > LARGEST
    ):
        raise UnreadableFile(f"{describe(element)}: its matrices do not fit its state.")
    drift, constant = intercepts(element, len(state))
    mean = (
        np.array([(measurement @ s)[0] for s in islice(state_sequence(transition, state, drift), STEPS)])
        + constant
    )
    covariance_elements = [
        child(element, f"{n}Matrix") for n in ("PredictedStateCovariance", "SelectedStateCovariance")
    ]
    scale = optional(element, "variance")
    if scale is None or None in covariance_elements:
        return Forecast(mean, why="of states without a variance and covariances")
    covariance, noise = (read_matrix(need_child(g, "Matrix")) for g in covariance_elements)
    if covariance.shape != transition.shape or noise.shape != transition.shape:
        raise UnreadableFile(f"{describe(element)}: its covariances do not fit its state.")
    seen = child(element, "ObservationVarianceMatrix")
    extra = 0.0 if seen is None else read_matrix(need_child(seen, "Matrix"))[0, 0]
    return Forecast(mean, scale * (extra + forecast_variances(transition, measurement[0], covariance, noise)))


def intercepts(element: Element, size: int) -> tuple[np.ndarray, float]:
    """Vector added to the state at each step, and constant added to each measurement."""
    vector, single = child(element, "InterceptVector"), number(element, "intercept", 0.0)
    drift = np.zeros(size)
    if vector is None:
        return drift, single
    added = numbers(vector)
    if len(added) != (1 if vector.get("type", "state") == "observation" else size):
        raise UnreadableFile(f"{describe(vector)}: {len(added)} intercepts do not fit.")
    if vector.get("type", "state") == "observation":
        return drift, float(added[0])
    return added, single


def state_sequence(transition: np.ndarray, state: np.ndarray, drift: np.ndarray) -> Any:
    """The state at each step ahead."""
    while True:
        yield state
        state = transition @ state + drift


def forecast_variances(
    transition: np.ndarray, measurement: np.ndarray, covariance: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """G P G' at each step ahead, P ← F P F' + V before each: the start's own part, and the noise of all steps
    since."""
    root = np.linalg.eigh((covariance + covariance.T) / 2)
    seen, variances, total = measurement, np.zeros(STEPS), 0.0
    for step in range(STEPS):
        total += seen @ noise @ seen
        seen = seen @ transition
        variances[step] = total + float(np.sum(root[0] * (seen @ root[1]) ** 2))
    return variances


FORECASTS: dict[str, Callable[[Element, Element], Forecast]] = {
    "ExponentialSmoothing": exponential_smoothing,
    "ARIMA": arima,
    "StateSpaceModel": state_space,
    "GARCH": garch,
}
