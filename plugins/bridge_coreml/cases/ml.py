"""Core ML's classical models of one record each, against their formulas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bridge.matrix import Made, NativeCase
from bridge_coreml.cases.common import f
from bridge_coreml.proto import model

DOUBLE = 65600
# the hub computes these in float32
SINGLE = ("supportVector", "treeEnsemble", "kNearestNeighbors", "neuralNetworkClassifier", "dictVectorizer")
ROW = np.array([0.5, -1.0, 2.0])


@dataclass(frozen=True)
class Classical:
    """A model of the kind: `build` fills its message; `arrays` are its inputs by name, `expected` its
    outputs in order."""

    kind: str
    build: Callable[[Any], Any]
    arrays: dict[str, np.ndarray]
    expected: tuple[Any, ...]
    options: dict[str, Any] = field(default_factory=dict)
    atol: float | None = None

    def measured(self, folder: Path) -> Made:
        """The case as the matrix measures it."""
        message = self.build(empty_message(self.kind, self.arrays, "y"))
        path = folder / "native.mlmodel"
        path.write_bytes(message.SerializeToString())
        to = np.float32 if self.kind.startswith(SINGLE) else np.float64
        expected = [np.array(v, to) if np.asarray(v).dtype.kind == "f" else v for v in self.expected]
        return Made(path, self.arrays, self.options, expected, atol=self.atol)


def empty_message(kind: str, arrays: dict[str, np.ndarray], output: str) -> Any:
    """A message of a model that takes the arrays and answers an array of doubles."""
    message = model()
    message.specificationVersion = 4
    for name, array in arrays.items():
        feature = message.description.input.add(name=name)
        if array.dtype == object:
            feature.type.stringType.SetInParent()
        else:
            feature.type.multiArrayType.shape.extend(array.shape)
            feature.type.multiArrayType.dataType = DOUBLE
    message.description.output.add(name=output).type.multiArrayType.dataType = DOUBLE
    getattr(message, kind).SetInParent()
    return message


def cases() -> dict[str, NativeCase]:
    """The models by name, whose first word is their kind."""
    found = linear() | vectors() | trees() | steps() | boxes() | pipelines() | networks()
    return {f"{name} model": NativeCase((name.split()[0],), case.measured) for name, case in found.items()}


def model_of(
    kind: str, fill_message: Callable[[Any], Any], x: np.ndarray = ROW, *expected: Any, **options: Any
) -> Classical:
    """A model whose own message `fill` sets."""

    def build(message: Any) -> Any:
        fill_message(getattr(message, kind))
        if "Classifier" in kind:
            message.description.predictedFeatureName = "label"
            message.description.predictedProbabilitiesName = "y"
            if options.get("labels") == "output":
                message.description.output.add(name="label").type.stringType.SetInParent()
        return message

    return Classical(kind, build, {"x": x}, expected, options)


def linear() -> dict[str, Classical]:
    weights, offset = f(3, 3).astype(float), f(3).astype(float)
    scores = weights @ ROW + offset

    def fill_message(count: int, transform: int = 0, encoding: int | None = None) -> Callable[[Any], Any]:
        def fill(message: Any) -> None:
            for row, shift in zip(weights[:count], offset[:count], strict=True):
                message.weights.add().value.extend(row)
                message.offset.append(shift)
            message.postEvaluationTransform = transform
            if encoding is not None:
                message.classEncoding = encoding
                names = ["a", "b", "c"][: 2 if count == 1 else 3]
                message.stringClassLabels.vector.extend(names)

        return fill

    def logistic(v: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-v))

    reference = np.exp([0.0, *scores[:2]])
    one_against_rest = logistic(scores)
    positive = logistic(scores[:1])
    return {
        "glmRegressor": model_of("glmRegressor", fill_message(count=1), ROW, scores[:1]),
        "glmRegressor logit": model_of(
            "glmRegressor", fill_message(count=1, transform=1), ROW, logistic(scores[:1])
        ),
        "glmRegressor several": model_of("glmRegressor", fill_message(count=3), ROW, scores),
        "glmClassifier": model_of(
            "glmClassifier", fill_message(count=1, encoding=0), ROW, np.concatenate([1 - positive, positive])
        ),
        "glmClassifier reference": model_of(
            "glmClassifier", fill_message(count=2, encoding=0), ROW, reference / reference.sum()
        ),
        "glmClassifier rest": model_of(
            "glmClassifier", fill_message(count=3, encoding=1), ROW, one_against_rest / one_against_rest.sum()
        ),
        "glmClassifier label": model_of(
            "glmClassifier",
            fill_message(count=3, encoding=1),
            ROW,
            one_against_rest / one_against_rest.sum(),
            np.array([["a", "b", "c"][int(one_against_rest.argmax())]], object),
            labels="output",
        ),
    }


def vectors() -> dict[str, Classical]:
    support_vectors = f(4, 3).astype(float)
    alpha, gamma = np.array([1.0, -0.5, 2.0, -1.5]), 0.3
    dots = support_vectors @ ROW
    kernels: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
        "linear": (lambda k: k.linearKernel.SetInParent(), dots),
        "rbf": (
            lambda k: setattr(k.rbfKernel, "gamma", gamma),
            np.exp(-gamma * ((support_vectors - ROW) ** 2).sum(1)),
        ),
        "poly": (lambda k: _set(k.polyKernel, degree=2, c=0.5, gamma=gamma), (gamma * dots + 0.5) ** 2),
        "sigmoid": (lambda k: _set(k.sigmoidKernel, c=0.5, gamma=gamma), np.tanh(gamma * dots + 0.5)),
    }

    def fill_message(kernel: Callable[[Any], Any], sparse: bool = False) -> Callable[[Any], Any]:
        def fill(message: Any) -> None:
            kernel(message.kernel)
            for row in support_vectors:
                if sparse:
                    vector = message.sparseSupportVectors.vectors.add()
                    for place, value in enumerate(row, 1):
                        vector.nodes.add(index=place, value=value)
                else:
                    message.denseSupportVectors.vectors.add().values.extend(row)
            message.coefficients.alpha.extend(alpha)
            message.rho = 0.25

        return fill

    def classify(message: Any) -> None:
        kernels["rbf"][0](message.kernel)
        for row in support_vectors:
            message.denseSupportVectors.vectors.add().values.extend(row)
        message.coefficients.add().alpha.extend(alpha)
        message.numberOfSupportVectorsPerClass.extend([2, 2])
        message.rho.append(0.25)
        message.probA.append(-1.5)
        message.probB.append(0.5)
        message.int64ClassLabels.vector.extend([3, 7])

    chance = 1 / (1 + np.exp(-1.5 * (alpha @ kernels["rbf"][1] - 0.25) + 0.5))
    found = {
        f"supportVectorRegressor {name}": model_of(
            "supportVectorRegressor", fill_message(kernel), ROW, [alpha @ value - 0.25]
        )
        for name, (kernel, value) in kernels.items()
    }
    return found | {
        "supportVectorRegressor sparse": model_of(
            "supportVectorRegressor",
            fill_message(kernels["linear"][0], sparse=True),
            ROW,
            [alpha @ dots - 0.25],
        ),
        "supportVectorClassifier": model_of("supportVectorClassifier", classify, ROW, [chance, 1 - chance]),
    }


def _set(message: Any, **values: Any) -> None:
    for name, value in values.items():
        setattr(message, name, value)


def trees() -> dict[str, Classical]:
    """Two trees: x0 against 0.1, then x1 against 3, and x2 against 1."""
    points = {"left": [0.1, 5, 0], "middle": [0.2, 3, 2], "right": [0.2, 3.5, 1]}

    def leaves(x: list[float]) -> float:
        first = 1.0 if x[0] <= 0.1 else -2.0 if x[1] > 3 else 4.0
        return first + (0.25 if x[2] < 1 else -0.75)

    def grow(ensemble: Any) -> Any:
        ensemble.add_branch_node(
            tree_id=0,
            node_id=0,
            feature_index=0,
            feature_value=0.1,
            branch_mode="BranchOnValueLessThanEqual",
            true_child_id=1,
            false_child_id=2,
        )
        ensemble.add_leaf_node(tree_id=0, node_id=1, values=1.0)
        ensemble.add_branch_node(
            tree_id=0,
            node_id=2,
            feature_index=1,
            feature_value=3.0,
            branch_mode="BranchOnValueGreaterThan",
            true_child_id=3,
            false_child_id=4,
        )
        ensemble.add_leaf_node(tree_id=0, node_id=3, values=-2.0)
        ensemble.add_leaf_node(tree_id=0, node_id=4, values=4.0)
        ensemble.add_branch_node(
            tree_id=1,
            node_id=0,
            feature_index=2,
            feature_value=1.0,
            branch_mode="BranchOnValueLessThan",
            true_child_id=1,
            false_child_id=2,
        )
        ensemble.add_leaf_node(tree_id=1, node_id=1, values=0.25)
        ensemble.add_leaf_node(tree_id=1, node_id=2, values=-0.75)
        return ensemble.spec

    def regressor(_: Any) -> Any:
        from coremltools.models import datatypes
        from coremltools.models.tree_ensemble import TreeEnsembleRegressor

        ensemble = TreeEnsembleRegressor([("x", datatypes.Array(3))], "y")
        ensemble.set_default_prediction_value(0.5)
        return grow(ensemble)

    def classifier(_: Any) -> Any:
        from coremltools.models import datatypes
        from coremltools.models.tree_ensemble import TreeEnsembleClassifier

        ensemble = TreeEnsembleClassifier([("x", datatypes.Array(3))], ["no", "yes"], "y")
        ensemble.set_default_prediction_value([0.0])
        ensemble.set_post_evaluation_transform("Regression_Logistic")
        return grow(ensemble)

    models = {}
    for name, point in points.items():
        x, chance = {"x": np.array(point, float)}, 1 / (1 + np.exp(-leaves(point)))
        models[f"treeEnsembleRegressor {name}"] = Classical(
            "treeEnsembleRegressor", regressor, x, ([0.5 + leaves(point)],)
        )
        models[f"treeEnsembleClassifier {name}"] = Classical(
            "treeEnsembleClassifier", classifier, x, ([1 - chance, chance],)
        )
    return models


def steps() -> dict[str, Classical]:
    with_missing = np.array([1.0, np.nan, 4.0])

    def scale(message: Any) -> None:
        message.shiftValue.extend([1.0, 2.0, 3.0])
        message.scaleValue.extend([2.0, 0.5, -1.0])

    def impute(message: Any) -> None:
        message.imputedDoubleArray.vector.extend([7.0, 8.0, 9.0])
        message.replaceDoubleValue = float("nan")

    def normalize(norm_type: int) -> Callable[[Any], Any]:
        return lambda message: setattr(message, "normType", norm_type)

    samples = np.array([[0, 0], [1, 0], [5, 5], [6, 5], [0, 1]], float)
    point = np.array([0.2, 0.1])
    inverse_distances = 1 / np.sqrt(((samples[[0, 1, 4]] - point) ** 2).sum(1))

    def neighbours(inverse: bool = False) -> Callable[[Any], Any]:
        def build(message: Any) -> None:
            for row in samples:
                message.nearestNeighborsIndex.floatSamples.add().vector.extend(row)
            message.nearestNeighborsIndex.numberOfDimensions = 2
            message.numberOfNeighbors.defaultValue = 3
            message.stringClassLabels.vector.extend(["a", "a", "b", "b", "b"])
            (message.inverseDistanceWeighting if inverse else message.uniformWeighting).SetInParent()

        return build

    def fill_categories(message: Any) -> None:
        message.int64Categories.vector.extend([3, 5, 9])

    def map_texts(message: Any) -> None:
        message.stringToInt64Map.map["cat"] = 4
        message.stringToInt64Map.map["dog"] = 6

    def map_numbers(message: Any) -> None:
        message.int64ToStringMap.map[4] = "cat"
        message.int64ToStringMap.map[6] = "dog"

    return {
        "scaler": model_of("scaler", scale, ROW, (ROW + np.array([1, 2, 3])) * [2, 0.5, -1]),
        "imputer": model_of("imputer", impute, with_missing, [1.0, 8.0, 4.0]),
        "normalizer max": model_of("normalizer", normalize(norm_type=0), ROW, ROW / 2),
        "normalizer l1": model_of("normalizer", normalize(norm_type=1), ROW, ROW / 3.5),
        "normalizer l2": model_of("normalizer", normalize(norm_type=2), ROW, ROW / np.linalg.norm(ROW)),
        "arrayFeatureExtractor": model_of(
            "arrayFeatureExtractor", lambda message: message.extractIndex.extend([2, 0]), ROW, ROW[[2, 0]]
        ),
        "oneHotEncoder": model_of("oneHotEncoder", fill_categories, np.array([5.0]), [0.0, 1.0, 0.0]),
        "kNearestNeighborsClassifier": model_of(
            "kNearestNeighborsClassifier", neighbours(), point, [2 / 3, 1 / 3]
        ),
        "kNearestNeighborsClassifier inverse": model_of(
            "kNearestNeighborsClassifier",
            neighbours(inverse=True),
            point,
            [
                inverse_distances[:2].sum() / inverse_distances.sum(),
                inverse_distances[2] / inverse_distances.sum(),
            ],
        ),
        "categoricalMapping texts": model_of(
            "categoricalMapping", map_numbers, np.array([6.0]), np.array(["dog"], object)
        ),
        "classConfidenceThresholding": model_of(
            "classConfidenceThresholding", lambda message: None, ROW, [ROW, [1, 1, 1]]
        ),
        "categoricalMapping": model_of(
            "categoricalMapping", map_texts, np.array(["dog"], object), np.array([6], np.int64)
        ),
        "identity": Classical("identity", lambda m: m, {"x": ROW}, (ROW,)),
        "featureVectorizer": Classical(
            "featureVectorizer", _columns, {"a": ROW, "b": ROW[:2]}, (np.concatenate([ROW, ROW[:2]]),)
        ),
    }


def _columns(message: Any) -> Any:
    for name, size in (("a", 3), ("b", 2)):
        message.featureVectorizer.inputList.add(inputColumn=name, inputDimensions=size)
    return message


def boxes() -> dict[str, Classical]:
    """Five boxes as centers and sizes: two overlap others of more confidence, and one is not confident
    enough."""
    coordinates = np.array([[1, 1, 2, 2], [1, 1, 2, 2.1], [1, 1, 2, 2], [9, 9, 2, 2], [6, 6, 1, 1]], float)
    scores = np.array([[0.6, 0.1], [0.9, 0.0], [0.1, 0.7], [0.2, 0.1], [0.5, 0.4]])
    arrays = {"scores": scores, "boxes": coordinates}

    def build(per_class: bool, length: int = 0, with_thresholds: bool = False) -> Callable[[Any], Any]:
        def fill(message: Any) -> Any:
            nms = message.nonMaximumSuppression
            nms.iouThreshold, nms.confidenceThreshold, nms.pickTop.perClass = 0.5, 0.3, per_class
            nms.confidenceInputFeatureName, nms.coordinatesInputFeatureName = "scores", "boxes"
            nms.confidenceOutputFeatureName, nms.coordinatesOutputFeatureName = "y", "coordinates"
            if with_thresholds:
                nms.confidenceThresholdInputFeatureName, nms.iouThresholdInputFeatureName = "least", "overlap"
            message.description.output.add(name="coordinates").type.multiArrayType.dataType = DOUBLE
            for feature, width in zip(message.description.output, (2, 4), strict=True) if length else ():
                feature.type.multiArrayType.shape.extend([length, width])
            return message

        return fill

    def selected(rows: list[int], length: int = 0) -> tuple[Any, ...]:
        return tuple(
            np.pad(v[rows], ((0, max(length - len(rows), 0)), (0, 0))) for v in (scores, coordinates)
        )

    kind = "nonMaximumSuppression"
    more = {"least": np.array([0.8]), "overlap": np.array([0.5])}
    return {
        kind: Classical(kind, build(per_class=False), arrays, selected([1, 4])),
        f"{kind} classes": Classical(kind, build(per_class=True), arrays, selected([1, 2, 4])),
        f"{kind} length": Classical(kind, build(per_class=True, length=5), arrays, selected([1, 2, 4], 5)),
        f"{kind} thresholds": Classical(
            kind, build(per_class=True, with_thresholds=True), arrays | more, selected([1])
        ),
    }


def pipelines() -> dict[str, Classical]:
    def build(kind: str) -> Callable[[Any], Any]:
        def fill(message: Any) -> Any:
            pipeline = message.pipeline if kind == "pipeline" else message.pipelineRegressor.pipeline
            names = ["x", "a", "y"]
            for step, source, result in zip(("scaler", "glmRegressor"), names[:-1], names[1:], strict=True):
                pipeline.models.append(empty_message(step, {source: ROW}, result))
            pipeline.models[0].scaler.shiftValue.extend([1.0, 1.0, 1.0])
            pipeline.models[0].scaler.scaleValue.extend([1.0, 2.0, 3.0])
            pipeline.models[1].glmRegressor.weights.add().value.extend([1.0, -2.0, 0.5])
            pipeline.models[1].glmRegressor.offset.append(0.25)
            return message

        return fill

    def classify(message: Any) -> Any:
        pipeline = message.pipelineClassifier.pipeline
        pipeline.models.append(empty_message("scaler", {"x": ROW}, "a"))
        pipeline.models[0].scaler.scaleValue.extend([1.0, 2.0, 3.0])
        last = empty_message("glmClassifier", {"a": ROW}, "y")
        last.description.predictedProbabilitiesName = "y"
        last.glmClassifier.weights.add().value.extend([1.0, -2.0, 0.5])
        last.glmClassifier.offset.append(0.25)
        last.glmClassifier.int64ClassLabels.vector.extend([3, 7])
        pipeline.models.append(last)
        return message

    def keyed(message: Any) -> Any:
        message.description.input[0].type.dictionaryType.stringKeyType.SetInParent()
        message.dictVectorizer.stringToIndex.vector.extend(["a", "c", "b"])
        return message

    expected = [((ROW + 1) * [1, 2, 3]) @ [1, -2, 0.5] + 0.25]
    chance = 1 / (1 + np.exp(-((ROW * [1, 2, 3]) @ [1, -2, 0.5] + 0.25)))
    single = ROW.astype(np.float32)
    return {
        kind: Classical(kind, build(kind), {"x": ROW}, (expected,))
        for kind in ("pipeline", "pipelineRegressor")
    } | {
        "pipelineClassifier": Classical("pipelineClassifier", classify, {"x": ROW}, ([1 - chance, chance],)),
        "dictVectorizer": Classical("dictVectorizer", keyed, {"x": single}, (single,)),
    }


def networks() -> dict[str, Classical]:
    """Networks with labels, and those that answer a number."""
    weights = np.array([[1, 2, 3], [-1, 0.5, 2]], np.float32)
    scores = weights @ ROW

    def build(kind: str) -> Callable[[Any], Any]:
        def fill(message: Any) -> Any:
            network = getattr(message, kind)
            network.arrayInputShapeMapping = 1
            dense = network.layers.add(name="dense", input=["x"], output=["y"]).innerProduct
            kernel = weights if kind.endswith("Classifier") else weights[:1]
            dense.inputChannels, dense.outputChannels = 3, len(kernel)
            dense.weights.floatValue.extend(kernel.ravel())
            if kind.endswith("Classifier"):
                network.stringClassLabels.vector.extend(["cat", "dog"])
                network.labelProbabilityLayerName = "y"
                message.description.output[0].type.dictionaryType.stringKeyType.SetInParent()
                message.description.output.add(name="animal").type.stringType.SetInParent()
                message.description.predictedFeatureName = "animal"
            return message

        return fill

    expected = {"neuralNetworkClassifier": scores, "neuralNetworkRegressor": scores[:1]}
    return {kind: Classical(kind, build(kind), {"x": ROW}, (want,)) for kind, want in expected.items()}
