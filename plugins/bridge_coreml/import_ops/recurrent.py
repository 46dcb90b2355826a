"""LSTM, GRU and RNN layers. Core ML leaves the results of the direction `reverse` in the order they were
computed."""

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
    """The hub's attributes for activations by name, repeated for every direction."""
    found = [ACTIVATIONS[n] for n in names] * count
    attributes: dict[str, Any] = {"activations": [f[0] for f in found]}
    if any(f[1] is not None for f in found):
        attributes["activation_alpha"] = [f[1] for f in found if f[1] is not None]
        attributes["activation_beta"] = [f[2] for f in found if f[2] is not None]
    return attributes


def reversed_time(op: hub.Builder, x: ir.Value) -> Any:
    return op.Slice(x, ints(-1), ints(I64_MIN), ints(0), ints(-1))


def states(op: hub.Builder, value: ir.Value, directions: int) -> Any:
    """[batch, directions·H] as [directions, batch, H]."""
    if directions == 1:
        return op.Unsqueeze(value, ints(0))
    return op.Concat(
        *(op.Unsqueeze(v, ints(0)) for v in op.Split(value, axis=1, num_outputs=2, _outputs=2)), axis=0
    )


def joined(op: hub.Builder, value: ir.Value, directions: int, axis: int) -> Any:
    """A dimension of directions at `axis` joined into the last one."""
    if directions == 1:
        return op.Squeeze(value, ints(axis))
    parts = op.Split(value, axis=axis, num_outputs=2, _outputs=2)
    return op.Concat(*(op.Squeeze(v, ints(axis)) for v in parts), axis=-1)


def results(op: hub.Builder, node: Any, y: ir.Value, last: ir.Value, directions: int) -> tuple[Any, Any]:
    """The sequence or its last step, then the last state."""
    final = joined(op, last, directions, 0)
    if node.get("output_sequence", False):
        return joined(op, y, directions, 1), final
    return op.Unsqueeze(final, ints(0)), final


NEEDS = (
    attribute("recurrent_activation", *KNOWN),
    attribute("activation", *KNOWN, default="tanh"),
)


def unclipped(node: Any) -> bool:
    """No clip, or one that the cell cannot reach: every step adds at most 1 to it."""
    if not node.has("clip"):
        return True
    dims, start = node.dims("x"), node.array("initial_c")
    bounded = (
        node.get("recurrent_activation", "sigmoid") == "sigmoid"
        and node.get("cell_activation", "tanh") == "tanh"
    )
    known = dims is not None and dims[0] is not None and start is not None
    return bounded and known and np.abs(start).max(initial=0) + dims[0] <= node.get("clip")


@ops.op(
    "lstm",
    needs=(
        *NEEDS,
        attribute("cell_activation", *KNOWN, default="tanh"),
        condition("no clip that the cell may reach", unclipped),
    ),
)
def lstm(op, node, x, initial_h, initial_c):
    direction = node.get("direction", "forward")
    both = direction == "bidirectional"
    count = 1 + both
    sides = ["", "_back"] if both else [""]

    def stacked(name, missing, before=LSTM, after=GATES["LSTM"]):
        found = [node.array(name + side) for side in sides]
        if all(v is None for v in found):
            return None
        return np.stack([np.zeros(missing) if v is None else reorder(v, before, after) for v in found])

    size = node.array("weight_hh").shape[1]
    bias = stacked("bias", 4 * size)
    peephole = stacked("peephole", 3 * size, "ifo", PEEPHOLES)
    if direction == "reverse":
        x = reversed_time(op, x)
    y, h, c = op.LSTM(
        x,
        like(op, x, stacked("weight_ih", 0)),
        like(op, x, stacked("weight_hh", 0)),
        None if bias is None else like(op, x, np.concatenate([bias, np.zeros_like(bias)], axis=1)),
        None,
        states(op, initial_h, count),
        states(op, initial_c, count),
        None if peephole is None else like(op, x, peephole),
        hidden_size=size,
        direction="bidirectional" if both else "forward",
        **activations(
            node.get("recurrent_activation", "sigmoid"),
            node.get("cell_activation", "tanh"),
            node.get("activation", "tanh"),
            count=count,
        ),
        _outputs=3,
    )
    return *results(op, node, y, h, count), joined(op, c, count, 0)


def single(
    op: hub.Builder,
    node: Any,
    x: ir.Value,
    initial_h: ir.Value,
    kind: str,
    order: str,
    names: tuple[str, ...],
    **more: Any,
) -> tuple[Any, Any]:
    """One direction of a GRU or RNN."""
    if node.get("direction", "forward") == "reverse":
        x = reversed_time(op, x)
    weights = [reorder(node.array(n), order, GATES[kind])[None] for n in ("weight_ih", "weight_hh")]
    size = weights[1].shape[2]
    zeros = np.zeros(len(order) * size)
    own, other = node.array("bias"), node.array("input_bias")
    after = more.get("linear_before_reset")
    given, inner = (other, own) if after else (own, other)
    biases = [zeros if b is None else reorder(b, order, GATES[kind]) for b in (given, inner)]
    y, h = op.node(
        kind,
        x,
        *(like(op, x, w) for w in weights),
        like(op, x, np.concatenate(biases)[None]),
        None,
        states(op, initial_h, 1),
        hidden_size=size,
        **activations(*names),
        **more,
        _outputs=2,
    )
    return results(op, node, y, h, 1)


@ops.op("gru", needs=NEEDS)
def gru(op, node, x, initial_h):
    names = (node.get("recurrent_activation", "sigmoid"), node.get("activation", "tanh"))
    after = int(node.version >= IOS18 and node.get("reset_after", False))
    return single(op, node, x, initial_h, "GRU", GRU, names, linear_before_reset=after)


@ops.op("rnn", needs=(attribute("activation", *KNOWN, default="tanh"),))
def rnn(op, node, x, initial_h):
    return single(op, node, x, initial_h, "RNN", "h", (node.get("activation", "tanh"),))
