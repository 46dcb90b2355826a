"""ai.onnx.ml, and the little around it, as Core ML's own classical models. Handlers take (pipeline, node,
*features)."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, input_at, rank_of
from bridge.needs import attribute, condition, dtype
from bridge.ops import OpTable
from bridge.passes.decompose.ml import ML, Forest, ensemble, leaf_weights, numbers
from bridge.passes.decompose.ml_classify import labels_of, sides

ops = OpTable()

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
LEAF = 6
NORMS = {"L1": 1, "L2": 2}


def first(node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    assert value is not None
    return value


def in_rows(node: ir.Node) -> bool:
    """Numbers in rows: a vector would be one record, whole."""
    x = node.inputs[0]
    numeric = x is not None and x.dtype is not None and x.dtype.name in ("FLOAT", "DOUBLE", "INT32", "INT64")
    return numeric and const(x) is None and rank_of(x) != 1


NUMBERS = condition("float, double, int32 or int64 numbers in rows, read at run time", in_rows)


def unread(value: ir.Value) -> bool:
    return not value.uses() and not value.is_graph_output()


def one_of(name: str, *allowed: str) -> Any:
    return condition(f"{name} {' or '.join(allowed)}", lambda n: str(attr(n, name)) in allowed)


ALONE = condition(
    "post_transform NONE for a single target",
    lambda n: attr(n, "post_transform") == "NONE",
)


def grow(held: Any, forest: Forest, weights: np.ndarray, base: Any, transform: int) -> None:
    """The nodes of a forest, numbered as the source numbers them, with what each leaf [nodes, dimensions]
    adds."""
    trees = held.treeEnsemble
    held.postEvaluationTransform = transform
    trees.numPredictionDimensions = weights.shape[1]
    trees.basePredictionValue.extend(float(b) for b in (base if len(base) else np.zeros(weights.shape[1])))
    own = {place: node for (_, node), place in forest.place.items()}
    for index, root in enumerate(forest.roots):
        places, waiting = [], [int(root)]
        while waiting:
            place = waiting.pop()
            places.append(place)
            if forest.mode[place] != "LEAF":
                waiting += [int(forest.false[place]), int(forest.true[place])]
        for place in sorted(places):
            _node(
                trees.nodes.add(treeId=index, nodeId=own.get(place, place)),
                forest,
                place,
                own,
                weights[place],
            )


def _node(made: Any, forest: Forest, place: int, own: dict[int, int], weights: np.ndarray) -> None:
    if forest.mode[place] == "LEAF":
        made.nodeBehavior = LEAF
        for column in np.flatnonzero(weights) if weights.any() else [0]:
            made.evaluationInfo.add(evaluationIndex=int(column), evaluationValue=float(weights[column]))
        return
    made.nodeBehavior = MODES.index(forest.mode[place])
    made.branchFeatureIndex = int(forest.feature[place])
    made.branchFeatureValue = float(forest.value[place])
    made.missingValueTracksTrueChild = bool(forest.tracks[place]) or forest.mode[place] == "BRANCH_NEQ"
    for side, targets in (("trueChildNodeId", forest.true), ("falseChildNodeId", forest.false)):
        target = int(targets[place])
        setattr(made, side, own.get(target, target))


@ops.op(
    f"{ML}::TreeEnsembleRegressor", needs=(NUMBERS, ALONE, one_of("aggregate_function", "SUM", "AVERAGE"))
)
def tree_regressor(pipe, node, x):
    forest, count = Forest.of(node), attr(node, "n_targets", 1)
    weights = forest.weights(node, "target", count, 0.0).astype(np.float64)
    if attr(node, "aggregate_function") == "AVERAGE":
        weights /= len(forest.roots)
    return _regressed(pipe, node, x, forest, weights, numbers(node, "base_values"))


@ops.op(
    f"{ML}::TreeEnsemble",
    needs=(
        NUMBERS,
        condition("post_transform=0", lambda n: not attr(n, "post_transform")),
        condition("sums or means", lambda n: attr(n, "aggregate_function") in (0, 1)),
        condition("no sets of values", lambda n: 6 not in attr(n, "nodes_modes").numpy()),
    ),
)
def tree_ensemble(pipe, node, x):
    forest = ensemble(node)
    weights = leaf_weights(node, forest, 0.0).astype(np.float64)
    if not attr(node, "aggregate_function"):
        weights /= len(forest.roots)
    return _regressed(pipe, node, x, forest, weights, [])


def _regressed(pipe: Any, node: ir.Node, x: Any, forest: Forest, weights: np.ndarray, base: Any) -> Any:
    grow(regressor(pipe, node, "treeEnsembleRegressor", x, weights.shape[1]), forest, weights, base, 0)
    return pipe.steps[-1].outputs[0]


def regressor(pipe: Any, node: ir.Node, kind: str, x: Any, count: int) -> Any:
    """Parameters of a regressor of `count` targets: a number, or an array of them."""
    made = pipe.fresh(node.outputs[0].name or "value", "double" if count == 1 else "array", count)
    return pipe.step(kind, [x], made)


def classifier(pipe: Any, node: ir.Node, kind: str, x: Any) -> tuple[Any, tuple[Any, ...]]:
    """Parameters of a classifier with its labels; the label, and the probabilities where they are read."""
    labels, (label, scores) = labels_of(node), node.outputs
    keys = "string" if labels.dtype == object else "int64"
    made = [pipe.fresh(label.name or "label", keys)]
    if not unread(scores):
        made.append(pipe.fresh(scores.name or "probabilities", "dictionary", len(labels), keys))
    held = pipe.step(kind, [x], *made)
    vector = held.stringClassLabels.vector if keys == "string" else held.int64ClassLabels.vector
    vector.extend(str(v) if keys == "string" else int(v) for v in labels)
    return held, tuple(made)


def chances(node: ir.Node) -> bool:
    """Trees whose largest entry is the class, as Core ML decides; ONNX Runtime decides otherwise for some
    pairs of classes."""
    labels, post = labels_of(node), attr(node, "post_transform")
    if len(labels) > 2:
        return post in ("NONE", "SOFTMAX")
    positive = numbers(node, "class_weights").min(initial=0) >= 0
    base = numbers(node, "base_values")
    if len(labels) != 2 or sides(node) != {0} or len(base) > 1:
        return False
    return (post == "NONE" and (positive and base.min(initial=0) >= 0)) or (
        post == "LOGISTIC" and not positive
    )


@ops.op(
    f"{ML}::TreeEnsembleClassifier",
    needs=(
        NUMBERS,
        condition("scores of which the largest, as Core ML compares them, is the class", chances),
    ),
)
def tree_classifier(pipe, node, x):
    """A single dimension is the chance of the second of two classes."""
    forest, labels = Forest.of(node), labels_of(node)
    held, made = classifier(pipe, node, "treeEnsembleClassifier", x)
    weights = forest.weights(node, "class", 1 if len(labels) == 2 else len(labels), 0.0)
    transform = {"NONE": 0, "SOFTMAX": 1, "LOGISTIC": 2}[attr(node, "post_transform")]
    grow(held, forest, weights, numbers(node, "base_values"), transform)
    return made


def coefficients(node: ir.Node, count: int) -> tuple[np.ndarray, np.ndarray]:
    """[targets, features] and one offset for each target."""
    weights = np.array(attr(node, "coefficients"), np.float32).astype(np.float64).reshape(count, -1)
    given = attr(node, "intercepts")
    offsets = np.array(given, np.float32).astype(np.float64) if given else np.zeros(count)
    return weights, offsets


def linear(held: Any, weights: np.ndarray, offsets: np.ndarray) -> None:
    for each in weights:
        held.weights.add().value.extend(each.tolist())
    held.offset.extend(offsets.tolist())


@ops.op(f"{ML}::LinearRegressor", needs=(NUMBERS, ALONE))
def linear_regressor(pipe, node, x):
    count = attr(node, "targets")
    held = regressor(pipe, node, "glmRegressor", x, count)
    linear(held, *coefficients(node, count))
    return pipe.steps[-1].outputs[0]


def shares(node: ir.Node) -> bool:
    """Softmax; or logistic of two opposite scores or of a single one, or of each class and then to a sum of
    1."""
    labels, post = len(labels_of(node)), attr(node, "post_transform")
    count = len(attr(node, "intercepts") or [])
    if labels < 2 or count not in (labels, 1) or (count == 1 and labels != 2):
        return False
    if unread(node.outputs[1]):
        return post in ("NONE", "SOFTMAX", "LOGISTIC")
    if count == 1:
        return post == "LOGISTIC"
    if post == "SOFTMAX":
        return True
    weights, offsets = coefficients(node, count)
    opposite = labels == 2 and np.array_equal(weights[0], -weights[1]) and offsets[0] == -offsets[1]
    return post == "LOGISTIC" and (opposite or (labels > 2 and normalized(node.outputs[1])))


def normalized(scores: ir.Value) -> bool:
    """Read by nothing but Normalizers to a sum of 1."""
    readers = {use.node for use in scores.uses()}
    return not scores.is_graph_output() and all(
        r.op_type == "Normalizer" and attr(r, "norm") == "L1" for r in readers
    )


@ops.op(
    f"{ML}::LinearClassifier",
    needs=(
        NUMBERS,
        condition("probabilities by softmax, or by the logistic function to a sum of 1", shares),
    ),
)
def linear_classifier(pipe, node, x):
    """Two classes and softmax are held as scores against the first class, the others one against the rest."""
    held, made = classifier(pipe, node, "glmClassifier", x)
    count, labels = len(attr(node, "intercepts")), len(labels_of(node))
    weights, offsets = coefficients(node, count)
    rest = attr(node, "post_transform") == "LOGISTIC" and labels > 2
    if rest:
        held.classEncoding = 1
    elif count > 1 and attr(node, "post_transform") == "LOGISTIC":
        weights, offsets = weights[1:], offsets[1:]
    elif count > 1:
        weights, offsets = weights[1:] - weights[:1], offsets[1:] - offsets[:1]
    linear(held, weights, offsets)
    return made


KERNEL = one_of("kernel_type", "LINEAR", "RBF", "POLY", "SIGMOID")


def kernel(held: Any, node: ir.Node) -> None:
    gamma, coef0, degree = (attr(node, "kernel_params") or [1.0, 0.0, 1.0])[:3]
    kind = str(attr(node, "kernel_type"))
    made = getattr(held.kernel, f"{kind.lower()}Kernel")
    made.SetInParent()
    if kind != "LINEAR":
        made.gamma = gamma
    if kind in ("POLY", "SIGMOID"):
        made.c = coef0
    if kind == "POLY":
        made.degree = int(degree)


def vectors(held: Any, node: ir.Node, count: int) -> None:
    for each in np.array(attr(node, "support_vectors"), np.float32).reshape(count, -1):
        held.denseSupportVectors.vectors.add().values.extend(each.tolist())


def whole_degree(node: ir.Node) -> bool:
    return attr(node, "kernel_type") != "POLY" or float(attr(node, "kernel_params")[2]).is_integer()


DEGREE = condition("a whole degree", whole_degree)


@ops.op(
    f"{ML}::SVMRegressor",
    needs=(
        NUMBERS,
        ALONE,
        KERNEL,
        DEGREE,
        condition(
            "one machine, of regression", lambda n: not attr(n, "one_class") and len(attr(n, "rho")) == 1
        ),
    ),
)
def vector_regressor(pipe, node, x):
    count, rho = attr(node, "n_supports"), float(attr(node, "rho")[0])
    if not count:
        held = regressor(pipe, node, "glmRegressor", x, 1)
        linear(held, np.array([attr(node, "coefficients")], np.float32).astype(np.float64), np.array([rho]))
        return pipe.steps[-1].outputs[0]
    held = regressor(pipe, node, "supportVectorRegressor", x, 1)
    kernel(held, node)
    vectors(held, node, count)
    held.coefficients.alpha.extend(attr(node, "coefficients"))
    held.rho = -rho
    return pipe.steps[-1].outputs[0]


def fitted(node: ir.Node) -> bool:
    known = bool(attr(node, "support_vectors")) and attr(node, "post_transform") == "NONE"
    return known and (bool(attr(node, "prob_a")) or unread(node.outputs[1]))


@ops.op(
    f"{ML}::SVMClassifier",
    needs=(
        NUMBERS,
        KERNEL,
        DEGREE,
        condition("support vectors with fitted probabilities, or the label read alone", fitted),
    ),
)
def vector_classifier(pipe, node, x):
    held, made = classifier(pipe, node, "supportVectorClassifier", x)
    counts = attr(node, "vectors_per_class")
    kernel(held, node)
    vectors(held, node, sum(counts))
    held.numberOfSupportVectorsPerClass.extend(counts)
    for each in np.array(attr(node, "coefficients"), np.float32).reshape(len(counts) - 1, -1):
        held.coefficients.add().alpha.extend(each.tolist())
    held.rho.extend(-float(r) for r in attr(node, "rho"))
    held.probA.extend(attr(node, "prob_a") or [])
    held.probB.extend(attr(node, "prob_b") or [])
    return made


def spread(values: Any, width: int) -> np.ndarray:
    return np.broadcast_to(np.array(values, np.float32).astype(np.float64).ravel(), (width,))


def scaled(pipe: Any, node: ir.Node, x: Any, shift: Any, scale: Any) -> Any:
    if any(np.size(v) not in (1, x.width) for v in (shift, scale)):
        return NotImplemented
    made = pipe.array(node, x.width)
    held = pipe.step("scaler", [x], made)
    held.shiftValue.extend(spread(shift, x.width).tolist())
    held.scaleValue.extend(spread(scale, x.width).tolist())
    return made


@ops.op(f"{ML}::Scaler", needs=(NUMBERS,))
def scaler(pipe, node, x):
    return scaled(pipe, node, x, -np.array(attr(node, "offset"), np.float32), attr(node, "scale"))


def per_feature(node: ir.Node) -> bool:
    """A constant second operand with one number, or one for each feature."""
    array = const(node.inputs[1])
    return array is not None and array.ndim <= 2 and array.size == (array.shape[-1] if array.ndim else 1)


@ops.op(
    "Add",
    "Sub",
    "Mul",
    "Div",
    needs=(NUMBERS, dtype("float", "double"), condition("a constant for each feature", per_feature)),
)
def arithmetic(pipe, node, x, y):
    number = const(y)
    shift, scale = {
        "Add": (number, 1.0),
        "Sub": (-number, 1.0),
        "Mul": (0.0, number),
        "Div": (0.0, 1.0 / number.astype(np.float64)),
    }[node.op_type]
    return scaled(pipe, node, x, shift, scale)


@ops.op(
    f"{ML}::Imputer",
    needs=(
        NUMBERS,
        dtype("float", "double"),
        condition("floats to put in", lambda n: bool(attr(n, "imputed_value_floats"))),
    ),
)
def imputer(pipe, node, x):
    made = pipe.array(node, x.width)
    held = pipe.step("imputer", [x], made)
    held.imputedDoubleArray.vector.extend(spread(attr(node, "imputed_value_floats"), x.width).tolist())
    held.replaceDoubleValue = attr(node, "replaced_value_float")
    return made


def after_classes(node: ir.Node) -> bool:
    """What it reads are probabilities that sum to 1 already, or will in the classifier."""
    maker = node.inputs[0].producer() if node.inputs[0] is not None else None
    return (
        maker is not None
        and maker.op_type == "LinearClassifier"
        and attr(node, "norm") == "L1"
        and str(attr(maker, "post_transform")) in ("SOFTMAX", "LOGISTIC")
    )


@ops.op(f"{ML}::Normalizer", needs=(condition("probabilities of a linear classifier", after_classes),))
def to_one(pipe, node, x):
    return x


@ops.op(f"{ML}::Normalizer", needs=(NUMBERS, one_of("norm", "L1", "L2")))
def normalizer(pipe, node, x):
    made = pipe.array(node, x.width)
    pipe.step("normalizer", [x], made).normType = NORMS[attr(node, "norm")]
    return made


def single(node: ir.Node) -> bool:
    shape = first(node).shape
    return shape is not None and (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1))


SINGLE = condition("one category a record", single)


@ops.op(f"{ML}::OneHotEncoder", needs=(dtype("string", "int64", "int32"), SINGLE))
def one_hot_encoder(pipe, node, x):
    texts, integers = attr(node, "cats_strings"), attr(node, "cats_int64s")
    made = pipe.array(node, len(texts or integers))
    held = pipe.step("oneHotEncoder", [x], made)
    if texts:
        held.stringCategories.vector.extend(str(t) for t in texts)
    else:
        held.int64Categories.vector.extend(integers)
    held.handleUnknown = attr(node, "zeros")
    return made


def between(node: ir.Node) -> bool:
    """From text to integers or back, one of each."""
    pairs = (("keys_strings", "values_int64s"), ("keys_int64s", "values_strings"))
    return any(attr(node, a) and attr(node, b) for a, b in pairs)


@ops.op(f"{ML}::LabelEncoder", needs=(SINGLE, condition("text to integers or integers to text", between)))
def label_encoder(pipe, node, x):
    keys = attr(node, "keys_strings")
    made = pipe.fresh(node.outputs[0].name or "label", "int64" if keys else "string")
    held = pipe.step("categoricalMapping", [x], made)
    if keys:
        held.stringToInt64Map.map.update(dict(zip(map(str, keys), attr(node, "values_int64s"), strict=True)))
        held.int64Value = attr(node, "default_int64")
    else:
        texts = map(str, attr(node, "values_strings"))
        held.int64ToStringMap.map.update(dict(zip(attr(node, "keys_int64s"), texts, strict=True)))
        held.strValue = str(attr(node, "default_string"))
    return made


def columns(node: ir.Node) -> bool:
    """Side by side along the last axis, all of them numbers made at run time."""
    ranks = {rank for v in node.inputs if (rank := rank_of(v)) is not None}
    axis = 1 if node.op_type == "FeatureVectorizer" else attr(node, "axis")
    numbers_read = all(
        v is not None and const(v) is None and v.dtype not in (None, ir.DataType.STRING) for v in node.inputs
    )
    return 1 not in ranks and numbers_read and (axis == 1 if not ranks else axis in (-1, max(ranks) - 1))


@ops.op("Concat", f"{ML}::FeatureVectorizer", needs=(condition("columns of numbers side by side", columns),))
def vectorizer(pipe, node, *given):
    made = pipe.array(node, sum(f.width for f in given))
    held = pipe.step("featureVectorizer", given, made)
    for _ in given:
        held.inputList.add()
    return made


def picked(node: ir.Node) -> bool:
    """Constant places along the last axis of a matrix of numbers."""
    x, places = first(node), const(node.inputs[1])
    last = node.op_type != "Gather" or (
        attr(node, "axis") in (1, -1) and places is not None and places.ndim < 2
    )
    return (
        places is not None
        and last
        and x.shape is not None
        and len(x.shape) == 2
        and bool((places >= 0).all())
    )


@ops.op(f"{ML}::ArrayFeatureExtractor", "Gather", needs=(NUMBERS, condition("constant columns", picked)))
def extractor(pipe, node, x, places):
    wanted = const(places).ravel()
    whole = len(wanted) == 1 and node.inputs[0].dtype.is_integer()
    made = pipe.fresh(node.outputs[0].name or "column", "int64" if whole else "array", len(wanted))
    pipe.step("arrayFeatureExtractor", [x], made).extractIndex.extend(int(p) for p in wanted)
    return made


def widening(node: ir.Node) -> bool:
    """A Cast that changes no value as Core ML holds it, in doubles."""
    before, after = first(node).dtype, ir.DataType(attr(node, "to"))
    if before is None or before == ir.DataType.STRING:
        return before == after
    return before == after or (
        after in (ir.DataType.FLOAT, ir.DataType.DOUBLE)
        and before in (ir.DataType.FLOAT, ir.DataType.INT32, ir.DataType.INT64)
    )


@ops.op("Cast", needs=(condition("a wider dtype", widening),))
@ops.op("Identity")
def unchanged(pipe, node, x):
    return x


def flat(node: ir.Node) -> bool:
    """Every record stays one, its numbers in order."""
    shape = const(input_at(node, 1))
    if node.op_type == "Flatten":
        return attr(node, "axis") == 1
    return shape is not None and len(shape) in (1, 2) and int(shape[0]) in (-1, 0)


@ops.op(
    "Reshape", "Flatten", needs=(attribute("allowzero", 0), condition("a shape of records in rows", flat))
)
def reshape(pipe, node, x, *shape):
    wanted = const(node.inputs[1]).ravel() if shape else [-1, -1]
    same = int(wanted[1]) in (-1, x.width) if len(wanted) > 1 else x.width == 1
    return x if same else NotImplemented
