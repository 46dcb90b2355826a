"""Profiles as data: the options one deployment chooses, the versions and the kernels it has."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge import plugins
from bridge.errors import InvalidOption, PluginError, near_miss
from bridge.formats import Native, Written

__all__ = ["Kernel", "Profile", "profile_of", "profiles"]

DATA = Path(__file__).parent / "data"
REQUIRED = ("name", "title", "format", "source", "date")


@dataclass(frozen=True)
class Kernel:
    """One kernel of an operator: it takes forms of the versions `since` to `until`, without `until` those of
    `since` alone where `exact`, and the dtypes by operand."""

    since: int = 0
    until: int | None = None
    dtypes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    exact: bool = False

    def takes_version(self, version: int) -> bool:
        """True for a form it computes."""
        if self.until is not None:
            return self.since <= version <= self.until
        return version == self.since if self.exact else version >= self.since

    def untaken(self, native: Native, casts: Mapping[str, str]) -> str:
        """A dtype of an operator that it does not take; empty where it takes all."""
        for operand, taken in self.dtypes.items():
            dtype = native.dtypes.get(operand)
            if dtype is not None and not {dtype, casts.get(dtype)} & taken:
                return dtype
        return ""


@dataclass(frozen=True)
class Profile:
    """A profile, as its data file has it.

    `options` are those of the exporter that it chooses; `versions` the highest that a file may have, by what
    is counted in them; `operators` the kernels of each operator, None where all that the format can write is
    taken; `casts` dtypes that are computed as others where a kernel lacks them. A runtime that `inlines`
    computes the body of an operator it has no kernel for; `restrictions` are what its kernels ask beside, in
    words by operator, which nothing here checks. `source` and `date` say whence the facts are, and when they
    were read; `note` what they leave open.
    """

    name: str
    title: str
    format: str
    source: str
    date: str
    note: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)
    operators: Mapping[str, tuple[Kernel, ...]] | None = None
    casts: Mapping[str, str] = field(default_factory=dict)
    inlines: bool = False
    exact: bool = False
    restrictions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Profile:
        """The profile of a TOML file. Raises PluginError for a file that is none."""
        try:
            told = tomllib.loads(path.read_text())
            lacking = [key for key in REQUIRED if key not in told]
            if lacking:
                raise ValueError(f"it has no {', '.join(lacking)}")
            operators, exact = told.pop("operators", None), told.get("exact", False)
            kernels = None if operators is None else _kernels(operators, exact)
            return cls(**told, operators=kernels)
        except (OSError, TypeError, ValueError) as error:
            raise PluginError(
                f"{path} is no profile: {error}.", "docs/profiles.md says what one holds."
            ) from error

    def chosen(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Given options and those it chooses. Raises InvalidOption for one that is both."""
        both = sorted(set(options) & set(self.options))
        if both:
            raise InvalidOption(
                f"{', '.join(both)} is chosen by the profile {self.name}: {self.options[both[0]]}.",
                "Leave out the option, or the profile.",
            )
        return {**options, **self.options}

    def refusals(self, written: Written) -> Iterator[tuple[Native, str]]:
        """Versions and operators of a file that it does not take, each with the reason, in words that follow
        a name."""
        for name, highest in self.versions.items():
            version = written.versions.get(name, 0)
            if version > highest:
                yield Native(name), f"is {version}; {self.title} takes {highest} at most"
        if self.operators is not None:
            for native in written.operators:
                if reason := self._refusal(native):
                    yield native, reason

    def notes(self, written: Written) -> Iterator[str]:
        """The source and date of what it says, what it leaves open, and restrictions of operators of a
        file."""
        yield f"for {self.title}, as of {self.date}: {self.source}"
        if self.note:
            yield self.note
        for name in dict.fromkeys(native.op for native in written.operators):
            if name in self.restrictions:
                yield f"{self.title} on {name}: {self.restrictions[name]}"

    def _refusal(self, native: Native) -> str:
        """Why an operator is not taken; empty where it is."""
        kernels = (self.operators or {}).get(native.op, ())
        fitting = [kernel for kernel in kernels if kernel.takes_version(native.version)]
        untaken = [kernel.untaken(native, self.casts) for kernel in fitting]
        if "" in untaken:
            return ""
        if self.inlines and native.body and not any(map(self._refusal, native.body)):
            return ""
        if untaken:
            return f"takes no {untaken[0]} in {self.title}"
        form = f" of version {native.version}" if kernels else ""
        return f"has no kernel{form} in {self.title}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; of the kernels the names of their operators."""
        names = ("name", "title", "format", "source", "date", "note")
        told = {name: getattr(self, name) for name in names}
        taken = None if self.operators is None else sorted(self.operators)
        return told | {
            "options": dict(self.options),
            "versions": dict(self.versions),
            "operators": taken,
        }


def _kernels(operators: Any, exact: bool) -> dict[str, tuple[Kernel, ...]]:
    """Kernels by operator, of a list of names or a table of rows."""
    if isinstance(operators, list):
        return {name: (Kernel(),) for name in operators}
    return {name: tuple(_kernel(row, exact) for row in rows) for name, rows in operators.items()}


def _kernel(row: dict[str, Any], exact: bool) -> Kernel:
    dtypes = {k: frozenset(v.split()) for k, v in row.items() if k not in ("since", "until")}
    return Kernel(row.get("since", 0), row.get("until"), dtypes, exact)


@functools.cache
def profiles() -> tuple[Profile, ...]:
    """Every profile, ordered by format and name: those of bridge, and those that plugins bring."""
    known = {path.stem: Profile.read(path) for path in DATA.glob("*.toml")}
    for distribution, profile in plugins.registry().provided("bridge_profiles"):
        if profile.name in known:
            raise PluginError(
                f"The profile {profile.name!r} of {distribution} is there already.", "Give it another name."
            )
        known[profile.name] = profile
    return tuple(sorted(known.values(), key=lambda p: (p.format, _natural(p.name))))


def _natural(name: str) -> tuple[Any, ...]:
    """A key that orders 1.9 before 1.16."""
    parts = name.replace("-", ".").split(".")
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in parts)


def profile_of(name: str) -> Profile:
    """The profile called `name`. Raises InvalidOption."""
    known = {profile.name: profile for profile in profiles()}
    if name.lower() not in known:
        raise InvalidOption(
            f"There is no profile {name!r}.",
            f"{near_miss(name, known)}`bridge profiles` lists them: {', '.join(known)}.",
        )
    return known[name.lower()]
