"""Association rules read a basket per record, and answer as the specification's own example says."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from documents import BASKET_FIELDS, ITEMS, ITEMSETS, RULES, SUPPORTS, association_model, document, write

import bridge
from bridge.errors import UnreadableFile

BASKETS = [
    list(b) for n in range(4) for b in itertools.combinations([*ITEMS, "Beer"], n)
]  # every basket of up to three


def basket_matrix(baskets):
    found = np.full((len(baskets), max(map(len, baskets))), "", object)
    for row, basket in zip(found, baskets, strict=True):
        row[: len(basket)] = basket
    return found


def ranked_rules(basket, algorithm, key, descending=True):
    """Numbers of the rules that count, best first."""
    items = {i + 1 for i, v in enumerate(ITEMS) if v in basket}
    found = []
    for index, (a, c) in enumerate(RULES):
        antecedent, consequent = set(ITEMSETS[a - 1]) <= items, set(ITEMSETS[c - 1]) <= items
        if (
            antecedent
            and {
                "recommendation": True,
                "exclusiveRecommendation": not consequent,
                "ruleAssociation": consequent,
            }[algorithm]
        ):
            found.append(index)
    return [str(i + 1) for i in sorted(found, key=lambda i: (-1 if descending else 1) * key(i))]


@pytest.mark.parametrize("basis", ["confidence", "support", "lift"])
@pytest.mark.parametrize("algorithm", ["recommendation", "exclusiveRecommendation", "ruleAssociation"])
def test_rules_are_ranked(algorithm, basis, tmp_path):
    attributes = f'algorithm="{algorithm}" rankBasis="{basis}"'
    output = "".join(
        f'<OutputField name="r{rank}" feature="entityId" rank="{rank}" {attributes}/>' for rank in (1, 2, 9)
    )
    output += (
        '<OutputField name="all" feature="ruleValue" ruleFeature="ruleId" rank="0" isMultiValued="1" '
        f"{attributes}/>"
    )
    output += f'<OutputField name="up" feature="ruleId" rankOrder="ascending" {attributes}/>'
    path = write(tmp_path, document(association_model(output), BASKET_FIELDS))
    hub = bridge.load(path)
    assert [(v.name, str(v.shape)) for v in hub.graph.inputs] == [("i", "[N,items]")]
    found = bridge.run(hub, {"i": basket_matrix(BASKETS)})
    key = {
        "confidence": lambda i: i,
        "support": lambda i: -i,
        "lift": lambda i: (0.5 + i / 10) / SUPPORTS[RULES[i][1] - 1],
    }[basis]
    for row, basket in enumerate(BASKETS):
        wanted = [*ranked_rules(basket, algorithm, key), *[""] * 9]
        assert [found[f"r{r}"][row, 0] for r in (1, 2, 9)] == [wanted[0], wanted[1], ""], basket
        assert found["all"][row].tolist() == wanted[:5]
        assert found["up"][row, 0] == [*ranked_rules(basket, algorithm, key, descending=False), ""][0]


def test_pmml4s_agrees_on_baskets(tmp_path):
    pytest.importorskip("pypmml")
    features = ("rule", "antecedent", "consequent", "confidence", "support")
    output = "".join(
        f'<OutputField name="{f}" feature="{f}" algorithm="recommendation" rankBasis="confidence" rank="1"/>'
        for f in features
    )
    alike = re.sub(
        r'confidence="0\.\d"', 'confidence="0.5"', association_model(output)
    )  # PMML4S ranks the worst first
    path = write(tmp_path, document(alike, BASKET_FIELDS))
    given = {"i": basket_matrix(BASKETS)}
    found, reference = bridge.run(bridge.load(path), given), bridge.run(path, given)
    for name in features:
        if reference[name].dtype.kind == "f":
            np.testing.assert_array_equal(found[name], reference[name])
        else:
            assert found[name].tolist() == reference[name].tolist()


def test_items_may_be_values_of_fields_of_their_own(tmp_path):
    text = association_model('<OutputField name="best" feature="consequent"/>')
    for item in ITEMS:
        text = text.replace(f'value="{item}"/>', f'value="{item}" field="{item}" category="yes"/>')
    active = "".join(f'<MiningField name="{i}"/>' for i in ITEMS)
    text = text.replace('<MiningField name="t" usageType="group"/><MiningField name="i"/>', active)
    fields = "".join(f'<DataField name="{i}" optype="categorical" dataType="string"/>' for i in ITEMS)
    hub = bridge.load(write(tmp_path, document(text, fields)))
    given = {i: np.array([["yes" if i in ("Cracker", "Water") else "no"]], object) for i in ITEMS}
    assert bridge.run(hub, given)["best"].tolist() == [["{Pear , Banana}"]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (association_model().replace('itemRef="2"', 'itemRef="77"'), "an item '77'"),
        (association_model(rules=[(1, 99)]), "an itemset '99'"),
        (association_model(group='<MiningField name="t"/>'), "2 active fields"),
        (association_model('<OutputField name="r" feature="rule" algorithm="guess"/>'), "algorithm 'guess'"),
        (association_model(rules=[]), "has no rules"),
    ],
)
def test_broken_rules_are_named(text, said, tmp_path):
    with pytest.raises(UnreadableFile, match=said):
        bridge.load(write(tmp_path, document(text, BASKET_FIELDS)))
