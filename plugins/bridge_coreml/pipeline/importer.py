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
from bridge_coreml.linked_models import PIPELINES, pipeline_models
from bridge_coreml.pipeline.common import ML, Values
from bridge_coreml.pipeline.feature_engineering import (
    array_feature_extractor,
    categorical_mapping,
    feature_vectorizer,
    imputer,
    normalizer,
    one_hot,
    pass_through,
    scaler,
)
from bridge_coreml.pipeline.linear_models import glm_classifier, glm_regressor
from bridge_coreml.pipeline.nearest_neighbors import nearest_neighbors
from bridge_coreml.pipeline.non_maximum_suppression import suppress_boxes, threshold_confidences
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
    """Hub model of a classical model or a pipeline, with the networks and programs inside of it."""
    message = file.message
    blockers = list(_blockers(file, message, 0))
    if blockers:
        raise UnsupportedModel(f"{len(blockers)} steps of {file.path} cannot be read:", blockers)
    graph = ir.Graph([], [], nodes=[], name="main", opset_imports={"": hub.HUB_OPSET, ML: hub.ML_OPSET})
    op = hub.Builder(graph)
    keys = dictionary_keys(message)
    input_ports, output_ports = source_interface.from_text(
        message.description.metadata.userDefined.get(facts.INTERFACE.key, "")
    )
    many_rows = bool(input_ports) or options.get("rows") == "many"
    if many_rows and (whole := sorted(model_types(message) & SINGLE)):
        raise InvalidOption(
            f"{file.path} holds a {whole[0]}, which takes one record at a time.", "Leave rows away."
        )
    features = {}
    for feature in message.description.input:
        key_count = len(keys[feature.name]) if feature.name in keys else None
        value = feature_descriptions.array_input(file, feature, key_count)
        graph_input = value
        if many_rows:
            graph_input, value = rows_input(op, value, input_ports.get(feature.name))
        graph.inputs.append(graph_input)
        features[feature.name] = value
    outputs = model_outputs(op, file, message, features, {**options, "many": many_rows})
    input_names, classes = {v.name for v in graph.inputs}, class_labels(file, message)
    label = predicted_feature(message) if classes is not None and not output_ports else ""
    for feature in message.description.output:
        if feature.name not in outputs or (feature.name == label and options.get("labels") != "output"):
            continue
        output, name = outputs[feature.name], feature.name
        if feature.name in output_ports:
            output, name = (
                as_source_output(op, output, output_ports[feature.name]),
                output_ports[feature.name].name,
            )
        output = op.Identity(output)
        output.name = f"{name}_output" if name in input_names else name
        graph.outputs.append(output)
    model = ir.Model(graph, ir_version=hub.IR_VERSION)
    model.metadata_props.update(feature_descriptions.metadata(file, feature_descriptions.by_name(file)))
    if many_rows:
        facts.COREML_ROWS.set(model, "many")
    for name, listed in keys.items():
        facts.COREML_KEYS.of(name).set(model, listed)
    if classes is not None:
        facts.COREML_CLASSES.set(model, classes)
    return model


def rows_input(op: Any, value: ir.Value, port: source_interface.Port | None) -> tuple[ir.Value, ir.Value]:
    """Graph input for many records, [rows, features], under the name and dtype of the source; and the value
    that steps read.

    float32 stays float32: Core ML's doubles hold the same numbers.
    """
    width = list(value.shape or [1])[-1] if value.shape is not None and len(value.shape) == 1 else None
    graph_input = ir.Value(name=value.name, type=value.type, shape=ir.Shape([f"{value.name}_rows", width]))
    if port is not None:
        graph_input = ir.Value(
            name=port.name,
            type=ir.TensorType(port.dtype),
            shape=ir.Shape(port.dims or [None, width]),
        )
    inner = op.Unsqueeze(graph_input, [1]) if len(graph_input.shape or ()) == 1 else graph_input
    if graph_input.dtype in (value.dtype, ir.DataType.FLOAT) or value.dtype == ir.DataType.STRING:
        return graph_input, inner
    return graph_input, op.Cast(inner, to=int(value.dtype or ir.DataType.DOUBLE))


def as_source_output(op: Any, value: ir.Value, port: source_interface.Port) -> ir.Value:
    """Cast and reshape an output of many records to the dtype and rank of the source."""
    if port.dims is not None and len(port.dims) == 1:
        value = op.Reshape(value, [-1])
    if value.dtype != port.dtype:
        value = op.Cast(value, to=int(port.dtype))
    if port.dims is not None:
        value = op.Identity(value)
        value.shape = ir.Shape(port.dims)
    return value


def model_types(message: Any) -> set[str]:
    """Model types of a pipeline, nested ones included."""
    types = {message.WhichOneof("Type")}
    return types.union(*(model_types(step) for step in pipeline_models(message)))


def class_labels(file: File, message: Any) -> list[Any] | None:
    """Labels of a classifier, or of the classifier of a pipeline."""
    if message.WhichOneof("Type") == "mlProgram":
        return program.program_labels(file, message)
    for step in pipeline_models(message)[::-1]:
        step_labels = class_labels(file, step)
        if step_labels is not None:
            return step_labels
    params = getattr(message, message.WhichOneof("Type"))
    return network.class_labels(params)


def predicted_feature(message: Any) -> str:
    """Name of the label feature of a classifier, or of the classifier in a pipeline."""
    own = message.description.predictedFeatureName
    return own or next(filter(None, map(predicted_feature, pipeline_models(message)[::-1])), "")


def dictionary_keys(message: Any, depth: int = 0) -> dict[str, list[Any]]:
    """Keys of dictionary inputs in vector order, by input name."""
    if message.WhichOneof("Type") == "dictVectorizer":
        params = message.dictVectorizer
        return {message.description.input[0].name: list(getattr(params, params.WhichOneof("Map")).vector)}
    keys: dict[str, list[Any]] = {}
    for step in pipeline_models(message) if depth < DEPTH else []:
        keys.update(dictionary_keys(step, depth + 1))
    return keys


def _blockers(file: File, message: Any, depth: int) -> Any:
    model_type = message.WhichOneof("Type")
    if depth > DEPTH:
        yield Blocker("pipeline", "", "", "is nested too deep")
        return
    if model_type in APPLE_ONLY:
        yield Blocker(model_type, "", "", f"is {APPLE_ONLY[model_type]}")
    elif model_type in NOT_READ:
        yield Blocker(model_type, "", "", f"is {NOT_READ[model_type]}, and is not read")
    elif model_type == "mlProgram":
        yield from program.step_blockers(file, message)
    elif (
        model_type not in STEP_HANDLERS
        and model_type not in MESSAGE_HANDLERS
        and model_type not in NETWORKS
        and model_type not in PIPELINES
    ):
        yield Blocker(str(model_type), "", "", "is a kind of model that is not read")
    if model_type in NETWORKS:
        yield from network.network_blockers(getattr(message, model_type), message.specificationVersion)
    for step in pipeline_models(message):
        yield from _blockers(file, step, depth + 1)


def model_outputs(
    op: hub.Builder, file: File, message: Any, input_features: Values, options: dict[str, Any]
) -> Values:
    """Outputs of a model by name, from its input values by name."""
    model_type = message.WhichOneof("Type")
    op.begin(model_type)
    if model_type in NETWORKS:
        return network.network_outputs(op, file, message, input_features, {**options, "labels": "output"})
    if model_type == "mlProgram":
        return program.program_outputs(op, file, message, input_features, options)
    if model_type in PIPELINES:
        features = dict(input_features)
        for step in pipeline_models(message):
            features.update(model_outputs(op, file, step, features, options))
        return features
    inputs = []
    for feature in message.description.input:
        if feature.name not in input_features:
            raise UnreadableFile(f"{file.path}: the feature {feature.name} is missing.")
        inputs.append(input_features[feature.name])
    if model_type in MESSAGE_HANDLERS:
        return MESSAGE_HANDLERS[model_type](op, message, inputs)
    if not options.get("many"):
        inputs = [op.Reshape(v, [1, -1]) for v in inputs]
    results = STEP_HANDLERS[model_type](op, getattr(message, model_type), inputs)
    if not options.get("many"):
        results = (
            tuple(op.Reshape(r, [-1]) for r in results)
            if isinstance(results, tuple)
            else op.Reshape(results, [-1])
        )
    return by_output_name(message, results)


def by_output_name(message: Any, results: Any) -> Values:
    """Results by output name; a classifier has a label and probabilities."""
    description = message.description
    if not isinstance(results, tuple):
        return {description.output[0].name: results}
    label, scores = results
    outputs = {}
    for feature in description.output:
        if (
            feature.name == description.predictedProbabilitiesName
            or feature.type.WhichOneof("Type") == "dictionaryType"
        ):
            outputs[feature.name] = scores
        else:
            outputs[feature.name] = label
    return outputs


STEP_HANDLERS: dict[str, Callable[[Any, Any, list[ir.Value]], Any]] = {
    "arrayFeatureExtractor": array_feature_extractor,
    "categoricalMapping": categorical_mapping,
    "featureVectorizer": feature_vectorizer,
    "glmClassifier": glm_classifier,
    "glmRegressor": glm_regressor,
    "imputer": imputer,
    "kNearestNeighborsClassifier": nearest_neighbors,
    "normalizer": normalizer,
    "oneHotEncoder": one_hot,
    "scaler": scaler,
    "supportVectorClassifier": vector_classifier,
    "supportVectorRegressor": vector_regressor,
    "treeEnsembleClassifier": tree_classifier,
    "treeEnsembleRegressor": tree_regressor,
}


MESSAGE_HANDLERS: dict[str, Callable[[Any, Any, list[ir.Value]], Values]] = {
    "classConfidenceThresholding": threshold_confidences,
    "dictVectorizer": pass_through,
    "identity": pass_through,
    "nonMaximumSuppression": suppress_boxes,
}
