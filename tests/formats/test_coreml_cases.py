"""Core ML files that coremltools writes compute in the hub what is known of them without the importer: a
program of every operator, every layer and model. `bridge matrix --routes coreml:onnx --all` runs the other
programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bridge
from bridge.comparison import compare, last_place, quanta
from bridge.matrix import Made
from bridge.runtime import Outputs

pytest.importorskip("coremltools")
pytest.importorskip("torch")

from bridge_coreml.cases import cases, programs
from bridge_coreml.cases.common import interface_value

CASES = cases()
FIRST = {case.ops[0]: name for name, case in reversed(CASES.items())}
NAMES = {*FIRST.values(), *(name for name in CASES if name.endswith((" layer", " model")))}


def checked(made: Made) -> str:
    """What differs from the expectation; nothing where all is well."""
    hub = bridge.load(made.source, source="coreml", **made.options)
    found = bridge.run(hub, dict(made.inputs))
    assert made.expected is not None
    expected = Outputs(dict(zip(found, made.expected, strict=True)), "expected")
    steps = {name: step * made.quanta for name, step in quanta(hub).items()}
    atol = None if made.atol is None else max(made.atol, last_place(expected))
    result = compare(expected, found, made.rtol, atol, steps)
    if made.random and all(o.problem in ("", "differs") for o in result.outputs):
        return ""
    return "" if result.ok else str(result)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_an_operator_or_model_computes_what_is_known_of_it(name: str, tmp_path: Path) -> None:
    made = CASES[name].make(tmp_path)
    assert checked(made) == ""


# coremltools infers that updates are put and parts laid end to end, whatever the mode; its documents and its
# tests of Core ML
# itself have them added, multiplied, …, and interleaved
MODES = {f"scatter_along_axis {mode}" for mode in ("add", "sub", "mul", "div", "max", "min")}
MODES.add("concat interleave")
# values of these are inferred for what is not known while converting, or are no numbers
NOT_INFERRED = {"_const_symbolic", "const", "reverse_sequence"}


def test_cases_expect_what_coremltools_infers_of_constants() -> None:
    """Apple's own NumPy result, for every operator that has one: where a case says itself what it expects, it
    says the same."""
    from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

    inferred, differ = set(), set()
    for name, program in programs().items():
        operator = name.split()[0].split("+")[0]
        with np.errstate(all="ignore"):
            try:
                found = [interface_value(v) for v in program.inferred_values()]
            except (NotImplementedError, ValueError, TypeError, AttributeError):
                continue
            expected = program.expected()
        inferred.add(operator)
        if not all(
            np.allclose(a, e, 1e-3, 1e-4, equal_nan=True) for a, e in zip(found, expected, strict=True)
        ):
            differ.add(name)
    assert differ == MODES
    newest = {name: list(versions.values())[-1] for name, versions in SSAOpRegistry.core_ops.items()}
    known = {
        name for name, cls in newest.items() if any("value_inference" in c.__dict__ for c in cls.__mro__[:-2])
    }
    assert known - inferred - NOT_INFERRED == set()
