"""Loops over time that compute an LSTM, a GRU or an RNN, as Keras writes its layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import elements, hub
from bridge.hub import attr, const, input_at, rank_of
from bridge.passes.rewrite import replace
from bridge.passes.unused import release

__all__ = ["RaiseRecurrent"]

ACTIVATIONS = ("Elu", "HardSigmoid", "LeakyRelu", "Relu", "Sigmoid", "Softplus", "Softsign", "Tanh")
SAME_NUMBER = ("Cast", "Identity", "Reshape", "Squeeze")
FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)


class RaiseRecurrent(ir.passes.InPlacePass):
    """1. A Loop over all steps of a sequence whose states are those of an LSTM, a GRU (its reset before or
       behind the product) or an RNN cell is that operator. Initial states of zeros are left out.

    2. A Loop that carries anything else that somebody reads stays.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        loops = [n for n in hub.all_nodes(model) if n.op_type == "Loop" and not n.domain]
        return ir.passes.PassResult(model, any([_raise(node) for node in loops]))


class NoCell(Exception):
    """A loop computes no cell."""


@dataclass
class Affine:
    """A sum: of the step's input and of the state times constant matrices, of a bias, and of others, each
    with the columns that are taken of it."""

    x: Any = None
    h: Any = None
    bias: Any = None
    others: list[tuple[ir.Value, Any]] = field(default_factory=list)

    def plus(self, other: Affine) -> Affine:
        pairs = ((self.x, other.x), (self.h, other.h), (self.bias, other.bias))
        x, h, bias = (b if a is None else a if b is None else a + b for a, b in pairs)
        return Affine(x, h, bias, [*self.others, *other.others])


class Gate:
    """A value as an activation of another; itself, where nothing is applied."""

    def __init__(self, value: ir.Value | None) -> None:
        self.value = self.inner = _plain(value)
        self.activation: tuple[str, Any, Any] = ("Affine", 1.0, 0.0)
        node = self.value.producer()
        if node is not None and node.op_type in ACTIVATIONS and not node.domain:
            self.inner = _plain(node.inputs[0])
            self.activation = (node.op_type, attr(node, "alpha"), attr(node, "beta"))


@dataclass
class Cell:
    """An operator, the sums of its gates in the order of ONNX, its activations, where its states are among
    the loop's, and attributes."""

    op_type: str
    gates: list[Affine]
    activations: list[Gate]
    places: list[int]
    recurrent_bias: Any = None
    attributes: dict[str, Any] = field(default_factory=dict)


class Steps:
    """A Loop as one over the steps of a sequence: which of its values are the number of the step, its input
    and its states."""

    def __init__(self, node: ir.Node) -> None:
        self.node = node
        self.body: ir.Graph = attr(node, "body")
        self.before = list(self.body.inputs)[2:]
        results = [_plain(v) for v in list(self.body.outputs)[1:]]
        self.after, self.collected = results[: len(self.before)], results[len(self.before) :]
        rows = zip(self.before, node.inputs[2:], self.after, strict=True)
        self.counters = [before for before, first, after in rows if _counts(before, first, after)]
        self.states = [i for i, v in enumerate(self.before) if v not in self.counters]
        self.sequence: ir.Value | None = None

    def check(self) -> None:
        """Raise NoCell unless the loop runs once for each element of the sequence and nobody reads more than
        its states."""
        rows = zip(self.node.outputs, self.before, strict=False)
        numbers = [output for output, before in rows if before in self.counters]
        if self.sequence is None or any(o.uses() or o.is_graph_output() for o in numbers):
            raise NoCell
        limit, going = self.node.inputs[:2]
        bounds = self._bounds(self.body.outputs[0]) + ([] if limit is None else [limit])
        started = [] if going is None else self._bounds(going, first=True)
        found = [elements.elements(v) for v in (*bounds, *started)]
        steps = elements.length(self.sequence, 0)
        if not bounds or any(e is None or e.size != 1 or e.item() != steps for e in found):
            raise NoCell

    def _bounds(self, value: ir.Value | None, first: bool = False) -> list[Any]:
        """The limits of the step's number that a condition compares it with."""
        known, node = const(value), None if value is None else value.producer()
        if (known is not None and known.all()) or value is self.body.inputs[1]:
            return []
        if node is None or node.op_type not in ("And", "Less", "Identity"):
            raise NoCell
        if node.op_type != "Less":
            return [bound for v in node.inputs for bound in self._bounds(v, first)]
        number = const(node.inputs[0])
        ends = [a for v, a in zip(self.before, self.after, strict=True) if v in self.counters]
        begins = number is not None and not number.any()
        if not (begins if first else _plain(node.inputs[0]) in ends):
            raise NoCell
        return [node.inputs[1]]

    def is_full(self, place: int) -> bool:
        """True unless an initial state is certainly shared by the sequences of a batch."""
        first, x = self.node.inputs[2 + place], self.sequence
        shape = None if first is None or _is_zeros(first) else first.shape
        return shape is None or x is None or x.shape is None or shape[0] != 1 or x.shape[1] == 1

    def is_input(self, value: ir.Value) -> bool:
        """True if a value is the element of the sequence at the step."""
        node = value.producer()
        if node is None or node.op_type != "Gather" or attr(node, "axis") != 0:
            return False
        source, place = node.inputs[0], _plain(node.inputs[1], SAME_NUMBER)
        made = None if source is None else source.producer()
        inside = source in list(self.body.inputs) or (made is not None and made.graph is self.body)
        if source is None or inside or place not in [*self.counters, self.body.inputs[0]]:
            return False
        if self.sequence not in (None, source) or rank_of(source) != 3:
            raise NoCell
        self.sequence = source
        return True

    def affine(self, value: ir.Value | None, state: ir.Value, columns: Any = None) -> Affine:
        """The sum that a value, or some columns of it, is."""
        value = _plain(value)
        known, node = const(value), value.producer()
        if known is not None:
            if known.ndim == 0 or known.size != known.shape[-1]:
                raise NoCell
            return Affine(bias=known.reshape(-1)[slice(*columns or (None,))])
        if node is not None and node.op_type == "Add":
            one, other = (self.affine(v, state, columns) for v in node.inputs)
            return one.plus(other)
        part = _part(value)
        if part is not None:
            source, start, stop = part
            low, high = columns or (0, stop - start)
            return self.affine(source, state, (start + low, start + high))
        weights = const(node.inputs[1]) if node is not None and node.op_type == "MatMul" else None
        if node is not None and weights is not None and weights.ndim == 2:
            weights = weights[:, slice(*columns or (None,))]
            factor = _plain(node.inputs[0])
            if factor is state:
                return Affine(h=weights)
            if self.is_input(factor):
                return Affine(x=weights)
        return Affine(others=[(value, columns)])


def _plain(value: ir.Value | None, passed: Sequence[str] = ("Identity",)) -> ir.Value:
    """A value before nodes that hand it on."""
    while value is not None:
        node = value.producer()
        if node is None or node.domain or node.op_type not in passed:
            return value
        value = node.inputs[0]
    raise NoCell


def _counts(before: ir.Value, start: ir.Value | None, end: ir.Value) -> bool:
    """True if a carried value is 0 at first and grows by 1."""
    first, node = const(start), end.producer()
    if first is None or first.any() or first.size != 1 or node is None or node.op_type != "Add":
        return False
    step = next((const(v) for v in node.inputs if v is not before), None)
    return before in node.inputs and step is not None and bool((step == 1).all())


def _width(value: ir.Value) -> int:
    """The number of columns."""
    width = value.shape[-1] if value.shape else None
    if not isinstance(width, int):
        raise NoCell
    return width


def _part(value: ir.Value) -> tuple[ir.Value, int, int] | None:
    """The value whose columns `value` is, and which."""
    node = value.producer()
    source = None if node is None or node.op_type not in ("Split", "Slice") else node.inputs[0]
    if node is None or source is None:
        return None
    last = (rank_of(source) or 0) - 1
    if node.op_type == "Split":
        start = sum(_width(v) for v in node.outputs[: value.index()])
        return (source, start, start + _width(value)) if attr(node, "axis") in (last, -1) else None
    starts, ends, axes, steps = (const(input_at(node, i)) for i in range(1, 5))
    if starts is None or ends is None or axes is None or axes.tolist() not in ([last], [-1]):
        return None
    low, high, _ = slice(int(starts[0]), int(ends[0])).indices(_width(source))
    return (source, low, high) if steps is None or steps[0] == 1 else None


def _operands(value: ir.Value | None, op_type: str) -> tuple[ir.Value, ir.Value]:
    node = _plain(value).producer()
    if node is None or node.op_type != op_type or node.domain:
        raise NoCell
    return _plain(node.inputs[0]), _plain(node.inputs[1])


def _other(pair: tuple[ir.Value, ir.Value], one: ir.Value) -> ir.Value:
    if one not in pair:
        raise NoCell
    return pair[1] if pair[0] is one else pair[0]


def _kept_and_added(value: ir.Value, state: ir.Value) -> tuple[Gate, tuple[ir.Value, ir.Value]]:
    """The gate that the old state is multiplied by, and the factors of what is added."""
    one, other = (_operands(v, "Mul") for v in _operands(value, "Add"))
    kept, added = (one, other) if state in one else (other, one)
    return Gate(_other(kept, state)), added


def _lstm(steps: Steps) -> Cell:
    """h' = o · tanh(c'), c' = f · c + i · g."""
    if len(steps.states) != 2:
        raise NoCell
    found = [i for i in steps.states if _made_by(steps.after[i], "Add")]
    if len(found) != 1:
        raise NoCell
    (place,), (shown,) = found, [i for i in steps.states if i not in found]
    new, h = steps.after[place], steps.before[shown]
    forget, added = _kept_and_added(new, steps.before[place])
    pair = _operands(steps.after[shown], "Mul")
    output = next((gate for gate in map(Gate, pair) if gate.inner is new), None)
    if output is None:
        raise NoCell
    out, first, second = Gate(_other(pair, output.value)), *map(Gate, added)
    enter, cell = (first, second) if first.activation == forget.activation else (second, first)
    if not enter.activation == forget.activation == out.activation:
        raise NoCell
    gates = [steps.affine(gate.inner, h) for gate in (enter, out, forget, cell)]
    return Cell("LSTM", gates, [forget, cell, output], [shown, place])


def _gru(steps: Steps) -> Cell:
    """h' = z · h + (1 - z) · g."""
    (place,) = steps.states if len(steps.states) == 1 else _refuse()
    h = steps.before[place]
    update, added = _kept_and_added(steps.after[place], h)
    rest = [v for v in added if not _is_complement(v, update.value)]
    hidden = Gate(rest[0] if len(rest) == 1 else None)
    inner = steps.affine(hidden.inner, h)
    if len(inner.others) != 1 or inner.h is not None or inner.others[0][1] is not None:
        raise NoCell
    term = inner.others[0][0]
    node = term.producer()
    if node is not None and node.op_type == "MatMul":
        reset, recurrent = Gate(_other(_operands(node.inputs[0], "Mul"), h)), Affine(h=const(node.inputs[1]))
    else:
        reset, recurrent = _reset_behind(steps, _operands(term, "Mul"), h)
    if reset.activation != update.activation or recurrent.h is None or recurrent.x is not None:
        raise NoCell
    gates = [*(steps.affine(gate.inner, h) for gate in (update, reset))]
    gates.append(Affine(inner.x, recurrent.h, inner.bias))
    behind = int(node is None or node.op_type != "MatMul")
    return Cell("GRU", gates, [update, hidden], [place], recurrent.bias, {"linear_before_reset": behind})


def _refuse() -> Any:
    raise NoCell


def _reset_behind(steps: Steps, pair: tuple[ir.Value, ir.Value], h: ir.Value) -> tuple[Gate, Affine]:
    """The reset gate, and the sum it multiplies."""
    for reset, product in (pair, pair[::-1]):
        found = steps.affine(product, h)
        if found.h is not None and not found.others:
            return Gate(reset), found
    raise NoCell


def _is_complement(value: ir.Value, gate: ir.Value) -> bool:
    node = value.producer()
    if node is None or node.op_type != "Sub":
        return False
    one = const(node.inputs[0])
    return one is not None and bool((one == 1).all()) and _plain(node.inputs[1]) is gate


def _made_by(value: ir.Value, op_type: str) -> bool:
    node = value.producer()
    return node is not None and node.op_type == op_type


def _rnn(steps: Steps) -> Cell:
    (place,) = steps.states if len(steps.states) == 1 else _refuse()
    gate = Gate(steps.after[place])
    return Cell("RNN", [steps.affine(gate.inner, steps.before[place])], [gate], [place])


def _raise(node: ir.Node) -> bool:
    for match in (_lstm, _gru, _rnn):
        try:
            steps = Steps(node)
            cell = match(steps)
            steps.check()
            _write(steps, cell)
        except NoCell:
            continue
        return True
    return False


def _write(steps: Steps, cell: Cell) -> None:
    """Put the operator in place of the loop. Raises NoCell where a gate is no sum."""
    node, x = steps.node, steps.sequence
    shown = steps.after[cell.places[0]]
    if any(g.x is None or g.h is None or g.others for g in cell.gates) or x is None or x.dtype not in FLOATS:
        raise NoCell
    zeros = np.zeros(len(cell.gates[0].h), cell.gates[0].h.dtype)
    biases = [zeros if g.bias is None else g.bias for g in cell.gates]
    behind = [*[zeros] * (len(biases) - 1), zeros if cell.recurrent_bias is None else cell.recurrent_bias]
    fits = all(g.h.shape == (*zeros.shape, *zeros.shape) for g in cell.gates)
    if not fits or any(b.shape != zeros.shape for b in (*biases, *behind)):
        raise NoCell
    if any(v is not shown for v in steps.collected) or not all(map(steps.is_full, cell.places)):
        raise NoCell
    op = hub.Builder(node.graph, before=node, source=hub.origin(node))  # type: ignore[arg-type]
    weights = [np.concatenate([getattr(g, name).T for g in cell.gates])[None] for name in ("x", "h")]
    starts = [node.inputs[2 + place] for place in cell.places]
    initial = [] if all(map(_is_zeros, starts)) else [op.Unsqueeze(v, [0]) for v in starts]
    tensors = [*weights, np.concatenate([*biases, *behind])[None]]
    made = op.node(
        cell.op_type,
        *(x, *map(op.const, tensors), None, *initial),
        _outputs=1 + len(starts),
        hidden_size=len(zeros),
        **_named(cell.activations),
        **cell.attributes,
    )
    found: list[Any] = [None] * len(steps.before) + [op.Squeeze(made[0], [1]) for _ in steps.collected]
    for place, result in zip(cell.places, made[1:], strict=True):
        found[place] = op.Squeeze(result, [0])
    release(node)
    replace(node.graph, node, found, op)  # type: ignore[arg-type]


def _named(gates: list[Gate]) -> dict[str, Any]:
    """Activations as attributes, with what they take."""
    rows = [gate.activation for gate in gates]
    named: dict[str, Any] = {"activations": [name for name, _, _ in rows]}
    alphas = [alpha for name, alpha, _ in rows if name in ("Affine", "Elu", "HardSigmoid", "LeakyRelu")]
    betas = [beta for name, _, beta in rows if name in ("Affine", "HardSigmoid")]
    named |= {"activation_alpha": alphas} if alphas else {}
    return named | ({"activation_beta": betas} if betas else {})


def _is_zeros(value: ir.Value | None) -> bool:
    """True for zeros of any shape."""
    known = const(value)
    if known is not None or value is None:
        return known is not None and not known.any()
    node = value.producer()
    spread = node is not None and node.op_type in ("Expand", "Identity", "Reshape")
    return spread and node is not None and _is_zeros(node.inputs[0])
