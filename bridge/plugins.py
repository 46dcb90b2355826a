"""Discovery through entry points: a broken plugin is isolated and named, and nothing else suffers."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from bridge import hookspecs
from bridge.errors import PluginError
from bridge.ops import clash

if TYPE_CHECKING:
    import onnx_ir as ir

    from bridge.formats import Format
    from bridge.ops import Rule

GROUP = "bridge"
DISTRIBUTION = "formatbridge"


@dataclass(frozen=True)
class Broken:
    """A plugin that did not load, and why."""

    name: str
    distribution: str
    reason: str


@dataclass(frozen=True)
class Contents:
    """Contents of a plugin: formats, those of them that override another's, operators of its rules by "format
    direction", number of passes by target, functions, kinds of packages, profiles."""

    name: str
    distribution: str
    formats: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    rules: dict[str, list[str]] = field(default_factory=dict)
    passes: dict[str, int] = field(default_factory=dict)
    functions: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"format {f}{' (overrides)' * (f in self.overrides)}" for f in self.formats]
        parts += [f"{where} of {', '.join(ops)}" for where, ops in self.rules.items()]
        parts += [f"{n} pass{'es' * (n > 1)} for {f}" for f, n in self.passes.items()]
        parts += [f"function {name}" for name in self.functions]
        parts += [f"package {name}" for name in self.packages]
        parts += [f"profile {name}" for name in self.profiles]
        return f"{self.name:<14} {self.distribution:<20} {'; '.join(parts) or 'nothing'}"


class Plugins:
    """The registered plugins, who brought them, and the ones that failed."""

    def __init__(self, entry_points: list[EntryPoint]) -> None:
        self.manager = pluggy.PluginManager("bridge")
        self.manager.add_hookspecs(hookspecs)
        self.distributions: dict[str, str] = {}
        self.broken: list[Broken] = []
        self.clashes: dict[str, PluginError] = {}
        for point in sorted(entry_points, key=lambda p: p.name):
            self._register(point)

    def _register(self, point: EntryPoint) -> None:
        distribution = point.dist.name if point.dist else point.value
        try:
            plugin = point.load()
            self.manager.register(plugin, name=point.name)
            self.manager.check_pending()
        except Exception as error:
            if self.manager.has_plugin(point.name):
                self.manager.unregister(name=point.name)
            self.broken.append(Broken(point.name, distribution, f"{type(error).__name__}: {error}"))
        else:
            self.distributions[point.name] = distribution

    def provided(self, hook: str, **arguments: Any) -> list[tuple[str, Any]]:
        """(distribution, item) for every item a hook returns, in order of plugin name."""
        return [
            (self.distributions[name], item)
            for name in sorted(self.distributions)
            for item in self._hook_items(name, hook, **arguments)
        ]

    def _hook_items(self, name: str, hook: str, **arguments: Any) -> list[Any]:
        """Items one plugin returns from a hook; a plugin that raises is added to `broken`."""
        plugin = self.manager.get_plugin(name)
        if not hasattr(plugin, hook):
            return []
        others = [p for p in self.manager.get_plugins() if p is not plugin]
        try:
            results = self.manager.subset_hook_caller(hook, others)(**arguments)
            return [item for result in results for item in result]
        except Exception as error:
            failed = Broken(name, self.distributions[name], f"{hook}: {type(error).__name__}: {error}")
            self.broken += [failed] * (failed not in self.broken)
            return []

    def contents(self) -> list[Contents]:
        """Contents of each plugin, by name."""
        formats = self.formats()
        directions = [(f, d) for f in sorted(formats) for d in ("import", "export")]
        for name, direction in directions:
            self.rules(name, direction)
        contents = []
        for name, distribution in sorted(self.distributions.items()):
            rules = {
                f"{f} {d}": self._hook_items(name, "bridge_rules", format=f, direction=d)
                for f, d in directions
            }
            passes = {f: len(self._hook_items(name, "bridge_passes", format=f)) for f in sorted(formats)}
            claimed = self._hook_items(name, "bridge_formats")
            contents.append(
                Contents(
                    name,
                    distribution,
                    tuple(f.name for f in claimed),
                    tuple(f.name for f in claimed if f.override),
                    {where: [rule.op for rule in added] for where, added in rules.items() if added},
                    {f: n for f, n in passes.items() if n},
                    tuple(f"{f.domain}::{f.name}" for f in self._hook_items(name, "bridge_functions")),
                    tuple(kind.name for kind in self._hook_items(name, "bridge_packages")),
                    tuple(profile.name for profile in self._hook_items(name, "bridge_profiles")),
                )
            )
        return contents

    def formats(self) -> dict[str, Format]:
        """Formats by name. Of several claims, one that overrides holds, else that of bridge itself, else
        none: see `clashes`."""
        claims: dict[str, list[tuple[str, Format]]] = {}
        for distribution, fmt in self.provided("bridge_formats"):
            claims.setdefault(fmt.name, []).append((distribution, fmt))
        chosen = {}
        for name, claimants in claims.items():
            first = (
                [c for c in claimants if c[1].override]
                or [c for c in claimants if c[0] == DISTRIBUTION]
                or claimants
            )
            if len(first) == 1:
                distribution, fmt = first[0]
                chosen[name] = replace(fmt, distribution=distribution)
            else:
                self.clashes[name] = clash(f"The format {name!r}", first[0][0], first[1][0])
            if not any(c[1].override for c in claimants):
                self._outvoted(name, claimants, first)
        return chosen

    def rules(self, name: str, direction: str) -> list[Rule]:
        """Rules plugins add to a format's table. Of an operator that two distributions have rules for, those
        that override, else none: see `clashes`."""
        offered: dict[str, list[tuple[str, Rule]]] = {}
        for distribution, rule in self.provided("bridge_rules", format=name, direction=direction):
            offered.setdefault(rule.op, []).append((distribution, rule))
        chosen = []
        for op, rules_of_op in offered.items():
            first = [c for c in rules_of_op if c[1].override] or rules_of_op
            owners = list(dict.fromkeys(distribution for distribution, _ in first))
            if len(owners) == 1:
                chosen += [rule for _, rule in first]
            else:
                what = f"The {name} {direction} rule for {op!r}"
                self.clashes[f"{name} {direction} {op}"] = clash(what, *owners[:2])
        return chosen

    def _outvoted(
        self, name: str, claimants: list[tuple[str, Format]], first: list[tuple[str, Format]]
    ) -> None:
        """Tell of the claims on a format of bridge's own that did not say override."""
        self.broken += [
            Broken(name, distribution, str(clash(f"The format {name!r}", first[0][0], distribution)))
            for distribution, fmt in claimants
            if len(first) == 1 and fmt is not first[0][1]
        ]


@functools.cache
def registry() -> Plugins:
    """The plugins of this environment, loaded once."""
    return Plugins(list(entry_points(group=GROUP)))


@functools.cache
def formats() -> tuple[Format, ...]:
    """Every format, ordered by name."""
    by_name = registry().formats()
    return tuple(by_name[name] for name in sorted(by_name))


def rules(fmt: Format, direction: Literal["import", "export"]) -> list[Rule]:
    """Rules third parties add to a format's table."""
    return registry().rules(fmt.name, direction)


def passes(fmt: Format) -> list[ir.passes.PassBase]:
    """Legalisations third parties add for a target."""
    return [p for _, p in registry().provided("bridge_passes", format=fmt.name)]


def functions() -> list[ir.Function]:
    """Bodies of own-domain operators."""
    return [f for _, f in registry().provided("bridge_functions")]
