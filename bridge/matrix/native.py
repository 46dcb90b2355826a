"""Cases of a format's own: files in its own operators, which the importer is measured on."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.detect import by_name


@dataclass(frozen=True)
class Made:
    """A file of a format (its path, or a live object), read with `options`, and what it is run on: arrays by
    the hub's names.

    `expected` are the outputs in order; without them the format's own runtime says. Numbers are held to
    `rtol` and `atol`, by default those of `bridge.verify`, and where an output is quantized to `quanta` steps
    of it; `random` ones have a dtype and shape alone.
    """

    source: Any
    inputs: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    expected: Sequence[Any] | None = None
    rtol: float | None = None
    atol: float | None = None
    quanta: int = 1
    random: bool = False


@dataclass(frozen=True)
class NativeCase:
    """The format's operators it is a case of, and `make(folder)`, which writes its file there; where it
    raises, the case goes untried."""

    ops: tuple[str, ...]
    make: Callable[[Path], Made]


def native_name(source: str, name: str) -> str:
    """Name among all cases of the case `name` of the format `source`."""
    return f"{source}/{name}"


def source_of(name: str) -> str:
    """The format whose own the case called `name` is; empty for one that every format is measured on."""
    return name.partition("/")[0] if "/" in name else ""


@functools.cache
def native_cases(source: str) -> dict[str, NativeCase]:
    """The cases of the format's own, by name among all; none where it declares none or its packages are not
    there."""
    declared = by_name(source)
    if declared.cases is None or not all(declared.installed().values()):
        return {}
    return {native_name(source, name): case for name, case in declared.resolve("cases")().items()}
