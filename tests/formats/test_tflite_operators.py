"""Every TFLite operator means in the hub what LiteRT computes for it: one-operator files, static and dynamic."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tflite_cases import CASES, Case

import bridge
from bridge.errors import UnsupportedModel
from bridge.verify import compare, quanta


def shaped(case: Case, path: Path) -> None:
    """Give the outputs the shapes LiteRT finds."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_path=str(case.file(path)),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    found = interpreter.get_signature_runner()(**case.feed)
    for index, output in enumerate(case.outputs):
        output.value = np.zeros(np.shape(found[f"y{index}"]), np.asarray(output.value).dtype)


def expected(case: Case, path: Path) -> Any:
    return bridge.run(path, case.feed, source="tflite")


@pytest.mark.parametrize("name", CASES)
def test_the_hub_computes_what_litert_computes(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    shaped(case, tmp_path / "shapes.tflite")
    path = case.file(tmp_path / "model.tflite")
    want = expected(case, path)
    agrees(case, path, want)
    for kept in (False, True):
        dynamic = case.file(tmp_path / "dynamic.tflite", dynamic=True, kept=kept)
        with contextlib.suppress(UnsupportedModel):
            agrees(case, dynamic, want)


def agrees(case: Case, path: Path, want: Any) -> None:
    model = bridge.load(path)
    found = bridge.run(model, case.feed)
    assert list(found) == list(want)
    if case.random:
        assert [v.shape for v in found.values()] == [v.shape for v in want.values()]
        return
    steps = {name: step * case.quanta for name, step in quanta(model).items()}
    result = compare(want, found, atol=case.atol, steps=steps)
    assert result.ok, str(result)


@pytest.mark.xfail(reason="recurrent and stateful operators come with cases of their own", strict=True)
def test_every_rule_has_a_case() -> None:
    from bridge_tflite.import_ops import ops

    tested = {f"custom::{case.op}" if case.custom is not None else case.op for case in CASES.values()}
    assert {rule.op for rule in ops} - tested == set()
