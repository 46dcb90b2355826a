"""Bayesian networks give the posterior that summing the joint probabilities by hand gives."""

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


def value_probabilities(table: dict[str, float]) -> str:
    return "".join(f'<ValueProbability value="{v}" probability="{p}"/>' for v, p in table.items())


def conditional_probability(parents: dict[str, str], table: dict[str, float]) -> str:
    parents_text = "".join(f'<ParentValue parent="{p}" value="{v}"/>' for p, v in parents.items())
    return f"<DiscreteConditionalProbability>{parents_text}{value_probabilities(table)}</DiscreteConditionalProbability>"


def bayesian_network(target: str = "rain", nodes: str = "") -> str:
    wet = "".join(
        conditional_probability({"rain": r, "sprinkler": s}, {"1": p, "0": 1 - p})
        for (r, s), p in WET.items()
    )
    nodes = nodes or (
        f'<DiscreteNode name="rain">{value_probabilities(RAIN)}</DiscreteNode>'
        "<DiscreteNode "
        f'name="sprinkler">{"".join(conditional_probability({"rain": r}, t) for r, t in SPRINKLER.items())}</DiscreteNode>'
        f'<DiscreteNode name="wet">{wet}</DiscreteNode>'
    )
    schema = "".join(
        f'<MiningField name="{n}"{" usageType=" + chr(34) + "target" + chr(34) if n == target else ""}/>'
        for n in ("rain", "sprinkler", "wet")
    )
    return (
        "<BayesianNetworkModel "
        f'functionName="classification"><MiningSchema>{schema}</MiningSchema><BayesianNetworkNodes>{nodes}</BayesianNetworkNodes></BayesianNetworkModel>'
    )


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
    hub = bridge.load(write(tmp_path, document(bayesian_network(target), FIELDS)))
    options = {"rain": ["yes", "no", ""], "sprinkler": ["on", "off", ""], "wet": ["1", "0", ""]}
    names = [v.name for v in hub.graph.inputs]
    rows = list(itertools.product(*(options[n] for n in names)))
    found = bridge.run(hub, {n: np.array([[r[i]] for r in rows], object) for i, n in enumerate(names)})
    for place, row in enumerate(rows):
        expected = posterior(target, dict(zip(names, row, strict=True)))
        whole = sum(expected.values())
        for value, share in expected.items():
            got = found[f"probability_{value}"][place, 0]
            assert math.isnan(got) if whole == 0 else got == pytest.approx(share / whole)
        if whole:
            assert found[f"predicted_{target}"][place, 0] == max(expected, key=lambda v: expected[v])


def test_a_value_no_state_has_leaves_nothing_to_say(tmp_path):
    hub = bridge.load(write(tmp_path, document(bayesian_network(), FIELDS)))
    found = bridge.run(hub, {"sprinkler": np.array([["odd"]], object), "wet": np.array([["1"]], object)})
    assert math.isnan(found["probability_yes"][0, 0])


@pytest.mark.parametrize(
    ("nodes", "error", "said"),
    [
        (
            "<ContinuousNode "
            'name="rain"><ContinuousDistribution><TriangularDistributionForBN/></ContinuousDistribution></ContinuousNode>',
            UnreadableFile,
            "has no",
        ),
        (
            f'<DiscreteNode name="rain">{value_probabilities(RAIN)}</DiscreteNode><ContinuousNode name="wet">'
            '<ContinuousDistribution><NormalDistributionForBN><Mean><FieldRef field="rain"/></Mean>'
            "</NormalDistributionForBN></ContinuousDistribution></ContinuousNode>",
            UnsupportedModel,
            "no finite sum",
        ),
        ('<DiscreteNode name="rain"/>', UnreadableFile, "no probabilities"),
        (
            f'<DiscreteNode name="other">{value_probabilities(RAIN)}</DiscreteNode>',
            UnreadableFile,
            "one target",
        ),
        (
            f'<DiscreteNode name="rain">{conditional_probability({"no": "a"}, RAIN)}</DiscreteNode>',
            UnreadableFile,
            "has no value",
        ),
    ],
)
def test_other_networks_are_refused(nodes, error, said, tmp_path):
    with pytest.raises(error, match=said):
        bridge.load(write(tmp_path, document(bayesian_network(nodes=nodes), FIELDS)))


HIDDEN = {"a": 0.3, "b": 0.7}
MEANS = {"a": 1.0, "b": -0.5}


def normal_distribution(mean: str, variance: float, name: str = "Normal") -> str:
    parameters = f"<Mean>{mean}</Mean><Variance><Constant>{variance}</Constant></Variance>"
    distribution = f"<{name}DistributionForBN>{parameters}</{name}DistributionForBN>"
    return f"<ContinuousDistribution>{distribution}</ContinuousDistribution>"


def network_of_normals(target: str) -> str:
    """c, of which x is normal; y normal about 2 x + 1; u uniform, and wider for b; l lognormal."""
    parents = {c: f'<ParentValue parent="c" value="{c}"/>' for c in HIDDEN}
    x = "".join(
        f"<ContinuousConditionalProbability>{parents[c]}{normal_distribution(f'<Constant>{m}</Constant>', 0.25)}"
        "</ContinuousConditionalProbability>"
        for c, m in MEANS.items()
    )
    line = (
        '<Apply function="+"><Apply function="*"><Constant>2</Constant><FieldRef '
        'field="x"/></Apply><Constant>1</Constant></Apply>'
    )
    wide = "".join(
        f"<ContinuousConditionalProbability>{parents[c]}<ContinuousDistribution><UniformDistributionForBN><Lower><Constant>0</Constant></Lower>"
        f"<Upper><Constant>{w}</Constant></Upper></UniformDistributionForBN></ContinuousDistribution></ContinuousConditionalProbability>"
        for c, w in (("a", 1), ("b", 4))
    )
    nodes = (
        f'<DiscreteNode name="c">{value_probabilities(HIDDEN)}</DiscreteNode><ContinuousNode name="x">{x}</ContinuousNode>'
        f'<ContinuousNode name="y">{normal_distribution(line, 2.0)}</ContinuousNode><ContinuousNode '
        f'name="u">{wide}</ContinuousNode>'
        f'<ContinuousNode name="l">{normal_distribution("<Constant>0.2</Constant>", 0.5, "Lognormal")}</ContinuousNode>'
    )
    schema = "".join(
        f'<MiningField name="{n}" usageType="{"target" if n == target else "active"}"/>' for n in "cxyul"
    )
    kind = "classification" if target == "c" else "regression"
    text = (
        "<BayesianNetworkModel "
        f'functionName="{kind}"><MiningSchema>{schema}</MiningSchema><BayesianNetworkNodes>{nodes}</BayesianNetworkNodes></BayesianNetworkModel>'
    )
    fields = "".join(f'<DataField name="{n}" optype="continuous" dataType="double"/>' for n in "xyul")
    return document(text, '<DataField name="c" optype="categorical" dataType="string"/>' + fields)


def normal_density(x: float, mean: float, variance: float) -> float:
    return math.exp(-0.5 * (x - mean) ** 2 / variance) / math.sqrt(2 * math.pi * variance)


RECORDS = [
    {"x": 0.4, "y": 1.0, "u": 0.5, "l": 1.5},
    {"x": 0.4, "u": 3.0, "y": 2.0},
    {"x": -1.0},
    {"u": 0.5},
    {},
    {"y": 1.0},
    {"u": 9.0},
]


def test_densities_weigh_the_classes(tmp_path):
    hub = bridge.load(write(tmp_path, network_of_normals("c")))
    columns = {n: np.array([[r.get(n, math.nan)] for r in RECORDS]) for n in "xyul"}
    found = bridge.run(hub, columns)
    for row, record in enumerate(RECORDS):
        weights = dict(HIDDEN)
        for c in weights:
            weights[c] *= normal_density(record["x"], MEANS[c], 0.25) if "x" in record else 1.0
            weights[c] *= {"a": record["u"] <= 1, "b": (record["u"] <= 4) / 4}[c] if "u" in record else 1.0
        total = sum(weights.values())
        unknown = ("y" in record and "x" not in record) or not total
        for c, weight in weights.items():
            expected = math.nan if unknown else weight / total
            assert found[f"probability_{c}"][row, 0] == pytest.approx(expected, rel=1e-9, nan_ok=True)


def test_a_continuous_node_is_predicted_by_its_mean(tmp_path):
    evidence = {"x": np.array([[0.5], [-1.0]]), "c": np.array([["a"], [""]], object)}
    rest = {n: np.full((2, 1), math.nan) for n in "yul"}
    found = bridge.run(
        bridge.load(write(tmp_path, network_of_normals("y"))), {**evidence, "u": rest["u"], "l": rest["l"]}
    )
    assert found["predicted_y"].ravel().tolist() == pytest.approx([2.0, -1.0])
    wide = bridge.run(
        bridge.load(write(tmp_path, network_of_normals("u"))), {**evidence, "y": rest["y"], "l": rest["l"]}
    )
    weights = {c: HIDDEN[c] * normal_density(-1.0, MEANS[c], 0.25) for c in HIDDEN}
    mean = (0.5 * weights["a"] + 2.0 * weights["b"]) / sum(weights.values())
    assert wide["predicted_u"].ravel().tolist() == pytest.approx([0.5, mean])
    log = bridge.run(
        bridge.load(write(tmp_path, network_of_normals("l"))), {**evidence, "y": rest["y"], "u": rest["u"]}
    )
    assert log["predicted_l"].ravel().tolist() == pytest.approx([math.exp(0.45)] * 2)


ENDS = {"a": (0.0, 1.0, 6.0), "b": (-2.0, 1.0, 1.0)}


def network_of_triangles(target: str) -> str:
    """c, of which x is triangular: lower end, peak and upper end."""
    triangles = "".join(
        '<ContinuousConditionalProbability><ParentValue parent="c" '
        f'value="{c}"/><ContinuousDistribution><TriangularDistributionForBN>'
        f"<Mean><Constant>{sum(ends) / 3}</Constant></Mean>"
        f"<Lower><Constant>{ends[0]}</Constant></Lower><Upper><Constant>{ends[2]}</Constant></Upper>"
        "</TriangularDistributionForBN></ContinuousDistribution></ContinuousConditionalProbability>"
        for c, ends in ENDS.items()
    )
    nodes = (
        f'<DiscreteNode name="c">{value_probabilities(HIDDEN)}</DiscreteNode><ContinuousNode '
        f'name="x">{triangles}</ContinuousNode>'
    )
    schema = "".join(
        f'<MiningField name="{n}" usageType="{"target" if n == target else "active"}"/>' for n in "cx"
    )
    kind = "classification" if target == "c" else "regression"
    text = (
        "<BayesianNetworkModel "
        f'functionName="{kind}"><MiningSchema>{schema}</MiningSchema><BayesianNetworkNodes>{nodes}</BayesianNetworkNodes></BayesianNetworkModel>'
    )
    fields = (
        '<DataField name="c" optype="categorical" dataType="string"/><DataField name="x" '
        'optype="continuous" dataType="double"/>'
    )
    return document(text, fields)


def test_triangles_are_known_by_their_mean_and_ends(tmp_path):
    stats = pytest.importorskip("scipy.stats")
    at = np.array([-1.9, -1.0, 0.0, 0.3, 0.99, 1.01, 3.0, 5.5])
    found = bridge.run(bridge.load(write(tmp_path, network_of_triangles("c"))), {"x": at[:, None]})
    weights = {
        c: HIDDEN[c] * stats.triang.pdf(at, (peak - low) / (high - low), low, high - low)
        for c, (low, peak, high) in ENDS.items()
    }
    for c, weight in weights.items():
        np.testing.assert_allclose(
            found[f"probability_{c}"][:, 0], weight / sum(weights.values()), rtol=1e-9, atol=1e-12
        )
    told = bridge.run(
        bridge.load(write(tmp_path, network_of_triangles("x"), "x.pmml")),
        {"c": np.array([["a"], ["b"]], object)},
    )
    assert told["predicted_x"].ravel().tolist() == pytest.approx([sum(e) / 3 for e in ENDS.values()])
