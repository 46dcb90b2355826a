"""Classical models: trees, support vector machines, encoders."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir
from lxml import etree

from bridge import hub
from bridge.hub import attr
from bridge.needs import attribute, condition
from bridge.ops import OpTable
from bridge.passes.decompose.ml import ML, Forest, ensemble, leaf_weights, numbers
from bridge_pmml.document import Cols, Ref, attributes, format_literal, indented, kind_of, map_values
from bridge_pmml.export_ops.common import python_scalar
from bridge_pmml.export_ops.ml_instances import support_vector_machine

ops = OpTable()

OPERATORS = {
    "BRANCH_LEQ": "lessOrEqual",
    "BRANCH_LT": "lessThan",
    "BRANCH_GTE": "greaterOrEqual",
    "BRANCH_GT": "greaterThan",
    "BRANCH_EQ": "equal",
    "BRANCH_NEQ": "notEqual",
}
MATRIX = condition("a matrix of records", lambda n: hub.rank_of(n.inputs[0]) == 2)
HOW = {"SUM": "sum", "AVERAGE": "average", "MIN": "min", "MAX": "max"}
BLANK = {"sum": 0.0, "average": 0.0, "min": np.inf, "max": -np.inf}


@ops.op(f"{ML}::TreeEnsembleRegressor", needs=(MATRIX, attribute("post_transform", "NONE")))
def tree_regressor(doc, node, x):
    trees, count = Forest.of(node), attr(node, "n_targets", 1)
    base = numbers(node, "base_values")
    how = HOW[attr(node, "aggregate_function")]
    table = trees.weights(node, "target", count, BLANK[how])
    return Trees(doc, node, trees, x).targets(table, how, base)


@ops.op(f"{ML}::TreeEnsemble", needs=(MATRIX, attribute("post_transform", 0)))
def tree_ensemble(doc, node, x):
    trees = ensemble(node)
    how = ("average", "sum", "min", "max")[attr(node, "aggregate_function")]
    return Trees(doc, node, trees, x).targets(leaf_weights(node, trees, BLANK[how]), how, np.zeros(0))


def double_threshold(value: float, mode: str) -> float:
    """Largest double that rounds to the float threshold (smallest for < and >=): comparisons in double
    then agree with those of rounded floats."""
    near, last = np.float32(value), mode in ("BRANCH_LEQ", "BRANCH_GT")
    other = np.nextafter(near, np.float32(np.inf if last else -np.inf))
    if float(near) != value or not np.isfinite(other) or mode in ("BRANCH_EQ", "BRANCH_NEQ"):
        return value
    middle = (value + float(other)) / 2
    even = int(near.view(np.int32)) % 2 == 0
    return middle if even else float(np.nextafter(middle, value))


class Trees:
    """Trees of one operator as models of the document."""

    def __init__(self, doc: Any, node: Any, forest: Forest, x: Cols) -> None:
        self.doc, self.node, self.forest = doc, node, forest
        self.columns = doc.columns(x)
        self.names = [attributes(field=c.name) for c in self.columns]
        self.narrow = node.inputs[0].dtype == ir.DataType.FLOAT

    def _edge(self, value: float, mode: str) -> float:
        """Threshold of a node. Documents are computed in double; trees of floats compare records rounded
        to float."""
        return double_threshold(value, mode) if self.narrow else value

    def targets(self, table: np.ndarray, how: str, base: np.ndarray) -> Cols:
        """A column per target: sums or means of leaves as one model, extremes as a choice among trees."""
        items = []
        for target in range(table.shape[1]):
            weights = table[:, target]
            blank = BLANK[how]
            roots = [
                int(r)
                for r in self.forest.roots
                if how == "average" or self._has_weight(int(r), weights, blank)
            ]
            combined = self._combine(roots, weights, how) if roots else 0.0
            items.append(
                self.doc.sum_terms([combined, python_scalar(base[target])]) if len(base) else combined
            )
        return Cols(items)

    def _has_weight(self, root: int, weights: np.ndarray, blank: float) -> bool:
        """True if a leaf below `root` has another weight than `blank`."""
        pending = [root]
        while pending:
            node_index = pending.pop()
            left, right = int(self.forest.true[node_index]), int(self.forest.false[node_index])
            if left == node_index:
                if weights[node_index] != blank:
                    return True
            else:
                pending += [left, right]
        return False

    def _combine(self, roots: list[int], weights: np.ndarray, how: str) -> Any:
        if how in ("min", "max"):
            parts = [self._add_model(self._tree(root, weights), [root]) for root in roots]
            function, best = ("lessOrEqual" if how == "min" else "greaterOrEqual"), parts[0]
            for other in parts[1:]:
                best = self.doc.choose(
                    self.doc.apply(function, best, other, data_type="boolean"), best, other
                )
            return best
        if len(roots) == 1:
            return self._add_model(self._tree(roots[0], weights), roots)
        model = etree.Element("MiningModel", functionName="regression")
        segmentation = etree.SubElement(model, "Segmentation", multipleModelMethod=how)
        for index, root in enumerate(roots):
            segment = etree.SubElement(segmentation, "Segment", id=str(index + 1))
            etree.SubElement(segment, "True")
            tree = self._tree(root, weights)
            tree.insert(0, self._schema([root]))
            segment.append(tree)
        return self._add_model(model, roots)

    def _add_model(self, element: Any, roots: list[int]) -> Ref:
        return self.doc.add_model(element, self._reads(roots))[0]

    def _reads(self, roots: list[int]) -> list[Ref]:
        """The columns that trees test."""
        features: dict[int, None] = {}
        pending = list(roots)
        while pending:
            node_index = pending.pop()
            left, right = int(self.forest.true[node_index]), int(self.forest.false[node_index])
            if left != node_index:
                features[int(self.forest.feature[node_index])] = None
                pending += [left, right]
        return [self.columns[f] for f in features]

    def _schema(self, roots: list[int]) -> Any:
        return self.doc.schema(self._reads(roots))

    def _tree(self, root: int, weights: np.ndarray) -> Any:
        """A TreeModel whose every node is a test and its otherwise; missing values fail a test that does not
        take them."""
        model = etree.Element(
            "TreeModel",
            functionName="regression",
            splitCharacteristic="binarySplit",
            missingValueStrategy="none",
        )
        model.append(self.doc.defer(lambda level: self._nodes(root, weights, level)))
        return model

    def _numbered(self, root: int) -> list[tuple[int, int]]:
        """The nodes below `root` in the order of their identifiers, from 1 on, and the identifier of the
        first of two children, 0 for a leaf. The second's is one more; what is below it is numbered before
        what is below the first."""
        found = [(root, 0)]
        pending = [0]
        while pending:
            at = pending.pop()
            node_index = found[at][0]
            left, right = int(self.forest.true[node_index]), int(self.forest.false[node_index])
            if left != node_index:
                found[at] = (node_index, len(found) + 1)
                pending += [len(found), len(found) + 1]
                found += [(left, 0), (right, 0)]
        return found

    def _nodes(self, root: int, weights: np.ndarray, top: int) -> Iterator[str]:
        """The lines of a tree, its root at level `top`."""
        found = self._numbered(root)
        pending: list[tuple[int, int, list[str]]] = [(1, top, ["<True/>"])]
        while pending:
            number, level, predicate = pending.pop()
            if not number:
                yield indented(level, "</Node>")
                continue
            node_index, first = found[number - 1]
            score = "" if first else f' score="{format_literal(float(weights[node_index]))}"'
            yield indented(level, f'<Node id="{number}"{score}>')
            for line in predicate:
                depth = (len(line) - len(line.lstrip(" "))) // 2
                yield indented(level + 1 + depth, line[2 * depth :])
            pending.append((0, level, []))
            if first:
                pending.append((first + 1, level + 1, ["<True/>"]))
                pending.append((first, level + 1, self._predicate(node_index)))

    def _predicate(self, node_index: int) -> list[str]:
        """The lines of the test of a node."""
        forest, mode = self.forest, self.forest.mode[node_index]
        name = self.names[int(forest.feature[node_index])]
        if mode == "BRANCH_MEMBER":
            assert forest.members is not None
            values = [format_literal(float(v)) for v in forest.members[node_index] if v == v]
            array = f'  <Array n="{len(values)}" type="real">{" ".join(values)}</Array>'
            test = [f'<SimpleSetPredicate{name} booleanOperator="isIn">', array, "</SimpleSetPredicate>"]
        elif mode == "BRANCH_LEQ" and np.isposinf(forest.value[node_index]):
            test = [f'<SimplePredicate{name} operator="isNotMissing"/>']
        else:
            value = format_literal(self._edge(float(forest.value[node_index]), mode))
            test = [f'<SimplePredicate{name} operator="{OPERATORS[mode]}" value="{value}"/>']
        if not (forest.tracks[node_index] or mode == "BRANCH_NEQ"):
            return test
        either = [f'<SimplePredicate{name} operator="isMissing"/>', *test]
        return [
            '<CompoundPredicate booleanOperator="or">',
            *(f"  {line}" for line in either),
            "</CompoundPredicate>",
        ]


KERNELS = {
    "LINEAR": "LinearKernelType",
    "POLY": "PolynomialKernelType",
    "RBF": "RadialBasisKernelType",
    "SIGMOID": "SigmoidKernelType",
}


VECTORS = condition("support vectors", lambda n: attr(n, "n_supports") > 0)


@ops.op(f"{ML}::SVMRegressor", needs=(MATRIX, attribute("post_transform", "NONE"), VECTORS))
def svm_regressor(doc, node, x):
    """Σ coefficient · K(vector, x) + rho; of one class, whether that is positive."""
    vectors = np.array(attr(node, "support_vectors"), np.float32).reshape(attr(node, "n_supports"), -1)
    weights = np.array(attr(node, "coefficients"), np.float32)
    gamma, coef0, degree = (float(v) for v in (attr(node, "kernel_params") or [1.0, 0.0, 1.0]))
    settings = {"gamma": gamma, "coef0": coef0, "degree": degree}
    used = {
        "LINEAR": (),
        "RBF": ("gamma",),
        "SIGMOID": ("gamma", "coef0"),
        "POLY": ("gamma", "coef0", "degree"),
    }
    kernel_type = attr(node, "kernel_type")
    kernel = etree.Element(KERNELS[kernel_type], {k: format_literal(settings[k]) for k in used[kernel_type]})
    rho = float((attr(node, "rho") or [0.0])[0])
    [value] = support_vector_machine(doc, doc.columns(x), kernel, vectors, weights, rho)
    if attr(node, "one_class"):
        value = doc.choose(doc.compare("greaterThan", value, 0.0), 1.0, -1.0)
    return Cols([value])


def categories(node: Any) -> list[Any]:
    return attr(node, "cats_int64s") or attr(node, "cats_strings") or []


def one_column(node: ir.Node) -> bool:
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    return shape is not None and (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1))


@ops.op(f"{ML}::OneHotEncoder", needs=(condition("one column of records", one_column),))
def one_hot(doc, node, x):
    """A column per category, missing where none but these is allowed; [N, 1, C] is written as [N, C], which
    the Reshape behind it expects."""
    column, items = x.items[0], []
    listed = [entry if isinstance(entry, str) else int(entry) for entry in categories(node)]
    hits = [doc.compare("equal", column, value) for value in listed]
    known: Any = True
    if not attr(node, "zeros"):
        known = functools.reduce(lambda a, b: doc.apply("or", a, b, data_type="boolean"), hits)
    for hit in hits:
        items.append(doc.choose(known, doc.choose(hit, 1.0, 0.0), math.nan))
    return Cols(items)


def table_of(node: Any, side: str) -> list[Any] | None:
    """Keys or values of a LabelEncoder."""
    tensor = attr(node, f"{side}_tensor")
    if tensor is not None:
        return [python_scalar(v) for v in tensor.numpy().ravel()]
    for name in ("strings", "int64s", "floats"):
        if attr(node, f"{side}_{name}"):
            return attr(node, f"{side}_{name}")
    return None


def default_value(node: Any, values: list[Any]) -> Any:
    """Value of a LabelEncoder for a key it does not list."""
    tensor = attr(node, "default_tensor")
    if tensor is not None:
        return python_scalar(tensor.numpy().ravel()[0])
    names = {str: "default_string", int: "default_int64", float: "default_float"}
    return attr(node, names[type(values[0])])


TABLES = condition(
    "keys and values of one kind", lambda n: bool(table_of(n, "keys")) and bool(table_of(n, "values"))
)


MANY = 8


def is_table(column: Any, keys: list[Any], values: list[Any]) -> bool:
    """True for many numbers that stand for numbers, which a MapValues says in fewer words."""
    numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (*keys, *values))
    finite = numbers and all(map(math.isfinite, [*values, *(k for k in keys if k == k)]))
    return isinstance(column, Ref) and len(keys) > MANY and finite


def number_table(column: Ref, keys: list[Any], values: list[Any], default: Any) -> Any:
    """The MapValues of a LabelEncoder of numbers: of equal keys the first, NaN is a missing value. Zero below
    zero is added to zero before, for PMML4S tells them apart."""
    kind = int if column.data_type == "integer" else float
    listed = reversed([(k, v) for k, v in zip(keys, values, strict=True) if k == k and kind(k) == k])
    pairs = {kind(key): value for key, value in listed}
    missing = next((value for key, value in zip(keys, values, strict=True) if key != key), default)
    return map_values(column, list(pairs.items()), default, missing)


@ops.op(f"{ML}::LabelEncoder", needs=(TABLES,))
def label_encoder(doc, node, x):
    keys, values = table_of(node, "keys") or [], table_of(node, "values") or []
    default, data_type = default_value(node, values), kind_of(values[0])
    items = []
    for column in x.items:
        if is_table(column, keys, [*values, default]):
            column = column if column.data_type == "integer" else doc.apply("+", column, 0.0)
            items.append(doc.derive(number_table(column, keys, values, default), data_type, [column]))
            continue
        value_of_key = default
        for key, value in reversed(list(zip(keys, values, strict=True))):
            hit = (
                doc.apply("isMissing", column, data_type="boolean")
                if key != key
                else doc.compare("equal", column, key)
            )
            value_of_key = doc.choose(hit, value, value_of_key, data_type)
        items.append(value_of_key)
    return Cols(items, x.flat)
