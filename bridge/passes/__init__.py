"""Hub → hub. What runs after import, and what runs around a target's own legalisations."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from bridge.passes.rewrite import Accepts


def clean(model: ir.Model) -> None:
    """What every import ends with: constants lifted and folded, shapes inferred, nothing unused."""


def legalize(model: ir.Model, passes: Sequence[ir.passes.PassBase], accepts: Accepts) -> None:
    """A target's own passes, then the function bodies of whatever `accepts` still refuses."""
    from bridge.passes.expand import ExpandFunctions

    for step in passes:
        step(model)
    ExpandFunctions(accepts)(model)
