"""Random trees of every predicate and strategy answer as a walk from node to node does, missing values among
them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
import pytest
from documents import document, write

import bridge

FIELDS = (
    '<DataField name="x" optype="continuous" dataType="double"/><DataField name="z" '
    'optype="continuous" dataType="double"/>'
    '<DataField name="c" optype="categorical" dataType="string"><Value value="a"/><Value '
    'value="b"/><Value value="d"/></DataField>'
    '<DataField name="y" optype="continuous" dataType="double"/>'
)
NAMES = ("x", "z", "c")
CATEGORIES = ("a", "b", "d")
ORDERED = {
    "lessThan": lambda a, b: a < b,
    "lessOrEqual": lambda a, b: a <= b,
    "greaterThan": lambda a, b: a > b,
    "greaterOrEqual": lambda a, b: a >= b,
    "equal": lambda a, b: a == b,
    "notEqual": lambda a, b: a != b,
}
Row = dict[str, float | str | None]


@dataclass
class Predicate:
    """A predicate: an operator on a field, or one of others."""

    how: str
    name: str = ""
    values: tuple = ()
    parts: list[Predicate] = field(default_factory=list)

    @property
    def xml(self) -> str:
        if self.how == "True":
            return "<True/>"
        if self.parts:
            inner = "".join(p.xml for p in self.parts)
            return f'<CompoundPredicate booleanOperator="{self.how}">{inner}</CompoundPredicate>'
        if self.how in ("isIn", "isNotIn"):
            listed = f'<Array n="{len(self.values)}" type="string">{" ".join(self.values)}</Array>'
            return (
                f'<SimpleSetPredicate field="{self.name}" '
                f'booleanOperator="{self.how}">{listed}</SimpleSetPredicate>'
            )
        value = f' value="{self.values[0]}"' if self.values else ""
        return f'<SimplePredicate field="{self.name}" operator="{self.how}"{value}/>'

    def holds(self, row: Row) -> bool | None:
        """Truth of a predicate; None where it is unknown."""
        if self.how == "True":
            return True
        if self.parts:
            return self._together([p.holds(row) for p in self.parts])
        value = row[self.name]
        if self.how in ("isMissing", "isNotMissing"):
            return (value is None) == (self.how == "isMissing")
        if value is None:
            return None
        if self.how in ("isIn", "isNotIn"):
            return (value in self.values) == (self.how == "isIn")
        return bool(ORDERED[self.how](value, self.values[0]))

    def _together(self, found: list[bool | None]) -> bool | None:
        if self.how == "surrogate":
            return next((f for f in found if f is not None), None)
        if self.how == "xor":
            return None if None in found else sum(map(bool, found)) % 2 == 1
        decisive = self.how == "or"
        return decisive if decisive in found else None if None in found else not decisive


@dataclass
class Node:
    name: str
    score: float
    test: Predicate
    children: list[Node]

    @property
    def xml(self) -> str:
        first = f' defaultChild="{self.children[-1].name}"' if self.children else ""
        inner = "".join(c.xml for c in self.children)
        return f'<Node id="{self.name}" score="{self.score}"{first}>{self.test.xml}{inner}</Node>'


def random_predicate(rng: random.Random, depth: int = 0) -> Predicate:
    way = rng.random()
    if way < 0.2 and depth < 2:
        parts = [random_predicate(rng, depth + 1) for _ in range(rng.randint(2, 3))]
        return Predicate(rng.choice(["and", "or", "xor", "surrogate"]), parts=parts)
    if way < 0.3:
        return Predicate(rng.choice(["isMissing", "isNotMissing"]), rng.choice(NAMES))
    if way < 0.5:
        return Predicate(
            rng.choice(["isIn", "isNotIn"]), "c", tuple(rng.sample(CATEGORIES, rng.randint(1, 2)))
        )
    if way < 0.6:
        return Predicate(rng.choice(["equal", "notEqual"]), "c", (rng.choice(CATEGORIES),))
    return Predicate(rng.choice(list(ORDERED)), rng.choice("xz"), (rng.choice([-1.0, 0.0, 0.5, 1.0]),))


def random_node(rng: random.Random, count: list[int], depth: int = 0) -> Node:
    count[0] += 1
    name, score = str(count[0]), float(count[0]) / 8
    test = Predicate("True") if depth == 0 or rng.random() < 0.1 else random_predicate(rng)
    children = (
        [random_node(rng, count, depth + 1) for _ in range(rng.randint(2, 3))]
        if depth < rng.randint(1, 4)
        else []
    )
    return Node(name, score, test, children)


def walk(node: Node, strategy: str, otherwise: str, row: Row) -> float:
    """The score a record ends with, NaN for none, as the specification walks."""
    while node.children:
        chosen = None
        for child in node.children:
            true = child.test.holds(row)
            if true:
                chosen = child
            elif true is None and strategy == "nullPrediction":
                return np.nan
            elif true is None and strategy == "lastPrediction":
                return node.score
            elif true is None and strategy == "defaultChild":
                chosen = node.children[-1]
            if chosen is not None:
                break
        if chosen is None:
            return node.score if otherwise == "returnLastPrediction" else np.nan
        node = chosen
    return node.score


@pytest.mark.parametrize("otherwise", ["returnNullPrediction", "returnLastPrediction"])
@pytest.mark.parametrize("strategy", ["none", "nullPrediction", "lastPrediction", "defaultChild"])
@pytest.mark.parametrize("seed", range(6))
def test_a_tree_answers_as_a_walk_does(seed, strategy, otherwise, tmp_path):
    rng = random.Random(f"{seed} {strategy} {otherwise}")
    root = random_node(rng, [0])
    schema = (
        "".join(f'<MiningField name="{n}"/>' for n in NAMES) + '<MiningField name="y" usageType="target"/>'
    )
    model = (
        '<TreeModel functionName="regression" splitCharacteristic="multiSplit" '
        f'missingValueStrategy="{strategy}" '
        f'noTrueChildStrategy="{otherwise}"><MiningSchema>{schema}</MiningSchema>{root.xml}</TreeModel>'
    )
    rows: list[Row] = [
        {
            **{n: rng.choice([None, -2.0, -1.0, -0.5, 0.0, 0.5, 0.75, 1.0, 3.0]) for n in "xz"},
            "c": rng.choice([None, *CATEGORIES]),
        }
        for _ in range(150)
    ]
    inputs = {n: np.array([[np.nan if r[n] is None else r[n]] for r in rows]) for n in "xz"}
    inputs["c"] = np.array([[r["c"] or ""] for r in rows], object)
    hub = bridge.load(write(tmp_path, document(model, FIELDS)))
    given = {v.name: inputs[v.name] for v in hub.graph.inputs}
    want = [walk(root, strategy, otherwise, row) for row in rows]
    found = bridge.run(hub, given)["predicted_y"].ravel()
    np.testing.assert_array_equal(np.broadcast_to(found, len(want)), want)
