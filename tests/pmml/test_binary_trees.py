"""Trees of thresholds are read in one sweep, and answer as they do node by node."""

from __future__ import annotations

import random

import numpy as np
import pytest
from bridge_pmml import forest, importer
from bridge_pmml.folded_trees import fold_trees, listed
from documents import ACTIVE, document, forest_model, rows, schema, scores, write
from lxml import etree

import bridge
from bridge.errors import UnreadableFile

NAMES = ("x", "z")
OPPOSITE = {"lessOrEqual": "greaterThan", "lessThan": "greaterOrEqual"}
OPPOSITE |= {second: first for first, second in OPPOSITE.items()}
STRATEGIES = ("none", "lastPrediction", "nullPrediction", "defaultChild")


def random_tree(rng: random.Random, count: list[int], predicate: str = "<True/>", depth: int = 0) -> str:
    """A Node and what is below it: splits whose second child is the opposite, the rest, or is not there."""
    name, children = f"n{count[0]}", ""
    count[0] += 1
    below: list[str] = []
    if depth == 0 or (depth < 5 and rng.random() < 0.7):
        field, operator, value = rng.choice(NAMES), rng.choice(list(OPPOSITE)), rng.choice((-1, 0.5, 1, 2.25))
        test = '<SimplePredicate field="{}" operator="{}" value="{}"/>'
        below = [test.format(field, operator, value)]
        below += rng.choice(([test.format(field, OPPOSITE[operator], value)], ["<True/>"], []))
    names = []
    for each in below:
        names.append(f"n{count[0]}")
        children += random_tree(rng, count, each, depth + 1)
    default = rng.choice([*names, "nobody", ""])
    chosen = f'defaultChild="{default}"' if default else ""
    return f'<Node id="{name}" score="{count[0] + rng.random()}" {chosen}>{predicate}{children}</Node>'


@pytest.mark.parametrize("last", ["returnNullPrediction", "returnLastPrediction"])
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("seed", range(8))
def test_a_sweep_answers_as_node_by_node(seed, strategy, last, tmp_path, monkeypatch):
    rng = random.Random(seed)
    trees = "".join(
        f'<Segment><True/><TreeModel functionName="regression" missingValueStrategy="{strategy}" '
        f'noTrueChildStrategy="{last}">{schema()}{random_tree(rng, [0])}</TreeModel></Segment>'
        for _ in range(3)
    )
    segmentation = f'<Segmentation multipleModelMethod="sum">{trees}</Segmentation>'
    active = ACTIVE if seed % 2 else ACTIVE.replace('name="x"', 'name="x" missingValueReplacement="1"')
    path = write(
        tmp_path,
        document(f'<MiningModel functionName="regression">{schema(active)}{segmentation}</MiningModel>'),
    )
    values = [-2, -1, np.nextafter(-1, 0), 0.5, np.nextafter(0.5, 1), 1, 2, 2.25, 3, None]
    records = rows([a for a in values for _ in values], values * len(values))
    swept, calls = scores(path, records), []

    def nothing(root, features):
        calls.append(root)

    monkeypatch.setattr(forest, "read_binary_tree", nothing)
    np.testing.assert_array_equal(swept["predicted_y"], scores(path, records)["predicted_y"])
    assert [root.tag for root in calls] == ["FoldedNode", "Node"] * 3


def test_trees_of_other_kinds_are_not_swept(tmp_path):
    def read(children: str):
        class Columns:
            floats: frozenset[int] = frozenset()

            def field_column(self, name: str) -> int | None:
                return NAMES.index(name) if name in NAMES else None

        return forest.read_binary_tree(etree.fromstring(f"<Node><True/>{children}</Node>"), Columns())

    test = '<Node><SimplePredicate field="{}" operator="{}" value="{}"/></Node>'
    assert read(test.format("x", "lessThan", 1) + test.format("x", "greaterOrEqual", "1.0")) is not None
    for children in (
        "",
        test.format("x", "equal", 1) + test.format("x", "notEqual", 1),
        test.format("x", "lessThan", 1) + test.format("z", "greaterOrEqual", 1),
        test.format("x", "lessThan", 1) + test.format("x", "greaterOrEqual", 2),
        test.format("x", "lessThan", 1) + test.format("x", "greaterThan", 1),
        test.format("x", "lessThan", "NaN") + test.format("x", "greaterOrEqual", "NaN"),
        test.format("x", "lessThan", "one"),
        test.format("text", "lessThan", 1),
        test.format("x", "lessThan", 1) * 3,
        "<Node><True/></Node>",
    ):
        assert read(children) is None


@pytest.mark.parametrize("layout", ["", "\n  "])
def test_what_is_listed_is_what_elements_say(layout):
    rng = random.Random(3)
    for _ in range(20):
        source = random_tree(rng, [0]).replace("><", f">{layout}<").replace(" field", f"{layout} field")
        root = etree.fromstring(source)
        found, nodes = listed(source), list(root.iter("Node"))
        assert found is not None
        assert found.nodes == [dict(node.attrib) for node in nodes]
        parents = [-1 if node is root else nodes.index(node.getparent()) for node in nodes]
        assert found.parents.tolist() == parents
        assert found.always.tolist() == [node[0].tag == "True" for node in nodes]
        for name, column in (("operator", found.operators), ("field", found.fields), ("value", found.values)):
            assert column.tolist() == [node[0].get(name) for node in nodes]


TEST = '<SimplePredicate field="x" operator="lessThan" value="1"/>'
LEAF = f'<Node score="1">{TEST}</Node>'


@pytest.mark.parametrize(
    "source",
    [
        f"<Node><True/>{LEAF.replace('1', '1&amp;')}</Node>",
        f"<Node><True/>{LEAF.replace('1', '<Node')}</Node>",
        f"<Node><True/>{LEAF.replace('1', '1 ' + chr(10))}</Node>",
        f"<Node><True/>{LEAF.replace('</Node>', '<ScoreDistribution value=')}</Node>",
        f"<Node><True/>{LEAF}{TEST}</Node>",
        f"<Node><True/>{LEAF}<Node/></Node>",
        f"<Node><True/><Node></Node>{TEST}</Node>",
        f"<Node><True/>{LEAF.replace('/>', '>')}</Node>",
        f"<Node><True/>{LEAF.replace('field', 'value')}</Node>",
        f"<Node><True/>{LEAF}text</Node>",
        f"<Node><True/>{LEAF}</Node></Node>",
        f"<Node><True/></Node>{LEAF}",
        f"<Node><True/>{LEAF}",
        "<Node>",
    ],
)
def test_what_is_no_plain_tree_is_not_listed(source):
    assert listed(source) is None


@pytest.mark.parametrize(
    "change",
    [
        ("<Segment>", "<!-- <TreeModel> <Node --><Segment>"),
        ('version="4.4"', 'version="4.4" xmlns:d="urn:d"'),
        ("</Node></TreeModel>", '<Extension name="a"/></Node></TreeModel>'),
        ('operator="lessOrEqual"', "\n operator = 'lessOrEqual'"),
        ("<True/>", "<True></True>"),
        ('value="1"', 'value="&#49;"'),
    ],
)
def test_documents_read_alike_with_trees_folded_and_not(change, tmp_path, monkeypatch):
    text = document(forest_model("sum")).replace(*change)
    path, x = write(tmp_path, text), rows([0.1, 1, -3, None])
    folded = scores(path, x)
    monkeypatch.setattr(importer, "fold_trees", lambda content: content)
    np.testing.assert_array_equal(folded["predicted_y"], scores(path, x)["predicted_y"])


def test_text_of_another_encoding_and_damaged_trees(tmp_path):
    latin = document(forest_model("sum")).replace("<PMML", '<?xml version="1.0" encoding="latin-1"?><PMML', 1)
    assert fold_trees(latin.encode("latin-1")) == latin.encode("latin-1")
    path = write(tmp_path, document(forest_model("sum")).replace("</Node><Node", "</Node><Nod", 1))
    with pytest.raises(UnreadableFile, match="not well-formed"):
        bridge.load(path)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("operator", [*OPPOSITE, "equal", "notEqual"])
def test_a_comparison_or_a_missing_value_is_one_test(operator, strategy, tmp_path, monkeypatch):
    missing = '<SimplePredicate field="{}" operator="isMissing"/>'
    compared = f'<SimplePredicate field="{{}}" operator="{operator}" value="{{}}"/>'

    def node(score: int, predicate: str, below: str = "") -> str:
        return f'<Node id="n{score}" score="{score}" defaultChild="n{score + 1}">{predicate}{below}</Node>'

    def either(*parts: str) -> str:
        return f'<CompoundPredicate booleanOperator="or">{"".join(parts)}</CompoundPredicate>'

    inner = node(3, either(compared.format("x", 2), missing.format("x"))) + node(4, compared.format("z", 1))
    other = node(6, either(missing.format("z"), compared.format("x", 1))) + node(7, compared.format("x", 1))
    below = node(2, either(missing.format("x"), compared.format("x", 0.5)), inner) + node(5, "<True/>", other)
    tree = (
        f'<TreeModel functionName="regression" missingValueStrategy="{strategy}">{schema()}'
        f"{node(1, '<True/>', below)}</TreeModel>"
    )
    path, values = write(tmp_path, document(tree)), [-1, 0.5, 1, 2, 3, None]
    records = rows([a for a in values for _ in values], values * len(values))
    tests = [n for n in bridge.load(path).graph if n.op_type == "TreeEnsemble"]
    assert len(tests) == 1
    found = scores(path, records)
    monkeypatch.setattr(forest.Grower, "_compared_or_missing", lambda *_: None)
    np.testing.assert_array_equal(found["predicted_y"], scores(path, records)["predicted_y"])
