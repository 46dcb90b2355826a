"""The commands that convert: `convert` and `check`."""

from __future__ import annotations

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
@click.argument("paths", nargs=-1, required=True, metavar="SRC [DST]")
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
@click.option("-o", "folder", metavar="DIR", help="Convert every SRC named into DIR; needs --to.")
@click.option("--jobs", default=2, show_default=True, help="Worker processes, with -o.")
@scheduler_option
@dims_option
@options_argument
@command
def convert(
    paths: tuple[str, ...],
    folder: str | None,
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
    DIR."""
    import bridge

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
    if folder is None:
        if len(paths) > 2:
            raise click.UsageError("Many files need a folder to go to: -o DIR.")
        return 0, bridge.convert(*paths, **settings)
    from bridge.batch import convert_all

    if not settings["to"]:
        raise click.UsageError("-o DIR needs --to FORMAT.")
    with executor(scheduler) as pool, progress_bar("files") as progress:
        batch = convert_all(paths, Path(folder), jobs=jobs, executor=pool, progress=progress, **settings)
    return (0 if batch.ok else 1), batch


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
