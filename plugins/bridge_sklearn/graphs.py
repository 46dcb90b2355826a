"""Hub models built from an estimator's own numbers, where its converter falls short."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import facts, hub
from bridge.classical.splits import column_of

DOUBLE = ir.DataType.DOUBLE
Outputs = dict[str, ir.Value]


class Unwritten(ValueError):
    """Unsupported property of an estimator, as the end of a sentence about it."""


Build = Callable[["PartBuilder", Any, Any], Outputs]


class PartBuilder(hub.Builder):
    """Builds the hub model of an estimator in `graph`, and the `functions` of its own operators; `embed_part`
    the outputs of one it is made of."""

    def __init__(
        self,
        graph: ir.Graph,
        embed_part: Callable[[PartBuilder, Any, Any], Outputs],
        outermost: Any,
    ) -> None:
        super().__init__(graph)
        self.begin(type(outermost).__name__)
        self.embed_part, self.outermost = embed_part, outermost
        self.functions: dict[ir.OperatorIdentifier, ir.Function] = {}

    def embed(self, estimator: Any, x: Any) -> Outputs:
        """The outputs of an estimator for records, a matrix [N, F] or a frame of columns."""
        return self.embed_part(self, estimator, x)


def start_graph(name: str, columns: list[tuple[str, ir.DataType, int]]) -> tuple[ir.Graph, list[ir.Value]]:
    """A graph and its inputs, [N, width] each."""
    opsets = {"": hub.HUB_OPSET, "ai.onnx.ml": hub.ML_OPSET}
    graph = ir.Graph([], [], nodes=[], name=name, opset_imports=opsets)
    for column, dtype, width in columns:
        value = ir.Value(name=column, type=ir.TensorType(dtype), shape=ir.Shape(["N", width]))
        graph.inputs.append(value)
    return graph, list(graph.inputs)


def class_labels(classes: Any) -> np.ndarray:
    """Classes as an array of strings or of int64, booleans as 0 and 1. Raises Unwritten for those that are
    neither."""
    classes = np.asarray(classes)
    if classes.dtype.kind in "OSU":
        if not all(isinstance(c, str) for c in classes.tolist()):
            raise Unwritten("its classes are neither all text nor all numbers")
        return classes.astype(object)
    whole = classes.astype(np.int64)
    if not (whole == classes).all() or (classes.dtype.kind == "u" and (whole < 0).any()):
        raise Unwritten("its classes are no integers of 64 bits")
    return whole


def gather_labels(op: hub.Builder, classes: Any, indices: ir.Value) -> ir.Value:
    """Classes at these indices."""
    return op.Gather(op.const(class_labels(classes)), indices, axis=0)


def classify(op: hub.Builder, src: Any, scores: ir.Value, probabilities: ir.Value | None = None) -> Outputs:
    """Class of the highest score, and the probabilities; the scores where there are no probabilities."""
    label = gather_labels(op, src.classes_, op.ArgMax(scores, axis=1, keepdims=0))
    return (
        {"label": label, "scores": scores}
        if probabilities is None
        else {"label": label, "probabilities": probabilities}
    )


def side_by_side(op: hub.Builder, scores: ir.Value) -> ir.Value:
    """The score of the second of two classes, [N, 1], beside its opposite, [N, 2]."""
    return op.Concat(op.Neg(scores), scores, axis=1)


def finish_model(graph: ir.Graph, outputs: Outputs, functions: Iterable[ir.Function] = ()) -> ir.Model:
    for name, value in outputs.items():
        value.name = name
        graph.outputs.append(value)
    return ir.Model(graph, ir_version=hub.IR_VERSION, functions=tuple(functions))


def embed_model(op: hub.Builder, model: ir.Model, x: ir.Value) -> Outputs:
    """The outputs of another model of one matrix, computed of `x` in this graph.

    Raises Unwritten for a model of several inputs, or with graphs inside.
    """
    inner = model.graph
    if len(inner.inputs) != 1:
        raise Unwritten("a part of it reads more than one matrix")
    [matrix] = inner.inputs
    copies: dict[ir.Value | None, ir.Value | None] = {None: None, matrix: cast(op, x, matrix.dtype)}
    for value in inner.initializers.values():
        copies[value] = op.const(value.const_value)
    for node in inner:
        if any(a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for a in node.attributes.values()):
            raise Unwritten(f"a part of it is a {node.op_type}")
        inputs = [copies[v] for v in node.inputs]
        count = len(node.outputs)
        copy = ir.Node(node.domain, node.op_type, inputs, node.attributes.values(), num_outputs=count)
        for old, new in zip(node.outputs, copy.outputs, strict=True):
            new.type, new.shape = old.type, None if old.shape is None else old.shape.copy()
            copies[old] = new
        op.insert(copy)
    outputs = {str(v.name): copies[v] for v in inner.outputs}
    return {n: v if v is not x else op.Identity(x) for n, v in outputs.items() if v is not None}


def cast(op: hub.Builder, x: ir.Value, dtype: ir.DataType | None) -> ir.Value:
    """`x` under a dtype."""
    return x if dtype is None or x.dtype == dtype else op.Cast(x, to=dtype)


def one_column(op: hub.Builder, x: ir.Value) -> ir.Value:
    """A number of each record, [N] or [N, 1], as [N, 1]."""
    if x.shape is not None and len(x.shape) == 1:
        return op.Unsqueeze(x, np.array([1]))
    is_column = x.shape is not None and len(x.shape) == 2 and x.shape[1] == 1
    return x if is_column else op.Reshape(x, np.array([-1, 1]))


def mark_decisive(node: ir.Node | None) -> None:
    """Mark a comparison with numbers of the training data, where what it compares is computed."""
    if node is not None and column_of(node.inputs[0], 0) is None:
        facts.DECISIVE.set(node, True)
