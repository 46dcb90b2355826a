"""BayesianNetworkModel: the joint probabilities of discrete nodes are a table, and what a record tells
selects from it; the densities of continuous nodes weigh what is left."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np

from bridge.errors import UnreadableFile, UnsupportedModel
from bridge.ops import OpTable
from bridge.report import Blocker
from bridge_pmml import expressions, special
from bridge_pmml.fields import Scope
from bridge_pmml.reader import Element, children, describe, need_child, number, text
from bridge_pmml.results import Result, classified, target_labels, targets_of
from bridge_pmml.values import parse

ops = OpTable()
LARGEST = 200_000


class Network:
    """Nodes by name, in the document's order, and the values each can have."""

    def __init__(self, node: Element) -> None:
        nodes = need_child(node, "BayesianNetworkNodes")
        self.continuous = {text(n, "name"): n for n in children(nodes, "ContinuousNode")}
        self.nodes = {text(n, "name"): n for n in children(nodes, "DiscreteNode")}
        self.values = {name: _node_values(n) for name, n in self.nodes.items()}
        size = math.prod(len(v) for v in self.values.values())
        if not (self.nodes or self.continuous) or size > LARGEST:
            raise UnreadableFile(f"{describe(node)} has no nodes, or more than {LARGEST} joint states.")
        ranges = (range(len(v)) for v in self.values.values())
        self.states = np.array(list(itertools.product(*ranges)), np.int64)
        self.joint = np.prod(
            [np.ones(size), *(self._node_probabilities(name) for name in self.nodes)], axis=0
        )

    def state_values(self, name: str) -> np.ndarray:
        """The value of a node in every joint state."""
        if name not in self.nodes:
            raise UnreadableFile(f"The network has no node {name!r}.")
        return self.states[:, list(self.nodes).index(name)]

    def matching_states(self, node: Element) -> np.ndarray:
        """The joint states in which the parents have the values a conditional probability is of."""
        mask = np.ones(len(self.states), bool)
        for parent in children(node, "ParentValue"):
            other, value = text(parent, "parent"), text(parent, "value")
            values = self.values.get(other, [])
            if value not in values:
                raise UnreadableFile(f"{describe(parent)}: {other!r} has no value {value!r}.")
            mask &= self.state_values(other) == values.index(value)
        return mask

    def distributions(self, name: str) -> tuple[list[Element], np.ndarray]:
        """The distributions of a continuous node, and which of them each joint state has; one beyond for
        none."""
        elements: list[Element] = []
        index_of_state = np.full(len(self.states), -1)
        node = self.continuous[name]
        for each in [*children(node, "ContinuousConditionalProbability"), node]:
            own = children(each, "ContinuousDistribution")
            if len(own) > 1:
                raise UnreadableFile(f"{describe(node)} has more than one distribution at once.")
            if own:
                index_of_state[(index_of_state < 0) & self.matching_states(each)] = len(elements)
                elements.append(own[0])
        return elements, np.where(index_of_state < 0, len(elements), index_of_state)

    def _node_probabilities(self, name: str) -> np.ndarray:
        """P(node | parents) in every joint state."""
        node, indices = self.nodes[name], {v: i for i, v in enumerate(self.values[name])}
        probabilities = np.zeros(len(self.states))
        own = children(node, "ValueProbability")
        if own:
            return _probability_vector(own, indices)[self.state_values(name)]
        for each in children(node, "DiscreteConditionalProbability"):
            mask = self.matching_states(each)
            probabilities[mask] = _probability_vector(children(each, "ValueProbability"), indices)[
                self.state_values(name)[mask]
            ]
        return probabilities


def _node_values(node: Element) -> list[str]:
    """The values of a node, in the order they are first listed."""
    values = list(dict.fromkeys(text(v, "value") for v in node.iter("ValueProbability")))
    if not values:
        raise UnreadableFile(f"{describe(node)} has no probabilities.")
    return values


def _probability_vector(entries: list[Element], indices: dict[str, int]) -> np.ndarray:
    probabilities = np.zeros(len(indices))
    for entry in entries:
        probabilities[indices[text(entry, "value")]] = number(entry, "probability")
    return probabilities


@ops.op("BayesianNetworkModel")
def bayesian_network(scope: Scope, node: Element) -> Result:
    """Posterior of the target: Σ of the joint states a record allows, each with the densities of its
    continuous values.

    A node that is missing, or no field, is summed over; where a continuous one is missing that others depend
    on, so is the answer.
    """
    network, names = Network(node), targets_of(node)
    inner = Scope(scope.columns, scope)
    for name, entry in {**network.nodes, **network.continuous}.items():
        if derived := children(entry, "DerivedField"):
            inner.later[name] = functools.partial(expressions.derived, scope, derived[0])
    for name in names:
        check_target_unread(network, name)
    if len(names) == 1 and names[0] in network.continuous:
        return expected_value(inner, network, names[0], joint_weights(inner, network, names[0]))
    if len(names) != 1 or names[0] not in network.nodes:
        raise UnreadableFile(f"{describe(node)} needs one target that is a node of the network.")
    columns, op = scope.columns, scope.columns.op
    weights = joint_weights(inner, network, names[0])
    values = network.values[names[0]]
    labels, data_type = target_labels(scope, node, values)
    order = [parse(v, data_type) for v in labels]
    table = np.zeros((len(network.states), len(labels)))
    for row, value in enumerate(network.state_values(names[0])):
        table[row, order.index(parse(values[value], data_type))] = 1.0
    probabilities = op.MatMul(weights, op.const(table))
    return classified(
        columns, op.Div(probabilities, op.ReduceSum(probabilities, np.array([1]))), labels, data_type
    )


def check_target_unread(network: Network, target: str) -> None:
    """Raise UnsupportedModel where an expression of another node reads the target."""
    for name, entry in {**network.nodes, **network.continuous}.items():
        if name != target and any(f.get("field") == target for f in entry.iter()):
            reason = (
                f"predicts a node that the density of {name} is a formula of, which no finite sum inverts"
            )
            raise UnsupportedModel(
                "A Bayesian network cannot be read:", [Blocker("BayesianNetworkModel", target, "", reason)]
            )


def joint_weights(scope: Scope, network: Network, target: str) -> Any:
    """The weight of each joint state, [N, states], by what a record tells of the nodes but the target."""
    columns, op = scope.columns, scope.columns.op
    weights: Any = op.const(network.joint[None])
    for name, values in network.values.items():
        if name == target or not scope.knows(name):
            continue
        val = scope.get(name)
        indices = columns.category_index(val, [parse(v, val.data_type) for v in values], len(values))
        allowed = np.concatenate([np.eye(len(values)), np.zeros((1, len(values)))])
        rows = op.Gather(op.const(allowed), op.Squeeze(indices, np.array([1])), axis=0)
        missing = columns.missing(val)
        if missing is not False:
            rows = op.Where(columns.mask_column(missing), columns.scalar(1.0), rows)
        weights = op.Mul(weights, op.Gather(rows, network.state_values(name), axis=1))
    for name in network.continuous:
        if name != target and scope.knows(name):
            weights = op.Mul(weights, likelihood(scope, network, name))
    if weights.producer() is None:
        weights = op.Mul(weights, columns.constant(1.0).tensor)
    return weights


def likelihood(scope: Scope, network: Network, name: str) -> Any:
    """The density of a continuous node's value in each joint state; 1 where it is missing."""
    columns, op = scope.columns, scope.columns.op
    val = columns.to_number(scope.get(name))
    distributions, index_of_state = network.distributions(name)
    parts = [*(density(scope, val.tensor, d) for d in distributions), columns.constant(0.0).tensor]
    densities = op.Gather(op.Concat(*parts, axis=1), index_of_state, axis=1)
    missing = columns.missing(val)
    return (
        densities
        if missing is False
        else op.Where(columns.mask_column(missing), columns.scalar(1.0), densities)
    )


def distribution_parameter(scope: Scope, node: Element, name: str) -> Any:
    """A parameter of a distribution: an expression of constants and other nodes."""
    val = expressions.evaluate_column(scope, expressions.expression_of(need_child(node, name)))
    return scope.columns.to_number(val).tensor


def distribution_of(node: Element) -> Element:
    """Element of the distribution inside a ContinuousDistribution."""
    return need_child(
        node, *(f"{name}DistributionForBN" for name in ("Normal", "Lognormal", "Uniform", "Triangular"))
    )


def density(scope: Scope, x: Any, node: Element) -> Any:
    """Normal, uniform, triangular, or normal of the logarithm."""
    columns, op, distribution = scope.columns, scope.columns.op, distribution_of(node)
    if distribution.tag == "TriangularDistributionForBN":
        return triangular_density(scope, x, distribution)
    if distribution.tag == "UniformDistributionForBN":
        low, high = (
            distribution_parameter(scope, distribution, "Lower"),
            distribution_parameter(scope, distribution, "Upper"),
        )
        inside = op.And(op.GreaterOrEqual(x, low), op.LessOrEqual(x, high))
        return op.Where(inside, op.Div(columns.scalar(1.0), op.Sub(high, low)), columns.scalar(0.0))
    mean, variance = (
        distribution_parameter(scope, distribution, "Mean"),
        distribution_parameter(scope, distribution, "Variance"),
    )
    above = op.Greater(x, columns.scalar(0.0))
    logarithmic = distribution.tag == "LognormalDistributionForBN"
    at = op.Log(op.Where(above, x, columns.scalar(1.0))) if logarithmic else x
    gap = op.Sub(at, mean)
    bell = special.exp(op, op.Div(op.Mul(op.Mul(gap, gap), columns.scalar(-0.5)), variance))
    bell_density = op.Div(bell, op.Sqrt(op.Mul(variance, columns.scalar(2 * math.pi))))
    return op.Where(above, op.Div(bell_density, x), columns.scalar(0.0)) if logarithmic else bell_density


def triangular_density(scope: Scope, x: Any, distribution: Element) -> Any:
    """The density of a triangle between two ends: its peak is where its mean makes it, 3 mean - lower -
    upper.

    Missing where that is not between them.
    """
    columns, op, zero = scope.columns, scope.columns.op, scope.columns.scalar(0.0)
    mean, low, high = (
        distribution_parameter(scope, distribution, name) for name in ("Mean", "Lower", "Upper")
    )
    mode = op.Sub(op.Mul(mean, columns.scalar(3.0)), op.Add(low, high))
    top = op.Div(columns.scalar(2.0), op.Sub(high, low))
    rising = op.Mul(top, op.Div(op.Sub(x, low), op.Sub(mode, low)))
    falling = op.Mul(top, op.Div(op.Sub(high, x), op.Sub(high, mode)))
    result = op.Where(op.Less(x, mode), rising, op.Where(op.Greater(x, mode), falling, top))
    result = op.Where(op.Or(op.Less(x, low), op.Greater(x, high)), zero, result)
    outside = op.Or(op.Less(mode, low), op.Greater(mode, high))
    return op.Where(outside, columns.scalar(math.nan), result)


def expected_value(scope: Scope, network: Network, name: str, weights: Any) -> Result:
    """The mean of a continuous node by the joint states."""
    columns, op = scope.columns, scope.columns.op
    distributions, index_of_state = network.distributions(name)
    parts = [*(distribution_mean(scope, d) for d in distributions), columns.constant(math.nan).tensor]
    possible = op.Greater(weights, columns.scalar(0.0))
    means = op.Gather(op.Concat(*parts, axis=1), index_of_state, axis=1)
    total = op.ReduceSum(op.Where(possible, op.Mul(weights, means), columns.scalar(0.0)), np.array([1]))
    return Result("regression", columns.number(op.Div(total, op.ReduceSum(weights, np.array([1])))))


def distribution_mean(scope: Scope, node: Element) -> Any:
    """The mean of a distribution."""
    columns, op, distribution = scope.columns, scope.columns.op, distribution_of(node)
    half = columns.scalar(0.5)
    if distribution.tag == "UniformDistributionForBN":
        return op.Mul(
            op.Add(
                distribution_parameter(scope, distribution, "Lower"),
                distribution_parameter(scope, distribution, "Upper"),
            ),
            half,
        )
    mean = distribution_parameter(scope, distribution, "Mean")
    if distribution.tag != "LognormalDistributionForBN":
        return mean
    return special.exp(
        op, op.Add(mean, op.Mul(distribution_parameter(scope, distribution, "Variance"), half))
    )
