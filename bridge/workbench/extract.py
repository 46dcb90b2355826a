"""A part of a model as a model: what lies between values, or operators by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx_ir as ir
from onnx_ir.convenience import extract as bounded

from bridge import hub
from bridge.convert import Conversion, written
from bridge.edits import values_of
from bridge.errors import InvalidOption, near_miss
from bridge.passes import clean
from bridge.provenance.record import Making
from bridge.route import route

if TYPE_CHECKING:
    from bridge.trials import Sampling

__all__ = ["extract", "part_of", "pass_on"]

SHOWN = 8


def extract(
    src: Any,
    dst: str | Path | None = None,
    *,
    from_values: Sequence[str] = (),
    to_values: Sequence[str] = (),
    operators: Sequence[str] = (),
    to: str | None = None,
    source: str | None = None,
    overwrite: bool = False,
    verify: bool | Sampling = False,
    keep: bool = False,
    dims: dict[str, int] | None = None,
    **options: Any,
) -> Conversion:
    """Write the part of a model that computes `to_values` from `from_values`, or that its `operators` are, as
    a model of any format.

    Values have the names they have in the source, or those of the operators that give them (`NAME:1` is the
    second that one gives); operators have their own names or kinds; `*`, `?` and `[…]` stand for any
    characters. Without `from_values` a part begins at the model's inputs, without `to_values` it ends at its
    outputs. `verify` compares with the part as the hub holds it. All else is as `convert` has it.

    Raises InvalidOption for a name that nothing has, values that do not lie one behind the other, or a part
    that needs an input which `from_values` leaves out; and what `convert` raises.
    """
    way = route(src, dst, to=to, source=source, dims=dims, options=options)

    def part(model: ir.Model) -> ir.Model:
        return part_of(model, from_values, to_values, operators)

    cut = {"from_values": from_values, "to_values": to_values, "operators": operators}
    changes = {name: value for name, value in cut.items() if value}
    return written(way, overwrite, verify, keep, part, making=Making(changes=changes))


def part_of(
    model: ir.Model,
    from_values: Sequence[str] = (),
    to_values: Sequence[str] = (),
    operators: Sequence[str] = (),
) -> ir.Model:
    """A part of a hub model, as `extract` cuts it; the model is left as it was. Raises InvalidOption."""
    graph = model.graph
    names: dict[ir.Value, str] = {}
    if operators:
        if from_values or to_values:
            raise InvalidOption("A part is named by its values or by its operators, not by both.")
        inputs, outputs = _ends(graph, _named_nodes(graph, operators))
    else:
        values = values_of(graph)
        first, last = _found(values, from_values, "value"), _found(values, to_values, "value")
        names = first | last
        outputs = list(last) or list(graph.outputs)
        inputs = _required(graph, list(first), outputs)
    _require_types([*inputs, *outputs])
    part = ir.Model(bounded(graph, inputs, outputs), ir_version=model.ir_version)
    part.functions.update(model.functions)
    for value, own in zip((*inputs, *outputs), (*part.graph.inputs, *part.graph.outputs), strict=True):
        own.name = names.get(value, own.name)
    pass_on(part.graph)
    clean(part)
    return part


def _found(things: dict[str, Any], names: Sequence[str], kind: str) -> dict[Any, str]:
    """All that has one of these names, or a name of one of these patterns, and the name it was found by."""
    found: dict[Any, str] = {}
    for name in names:
        fitting = [name] if name in things else [n for n in things if fnmatchcase(n, name)]
        if not fitting:
            some = ", ".join(list(things)[:SHOWN])
            raise InvalidOption(
                f"The model has no {kind} {name!r}.",
                near_miss(name, things) or f"Some that it has: {some}{', …' if len(things) > SHOWN else '.'}",
            )
        for own in fitting:
            found.setdefault(things[own], own)
    return found


def _named_nodes(graph: ir.Graph, names: Sequence[str]) -> list[ir.Node]:
    """Nodes that come from operators of these names or kinds."""
    called: dict[ir.Node, list[str]] = {}
    for node in graph:
        source = hub.origin(node)
        called[node] = [n for n in (source.name, source.op, node.name, hub.qualified(node)) if n]
    every = {name: name for own in called.values() for name in own}
    meant = {*_found(every, names, "operator")}
    return [node for node, own in called.items() if meant & {*own}]


def _ends(graph: ir.Graph, nodes: list[ir.Node]) -> tuple[list[ir.Value], list[ir.Value]]:
    """The values that nodes read and none of them gives, and those they give that others, or nobody, read."""
    inside, results = {*nodes}, {*graph.outputs}
    read = dict.fromkeys(v for node in nodes for v in _reads(node, graph))
    inputs = [v for v in read if v.producer() not in inside and hub.held(v) is None]
    outside = {v for node in graph if node not in inside for v in _reads(node, graph)}
    inner = {v for v in read if v.producer() in inside}
    return inputs, [
        v for node in nodes for v in node.outputs if v in results or v in outside or v not in inner
    ]


def _reads(node: ir.Node, graph: ir.Graph) -> Iterator[ir.Value]:
    """Values of `graph` that a node or its bodies read."""
    inner = [n for body in hub.subgraphs(node) for n in hub.nodes_of(body)]
    read = [v for each in (node, *inner) for v in each.inputs if v is not None]
    ends = [v for body in hub.subgraphs(node) for v in body.outputs]
    yield from (value for value in (*read, *ends) if value.graph is graph)


def _required(graph: ir.Graph, given: list[ir.Value], outputs: Iterable[ir.Value]) -> list[ir.Value]:
    """The given values that lead to the outputs, or the inputs of the graph that do where none is given.
    Raises InvalidOption where another input is needed."""
    stack, seen, ends = list(outputs), set(), dict.fromkeys(given, False)
    needed: dict[ir.Value, None] = {}
    while stack:
        value = stack.pop()
        if value in ends:
            ends[value] = True
        elif value not in seen:
            seen.add(value)
            producer = value.producer()
            if producer is not None:
                stack.extend(_reads(producer, graph))
            elif value.is_graph_input():
                needed[value] = None
    inputs = [value for value in graph.inputs if value in needed]
    if given and inputs:
        names = ", ".join(v.name or "" for v in inputs)
        raise InvalidOption(
            f"The part needs {names} as well: what begins there does not pass the values it is to begin at.",
            f"Give {'it' if len(inputs) == 1 else 'them'} too: --from-values {names}",
        )
    idle = [v.name or "" for v, leads in ends.items() if not leads]
    if idle:
        raise InvalidOption(f"{', '.join(idle)} does not lead to the values the part is to end at.")
    return given or inputs


def _require_types(values: Iterable[ir.Value]) -> None:
    for value in values:
        if value.type is None:
            raise InvalidOption(f"Of the value {value.name!r} not even the dtype is known; cut elsewhere.")


def pass_on(graph: ir.Graph) -> None:
    """Outputs that are inputs or constants as outputs of their own."""
    for index, value in enumerate(graph.outputs):
        if value.producer() is None:
            node = ir.node("Identity", [value])
            node.outputs[0].type, node.outputs[0].shape = value.type, value.shape
            node.outputs[0].name = f"{value.name}_output"
            graph.append(node)
            graph.outputs[index] = node.outputs[0]
