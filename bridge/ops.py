"""Rules: how one operator crosses, declared once and read by dispatch, by errors and by the matrix."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from bridge.errors import PluginError, naming

__all__ = ["Need", "OpTable", "Rule"]


@dataclass(frozen=True)
class Need:
    """A condition on one node: `text` completes "needs …", `holds` is checked."""

    text: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True)
class Rule:
    """Rule for how `op` crosses. `since` is the first version of the foreign format that has it. Of the
    rules several plugins add for one operator to one format's table, those that `override` are used."""

    op: str
    handler: Callable
    since: int = 0
    needs: tuple[Need, ...] = ()
    override: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.needs, tuple):
            raise PluginError(
                f"The needs of the rule for {self.op} are no tuple.", "One need is written (need,)."
            )

    def apply(self, builder: Any, *operands: Any, **arguments: Any) -> Any:
        """Call the handler with these operands, the node first where it takes one. An error it raises that is
        no BridgeError gets a note of the operator."""
        name = getattr(operands[0], "name", None) if operands else None
        with naming(f"{self.op} {name or ''}".rstrip()):
            return self.handler(builder, *operands, **arguments)

    def refusal(self, node: Any, version: int, title: Callable[[int], str] = str) -> str | None:
        """Why this rule does not take `node`, or None when it does."""
        if self.since > version:
            return f"needs {title(self.since)}; {title(version)} was asked for"
        missing = [need.text for need in self.needs if not need.holds(node)]
        return "needs " + " and ".join(missing) if missing else None


class OpTable:
    """The rules of one direction of one format.

    Operators are named `Op`, or `domain::Op` outside the format's default domain. Several rules may share an
    operator; the first that takes a node crosses it. `attribute(node, name)` reads an attribute of a node;
    without it nodes are the hub's.
    """

    def __init__(self, attribute: Callable[[Any, str], Any] | None = None) -> None:
        self._attribute = attribute or _attribute
        self._rules: dict[str, list[Rule]] = {}
        self._lacking: dict[str, str] = {}

    @classmethod
    def of(cls, package: str) -> OpTable:
        """The rules of every family of a package, a module each: those in its `ops`, in the order of the
        modules' names."""
        table = cls()
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
            family = getattr(importlib.import_module(f"{package}.{module.name}"), "ops", cls())
            for rule in family:
                table.add(rule)
            table._lacking |= family._lacking
        return table

    def op(self, *names: str, since: int = 0, needs: tuple[Need, ...] = ()) -> Callable:
        """Register the decorated handler for `names`. Handlers take (builder, node, *inputs)."""

        def register(handler: Callable) -> Callable:
            for name in names:
                self.add(Rule(name, handler, since, needs))
            return handler

        return register

    def same(
        self,
        domain: str = "",
        attributes: Mapping[str, str] | None = None,
        since: int = 0,
        needs: tuple[Need, ...] = (),
        **names: str,
    ) -> None:
        """Register operators of `domain` that differ from their counterpart in name alone, hub="native", or
        in the names of `attributes`, {"axis": "dim"}: the counterpart takes the value of each as that
        keyword."""
        prefix = f"{domain}::" if domain else ""
        for name, native in names.items():
            self.add(Rule(prefix + name, self._call(native, attributes or {}), since, needs))

    def _call(self, native: str, attributes: Mapping[str, str]) -> Callable:
        def handler(builder: Any, node: Any, *inputs: Any) -> Any:
            given = {keyword: self._attribute(node, name) for name, keyword in attributes.items()}
            return getattr(builder, native)(*inputs, **given)

        handler.__name__ = native
        return handler

    def unsupported(self, why: str, *names: str) -> None:
        """Say why `names` have no rule: what follows "is not supported: "."""
        self._lacking.update(dict.fromkeys(names, f": {why}"))

    def add(self, rule: Rule) -> None:
        self._rules.setdefault(rule.op, []).append(rule)

    @contextmanager
    def extended(self, rules: Iterable[Rule]) -> Iterator[None]:
        """Within the context, and in its thread alone, `rules` of plugins other than the table's own come
        before it."""
        offered: dict[str, list[Rule]] = {}
        for rule in rules:
            offered.setdefault(rule.op, []).append(rule)
        token = _offered.set({**_offered.get(), self: offered})
        try:
            yield
        finally:
            _offered.reset(token)

    def _rules_for(self, name: str) -> list[Rule]:
        return [*_offered.get().get(self, {}).get(name, ()), *self._rules.get(name, ())]

    def __iter__(self) -> Iterator[Rule]:
        names = dict.fromkeys([*_offered.get().get(self, ()), *self._rules])
        return (rule for name in names for rule in self._rules_for(name))

    def __contains__(self, name: str) -> bool:
        return name in self._rules or name in _offered.get().get(self, ())

    def find(self, name: str, node: Any, version: int = 2**31) -> Rule | None:
        """The first rule that takes `node`."""
        return next(self.matching(name, node, version), None)

    def matching(self, name: str, node: Any, version: int = 2**31) -> Iterator[Rule]:
        """Every rule that takes `node`, in order."""
        return (r for r in self._rules_for(name) if r.refusal(node, version) is None)

    def refusal(
        self, name: str, node: Any, version: int = 2**31, title: Callable[[int], str] = str
    ) -> str | None:
        """Why no rule takes `node`, in words that follow the operator's name; None when one does."""
        if name not in self:
            return "is not supported" + self._lacking.get(name, "")
        reasons = [rule.refusal(node, version, title) for rule in self._rules_for(name)]
        return None if None in reasons else ", or ".join(dict.fromkeys(r for r in reasons if r))


# Rules of other plugins, by the table they extend while it is used
_offered: ContextVar[dict[OpTable, dict[str, list[Rule]]]] = ContextVar("offered", default={})  # noqa: B039


def _attribute(node: Any, name: str) -> Any:
    from bridge.hub import attr  # takes 0.3 s, which finding plugins does without

    return attr(node, name)


def clash(name: str, first: str, second: str) -> PluginError:
    """Two distributions claim one name."""
    return PluginError(
        f"{name} is provided by both {first} and {second}.",
        "Uninstall one of them, or let one declare its own with override=True.",
    )
