"""Inputs on which files are timed, and what a model asks of a machine at their lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import InvalidOption, near_miss
from bridge.inputs.data import read_inputs
from bridge.inputs.lengths import Lengths, Setting
from bridge.inputs.values import Ranges, inputs_at
from bridge.load import Reader
from bridge.passes import clean
from bridge.passes.dimensions import FixDimensions
from bridge.runtime import check_inputs
from bridge.summary import size_on_disk
from bridge.workbench.bench_work import Work, work_of

__all__ = ["Asked", "Subject"]

BATCHES = (1, 4, 16)


@dataclass(frozen=True)
class Subject:
    """A model, the inputs it is timed on, those by number of rows where that varies, and its work."""

    name: str
    reader: Reader
    inputs: list[dict[str, Any]]
    batches: dict[int, dict[str, Any]]
    work: Work
    dims: dict[str, int]
    bytes: int

    @property
    def shapes(self) -> dict[str, list[int]]:
        """The shape of each input."""
        return {name: list(np.shape(array)) for name, array in self.inputs[0].items()}


@dataclass(frozen=True)
class Asked:
    """The inputs that are asked for: files as `bridge run` takes them or arrays by name, else values of a
    seed and within ranges; lengths of dimensions by name, numbers of rows."""

    inputs: Sequence[str] | dict[str, Any] | None
    seed: int
    ranges: Ranges
    dims: dict[str, int]
    batches: Sequence[int] | None

    def subjects(self, readers: Sequence[Reader]) -> list[Subject]:
        """Every model with its inputs. Raises InvalidOption for what none of them has, InvalidInput, and what
        reading them raises."""
        models = [reader.read() for reader in readers]
        _require_one(self.dims, [Lengths(model).dims for model in models], "dims", "dimension")
        _require_one(self.ranges, [_names(model) for model in models], "ranges", "input")
        found = [
            self._subject(name, reader, model)
            for name, reader, model in zip(called_names(readers), readers, models, strict=True)
        ]
        if self.batches and not any(subject.batches for subject in found):
            raise InvalidOption(
                "batches: of no model does the first dimension of the inputs vary.",
                "Leave them out, or name that dimension: bridge convert MODEL NEW --dims INPUT:0=batch",
            )
        return found

    def _subject(self, name: str, reader: Reader, model: ir.Model) -> Subject:
        dims = {n: length for n, length in self.dims.items() if n in Lengths(model).dims}
        size = size_on_disk(Path(reader.source), model)
        batches: dict[int, dict[str, Any]] = {}
        if self.inputs is not None:
            given = self.inputs
            inputs = [given] if isinstance(given, dict) else read_inputs(list(given), model.graph.inputs)
            check_inputs({value.name or "": value for value in model.graph.inputs}, inputs[0])
            setting = _setting_of(model, inputs[0])
        else:
            rows = Lengths(model, dims).rows
            drawn, setting = self._drawn(model, dims | dict.fromkeys(rows, 1))
            inputs = [drawn]
            for count in (self.batches or BATCHES) if rows else ():
                batches[count], _ = self._drawn(model, dims | dict.fromkeys(rows, count))
        if setting:
            FixDimensions(setting)(model)
            clean(model)
        return Subject(name, reader, inputs, batches, work_of(model), dims, size)

    def _drawn(self, model: ir.Model, dims: dict[str, int]) -> tuple[dict[str, Any], Setting]:
        """Inputs at lengths of dimensions, and the lengths of all."""
        lengths = Lengths(model, dims)
        setting = lengths.smallest()
        ranges = {n: r for n, r in self.ranges.items() if n in _names(model)}
        named = {n: length for n, length in setting.items() if n in lengths.dims}
        return inputs_at(lengths, setting, self.seed, ranges), named


def called_names(readers: Sequence[Reader]) -> list[str]:
    """The names of files, or their paths where two have the same name. Raises InvalidOption for the same file
    twice."""
    names, paths = [Path(r.source).name for r in readers], [str(r.source) for r in readers]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise InvalidOption(
            f"{twice} is named twice.", "Copy it under another name to hold it against itself."
        )
    return [path if names.count(name) > 1 else name for name, path in zip(names, paths, strict=True)]


def _names(model: ir.Model) -> list[str]:
    return [value.name or "" for value in model.graph.inputs]


def _setting_of(model: ir.Model, inputs: dict[str, Any]) -> Setting:
    """Lengths by name of the dimensions that arrays have."""
    return {
        str(dim.value): length
        for value in model.graph.inputs
        if value.name in inputs and value.shape is not None
        for dim, length in zip(value.shape, np.shape(inputs[value.name]), strict=False)
        if isinstance(dim, ir.SymbolicDim)
    }


def _require_one(names: Any, known: list[Any], option: str, kind: str) -> None:
    """Raise InvalidOption for a name that none of the models has."""
    every = sorted({name for own in known for name in own})
    for name in names:
        if name not in every:
            raise InvalidOption(
                f"{option}: no model has an {kind} {name!r}." if kind[0] in "aeiou" else
                f"{option}: no model's inputs have a {kind} {name!r}.",
                f"{near_miss(name, every)}There are: {', '.join(every) or 'none'}.",
            )  # fmt: skip
