"""Trees, generalized linear models, support vectors, neighbours, feature steps and pipelines → ai.onnx.ml and
tensor operators. Core ML takes one record at a time: a number is a vector of one, an array what the file
declares. With rows="many", and for files bridge wrote of models of rows, the model takes any number of
records. Steps compute on [rows, features]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx_ir as ir

from bridge import facts, hub
from bridge.errors import InvalidOption, UnreadableFile, UnsupportedModel
from bridge.report import Blocker
from bridge_coreml import feature_descriptions, network, program, source_interface
from bridge_coreml.linked_models import PIPELINES, steps
from bridge_coreml.pipeline.common import ML, Values
from bridge_coreml.pipeline.feature_engineering import (
    array_feature_extractor,
    categorical_mapping,
    feature_vectorizer,
    imputer,
    normalizer,
    one_hot,
    scaler,
    unchanged,
)
from bridge_coreml.pipeline.linear_models import glm_classifier, glm_regressor
from bridge_coreml.pipeline.nearest_neighbors import neighbours
from bridge_coreml.pipeline.non_maximum_suppression import suppressed, thresholded
from bridge_coreml.pipeline.support_vectors import vector_classifier, vector_regressor
from bridge_coreml.pipeline.tree_ensembles import tree_classifier, tree_regressor
from bridge_coreml.reader import File

DEPTH = 8
APPLE_ONLY = {
    "customModel": "a custom model, whose code is in the app that brings it",
    "textClassifier": "a text classifier, which only Apple's Natural Language framework runs",
    "wordTagger": "a word tagger, which only Apple's Natural Language framework runs",
    "gazetteer": "a gazetteer, which only Apple's Natural Language framework runs",
    "wordEmbedding": "a word embedding, which only Apple's Natural Language framework runs",
    "visionFeaturePrint": "an image feature print, whose weights are part of Apple's systems",
    "audioFeaturePrint": "a sound feature print, whose weights are part of Apple's systems",
    "soundAnalysisPreprocessing": "a sound preprocessing step that is part of Apple's systems",
    "serializedModel": "a serialized model of an undocumented kind",
}
NOT_READ = {
    "bayesianProbitRegressor": "a Bayesian probit regressor: it answers Φ(⟨w, x⟩ / β), "
    "and no field of its format holds β",
    "itemSimilarityRecommender": "a recommender over similar items",
}
NETWORKS = ("neuralNetwork", "neuralNetworkClassifier", "neuralNetworkRegressor")
SINGLE = {*NETWORKS, "mlProgram", "nonMaximumSuppression", "classConfidenceThresholding"}


def classical(file: File, options: dict[str, Any]) -> ir.Model:
    """The hub model of a classical model or a pipeline, networks inside it included."""
    message = file.message
    blockers = list(_blockers(file, message, 0))
    if blockers:
        raise UnsupportedModel(f"{len(blockers)} steps of {file.path} cannot be read:", blockers)
    graph = ir.Graph([], [], nodes=[], name="main", opset_imports={"": hub.HUB_OPSET, ML: hub.ML_OPSET})
    op = hub.Builder(graph)
    keys = dictionaries(message)
    before, after = source_interface.loaded(
        message.description.metadata.userDefined.get(facts.INTERFACE.key, "")
    )
    many = bool(before) or options.get("rows") == "many"
    if many and (whole := sorted(kinds(message) & SINGLE)):
        raise InvalidOption(
            f"{file.path} holds a {whole[0]}, which takes one record at a time.", "Leave rows away."
        )
    given = {}
    for feature in message.description.input:
        count = len(keys[feature.name]) if feature.name in keys else None
        value = feature_descriptions.array_input(file, feature, count)
        outer = value
        if many:
            outer, value = in_rows(op, value, before.get(feature.name))
        graph.inputs.append(outer)
        given[feature.name] = value
    found = answers(op, file, message, given, {**options, "many": many})
    taken, classes = {v.name for v in graph.inputs}, class_labels(file, message)
    label = predicted(message) if classes is not None and not after else ""
    for feature in message.description.output:
        if feature.name not in found or (feature.name == label and options.get("labels") != "output"):
            continue
        made, name = found[feature.name], feature.name
        if feature.name in after:
            made, name = answered(op, made, after[feature.name]), after[feature.name].name
        made = op.Identity(made)
        made.name = f"{name}_output" if name in taken else name
        graph.outputs.append(made)
    model = ir.Model(graph, ir_version=hub.IR_VERSION)
    model.metadata_props.update(feature_descriptions.metadata(file, feature_descriptions.described(file)))
    if many:
        facts.COREML_ROWS.set(model, "many")
    for name, listed in keys.items():
        facts.COREML_KEYS.of(name).set(model, listed)
    if classes is not None:
        facts.COREML_CLASSES.set(model, classes)
    return model


def in_rows(op: Any, value: ir.Value, remembered: source_interface.Port | None) -> tuple[ir.Value, ir.Value]:
    """The input of many records, [rows, features], under the name and dtype of the source; and what steps
    read of it.

    float32 stays float32: Core ML's doubles hold the same numbers.
    """
    width = list(value.shape or [1])[-1] if value.shape is not None and len(value.shape) == 1 else None
    outer = ir.Value(name=value.name, type=value.type, shape=ir.Shape([f"{value.name}_rows", width]))
    if remembered is not None:
        outer = ir.Value(
            name=remembered.name,
            type=ir.TensorType(remembered.dtype),
            shape=ir.Shape(remembered.dims or [None, width]),
        )
    inner = op.Unsqueeze(outer, [1]) if len(outer.shape or ()) == 1 else outer
    if outer.dtype in (value.dtype, ir.DataType.FLOAT) or value.dtype == ir.DataType.STRING:
        return outer, inner
    return outer, op.Cast(inner, to=int(value.dtype or ir.DataType.DOUBLE))


def answered(op: Any, value: ir.Value, remembered: source_interface.Port) -> ir.Value:
    """An output of many records in the dtype and rank of the source."""
    if remembered.dims is not None and len(remembered.dims) == 1:
        value = op.Reshape(value, [-1])
    if value.dtype != remembered.dtype:
        value = op.Cast(value, to=int(remembered.dtype))
    if remembered.dims is not None:
        value = op.Identity(value)
        value.shape = ir.Shape(remembered.dims)
    return value


def kinds(message: Any) -> set[str]:
    """Kinds of the models of a pipeline, those inside it too."""
    found = {message.WhichOneof("Type")}
    return found.union(*(kinds(step) for step in steps(message)))


def class_labels(file: File, message: Any) -> list[Any] | None:
    """Labels of a classifier, or of the classifier of a pipeline."""
    if message.WhichOneof("Type") == "mlProgram":
        return program.class_labels(file, message)
    for step in steps(message)[::-1]:
        found = class_labels(file, step)
        if found is not None:
            return found
    held = getattr(message, message.WhichOneof("Type"))
    return network.labels(held)


def predicted(message: Any) -> str:
    """The feature of a classifier, or of the classifier of a pipeline, that is the label."""
    own = message.description.predictedFeatureName
    return own or next(filter(None, map(predicted, steps(message)[::-1])), "")


def dictionaries(message: Any, depth: int = 0) -> dict[str, list[Any]]:
    """Keys of the inputs that are dictionaries, in the order of their places."""
    if message.WhichOneof("Type") == "dictVectorizer":
        held = message.dictVectorizer
        return {message.description.input[0].name: list(getattr(held, held.WhichOneof("Map")).vector)}
    found: dict[str, list[Any]] = {}
    for step in steps(message) if depth < DEPTH else []:
        found.update(dictionaries(step, depth + 1))
    return found


def _blockers(file: File, message: Any, depth: int) -> Any:
    kind = message.WhichOneof("Type")
    if depth > DEPTH:
        yield Blocker("pipeline", "", "", "is nested too deep")
        return
    if kind in APPLE_ONLY:
        yield Blocker(kind, "", "", f"is {APPLE_ONLY[kind]}")
    elif kind in NOT_READ:
        yield Blocker(kind, "", "", f"is {NOT_READ[kind]}, and is not read")
    elif kind == "mlProgram":
        yield from program.step_blockers(file, message)
    elif kind not in STEPS and kind not in WHOLE and kind not in NETWORKS and kind not in PIPELINES:
        yield Blocker(str(kind), "", "", "is a kind of model that is not read")
    if kind in NETWORKS:
        yield from network._blockers(getattr(message, kind), message.specificationVersion)
    for step in steps(message):
        yield from _blockers(file, step, depth + 1)


def answers(op: hub.Builder, file: File, message: Any, given: Values, options: dict[str, Any]) -> Values:
    """Outputs of a model by name, from values under its inputs' names."""
    kind = message.WhichOneof("Type")
    op.begin(kind)
    if kind in NETWORKS:
        return network.answers(op, file, message, given, {**options, "labels": "output"})
    if kind == "mlProgram":
        return program.answers(op, file, message, given, options)
    if kind in PIPELINES:
        known = dict(given)
        for step in steps(message):
            known.update(answers(op, file, step, known, options))
        return known
    inputs = []
    for feature in message.description.input:
        if feature.name not in given:
            raise UnreadableFile(f"{file.path}: the feature {feature.name} is missing.")
        inputs.append(given[feature.name])
    if kind in WHOLE:
        return WHOLE[kind](op, message, inputs)
    if not options.get("many"):
        inputs = [op.Reshape(v, [1, -1]) for v in inputs]
    results = STEPS[kind](op, getattr(message, kind), inputs)
    if not options.get("many"):
        results = (
            tuple(op.Reshape(r, [-1]) for r in results)
            if isinstance(results, tuple)
            else op.Reshape(results, [-1])
        )
    return named(message, results)


def named(message: Any, results: Any) -> Values:
    """Results under the names of outputs: of a classifier the label, then the probabilities."""
    description = message.description
    if not isinstance(results, tuple):
        return {description.output[0].name: results}
    label, scores = results
    found = {}
    for feature in description.output:
        if (
            feature.name == description.predictedProbabilitiesName
            or feature.type.WhichOneof("Type") == "dictionaryType"
        ):
            found[feature.name] = scores
        else:
            found[feature.name] = label
    return found


STEPS: dict[str, Callable[[Any, Any, list[ir.Value]], Any]] = {
    "arrayFeatureExtractor": array_feature_extractor,
    "categoricalMapping": categorical_mapping,
    "featureVectorizer": feature_vectorizer,
    "glmClassifier": glm_classifier,
    "glmRegressor": glm_regressor,
    "imputer": imputer,
    "kNearestNeighborsClassifier": neighbours,
    "normalizer": normalizer,
    "oneHotEncoder": one_hot,
    "scaler": scaler,
    "supportVectorClassifier": vector_classifier,
    "supportVectorRegressor": vector_regressor,
    "treeEnsembleClassifier": tree_classifier,
    "treeEnsembleRegressor": tree_regressor,
}


WHOLE: dict[str, Callable[[Any, Any, list[ir.Value]], Values]] = {
    "classConfidenceThresholding": thresholded,
    "dictVectorizer": unchanged,
    "identity": unchanged,
    "nonMaximumSuppression": suppressed,
}
