"""Hub → hub. What runs after import, and what runs around a target's own legalisations."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir
from onnx_ir.passes.common import (
    CommonSubexpressionEliminationPass,
    RemoveUnusedFunctionsPass,
    RemoveUnusedNodesPass,
    TopologicalSortPass,
)

from bridge import hub
from bridge.passes.branches import InlineKnownIf
from bridge.passes.constants import LiftConstants
from bridge.passes.expand import ExpandFunctions
from bridge.passes.fold import FoldConstants
from bridge.passes.identities import RemoveNoOps
from bridge.passes.names import NameValues
from bridge.passes.order import require_order
from bridge.passes.pads import ExplicitPads
from bridge.passes.resizes import ResizeToLengths
from bridge.passes.rewrite import Accepts
from bridge.passes.shapes import InferShapes
from bridge.passes.slices import ReachableStarts, RisingRanges

ROUNDS = 8

__all__ = ["clean", "legalize", "tidy"]


def clean(model: ir.Model) -> None:
    """Bring an imported model into order: sorted, typed, folded, nothing unused, every name unique."""
    _run(model, TopologicalSortPass(), LiftConstants(), NameValues(), InferShapes(), ReachableStarts())
    FoldConstants()(model)
    for _ in range(ROUNDS):
        if not InlineKnownIf()(model).modified:
            break
        _run(model, NameValues(), InferShapes(), FoldConstants())
    if ResizeToLengths()(model).modified:
        _run(model, InferShapes(), FoldConstants())
    _run(
        model,
        RemoveUnusedNodesPass(),
        InferShapes(),
        ExplicitPads(),
        RisingRanges(),
        FoldConstants(),
        *tidying(),
        RemoveUnusedFunctionsPass(),
    )


def legalize(model: ir.Model, passes: Sequence[ir.passes.PassBase], accepts: Accepts) -> None:
    """A target's own passes, then the function bodies of whatever `accepts` still refuses, until all is taken
    or nothing changes. Bodies that take a graph come first, so that no pass changes it to what a body cannot
    hold; those of the target's own operators stay what they mean."""
    require_order(passes)
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


def settle(model: ir.Model) -> None:
    """Types, shapes and constants made known again, and what nobody reads dropped."""
    for step in (
        LiftConstants(),
        NameValues(),
        InferShapes(),
        FoldConstants(),
        InferShapes(),
        FoldConstants(),
    ):
        step(model)
    tidy(model)


def tidy(model: ir.Model) -> None:
    """Drop what a rewrite left behind."""
    _run(model, *tidying())


def tidying() -> tuple[ir.passes.PassBase, ...]:
    return (RemoveNoOps(), CommonSubexpressionEliminationPass(), RemoveUnusedNodesPass(), NameValues())


def _run(model: ir.Model, *steps: ir.passes.PassBase) -> None:
    for step in steps:
        step(model)
