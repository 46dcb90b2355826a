"""MiningModel: segments chosen by predicates, combined, chained, or added up in one ensemble of trees."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import UnreadableFile
from bridge.ops import OpTable
from bridge_pmml import predicates, results
from bridge_pmml.fields import Scope
from bridge_pmml.forest import Arrays, Features, Grower, Leaf, ensemble, root_of
from bridge_pmml.functions import median
from bridge_pmml.import_ops.composition import run_embedded_models
from bridge_pmml.import_ops.regression import reorder_columns
from bridge_pmml.import_ops.tree import leaf_table
from bridge_pmml.models import model_of, score_model
from bridge_pmml.reader import Element, child, children, describe, finite, number, text
from bridge_pmml.results import Result, classified, target_labels
from bridge_pmml.values import INT64, Val, parse

ops = OpTable()
SUMS = ("sum", "average", "weightedAverage", "weightedSum")
VOTES = ("majorityVote", "weightedMajorityVote")
CHAINS = ("modelChain", "multiModelChain", "x-multiModelChain")
WEIGHTED = ("weightedMajorityVote", "weightedAverage", "weightedMedian", "weightedSum")
MISSING = "\0"


@ops.op("MiningModel")
def mining_model(scope: Scope, node: Element) -> Result:
    segmentation = child(node, "Segmentation")
    if segmentation is None:
        return run_embedded_models(scope, node)
    segments = children(segmentation, "Segment")
    if not segments:
        raise UnreadableFile(f"{describe(segmentation)} has no Segment.")
    method = text(segmentation, "multipleModelMethod")
    if method in CHAINS:
        return chain_segments(scope, node, segments, several=method != "modelChain")
    if method in ("selectFirst", "selectAll"):
        return select_segments(scope, node, segments, method)
    forest = sum_trees(scope, node, segmentation, segments, method)
    return forest if forest is not None else Combined(scope, node, segmentation, segments).result(method)


def segment_weight(segment: Element) -> float:
    return number(segment, "weight", 1.0)


def segment_mask(scope: Scope, segment: Element) -> Any:
    """Mask of the records in which a segment takes part."""
    return predicates.evaluate(scope, predicates.predicate_of(segment)).true


def chain_segments(scope: Scope, node: Element, segments: list[Element], several: bool) -> Result:
    """Segments one after the other; each sees the outputs of those before. The last that takes part answers,
    or, with `several`, each for the target of its own."""
    columns = scope.columns
    inner = Scope(columns, scope)
    outputs_by_segment: dict[str, tuple[Result, dict[str, Val]]] = {}
    answers: dict[str, Result] = {}
    answer: Result | None = None
    for index, segment in enumerate(segments):
        model = model_of(segment)
        mask = segment_mask(inner, segment)
        result = score_model(inner, model)
        assert result.scope is not None
        outputs = results.output_columns(result.scope, model, result)
        if mask is not True:
            result = result.masked(columns, mask)
            outputs = {name: columns.blank(val, mask) for name, val in outputs.items()}
        inner.names.update(outputs)
        if result.target and result.value is not None and model.find("Output") is None:
            inner.names.setdefault(result.target, result.value)
        outputs_by_segment[segment.get("id", str(index + 1))] = replace(result), outputs
        answers[result.target] = result
        if node.find("Output") is None or index + 1 == len(segments):
            result.defaults = {n: v for n, v in outputs.items() if n in results.final_names(model)}
        answer = result if answer is None or mask is True else merge_results(scope, mask, result, answer)
    assert answer is not None
    if several:
        answer = join_targets(node, answers, outputs_by_segment)
    answer.segments = outputs_by_segment
    scope.names.update({k: v for k, v in inner.names.items() if k not in scope.names})
    return answer


def join_targets(
    node: Element, answers: dict[str, Result], segments: dict[str, tuple[Result, dict[str, Val]]]
) -> Result:
    """One result of several targets, and the outputs of all segments where the model itself has none."""
    first = next(iter(answers.values()))
    first.others = {target: each for target, each in answers.items() if each is not first}
    if node.find("Output") is None:
        first.defaults = {f"predicted_{t}": r.value for t, r in answers.items() if r.value is not None}
        for _, outputs in segments.values():
            first.defaults.update(outputs)
    return first


def merge_results(scope: Scope, mask: Any, first: Result, other: Result) -> Result:
    """`first` where `here` holds, else `other`; parts that only one has are missing elsewhere."""
    columns, op = scope.columns, scope.columns.op
    if mask is True:
        return first
    if mask is False:
        return other

    def merge_columns(a: Val | None, b: Val | None) -> Val | None:
        if a is not None and b is not None and a.text != b.text:
            return columns.blank(a, mask)
        if a is not None and b is not None:
            return columns.where(mask, a, b)
        if a is not None:
            return columns.blank(a, mask)
        return None if b is None else columns.blank(b, op.Not(mask))

    def merge_matrices(a: Any, b: Any) -> Any:
        gap = columns.scalar(math.nan)
        return None if a is b is None else op.Where(mask, gap if a is None else a, gap if b is None else b)

    result = Result(
        first.function,
        merge_columns(first.value, other.value),
        first.target or other.target,
        first.labels,
        first.data_type,
    )
    if first.labels == other.labels:
        result.probabilities = merge_matrices(first.probabilities, other.probabilities)
        result.confidences = merge_matrices(first.confidences, other.confidences)
    result.confidence = merge_columns(first.confidence, other.confidence)
    pairs = zip(first.entities, other.entities, strict=False)
    result.entities = [columns.where(mask, a, b) for a, b in pairs]
    result.affinity = merge_columns(first.affinity, other.affinity)
    result.display = merge_columns(first.display, other.display)
    result.reasons = [columns.where(mask, a, b) for a, b in zip(first.reasons, other.reasons, strict=False)]
    result.scope = first.scope
    if first.defaults and set(first.defaults) == set(other.defaults):
        result.defaults = {n: columns.where(mask, v, other.defaults[n]) for n, v in first.defaults.items()}
    return result


def select_segments(scope: Scope, node: Element, segments: list[Element], method: str) -> Result:
    """The first segment that takes part, or the outputs of all of them."""
    columns = scope.columns
    models = [model_of(s) for s in segments]
    masks = [segment_mask(scope, s) for s in segments]
    results_of_segments = [score_model(scope, m) for m in models]
    if method == "selectAll":
        named: dict[str, Val] = {}
        for model, mask, each in zip(models, masks, results_of_segments, strict=True):
            assert each.scope is not None
            own = results.output_columns(each.scope, model, each) or results.defaults(each.scope, each)
            for name, val in own.items():
                while name in named:
                    name += "_2"
                named[name] = columns.blank(val, mask)
        return Result(function="all", defaults=named)
    labels, data_type = target_labels(scope, node, [v for r in results_of_segments for v in r.labels])
    results_of_segments = [relabel(scope, r, labels, data_type) for r in results_of_segments]
    identifiers = [columns.constant(s.get("id") or str(i + 1)) for i, s in enumerate(segments)]
    for each, identifier in zip(results_of_segments, identifiers, strict=True):
        each.entities = [identifier]
    answer = results_of_segments[-1].masked(columns, masks[-1])
    for mask, each in reversed(list(zip(masks[:-1], results_of_segments[:-1], strict=True))):
        answer = merge_results(scope, mask, each, answer)
    answer.defaults = {}
    return answer


def relabel(scope: Scope, result: Result, labels: tuple[str, ...], data_type: str) -> Result:
    """A classification over other labels, 0 for those it does not know."""
    if result.function != "classification" or result.labels == labels:
        return result
    for name in ("probabilities", "confidences"):
        matrix = getattr(result, name)
        if matrix is not None:
            setattr(
                result, name, reorder_columns(scope.columns, matrix, list(result.labels), labels, data_type)
            )
    result.labels = labels
    return result


def is_simple_tree(scope: Scope, model: Element) -> bool:
    """A tree whose answer is its leaf's alone, on the values the models around it see."""
    if model.tag != "TreeModel" or child(model, "LocalTransformations") is not None:
        return False
    if child(model, "Targets") is not None or number(model, "missingValuePenalty", 1.0) != 1.0:
        return False
    return model.get("missingValueStrategy") not in ("weightedConfidence", "aggregateNodes")


def sum_trees(
    scope: Scope, node: Element, segmentation: Element, segments: list[Element], method: str
) -> Result | None:
    """All segments as one ensemble where they are plain trees that always take part; None where they are
    not."""
    if (
        method not in (*SUMS, *VOTES)
        or segmentation.get("missingPredictionTreatment", "continue") != "continue"
    ):
        return None
    if any(
        predicates.predicate_of(s).tag != "True" or child(s, "VariableWeight") is not None for s in segments
    ):
        return None
    models = [model_of(s) for s in segments]
    if not all(is_simple_tree(scope, m) for m in models) or not leaves_values_unchanged(scope, models):
        return None
    features, arrays, growers = Features(scope), Arrays(), []
    for index, model in enumerate(models):
        grower = Grower(model, features, arrays, index)
        grower.grow(root_of(model))
        growers.append(grower)
    weights = [segment_weight(s) if method in WEIGHTED else 1.0 for s in segments]
    forest = Forest(scope, node, features, arrays, growers, weights, method)
    if node.get("functionName") == "regression":
        return forest.regression()
    return forest.votes() if method in VOTES else forest.probabilities(models)


def leaves_values_unchanged(scope: Scope, models: list[Element]) -> bool:
    """True if the mining schemas of the segments change no value of the surrounding model."""
    seen: dict[tuple[Any, ...], bool] = {}
    for model in models:
        for item in children(child(model, "MiningSchema"), "MiningField"):
            if item.get("usageType", "active") not in ("active", "group", "order"):
                continue
            key = tuple(sorted(item.attrib.items()))
            if key not in seen:
                val, probe = scope.get(text(item, "name")), Scope(scope.columns, scope)
                after = probe.treat(item, val)
                seen[key] = after.tensor is val.tensor and probe.invalid is False
            if not seen[key]:
                return False
    return True


class Forest:
    """Plain trees, added up by one TreeEnsemble."""

    def __init__(
        self,
        scope: Scope,
        node: Element,
        features: Features,
        arrays: Arrays,
        growers: list[Grower],
        weights: list[float],
        method: str,
    ) -> None:
        self.scope, self.node, self.features, self.arrays = scope, node, features, arrays
        self.growers, self.weights, self.method = growers, weights, method
        self.average = method in ("average", "weightedAverage")

    def _scores(self) -> list[list[str | None]]:
        return [
            [None if n is None else n.get("score") or Leaf.of(n).score for n, _ in grower.nodes]
            for grower in self.growers
        ]

    def _numbers(self, scores: list[str | None]) -> np.ndarray:
        """Scores as numbers, NaN for none."""
        try:
            numbers = np.array([math.nan if s is None else float(s) for s in scores])
        except ValueError:
            numbers = np.array([])
        if np.isfinite(numbers).sum() != len(scores) - scores.count(None):
            numbers = np.array([math.nan if s is None else finite(s, self.node) for s in scores])
        return numbers

    def _of_leaves(self, entries: list[np.ndarray]) -> np.ndarray:
        """The entry of each leaf, of those of each tree's rows."""
        starts = np.cumsum([0, *map(len, entries)])[:-1]
        return np.concatenate(entries)[starts[self.arrays.leaf_trees] + self.arrays.leaf_rows]

    def regression(self) -> Result:
        """Σ weight · score of the leaves reached; missing where one leaf has no score."""
        scores = [self._numbers(row) for row in self._scores()]
        leaves = self._of_leaves([row * w for row, w in zip(scores, self.weights, strict=True)])
        columns = self.scope.columns
        total = ensemble(columns, self.features, self.arrays, np.zeros(len(leaves), np.int64), leaves, 1)
        if self.average:
            total = columns.op.Div(total, columns.scalar(sum(self.weights)))
        return Result("regression", columns.number(total))

    def votes(self) -> Result:
        """Shares of the trees' votes; missing where most of them give no class."""
        scores, columns, op = self._scores(), self.scope.columns, self.scope.columns.op
        labels, data_type = target_labels(
            self.scope, self.node, [s for row in scores for s in row if s is not None]
        )
        index_of_class = {parse(v, data_type): i for i, v in enumerate(labels)}
        count = len(labels) + 1
        class_indices = [
            [count - 1 if s is None else index_of_class[parse(s, data_type)] for s in row] for row in scores
        ]
        targets = self._of_leaves([np.array(row, np.int64) for row in class_indices])
        weights = np.array(self.weights)[self.arrays.leaf_trees]
        votes = ensemble(columns, self.features, self.arrays, targets, weights, count)
        if not any(s is None for row in scores for s in row):
            class_votes = op.Slice(votes, np.array([0]), np.array([count - 1]), np.array([1]))
            return classified(
                columns, op.Div(class_votes, columns.scalar(sum(self.weights))), labels, data_type
            )
        return majority_vote(self.scope, votes, labels, data_type)

    def probabilities(self, models: list[Element]) -> Result:
        """The mean of the leaves' probabilities."""
        columns, op = self.scope.columns, self.scope.columns.op
        leaves = [[None if n is None else Leaf.of(n) for n, _ in g.nodes] for g in self.growers]
        values = [
            v
            for row in leaves
            for leaf in row
            if leaf
            for v in (*leaf.counts, *([leaf.score] if leaf.score else []))
        ]
        labels, data_type = target_labels(self.scope, self.node, values)
        starts = np.cumsum([0, *(len(row) for row in leaves)])[:-1]
        targets = np.array(self.arrays.leaf_trees)
        rows = (starts[targets] + self.arrays.leaf_rows).astype(np.float64)
        leaf_index = ensemble(columns, self.features, self.arrays, targets, rows, len(self.growers))
        table = np.concatenate([leaf_table(row, labels, data_type, "probabilities") for row in leaves])
        for start, row, share in zip(starts, leaves, self.weights, strict=True):
            table[start : start + len(row)] *= share / sum(self.weights)
        picked = op.Gather(op.const(table), op.Cast(leaf_index, to=INT64), axis=0)
        matrix = op.ReduceSum(picked, np.array([1]), keepdims=0)
        return classified(columns, matrix, labels, data_type)


def majority_vote(scope: Scope, votes: Any, labels: tuple[str, ...], data_type: str) -> Result:
    """The class of most votes; the last column counts those for none."""
    columns, op, count = scope.columns, scope.columns.op, len(labels)
    class_votes = op.Slice(votes, np.array([0]), np.array([count]), np.array([1]))
    none = columns.gather_column(votes, count)
    total = op.ReduceSum(votes, np.array([1]))
    is_missing = op.Greater(none, op.ReduceMax(class_votes, np.array([1])))
    share = op.Where(is_missing, columns.scalar(math.nan), op.Div(class_votes, total))
    return classified(columns, share, labels, data_type)


class Combined:
    """Segments of any kind, combined value by value."""

    def __init__(self, scope: Scope, node: Element, segmentation: Element, segments: list[Element]) -> None:
        self.scope, self.node, self.columns = scope, node, scope.columns
        self.segments = segments
        self.treatment = segmentation.get("missingPredictionTreatment", "continue")
        self.threshold = number(segmentation, "missingThreshold", 1.0)
        self.masks = [segment_mask(scope, s) for s in segments]
        self.results = [score_model(scope, model_of(s)) for s in segments]

    def result(self, method: str) -> Result:
        """One answer from those of the segments that take part."""
        function = self.node.get("functionName", "regression")
        if function == "regression":
            return self._regression(method)
        if method in VOTES:
            return self._votes(method, function)
        if function != "classification":
            raise UnreadableFile(f"{describe(self.node)}: {method} does not combine a {function}.")
        return self._probabilities(method)

    def _segment_weights(self, method: str) -> Any:
        """Weights of the segments that take part, 0 elsewhere: double [N, segments]."""
        columns, op, parts = self.columns, self.columns.op, []
        for segment, mask, result in zip(self.segments, self.masks, self.results, strict=True):
            variable = child(segment, "VariableWeight")
            if variable is not None and method in WEIGHTED:
                weights = columns.to_number(
                    self._segment_field(segment, result, text(variable, "field"))
                ).tensor
            else:
                weights = columns.constant(segment_weight(segment) if method in WEIGHTED else 1.0).tensor
            parts.append(
                weights if mask is True else op.Where(columns.mask_column(mask), weights, columns.scalar(0.0))
            )
        return op.Concat(*parts, axis=1)

    def _segment_field(self, segment: Element, result: Result, name: str) -> Val:
        """A field as a segment sees it, or one of its outputs."""
        assert result.scope is not None
        outputs = results.output_columns(result.scope, model_of(segment), result)
        return outputs[name] if name in outputs else result.scope.get(name)

    def _treat_missing(self, is_missing: Any, weights: Any) -> tuple[Any, Any]:
        """Weights after missing results are left out, and where the answer is missing because of them."""
        columns, op = self.columns, self.columns.op
        zero = columns.scalar(0.0)
        lost = op.ReduceSum(op.Where(is_missing, weights, zero), np.array([1]))
        total = op.ReduceSum(weights, np.array([1]))
        nobody = op.Equal(total, zero)
        if self.treatment == "skipSegment":
            present_weights = op.Where(is_missing, zero, weights)
            share = op.Greater(op.Div(lost, total), columns.scalar(self.threshold))
            return present_weights, op.Or(
                nobody, op.Or(share, op.Equal(op.ReduceSum(present_weights, np.array([1])), zero))
            )
        return weights, op.Or(nobody, op.Greater(lost, zero))

    def _regression(self, method: str) -> Result:
        columns, op = self.columns, self.columns.op
        values = columns.concat_numbers([r.value or columns.constant(math.nan) for r in self.results])
        weights, gone = self._treat_missing(op.IsNaN(values), self._segment_weights(method))
        combined = combine_segments(columns, method, values, weights, self.node)
        return Result("regression", columns.number(op.Where(gone, columns.scalar(math.nan), combined)))

    def _votes(self, method: str, function: str) -> Result:
        columns, op = self.columns, self.columns.op
        values = [v for r in self.results for v in r.labels]
        labels, data_type = target_labels(self.scope, self.node, values)
        keys = [parse(v, data_type) for v in labels]
        parts = []
        for each in self.results:
            val = (
                columns.cast(each.value, data_type) if each.value is not None else columns.constant(math.nan)
            )
            index = columns.category_index(val, keys, len(keys))
            parts.append(op.Gather(op.const(np.eye(len(keys) + 1)), op.Squeeze(index, np.array([1])), axis=0))
        votes = op.Concat(*(op.Unsqueeze(p, np.array([1])) for p in parts), axis=1)
        weights = self._segment_weights(method)
        gone = op.Greater(op.Gather(votes, np.array(len(keys)), axis=2), columns.scalar(0.5))
        if self.treatment != "continue":
            weights, lost = self._treat_missing(gone, weights)
        total = op.ReduceSum(op.Mul(votes, op.Unsqueeze(weights, np.array([2]))), np.array([1]), keepdims=0)
        result = majority_vote(self.scope, total, labels, data_type)
        result.function = function
        if self.treatment != "continue":
            result = result.masked(columns, op.Not(lost))
        return result

    def _probabilities(self, method: str) -> Result:
        columns, op = self.columns, self.columns.op
        values = [v for r in self.results for v in r.labels]
        labels, data_type = target_labels(self.scope, self.node, values)
        matrices = [relabel(self.scope, r, labels, data_type).probabilities for r in self.results]
        if any(m is None for m in matrices):
            raise UnreadableFile(
                f"{describe(self.node)}: {method} needs probabilities, which a segment does not give."
            )
        stacked = op.Concat(*(op.Unsqueeze(m, np.array([1])) for m in matrices), axis=1)
        missing = op.ReduceMax(op.IsNaN(stacked), np.array([2]), keepdims=0)
        weights, gone = self._treat_missing(missing, self._segment_weights(method))
        if method == "max":
            return self._largest(stacked, weights, gone, labels, data_type)
        parts = [
            combine_segments(
                columns,
                method,
                op.Squeeze(op.Gather(stacked, np.array([i]), axis=2), np.array([2])),
                weights,
                self.node,
            )
            for i in range(len(labels))
        ]
        matrix = op.Where(gone, columns.scalar(math.nan), op.Concat(*parts, axis=1))
        return classified(columns, matrix, labels, data_type)

    def _largest(
        self, stacked: Any, weights: Any, gone: Any, labels: tuple[str, ...], data_type: str
    ) -> Result:
        """The class with the highest probability anywhere, and the mean of the models that gave it."""
        columns, op = self.columns, self.columns.op
        part = op.Unsqueeze(op.Greater(weights, columns.scalar(0.0)), np.array([2]))
        filled = op.Where(part, stacked, columns.scalar(-1.0))
        best = op.ReduceMax(filled, np.array([1]), keepdims=0)
        best = op.Where(gone, columns.scalar(math.nan), best)
        value = results.winner(columns, best, labels, data_type)
        top = op.ReduceMax(best, np.array([1]))
        gave = op.Cast(op.Equal(op.ReduceMax(filled, np.array([2]), keepdims=0), top), to=11)
        count = op.ReduceSum(gave, np.array([1]))
        mean = op.ReduceSum(op.Mul(filled, op.Unsqueeze(gave, np.array([2]))), np.array([1]), keepdims=0)
        return Result(
            "classification", value, labels=labels, data_type=data_type, probabilities=op.Div(mean, count)
        )


def combine_segments(columns: Any, method: str, values: Any, weights: Any, node: Element) -> Any:
    """One column from those of the segments, [N, segments], each with its weight (0: takes no part)."""
    op, zero = columns.op, columns.scalar(0.0)
    used = op.Greater(weights, zero)
    if method in SUMS:
        total = op.ReduceSum(op.Where(used, op.Mul(values, weights), zero), np.array([1]))
        return op.Div(total, op.ReduceSum(weights, np.array([1]))) if "verage" in method else total
    if method == "median":
        width = int(values.shape[1])
        filled = op.Where(used, values, columns.scalar(math.inf))
        return median(op, filled, op.ReduceSum(op.Cast(used, to=11), np.array([1])), width)
    if method == "weightedMedian":
        return weighted_median(columns, values, weights)
    raise UnreadableFile(f"{describe(node)}: the method {method!r} is unknown here.")


def weighted_median(columns: Any, values: Any, weights: Any) -> Any:
    """The first value, in order, at which half of the weight is reached."""
    op, width = columns.op, int(values.shape[1])
    filled = op.Where(op.Greater(weights, columns.scalar(0.0)), values, columns.scalar(math.inf))
    ordered, indices = op.TopK(filled, np.array([width]), axis=1, largest=0, sorted=1, _outputs=2)
    summed = op.CumSum(op.GatherElements(weights, indices, axis=1), np.array(1))
    half = op.Mul(op.ReduceSum(weights, np.array([1])), columns.scalar(0.5))
    reached = op.Cast(op.GreaterOrEqual(summed, half), to=ir.DataType.INT32)
    return op.GatherElements(ordered, op.ArgMax(reached, axis=1, keepdims=1), axis=1)
