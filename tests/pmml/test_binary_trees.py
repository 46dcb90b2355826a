"""Trees of thresholds are read in one sweep, and answer as they do node by node."""

from __future__ import annotations

import random

import numpy as np
import pytest
from bridge_pmml import forest
from documents import ACTIVE, document, rows, schema, scores, write

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
    assert len(calls) == 3


def test_trees_of_other_kinds_are_not_swept(tmp_path):
    def read(children: str):
        from lxml import etree

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
