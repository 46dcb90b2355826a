"""Symbolic lengths of an exported program: their names, and what torch found of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bridge_torchscript.guards import equations, solved
from bridge_torchscript.input_specs import InputSpec, terms
from bridge_torchscript.recorded import Program

SMALLEST = 2
"""torch assumes of a length that varies that it is neither 0 nor 1, whether or not the graph needs it."""


class Symbols:
    """Names for the symbols of a program: those of the user's `specs`, else those that dimensions had when
    it was exported, else torch's own. A symbol that its guards say is a sum of others has no name.

    `notes` tells what torch made of a name of `specs`: another expression, or a range.
    """

    def __init__(self, program: Program, specs: dict[str, InputSpec]) -> None:
        self.program = program
        self.names: dict[Any, str] = {}
        self.notes: list[str] = []
        shapes = {name: getattr(e, "shape", ()) for name, e in program.graph.inputs.items()}
        varies = any(not isinstance(d, int) for shape in shapes.values() for d in shape)
        self.sums = solved(equations(program.guards, shapes)) if varies else {}
        described = [(shapes.get(name, ()), spec) for name, spec in specs.items()]
        for shape, spec in described:
            for length, name in zip(shape, spec.dims or (), strict=False):
                if isinstance(name, str) and not isinstance(length, int) and length.is_Symbol:
                    self.names.setdefault(length, name)
        for symbol, name in program.names.items():
            if name not in self.names.values():
                self.names.setdefault(symbol, name)
        for shape, spec in described:
            self._tell(shape, spec)
        for name, low, high in self.ranges():
            most = "" if high is None else f", {high} at most"
            self.notes.append(f"torch.export finds that {name} is {low} at least{most}.")

    def _tell(self, shape: Any, spec: InputSpec) -> None:
        for length, name in zip(shape, spec.dims or (), strict=False):
            found = self.dimension(length)
            if isinstance(name, str) and found != name:
                self.notes.append(f"torch.export finds that {name} is {found}.")

    def dimension(self, length: Any) -> int | str | None:
        """A length as an int or the text of an expression of names."""
        if isinstance(length, int) or length.is_number:
            return int(length)
        return self._text(length)

    def _text(self, expression: Any) -> str:
        expression = expression.xreplace(self.sums)
        named = {s: _sum(self.names[s]) for s in expression.free_symbols if s in self.names}
        return str(expression.xreplace(named))

    def ranges(self) -> Iterator[tuple[str, int, int | None]]:
        """Name, lowest and highest length of every symbol that torch found bounds for."""
        for symbol, low, high in self.program.ranges:
            if symbol.is_Symbol and ((low or 0) > SMALLEST or high is not None):
                yield self._text(symbol), low or 0, high


def _sum(names: str) -> Any:
    """The sum of a specification's dimension, or its one name, as sympy has it."""
    import sympy

    return sympy.Add(*(sympy.Symbol(name, integer=True) for name in terms(names)))
