"""Symbolic lengths of an exported program: their names, and what torch found of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bridge_torchscript.guards import equations, guards_of, solved
from bridge_torchscript.input_specs import InputSpec, terms

SMALLEST = 2
"""torch assumes of a length that varies that it is neither 0 nor 1, whether or not the graph needs it."""


class Symbols:
    """Names for the symbols of a program: those of the user's `specs`, else those that dimensions had when
    it was exported, else torch's own. A symbol that its guards say is a sum of others has no name.

    `notes` tells what torch made of a name of `specs`: another expression, or a range.
    """

    def __init__(self, program: Any, specs: dict[str, InputSpec]) -> None:
        self.program = program
        self.names: dict[Any, str] = {}
        self.notes: list[str] = []
        inputs = {n.name: n.meta.get("val") for n in program.graph.nodes if n.op == "placeholder"}
        self.sums = solved(equations(guards_of(program), inputs))
        described = [(inputs.get(name), spec) for name, spec in specs.items()]
        for example, spec in described:
            for length, name in zip(getattr(example, "shape", ()), spec.dims or (), strict=False):
                if isinstance(name, str) and _symbol(length) is not None:
                    self.names.setdefault(_symbol(length), name)
        self._take_names_of_export(inputs.values())
        for example, spec in described:
            self._tell(getattr(example, "shape", ()), spec)
        for name, low, high in self.ranges():
            most = "" if high is None else f", {high} at most"
            self.notes.append(f"torch.export finds that {name} is {low} at least{most}.")

    def _take_names_of_export(self, examples: Any) -> None:
        """Names of torch.export.Dim, which a program in memory remembers."""
        for example in examples:
            for length in getattr(example, "shape", ()):
                symbol = _symbol(length)
                if symbol is None or symbol in self.names:
                    continue
                environment = length.node.shape_env
                for source in environment.var_to_sources.get(symbol, ()):
                    name = environment.source_name_to_debug_name.get(source.name)
                    if name and name not in self.names.values():
                        self.names.setdefault(symbol, name)

    def _tell(self, shape: Any, spec: InputSpec) -> None:
        for length, name in zip(shape, spec.dims or (), strict=False):
            found = self.dimension(length)
            if isinstance(name, str) and found != name:
                self.notes.append(f"torch.export finds that {name} is {found}.")

    def dimension(self, length: Any) -> int | str | None:
        """A length as an int or the text of an expression of names."""
        expression = _expression(length)
        if expression is None or expression.is_number:
            return int(length)
        return self._text(expression)

    def _text(self, expression: Any) -> str:
        expression = expression.xreplace(self.sums)
        named = {s: _sum(self.names[s]) for s in expression.free_symbols if s in self.names}
        return str(expression.xreplace(named))

    def ranges(self) -> Iterator[tuple[str, int, int | None]]:
        """Name, lowest and highest length of every symbol that torch found bounds for."""
        for symbol, values in self.program.range_constraints.items():
            low, high = (int(v) if v.is_Integer else None for v in (values.lower, values.upper))
            if symbol.is_Symbol and ((low or 0) > SMALLEST or high is not None):
                yield self._text(symbol), low or 0, high


def _sum(names: str) -> Any:
    """The sum of a specification's dimension, or its one name, as sympy has it."""
    import sympy

    return sympy.Add(*(sympy.Symbol(name, integer=True) for name in terms(names)))


def _expression(length: Any) -> Any:
    """torch's expression of a symbolic length; None of an int."""
    return None if isinstance(length, int) else length.node.expr


def _symbol(length: Any) -> Any:
    """The symbol that a length is; None of an int or an expression."""
    expression = _expression(length)
    return expression if expression is not None and expression.is_Symbol else None
