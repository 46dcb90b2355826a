"""Small PMML documents for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bridge

pytest.importorskip("lxml")

from bridge_pmml.cases.common import ACTIVE, column, document, schema, transformed, write

__all__ = [
    "ACTIVE",
    "BASKET_FIELDS",
    "ITEMS",
    "ITEMSETS",
    "MODELS",
    "RULES",
    "SUPPORTS",
    "association_model",
    "column",
    "document",
    "forest_model",
    "kernel_machine",
    "network_model",
    "pipeline_model",
    "rows",
    "schema",
    "scores",
    "segmented_model",
    "transformed",
    "tree_model",
    "write",
]


def rows(x: Any = (), z: Any = (), c: Any = ()) -> dict[str, np.ndarray]:
    """Inputs x, z, c of equal length; None is missing."""
    count = max(len(x), len(z), len(c))
    x, z, c = (list(v) or [None] * count for v in (x, z, c))
    return {
        "x": column(x),
        "z": column(z),
        "c": np.array([["" if v is None else v] for v in c], object),
    }


def scores(path: Path, inputs: dict[str, np.ndarray], **options: Any) -> dict[str, list[Any]]:
    """Outputs of the hub model, as lists by name."""
    model = bridge.load(path, source="pmml", **options)
    given = {v.name: inputs[v.name] for v in model.graph.inputs}
    return {name: value[:, 0].tolist() for name, value in bridge.run(model, given).items()}


ITEMS = ["Cracker", "Coke", "Water", "Nachos", "Pear", "Banana"]
ITEMSETS = [(1,), (2,), (3,), (4,), (1, 3), (5, 6)]
RULES = [(1, 3), (3, 1), (1, 2), (5, 4), (3, 6)]
SUPPORTS = [0.8, 0.4, 0.6, 0.5, 0.5, 0.25]
BASKET_FIELDS = (
    '<DataField name="t" optype="categorical" dataType="string"/><DataField name="i" '
    'optype="categorical" dataType="string"/>'
)


def tree_model(
    attributes: str = "",
    target: str = "y",
    function: str = "regression",
    left: str = "1",
    right: str = "2",
) -> str:
    """One split of x at 0.1; a missing x goes right where the strategy asks for the default child."""
    return (
        f'<TreeModel functionName="{function}" {attributes}>{schema(target=target)}'
        '<Node id="r" score="0" defaultChild="b" recordCount="10"><True/>'
        f'<Node id="a" score="{left}" recordCount="4"><SimplePredicate field="x" operator="lessOrEqual" '
        'value="0.1"/></Node>'
        f'<Node id="b" score="{right}" recordCount="6"><SimplePredicate field="x" operator="greaterThan" '
        'value="0.1"/></Node>'
        "</Node></TreeModel>"
    )


def segmented_model(method: str, count: int = 3, function: str = "regression", attributes: str = "") -> str:
    """Segments of the regressions i x + i + 1, of weights 1, 2, …"""
    segments = []
    for index in range(count):
        table = (
            f'<RegressionTable intercept="{index + 1}"><NumericPredictor name="x" '
            f'coefficient="{index}"/></RegressionTable>'
        )
        segments.append(
            f'<Segment id="s{index}" weight="{index + 1}"><True/><RegressionModel functionName="regression">'
            f'<MiningSchema><MiningField name="x"/></MiningSchema>{table}</RegressionModel></Segment>'
        )
    segmentation = (
        f'<Segmentation multipleModelMethod="{method}" {attributes}>{"".join(segments)}</Segmentation>'
    )
    return f'<MiningModel functionName="{function}">{schema()}{segmentation}</MiningModel>'


def forest_model(method: str, function: str = "regression", target: str = "y") -> str:
    """Three trees of weights 1, 2, 4."""
    trees = "".join(
        "<Segment "
        f'weight="{w}"><True/>{tree_model(left=left, right=right, function=function, target=target)}</Segment>'
        for w, left, right in ((1, "1", "2"), (2, "3", "5"), (4, "1", "2"))
    )
    segmentation = f'<Segmentation multipleModelMethod="{method}">{trees}</Segmentation>'
    return f'<MiningModel functionName="{function}">{schema(target=target)}{segmentation}</MiningModel>'


def kernel_machine(kernel: str) -> str:
    """A regression of two support vectors of x and z."""
    vectors = (
        '<VectorFields><FieldRef field="x"/><FieldRef field="z"/></VectorFields><VectorInstance '
        'id="u"><Array n="2" type="real">1 2</Array></VectorInstance><VectorInstance '
        'id="v"><REAL-SparseArray '
        'n="2"><Indices>2</Indices><REAL-Entries>-1</REAL-Entries></REAL-SparseArray></VectorInstance>'
    )
    machine = (
        '<SupportVectorMachine><SupportVectors><SupportVector vectorId="u"/><SupportVector '
        'vectorId="v"/></SupportVectors><Coefficients absoluteValue="0.25"><Coefficient '
        'value="2"/><Coefficient value="-3"/></Coefficients></SupportVectorMachine>'
    )
    return (
        "<SupportVectorMachineModel "
        f'functionName="regression">{schema()}{kernel}<VectorDictionary>{vectors}</VectorDictionary>{machine}</SupportVectorMachineModel>'
    )


def network_model() -> str:
    """Two layers of x and z."""

    def neurons(depth: int, weights: list[list[float]]) -> str:
        return "".join(
            f'<Neuron id="{depth}{i}" bias="0.1">'
            + "".join(f'<Con from="{depth - 1}{j}" weight="{w}"/>' for j, w in enumerate(row))
            + "</Neuron>"
            for i, row in enumerate(weights)
        )

    inputs = "".join(
        f'<NeuralInput id="0{i}"><DerivedField optype="continuous" dataType="double"><NormContinuous '
        f'field="{f}">'
        '<LinearNorm orig="-1" norm="0"/><LinearNorm orig="1" '
        'norm="1"/></NormContinuous></DerivedField></NeuralInput>'
        for i, f in enumerate("xz")
    )
    output = (
        '<NeuralOutput outputNeuron="20"><DerivedField optype="continuous" dataType="double"><FieldRef '
        'field="y"/></DerivedField></NeuralOutput>'
    )
    return (
        '<NeuralNetwork functionName="regression" '
        f'activationFunction="tanh">{schema()}<NeuralInputs>{inputs}</NeuralInputs>'
        f"<NeuralLayer>{neurons(1, [[0.5, -1.5], [2, 0.3], [-0.2, 0.7]])}</NeuralLayer>"
        f'<NeuralLayer activationFunction="identity">{neurons(2, [[1.5, -2, 0.25]])}</NeuralLayer>'
        f"<NeuralOutputs>{output}</NeuralOutputs></NeuralNetwork>"
    )


def pipeline_model() -> str:
    """Missing values replaced, scaled, binned, and read by a forest."""
    derived = (
        '<LocalTransformations><DerivedField name="s" optype="continuous" dataType="double"><Apply '
        'function="/">'
        '<Apply function="-"><FieldRef '
        'field="x"/><Constant>0.25</Constant></Apply><Constant>1.5</Constant></Apply></DerivedField>'
        '<DerivedField name="b" optype="continuous" dataType="double"><Discretize field="z" '
        'defaultValue="0" dataType="double">'
        '<DiscretizeBin binValue="1"><Interval closure="openClosed" '
        'leftMargin="0"/></DiscretizeBin></Discretize></DerivedField>'
        "</LocalTransformations>"
    )
    table = (
        '<RegressionTable intercept="0.5"><NumericPredictor name="s" coefficient="2"/>'
        '<NumericPredictor name="b" coefficient="-3"/></RegressionTable>'
    )
    active = '<MiningField name="x" missingValueReplacement="0.5"/><MiningField name="z"/>'
    return (
        '<RegressionModel functionName="regression" '
        f'normalizationMethod="logit">{schema(active)}{derived}{table}</RegressionModel>'
    )


MODELS = {
    "tree": tree_model(),
    "linear": segmented_model("sum"),
    "network": network_model(),
    "pipeline": pipeline_model(),
    "machine": kernel_machine('<RadialBasisKernelType gamma="0.3"/>').replace('<MiningField name="c"/>', ""),
}


def association_model(
    output: str = "",
    rules: Sequence[tuple[int, int]] = RULES,
    group: str = '<MiningField name="t" usageType="group"/>',
) -> str:
    """The rules of the items of a basket, of falling support and rising confidence."""
    items = "".join(f'<Item id="{i + 1}" value="{v}"/>' for i, v in enumerate(ITEMS))
    sets = "".join(
        f'<Itemset id="{i + 1}" support="{SUPPORTS[i]}">'
        + "".join(f'<ItemRef itemRef="{j}"/>' for j in items)
        + "</Itemset>"
        for i, items in enumerate(ITEMSETS)
    )
    rule_elements = "".join(
        f'<AssociationRule antecedent="{a}" consequent="{c}" support="{0.5 - i / 10}" '
        f'confidence="{0.5 + i / 10}"/>'
        for i, (a, c) in enumerate(rules)
    )
    return (
        '<AssociationModel functionName="associationRules" numberOfTransactions="4" numberOfItems="6"'
        ' minimumSupport="0.6" minimumConfidence="0.5" numberOfItemsets="6" numberOfRules="5">'
        f'<MiningSchema>{group}<MiningField name="i"/></MiningSchema>'
        f"<Output>{output}</Output>{items}{sets}{rule_elements}</AssociationModel>"
    )
