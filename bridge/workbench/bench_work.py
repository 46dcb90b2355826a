"""The work that a model of known lengths asks of a machine: products, bytes, memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, input_at, shape_of
from bridge.passes.expand import ExpandFunctions
from bridge.traits import BROADCASTING, ELEMENTWISE, RESHAPES, is_a

__all__ = ["Work", "work_of"]

VIEWS = RESHAPES | {"Identity"}
"""The elements stay where they are."""
PICKS = frozenset(["Gather", "GatherElements", "GatherND", "Slice"])
"""What is read of the first input is what comes out."""

Rule = Callable[[ir.Node], int]
RULES: dict[str, Rule] = {}


@dataclass(frozen=True)
class Work:
    """The work of a model at the lengths of its inputs: `macs` are multiply-accumulates of products and
    convolutions, `parameters` are of `weights` bytes, `moved` the bytes read and written where what is
    computed element by element takes its operand as it comes, `activations` the most bytes of values that are
    needed at once. `unknown` counts operators, by name, whose lengths are known at run time alone: they are
    left out."""

    macs: int
    parameters: int
    weights: int
    moved: int
    activations: int
    unknown: dict[str, int]

    @property
    def intensity(self) -> float:
        """Operations for each byte moved, a multiply-accumulate being two."""
        return 2 * self.macs / self.moved if self.moved else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "intensity": self.intensity}

    def __str__(self) -> str:
        text = (
            f"{self.parameters:,} parameters, {quantity(self.macs)}MAC, {quantity(self.moved)}B moved, "
            f"{self.intensity:.1f} operations a byte, {quantity(self.activations)}B of activations at once"
        )
        left_out = ", ".join(f"{count} × {name}" for name, count in self.unknown.items())
        return f"{text}, without {left_out} whose lengths only a run tells" if left_out else text


def quantity(number: float) -> str:
    """A number in three digits with k, M, G or T."""
    for unit in ("", "k", "M", "G"):
        if abs(number) < 999.5:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} T"


def work_of(model: ir.Model) -> Work:
    """The work of a hub model whose inputs have known lengths. Bodies of operators that plugins bring are
    counted as what they are made of; of branches the larger, of loops every turn where their number is known.
    """
    model = model.clone()
    ExpandFunctions(lambda node: node.op_identifier() not in model.functions)(model)
    for node in hub.all_nodes(model):
        if any(output.shape is None for output in node.outputs):
            hub.infer_node(node)
    unknown: Counter[str] = Counter()
    macs, moved = _graph_work(model.graph, unknown)
    return Work(
        macs,
        sum(tensor.size for tensor in hub.weights(model)),
        sum(tensor.nbytes for tensor in hub.weights(model)),
        moved,
        _peak(model.graph),
        dict(unknown.most_common()),
    )


def _graph_work(graph: ir.Graph, unknown: Counter[str]) -> tuple[int, int]:
    """Multiply-accumulates and bytes of a graph."""
    macs, moved = 0, 0
    for node in graph:
        inner = [_graph_work(body, unknown) for body in hub.subgraphs(node)]
        if inner:
            turns = _turns(node)
            if turns is None:
                unknown[hub.qualified(node)] += 1
            macs += (turns or 1) * max(m for m, _ in inner)
            moved += (turns or 1) * max(b for _, b in inner)
            continue
        rule = RULES.get(hub.qualified(node))
        try:
            macs += rule(node) if rule is not None else 0
            moved += _moved(node)
        except Unknown:
            unknown[hub.qualified(node)] += 1
    return macs, moved


class Unknown(Exception):
    """A length is known at run time alone."""


def _turns(node: ir.Node) -> int | None:
    """The number of times a body runs; None where that is known at run time alone."""
    if node.op_type == "Loop":
        most = hub.const(input_at(node, 0))
        return None if most is None else int(most)
    if node.op_type == "Scan":
        scanned = shape_of(node.inputs[len(node.inputs) - attr(node, "num_scan_inputs")])
        axes = attr(node, "scan_input_axes") or [0]
        return scanned[axes[0]] if scanned else None
    return 1


def lengths(value: ir.Value | None) -> list[int]:
    """The shape of a value; none where there is no value. Raises Unknown."""
    if value is None:
        return []
    shape = shape_of(value)
    if shape is None:
        raise Unknown
    return shape


def bytes_of(value: ir.Value | None) -> int:
    """Bytes of a tensor. Raises Unknown."""
    if value is None:
        return 0
    if value.dtype is None or value.dtype == ir.DataType.STRING:
        raise Unknown
    return math.ceil(math.prod(lengths(value)) * value.dtype.itemsize)


def _moved(node: ir.Node) -> int:
    """Bytes that a node reads and writes."""
    if is_a(node, VIEWS):
        return 0
    written = sum(bytes_of(output) for output in node.outputs if not _taken_as_it_comes(output))
    read = [value for value in node.inputs if value is not None and not _taken_as_it_comes(value)]
    if is_a(node, PICKS):
        read = [*node.outputs, *read[1:]]
    return written + sum(map(bytes_of, read))


def _taken_as_it_comes(value: ir.Value) -> bool:
    """True for what one operator alone reads, element by element as it is computed."""
    uses = tuple(value.uses())
    return (
        value.producer() is not None
        and not value.is_graph_output()
        and len(uses) == 1
        and is_a(uses[0].node, ELEMENTWISE, BROADCASTING)
        and shape_of(value) == shape_of(uses[0].node.outputs[0])
    )


def _peak(graph: ir.Graph) -> int:
    """The most bytes of values, without weights, that are alive at once in the graph's order."""
    last: dict[ir.Value, int] = {}
    order = list(graph)
    for step, node in enumerate(order):
        inner = (v for body in hub.subgraphs(node) for n in hub.nodes_of(body) for v in n.inputs)
        for value in (*node.inputs, *inner):
            if value is not None:
                last[_base(value)] = step
    last |= {_base(value): len(order) for value in graph.outputs}
    ending: dict[int, list[ir.Value]] = {}
    for value, step in last.items():
        ending.setdefault(step, []).append(value)
    alive = most = sum(map(_size, graph.inputs))
    for step, node in enumerate(order):
        alive += sum(_size(v) for v in node.outputs if _base(v) is v)
        most = max(most, alive)
        alive -= sum(_size(v) for v in ending.get(step, ()) if v.const_value is None)
        alive -= sum(_size(v) for v in node.outputs if v not in last and _base(v) is v)
    return most


def _base(value: ir.Value) -> ir.Value:
    """The value whose memory a view is of."""
    node = value.producer()
    while node is not None and is_a(node, VIEWS) and node.inputs[0] is not None:
        value = node.inputs[0]
        node = value.producer()
    return value


def _size(value: ir.Value) -> int:
    try:
        return bytes_of(value)
    except Unknown:
        return 0


def rule(*operators: str) -> Callable[[Rule], Rule]:
    """Declare how many multiply-accumulates operators take."""

    def declare(count: Rule) -> Rule:
        RULES.update(dict.fromkeys(operators, count))
        return count

    return declare


def products(values: Iterator[int] | list[int]) -> int:
    return math.prod(values)


@rule("Conv", "ConvInteger", "DeformConv", "CausalConvWithState")
def convolution(node: ir.Node) -> int:
    """For each element of the result, a kernel of the channels of its group."""
    return products(lengths(node.outputs[0])) * products(lengths(node.inputs[1])[1:])


@rule("ConvTranspose")
def transposed_convolution(node: ir.Node) -> int:
    """For each element of the input, a kernel of the channels of its group."""
    return products(lengths(node.inputs[0])) * products(lengths(node.inputs[1])[1:])


@rule("MatMul", "MatMulInteger")
def product(node: ir.Node) -> int:
    """For each element of the result, a row."""
    return products(lengths(node.outputs[0])) * lengths(node.inputs[0])[-1]


@rule("Gemm")
def affine(node: ir.Node) -> int:
    """For each element of the result, a row."""
    return products(lengths(node.outputs[0])) * lengths(node.inputs[0])[0 if attr(node, "transA") else 1]


@rule("Einsum")
def einsum(node: ir.Node) -> int:
    """For each combination of the indices, a product less than there are operands."""
    terms = attr(node, "equation").replace(" ", "").split("->")[0].split(",")
    sizes: dict[Any, int] = {}
    for term, value in zip(terms, node.inputs, strict=True):
        own = lengths(value)
        before, dots, after = term.partition("...")
        inner = len(own) - len(before) - len(after) if dots else 0
        labels = [*before, *range(-inner, 0), *after]
        for label, length in zip(labels, own, strict=True):
            sizes[label] = max(length, sizes.get(label, 1))
    return products([*sizes.values()]) * (len(terms) - 1)


@rule("Attention")
def attention(node: ir.Node) -> int:
    """Each query with each key, and each of those weights with each value."""
    query, key, value = (lengths(v) for v in node.inputs[:3])
    past = lengths(input_at(node, 4))
    along = key[-2] + (past[-2] if past else 0)
    if len(query) == 4:
        return products(query[:3]) * along * (query[3] + value[3])
    heads = attr(node, "q_num_heads") // attr(node, "kv_num_heads")
    return products(query[:2]) * along * (query[2] + value[2] * heads)


@rule("LSTM", "GRU", "RNN")
def recurrence(node: ir.Node) -> int:
    """For each step, the weights of the input and of the state."""
    steps = products(lengths(node.inputs[0])[:2])
    return steps * (products(lengths(node.inputs[1])) + products(lengths(node.inputs[2])))


@rule("ai.onnx.ml::LinearRegressor", "ai.onnx.ml::LinearClassifier")
def linear(node: ir.Node) -> int:
    """For each row, every coefficient."""
    return products(lengths(node.inputs[0])[:-1]) * len(attr(node, "coefficients"))


@rule("ai.onnx.ml::SVMRegressor", "ai.onnx.ml::SVMClassifier")
def support_vectors(node: ir.Node) -> int:
    """For each row, every support vector."""
    return products(lengths(node.inputs[0])[:-1]) * len(
        attr(node, "support_vectors") or attr(node, "coefficients")
    )
