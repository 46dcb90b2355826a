"""The graph of a hub model as it is drawn: operators, what each reads, and where it comes from."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import onnx_ir as ir

from bridge import facts, hub
from bridge.ports import port_of
from bridge.provenance.chain import provenance_of

__all__ = ["Graph", "Operator", "graph_of"]

DEEPEST = 30
"""Scopes within one another that are told apart."""
KNOWN = {
    "format": facts.FORMAT,
    "version": facts.VERSION,
    "opset": facts.OPSET,
    "TensorFlow": facts.TENSORFLOW,
    "specification": facts.SPECIFICATION,
    "estimator": facts.ESTIMATOR,
    "stored weights": facts.STORED_WEIGHTS,
    "SHA-256": facts.SHA256,
}
"""Facts of a model's source, by the words for them."""


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator of the hub, called `op`, with the operator of the source that it comes from (`native` and
    `name`, alike for all of one `origin`) and the scope that has it, outermost first; `reads` are the places
    of the operators whose results it takes, `results` its own, as (name, type)."""

    op: str
    native: str
    name: str
    origin: int
    scope: tuple[str, ...]
    reads: tuple[int, ...]
    results: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Graph:
    """Operators of a model in the order of `hub.all_nodes`, those of subgraphs among them; behind them stand
    its inputs and its outputs, as operators that read nothing and that nobody reads. `source` is what is
    known of the file it was read from, `chain` a line on each conversion that led to it."""

    operators: tuple[Operator, ...]
    inputs: tuple[Operator, ...]
    outputs: tuple[Operator, ...]
    source: dict[str, str] = field(default_factory=dict)
    chain: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[Operator, ...]:
        """Operators, inputs and outputs: what `reads` counts."""
        return (*self.operators, *self.inputs, *self.outputs)

    def named(self, names: Iterable[str]) -> list[int]:
        """Places of the operators that come from those of the source with these kinds and names."""
        known = set(names)
        return [i for i, o in enumerate(self.operators) if f"{o.native} {o.name}".strip() in known]

    def first(self, count: int) -> Graph:
        """This graph without the operators behind so many."""
        left = len(self.operators) - count
        if left <= 0:
            return self

        def kept(operator: Operator) -> Operator:
            reads = (r if r < count else r - left for r in operator.reads if not count <= r < count + left)
            return replace(operator, reads=tuple(reads))

        return replace(
            self,
            operators=tuple(map(kept, self.operators[:count])),
            outputs=tuple(map(kept, self.outputs)),
        )


def graph_of(model: ir.Model) -> Graph:
    """The graph of a hub model, which is not kept alive by it."""
    nodes = list(hub.all_nodes(model))
    ends = [value for value in model.graph.inputs if value.name not in model.graph.initializers]
    places: dict[ir.Value | None, int] = {v: i for i, n in enumerate(nodes) for v in n.outputs}
    places |= {value: len(nodes) + i for i, value in enumerate(ends)}

    def read(values: Iterable[ir.Value | None]) -> tuple[int, ...]:
        return tuple(dict.fromkeys(places[v] for v in values if v in places))

    def operator(node: ir.Node) -> Operator:
        source = hub.origin(node)
        inner = [value for graph in hub.subgraphs(node) for value in graph.outputs]
        results = tuple(_result(value) for value in node.outputs if value.name)
        return Operator(
            op=hub.qualified(node),
            native=source.op,
            name=source.name,
            origin=source.index,
            scope=_scope(node, source.name or (results[0][0] if results else "")),
            reads=read([*node.inputs, *inner]),
            results=results,
        )

    return Graph(
        tuple(map(operator, nodes)),
        tuple(Operator("input", "input", v.name or "", -1, (), (), (_result(v),)) for v in ends),
        tuple(
            Operator("output", "output", v.name or "", -1, (), read([v]), (_result(v),))
            for v in model.graph.outputs
        ),
        {word: text for word, fact in KNOWN.items() if (text := fact.get(model))},
        tuple(str(provenance_of(model)).splitlines()) if facts.PROVENANCE.get(model) else (),
    )


def _scope(node: ir.Node, name: str) -> tuple[str, ...]:
    """The scope of an operator: as torch.onnx wrote it down, else that in its name. Parts of names have
    slashes between them in TensorFlow, Core ML and torch.onnx, those of modules dots."""
    scopes = facts.TORCH_SCOPES.get(node)
    if scopes:
        parts = scopes[-2].split(".") if len(scopes) > 1 else []
    else:
        whole = name.partition(";")[0]
        parts = re.split(r"[/.]", whole.rpartition("/" if "/" in whole else ".")[0])
    return tuple(part for part, _ in itertools.groupby(parts) if part)[:DEEPEST]


def _result(value: ir.Value) -> tuple[str, str]:
    """Name and type of a value."""
    port = port_of(value)
    return port.name, str(port).removeprefix(f"{port.name}: ")
