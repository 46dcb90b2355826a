"""LSTM, GRU and RNN layers. In the direction `reverse`, Core ML's outputs stay in the order in which they
were computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.importing import attribute, ints, like
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.recurrent import GATES, PEEPHOLES, reorder
from bridge_coreml.import_ops.common import I64_MIN, IOS18

ops = OpTable()

ACTIVATIONS = {
    "sigmoid": ("Sigmoid", None, None),
    "tanh": ("Tanh", None, None),
    "relu": ("Relu", None, None),
    "linear": ("Affine", 1.0, 0.0),
    "hard_sigmoid": ("HardSigmoid", 0.2, 0.5),
    "sigmoid_hard": ("HardSigmoid", 0.2, 0.5),
}
KNOWN = tuple(ACTIVATIONS)
LSTM, GRU = "ifoc", "rhz"


def activations(*names: str, count: int = 1) -> dict[str, Any]:
    """Attributes activations, activation_alpha and activation_beta, repeated for every direction."""
    rows = [ACTIVATIONS[n] for n in names] * count
    attributes: dict[str, Any] = {"activations": [f[0] for f in rows]}
    if any(f[1] is not None for f in rows):
        attributes["activation_alpha"] = [f[1] for f in rows if f[1] is not None]
        attributes["activation_beta"] = [f[2] for f in rows if f[2] is not None]
    return attributes


def reverse_time(op: hub.Builder, x: ir.Value) -> Any:
    return op.Slice(x, ints(-1), ints(I64_MIN), ints(0), ints(-1))


def split_directions(op: hub.Builder, value: ir.Value, directions: int) -> Any:
    """Reshape a state [batch, directions * hidden] to [directions, batch, hidden]."""
    if directions == 1:
        return op.Unsqueeze(value, ints(0))
    return op.Concat(
        *(op.Unsqueeze(v, ints(0)) for v in op.Split(value, axis=1, num_outputs=2, _outputs=2)), axis=0
    )


def merge_directions(op: hub.Builder, value: ir.Value, directions: int, axis: int) -> Any:
    """Concatenate the two directions at `axis` along the last axis."""
    if directions == 1:
        return op.Squeeze(value, ints(axis))
    halves = op.Split(value, axis=axis, num_outputs=2, _outputs=2)
    return op.Concat(*(op.Squeeze(v, ints(axis)) for v in halves), axis=-1)


def layer_outputs(
    op: hub.Builder, node: Any, y: ir.Value, last: ir.Value, directions: int
) -> tuple[Any, Any]:
    """The output sequence, or its last step; then the last hidden state."""
    last_state = merge_directions(op, last, directions, 0)
    if node.get("output_sequence", False):
        return merge_directions(op, y, directions, 1), last_state
    return op.Unsqueeze(last_state, ints(0)), last_state


ACTIVATION_NEEDS = (
    attribute("recurrent_activation", *KNOWN),
    attribute("activation", *KNOWN, default="tanh"),
)


def clip_has_no_effect(node: Any) -> bool:
    """True if there is no clip, or the cell state cannot reach it: each step adds at most 1 in magnitude."""
    if not node.has("clip"):
        return True
    dims, initial_c = node.dims("x"), node.array("initial_c")
    is_bounded = (
        node.get("recurrent_activation", "sigmoid") == "sigmoid"
        and node.get("cell_activation", "tanh") == "tanh"
    )
    is_known = dims is not None and dims[0] is not None and initial_c is not None
    return is_bounded and is_known and np.abs(initial_c).max(initial=0) + dims[0] <= node.get("clip")


@ops.op(
    "lstm",
    needs=(
        *ACTIVATION_NEEDS,
        attribute("cell_activation", *KNOWN, default="tanh"),
        condition("no clip that the cell may reach", clip_has_no_effect),
    ),
)
def lstm(op, node, x, initial_h, initial_c):
    direction = node.get("direction", "forward")
    bidirectional = direction == "bidirectional"
    directions = 1 + bidirectional
    suffixes = ["", "_back"] if bidirectional else [""]

    def stacked(name, default_shape, source_order=LSTM, target_order=GATES["LSTM"]):
        arrays = [node.array(name + side) for side in suffixes]
        if all(v is None for v in arrays):
            return None
        return np.stack(
            [np.zeros(default_shape) if v is None else reorder(v, source_order, target_order) for v in arrays]
        )

    size = node.array("weight_hh").shape[1]
    bias = stacked("bias", 4 * size)
    peephole = stacked("peephole", 3 * size, "ifo", PEEPHOLES)
    if direction == "reverse":
        x = reverse_time(op, x)
    y, h, c = op.LSTM(
        x,
        like(op, x, stacked("weight_ih", 0)),
        like(op, x, stacked("weight_hh", 0)),
        None if bias is None else like(op, x, np.concatenate([bias, np.zeros_like(bias)], axis=1)),
        None,
        split_directions(op, initial_h, directions),
        split_directions(op, initial_c, directions),
        None if peephole is None else like(op, x, peephole),
        hidden_size=size,
        direction="bidirectional" if bidirectional else "forward",
        **activations(
            node.get("recurrent_activation", "sigmoid"),
            node.get("cell_activation", "tanh"),
            node.get("activation", "tanh"),
            count=directions,
        ),
        _outputs=3,
    )
    return *layer_outputs(op, node, y, h, directions), merge_directions(op, c, directions, 0)


def one_direction(
    op: hub.Builder,
    node: Any,
    x: ir.Value,
    initial_h: ir.Value,
    op_type: str,
    order: str,
    names: tuple[str, ...],
    **attributes: Any,
) -> tuple[Any, Any]:
    """One direction of a GRU or RNN."""
    if node.get("direction", "forward") == "reverse":
        x = reverse_time(op, x)
    weights = [reorder(node.array(n), order, GATES[op_type])[None] for n in ("weight_ih", "weight_hh")]
    size = weights[1].shape[2]
    zeros = np.zeros(len(order) * size)
    bias, input_bias = node.array("bias"), node.array("input_bias")
    reset_after = attributes.get("linear_before_reset")
    input_part, recurrent_part = (input_bias, bias) if reset_after else (bias, input_bias)
    biases = [zeros if b is None else reorder(b, order, GATES[op_type]) for b in (input_part, recurrent_part)]
    y, h = op.node(
        op_type,
        x,
        *(like(op, x, w) for w in weights),
        like(op, x, np.concatenate(biases)[None]),
        None,
        split_directions(op, initial_h, 1),
        hidden_size=size,
        **activations(*names),
        **attributes,
        _outputs=2,
    )
    return layer_outputs(op, node, y, h, 1)


@ops.op("gru", needs=ACTIVATION_NEEDS)
def gru(op, node, x, initial_h):
    names = (node.get("recurrent_activation", "sigmoid"), node.get("activation", "tanh"))
    reset_after = int(node.version >= IOS18 and node.get("reset_after", False))
    return one_direction(op, node, x, initial_h, "GRU", GRU, names, linear_before_reset=reset_after)


@ops.op("rnn", needs=(attribute("activation", *KNOWN, default="tanh"),))
def rnn(op, node, x, initial_h):
    return one_direction(op, node, x, initial_h, "RNN", "h", (node.get("activation", "tanh"),))
