"""LSTM, GRU and RNN layers of MIL."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import recurrent
from bridge.hub import attr, const, held, input_at, rank_of
from bridge.needs import attribute, condition, dtype
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import FLOAT, IOS17, IOS18, ints

ops = OpTable()

ACTIVATIONS = {"Sigmoid": "sigmoid", "Tanh": "tanh", "Relu": "relu"}
GATES = {"LSTM": "ifoc", "GRU": "rhz", "RNN": "h"}
PEEPHOLES = "ifo"
"""Orders of gates in Core ML, by the letters of `bridge.recurrent`."""


def activations(node: ir.Node) -> list[str] | None:
    """MIL names of the activations of one direction; None if directions differ or MIL lacks one."""
    first, *others = recurrent.activations(node)
    names = [ACTIVATIONS[n] for n in first if n in ACTIVATIONS]
    return names if len(names) == len(first) and all(each == first for each in others) else None


def is_supported_cell(node: ir.Node) -> bool:
    """True for constant weights, no sequence lengths and no clip."""
    weights = [input_at(node, i) for i in (1, 2, 3, 7)]
    constant_weights = all(v is None or held(v) is not None for v in weights)
    return (
        constant_weights
        and input_at(node, 4) is None
        and not attr(node, "clip")
        and not attr(node, "layout")
        and rank_of(node.inputs[0]) == 3
        and activations(node) is not None
    )


SUPPORTED_CELL = condition(
    "constant weights, no sequence lengths, no clip, activations Core ML has",
    is_supported_cell,
)
ONE_WAY = attribute("direction", "forward", "reverse", default="forward")


def initial_state(mil: Any, node: ir.Node, index: int, directions: int, hidden: int) -> Any:
    """Initial state, [batch, directions * hidden]; zeros where absent."""
    value, batch = input_at(node, index), list(node.inputs[0].shape or ())[1]
    if value is None and isinstance(batch, int):
        return np.zeros((batch, directions * hidden), mil.like(0, node.inputs[0]).dtype)
    if value is None:
        sizes = mil.slice_by_index(x=mil.shape(x=node.inputs[0]), begin=ints([1]), end=ints([2]))
        shape = mil.concat(values=[sizes, ints([directions * hidden])], axis=0)
        return mil.fill(shape=shape, value=mil.like(0, node.inputs[0]))
    if directions == 1:
        return mil.squeeze(x=value, axes=ints([0]))
    halves = mil.split(x=value, num_splits=2, axis=0)
    return mil.concat(values=[mil.squeeze(x=p, axes=ints([0])) for p in halves], axis=-1)


def split_directions(mil: Any, value: Any, directions: int, axis: int) -> Any:
    """Split the last dimension into directions, stacked at a new `axis`."""
    if directions == 1:
        return mil.expand_dims(x=value, axes=ints([axis]))
    halves = mil.split(x=value, num_splits=2, axis=-1)
    return mil.stack(values=list(halves), axis=axis)


def direction_weights(node: ir.Node, dtype: Any) -> list[dict[str, np.ndarray]]:
    """MIL parameters weight_ih, weight_hh and bias of each direction, gates in MIL's order."""
    w, r = (np.asarray(const(node.inputs[i])) for i in (1, 2))
    b = const(input_at(node, 3))
    order = recurrent.GATES[node.op_type], GATES[node.op_type]
    by_direction = []
    for d in range(w.shape[0]):
        parameters = {
            "weight_ih": recurrent.reorder(w[d], *order),
            "weight_hh": recurrent.reorder(r[d], *order),
        }
        if b is not None:
            parameters["bias"] = recurrent.reorder(b[d, : b.shape[1] // 2] + b[d, b.shape[1] // 2 :], *order)
        by_direction.append({n: np.ascontiguousarray(v).astype(dtype) for n, v in parameters.items()})
    return by_direction


@ops.op("LSTM", needs=(dtype("float"), SUPPORTED_CELL, attribute("input_forget", 0)))
@ops.op("LSTM", since=IOS17, needs=(FLOAT, SUPPORTED_CELL, attribute("input_forget", 0)))
def lstm(mil, node, x, *rest):
    numpy_dtype, direction = mil.like(0, x).dtype, attr(node, "direction")
    bidirectional = direction == "bidirectional"
    directions = direction_weights(node, numpy_dtype)
    hidden = directions[0]["weight_hh"].shape[1]
    arguments = dict(directions[0])
    if bidirectional:
        arguments.update({f"{n}_back": v for n, v in directions[1].items()})
    peephole = input_at(node, 7)
    if peephole is not None:
        for suffix, array in zip(("", "_back"), const(peephole), strict=False):
            ordered = recurrent.reorder(array, recurrent.PEEPHOLES, PEEPHOLES)
            arguments[f"peephole{suffix}"] = ordered.astype(numpy_dtype)
    gate, cell, out = activations(node)
    y, h, c = mil.lstm(
        x=reverse_if_backward(mil, x, direction),
        initial_h=initial_state(mil, node, 5, 1 + bidirectional, hidden),
        initial_c=initial_state(mil, node, 6, 1 + bidirectional, hidden),
        **arguments,
        direction="bidirectional" if bidirectional else "forward",
        output_sequence=True,
        recurrent_activation=gate,
        cell_activation=cell,
        activation=out,
    )
    y = reverse_if_backward(mil, y, direction)
    return (
        split_directions(mil, y, 1 + bidirectional, 1),
        split_directions(mil, h, 1 + bidirectional, 0),
        split_directions(mil, c, 1 + bidirectional, 0),
    )


def reverse_if_backward(mil: Any, value: Any, direction: str) -> Any:
    """Reverse the time axis for the direction `reverse`."""
    return mil.reverse(x=value, axes=ints([0])) if direction == "reverse" else value


@ops.op(
    "GRU", since=IOS18, needs=(dtype("float"), SUPPORTED_CELL, ONE_WAY, attribute("linear_before_reset", 1))
)
@ops.op("GRU", needs=(dtype("float"), SUPPORTED_CELL, ONE_WAY, attribute("linear_before_reset", 0)))
def gru(mil, node, x, *rest):
    numpy_dtype, direction = mil.like(0, x).dtype, attr(node, "direction")
    parameters = direction_weights(node, numpy_dtype)[0]
    if attr(node, "linear_before_reset"):
        parameters |= {"reset_after": True, **separate_biases(node, numpy_dtype)}
    gate, out = activations(node)
    y, h = mil.gru(
        x=reverse_if_backward(mil, x, direction),
        initial_h=initial_state(mil, node, 5, 1, parameters["weight_hh"].shape[1]),
        **parameters,
        output_sequence=True,
        recurrent_activation=gate,
        activation=out,
    )
    return split_directions(mil, reverse_if_backward(mil, y, direction), 1, 1), split_directions(mil, h, 1, 0)


def separate_biases(node: ir.Node, dtype: Any) -> dict[str, np.ndarray]:
    """MIL parameters input_bias, which is added to the projected input, and bias, to the projected state."""
    biases = const(input_at(node, 3))
    if biases is None:
        return {}
    order = recurrent.GATES["GRU"], GATES["GRU"]
    halves = np.split(biases[0], 2)
    return {
        n: recurrent.reorder(v, *order).astype(dtype)
        for n, v in zip(("input_bias", "bias"), halves, strict=True)
    }


@ops.op("RNN", needs=(dtype("float"), SUPPORTED_CELL, ONE_WAY))
def rnn(mil, node, x, *rest):
    numpy_dtype, direction = mil.like(0, x).dtype, attr(node, "direction")
    parameters = direction_weights(node, numpy_dtype)[0]
    (out,) = activations(node)
    y, h = mil.rnn(
        x=reverse_if_backward(mil, x, direction),
        initial_h=initial_state(mil, node, 5, 1, parameters["weight_hh"].shape[1]),
        **parameters,
        output_sequence=True,
        activation=out,
    )
    return split_directions(mil, reverse_if_backward(mil, y, direction), 1, 1), split_directions(mil, h, 1, 0)
