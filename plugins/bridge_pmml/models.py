"""One model element inside a scope: its mining schema, its transformations, its handler, its targets."""

from __future__ import annotations

from bridge.errors import UnreadableFile
from bridge_pmml import expressions, results
from bridge_pmml.fields import Scope
from bridge_pmml.reader import Element, child, describe
from bridge_pmml.results import Result
from bridge_pmml.values import logical_not

MODELS = (
    "AnomalyDetectionModel",
    "AssociationModel",
    "BaselineModel",
    "BayesianNetworkModel",
    "ClusteringModel",
    "GaussianProcessModel",
    "GeneralRegressionModel",
    "MiningModel",
    "NaiveBayesModel",
    "NearestNeighborModel",
    "NeuralNetwork",
    "RegressionModel",
    "RuleSetModel",
    "Scorecard",
    "SequenceModel",
    "SupportVectorMachineModel",
    "TextModel",
    "TimeSeriesModel",
    "TreeModel",
)


def model_of(node: Element) -> Element:
    """The model element below the root or a segment. Raises UnreadableFile without one."""
    model = child(node, *MODELS)
    if model is None:
        raise UnreadableFile(f"{describe(node)} holds no model.")
    return model


def model_scope(outer: Scope, node: Element) -> Scope:
    """The scope a model's own handler reads."""
    scope = outer.enter(child(node, "MiningSchema"))
    expressions.define(scope, child(node, "LocalTransformations"))
    return scope


def score_model(outer: Scope, node: Element) -> Result:
    """The result of a model element on the fields around it, missing where a field is invalid."""
    return run_model(model_scope(outer, node), node)


def run_model(scope: Scope, node: Element) -> Result:
    """The result of a model element whose scope is made."""
    rule = scope.models.find(node.tag, node) if scope.models is not None else None
    if rule is None:
        raise UnreadableFile(f"{describe(node)} is no model that is read.")
    result = rule.apply(scope, node)
    result.target = result.target or results.target_name(node)
    result = results.retarget(scope, node, result)
    result.scope = scope
    return result.masked(scope.columns, logical_not(scope.invalid, scope.columns.op))
