"""Differences between two models of any formats."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import facts, hub
from bridge.digests import content_of, digest_of, digests
from bridge.load import reader
from bridge.page.content import Content, Drawing, Table, section
from bridge.page.fragments import Shown
from bridge.page.graph import Graph, graph_of
from bridge.ports import port_of
from bridge.provenance.chain import provenance_of

__all__ = ["Difference", "WeightChange", "diff"]

SHOWN = 10
PARTS = ("differs", "computes what the other does not")
GIVEN = re.compile(r"const(_\d+)?")
KINDS = ("changed", "missing", "rearranged", "renamed")
OWN = "bridge."
MEANING = (facts.FEATURE_NAMES.key, facts.CLASSES.key, facts.CARD.key)


@dataclass(frozen=True)
class WeightChange:
    """A weight that the two models do not have alike: `kind` is renamed, rearranged (the same elements, in
    another order or shape), changed, or missing, in one of them. `largest` is the largest difference of an
    element, `relative` its part of the largest element."""

    kind: str
    first: str
    second: str
    shape: tuple[int, ...]
    largest: float = 0.0
    relative: float = 0.0

    def __str__(self) -> str:
        name = " → ".join(dict.fromkeys(n for n in (self.first, self.second) if n))
        shape = f"[{','.join(map(str, self.shape))}]"
        if self.kind == "missing":
            return f"only in the {'first' if self.first else 'second'}: {name} {shape}"
        if self.kind == "changed":
            return (
                f"changed: {name} {shape}, by {self.largest:.3g} ({self.relative:.2%} of its largest element)"
            )
        return f"{self.kind}: {name} {shape}"


@dataclass(frozen=True)
class Difference(Shown):
    """All that differs between two models: lines about inputs and outputs, operators with their two counts,
    operators at which the computations part, weights, and metadata with its two values. How each of them was
    converted is told among the metadata, and is no difference."""

    interface: tuple[str, ...]
    operators: dict[str, tuple[int, int]]
    parting: tuple[tuple[str, ...], tuple[str, ...]]
    weights: tuple[WeightChange, ...]
    alike: int
    metadata: dict[str, tuple[str | None, str | None]]
    weights_only: bool = False
    graphs: tuple[Graph, ...] = field(default=(), repr=False, compare=False)

    @property
    def same(self) -> bool:
        """True if nothing differs but names of weights; with `weights_only` in the weights alone."""
        weights = all(w.kind == "renamed" for w in self.weights)
        told = self.metadata.keys() - {facts.PROVENANCE.key}
        return weights and (self.weights_only or not (self.interface or any(self.parting) or told))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        plain = asdict(replace(self, graphs=()))
        del plain["graphs"]
        return {"same": self.same, **plain}

    def content(self) -> Content:
        """A section for each kind of difference; both graphs, with the operators at which they part."""
        weights = [(w.kind, w.first, w.second, str(list(w.shape)), *_amounts(w)) for w in self.weights]
        counts = [(op, f"{a:,}", f"{b:,}") for op, (a, b) in self.operators.items()]
        metadata = [(k, *("" if v is None else v for v in pair)) for k, pair in self.metadata.items()]
        which = ("first", "second")
        parting = [(side, name) for side, names in zip(which, self.parting, strict=True) for name in names]
        head = ("kind", *which, "shape", "largest difference", "part of the largest element")
        return Content(
            "Two models compared",
            "The same." if self.same else "Different.",
            self.same,
            section("Interface", *self.interface)
            + section("Operators", Table(("operator", *which), tuple(counts), frozenset({1, 2})))
            + section("Where the computations part", Table(("in the", "operator"), tuple(parting)))
            + section("Weights", f"{self.alike:,} alike", Table(head, tuple(weights), frozenset({4, 5})))
            + section("Metadata", Table(("key", *which), tuple(metadata))),
            tuple(
                Drawing(f"the {side}", graph, dict.fromkeys(graph.named(names), PARTS))
                for side, graph, names in zip(which, self.graphs, self.parting, strict=False)
            ),
        )

    def __str__(self) -> str:
        kinds = Counter(w.kind for w in self.weights)
        told = ", ".join(
            f"{count} {kind}" for kind, count in [("alike", self.alike), *kinds.items()] if count
        )
        lines = ["The same." if self.same else "Different."]
        if not self.weights_only:
            lines += _section("Interface", self.interface)
            lines += _section("Operators", [f"{a:>5} → {b:<5} {op}" for op, (a, b) in self.operators.items()])
            for which, parting in zip(("first", "second"), self.parting, strict=True):
                lines += _section(f"Where the {which} computes what the other does not", parting)
        lines += _section(f"Weights: {told or 'none'}", [str(w) for w in self.weights], always=True)
        if not self.weights_only:
            lines += _section("Metadata", [f"{k}: {a!r} → {b!r}" for k, (a, b) in self.metadata.items()])
        return "\n".join(lines)


def _amounts(change: WeightChange) -> tuple[str, str]:
    """Largest difference of a weight that changed, and its part of the largest element."""
    return (f"{change.largest:.3g}", f"{change.relative:.2%}") if change.kind == "changed" else ("", "")


def _section(title: str, lines: Iterable[str], always: bool = False) -> list[str]:
    listed = list(lines)
    if not listed and not always:
        return []
    more = [f"  and {len(listed) - SHOWN} more"] if len(listed) > SHOWN else []
    return [title, *(f"  {line}" for line in listed[:SHOWN]), *more]


def diff(
    first: Any,
    second: Any,
    *,
    weights_only: bool = False,
    first_source: str | None = None,
    second_source: str | None = None,
    first_options: dict[str, Any] | None = None,
    second_options: dict[str, Any] | None = None,
) -> Difference:
    """Compare two models (hub models, or anything `load` reads), each as the hub holds it.

    Interface and metadata are compared by name; computations by what they do, whatever values and operators
    are called; weights by name, then by content, then by their elements in any order. Raises what `load`
    raises.
    """
    one, other = (
        model if isinstance(model, ir.Model) else reader(model, source, options).read()
        for model, source, options in (
            (first, first_source, first_options),
            (second, second_source, second_options),
        )
    )
    changes, alike = _weights(one, other)
    counts = [Counter(hub.qualified(node) for node in hub.all_nodes(m)) for m in (one, other)]
    return Difference(
        interface=tuple(_interface(one, other)),
        operators={
            op: (counts[0][op], counts[1][op])
            for op in sorted({*counts[0], *counts[1]})
            if counts[0][op] != counts[1][op]
        },
        parting=_parting(one, other),
        weights=tuple(changes),
        alike=alike,
        metadata=_metadata(one, other),
        weights_only=weights_only,
        graphs=(graph_of(one), graph_of(other)),
    )


def _interface(one: ir.Model, other: ir.Model) -> Iterator[str]:
    for kind in ("inputs", "outputs"):
        before, after = ({v.name: port_of(v) for v in getattr(m.graph, kind)} for m in (one, other))
        word = kind[:-1]
        yield from (f"{word} only in the first: {p}" for n, p in before.items() if n not in after)
        yield from (f"{word} only in the second: {p}" for n, p in after.items() if n not in before)
        both = [n for n in before if n in after]
        yield from (f"{word} {before[n]} → {after[n]}" for n in both if before[n] != after[n])
        if both != [n for n in after if n in before]:
            yield f"{kind} in another order: {', '.join(before)} → {', '.join(after)}"


def _metadata(one: ir.Model, other: ir.Model) -> dict[str, tuple[str | None, str | None]]:
    """Metadata that differs, without what says of a file how it was written."""
    before, after = _told(one), _told(other)
    keys = sorted({*before, *after})
    return {k: (before.get(k), after.get(k)) for k in keys if before.get(k) != after.get(k)}


def _told(model: ir.Model) -> dict[str, str | None]:
    found = model.metadata_props.items()
    told = {key: value for key, value in found if not key.startswith(OWN) or key.startswith(MEANING)}
    return {**told, facts.PROVENANCE.key: provenance_of(model).route or None}


def _parting(one: ir.Model, other: ir.Model) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Operators of each model that compute of what both have what the other does not, or lead to an output
    the other has elsewhere."""
    first, second = (digests(model.graph) for model in (one, other))
    return (
        tuple(dict.fromkeys(_first_of_its_own(one, first, second))),
        tuple(dict.fromkeys(_first_of_its_own(other, second, first))),
    )


def _first_of_its_own(
    model: ir.Model, own: dict[ir.Value, bytes], others: dict[ir.Value, bytes]
) -> Iterator[str]:
    known = {*others.values()}
    results = {v.name: others.get(v) for v in others if v.is_graph_output()}
    for node in model.graph:
        read = [own[v] for v in node.inputs if v is not None and v.producer() is not None]
        if node.outputs and own[node.outputs[0]] not in known and known.issuperset(read):
            yield str(hub.origin(node))
    for value in model.graph.outputs:
        if value.name in results and own[value] in known and results[value.name] != own[value]:
            yield f"the output {value.name}"


def _weights(one: ir.Model, other: ir.Model) -> tuple[list[WeightChange], int]:
    """Weights that differ, and the number of those that do not."""
    before, after = _constants(one), _constants(other)
    here, there = ({content_of(t): n for n, t in each.items()} for each in (before, after))
    changes: list[WeightChange] = []
    alike = 0
    for key in (_by_name, _by_content, _by_elements, _by_own_name, _by_shape):
        places: dict[Any, list[str]] = {}
        for name, tensor in after.items():
            places.setdefault(key(name, tensor), []).append(name)
        for name, tensor in list(before.items()):
            waiting = places.get(key(name, tensor))
            if not waiting:
                continue
            partner = waiting.pop(0)
            if key is _by_name:
                alike += 1
            else:
                changes.append(_change(key, name, tensor, partner, after[partner]))
            del before[name], after[partner]
    changes += [_alone(n, t, there) for n, t in before.items()]
    changes += [_alone(n, t, here, second=True) for n, t in after.items()]
    changes.sort(key=lambda c: (KINDS.index(c.kind), -math.prod(c.shape)))
    return changes, alike


def _alone(name: str, tensor: Any, others: dict[bytes, str], second: bool = False) -> WeightChange:
    """A weight without a partner; the other model may have its elements once for several of them."""
    partner, shape = others.get(content_of(tensor), ""), tuple(tensor.shape)
    names = (partner, name) if second else (name, partner)
    return WeightChange("renamed" if partner else "missing", *names, shape)


def _constants(model: ir.Model) -> dict[str, Any]:
    """Constants by name; those of bodies behind those of the graph."""
    values = (value for graph in hub.graphs(model) for value in graph.initializers.values())
    named: dict[str, Any] = {}
    for value in values:
        if value.const_value is not None:
            name = value.name or ""
            named[name if name not in named else f"{name} ({len(named)})"] = value.const_value
    return named


def _by_name(name: str, tensor: Any) -> Any:
    return name, content_of(tensor)


def _by_content(name: str, tensor: Any) -> Any:
    return content_of(tensor)


def _by_elements(name: str, tensor: Any) -> Any:
    """The elements in any order; those of a single one are told apart by their shape as well."""
    if tensor.dtype == ir.DataType.STRING or tensor.size < 2:
        return content_of(tensor)
    return digest_of(tensor.dtype.name, tensor.size, np.sort(_numbers(tensor), axis=None).tobytes())


def _by_own_name(name: str, tensor: Any) -> Any:
    """The name, unless it is one that is given to what has none."""
    return object() if GIVEN.fullmatch(name) else (name, tuple(tensor.shape))


def _by_shape(name: str, tensor: Any) -> Any:
    """The shape of numbers learned, which constants of one element hardly are."""
    learned = tensor.dtype.is_floating_point() and tensor.size > 1
    return (tuple(tensor.shape), tensor.dtype) if learned else object()


def _numbers(tensor: Any) -> np.ndarray:
    array = tensor.numpy()
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def _change(key: Any, name: str, tensor: Any, partner: str, other: Any) -> WeightChange:
    shape = tuple(tensor.shape)
    if key in (_by_content, _by_elements):
        return WeightChange("renamed" if key is _by_content else "rearranged", name, partner, shape)
    if ir.DataType.STRING in (tensor.dtype, other.dtype):
        return WeightChange("changed", name, partner, shape, float("nan"), float("nan"))
    a, b = _numbers(tensor), _numbers(other)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    apart = np.abs(np.where(same, 0, a) - np.where(same, 0, b))
    largest = float(np.where(np.isnan(apart), np.inf, apart).max(initial=0.0))
    scale = float(np.abs(a[np.isfinite(a)]).max(initial=0.0)) or 1.0
    return WeightChange("changed", name, partner, shape, largest, largest / scale)
