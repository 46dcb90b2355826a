"""ai.onnx.ml and a few tensor operators → Core ML's own model types. Handlers take (pipeline, node,
*features)."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.classical.trees import MODES
from bridge.hub import attr, const, held, input_at, rank_of
from bridge.needs import attribute, condition, dtype
from bridge.ops import OpTable
from bridge.passes.decompose.ml import ML, Forest, ensemble, leaf_weights, numbers
from bridge.passes.decompose.ml_classify import labels_of, sides

ops = OpTable()

LEAF = 6
NORMS = {"L1": 1, "L2": 2}


def first_input(node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    assert value is not None
    return value


def is_matrix_of_numbers(node: ir.Node) -> bool:
    """True for a run-time matrix of numbers, one record per row; a vector would be a single record."""
    x = node.inputs[0]
    numeric = x is not None and x.dtype is not None and x.dtype.name in ("FLOAT", "DOUBLE", "INT32", "INT64")
    return numeric and held(x) is None and rank_of(x) != 1


NUMBERS = condition("float, double, int32 or int64 numbers in rows, read at run time", is_matrix_of_numbers)


def is_unused(value: ir.Value) -> bool:
    return not value.uses() and not value.is_graph_output()


def one_of(name: str, *allowed: str) -> Any:
    return condition(f"{name} {' or '.join(allowed)}", lambda n: str(attr(n, name)) in allowed)


NO_TRANSFORM = condition(
    "post_transform NONE for a single target",
    lambda n: attr(n, "post_transform") == "NONE",
)


def write_trees(params: Any, forest: Forest, weights: np.ndarray, base: Any, transform: int) -> None:
    """Write the nodes of a forest under the source's node ids, or by number where a root's is not the least,
    as Core ML's is; `weights` are leaf values [nodes, dimensions]."""
    trees = params.treeEnsemble
    params.postEvaluationTransform = transform
    trees.numPredictionDimensions = weights.shape[1]
    trees.basePredictionValue.extend(float(b) for b in (base if len(base) else np.zeros(weights.shape[1])))
    node_ids = forest.ids
    for tree, root in enumerate(forest.roots):
        members, stack = [], [int(root)]
        while stack:
            node_index = stack.pop()
            members.append(node_index)
            if forest.mode[node_index] != "LEAF":
                stack += [int(forest.false[node_index]), int(forest.true[node_index])]
        ids = {member: node_ids[member] for member in members}
        if min(ids.values()) != ids[int(root)]:
            ids = {member: number for number, member in enumerate(dict.fromkeys(members))}
        for member in sorted(ids, key=ids.__getitem__):
            node = trees.nodes.add(treeId=tree, nodeId=ids[member])
            write_tree_node(node, forest, member, ids, weights[member])


def write_tree_node(
    message: Any, forest: Forest, index: int, node_ids: dict[int, int], weights: np.ndarray
) -> None:
    if forest.mode[index] == "LEAF":
        message.nodeBehavior = LEAF
        for column in np.flatnonzero(weights) if weights.any() else [0]:
            message.evaluationInfo.add(evaluationIndex=int(column), evaluationValue=float(weights[column]))
        return
    message.nodeBehavior = MODES.index(forest.mode[index])
    message.branchFeatureIndex = int(forest.feature[index])
    message.branchFeatureValue = float(forest.value[index])
    message.missingValueTracksTrueChild = bool(forest.tracks[index]) or forest.mode[index] == "BRANCH_NEQ"
    for side, targets in (("trueChildNodeId", forest.true), ("falseChildNodeId", forest.false)):
        target = int(targets[index])
        setattr(message, side, node_ids[target])


NO_SETS = condition("no sets of values", lambda n: 6 not in attr(n, "nodes_modes").numpy())


@ops.op(
    f"{ML}::TreeEnsembleRegressor",
    needs=(NUMBERS, NO_TRANSFORM, one_of("aggregate_function", "SUM", "AVERAGE")),
)
def tree_regressor(pipe, node, x):
    forest, count = Forest.of(node), attr(node, "n_targets", 1)
    weights = forest.weights(node, "target", count, 0.0).astype(np.float64)
    if attr(node, "aggregate_function") == "AVERAGE":
        weights /= len(forest.roots)
    return write_tree_regressor(pipe, node, x, forest, weights, numbers(node, "base_values"))


@ops.op(
    f"{ML}::TreeEnsemble",
    needs=(
        NUMBERS,
        condition("post_transform=0", lambda n: not attr(n, "post_transform")),
        condition("sums or means", lambda n: attr(n, "aggregate_function") in (0, 1)),
        NO_SETS,
    ),
)
def tree_ensemble(pipe, node, x):
    forest = ensemble(node)
    weights = leaf_weights(node, forest, 0.0).astype(np.float64)
    if not attr(node, "aggregate_function"):
        weights /= len(forest.roots)
    return write_tree_regressor(pipe, node, x, forest, weights, [])


@ops.op("bridge.coreml::TreeRegressor", needs=(NUMBERS, NO_SETS))
def lifted_tree_regressor(pipe, node, x):
    """Sums of trees after one of Core ML's transforms."""
    params = regressor(pipe, node, "treeEnsembleRegressor", x, attr(node, "n_targets"))
    write_lifted(params, node)
    return pipe.steps[-1].outputs[0]


@ops.op("bridge.coreml::TreeClassifier", needs=(NUMBERS, NO_SETS))
def lifted_tree_classifier(pipe, node, x):
    """Label and probabilities; a single sum is that of the second of two classes."""
    params, outputs = classifier(pipe, node, "treeEnsembleClassifier", x)
    write_lifted(params, node)
    return outputs


def write_lifted(params: Any, node: ir.Node) -> None:
    forest = ensemble(node)
    weights = leaf_weights(node, forest, 0.0).astype(np.float64)
    write_trees(params, forest, weights, attr(node, "base").numpy(), attr(node, "transform"))


def write_tree_regressor(
    pipe: Any, node: ir.Node, x: Any, forest: Forest, weights: np.ndarray, base: Any
) -> Any:
    write_trees(regressor(pipe, node, "treeEnsembleRegressor", x, weights.shape[1]), forest, weights, base, 0)
    return pipe.steps[-1].outputs[0]


def regressor(pipe: Any, node: ir.Node, model_type: str, x: Any, count: int) -> Any:
    """Add a regressor of `count` targets to the pipeline, and return its parameters."""
    output = pipe.fresh(node.outputs[0].name or "value", "double" if count == 1 else "array", count)
    return pipe.step(model_type, [x], output)


def classifier(pipe: Any, node: ir.Node, model_type: str, x: Any) -> tuple[Any, tuple[Any, ...]]:
    """Add a classifier with its labels; return its parameters and its outputs: the label, and the
    probabilities if they are used."""
    labels, (label, scores) = labels_of(node), node.outputs
    keys = "string" if labels.dtype == object else "int64"
    outputs = [pipe.fresh(label.name or "label", keys)]
    if not is_unused(scores):
        outputs.append(pipe.fresh(scores.name or "probabilities", "dictionary", len(labels), keys))
    params = pipe.step(model_type, [x], *outputs)
    vector = params.stringClassLabels.vector if keys == "string" else params.int64ClassLabels.vector
    vector.extend(str(v) if keys == "string" else int(v) for v in labels)
    return params, tuple(outputs)


def has_argmax_scores(node: ir.Node) -> bool:
    """True if the class is the argmax of the scores, as in Core ML; ONNX Runtime has other rules for some
    binary classifiers."""
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
        condition("scores of which the largest, as Core ML compares them, is the class", has_argmax_scores),
    ),
)
def tree_classifier(pipe, node, x):
    """Tree classifier; a single dimension is the probability of the second of two classes."""
    forest, labels = Forest.of(node), labels_of(node)
    params, outputs = classifier(pipe, node, "treeEnsembleClassifier", x)
    weights = forest.weights(node, "class", 1 if len(labels) == 2 else len(labels), 0.0)
    transform = {"NONE": 0, "SOFTMAX": 1, "LOGISTIC": 2}[attr(node, "post_transform")]
    write_trees(params, forest, weights, numbers(node, "base_values"), transform)
    return outputs


def coefficients(node: ir.Node, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights [targets, features] and offsets [targets], float64."""
    weights = np.array(attr(node, "coefficients"), np.float32).astype(np.float64).reshape(count, -1)
    intercepts = attr(node, "intercepts")
    offsets = np.array(intercepts, np.float32).astype(np.float64) if intercepts else np.zeros(count)
    return weights, offsets


def write_weights(params: Any, weights: np.ndarray, offsets: np.ndarray) -> None:
    for each in weights:
        params.weights.add().value.extend(each.tolist())
    params.offset.extend(offsets.tolist())


@ops.op(f"{ML}::LinearRegressor", needs=(NUMBERS, NO_TRANSFORM))
def linear_regressor(pipe, node, x):
    count = attr(node, "targets")
    params = regressor(pipe, node, "glmRegressor", x, count)
    write_weights(params, *coefficients(node, count))
    return pipe.steps[-1].outputs[0]


def has_supported_transform(node: ir.Node) -> bool:
    """True for softmax; for the logistic function of one score, of two opposite scores, or of each class if
    the sum is normalized to 1 later."""
    labels, post = len(labels_of(node)), attr(node, "post_transform")
    count = len(attr(node, "intercepts") or [])
    if labels < 2 or count not in (labels, 1) or (count == 1 and labels != 2):
        return False
    if is_unused(node.outputs[1]):
        return post in ("NONE", "SOFTMAX", "LOGISTIC")
    if count == 1:
        return post == "LOGISTIC"
    if post == "SOFTMAX":
        return True
    weights, offsets = coefficients(node, count)
    opposite = labels == 2 and np.array_equal(weights[0], -weights[1]) and offsets[0] == -offsets[1]
    return post == "LOGISTIC" and (opposite or (labels > 2 and is_normalized_later(node.outputs[1])))


def is_normalized_later(scores: ir.Value) -> bool:
    """True if only L1 Normalizers read the scores."""
    readers = {use.node for use in scores.uses()}
    return not scores.is_graph_output() and all(
        r.op_type == "Normalizer" and attr(r, "norm") == "L1" for r in readers
    )


@ops.op(
    f"{ML}::LinearClassifier",
    needs=(
        NUMBERS,
        condition(
            "probabilities by softmax, or by the logistic function to a sum of 1", has_supported_transform
        ),
    ),
)
def linear_classifier(pipe, node, x):
    """Softmax and binary models are written with the first class as reference, others as one versus rest."""
    params, outputs = classifier(pipe, node, "glmClassifier", x)
    count, labels = len(attr(node, "intercepts")), len(labels_of(node))
    weights, offsets = coefficients(node, count)
    one_vs_rest = attr(node, "post_transform") == "LOGISTIC" and labels > 2
    if one_vs_rest:
        params.classEncoding = 1
    elif count > 1 and attr(node, "post_transform") == "LOGISTIC":
        weights, offsets = weights[1:], offsets[1:]
    elif count > 1:
        weights, offsets = weights[1:] - weights[:1], offsets[1:] - offsets[:1]
    write_weights(params, weights, offsets)
    return outputs


KERNEL = one_of("kernel_type", "LINEAR", "RBF", "POLY", "SIGMOID")


def write_kernel(params: Any, node: ir.Node) -> None:
    gamma, coef0, degree = (attr(node, "kernel_params") or [1.0, 0.0, 1.0])[:3]
    kernel_type = str(attr(node, "kernel_type"))
    kernel = getattr(params.kernel, f"{kernel_type.lower()}Kernel")
    kernel.SetInParent()
    if kernel_type != "LINEAR":
        kernel.gamma = gamma
    if kernel_type in ("POLY", "SIGMOID"):
        kernel.c = coef0
    if kernel_type == "POLY":
        kernel.degree = int(degree)


def write_support_vectors(params: Any, node: ir.Node, count: int) -> None:
    for each in np.array(attr(node, "support_vectors"), np.float32).reshape(count, -1):
        params.denseSupportVectors.vectors.add().values.extend(each.tolist())


def whole_degree(node: ir.Node) -> bool:
    return attr(node, "kernel_type") != "POLY" or float(attr(node, "kernel_params")[2]).is_integer()


DEGREE = condition("a whole degree", whole_degree)


@ops.op(
    f"{ML}::SVMRegressor",
    needs=(
        NUMBERS,
        NO_TRANSFORM,
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
        params = regressor(pipe, node, "glmRegressor", x, 1)
        write_weights(
            params, np.array([attr(node, "coefficients")], np.float32).astype(np.float64), np.array([rho])
        )
        return pipe.steps[-1].outputs[0]
    params = regressor(pipe, node, "supportVectorRegressor", x, 1)
    write_kernel(params, node)
    write_support_vectors(params, node, count)
    params.coefficients.alpha.extend(attr(node, "coefficients"))
    params.rho = -rho
    return pipe.steps[-1].outputs[0]


def has_probabilities(node: ir.Node) -> bool:
    has_vectors = bool(attr(node, "support_vectors")) and attr(node, "post_transform") == "NONE"
    return has_vectors and (bool(attr(node, "prob_a")) or is_unused(node.outputs[1]))


@ops.op(
    f"{ML}::SVMClassifier",
    needs=(
        NUMBERS,
        KERNEL,
        DEGREE,
        condition("support vectors with fitted probabilities, or the label read alone", has_probabilities),
    ),
)
def vector_classifier(pipe, node, x):
    params, outputs = classifier(pipe, node, "supportVectorClassifier", x)
    counts = attr(node, "vectors_per_class")
    write_kernel(params, node)
    write_support_vectors(params, node, sum(counts))
    params.numberOfSupportVectorsPerClass.extend(counts)
    for each in np.array(attr(node, "coefficients"), np.float32).reshape(len(counts) - 1, -1):
        params.coefficients.add().alpha.extend(each.tolist())
    params.rho.extend(-float(r) for r in attr(node, "rho"))
    params.probA.extend(attr(node, "prob_a") or [])
    params.probB.extend(attr(node, "prob_b") or [])
    return outputs


def per_feature_values(values: Any, width: int) -> np.ndarray:
    return np.broadcast_to(np.array(values, np.float32).astype(np.float64).ravel(), (width,))


def write_scaler(pipe: Any, node: ir.Node, x: Any, shift: Any, scale: Any) -> Any:
    if any(np.size(v) not in (1, x.width) for v in (shift, scale)):
        return NotImplemented
    output = pipe.array(node, x.width)
    params = pipe.step("scaler", [x], output)
    params.shiftValue.extend(per_feature_values(shift, x.width).tolist())
    params.scaleValue.extend(per_feature_values(scale, x.width).tolist())
    return output


@ops.op(f"{ML}::Scaler", needs=(NUMBERS,))
def scaler(pipe, node, x):
    return write_scaler(pipe, node, x, -np.array(attr(node, "offset"), np.float32), attr(node, "scale"))


def is_per_feature(node: ir.Node) -> bool:
    """True if the second operand is a constant: one number, or one per feature."""
    array = const(node.inputs[1])
    return array is not None and array.ndim <= 2 and array.size == (array.shape[-1] if array.ndim else 1)


@ops.op(
    "Add",
    "Sub",
    "Mul",
    "Div",
    needs=(NUMBERS, dtype("float", "double"), condition("a constant for each feature", is_per_feature)),
)
def arithmetic(pipe, node, x, y):
    number = const(y)
    shift, scale = {
        "Add": (number, 1.0),
        "Sub": (-number, 1.0),
        "Mul": (0.0, number),
        "Div": (0.0, 1.0 / number.astype(np.float64)),
    }[node.op_type]
    return write_scaler(pipe, node, x, shift, scale)


@ops.op(
    f"{ML}::Imputer",
    needs=(
        NUMBERS,
        dtype("float", "double"),
        condition("floats to put in", lambda n: bool(attr(n, "imputed_value_floats"))),
    ),
)
def imputer(pipe, node, x):
    output = pipe.array(node, x.width)
    params = pipe.step("imputer", [x], output)
    params.imputedDoubleArray.vector.extend(
        per_feature_values(attr(node, "imputed_value_floats"), x.width).tolist()
    )
    params.replaceDoubleValue = attr(node, "replaced_value_float")
    return output


def reads_probabilities(node: ir.Node) -> bool:
    """True if the input is the probabilities of a linear classifier, which sum to 1 in Core ML."""
    producer = node.inputs[0].producer() if node.inputs[0] is not None else None
    return (
        producer is not None
        and producer.op_type == "LinearClassifier"
        and attr(node, "norm") == "L1"
        and str(attr(producer, "post_transform")) in ("SOFTMAX", "LOGISTIC")
    )


@ops.op(f"{ML}::Normalizer", needs=(condition("probabilities of a linear classifier", reads_probabilities),))
def already_normalized(pipe, node, x):
    return x


@ops.op(f"{ML}::Normalizer", needs=(NUMBERS, one_of("norm", "L1", "L2")))
def normalizer(pipe, node, x):
    output = pipe.array(node, x.width)
    pipe.step("normalizer", [x], output).normType = NORMS[attr(node, "norm")]
    return output


def is_single_column(node: ir.Node) -> bool:
    shape = first_input(node).shape
    return shape is not None and (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1))


SINGLE_COLUMN = condition("one category a record", is_single_column)


@ops.op(f"{ML}::OneHotEncoder", needs=(dtype("string", "int64", "int32"), SINGLE_COLUMN))
def one_hot_encoder(pipe, node, x):
    texts, integers = attr(node, "cats_strings"), attr(node, "cats_int64s")
    output = pipe.array(node, len(texts or integers))
    params = pipe.step("oneHotEncoder", [x], output)
    if texts:
        params.stringCategories.vector.extend(str(t) for t in texts)
    else:
        params.int64Categories.vector.extend(integers)
    params.handleUnknown = attr(node, "zeros")
    return output


def maps_text_and_integers(node: ir.Node) -> bool:
    """True for a mapping of text to integers or of integers to text."""
    pairs = (("keys_strings", "values_int64s"), ("keys_int64s", "values_strings"))
    return any(attr(node, a) and attr(node, b) for a, b in pairs)


@ops.op(
    f"{ML}::LabelEncoder",
    needs=(SINGLE_COLUMN, condition("text to integers or integers to text", maps_text_and_integers)),
)
def label_encoder(pipe, node, x):
    keys = attr(node, "keys_strings")
    output = pipe.fresh(node.outputs[0].name or "label", "int64" if keys else "string")
    params = pipe.step("categoricalMapping", [x], output)
    if keys:
        params.stringToInt64Map.map.update(
            dict(zip(map(str, keys), attr(node, "values_int64s"), strict=True))
        )
        params.int64Value = attr(node, "default_int64")
    else:
        texts = map(str, attr(node, "values_strings"))
        params.int64ToStringMap.map.update(dict(zip(attr(node, "keys_int64s"), texts, strict=True)))
        params.strValue = str(attr(node, "default_string"))
    return output


def is_column_concat(node: ir.Node) -> bool:
    """True if all inputs are run-time numbers, concatenated along the last axis."""
    ranks = {rank for v in node.inputs if (rank := rank_of(v)) is not None}
    axis = 1 if node.op_type == "FeatureVectorizer" else attr(node, "axis")
    numbers_read = all(
        v is not None and held(v) is None and v.dtype not in (None, ir.DataType.STRING) for v in node.inputs
    )
    return 1 not in ranks and numbers_read and (axis == 1 if not ranks else axis in (-1, max(ranks) - 1))


@ops.op(
    "Concat",
    f"{ML}::FeatureVectorizer",
    needs=(condition("columns of numbers side by side", is_column_concat),),
)
def vectorizer(pipe, node, *features):
    output = pipe.array(node, sum(f.width for f in features))
    params = pipe.step("featureVectorizer", features, output)
    for _ in features:
        params.inputList.add()
    return output


def takes_constant_columns(node: ir.Node) -> bool:
    """True for constant, nonnegative indices along the last axis of a matrix."""
    x, indices = first_input(node), const(node.inputs[1])
    last_axis = node.op_type != "Gather" or (
        attr(node, "axis") in (1, -1) and indices is not None and indices.ndim < 2
    )
    return (
        indices is not None
        and last_axis
        and x.shape is not None
        and len(x.shape) == 2
        and bool((indices >= 0).all())
    )


@ops.op(
    f"{ML}::ArrayFeatureExtractor",
    "Gather",
    needs=(NUMBERS, condition("constant columns", takes_constant_columns)),
)
def extractor(pipe, node, x, indices):
    index_list = const(indices).ravel()
    is_integer = len(index_list) == 1 and node.inputs[0].dtype.is_integer()
    output = pipe.fresh(node.outputs[0].name or "column", "int64" if is_integer else "array", len(index_list))
    pipe.step("arrayFeatureExtractor", [x], output).extractIndex.extend(int(p) for p in index_list)
    return output


def is_widening(node: ir.Node) -> bool:
    """True if the Cast changes no value: Core ML stores numbers as float64."""
    source, target = first_input(node).dtype, ir.DataType(attr(node, "to"))
    if source is None or source == ir.DataType.STRING:
        return source == target
    return source == target or (
        target in (ir.DataType.FLOAT, ir.DataType.DOUBLE)
        and source in (ir.DataType.FLOAT, ir.DataType.INT32, ir.DataType.INT64)
    )


@ops.op("Cast", needs=(condition("a wider dtype", is_widening),))
@ops.op("Identity")
def unchanged(pipe, node, x):
    return x


def keeps_records(node: ir.Node) -> bool:
    """True if the reshape keeps one row per record."""
    shape = const(input_at(node, 1))
    if node.op_type == "Flatten":
        return attr(node, "axis") == 1
    return shape is not None and len(shape) in (1, 2) and int(shape[0]) in (-1, 0)


@ops.op(
    "Reshape",
    "Flatten",
    needs=(attribute("allowzero", 0), condition("a shape of records in rows", keeps_records)),
)
def reshape(pipe, node, x, *shape):
    new_shape = const(node.inputs[1]).ravel() if shape else [-1, -1]
    unchanged_width = int(new_shape[1]) in (-1, x.width) if len(new_shape) > 1 else x.width == 1
    return x if unchanged_width else NotImplemented
