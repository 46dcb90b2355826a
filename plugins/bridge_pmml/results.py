"""Results of models, and their Targets and Output, which turn them into named columns."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bridge.errors import UnreadableFile, UnsupportedModel
from bridge.report import Blocker
from bridge_pmml import expressions
from bridge_pmml.fields import Scope
from bridge_pmml.functions import round_half_up
from bridge_pmml.reader import Element, child, children, describe, number, optional, text
from bridge_pmml.values import Columns, Val, is_text, logical_not, parse

AFFINITY = ("affinity", "clusterAffinity", "entityAffinity")
ENTITY = ("entityId", "clusterId", "ruleId")


@dataclass
class Result:
    """A model's answer. `labels` are the classes as written, `probabilities` and `confidences` [N, C] in
    their order.

    `outputs` gives what an OutputField asks of this kind of model alone."""

    function: str = "regression"
    value: Val | None = None
    target: str = ""
    labels: tuple[str, ...] = ()
    data_type: str = "string"
    probabilities: Any = None
    confidences: Any = None
    confidence: Val | None = None
    entities: list[Val] = field(default_factory=list)
    affinity: Val | None = None
    affinities: dict[str, Val] = field(default_factory=dict)
    reasons: list[Val] = field(default_factory=list)
    display: Val | None = None
    others: dict[str, Result] = field(default_factory=dict)
    segments: dict[str, tuple[Result, dict[str, Val]]] = field(default_factory=dict)
    defaults: dict[str, Val] = field(default_factory=dict)
    scope: Scope | None = None
    outputs: Callable[[Element], Val | None] = lambda item: None

    def probability(self, columns: Columns, label: str) -> Val:
        return self._class_column(columns, self.probabilities, label)

    def _class_column(self, columns: Columns, matrix: Any, label: str) -> Val:
        if matrix is None or label not in self.labels:
            return columns.constant(math.nan)
        return columns.number(columns.gather_column(matrix, self.labels.index(label)))

    def of_winner(self, columns: Columns, matrix: Any) -> Val:
        """The entry of the predicted class."""
        if matrix is None or self.value is None:
            return columns.constant(math.nan)
        op = columns.op
        index = columns.category_index(self.value, [parse(v, self.value.data_type) for v in self.labels], -1)
        here = op.GreaterOrEqual(index, np.array([[0]], np.int64))
        entry = op.GatherElements(matrix, op.Max(index, np.array([[0]], np.int64)), axis=1)
        return columns.blank(columns.number(entry), here)

    def masked(self, columns: Columns, keep: Any) -> Result:
        """The same answer where `keep` holds, missing elsewhere."""
        if keep is True:
            return self

        def mask_column(val: Val | None) -> Val | None:
            return None if val is None else columns.blank(val, keep)

        def mask_matrix(matrix: Any) -> Any:
            return None if matrix is None else columns.op.Where(keep, matrix, columns.scalar(math.nan))

        return Result(
            self.function,
            mask_column(self.value),
            self.target,
            self.labels,
            self.data_type,
            mask_matrix(self.probabilities),
            mask_matrix(self.confidences),
            mask_column(self.confidence),
            [columns.blank(v, keep) for v in self.entities],
            mask_column(self.affinity),
            {k: columns.blank(v, keep) for k, v in self.affinities.items()},
            [columns.blank(v, keep) for v in self.reasons],
            mask_column(self.display),
            {k: r.masked(columns, keep) for k, r in self.others.items()},
            {
                s: (r.masked(columns, keep), {k: columns.blank(v, keep) for k, v in vals.items()})
                for s, (r, vals) in self.segments.items()
            },
            {k: columns.blank(v, keep) for k, v in self.defaults.items()},
            self.scope,
            self.outputs,
        )


def target_name(node: Element) -> str:
    """The field a model predicts, "" when it names none."""
    names = targets_of(node)
    return names[0] if names else ""


def targets_of(node: Element) -> list[str]:
    schema = child(node, "MiningSchema")
    return [
        text(m, "name")
        for m in children(schema, "MiningField")
        if m.get("usageType") in ("predicted", "target")
    ]


def target_labels(scope: Scope, node: Element, observed: list[str]) -> tuple[tuple[str, ...], str]:
    """The classes of a model's target, and their data type: as its Targets or data field list them, else as
    found."""
    name = target_name(node)
    declared = scope.declared(name) if name else None
    data_type = declared.data_type if declared else "string"
    listed = tuple(v.get("value") for v in node.iterfind("Targets/Target/TargetValue") if v.get("value"))
    labels = listed or (declared.valid if declared else ()) or tuple(dict.fromkeys(observed))
    label_of_key = {parse(v, data_type): v for v in labels}
    extra = [f for f in dict.fromkeys(observed) if parse(f, data_type) not in label_of_key]
    return (*labels, *extra), data_type


def winner(
    columns: Columns, matrix: Any, labels: tuple[str, ...], data_type: str, largest: bool = True
) -> Val:
    """The class of the largest (smallest) entry, the first of several; missing where an entry is missing."""
    op = columns.op
    filler = columns.scalar(-math.inf if largest else math.inf)
    clean = op.Where(op.IsNaN(matrix), filler, matrix)
    index = op.node("ArgMax" if largest else "ArgMin", clean, axis=1, keepdims=1)
    label = columns.by_row(index, [parse(v, data_type) for v in labels], data_type).with_(
        values=labels, checked=True
    )
    any_missing = op.ReduceMax(op.IsNaN(matrix), np.array([1]))
    return columns.blank(label, op.Not(any_missing)).with_(values=labels)


def classified(columns: Columns, matrix: Any, labels: tuple[str, ...], data_type: str) -> Result:
    """The class of the highest probability."""
    value = winner(columns, matrix, labels, data_type)
    return Result("classification", value, labels=labels, data_type=data_type, probabilities=matrix)


def retarget(scope: Scope, node: Element, result: Result) -> Result:
    """A result after its model's Targets: limits, rescaling, rounding, defaults for what is missing, display
    values."""
    columns = scope.columns
    for target in node.iterfind("Targets/Target"):
        name = target.get("field", "")
        target_result = result.others.get(name, result)
        if target_result.value is None:
            continue
        values = children(target, "TargetValue")
        if target_result.function == "classification":
            _fill_priors(columns, values, target_result)
            shown = {
                parse(text(v, "value"), target_result.value.data_type): v.get("displayValue")
                for v in values
                if v.get("value") and v.get("displayValue")
            }
            if shown:
                target_result.display = columns.lookup(target_result.value, shown)
        elif not target_result.value.text:
            target_result.value = _rescale(columns, target, target_result.value)
            fill = next((optional(v, "defaultValue") for v in values), None)
            if fill is not None:
                target_result.value = columns.where(
                    columns.missing(target_result.value), columns.constant(fill), target_result.value
                )
    return result


def _fill_priors(columns: Columns, values: list[Element], result: Result) -> None:
    """Prior probabilities where the model gives no class."""
    priors = {v.get("value"): optional(v, "priorProbability") for v in values}
    prior_of_label = [priors.get(label) for label in result.labels]
    if not any(p is not None for p in prior_of_label) or result.value is None:
        return
    row = [math.nan if p is None else p for p in prior_of_label]
    gone = columns.mask_column(columns.missing(result.value))
    best = result.labels[int(np.nanargmax(row))]
    filler = columns.constant(parse(best, result.value.data_type), result.value.data_type)
    result.value = columns.where(gone, filler, result.value).with_(
        values=result.labels, data_type=result.data_type
    )
    if result.probabilities is not None:
        result.probabilities = columns.op.Where(gone, columns.op.const(np.array([row])), result.probabilities)


def _rescale(columns: Columns, target: Element, val: Val) -> Val:
    op, x = columns.op, val.tensor
    low, high = optional(target, "min"), optional(target, "max")
    if low is not None:
        x = op.Where(op.Less(x, columns.scalar(low)), columns.scalar(low), x)
    if high is not None:
        x = op.Where(op.Greater(x, columns.scalar(high)), columns.scalar(high), x)
    factor, constant = number(target, "rescaleFactor", 1.0), number(target, "rescaleConstant", 0.0)
    x = x if factor == 1.0 else op.Mul(x, columns.scalar(factor))
    x = x if constant == 0.0 else op.Add(x, columns.scalar(constant))
    cast = target.get("castInteger")
    if cast is not None:
        x = {"round": round_half_up, "ceiling": lambda op, v: op.Ceil(v), "floor": lambda op, v: op.Floor(v)}[
            cast
        ](op, x)
    return val.with_(tensor=x, data_type="integer" if cast else val.data_type)


def output_columns(scope: Scope, node: Element, result: Result) -> dict[str, Val]:
    """The columns of a model's Output, by name; all of them, final or not."""
    inner = Scope(scope.columns, scope)
    inner.functions = scope.functions
    columns_by_name: dict[str, Val] = {}
    for item in node.iterfind("Output/OutputField"):
        name = item.get("name") or item.get("feature", "predictedValue")
        val = output_feature(inner, item, result)
        data_type = item.get("dataType", "")
        if data_type:
            val = _cast_output(scope.columns, val, data_type)
        inner.names[name] = val
        while name in columns_by_name:
            name += "_2"
        columns_by_name[name] = val
    return columns_by_name


def _cast_output(columns: Columns, val: Val, data_type: str) -> Val:
    """Cast an output to its declared data type, where the value allows it. A class number that spells no
    number keeps its type."""
    if val.width > 1 or (is_text(data_type) != val.text and val.text and not val.values):
        return val
    if is_text(data_type) and not val.text and val.data_type in ("double", "float") and not val.values:
        return val
    if data_type == "integer" and not val.text:
        return val.with_(data_type=data_type)
    return columns.cast(val, data_type)


def final_names(node: Element) -> set[str]:
    return {
        i.get("name") or i.get("feature", "predictedValue")
        for i in node.iterfind("Output/OutputField")
        if i.get("isFinalResult", "true") in ("true", "1")
    }


def output_feature(scope: Scope, item: Element, result: Result) -> Val:
    """One OutputField."""
    columns, feature = scope.columns, item.get("feature", "predictedValue")
    segment = item.get("segmentId")
    if segment is not None and segment in result.segments:
        return _segment_output(scope, item, *result.segments[segment])
    model_output = result.outputs(item)
    if model_output is not None:
        return model_output
    target_result = result.others.get(item.get("targetField", ""), result)
    rank, value = int(number(item, "rank", 1)), item.get("value")
    empty = columns.constant("", "string")
    if feature == "predictedValue":
        return target_result.value or empty
    if feature == "predictedDisplayValue":
        return target_result.display or _spelled(columns, target_result.value or empty)
    if feature in ("transformedValue", "decision"):
        return expressions.evaluate_column(scope, expressions.expression_of(item))
    if feature == "probability":
        return (
            target_result.of_winner(columns, target_result.probabilities)
            if value is None
            else target_result.probability(columns, _label(target_result, value))
        )
    if feature == "confidence":
        if value is not None:
            return target_result._class_column(
                columns, target_result.confidences, _label(target_result, value)
            )
        return target_result.confidence or target_result.of_winner(columns, target_result.confidences)
    if feature == "residual":
        return _residual(scope, target_result, value)
    if feature in ENTITY:
        return target_result.entities[rank - 1] if rank <= len(target_result.entities) else empty
    if feature in AFFINITY:
        return (
            target_result.affinities.get(value, columns.constant(math.nan))
            if value
            else target_result.affinity or columns.constant(math.nan)
        )
    if feature == "reasonCode":
        return target_result.reasons[rank - 1] if rank <= len(target_result.reasons) else empty
    reason = "is no function of the record that this model gives"
    raise UnsupportedModel(
        "An output cannot be read:", [Blocker(f"OutputField {feature}", describe(item), "", reason)]
    )


def _spelled(columns: Columns, val: Val) -> Val:
    """A class as text; a number that is no class stays a number."""
    return val if val.data_type in ("double", "float") and not val.values else columns.to_text(val)


def _label(result: Result, value: str) -> str:
    """The label that stands for a value: 1 and 1.0 are one class."""
    same = {parse(v, result.data_type): v for v in result.labels}
    try:
        return same.get(parse(value, result.data_type), value)
    except UnreadableFile:
        return value


def _segment_output(scope: Scope, item: Element, result: Result, outputs: dict[str, Val]) -> Val:
    """A feature of a segment's result, or one of its outputs by name."""
    ref = child(item, "FieldRef")
    if ref is None and item.get("feature") != "transformedValue":
        own = copy.copy(item)
        del own.attrib["segmentId"]
        return output_feature(scope, own, result)
    name = ref.get("field") if ref is not None else text(item, "value")
    if name not in outputs:
        raise UnreadableFile(f"{describe(item)}: its segment has no {name!r}.")
    return outputs[name]


def _residual(scope: Scope, result: Result, category: str | None) -> Val:
    """Observed minus predicted; of a class, its indicator minus its probability."""
    columns, op = scope.columns, scope.columns.op
    if result.value is None or not result.target:
        raise UnreadableFile("A residual is asked for, but there is no target.")
    observed = scope.get(result.target)
    if result.function != "classification":
        if result.value.text:
            raise UnreadableFile("A residual is asked for of a target that is no number.")
        return columns.number(op.Sub(columns.to_number(observed).tensor, result.value.tensor))
    probability = result.of_winner(columns, result.probabilities)
    other = result.value.tensor
    if category is not None:
        probability = result.probability(columns, _label(result, category))
        other = columns.scalar(parse(category, observed.data_type))
    hit = op.Cast(op.Equal(observed.tensor, other), to=11)
    difference = columns.number(op.Sub(hit, probability.tensor))
    return columns.blank(difference, logical_not(columns.missing(observed), op))


def predictions(node: Element, result: Result, outputs: dict[str, Val]) -> dict[str, str]:
    """The outputs that hold the predicted values of targets, by target. A predicted value that no output
    field gives becomes an output of its own, as without Output."""
    answers, targets = {result.target: result, **result.others}, targets_of(node)
    given = {}
    for item in _answering(node).iterfind("Output/OutputField"):
        name = item.get("name", "")
        if name in outputs and item.get("feature", "predictedValue") == "predictedValue":
            given[item.get("targetField") or result.target] = name
    for target in targets:
        answer = answers.get(target)
        if answer is None or answer.value is None or target in given:
            continue
        given[target] = f"predicted_{target}"
        outputs.setdefault(given[target], answer.value)
    return given


def _answering(node: Element) -> Element:
    """The model whose Output a model gives: its own, or that of the last one in its chain."""
    chain = node.find("Segmentation[@multipleModelMethod='modelChain']")
    if node.find("Output") is not None or chain is None or not len(chain):
        return node
    models = [m for m in chain[-1] if m.find("MiningSchema") is not None]
    return _answering(models[0]) if models else node


def defaults(scope: Scope, result: Result) -> dict[str, Val]:
    """Columns of a model without Output, named as PMML4S names them."""
    columns = scope.columns
    if result.defaults or result.value is None:
        return result.defaults
    suffix = f"_{result.target}" if result.target else ""
    columns_by_name = {f"predicted{suffix}": result.value}
    if result.confidences is not None or result.confidence is not None:
        columns_by_name["confidence"] = result.confidence or result.of_winner(columns, result.confidences)
    if result.probabilities is not None:
        columns_by_name["probability"] = result.of_winner(columns, result.probabilities)
        for label in result.labels:
            columns_by_name[f"probability_{label}"] = result.probability(columns, label)
    if result.entities and result.function != "clustering":
        columns_by_name["node_id"] = result.entities[0]
    return columns_by_name
