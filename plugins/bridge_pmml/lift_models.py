"""Lifting of tensor operators to the models PMML has elements for: regressions, neural networks, clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, const, input_at, rank_of
from bridge.passes.rewrite import replace

DOMAIN = "bridge.pmml"
ACTIVATIONS = {
    "Relu": "rectifier",
    "Tanh": "tanh",
    "Sigmoid": "logistic",
    "Exp": "exponential",
    "Sin": "sine",
}
READS = ("TreeEnsemble", "TreeEnsembleRegressor", "SVMRegressor")


@dataclass(frozen=True)
class Layer:
    """x · weights + bias, then an activation of PMML."""

    x: ir.Value
    weights: np.ndarray
    bias: np.ndarray
    activation: str = "identity"


class LiftModels(ir.passes.InPlacePass):
    """1. Two and more dense layers in a row, an activation after each, become one Network. So does a Softmax
       at its end.
    2. A dense layer that no other model reads becomes a Regression: a model per column, or one of all classes
       where a Softmax, or the Sigmoids of two opposite scores, follow. The largest score is then the largest
       probability. A Sigmoid beside its complement is that of two opposite scores.
    3. Squared distances to constant centres, as |x|² - 2 x·c + |c|², become Clusters.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = False
        for node in list(model.graph):
            if node.graph is model.graph and node.outputs and match_dense(node.outputs[0]) is not None:
                changed |= self._dense(model.graph, node.outputs[0])
        for node in list(model.graph):
            if node.graph is model.graph and node.op_type == "Add":
                changed |= self._clusters(model.graph, node)
        return ir.passes.PassResult(model, changed)

    def _dense(self, graph: ir.Graph, tail: ir.Value) -> bool:
        """Raise the layers that end in `tail`, unless it is part of a larger one."""
        readers = [u.node for u in tail.uses()]
        if any(match_dense(r.outputs[0]) is not None for r in readers) or is_hidden_layer(tail):
            return False
        layers = match_layers(tail)
        width = layers[-1].weights.shape[1]
        if len(layers) == 1 and width == 1 and (both := match_complements(tail)) is not None:
            self._classify(graph, layers[0], tail, both)
            return True
        end, method = self._end(tail, width, len(layers) > 1)
        if len(layers) == 1 and any(r.op_type in READS for r in readers):
            return False
        if method == "logit" and width == 2 and not has_opposite_scores(layers[-1]):
            end, method = tail, "none"
        if end is not tail:
            moved = [r for r in readers if r.op_type == "ArgMax"]
            for node in moved:
                node.replace_input_with(0, end)
        put_model(graph, layers, end, method)
        return True

    def _classify(self, graph: ir.Graph, layer: Layer, score: ir.Value, shares: ir.Value) -> None:
        """Raise the second of two opposite scores with its probabilities, and the class that it chooses."""
        for compared in [u.node for u in score.uses() if u.node.op_type == "Greater"]:
            cast = next(iter(compared.outputs[0].uses())).node
            op = hub.Builder(graph, before=cast, source=hub.origin(cast))
            replace(graph, cast, [op.ArgMax(shares, axis=1, keepdims=1)], op)
        pair = Layer(layer.x, np.hstack([-layer.weights, layer.weights]), np.array([-1.0, 1.0]) * layer.bias)
        put_model(graph, [pair], shares, "logit")

    def _end(self, tail: ir.Value, width: int, network: bool) -> tuple[ir.Value, str]:
        """Last value of a model, at least `tail`, and its normalization."""
        readers = [u.node for u in tail.uses()]
        if tail.is_graph_output() or not readers:
            return tail, "none"
        others = [r for r in readers if r.op_type != "ArgMax"]
        if len(others) != 1:
            return tail, "none"
        [node] = others
        if width > 1 and node.op_type == "Softmax" and positive_axis(node) == 1:
            return node.outputs[0], "softmax"
        if width == 2 and not network and node.op_type == "Sigmoid":
            shares = match_normalized(node.outputs[0])
            return (tail, "none") if shares is None else (shares, "logit")
        if width == 1 and not network and node.op_type in ("Sigmoid", "Exp") and len(readers) == 1:
            return node.outputs[0], "logit" if node.op_type == "Sigmoid" else "exp"
        return tail, "none"

    def _clusters(self, graph: ir.Graph, node: ir.Node) -> bool:
        match = match_squared_distances(node)
        if match is None:
            return False
        x, centers = match
        op = hub.Builder(graph, before=node, source=hub.origin(node))
        lifted = op.node(
            "Clusters",
            x,
            _domain=DOMAIN,
            _dtype=node.outputs[0].dtype,
            _shape=node.outputs[0].shape,
            centers=ir.tensor(np.asarray(centers, np.float64)),
        )
        replace(graph, node, [lifted], op)
        return True


def put_model(graph: ir.Graph, layers: list[Layer], end: ir.Value, method: str) -> None:
    """Put a Regression, or a Network of several layers, in place of what computes `end`."""
    producer = end.producer()
    assert producer is not None
    op = hub.Builder(graph, before=producer, source=hub.origin(producer))
    lifted = op.node(
        "Network" if len(layers) > 1 else "Regression",
        layers[0].x,
        _domain=DOMAIN,
        _dtype=end.dtype,
        _shape=end.shape,
        weights=[ir.tensor(np.asarray(a.weights, np.float64)) for a in layers],
        biases=[ir.tensor(np.asarray(a.bias, np.float64)) for a in layers],
        activations=[a.activation for a in layers],
        normalization=method,
    )
    replace(graph, producer, [lifted], op)


def positive_axis(node: ir.Node) -> int:
    return attr(node, "axis") % (rank_of(node.inputs[0]) or 1)


def constant_matrix(value: ir.Value | None) -> np.ndarray | None:
    """A constant matrix of numbers, or one column of them."""
    array = const(value)
    if array is None or array.dtype.kind != "f" or array.ndim not in (1, 2):
        return None
    return array.reshape(len(array), -1)


def constant_row(value: ir.Value | None, width: int) -> np.ndarray | None:
    """A constant row of so many columns, the same for every record."""
    array = const(value)
    if (
        array is None
        or array.dtype.kind != "f"
        or array.size not in (1, width)
        or (array.ndim and array.size != array.shape[-1])
    ):
        return None
    return np.broadcast_to(array.ravel(), (width,))


def match_matmul(value: ir.Value | None) -> Layer | None:
    """x · W + b of a MatMul or a Gemm."""
    node = None if value is None else value.producer()
    if node is None or rank_of(node.inputs[0]) != 2 or const(node.inputs[0]) is not None:
        return None
    weights = constant_matrix(node.inputs[1]) if node.op_type in ("MatMul", "Gemm") else None
    x = node.inputs[0]
    if weights is None or x is None:
        return None
    if node.op_type == "MatMul":
        return Layer(x, weights, np.zeros(weights.shape[1]))
    weights = (weights.T if attr(node, "transB") else weights) * attr(node, "alpha")
    bias: Any = np.zeros(weights.shape[1])
    if input_at(node, 2) is not None:
        bias = constant_row(node.inputs[2], weights.shape[1])
    if attr(node, "transA") or bias is None:
        return None
    return Layer(x, weights, bias * attr(node, "beta"))


def match_dense(value: ir.Value | None) -> Layer | None:
    """A product, or one that alone is read by the addition of a row."""
    node = None if value is None else value.producer()
    if node is not None and node.op_type == "Add" and not node.domain:
        for own, other in ((0, 1), (1, 0)):
            layer = match_matmul(node.inputs[own])
            added = None if layer is None else constant_row(node.inputs[other], layer.weights.shape[1])
            if layer is not None and added is not None and has_single_reader(node.inputs[own]):
                return Layer(layer.x, layer.weights, layer.bias + added)
    return match_matmul(value)


def has_single_reader(value: ir.Value | None) -> bool:
    """True if the value is read once and is no output."""
    return value is not None and not value.is_graph_output() and len(list(value.uses())) == 1


def is_hidden_layer(tail: ir.Value) -> bool:
    """True if only an activation reads this layer, and only a next layer reads the activation."""
    if not has_single_reader(tail):
        return False
    node = next(iter(tail.uses())).node
    if node.op_type not in ACTIVATIONS or not has_single_reader(node.outputs[0]):
        return False
    reader = next(iter(node.outputs[0].uses())).node
    return match_dense(reader.outputs[0]) is not None and reader.inputs[0] is node.outputs[0]


def match_layers(tail: ir.Value) -> list[Layer]:
    """The layers that end in `tail`, first to last."""
    last = match_dense(tail)
    assert last is not None
    layers = [last]
    while True:
        node = layers[0].x.producer()
        before = None if node is None or node.op_type not in ACTIVATIONS else match_dense(node.inputs[0])
        if (
            node is None
            or before is None
            or not has_single_reader(layers[0].x)
            or not has_single_reader(node.inputs[0])
        ):
            return layers
        layers.insert(0, Layer(before.x, before.weights, before.bias, ACTIVATIONS[node.op_type]))


def has_opposite_scores(layer: Layer) -> bool:
    """True if the second of two scores is the first with its sign changed."""
    first, second = layer.weights[:, 0], layer.weights[:, 1]
    return np.array_equal(first, -second) and layer.bias[0] == -layer.bias[1]


def match_normalized(sigmoids: ir.Value) -> ir.Value | None:
    """Quotient of `sigmoids` by the sum of their absolute values."""
    readers = {u.node.op_type: u.node for u in sigmoids.uses()}
    if sigmoids.is_graph_output() or set(readers) != {"Abs", "Div"} or len(list(sigmoids.uses())) != 2:
        return None
    absolute, quotient = readers["Abs"].outputs[0], readers["Div"]
    total = quotient.inputs[1].producer() if quotient.inputs[1] is not None else None
    summed = total is not None and total.op_type == "ReduceSum" and total.inputs[0] is absolute
    axes = const(input_at(total, 1)) if summed and total is not None else None
    fits = axes is not None and axes.tolist() == [1] and total is not None and attr(total, "keepdims")
    return (
        quotient.outputs[0]
        if fits and quotient.inputs[0] is sigmoids and has_single_reader(absolute)
        else None
    )


def match_complements(score: ir.Value) -> ir.Value | None:
    """1 - p beside the Sigmoid p of a score, where that and a comparison with 0, cast to a number, alone read
    the score."""
    readers = {u.node.op_type: u.node for u in score.uses()}
    if score.is_graph_output() or readers.keys() not in ({"Sigmoid"}, {"Sigmoid", "Greater"}):
        return None
    if len(list(score.uses())) != len(readers):
        return None
    compared = readers.get("Greater")
    if compared is not None and not is_class_number(compared):
        return None
    share = readers["Sigmoid"].outputs[0]
    others = {u.node.op_type: u.node for u in share.uses()}
    if share.is_graph_output() or others.keys() != {"Sub", "Concat"} or len(list(share.uses())) != 2:
        return None
    rest, both = others["Sub"], others["Concat"]
    one = const(rest.inputs[0])
    beside = list(both.inputs) == [rest.outputs[0], share] and positive_axis(both) == 1
    return both.outputs[0] if one is not None and np.all(one == 1) and beside else None


def is_class_number(compared: ir.Node) -> bool:
    """True if a comparison with 0 is cast to int64, and read for nothing else."""
    limit = const(compared.inputs[1])
    if limit is None or limit.any() or not has_single_reader(compared.outputs[0]):
        return False
    cast = next(iter(compared.outputs[0].uses())).node
    return cast.op_type == "Cast" and attr(cast, "to") == ir.DataType.INT64


def match_squared_distances(node: ir.Node) -> tuple[ir.Value, np.ndarray] | None:
    """x and centres of |c|² + (|x|² + -2 x·c), whichever way the sums are nested."""
    terms, pending = [], list(node.inputs)
    while pending:
        value = pending.pop()
        producer = None if value is None else value.producer()
        if producer is not None and producer.op_type == "Add" and has_single_reader(value):
            pending += list(producer.inputs)
        else:
            terms.append(value)
    squares = [t for t in terms if match_squared_norm(t) is not None]
    products = [(t, p) for t in terms if (p := match_scaled_matmul(t)) is not None]
    rows = [t for t in terms if const(t) is not None]
    if len(terms) != 3 or not (len(squares) == len(products) == len(rows) == 1):
        return None
    x, layer = match_squared_norm(squares[0]), products[0][1]
    centers = layer.weights.T / -2
    norms = constant_row(rows[0], len(centers))
    if x is not layer.x or norms is None or not np.allclose(norms, (centers**2).sum(axis=1), rtol=1e-5):
        return None
    return layer.x, centers


def match_squared_norm(value: ir.Value | None) -> ir.Value | None:
    """Operand whose squared norms a column holds."""
    node = None if value is None else value.producer()
    if node is None or node.op_type != "ReduceSumSquare" or not attr(node, "keepdims"):
        return None
    axes = const(input_at(node, 1))
    return node.inputs[0] if axes is not None and axes.tolist() == [1] else None


def match_scaled_matmul(value: ir.Value | None) -> Layer | None:
    """A product whose addend is nothing, or a multiple by zero."""
    node = None if value is None else value.producer()
    if node is not None and node.op_type == "Gemm" and is_zero_product(input_at(node, 2)):
        weights = constant_matrix(node.inputs[1])
        x = node.inputs[0]
        if weights is None or x is None or attr(node, "transA"):
            return None
        weights = (weights.T if attr(node, "transB") else weights) * attr(node, "alpha")
        return Layer(x, weights, np.zeros(weights.shape[1]))
    layer = match_matmul(value)
    return layer if layer is not None and not layer.bias.any() else None


def is_zero_product(value: ir.Value | None) -> bool:
    """True if a value is a product with zero."""
    node = None if value is None else value.producer()
    factors = [] if node is None or node.op_type != "Mul" else [const(v) for v in node.inputs]
    return any(f is not None and not f.any() for f in factors)
