"""Recurrent layers over sequences [sequence, batch, vector, 1, 1]; in reverse, results stay in the order of
computing."""

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


def known(messages: Any) -> bool:
    return all(m.WhichOneof("NonlinearityType") in ACTIVATIONS for m in messages)


def activations(messages: Any) -> dict[str, Any]:
    """The hub's attributes for activations, with the numbers of those that have some."""
    kinds = [m.WhichOneof("NonlinearityType") for m in messages]
    numbers = [
        numbered(m)
        for m, k in zip(messages, kinds, strict=True)
        if k in ("linear", "sigmoidHard", "scaledTanh")
    ]
    found = {"activations": [ACTIVATIONS[k] for k in kinds]}
    if numbers:
        found["activation_alpha"] = [n.alpha for n in numbers]
        found["activation_beta"] = [n.beta for n in numbers]
    return found


def numbered(message: Any) -> Any:
    """An activation with its numbers: coremltools writes none, and then Core ML takes these."""
    kind = message.WhichOneof("NonlinearityType")
    made = getattr(message, kind)
    if kind not in DEFAULTS or made.alpha or made.beta:
        return made
    return type(made)(alpha=DEFAULTS[kind][0], beta=DEFAULTS[kind][1])


def sequence(op: hub.Builder, x: ir.Value, reverse: bool = False) -> Any:
    """A blob as [sequence, batch, vector]; one of rank 3 is that already."""
    made = op.Squeeze(x, ints(3, 4)) if rank_of(x) == 5 else x
    return op.Slice(made, ints(-1), ints(I64_MIN), ints(0), ints(-1)) if reverse else made


def state(op: hub.Builder, value: ir.Value | None, size: int) -> Any:
    """An initial state as [1, batch, size]."""
    if value is None:
        return None
    return reshape(op, value, [1, -1, size]) if rank_of(value) != 3 else value


def blob(op: hub.Builder, value: ir.Value, like: ir.Value) -> Any:
    """[sequence, batch, vector] in the rank of the input."""
    return op.Unsqueeze(value, ints(3, 4)) if rank_of(like) == 5 else value


def answer(op: hub.Builder, x: ir.Value, y: ir.Value, last: ir.Value, whole: bool) -> Any:
    return blob(op, y, x) if whole else blob(op, last, x)


SIMPLE = (need("an activation the hub has", lambda p: known([p.activation])),)


@ops.op("simpleRecurrent", needs=SIMPLE)
def simple_recurrent(op, layer, x, h=None):
    p = layer.params
    size, count = int(p.outputVectorSize), int(p.inputVectorSize)
    bias = weight(p.biasVector, [size]) if p.hasBiasVector else np.zeros(size, np.float32)
    y, last = op.RNN(
        sequence(op, x, p.reverseInput),
        op.const(weight(p.weightMatrix, [1, size, count])),
        op.const(weight(p.recursionMatrix, [1, size, size])),
        op.const(np.concatenate([bias, np.zeros_like(bias)])[None]),
        None,
        state(op, h, size),
        hidden_size=size,
        **activations([p.activation]),
        clip=CLIP,
        _outputs=2,
    )
    return answer(op, x, op.Squeeze(y, ints(1)), last, p.sequenceOutput), blob(op, last, x)


@ops.op("gru", needs=(need("activations the hub has", lambda p: known(p.activations)),))
def gru(op, layer, x, h=None):
    p = layer.params
    size, count = int(p.outputVectorSize), int(p.inputVectorSize)
    gates = [GRU[letter] for letter in GATES["GRU"]]
    w, r = (
        np.concatenate([weight(getattr(p, f"{g}Gate{kind}Matrix"), [size, n]) for g in gates])[None]
        for kind, n in (("Weight", count), ("Recursion", size))
    )
    if p.hasBiasVectors:
        bias = np.concatenate([weight(getattr(p, f"{g}GateBiasVector"), [size]) for g in gates])
    else:
        bias = np.zeros(3 * size, np.float32)
    y, last = op.GRU(
        sequence(op, x, p.reverseInput),
        op.const(w),
        op.const(r),
        op.const(np.concatenate([bias, np.zeros_like(bias)])[None]),
        None,
        state(op, h, size),
        hidden_size=size,
        **activations(p.activations),
        clip=CLIP,
        _outputs=2,
    )
    return answer(op, x, op.Squeeze(y, ints(1)), last, p.sequenceOutput), blob(op, last, x)


GRU = {"z": "update", "r": "reset", "h": "output"}
LSTM = {"i": "input", "o": "output", "f": "forget", "c": "block"}


def stacked(
    p: Any, params: Any, size: int, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Weights of one direction, gates in the hub's order."""

    def matrix(gate: str, kind: str) -> Any:
        name = "blockInput" if gate == "c" else f"{LSTM[gate]}Gate"
        return getattr(p, f"{name}{kind}")

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


def unclipped(p: Any) -> bool:
    """The hub clips what activations read, Core ML the cell: only where neither changes anything they are the
    same."""
    return p.params.cellClipThreshold == 0 or p.params.cellClipThreshold >= CLIP


def lstm(
    op: hub.Builder,
    x: ir.Value,
    sides: list[Any],
    states: list[Any],
    messages: Any,
    params: Any,
    size: int,
    direction: str,
    reverse: bool,
) -> Any:
    parts = [np.stack(v) for v in zip(*(s[:3] for s in sides), strict=True)]
    peepholes = None if sides[0][3] is None else op.const(np.stack([s[3] for s in sides]))
    return op.LSTM(
        sequence(op, x, reverse),
        *(op.const(v) for v in parts),
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
        need("activations the hub has", lambda p: known(p.activations)),
        need("a cell that is not clipped", unclipped),
    ),
)
def unidirectional(op, layer, x, h=None, c=None):
    p = layer.params
    size, count = int(p.outputVectorSize), int(p.inputVectorSize)
    sides = [stacked(p.weightParams, p.params, size, count)]
    states = [state(op, v, size) for v in (h, c)]
    y, last, cell = lstm(op, x, sides, states, p.activations, p.params, size, "forward", p.reverseInput)
    whole = answer(op, x, op.Squeeze(y, ints(1)), last, p.params.sequenceOutput)
    return whole, blob(op, last, x), blob(op, cell, x)


@ops.op(
    "biDirectionalLSTM",
    needs=(
        need(
            "activations the hub has",
            lambda p: known(p.activationsForwardLSTM) and known(p.activationsBackwardLSTM),
        ),
        need("a cell that is not clipped", unclipped),
    ),
)
def bidirectional(op, layer, x, h=None, c=None, h_back=None, c_back=None):
    p = layer.params
    size, count = int(p.outputVectorSize), int(p.inputVectorSize)
    sides = [stacked(w, p.params, size, count) for w in p.weightParams]
    pairs = [[state(op, v, size) for v in pair] for pair in ((h, h_back), (c, c_back))]
    states = [None if pair[0] is None else op.Concat(*pair, axis=0) for pair in pairs]
    messages = [*p.activationsForwardLSTM, *p.activationsBackwardLSTM]
    y, last, cell = lstm(op, x, sides, states, messages, p.params, size, "bidirectional", False)

    def both(value, axis):
        parts = op.Split(value, axis=axis, num_outputs=2, _outputs=2)
        return parts

    ahead, behind = (op.Squeeze(v, ints(1)) for v in both(y, 1))
    ends, cells = both(last, 0), both(cell, 0)
    whole = op.Concat(ahead, behind, axis=-1)
    final = op.Concat(*ends, axis=-1)
    results = [whole if p.params.sequenceOutput else final, ends[0], cells[0], ends[1], cells[1]]
    return tuple(blob(op, v, x) for v in results)
