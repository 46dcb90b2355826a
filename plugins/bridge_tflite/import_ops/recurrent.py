"""RNN, SVDF and LSTM, as one step and over sequences. Their states are variables of the model."""

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
from bridge_tflite.import_ops import recurrent_int8
from bridge_tflite.import_ops.common import RELU, RELU6, RELU_N1_TO_1, TANH, activate, mark_hybrid

ops = OpTable()

T = ir.DataType
EPSILON = 1e-8

ACTIVATION = condition(
    "an activation other than SIGN_BIT", lambda n: n.get("fusedActivationFunction", 0) <= TANH
)


def scan(op: Any, states: list, scanned: list, body: Any, reverse: bool = False) -> tuple[list, Any]:
    """Scan of `body(builder, states, slices) -> (states, result)` over the first axis of `scanned`.

    Returns the last states, and the results stacked along a new first axis.
    """
    graph = ir.Graph([], [], nodes=[], name="step", opset_imports={"": hub.HUB_OPSET})
    before = [_port("state", v.dtype, v.shape, graph) for v in states]
    slices = [_port("slice", v.dtype, list(v.shape)[1:], graph) for v in scanned]
    graph.inputs.extend([*before, *slices])
    inner = hub.Builder(graph, source=op.source)
    after, result = body(inner, before, slices)
    graph.outputs.extend(inner.Identity(v) for v in (*after, result))
    outputs = op.Scan(
        *states,
        *scanned,
        body=graph,
        num_scan_inputs=len(scanned),
        scan_input_directions=[int(reverse)] * len(scanned),
        scan_output_directions=[int(reverse)],
        _outputs=len(states) + 1,
    )
    for value, source in zip(outputs, (*states, None), strict=True):
        value.type = ir.TensorType(source.dtype if source is not None else result.dtype)
        value.shape = source.shape if source is not None else ir.Shape([scanned[0].shape[0], *result.shape])
    return list(outputs[:-1]), outputs[-1]


def _port(stem: str, dtype: Any, shape: Any, graph: Any) -> ir.Value:
    name = hub.fresh_name(graph, stem)
    return ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(list(shape)))


def by_time(op: Any, node: Any, x: Any) -> Any:
    """Transpose batch-major [batch, time, ...] to time-major, or back."""
    return x if node.get("timeMajor", False) else op.Transpose(x, perm=[1, 0, 2])


def multiply_transposed(op: Any, x: Any, w: Any) -> Any:
    """x · wᵀ, or elementwise for diagonal weights of rank 1."""
    if rank_of(w) == 1:
        return op.Mul(x, w)
    array = const(w)
    return op.MatMul(
        x, op.const(np.ascontiguousarray(array.T)) if array is not None else op.Transpose(w, perm=[1, 0])
    )


def _rnn(op: Any, node: Any, x: Any, w: Any, r: Any, b: Any, h: Any, aux: Any, reverse: bool) -> tuple:
    """Results [time, batch, units], and the last state."""
    projected = op.Add(multiply_transposed(op, x, w), b)
    if aux is not None:
        projected = op.Add(projected, aux)

    def step(inner: Any, states: list, slices: list) -> tuple:
        y = activate(inner, node, inner.Add(slices[0], multiply_transposed(inner, states[0], r)))
        return [y], y

    (last,), results = scan(op, [h], [projected], step, reverse)
    return results, last


@ops.op("RNN", needs=(ACTIVATION,))
def rnn(op, node, x, w, r, b, h):
    y = activate(op, node, op.Add(op.Add(multiply_transposed(op, x, w), b), multiply_transposed(op, h, r)))
    node.assign(op, 4, y)
    return mark_hybrid(node, op.Identity(y), 1)


@ops.op("UNIDIRECTIONAL_SEQUENCE_RNN", needs=(ACTIVATION,))
def unidirectional_sequence_rnn(op, node, x, w, r, b, h):
    results, last = _rnn(op, node, by_time(op, node, x), w, r, b, h, None, False)
    node.assign(op, 4, last)
    return mark_hybrid(node, by_time(op, node, op.Identity(results)), 1)


@ops.op("BIDIRECTIONAL_SEQUENCE_RNN", needs=(ACTIVATION,))
def bidirectional_sequence_rnn(op, node, x, fw, fr, fb, fh, bw, br, bb, bh, aux=None, faux=None, baux=None):
    """An auxiliary input without weights is the input of the backward direction."""
    by_step = by_time(op, node, x)
    auxiliary = None if aux is None else by_time(op, node, aux)
    backward_input = auxiliary if auxiliary is not None and faux is None else by_step
    auxiliary_products = [None if v is None else multiply_transposed(op, auxiliary, v) for v in (faux, baux)]
    forward, last = _rnn(op, node, by_step, fw, fr, fb, fh, auxiliary_products[0], False)
    backward, first = _rnn(op, node, backward_input, bw, br, bb, bh, auxiliary_products[1], True)
    node.assign(op, 4, last)
    node.assign(op, 8, first)
    return merge_directions(op, node, forward, backward, 1)


def merge_directions(op: Any, node: Any, forward: Any, backward: Any, weights: int) -> Any:
    if node.get("mergeOutputs", False):
        return mark_hybrid(node, by_time(op, node, op.Concat(forward, backward, axis=2)), weights)
    return tuple(mark_hybrid(node, by_time(op, node, op.Identity(v)), weights) for v in (forward, backward))


@ops.op("SVDF", needs=(ACTIVATION,))
def svdf(op, node, x, feature, time, bias, state):
    """Each filter keeps its last features. They are weighted and summed over time, then over the rank.

    The integer kernel clamps the result by its dtype alone.
    """
    filters, memory = node.shape(2)
    rank = node.get("rank", 1)
    previous = op.Slice(op.Reshape(state, ints(-1, filters, memory)), ints(1), ints(memory), ints(2))
    features = multiply_transposed(op, x, feature)
    if node.tensor(0).quantized:
        features = fake_quantize(op, features, float(node.tensor(4).scale[0]), np.int16)
    history = op.Concat(previous, op.Unsqueeze(features, ints(2)), axis=2)
    node.assign(op, 4, op.Reshape(history, ints(-1, filters * memory)))
    sums = op.ReduceSum(op.Mul(history, time), ints(2), keepdims=0)
    y = op.ReduceSum(op.Reshape(sums, ints(-1, filters // rank, rank)), ints(2), keepdims=0)
    y = y if bias is None else op.Add(y, bias)
    return mark_hybrid(node, op.Identity(y) if node.tensor(0).quantized else activate(op, node, y), 1)


def fake_quantize(op: Any, x: Any, scale: float, dtype: Any, zero: int = 0) -> Any:
    """Quantize `x` to `dtype`, and dequantize it."""
    parameters = (np.array(scale, np.float32), np.array(zero, dtype))
    return op.DequantizeLinear(op.QuantizeLinear(x, *parameters), *parameters)


@dataclass
class Cell:
    """Weights of one LSTM by gate, in the order input, forget, cell, output; None if absent."""

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
        """True without an input gate (CIFG): input = 1 - forget."""
        return self.inputs[0] is None

    def input_products(self, op: Any, x: Any, auxiliary: Any = None) -> list:
        """Products of the input with the weights of each gate, for all steps at once."""
        products: list[Any] = []
        for gate in range(4):
            if self.inputs[gate] is None:
                products.append(None)
                continue
            value = multiply_transposed(op, x, self.inputs[gate])
            if self.aux[gate] is not None:
                value = op.Add(value, multiply_transposed(op, auxiliary, self.aux[gate]))
            if self.norms[gate] is None and self.biases[gate] is not None:
                value = op.Add(value, self.biases[gate])
            products.append(value)
        return products

    def gate(self, op: Any, index: int, product: Any, h: Any, c: Any) -> Any:
        value = op.Add(product, multiply_transposed(op, h, self.recurrent[index]))
        if index != 2 and self.peephole[min(index, 2)] is not None:
            value = op.Add(value, op.Mul(c, self.peephole[min(index, 2)]))
        if self.norms[index] is not None:
            value = op.Add(op.Mul(self._normalize(op, value), self.norms[index]), self.biases[index])
        return activate(op, self.node, value) if index == 2 else op.Sigmoid(value)

    @staticmethod
    def _normalize(op: Any, value: Any) -> Any:
        centred = op.Sub(value, op.ReduceMean(value, ints(-1)))
        variance = op.ReduceMean(op.Mul(centred, centred), ints(-1))
        return op.Div(centred, op.Sqrt(op.Add(variance, np.float32(EPSILON))))

    def step(self, op: Any, products: list, h: Any, c: Any) -> tuple:
        """States h and c after one step."""
        forget = self.gate(op, 1, products[1], h, c)
        input_gate = op.Sub(np.float32(1), forget) if self.coupled else self.gate(op, 0, products[0], h, c)
        update = self.gate(op, 2, products[2], h, c)
        c = op.Add(op.Mul(forget, c), op.Mul(input_gate, update))
        clip = self.node.get("cellClip", 0.0)
        if clip > 0:
            c = op.Clip(c, np.float32(-clip), np.float32(clip))
        out = self.gate(op, 3, products[3], h, c)
        return self._project(op, op.Mul(out, activate(op, self.node, c))), c

    def _project(self, op: Any, h: Any) -> Any:
        if self.projection is None:
            return h
        h = multiply_transposed(op, h, self.projection)
        h = h if self.projection_bias is None else op.Add(h, self.projection_bias)
        clip = self.node.get("projClip", 0.0)
        return op.Clip(h, np.float32(-clip), np.float32(clip)) if clip > 0 else h

    def run(self, op: Any, x: Any, auxiliary: Any = None, reverse: bool = False) -> Any:
        """Results over the first axis of `x`; assigns the last states."""
        h, c = self.node.state(op, self.state), self.node.state(op, self.memory)
        products = self.input_products(op, x, auxiliary)
        scanned = [v for v in products if v is not None]

        def body(inner: Any, states: list, slices: list) -> tuple:
            remaining = iter(slices)
            after = self.step(inner, [None if v is None else next(remaining) for v in products], *states)
            return list(after), after[0]

        (h, c), results = scan(op, [h, c], scanned, body, reverse)
        self.node.assign(op, self.state, h)
        self.node.assign(op, self.memory, c)
        return results


def lstm_cell(op: Any, node: Any, values: list, start: int = 1, **options: Any) -> Cell:
    """Cell of the weights from input `start` on: input, recurrent, peephole, bias, projection."""
    weights = values[start : start + 17]
    weights = [*weights, *[None] * (17 - len(weights))]
    norms = list(values[20:24]) if start == 1 and len(values) == 24 else [None] * 4
    return Cell(
        node,
        weights[0:4],
        weights[4:8],
        weights[8:11],
        weights[11:15],
        norms,
        weights[15],
        weights[16],
        **options,
    )


CELL_ACTIVATION = condition(
    "an activation of none, RELU, RELU_N1_TO_1, RELU6 or TANH",
    lambda n: n.get("fusedActivationFunction", 0) in (0, RELU, RELU_N1_TO_1, RELU6, TANH),
)
FULL = condition("the full kernel", lambda n: n.get("kernelType", 0) == 0)
FLOATS = condition("floats", lambda n: not n.tensor(0).quantized)


@ops.op("LSTM", needs=(FULL, CELL_ACTIVATION, FLOATS))
def lstm(op, node, *values):
    """One step of an LSTM."""
    unit = lstm_cell(op, node, list(values))
    h, c = unit.step(
        op, unit.input_products(op, values[0]), node.state(op, unit.state), node.state(op, unit.memory)
    )
    node.assign(op, unit.state, h)
    node.assign(op, unit.memory, c)
    return mark_hybrid(node, op.Identity(h), 2)


@ops.op(
    "LSTM",
    needs=(
        condition(
            "the basic kernel on floats", lambda n: n.get("kernelType", 0) == 1 and n.type(0) == "FLOAT32"
        ),
    ),
)
def basic_lstm(op, node, x, h, weights, biases, c):
    """One product for all gates, in the order input, cell, forget, output; the states are plain inputs and
    outputs."""
    joined = op.Concat(x, h, axis=1)
    gates = op.Add(multiply_transposed(op, joined, weights), biases)
    input_gate, cell_gate, forget_gate, output_gate = op.Split(gates, axis=1, num_outputs=4, _outputs=4)
    state = op.Add(op.Mul(op.Sigmoid(input_gate), op.Tanh(cell_gate)), op.Mul(op.Sigmoid(forget_gate), c))
    return op.Mul(op.Sigmoid(output_gate), op.Tanh(state)), state, joined, op.Identity(gates)


INTEGER = (
    condition("integers", lambda n: n.tensor(0).quantized),
    condition(
        "a cell state of int16 with a scale of a power of two",
        lambda n: n.type(19) == "INT16" and _has_power_of_two_scale(n.tensor(19)),
    ),
    condition(
        "neither peepholes nor projection nor layer normalization",
        lambda n: not any(map(n.has, (9, 10, 11, 16, 20, 21))),
    ),
    condition("weights of int8", lambda n: n.type(2) == "INT8"),
)


def _has_power_of_two_scale(tensor: Any) -> bool:
    exponent = np.log2(float(tensor.scale[0]))
    return -15 <= round(exponent) <= -9 and abs(exponent - round(exponent)) < 1e-4


@ops.op("UNIDIRECTIONAL_SEQUENCE_LSTM", needs=INTEGER)
def integer_lstm(op, node, *values):
    x = by_time(op, node, node.scope.value(op, node.operator.inputs[0]))
    return by_time(op, node, op.Identity(recurrent_int8.run_sequence(op, node, x, scan)))


@ops.op("UNIDIRECTIONAL_SEQUENCE_LSTM", needs=(CELL_ACTIVATION, FLOATS))
def unidirectional_sequence_lstm(op, node, *values):
    results = lstm_cell(op, node, list(values)).run(op, by_time(op, node, values[0]))
    return mark_hybrid(node, by_time(op, node, op.Identity(results)), 2)


@ops.op("BIDIRECTIONAL_SEQUENCE_LSTM", needs=(CELL_ACTIVATION, FLOATS))
def bidirectional_sequence_lstm(op, node, *values):
    """An auxiliary input without weights is the input of the backward direction."""
    values = [*values, *[None] * (48 - len(values))]
    auxiliary = None if values[39] is None else by_time(op, node, values[39])
    by_step = by_time(op, node, values[0])
    stacked = values[41] is not None
    forward = lstm_cell(op, node, values, 1, state=35, memory=36, aux=tuple(values[40:44]))
    backward = lstm_cell(op, node, values, 18, state=37, memory=38, aux=tuple(values[44:48]))
    results = forward.run(op, by_step, auxiliary if stacked else None)
    backward_input = auxiliary if auxiliary is not None and not stacked else by_step
    return merge_directions(
        op, node, results, backward.run(op, backward_input, auxiliary if stacked else None, reverse=True), 2
    )
