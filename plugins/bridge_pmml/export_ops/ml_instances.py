"""Models that compare a record with stored ones: nearest neighbours, kernel machines in double."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from lxml import etree

from bridge.hub import attr
from bridge.ops import OpTable
from bridge_pmml.document import Cols, format_literal
from bridge_pmml.lift_models import DOMAIN

ops = OpTable()


@ops.op(f"{DOMAIN}::Neighbors")
def neighbors(doc, node, x):
    """A target per column of the table. PMML4S divides weighted averages by the number of neighbours once
    more, so a last target that is 1 in every row makes up for it."""
    rows, table = attr(node, "rows").numpy(), attr(node, "table").numpy()
    threshold, columns = attr(node, "threshold"), doc.columns(x)
    weighted = threshold >= 0
    if weighted:
        table = np.concatenate([table, np.ones((len(table), 1))], axis=1)
    targets = [doc.target() for _ in range(table.shape[1])]
    model = etree.Element(
        "NearestNeighborModel", functionName="regression", numberOfNeighbors=str(attr(node, "count"))
    )
    model.set("continuousScoringMethod", "weightedAverage" if weighted else "average")
    if weighted:
        model.set("threshold", format_literal(float(threshold)))
    add_training_instances(model, columns, targets, np.concatenate([rows, table], axis=1))
    measure = etree.SubElement(model, "ComparisonMeasure", kind="distance")
    power = attr(node, "power")
    name = {1.0: "cityBlock", 2.0: "euclidean", math.inf: "chebychev"}.get(power, "minkowski")
    metric = etree.SubElement(measure, name)
    if name == "minkowski":
        metric.set("p-parameter", format_literal(float(power)))
    inputs = etree.SubElement(model, "KNNInputs")
    for column in columns:
        etree.SubElement(inputs, "KNNInput", field=column.name, compareFunction="absDiff")
    wanted = [{"feature": "predictedValue", "targetField": name} for name in targets]
    items = doc.add_model(model, columns, *wanted, target=targets)
    return Cols([doc.apply("/", item, items[-1]) for item in items[:-1]] if weighted else items)


def add_training_instances(model: Any, columns: list[Any], targets: list[str], rows: np.ndarray) -> None:
    """TrainingInstances of fields and targets; the columns of its table are c1, c2, …"""
    instances = etree.SubElement(
        model,
        "TrainingInstances",
        isTransformed="true",
        recordCount=str(len(rows)),
        fieldCount=str(rows.shape[1]),
    )
    fields = etree.SubElement(instances, "InstanceFields")
    for index, name in enumerate([*(c.name for c in columns), *targets]):
        etree.SubElement(fields, "InstanceField", field=name, column=f"c{index + 1}")
    table = etree.SubElement(instances, "InlineTable")
    for row in rows:
        entry = etree.SubElement(table, "row")
        for index, value in enumerate(row):
            etree.SubElement(entry, f"c{index + 1}").text = format_literal(float(value))


KERNELS = {
    "radial": ("RadialBasis", ("gamma",)),
    "polynomial": ("Polynomial", ("gamma", "coef0", "degree")),
    "sigmoid": ("Sigmoid", ("gamma", "coef0")),
}


@ops.op(f"{DOMAIN}::Kernels")
def kernels(doc, node, x):
    """Σ weight · kernel(x, row): a SupportVectorMachineModel per column of weights."""
    rows, weights = attr(node, "rows").numpy(), attr(node, "weights").numpy()
    columns = doc.columns(x)
    items = []
    for index in range(weights.shape[1]):
        name, given = KERNELS[attr(node, "kernel")]
        settings = {each: format_literal(float(attr(node, each))) for each in given}
        kernel = etree.Element(f"{name}KernelType", settings)
        items += support_vector_machine(doc, columns, kernel, rows, weights[:, index], 0.0)
    return Cols(items)


def support_vector_machine(
    doc: Any, columns: list[Any], kernel: Any, vectors: np.ndarray, weights: np.ndarray, rho: float
) -> Any:
    """A SupportVectorMachineModel of these vectors as fields of the document: Σ weight · K(vector, x) +
    rho."""
    model = etree.Element(
        "SupportVectorMachineModel", functionName="regression", svmRepresentation="SupportVectors"
    )
    model.append(kernel)
    dictionary = etree.SubElement(model, "VectorDictionary", numberOfVectors=str(len(vectors)))
    fields = etree.SubElement(dictionary, "VectorFields", numberOfFields=str(vectors.shape[1]))
    for column in columns:
        etree.SubElement(fields, "FieldRef", field=column.name)
    for index, vector in enumerate(vectors):
        instance = etree.SubElement(dictionary, "VectorInstance", id=str(index + 1))
        array = etree.SubElement(instance, "Array", n=str(len(vector)), type="real")
        array.text = " ".join(format_literal(float(v)) for v in vector)
    machine = etree.SubElement(model, "SupportVectorMachine")
    supports = etree.SubElement(machine, "SupportVectors", numberOfSupportVectors=str(len(vectors)))
    for index in range(len(vectors)):
        etree.SubElement(supports, "SupportVector", vectorId=str(index + 1))
    coefficients = etree.SubElement(
        machine, "Coefficients", absoluteValue=format_literal(rho), numberOfCoefficients=str(len(weights))
    )
    for weight in weights:
        etree.SubElement(coefficients, "Coefficient", value=format_literal(float(weight)))
    return doc.add_model(model, columns)
