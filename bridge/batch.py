"""Convert many files, each in a worker process that a crash or a hang costs that file alone."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

from bridge import workers
from bridge.detect import is_model, of_target
from bridge.errors import BridgeError, InvalidOption, UnknownFormat, UnreadableFile
from bridge.formats import Format
from bridge.output import make_folder

TIMEOUT = 3600.0
MANIFEST = 'Such as: to = "onnx"  [[job]]  source = "model.pt"  destination = "out/model.onnx"'


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


@dataclass(frozen=True)
class Job:
    """One conversion: `options` are those of `bridge.convert`."""

    source: str
    destination: Path
    options: dict[str, Any]


def jobs_of(sources: Sequence[str | Path], folder: Path, *, to: str, **options: Any) -> list[Job]:
    """Each source as `folder`/<its name><suffix of the target>; of a folder that is no model, each in it.

    Raises UnknownFormat, UnreadableFile for a folder without a model.
    """
    target = of_target(None, to)
    return [
        Job(str(path), folder / (Path(path).stem + target.suffixes[0]), options | {"to": to})
        for source in sources
        for path in _models_of(source)
    ]


def _models_of(source: str | Path) -> list[str | Path]:
    path = Path(source)
    if not path.is_dir() or is_model(path):
        return [source]
    models: list[str | Path] = [
        p for p in sorted(path.iterdir()) if not p.name.startswith(".") and is_model(p)
    ]
    if not models:
        raise UnreadableFile(f"{source} holds no model.", "Name a model, or a folder of models.")
    return models


def read_jobs(manifest: Path) -> list[Job]:
    """The jobs of a manifest in TOML: each table [[job]] names its `source`, its `destination`, and what else
    `bridge.convert` takes; what stands above them holds for all. Paths begin at the manifest's folder.

    Raises UnreadableFile, InvalidOption.
    """
    try:
        told = tomllib.loads(manifest.read_text())
    except OSError as error:
        raise UnreadableFile(f"{manifest} cannot be read: {error.strerror}.", MANIFEST) from error
    except ValueError as error:
        raise UnreadableFile(f"{manifest} is no readable TOML: {error}.", MANIFEST) from error
    tables = told.pop("job", None)
    if not isinstance(tables, list) or not all(isinstance(t, dict) and "source" in t for t in tables):
        raise InvalidOption(f"{manifest} has no tables [[job]] that each name a source.", MANIFEST)
    return [_job(manifest.parent, {**told, **table}) for table in tables]


def _job(beside: Path, table: dict[str, Any]) -> Job:
    """The job of a table of a manifest."""
    source, to = str(table.pop("source")), table.get("to")
    destination = table.pop("destination", None)
    if destination is None:
        if not to:
            raise InvalidOption(f"The job of {source} names no destination, and no format to.", MANIFEST)
        destination = Path(source).stem + _target(source, str(to)).suffixes[0]
    local = source if "://" in source else str(beside / source)
    return Job(local, beside / destination, {"source" if k == "from" else k: v for k, v in table.items()})


def _target(source: str, to: str) -> Format:
    """The format that the job of `source` is to write. Raises InvalidOption."""
    try:
        return of_target(None, to)
    except UnknownFormat as error:
        raise InvalidOption(f"The job of {source}: {error}") from error


def convert_all(
    jobs: Sequence[Job],
    *,
    at_once: int = 2,
    executor: Executor | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Batch:
    """Do every job. What cannot be converted is told in the result, and the rest goes on.

    Raises InvalidOption when two sources would become one file, WriteFailed.
    """
    names: dict[Path, str] = {}
    for job in jobs:
        if job.destination in names:
            raise InvalidOption(
                f"{names[job.destination]} and {job.source} would both become {job.destination}.",
                "Convert them into two folders.",
            )
        names[job.destination] = job.source
    for folder in {job.destination.parent for job in jobs}:
        make_folder(folder)
    with workers.worker_pool(at_once, executor) as pool:
        futures = {
            pool.submit(convert_one, job.source, str(job.destination), job.options): job.destination
            for job in jobs
        }
        finished: dict[Path, Done] = {}
        progress(0, len(futures))
        for future in as_completed(futures):
            finished[futures[future]] = future.result()
            progress(len(finished), len(futures))
    return Batch(tuple(finished[job.destination] for job in jobs))


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

    if isinstance(options.get("verify"), dict):
        from bridge.trials import Sampling  # takes 0.1 s with what it needs, which only verification does

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
