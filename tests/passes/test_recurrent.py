"""LSTM, GRU and RNN spelled out compute what ONNX Runtime computes."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from build import assert_unchanged, hub_from_builder, operators, without
from hypothesis import given, settings
from hypothesis import strategies as st

import bridge
from bridge import hub
from bridge.passes import settle

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
CELLS = {"LSTM": 3, "GRU": 2, "RNN": 1}
SMOOTH = ["Sigmoid", "Tanh", "Relu", "HardSigmoid", "LeakyRelu", "Elu", "Softsign", "ScaledTanh"]


@st.composite
def cases(draw, kind: str):
    direction = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    ways = 2 if direction == "bidirectional" else 1
    attributes = {"direction": direction, "hidden_size": draw(st.integers(1, 3))}
    if draw(st.booleans()):
        names = st.sampled_from(SMOOTH)
        attributes["activations"] = [draw(names) for _ in range(ways * CELLS[kind])]
        attributes["activation_alpha"] = [0.3] * sum(
            n in ("HardSigmoid", "LeakyRelu", "Elu", "ScaledTanh") for n in attributes["activations"]
        )
        attributes["activation_beta"] = [0.6] * sum(
            n in ("HardSigmoid", "ScaledTanh") for n in attributes["activations"]
        )
    if draw(st.booleans()):
        attributes["clip"] = draw(st.sampled_from([0.25, 1.5]))
    if kind == "LSTM":
        attributes["input_forget"] = draw(st.integers(0, 1))
    if kind == "GRU":
        attributes["linear_before_reset"] = draw(st.integers(0, 1))
    optional = {name: draw(st.booleans()) for name in ("b", "ends", "h", "c", "p")}
    attributes = {k: v for k, v in attributes.items() if v != []}
    return attributes, optional, draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.booleans())


def model_of(
    kind: str, attributes: dict, optional: dict, steps: int, batch: int, dynamic: bool
) -> tuple[ir.Model, dict[str, np.ndarray]]:
    """A model of one node, and its inputs."""
    rng = np.random.default_rng(steps * 7 + batch)
    size, gates = attributes["hidden_size"], GATES[kind] * attributes["hidden_size"]
    ways = 2 if attributes["direction"] == "bidirectional" else 1
    arrays = {
        "x": rng.standard_normal((steps, batch, 2)),
        "w": rng.standard_normal((ways, gates, 2)),
        "r": rng.standard_normal((ways, gates, size)),
        "b": rng.standard_normal((ways, 2 * gates)),
        "ends": rng.integers(1, steps + 1, batch),
        "h": rng.standard_normal((ways, batch, size)),
    }
    if kind == "LSTM":
        arrays |= {
            "c": rng.standard_normal((ways, batch, size)),
            "p": rng.standard_normal((ways, 3 * size)),
        }
    arrays = {k: v.astype(np.int32 if k == "ends" else np.float32) for k, v in arrays.items()}
    lengths = {"x": ["t", "n", 2], "ends": ["n"], "h": [ways, "n", size], "c": [ways, "n", size]}
    given = {name: array for name, array in arrays.items() if optional.get(name, True)}
    specs = {n: (a.dtype, lengths.get(n, a.shape) if dynamic else a.shape) for n, a in given.items()}

    def build(op: hub.Builder, *values: ir.Value) -> tuple[ir.Value, ...]:
        held = dict(zip(specs, values, strict=True))
        count = 3 if kind == "LSTM" else 2
        return op.node(kind, *(held.get(name) for name in arrays), _outputs=count, **attributes)

    return hub_from_builder(build, specs), given


@pytest.mark.parametrize("kind", GATES)
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_attribute_computes_what_onnx_runtime_computes(kind, data):
    attributes, optional, steps, batch, dynamic = data.draw(cases(kind))
    model, inputs = model_of(kind, attributes, optional, steps, batch, dynamic)
    assert bridge.run(model, inputs).engine.startswith("ONNX Runtime")
    assert_unchanged(model, without(*GATES), settle, inputs=inputs, rtol=1e-4, atol=1e-5)
    assert kind not in operators(model)
