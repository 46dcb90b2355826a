"""A hub model rewritten into what a target holds, and what became of each operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bridge import hub
from bridge.facts import APPROXIMATED, Origin
from bridge.passes import legalize
from bridge.passes.rewrite import Rewrite
from bridge.report import Blocker, Crossing, Outcome, Report

if TYPE_CHECKING:
    import onnx_ir as ir

    from bridge.ops import Need
    from bridge.route import Writer

__all__ = ["lower"]

LAYOUT = ("Transpose", "Reshape", "Pad")


def lower(model: ir.Model, writer: Writer, report: Report) -> None:
    """Rewrite the hub in place, and list in the report what crossed and what cannot."""

    def accepts(node: ir.Node) -> bool:
        return writer.refusal(hub.qualified(node), node) is None

    hub.stamp_origins(model)
    before = [(hub.qualified(node), hub.origin(node)) for node in hub.all_nodes(model)]
    passes = writer.passes()
    legalize(model, passes, accepts)
    report.crossings.extend(_crossings(model, before))
    report.blockers.extend(
        Blocker(node.op_type, node.name or "", str(hub.origin(node)), _reason(node, writer, passes))
        for node in hub.all_nodes(model)
        if not accepts(node)
    )
    if writer.exporter.opaque:
        report.notes.extend(_custom(model))
    if writer.exporter.values and not report.blockers:
        report.blockers.extend(_value_blockers(model, writer.exporter.values))


def _custom(model: ir.Model) -> Iterator[str]:
    """Operators that are neither standard nor defined by a body: the file then runs only where somebody has
    them."""
    foreign = {
        (node.domain, node.op_type)
        for node in hub.all_nodes(model)
        if node.domain not in hub.STANDARD_OPSETS and node.op_identifier() not in model.functions
    }
    for domain in sorted({domain for domain, _ in foreign}):
        names = ", ".join(sorted(op for d, op in foreign if d == domain))
        yield f"{names} of {domain} kept as custom; only a runtime that has them runs the file"


def _reason(node: ir.Node, writer: Writer, passes: Sequence[ir.passes.PassBase]) -> str:
    """Why the target does not take `node`: in the words of its own rules, else of the rewrites that would
    spell it out."""
    name, table = hub.qualified(node), writer.exporter.table
    rewrites = [p.table for p in passes if isinstance(p, Rewrite) and name in p.table and name not in table]
    title = writer.exporter.version_title
    found = [reason for t in rewrites if (reason := t.refusal(name, node, writer.version, title))]
    return ", or ".join(dict.fromkeys(found)) or writer.refusal(name, node) or ""


def _value_blockers(model: ir.Model, need: Need) -> Iterator[Blocker]:
    for value in model.graph.inputs:
        if not need.holds(value):
            yield Blocker("input", value.name or "", "", f"needs {need.text}")
    for node in hub.all_nodes(model):
        for value in node.outputs:
            if value.name and not need.holds(value):
                yield Blocker(node.op_type, value.name, str(hub.origin(node)), f"needs {need.text}")


def _crossings(model: ir.Model, before: list[tuple[str, Origin]]) -> Iterator[Crossing]:
    """An operator is expanded when more nodes stand in its place than there were, layout aside; approximated
    when one of them is marked so."""
    there = Counter(origin for _, origin in before)
    left = Counter(hub.origin(node) for node in hub.all_nodes(model) if node.op_type not in LAYOUT)
    marked = {hub.origin(n): detail for n in hub.all_nodes(model) if (detail := APPROXIMATED.get(n))}
    for op, origin in before:
        expanded = Outcome.EXPANDED if left[origin] > there[origin] else Outcome.NATIVE
        detail = marked.get(origin, "")
        yield Crossing(op, str(origin), Outcome.APPROXIMATED if detail else expanded, detail)
