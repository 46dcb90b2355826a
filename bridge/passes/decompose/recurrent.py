"""Recurrences of a static length as the operators of their steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr
from bridge.ops import OpTable

ops = OpTable("decomposition: recurrent")


@ops.op("LSTM")
def unroll(
    op: Any,
    node: ir.Node,
    x: Any,
    w: Any,
    r: Any,
    b: Any = None,
    lengths: Any = None,
    h: Any = None,
    c: Any = None,
    p: Any = None,
) -> Any:
    """LSTM over a static number of steps, step by step (ONNX operator LSTM).

    Not taken: sequence_lens, other activations than the default ones, clip, peepholes, a dynamic length.
    """
    batch_first = attr(node, "layout", 0) == 1
    steps = x.shape[1 if batch_first else 0] if x.shape is not None else None
    direction = attr(node, "direction", "forward")
    count = 2 if direction == "bidirectional" else 1
    activations = [a.lower() for a in attr(node, "activations") or ["sigmoid", "tanh", "tanh"] * count]
    plain = (
        activations == ["sigmoid", "tanh", "tanh"] * count
        and attr(node, "clip") is None
        and not attr(node, "input_forget", 0)
    )
    if not isinstance(steps, int) or lengths is not None or p is not None or not plain or w.shape is None:
        return NotImplemented
    if batch_first:
        x, h, c = (None if v is None else op.Transpose(v, perm=[1, 0, 2]) for v in (x, h, c))
    results = [
        _direction(
            op, node, x, [_pick(op, v, d) for v in (w, r, b, h, c)], steps, d == 1 or direction == "reverse"
        )
        for d in range(count)
    ]
    y = op.Concat(*[outputs for outputs, _, _ in results], axis=1) if count > 1 else results[0][0]
    last = [op.Concat(*[op.Unsqueeze(r[i], axis(op, 0)) for r in results], axis=0) for i in (1, 2)]
    if batch_first:
        return op.Transpose(y, perm=[2, 0, 1, 3]), *(op.Transpose(v, perm=[1, 0, 2]) for v in last)
    return y, *last


def axis(op: Any, *axes: int) -> ir.Value:
    return op.const(np.array(axes, np.int64))


def _pick(op: Any, value: Any, index: int) -> Any:
    return None if value is None else op.Gather(value, op.const(np.array(index, np.int64)), axis=0)


def _direction(op: Any, node: ir.Node, x: Any, parts: list, steps: int, reverse: bool) -> tuple:
    w, r, b, h, c = parts
    size = attr(node, "hidden_size") or r.shape[-1]
    gates = op.MatMul(x, op.Transpose(w, perm=[1, 0]))
    if b is not None:
        input_bias, recurrent_bias = op.Split(b, axis=0, num_outputs=2, _outputs=2)
        gates = op.Add(gates, op.Add(input_bias, recurrent_bias))
    recurrence = op.Transpose(r, perm=[1, 0])
    inputs = op.Split(gates, axis=0, num_outputs=steps, _outputs=steps) if steps > 1 else (gates,)
    if h is None or c is None:
        zero = op.Mul(
            op.Slice(op.Squeeze(inputs[0], axis(op, 0)), axis(op, 0), axis(op, size), axis(op, 1)), 0.0
        )
        h, c = (zero if v is None else v for v in (h, c))
    outputs: list[Any] = [None] * steps
    for t in range(steps)[::-1] if reverse else range(steps):
        total = op.Add(op.Squeeze(inputs[t], axis(op, 0)), op.MatMul(h, recurrence))
        i, o, f, g = op.Split(total, axis=-1, num_outputs=4, _outputs=4)
        c = op.Add(op.Mul(op.Sigmoid(f), c), op.Mul(op.Sigmoid(i), op.Tanh(g)))
        h = op.Mul(op.Sigmoid(o), op.Tanh(c))
        outputs[t] = op.Unsqueeze(h, axis(op, 0, 1))
    return (op.Concat(*outputs, axis=0) if steps > 1 else outputs[0]), h, c
