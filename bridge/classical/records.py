"""Records that tell a converted model from its estimator: made of what the model itself knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx_ir import DataType

from bridge import hub
from bridge.classical.crossings import crossing_records
from bridge.classical.splits import Place, Splits, column_of, splits
from bridge.hub import attr, const, held

Table = dict[str, np.ndarray]
Known = Mapping[tuple[str, int], np.ndarray]

WORK = 1e7
FEWEST, MOST = 200, 4_000
SPECIAL_COLUMNS = 64
LARGE = (1e9, 1_700_000_000.0, 1_700_000_000_123.0, -1e9)
TREE_STEPS = 16
FARTHEST = 1e300


@dataclass
class Column:
    """Values worth trying in one column: its categories, or numbers on and beside each threshold."""

    text: bool
    categories: np.ndarray | None = None
    values: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def add(self, values: np.ndarray) -> None:
        self.values = np.concatenate([self.values, values])

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Values a record is likely to have: seen categories, or numbers around the thresholds, at several
        scales where there are none."""
        if self.categories is not None:
            return rng.choice(self.categories, count)
        if self.text:
            return rng.choice(np.array(["a", "b", "c"], object), count)
        scales = 10.0 ** rng.integers(-1, 4, count)
        numbers = rng.normal(size=count) * scales
        if len(self.values):
            low, high = np.clip((self.values.min(), self.values.max()), -FARTHEST, FARTHEST)
            near = rng.uniform(low, high, count) + rng.normal(size=count) * 0.1 * (high - low or 1.0)
            numbers = np.where(rng.random(count) < 0.8, near, numbers)
        return numbers


class Records:
    """Records for a hub model, in groups that an estimator takes or refuses as one: `groups` yields what each
    holds and a table, arrays [N, width] by input name in the dtype of the input.

    - likely: seeded numbers at scales from 0.1 to 1000, seen categories; every threshold of every tree hit on
      a path that leads to it, and one unit in the last place to either side (float32's, and float64's in a
      model that reads doubles); every category. Thresholds behind other operators are met by bisection.
    - zero, negative zero, 1e9, seconds and milliseconds since 1970: in each column alone and in all.
    - missing: NaN, in text None, in each column alone, in all, and on the paths of the trees.
    - infinite, unseen: infinities, categories that were never seen and negative ones, likewise.

    Their number grows with the model up to MOST, as far as records times what the model holds (its constants,
    16 steps a tree, its columns) stay below WORK, about a tenth of a second of one core, and is never below
    FEWEST. `known` holds the categories of columns, by input and index.
    """

    def __init__(self, model: ir.Model, known: Known | None = None, seed: int = 0) -> None:
        self.model = model
        self.rng = np.random.default_rng(seed)
        self.splits = list(splits(model))
        self.inputs = {str(v.name): v for v in model.graph.inputs}
        self.columns = self._columns(known or {})
        self.limit = int(np.clip(WORK / self._cost(), FEWEST, MOST))

    def _cost(self) -> float:
        held = sum(np.prod(v.shape.numpy()) if v.shape else 1 for v in self.model.graph.initializers.values())
        trees = sum(int((each.parent < 0).sum()) for each in self.splits)
        return float(held + TREE_STEPS * trees + len(self.columns))

    def _columns(self, known: Known) -> dict[Place, Column]:
        columns = {}
        for name, value in self.inputs.items():
            width = value.shape[1] if value.shape is not None and len(value.shape) > 1 else 1
            for index in range(width if isinstance(width, int) else 1):
                categories = known.get((name, index))
                columns[name, index] = Column(value.dtype == DataType.STRING, categories)
        for each in self.splits:
            finite = np.isfinite(each.threshold)
            for index, place in enumerate(each.places):
                if place in columns:
                    columns[place].add(each.threshold[finite & (each.place == index)])
        for place, values in constants(self.model):
            if place in columns and columns[place].categories is None:
                columns[place].add(values[:MOST].astype(np.float64))
        return columns

    def groups(self) -> Iterator[tuple[str, Table]]:
        likely = self._draw(max(FEWEST, self.limit // 4))
        yield "likely values", self._table(likely)
        paths = self._paths(self.limit // 8)
        if paths:
            yield "a threshold", self._table(self._on_paths(paths, missing=False))
        if self.splits:
            for met in crossing_records(self.model, self.splits, self._table(likely), self.limit // 4):
                yield "a threshold of what is prepared", met
        every = self._every_value()
        if every is not None:
            yield "every known value", self._table(every)
        for what, numbers, texts in (
            ("zero", (0.0, -0.0), ()),
            ("a large number", LARGE, ()),
            ("a category that was never seen", (-1.0, 0.5, 12345.0), ("never seen", "nan")),
            ("a missing value", (np.nan,), (None,)),
        ):
            yield what, self._table(self._special(numbers, texts))
        if paths:
            yield "a missing value at a split", self._table(self._on_paths(paths, missing=True))
        yield "an infinity", self._table(self._special((np.inf, -np.inf), ()))

    def _paths(self, count: int) -> list[tuple[Splits, np.ndarray]]:
        """A sample of the tests that read columns of inputs: those of each value that trees read."""
        known = [np.array([p in self.columns for p in each.places], bool)[each.place] for each in self.splits]
        chosen = self._sample(np.flatnonzero(np.concatenate([np.zeros(0, bool), *known])), count)
        ends = np.cumsum([len(each) for each in self.splits])
        parts = np.split(chosen, np.searchsorted(chosen, ends))
        paths = zip(self.splits, parts, ends, strict=False)
        return [(each, part - (end - len(each))) for each, part, end in paths if len(part)]

    def _sample(self, items: np.ndarray, count: int) -> np.ndarray:
        if len(items) <= count:
            return items
        return items[np.sort(self.rng.choice(len(items), count, replace=False))]

    def _draw(self, count: int) -> dict[Place, np.ndarray]:
        return {place: column.draw(self.rng, count) for place, column in self.columns.items()}

    def _every_value(self) -> dict[Place, np.ndarray] | None:
        """A likely record for each category and known number of each column."""
        pairs: list[tuple[Place, Any]] = []
        for place, column in self.columns.items():
            values = column.categories if column.categories is not None else np.unique(column.values)
            pairs += [(place, v) for v in self._sample(values, self.limit // 4)]
        chosen = self._sample(np.arange(len(pairs)), self.limit // 2)
        return self._set([pairs[i] for i in chosen]) if pairs else None

    def _special(self, numbers: Any, texts: Any) -> dict[Place, np.ndarray]:
        """Values in each column alone, then each in all columns."""
        places = list(self.columns)
        places = [places[i] for i in self._sample(np.arange(len(places)), SPECIAL_COLUMNS)]
        pairs = [(p, v) for p in places for v in (texts if self.columns[p].text else numbers)]
        rows = self._set(pairs)
        for number in numbers:
            whole = self._draw(1)
            for place, column in self.columns.items():
                value = (texts[0] if texts else whole[place][0]) if column.text else number
                rows[place] = np.append(rows[place], np.array([value], rows[place].dtype))
        return rows

    def _set(self, pairs: list[tuple[Place, Any]]) -> dict[Place, np.ndarray]:
        """A likely record for each place, with that value there."""
        rows = self._draw(len(pairs))
        for index, (place, value) in enumerate(pairs):
            if rows[place].dtype.kind in "SU":
                rows[place] = rows[place].astype(object)
            rows[place][index] = value
        return rows

    def _on_paths(self, paths: list[tuple[Splits, np.ndarray]], missing: bool) -> dict[Place, np.ndarray]:
        """Records that reach each test, with its threshold and its neighbours there, or a missing value."""
        parts = []
        for tests, chosen in paths:
            nodes, values = (chosen, np.full(len(chosen), np.nan)) if missing else self._around(tests, chosen)
            rows = self._draw(len(nodes))
            for index, (place, (low, high)) in enumerate(tests.bounds(nodes).items()):
                if place in rows and not self.columns[place].text:
                    inside = (low < rows[place]) & (rows[place] <= high)
                    rows[place] = np.where(inside, rows[place], between(low, high))
                    own = tests.place[nodes] == index
                    rows[place][own] = values[own]
            parts.append(rows)
        return {place: np.concatenate([rows[place] for rows in parts]) for place in self.columns}

    def _around(self, tests: Splits, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Thresholds of tests and the numbers next to them, each with its test."""
        exact = tests.threshold[chosen]
        with np.errstate(over="ignore"):
            near = exact.astype(np.float32)
            values = [near, *(np.nextafter(near, np.float32(end)) for end in (-np.inf, np.inf))]
        read = [self.inputs[name] for name, _ in tests.places if name in self.inputs]
        if any(value.dtype == DataType.DOUBLE for value in read):
            values += [exact, np.nextafter(exact, -np.inf), np.nextafter(exact, np.inf)]
        table = np.stack([v.astype(np.float64) for v in values], axis=1)
        finite = np.isfinite(table)
        return np.repeat(chosen, finite.sum(axis=1)), table[finite]

    def _table(self, rows: dict[Place, np.ndarray]) -> Table:
        """Arrays by input name. NaN of an integer or boolean input is zero."""
        table: Table = {}
        for name, value in self.inputs.items():
            parts = [rows[p] for p in self.columns if p[0] == name]
            if value.dtype == DataType.STRING:
                table[name] = np.stack([p.astype(object) for p in parts], axis=1)
            else:
                matrix = np.stack([p.astype(np.float64) for p in parts], axis=1)
                if value.dtype is not None and not value.dtype.is_floating_point():
                    matrix = np.nan_to_num(matrix)
                with np.errstate(all="ignore"):
                    table[name] = matrix.astype(hub.numpy_dtype(value.dtype))
        return table


def between(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Numbers above `low`, not above `high`."""
    with np.errstate(invalid="ignore", over="ignore"):
        middle = low + (high - low) / 2
        inside = np.where((low < middle) & (middle <= high), middle, high)
        above = np.where(np.isinf(high), low + np.abs(low) * 0.1 + 0.1, inside)
        below = np.where(np.isinf(high), 0.0, high - np.abs(high) * 0.1)
    return np.where(np.isinf(low), below, above)


def constants(model: ir.Model) -> Iterator[tuple[Place, np.ndarray]]:
    """Numbers a column is compared with or looked up by, outside trees."""
    for node in model.graph:
        if node.op_type in ("LabelEncoder", "OneHotEncoder"):
            names = ("keys_tensor", "keys_floats", "keys_int64s", "cats_int64s")
            found = [attr(node, n) for n in names]
            values = next((np.asarray(f.numpy() if hasattr(f, "numpy") else f) for f in found if f), None)
        elif node.op_type in ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"):
            values = next((c for c in map(const, node.inputs) if c is not None), None)
        else:
            continue
        read = next((v for v in node.inputs if v is not None and held(v) is None), None)
        place = None if read is None else column_of(read, 0)
        if place is not None and values is not None and values.dtype.kind in "iuf":
            yield place, values.ravel()
