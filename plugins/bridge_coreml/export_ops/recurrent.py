"""LSTM, GRU and RNN layers as Core ML has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import recurrent
from bridge.hub import attr, const, input_at
from bridge.needs import attribute, condition, dtype
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import FLOAT, IOS17, ints

ops = OpTable()

ACTIVATIONS = {"Sigmoid": "sigmoid", "Tanh": "tanh", "Relu": "relu"}
GATES = {"LSTM": "ifoc", "GRU": "rhz", "RNN": "h"}
PEEPHOLES = "ifo"
"""Orders of gates in Core ML, by the letters of `bridge.recurrent`."""


def activations(node: ir.Node) -> list[str] | None:
    """Names of the activations of one direction, the same in both; None for ones Core ML has not."""
    first, *others = recurrent.activations(node)
    names = [ACTIVATIONS[n] for n in first if n in ACTIVATIONS]
    return names if len(names) == len(first) and all(each == first for each in others) else None


def is_plain(node: ir.Node) -> bool:
    """Constant weights, no lengths, a known batch, no clipping."""
    weights = [input_at(node, i) for i in (1, 2, 3, 7)]
    known = all(v is None or const(v) is not None for v in weights)
    shape = node.inputs[0].shape
    return (
        known
        and input_at(node, 4) is None
        and not attr(node, "clip")
        and not attr(node, "layout")
        and shape is not None
        and isinstance(shape[1], int)
        and activations(node) is not None
    )


PLAIN = condition(
    "constant weights, a known batch, no sequence lengths, no clip, activations Core ML has", is_plain
)
ONE_WAY = attribute("direction", "forward", "reverse", default="forward")


def start(mil: Any, node: ir.Node, index: int, directions: int, hidden: int) -> Any:
    """An initial state as [batch, directions·hidden]."""
    value, batch = input_at(node, index), list(node.inputs[0].shape or ())[1]
    if value is None:
        return np.zeros((batch, directions * hidden), mil.like(0, node.inputs[0]).dtype)
    if directions == 1:
        return mil.squeeze(x=value, axes=ints([0]))
    parts = mil.split(x=value, num_splits=2, axis=0)
    return mil.concat(values=[mil.squeeze(x=p, axes=ints([0])) for p in parts], axis=-1)


def apart(mil: Any, made: Any, directions: int, axis: int) -> Any:
    """The last dimension split into directions, which get a dimension of their own at `axis`."""
    if directions == 1:
        return mil.expand_dims(x=made, axes=ints([axis]))
    parts = mil.split(x=made, num_splits=2, axis=-1)
    return mil.stack(values=list(parts), axis=axis)


def weights(node: ir.Node, kind: Any) -> list[dict[str, np.ndarray]]:
    """Per direction: weights and biases with the gates in Core ML's order."""
    w, r = (np.asarray(const(node.inputs[i])) for i in (1, 2))
    b = const(input_at(node, 3))
    order = recurrent.GATES[node.op_type], GATES[node.op_type]
    found = []
    for d in range(w.shape[0]):
        made = {"weight_ih": recurrent.reorder(w[d], *order), "weight_hh": recurrent.reorder(r[d], *order)}
        if b is not None:
            made["bias"] = recurrent.reorder(b[d, : b.shape[1] // 2] + b[d, b.shape[1] // 2 :], *order)
        found.append({n: np.ascontiguousarray(v).astype(kind) for n, v in made.items()})
    return found


@ops.op("LSTM", needs=(dtype("float"), PLAIN, attribute("input_forget", 0)))
@ops.op("LSTM", since=IOS17, needs=(FLOAT, PLAIN, attribute("input_forget", 0)))
def lstm(mil, node, x, *rest):
    kind, direction = mil.like(0, x).dtype, attr(node, "direction")
    both = direction == "bidirectional"
    sides = weights(node, kind)
    hidden = sides[0]["weight_hh"].shape[1]
    arguments = dict(sides[0])
    if both:
        arguments.update({f"{n}_back": v for n, v in sides[1].items()})
    peephole = input_at(node, 7)
    if peephole is not None:
        for side, array in zip(("", "_back"), const(peephole), strict=False):
            ordered = recurrent.reorder(array, recurrent.PEEPHOLES, PEEPHOLES)
            arguments[f"peephole{side}"] = ordered.astype(kind)
    gate, cell, out = activations(node)
    y, h, c = mil.lstm(
        x=in_direction(mil, x, direction),
        initial_h=start(mil, node, 5, 1 + both, hidden),
        initial_c=start(mil, node, 6, 1 + both, hidden),
        **arguments,
        direction="bidirectional" if both else "forward",
        output_sequence=True,
        recurrent_activation=gate,
        cell_activation=cell,
        activation=out,
    )
    y = in_direction(mil, y, direction)
    return apart(mil, y, 1 + both, 1), apart(mil, h, 1 + both, 0), apart(mil, c, 1 + both, 0)


def in_direction(mil: Any, value: Any, direction: str) -> Any:
    """In the direction reverse, the sequence from its end."""
    return mil.reverse(x=value, axes=ints([0])) if direction == "reverse" else value


@ops.op("GRU", needs=(dtype("float"), PLAIN, ONE_WAY, attribute("linear_before_reset", 0)))
def gru(mil, node, x, *rest):
    kind, direction = mil.like(0, x).dtype, attr(node, "direction")
    given = weights(node, kind)[0]
    gate, out = activations(node)
    y, h = mil.gru(
        x=in_direction(mil, x, direction),
        initial_h=start(mil, node, 5, 1, given["weight_hh"].shape[1]),
        **given,
        output_sequence=True,
        recurrent_activation=gate,
        activation=out,
    )
    return apart(mil, in_direction(mil, y, direction), 1, 1), apart(mil, h, 1, 0)


@ops.op("RNN", needs=(dtype("float"), PLAIN, ONE_WAY))
def rnn(mil, node, x, *rest):
    kind, direction = mil.like(0, x).dtype, attr(node, "direction")
    given = weights(node, kind)[0]
    (out,) = activations(node)
    y, h = mil.rnn(
        x=in_direction(mil, x, direction),
        initial_h=start(mil, node, 5, 1, given["weight_hh"].shape[1]),
        **given,
        output_sequence=True,
        activation=out,
    )
    return apart(mil, in_direction(mil, y, direction), 1, 1), apart(mil, h, 1, 0)
