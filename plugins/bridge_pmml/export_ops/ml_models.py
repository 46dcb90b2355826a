"""Models lifted from tensor operators: regressions, neural networks, clusters."""

from __future__ import annotations

from typing import Any

import numpy as np
from lxml import etree

from bridge.hub import attr, rank_of
from bridge.ops import OpTable
from bridge_pmml.document import Cols, Ref, format_literal
from bridge_pmml.lift_models import DOMAIN

ops = OpTable()


def dense_layers(node: Any) -> list[tuple[np.ndarray, np.ndarray, str]]:
    """Weights [inputs, neurons], biases and activation of each layer."""
    weights, biases = ([t.numpy() for t in attr(node, name)] for name in ("weights", "biases"))
    return list(zip(weights, biases, attr(node, "activations"), strict=True))


def probabilities(names: list[str]) -> list[dict[str, str]]:
    return [{"feature": "probability", "value": name} for name in names]


def regression_table(
    parent: Any, columns: list[Ref], weights: np.ndarray, bias: float, **attributes: str
) -> None:
    """A RegressionTable; equal fields are added up."""
    table = etree.SubElement(parent, "RegressionTable", intercept=format_literal(float(bias)), **attributes)
    total: dict[str, float] = {}
    for column, weight in zip(columns, weights, strict=True):
        total[column.name] = total.get(column.name, 0.0) + float(weight)
    for name, weight in total.items():
        etree.SubElement(table, "NumericPredictor", name=name, coefficient=format_literal(weight))


@ops.op(f"{DOMAIN}::Regression")
def regression(doc, node, x):
    """A model per column; or one of all classes, whose probabilities are the columns."""
    [(weights, bias, _)], columns = dense_layers(node), doc.columns(x)
    method, count = attr(node, "normalization"), weights.shape[1]
    if count > 1 and method != "none":
        return classification_model(doc, columns, weights, bias, method)
    items = []
    for index in range(count):
        model = etree.Element("RegressionModel", functionName="regression", normalizationMethod=method)
        regression_table(model, columns, weights[:, index], bias[index])
        items += doc.add_model(model, columns)
    return Cols(items, rank_of(node.outputs[0]) == 1)


def classification_model(
    doc: Any, columns: list[Ref], weights: np.ndarray, bias: np.ndarray, method: str
) -> Cols:
    """Probabilities by class; of two opposite scores the second is the model, the first its complement."""
    model = etree.Element("RegressionModel", functionName="classification", normalizationMethod=method)
    names = doc.class_names(len(bias))
    for index, name in enumerate(names):
        if method == "logit":
            coefficients = (weights[:0, 0], 0.0) if index else (weights[:, 1], bias[1])
            regression_table(model, [] if index else columns, *coefficients, targetCategory=names[1 - index])
        else:
            regression_table(model, columns, weights[:, index], bias[index], targetCategory=name)
    return Cols(doc.add_model(model, columns, *probabilities(names), target=doc.target(names)))


@ops.op(f"{DOMAIN}::Network")
def network(doc, node, x):
    """Neurons are numbered layer by layer, from the inputs on; the output is a number, or there is one per
    class."""
    columns, layers = doc.columns(x), dense_layers(node)
    width = layers[-1][0].shape[1]
    names = doc.class_names(width) if width > 1 else []
    model = etree.Element(
        "NeuralNetwork",
        functionName="classification" if names else "regression",
        activationFunction="identity",
        numberOfLayers=str(len(layers)),
    )
    inputs = etree.SubElement(model, "NeuralInputs", numberOfInputs=str(len(columns)))
    for index, column in enumerate(columns):
        entry = etree.SubElement(inputs, "NeuralInput", id=f"0,{index}")
        derived = etree.SubElement(entry, "DerivedField", optype="continuous", dataType="double")
        etree.SubElement(derived, "FieldRef", field=column.name)
    for depth, layer in enumerate(layers, 1):
        neural_layer(model, depth, *layer)
    if attr(node, "normalization") == "softmax":
        model[-1].set("normalizationMethod", "softmax")
    target = doc.target(names)
    outputs = etree.SubElement(model, "NeuralOutputs", numberOfOutputs=str(width))
    for index in range(width):
        entry = etree.SubElement(outputs, "NeuralOutput", outputNeuron=f"{len(layers)},{index}")
        derived = etree.SubElement(entry, "DerivedField", optype="continuous", dataType="double")
        if names:
            etree.SubElement(derived, "NormDiscrete", field=target, value=names[index])
        else:
            etree.SubElement(derived, "FieldRef", field=target)
    return Cols(doc.add_model(model, columns, *probabilities(names), target=target))


def neural_layer(model: Any, depth: int, weights: np.ndarray, bias: np.ndarray, activation: str) -> None:
    """One NeuralLayer, every neuron connected to all of the layer before."""
    count = str(len(bias))
    layer = etree.SubElement(model, "NeuralLayer", numberOfNeurons=count, activationFunction=activation)
    for index, own in enumerate(bias):
        neuron = etree.SubElement(layer, "Neuron", id=f"{depth},{index}", bias=format_literal(float(own)))
        for source, weight in enumerate(weights[:, index]):
            etree.SubElement(
                neuron, "Con", {"from": f"{depth - 1},{source}", "weight": format_literal(float(weight))}
            )


@ops.op(f"{DOMAIN}::Clusters")
def clusters(doc, node, x):
    """Squared distances to the centres."""
    columns, centers = doc.columns(x), attr(node, "centers").numpy()
    model = etree.Element(
        "ClusteringModel",
        functionName="clustering",
        modelClass="centerBased",
        numberOfClusters=str(len(centers)),
    )
    measure = etree.SubElement(model, "ComparisonMeasure", kind="distance")
    etree.SubElement(measure, "squaredEuclidean")
    for column in columns:
        etree.SubElement(model, "ClusteringField", field=column.name, compareFunction="absDiff")
    for index, center in enumerate(centers):
        cluster = etree.SubElement(model, "Cluster", id=str(index + 1))
        array = etree.SubElement(cluster, "Array", n=str(len(center)), type="real")
        array.text = " ".join(format_literal(float(v)) for v in center)
    wanted = [{"feature": "affinity", "value": str(i + 1)} for i in range(len(centers))]
    return Cols(doc.add_model(model, columns, *wanted))
