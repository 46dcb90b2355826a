"""Bayesian networks of discrete nodes give the posterior that summing the joint probabilities by hand gives."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from documents import document, write

import bridge
from bridge.errors import UnreadableFile, UnsupportedModel

RAIN = {"yes": 0.2, "no": 0.8}
SPRINKLER = {"yes": {"on": 0.01, "off": 0.99}, "no": {"on": 0.4, "off": 0.6}}
WET = {
    (r, s): p for (r, s), p in zip(itertools.product(RAIN, ("on", "off")), (0.99, 0.8, 0.9, 0.0), strict=True)
}
FIELDS = "".join(
    f'<DataField name="{n}" optype="categorical" dataType="string"/>' for n in ("rain", "sprinkler", "wet")
)


def shares(table: dict[str, float]) -> str:
    return "".join(f'<ValueProbability value="{v}" probability="{p}"/>' for v, p in table.items())


def given(parents: dict[str, str], table: dict[str, float]) -> str:
    held = "".join(f'<ParentValue parent="{p}" value="{v}"/>' for p, v in parents.items())
    return f"<DiscreteConditionalProbability>{held}{shares(table)}</DiscreteConditionalProbability>"


def model(target: str = "rain", nodes: str = "") -> str:
    wet = "".join(given({"rain": r, "sprinkler": s}, {"1": p, "0": 1 - p}) for (r, s), p in WET.items())
    nodes = nodes or (
        f'<DiscreteNode name="rain">{shares(RAIN)}</DiscreteNode>'
        f'<DiscreteNode name="sprinkler">{"".join(given({"rain": r}, t) for r, t in SPRINKLER.items())}</DiscreteNode>'
        f'<DiscreteNode name="wet">{wet}</DiscreteNode>'
    )
    schema = "".join(
        f'<MiningField name="{n}"{" usageType=" + chr(34) + "target" + chr(34) if n == target else ""}/>'
        for n in ("rain", "sprinkler", "wet")
    )
    return f'<BayesianNetworkModel functionName="classification"><MiningSchema>{schema}</MiningSchema><BayesianNetworkNodes>{nodes}</BayesianNetworkNodes></BayesianNetworkModel>'


def posterior(target: str, evidence: dict[str, str]) -> dict[str, float]:
    total: dict[str, float] = {}
    for r, s, w in itertools.product(RAIN, ("on", "off"), ("1", "0")):
        state = {"rain": r, "sprinkler": s, "wet": w}
        if all(state[k] == v for k, v in evidence.items() if v):
            wet = WET[r, s] if w == "1" else 1 - WET[r, s]
            total[state[target]] = total.get(state[target], 0.0) + RAIN[r] * SPRINKLER[r][s] * wet
    return total


@pytest.mark.parametrize("target", ["rain", "wet"])
def test_posteriors_are_sums_of_joint_probabilities(target, tmp_path):
    hub = bridge.load(write(tmp_path, document(model(target), FIELDS)))
    options = {"rain": ["yes", "no", ""], "sprinkler": ["on", "off", ""], "wet": ["1", "0", ""]}
    names = [v.name for v in hub.graph.inputs]
    rows = list(itertools.product(*(options[n] for n in names)))
    found = bridge.run(hub, {n: np.array([[r[i]] for r in rows], object) for i, n in enumerate(names)})
    for place, row in enumerate(rows):
        wanted = posterior(target, dict(zip(names, row, strict=True)))
        whole = sum(wanted.values())
        for value, share in wanted.items():
            got = found[f"probability_{value}"][place, 0]
            assert math.isnan(got) if whole == 0 else got == pytest.approx(share / whole)
        if whole:
            assert found[f"predicted_{target}"][place, 0] == max(wanted, key=lambda v: wanted[v])


def test_a_value_no_state_has_leaves_nothing_to_say(tmp_path):
    hub = bridge.load(write(tmp_path, document(model(), FIELDS)))
    found = bridge.run(hub, {"sprinkler": np.array([["odd"]], object), "wet": np.array([["1"]], object)})
    assert math.isnan(found["probability_yes"][0, 0])


@pytest.mark.parametrize(
    ("nodes", "error", "said"),
    [
        ('<ContinuousNode name="rain"/>', UnsupportedModel, "continuous node"),
        ('<DiscreteNode name="rain"/>', UnreadableFile, "no probabilities"),
        (f'<DiscreteNode name="other">{shares(RAIN)}</DiscreteNode>', UnreadableFile, "one target"),
        (
            f'<DiscreteNode name="rain">{given({"no": "a"}, RAIN)}</DiscreteNode>',
            UnreadableFile,
            "has no value",
        ),
    ],
)
def test_other_networks_are_refused(nodes, error, said, tmp_path):
    with pytest.raises(error, match=said):
        bridge.load(write(tmp_path, document(model(nodes=nodes), FIELDS)))
