"""Lengths of exported programs as sympy has them, of the texts that torch writes. Nothing is evaluated as
Python.

sympy is imported by the first text that is no number.
"""

from __future__ import annotations

import ast
import functools
import math
from collections.abc import Callable
from typing import Any

BELOW_SUMS = 35
"""How closely quotients bind when sympy writes them: products have parentheses around them."""


class Lengths:
    """Reader of the texts of one file; `symbols` are those found, by name."""

    def __init__(self) -> None:
        self.symbols: dict[str, Any] = {}

    def parse(self, text: str) -> Any:
        """Expression of a text like `Add(Symbol('s0', integer=True), Integer(1))`. Raises ValueError."""
        return self._expression(ast.parse(text, mode="eval").body)

    def _expression(self, node: ast.expr) -> Any:
        match node:
            case ast.Call(func=ast.Name(id="Symbol"), args=[ast.Constant(value=str(name))], keywords=facts):
                import sympy

                assumed = {str(k.arg): ast.literal_eval(k.value) for k in facts}
                return self.symbols.setdefault(name, sympy.Symbol(name, **assumed))
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in functions():
                return functions()[name](*map(self._expression, arguments))
            case ast.Constant(value=int(value)):
                return value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(value))):
                return -value
        raise ValueError(f"{ast.unparse(node)[:80]!r} is no length")


@functools.cache
def functions() -> dict[str, Callable[..., Any]]:
    """Functions that torch's texts call, by name."""
    import sympy

    rounding = {name: _named(name) for name in ("CeilToInt", "FloorToInt", "TruncToInt", "IntTrueDiv")}
    others = {name: _named(name) for name in ("FloatTrueDiv", "ToFloat", "ModularIndexing")}
    known = ("Integer", "Rational", "Add", "Mul", "Pow", "Max", "Min")
    return (
        {name: getattr(sympy, name) for name in known}
        | rounding
        | others
        | {"FloorDiv": _floor_div(), "CleanDiv": _floor_div("CleanDiv")}
        | {name: _remainder(name) for name in ("Mod", "PythonMod")}
    )


def _named(name: str) -> Any:
    """A function of integers that stays as it is."""
    import sympy

    return type(name, (sympy.Function,), {"is_integer": True})


def _remainder(name: str) -> Any:
    import sympy

    def evaluated(cls: Any, number: Any, divisor: Any) -> Any:
        if number.is_Integer and divisor.is_Integer and divisor > 0:
            return sympy.Integer(int(number) % int(divisor))
        return None

    return type(name, (sympy.Function,), {"is_integer": True, "eval": classmethod(evaluated)})


def _floor_div(name: str = "FloorDiv") -> Any:
    """Quotients rounded down, written `(a//b)`; those without a rest are no quotients any more."""
    import sympy

    def evaluated(cls: Any, number: Any, divisor: Any) -> Any:
        if number.is_Integer and divisor.is_Integer:
            return sympy.Integer(int(number) // int(divisor))
        if number == divisor or number.is_zero:
            return sympy.Integer(number == divisor)
        if divisor in (1, -1):
            return number * divisor
        if isinstance(number, cls):
            return cls(number.args[0], number.args[1] * divisor)
        if divisor.is_Integer:
            parts = sympy.Add.make_args(number)
            whole = [p for p in parts if _coefficient(p) % int(divisor) == 0]
            if whole:
                rest = sympy.Add(*(p for p in parts if p not in whole))
                return cls(rest, divisor) + sympy.Add(*(p / divisor for p in whole))
        shared = _shared_factor(number, divisor)
        return None if shared == 1 else cls((number / shared).expand(), (divisor / shared).expand())

    def text(self: Any, printer: Any) -> str:
        number, divisor = (printer.parenthesize(a, 999.5) for a in self.args)
        return f"({number}//{divisor})"

    body = {"is_integer": True, "eval": classmethod(evaluated), "_sympystr": text, "precedence": BELOW_SUMS}
    return type(name, (sympy.Function,), body)


def _coefficient(term: Any) -> int:
    """Integer factor of a term; 1 of one that is multiplied by no integer."""
    factor, rest = term.as_coeff_Mul()
    return int(factor) if factor.is_Integer and rest.is_integer else 1


def _shared_factor(number: Any, divisor: Any) -> Any:
    """Product of the integer and of the factors that are in every term of both."""
    import sympy

    terms = [*sympy.Add.make_args(number), *sympy.Add.make_args(divisor)]
    shared: Any = math.gcd(*map(_coefficient, terms))
    common = set.intersection(*(set(sympy.Mul.make_args(t)) for t in terms))
    return sympy.Mul(shared, *(f for f in common if not f.is_number))
