"""A model opened in a runtime, and its results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from bridge.ports import Port

__all__ = ["Outputs", "Session"]


class Outputs(dict[str, Any]):
    """Results by output name, in the model's order. `engine` names the runtime that computed them."""

    def __init__(self, values: dict[str, Any], engine: str) -> None:
        super().__init__(values)
        self.engine = engine


class Session(ABC):
    """A model opened in a runtime. It runs as often as asked, every time as if it had just been opened.

    `engine` names the runtime and its version; `inputs` and `outputs` are those the runtime tells of, before
    the first run where it can.
    """

    engine: str = ""
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()

    @abstractmethod
    def run(self, inputs: dict[str, Any]) -> Outputs:
        """Outputs by name for arrays by name. Raises InvalidInput, and ExecutionFailed in the runtime's
        words."""
