"""Trees, generalized linear models, support vectors, neighbours, feature steps and pipelines → ai.onnx.ml and
tensor operators. Core ML takes one record at a time: a number is a vector of one, an array what the file
declares. With rows="many", and for files bridge wrote of models of rows, the model takes any number of
records. Steps compute on [rows, features]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import facts, hub
from bridge.errors import InvalidOption, UnreadableFile, UnsupportedModel
from bridge.report import Blocker
from bridge_coreml import ensembles, features, interface, network, program
from bridge_coreml.ensembles import row
from bridge_coreml.links import PIPELINES, steps
from bridge_coreml.reader import File

ML = "ai.onnx.ml"
DOUBLE, FLOAT, INT64 = (int(ir.DataType[n]) for n in ("DOUBLE", "FLOAT", "INT64"))
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
Values = dict[str, ir.Value]


def classical(file: File, options: dict[str, Any]) -> ir.Model:
    """The hub model of a classical model or a pipeline, networks inside it included."""
    message = file.message
    blockers = list(_blockers(file, message, 0))
    if blockers:
        raise UnsupportedModel(f"{len(blockers)} steps of {file.path} cannot be read:", blockers)
    graph = ir.Graph([], [], nodes=[], name="main", opset_imports={"": hub.HUB_OPSET, ML: hub.ML_OPSET})
    op = hub.Builder(graph)
    keys = dictionaries(message)
    before, after = interface.loaded(message.description.metadata.userDefined.get(facts.INTERFACE.key, ""))
    many = bool(before) or options.get("rows") == "many"
    if many and (whole := sorted(kinds(message) & SINGLE)):
        raise InvalidOption(
            f"{file.path} holds a {whole[0]}, which takes one record at a time.", "Leave rows away."
        )
    given = {}
    for feature in message.description.input:
        count = len(keys[feature.name]) if feature.name in keys else None
        value = features.array_input(file, feature, count)
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
    model.metadata_props.update(features.metadata(file, features.described(file)))
    if many:
        facts.COREML_ROWS.set(model, "many")
    for name, listed in keys.items():
        facts.COREML_KEYS.of(name).set(model, listed)
    if classes is not None:
        facts.COREML_CLASSES.set(model, classes)
    return model


def in_rows(op: Any, value: ir.Value, remembered: interface.Port | None) -> tuple[ir.Value, ir.Value]:
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


def answered(op: Any, value: ir.Value, remembered: interface.Port) -> ir.Value:
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


def glm_scores(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    x = row(op, inputs)
    weights = np.array([list(w.value) for w in held.weights]).T
    made = op.MatMul(x, op.const(np.ascontiguousarray(weights).astype(x.dtype.numpy())))
    offset = np.array(held.offset or [0.0]).astype(x.dtype.numpy())
    return op.Add(made, op.const(offset))


def probit(op: Any, x: Any) -> Any:
    """The distribution function of the normal distribution."""
    return op.Mul(op.Add(op.Erf(op.Mul(x, float(np.sqrt(0.5)))), 1.0), 0.5)


def glm_regressor(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    made = glm_scores(op, held, inputs)
    return {0: lambda: made, 1: lambda: op.Sigmoid(made), 2: lambda: probit(op, made)}[
        held.postEvaluationTransform
    ]()


def glm_classifier(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    scores = glm_scores(op, held, inputs)
    count = len(network.labels(held) or [])
    if count == 2 and len(held.weights) == 1:
        second = probit(op, scores) if held.postEvaluationTransform == 1 else op.Sigmoid(scores)
        chances = op.Concat(op.Sub(1.0, second), second, axis=1)
    elif held.classEncoding == 0:
        zero = op.Mul(op.Slice(scores, [0], [1], [1]), 0.0)
        chances = op.Softmax(op.Concat(zero, scores, axis=1), axis=1)
    else:
        each = op.Sigmoid(scores)
        chances = op.Div(each, op.ReduceSum(each, [1], keepdims=1))
    return network.labelled(op, held, chances)


def numpy_of(x: ir.Value) -> Any:
    """The NumPy dtype of a feature."""
    return (x.dtype or ir.DataType.DOUBLE).numpy()


def scaler(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    (x,) = inputs
    kind = numpy_of(x)
    made = op.Add(x, op.const(np.array(held.shiftValue, kind))) if held.shiftValue else x
    return op.Mul(made, op.const(np.array(held.scaleValue, kind))) if held.scaleValue else op.Identity(made)


def normalizer(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    (x,) = inputs
    if held.normType == 0:
        size = op.ReduceMax(op.Abs(x), [-1], keepdims=1)
    else:
        size = op.node("ReduceL1" if held.normType == 1 else "ReduceL2", x, [-1], keepdims=1)
    return op.Div(x, op.Where(op.Equal(size, 0.0), op.const(1, x.dtype), size))


def imputer(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    (x,) = inputs
    which, replaced = held.WhichOneof("ImputedValue"), held.WhichOneof("ReplaceValue")
    if which not in ("imputedDoubleValue", "imputedInt64Value", "imputedDoubleArray", "imputedInt64Array"):
        raise UnsupportedModel("An imputer of texts or dictionaries is not read.", [])
    value = getattr(held, which)
    value = np.array(value.vector if which.endswith("Array") else value, numpy_of(x))
    gone = getattr(held, replaced) if replaced else np.nan
    missing = (
        op.IsNaN(x) if isinstance(gone, float) and np.isnan(gone) else op.Equal(x, op.const(gone, x.dtype))
    )
    return op.Where(missing, op.const(value), x)


def one_hot(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    (x,) = inputs
    categories = getattr(held, held.WhichOneof("CategoryType")).vector
    table = network.label_table(op, list(categories))
    if x.dtype is not None and x.dtype != table.dtype:
        table = op.Cast(table, to=int(x.dtype))
    return op.Cast(op.Equal(x, table), to=DOUBLE)


def categorical_mapping(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    (x,) = inputs
    pairs = getattr(held, held.WhichOneof("MappingType")).map
    keys, values = sorted(pairs), [pairs[k] for k in sorted(pairs)]
    unknown = held.WhichOneof("ValueOnUnknown")
    if held.WhichOneof("MappingType") == "stringToInt64Map":
        answer, to = held.int64Value if unknown == "int64Value" else -1, ir.DataType.INT64
        tables = {"keys_strings": keys, "values_int64s": values, "default_int64": answer}
    else:
        answer, to = held.strValue if unknown == "strValue" else "", ir.DataType.STRING
        tables = {"keys_int64s": keys, "values_strings": values, "default_string": answer}
        x = x if x.dtype == ir.DataType.INT64 else op.Cast(x, to=INT64)
    return op.LabelEncoder(x, _domain=ML, _dtype=to, _shape=x.shape, **tables)


def feature_vectorizer(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    kinds = {v.dtype for v in inputs}
    to = FLOAT if kinds == {ir.DataType.FLOAT} else DOUBLE
    parts = [op.Cast(v, to=to) for v in inputs]
    return parts[0] if len(parts) == 1 else op.Concat(*parts, axis=1)


def array_feature_extractor(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    return op.Gather(inputs[0], op.const(np.array(held.extractIndex, np.int64)), axis=1)


def neighbours(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    """The classes of the nearest samples, each with the same weight or with 1 / distance."""
    x = row(op, inputs, ir.DataType.FLOAT)
    samples = np.array([list(s.vector) for s in held.nearestNeighborsIndex.floatSamples], np.float32)
    classes = list(dict.fromkeys(network.labels(held) or []))
    own = np.array([classes.index(c) for c in network.labels(held) or []])
    apart = op.Sub(op.const(samples[None]), op.Unsqueeze(x, [1]))
    distance = op.ReduceSum(op.Mul(apart, apart), [2], keepdims=0)
    count = min(int(held.numberOfNeighbors.defaultValue), len(samples))
    near, places = op.TopK(distance, np.array([count], np.int64), axis=1, largest=0, _outputs=2)
    votes = op.const(np.eye(len(classes), dtype=np.float32)[own])
    weights = op.Add(op.Mul(near, 0.0), 1.0)
    if held.WhichOneof("WeightingScheme") == "inverseDistanceWeighting":
        weights = op.Reciprocal(op.Add(op.Sqrt(near), 1e-6))
    total = op.ReduceSum(
        op.Mul(op.Gather(votes, places, axis=0), op.Unsqueeze(weights, [2])), [1], keepdims=0
    )
    chances = op.Div(total, op.ReduceSum(total, [1], keepdims=1))
    best = op.ArgMax(chances, axis=1, keepdims=0)
    return op.Gather(network.label_table(op, classes), best, axis=0), chances


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
    "supportVectorClassifier": ensembles.vector_classifier,
    "supportVectorRegressor": ensembles.vector_regressor,
    "treeEnsembleClassifier": ensembles.tree_classifier,
    "treeEnsembleRegressor": ensembles.tree_regressor,
}


def unchanged(op: Any, message: Any, inputs: list[ir.Value]) -> Values:
    outputs = [f.name for f in message.description.output]
    return {name: op.Identity(value) for name, value in zip(outputs, inputs, strict=False)}


def suppressed(op: Any, message: Any, inputs: list[ir.Value]) -> Values:
    """Boxes [N, 4] of which none overlaps one of more confidence, most confident first, and their confidences
    [N, C].

    What an output of declared length is left with is zero. NonMaximumSuppression.proto: boxes are centre and
    size, and a box below the threshold is out.
    """
    held = message.nonMaximumSuppression
    given = {f.name: v for f, v in zip(message.description.input, inputs, strict=True)}
    to = ir.DataType.FLOAT
    confidence, boxes = (
        op.Cast(given[n], to=int(to))
        for n in (held.confidenceInputFeatureName, held.coordinatesInputFeatureName)
    )
    overlap, least = (
        op.Reshape(op.Cast(given[name], to=int(to)), [1])
        if name in given
        else op.const(np.array([number], np.float32))
        for name, number in (
            (held.iouThresholdInputFeatureName, held.iouThreshold),
            (held.confidenceThresholdInputFeatureName, held.confidenceThreshold),
        )
    )
    top = op.ReduceMax(confidence, [1], keepdims=1)
    own = confidence if held.pickTop.perClass else top
    out = op.Less(own, least)
    if held.pickTop.perClass:
        labels = op.ArgMax(confidence, axis=1, keepdims=1)
        count = op.Gather(op.Shape(confidence), np.array([1], np.int64))
        places = op.Unsqueeze(op.Range(np.int64(0), op.Squeeze(count, [0]), np.int64(1)), [0])
        out = op.Or(out, op.Not(op.Equal(labels, places)))
    scores = op.Unsqueeze(op.Transpose(op.Where(out, op.const(np.float32(-1)), own), perm=[1, 0]), [0])
    total = op.Gather(op.Shape(confidence), np.array([0], np.int64))
    picked = op.NonMaxSuppression(
        op.Unsqueeze(boxes, [0]), scores, total, overlap, np.array([-0.5], np.float32), center_point_box=1
    )
    kept = op.Reshape(op.Slice(picked, [2], [3], [1]), [-1])
    _, order = op.TopK(op.Reshape(op.Gather(top, kept), [-1]), op.Shape(kept), axis=0, _outputs=2)
    kept = op.Gather(kept, order)
    wanted = {f.name: [int(d) for d in f.type.multiArrayType.shape] for f in message.description.output}
    names = (held.confidenceOutputFeatureName, held.coordinatesOutputFeatureName)
    length = next((wanted[n][0] for n in names if wanted.get(n)), 0)
    return {
        name: _of_length(op, op.Gather(given[source], kept, axis=0), length)
        for name, source in zip(
            names, (held.confidenceInputFeatureName, held.coordinatesInputFeatureName), strict=True
        )
    }


def thresholded(op: Any, message: Any, inputs: list[ir.Value]) -> Values:
    """Confidences, and beneath them which classes are there: ClassConfidenceThresholding.proto takes all of
    them, for now."""
    row = op.Reshape(inputs[0], [1, -1])
    there = op.Expand(op.const(1, row.dtype), op.Shape(row))
    return {message.description.output[0].name: op.Concat(row, there, axis=0)}


def _of_length(op: Any, rows: ir.Value, length: int) -> ir.Value:
    """So many rows, zeros after the last; all of them without a length."""
    if not length:
        return rows
    first = op.Slice(rows, [0], [length], [0])
    there = op.Gather(op.Shape(first), np.array([0], np.int64))
    pads = op.Concat(
        np.zeros(2, np.int64), op.Sub(np.array([length], np.int64), there), np.zeros(1, np.int64), axis=0
    )
    return op.Pad(first, pads, op.const(0, rows.dtype))


WHOLE: dict[str, Callable[[Any, Any, list[ir.Value]], Values]] = {
    "classConfidenceThresholding": thresholded,
    "dictVectorizer": unchanged,
    "identity": unchanged,
    "nonMaximumSuppression": suppressed,
}
