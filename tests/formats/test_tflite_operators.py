"""Every TFLite operator means in the hub what LiteRT computes for it: one-operator files, static and
dynamic."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from bridge_tflite.cases import CASES, Case

import bridge
from bridge.comparison import compare, quanta
from bridge.errors import UnsupportedModel


@pytest.mark.parametrize("name", CASES)
def test_the_hub_computes_what_litert_computes(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = case.make(tmp_path)
    model = bridge.load(path)
    feed = {
        v.name: v.const_value.numpy() for v in model.graph.inputs if v.const_value is not None
    } | case.feed
    want = bridge.run(path, feed, source="tflite") if case.want is None else case.expected()
    assert_agrees(case, model, feed, want)
    for keep_last in (False, True) if "-of-" not in name else ():
        dynamic = case.file(tmp_path / "dynamic.tflite", dynamic=True, keep_last=keep_last)
        with contextlib.suppress(UnsupportedModel):
            assert_agrees(case, bridge.load(dynamic), feed, want)


def assert_agrees(case: Case, model: Any, feed: Any, want: Any) -> None:
    outputs = bridge.run(model, feed)
    assert list(outputs) == list(want)
    if case.random:
        assert [(v.dtype, v.shape) for v in outputs.values()] == [(v.dtype, v.shape) for v in want.values()]
        return
    steps = {name: step * case.quanta for name, step in quanta(model).items()}
    result = compare(want, outputs, atol=case.bound, steps=steps)
    assert result.ok, str(result)


def test_every_rule_has_a_case() -> None:
    from bridge_tflite.import_ops import ops

    tested = {case.operator for case in CASES.values()}
    assert {rule.op for rule in ops} - tested == set()


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.bound is not None])
def test_what_litert_quantizes_while_it_runs_is_reported(name: str, tmp_path: Path) -> None:
    path = CASES[name].file(tmp_path / "model.tflite")
    report = bridge.check(path, to="onnx")
    assert any("while it runs" in c.detail for c in report.crossings if c.outcome == "approximated")
