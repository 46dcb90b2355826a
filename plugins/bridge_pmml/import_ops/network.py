"""BayesianNetworkModel of discrete nodes: the joint probabilities are a table, and what a record tells selects from it."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from bridge.errors import UnreadableFile, UnsupportedModel
from bridge.ops import OpTable
from bridge.report import Blocker
from bridge_pmml import expressions
from bridge_pmml.fields import Scope
from bridge_pmml.reader import Element, children, describe, need, number, text
from bridge_pmml.results import Result, classified, target_labels, targets_of
from bridge_pmml.values import parse

ops = OpTable("PMML Bayesian network import")
LARGEST = 200_000


class Network:
    """Nodes by name, in the document's order, and the values each can have."""

    def __init__(self, node: Element) -> None:
        held = need(node, "BayesianNetworkNodes")
        continuous = children(held, "ContinuousNode")
        if continuous:
            reason = "has a continuous node, whose posterior is no finite sum"
            raise UnsupportedModel(
                "A Bayesian network cannot be read:",
                [Blocker("BayesianNetworkModel", describe(continuous[0]), "", reason)],
            )
        self.nodes = {text(n, "name"): n for n in children(held, "DiscreteNode")}
        self.values = {name: _values(n) for name, n in self.nodes.items()}
        size = math.prod(len(v) for v in self.values.values())
        if not self.nodes or size > LARGEST:
            raise UnreadableFile(f"{describe(node)} has no nodes, or more than {LARGEST} joint states.")
        ranges = (range(len(v)) for v in self.values.values())
        self.states = np.array(list(itertools.product(*ranges)), np.int64)
        self.joint = np.prod([self._of(name) for name in self.nodes], axis=0)

    def place(self, name: str) -> np.ndarray:
        """The value of a node in every joint state."""
        if name not in self.nodes:
            raise UnreadableFile(f"The network has no node {name!r}.")
        return self.states[:, list(self.nodes).index(name)]

    def _of(self, name: str) -> np.ndarray:
        """P(node | parents) in every joint state."""
        node, places = self.nodes[name], {v: i for i, v in enumerate(self.values[name])}
        found = np.zeros(len(self.states))
        own = children(node, "ValueProbability")
        if own:
            return _table(own, places)[self.place(name)]
        for each in children(node, "DiscreteConditionalProbability"):
            here = np.ones(len(self.states), bool)
            for parent in children(each, "ParentValue"):
                other, value = text(parent, "parent"), text(parent, "value")
                held = self.values.get(other, [])
                if value not in held:
                    raise UnreadableFile(f"{describe(parent)}: {other!r} has no value {value!r}.")
                here &= self.place(other) == held.index(value)
            found[here] = _table(children(each, "ValueProbability"), places)[self.place(name)[here]]
        return found


def _values(node: Element) -> list[str]:
    """The values of a node, in the order they are first listed."""
    found = list(dict.fromkeys(text(v, "value") for v in node.iter("ValueProbability")))
    if not found:
        raise UnreadableFile(f"{describe(node)} has no probabilities.")
    return found


def _table(entries: list[Element], places: dict[str, int]) -> np.ndarray:
    found = np.zeros(len(places))
    for entry in entries:
        found[places[text(entry, "value")]] = number(entry, "probability")
    return found


@ops.op("BayesianNetworkModel")
def bayesian_network(scope: Scope, node: Element) -> Result:
    """Posterior of the target: Σ of the joint states a record allows; a node that is missing, or no field, is summed over."""
    columns, op, network = scope.columns, scope.columns.op, Network(node)
    names = targets_of(node)
    if len(names) != 1 or names[0] not in network.nodes:
        raise UnreadableFile(f"{describe(node)} needs one target that is a node of the network.")
    weights: Any = op.const(network.joint[None])
    for name, entry in network.nodes.items():
        derived = children(entry, "DerivedField")
        if name == names[0] or not (derived or scope.knows(name)):
            continue
        val = expressions.derived(scope, derived[0]) if derived else scope.get(name)
        held = network.values[name]
        at = columns.index(val, [parse(v, val.kind) for v in held], len(held))
        allowed = np.concatenate([np.eye(len(held)), np.zeros((1, len(held)))])
        rows = op.Gather(op.const(allowed), op.Squeeze(at, np.array([1])), axis=0)
        gone = columns.missing(val)
        if gone is not False:
            rows = op.Where(columns.column(gone), columns.scalar(1.0), rows)
        weights = op.Mul(weights, op.Gather(rows, network.place(name), axis=1))
    if weights.producer() is None:
        weights = op.Mul(weights, columns.constant(1.0).tensor)
    found = network.values[names[0]]
    labels, kind = target_labels(scope, node, found)
    order = [parse(v, kind) for v in labels]
    table = np.zeros((len(network.states), len(labels)))
    for row, value in enumerate(network.place(names[0])):
        table[row, order.index(parse(found[value], kind))] = 1.0
    shares = op.MatMul(weights, op.const(table))
    return classified(columns, op.Div(shares, op.ReduceSum(shares, np.array([1]))), labels, kind)
