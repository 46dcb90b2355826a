"""TreeModel: the leaf that a record reaches, and its prediction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bridge.errors import UnreadableFile
from bridge.ops import OpTable
from bridge_pmml import predicates
from bridge_pmml.fields import Scope
from bridge_pmml.folded_trees import unfold
from bridge_pmml.forest import Arrays, Features, Grower, Leaf, ensemble, root_of
from bridge_pmml.predicates import predicate_of
from bridge_pmml.reader import Element, children, describe, finite, number
from bridge_pmml.results import Result, target_labels, target_name, winner
from bridge_pmml.values import INT64, Val, logical_and, logical_not, logical_or, parse

ops = OpTable()
SMALL = 2_000


@ops.op("TreeModel")
def tree_model(scope: Scope, node: Element) -> Result:
    if node.get("missingValueStrategy") in ("weightedConfidence", "aggregateNodes"):
        return weighted_result(scope, node)
    features, arrays = Features(scope), Arrays()
    penalty = number(node, "missingValuePenalty", 1.0)
    grower = Grower(node, features, arrays, 0, counted=penalty != 1.0)
    grower.grow(root_of(node))
    rows = np.array(arrays.leaf_rows, np.float64)
    leaf_index = ensemble(scope.columns, features, arrays, np.zeros(len(rows), np.int64), rows, 1)
    return leaf_result(scope, node, grower, scope.columns.op.Cast(leaf_index, to=INT64), penalty)


def leaf_result(scope: Scope, node: Element, grower: Grower, row: Any, penalty: float = 1.0) -> Result:
    """The result of the leaf at `row`, int64 [N, 1], of a tree's leaves."""
    columns = scope.columns
    leaves = [None if n is None else Leaf.of(n) for n, _ in grower.nodes]
    function = node.get("functionName", "")
    name = target_name(node)
    declared = scope.declared(name) if name else None
    ids = columns.by_row(row, ["" if leaf is None else leaf.id for leaf in leaves])
    entities = [ids] if any(leaf and leaf.id for leaf in leaves) else []
    if function != "classification":
        data_type = declared.data_type if declared and not declared.text else "double"
        scores = [
            math.nan if leaf is None or leaf.score is None else finite(leaf.score, node) for leaf in leaves
        ]
        return Result("regression", columns.by_row(row, scores, data_type), entities=entities)
    values = [leaf.score for leaf in leaves if leaf and leaf.score is not None]
    values += [v for leaf in leaves if leaf for v in leaf.counts]
    labels, data_type = target_labels(scope, node, values)
    gap: Any = "" if isinstance(parse(labels[0], data_type) if labels else "", str) else math.nan
    scores = [gap if leaf is None or leaf.score is None else parse(leaf.score, data_type) for leaf in leaves]
    value = columns.by_row(row, scores, data_type).with_(values=labels)
    result = Result("classification", value, labels=labels, data_type=data_type, entities=entities)
    if any(leaf and leaf.counts for leaf in leaves):
        tables = [leaf_table(leaves, labels, data_type, what) for what in ("probabilities", "confidences")]
        factor = np.array([[penalty**missed] for _, missed in grower.nodes])
        flat = columns.op.Squeeze(row, np.array([1]))
        result.probabilities, result.confidences = (
            columns.op.Gather(columns.op.const(t), flat, axis=0) for t in (tables[0], tables[1] * factor)
        )
    return result


def leaf_table(
    leaves: list[Leaf | None], labels: tuple[str, ...], data_type: str, statistic: str
) -> np.ndarray:
    """Statistics of the score distributions, [leaves, classes]; 0 for a class that is not listed."""
    index_of_class = {parse(label, data_type): i for i, label in enumerate(labels)}
    values = dict.fromkeys(v for leaf in leaves if leaf is not None for v in leaf.counts)
    column_of = {value: index_of_class[parse(value, data_type)] for value in values}
    table = np.full((len(leaves), len(labels)), math.nan)
    for row, leaf in enumerate(leaves):
        if leaf is not None and leaf.counts:
            table[row] = 0.0
            for value, entry in getattr(leaf, statistic).items():
                table[row, column_of[value]] = entry
    return table


def weighted_result(scope: Scope, node: Element) -> Result:
    """Strategies that follow several children at once: every node's share of a record, then their sums.

    `aggregateNodes` adds up the record counts of the leaves a record may reach; `weightedConfidence` stops
    where a predicate is unknown and weighs the confidences of the children that are not excluded by their
    part of the records.
    """
    root = unfold(root_of(node))
    if sum(1 for _ in root.iter("Node")) > SMALL:
        raise UnreadableFile(f"{describe(node)} has more than {SMALL} nodes for its missing value strategy.")
    if node.get("functionName") != "classification":
        raise UnreadableFile(f"{describe(node)}: its missing value strategy is for classification.")
    columns, op = scope.columns, scope.columns.op
    reached: list[tuple[Any, Any, Element]] = []
    collect_leaves(scope, node, root, columns.scalar(1.0), False, reached)
    leaves = [Leaf.of(leaf) for _, _, leaf in reached]
    values = [v for leaf in leaves for v in leaf.counts]
    labels, data_type = target_labels(scope, node, values)
    several = columns.mask_column(any_of([split for _, split, _ in reached], op))
    shares = op.Concat(*(op.Expand(share, columns.rows()) for share, _, _ in reached), axis=1)
    tables = {
        w: np.nan_to_num(leaf_table(list(leaves), labels, data_type, w))
        for w in ("counts", "probabilities", "confidences")
    }
    statistic = "counts" if node.get("missingValueStrategy") == "aggregateNodes" else "confidences"
    total = op.MatMul(shares, op.const(tables[statistic]))
    weight_sum = op.ReduceSum(total, np.array([1]))
    mixed = op.Div(total, weight_sum) if statistic == "counts" else total
    nothing = op.Equal(weight_sum, columns.scalar(0.0))
    gap = columns.scalar(math.nan)
    mixed = op.Where(nothing, gap, mixed)
    alone = [op.MatMul(shares, op.const(tables[w])) for w in ("probabilities", "confidences")]
    scores = reached_score(scope, reached, leaves, labels, data_type)
    value = columns.where(several, winner(columns, mixed, labels, data_type), scores)
    probabilities, confidences = (op.Where(several, mixed, op.Where(nothing, gap, a)) for a in alone)
    ids = reached_id(scope, reached, [leaf.id for leaf in leaves], several)
    result = Result("classification", value.with_(values=labels), labels=labels, data_type=data_type)
    result.probabilities, result.confidences = probabilities, confidences
    result.entities = [ids] if any(leaf.id for leaf in leaves) else []
    return result


def any_of(masks: list[Any], op: Any) -> Any:
    result: Any = False
    for mask in masks:
        result = logical_or(result, mask, op)
    return result


def collect_leaves(
    scope: Scope, model: Element, node: Element, share: Any, split: Any, reached: list
) -> None:
    """Shares of the leaves below a node; `split` is where the way there was not certain."""
    columns, op = scope.columns, scope.columns.op
    below = children(node, "Node")
    if not below:
        reached.append((share, split, node))
        return
    counting = model.get("missingValueStrategy") == "aggregateNodes"
    total = number(node, "recordCount", math.nan)
    open_ways: Any = True
    doubt: Any = False
    truths = [predicates.evaluate(scope, predicate_of(c)) for c in below]
    for truth in truths:
        unknown = logical_and(logical_not(logical_or(truth.true, truth.false, op), op), open_ways, op)
        doubt = logical_or(doubt, unknown, op)
        open_ways = logical_and(open_ways, logical_not(truth.true, op), op)
    open_ways = True
    last = model.get("noTrueChildStrategy") == "returnLastPrediction"
    for child_node, truth in zip(below, truths, strict=True):
        here = logical_and(open_ways, logical_not(truth.false, op), op)
        if counting:
            part = op.Mul(share, switch(columns, here))
            collect_leaves(
                scope, model, child_node, part, logical_or(split, logical_and(doubt, here, op), op), reached
            )
        else:
            weight = number(child_node, "recordCount", math.nan) / total
            unsure = logical_and(here, doubt, op)
            part = op.Mul(share, op.Mul(switch(columns, unsure), columns.scalar(weight)))
            reached.append((part, logical_or(split, unsure, op), child_node))
            sure = switch(columns, logical_and(here, logical_not(doubt, op), op))
            collect_leaves(scope, model, child_node, op.Mul(share, sure), split, reached)
        open_ways = logical_and(open_ways, logical_not(truth.true, op), op)
    if last:
        alone = logical_and(open_ways, logical_not(doubt, op), op)
        reached.append((op.Mul(share, switch(columns, alone)), split, node))


def switch(columns: Any, mask: Any) -> Any:
    """1 where a mask holds, 0 elsewhere."""
    return columns.op.Where(columns.mask_column(mask), columns.scalar(1.0), columns.scalar(0.0))


def reached_score(
    scope: Scope, reached: list, leaves: list[Leaf], labels: tuple[str, ...], data_type: str
) -> Val:
    """The score of the one leaf reached."""
    columns = scope.columns
    gap: Any = "" if isinstance(parse(labels[0], data_type), str) else math.nan
    score = columns.constant(gap, data_type)
    for (share, _, _), leaf in zip(reached, leaves, strict=True):
        if leaf.score is not None:
            hit = columns.op.Greater(share, columns.scalar(0.0))
            score = columns.where(hit, columns.constant(parse(leaf.score, data_type), data_type), score)
    return score


def reached_id(scope: Scope, reached: list, ids: list[str], several: Any) -> Val:
    columns = scope.columns
    node_id = columns.constant("", "string")
    for (share, _, _), name in zip(reached, ids, strict=True):
        hit = columns.op.Greater(share, columns.scalar(0.0))
        node_id = columns.where(hit, columns.constant(name, "string"), node_id)
    return columns.blank(node_id, logical_not(several, columns.op))
