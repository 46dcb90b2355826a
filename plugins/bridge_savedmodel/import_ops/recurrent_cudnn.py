"""Recurrent layers of cuDNN, which has no CPU kernel: LSTM, GRU or RNN layers, their weights sliced from one
vector."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bridge.hub import const
from bridge.importing import as_dtype, attribute, ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.recurrent import GATES as HUB_GATES
from bridge.recurrent import order as gate_order
from bridge_savedmodel.import_ops.common import T

ops = OpTable()

OPERATOR = {"lstm": "LSTM", "gru": "GRU", "rnn_tanh": "RNN", "rnn_relu": "RNN"}
GATES = {"LSTM": "ifco", "GRU": "rzh", "RNN": "h"}
"""cuDNN's order of gates, by the letters of bridge.recurrent."""


def _layer_sizes(node: Any) -> tuple[int, int, int, int] | None:
    """Number of layers, directions, units, and input features."""
    x, h = node.inputs[:2]
    if x.shape is None or h.shape is None:
        return None
    stack, units, length = list(h.shape)[not node.get("time_major", True)], list(h.shape)[2], list(x.shape)[2]
    directions = 1 + (node.get("direction") == "bidirectional")
    is_static = all(isinstance(d, int) for d in (stack, units, length))
    return (stack // directions, directions, units, length) if is_static else None


class _Weights:
    """The vector of all weights, then all biases, read from its beginning."""

    def __init__(self, op: Any, params: Any) -> None:
        self.op, self.params, self.place = op, params, 0

    def take(self, *shape: int) -> Any:
        since, self.place = self.place, self.place + math.prod(shape)
        known = const(self.params)
        if known is not None:
            return self.op.const(np.ascontiguousarray(known[since : self.place].reshape(shape)))
        return self.op.Reshape(self.op.Slice(self.params, ints(since), ints(self.place)), ints(*shape))

    def gates(self, order: list[int], *shape: int) -> Any:
        """Matrices or vectors of all gates, concatenated in ONNX's order."""
        blocks = [self.take(*shape) for _ in order]
        return self.op.Concat(*(blocks[n] for n in order), axis=0) if len(blocks) > 1 else blocks[0]


def _layer_weights(op: Any, mode: str, params: Any, sizes: tuple[int, int, int, int]) -> list[list[Any]]:
    """W, R and B of each layer, over its directions."""
    layers, directions, units, length = sizes
    reader, order = _Weights(op, params), gate_order(GATES[OPERATOR[mode]], HUB_GATES[OPERATOR[mode]])
    matrices = [
        [
            (
                reader.gates(order, units, length if layer == 0 else units * directions),
                reader.gates(order, units, units),
            )
            for _ in range(directions)
        ]
        for layer in range(layers)
    ]
    biases = [
        [op.Concat(reader.gates(order, units), reader.gates(order, units), axis=0) for _ in range(directions)]
        for _ in range(layers)
    ]

    def stack_directions(values: list[Any]) -> Any:
        rows = [op.Unsqueeze(v, ints(0)) for v in values]
        return op.Concat(*rows, axis=0) if len(rows) > 1 else rows[0]

    return [
        [stack_directions([w for w, _ in m]), stack_directions([r for _, r in m]), stack_directions(b)]
        for m, b in zip(matrices, biases, strict=True)
    ]


def _run_layer(
    op: Any, mode: str, directions: int, x: Any, weights: list[Any], lengths: Any, states: list[Any]
) -> Any:
    """Y [steps, batch, directions · units] and the last states of one layer."""
    attributes: dict[str, Any] = {"linear_before_reset": 1} if mode == "gru" else {}
    if mode == "rnn_relu":
        attributes["activations"] = ["Relu"] * directions
    y, *last = op.node(
        OPERATOR[mode],
        x,
        *weights,
        lengths,
        *states,
        hidden_size=weights[1].shape[2],
        direction="bidirectional" if directions == 2 else "forward",
        _outputs=1 + len(states),
        **attributes,
    )
    return op.Reshape(op.Transpose(y, perm=[0, 2, 1, 3]), ints(0, 0, -1)), last


NEEDS = (
    condition("inputs of known length and states of known size", _layer_sizes),
    condition("no dropout", lambda n: not n.get("is_training") or not n.get("dropout")),
    attribute("input_mode", "linear_input"),
    condition("num_proj=0", lambda n: not n.get("num_proj")),
)


@ops.op("CudnnRNN", "CudnnRNNV2", "CudnnRNNV3", needs=NEEDS)
def cudnn_rnn(op, node, x, h, c, params, lengths=None):
    """Layers in turn; cuDNN's gates are input, forget, candidate, output (LSTM) or reset, update, candidate
    (GRU)."""
    mode, sizes = node.get("rnn_mode"), _layer_sizes(node)
    layers, directions = sizes[:2]
    states = [h, c] if mode == "lstm" else [h]
    if not node.get("time_major", True):
        x, *states = (op.Transpose(v, perm=[1, 0, 2]) for v in (x, *states))
    lengths = None if lengths is None else as_dtype(op, lengths, T.INT32)
    last_states: list[list[Any]] = []
    for n, weights in enumerate(_layer_weights(op, mode, params, sizes)):
        initial = [op.Slice(s, ints(n * directions), ints((n + 1) * directions), ints(0)) for s in states]
        x, last = _run_layer(op, mode, directions, x, weights, lengths, initial)
        last_states.append(last)
    final_states = [
        op.Concat(*per_layer, axis=0) if layers > 1 else per_layer[0]
        for per_layer in zip(*last_states, strict=True)
    ]
    if not node.get("time_major", True):
        x, *final_states = (op.Transpose(v, perm=[1, 0, 2]) for v in (x, *final_states))
    empty = [op.const(np.zeros(0, np.float32)) for _ in range(3)]
    return [x, *final_states, *empty][: node.output_count]


@ops.op("CudnnRNNCanonicalToParams", "CudnnRNNCanonicalToParamsV2")
def canonical_to_params(op, node, layers, units, length, *params):
    return op.Concat(*(op.Reshape(p, ints(-1)) for p in params), axis=0)
