"""Hub → Core ML's own classical models: one model, or a pipeline of them, on one record at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from bridge import hub
from bridge.errors import UnsupportedModel
from bridge.formats import Exporter
from bridge.ops import Need
from bridge.report import Blocker, Report
from bridge_coreml import package, source_interface
from bridge_coreml.options import KIND
from bridge_coreml.pipeline.export_ops import ops
from bridge_coreml.proto import model as empty

T = ir.DataType
DOUBLES = 65600
VERSION = 1
WAY_OUT = "As an ML Program it may be: name the destination .mlpackage."
COUNTED = (T.INT64, T.INT32)
CLASSIFIERS = ("treeEnsembleClassifier", "glmClassifier", "supportVectorClassifier")
REGRESSORS = ("treeEnsembleRegressor", "glmRegressor", "supportVectorRegressor")
SIDES = {"string": "stringType", "int64": "int64Type", "double": "doubleType"}


@dataclass(eq=False)
class Feature:
    """What models of a pipeline hand on: an array of `width` doubles, one number or text, or a `dictionary`
    by class."""

    name: str
    kind: str
    width: int = 1
    keys: str = ""


@dataclass
class Step:
    """One model, and the features it reads and makes."""

    message: Any
    inputs: list[Feature]
    outputs: list[Feature]

    @property
    def kind(self) -> str:
        return self.message.WhichOneof("Type")


class Pipeline:
    """Steps as handlers add them: `held, made = pipe.step("scaler", [x], width)`."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.features: dict[ir.Value, Feature] = {}
        self.names: set[str] = set()

    def fresh(self, stem: str, kind: str, width: int = 1, keys: str = "") -> Feature:
        name, count = stem, 0
        while name in self.names:
            count += 1
            name = f"{stem}_{count}"
        self.names.add(name)
        return Feature(name, kind, width, keys)

    def step(self, kind: str, inputs: Sequence[Feature], *outputs: Feature) -> Any:
        """The parameters of a new model of the pipeline."""
        message = empty()
        message.specificationVersion = VERSION
        held = getattr(message, kind)
        held.SetInParent()
        self.steps.append(Step(message, list(inputs), list(outputs)))
        return held

    def array(self, node: ir.Node, width: int) -> Feature:
        return self.fresh(node.outputs[0].name or "array", "array", width)


def feature_of(pipe: Pipeline, value: ir.Value) -> Feature:
    """An input of the model: text, a whole number, or a row of numbers."""
    dims: list[Any] = list(value.shape or ())
    width = 1 if len(dims) < 2 else int(dims[1])
    kind = (
        "string" if value.dtype == T.STRING else "int64" if width == 1 and value.dtype in COUNTED else "array"
    )
    return pipe.fresh(value.name or "input", kind, width)


def describe(described: Any, feature: Feature) -> None:
    made = described.add(name=feature.name)
    if feature.kind == "array":
        made.type.multiArrayType.dataType = DOUBLES
        made.type.multiArrayType.shape.append(feature.width)
    elif feature.kind == "dictionary":
        getattr(made.type.dictionaryType, f"{feature.keys}KeyType").SetInParent()
    else:
        getattr(made.type, SIDES[feature.kind]).SetInParent()


def finish(step: Step) -> Any:
    """The message of a step with its interface."""
    message, description = step.message, step.message.description
    for feature in step.inputs:
        describe(description.input, feature)
    for feature in step.outputs:
        describe(description.output, feature)
    if step.kind in (*CLASSIFIERS, *REGRESSORS):
        description.predictedFeatureName = step.outputs[0].name
    if step.kind in CLASSIFIERS and len(step.outputs) > 1:
        description.predictedProbabilitiesName = step.outputs[1].name
    if step.kind == "featureVectorizer":
        for column, feature in zip(message.featureVectorizer.inputList, step.inputs, strict=True):
            column.inputColumn, column.inputDimensions = feature.name, feature.width
    return message


def whole(pipe: Pipeline, inputs: list[Feature], outputs: list[Feature]) -> Any:
    """The model of all steps: the only one, or a pipeline, called after what stands at its end."""
    messages = [finish(step) for step in pipe.steps]
    if len(messages) == 1 and pipe.steps[0].inputs == inputs and pipe.steps[0].outputs == outputs:
        return messages[0]
    message = empty()
    message.specificationVersion = VERSION
    last = next((s for s in pipe.steps[::-1] if s.kind in (*CLASSIFIERS, *REGRESSORS)), None)
    if last is not None and set(last.outputs) & set(outputs):
        kind = "pipelineClassifier" if last.kind in CLASSIFIERS else "pipelineRegressor"
        held = getattr(message, kind).pipeline
        message.description.predictedFeatureName = last.message.description.predictedFeatureName
        message.description.predictedProbabilitiesName = last.message.description.predictedProbabilitiesName
    else:
        held = message.pipeline
        held.SetInParent()
    held.models.extend(messages)
    for feature in inputs:
        describe(message.description.input, feature)
    for feature in outputs:
        describe(message.description.output, feature)
    return message


def write(model: ir.Model, path: Path, report: Report, options: dict[str, Any]) -> None:
    """Write a hub model of classical operators as a file .mlmodel, or as a package around it."""
    pipe = Pipeline()
    inputs = [feature_of(pipe, v) for v in model.graph.inputs]
    pipe.features.update(zip(model.graph.inputs, inputs, strict=True))
    for node in model.graph:
        rule = ops.find(hub.qualified(node), node)
        assert rule is not None
        read = [pipe.features.get(v, v) for v in node.inputs if v is not None]
        results = rule.handler(pipe, node, *read)
        if results is NotImplemented:
            reason = "mixes what belongs to several records"
            blocker = Blocker(node.op_type, node.name or "", str(hub.origin(node)), reason)
            raise UnsupportedModel(
                "1 operator cannot be written as Core ML's classical models:", [blocker], WAY_OUT
            )
        results = results if isinstance(results, tuple) else (results,)
        pipe.features.update(zip(node.outputs, results, strict=False))
    outputs = []
    for value in model.graph.outputs:
        made = pipe.features[value]
        if made in inputs or made in outputs:
            copied = pipe.fresh(value.name or "output", made.kind, made.width, made.keys)
            pipe.step("identity", [made], copied)
            made = copied
        pipe.names.discard(made.name)
        made.name = pipe.fresh(value.name or "output", made.kind).name
        outputs.append(made)
    message = whole(pipe, inputs, outputs)
    ports = [source_interface.port(f.name, v) for f, v in zip(inputs, model.graph.inputs, strict=True)]
    after = [source_interface.port(f.name, v) for f, v in zip(outputs, model.graph.outputs, strict=True)]
    source_interface.describe(message.description, model, ports, after)
    raw = message.SerializeToString(deterministic=True)
    if path.name.lower().endswith(".mlmodel"):
        path.write_bytes(raw)
    else:
        package.finish(path, raw)
    report.notes.append("Core ML runs it on one record at a time; bridge.run takes any number of them")
    report.notes.extend(_held(model, inputs))


def _held(model: ir.Model, inputs: list[Feature]) -> list[str]:
    words = {"array": "doubles", "int64": "int64", "string": "text"}
    return [
        f"input {value.name}: {value.dtype.name.lower()} is held as {words[feature.kind]}"
        for value, feature in zip(model.graph.inputs, inputs, strict=True)
        if value.dtype is not None and feature.kind == "array" and value.dtype != T.DOUBLE
    ]


def holdable(value: ir.Value) -> bool:
    """Rows of numbers of a known width, or one text a record; what is made on the way is the handlers'
    business."""
    if not value.is_graph_input():
        return True
    shape = value.shape
    if not isinstance(value.type, ir.TensorType) or shape is None or len(shape) not in (1, 2):
        return False
    width = 1 if len(shape) == 1 else shape[1]
    if not isinstance(width, int) or width < 1:
        return False
    return value.dtype in (T.FLOAT, T.DOUBLE, *COUNTED) or (value.dtype == T.STRING and width == 1)


exporter = Exporter(
    table=ops,
    legalize=lambda options: [],
    write=write,
    version_title=lambda number: "its classical models",
    values=Need("records in rows: numbers of a known width, or one text each", holdable),
    options=(KIND,),
    way_out=WAY_OUT,
)
