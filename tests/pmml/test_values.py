"""Every value the specification allows for an attribute has a case here or among the native ones, or is
refused by name."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from bridge_pmml.cases import cases
from bridge_pmml.cases.common import FIELDS, NUMBERS, document, reads, write
from documents import rows, scores

import bridge
from bridge.errors import UnsupportedModel

SPECIFIED = {
    "usageType": "active predicted target supplementary group order frequencyWeight analysisWeight",
    "outliers": "asIs asMissingValues asExtremeValues",
    "missingValueTreatment": "asIs asMean asMode asMedian asValue returnInvalid",
    "invalidValueTreatment": "returnInvalid asIs asMissing asValue",
    "property": "valid invalid missing",
    "closure": "openClosed openOpen closedOpen closedClosed",
    "missingValueStrategy": "lastPrediction nullPrediction defaultChild weightedConfidence aggregateNodes "
    "none",
    "noTrueChildStrategy": "returnNullPrediction returnLastPrediction",
    "operator": "equal notEqual lessThan lessOrEqual greaterThan greaterOrEqual isMissing isNotMissing",
    "booleanOperator": "isIn isNotIn or and xor surrogate",
    "multipleModelMethod": "majorityVote weightedMajorityVote average weightedAverage median weightedMedian "
    "max sum "
    "weightedSum selectFirst selectAll modelChain",
    "missingPredictionTreatment": "returnMissing skipSegment continue",
    "normalizationMethod": "none simplemax softmax logit probit cloglog exp loglog cauchit",
    "modelType": "regression generalLinear multinomialLogistic ordinalMultinomial generalizedLinear "
    "CoxRegression",
    "distribution": "binomial gamma igauss negbin normal poisson tweedie",
    "linkFunction": "cloglog identity log logc logit loglog negbin oddspower power probit",
    "cumulativeLink": "logit probit cloglog loglog cauchit",
    "activationFunction": "threshold logistic tanh identity exponential reciprocal square Gauss sine cosine "
    "Elliott "
    "arctan rectifier radialBasis",
    "svmRepresentation": "SupportVectors Coefficients",
    "classificationMethod": "OneAgainstAll OneAgainstOne",
    "maxWins": "true false",
    "compareFunction": "absDiff gaussSim delta equal table",
    "continuousScoringMethod": "median average weightedAverage",
    "categoricalScoringMethod": "majorityVote weightedMajorityVote",
    "reasonCodeAlgorithm": "pointsAbove pointsBelow",
    "useReasonCodes": "true false",
    "criterion": "weightedSum weightedMax firstHit",
    "algorithm": "recommendation exclusiveRecommendation ruleAssociation",
    "castInteger": "round ceiling floor",
    "algorithmType": "iforest ocsvm clusterMeanDist other",
    "kind": "distance similarity",
    "optype": "categorical ordinal continuous",
    "feature": "predictedValue predictedDisplayValue transformedValue decision probability affinity residual "
    "standardError standardDeviation clusterId clusterAffinity entityId entityAffinity warning "
    "ruleValue reasonCode "
    "confidence confidenceIntervalLower confidenceIntervalUpper",
    "dataType": "string integer float double boolean date time dateTime dateDaysSince[0] dateDaysSince[1960] "
    "dateDaysSince[1970] dateDaysSince[1980] timeSeconds dateTimeSecondsSince[0] dateTimeSecondsSince[1960] "
    "dateTimeSecondsSince[1970] dateTimeSecondsSince[1980]",
}
IGNORED = ("frequencyWeight", "analysisWeight", "order", "supplementary")
SINCE = tuple(v for v in SPECIFIED["dataType"].split() if "Since" in v or "Seconds" in v)
DEVIANT = (
    "standardError",
    "standardDeviation",
    "warning",
    "confidenceIntervalLower",
    "confidenceIntervalUpper",
)
ALIASES = ("affinity", "clusterAffinity", "entityAffinity", "clusterId", "entityId")


def regression_model(schema: str, output: str = "", more: str = "") -> str:
    table = '<RegressionTable intercept="1"><NumericPredictor name="x" coefficient="2"/></RegressionTable>'
    return document(
        "<RegressionModel "
        f'functionName="regression"><MiningSchema>{schema}</MiningSchema>{output}{table}</RegressionModel>',
        FIELDS + NUMBERS + more,
    )


@pytest.mark.parametrize("usage", IGNORED)
def test_fields_that_are_not_active_are_no_inputs(usage, tmp_path):
    text = regression_model('<MiningField name="x" usageType="active"/><MiningField name="y" '
        f'usageType="predicted"/><MiningField name="z" usageType="{usage}"/>')  # fmt: skip
    model = bridge.load(write(tmp_path, text))
    given = {v.name: np.array([[3.0]]) for v in model.graph.inputs}
    assert list(given) == (["x", "z"] if usage == "order" else ["x"])
    assert bridge.run(model, given)["predicted_y"].tolist() == [[7.0]]


def test_values_may_be_said_to_be_valid(tmp_path):
    more = (
        '<DataField name="w" optype="categorical" dataType="integer"><Value value="1" '
        'property="valid"/><Value value="9" property="invalid"/><Value value="-1" '
        'property="missing"/></DataField>'
    )
    text = regression_model('<MiningField name="x"/><MiningField name="w"/>', more=more)
    model = bridge.load(write(tmp_path, text))
    found = bridge.run(model, {"x": np.full((4, 1), 1.0), "w": np.array([[1.0], [9], [-1], [4]])})
    np.testing.assert_array_equal(next(iter(found.values())).ravel(), [3, math.nan, 3, math.nan])


@pytest.mark.parametrize("kind", SINCE)
def test_days_and_seconds_are_numbers(kind, tmp_path):
    more = f'<DataField name="w" optype="continuous" dataType="{kind}"/>'
    output = (
        '<Output><OutputField name="o" feature="transformedValue" dataType="double" '
        'optype="continuous"><Apply function="-"><FieldRef field="w"/><Constant '
        f'dataType="{kind}">10</Constant></Apply></OutputField></Output>'
    )
    model = bridge.load(
        write(tmp_path, regression_model('<MiningField name="w"/><MiningField name="x"/>', output, more))
    )
    given = {"w": np.array([[12.0], [math.nan]]), "x": np.ones((2, 1))}
    np.testing.assert_array_equal(bridge.run(model, given)["o"].ravel(), [2, math.nan])


@pytest.mark.parametrize("feature", DEVIANT)
def test_outputs_a_model_does_not_give_are_refused(feature, tmp_path):
    output = (
        f'<Output><OutputField name="o" feature="{feature}" dataType="double" optype="continuous"/></Output>'
    )
    with pytest.raises(UnsupportedModel, match=f"OutputField {feature}"):
        bridge.load(write(tmp_path, regression_model('<MiningField name="x"/>', output)))


def test_clusters_answer_by_every_name(tmp_path):
    output = "".join(
        f'<OutputField name="o_{a}" feature="{a}" '
        f'dataType="{"string" if a.endswith("Id") else "double"}" optype="continuous"/>'
        for a in ALIASES
    )
    text = (
        '<ClusteringModel functionName="clustering" modelClass="centerBased" '
        'numberOfClusters="2"><MiningSchema><MiningField name="x"/><MiningField '
        f'name="n"/></MiningSchema><Output>{output}</Output>'
    )
    text += (
        '<ComparisonMeasure kind="distance"><cityBlock/></ComparisonMeasure><ClusteringField field="x" '
        'compareFunction="absDiff"/><ClusteringField field="n" '
        'compareFunction="table"><Comparisons><Matrix nbRows="4" nbCols="4">'
    )
    table = [[0, 0, 0, 0], [0, 0, 2, 5], [0, 2, 0, 1], [0, 5, 1, 0]]
    text += "".join(f'<Array n="4" type="real">{" ".join(map(str, r))}</Array>' for r in table)
    text += (
        '</Matrix></Comparisons></ClusteringField><Cluster id="a"><Array n="2" type="real">0 '
        '1</Array></Cluster><Cluster id="b"><Array n="2" type="real">4 '
        "3</Array></Cluster></ClusteringModel>"
    )
    model = bridge.load(write(tmp_path, document(text, FIELDS + NUMBERS)))
    xs, ns = [1.0, 1, 3.5], [1, 3, 2]
    found = bridge.run(model, {"x": np.array(xs)[:, None], "n": np.array(ns, float)[:, None]})
    off = [[abs(x - c) + table[n][k] for c, k in ((0, 1), (4, 3))] for x, n in zip(xs, ns, strict=True)]
    for name in ALIASES:
        wanted = ["ab"[o.index(min(o))] if name.endswith("Id") else min(o) for o in off]
        assert found[f"o_{name}"].ravel().tolist() == wanted


def test_clusters_without_centres_are_refused(tmp_path):
    text = (
        '<ClusteringModel functionName="clustering" modelClass="distributionBased" '
        f'numberOfClusters="1">{reads("x")}<ComparisonMeasure '
        'kind="distance"><euclidean/></ComparisonMeasure><ClusteringField field="x"/><Cluster '
        'id="a"/></ClusteringModel>'
    )
    with pytest.raises(bridge.BridgeError, match="without a centre"):
        bridge.load(write(tmp_path, document(text)))


@pytest.mark.parametrize("method", ["weightedAverage", "weightedSum"])
def test_a_segment_may_weigh_by_a_field(method, tmp_path):
    def segment(factor: int, weight: str) -> str:
        return (
            f'<Segment {weight}<RegressionModel functionName="regression">{reads("x")}<RegressionTable '
            'intercept="0"><NumericPredictor name="x" '
            f'coefficient="{factor}"/></RegressionTable></RegressionModel></Segment>'
        )

    held = segment(2, 'weight="3"><True/>') + segment(10, '><True/><VariableWeight field="z"/>')
    text = (
        f'<MiningModel functionName="regression">{reads("xz")}<Segmentation '
        f'multipleModelMethod="{method}">{held}</Segmentation></MiningModel>'
    )
    found = scores(write(tmp_path, document(text)), rows([1, 2], [1, 5]))["predicted_y"]
    total = [6 + 10, 12 + 100]
    assert found == pytest.approx([total[0] / 4, total[1] / 8] if method == "weightedAverage" else total)


def test_no_value_of_an_attribute_is_without_a_case(tmp_path):
    folder, held = tmp_path, set()
    for case in cases().values():
        held |= set(re.findall(r'(\w+)="([^"<>]*)"', Path(case.make(folder).source).read_text("utf-8")))
    here = {("usageType", v) for v in (*IGNORED, "active", "predicted")} | {("dataType", v) for v in SINCE}
    here |= {("feature", v) for v in (*DEVIANT, *ALIASES)} | {("property", v) for v in ("valid", "invalid")}
    here |= {("compareFunction", "table"), ("usageType", "group"), ("svmRepresentation", "SupportVectors")}
    here |= {("dataType", "dateTime")}
    wanted = {(name, value) for name, values in SPECIFIED.items() for value in values.split()}
    assert sorted(wanted - held - here) == []


@pytest.mark.parametrize(
    ("mode", "compare"),
    [
        ("BRANCH_LEQ", np.less_equal),
        ("BRANCH_LT", np.less),
        ("BRANCH_GTE", np.greater_equal),
        ("BRANCH_GT", np.greater),
    ],
)
def test_thresholds_of_floats_part_doubles_as_floats_would_be(mode, compare):
    from bridge_pmml.export_ops.ml import double_threshold

    rng = np.random.default_rng(0)
    for at in (rng.normal(size=400) * 10.0 ** rng.integers(-8, 8, 400)).astype(np.float32):
        for way in (np.inf, -np.inf):
            other = np.nextafter(at, np.float32(way))
            middle = (float(at) + float(other)) / 2
            near = (
                middle,
                np.nextafter(middle, np.inf),
                np.nextafter(middle, -np.inf),
                float(at),
                float(other),
            )
            for x in near:
                assert compare(np.float32(x), at) == compare(x, double_threshold(float(at), mode))
    assert double_threshold(np.inf, mode) == np.inf
    assert double_threshold(0.1, mode) == 0.1
