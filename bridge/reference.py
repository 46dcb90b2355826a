"""The reference evaluator of the onnx package, mended where it does not compute what ONNX says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from bridge.errors import ExecutionFailed

LENGTHS = 4
"""The place of sequence_lens among the inputs of recurrent operators."""


def evaluator(proto: onnx.ModelProto) -> ReferenceEvaluator:
    """An evaluator of the model, which stays as it is. Raises ExecutionFailed where it would compute
    something else."""
    for node in _nodes(proto):
        if node.op_type in ("LSTM", "GRU", "RNN") and len(node.input) > LENGTHS and node.input[LENGTHS]:
            raise ExecutionFailed(
                f"onnx.reference does not compute sequence_lens of {node.op_type} {node.name}."
            )
    if any(_endless(proto.graph)) or any(_endless(f) for f in proto.functions):
        held = onnx.ModelProto()
        held.CopyFrom(proto)
        proto = held
        for graph in (proto.graph, *proto.functions):
            for owner, node in list(_endless(graph)):
                _go_on(owner, node)
    return ReferenceEvaluator(proto, new_ops=[StringNormalizer])


def _nodes(proto: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    graphs: list[Any] = [proto.graph, *proto.functions]
    while graphs:
        for node in graphs.pop().node:
            yield node
            graphs += [g for a in node.attribute for g in (*([a.g] if a.HasField("g") else []), *a.graphs)]


def _endless(graph: Any) -> Iterator[tuple[Any, Any]]:
    """Loops without a condition, which the reference evaluator would not run even once, with the graph or
    function each is in."""
    for node in graph.node:
        if node.op_type == "Loop" and not (len(node.input) > 1 and node.input[1]):
            yield graph, node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _endless(attribute.g)


def _go_on(owner: Any, node: Any) -> None:
    """Give a loop the condition that its absence means: true."""
    name = f"{node.output[0]}/go on"
    value = helper.make_tensor("", onnx.TensorProto.BOOL, [], [True])
    node.input.extend([""] * (2 - len(node.input)))
    node.input[1] = name
    owner.node.insert(0, helper.make_node("Constant", [], [name], value=value))


class StringNormalizer(OpRun):
    """Strings of shape [C] or [1, C] with stop words left out and the case changed; the evaluator's own drops
    accents and empty strings too (https://onnx.ai/onnx/operators/onnx__StringNormalizer.html)."""

    op_domain = ""

    def _run(
        self,
        x: np.ndarray,
        case_change_action: str | None = None,
        is_case_sensitive: int | None = None,
        locale: str | None = None,
        stopwords: list[str] | None = None,
    ) -> tuple[Any, ...]:
        fold = str if is_case_sensitive else str.lower
        banned = {fold(w) for w in stopwords or ()}
        change = {"LOWER": str.lower, "UPPER": str.upper}.get(case_change_action or "", str)
        words = [change(w) for w in map(str, x.ravel()) if fold(w) not in banned]
        result = np.array(words if words or not x.size else [""], object)
        return (result if x.ndim == 1 else result.reshape(1, -1),)
