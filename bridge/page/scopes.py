"""Operators grouped as their source groups them: by scopes, and all of one operator of it together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.page.graph import Graph

__all__ = ["Group", "grouped"]

MOST = 100
"""Members a group is shown with; of more, each run of so many is a group of its own."""


@dataclass(frozen=True)
class Group:
    """Groups and operators, by their place, under the label of a scope."""

    label: str
    members: tuple[Group | int, ...]


def grouped(graph: Graph) -> Group:
    """The scopes of a graph: no group has more than MOST members, nor a single one."""
    alike: dict[int, int] = {}
    for operator in graph.operators:
        alike[operator.origin] = alike.get(operator.origin, 0) + 1
    root: dict[str, dict | list] = {}
    for place, operator in enumerate(graph.operators):
        whole = operator.origin >= 0 and alike[operator.origin] > 1
        own = f"{operator.native} {re.split('[/.]', operator.name)[-1]}".strip()
        here = root
        for part in [*operator.scope, own] if whole else operator.scope:
            here = here.setdefault(f"/{part}", {})  # type: ignore[assignment]
        here[str(place)] = []
    members = _group("", root).members
    ends = range(len(graph.operators), len(graph.all))
    return Group("", (*members, *ends))


def _group(label: str, inner: dict) -> Group:
    members: list[Group | int] = []
    for key, below in inner.items():
        if key.startswith("/"):
            group = _group(key[1:], below)
            members.append(group if len(group.members) > 1 else group.members[0])
        else:
            members.append(int(key))
    if len(members) == 1 and isinstance(members[0], Group):
        only = members[0]
        return Group("/".join(filter(None, (label, only.label))), only.members)
    return Group(label, _runs(members))


def _runs(members: Sequence[Group | int]) -> tuple[Group | int, ...]:
    """Members, in groups of at most MOST where they are more."""
    while len(members) > MOST:
        size = MOST // 2
        members = [
            Group(f"{i + 1} to {min(i + size, len(members))} of {len(members)}", tuple(members[i : i + size]))
            for i in range(0, len(members), size)
        ]
    return tuple(members)
