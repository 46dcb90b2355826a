"""Every native case says through the hub what PMML4S or the specification says."""

from __future__ import annotations

import pytest

import bridge
from bridge.runtime import Outputs
from bridge.verify import compare

pytest.importorskip("lxml")
pytest.importorskip("pypmml")

from bridge_pmml.cases import cases

CASES = cases()


@pytest.mark.parametrize("name", CASES)
def test_the_hub_says_what_is_expected(name, tmp_path):
    made = CASES[name].make(tmp_path)
    model = bridge.load(made.source, source="pmml", **made.options)
    if made.expected is None:
        expected = bridge.run(made.source, made.inputs, source="pmml", **made.options)
    else:
        names = [value.name for value in model.graph.outputs]
        expected = Outputs(dict(zip(names, made.expected, strict=True)), "the specification")
    found = bridge.run(model, dict(made.inputs))
    checked = compare(expected, found, 1e-9, 1e-9)
    assert checked.ok, f"{checked}\n{dict(expected)}\n{dict(found)}"
