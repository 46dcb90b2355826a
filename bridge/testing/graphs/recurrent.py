"""Steps of recurrent layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.testing.graphs.growth import Graph, step

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
ACTIVATIONS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}


@step(3)
def recurrent(g: Graph, src: str, x: np.ndarray) -> Any:
    """In either direction or both, from given states, up to lengths of its own: all steps and the last."""
    g.fixed(src, -1)
    longest = g.extents(src)[0]
    if x.ndim > 3:
        src = g.add("Reshape", src, g.ints(0, -1, x.shape[-1]))
    batch = int(np.prod(x.shape[1:-1]))
    op, hidden = g.pick(*GATES), g.pick(1, 3)
    direction = g.pick("forward", "reverse", "bidirectional")
    ways = 2 if direction == "bidirectional" else 1
    weights = [g.normal(ways, GATES[op] * hidden, n) / np.float32(2) for n in (x.shape[-1], hidden)]
    bias = g.normal(ways, 2 * GATES[op] * hidden) if g.maybe(0.7) else ""
    lengths = np.array(g.rng.integers(1, longest + 1, batch), np.int32) if g.maybe(0.35) else ""
    states = [g.normal(ways, batch, hidden) for _ in range(2 if op == "LSTM" else 1)] if g.maybe(0.3) else []
    peepholes = [g.normal(ways, 3 * hidden)] if op == "LSTM" and states and g.maybe(0.3) else []
    extra: dict[str, Any] = {"linear_before_reset": g.pick(0, 1)} if op == "GRU" else {}
    if op == "LSTM" and g.maybe(0.1):
        extra["input_forget"] = 1
    if g.maybe(0.2):
        extra["clip"] = 0.7
    if g.maybe(0.3):
        own = ["Relu" if a == "Tanh" and g.maybe() else a for a in ACTIVATIONS[op]]
        extra["activations"] = own * ways
    return g.add(
        op, src, *weights, bias, lengths, *states, *peepholes,
        outputs=3 if op == "LSTM" else 2, direction=direction, hidden_size=hidden, **extra,
    )  # fmt: skip
