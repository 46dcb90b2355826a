"""A hub model rewritten into what a target holds, and what became of each operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from bridge import hub, plugins
from bridge.detect import of_target
from bridge.errors import InternalError, InvalidOption, stage
from bridge.facts import APPROXIMATED, DECISIVE, UNREAD, Origin
from bridge.formats import LABELS, Exporter, Format, Written
from bridge.limits import require_sizes
from bridge.ops import Need
from bridge.output import require_space
from bridge.page.graph import graph_of
from bridge.passes import settle, tidy
from bridge.passes.expand import ExpandFunctions
from bridge.passes.labels import IndexLabels
from bridge.passes.order import require_order
from bridge.passes.rewrite import Accepts, Rewrite
from bridge.profiles.profile import Profile, profile_of
from bridge.report import Blocker, Crossing, Outcome, Report
from bridge.stored import in_words

__all__ = ["Writer", "legalize", "writer"]

LAYOUT = ("Transpose", "Reshape", "Pad")
ROUNDS = 8
PROFILE_HINT = "Take a profile that has more: `bridge profiles` lists them."


@dataclass(frozen=True)
class Writer:
    """A file to write at `path`; `exporter` is the variant that `options` and `path` chose. With a `profile`
    the file holds only what that takes."""

    format: Format
    exporter: Exporter
    options: dict[str, Any]
    path: Path
    profile: Profile | None = None

    @property
    def version(self) -> int:
        """The version of the format that is written."""
        return self.exporter.version(self.options)

    @property
    def tolerance(self) -> float | None:
        """Largest error allowed, as a part of the largest element of each output; None for the usual
        tolerance."""
        return self.exporter.tolerance(self.options)

    def __str__(self) -> str:
        details = [] if self.exporter.version_title is str else [self.exporter.version_title(self.version)]
        details += [self.profile.title] if self.profile else []
        return f"{self.format.title} ({', '.join(details)})" if details else self.format.title

    @property
    def passes(self) -> list[ir.passes.PassBase]:
        """Passes that make a hub model legal: those of other plugins, then the format's own.
        Raises PluginError where they are out of order."""
        passes = [*plugins.passes(self.format), *self.exporter.legalize(self.options)]
        require_order(passes)
        return passes

    @property
    def indexes_labels(self) -> bool:
        """True if text that a model looks up is written as places in its names."""
        return not self.exporter.text or self.options.get(LABELS.name) == "index"

    def refusal(self, name: str, node: ir.Node) -> str | None:
        """Why the format does not take `node`, an operator called `name`; None when it does."""
        if self.exporter.accepts_all_operators:
            return None
        return self.exporter.table.refusal(name, node, self.version, self.exporter.version_title)

    @property
    def extended(self) -> AbstractContextManager[None]:
        """The context in which the exporter's table has the rules other plugins add; those of a variant are
        its own."""
        own = self.exporter is self.format.resolve("exporter")
        return self.exporter.table.extended(plugins.rules(self.format, "export") if own else ())

    def lower(self, model: ir.Model, report: Report) -> None:
        """Rewrite the hub in place, and list in the report what crossed and what cannot."""

        def accepts(node: ir.Node) -> bool:
            return self.refusal(hub.qualified(node), node) is None

        require_sizes(model)
        report.variant, report.hint = str(self), PROFILE_HINT if self.profile else self.exporter.hint
        hub.stamp_origins(model)
        before = [(hub.qualified(node), hub.origin(node)) for node in hub.all_nodes(model)]
        report.graph = graph_of(model)
        passes = [*[IndexLabels()] * self.indexes_labels, *self.passes]
        report.blockers.extend(_untyped(model, accepts, passes))
        if report.blockers:
            return
        legalize(model, passes, accepts)
        report.crossings.extend(_crossings(model, before, self.profile))
        report.notes.extend(in_words(model))
        report.blockers.extend(
            _once((n, _reason(n, self, passes)) for n in hub.all_nodes(model) if not accepts(n))
        )
        if self.exporter.accepts_all_operators:
            report.notes.extend(_custom(model))
        if (need := self.exporter.value_need) and not report.blockers:
            report.blockers.extend(
                Blocker("input", value.name or "", "", f"needs {need.text}")
                for value in model.graph.inputs
                if not need.holds(value)
            )
            report.blockers.extend(_once(_value_refusals(model, need)))

    def write(self, model: ir.Model, path: Path, report: Report) -> None:
        """Write what `lower` made, and list in the report what of the file the profile does not take. Raises
        OSError where the disk is full, in whatever words the format's own library said it."""
        origins = {v.name: hub.origin(node) for node in hub.all_nodes(model) for v in node.outputs}
        try:
            with self.extended, stage(f"Writing {self.format.title}"):
                self.exporter.write(model, path, report, self.options)
        except InternalError:
            require_space(path.parent)
            raise
        if self.profile is not None:
            contents = self.exporter.written(path) if self.exporter.written else Written({}, ())
            report.notes.extend(self.profile.notes(contents))
            report.blockers.extend(_untaken(self.profile, contents, origins))


def _untyped(model: ir.Model, accepts: Accepts, passes: Sequence[ir.passes.PassBase]) -> list[Blocker]:
    """Operators that neither the target nor any pass knows, where nobody can type what one of them makes:
    what follows it cannot be rewritten."""
    tables = [step.table for step in passes if isinstance(step, Rewrite)]
    unknown = [
        node
        for node in hub.all_nodes(model)
        if node.domain not in hub.STANDARD_OPSETS
        and not accepts(node)
        and node.op_identifier() not in model.functions
        and not any(hub.qualified(node) in table for table in tables)
    ]
    if all(output.type is not None for node in unknown for output in node.outputs):
        return []
    return [hub.blocker(node, UNREAD.get(node) or "is not supported") for node in unknown]


def legalize(model: ir.Model, passes: Sequence[ir.passes.PassBase], accepts: Accepts) -> None:
    """A target's own passes, then the function bodies of whatever `accepts` still refuses, until all is taken
    or nothing changes. Bodies that take a graph come first, so that no pass changes it to what a body cannot
    hold; those of the target's own operators stay what they mean."""
    before: list[ir.Node] = []
    if ExpandFunctions(lambda node: not node.domain or not hub.subgraphs(node) or accepts(node))(
        model
    ).modified:
        settle(model)
    for _ in range(ROUNDS):
        for step in passes:
            step(model)
        tidy(model)
        nodes = list(hub.all_nodes(model))
        if nodes == before or all(accepts(node) for node in nodes):
            return
        before = nodes
        ExpandFunctions(lambda node: hub.of_target(node.domain) or accepts(node))(model)
        settle(model)


def writer(
    dst: str | Path, to: str | None = None, options: dict[str, Any] | None = None, profile: str | None = None
) -> Writer:
    """Who writes `dst`, and how. Raises UnknownFormat, MissingDependency, InvalidOption."""
    target, taken, given = of_target(dst, to), None if profile is None else profile_of(profile), options or {}
    if taken is not None:
        if taken.format != target.name:
            raise InvalidOption(
                f"The profile {taken.name} is of {taken.format}, and {target.title} is to be written.",
                f"Write {taken.format}: to={taken.format!r} (--to {taken.format}).",
            )
        given = taken.chosen(given)
    exporter = target.resolve("exporter")
    settings = exporter.parse(given, target.title)
    return Writer(target, exporter.variant(settings, Path(dst)) or exporter, settings, Path(dst), taken)


def _untaken(profile: Profile, contents: Written, origins: Mapping[str | None, Origin]) -> Iterator[Blocker]:
    """Operators of a file that a profile does not take, by those of the source they come from."""
    for native, reason in profile.refusals(contents):
        origin = next((origins[name] for name in native.outputs if name in origins), None)
        if origin is None or origin.op == native.op:
            yield Blocker(native.op, origin.name if origin else "", "", reason)
        else:
            yield Blocker(origin.op, origin.name, native.op, f"{native.op} {reason}")


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
    """Why the target does not take `node`: in the words of its importer, of the rewrites that would spell it
    out, or of the target's own rules."""
    if unread := UNREAD.get(node):
        return unread
    if DECISIVE.get(node):
        return "needs double precision, without which it may give other results"
    name, table = hub.qualified(node), writer.exporter.table
    rewrites = [p.table for p in passes if isinstance(p, Rewrite) and name in p.table and name not in table]
    title = writer.exporter.version_title
    reasons = [reason for t in rewrites if (reason := t.refusal(name, node, writer.version, title))]
    return ", or ".join(dict.fromkeys(reasons)) or writer.refusal(name, node) or ""


def _once(refusals: Iterable[tuple[ir.Node, str]]) -> Iterable[Blocker]:
    """Refusals of nodes, those of like parts of one operator of the source for one reason once."""
    found = ((hub.origin(node), hub.blocker(node, reason)) for node, reason in refusals)
    return [blocker for _, blocker in dict.fromkeys(found)]


def _value_refusals(model: ir.Model, need: Need) -> Iterator[tuple[ir.Node, str]]:
    for node in hub.all_nodes(model):
        for value in node.outputs:
            if value.name and not need.holds(value):
                yield node, f"needs {need.text}"


def _crossings(
    model: ir.Model, before: list[tuple[str, Origin]], profile: Profile | None = None
) -> Iterator[Crossing]:
    """An operator is expanded when more nodes stand in its place than there were, layout aside; approximated
    when one of them is marked so."""
    there = Counter(origin for _, origin in before)
    left = Counter(hub.origin(node) for node in hub.all_nodes(model) if node.op_type not in LAYOUT)
    marked = {hub.origin(n): detail for n in hub.all_nodes(model) if (detail := APPROXIMATED.get(n))}
    for op, origin in before:
        expanded = Outcome.EXPANDED if left[origin] > there[origin] else Outcome.NATIVE
        detail = marked.get(origin, "")
        detail += f", for {profile.title}" if detail and profile else ""
        yield Crossing(op, str(origin), Outcome.APPROXIMATED if detail else expanded, detail)
