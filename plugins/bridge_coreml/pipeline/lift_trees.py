"""Lifting of trees and what stands behind them to Core ML's tree models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, const
from bridge.passes.rewrite import replace

DOMAIN = "bridge.coreml"
NONE, SOFTMAX, LOGISTIC = range(3)


@dataclass
class Sums:
    """Sums of a TreeEnsemble times `scale` plus `base`, [N, K], as `value` has them."""

    trees: ir.Node
    value: ir.Value
    scale: float
    base: np.ndarray


class LiftTrees(ir.passes.InPlacePass):
    """1. Sums of trees whose Softmax or, of a single sum, logistic function are the probabilities of classes,
       the likeliest of which is the class, become a TreeClassifier: label and probabilities.
    2. Sums of which nothing but such a function is read become a TreeRegressor.

    Both have the attributes of their TreeEnsemble, `base`, and Core ML's `transform`.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = False
        for node in list(model.graph):
            if node.graph is model.graph and node.op_type == "TreeEnsemble" and node.domain == "ai.onnx.ml":
                changed |= lift(model.graph, sums_of(node))
        return ir.passes.PassResult(model, changed)


def sums_of(node: ir.Node) -> Sums:
    """The sums of trees, up to the last constant that they are scaled by or that is added."""
    value, scale, base = node.outputs[0], 1.0, np.zeros(attr(node, "n_targets", 1))
    while (reader := only_reader(value)) is not None and reader.op_type in ("Add", "Mul", "Div"):
        other = reader.inputs[1 - list(reader.inputs).index(value)]
        number = const(other)
        if number is None or number.size not in (1, len(base)) or reader.inputs[0] is not value:
            break
        if reader.op_type == "Add":
            base = base + number.ravel()
        elif number.size == 1:
            factor = float(number.ravel()[0]) if reader.op_type == "Mul" else 1 / float(number.ravel()[0])
            scale, base = scale * factor, base * factor
        else:
            break
        value = reader.outputs[0]
    return Sums(node, value, scale, base)


def only_reader(value: ir.Value | None) -> ir.Node | None:
    """The only node that reads a value, which is no output."""
    if value is None or value.is_graph_output():
        return None
    readers = {use.node for use in value.uses()}
    return readers.pop() if len(readers) == 1 else None


def lift(graph: ir.Graph, sums: Sums) -> bool:
    """Raise sums and what is made of them. False where that is no model of Core ML."""
    readers = [use.node for use in sums.value.uses()]
    for reader in readers:
        shares, steepness = probabilities(reader, sums)
        if shares is None:
            continue
        transform = LOGISTIC if len(sums.base) == 1 else SOFTMAX
        sums.scale, sums.base = sums.scale * steepness, sums.base * steepness
        if sums.value.is_graph_output():
            return False
        if len(readers) == 1 and not any(is_of_classes(use.node) for use in shares.uses()):
            emit(graph, sums, transform, [shares], None)
            return True
        return lift_classifier(graph, sums, transform, shares)
    return False


def probabilities(node: ir.Node, sums: Sums) -> tuple[ir.Value | None, float]:
    """The probabilities a node begins to compute of the sums, and how steep they are; None for others."""
    if len(sums.base) > 1:
        is_softmax = node.op_type == "Softmax" and attr(node, "axis") in (-1, 1)
        return (node.outputs[0], 1.0) if is_softmax else (None, 1.0)
    if node.op_type == "Sigmoid":
        return node.outputs[0], 1.0
    steepness = 1.0
    if node.op_type == "Mul" and (factor := const(node.inputs[1])) is not None and factor.size == 1:
        steepness = -float(factor.ravel()[0])
    elif node.op_type != "Neg":
        return None, 1.0
    for expected in ("Min", "Exp", "Add", "Reciprocal"):
        after = only_reader(node.outputs[0])
        if after is None or (after.op_type != expected and expected != "Min"):
            return None, 1.0
        if after.op_type != expected:
            continue
        if expected == "Add" and not np.all(const(after.inputs[1]) == 1):
            return None, 1.0
        node = after
    return (node.outputs[0], steepness) if steepness > 0 else (None, 1.0)


def is_of_classes(node: ir.Node) -> bool:
    """True for what reads probabilities to choose a class."""
    return node.op_type in ("ArgMax", "Greater", "Sub")


def lift_classifier(graph: ir.Graph, sums: Sums, transform: int, shares: ir.Value) -> bool:
    """Raise a classifier: all that reads its sums or probabilities chooses the class."""
    if transform == LOGISTIC:
        both = next((u.node.outputs[0] for u in shares.uses() if u.node.op_type == "Concat"), None)
        if both is None or not is_both(both, shares):
            return False
    else:
        both = shares
    index = next((i for v in (sums.value, shares, both) for i in class_index(v, transform)), None)
    chosen = only_reader(index)
    if index is None or chosen is None or chosen.op_type != "Gather" or chosen.inputs[1] is not index:
        return False
    labels = const(chosen.inputs[0])
    if labels is None or labels.ndim != 1 or len(labels) != max(2, len(sums.base)):
        return False
    if labels.dtype.kind == "f" or not reads_nothing_else(sums, shares, both, index):
        return False
    emit(graph, sums, transform, [chosen.outputs[0], both], labels)
    return True


def is_both(both: ir.Value, second: ir.Value) -> bool:
    """True if `both` is the probability of the first class beside that of the second."""
    node = both.producer()
    if node is None or len(node.inputs) != 2 or node.inputs[1] is not second:
        return False
    first = node.inputs[0].producer() if node.inputs[0] is not None else None
    return first is not None and first.op_type == "Sub" and bool(np.all(const(first.inputs[0]) == 1))


def class_index(value: ir.Value, transform: int) -> list[ir.Value]:
    """Indices [N] of the likeliest class, of sums or probabilities."""
    found = []
    for use in value.uses():
        node = use.node
        if node.op_type == "ArgMax" and attr(node, "axis") in (1, -1) and not attr(node, "keepdims"):
            found.append(node.outputs[0])
        half = const(node.inputs[1]) if node.op_type == "Greater" and transform == LOGISTIC else None
        producer = value.producer()
        middle = 0.5 if producer is not None and producer.op_type in ("Reciprocal", "Sigmoid") else 0.0
        if half is not None and np.all(half == middle):
            cast = only_reader(node.outputs[0])
            squeezed = only_reader(cast.outputs[0]) if cast is not None and cast.op_type == "Cast" else None
            found += [squeezed.outputs[0]] if squeezed is not None and squeezed.op_type == "Squeeze" else []
    return found


def reads_nothing_else(sums: Sums, shares: ir.Value, both: ir.Value, index: ir.Value) -> bool:
    """True if sums, probabilities and the index are read for the two answers alone."""
    inner: set[ir.Node] = set()
    pending = [index.producer(), both.producer()]
    while pending:
        node = pending.pop()
        if node is None or node in inner or node is sums.value.producer():
            continue
        inner.add(node)
        pending += [v.producer() for v in node.inputs if v is not None]
    outside = (sums.value, shares) if both is not shares else (sums.value,)
    return not any(v.is_graph_output() for v in outside) and all(
        use.node in inner for value in outside for use in value.uses()
    )


def emit(
    graph: ir.Graph, sums: Sums, transform: int, outputs: list[ir.Value], labels: np.ndarray | None
) -> None:
    """Put one model in place of what computes `outputs`."""
    last = outputs[-1].producer()
    assert last is not None
    op = hub.Builder(graph, before=last, source=hub.origin(sums.trees))
    names = ("aggregate_function", "n_targets")
    attributes = {n: a.value for n, a in sums.trees.attributes.items() if n not in names}
    weights = attributes.pop("leaf_weights").numpy()
    if attr(sums.trees, "aggregate_function") == 0:
        weights = weights / len(attr(sums.trees, "tree_roots"))
    kinds = {"O": "classlabels_strings", "i": "classlabels_int64s"}
    made = op.node(
        "TreeRegressor" if labels is None else "TreeClassifier",
        sums.trees.inputs[0],
        _domain=DOMAIN,
        _outputs=len(outputs),
        leaf_weights=ir.tensor(weights * sums.scale),
        n_targets=len(sums.base),
        base=ir.tensor(sums.base.astype(np.float64)),
        transform=transform,
        **({} if labels is None else {kinds[labels.dtype.kind]: labels.tolist()}),
        **attributes,
    )
    for old, new in zip(outputs, made if isinstance(made, tuple) else (made,), strict=True):
        new.type, new.shape = old.type, old.shape
        producer = old.producer()
        assert producer is not None
        replace(graph, producer, [new], op)
