"""Lengths as sums of symbolic dimensions: 2·past + seq + 1."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["ONE", "Linear", "number", "parsed", "product", "variable"]

Number = int | Fraction


@dataclass(frozen=True)
class Linear:
    """A constant and multiples of symbolic dimensions, by name; no coefficient is zero."""

    constant: Fraction
    terms: frozenset[tuple[str, Fraction]] = frozenset()

    @property
    def whole(self) -> int | None:
        """The number it is, where no dimension is in it and it is whole."""
        return int(self.constant) if not self.terms and self.constant.denominator == 1 else None

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.terms}

    def __add__(self, other: Linear) -> Linear:
        terms = dict(self.terms)
        for name, factor in other.terms:
            terms[name] = terms.get(name, Fraction(0)) + factor
        return Linear(self.constant + other.constant, frozenset((n, f) for n, f in terms.items() if f))

    def __sub__(self, other: Linear) -> Linear:
        return self + other.times(-1)

    def times(self, factor: Number) -> Linear:
        if not factor:
            return number(0)
        return Linear(self.constant * factor, frozenset((n, f * factor) for n, f in self.terms))

    def with_values(self, values: Mapping[str, Linear]) -> Linear:
        """Dimensions replaced by what they are equal to."""
        result = number(self.constant)
        for name, factor in self.terms:
            result += values.get(name, variable(name)).times(factor)
        return result

    def __str__(self) -> str:
        """The sum, terms that are added first: `2*width - past + 1`."""
        terms = [(f, n if abs(f) == 1 else f"{abs(f)}*{n}") for n, f in sorted(self.terms)]
        terms += [(self.constant, str(abs(self.constant)))] if self.constant or not terms else []
        (factor, first), *others = sorted(terms, key=lambda term: term[0] < 0)
        text = "".join(f" {'-' if f < 0 else '+'} {term}" for f, term in others)
        return f"{'-' if factor < 0 else ''}{first}{text}"

    def at(self, lengths: Mapping[str, int]) -> Fraction | None:
        """Its value where dimensions have these lengths; None where one has none."""
        if not self.names <= set(lengths):
            return None
        return self.constant + sum((f * lengths[n] for n, f in self.terms), Fraction(0))


def number(value: Number) -> Linear:
    return Linear(Fraction(value))


def variable(name: str) -> Linear:
    return Linear(Fraction(0), frozenset([(name, Fraction(1))]))


ONE = number(1)


def product(factors: Iterable[Linear | None]) -> Linear | None:
    """The product, where at most one factor is no number."""
    result = ONE
    for factor in factors:
        if factor is None or (factor.terms and result.terms):
            return None
        result = factor.times(result.constant) if factor.terms else result.times(factor.constant)
    return result


def parsed(dim: object) -> Linear:
    """A dimension: an int, the name of one, or the text of a sum such as `past + 2*seq - 1`."""
    if isinstance(dim, int):
        return number(dim)
    text = str(dim)
    try:
        result = _read(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, ZeroDivisionError):
        result = None
    return variable(text) if result is None else result


def _read(node: ast.expr) -> Linear | None:
    if isinstance(node, ast.Name):
        return variable(node.id)
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return number(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _read(node.operand)
        return None if inner is None else inner.times(-1)
    if not isinstance(node, ast.BinOp):
        return None
    left, right = _read(node.left), _read(node.right)
    if left is None or right is None:
        return None
    if isinstance(node.op, ast.Add):
        return left + right
    if isinstance(node.op, ast.Sub):
        return left - right
    if isinstance(node.op, ast.Mult):
        return product([left, right])
    return None
