"""Hub → Core ML's own classical models: one model, or a pipeline of them, on one record at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from bridge import hub
from bridge.errors import UnsupportedModel
from bridge.formats import LABELS, Exporter
from bridge.ops import Need
from bridge.report import Report
from bridge_coreml import package, source_interface
from bridge_coreml.options import KIND
from bridge_coreml.pipeline.export_ops import ops
from bridge_coreml.pipeline.lift_trees import LiftTrees
from bridge_coreml.proto import model as empty

T = ir.DataType
DOUBLES = 65600
VERSION = 1
HINT = "As an ML Program it may be: name the destination .mlpackage."
INTEGERS = (T.INT64, T.INT32)
CLASSIFIERS = ("treeEnsembleClassifier", "glmClassifier", "supportVectorClassifier")
REGRESSORS = ("treeEnsembleRegressor", "glmRegressor", "supportVectorRegressor")
SCALAR_TYPES = {"string": "stringType", "int64": "int64Type", "double": "doubleType"}


@dataclass(eq=False)
class Feature:
    """Value between models of a pipeline: an array of `width` doubles, one number or text, or a dictionary
    by class. `kind` is array, int64, double, string or dictionary."""

    name: str
    kind: str
    width: int = 1
    keys: str = ""


@dataclass
class Step:
    """One model, with its input and output features."""

    message: Any
    inputs: list[Feature]
    outputs: list[Feature]

    @property
    def kind(self) -> str:
        return self.message.WhichOneof("Type")


class Pipeline:
    """Models of a pipeline as handlers add them: `params = pipe.step("scaler", [x], output)`."""

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

    def step(self, model_type: str, inputs: Sequence[Feature], *outputs: Feature) -> Any:
        """Add a model to the pipeline, and return its parameters."""
        message = empty()
        message.specificationVersion = VERSION
        params = getattr(message, model_type)
        params.SetInParent()
        self.steps.append(Step(message, list(inputs), list(outputs)))
        return params

    def array(self, node: ir.Node, width: int) -> Feature:
        return self.fresh(node.outputs[0].name or "array", "array", width)


def feature_of(pipe: Pipeline, value: ir.Value) -> Feature:
    """An input of the model: text, a whole number, or a row of numbers."""
    dims: list[Any] = list(value.shape or ())
    width = 1 if len(dims) < 2 else int(dims[1])
    kind = (
        "string"
        if value.dtype == T.STRING
        else "int64"
        if width == 1 and value.dtype in INTEGERS
        else "array"
    )
    return pipe.fresh(value.name or "input", kind, width)


def add_feature(descriptions: Any, feature: Feature) -> None:
    description = descriptions.add(name=feature.name)
    if feature.kind == "array":
        description.type.multiArrayType.dataType = DOUBLES
        description.type.multiArrayType.shape.append(feature.width)
    elif feature.kind == "dictionary":
        getattr(description.type.dictionaryType, f"{feature.keys}KeyType").SetInParent()
    else:
        getattr(description.type, SCALAR_TYPES[feature.kind]).SetInParent()


def with_interface(step: Step) -> Any:
    """Complete the message of a step with its input and output descriptions."""
    message, description = step.message, step.message.description
    for feature in step.inputs:
        add_feature(description.input, feature)
    for feature in step.outputs:
        add_feature(description.output, feature)
    if step.kind in (*CLASSIFIERS, *REGRESSORS):
        description.predictedFeatureName = step.outputs[0].name
    if step.kind in CLASSIFIERS and len(step.outputs) > 1:
        description.predictedProbabilitiesName = step.outputs[1].name
    if step.kind == "featureVectorizer":
        for column, feature in zip(message.featureVectorizer.inputList, step.inputs, strict=True):
            column.inputColumn, column.inputDimensions = feature.name, feature.width
    return message


def assemble(pipe: Pipeline, inputs: list[Feature], outputs: list[Feature]) -> Any:
    """The single model, or a pipeline of all: a pipelineClassifier or pipelineRegressor if such a model is
    the last."""
    messages = [with_interface(step) for step in pipe.steps]
    if len(messages) == 1 and pipe.steps[0].inputs == inputs and pipe.steps[0].outputs == outputs:
        return messages[0]
    message = empty()
    message.specificationVersion = VERSION
    predictor = next((s for s in pipe.steps[::-1] if s.kind in (*CLASSIFIERS, *REGRESSORS)), None)
    if predictor is not None and set(predictor.outputs) & set(outputs):
        model_type = "pipelineClassifier" if predictor.kind in CLASSIFIERS else "pipelineRegressor"
        pipeline = getattr(message, model_type).pipeline
        message.description.predictedFeatureName = predictor.message.description.predictedFeatureName
        message.description.predictedProbabilitiesName = (
            predictor.message.description.predictedProbabilitiesName
        )
    else:
        pipeline = message.pipeline
        pipeline.SetInParent()
    pipeline.models.extend(messages)
    for feature in inputs:
        add_feature(message.description.input, feature)
    for feature in outputs:
        add_feature(message.description.output, feature)
    return message


def write(model: ir.Model, path: Path, report: Report, options: dict[str, Any]) -> None:
    """Write a hub model of classical operators as a file .mlmodel, or as a package around it."""
    pipe = Pipeline()
    inputs = [feature_of(pipe, v) for v in model.graph.inputs]
    pipe.features.update(zip(model.graph.inputs, inputs, strict=True))
    for node in model.graph:
        rule = ops.find(hub.qualified(node), node)
        assert rule is not None
        operands = [pipe.features.get(v, v) for v in node.inputs if v is not None]
        results = rule.apply(pipe, node, *operands)
        if results is NotImplemented:
            reason = "mixes what belongs to several records"
            raise UnsupportedModel(
                "1 operator cannot be written as Core ML's classical models:",
                [hub.blocker(node, reason)],
                HINT,
            )
        results = results if isinstance(results, tuple) else (results,)
        pipe.features.update(zip(node.outputs, results, strict=False))
    outputs = []
    for value in model.graph.outputs:
        feature = pipe.features[value]
        if feature in inputs or feature in outputs:
            copy = pipe.fresh(value.name or "output", feature.kind, feature.width, feature.keys)
            pipe.step("identity", [feature], copy)
            feature = copy
        pipe.names.discard(feature.name)
        feature.name = pipe.fresh(value.name or "output", feature.kind).name
        outputs.append(feature)
    message = assemble(pipe, inputs, outputs)
    inputs_in_source = [
        source_interface.port(f.name, v) for f, v in zip(inputs, model.graph.inputs, strict=True)
    ]
    outputs_in_source = [
        source_interface.port(f.name, v) for f, v in zip(outputs, model.graph.outputs, strict=True)
    ]
    source_interface.describe(message.description, model, inputs_in_source, outputs_in_source)
    raw = message.SerializeToString(deterministic=True)
    if path.name.lower().endswith(".mlmodel"):
        path.write_bytes(raw)
    else:
        package.finish(path, raw)
    report.notes.append("Core ML runs it on one record at a time; bridge.run takes any number of them")
    report.notes.extend(dtype_notes(model, inputs))


def dtype_notes(model: ir.Model, inputs: list[Feature]) -> list[str]:
    words = {"array": "doubles", "int64": "int64", "string": "text"}
    return [
        f"input {value.name}: {value.dtype.name.lower()} is held as {words[feature.kind]}"
        for value, feature in zip(model.graph.inputs, inputs, strict=True)
        if value.dtype is not None and feature.kind == "array" and value.dtype != T.DOUBLE
    ]


def is_record_input(value: ir.Value) -> bool:
    """True for rows of numbers of a known width, or one text per record. Values that are no inputs always
    pass."""
    if not value.is_graph_input():
        return True
    shape = value.shape
    if not isinstance(value.type, ir.TensorType) or shape is None or len(shape) not in (1, 2):
        return False
    width = 1 if len(shape) == 1 else shape[1]
    if not isinstance(width, int) or width < 1:
        return False
    return value.dtype in (T.FLOAT, T.DOUBLE, *INTEGERS) or (value.dtype == T.STRING and width == 1)


exporter = Exporter(
    table=ops,
    legalize=lambda options: [LiftTrees()],
    write=write,
    version_title=lambda number: "its classical models",
    value_need=Need("records in rows: numbers of a known width, or one text each", is_record_input),
    options=(KIND, LABELS),
    annotate=package.annotate,
    hint=HINT,
)
