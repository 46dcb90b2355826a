"""The hooks a plugin may implement. All return lists; none is called before it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pluggy

if TYPE_CHECKING:
    import onnx_ir as ir

    from bridge.formats import Format
    from bridge.ops import Rule
    from bridge.package.kinds import Kind
    from bridge.profiles.profile import Profile

__all__ = [
    "bridge_formats",
    "bridge_functions",
    "bridge_packages",
    "bridge_passes",
    "bridge_profiles",
    "bridge_rules",
    "hookimpl",
]

hookspec = pluggy.HookspecMarker("bridge")
hookimpl = pluggy.HookimplMarker("bridge")


@hookspec
def bridge_formats() -> list[Format]:  # type: ignore[empty-body]
    """Formats this plugin reads, writes or runs."""


@hookspec
def bridge_rules(format: str, direction: Literal["import", "export"]) -> list[Rule]:  # type: ignore[empty-body]
    """Rules added to another plugin's op table; they are tried before its own."""


@hookspec
def bridge_passes(format: str) -> list[ir.passes.PassBase]:  # type: ignore[empty-body]
    """Legalisations run before those of the target `format`."""


@hookspec
def bridge_functions() -> list[ir.Function]:  # type: ignore[empty-body]
    """Own-domain operators with a body: every exporter without a rule of its own gets the body."""


@hookspec
def bridge_packages() -> list[Kind]:  # type: ignore[empty-body]
    """Kinds of deployable folders that `bridge package --for NAME` writes."""


@hookspec
def bridge_profiles() -> list[Profile]:  # type: ignore[empty-body]
    """Profiles of what deployments take, beside those bridge has: each `Profile.read` from a data file."""
