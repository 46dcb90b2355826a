"""The places where two hub models part: values followed from the inputs on, each candidate's operator fed
with the reference's own values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.digests import content_of
from bridge.quant import is_quantize
from bridge.traits import BROADCASTING, ELEMENTWISE, MOVES_DATA, is_a
from bridge.workbench.bisect_fit import Fit
from bridge.workbench.bisect_match import (
    Pair,
    View,
    error_of,
    is_informative,
    own_names,
    pairs_of,
    similarity,
    squeezed,
    views_of,
)
from bridge.workbench.bisect_values import Values, values_in

__all__ = ["Parting", "Search", "Tolerance"]

ROUNDS = 16
TRIES = 60
COUNTERPARTS = 6
ENOUGH = 2
"""Values downstream that are right again before a place counts as found, where others part as well."""
MOST = 4
LARGEST_HALF = float(np.finfo(np.float16).max)
ALIKE = 0.3
"""The cosine from which a value may be another one computed wrongly."""


@dataclass(frozen=True)
class Tolerance:
    """The error from which values are no counterparts, and from which an operator fed with right values is
    wrong."""

    matched: float = 1e-3
    wrong: float = 1e-4
    halves: bool = False


@dataclass(frozen=True)
class Parting:
    """A value that the candidate computes otherwise of the reference's own values: the operators of either
    model between those and it, the likeliest of the reference's first."""

    pair: Pair
    first: tuple[ir.Node, ...]
    second: tuple[ir.Node, ...]


@dataclass
class Search:
    """Two hub models on the same inputs, which `fit` gives the candidate as it takes them; `outputs` are
    those of the candidate by those of the reference."""

    reference: ir.Model
    candidate: ir.Model
    inputs: list[dict[str, Any]]
    fit: Fit
    outputs: Mapping[ir.Value, ir.Value]
    tolerance: Tolerance
    runs: int = 0
    pairs: dict[ir.Value, Pair] = field(default_factory=dict)
    good: set[ir.Value] = field(default_factory=set)
    first: Values = field(default_factory=dict)
    free: Values = field(default_factory=dict)
    forced: Values = field(default_factory=dict)
    lost: list[ir.Value] = field(default_factory=list)

    def partings(self) -> list[Parting]:
        """The places where the models part, in the reference's order; `pairs` are then all values that
        correspond, `free` the candidate's own values, `forced` those it computes of the reference's; `lost`
        those of the reference that nothing in the candidate may be, by their sizes."""
        self.begin()
        found: list[Parting] = []
        while len(found) < MOST and (suspects := self._suspects()):
            pair = self._repairing(suspects)
            if pair is None:
                self.lost = suspects
                break
            found.append(self.parting(pair))
            self.pairs[pair.first] = pair
            self.forced = self._run(self._given())
            self._follow()
        local = {first: pair.measured(self.first, self.forced) for first, pair in self.pairs.items()}
        self.pairs = {first: local[first] for first in self.first if first in local}
        places = {value: index for index, value in enumerate(self.first)}
        seen = {parting.pair.first for parting in found}
        found += [
            self.parting(pair)
            for first, pair in self.pairs.items()
            if first not in seen and pair.error > self.tolerance.wrong
        ]
        return sorted(found, key=lambda parting: places[parting.pair.first])

    def begin(self) -> None:
        """Compute the values of both, and pair those that correspond."""
        if not self.first:
            self.first = values_in(self.reference, self.inputs)
            self.free = self.forced = self._run({})
            self._pair_outputs()
            self._follow()

    def overflow(self) -> Parting | None:
        """The first float16 of the candidate that is infinite where the reference's value is larger than
        float16 holds, and is that value elsewhere."""
        for second, found in self.free.items():
            if second.dtype != ir.DataType.FLOAT16 or all(np.isfinite(b).all() for b in found):
                continue
            for first, arrays in self.first.items():
                for view in views_of(first, arrays, found):
                    if self._overflows_as(view.of(arrays), found):
                        return self.parting(Pair(first, second, view))
        return None

    def _overflows_as(self, arrays: list[np.ndarray], found: list[np.ndarray]) -> bool:
        a, b = (np.concatenate([x.ravel() for x in each]).astype(np.float64) for each in (arrays, found))
        lost = ~np.isfinite(b)
        near = error_of([a[~lost]], [b[~lost]]) <= self.tolerance.matched
        return bool(near and (np.abs(a[lost]) > LARGEST_HALF * (1 - self.tolerance.matched)).all())

    def _run(self, given: Mapping[ir.Value, list[np.ndarray]]) -> Values:
        self.runs += 1
        found = values_in(self.candidate, [self.fit.given(i) for i in self.inputs], given)
        if np.isfinite(self.tolerance.wrong):
            return found
        return {v: arrays for v, arrays in found.items() if not is_yet_to_round(v)}

    def _given(self, *more: Pair) -> dict[ir.Value, list[np.ndarray]]:
        return {p.second: p.view.of(self.first[p.first]) for p in (*self.pairs.values(), *more)}

    def _pair_outputs(self) -> None:
        """Outputs of one name are counterparts where they are alike."""
        for first, second in self.outputs.items():
            if first not in self.first or second not in self.free:
                continue
            pair = self._same(first, second, self.free)
            if pair is not None and pair.error <= self.tolerance.matched:
                self.pairs[first] = pair

    def _same(self, first: ir.Value, second: ir.Value, values: Values) -> Pair | None:
        arrays, others = self.first[first], values[second]
        view = next(iter(views_of(first, arrays, others)), None)
        return None if view is None else Pair(first, second, view).measured(self.first, values)

    def _follow(self) -> None:
        """Pair values from the inputs on, those found so far being right, until no more correspond."""
        for _ in range(ROUNDS):
            pairs, good = self._matched(self.forced)
            self.good = {*good, *self.pairs}
            if not pairs:
                return
            self.pairs |= {pair.first: pair for pair in pairs}
            self.good |= {*self.pairs}
            self.forced = self._run(self._given())

    def _matched(self, values: Values) -> tuple[list[Pair], set[ir.Value]]:
        taken = {pair.second for pair in self.pairs.values()} | {*self.outputs.values()}
        rest = {v: a for v, a in self.first.items() if v not in self.pairs and v not in self.outputs}
        pairs, good = pairs_of(rest, values, self.tolerance.matched, taken)
        ends = (self._same(a, b, values) for a, b in self.outputs.items() if a in self.first and b in values)
        pairs += [p for p in ends if p and p.first not in self.pairs and p.error <= self.tolerance.matched]
        return pairs, good

    def _suspects(self) -> list[ir.Value]:
        """Values of the reference without a counterpart that lead, by nothing but such, to an output that has
        none."""
        stack = [first for first in self.outputs if first in self.first and first not in self.good]
        seen: set[ir.Value] = set()
        while stack:
            value = stack.pop()
            if value in seen or value in self.good:
                continue
            seen.add(value)
            stack.extend(inputs_of(value))
        return [value for value in self.first if value in seen]

    def _repairing(self, suspects: list[ir.Value]) -> Pair | None:
        """The first value without which nothing would be wrong: with the reference's own in its place the
        outputs are right, or else what follows is."""
        best: tuple[float, Pair] | None = None
        for _, pair in zip(range(TRIES), self._tries(suspects), strict=False):
            values = self._run(self._given(pair))
            repaired = self._repaired(pair, suspects, values)
            if repaired >= ENOUGH:
                return pair
            if best is None or repaired > best[0]:
                best = repaired, pair
        return None if best is None else best[1]

    def _repaired(self, pair: Pair, suspects: list[ir.Value], values: Values) -> float:
        """The number of suspects that are right with this value in place, infinite where all outputs are."""
        ends = [(a, b) for a, b in self.outputs.items() if a in suspects and b in values]
        wrong = [
            first
            for first, second in ends
            if first is not pair.first
            and ((same := self._same(first, second, values)) is None or same.error > self.tolerance.matched)
        ]
        if not wrong:
            return float("inf")
        following = {pair.first}
        moved = {pair.first}
        for value in suspects:
            if following & {*inputs_of(value)}:
                following.add(value)
                node = value.producer()
                if node is not None and is_a(node, MOVES_DATA) and moved & {*inputs_of(value)}:
                    moved.add(value)
        rest = {v: self.first[v] for v in following - moved if v in self.first}
        taken = {p.second for p in self.pairs.values()} | {pair.second}
        others = {v: a for v, a in values.items() if v not in taken}
        return len(pairs_of(rest, others, self.tolerance.matched)[1])

    def _tries(self, suspects: list[ir.Value]) -> Iterator[Pair]:
        """Each suspect in the place of each value it may be, computed wrongly."""
        taken = {pair.second for pair in self.pairs.values()}
        for first in suspects:
            arrays = self.first[first]
            if first in self.outputs:
                others = [self.outputs[first]]
            elif is_informative(arrays):
                others = [v for v in self.forced if v not in taken and v not in self.outputs.values()]
            else:
                others = []
            ranked = []
            for place, second in enumerate(others):
                if second not in self.forced:
                    continue
                named = bool(own_names(first) & own_names(second))
                for view in self._views(first, second, named):
                    alike = similarity(view.of(arrays), self.forced[second])
                    ranked.append(
                        (not named, -alike if alike > ALIKE else 0.0, place, Pair(first, second, view))
                    )
            yield from (pair for *_, pair in sorted(ranked, key=lambda item: item[:-1])[:COUNTERPARTS])

    def _views(self, first: ir.Value, second: ir.Value, named: bool) -> Iterator[View]:
        arrays, others = self.first[first], self.forced[second]
        for view in views_of(first, arrays, others):
            if named or not view.is_plain or squeezed(arrays[0].shape) == squeezed(others[0].shape):
                yield view

    def parting(self, pair: Pair) -> Parting:
        """The operators between a value that corresponds to none, or to one that is not right, and what is
        right."""
        pair = pair.measured(self.first, self.forced)
        known = {p.second for p in self.pairs.values()}
        first = nodes_between(pair.first, self.good - {pair.first})
        second = nodes_between(pair.second, known - {pair.second})
        doubts = {node: self._doubt(node, second) for node in first}
        last = pair.first.producer()
        computing = [node for node in first if not doubts[node][0] or node is last]
        return Parting(pair, tuple(sorted(computing, key=doubts.__getitem__)), tuple(second))

    def overflows(self, node: ir.Node) -> bool:
        """True if the reference's operator gives more than float16 holds."""
        arrays = [a for v in node.outputs for a in self.first.get(v, ()) if a.dtype.kind == "f"]
        return any(np.abs(a[np.isfinite(a)]).max(initial=0) > LARGEST_HALF for a in arrays)

    def _doubt(self, node: ir.Node, others: list[ir.Node]) -> tuple[bool, bool, bool]:
        """Sorts operators that the candidate has as well, attributes and weights, behind those it has not;
        and what computes no numbers behind all."""
        own = [v for v in node.outputs if v in self.first]
        if self.tolerance.halves and self.overflows(node):
            return False, False, False
        numbers = any(is_informative(self.first[v]) for v in own)
        theirs = {
            content_of(v.const_value) for n in others for v in n.inputs if v is not None and v.const_value
        }
        same_weights = all(content_of(v.const_value) in theirs for v in node.inputs if v and v.const_value)
        attributes = described(node)
        same = same_weights and any(described(other) == attributes for other in others)
        return not numbers, True, same


def described(node: ir.Node) -> tuple[str, tuple[str, ...]]:
    """The name an operator has, and its attributes as they are given."""
    plain = sorted(f"{name}={attribute.value!r}" for name, attribute in node.attributes.items())
    return hub.qualified(node), tuple(plain)


def is_yet_to_round(value: ir.Value, depth: int = 4) -> bool:
    """True for what is read by nothing but its quantization, or by the bias and activation of one kernel
    before that: the quantization belongs to the operator that gives it."""
    readers = [use.node for use in value.uses()]
    if not readers or value.is_graph_output():
        return False
    if all(is_quantize(node) for node in readers):
        return True
    inside = depth and len(readers) == 1 and is_a(readers[0], ELEMENTWISE, BROADCASTING)
    return bool(inside) and is_yet_to_round(readers[0].outputs[0], depth - 1)


def inputs_of(value: ir.Value) -> list[ir.Value]:
    """The values that the operator of a value reads, its bodies among them, and no constants."""
    node = value.producer()
    if node is None:
        return []
    inner = [n for body in hub.subgraphs(node) for n in hub.nodes_of(body)]
    read = (v for each in (node, *inner) for v in each.inputs)
    return [v for v in read if v is not None and hub.held(v) is None and v.graph is node.graph]


def nodes_between(value: ir.Value, known: Iterable[ir.Value]) -> list[ir.Node]:
    """The operators that compute a value of known ones, in order."""
    ends, stack, seen = {*known}, [value], set()
    while stack:
        node = stack.pop().producer()
        if node is None or node in seen:
            continue
        seen.add(node)
        stack.extend(v for v in inputs_of(node.outputs[0]) if v not in ends)
    graph = value.graph
    return [node for node in graph if node in seen] if graph is not None else []
