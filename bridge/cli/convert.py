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
    scheduler_option,
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
    help="Run source and result on the same random inputs and compare; what disagrees is not written.",
)
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
