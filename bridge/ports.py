"""Inputs and outputs of a model, as they are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Port", "port_of"]


@dataclass(frozen=True)
class Port:
    """An input or output: its name, dtype, and dimensions (numbers, or names of symbolic ones); empty and
    None where unknown."""

    name: str
    dtype: str = ""
    shape: tuple[int | str, ...] | None = None

    def __str__(self) -> str:
        dims = "?" if self.shape is None else ",".join(map(str, self.shape))
        return f"{self.name}: {self.dtype}[{dims}]"


def port_of(value: Any) -> Port:
    """The port of a hub value."""
    shape = value.shape
    dims = None if shape is None else tuple(d if isinstance(d, int) else str(d.value) for d in shape)
    return Port(value.name or "", value.dtype.name.lower() if value.dtype else str(value.type), dims)
