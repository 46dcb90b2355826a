"""NeuralNetwork: layers of neurons as matrix products."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bridge.errors import UnreadableFile
from bridge.ops import OpTable
from bridge_pmml import expressions, special
from bridge_pmml.fields import Scope
from bridge_pmml.import_ops.regression import reorder_columns, sigmoid, softmax
from bridge_pmml.reader import Element, children, describe, need_child, number, text
from bridge_pmml.results import Result, classified, target_labels, targets_of
from bridge_pmml.values import Columns, parse

ops = OpTable()


def apply_activation(
    columns: Columns, name: str, z: Any, threshold: float, leakage: float, node: Element
) -> Any:
    """An activation function of PMML, of a double matrix; `leakage` is what of a negative value a rectifier
    lets through."""
    op, one = columns.op, columns.scalar(1.0)
    below = columns.scalar(0.0) if leakage == 0 else op.Mul(z, columns.scalar(leakage))
    table: dict[str, Any] = {
        "threshold": lambda: op.Cast(op.Greater(z, columns.scalar(threshold)), to=11),
        "logistic": lambda: sigmoid(op, z),
        "tanh": lambda: op.Tanh(z),
        "identity": lambda: z,
        "exponential": lambda: special.exp(op, z),
        "reciprocal": lambda: op.Reciprocal(z),
        "square": lambda: op.Mul(z, z),
        "Gauss": lambda: special.exp(op, op.Neg(op.Mul(z, z))),
        "sine": lambda: op.Sin(z),
        "cosine": lambda: op.Cos(z),
        "Elliott": lambda: op.Div(z, op.Add(one, op.Abs(z))),
        "arctan": lambda: op.Mul(columns.scalar(2 / math.pi), special.atan(op, z)),
        "rectifier": lambda: op.Where(op.Less(z, columns.scalar(0.0)), below, z),
    }
    if name not in table:
        raise UnreadableFile(f"{describe(node)}: the activation {name!r} is unknown.")
    activated = table[name]()
    return op.Where(op.IsNaN(z), z, activated) if name == "threshold" else activated


class Network:
    """Values by neuron: the matrix they are a column of."""

    def __init__(self, scope: Scope, node: Element) -> None:
        self.scope, self.node, self.columns = scope, node, scope.columns
        self.neurons: dict[str, tuple[Any, int, int]] = {}
        inputs = children(need_child(node, "NeuralInputs"), "NeuralInput")
        vals = []
        for each in inputs:
            field = need_child(each, "DerivedField")
            vals.append(expressions.evaluate_column(scope, expressions.expression_of(field)))
        self._add_neurons([text(i, "id") for i in inputs], self.columns.concat_numbers(vals))
        for layer in children(node, "NeuralLayer"):
            self._layer(layer)

    def _add_neurons(self, ids: list[str], matrix: Any) -> None:
        for index, name in enumerate(ids):
            self.neurons[name] = (matrix, index, len(ids))

    def _layer(self, layer: Element) -> None:
        columns, op, node = self.columns, self.columns.op, self.node
        neurons = children(layer, "Neuron")
        if not neurons:
            raise UnreadableFile(f"{describe(layer)} has no neurons.")
        name = layer.get("activationFunction") or node.get("activationFunction", "")
        if name == "radialBasis":
            z = self._radial(layer, neurons)
        else:
            z = self._sums(neurons)
            threshold, leakage = (
                number(layer, attribute, number(node, attribute, 0.0))
                for attribute in ("threshold", "x-leakage")
            )
            z = apply_activation(columns, name, z, threshold, leakage, layer)
        method = layer.get("normalizationMethod") or node.get("normalizationMethod", "none")
        if method == "softmax":
            z = softmax(op, z)
        elif method == "simplemax":
            z = op.Div(z, op.ReduceSum(z, np.array([1])))
        elif method != "none":
            raise UnreadableFile(f"{describe(layer)}: the normalization {method!r} is unknown.")
        self._add_neurons([text(n, "id") for n in neurons], z)

    def _sums(self, neurons: list[Element]) -> Any:
        """Σ weight · value + bias, for each matrix the layer reads."""
        op = self.columns.op
        weights: dict[int, tuple[Any, np.ndarray]] = {}
        for column, neuron in enumerate(neurons):
            for con in children(neuron, "Con"):
                matrix, index, width = self._source(con)
                kernel = weights.setdefault(id(matrix), (matrix, np.zeros((width, len(neurons)))))[1]
                kernel[index, column] += number(con, "weight")
        bias = np.array([[number(n, "bias", 0.0) for n in neurons]])
        total = None
        for matrix, kernel in weights.values():
            product = op.MatMul(matrix, op.const(kernel))
            total = product if total is None else op.Add(total, product)
        if total is None:
            raise UnreadableFile(f"{describe(neurons[0].getparent())} has no connections.")
        return op.Add(total, op.const(bias))

    def _source(self, con: Element) -> tuple[Any, int, int]:
        name = text(con, "from")
        if name not in self.neurons:
            raise UnreadableFile(f"{describe(con.getparent())}: there is no neuron {name!r} before it.")
        return self.neurons[name]

    def _radial(self, layer: Element, neurons: list[Element]) -> Any:
        """exp(f · ln(altitude) - Σ (w - x)² / (2 · width²)), f the number of connections."""
        columns, op, node = self.columns, self.columns.op, self.node
        parts = []
        for neuron in neurons:
            total = columns.constant(0.0).tensor
            cons = children(neuron, "Con")
            for con in cons:
                matrix, index, _ = self._source(con)
                gap = op.Sub(columns.gather_column(matrix, index), columns.scalar(number(con, "weight")))
                total = op.Add(total, op.Mul(gap, gap))
            width = number(neuron, "width", number(layer, "width", number(node, "width", math.nan)))
            altitude = number(neuron, "altitude", number(layer, "altitude", number(node, "altitude", 1.0)))
            z = op.Mul(total, columns.scalar(-1 / (2 * width * width)))
            parts.append(special.exp(op, op.Add(z, columns.scalar(len(cons) * math.log(altitude)))))
        return op.Concat(*parts, axis=1)


@ops.op("NeuralNetwork")
def neural_network(scope: Scope, node: Element) -> Result:
    network = Network(scope, node)
    columns = scope.columns
    regressions: dict[str, Result] = {}
    classes: dict[str, list[tuple[str, Any, str]]] = {}
    for each in children(need_child(node, "NeuralOutputs"), "NeuralOutput"):
        name = text(each, "outputNeuron")
        if name not in network.neurons:
            raise UnreadableFile(f"{describe(each)}: there is no neuron {name!r}.")
        matrix, index, _ = network.neurons[name]
        column = columns.gather_column(matrix, index)
        field, expression = output_expression(scope, each)
        if expression.tag == "NormDiscrete":
            classes.setdefault(field, []).append((text(expression, "value"), column, name))
        elif expression.tag == "NormContinuous":
            regressions[field] = Result(
                "regression", columns.number(denormalize(columns, expression, column))
            )
        else:
            regressions[field] = Result("regression", columns.number(column))
    results = {**regressions, **{f: _classes(scope, node, entries) for f, entries in classes.items()}}
    if not results:
        raise UnreadableFile(f"{describe(node)} has no NeuralOutput.")
    names = targets_of(node)
    first = results.get(names[0]) if names else None
    result = first or next(iter(results.values()))
    if len(results) > 1:
        result.others = {k: v for k, v in results.items() if v is not result}
    return result


def output_expression(scope: Scope, output: Element) -> tuple[str, Element]:
    """Target field and expression of a NeuralOutput; a FieldRef may lead to a derived field."""
    expression = expressions.expression_of(need_child(output, "DerivedField"))
    seen = 0
    while expression.tag == "FieldRef" and seen < 16:
        name = text(expression, "field")
        derived = next(
            (d for d in output.getroottree().getroot().iter("DerivedField") if d.get("name") == name), None
        )
        if derived is None:
            return name, expression
        expression, seen = expressions.expression_of(derived), seen + 1
    return text(expression, "field"), expression


def denormalize(columns: Columns, node: Element, y: Any) -> Any:
    """The original value whose NormContinuous is y."""
    op = columns.op
    points = sorted((number(p, "norm"), number(p, "orig")) for p in children(node, "LinearNorm"))
    norm, orig = np.array(points).T
    slope = np.diff(orig) / np.diff(norm)
    segment: Any = np.array([[0]], np.int64)
    if len(points) > 2:
        over = op.GreaterOrEqual(y, op.const(norm[None, 1:-1]))
        segment = op.ReduceSum(op.Cast(over, to=7), np.array([1]))
    start, gain, base = (op.Gather(op.const(v), segment, axis=0) for v in (norm[:-1], slope, orig[:-1]))
    return op.Add(base, op.Mul(op.Sub(y, start), gain))


def _classes(scope: Scope, node: Element, entries: list[tuple[str, Any, str]]) -> Result:
    columns, op = scope.columns, scope.columns.op
    categories = [c for c, _, _ in entries]
    labels, data_type = target_labels(scope, node, categories)
    matrix = op.Concat(*(c for _, c, _ in entries), axis=1)
    if len(entries) == 1 and len(labels) == 2:
        categories.append(next(v for v in labels if parse(v, data_type) != parse(categories[0], data_type)))
        matrix = op.Concat(matrix, op.Sub(columns.scalar(1.0), matrix), axis=1)
    result = classified(
        columns, reorder_columns(columns, matrix, categories, labels, data_type), labels, data_type
    )
    if result.value is not None and len(entries) == len(categories):
        names = {parse(c, data_type): n for c, _, n in entries}
        result.entities = [columns.lookup(result.value, names)]
    return result
