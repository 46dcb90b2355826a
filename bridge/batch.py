"""Convert many files, each in a worker process that a crash or a hang costs that file alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

from bridge import workers
from bridge.detect import by_name
from bridge.errors import BridgeError, InvalidOption
from bridge.output import make_folder

TIMEOUT = 3600.0


@dataclass(frozen=True)
class Done:
    """Result for one file: `outcome` is converted, or the kind of the error; `report` is that of its
    conversion."""

    source: str
    destination: str
    outcome: str
    message: str = ""
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.outcome == "converted"


@dataclass(frozen=True)
class Batch:
    """The files in the order they were named; prints as one table."""

    files: tuple[Done, ...]

    @property
    def ok(self) -> bool:
        return all(file.ok for file in self.files)

    def to_dict(self) -> dict[str, Any]:
        return {"ok": self.ok, "files": [asdict(file) for file in self.files]}

    def __str__(self) -> str:
        rows = [(f.source, f.destination if f.ok else f.outcome, _note(f)) for f in self.files]
        widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
        lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in rows]
        counted = Counter(file.outcome for file in self.files)
        return "\n".join([*lines, ", ".join(f"{n} {outcome}" for outcome, n in counted.most_common())])


def _note(file: Done) -> str:
    if not file.ok:
        return file.message.splitlines()[0] if file.message else ""
    return ", ".join(f"{n} {outcome}" for outcome, n in file.report.get("counts", {}).items())


def convert_all(
    sources: Sequence[str | Path],
    folder: Path,
    *,
    to: str,
    jobs: int = 2,
    executor: Executor | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **options: Any,
) -> Batch:
    """Each source as `folder`/<its name><suffix of the target>; `options` are those of `bridge.convert`.

    What cannot be converted is told in the result, and the rest goes on. Raises InvalidOption when two
    sources would become one file, UnknownFormat, WriteFailed.
    """
    target = by_name(to)
    names: dict[str, str] = {}
    for source in map(str, sources):
        name = Path(source).stem + target.suffixes[0]
        if name in names:
            raise InvalidOption(
                f"{names[name]} and {source} would both become {folder / name}.",
                "Convert them into two folders.",
            )
        names[name] = source
    make_folder(folder)
    with workers.worker_pool(jobs, executor) as pool:
        futures = {
            pool.submit(convert_one, source, str(folder / name), options | {"to": to}): name
            for name, source in names.items()
        }
        finished: dict[str, Done] = {}
        progress(0, len(futures))
        for future in as_completed(futures):
            finished[futures[future]] = future.result()
            progress(len(finished), len(futures))
    return Batch(tuple(finished[name] for name in names))


def convert_one(source: str, destination: str, options: dict[str, Any]) -> Done:
    """One file, in this thread's worker process."""
    if is_dataclass(options.get("verify")):
        options = options | {"verify": asdict(options["verify"])}
    arguments = {"source": source, "destination": destination, "options": options}
    try:
        (record,) = workers.isolated("bridge.batch:convert", arguments, TIMEOUT)
    except (workers.WorkerLost, RuntimeError) as lost:
        return Done(source, destination, getattr(lost, "outcome", "failed"), str(lost))
    return Done(source, destination, **record)


def convert(source: str, destination: str, options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Outcome of one conversion, computed in the worker."""
    from bridge.convert import convert as convert_model  # takes 0.4 s, in the worker alone
    from bridge.trials import Sampling  # takes 0.4 s, in the worker alone

    if isinstance(options.get("verify"), dict):
        options = options | {"verify": Sampling(**options["verify"])}
    try:
        conversion = convert_model(source, destination, **options)
    except BridgeError as error:
        yield {"outcome": type(error).__name__, "message": str(error)}
    else:
        yield {
            "outcome": "converted",
            "report": conversion.report.to_dict(),
        }
