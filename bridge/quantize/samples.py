"""Calibration data as people have it, as samples that can be read again and again, one at a time."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import InvalidInput, near_miss
from bridge.inputs.data import PICTURES, Images, fitted, read_inputs
from bridge.inputs.lengths import Lengths
from bridge.inputs.values import inputs_at
from bridge.runtime import check_inputs

__all__ = ["RANDOM", "Images", "Samples", "samples_of"]

Row = dict[str, Any]
RANDOM = "random"
DRAWN = 16
SHARE = 10
"""One sample of so many is held back, to measure on."""


@dataclass(frozen=True)
class Samples:
    """Samples of a model's inputs: `count` of them, `read(i)` gives one. Those `held` are measured on, the
    others calibrated on; with a single sample, or with `random` ones, all are both."""

    count: int
    read: Callable[[int], Row]
    random: bool = False

    @property
    def held(self) -> list[int]:
        """Places of the samples that are held back: the last of every ten, one at least."""
        kept = [i for i in range(self.count) if i % SHARE == SHARE - 1]
        return kept or [self.count - 1]

    @property
    def used(self) -> list[int]:
        """Places of the samples that ranges are observed on."""
        return list(range(self.count)) if self.count == 1 else sorted(set(range(self.count)) - set(self.held))

    def rows(self, places: Iterable[int]) -> Iterator[Row]:
        """Those samples, one at a time. Raises InvalidInput."""
        return map(self.read, places)


def samples_of(model: ir.Model, data: Any, images: Images | None = None, seed: int = 0) -> Samples:
    """Samples in what the user calls calibration data.

    That is "random"; the path of an `.npz` or `.npy` whose arrays have the samples along their first axis, of
    a CSV with a column for each feature, or of a folder of pictures, `.npy` or `.npz`, a sample each; an
    array, or a dict of arrays, of samples along the first axis; or an iterable of dicts of arrays, each one
    the inputs of the model. Raises InvalidInput for data that the model does not take, and for none.
    """
    if isinstance(data, str) and data == RANDOM:
        found = _drawn(model, seed)
    elif isinstance(data, (str, Path)):
        found = _of_path(model, Path(data), images or Images())
    elif isinstance(data, np.ndarray):
        found = _stacked(model, {_only_input(model, "an array"): data})
    elif isinstance(data, dict):
        found = _stacked(model, data)
    elif isinstance(data, Iterable):
        rows = data if isinstance(data, Sequence) else Spool(data)
        found = Samples(len(rows), rows.__getitem__)
    else:
        raise InvalidInput(f"A {type(data).__name__} is no calibration data.", TAKEN)
    if not found.count:
        raise InvalidInput("There are no samples in the calibration data.", TAKEN)
    values = {v.name or "": v for v in model.graph.inputs}
    return Samples(found.count, lambda place: _checked(values, found.read(place), place), found.random)


class Spool:
    """Samples of an iterable that can be gone through once, kept on disk."""

    def __init__(self, rows: Iterable[Any]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bridge-samples-")
        self._count = 0
        for row in rows:
            if not isinstance(row, dict):
                raise InvalidInput(f"Sample {self._count} is a {type(row).__name__}, not a dict of arrays.")
            np.savez(self._file(self._count), **row)
            self._count += 1

    def _file(self, place: int) -> Path:
        return Path(self._folder.name) / f"{place}.npz"

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: int) -> Row:
        return dict(np.load(self._file(place), allow_pickle=False))


TAKEN = (
    "It is an .npz or .npy with samples along the first axis, a CSV, a folder of pictures, .npy or .npz, an "
    "iterable of dicts of arrays, or 'random'."
)


def _checked(values: dict[str, ir.Value], row: Any, place: int) -> Row:
    """One sample that the model takes. Raises InvalidInput, naming it."""
    if not isinstance(row, dict):
        raise InvalidInput(f"Sample {place} is a {type(row).__name__}, not a dict of arrays by input name.")
    arrays = {name: np.asarray(array) for name, array in row.items()}
    try:
        check_inputs(values, arrays)
    except InvalidInput as error:
        raise InvalidInput(f"Sample {place} of the calibration data does not fit. {error}") from error
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InvalidInput(f"Sample {place} of the calibration data has NaN or infinity in {name}.")
    return arrays


def _only_input(model: ir.Model, what: str) -> str:
    names = [v.name or "" for v in model.graph.inputs if v.const_value is None]
    if len(names) != 1:
        raise InvalidInput(f"The data is {what}, and the model has the inputs {', '.join(names)}.", TAKEN)
    return names[0]


def _drawn(model: ir.Model, seed: int) -> Samples:
    lengths = Lengths(model)
    setting = lengths.smallest()
    return Samples(DRAWN, lambda place: inputs_at(lengths, setting, seed + place), True)


def _stacked(model: ir.Model, arrays: dict[str, Any]) -> Samples:
    """Samples along the first axis of arrays, in batches of the size the model takes."""
    values = {v.name or "": v for v in model.graph.inputs}
    if unknown := [name for name in arrays if name not in values]:
        raise InvalidInput(
            f"No input is called {unknown[0]}; they are {', '.join(values)}.",
            near_miss(unknown[0], values).strip(),
        )
    counts = {name: len(array) if np.ndim(array) else 0 for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        raise InvalidInput(f"The arrays hold different numbers of samples: {counts}.")
    sizes = {_batch_size(values[name], np.ndim(array)) for name, array in arrays.items()}
    size = max(sizes, default=1)

    def read(place: int) -> Row:
        return {name: _cut(np.asarray(array), values[name], place, size) for name, array in arrays.items()}

    return Samples(next(iter(counts.values()), 0) // max(size, 1), read)


def _batch_size(value: ir.Value, rank: int) -> int:
    """Samples that a model takes at once: its first length, where that is fixed."""
    dims = list(value.shape or ())
    if len(dims) != rank:
        return 1
    return dims[0] if dims and isinstance(dims[0], int) else 1


def _cut(array: np.ndarray, value: ir.Value, place: int, size: int) -> np.ndarray:
    """One batch of an array of samples, as the input has it."""
    part = array[place * size : (place + 1) * size]
    if value.shape is not None and len(value.shape) == array.ndim - 1 and size == 1:
        part = part[0]
    elif value.shape is not None and len(value.shape) == array.ndim + 1:
        part = part[None]
    return fitted(part, value)


def _of_path(model: ir.Model, path: Path, images: Images) -> Samples:
    if not path.exists():
        raise InvalidInput(f"{path} does not exist.", TAKEN)
    if path.suffix.lower() == ".csv":
        return _stacked(model, {_only_input(model, "a table"): _of_csv(path)})
    if path.is_dir():
        return _of_folder(model, path, images)
    if path.suffix.lower() in PICTURES:
        return Samples(1, lambda place: _read_row(model, path, images))
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = loaded if isinstance(loaded, np.ndarray) else dict(loaded)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidInput(f"{path} is no .npy or .npz file of numbers.", TAKEN) from error
    if isinstance(arrays, np.ndarray):
        arrays = {_only_input(model, "one array"): arrays}
    return _stacked(model, arrays)


def _of_folder(model: ir.Model, folder: Path, images: Images) -> Samples:
    """A sample for each file of a folder, read when it is asked for."""
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".npy", ".npz", *PICTURES))
    if not files:
        raise InvalidInput(f"{folder} holds no pictures, .npy or .npz.", TAKEN)
    return Samples(len(files), lambda place: _read_row(model, files[place], images))


def _read_row(model: ir.Model, path: Path, images: Images) -> Row:
    inputs = [v for v in model.graph.inputs if v.const_value is None]
    return read_inputs([str(path)], inputs, images)[0]


def _of_csv(path: Path) -> np.ndarray:
    """The numbers of a CSV, [rows, columns]; a first row of names is passed over."""
    try:
        with path.open(newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{path} is no readable CSV: {error}") from error
    if rows and not all(map(_is_number, rows[0])):
        rows = rows[1:]
    if len({len(row) for row in rows}) > 1 or not all(_is_number(cell) for row in rows for cell in row):
        raise InvalidInput(f"{path} has rows of different lengths, or cells that are no numbers.")
    return np.array([[float(cell) for cell in row] for row in rows])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
