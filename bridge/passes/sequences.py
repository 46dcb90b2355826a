"""Sequences and optionals whose contents are known become plain tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, const, held, input_at, rank_of, shape_of, subgraphs
from bridge.passes.collect import CollectSequences
from bridge.passes.decompose.control import unrollable, unrolled
from bridge.passes.expand import copy_node
from bridge.passes.rewrite import replace

__all__ = ["ResolveSequences"]

MAX_ELEMENTS = 256


class ResolveSequences(ir.passes.InPlacePass):
    """1. What a sequence or optional holds is followed through the operators that make and change it.

    2. SequenceAt, SequenceLength, ConcatFromSequence, OptionalGetElement and OptionalHasElement of known
       contents become the tensors themselves, constants, Concat; a run-time index picks from equal shapes by
       Gather.
    3. SplitToSequence along a known length is a Split, and SequenceMap over a known sequence its body once an
       element.
    4. An If whose branches give sequences of one length, or optionals alike, gives their elements.
    5. A Loop that carries either and whose few steps are known is unrolled.
    6. What a Loop only appends to is first made what it collects (CollectSequences).

    Sequences that are inputs of the graph, or of unknown contents, stay as they are.
    """

    precedes = ("ComputeWider", "Decompose")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        collected = CollectSequences()(model).modified
        return ir.passes.PassResult(model, _resolve_in(model.graph, Facts()) or collected)


class Facts:
    """Known contents of containers: the elements of sequences, and of optionals the element or None."""

    def __init__(self) -> None:
        self.sequences: dict[ir.Value, list[Any]] = {}
        self.optionals: dict[ir.Value, ir.Value | None] = {}


def _resolve_in(graph: ir.Graph, facts: Facts) -> bool:
    changed = False
    pending = list(graph)[::-1]
    while pending:
        node = pending.pop()
        if node.graph is not graph:
            continue
        for subgraph in subgraphs(node):
            changed |= _resolve_in(subgraph, facts)
        rule = RULES.get(hub.qualified(node))
        if rule is None:
            continue
        op = hub.Builder(graph, before=node, source=hub.origin(node))
        results = rule(op, node, facts)
        if results is None:
            continue
        _retype(node, results, op)
        replace(graph, node, results, op)
        pending.extend(reversed(op.nodes))
        changed = True
    return changed


def _retype(node: ir.Node, results: list[Any], op: hub.Builder) -> None:
    """An element that stands for a result keeps its own shape, which may be closer than that of all
    elements."""
    for old, new in zip(node.outputs, results, strict=True):
        if not old.is_graph_output():
            old.type, old.shape = new.type, new.shape


def _learn(op: Any, node: ir.Node, facts: Facts) -> None:
    known, result = facts.sequences, node.outputs[0]
    first = node.inputs[0] if node.inputs else None
    if node.op_type == "SequenceConstruct":
        known[result] = list(node.inputs)
    elif node.op_type == "SequenceEmpty":
        known[result] = []
    elif node.op_type == "Optional":
        facts.optionals[result] = first
    elif first in known:
        elements = _changed(node, known[first])
        if elements is not None:
            known[result] = elements
    elif first in facts.optionals and node.op_type == "Identity":
        facts.optionals[result] = facts.optionals[first]


def _changed(node: ir.Node, elements: list[Any]) -> list[Any] | None:
    """The elements after an insertion or removal at a known place."""
    if node.op_type == "Identity":
        return elements
    at = 2 if node.op_type == "SequenceInsert" else 1
    place = input_at(node, at)
    end = len(elements) if at == 2 else len(elements) - 1
    index = end if place is None else _index(const(place), len(elements))
    if index is None or not 0 <= index <= end:
        return None
    return (
        [*elements[:index], node.inputs[1], *elements[index:]]
        if at == 2
        else elements[:index] + elements[index + 1 :]
    )


def _index(array: np.ndarray | None, length: int) -> int | None:
    if array is None:
        return None
    index = int(array.reshape(()))
    return index + length if index < 0 else index


def _element_at(op: Any, node: ir.Node, facts: Facts) -> list[Any] | None:
    elements = facts.sequences.get(node.inputs[0])
    if not elements:
        return None
    if held(node.inputs[1]) is not None:
        index = _index(const(node.inputs[1]), len(elements))
        return [elements[index]] if index is not None and 0 <= index < len(elements) else None
    shapes = [shape_of(v) for v in elements]
    if shapes[0] is None or any(s != shapes[0] for s in shapes):
        return None
    return [op.Gather(_stacked(op, elements, 0), op.Reshape(node.inputs[1], op.const([])), axis=0)]


def _stacked(op: Any, elements: list[Any], axis: int) -> Any:
    return op.Concat(*(op.Unsqueeze(v, op.const([axis])) for v in elements), axis=axis)


def _length_of(op: Any, node: ir.Node, facts: Facts) -> list[Any] | None:
    elements = facts.sequences.get(node.inputs[0])
    return None if elements is None else [op.const(np.array(len(elements), np.int64))]


def _concat(op: Any, node: ir.Node, facts: Facts) -> list[Any] | None:
    elements, axis = facts.sequences.get(node.inputs[0]), attr(node, "axis")
    if not elements:
        return None
    return [_stacked(op, elements, axis) if attr(node, "new_axis") else op.Concat(*elements, axis=axis)]


def _get(op: Any, node: ir.Node, facts: Facts) -> list[Any] | None:
    value = node.inputs[0]
    if isinstance(value.type, (ir.TensorType, ir.SequenceType)):
        return [value]
    element = facts.optionals.get(value)
    return None if element is None else [element]


def _has(op: Any, node: ir.Node, facts: Facts) -> list[Any] | None:
    value = node.inputs[0] if node.inputs else None
    if value is None:
        known = False
    elif isinstance(value.type, (ir.TensorType, ir.SequenceType)):
        known = True
    elif value in facts.optionals:
        known = facts.optionals[value] is not None
    else:
        return None
    return [op.const(np.array(known))]


def _split(op: Any, node: ir.Node, facts: Facts) -> list[Any] | None:
    x, rank = node.inputs[0], rank_of(node.inputs[0])
    split = input_at(node, 1)
    if x is None or x.shape is None or not rank or (split is not None and held(split) is None):
        return None
    axis = attr(node, "axis") % rank
    sizes = _split_lengths(x.shape[axis], None if split is None else const(split))
    if sizes is None or not 0 < len(sizes) <= MAX_ELEMENTS:
        return None
    pieces: Any = (x,)
    if len(sizes) > 1:
        pieces = op.Split(x, op.const(np.array(sizes, np.int64)), axis=axis, _outputs=len(sizes))
    if split is None and not attr(node, "keepdims"):
        pieces = [op.Squeeze(v, op.const([axis])) for v in pieces]
    return [op.SequenceConstruct(*pieces)]


def _split_lengths(length: Any, split: np.ndarray | None) -> list[int] | None:
    """Lengths of the parts: as given, or all alike but a shorter last."""
    if split is not None and split.ndim:
        return [int(s) for s in split]
    size = 1 if split is None else int(split)
    if not isinstance(length, int) or size < 1:
        return None
    return [min(size, length - start) for start in range(0, length, size)]


def _map(op: Any, node: ir.Node, facts: Facts) -> list[Any] | None:
    body, inputs = attr(node, "body"), list(node.inputs)
    mapped = [facts.sequences.get(v) for v in inputs]
    count = len(mapped[0] or ())
    unknown = any(
        m is None and not isinstance(v.type, ir.TensorType) for m, v in zip(mapped, inputs, strict=True)
    )
    if unknown or not 0 < count <= MAX_ELEMENTS or any(m is not None and len(m) != count for m in mapped):
        return None
    mapped_outputs: list[list[Any]] = [[] for _ in body.outputs]
    for index in range(count):
        elements = [v if m is None else m[index] for m, v in zip(mapped, inputs, strict=True)]
        values = dict(zip(body.inputs, elements, strict=True))
        values.update((v, op.const(v.const_value)) for v in body.initializers.values())
        for inner in body:
            copy = copy_node(inner, values, {}, op)
            op.insert(copy)
            values.update(zip(inner.outputs, copy.outputs, strict=True))
        for results, value in zip(mapped_outputs, body.outputs, strict=True):
            results.append(values.get(value, value))
    return [op.SequenceConstruct(*results) for results in mapped_outputs]


def _unroll_loop(op: Any, node: ir.Node, facts: Facts) -> list[Any] | None:
    states = list(node.inputs)[2:]
    if all(v is None or v.type is None or isinstance(v.type, ir.TensorType) for v in states):
        return None
    results = unrolled(op, node, *node.inputs) if unrollable(node) else NotImplemented
    return None if results is NotImplemented else results


def _if(op: Any, node: ir.Node, facts: Facts) -> list[Any] | None:
    branches = [attr(node, name) for name in ("then_branch", "else_branch")]
    pairs = list(zip(*(list(b.outputs) for b in branches), strict=True))
    contents = [_branch_contents(pair, facts) for pair in pairs]
    if all(p is None for p in contents):
        return None
    flat = [
        list(zip(*p, strict=True)) if p is not None else [pair]
        for p, pair in zip(contents, pairs, strict=True)
    ]
    for side, branch in enumerate(branches):
        inner = hub.Builder(branch)
        branch.outputs[:] = [inner.Identity(pair[side]) for piece in flat for pair in piece]
    for name in ("then_branch", "else_branch"):
        node.attributes.pop(name)
    graphs = [ir.AttrGraph(n, b) for n, b in zip(("then_branch", "else_branch"), branches, strict=True)]
    new_if = ir.Node("", "If", list(node.inputs), graphs, num_outputs=sum(map(len, flat)))
    for output, one, other in zip(new_if.outputs, *(b.outputs for b in branches), strict=True):
        output.type, output.shape = one.type, _common(one.shape, other.shape)
    op.insert(new_if)
    new_outputs = iter(new_if.outputs)
    results = []
    for old, known, piece in zip(node.outputs, contents, flat, strict=True):
        outputs = [next(new_outputs) for _ in piece]
        if known is None:
            results.append(outputs[0])
        elif isinstance(old.type, ir.OptionalType) or pairs[len(results)][0] in facts.optionals:
            results.append(op.Optional(outputs[0]))
        else:
            results.append(op.SequenceConstruct(*outputs))
    return results


def _branch_contents(pair: tuple[ir.Value, ...], facts: Facts) -> list[list[Any]] | None:
    """Contents of both branches' containers, where they are equal."""
    contents = [facts.sequences.get(v) for v in pair]
    if any(h is None for h in contents):
        elements = [facts.optionals.get(v) for v in pair]
        contents = [None if v is None or not isinstance(v.type, ir.TensorType) else [v] for v in elements]
    if any(not h for h in contents) or len({len(h or ()) for h in contents}) > 1:
        return None
    dtypes = [[v.dtype for v in h or ()] for h in contents]
    return [list(h or ()) for h in contents] if dtypes[0] == dtypes[1] else None


def _common(one: ir.Shape | None, other: ir.Shape | None) -> ir.Shape | None:
    if one is None or other is None or len(one) != len(other):
        return None
    return ir.Shape([a if a == b else None for a, b in zip(one, other, strict=True)])


RULES: dict[str, Callable[[Any, ir.Node, Facts], list[Any] | None]] = {
    **dict.fromkeys(
        ("SequenceConstruct", "SequenceEmpty", "SequenceInsert", "SequenceErase", "Optional", "Identity"),
        _learn,
    ),
    "SequenceAt": _element_at,
    "SequenceLength": _length_of,
    "ConcatFromSequence": _concat,
    "OptionalGetElement": _get,
    "OptionalHasElement": _has,
    "SplitToSequence": _split,
    "SequenceMap": _map,
    "Loop": _unroll_loop,
    "If": _if,
}
