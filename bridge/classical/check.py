"""Comparison of a converted model with its estimator: on every record, none forgiven."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import onnx_ir as ir

from bridge.classical.records import Known, Records, Table
from bridge.errors import ExecutionFailed
from bridge.passes.opset.down import for_runtime
from bridge.runtime import OnnxRuntimeSession


class Disagreement(ExecutionFailed):
    """A converted model answers otherwise than the object it was read from."""


Answers = Sequence[Sequence[np.ndarray]]
Ask = Callable[[Table], Answers]
TOLERANCE = {4: 1e-5, 8: 1e-6}
REFUSALS = 32


def check(
    model: ir.Model,
    ask: Ask,
    known: Known | None = None,
    seed: int = 0,
    decided: Callable[[Table], np.ndarray] | None = None,
    rounding: Callable[[Table], np.ndarray] | None = None,
) -> int:
    """Compare a hub model with the object it was read from, on the records of `Records`; how many were.

    `ask` is given a table, arrays [N, width] by input name, and answers for each output of the hub what it
    may be: one array, or several of which one must fit in all records. A missing text is None in a table, and
    "" for the hub. It raises where it takes no such record: those are left out, one by one. `known` holds
    categories by input and column. `decided` marks the records whose answer is not left to rounding, as that
    of one whose nearest neighbours are all as far: others are left out. `rounding` is the relative error that
    the object itself may make in each record, [N]; it is added to what is allowed.

    Labels, integers and booleans are equal. Numbers are within 1e-6 of their scale where an output is double
    and 1e-5 where it is float; the scale of a record is its largest number, or the median of that over the
    likely records where it is larger. NaN and infinities are in the same places. Raises Disagreement with the
    first record that differs, ExecutionFailed for a model ONNX Runtime does not run and where no record was
    taken at all.
    """
    session = OnnxRuntimeSession(ir.to_proto(for_runtime(model)).SerializeToString())
    comparison = Comparison(len(session.outputs))
    names, tables = zip(*Records(model, known, seed).groups(), strict=True)
    labels = np.repeat(names, [size_of(each) for each in tables])
    whole = {n: np.concatenate([each[n] for each in tables]) for n in tables[0]}
    for what, part, answers in taken(ask, labels, whole, [0]):
        if decided is not None and not (marks := decided(part)).all():
            what, part = what[marks], {n: v[marks] for n, v in part.items()}
            answers = [[candidate[marks] for candidate in each] for each in answers]
        if len(what):
            allowed = np.zeros(1) if rounding is None else rounding(part)
            comparison.add(what, part, list(session.run(plain(part)).values()), answers, allowed)
    if not comparison.count:
        raise ExecutionFailed("none of the records made for it is taken: numbers cannot be compared")
    return comparison.count


def plain(table: Table) -> Table:
    """A table in which missing texts are empty ones, as tensors have them."""
    return {n: np.where(_is_none(v), "", v) if v.dtype == object else v for n, v in table.items()}


def _is_none(values: np.ndarray) -> np.ndarray:
    return np.frompyfunc(lambda v: v is None or v != v, 1, 1)(values).astype(bool)


def size_of(table: Table) -> int:
    return len(next(iter(table.values())))


def taken(
    ask: Ask, labels: np.ndarray, table: Table, calls: list[int]
) -> Iterator[tuple[np.ndarray, Table, Answers]]:
    """The parts of a table that are taken, with the labels of their records and their answers. Of what is
    refused the records of the last label are asked alone, and those of one label by halves."""
    count = len(labels)
    if not count:
        return
    try:
        yield labels, table, ask(table)
        return
    except ExecutionFailed:
        raise
    except Exception:
        start = int(np.argmax(labels == labels[-1]))
        calls[0] += start == 0
        if count == 1 or calls[0] >= REFUSALS:
            return
    for part in (slice(start or count // 2), slice(start or count // 2, None)):
        parts = labels[part], {n: v[part] for n, v in table.items()}
        yield from taken(ask, *parts, [0] if start else calls)


class Comparison:
    """Outputs of the hub beside what they may be. A candidate that differs is dropped with the record; the
    last one of an output raises."""

    def __init__(self, outputs: int) -> None:
        self.count = 0
        self.scales: list[float | None] = [None] * outputs
        self.failed: list[dict[int, str]] = [{} for _ in range(outputs)]

    def add(
        self,
        what: np.ndarray,
        table: Table,
        outputs: list[np.ndarray],
        answers: Answers,
        allowed: np.ndarray,
    ) -> None:
        """Compare outputs with answers, for records with the labels `what`."""
        if len(outputs) != len(answers):
            raise Disagreement(f"it has {len(answers)} outputs and its model {len(outputs)}")
        self.count += len(what)
        for index, (actual, candidates) in enumerate(zip(outputs, answers, strict=True)):
            for number, expected in enumerate(candidates):
                if number in self.failed[index]:
                    continue
                pair = np.asarray(actual), np.asarray(expected)
                reason = self._differ(what, table, index, pair, allowed)
                if reason:
                    self.failed[index][number] = reason
            if len(self.failed[index]) == len(candidates):
                raise Disagreement(next(iter(self.failed[index].values())))

    def _differ(
        self,
        what: np.ndarray,
        table: Table,
        index: int,
        pair: tuple[np.ndarray, np.ndarray],
        allowed: np.ndarray,
    ) -> str:
        """The first record in which an output differs, in words; nothing where none does."""
        actual, expected = pair
        count = len(what)
        if actual.size != expected.size or len(actual) != len(expected):
            return f"what it is converted to gives {list(actual.shape)}, the estimator {list(expected.shape)}"
        actual, expected = actual.reshape(count, -1), expected.reshape(count, -1)
        if expected.dtype.kind in "fc" and actual.dtype.kind == "f":
            if self.scales[index] is None:
                self.scales[index] = median_size(expected[what == what[0]])
            same = close(actual, expected, self.scales[index] or 0.0, allowed)
        else:
            same = equal(actual, expected)
        if same.all():
            return ""
        row = int(np.argmin(same))
        own = what == what[row]
        values = {n: v[row].tolist() if v.shape[1] > 1 else v[row, 0] for n, v in table.items()}
        return (
            f"what it is converted to gives other numbers than the estimator itself in "
            f"{int((~same & own).sum())} of {int(own.sum())} records with {what[row]}: "
            f"{actual[row][:4].tolist()} where it says {expected[row][:4].tolist()}, of {shortened(values)}"
        )


def shortened(values: dict[str, object]) -> str:
    text = ", ".join(f"{n}={v!r}" for n, v in values.items())
    return text if len(text) <= 120 else f"{text[:120]}…"


def median_size(numbers: np.ndarray) -> float:
    """The median over records of their largest number."""
    sizes = np.max(np.abs(np.where(np.isfinite(numbers), numbers, 0.0)), axis=1, initial=0.0)
    return float(np.median(sizes)) if len(sizes) else 0.0


def close(
    actual: np.ndarray, expected: np.ndarray, least: float, allowed: np.ndarray | float = 0.0
) -> np.ndarray:
    """Mask of the records [N, C] that agree, relative to their largest number or `least`; `allowed`, [N] or
    [1], is added to the tolerance. Below the smallest normal number no digit is sure."""
    with np.errstate(all="ignore"):
        wanted = expected.astype(np.float64)
        finite = np.isfinite(wanted)
        scale = np.maximum(np.max(np.abs(np.where(finite, wanted, 0.0)), axis=1, initial=0.0), least)
        limit = (TOLERANCE[actual.dtype.itemsize] + np.asarray(allowed)) * scale
        smallest = np.finfo(actual.dtype).tiny
        near = np.abs(actual - wanted) <= np.maximum(limit, smallest)[:, None]
        beyond = (actual == wanted) | (np.isnan(actual) & np.isnan(wanted))
    return np.where(finite, near, beyond).all(axis=1)


def equal(actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Mask of the records [N, C] that have the same labels."""
    if actual.dtype.kind in "OSU" or expected.dtype.kind in "OSU":
        return (actual.astype(str) == expected.astype(str)).all(axis=1)
    return (actual == expected).all(axis=1)
