"""RNN, SVDF and LSTM, as one step and over sequences. What they remember is a variable of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import const, rank_of
from bridge.importing import ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_tflite.import_ops import fixed
from bridge_tflite.import_ops.common import RELU, RELU6, RELU_N1_TO_1, TANH, activate, told

ops = OpTable()

T = ir.DataType
EPSILON = 1e-8

ACTIVATION = condition(
    "an activation other than SIGN_BIT", lambda n: n.get("fusedActivationFunction", 0) <= TANH
)


def loop(op: Any, states: list, scanned: list, body: Any, reverse: bool = False) -> tuple[list, Any]:
    """`body(builder, states, slices) -> (states, result)` over the first axis of `scanned`: last states, results stacked."""
    graph = ir.Graph([], [], nodes=[], name="step", opset_imports={"": hub.HUB_OPSET})
    before = [_port("state", v.dtype, v.shape, i, graph) for i, v in enumerate(states)]
    slices = [_port("slice", v.dtype, list(v.shape)[1:], i, graph) for i, v in enumerate(scanned)]
    graph.inputs.extend([*before, *slices])
    inner = hub.Builder(graph, source=op.source)
    after, result = body(inner, before, slices)
    graph.outputs.extend(inner.Identity(v) for v in (*after, result))
    made = op.Scan(
        *states,
        *scanned,
        body=graph,
        num_scan_inputs=len(scanned),
        scan_input_directions=[int(reverse)] * len(scanned),
        scan_output_directions=[int(reverse)],
        _outputs=len(states) + 1,
    )
    for value, source in zip(made, (*states, None), strict=True):
        value.type = ir.TensorType(source.dtype if source is not None else result.dtype)
        value.shape = source.shape if source is not None else ir.Shape([scanned[0].shape[0], *result.shape])
    return list(made[:-1]), made[-1]


def _port(stem: str, dtype: Any, shape: Any, index: int, graph: Any) -> ir.Value:
    return ir.Value(
        name=f"{stem}_{index}_{id(graph):x}", type=ir.TensorType(dtype), shape=ir.Shape(list(shape))
    )


def by_time(op: Any, node: Any, x: Any) -> Any:
    """Time before batch, or back again."""
    return x if node.get("timeMajor", False) else op.Transpose(x, perm=[1, 0, 2])


def linear(op: Any, x: Any, w: Any) -> Any:
    """x · wᵀ, or element by element where the weights are those of a diagonal."""
    if rank_of(w) == 1:
        return op.Mul(x, w)
    array = const(w)
    return op.MatMul(
        x, op.const(np.ascontiguousarray(array.T)) if array is not None else op.Transpose(w, perm=[1, 0])
    )


# Plain recurrences


def _rnn(op: Any, node: Any, x: Any, w: Any, r: Any, b: Any, h: Any, aux: Any, reverse: bool) -> tuple:
    """Results by time, and the last state."""
    ahead = op.Add(linear(op, x, w), b)
    if aux is not None:
        ahead = op.Add(ahead, aux)

    def step(inner: Any, states: list, slices: list) -> tuple:
        y = activate(inner, node, inner.Add(slices[0], linear(inner, states[0], r)))
        return [y], y

    (last,), results = loop(op, [h], [ahead], step, reverse)
    return results, last


@ops.op("RNN", needs=(ACTIVATION,))
def rnn(op, node, x, w, r, b, h):
    y = activate(op, node, op.Add(op.Add(linear(op, x, w), b), linear(op, h, r)))
    node.assign(op, 4, y)
    return told(node, op.Identity(y), 1)


@ops.op("UNIDIRECTIONAL_SEQUENCE_RNN", needs=(ACTIVATION,))
def unidirectional_sequence_rnn(op, node, x, w, r, b, h):
    results, last = _rnn(op, node, by_time(op, node, x), w, r, b, h, None, False)
    node.assign(op, 4, last)
    return told(node, by_time(op, node, op.Identity(results)), 1)


@ops.op("BIDIRECTIONAL_SEQUENCE_RNN", needs=(ACTIVATION,))
def bidirectional_sequence_rnn(op, node, x, fw, fr, fb, fh, bw, br, bb, bh, aux=None, faux=None, baux=None):
    """An auxiliary input without weights is what the backward direction reads."""
    ahead = by_time(op, node, x)
    other = None if aux is None else by_time(op, node, aux)
    behind = other if other is not None and faux is None else ahead
    added = [None if v is None else linear(op, other, v) for v in (faux, baux)]
    forward, last = _rnn(op, node, ahead, fw, fr, fb, fh, added[0], False)
    backward, first = _rnn(op, node, behind, bw, br, bb, bh, added[1], True)
    node.assign(op, 4, last)
    node.assign(op, 8, first)
    return merged(op, node, forward, backward, 1)


def merged(op: Any, node: Any, forward: Any, backward: Any, weights: int) -> Any:
    if node.get("mergeOutputs", False):
        return told(node, by_time(op, node, op.Concat(forward, backward, axis=2)), weights)
    return tuple(told(node, by_time(op, node, op.Identity(v)), weights) for v in (forward, backward))


@ops.op("SVDF", needs=(ACTIVATION,))
def svdf(op, node, x, feature, time, bias, state):
    """Each filter remembers its last features; their weighted sum over time, summed over the rank.

    Its integer form bounds the result by its type alone.
    """
    filters, memory = node.shape(2)
    rank = node.get("rank", 1)
    kept = op.Slice(op.Reshape(state, ints(-1, filters, memory)), ints(1), ints(memory), ints(2))
    fresh = linear(op, x, feature)
    if node.tensor(0).quantized:
        fresh = rounded(op, fresh, float(node.tensor(4).scale[0]), np.int16)
    history = op.Concat(kept, op.Unsqueeze(fresh, ints(2)), axis=2)
    node.assign(op, 4, op.Reshape(history, ints(-1, filters * memory)))
    sums = op.ReduceSum(op.Mul(history, time), ints(2), keepdims=0)
    y = op.ReduceSum(op.Reshape(sums, ints(-1, filters // rank, rank)), ints(2), keepdims=0)
    y = y if bias is None else op.Add(y, bias)
    return told(node, op.Identity(y) if node.tensor(0).quantized else activate(op, node, y), 1)


# LSTM


def rounded(op: Any, x: Any, scale: float, kind: Any, zero: int = 0) -> Any:
    """`x` to the steps of an integer type."""
    parameters = (np.array(scale, np.float32), np.array(zero, kind))
    return op.DequantizeLinear(op.QuantizeLinear(x, *parameters), *parameters)


@dataclass
class Cell:
    """Weights of one LSTM by gate, in the order input, forget, cell, output; None where the file has none."""

    node: Any
    inputs: list
    recurrent: list
    peephole: list
    biases: list
    norms: list
    projection: Any = None
    projection_bias: Any = None
    aux: tuple = (None, None, None, None)
    state: int = 18
    memory: int = 19

    @property
    def coupled(self) -> bool:
        """Without an input gate, what is not forgotten is replaced."""
        return self.inputs[0] is None

    def ahead(self, op: Any, x: Any, other: Any = None) -> list:
        """What the input gives each gate, for all steps at once."""
        made: list[Any] = []
        for gate in range(4):
            if self.inputs[gate] is None:
                made.append(None)
                continue
            value = linear(op, x, self.inputs[gate])
            if self.aux[gate] is not None:
                value = op.Add(value, linear(op, other, self.aux[gate]))
            if self.norms[gate] is None and self.biases[gate] is not None:
                value = op.Add(value, self.biases[gate])
            made.append(value)
        return made

    def gate(self, op: Any, index: int, ahead: Any, h: Any, c: Any) -> Any:
        value = op.Add(ahead, linear(op, h, self.recurrent[index]))
        if index != 2 and self.peephole[min(index, 2)] is not None:
            value = op.Add(value, op.Mul(c, self.peephole[min(index, 2)]))
        if self.norms[index] is not None:
            value = op.Add(op.Mul(self._normal(op, value), self.norms[index]), self.biases[index])
        return activate(op, self.node, value) if index == 2 else op.Sigmoid(value)

    @staticmethod
    def _normal(op: Any, value: Any) -> Any:
        centred = op.Sub(value, op.ReduceMean(value, ints(-1)))
        variance = op.ReduceMean(op.Mul(centred, centred), ints(-1))
        return op.Div(centred, op.Sqrt(op.Add(variance, np.float32(EPSILON))))

    def step(self, op: Any, ahead: list, h: Any, c: Any) -> tuple:
        """h and c after one step."""
        forget = self.gate(op, 1, ahead[1], h, c)
        fresh = op.Sub(np.float32(1), forget) if self.coupled else self.gate(op, 0, ahead[0], h, c)
        update = self.gate(op, 2, ahead[2], h, c)
        c = op.Add(op.Mul(forget, c), op.Mul(fresh, update))
        clip = self.node.get("cellClip", 0.0)
        if clip > 0:
            c = op.Clip(c, np.float32(-clip), np.float32(clip))
        out = self.gate(op, 3, ahead[3], h, c)
        return self._out(op, op.Mul(out, activate(op, self.node, c))), c

    def _out(self, op: Any, h: Any) -> Any:
        if self.projection is None:
            return h
        h = linear(op, h, self.projection)
        h = h if self.projection_bias is None else op.Add(h, self.projection_bias)
        clip = self.node.get("projClip", 0.0)
        return op.Clip(h, np.float32(-clip), np.float32(clip)) if clip > 0 else h

    def run(self, op: Any, x: Any, other: Any = None, reverse: bool = False) -> Any:
        """Results over the first axis of `x`; the states are left as they are at its end."""
        h, c = self.node.state(op, self.state), self.node.state(op, self.memory)
        ahead = self.ahead(op, x, other)
        given = [v for v in ahead if v is not None]

        def body(inner: Any, states: list, slices: list) -> tuple:
            parts = iter(slices)
            after = self.step(inner, [None if v is None else next(parts) for v in ahead], *states)
            return list(after), after[0]

        (h, c), results = loop(op, [h, c], given, body, reverse)
        self.node.assign(op, self.state, h)
        self.node.assign(op, self.memory, c)
        return results


def cell(op: Any, node: Any, values: list, start: int = 1, **more: Any) -> Cell:
    """The weights that begin at input `start`: of the inputs, recurrent, peepholes, biases, projection."""
    part = values[start : start + 17]
    part = [*part, *[None] * (17 - len(part))]
    norms = list(values[20:24]) if start == 1 and len(values) == 24 else [None] * 4
    return Cell(node, part[0:4], part[4:8], part[8:11], part[11:15], norms, part[15], part[16], **more)


SIGN = condition(
    "an activation of none, RELU, RELU_N1_TO_1, RELU6 or TANH",
    lambda n: n.get("fusedActivationFunction", 0) in (0, RELU, RELU_N1_TO_1, RELU6, TANH),
)
FULL = condition("the full kernel", lambda n: n.get("kernelType", 0) == 0)
FLOATS = condition("floats", lambda n: not n.tensor(0).quantized)


@ops.op("LSTM", needs=(FULL, SIGN, FLOATS))
def lstm(op, node, *values):
    """One step: a sequence of one."""
    made = cell(op, node, list(values))
    h, c = made.step(op, made.ahead(op, values[0]), node.state(op, made.state), node.state(op, made.memory))
    node.assign(op, made.state, h)
    node.assign(op, made.memory, c)
    return told(node, op.Identity(h), 2)


@ops.op(
    "LSTM",
    needs=(
        condition(
            "the basic kernel on floats", lambda n: n.get("kernelType", 0) == 1 and n.kind(0) == "FLOAT32"
        ),
    ),
)
def basic_lstm(op, node, x, h, weights, biases, c):
    """One product for all gates, in the order input, cell, forget, output; its states are plain inputs and outputs."""
    joined = op.Concat(x, h, axis=1)
    gates = op.Add(linear(op, joined, weights), biases)
    fresh, update, forget, out = op.Split(gates, axis=1, num_outputs=4, _outputs=4)
    state = op.Add(op.Mul(op.Sigmoid(fresh), op.Tanh(update)), op.Mul(op.Sigmoid(forget), c))
    return op.Mul(op.Sigmoid(out), op.Tanh(state)), state, joined, op.Identity(gates)


INTEGER = (
    condition("integers", lambda n: n.tensor(0).quantized),
    condition(
        "a cell state of int16 with a scale of a power of two",
        lambda n: n.kind(19) == "INT16" and _power(n.tensor(19)),
    ),
    condition(
        "neither peepholes nor projection nor layer normalization",
        lambda n: not any(map(n.has, (9, 10, 11, 16, 20, 21))),
    ),
    condition("weights of int8", lambda n: n.kind(2) == "INT8"),
)


def _power(tensor: Any) -> bool:
    places = np.log2(float(tensor.scale[0]))
    return -15 <= round(places) <= -9 and abs(places - round(places)) < 1e-4


@ops.op("UNIDIRECTIONAL_SEQUENCE_LSTM", needs=INTEGER)
def integer_lstm(op, node, *values):
    x = by_time(op, node, node.scope.value(op, node.operator.inputs[0]))
    return by_time(op, node, op.Identity(fixed.sequence(op, node, x, loop)))


@ops.op("UNIDIRECTIONAL_SEQUENCE_LSTM", needs=(SIGN, FLOATS))
def unidirectional_sequence_lstm(op, node, *values):
    results = cell(op, node, list(values)).run(op, by_time(op, node, values[0]))
    return told(node, by_time(op, node, op.Identity(results)), 2)


@ops.op("BIDIRECTIONAL_SEQUENCE_LSTM", needs=(SIGN, FLOATS))
def bidirectional_sequence_lstm(op, node, *values):
    """An auxiliary input without weights is what the backward direction reads."""
    values = [*values, *[None] * (48 - len(values))]
    other = None if values[39] is None else by_time(op, node, values[39])
    ahead = by_time(op, node, values[0])
    stacked = values[41] is not None
    forward = cell(op, node, values, 1, state=35, memory=36, aux=tuple(values[40:44]))
    backward = cell(op, node, values, 18, state=37, memory=38, aux=tuple(values[44:48]))
    results = forward.run(op, ahead, other if stacked else None)
    behind = other if other is not None and not stacked else ahead
    return merged(op, node, results, backward.run(op, behind, other if stacked else None, reverse=True), 2)
