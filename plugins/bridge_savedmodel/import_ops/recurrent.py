"""Recurrent cells, and sequences of them, in one operator."""

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
from bridge_savedmodel.import_ops.common import T, scalar
from bridge_savedmodel.import_ops.control import close, subgraph

ops = OpTable()

GATES = {"LSTMBlockCell": "ICFO", "BlockLSTM": "ICFO", "BlockLSTMV2": "IFCO"}


def _cell(op: Any, node: Any, x: Any, c: Any, h: Any, weights: Sequence[Any]) -> list[Any]:
    """Input gate, state, forget gate, output gate, candidate, activated state and output of one step."""
    w, peek_i, peek_f, peek_o, bias = weights
    sums = op.Add(op.MatMul(op.Concat(x, h, axis=1), w), bias)
    parts = dict(zip(GATES[node.op], op.Split(sums, axis=1, num_outputs=4, _outputs=4), strict=True))
    more = node.get("forget_bias")
    forget = op.Add(parts["F"], like(op, x, more)) if more else parts["F"]
    enter, leave = parts["I"], parts["O"]
    peeks = node.get("use_peephole")
    if peeks:
        enter, forget = op.Add(enter, op.Mul(c, peek_i)), op.Add(forget, op.Mul(c, peek_f))
    enter, forget, candidate = op.Sigmoid(enter), op.Sigmoid(forget), op.Tanh(parts["C"])
    state = op.Add(op.Mul(candidate, enter), op.Mul(c, forget))
    limit = node.get("cell_clip")
    if limit > 0:
        state = op.Clip(state, like(op, x, -limit), like(op, x, limit))
    leave = op.Sigmoid(op.Add(leave, op.Mul(state, peek_o)) if peeks else leave)
    active = op.Tanh(state)
    return [enter, state, forget, leave, candidate, active, op.Mul(active, leave)]


@ops.op("LSTMBlockCell")
def lstm_cell(op, node, x, c, h, *weights):
    return _cell(op, node, x, c, h, weights)


@ops.op("GRUBlockCell")
def gru_cell(op, node, x, h, w_gates, w_candidate, b_gates, b_candidate):
    sums = op.Sigmoid(op.Add(op.MatMul(op.Concat(x, h, axis=1), w_gates), b_gates))
    reset, update = op.Split(sums, axis=1, num_outputs=2, _outputs=2)
    kept = op.Concat(x, op.Mul(h, reset), axis=1)
    candidate = op.Tanh(op.Add(op.MatMul(kept, w_candidate), b_candidate))
    made = op.Add(op.Mul(op.Sub(like(op, x, 1), update), candidate), op.Mul(update, h))
    return reset, update, candidate, made


KNOWN = condition("weights of known size", lambda n: shape_of(n.inputs[4]) is not None)


@ops.op("BlockLSTM", "BlockLSTMV2", needs=(KNOWN,))
def block_lstm(op, node, steps, x, c, h, *weights):
    """A Loop over the steps; zeros after the last."""
    units = shape_of(weights[0])[1] // 4
    graph, inner = subgraph("lstm")
    state = ir.Shape([list(x.shape)[1] if x.shape is not None else None, units])
    kinds = [
        ("step", T.INT64, ir.Shape([])),
        ("going", T.BOOL, ir.Shape([])),
        *(("state", x.dtype, state),) * 2,
    ]
    for stem, dtype, shape in kinds:
        name = hub.fresh_name(graph, stem)
        graph.inputs.append(ir.Value(name=name, type=ir.TensorType(dtype), shape=shape))
    step, going, before, out = graph.inputs
    made = _cell(inner, node, inner.Gather(x, step, axis=0), before, out, weights)
    close(graph, inner, [inner.Identity(going), made[1], made[6], *made])
    bodies = [ir.AttrGraph("body", graph)]
    count = scalar(op, int64_vector(op, steps))
    loop = ir.Node("", "Loop", [count, op.const(np.array(True)), c, h], bodies, num_outputs=9)
    for output in loop.outputs[2:]:
        output.type, output.shape = ir.TensorType(x.dtype), ir.Shape([None, *state])
    op.insert(loop)
    missing = op.Sub(op.Shape(x, start=0, end=1), int64_vector(op, steps))
    results = []
    for output in loop.outputs[2:]:
        whole = op.Pad(output, op.Concat(ints(0, 0, 0), missing, ints(0, 0), axis=0))
        whole.shape = ir.Shape([x.shape[0], *state])
        results.append(whole)
    return results
