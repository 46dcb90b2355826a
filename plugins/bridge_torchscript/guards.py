"""Equations among the lengths of an exported program's inputs, from guards, which torch writes as Python."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

META = "guards"
"""Where a program that torch read from a file keeps the text of its guards."""


class Unread(Exception):
    """A guard that is no comparison of sums of lengths."""


def equations(guards: Iterable[str], inputs: Mapping[str, Any]) -> Iterator[Any]:
    """sympy expressions that are 0, of guards like `L['x'].size()[0] + L['y'].size()[1] <= 7`. `inputs` has
    lengths by name, ints and torch's symbols."""
    at_most: set[Any] = set()
    for text in guards:
        try:
            compared = ast.parse(text, mode="eval").body
            if not isinstance(compared, ast.Compare) or len(compared.ops) != 1:
                continue
            left, right = (_length(side, inputs) for side in (compared.left, compared.comparators[0]))
        except (SyntaxError, Unread):
            continue
        difference = (left - right).expand()
        if isinstance(compared.ops[0], ast.Eq):
            yield difference
        elif isinstance(compared.ops[0], (ast.LtE, ast.GtE)):
            at_most.add(difference if isinstance(compared.ops[0], ast.LtE) else -difference)
            if {difference, -difference} <= at_most:
                yield difference


def solved(equations: Iterable[Any]) -> dict[Any, Any]:
    """Symbols that are sums of others, and these."""
    known: dict[Any, Any] = {}
    for equation in equations:
        rest = equation.xreplace(known)
        for symbol in sorted(rest.free_symbols, key=str):
            total = symbol - rest / rest.coeff(symbol) if rest.coeff(symbol) in (1, -1) else None
            if total is not None and all(total.expand().coeff(s) > 0 for s in total.free_symbols):
                known = {s: e.xreplace({symbol: total.expand()}) for s, e in known.items()}
                known[symbol] = total.expand()
                break
    return known


def _length(node: ast.expr, inputs: Mapping[str, Any]) -> Any:
    """A sum as sympy has it. Raises Unread."""
    import sympy

    match node:
        case ast.Constant(value=int(value)):
            return sympy.Integer(value)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_length(operand, inputs)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _length(left, inputs) + _length(right, inputs)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _length(left, inputs) * _length(right, inputs)
        case ast.Subscript(
            value=ast.Call(func=ast.Attribute(value=place, attr="size")),
            slice=ast.Constant(value=int(axis)),
        ):
            lengths = list(inputs.get("_".join(_path(place)), ()))
            if axis < len(lengths):
                return sympy.sympify(lengths[axis])
    raise Unread


def _path(node: ast.expr) -> list[str]:
    """The keys of an argument: `x`, `1` of `L['x'][1]`, whose input is called x_1."""
    match node:
        case ast.Subscript(value=inner, slice=ast.Constant(value=key)):
            return [*_path(inner), str(key)]
        case ast.Name(id="L"):
            return []
    raise Unread
