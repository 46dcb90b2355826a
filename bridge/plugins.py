"""Discovery through entry points: a broken plugin is isolated and named, and nothing else suffers."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

import pluggy

from bridge import hookspecs
from bridge.ops import clash

if TYPE_CHECKING:
    import onnx_ir as ir

    from bridge.formats import Exporter, Format, Importer
    from bridge.ops import OpTable

GROUP = "bridge"


@dataclass(frozen=True)
class Broken:
    """A plugin that did not load, and why."""

    name: str
    distribution: str
    reason: str


class Plugins:
    """The registered plugins, who brought them, and the ones that failed."""

    def __init__(self, found: list[EntryPoint]) -> None:
        self.manager = pluggy.PluginManager("bridge")
        self.manager.add_hookspecs(hookspecs)
        self.distributions: dict[str, str] = {}
        self.broken: list[Broken] = []
        for point in sorted(found, key=lambda p: p.name):
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
        items = []
        for name in sorted(self.distributions):
            plugin = self.manager.get_plugin(name)
            if not hasattr(plugin, hook):
                continue
            caller = self.manager.subset_hook_caller(
                hook, [p for p in self.manager.get_plugins() if p is not plugin]
            )
            try:
                results = caller(**arguments)
            except Exception as error:
                self.broken.append(Broken(name, self.distributions[name], f"{hook}: {error}"))
                continue
            items += [(self.distributions[name], item) for result in results for item in result]
        return items

    def formats(self) -> dict[str, Format]:
        """Formats by name. Raises PluginError when two plugins claim one and neither overrides."""
        chosen: dict[str, tuple[str, Format]] = {}
        for distribution, fmt in self.provided("bridge_formats"):
            held = chosen.get(fmt.name)
            if held and held[1].override == fmt.override:
                raise clash(f"The format {fmt.name!r}", held[0], distribution)
            if not held or fmt.override:
                chosen[fmt.name] = (distribution, fmt)
        return {name: fmt for name, (_, fmt) in chosen.items()}


@functools.cache
def registry() -> Plugins:
    """The plugins of this environment, loaded once."""
    return Plugins(list(entry_points(group=GROUP)))


@functools.cache
def formats() -> tuple[Format, ...]:
    """Every format, ordered by name."""
    found = registry().formats()
    return tuple(found[name] for name in sorted(found))


def importer(fmt: Format) -> Importer:
    """A format's importer."""
    return fmt.resolve("importer")


def exporter(fmt: Format) -> Exporter:
    """A format's exporter."""
    return fmt.resolve("exporter")


def rules(fmt: Format, table: OpTable, direction: str) -> OpTable:
    """`table` with the rules third parties add to it."""
    offered = registry().provided("bridge_rules", format=fmt.name, direction=direction)
    owners: dict[str, str] = {}
    for distribution, rule in offered:
        if owners.setdefault(rule.op, distribution) != distribution:
            raise clash(f"The {fmt.name} {direction} rule for {rule.op!r}", owners[rule.op], distribution)
    return table.extended(rule for _, rule in offered)


def passes(fmt: Format) -> list[ir.passes.PassBase]:
    """Legalisations third parties add for a target."""
    return [p for _, p in registry().provided("bridge_passes", format=fmt.name)]


def functions() -> list[ir.Function]:
    """Bodies of own-domain operators."""
    return [f for _, f in registry().provided("bridge_functions")]
