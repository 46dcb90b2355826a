"""ClusteringModel: the nearest centre, or the first cluster whose predicate holds."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.errors import UnreadableFile
from bridge.ops import OpTable
from bridge_pmml.fields import Scope
from bridge_pmml.measures import Measure
from bridge_pmml.reader import Element, child, children, describe, need_child, number, numbers, text
from bridge_pmml.results import Result
from bridge_pmml.values import Val

ops = OpTable()


def measure_clusters(scope: Scope, node: Element) -> Any:
    """Distances or similarities of every record to every centre, double [N, clusters], and the Measure."""
    columns = scope.columns
    fields = [f for f in children(node, "ClusteringField") if f.get("isCenterField", "true") == "true"]
    missing = child(node, "MissingValueWeights")
    q = numbers(missing) if missing is not None else np.ones(len(fields))
    centers = [numbers(c) for c in children(node, "Cluster")]
    if any(len(c) != len(fields) for c in centers) or len(q) != len(fields):
        raise UnreadableFile(f"{describe(node)}: a centre has another length than the fields.")
    weights = [number(f, "fieldWeight", 1.0) for f in fields]
    measure = Measure(columns, need_child(node, "ComparisonMeasure"), fields, weights, q)
    x = columns.concat_numbers([scope.get(text(f, "field")) for f in fields])
    return measure.of(x, np.array(centers)), measure


@ops.op("ClusteringModel")
def clustering(scope: Scope, node: Element) -> Result:
    columns, op = scope.columns, scope.columns.op
    if (
        node.get("modelClass", "centerBased") != "centerBased"
        and child(child(node, "Cluster"), "Array") is None
    ):
        raise UnreadableFile(f"{describe(node)}: clusters without a centre are not read.")
    clusters = children(node, "Cluster")
    distances, measure = measure_clusters(scope, node)
    ids = [c.get("id") or str(i + 1) for i, c in enumerate(clusters)]
    any_missing = op.ReduceMax(op.Cast(op.IsNaN(distances), to=6), np.array([1]))
    any_missing = op.Greater(any_missing, np.array([[0]], np.int32))
    best = op.node("ArgMax" if measure.similarity else "ArgMin", distances, axis=1, keepdims=1)

    def winning(entries: list[str]) -> Val:
        return columns.blank(columns.by_row(best, entries), op.Not(any_missing))

    cluster = winning(ids).with_(values=tuple(ids))
    nearest = columns.number(op.GatherElements(distances, best, axis=1))
    result = Result("clustering", cluster, labels=tuple(ids), entities=[cluster], affinity=nearest)
    result.affinities = {
        name: columns.number(columns.gather_column(distances, i)) for i, name in enumerate(ids)
    }
    for index in range(len(ids)):
        result.affinities.setdefault(str(index + 1), result.affinities[ids[index]])
    result.defaults = {"cluster": cluster}
    if clusters[0].get("name"):
        result.display = winning([c.get("name", "") for c in clusters])
        result.defaults["cluster_name"] = result.display
    result.defaults["similarity" if node.get("modelClass") == "distributionBased" else "distance"] = nearest
    return result
