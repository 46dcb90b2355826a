"""A model opened in a runtime, and its results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

from bridge.ports import Port

__all__ = ["RE_READ", "Outputs", "Runner", "Session"]

RE_READ = "re-read, "
"""The beginning of the engine's name where a file is read back and run as a hub model, for want of its
format's own runtime."""


class Outputs(dict[str, Any]):
    """Results by output name, in the model's order. `engine` names the runtime that computed them,
    `refusal` is why the first choice of runtime did not; empty where it did."""

    def __init__(self, values: dict[str, Any], engine: str, refusal: str = "") -> None:
        super().__init__(values)
        self.engine, self.refusal = engine, refusal


class Session(ABC):
    """A model opened in a runtime. It runs as often as asked, every time as if it had just been opened.

    `engine` names the runtime and its version; `inputs` and `outputs` are those the runtime tells of, before
    the first run where it can. `variant_count` says how many other ways of the same runtime `variants` opens:
    without optimizations, with other kernels. By as much as they differ, numbers of the runtime are noise.
    `refusal` is why the runtime does not take the file, where another one runs it in its stead.
    """

    engine: str = ""
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()
    variant_count: int = 0
    refusal: str = ""

    @abstractmethod
    def run(self, inputs: dict[str, Any]) -> Outputs:
        """Outputs by name for arrays by name. Raises InvalidInput, and ExecutionFailed in the runtime's
        words."""

    def within(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Arrays of the values within, by the file's own names, as far as the runtime shows them. Raises as
        `run` does."""
        return {}

    def variants(self) -> Iterator[Session]:
        """The file in the other ways of its runtime."""
        return iter(())


class Runner(ABC):
    """A file opened in a runtime as programs open it that want its speed: `Runner(path, threads, place,
    **options)` with its optimizations, on so many threads.

    `places` are the execution providers, delegates or devices of the runtime here by name, its usual one
    first; `engine` names the runtime and its version. Opening raises ExecutionFailed in the runtime's words.
    """

    engine: str = ""

    @classmethod
    @abstractmethod
    def places(cls) -> tuple[str, ...]:
        """Names that `place` may be, the usual one first. The runtime is imported then."""

    @abstractmethod
    def prepared(self, inputs: dict[str, Any]) -> Callable[[], Any]:
        """A call that computes the outputs for arrays by name, and does nothing else. Raises InvalidInput,
        and so does the call, or what the runtime raises."""

    def profiled(self, inputs: dict[str, Any], runs: int) -> list[tuple[str, str, float]]:
        """Operator, name and seconds a run of each node that was run; empty where the runtime does not
        tell."""
        return []
