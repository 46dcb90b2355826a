"""Shapes of all values of a graph in terms of its inputs' symbolic dimensions, and the equations between
those that the operators state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

import onnx_ir as ir

from bridge import hub
from bridge.inputs.linear import ONE, Linear, number, parsed, product, variable
from bridge.inputs.shape_data import DATA, SMALL
from bridge.inputs.shape_rules import RULES

__all__ = ["Dims", "NamedShapes", "Shapes"]

Dims = list[Linear | None]


class Shapes:
    """Dimensions of every value as sums of the inputs' symbolic dimensions, None where they are not known.

    `equations` are pairs that the operators need to be equal, `whole` what must come out as a whole number,
    `scaled` what a Resize multiplies, with its factor. With a `setting` dimensions are the numbers it
    gives, and `misfits` counts where those do not go together, or a window does not fit.
    """

    def __init__(self, model: ir.Model, setting: Mapping[str, int] | None = None) -> None:
        self._at = {name: number(length) for name, length in (setting or {}).items()}
        self.misfits = 0
        self.equations: list[tuple[Linear, Linear]] = []
        self.whole: list[Linear] = []
        self.scaled: list[tuple[Linear, float]] = []
        self._dims: dict[ir.Value, Dims | None] = {}
        self._data: dict[ir.Value, Dims | None] = {}
        self.names: dict[str, None] = {}
        for value in model.graph.inputs:
            dims = None if value.shape is None else [self._declared(d) for d in value.shape]
            self._dims[value] = None if dims is None else list(dims)
            for dim in dims or []:
                self.names |= dict.fromkeys(sorted(dim.names))
        for node in model.graph:
            self._visit(node)

    def _visit(self, node: ir.Node) -> None:
        rule = RULES.get(node.op_type) if node.domain == "" else None
        results: list[Dims | None] = []
        if rule is not None:
            try:
                results = rule(self, node)
            except (IndexError, TypeError, ValueError, ZeroDivisionError):
                results = []
        if node.op_type == "If":
            results = self._branches(node)
        for index, value in enumerate(node.outputs):
            found = results[index] if index < len(results) else None
            self._dims[value] = self._completed(value, found)
        if node.domain == "" and node.op_type in DATA:
            try:
                self._data[node.outputs[0]] = DATA[node.op_type](self, node)
            except (IndexError, TypeError, ValueError, ZeroDivisionError):
                self._data[node.outputs[0]] = None

    def _branches(self, node: ir.Node) -> list[Dims | None]:
        """Dimensions of what either branch gives."""
        sides = []
        for graph in hub.subgraphs(node):
            for inner in graph:
                self._visit(inner)
            sides.append([self.dims(value) for value in graph.outputs])
        return [one if one == other else None for one, other in zip(*sides, strict=True)] if sides else []

    def _completed(self, value: ir.Value, found: Dims | None) -> Dims | None:
        """The dimensions a rule found, the others by the shape that is declared."""
        if value.shape is None:
            return found
        declared = [self._known(d) for d in value.shape]
        if found is None or len(found) != len(declared):
            return declared
        return [d if d is not None else e for d, e in zip(found, declared, strict=True)]

    def _known(self, dim: object) -> Linear | None:
        length = self._declared(dim)
        return length if length.names <= set(self.names) else None

    def _declared(self, dim: object) -> Linear:
        length = parsed(dim if isinstance(dim, int) else getattr(dim, "value", dim))
        return length.with_values(self._at) if self._at else length

    def dims(self, value: ir.Value | None) -> Dims | None:
        """Dimensions of a value; None where not even the rank is known."""
        if value is None:
            return None
        if value not in self._dims:
            self._dims[value] = self._completed(value, None)
        return self._dims[value]

    def lengths(self, value: ir.Value | None, setting: Mapping[str, int]) -> list[int | None] | None:
        """Dimensions of a value where the inputs' have the lengths of `setting`."""
        dims = self.dims(value)
        if dims is None:
            return None
        found = [None if d is None else d.at(setting) for d in dims]
        return [int(d) if d is not None and d.denominator == 1 else None for d in found]

    def data(self, value: ir.Value | None) -> Dims | None:
        """The elements of a small tensor of integers, flat."""
        array = hub.const(value)
        if array is not None:
            small = array.dtype.kind in "iub" and array.size <= SMALL
            return [number(int(v)) for v in array.ravel()] if small else None
        return None if value is None else self._data.get(value)

    def ints(self, value: ir.Value | None) -> list[int] | None:
        """The elements of a small tensor of integers, where all are known."""
        found = self.data(value)
        whole = [None if d is None else d.whole for d in found or []]
        return None if found is None or None in whole else [int(w) for w in whole if w is not None]

    def equal(self, one: Linear | None, other: Linear | None) -> None:
        """Note that two lengths are the same."""
        if one is not None and other is not None and one != other:
            self.equations.append((one, other))
            self.misfits += not one.terms and not other.terms

    def joined(self, dims: Sequence[Linear | None]) -> Linear | None:
        """The length dimensions broadcast to; those that are not 1 are the same."""
        known = [d for d in dims if d is not None and d != ONE]
        for other in known[1:]:
            self.equal(known[0], other)
        return known[0] if known else None if None in dims else ONE

    def broadcast(self, shapes: Sequence[Dims | None]) -> Dims | None:
        known = [s for s in shapes if s is not None]
        if len(known) < len(shapes):
            return None
        rank = max(map(len, known), default=0)
        padded: list[Dims] = [[*[ONE] * (rank - len(s)), *s] for s in known]
        return [self.joined(column) for column in zip(*padded, strict=True)]

    def product(self, factors: Iterable[Linear | None]) -> Linear | None:
        """The product of lengths; None where it is no sum."""
        return product(factors)

    def quotient(self, length: Linear, divisor: int) -> Linear | None:
        """A length that `divisor` divides."""
        result = length.times(Fraction(1, divisor))
        self.whole.append(result)
        self.misfits += not result.terms and result.constant.denominator > 1
        return result

    def floored(self, length: Linear, divisor: int) -> Linear | None:
        """The quotient of a length, rounded down; None where it is no sum."""
        return number(length.whole // divisor) if length.whole is not None else None


class NamedShapes(Shapes):
    """Shapes whose quotients and products are dimensions of their own, under names such as
    `((width - 1)//2)` and `height*width`."""

    def __init__(self, model: ir.Model) -> None:
        self._quotients: dict[str, tuple[Linear, int]] = {}
        self._products: dict[str, tuple[Linear, ...]] = {}
        super().__init__(model)

    def quotient(self, length: Linear, divisor: int) -> Linear | None:
        """The quotient; None of what may be negative, which is rounded towards zero."""
        return None if any(factor < 0 for _, factor in length.terms) else self.floored(length, divisor)

    def bases(self, names: Iterable[str]) -> set[str]:
        """Dimensions of the inputs that names are made of."""
        made = {n: (length,) for n, (length, _) in self._quotients.items()} | self._products
        inner = {n: {b for length in made[n] for b in length.names} for n in names if n in made}
        return {*names} - inner.keys() | {b for found in inner.values() for b in self.bases(found)}

    def floored(self, length: Linear, divisor: int) -> Linear:
        """The quotient, of which multiples of the divisor are taken out, and a quotient of a quotient one."""
        parts = [(n, f) for n, f in length.terms if f % divisor == 0]
        whole = Linear(Fraction(length.constant // divisor), frozenset((n, f / divisor) for n, f in parts))
        rest = length - whole.times(divisor)
        if not rest.terms:
            return whole
        [(name, factor), *others] = rest.terms
        if name in self._quotients and factor == 1 and not others:
            inner, by = self._quotients[name]
            return whole + self.floored(inner + number(rest.constant * by), by * divisor)
        name = f"(({rest})//{divisor})" if others or rest.constant or factor != 1 else f"({rest}//{divisor})"
        self._quotients[name] = (rest, divisor)
        return whole + variable(name)

    def product(self, factors: Iterable[Linear | None]) -> Linear | None:
        """The product; of several lengths that vary, one of its own."""
        times = Fraction(1)
        varying: list[Linear] = []
        for factor in factors:
            if factor is None:
                return None
            share, lengths = self._factors(factor)
            times *= share
            varying += lengths
        if len(varying) < 2:
            return (varying[0] if varying else ONE).times(times)
        varying.sort(key=str)
        sums = (len(length.terms) > 1 or length.constant != 0 for length in varying)
        name = "*".join(f"({v})" if is_sum else str(v) for v, is_sum in zip(varying, sums, strict=True))
        self._products[name] = tuple(varying)
        return variable(name).times(times)

    def _factors(self, length: Linear) -> tuple[Fraction, Sequence[Linear]]:
        """A number, and the lengths it is multiplied with."""
        if not length.terms:
            return length.constant, ()
        [(name, share), *others] = length.terms
        if others or length.constant:
            return Fraction(1), (length,)
        return share, self._products.get(name, (variable(name),))
