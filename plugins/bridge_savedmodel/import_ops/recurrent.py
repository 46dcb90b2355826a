"""Recurrent cells, and sequences of cells in one operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import shape_of
from bridge.importing import int64_vector, ints, like
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import T, as_scalar
from bridge_savedmodel.import_ops.control import add_outputs, subgraph

ops = OpTable()

GATES = {"LSTMBlockCell": "ICFO", "BlockLSTM": "ICFO", "BlockLSTMV2": "IFCO"}


def _lstm_step(op: Any, node: Any, x: Any, c: Any, h: Any, weights: Sequence[Any]) -> list[Any]:
    """Gates and states of a step: input gate, state, forget gate, output gate, candidate, activated state,
    output; [batch, units] each."""
    w, peek_i, peek_f, peek_o, bias = weights
    sums = op.Add(op.MatMul(op.Concat(x, h, axis=1), w), bias)
    gates = dict(zip(GATES[node.op], op.Split(sums, axis=1, num_outputs=4, _outputs=4), strict=True))
    forget_bias = node.get("forget_bias")
    forget_gate = op.Add(gates["F"], like(op, x, forget_bias)) if forget_bias else gates["F"]
    input_gate, output_gate = gates["I"], gates["O"]
    has_peephole = node.get("use_peephole")
    if has_peephole:
        input_gate, forget_gate = (
            op.Add(input_gate, op.Mul(c, peek_i)),
            op.Add(forget_gate, op.Mul(c, peek_f)),
        )
    input_gate, forget_gate, candidate = op.Sigmoid(input_gate), op.Sigmoid(forget_gate), op.Tanh(gates["C"])
    state = op.Add(op.Mul(candidate, input_gate), op.Mul(c, forget_gate))
    limit = node.get("cell_clip")
    if limit > 0:
        state = op.Clip(state, like(op, x, -limit), like(op, x, limit))
    output_gate = op.Sigmoid(op.Add(output_gate, op.Mul(state, peek_o)) if has_peephole else output_gate)
    activated = op.Tanh(state)
    return [input_gate, state, forget_gate, output_gate, candidate, activated, op.Mul(activated, output_gate)]


@ops.op("LSTMBlockCell")
def lstm_cell(op, node, x, c, h, *weights):
    return _lstm_step(op, node, x, c, h, weights)


@ops.op("GRUBlockCell")
def gru_cell(op, node, x, h, w_gates, w_candidate, b_gates, b_candidate):
    sums = op.Sigmoid(op.Add(op.MatMul(op.Concat(x, h, axis=1), w_gates), b_gates))
    reset, update = op.Split(sums, axis=1, num_outputs=2, _outputs=2)
    reset_inputs = op.Concat(x, op.Mul(h, reset), axis=1)
    candidate = op.Tanh(op.Add(op.MatMul(reset_inputs, w_candidate), b_candidate))
    hidden = op.Add(op.Mul(op.Sub(like(op, x, 1), update), candidate), op.Mul(update, h))
    return reset, update, candidate, hidden


STATIC_WEIGHTS = condition("weights of known size", lambda n: shape_of(n.inputs[4]) is not None)


@ops.op("BlockLSTM", "BlockLSTMV2", needs=(STATIC_WEIGHTS,))
def block_lstm(op, node, steps, x, c, h, *weights):
    """A Loop over the steps, zeros after the last."""
    units = shape_of(weights[0])[1] // 4
    graph, inner = subgraph("lstm")
    state = ir.Shape([list(x.shape)[1] if x.shape is not None else None, units])
    inputs = [
        ("step", T.INT64, ir.Shape([])),
        ("going", T.BOOL, ir.Shape([])),
        *(("state", x.dtype, state),) * 2,
    ]
    for stem, dtype, shape in inputs:
        name = hub.fresh_name(graph, stem)
        graph.inputs.append(ir.Value(name=name, type=ir.TensorType(dtype), shape=shape))
    step, condition, previous_state, previous_output = graph.inputs
    outputs = _lstm_step(inner, node, inner.Gather(x, step, axis=0), previous_state, previous_output, weights)
    add_outputs(graph, inner, [inner.Identity(condition), outputs[1], outputs[6], *outputs])
    bodies = [ir.AttrGraph("body", graph)]
    count = as_scalar(op, int64_vector(op, steps))
    loop = ir.Node("", "Loop", [count, op.const(np.array(True)), c, h], bodies, num_outputs=9)
    for output in loop.outputs[2:]:
        output.type, output.shape = ir.TensorType(x.dtype), ir.Shape([None, *state])
    op.insert(loop)
    padding = op.Sub(op.Shape(x, start=0, end=1), int64_vector(op, steps))
    results = []
    for output in loop.outputs[2:]:
        padded = op.Pad(output, op.Concat(ints(0, 0, 0), padding, ints(0, 0), axis=0))
        padded.shape = ir.Shape([x.shape[0], *state])
        results.append(padded)
    return results
