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

EXACT = 1
RANK4 = 1
DEPTH = 16


def network(file: File, options: dict[str, Any]) -> ir.Model:
    """The hub model of a network, a classifier or a regressor made of layers.

    Images are float tensors [1, channels, height, width] in the order of colours the file says, their scale
    and bias part of the graph.
    """
    held = getattr(file.message, file.message.WhichOneof("Type"))
    blockers = list(_blockers(held, file.message.specificationVersion))
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
    described = feature_descriptions.described(file)
    given = {f.name: feature_descriptions.array_input(file, f) for f in file.message.description.input}
    graph.inputs.extend(given.values())
    results = list(answers(op, file, file.message, given, options).items())
    taken = {v.name for v in graph.inputs}
    for name, value in results:
        made = op.Identity(value)
        made.name = f"{name}_output" if name in taken else name
        graph.outputs.append(made)
    model = ir.Model(graph, ir_version=hub.IR_VERSION)
    model.metadata_props.update(feature_descriptions.metadata(file, described))
    classes = labels(held)
    if classes is not None:
        facts.COREML_CLASSES.set(model, classes)
    return model


def labels(held: Any) -> list[Any] | None:
    """Class labels of a classifier."""
    if "ClassLabels" not in held.DESCRIPTOR.oneofs_by_name:
        return None
    which = held.WhichOneof("ClassLabels")
    return None if which is None else list(getattr(held, which).vector)


def _blockers(held: Any, version: int) -> Iterator[Blocker]:
    for layer in held.layers:
        kind = layer.WhichOneof("layer")
        if kind is None:
            yield Blocker("layer", layer.name, "", "is of a kind newer than this reader")
            continue
        reason = ops.refusal(kind, Layer(layer, None), version)
        if kind == "custom":
            reason = f"is the custom layer {layer.custom.className}, whose code is in the app that brings it"
        if reason:
            yield Blocker(kind, layer.name, "", reason)
        for inner in nested(layer):
            yield from _blockers(inner, version)


def answers(
    op: hub.Builder, file: File, message: Any, given: dict[str, ir.Value], options: dict[str, Any]
) -> dict[str, ir.Value]:
    """What a network answers to the values `given` under its inputs' names."""
    held = getattr(message, message.WhichOneof("Type"))
    scope = Scope(file, op, held)
    for feature in message.description.input:
        if feature.name not in given:
            raise UnreadableFile(f"{file.path}: the input {feature.name} is missing.")
        blob = _blob(op, held, feature, given[feature.name])
        scope.values[feature.name] = _prepared(op, held, feature, blob)
    scope.run(held.layers)
    return dict(_outputs(scope, message, held, options))


def _blob(op: hub.Builder, held: Any, feature: Any, value: ir.Value) -> ir.Value:
    """What layers read of an input."""
    if feature.type.WhichOneof("Type") == "imageType":
        return op.Unsqueeze(value, [0]) if held.imageInputShapeMapping != RANK4 else value
    blob = as_float(op, value)
    if held.arrayInputShapeMapping == EXACT:
        return blob
    sizes = lengths(op, blob)
    shape = {1: [1, 1, *sizes, 1, 1], 2: [*sizes, 1, 1, 1], 3: [1, 1, *sizes], 4: [1, *sizes]}.get(
        len(sizes), sizes
    )
    return blob if len(sizes) == 5 else reshape(op, blob, shape)


def _prepared(op: hub.Builder, held: Any, feature: Any, blob: ir.Value) -> ir.Value:
    """Scale, bias and mean image of an input."""
    for step in held.preprocessing:
        if step.featureName and step.featureName != feature.name:
            continue
        if step.WhichOneof("preprocessor") == "meanImage":
            mean = np.array(step.meanImage.meanImage, np.float32)
            sizes = [d for d in list(blob.shape or [])[-3:] if isinstance(d, int)]
            blob = op.Sub(blob, op.const(mean.reshape(sizes) if len(sizes) == 3 else mean))
            continue
        scaler = step.scaler
        colour = feature.type.imageType.colorSpace if feature.type.WhichOneof("Type") == "imageType" else 20
        bias = {10: [scaler.grayBias], 30: [scaler.blueBias, scaler.greenBias, scaler.redBias]}.get(
            colour, [scaler.redBias, scaler.greenBias, scaler.blueBias]
        )
        blob = op.Mul(blob, op.const(np.float32(scaler.channelScale or 1.0)))
        blob = op.Add(blob, op.const(np.array(bias, np.float32).reshape(-1, 1, 1)))
    return blob


def _outputs(scope: Scope, message: Any, held: Any, options: dict[str, Any]) -> list[tuple[str, ir.Value]]:
    description, classes, results = message.description, labels(held), []
    for feature in description.output:
        kind = feature.type.WhichOneof("Type")
        if classes is not None and kind in ("stringType", "int64Type"):
            if options.get("labels") == "output":
                results.append((feature.name, _label(scope, held, classes)))
            continue
        if classes is not None and kind == "dictionaryType":
            results.append((feature.name, scope.op.Reshape(_probabilities(scope, held), [-1])))
            continue
        results.append((feature.name, _shaped(scope, held, feature, scope.value(feature.name))))
    return results


def _probabilities(scope: Scope, held: Any) -> ir.Value:
    name = held.labelProbabilityLayerName or held.layers[-1].output[0]
    return scope.value(name)


def _label(scope: Scope, held: Any, classes: list[Any]) -> ir.Value:
    best = scope.op.ArgMax(scope.op.Reshape(_probabilities(scope, held), [-1]), axis=0, keepdims=1)
    return scope.op.Gather(label_table(scope.op, classes), best)


def label_table(op: Any, classes: list[Any]) -> ir.Value:
    """Class labels as a constant row, of text or of int64."""
    if classes and isinstance(classes[0], str):
        return op.const(ir.StringTensor(np.array([c.encode() for c in classes], object)))
    return op.const(np.array(classes, np.int64))


def labelled(op: Any, held: Any, chances: Any) -> tuple[Any, Any]:
    """The label of the largest of [rows, classes], and the probabilities."""
    best = op.ArgMax(chances, axis=1, keepdims=0)
    return op.Gather(label_table(op, labels(held) or []), best, axis=0), chances


def _shaped(scope: Scope, held: Any, feature: Any, value: ir.Value) -> ir.Value:
    """An output as the file declares it; of rank 5 without a declaration, without the dimensions of 1 around
    it."""
    op = scope.op
    if feature.type.WhichOneof("Type") != "multiArrayType":
        return value
    array = feature.type.multiArrayType
    wanted, found = [int(d) for d in array.shape], hub.shape_of(value)
    if held.arrayInputShapeMapping != EXACT and found is not None and len(found) == 5:
        if wanted and np.prod(wanted) == np.prod(found):
            value = op.Reshape(value, np.array(wanted, np.int64))
        elif found[:2] == [1, 1]:
            value = op.Reshape(value, np.array(found[2:3] if found[3:] == [1, 1] else found[2:], np.int64))
    dtype = DTYPES.get(array.dataType, ir.DataType.FLOAT)
    return value if value.dtype == dtype else op.Cast(value, to=int(dtype))


class Layer:
    """One layer as handlers see it: `params` is its message."""

    def __init__(self, layer: Any, scope: Scope | None) -> None:
        self.layer, self.scope = layer, scope
        self.kind = layer.WhichOneof("layer")
        self.params = getattr(layer, self.kind)
        self.outputs = list(layer.output)
        self.count = len(layer.input)


class Scope:
    """Blobs by name; those of networks inside see those around them."""

    def __init__(self, file: File, op: hub.Builder, held: Any, outer: Scope | None = None) -> None:
        self.file, self.op, self.held, self.outer = file, op, held, outer
        self.depth: int = outer.depth + 1 if outer is not None else 0
        if self.depth > DEPTH:
            raise UnreadableFile(f"{file.path}: networks are nested more than {DEPTH} deep.")
        self.values: dict[str, ir.Value] = {}

    def inside(self, network: Any) -> tuple[ir.Graph, Scope]:
        """A graph of its own for a network inside this one, and its blobs."""
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

    def run(self, listed: Any) -> None:
        for layer in listed:
            node = Layer(layer, self)
            self.op.begin(node.kind, layer.name)
            rule = ops.find(node.kind, node, self.file.message.specificationVersion)
            assert rule is not None
            results = rule.handler(self.op, node, *(self.value(n) for n in layer.input))
            if results is NotImplemented:
                blocker = Blocker(
                    node.kind, layer.name, "", "needs shapes and parameters known before run time"
                )
                raise UnsupportedModel(f"1 layer of {self.file.path} cannot be read:", [blocker])
            results = results if isinstance(results, (tuple, list)) else (results,)
            for name, made in zip(node.outputs, results, strict=False):
                if made is not None:
                    self.values[name] = self._blob(made)

    def _blob(self, made: ir.Value) -> ir.Value:
        """Blobs are floats, of rank 1 at least."""
        made = made if made.dtype == ir.DataType.FLOAT else self.op.Cast(made, to=FLOAT)
        return self.op.Reshape(made, np.array([1], np.int64)) if hub.rank_of(made) == 0 else made
