"""The commands that convert: `convert` and `check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from bridge.cli.arguments import (
    FormatCommand,
    dims_option,
    executor,
    options_argument,
    parsed,
    parsed_dims,
    parsed_ranges,
    range_option,
    read_arrays,
    runtime_option,
    scheduler_option,
    seed_option,
    source_option,
    target_option,
)
from bridge.cli.command import command, progress_bar


@click.command(cls=FormatCommand)
@click.argument("paths", nargs=-1, metavar="SRC [DST]")
@target_option
@source_option
@click.option(
    "--verify",
    is_flag=True,
    help="Run source and result on the same inputs and compare; what disagrees is not written.",
)
@click.option(
    "--inputs",
    "-i",
    multiple=True,
    metavar="FILE",
    help="With --verify, your own inputs in place of random ones, as `verify` takes them. What is no file "
    "describes the inputs of a source that does not.",
)
@range_option
@seed_option
@runtime_option
@click.option("--keep", is_flag=True, help="Write the result even if it fails verification.")
@click.option("--overwrite", is_flag=True, help="Replace DST if it is a model.")
@click.option(
    "-o", "folder", metavar="DIR", help="Convert every SRC, or model in a folder, into DIR; needs --to."
)
@click.option("--batch", "manifest", type=Path, metavar="FILE", help="Do the jobs of a manifest in TOML.")
@click.option("--jobs", default=2, show_default=True, help="Worker processes, with -o and --batch.")
@scheduler_option
@dims_option
@options_argument
@command
def convert(
    paths: tuple[str, ...],
    folder: str | None,
    manifest: Path | None,
    jobs: int,
    scheduler: str | None,
    inputs: tuple[str, ...],
    ranges: tuple[str, ...],
    seed: int,
    runtime: str,
    dims: tuple[str, ...],
    options: tuple[str, ...],
    **settings: Any,
) -> Any:
    """Convert SRC to another format, as DST or beside you under its own name; or many SRC at once with -o
    DIR.

    SRC is a file, a folder, an archive of one, an address (https://, hf://, s3://) or - for standard input;
    DST may be - for standard output.
    """
    import bridge

    if manifest is not None:
        return _batch(_of_manifest(manifest, paths), jobs, scheduler)
    if not paths:
        raise click.UsageError("Missing argument 'SRC'.")
    settings |= parsed(options)
    if dims:
        settings["dims"] = parsed_dims(dims)
    files = [i for i in inputs if Path(i.rpartition("=")[2]).exists()]
    described = [i for i in inputs if i not in files]
    if described:
        settings["inputs"] = ";".join(described)
    if settings["verify"]:
        from bridge.trials import Sampling

        data = read_arrays(paths[0], settings["source"], {}, files) if files else ()
        settings["verify"] = Sampling((seed, seed + 1), {}, parsed_ranges(ranges), data, runtime)
    if folder is not None:
        return _batch(_of_folder(paths, Path(folder), settings), jobs, scheduler)
    if len(paths) > 2:
        raise click.UsageError("Many files need a folder to go to: -o DIR.")
    if paths[1:] == ("-",):
        _to_standard_output(paths[0], settings)
        return 0, None
    return 0, bridge.convert(*paths, **settings)


def _of_folder(paths: tuple[str, ...], folder: Path, settings: dict[str, Any]) -> list[Any]:
    from bridge.batch import jobs_of

    if not settings["to"]:
        raise click.UsageError("-o DIR needs --to FORMAT.")
    return jobs_of(paths, folder, **settings)


def _of_manifest(manifest: Path, paths: tuple[str, ...]) -> list[Any]:
    from bridge.batch import read_jobs

    if paths:
        raise click.UsageError("--batch FILE names the sources itself.")
    return read_jobs(manifest)


def _batch(listed: list[Any], jobs: int, scheduler: str | None) -> tuple[int, Any]:
    """Exit code and result of many jobs."""
    from bridge.batch import convert_all

    with executor(scheduler) as pool, progress_bar("files") as progress:
        batch = convert_all(listed, at_once=jobs, executor=pool, progress=progress)
    return (0 if batch.ok else 1), batch


def _to_standard_output(source: str, settings: dict[str, Any]) -> None:
    """Convert to a temporary file, and write its bytes to standard output."""
    import tempfile

    import bridge
    from bridge.lower import target_format

    with tempfile.TemporaryDirectory() as text:
        path = Path(text) / f"model{target_format(None, settings['to']).suffixes[0]}"
        bridge.convert(source, path, **settings)
        if path.is_dir() or len(list(Path(text).iterdir())) > 1:
            raise click.UsageError("This format is not one file: name a destination.")
        sys.stdout.buffer.write(path.read_bytes())


@click.command(cls=FormatCommand)
@click.argument("src")
@click.option("--to", required=True, metavar="FORMAT", help="Format to write.")
@source_option
@dims_option
@options_argument
@command
def check(src: str, to: str, source: str | None, dims: tuple[str, ...], options: tuple[str, ...]) -> Any:
    """Say what converting SRC would do to each operator; write nothing."""
    import bridge

    report = bridge.check(src, to=to, source=source, dims=parsed_dims(dims), **parsed(options))
    return (0 if report.ok else 4), report
