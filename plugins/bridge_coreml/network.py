"""NeuralNetwork → hub, driven by layers: every blob is a float tensor, of rank 5 or of the rank the file
gives it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import facts, hub
from bridge.dims import lengths, reshape
from bridge.errors import UnreadableFile, UnsupportedModel
from bridge.report import Blocker
from bridge_coreml import feature_descriptions
from bridge_coreml.feature_descriptions import DTYPES
from bridge_coreml.layers import ops
from bridge_coreml.layers.common import FLOAT, as_float, nested
from bridge_coreml.reader import File

EXACT_ARRAY_MAPPING = 1
RANK4_IMAGE_MAPPING = 1
DEPTH = 16


def network(file: File, options: dict[str, Any]) -> ir.Model:
    """Hub model of a neural network, classifier or regressor.

    Images are float tensors [1, channels, height, width] in the color order of the file; their scale and bias
    are part of the graph.
    """
    params = getattr(file.message, file.message.WhichOneof("Type"))
    blockers = list(network_blockers(params, file.message.specificationVersion))
    if blockers:
        count = len(blockers)
        raise UnsupportedModel(
            f"{count} layer{'s' * (count > 1)} of {file.path} cannot be read:",
            blockers,
            "Add a rule: plugins/README.md#one-operator",
        )
    graph = ir.Graph(
        [], [], nodes=[], name="main", opset_imports={"": hub.HUB_OPSET, "ai.onnx.ml": hub.ML_OPSET}
    )
    op = hub.Builder(graph)
    features = feature_descriptions.by_name(file)
    inputs = {f.name: feature_descriptions.array_input(file, f) for f in file.message.description.input}
    graph.inputs.extend(inputs.values())
    results = list(network_outputs(op, file, file.message, inputs, options).items())
    input_names = {v.name for v in graph.inputs}
    for name, value in results:
        output = op.Identity(value)
        output.name = f"{name}_output" if name in input_names else name
        graph.outputs.append(output)
    model = ir.Model(graph, ir_version=hub.IR_VERSION)
    model.metadata_props.update(feature_descriptions.metadata(file, features))
    classes = class_labels(params)
    if classes is not None:
        facts.COREML_CLASSES.set(model, classes)
    return model


def class_labels(params: Any) -> list[Any] | None:
    """Class labels of a classifier."""
    if "ClassLabels" not in params.DESCRIPTOR.oneofs_by_name:
        return None
    which = params.WhichOneof("ClassLabels")
    return None if which is None else list(getattr(params, which).vector)


def network_blockers(params: Any, version: int) -> Iterator[Blocker]:
    for layer in params.layers:
        layer_type = layer.WhichOneof("layer")
        if layer_type is None:
            yield Blocker("layer", layer.name, "", "is of a kind newer than this reader")
            continue
        reason = ops.refusal(layer_type, Layer(layer, None), version)
        if layer_type == "custom":
            reason = f"is the custom layer {layer.custom.className}, whose code is in the app that brings it"
        if reason:
            yield Blocker(layer_type, layer.name, "", reason)
        for inner in nested(layer):
            yield from network_blockers(inner, version)


def network_outputs(
    op: hub.Builder, file: File, message: Any, inputs: dict[str, ir.Value], options: dict[str, Any]
) -> dict[str, ir.Value]:
    """Outputs of a network by name, from its input values by name."""
    params = getattr(message, message.WhichOneof("Type"))
    scope = Scope(file, op, params)
    for feature in message.description.input:
        if feature.name not in inputs:
            raise UnreadableFile(f"{file.path}: the input {feature.name} is missing.")
        blob = as_input_blob(op, params, feature, inputs[feature.name])
        scope.values[feature.name] = preprocess(op, params, feature, blob)
    scope.run(params.layers)
    return dict(by_output_name(scope, message, params, options))


def as_input_blob(op: hub.Builder, params: Any, feature: Any, value: ir.Value) -> ir.Value:
    """Cast an input to float and reshape it to the rank that layers read."""
    if feature.type.WhichOneof("Type") == "imageType":
        return op.Unsqueeze(value, [0]) if params.imageInputShapeMapping != RANK4_IMAGE_MAPPING else value
    blob = as_float(op, value)
    if params.arrayInputShapeMapping == EXACT_ARRAY_MAPPING:
        return blob
    sizes = lengths(op, blob)
    shape = {1: [1, 1, *sizes, 1, 1], 2: [*sizes, 1, 1, 1], 3: [1, 1, *sizes], 4: [1, *sizes]}.get(
        len(sizes), sizes
    )
    return blob if len(sizes) == 5 else reshape(op, blob, shape)


def preprocess(op: hub.Builder, params: Any, feature: Any, blob: ir.Value) -> ir.Value:
    """Apply scale, bias and mean image to an input."""
    for step in params.preprocessing:
        if step.featureName and step.featureName != feature.name:
            continue
        if step.WhichOneof("preprocessor") == "meanImage":
            mean = np.array(step.meanImage.meanImage, np.float32)
            sizes = [d for d in list(blob.shape or [])[-3:] if isinstance(d, int)]
            blob = op.Sub(blob, op.const(mean.reshape(sizes) if len(sizes) == 3 else mean))
            continue
        scaler = step.scaler
        color_space = (
            feature.type.imageType.colorSpace if feature.type.WhichOneof("Type") == "imageType" else 20
        )
        bias = {10: [scaler.grayBias], 30: [scaler.blueBias, scaler.greenBias, scaler.redBias]}.get(
            color_space, [scaler.redBias, scaler.greenBias, scaler.blueBias]
        )
        blob = op.Mul(blob, op.const(np.float32(scaler.channelScale or 1.0)))
        blob = op.Add(blob, op.const(np.array(bias, np.float32).reshape(-1, 1, 1)))
    return blob


def by_output_name(
    scope: Scope, message: Any, params: Any, options: dict[str, Any]
) -> list[tuple[str, ir.Value]]:
    description, classes, results = message.description, class_labels(params), []
    for feature in description.output:
        feature_type = feature.type.WhichOneof("Type")
        if classes is not None and feature_type in ("stringType", "int64Type"):
            if options.get("labels") == "output":
                results.append((feature.name, best_label(scope, params, classes)))
            continue
        if classes is not None and feature_type == "dictionaryType":
            results.append((feature.name, scope.op.Reshape(_probabilities(scope, params), [-1])))
            continue
        results.append((feature.name, as_declared(scope, params, feature, scope.value(feature.name))))
    return results


def _probabilities(scope: Scope, params: Any) -> ir.Value:
    name = params.labelProbabilityLayerName or params.layers[-1].output[0]
    return scope.value(name)


def best_label(scope: Scope, params: Any, classes: list[Any]) -> ir.Value:
    best = scope.op.ArgMax(scope.op.Reshape(_probabilities(scope, params), [-1]), axis=0, keepdims=1)
    return scope.op.Gather(label_table(scope.op, classes), best)


def label_table(op: Any, classes: list[Any]) -> ir.Value:
    """Class labels as a constant, [classes], strings or int64."""
    if classes and isinstance(classes[0], str):
        return op.const(ir.StringTensor(np.array([c.encode() for c in classes], object)))
    return op.const(np.array(classes, np.int64))


def label_and_scores(op: Any, params: Any, probabilities: Any) -> tuple[Any, Any]:
    """Label of the largest probability per row, [rows]; and the probabilities [rows, classes]."""
    best_class = op.ArgMax(probabilities, axis=1, keepdims=0)
    return op.Gather(label_table(op, class_labels(params) or []), best_class, axis=0), probabilities


def as_declared(scope: Scope, params: Any, feature: Any, value: ir.Value) -> ir.Value:
    """Reshape and cast an output to its declared shape and dtype; undeclared rank 5 loses its surrounding
    dimensions of 1."""
    op = scope.op
    if feature.type.WhichOneof("Type") != "multiArrayType":
        return value
    array = feature.type.multiArrayType
    declared_shape, shape = [int(d) for d in array.shape], hub.shape_of(value)
    if params.arrayInputShapeMapping != EXACT_ARRAY_MAPPING and shape is not None and len(shape) == 5:
        if declared_shape and np.prod(declared_shape) == np.prod(shape):
            value = op.Reshape(value, np.array(declared_shape, np.int64))
        elif shape[:2] == [1, 1]:
            value = op.Reshape(value, np.array(shape[2:3] if shape[3:] == [1, 1] else shape[2:], np.int64))
    dtype = DTYPES.get(array.dataType, ir.DataType.FLOAT)
    return value if value.dtype == dtype else op.Cast(value, to=int(dtype))


class Layer:
    """Layer for handlers: `params` is the message of its type, `kind` the name of the type."""

    def __init__(self, layer: Any, scope: Scope | None) -> None:
        self.layer, self.scope = layer, scope
        self.kind = layer.WhichOneof("layer")
        self.params = getattr(layer, self.kind)
        self.outputs = list(layer.output)
        self.count = len(layer.input)


class Scope:
    """Blobs by name; inner networks see those of outer ones."""

    def __init__(self, file: File, op: hub.Builder, params: Any, outer: Scope | None = None) -> None:
        self.file, self.op, self.network, self.outer = file, op, params, outer
        self.depth: int = outer.depth + 1 if outer is not None else 0
        if self.depth > DEPTH:
            raise UnreadableFile(f"{file.path}: networks are nested more than {DEPTH} deep.")
        self.values: dict[str, ir.Value] = {}

    def inside(self, network: Any) -> tuple[ir.Graph, Scope]:
        """New graph for an inner network, and its scope."""
        graph = ir.Graph([], [], nodes=[], name="block", opset_imports={"": hub.HUB_OPSET})
        return graph, Scope(self.file, hub.Builder(graph), network, self)

    def around(self) -> Iterable[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.outer

    def has(self, name: str) -> bool:
        return any(name in scope.values for scope in self.around())

    def value(self, name: str) -> ir.Value:
        for scope in self.around():
            if name in scope.values:
                return scope.values[name]
        raise UnreadableFile(f"{self.file.path}: {name} is read before it is made.")

    def run(self, layers: Any) -> None:
        for layer in layers:
            node = Layer(layer, self)
            self.op.begin(node.kind, layer.name)
            rule = ops.find(node.kind, node, self.file.message.specificationVersion)
            assert rule is not None
            results = rule.apply(self.op, node, *(self.value(n) for n in layer.input))
            if results is NotImplemented:
                blocker = Blocker(
                    node.kind, layer.name, "", "needs shapes and parameters known before run time"
                )
                raise UnsupportedModel(f"1 layer of {self.file.path} cannot be read:", [blocker])
            results = results if isinstance(results, (tuple, list)) else (results,)
            for name, result in zip(node.outputs, results, strict=False):
                if result is not None:
                    self.values[name] = self._blob(result)

    def _blob(self, value: ir.Value) -> ir.Value:
        """Cast to float32 and reshape to rank 1 at least, as every blob."""
        value = value if value.dtype == ir.DataType.FLOAT else self.op.Cast(value, to=FLOAT)
        return self.op.Reshape(value, np.array([1], np.int64)) if hub.rank_of(value) == 0 else value
