"""LSTM, GRU and RNN: the steps of a known few, or a Loop over them. One description of each cell serves
both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import lengths, scalar, vector
from bridge.hub import attr, rank_of, shape_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose.common import zero
from bridge.passes.decompose.control import STEPS
from bridge.recurrent import activations

ops = OpTable()

ALPHA = {
    "affine": 1.0,
    "leakyrelu": 0.01,
    "thresholdedrelu": 1.0,
    "scaledtanh": 1.0,
    "hardsigmoid": 0.2,
    "elu": 1.0,
}
BETA = {"hardsigmoid": 0.5, "scaledtanh": 1.0}

Activation = Callable[[Any, Any], Any]


def gates_known(node: ir.Node) -> bool:
    return rank_of(node.inputs[0]) == 3 and shape_of(node.inputs[2]) is not None


@ops.op("LSTM", "GRU", "RNN", needs=(condition("weights of static shape", gates_known),))
def recurrent(op, node, x, w, r, b=None, sequence_lens=None, h=None, c=None, p=None):
    """Every direction by itself; sequences shorter than the others keep their last state and give zeros."""
    is_batch_first = attr(node, "layout") == 1
    if is_batch_first:
        x, h, c = (None if v is None else op.Transpose(v, perm=[1, 0, 2]) for v in (x, h, c))
    count = 2 if attr(node, "direction") == "bidirectional" else 1
    directions = []
    for d in range(count):
        tensors = [None if v is None else op.Gather(v, np.array(d), axis=0) for v in (w, r, b, h, c, p)]
        backwards = d == 1 or attr(node, "direction") == "reverse"
        directions.append(_direction(op, node, x, tensors, sequence_lens, Cell(node, d), backwards))
    stacked = [
        op.Concat(*v, axis=1) if count > 1 else v[0] for v in ([op.Unsqueeze(m[0], [1]) for m in directions],)
    ]
    last = [[op.Unsqueeze(m[1][i], [0]) for m in directions] for i in range(len(directions[0][1]))]
    results = [*stacked, *(op.Concat(*v, axis=0) if count > 1 else v[0] for v in last)]
    if is_batch_first:
        batch_first = [op.Transpose(v, perm=[1, 0, 2]) for v in results[1:]]
        return [op.Transpose(results[0], perm=[2, 0, 1, 3]), *batch_first]
    return results


class Cell:
    """Activations and clipping of one direction of `node`."""

    def __init__(self, node: ir.Node, direction: int) -> None:
        self.op_type = node.op_type
        by_direction = activations(node)
        names = [name.lower() for side in by_direction for name in side]
        alphas, betas = (list(attr(node, n) or []) for n in ("activation_alpha", "activation_beta"))
        functions: list[Activation] = []
        for index, name in enumerate(names):
            alpha = alphas.pop(0) if name in ALPHA and alphas else ALPHA.get(name, 0.0)
            beta = betas.pop(0) if (name in BETA or name == "affine") and betas else BETA.get(name, 0.0)
            if index // len(by_direction[0]) == direction:
                functions.append(activation(name, alpha, beta))
        self.activations = functions
        self.clip = attr(node, "clip")
        self.coupled = attr(node, "input_forget")
        self.reset_after = attr(node, "linear_before_reset")

    def clipped(self, op: Any, value: Any) -> Any:
        return value if self.clip is None else op.Clip(value, float(-self.clip), float(self.clip))

    def step(
        self, op: Any, gates: Any, states: list[Any], recurrence: Any, bias: Any, peepholes: list[Any]
    ) -> list[Any]:
        """New states from the projected input of a step, the old states, and the recurrent weights."""
        return getattr(self, f"_{self.op_type.lower()}")(op, gates, states, recurrence, bias, peepholes)

    def _rnn(self, op: Any, gates: Any, states: list, recurrence: Any, bias: Any, peepholes: list) -> list:
        (act,) = self.activations
        return [act(op, self.clipped(op, op.Add(gates, op.MatMul(states[0], recurrence))))]

    def _gru(self, op: Any, gates: Any, states: list, recurrence: Any, bias: Any, peepholes: list) -> list:
        f, g = self.activations
        (h,) = states
        size = recurrence.shape[0]
        weights = op.Split(recurrence, op.const(np.array([2 * size, size])), axis=1, _outputs=2)
        both, hidden = op.Split(gates, op.const(np.array([2 * size, size])), axis=-1, _outputs=2)
        both = f(op, self.clipped(op, op.Add(both, op.MatMul(h, weights[0]))))
        update, reset = op.Split(both, axis=-1, num_outputs=2, _outputs=2)
        if self.reset_after:
            inner = op.MatMul(h, weights[1])
            inner = op.Mul(reset, inner if bias is None else op.Add(inner, bias))
        else:
            inner = op.MatMul(op.Mul(reset, h), weights[1])
        hidden = g(op, self.clipped(op, op.Add(hidden, inner)))
        return [op.Add(op.Mul(op.Sub(1.0, update), hidden), op.Mul(update, h))]

    def _lstm(self, op: Any, gates: Any, states: list, recurrence: Any, bias: Any, peepholes: list) -> list:
        f, g, shown = self.activations
        h, c = states
        i, o, forget, cell = op.Split(
            op.Add(gates, op.MatMul(h, recurrence)), axis=-1, num_outputs=4, _outputs=4
        )
        if peepholes:
            i, forget = op.Add(i, op.Mul(peepholes[0], c)), op.Add(forget, op.Mul(peepholes[2], c))
        i = f(op, self.clipped(op, i))
        forget = op.Sub(1.0, i) if self.coupled else f(op, self.clipped(op, forget))
        c = op.Add(op.Mul(forget, c), op.Mul(i, g(op, self.clipped(op, cell))))
        if peepholes:
            o = op.Add(o, op.Mul(peepholes[1], c))
        return [op.Mul(f(op, self.clipped(op, o)), shown(op, c)), c]


def activation(name: str, alpha: float, beta: float) -> Activation:
    """An activation of the recurrent operators by its name in ONNX, lower case."""
    formulas: dict[str, Activation] = {
        "relu": lambda op, x: op.Relu(x),
        "tanh": lambda op, x: op.Tanh(x),
        "sigmoid": lambda op, x: op.Sigmoid(x),
        "affine": lambda op, x: op.Add(op.Mul(x, float(alpha)), float(beta)),
        "leakyrelu": lambda op, x: op.LeakyRelu(x, alpha=float(alpha)),
        "thresholdedrelu": lambda op, x: op.ThresholdedRelu(x, alpha=float(alpha)),
        "scaledtanh": lambda op, x: op.Mul(op.Tanh(op.Mul(x, float(beta))), float(alpha)),
        "hardsigmoid": lambda op, x: op.HardSigmoid(x, alpha=float(alpha), beta=float(beta)),
        "elu": lambda op, x: op.Elu(x, alpha=float(alpha)),
        "softsign": lambda op, x: op.Softsign(x),
        "softplus": lambda op, x: op.Softplus(x),
    }
    return formulas[name]


def _direction(
    op: Any, node: ir.Node, x: Any, tensors: list, sequence_lens: Any, cell: Cell, backwards: bool
) -> tuple[Any, list]:
    """Outputs [steps, batch, hidden] and last states of one direction."""
    w, r, b, h, c, p = tensors
    size = r.shape[-1]
    steps, batch, _ = lengths(op, x)
    if backwards and sequence_lens is not None:
        x = op.ReverseSequence(x, op.Cast(sequence_lens, to=7), time_axis=0, batch_axis=1)
    gates, extra = _projected(op, node, x, w, b, size, cell)
    states = [h] if node.op_type != "LSTM" else [h, c]
    blank = op.Expand(zero(op, x), vector(op, [batch, size])) if None in states else None
    if blank is not None:
        blank.shape = ir.Shape([x.shape[1], size])
    states = [blank if v is None else v for v in states]
    for state in states:
        state.shape = state.shape or ir.Shape([x.shape[1], size])
    peepholes = [] if p is None else list(op.Split(p, axis=0, num_outputs=3, _outputs=3))
    recurrence = op.Transpose(r, perm=[1, 0])
    limit = None if sequence_lens is None else op.Unsqueeze(op.Cast(sequence_lens, to=7), [1])
    reverse_steps = backwards and sequence_lens is None

    def step(inner: Any, at: Any, element: Any, before: list) -> tuple[Any, list]:
        after = cell.step(inner, element, before, recurrence, extra, peepholes)
        if limit is None:
            return after[0], after
        there = inner.Less(at, limit)
        after = [inner.Where(there, new, old) for new, old in zip(after, before, strict=True)]
        return inner.Where(there, after[0], inner.Mul(after[0], 0.0)), after

    outputs, last = walked(op, gates, steps, states, step, reverse_steps)
    if backwards and sequence_lens is not None:
        outputs = op.ReverseSequence(outputs, op.Cast(sequence_lens, to=7), time_axis=0, batch_axis=1)
    return outputs, last


def _projected(op: Any, node: ir.Node, x: Any, w: Any, b: Any, size: int, cell: Cell) -> tuple[Any, Any]:
    """Inputs of all steps times their weights, biases added; and the bias a GRU adds after its reset
    instead."""
    gates = op.MatMul(x, op.Transpose(w, perm=[1, 0]))
    if b is None:
        return gates, None
    input_bias, recurrent_bias = op.Split(b, axis=0, num_outputs=2, _outputs=2)
    if node.op_type != "GRU" or not cell.reset_after:
        return op.Add(gates, op.Add(input_bias, recurrent_bias)), None
    update_reset, hidden_bias = op.Split(
        recurrent_bias, op.const(np.array([2 * size, size])), axis=0, _outputs=2
    )
    return op.Add(gates, op.Add(input_bias, op.Pad(update_reset, op.const(np.array([0, size]))))), hidden_bias


def walked(
    op: Any, elements: ir.Value, steps: Any, states: list, step: Any, reverse_steps: bool = False
) -> tuple[ir.Value, list]:
    """Outputs of `step`, from (builder, place, element, states) to (output, states), for each of the elements
    along the first axis, and its last states: few steps one by one, others in a Loop."""
    walk = _unrolled if isinstance(steps, int) and 0 < steps <= STEPS * 4 else _looped
    return walk(op, elements, steps, states, step, reverse_steps)


def _unrolled(
    op: Any, gates: Any, steps: int, states: list, step: Any, reverse_steps: bool
) -> tuple[Any, list]:
    elements = op.Split(gates, axis=0, num_outputs=steps, _outputs=steps) if steps > 1 else (gates,)
    outputs: list[Any] = [None] * steps
    for t in reversed(range(steps)) if reverse_steps else range(steps):
        shown, states = step(op, op.const(np.array(t)), op.Squeeze(elements[t], [0]), states)
        outputs[t] = op.Unsqueeze(shown, [0])
    return (op.Concat(*outputs, axis=0) if steps > 1 else outputs[0]), states


def _looped(
    op: Any, gates: Any, steps: Any, states: list, step: Any, reverse_steps: bool
) -> tuple[Any, list]:
    """A Loop that writes each step's output into its place of a tensor it carries. States are as many as the
    sequences, whatever else says how many."""
    count = scalar(op, steps)
    at, going = (
        ir.Value(name=hub.fresh_name(op.graph, n), type=ir.TensorType(k), shape=ir.Shape([]))
        for n, k in (("step", ir.DataType.INT64), ("going", ir.DataType.BOOL))
    )
    kept = [ir.Shape([gates.shape[1], v.shape[-1]]) for v in states]
    carried = [
        ir.Value(name=hub.fresh_name(op.graph, "state"), type=v.type, shape=s)
        for v, s in zip(states, kept, strict=True)
    ]
    body = ir.Graph(
        [at, going, *carried],
        [],
        nodes=[],
        name=hub.fresh_name(op.graph, "steps"),
        opset_imports={"": hub.HUB_OPSET},
    )
    inner = hub.Builder(body, source=op.source)
    position = inner.Sub(inner.Sub(count, np.array(1)), at) if reverse_steps else at
    shown, after = step(inner, position, inner.Gather(gates, position, axis=0), carried)
    same = [inner.Identity(v) for v in after]
    body.outputs.extend([inner.Identity(going), *same, inner.Identity(shown)])
    loop = ir.Node(
        "", "Loop", [count, None, *states], [ir.AttrGraph("body", body)], num_outputs=len(states) + 1
    )
    body.outputs[-1].shape = kept[0]
    shapes = [*kept, ir.Shape([gates.shape[0], *kept[0]])]
    for output, value, shape in zip(loop.outputs, [*states, shown], shapes, strict=True):
        output.type, output.shape = value.type, shape
    op.insert(loop)
    *last, outputs = loop.outputs
    if reverse_steps:
        outputs = op.Slice(outputs, [-1], [-(2**31)], [0], [-1])
    return outputs, last
