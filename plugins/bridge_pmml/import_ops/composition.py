"""Models composed inside a MiningModel, as before segmentation: Regression and DecisionTree elements."""

from __future__ import annotations

import math

import numpy as np

from bridge.errors import UnreadableFile
from bridge_pmml import expressions
from bridge_pmml.fields import Scope
from bridge_pmml.forest import Arrays, Features, Grower, ensemble, root_of
from bridge_pmml.import_ops.regression import regression_model
from bridge_pmml.import_ops.tree import leaf_result
from bridge_pmml.reader import Element, child, children, describe, text
from bridge_pmml.results import Result
from bridge_pmml.values import INT64

EMBEDDED = ("Regression", "DecisionTree")


def run_embedded_models(scope: Scope, node: Element) -> Result:
    """Embedded models in order: each names its results for those after it, the last answers."""
    result = None
    for each in children(node, *EMBEDDED):
        result = run_embedded_model(scope, each)
        for item in children(each, "ResultField"):
            if item.get("feature", "predictedValue") != "predictedValue" or result.value is None:
                raise UnreadableFile(f"{describe(item)}: an embedded model gives its predicted value alone.")
            scope.names[text(item, "name")] = result.value
    if result is None:
        raise UnreadableFile(f"{describe(node)} holds no models.")
    return result


def run_embedded_model(scope: Scope, node: Element) -> Result:
    inner = Scope(scope.columns, scope)
    expressions.define(inner, child(node, "LocalTransformations"))
    return regression_model(inner, node) if node.tag == "Regression" else decision_tree(inner, node)


def decision_tree(scope: Scope, node: Element) -> Result:
    """A tree whose leaves may hold models of their own."""
    columns, op = scope.columns, scope.columns.op
    features, arrays = Features(scope), Arrays()
    grower = Grower(node, features, arrays, 0)
    grower.grow(root_of(node))
    rows = np.array(arrays.leaf_rows, np.float64)
    leaf_index = ensemble(columns, features, arrays, np.zeros(len(rows), np.int64), rows, 1)
    result = leaf_result(scope, node, grower, op.Cast(leaf_index, to=INT64))
    for index, (leaf, _) in enumerate(grower.nodes):
        model = child(leaf, *EMBEDDED) if leaf is not None else None
        if model is not None and result.value is not None:
            embedded = run_embedded_model(scope, model).value or columns.constant(math.nan)
            here = op.Equal(leaf_index, columns.scalar(float(index)))
            result.value = columns.where(here, embedded, result.value)
    return result
