"""Lengths for the symbolic dimensions of a model's inputs: those its equations leave, and then those to
try."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from functools import cached_property

import onnx_ir as ir

from bridge.facts import COREML_RANGE
from bridge.inputs.linear import Linear, number, parsed, variable
from bridge.inputs.shapes import Shapes
from bridge.passes.dimensions import check_dimensions

__all__ = ["Lengths", "Setting"]

Setting = dict[str, int]

LARGEST = 2**24
"""Elements of an input, at most."""
UNITS = {
    1: (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37),
    6: (4, 5, 7, 9, 10, 11, 13, 14),
    32: (2, 3, 5, 4, 7, 6, 9, 8),
    64: (2, 3, 5, 4, 7, 6),
    16: (14, 16, 15, 18),
    512: (1, 2, 3, 4),
    8000: (2, 3, 4, 5),
    0: (),
}
"""Lengths to try, as multiples of a unit: the smallest; what windows reach into; sides that strides divide;
images; frames of sound; a second of it; 1 everywhere."""
SEARCHED = 512
"""Combinations of small lengths that are looked at where none of these runs, at most."""
ROWS = (4, 8, 16, 64)
"""Lengths to try of batches alone, after 2 and 1, for what reads a row far from the first."""


class Lengths:
    """Symbolic dimensions of a model's inputs, and which lengths go together.

    `fixed` are lengths by name, `limits` the lowest and highest length by name, `shapes` the only shapes of
    an input. Raises InvalidOption for a name of `fixed` that no input has.
    """

    def __init__(
        self,
        model: ir.Model,
        fixed: Mapping[str, int] | None = None,
        limits: Mapping[str, tuple[int, int]] | None = None,
        shapes: Mapping[str, list[list[int]]] | None = None,
    ) -> None:
        self.model, self.fixed, self.limits = model, dict(fixed or {}), dict(limits or {})
        self.only = shapes or {}
        self._fits: dict[tuple[tuple[str, int], ...], int] = {}
        check_dimensions(model, self.fixed)
        self.dims = {
            str(d.value): parsed(d.value)
            for v in model.graph.inputs
            for d in v.shape or ()
            if not isinstance(d, int)
        }
        for name in self.dims.keys() - self.limits.keys():
            low, _, high = (COREML_RANGE.of(name).get(model) or "").partition("..")
            if low.isdecimal():
                self.limits[name] = (int(low), int(high) if high.isdecimal() else 2**63)

    @cached_property
    def shapes(self) -> Shapes:
        return Shapes(self.model)

    @cached_property
    def known(self) -> dict[str, Linear]:
        """Names that follow from others, and what they are."""
        found: dict[str, Linear] = {}
        for name, length in self.fixed.items():
            _solve(found, self.dims[name], number(length), 0, 2**63)
        for one, other in self.shapes.equations:
            _solve(found, one, other)
        return found

    @cached_property
    def free(self) -> list[str]:
        """Names whose lengths are to be chosen, in the order of the inputs."""
        names = [n for dim in self.dims.values() for n in sorted(dim.names)]
        return [n for n in dict.fromkeys(names) if n not in self.known]

    @cached_property
    def rows(self) -> set[str]:
        """Free names that are the first dimension of inputs and no other one, or are called batches."""
        shapes = [[set() if isinstance(d, int) else parsed(d.value).names for d in v.shape or ()]
                  for v in self.model.graph.inputs]  # fmt: skip
        first = set().union(*(s[0] for s in shapes if len(s) > 1))
        others = set().union(*(names for s in shapes for names in (s[1:] if len(s) > 1 else ())))
        return {n for n in self.free if n in first - others or "batch" in n.lower()}

    @property
    def varies(self) -> bool:
        """True if a length is to be chosen."""
        return bool(self.free)

    def setting(self, chosen: Mapping[str, int]) -> Setting | None:
        """The lengths of all dimensions for those of the free names; None where one is no length."""
        values = {n: d.at(chosen) for n, d in self.known.items()}
        every: dict[str, Fraction | None] = {**values, **{n: Fraction(v) for n, v in chosen.items()}}
        whole = {n: int(v) for n, v in every.items() if v is not None and v.denominator == 1}
        names = {n for dim in self.dims.values() for n in dim.names}
        setting: Setting = {}
        for text, dim in self.dims.items():
            length = dim.at(whole) if dim.names <= whole.keys() else None
            low, high = self.limits.get(text, (0 if text in self.fixed else 1, 2**63))
            if length is None or length.denominator != 1 or not low <= length <= high:
                return None
            setting[text] = int(length)
        if any(value.denominator != 1 for w in self.shapes.whole if (value := w.at(whole)) is not None):
            return None
        return {n: v for n, v in whole.items() if n in names} | setting

    def smallest(self) -> Setting:
        """Two everywhere, where equations, windows and limits allow it, else the first setting to try."""
        if not self.dims:
            return {}
        plain = self.setting(dict.fromkeys(self.free, 2))
        if plain is not None and not self._misfits(plain):
            return plain
        return next((s for pair in self.pairs() for s in pair), dict.fromkeys(self.dims, 2) | self.fixed)

    def pairs(self) -> Iterator[list[Setting]]:
        """Settings to try, in pairs that differ in every free length where they can; the likeliest first."""
        if self.only:
            listed = [Lengths(self.model, each | self.fixed, self.limits) for each in self._listed()]
            for pairs in zip(*(each.pairs() for each in listed), strict=False):
                yield [pair[min(turn, len(pair) - 1)] for turn, pair in enumerate(pairs)]
            return
        if not self.free:
            only = self.setting({})
            yield from self._guesses() if only is None else [[only]]
            return
        later: list[list[Setting]] = []
        tried: list[list[Setting]] = []
        for one, other in self._choices():
            first = self._best(one)
            if first is None:
                continue
            second = self._best([*other, *self._varied(first)], first)
            pair = [first] if second is None or second == first else [first, second]
            if pair in tried:
                continue
            tried.append(pair)
            if any(map(self._misfits, pair)):
                later.append(pair)
            else:
                yield pair
        yield from self._searched(tried)
        yield from later
        if not tried:
            yield from self._guesses()

    def _searched(self, tried: list[list[Setting]]) -> Iterator[list[Setting]]:
        """Pairs among all small lengths that fit, whatever they are multiples of; the smallest first."""
        most = int(SEARCHED ** (1 / len(self.free)) + 1e-9)
        every = itertools.product(range(1, most + 1), repeat=len(self.free))
        settings = (
            self.setting(dict(zip(self.free, lengths, strict=True))) for lengths in sorted(every, key=sum)
        )
        before = [pair[0] for pair in tried]
        fitting = [s for s in settings if s is not None and s not in before and not self._misfits(s)]
        for first in fitting:
            yield [first, min(fitting, key=lambda s: (sum(s[n] == first[n] for n in self.free), s == first))]

    def _guesses(self) -> Iterator[list[Setting]]:
        """Plain settings, for equations that contradict one another: what a runtime decides may."""
        for pair in ((2, 3), (4, 8), (1, 2)):
            yield [dict.fromkeys(self.dims, length) | self.fixed for length in pair]

    def _listed(self) -> list[Setting]:
        """Lengths of the first two of the only shapes."""
        inputs = {v.name or "": v for v in self.model.graph.inputs}
        return [
            {
                str(d.value): n
                for name, shapes in self.only.items()
                for d, n in zip(inputs[name].shape or (), shapes[min(turn, len(shapes) - 1)], strict=True)
                if not isinstance(d, int)
            }
            for turn in range(min(2, max(map(len, self.only.values()))))
        ]

    def _choices(self) -> Iterator[list[Iterable[dict[str, int]]]]:
        """For each pair, the choices of its two settings."""
        sides = [n for n in self.free if n not in self.rows]
        for unit in UNITS:
            if unit > 256 and len(sides) != 1:
                continue
            for many in (True, False) if self.rows else (True,):
                yield [self._spread(sides, unit, turn, many) for turn in (0, 1)]
            if not sides:
                for least in ROWS:
                    yield [[self._rows(least, turn)] for turn in (0, 1)]
                return
        for name in sides if len(self.free) > 1 else ():
            others = [n for n in sides if n != name]
            yield [({**c, name: 1} for c in self._spread(others, 1, turn, True)) for turn in (0, 1)]
            for unit in (1, 32, 512) if others else ():
                alone = dict.fromkeys(self.free, 1)
                yield [({**alone, **c} for c in self._spread([name], unit, turn, False)) for turn in (0, 1)]

    def _spread(self, sides: list[str], unit: int, turn: int, many: bool) -> Iterator[dict[str, int]]:
        """Choices of lengths that differ: sides are multiples of `unit`, all of them 1 for 0; batches the
        smallest numbers, or 1. Those of the second `turn` differ from those of the first."""
        numbers, rows = UNITS[unit], [n for n in self.free if n in self.rows]
        for shift in range(6):
            together = [*rows, *sides] if unit == 1 and many else sides
            first = shift + turn * len(together)
            yield (self._rows(2, turn) if many else dict.fromkeys(rows, 1)) | {
                n: self._divided(n, unit * numbers[(first + i) % len(numbers)]) if unit else 1
                for i, n in enumerate(together)
            }

    def _rows(self, least: int, turn: int) -> dict[str, int]:
        """Batches that differ, of this many and more."""
        rows = [n for n in self.free if n in self.rows]
        return {n: self._divided(n, least + turn * len(rows) + i) for i, n in enumerate(rows)}

    def _divided(self, name: str, length: int) -> int:
        """The length, or a multiple of it that what divides it leaves whole."""
        return math.lcm(length, self._divisors.get(name, 1)) if length > 1 else length

    @cached_property
    def _divisors(self) -> dict[str, int]:
        divisors: dict[str, int] = {}
        for length in self.shapes.whole:
            if len(length.terms) == 1 and not length.constant:
                ((name, factor),) = length.terms
                divisors[name] = math.lcm(divisors.get(name, 1), factor.denominator)
        return divisors

    def _best(self, options: Iterable[dict[str, int]], other: Setting | None = None) -> Setting | None:
        """The choice, among those that are settings, whose windows fit, whose lengths are resized, and
        which differ from one another and from those of the `other` setting, as far as one does."""
        found = [s for s in map(self.setting, options) if s is not None and self._small(s)]

        def rank(setting: Setting) -> tuple[int, ...]:
            repeated = sum(setting[n] == other[n] for n in self.free) if other else 0
            return self._unscaled(setting), repeated, len(setting) - len({*setting.values()})

        found.sort(key=rank)
        fitting = next((s for s in found if not self._misfits(s)), None)
        return fitting or min(found, key=self._misfits, default=None)

    def _varied(self, setting: Setting) -> Iterator[dict[str, int]]:
        """Choices with one length of a setting half as long again, or one more row."""
        chosen = {n: setting[n] for n in self.free}
        for name, length in chosen.items():
            yield {**chosen, name: length + 1 if name in self.rows else length + -(-length // 2)}

    def _misfits(self, setting: Setting) -> int:
        key = tuple(setting.items())
        if key not in self._fits:
            self._fits[key] = Shapes(self.model, setting).misfits
        return self._fits[key]

    def _unscaled(self, setting: Setting) -> int:
        """The number of lengths that a Resize leaves as they are: a runtime may copy there what it would
        interpolate."""
        pairs = [(length.at(setting), factor) for length, factor in self.shapes.scaled]
        return sum(n is not None and math.floor(n * Fraction(factor)) == n for n, factor in pairs)

    def _small(self, setting: Setting) -> bool:
        return all(
            math.prod(d if isinstance(d, int) else setting[str(d.value)] for d in v.shape or ()) <= LARGEST
            for v in self.model.graph.inputs
        )


def _solve(known: dict[str, Linear], one: Linear, other: Linear, low: int = 1, high: int = LARGEST) -> None:
    """Add what an equation tells; one that contradicts those before it, or has no whole solution, is passed
    over."""
    rest = (one - other).with_values(known)
    candidates = [
        (name, (variable(name) - rest.times(1 / factor))) for name, factor in sorted(rest.terms, reverse=True)
    ]
    ordered = sorted(candidates, key=lambda c: min([f for _, f in c[1].terms], default=0) < 0)
    for name, value in ordered:
        single = not value.terms
        whole = all(f.denominator == 1 for _, f in value.terms) and value.constant.denominator == 1
        if not whole or (single and not low <= value.constant <= high):
            continue
        for earlier, found in list(known.items()):
            known[earlier] = found.with_values({name: value})
        known[name] = value
        return
