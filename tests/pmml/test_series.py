"""Refusals of what PMML leaves open about series and text models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

import bridge
from bridge.errors import UnreadableFile, UnsupportedModel

pytest.importorskip("lxml")

from bridge_pmml.cases import corpus, series
from bridge_pmml.cases.common import document, write

TREND = '<Trend_ExpoSmooth trend="polynomial_exponential"/>'
SEASON = (
    '<Seasonality_ExpoSmooth type="additive" '
    f'period="4"%s>{series.array_element(1, 2, 3, 4)}</Seasonality_ExpoSmooth>'
)
PART = series.component("NonseasonalComponent", [0.6], [], [], p=1)
SMOOTH = series.time_series_model("ExponentialSmoothing", series.smoothing())
TEXTS = (
    (
        series.time_series_model("ExponentialSmoothing", series.smoothing(TREND)),
        "polynomial_exponential, whose",
    ),
    (
        series.time_series_model("ExponentialSmoothing", series.smoothing(season=SEASON % ' phase="1"')),
        "has a phase",
    ),
    (
        series.time_series_model(
            "ExponentialSmoothing",
            series.smoothing(
                season=SEASON % "",
            ),
            series.OBSERVED[1:],
        ),
        "whole seasons",
    ),
    (
        SMOOTH.replace("<ExponentialSmoothing>", '<ExponentialSmoothing transformation="logarithmic">'),
        "correction",
    ),
    (series.time_series_model("SpectralAnalysis", "<SpectralAnalysis/>"), "SpectralAnalysis, for which"),
    (
        series.time_series_model("SeasonalTrendDecomposition", "<SeasonalTrendDecomposition/>"),
        "defines no numbers",
    ),
    (
        series.time_series_model("ARIMA", series.arima(PART, predictionMethod="exactLeastSquares")),
        "exact least squares",
    ),
    (
        series.time_series_model("ARIMA", series.arima(PART, '<DynamicRegressor field="x"/>')),
        "DynamicRegressor",
    ),
    (
        series.time_series_model(
            "ARIMA", series.arima(PART, '<OutlierEffect type="level" startTime="1" magnitude="2"/>')
        ),
        "OutlierEffect",
    ),
    (series.time_series_model("ARIMA", series.arima(PART), [])[:], "holds 0 original"),
    (series.time_series_model("ARIMA", series.arima(PART)).replace('index="3"', 'index="30"'), "evenly"),
    (
        series.time_series_model("ARIMA", series.arima(PART), output=series.interval_outputs(95)),
        "tells no RMSE",
    ),
    (
        series.time_series_model("StateSpaceModel", series.state_space(), [], series.interval_outputs(95)),
        "without a variance",
    ),
    (SMOOTH.replace('usageType="supplementary"', 'usageType="order"'), "field of time"),
    (SMOOTH.replace('<MiningField name="y" usageType="target"/>', ""), "no single field"),
    (corpus.text_model("", "cosine").replace("cat dog", "cat cow"), "counts 'cow'"),
    (corpus.text_model("", "cosine").replace("TextModelSimiliarity", "Other"), "how documents are compared"),
    (corpus.text_model("<TextModelNormalization/>", "euclidean"), "whose base"),
)


def hub_of(text: str, folder: Path) -> ir.Model:
    fields = corpus.FIELDS if "TextModel" in text else series.FIELDS
    return bridge.load(write(folder, document(text, fields)), source="pmml")


@pytest.mark.parametrize(("text", "why"), TEXTS, ids=lambda v: v[:30] if len(v) < 60 else "")
def test_what_the_specification_leaves_open_is_refused(text, why, tmp_path):
    with pytest.raises(UnsupportedModel, match=why):
        hub_of(text, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        series.time_series_model("ARIMA", series.arima(PART.replace('p="1"', 'p="3"'))),
        series.time_series_model("ARIMA", series.arima(PART), [1.0])
        .replace("0.6", "0.6 0.1")
        .replace('p="1"', 'p="2"'),
        series.time_series_model("ARIMA", series.arima(PART.replace('p="1"', 'p="-1"'))),
        series.time_series_model(
            "ARIMA", series.arima(PART, series.component("SeasonalComponent", [], [], [], D=1, period=10**9))
        ),
        series.time_series_model(
            "ARIMA", series.arima(series.component("NonseasonalComponent", [], [0.5], [], q=1))
        ),
        series.time_series_model("StateSpaceModel", series.state_space().replace('nbCols="3"', 'nbCols="4"')),
        series.time_series_model("ExponentialSmoothing", "<ExponentialSmoothing/>"),
        series.time_series_model(
            "ExponentialSmoothing", series.smoothing(season=(SEASON % "").replace('period="4"', 'period="3"'))
        ),
        corpus.text_model("", "cosine").replace('nbRows="5"', 'nbRows="6"'),
    ],
    ids=range(9),
)
def test_series_and_corpora_that_do_not_fit_are_unreadable(text, tmp_path):
    with pytest.raises(UnreadableFile):
        hub_of(text, tmp_path)


def test_an_autoregression_says_the_same_as_its_states(tmp_path):
    """A second-order autoregression around no mean, written both ways."""
    own = series.time_series_model(
        "ARIMA", series.arima(series.component("NonseasonalComponent", [0.6, 0.2], [], [], p=2))
    )
    first, before = 0.6 * series.OBSERVED[-1] + 0.2 * series.OBSERVED[-2], series.OBSERVED[-1]
    states = (
        f"<StateSpaceModel><StateVector>{series.array_element(first, before)}</StateVector>"
        f"<TransitionMatrix>{series.matrix_element(np.array([[0.6, 0.2], [1, 0]]))}</TransitionMatrix>"
        f"<MeasurementMatrix>{series.matrix_element(np.array([[1, 0]]))}</MeasurementMatrix></StateSpaceModel>"
    )
    steps = {"h": np.arange(1.0, 51)[:, None]}
    found = []
    for name, text in (("a", own), ("b", series.time_series_model("StateSpaceModel", states))):
        path = write(tmp_path, document(text, series.FIELDS), f"{name}.pmml")
        found.append(bridge.run(bridge.load(path, source="pmml"), steps)["predicted_y"])
    np.testing.assert_allclose(*found, rtol=1e-12)


def test_a_forecast_becomes_tflite(tmp_path):
    pytest.importorskip("ai_edge_litert")
    path = write(tmp_path, document(SMOOTH, series.FIELDS))
    made = bridge.convert(path, tmp_path / "m.tflite", source="pmml").path
    steps = {"h": np.array([[1.0], [7.0], [0.0]])}
    want = bridge.run(bridge.load(path, source="pmml"), steps)["predicted_y"]
    (found,) = bridge.run(made, steps).values()
    np.testing.assert_allclose(found, want, rtol=1e-6)
