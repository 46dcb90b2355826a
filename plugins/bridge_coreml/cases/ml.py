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

    def made(self, folder: Path) -> Made:
        """The case as the matrix measures it."""
        message = self.build(described(self.kind, self.arrays, "y"))
        path = folder / "native.mlmodel"
        path.write_bytes(message.SerializeToString())
        to = np.float32 if self.kind.startswith(SINGLE) else np.float64
        expected = [np.array(v, to) if np.asarray(v).dtype.kind == "f" else v for v in self.expected]
        return Made(path, self.arrays, self.options, expected, atol=self.atol)


def described(kind: str, arrays: dict[str, np.ndarray], output: str) -> Any:
    """A message of a model that takes the arrays and answers an array of doubles."""
    made = model()
    made.specificationVersion = 4
    for name, array in arrays.items():
        feature = made.description.input.add(name=name)
        if array.dtype == object:
            feature.type.stringType.SetInParent()
        else:
            feature.type.multiArrayType.shape.extend(array.shape)
            feature.type.multiArrayType.dataType = DOUBLE
    made.description.output.add(name=output).type.multiArrayType.dataType = DOUBLE
    getattr(made, kind).SetInParent()
    return made


def cases() -> dict[str, NativeCase]:
    """The models by name, whose first word is their kind."""
    found = linear() | vectors() | trees() | steps() | boxes() | pipelines() | networks()
    return {f"{name} model": NativeCase((name.split()[0],), each.made) for name, each in found.items()}


def filled(
    kind: str, fill: Callable[[Any], Any], x: np.ndarray = ROW, *expected: Any, **options: Any
) -> Classical:
    """A model whose own message `fill` sets."""

    def build(message: Any) -> Any:
        fill(getattr(message, kind))
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

    def fill(count: int, transform: int = 0, encoding: int | None = None) -> Callable[[Any], Any]:
        def build(held: Any) -> None:
            for row, shift in zip(weights[:count], offset[:count], strict=True):
                held.weights.add().value.extend(row)
                held.offset.append(shift)
            held.postEvaluationTransform = transform
            if encoding is not None:
                held.classEncoding = encoding
                names = ["a", "b", "c"][: 2 if count == 1 else 3]
                held.stringClassLabels.vector.extend(names)

        return build

    def logistic(v: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-v))

    reference = np.exp([0.0, *scores[:2]])
    rest = logistic(scores)
    second = logistic(scores[:1])
    return {
        "glmRegressor": filled("glmRegressor", fill(1), ROW, scores[:1]),
        "glmRegressor logit": filled("glmRegressor", fill(1, 1), ROW, logistic(scores[:1])),
        "glmRegressor several": filled("glmRegressor", fill(3), ROW, scores),
        "glmClassifier": filled("glmClassifier", fill(1, 0, 0), ROW, np.concatenate([1 - second, second])),
        "glmClassifier reference": filled("glmClassifier", fill(2, 0, 0), ROW, reference / reference.sum()),
        "glmClassifier rest": filled("glmClassifier", fill(3, 0, 1), ROW, rest / rest.sum()),
        "glmClassifier label": filled(
            "glmClassifier", fill(3, 0, 1), ROW, rest / rest.sum(), np.array([["a", "b", "c"][int(rest.argmax())]], object), labels="output"
        ),
    }  # fmt: skip


def vectors() -> dict[str, Classical]:
    held = f(4, 3).astype(float)
    alpha, gamma = np.array([1.0, -0.5, 2.0, -1.5]), 0.3
    dots = held @ ROW
    kernels: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
        "linear": (lambda k: k.linearKernel.SetInParent(), dots),
        "rbf": (lambda k: setattr(k.rbfKernel, "gamma", gamma), np.exp(-gamma * ((held - ROW) ** 2).sum(1))),
        "poly": (lambda k: _set(k.polyKernel, degree=2, c=0.5, gamma=gamma), (gamma * dots + 0.5) ** 2),
        "sigmoid": (lambda k: _set(k.sigmoidKernel, c=0.5, gamma=gamma), np.tanh(gamma * dots + 0.5)),
    }

    def fill(kernel: Callable[[Any], Any], sparse: bool = False) -> Callable[[Any], Any]:
        def build(message: Any) -> None:
            kernel(message.kernel)
            for row in held:
                if sparse:
                    vector = message.sparseSupportVectors.vectors.add()
                    for place, value in enumerate(row, 1):
                        vector.nodes.add(index=place, value=value)
                else:
                    message.denseSupportVectors.vectors.add().values.extend(row)
            message.coefficients.alpha.extend(alpha)
            message.rho = 0.25

        return build

    def classify(message: Any) -> None:
        kernels["rbf"][0](message.kernel)
        for row in held:
            message.denseSupportVectors.vectors.add().values.extend(row)
        message.coefficients.add().alpha.extend(alpha)
        message.numberOfSupportVectorsPerClass.extend([2, 2])
        message.rho.append(0.25)
        message.probA.append(-1.5)
        message.probB.append(0.5)
        message.int64ClassLabels.vector.extend([3, 7])

    chance = 1 / (1 + np.exp(-1.5 * (alpha @ kernels["rbf"][1] - 0.25) + 0.5))
    found = {
        f"supportVectorRegressor {name}": filled(
            "supportVectorRegressor", fill(kernel), ROW, [alpha @ value - 0.25]
        )
        for name, (kernel, value) in kernels.items()
    }
    return found | {
        "supportVectorRegressor sparse": filled(
            "supportVectorRegressor", fill(kernels["linear"][0], True), ROW, [alpha @ dots - 0.25]
        ),
        "supportVectorClassifier": filled("supportVectorClassifier", classify, ROW, [chance, 1 - chance]),
    }  # fmt: skip


def _set(message: Any, **values: Any) -> None:
    for name, value in values.items():
        setattr(message, name, value)


def trees() -> dict[str, Classical]:
    """Two trees: x0 against 0.1, then x1 against 3, and x2 against 1."""
    points = {"left": [0.1, 5, 0], "middle": [0.2, 3, 2], "right": [0.2, 3.5, 1]}

    def leaves(x: list[float]) -> float:
        first = 1.0 if x[0] <= 0.1 else -2.0 if x[1] > 3 else 4.0
        return first + (0.25 if x[2] < 1 else -0.75)

    def grown(made: Any) -> Any:
        made.add_branch_node(0, 0, 0, 0.1, "BranchOnValueLessThanEqual", 1, 2)
        made.add_leaf_node(0, 1, 1.0)
        made.add_branch_node(0, 2, 1, 3.0, "BranchOnValueGreaterThan", 3, 4)
        made.add_leaf_node(0, 3, -2.0)
        made.add_leaf_node(0, 4, 4.0)
        made.add_branch_node(1, 0, 2, 1.0, "BranchOnValueLessThan", 1, 2)
        made.add_leaf_node(1, 1, 0.25)
        made.add_leaf_node(1, 2, -0.75)
        return made.spec

    def regressor(_: Any) -> Any:
        from coremltools.models import datatypes
        from coremltools.models.tree_ensemble import TreeEnsembleRegressor

        made = TreeEnsembleRegressor([("x", datatypes.Array(3))], "y")
        made.set_default_prediction_value(0.5)
        return grown(made)

    def classifier(_: Any) -> Any:
        from coremltools.models import datatypes
        from coremltools.models.tree_ensemble import TreeEnsembleClassifier

        made = TreeEnsembleClassifier([("x", datatypes.Array(3))], ["no", "yes"], "y")
        made.set_default_prediction_value([0.0])
        made.set_post_evaluation_transform("Regression_Logistic")
        return grown(made)

    found = {}
    for name, point in points.items():
        x, chance = {"x": np.array(point, float)}, 1 / (1 + np.exp(-leaves(point)))
        found[f"treeEnsembleRegressor {name}"] = Classical(
            "treeEnsembleRegressor", regressor, x, ([0.5 + leaves(point)],)
        )
        found[f"treeEnsembleClassifier {name}"] = Classical(
            "treeEnsembleClassifier", classifier, x, ([1 - chance, chance],)
        )
    return found


def steps() -> dict[str, Classical]:
    gaps = np.array([1.0, np.nan, 4.0])

    def scale(held: Any) -> None:
        held.shiftValue.extend([1.0, 2.0, 3.0])
        held.scaleValue.extend([2.0, 0.5, -1.0])

    def impute(held: Any) -> None:
        held.imputedDoubleArray.vector.extend([7.0, 8.0, 9.0])
        held.replaceDoubleValue = float("nan")

    def normalize(kind: int) -> Callable[[Any], Any]:
        return lambda held: setattr(held, "normType", kind)

    samples = np.array([[0, 0], [1, 0], [5, 5], [6, 5], [0, 1]], float)
    point = np.array([0.2, 0.1])
    near = 1 / np.sqrt(((samples[[0, 1, 4]] - point) ** 2).sum(1))

    def neighbours(inverse: bool = False) -> Callable[[Any], Any]:
        def build(held: Any) -> None:
            for row in samples:
                held.nearestNeighborsIndex.floatSamples.add().vector.extend(row)
            held.nearestNeighborsIndex.numberOfDimensions = 2
            held.numberOfNeighbors.defaultValue = 3
            held.stringClassLabels.vector.extend(["a", "a", "b", "b", "b"])
            (held.inverseDistanceWeighting if inverse else held.uniformWeighting).SetInParent()

        return build

    def hot(held: Any) -> None:
        held.int64Categories.vector.extend([3, 5, 9])

    def mapped(held: Any) -> None:
        held.stringToInt64Map.map["cat"] = 4
        held.stringToInt64Map.map["dog"] = 6

    def named(held: Any) -> None:
        held.int64ToStringMap.map[4] = "cat"
        held.int64ToStringMap.map[6] = "dog"

    return {
        "scaler": filled("scaler", scale, ROW, (ROW + np.array([1, 2, 3])) * [2, 0.5, -1]),
        "imputer": filled("imputer", impute, gaps, [1.0, 8.0, 4.0]),
        "normalizer max": filled("normalizer", normalize(0), ROW, ROW / 2),
        "normalizer l1": filled("normalizer", normalize(1), ROW, ROW / 3.5),
        "normalizer l2": filled("normalizer", normalize(2), ROW, ROW / np.linalg.norm(ROW)),
        "arrayFeatureExtractor": filled("arrayFeatureExtractor", lambda held: held.extractIndex.extend([2, 0]), ROW, ROW[[2, 0]]),
        "oneHotEncoder": filled("oneHotEncoder", hot, np.array([5.0]), [0.0, 1.0, 0.0]),
        "kNearestNeighborsClassifier": filled("kNearestNeighborsClassifier", neighbours(), point, [2 / 3, 1 / 3]),
        "kNearestNeighborsClassifier inverse": filled("kNearestNeighborsClassifier", neighbours(True), point, [near[:2].sum() / near.sum(), near[2] / near.sum()]),
        "categoricalMapping texts": filled("categoricalMapping", named, np.array([6.0]), np.array(["dog"], object)),
        "classConfidenceThresholding": filled("classConfidenceThresholding", lambda held: None, ROW, [ROW, [1, 1, 1]]),
        "categoricalMapping": filled("categoricalMapping", mapped, np.array(["dog"], object), np.array([6], np.int64)),
        "identity": Classical("identity", lambda m: m, {"x": ROW}, (ROW,)),
        "featureVectorizer": Classical("featureVectorizer", _columns, {"a": ROW, "b": ROW[:2]}, (np.concatenate([ROW, ROW[:2]]),)),
    }  # fmt: skip


def _columns(message: Any) -> Any:
    for name, size in (("a", 3), ("b", 2)):
        message.featureVectorizer.inputList.add(inputColumn=name, inputDimensions=size)
    return message


def boxes() -> dict[str, Classical]:
    """Five boxes as centers and sizes: two overlap others of more confidence, and one is not confident
    enough."""
    places = np.array([[1, 1, 2, 2], [1, 1, 2, 2.1], [1, 1, 2, 2], [9, 9, 2, 2], [6, 6, 1, 1]], float)
    scores = np.array([[0.6, 0.1], [0.9, 0.0], [0.1, 0.7], [0.2, 0.1], [0.5, 0.4]])
    arrays = {"scores": scores, "boxes": places}

    def build(per_class: bool, length: int = 0, given: bool = False) -> Callable[[Any], Any]:
        def filled(message: Any) -> Any:
            nms = message.nonMaximumSuppression
            nms.iouThreshold, nms.confidenceThreshold, nms.pickTop.perClass = 0.5, 0.3, per_class
            nms.confidenceInputFeatureName, nms.coordinatesInputFeatureName = "scores", "boxes"
            nms.confidenceOutputFeatureName, nms.coordinatesOutputFeatureName = "y", "coordinates"
            if given:
                nms.confidenceThresholdInputFeatureName, nms.iouThresholdInputFeatureName = "least", "overlap"
            message.description.output.add(name="coordinates").type.multiArrayType.dataType = DOUBLE
            for feature, width in zip(message.description.output, (2, 4), strict=True) if length else ():
                feature.type.multiArrayType.shape.extend([length, width])
            return message

        return filled

    def kept(rows: list[int], length: int = 0) -> tuple[Any, ...]:
        return tuple(np.pad(v[rows], ((0, max(length - len(rows), 0)), (0, 0))) for v in (scores, places))

    kind = "nonMaximumSuppression"
    more = {"least": np.array([0.8]), "overlap": np.array([0.5])}
    return {
        kind: Classical(kind, build(False), arrays, kept([1, 4])),
        f"{kind} classes": Classical(kind, build(True), arrays, kept([1, 2, 4])),
        f"{kind} length": Classical(kind, build(True, 5), arrays, kept([1, 2, 4], 5)),
        f"{kind} thresholds": Classical(kind, build(True, given=True), arrays | more, kept([1])),
    }


def pipelines() -> dict[str, Classical]:
    def build(kind: str) -> Callable[[Any], Any]:
        def filled(message: Any) -> Any:
            held = message.pipeline if kind == "pipeline" else message.pipelineRegressor.pipeline
            names = ["x", "a", "y"]
            for step, source, result in zip(("scaler", "glmRegressor"), names[:-1], names[1:], strict=True):
                held.models.append(described(step, {source: ROW}, result))
            held.models[0].scaler.shiftValue.extend([1.0, 1.0, 1.0])
            held.models[0].scaler.scaleValue.extend([1.0, 2.0, 3.0])
            held.models[1].glmRegressor.weights.add().value.extend([1.0, -2.0, 0.5])
            held.models[1].glmRegressor.offset.append(0.25)
            return message

        return filled

    def classify(message: Any) -> Any:
        held = message.pipelineClassifier.pipeline
        held.models.append(described("scaler", {"x": ROW}, "a"))
        held.models[0].scaler.scaleValue.extend([1.0, 2.0, 3.0])
        last = described("glmClassifier", {"a": ROW}, "y")
        last.description.predictedProbabilitiesName = "y"
        last.glmClassifier.weights.add().value.extend([1.0, -2.0, 0.5])
        last.glmClassifier.offset.append(0.25)
        last.glmClassifier.int64ClassLabels.vector.extend([3, 7])
        held.models.append(last)
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
    }  # fmt: skip


def networks() -> dict[str, Classical]:
    """Networks with labels, and those that answer a number."""
    weights = np.array([[1, 2, 3], [-1, 0.5, 2]], np.float32)
    scores = weights @ ROW

    def build(kind: str) -> Callable[[Any], Any]:
        def filled(message: Any) -> Any:
            held = getattr(message, kind)
            held.arrayInputShapeMapping = 1
            dense = held.layers.add(name="dense", input=["x"], output=["y"]).innerProduct
            used = weights if kind.endswith("Classifier") else weights[:1]
            dense.inputChannels, dense.outputChannels = 3, len(used)
            dense.weights.floatValue.extend(used.ravel())
            if kind.endswith("Classifier"):
                held.stringClassLabels.vector.extend(["cat", "dog"])
                held.labelProbabilityLayerName = "y"
                message.description.output[0].type.dictionaryType.stringKeyType.SetInParent()
                message.description.output.add(name="animal").type.stringType.SetInParent()
                message.description.predictedFeatureName = "animal"
            return message

        return filled

    expected = {"neuralNetworkClassifier": scores, "neuralNetworkRegressor": scores[:1]}
    return {kind: Classical(kind, build(kind), {"x": ROW}, (want,)) for kind, want in expected.items()}
