"""AnomalyDetectionModel: the result of an isolation forest, a one-class machine or a clustering, as a
score."""

from __future__ import annotations

import math

from bridge.errors import UnreadableFile
from bridge.ops import OpTable
from bridge_pmml import special
from bridge_pmml.fields import Scope
from bridge_pmml.models import model_of, score_model
from bridge_pmml.reader import Element, child, describe, number, numbers, text
from bridge_pmml.results import Result

ops = OpTable()
EULER = 0.57721566


@ops.op("AnomalyDetectionModel")
def anomaly_detection(scope: Scope, node: Element) -> Result:
    columns, op = scope.columns, scope.columns.op
    algorithm, inner = text(node, "algorithmType"), score_model(scope, model_of(node))
    if inner.value is None:
        raise UnreadableFile(f"{describe(node)}: its model gives no value.")
    if algorithm == "iforest":
        size = number(node, "sampleDataSize")
        depth = 2.0 * (math.log(size - 1.0) + EULER) - 2.0 * (size - 1.0) / size
        power = op.Div(inner.value.tensor, columns.scalar(-depth))
        score = columns.number(special.exp(op, op.Mul(power, columns.scalar(math.log(2.0)))))
    elif algorithm == "clusterMeanDist":
        means = child(node, "MeanClusterDistances")
        if means is None or inner.affinity is None:
            raise UnreadableFile(f"{describe(node)} has no MeanClusterDistances for a clustering.")
        at = columns.category_index(inner.value, list(inner.labels), 0)
        mean = op.Gather(op.const(numbers(means)), at, axis=0)
        score = columns.number(op.Div(inner.affinity.tensor, mean))
        score = columns.blank(score, op.Not(columns.mask_column(columns.missing(inner.value))))
    else:
        score = inner.value
    result = Result("regression", score)
    result.defaults = {"anomalyScore": score}
    return result
