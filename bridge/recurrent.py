"""The gates of recurrent cells, by letters, and their activations
(https://onnx.ai/onnx/operators/onnx__LSTM.html, …GRU, …RNN).

Letters of LSTM: i input, o output, f forget, c cell; of GRU: z update, r reset, h hidden; of RNN: h hidden.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr

__all__ = ["DEFAULT_ACTIVATIONS", "GATES", "PEEPHOLES", "activations", "order", "reorder"]

GATES = {"LSTM": "iofc", "GRU": "zrh", "RNN": "h"}
"""The order of gates along the first axis of a direction's weights, recurrent weights and biases in the hub.
"""

PEEPHOLES = "iof"

DEFAULT_ACTIVATIONS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}


def order(before: str, after: str) -> list[int]:
    """Places in `before` of the gates of `after`."""
    return [before.index(gate) for gate in after]


def reorder(array: np.ndarray, before: str, after: str) -> np.ndarray:
    """Gates along the first axis, one block each, from the order `before` into the order `after`."""
    blocks = np.split(array, len(before))
    return np.concatenate([blocks[place] for place in order(before, after)])


def activations(node: ir.Node) -> list[list[str]]:
    """Names of the activations of each direction of an LSTM, GRU or RNN, as ONNX spells the defaults."""
    usual = DEFAULT_ACTIVATIONS[node.op_type]
    directions = 2 if attr(node, "direction") == "bidirectional" else 1
    attribute = node.attributes.get("activations")
    names = list(attribute.as_strings()) if attribute is not None else usual * directions
    return [names[d * len(usual) : (d + 1) * len(usual)] for d in range(directions)]
