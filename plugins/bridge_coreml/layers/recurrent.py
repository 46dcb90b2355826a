"""Recurrent layers over sequences [sequence, batch, vector, 1, 1]. In reverse, outputs stay in the order in
which they were computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.importing import ints
from bridge.ops import OpTable
from bridge.recurrent import GATES, PEEPHOLES
from bridge_coreml.layers.common import I64_MIN, need, rank_of, reshape, weight

ops = OpTable()

ACTIVATIONS = {
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "ReLU": "Relu",
    "linear": "Affine",
    "sigmoidHard": "HardSigmoid",
    "scaledTanh": "ScaledTanh",
}
DEFAULTS = {"linear": (1.0, 0.0), "sigmoidHard": (0.2, 0.5), "scaledTanh": (1.0, 1.0)}
CLIP = 50.0


def are_known(messages: Any) -> bool:
    return all(m.WhichOneof("NonlinearityType") in ACTIVATIONS for m in messages)


def activations(messages: Any) -> dict[str, Any]:
    """Attributes activations, activation_alpha and activation_beta."""
    names = [m.WhichOneof("NonlinearityType") for m in messages]
    parameters = [
        with_default_parameters(m)
        for m, k in zip(messages, names, strict=True)
        if k in ("linear", "sigmoidHard", "scaledTanh")
    ]
    attributes = {"activations": [ACTIVATIONS[k] for k in names]}
    if parameters:
        attributes["activation_alpha"] = [n.alpha for n in parameters]
        attributes["activation_beta"] = [n.beta for n in parameters]
    return attributes


def with_default_parameters(message: Any) -> Any:
    """Parameters of an activation; Core ML's defaults where the file has none, as coremltools writes it."""
    name = message.WhichOneof("NonlinearityType")
    parameters = getattr(message, name)
    if name not in DEFAULTS or parameters.alpha or parameters.beta:
        return parameters
    return type(parameters)(alpha=DEFAULTS[name][0], beta=DEFAULTS[name][1])


def as_sequence(op: hub.Builder, x: ir.Value, reverse: bool = False) -> Any:
    """Squeeze a blob of rank 5 to [sequence, batch, vector]; in reverse order if `reverse`."""
    values = op.Squeeze(x, ints(3, 4)) if rank_of(x) == 5 else x
    return op.Slice(values, ints(-1), ints(I64_MIN), ints(0), ints(-1)) if reverse else values


def initial_state(op: hub.Builder, value: ir.Value | None, size: int) -> Any:
    """Initial state, [1, batch, size]."""
    if value is None:
        return None
    return reshape(op, value, [1, -1, size]) if rank_of(value) != 3 else value


def as_blob(op: hub.Builder, value: ir.Value, like: ir.Value) -> Any:
    """Unsqueeze [sequence, batch, vector] to the rank of the input."""
    return op.Unsqueeze(value, ints(3, 4)) if rank_of(like) == 5 else value


def output_blob(op: hub.Builder, x: ir.Value, y: ir.Value, last: ir.Value, is_sequence: bool) -> Any:
    return as_blob(op, y, x) if is_sequence else as_blob(op, last, x)


SIMPLE = (need("an activation the hub has", lambda p: are_known([p.activation])),)


@ops.op("simpleRecurrent", needs=SIMPLE)
def simple_recurrent(op, layer, x, h=None):
    p = layer.params
    size, count = int(p.outputVectorSize), int(p.inputVectorSize)
    bias = weight(p.biasVector, [size]) if p.hasBiasVector else np.zeros(size, np.float32)
    y, last = op.RNN(
        as_sequence(op, x, p.reverseInput),
        op.const(weight(p.weightMatrix, [1, size, count])),
        op.const(weight(p.recursionMatrix, [1, size, size])),
        op.const(np.concatenate([bias, np.zeros_like(bias)])[None]),
        None,
        initial_state(op, h, size),
        hidden_size=size,
        **activations([p.activation]),
        clip=CLIP,
        _outputs=2,
    )
    return output_blob(op, x, op.Squeeze(y, ints(1)), last, p.sequenceOutput), as_blob(op, last, x)


@ops.op("gru", needs=(need("activations the hub has", lambda p: are_known(p.activations)),))
def gru(op, layer, x, h=None):
    p = layer.params
    size, count = int(p.outputVectorSize), int(p.inputVectorSize)
    gates = [GRU[letter] for letter in GATES["GRU"]]
    w, r = (
        np.concatenate([weight(getattr(p, f"{g}Gate{field}Matrix"), [size, n]) for g in gates])[None]
        for field, n in (("Weight", count), ("Recursion", size))
    )
    if p.hasBiasVectors:
        bias = np.concatenate([weight(getattr(p, f"{g}GateBiasVector"), [size]) for g in gates])
    else:
        bias = np.zeros(3 * size, np.float32)
    y, last = op.GRU(
        as_sequence(op, x, p.reverseInput),
        op.const(w),
        op.const(r),
        op.const(np.concatenate([bias, np.zeros_like(bias)])[None]),
        None,
        initial_state(op, h, size),
        hidden_size=size,
        **activations(p.activations),
        clip=CLIP,
        _outputs=2,
    )
    return output_blob(op, x, op.Squeeze(y, ints(1)), last, p.sequenceOutput), as_blob(op, last, x)


GRU = {"z": "update", "r": "reset", "h": "output"}
LSTM = {"i": "input", "o": "output", "f": "forget", "c": "block"}


def direction_weights(
    p: Any, params: Any, size: int, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """W [4 * size, count], R [4 * size, size], B [8 * size] and peepholes of one direction, in ONNX's
    order of gates."""

    def matrix(gate: str, field: str) -> Any:
        name = "blockInput" if gate == "c" else f"{LSTM[gate]}Gate"
        return getattr(p, f"{name}{field}")

    w = np.concatenate([weight(matrix(g, "WeightMatrix"), [size, count]) for g in GATES["LSTM"]])
    r = np.concatenate([weight(matrix(g, "RecursionMatrix"), [size, size]) for g in GATES["LSTM"]])
    bias = np.zeros((4, size), np.float32)
    if params.hasBiasVectors:
        bias = np.stack([weight(matrix(g, "BiasVector"), [size]) for g in GATES["LSTM"]])
    if params.forgetBias:
        bias[GATES["LSTM"].index("f")] += 1
    peephole = None
    if params.hasPeepholeVectors:
        peephole = np.concatenate([weight(matrix(g, "PeepholeVector"), [size]) for g in PEEPHOLES])
    return w, r, np.concatenate([bias.ravel(), np.zeros(4 * size, np.float32)]), peephole


def clip_has_no_effect(p: Any) -> bool:
    """True if the clip of the cell has no effect; ONNX clips the inputs of activations instead."""
    return p.params.cellClipThreshold == 0 or p.params.cellClipThreshold >= CLIP


def lstm(
    op: hub.Builder,
    x: ir.Value,
    directions: list[Any],
    states: list[Any],
    messages: Any,
    params: Any,
    size: int,
    direction: str,
    reverse: bool,
) -> Any:
    weights = [np.stack(v) for v in zip(*(s[:3] for s in directions), strict=True)]
    peepholes = None if directions[0][3] is None else op.const(np.stack([s[3] for s in directions]))
    return op.LSTM(
        as_sequence(op, x, reverse),
        *(op.const(v) for v in weights),
        None,
        *states,
        peepholes,
        hidden_size=size,
        direction=direction,
        **activations(messages),
        input_forget=int(params.coupledInputAndForgetGate),
        _outputs=3,
    )


@ops.op(
    "uniDirectionalLSTM",
    needs=(
        need("activations the hub has", lambda p: are_known(p.activations)),
        need("a cell that is not clipped", clip_has_no_effect),
    ),
)
def unidirectional(op, layer, x, h=None, c=None):
    p = layer.params
    size, count = int(p.outputVectorSize), int(p.inputVectorSize)
    directions = [direction_weights(p.weightParams, p.params, size, count)]
    states = [initial_state(op, v, size) for v in (h, c)]
    y, last, cell = lstm(op, x, directions, states, p.activations, p.params, size, "forward", p.reverseInput)
    output = output_blob(op, x, op.Squeeze(y, ints(1)), last, p.params.sequenceOutput)
    return output, as_blob(op, last, x), as_blob(op, cell, x)


@ops.op(
    "biDirectionalLSTM",
    needs=(
        need(
            "activations the hub has",
            lambda p: are_known(p.activationsForwardLSTM) and are_known(p.activationsBackwardLSTM),
        ),
        need("a cell that is not clipped", clip_has_no_effect),
    ),
)
def bidirectional(op, layer, x, h=None, c=None, h_back=None, c_back=None):
    p = layer.params
    size, count = int(p.outputVectorSize), int(p.inputVectorSize)
    directions = [direction_weights(w, p.params, size, count) for w in p.weightParams]
    pairs = [[initial_state(op, v, size) for v in pair] for pair in ((h, h_back), (c, c_back))]
    states = [None if pair[0] is None else op.Concat(*pair, axis=0) for pair in pairs]
    messages = [*p.activationsForwardLSTM, *p.activationsBackwardLSTM]
    y, last, cell = lstm(op, x, directions, states, messages, p.params, size, "bidirectional", False)

    def both(value, axis):
        halves = op.Split(value, axis=axis, num_outputs=2, _outputs=2)
        return halves

    forward, backward = (op.Squeeze(v, ints(1)) for v in both(y, 1))
    last_states, cells = both(last, 0), both(cell, 0)
    output_sequence = op.Concat(forward, backward, axis=-1)
    last_output = op.Concat(*last_states, axis=-1)
    results = [
        output_sequence if p.params.sequenceOutput else last_output,
        last_states[0],
        cells[0],
        last_states[1],
        cells[1],
    ]
    return tuple(as_blob(op, v, x) for v in results)
