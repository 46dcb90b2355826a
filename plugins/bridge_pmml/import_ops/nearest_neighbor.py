"""NearestNeighborModel: the training rows nearest to a record, and the prediction from them."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.errors import UnreadableFile
from bridge.ops import OpTable
from bridge.runtime import run_hub
from bridge_pmml.expressions import define
from bridge_pmml.fields import Scope
from bridge_pmml.functions import median
from bridge_pmml.measures import Measure
from bridge_pmml.reader import (
    Element,
    child,
    children,
    column,
    describe,
    inline_table,
    need_child,
    number,
    text,
)
from bridge_pmml.results import AFFINITY, Result, target_labels, targets_of, winner
from bridge_pmml.values import Columns, Val, as_tensor, is_text, parse

ops = OpTable()


class Training:
    """The training instances: cells by field, typed as the fields are."""

    def __init__(self, scope: Scope, node: Element) -> None:
        self.scope, self.node = scope, node
        instances = need_child(node, "TrainingInstances")
        fields = children(need_child(instances, "InstanceFields"), "InstanceField")
        self.column = {text(f, "field"): column(f, "column", text(f, "field")) for f in fields}
        self.rows = inline_table(instances)
        self.raw = instances.get("isTransformed", "false") != "true"
        if not self.rows:
            raise UnreadableFile(f"{describe(instances)} has no rows.")

    def cells(self, field: str) -> list[str]:
        if field not in self.column:
            raise UnreadableFile(f"{describe(self.node)}: its training instances have no {field!r}.")
        return [row.get(self.column[field], "") for row in self.rows]

    def has_field(self, field: str) -> bool:
        return field in self.column

    def derived_column(self, name: str) -> np.ndarray:
        """A derived field of the training rows, computed as it is for records."""
        graph = ir.Graph([], [], nodes=[], opset_imports={"": hub.HUB_OPSET, "ai.onnx.ml": hub.ML_OPSET})
        op = hub.Builder(graph)
        count = len(self.rows)
        columns = Columns(op, op.const(np.zeros((count, 1))))
        inner = Scope(columns, None)
        inner.functions = self.scope.functions
        for field in self.column:
            if self.scope.knows(field):
                val = self.scope.get(field)
                inner.names[field] = val.with_(tensor=op.const(as_tensor(self._typed(field, val), val.text)))
        root = self.node.getroottree().getroot()
        for dictionary in (child(root, "TransformationDictionary"), child(self.node, "LocalTransformations")):
            define(inner, dictionary)
        graph.outputs.append(op.Identity(columns.to_number(inner.get(name)).tensor))
        graph.outputs[0].name = "derived"
        return run_hub(ir.Model(graph, ir_version=hub.IR_VERSION), {})["derived"][:, 0]

    def _typed(self, field: str, val: Val) -> list[list[Any]]:
        gap: Any = "" if val.text else math.nan
        return [[parse(c, val.data_type) if c else gap] for c in self.cells(field)]


def encode_field(scope: Scope, training: Training, name: str) -> tuple[Val, np.ndarray]:
    """A field of records and of training rows as doubles: text by the place of its value."""
    columns, val = scope.columns, scope.get(name)
    if not training.has_field(name):
        return columns.to_number(val), training.derived_column(name)
    cells = training.cells(name)
    if not val.text:
        return val, np.array([parse(c, val.data_type) if c else math.nan for c in cells], np.float64)
    known = list(dict.fromkeys([*val.values, *cells]))
    codes = {v: float(i) for i, v in enumerate(known)}
    codes_of_records = columns.lookup(val, codes, -1.0, math.nan)
    return codes_of_records, np.array([codes[c] if c else math.nan for c in cells])


@ops.op("NearestNeighborModel")
def nearest_neighbors(scope: Scope, node: Element) -> Result:
    columns, op = scope.columns, scope.columns.op
    training = Training(scope, node)
    inputs = children(need_child(node, "KNNInputs"), "KNNInput")
    pairs = [encode_field(scope, training, text(i, "field")) for i in inputs]
    weights = [number(i, "fieldWeight", 1.0) for i in inputs]
    measure = Measure(columns, need_child(node, "ComparisonMeasure"), inputs, weights, np.ones(len(inputs)))
    x = columns.concat_numbers([val for val, _ in pairs])
    distances = measure.of(x, np.stack([stored for _, stored in pairs], axis=1))
    gone = op.Cast(op.ReduceMax(op.Cast(op.IsNaN(x), to=6), np.array([1])), to=9)
    count = int(number(node, "numberOfNeighbors"))
    if not 0 < count <= len(training.rows):
        raise UnreadableFile(f"{describe(node)}: numberOfNeighbors={count} of {len(training.rows)} rows.")
    near, rows = op.TopK(
        distances, np.array([count]), axis=1, largest=int(measure.similarity), sorted=1, _outputs=2
    )
    answers = {name: predict_target(scope, node, training, name, near, rows) for name in targets_of(node)}
    result = next(iter(answers.values()), Result("clustering"))
    if len(answers) > 1:
        result.others = {k: v for k, v in answers.items() if v is not result}
    identity = node.get("instanceIdVariable")
    ids = training.cells(identity) if identity else [str(i + 1) for i in range(len(training.rows))]
    names = columns.by_row(rows, ids).tensor
    for each in answers.values() or [result]:
        each.entities = [Val(columns.gather_column(names, i), "string", checked=True) for i in range(count)]
        each.affinity = columns.number(columns.gather_column(near, 0))
        each.outputs = partial(ranked_distance, columns, near, count, op.Not(gone))
    if not answers:
        result.defaults = {f"neighbor{i + 1}": v for i, v in enumerate(result.entities)}
    hidden = [(r, r.entities) for r in answers.values()]
    masked = result.masked(columns, op.Not(gone))
    for each, _ in hidden:
        if not identity:
            each.entities = []
    if not identity and answers:
        masked.defaults = named_predictions(scope, masked, answers)
    return masked


def ranked_distance(columns: Columns, distances: Any, count: int, keep: Any, item: Element) -> Val | None:
    """The distance of the neighbour of a rank but the first, missing beyond the last."""
    rank = int(number(item, "rank", 1))
    if item.get("feature") not in AFFINITY or rank == 1:
        return None
    if not 0 < rank <= count:
        return columns.constant(math.nan)
    return columns.blank(columns.number(columns.gather_column(distances, rank - 1)), keep)


def named_predictions(scope: Scope, result: Result, answers: dict[str, Result]) -> dict[str, Val]:
    """Predictions by target, where nothing else is asked for."""
    predictions: dict[str, Val] = {}
    for name, each in {next(iter(answers)): result, **result.others}.items():
        if each.value is not None:
            predictions[f"predicted_{name}"] = each.value
    return predictions if len(predictions) > 1 else {}


def predict_target(
    scope: Scope, node: Element, training: Training, name: str, distances: Any, rows: Any
) -> Result:
    """Prediction of one target from its neighbours."""
    columns, op = scope.columns, scope.columns.op
    declared = scope.declared(name)
    data_type = declared.data_type if declared else "string"
    cells = training.cells(name)
    least = number(node, "threshold", 0.001)
    combine = op.Max if 0 < least < np.finfo(np.float32).tiny else op.Add
    weighted = op.Div(columns.scalar(1.0), combine(distances, columns.scalar(least)))
    if is_text(data_type) or (declared is not None and not declared.continuous):
        return vote_classes(scope, node, cells, data_type, weighted, rows, name)
    values = columns.by_row(rows, [parse(c, data_type) for c in cells]).tensor
    method = node.get("continuousScoringMethod", "average")
    if method == "average":
        prediction = op.ReduceMean(values, np.array([1]))
    elif method == "median":
        assert values.shape is not None
        width = int(values.shape[1])
        prediction = median(op, values, columns.constant(float(width)).tensor, width)
    elif method == "weightedAverage":
        prediction = op.Div(
            op.ReduceSum(op.Mul(weighted, values), np.array([1])), op.ReduceSum(weighted, np.array([1]))
        )
    else:
        raise UnreadableFile(f"{describe(node)}: continuousScoringMethod={method!r} is unknown.")
    return Result("regression", columns.number(prediction), target=name)


def vote_classes(
    scope: Scope, node: Element, cells: list[str], data_type: str, weighted: Any, rows: Any, name: str
) -> Result:
    """The class of most neighbours; of several the one with more training rows, then the first."""
    columns, op = scope.columns, scope.columns.op
    labels, _ = (
        target_labels(scope, node, cells)
        if name == targets_of(node)[0]
        else (_target_classes(scope, name, cells), data_type)
    )
    index_of_class = {parse(v, data_type): i for i, v in enumerate(labels)}
    coded = np.array([index_of_class[parse(c, data_type)] for c in cells])
    one_hot = op.Gather(op.const(np.eye(len(labels))), op.Gather(op.const(coded), rows, axis=0), axis=0)
    method = node.get("categoricalScoringMethod", "majorityVote")
    if method == "weightedMajorityVote":
        one_hot = op.Mul(one_hot, op.Unsqueeze(weighted, np.array([2])))
    votes = op.ReduceSum(one_hot, np.array([1]), keepdims=0)
    frequency = np.bincount(coded, minlength=len(labels)) / (len(cells) + 1.0)
    decided = votes
    if method == "majorityVote":
        decided = op.Add(votes, op.const(frequency[None]))
    value = winner(columns, decided, labels, data_type)
    share = op.Div(votes, op.ReduceSum(votes, np.array([1])))
    return Result(
        "classification", value, target=name, labels=labels, data_type=data_type, probabilities=share
    )


def _target_classes(scope: Scope, name: str, cells: list[str]) -> tuple[str, ...]:
    declared = scope.declared(name)
    return (declared.valid if declared else ()) or tuple(dict.fromkeys(cells))
