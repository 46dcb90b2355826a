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
    """What is expected at each step ahead, [STEPS], and its variance where the document tells it."""

    mean: np.ndarray
    variance: np.ndarray | None = None
    why: str = "of a model that tells no variance"


def refuse_element(node: Element, why: str) -> UnsupportedModel:
    return UnsupportedModel("A model cannot be read:", [Blocker(node.tag, describe(node), "", why)])


def horizon_field(node: Element) -> Element:
    """The mining field that counts the steps ahead: the one field beside the target. Raises
    UnsupportedModel."""
    fields = children(need_child(node, "MiningSchema"), "MiningField")
    found = [f for f in fields if f.get("usageType", "active") in ("active", "supplementary")]
    if any(f.get("usageType") in ("order", "group") for f in fields):
        raise refuse_element(
            node, "is asked by a field of time, of which it is not said how many steps ahead it is"
        )
    if len(found) != 1 or not target_name(node):
        raise refuse_element(node, "names no single field, beside its target, for the steps ahead")
    return found[0]


@ops.op("TimeSeriesModel")
def time_series(scope: Scope, node: Element) -> Result:
    item, best = horizon_field(node), text(node, "bestFit")
    if best not in FORECASTS:
        raise refuse_element(node, f"is fitted best by {best}, for which PMML 4.4 defines no numbers")
    with np.errstate(all="ignore"):
        found = FORECASTS[best](node, need_child(node, best))
    steps = scope.treat(item, scope.get(text(item, "name")))
    if steps.text:
        raise UnreadableFile(f"{describe(item)} counts steps and is no number.")
    result = Result("regression", forecast_at(scope, steps, found.mean))

    def asked(output: Element) -> Val | None:
        """A bound of the interval that holds `value` percent."""
        side = BOUNDS.get(output.get("feature", ""))
        if side is None:
            return None
        if found.variance is None:
            raise refuse_element(output, f"asks for an interval {found.why}")
        wide = statistics.NormalDist().inv_cdf(0.5 + level(output) / 200)
        return forecast_at(scope, steps, found.mean + side * wide * np.sqrt(found.variance))

    result.outputs = asked
    return result


def level(output: Element) -> float:
    """The percentage an interval holds. Raises UnreadableFile."""
    found = number(output, "value")
    if not 0 < found < 100:
        raise UnreadableFile(f"{describe(output)}: {found} is no percentage.")
    return found


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
    found = [
        s
        for s in children(node, "TimeSeries")
        if s.get("usage", "original") == "original" and s.get("field", target) == target
    ]
    if len(found) != 1:
        raise refuse_element(node, f"holds {len(found)} original time series of {target}")
    values = children(found[0], "TimeValue")
    times = [optional(v, "index") if v.get("index") else optional(v, "time") for v in values]
    if any(t is not None for t in times):
        gaps = np.diff(np.array([np.nan if t is None else t for t in times]))
        if len(gaps) and not (gaps[0] > 0 and np.all(gaps == gaps[0])):
            raise refuse_element(found[0], "has values at times that do not follow one another evenly")
    return np.array([number(v, "value") for v in values])


def check_untransformed(node: Element) -> None:
    """Raises UnsupportedModel for a series that was transformed before it was fitted."""
    how = node.get("transformation", "none")
    if how != "none":
        raise refuse_element(
            node, f"forecasts a {how} series, and PMML leaves open with what correction it is turned back"
        )


def exponential_smoothing(node: Element, held: Element) -> Forecast:
    """ExponentialSmoothing: level, trend and season carried on, in Gardner's forms."""
    check_untransformed(held)
    h = np.arange(1.0, STEPS + 1)
    mean = np.full(STEPS, number(need_child(held, "Level"), "smoothedValue"))
    trend = child(held, "Trend_ExpoSmooth")
    if trend is not None:
        kind, phi = trend.get("trend", "additive"), number(trend, "phi", 1.0)
        steps = np.cumsum(phi**h) if kind.startswith("damped_") else h
        if kind.endswith("polynomial_exponential"):
            raise refuse_element(trend, f"is {kind}, whose coefficients the schema does not describe")
        slope = number(trend, "smoothedValue")
        mean = mean * slope**steps if kind.endswith("multiplicative") else mean + slope * steps
    season = child(held, "Seasonality_ExpoSmooth")
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
    found = np.zeros(len(coefficients) * period + 1)
    found[0] = 1.0
    found[period::period] = sign * coefficients
    return found


def read_coefficients(node: Element | None, name: str, count: int) -> np.ndarray:
    """So many coefficients of AR, or of a MA's MACoefficients."""
    held = child(node, name) if node is not None else None
    if name == "MA" and held is not None:
        held = child(held, "MACoefficients")
    found = np.zeros(0) if held is None else numbers(held)
    if node is not None and len(found) != count:
        raise UnreadableFile(
            f"{describe(node)}: {len(found)} coefficients of {name}, where {count} are said."
        )
    return found


def lag_count(node: Element | None, name: str) -> int:
    found = 0 if node is None else int(number(node, name, 0.0))
    if not 0 <= found <= LARGEST and node is not None:
        raise UnreadableFile(f"{describe(node)}: {name}={found} is out of range.")
    return found


def arima(node: Element, held: Element) -> Forecast:
    """ARIMA by conditional least squares: φ(B) Φ(Bˢ) ((1-B)ᵈ (1-Bˢ)ᴰ y - constant) = θ(B) Θ(Bˢ) e, errors to
    come zero."""
    check_untransformed(held)
    if held.get("predictionMethod", "conditionalLeastSquares") != "conditionalLeastSquares":
        raise refuse_element(
            held, "predicts by exact least squares, from a state PMML describes for Kalman filters alone"
        )
    for more in ("DynamicRegressor", "OutlierEffect"):
        if child(held, more) is not None:
            raise refuse_element(held, f"has a {more}, whose future no field of a record tells")
    flat, season = child(held, "NonseasonalComponent"), child(held, "SeasonalComponent")
    seasonal = sum(lag_count(season, name) for name in "PDQ")
    season = season if seasonal else None
    period = 1 if season is None else int(number(season, "period"))
    if period < 1 or period * seasonal > LONGEST:
        raise UnreadableFile(f"{describe(held)}: a period of {period} is out of range.")
    moving = lag_polynomial(read_coefficients(flat, "MA", lag_count(flat, "q")), 1.0)
    moving = np.convolve(
        moving, lag_polynomial(read_coefficients(season, "MA", lag_count(season, "Q")), 1.0, period)
    )
    own = lag_polynomial(read_coefficients(flat, "AR", lag_count(flat, "p")), -1.0)
    own = np.convolve(
        own, lag_polynomial(read_coefficients(season, "AR", lag_count(season, "P")), -1.0, period)
    )
    constant = number(held, "constantTerm", 0.0) * own.sum()
    for count, step in ((lag_count(flat, "d"), 1), (lag_count(season, "D"), period)):
        for _ in range(count):
            own = np.convolve(own, lag_polynomial(np.ones(1), -1.0, step))
    errors = residuals(held, len(moving) - 1)
    mean = recursion(node, own, moving, constant, errors)
    spread = optional(held, "RMSE")
    if season is not None or spread is None:
        return Forecast(mean, why="of a seasonal ARIMA" if season is not None else "and tells no RMSE")
    weights = np.zeros(STEPS)
    weights[: len(moving)] = moving
    return Forecast(mean, spread**2 * np.cumsum(recursive_filter(own, weights) ** 2))


def residuals(held: Element, count: int) -> np.ndarray:
    """The last so many errors, oldest first; the longest list of the document holds them. Raises
    UnreadableFile."""
    lists = [numbers(r) for r in held.iter("Residuals")]
    longest = max(lists, key=len, default=np.zeros(0))
    if len(longest) < count:
        raise UnreadableFile(
            f"{describe(held)}: {len(longest)} residuals, where the last {count} are needed."
        )
    return longest[len(longest) - count :]


def recursion(
    node: Element, own: np.ndarray, moving: np.ndarray, constant: float, errors: np.ndarray
) -> np.ndarray:
    """Forecasts by own(B) y = constant + moving(B) e after the history, errors to come zero."""
    lags = len(own) - 1
    past = history(node)[-lags:] if lags else np.zeros(0)
    if len(past) < lags:
        raise UnreadableFile(f"{describe(node)}: {len(past)} values, where the last {lags} are needed.")
    driven = np.full(STEPS, constant)
    for step in range(len(moving) - 1):
        left = moving[step + 1 :]
        driven[step] += left @ errors[::-1][: len(left)]
    return recursive_filter(own, driven, past)


def recursive_filter(own: np.ndarray, driven: np.ndarray, past: np.ndarray | None = None) -> np.ndarray:
    """y with own(B) y = driven, after the values `past`."""
    lags = len(own) - 1
    y = np.concatenate([np.zeros(lags) if past is None else past, driven])
    back = own[:0:-1]
    for step in range(lags, len(y)) if lags else ():
        y[step] -= back @ y[step - lags : step]
    return y[lags:]


def garch(node: Element, held: Element) -> Forecast:
    """GARCH: the mean its ARMAPart expects; y = constant + Σ φ y + Σ θ e + e."""
    part = need_child(held, "ARMAPart")
    p, q, constant = lag_count(part, "p"), lag_count(part, "q"), number(part, "constant", 0.0)
    if constant and p:
        raise refuse_element(part, "has a constant beside its own past, which may be a mean or an intercept")
    moving = lag_polynomial(read_coefficients(part, "MA", q), 1.0)
    mean = recursion(
        node, lag_polynomial(read_coefficients(part, "AR", p), -1.0), moving, constant, residuals(part, q)
    )
    return Forecast(mean, why="of a GARCH model, whose variances PMML 4.4 names and does not order")


def state_space(node: Element, held: Element) -> Forecast:
    """StateSpaceModel: G s + intercept at the first step, s ← F s (+ intercept of the state) from there
    on."""
    if child(held, "DynamicRegressor") is not None or child(held, "PsiVector") is not None:
        raise refuse_element(held, "has regressors, whose future no field of a record tells")
    move, look = (
        read_matrix(need_child(need_child(held, n), "Matrix"))
        for n in ("TransitionMatrix", "MeasurementMatrix")
    )
    state = numbers(need_child(held, "StateVector"))
    if len(look) != 1:
        raise refuse_element(held, "measures several series, in an order PMML does not tell")
    if move.shape != (len(state), len(state)) or look.shape[1] != len(state) or len(state) > LARGEST:
        raise UnreadableFile(f"{describe(held)}: its matrices do not fit its state.")
    drift, constant = intercepts(held, len(state))
    mean = np.array([(look @ s)[0] for s in islice(state_sequence(move, state, drift), STEPS)]) + constant
    given = [child(held, f"{n}Matrix") for n in ("PredictedStateCovariance", "SelectedStateCovariance")]
    scale = optional(held, "variance")
    if scale is None or None in given:
        return Forecast(mean, why="of states without a variance and covariances")
    spread, noise = (read_matrix(need_child(g, "Matrix")) for g in given)
    if spread.shape != move.shape or noise.shape != move.shape:
        raise UnreadableFile(f"{describe(held)}: its covariances do not fit its state.")
    seen = child(held, "ObservationVarianceMatrix")
    extra = 0.0 if seen is None else read_matrix(need_child(seen, "Matrix"))[0, 0]
    return Forecast(mean, scale * (extra + forecast_variances(move, look[0], spread, noise)))


def intercepts(held: Element, size: int) -> tuple[np.ndarray, float]:
    """What is added to the state at each step, and to each measurement."""
    vector, single = child(held, "InterceptVector"), number(held, "intercept", 0.0)
    drift = np.zeros(size)
    if vector is None:
        return drift, single
    added = numbers(vector)
    if len(added) != (1 if vector.get("type", "state") == "observation" else size):
        raise UnreadableFile(f"{describe(vector)}: {len(added)} intercepts do not fit.")
    if vector.get("type", "state") == "observation":
        return drift, float(added[0])
    return added, single


def state_sequence(move: np.ndarray, state: np.ndarray, drift: np.ndarray) -> Any:
    """The state at each step ahead."""
    while True:
        yield state
        state = move @ state + drift


def forecast_variances(
    move: np.ndarray, look: np.ndarray, spread: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """G P G' at each step ahead, P ← F P F' + V before each: the start's own part, and the noise of all steps
    since."""
    root = np.linalg.eigh((spread + spread.T) / 2)
    seen, found, total = look, np.zeros(STEPS), 0.0
    for step in range(STEPS):
        total += seen @ noise @ seen
        seen = seen @ move
        found[step] = total + float(np.sum(root[0] * (seen @ root[1]) ** 2))
    return found


FORECASTS: dict[str, Callable[[Element, Element], Forecast]] = {
    "ExponentialSmoothing": exponential_smoothing,
    "ARIMA": arima,
    "StateSpaceModel": state_space,
    "GARCH": garch,
}
