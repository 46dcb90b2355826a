"""Cases for what a format's table claims, from the backend node cases of the onnx package and the kit's
own."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx_ir as ir

from bridge import hub
from bridge.errors import BridgeError
from bridge.formats import Exporter, Format
from bridge.load import load
from bridge.lower import legalize, writer
from bridge.matrix.case_runner import measure
from bridge.matrix.cases import all_cases, frozen, kit_cases, node_cases, selected
from bridge.ops import OpTable, Rule

SURVIVED = ("native", "expanded", "approximated")
UNMEASURED = ("unrunnable", "untried")


def operators(table: OpTable) -> list[str]:
    """Operators of the standard domains that a table has rules for: those that have cases."""
    named = {rule.op for rule in table}
    return sorted(op for op in named if op.partition("::")[0] in ("ai.onnx.ml", op))


@functools.cache
def cases_of(op: str) -> tuple[str, ...]:
    """Names of the cases of an operator, those that show most of it first."""
    first = selected(ops=(op,), most=2)
    others = [n for n in all_cases() if op in all_cases()[n].ops and n not in first]
    return (*first, *others)


def cross_operator(fmt: Format, op: str, tries: int) -> tuple[str, str]:
    """Outcome of the operator's cases on the way to the format, as-is or with constants for all but the
    first input: the outcome of the first that survives, else of the last, and why. Any that is wrong,
    crashes or fails ends it."""
    outcome, reason = "untried", "no case"
    for name in cases_of(op)[:tries]:
        for constants in (False, True) if frozen(all_cases()[name]) else (False,):
            result = measure(f"onnx:{fmt.name}", name, constants)
            outcome, reason = result.outcome, f"{name}: {result.reason}"
            if outcome not in ("refused", *UNMEASURED):
                return outcome, reason
    return outcome, reason


def legalized(model: ir.Model, fmt: Format) -> ir.Model:
    """A copy of a hub model as the format's own passes leave it, at default options."""
    target, model = writer(Path(f"model{fmt.suffixes[0]}"), fmt.name), model.clone()

    def accepts(node: ir.Node) -> bool:
        return target.refusal(hub.qualified(node), node) is None

    with target.extended:
        legalize(model, target.passes, accepts)
    return model


def runs(model: ir.Model) -> bool:
    """True if every operator of a legalised model is ONNX's, or has a body."""
    return all(
        n.domain in hub.STANDARD_OPSETS or n.op_identifier() in model.functions for n in hub.all_nodes(model)
    )


def variants(model: ir.Model) -> Iterator[ir.Model]:
    """The model as it is, and as less is known of it: without shapes, without types, with constants that come
    at run time."""
    yield model
    for change in (_shapeless, _typeless, _unfrozen):
        changed = model.clone()
        for node in hub.all_nodes(changed):
            for value in (*node.inputs, *node.outputs):
                if value is not None:
                    change(value)
        yield changed


def _shapeless(value: ir.Value) -> None:
    if value.const_value is None:
        value.shape = None


def _typeless(value: ir.Value) -> None:
    if value.const_value is None:
        value.type = None


def _unfrozen(value: ir.Value) -> None:
    value.const_value = None


def needs_of(table: OpTable, models: Iterable[ir.Model]) -> Iterator[tuple[Rule, ir.Node]]:
    """Every rule with needs, and each node of the models that it is for."""
    rules: dict[str, list[Rule]] = {}
    for rule in table:
        if rule.needs:
            rules.setdefault(rule.op, []).append(rule)
    for model in models:
        for node in hub.all_nodes(model):
            for rule in rules.get(hub.qualified(node), ()):
                yield rule, node


@functools.cache
def models_of(op: str) -> tuple[ir.Model, ...]:
    """Hub models of the operator's first cases."""
    cases, models = node_cases() | kit_cases(), []
    for name in cases_of(op)[:12]:
        try:
            models.append(load(cases[name].model))
        except BridgeError:
            continue
    return tuple(models)


def claims_nothing(exporter: Exporter) -> bool:
    """An exporter that claims no operator: there is nothing to hold it to."""
    return exporter.accepts_all_operators or not list(exporter.table)
