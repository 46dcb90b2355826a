"""Files timed in their own runtimes, side by side."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from bridge import workers
from bridge.convert import convert
from bridge.detect import of_target
from bridge.errors import BridgeError, ExecutionFailed, InvalidOption, near_miss
from bridge.formats import Format
from bridge.inputs.values import Ranges
from bridge.load import Reader
from bridge.sources import found
from bridge.workbench.bench_figures import Benchmark, Group, Latency, Machine, Row
from bridge.workbench.bench_race import Contestant, asked, race, ratios
from bridge.workbench.bench_samples import Asked, Subject

__all__ = ["Benchmark", "bench"]

LOGGER = logging.getLogger("bridge")
SECONDS = 5.0
BATCHED = 4
"""The part of its seconds that a file may take for each number of rows is one in so many."""


def bench(
    models: str | Path | Sequence[str | Path],
    *,
    to: str | Sequence[str] = (),
    source: str | None = None,
    inputs: Sequence[str] | dict[str, Any] | None = None,
    seed: int = 0,
    ranges: Ranges | None = None,
    dims: dict[str, int] | None = None,
    seconds: float = SECONDS,
    threads: int = 1,
    batches: Sequence[int] | None = None,
    on: str | Sequence[str] = (),
    profile: bool = False,
    **options: Any,
) -> Benchmark:
    """Run model files in their formats' own runtimes, and say how long they take, how much memory, and what
    share of the machine's speed that is.

    Each file runs in a process of its own on so many `threads`. With `to`, a group is a model and what it
    becomes in those formats; without, all of `models`. Those of a group take turns, so that what else the
    machine does slows all of them alike, until their medians are stable or each took `seconds`. `inputs` are
    arrays by name, or files as `bridge run` takes them; else they are drawn from `seed` within `ranges`, at
    the lengths `dims` gives dimensions by name, and one row where a number of rows is not given. Where the
    first dimension of the inputs varies, files run with each of `batches` as numbers of rows, 1, 4 and 16
    without them. `on` names execution providers, delegates or devices, each of which a file whose runtime has
    it runs on. With `profile` the runtimes that can say what each operator takes. `options` are those of the
    formats read and written.

    A file that cannot be written or run says why in its row. Raises what reading the models raises,
    InvalidInput, InvalidOption for what no runtime or format has, and ExecutionFailed where nothing runs.
    """
    paths = [models] if isinstance(models, (str, Path)) else list(models)
    targets = [of_target(None, name) for name in ([to] if isinstance(to, str) else to)]
    places = [on] if isinstance(on, str) else list(on)
    _require_positive(paths=len(paths), seconds=seconds, threads=threads)
    _require_positive(**{"batches": min(batches)} if batches else {})
    readers = [_reader(path, source, options) for path in paths]
    formats = {fmt.name: fmt for fmt in (*(each.format for each in readers), *targets)}
    _require_options(options, readers, targets)
    known = _places(places, formats)
    sampled = Asked(inputs, seed, ranges or {}, dims or {}, batches)
    subjects = sampled.subjects(readers)
    with _worker() as worker:
        machine = Machine(threads, **asked(worker, "ONNX", "machine", threads=threads))
    course = _Course(machine, seconds, profile, options, known)
    each = [[subject] for subject in subjects] if targets else [subjects]
    done = Benchmark(machine, tuple(course.group(own, targets) for own in each))
    if not any(row.latency for row in done.rows):
        raise ExecutionFailed("Nothing was run.", "\n".join(f"{r.name}: {r.problem}" for r in done.rows))
    return done


class _Course:
    """The settings with which every group is measured."""

    def __init__(
        self,
        machine: Machine,
        seconds: float,
        profile: bool,
        options: dict[str, Any],
        places: Mapping[str, Sequence[str]],
    ) -> None:
        self.machine, self.seconds, self.profile = machine, seconds, profile
        self.options, self.places = options, places

    def group(self, subjects: Sequence[Subject], targets: Sequence[Format]) -> Group:
        """The rows of models and of what they become."""
        running: list[tuple[Contestant, Subject]] = []
        with tempfile.TemporaryDirectory() as folder:
            try:
                for subject in subjects:
                    running += [(one, subject) for one in self._opened(subject, targets, Path(folder))]
                rows = self._rows(running)
            finally:
                for one, _ in running:
                    one.close()
        return Group(
            {subject.name: subject.work for subject in subjects},
            {subject.name: subject.shapes for subject in subjects},
            tuple(rows),
        )

    def _opened(self, subject: Subject, targets: Sequence[Format], folder: Path) -> Iterator[Contestant]:
        """A model, and what it becomes, open on each of their places."""
        own, reader = Path(subject.reader.source), subject.reader
        yield from self._each(subject, subject.name, reader.format, own, subject.bytes, reader.options)
        for target in targets:
            place = folder / target.name
            place.mkdir()
            path = place / f"{reader.stem}{target.suffixes[0]}"
            LOGGER.debug("bench: %s as %s", subject.name, target.title)
            try:
                given = _own(self.options, reader.format, "importer") | _own(self.options, target, "exporter")
                convert(
                    own, path, to=target.name, source=reader.format.name, dims=subject.dims or None, **given
                )
            except BridgeError as error:
                yield Contestant(path.name, target, 0, problem=str(error))
                continue
            size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
            defaults = target.resolve("importer").parse({}, target.title) if target.importer else {}
            yield from self._each(subject, path.name, target, path, size, defaults)

    def _each(
        self, subject: Subject, name: str, fmt: Format, path: Path, size: int, options: dict[str, Any]
    ) -> Iterator[Contestant]:
        for place in self.places.get(fmt.name) or ("",):
            one = Contestant(name, fmt, size, place)
            LOGGER.debug("bench: opening %s", name)
            if fmt.runtime is None:
                one.problem = f"{fmt.title} has no runtime of its own."
            else:
                known = {n: options[n] for n in fmt.resolve("runtime").options if n in options}
                one.open(path, known, self.machine.threads, subject.inputs)
            yield one

    def _rows(self, running: list[tuple[Contestant, Subject]]) -> list[Row]:
        LOGGER.debug("bench: %s", ", ".join(one.name for one, _ in running))
        turns = race([one for one, _ in running], self.seconds)
        memory = {one: one.ask("memory") for one in turns}
        operators = {one: one.profile() for one in turns} if self.profile else {}
        rates = self._rates(running)
        first = next(iter(turns.values()), [])
        rows = []
        for one, subject in running:
            row = Row(one.name, one.format.name, one.size, problem=one.problem)
            if one in turns and turns[one] and not one.problem:
                latency, held = Latency.of(turns[one]), memory[one]
                row = Row(
                    one.name,
                    one.format.name,
                    one.size,
                    one.engine,
                    one.place,
                    one.load,
                    one.first,
                    latency,
                    *ratios(turns[one], first),
                    rates[one] or {0: 1 / latency.p50},
                    held["most"] - held["before"],
                    held["most"],
                    self.machine.least(subject.work) / latency.p50 if subject.work.moved else None,
                    operators.get(one, ()),
                )
            rows.append(row)
        return rows

    def _rates(self, running: list[tuple[Contestant, Subject]]) -> dict[Contestant, dict[int, float]]:
        """Rows a second by number of rows."""
        found: dict[Contestant, dict[int, float]] = {one: {} for one, _ in running}
        for count in sorted({count for _, subject in running for count in subject.batches}):
            for one, subject in running:
                if count in subject.batches:
                    one.prepare([subject.batches[count]])
            for one, turns in race([one for one, _ in running], self.seconds / BATCHED).items():
                found[one][count] = count / Latency.of(turns).p50
        return found


def _worker() -> Any:
    """A context with a worker that ends with it."""
    return closing(workers.Worker(offline=True))


def _reader(path: str | Path, source: str | None, options: dict[str, Any]) -> Reader:
    """Who reads a model, with those options that its importer declares. Raises as `load` does."""
    if not isinstance(path, (str, Path)):
        raise InvalidOption(f"bench runs files: {type(path).__name__} is none.", "Write it with bridge.save.")
    here, fmt = found(path, source)
    return Reader(here, fmt, fmt.resolve("importer").parse(_own(options, fmt, "importer"), fmt.title))


def _own(options: dict[str, Any], fmt: Format, part: str) -> dict[str, Any]:
    """Those of options that a part of a format declares."""
    declared = {n for option in fmt.resolve(part).options for n in (option.name, *option.formerly)}
    return {name: value for name, value in options.items() if name in declared}


def _require_options(options: dict[str, Any], readers: Sequence[Reader], targets: Sequence[Format]) -> None:
    """Raise InvalidOption for one that no format here declares."""
    parts = [*((reader.format, "importer") for reader in readers), *((fmt, "exporter") for fmt in targets)]
    known = sorted({o.name for fmt, part in parts for o in fmt.resolve(part).options})
    for name in options.keys() - {n for fmt, part in parts for n in _own(options, fmt, part)}:
        listed = ", ".join(known) or "none"
        raise InvalidOption(
            f"None of these formats has an option {name!r}.",
            f"{near_miss(name, known)}Their options: {listed}.",
        )


def _require_positive(**numbers: float) -> None:
    for name, number in numbers.items():
        if not number > 0:
            raise InvalidOption(f"{name}={number} is not above 0.")


def _places(names: Sequence[str], formats: Mapping[str, Format]) -> dict[str, list[str]]:
    """Those of the names that each format's runtime has. Raises InvalidOption for one that none has."""
    if not names:
        return {}
    there: dict[str, list[str]] = {}
    for fmt in formats.values():
        part = fmt.part("runner")
        if part is not None and not part.missing():
            with _worker() as worker:
                there[fmt.name] = asked(worker, fmt.title, "places", format=fmt.name)["places"]
    every = [place for places in there.values() for place in places]
    for name in names:
        if name not in every:
            listed = "; ".join(f"{formats[own].title}: {', '.join(places)}" for own, places in there.items())
            raise InvalidOption(
                f"No runtime here has an execution provider, delegate or device {name!r}.",
                f"{near_miss(name, every)}There are, of {listed or 'none of these formats any'}.",
            )
    return {own: [name for name in names if name in places] for own, places in there.items()}
