"""Recurrent layers of cuDNN, which no CPU runs: layers of LSTM, GRU or RNN, their weights cut from one
vector."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bridge.hub import const
from bridge.importing import as_dtype, attribute, ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import T

ops = OpTable()

ORDER = {"lstm": [0, 3, 1, 2], "gru": [1, 0, 2], "rnn_tanh": [0], "rnn_relu": [0]}
OPERATOR = {"lstm": "LSTM", "gru": "GRU", "rnn_tanh": "RNN", "rnn_relu": "RNN"}


def _sizes(node: Any) -> tuple[int, int, int, int] | None:
    """Layers, directions, units, and the length of an input."""
    x, h = node.inputs[:2]
    if x.shape is None or h.shape is None:
        return None
    stack, units, length = list(h.shape)[not node.get("time_major", True)], list(h.shape)[2], list(x.shape)[2]
    both = 1 + (node.get("direction") == "bidirectional")
    known = all(isinstance(d, int) for d in (stack, units, length))
    return (stack // both, both, units, length) if known else None


class _Weights:
    """The vector of all weights, then of all biases, read from its beginning."""

    def __init__(self, op: Any, params: Any) -> None:
        self.op, self.params, self.place = op, params, 0

    def take(self, *shape: int) -> Any:
        since, self.place = self.place, self.place + math.prod(shape)
        known = const(self.params)
        if known is not None:
            return self.op.const(np.ascontiguousarray(known[since : self.place].reshape(shape)))
        return self.op.Reshape(self.op.Slice(self.params, ints(since), ints(self.place)), ints(*shape))

    def gates(self, order: list[int], *shape: int) -> Any:
        """The matrices or vectors of each gate, in the order ONNX has them, as one."""
        found = [self.take(*shape) for _ in order]
        return self.op.Concat(*(found[n] for n in order), axis=0) if len(found) > 1 else found[0]


def _layers(op: Any, mode: str, params: Any, sizes: tuple[int, int, int, int]) -> list[list[Any]]:
    """Input weights, recurrent weights and biases of each layer, for all its directions."""
    layers, both, units, length = sizes
    cut, order = _Weights(op, params), ORDER[mode]
    matrices = [
        [
            (cut.gates(order, units, length if layer == 0 else units * both), cut.gates(order, units, units))
            for _ in range(both)
        ]
        for layer in range(layers)
    ]
    biases = [
        [op.Concat(cut.gates(order, units), cut.gates(order, units), axis=0) for _ in range(both)]
        for _ in range(layers)
    ]

    def stacked(values: list[Any]) -> Any:
        parts = [op.Unsqueeze(v, ints(0)) for v in values]
        return op.Concat(*parts, axis=0) if len(parts) > 1 else parts[0]

    return [
        [stacked([w for w, _ in m]), stacked([r for _, r in m]), stacked(b)]
        for m, b in zip(matrices, biases, strict=True)
    ]


def _run(op: Any, mode: str, both: int, x: Any, weights: list[Any], lengths: Any, states: list[Any]) -> Any:
    """Outputs [steps, batch, directions · units], then the last states, of one layer."""
    more: dict[str, Any] = {"linear_before_reset": 1} if mode == "gru" else {}
    if mode == "rnn_relu":
        more["activations"] = ["Relu"] * both
    y, *last = op.node(
        OPERATOR[mode],
        x,
        *weights,
        lengths,
        *states,
        hidden_size=weights[1].shape[2],
        direction="bidirectional" if both == 2 else "forward",
        _outputs=1 + len(states),
        **more,
    )
    return op.Reshape(op.Transpose(y, perm=[0, 2, 1, 3]), ints(0, 0, -1)), last


NEEDS = (
    condition("inputs of known length and states of known size", _sizes),
    condition("no dropout", lambda n: not n.get("is_training") or not n.get("dropout")),
    attribute("input_mode", "linear_input"),
    condition("num_proj=0", lambda n: not n.get("num_proj")),
)


@ops.op("CudnnRNN", "CudnnRNNV2", "CudnnRNNV3", needs=NEEDS)
def cudnn_rnn(op, node, x, h, c, params, lengths=None):
    """Gates in cuDNN's order: input, forget, candidate, output; reset, update, candidate."""
    mode, sizes = node.get("rnn_mode"), _sizes(node)
    layers, both = sizes[:2]
    states = [h, c] if mode == "lstm" else [h]
    if not node.get("time_major", True):
        x, *states = (op.Transpose(v, perm=[1, 0, 2]) for v in (x, *states))
    lengths = None if lengths is None else as_dtype(op, lengths, T.INT32)
    kept: list[list[Any]] = []
    for n, weights in enumerate(_layers(op, mode, params, sizes)):
        own = [op.Slice(s, ints(n * both), ints((n + 1) * both), ints(0)) for s in states]
        x, last = _run(op, mode, both, x, weights, lengths, own)
        kept.append(last)
    found = [op.Concat(*parts, axis=0) if layers > 1 else parts[0] for parts in zip(*kept, strict=True)]
    if not node.get("time_major", True):
        x, *found = (op.Transpose(v, perm=[1, 0, 2]) for v in (x, *found))
    empty = [op.const(np.zeros(0, np.float32)) for _ in range(3)]
    return [x, *found, *empty][: node.outputs]


@ops.op("CudnnRNNCanonicalToParams", "CudnnRNNCanonicalToParamsV2")
def canonical_to_params(op, node, layers, units, length, *parts):
    return op.Concat(*(op.Reshape(p, ints(-1)) for p in parts), axis=0)
