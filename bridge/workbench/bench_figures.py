"""Figures measured of files, and how they are shown."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from bridge.page.content import Bars, Content, Section, Table, section
from bridge.page.fragments import Shown
from bridge.workbench.bench_work import Work, quantity

__all__ = ["Benchmark", "Group", "Latency", "Machine", "Operator", "Row"]

Z = 1.96
"""Standard deviations within which 95 % of a normal distribution are."""
SHOWN = 10
"""Operators of a profile that are printed."""


@dataclass(frozen=True)
class Machine:
    """The machine on so many threads: operations a second of a product of float32 matrices, and bytes a
    second that copies read and write, by how many bytes they are of."""

    threads: int
    operations: float
    bandwidth: dict[int, float]

    def least(self, work: Work) -> float:
        """The least seconds that work can take: those of its operations, or of its bytes at the speed of
        memory that holds the model."""
        held = work.weights + work.activations
        bandwidth = next((rate for size, rate in self.bandwidth.items() if size >= held), self.slowest)
        return max(2 * work.macs / self.operations, work.moved / bandwidth)

    @property
    def slowest(self) -> float:
        """Bytes a second of the largest copy."""
        return self.bandwidth[max(self.bandwidth)]

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        return (
            f"On {threads} this machine reaches {quantity(self.operations)}FLOP/s, and copies "
            f"{quantity(self.slowest)}B/s from memory."
        )


@dataclass(frozen=True)
class Latency:
    """Seconds of so many runs: the median, the 90th and the 99th percentile, the mean; `interval` is where
    the median is with a certainty of 95 %, as far as the medians of turns tell; `processor` the median of the
    seconds that processors took."""

    runs: int
    p50: float
    p90: float
    p99: float
    mean: float
    interval: tuple[float, float]
    processor: float

    @classmethod
    def of(cls, turns: Sequence[np.ndarray]) -> Latency:
        """The latency of times by turn, [runs, 2]: by the clock and of processors."""
        runs = np.concatenate(turns)
        clock, processor = runs[:, 0], float(np.median(runs[:, 1]))
        p50, p90, p99 = (float(v) for v in np.percentile(clock, (50, 90, 99)))
        return cls(len(runs), p50, p90, p99, float(clock.mean()), interval(turns), processor)

    @property
    def spread(self) -> float:
        """Half of the interval, by the median."""
        return (self.interval[1] - self.interval[0]) / 2 / self.p50


def interval(turns: Sequence[np.ndarray]) -> tuple[float, float]:
    """Bounds of the median with a certainty of 95 %, by the ranks of the medians of turns; of fewer than six
    turns, from the least to the greatest."""
    medians = sorted(float(np.median(turn[:, 0])) for turn in turns)
    rank = max(0, math.floor((len(medians) - Z * math.sqrt(len(medians))) / 2))
    return medians[rank], medians[-1 - rank]


@dataclass(frozen=True)
class Operator:
    """Operators of a kind, of the runtime's own: how many ran, the seconds of all, and their share."""

    kind: str
    count: int
    seconds: float
    share: float


@dataclass(frozen=True)
class Row:
    """A file in its runtime. `load` and `first` are seconds until it was open, and of its first run; `ratio`
    is the median of its latency by that of the first file of its group in the same turn, and
    `processor_ratio` that of what processors took; `rate` rows a second by number of rows, or runs a second
    under 0 where no number of rows varies; `memory` the bytes that the file added to the process of its
    runtime, `process` the most that had; `roofline` the share of what the machine could do in that time that
    it did. `problem` says why there are no figures."""

    name: str
    format: str
    bytes: int = 0
    engine: str = ""
    place: str = ""
    load: float | None = None
    first: float | None = None
    latency: Latency | None = None
    ratio: float | None = None
    processor_ratio: float | None = None
    rate: dict[int, float] = field(default_factory=dict)
    memory: int | None = None
    process: int | None = None
    roofline: float | None = None
    operators: tuple[Operator, ...] = ()
    problem: str = ""

    def sections(self) -> tuple[Section, ...]:
        """Its operators, as a page shows them."""
        shares = tuple((f"{o.kind} × {o.count}", o.share, duration(o.seconds)) for o in self.operators)
        return section(f"Operators of {self.name}", Bars(shares))

    def cells(self) -> list[str]:
        """The words of the table."""
        size = f"{quantity(self.bytes)}B" if self.bytes else ""
        if self.latency is None:
            return [self.name, self.format, *[""] * 11, size]
        timed = self.latency
        return [
            self.name,
            f"{self.engine}{f', {self.place}' if self.place else ''}",
            duration(self.load or 0),
            *map(duration, (timed.p50, timed.p90, timed.p99)),
            f"{timed.spread:.1%}",
            f"{self.ratio:.2f}" if self.ratio is not None else "",
            duration(timed.processor),
            f"{self.processor_ratio:.2f}" if self.processor_ratio is not None else "",
            f"{quantity(max(self.rate.values()))}".strip() if self.rate else "",
            f"{self.roofline:.0%}" if self.roofline is not None else "",
            f"{quantity(self.memory or 0)}B",
            size,
        ]


HEAD = [
    *("file", "runtime", "load", "p50", "p90", "p99", "±", "ratio", "processor", "ratio"),
    *("a second", "roofline", "memory", "bytes"),
]


@dataclass(frozen=True)
class Group:
    """A model and what became of it, or several models: `work` is that of each model by name, `inputs` are
    the shapes its inputs had."""

    work: dict[str, Work]
    inputs: dict[str, dict[str, list[int]]]
    rows: tuple[Row, ...]

    def subjects(self) -> list[str]:
        """A sentence on each model: the shapes of its inputs, and its work."""
        shapes = {name: ", ".join(f"{n} {s}" for n, s in self.inputs[name].items()) for name in self.work}
        return [f"{name} on {shapes[name] or 'no inputs'}: {work}" for name, work in self.work.items()]

    def sections(self) -> tuple[Section, ...]:
        """The sections of a page."""
        title = ", ".join(self.work)
        rows = tuple(tuple(row.cells()) for row in self.rows)
        timed = [(r.name, r.latency.p50, duration(r.latency.p50)) for r in self.rows if r.latency]
        memory = [(r.name, r.memory, f"{quantity(r.memory)}B") for r in self.rows if r.memory]
        sizes = [(r.name, r.bytes, f"{quantity(r.bytes)}B") for r in self.rows if r.bytes]
        problems = [f"{row.name}: {row.problem}" for row in self.rows if row.problem]
        return (
            section(
                title, *self.subjects(), *problems, Table(tuple(HEAD), rows, frozenset(range(2, len(HEAD))))
            )
            + section(f"{title}: median of a run", Bars(tuple(timed)))
            + section(f"{title}: memory", Bars(tuple(memory)))
            + section(f"{title}: bytes on the disk", Bars(tuple(sizes)))
            + tuple(one for row in self.rows if row.operators for one in row.sections())
        )

    def __str__(self) -> str:
        lines = self.subjects()
        lines += ["", *_columns([HEAD, *(row.cells() for row in self.rows)])]
        lines += [f"  {row.name}: {row.problem}" for row in self.rows if row.problem]
        batches = sorted({rows for row in self.rows for rows in row.rate if rows})
        if batches:
            head = ["rows a second", *(f"of {rows}" for rows in batches)]
            cells = [[r.name, *(_rate(r, rows) for rows in batches)] for r in self.rows if r.rate]
            lines += ["", *_columns([head, *cells])]
        for row in self.rows:
            lines += [*_profile(row)] if row.operators else []
        return "\n".join(lines)


def _rate(row: Row, rows: int) -> str:
    return quantity(row.rate[rows]).strip() if rows in row.rate else "does not run"


def _profile(row: Row) -> Iterator[str]:
    yield ""
    head = [f"operators of {row.name}", "count", "a run", "share"]
    cells = [[o.kind, str(o.count), duration(o.seconds), f"{o.share:.1%}"] for o in row.operators[:SHOWN]]
    yield from _columns([head, *cells])


def _columns(rows: list[list[str]]) -> list[str]:
    """Lines of a table: the first columns to the left, figures to the right; none of columns that are
    empty."""
    kept = [i for i in range(len(rows[0])) if i == 0 or any(row[i] for row in rows[1:])]
    words = {0, 1} if rows[0] is HEAD else {0}
    widths = {i: max(len(row[i]) for row in rows) for i in kept}
    return [
        "  " + "  ".join(f"{r[i]:{'<' if i in words else '>'}{widths[i]}}" for i in kept).rstrip()
        for r in rows
    ]


def duration(seconds: float) -> str:
    """Seconds in three digits."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1 or unit == "µs":
            return f"{seconds * factor:.{max(0, 2 - int(math.log10(max(seconds * factor, 1))))}f} {unit}"
    return ""


@dataclass(frozen=True)
class Benchmark(Shown):
    """Files in their runtimes, group by group, and the machine they ran on."""

    machine: Machine
    groups: tuple[Group, ...]

    @property
    def rows(self) -> list[Row]:
        """The rows of all groups."""
        return [row for group in self.groups for row in group.rows]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        groups = [
            {
                "models": [
                    {"name": n, "inputs": group.inputs[n], **work.to_dict()} for n, work in group.work.items()
                ],
                "rows": [asdict(row) for row in group.rows],
            }
            for group in self.groups
        ]
        return {"machine": asdict(self.machine), "groups": groups}

    def content(self) -> Content:
        """Latency, memory and bytes of each group's files as bars, and all figures as a table."""
        told = (
            f"{len(self.rows)} files in their runtimes." if len(self.rows) > 1 else "One file in its runtime."
        )
        groups = tuple(one for group in self.groups for one in group.sections())
        failed = any(row.problem for row in self.rows)
        return Content("Benchmark", told, not failed, groups + section("Machine", str(self.machine)))

    def to_csv(self) -> str:
        """A line a row, with a head; seconds and bytes."""
        text = io.StringIO()
        plain = ["name", "format", "engine", "place", "bytes", "load", "first", "ratio", "processor_ratio"]
        plain += ["memory", "process"]
        timed = ["runs", "p50", "p90", "p99", "mean", "processor"]
        batches = sorted({rows for row in self.rows for rows in row.rate})
        rates = [f"rows a second of {rows}" if rows else "runs a second" for rows in batches]
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*plain, "roofline", *timed, "low", "high", *rates, "problem"])
        for row in self.rows:
            latency = row.latency
            figures = [*(getattr(latency, n) for n in timed), *latency.interval] if latency else [""] * 8
            own = [getattr(row, n) for n in (*plain, "roofline")]
            writer.writerow([*own, *figures, *(row.rate.get(rows) for rows in batches), row.problem])
        return text.getvalue().rstrip("\n")

    def __str__(self) -> str:
        return "\n\n".join([*map(str, self.groups), str(self.machine)])
