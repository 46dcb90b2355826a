"""What a TFLite file remembers between runs is inputs and outputs of its hub model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bridge_tflite.cases import CASES
from bridge_tflite.runtime import LiteRTSession, Stateful
from build import hub_from_text

import bridge
from bridge.errors import InvalidInput

REMEMBERING = [
    "ASSIGN_VARIABLE",
    "RNN-act4",
    "UNIDIRECTIONAL_SEQUENCE_RNN",
    "BIDIRECTIONAL_SEQUENCE_RNN-merge0",
    "SVDF-rank2",
    "LSTM-all",
    "UNIDIRECTIONAL_SEQUENCE_LSTM-plain",
    "UNIDIRECTIONAL_SEQUENCE_LSTM-int8",
    "BIDIRECTIONAL_SEQUENCE_LSTM-plain",
]


@pytest.mark.parametrize("name", REMEMBERING)
def test_three_steps_in_a_row_are_those_of_litert(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = case.file(tmp_path / "model.tflite")
    model, steps = bridge.load(path), Stateful(path)
    states = {v.name: v.const_value.numpy() for v in model.graph.inputs if v.const_value is not None}
    assert states
    rng = np.random.default_rng(0)
    for _ in range(3):
        feed = {n: rng.permuted(v, axis=-1) for n, v in case.feed.items()}
        want, outputs = steps.run(feed), bridge.run(model, {**feed, **states})
        assert list(want) == list(outputs)
        for key, value in want.items():
            if value.dtype.kind == "i":
                assert np.abs(value.astype(int) - outputs[key].astype(int)).max() <= (
                    2 if value.dtype == np.int16 else 1
                )
            else:
                np.testing.assert_allclose(outputs[key], value, rtol=1e-3, atol=1e-5)
        states = {n: outputs[f"{n}/next"] for n in states}


@pytest.mark.parametrize("name", REMEMBERING)
def test_a_session_remembers_nothing_between_runs(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = case.file(tmp_path / "model.tflite")
    rng, session = np.random.default_rng(0), LiteRTSession(path)
    for _ in range(3):
        feed = {n: rng.permuted(v, axis=-1) for n, v in case.feed.items()}
        found, want = session.run(feed), LiteRTSession(path).run(feed)
        assert list(found) == list(want)
        for key, value in want.items():
            np.testing.assert_array_equal(found[key], value)


def test_a_state_starts_as_the_file_says_when_it_is_not_given(tmp_path: Path) -> None:
    case = CASES["ASSIGN_VARIABLE"]
    path = case.file(tmp_path / "model.tflite")
    model = bridge.load(path)
    (state,) = [v for v in model.graph.inputs if v.const_value is not None]
    x = case.feed["x0"]
    np.testing.assert_allclose(bridge.run(model, {"x0": x})["y0"], x + state.const_value.numpy(), rtol=1e-6)
    with_state = {"x0": x, state.name: np.ones_like(x)}
    np.testing.assert_allclose(bridge.run(model, with_state)["y0"], x + 1, rtol=1e-6)
    with pytest.raises(InvalidInput, match="starts the variable"):
        bridge.run(path, with_state)


@pytest.mark.parametrize("name", ["ASSIGN_VARIABLE", "UNIDIRECTIONAL_SEQUENCE_LSTM-plain"])
def test_folded_states_leave_the_interface_of_the_file(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = case.file(tmp_path / "model.tflite")
    model = bridge.load(path, state="initial")
    assert [v.name for v in model.graph.inputs] == ["x0"]
    assert [v.name for v in model.graph.outputs] == ["y0"]
    assert bridge.verify(path, model, case.feed).ok


def test_a_stateful_file_converts_and_verifies(tmp_path: Path) -> None:
    path = CASES["ASSIGN_VARIABLE"].file(tmp_path / "model.tflite")
    result = bridge.convert(path, tmp_path / "model.onnx", verify=True)
    assert result.verification is not None
    assert result.verification.ok


def test_inputs_and_results_have_the_order_of_the_file(tmp_path: Path) -> None:
    graph = (
        "g (float[n] z, float[n] a) => (float[n] start, float[n] end) { start = Sub (z, a) end = Add (z, a) }"
    )
    session = LiteRTSession(bridge.save(hub_from_text(graph), tmp_path / "m.tflite").path)
    assert [port.name for port in session.inputs] == ["z", "a"]
    found = session.run({"z": np.ones(3, np.float32), "a": np.full(3, 2, np.float32)})
    assert {name: float(value[0]) for name, value in found.items()} == {"start": -1, "end": 3}
    assert list(found) == ["start", "end"]
