"""AssociationModel: the rules whose items a basket contains, ranked. A record is a basket: its items are
read side by side."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bridge.errors import UnreadableFile
from bridge.ops import OpTable
from bridge_pmml.fields import Scope, active_fields
from bridge_pmml.reader import Element, child, children, describe, flag, number, optional, text
from bridge_pmml.results import Result
from bridge_pmml.values import Val, parse

ops = OpTable()
MEASURES = ("confidence", "support", "lift", "leverage", "affinity")
FEATURES = ("antecedent", "consequent", "rule", "ruleId", *MEASURES)
ALGORITHMS = ("recommendation", "exclusiveRecommendation", "ruleAssociation")


def basket_field(node: Element) -> str:
    """The field that holds the items of a basket; "" where every item is a value of a field of its own.

    Raises UnreadableFile where it cannot be told.
    """
    items, schema = children(node, "Item"), list(active_fields(child(node, "MiningSchema")))
    names = [text(m, "name") for m in schema if m.get("usageType") not in ("group", "order")]
    if all(i.get("field") for i in items) or (
        len(names) == len(schema) and all(own_field(i, names) is not None for i in items)
    ):
        return ""
    if len(names) != 1:
        raise UnreadableFile(
            f"{describe(node)} has {len(names)} active fields; one holds the items of a basket."
        )
    return names[0]


def own_field(item: Element, names: list[str]) -> tuple[str, str | None] | None:
    """The field and the category of an item: as it says, or as its value does, which is a field that is true,
    or a field = a category. None for an item of a basket."""
    if item.get("field"):
        return text(item, "field"), text(item, "category")
    value = text(item, "value")
    if value in names:
        return value, None
    field, equals, category = value.partition("=")
    return (field, category) if equals and field in names else None


def basket_items(scope: Scope, node: Element) -> Any:
    """Indicators of the items in each basket, double [N, items]."""
    columns, op, items = scope.columns, scope.columns.op, children(node, "Item")
    name = basket_field(node)
    if not name:
        fields = [text(m, "name") for m in active_fields(child(node, "MiningSchema"))]
        return columns.concat_numbers([_flag(scope, own_field(item, fields)) for item in items])
    val = scope.get(name)
    if not isinstance(scope.invalid, bool):
        any_invalid = op.ReduceMax(op.Cast(scope.invalid, to=6), np.array([1]))
        scope.invalid = op.Greater(any_invalid, np.array([[0]], np.int32))
    values = [parse(text(i, "value"), val.data_type) for i in items]
    indices = columns.category_index(val, list(dict.fromkeys(values)), len(values))
    hits = op.Equal(op.Unsqueeze(indices, np.array([2])), op.const(_first(values)[None, None]))
    count = op.ReduceSum(op.Cast(hits, to=11), np.array([1]), keepdims=0)
    return op.Cast(op.Greater(count, columns.scalar(0.0)), to=11)


def _first(values: list[Any]) -> np.ndarray:
    """The place of each value among those that differ."""
    order = {v: i for i, v in enumerate(dict.fromkeys(values))}
    return np.array([order[v] for v in values], np.int64)


def _flag(scope: Scope, own: tuple[str, str | None] | None) -> Val:
    """1 where a field has an item's category, or is true."""
    assert own is not None
    name, category = own
    val = scope.get(name)
    trues = [category] if category is not None else ["T", "true"] if val.text else ["true"]
    return scope.columns.lookup(val, {parse(t, val.data_type): 1.0 for t in trues}, 0.0, 0.0)


class Rules:
    """The rules of a model on the baskets of a scope."""

    def __init__(self, scope: Scope, node: Element) -> None:
        self.columns = scope.columns
        self.items = {text(i, "id"): index for index, i in enumerate(children(node, "Item"))}
        self.words = [i.get("value") or i.get("category", "") for i in children(node, "Item")]
        self.sets = {text(s, "id"): s for s in children(node, "Itemset")}
        self.rules = children(node, "AssociationRule")
        if not (self.items and self.rules):
            raise UnreadableFile(f"{describe(node)} has no rules.")
        self.contained = self._contained_itemsets(basket_items(scope, node))
        self._ranked: dict[Any, Any] = {}

    def _item_indices(self, itemset: Element) -> list[int]:
        names = [text(r, "itemRef") for r in children(itemset, "ItemRef")]
        unknown = [n for n in names if n not in self.items]
        if unknown:
            raise UnreadableFile(f"{describe(itemset)} names an item {unknown[0]!r}, which is not there.")
        return [self.items[n] for n in names]

    def _contained_itemsets(self, presence: Any) -> dict[str, Any]:
        """Masks of the rules whose antecedent, or consequent, is part of the basket, bool [N, rules]."""
        op, masks = self.columns.op, {}
        for side in ("antecedent", "consequent"):
            table = np.zeros((len(self.words), len(self.rules)))
            for index, rule in enumerate(self.rules):
                table[self._item_indices(self._set(rule, side)), index] = 1.0
            masks[side] = op.GreaterOrEqual(
                op.MatMul(presence, op.const(table)), op.const(table.sum(axis=0)[None])
            )
        return masks

    def _set(self, rule: Element, side: str) -> Element:
        name = text(rule, side)
        if name not in self.sets:
            raise UnreadableFile(f"{describe(rule)} names an itemset {name!r}, which is not there.")
        return self.sets[name]

    def measure(self, rule: Element, name: str) -> float:
        """Measure of a rule: as written, else computed from the supports of its itemsets; NaN where
        neither is there."""
        written = optional(rule, name)
        if written is not None:
            return written
        a, c = (number(self._set(rule, s), "support", math.nan) for s in ("antecedent", "consequent"))
        both = number(rule, "support")
        try:
            return {
                "lift": number(rule, "confidence") / c,
                "leverage": both - a * c,
                "affinity": both / (a + c - both),
            }[name]
        except ZeroDivisionError:
            return math.nan

    def format_itemset(self, rule: Element, side: str) -> str:
        words = [self.words[i] for i in self._item_indices(self._set(rule, side))]
        return words[0] if len(words) == 1 else "{" + " , ".join(words) + "}"

    def rule_feature(self, index: int, feature: str) -> Any:
        """Value of an output feature for one rule."""
        rule = self.rules[index]
        if feature in MEASURES:
            return self.measure(rule, feature)
        if feature == "ruleId":
            return rule.get("id") or str(index + 1)
        if feature == "rule":
            return f"{self.format_itemset(rule, 'antecedent')} -> {self.format_itemset(rule, 'consequent')}"
        return self.format_itemset(rule, feature)

    def fires(self, algorithm: str) -> Any:
        """Mask of the rules that apply, bool [N, rules]. The basket contains the antecedent; depending on
        the algorithm it must contain, or not contain, the consequent."""
        op, antecedent = self.columns.op, self.contained["antecedent"]
        if algorithm == "recommendation":
            return antecedent
        consequent = self.contained["consequent"]
        return op.And(antecedent, consequent if algorithm == "ruleAssociation" else op.Not(consequent))

    def rank_rules(self, algorithm: str, basis: str, descending: bool) -> tuple[list[int], Any]:
        """Rules from the best to the worst, and how far from last each that counts is, double [N, rules]."""
        key = algorithm, basis, descending
        if key not in self._ranked:
            op = self.columns.op
            scores = [self.measure(r, basis) for r in self.rules]
            sign = -1.0 if descending else 1.0
            order = sorted(
                range(len(scores)),
                key=lambda i: (math.isnan(scores[i]), sign * scores[i] if scores[i] == scores[i] else 0.0),
            )
            fired = op.Gather(self.fires(algorithm), np.array(order, np.int64), axis=1)
            left = np.arange(len(order), 0, -1, dtype=np.float64)[None]
            self._ranked[key] = order, op.Mul(op.Cast(fired, to=11), op.const(left))
        return self._ranked[key]

    def output(self, item: Element) -> Val | None:
        """One OutputField, [N, 1], or [N, rank] where it is multi-valued; None for what says nothing of
        rules."""
        feature = item.get("feature", "predictedValue")
        feature = item.get("ruleFeature", "consequent") if feature == "ruleValue" else feature
        feature = (
            "ruleId" if feature == "entityId" else "consequent" if feature == "predictedValue" else feature
        )
        if feature not in FEATURES:
            return None
        algorithm = item.get("algorithm", "exclusiveRecommendation")
        basis = item.get("rankBasis", "confidence")
        if algorithm not in ALGORITHMS or basis not in MEASURES:
            raise UnreadableFile(
                f"{describe(item)}: the algorithm {algorithm!r} or rankBasis {basis!r} is unknown."
            )
        several, rank = flag(item, "isMultiValued"), int(number(item, "rank", 1))
        descending = item.get("rankOrder", "descending") == "descending"
        return self.best(feature, self.rank_rules(algorithm, basis, descending), rank, several)

    def best(self, feature: str, ranked: tuple[list[int], Any], rank: int, several: bool) -> Val:
        columns, op = self.columns, self.columns.op
        order, left = ranked
        gap: Any = math.nan if feature in MEASURES else ""
        data_type = "double" if feature in MEASURES else "string"
        if not several and not 1 <= rank <= len(order):
            return columns.constant(gap, data_type)
        width = min(rank or len(order), len(order))
        values, indices = op.TopK(left, np.array([width]), axis=1, largest=1, sorted=1, _outputs=2)
        if not several:
            values, indices = (
                columns.gather_column(values, width - 1),
                columns.gather_column(indices, width - 1),
            )
        there = op.Greater(values, columns.scalar(0.0))
        indices = op.Where(there, indices, np.array([[len(order)]], np.int64))
        output = columns.by_row(indices, [*(self.rule_feature(i, feature) for i in order), gap], data_type)
        return output.with_(width=width if several else 1)


@ops.op("AssociationModel")
def association(scope: Scope, node: Element) -> Result:
    """The best rule that recommends something new, its consequent and its number, unless Output asks for
    others."""
    rules = Rules(scope, node)
    best = rules.rank_rules("exclusiveRecommendation", "confidence", True)
    consequent = rules.best("consequent", best, 1, False)
    result = Result("associationRules", consequent, outputs=rules.output)
    result.entities = [rules.best("ruleId", best, 1, False)]
    result.defaults = {
        "consequent": consequent,
        "rule": rules.best("rule", best, 1, False),
        "rule_id": result.entities[0],
    }
    return result
