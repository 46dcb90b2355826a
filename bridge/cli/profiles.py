"""The command that lists profiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.command import command
from bridge.cli.usage import Command

if TYPE_CHECKING:
    from bridge.profiles.profile import Profile


@dataclass(frozen=True)
class Listed:
    """Profiles, a line each."""

    profiles: tuple[Profile, ...]

    def to_dict(self) -> list[dict[str, Any]]:
        return [profile.to_dict() for profile in self.profiles]

    def __str__(self) -> str:
        width = max(len(p.name) for p in self.profiles)
        return "\n".join(f"{p.name:<{width}}  {p.format:<11} {p.title}" for p in self.profiles)


@dataclass(frozen=True)
class Shown:
    """One profile, with all that it says."""

    profile: Profile

    def to_dict(self) -> dict[str, Any]:
        return self.profile.to_dict()

    def __str__(self) -> str:
        told = self.profile
        lines = [
            f"{told.name}: {told.title}, {told.format}",
            f"  source: {told.source}",
            f"  read on: {told.date}",
        ]
        lines += [f"  note: {told.note}"] * bool(told.note)
        lines += [f"  chooses {name} {value}" for name, value in told.options.items()]
        lines += [f"  takes {name} up to {version}" for name, version in told.versions.items()]
        if told.operators is not None:
            lines += [f"  takes {len(told.operators)} operators: {', '.join(sorted(told.operators))}"]
        return "\n".join(lines)


@click.command(cls=Command, example="profiles ort-1.22")
@click.argument("name", required=False)
@command
def profiles(name: str | None) -> Any:
    """List the profiles of what deployments take, or say all of one."""
    from bridge.profiles.profile import profile_of
    from bridge.profiles.profile import profiles as known

    return 0, Shown(profile_of(name)) if name else Listed(known())
