"""Hub → hub. What runs after import, and what runs around a target's own legalisations."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import (
    CommonSubexpressionEliminationPass,
    RemoveUnusedFunctionsPass,
    TopologicalSortPass,
)

from bridge.passes.branches import DecideBranches, InlineKnownIf
from bridge.passes.constants import LiftConstants
from bridge.passes.fold import FoldConstants
from bridge.passes.identities import RemoveNoOps
from bridge.passes.names import NameValues
from bridge.passes.pads import ExplicitPads, TransposedPads
from bridge.passes.random import CertainNormals
from bridge.passes.resizes import ResizeToLengths
from bridge.passes.shapes import InferShapes
from bridge.passes.slices import ReachableStarts, RisingRanges
from bridge.passes.unused import RemoveUnused
from bridge.passes.windows import NoWindows

ROUNDS = 8

__all__ = ["clean", "infer", "settle", "tidy"]


def clean(model: ir.Model) -> None:
    """Bring an imported model into order: sorted, typed, folded, nothing unused, every name unique."""
    _run(model, TopologicalSortPass(), LiftConstants(), NameValues())
    infer(model)
    stale = any([step(model).modified for step in (ReachableStarts(), FoldConstants())])
    for _ in range(ROUNDS):
        if not InlineKnownIf()(model).modified and not DecideBranches()(model).modified:
            break
        _run(model, NameValues(), InferShapes())
        stale = FoldConstants()(model).modified
    if any([step(model).modified for step in (ResizeToLengths(), TransposedPads())]):
        InferShapes()(model)
        stale = FoldConstants()(model).modified
    RemoveUnused()(model)
    if stale:
        InferShapes()(model)
    _run(
        model,
        ExplicitPads(),
        NoWindows(),
        CertainNormals(),
        RisingRanges(),
        FoldConstants(),
        *tidying(),
        RemoveUnusedFunctionsPass(),
    )


def infer(model: ir.Model) -> None:
    """Types and shapes made known. Lengths that constants give are known before data is propagated, so that
    nothing long is."""
    _run(model, InferShapes(propagate=False), FoldConstants(), InferShapes())


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
    return (RemoveNoOps(), CommonSubexpressionEliminationPass(), RemoveUnused(), NameValues())


def _run(model: ir.Model, *steps: ir.passes.PassBase) -> None:
    for step in steps:
        step(model)
