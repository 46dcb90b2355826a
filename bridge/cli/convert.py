"""The commands that convert: `convert` and `check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from bridge.cli.arguments import (
    FormatCommand,
    declared_by,
    dims_option,
    executor,
    jobs_option,
    named_dims_option,
    options_argument,
    parsed,
    parsed_dims,
    parsed_ranges,
    profile_option,
    range_option,
    read_arrays,
    runtime_option,
    scheduler_option,
    seed_option,
    source_option,
    target_option,
)
from bridge.cli.command import command, progress_bar
from bridge.cli.edits import edit_options, take_edits
from bridge.cli.page import html_option
from bridge.cli.provenance import card_options, take_card
from bridge.cli.quantize import quantize_options, take_quantizing
from bridge.cli.usage import refuse_with, refuse_without


@click.command(cls=FormatCommand, example="convert model.onnx model.tflite --verify")
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
@profile_option
@click.option("--overwrite", is_flag=True, help="Replace DST if it is a model.")
@click.option(
    "-o", "folder", metavar="DIR", help="Convert every SRC, or model in a folder, into DIR; needs --to."
)
@click.option("--batch", "manifest", type=Path, metavar="FILE", help="Do the jobs of a manifest in TOML.")
@jobs_option("Worker processes, with -o and --batch.")
@scheduler_option
@edit_options
@quantize_options
@card_options
@named_dims_option
@html_option
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

    if manifest is not None or folder is not None or paths[1:] == ("-",):
        refuse_with(click.get_current_context(), "html", "of one model and its file alone")
    if manifest is not None:
        return _batch(_of_manifest(manifest, paths), jobs, scheduler)
    _require_usage(paths, folder, settings)
    take_edits(settings)
    take_quantizing(settings)
    take_card(settings)
    settings |= parsed(options)
    if dims:
        settings["dims"] = parsed_dims(dims, named=True)
    files = [i for i in inputs if Path(i.rpartition("=")[2]).exists()]
    described = [i for i in inputs if i not in files]
    if described:
        settings["inputs"] = _description(described, paths[0], settings["source"])
    if files and not settings["verify"]:
        refuse_without(click.get_current_context(), ["inputs"], "--verify")
    if settings["verify"]:
        from bridge.trials import Sampling

        own = declared_by(paths[0], settings["source"], settings) if files else {}
        data = read_arrays(paths[0], settings["source"], own, files) if files else ()
        settings["verify"] = Sampling((seed, seed + 1), {}, parsed_ranges(ranges), data, runtime)
    if folder is not None:
        return _batch(_of_folder(paths, Path(folder), settings), jobs, scheduler)
    if paths[1:] == ("-",):
        _to_standard_output(paths[0], settings)
        return 0, None
    return 0, bridge.convert(*paths, **settings)


def _require_usage(paths: tuple[str, ...], folder: str | None, settings: dict[str, Any]) -> None:
    """Raise UsageError for words that do not go together."""
    from bridge.detect import by_suffix, of_target

    context = click.get_current_context()
    if not paths:
        raise click.UsageError("Missing argument 'SRC'.")
    if not settings["verify"]:
        refuse_without(context, ["ranges", "seed", "runtime", "keep"], "--verify")
    if folder is None:
        refuse_without(context, ["jobs", "scheduler"], "-o DIR or --batch FILE")
        if len(paths) > 2:
            raise click.UsageError("Many files need a folder to go to: -o DIR.")
        if len(paths) == 2 and not Path(paths[0]).exists() and Path(paths[1]).exists():
            raise click.UsageError(
                f"{paths[0]} does not exist, and {paths[1]} does. The source comes first: "
                f"bridge convert {paths[1]} {paths[0]}"
            )
        named = by_suffix(Path(paths[1])) if len(paths) == 2 else None
        if named is not None and settings["to"] and of_target(None, settings["to"]) is not named:
            raise click.UsageError(
                f"{paths[1]} is a name of {named.title}, and --to says {settings['to']}: give one of them."
            )
    elif not Path(folder).is_dir() and by_suffix(Path(folder)) is not None:
        raise click.UsageError(f"-o names a folder. To write a file: bridge convert {paths[0]} {folder}")


def _description(words: list[str], source: str, name: str | None) -> str:
    """The words that describe the inputs of a source that does not. Raises InvalidInput where it does."""
    from bridge.errors import InvalidInput
    from bridge.sources import found

    fmt = found(source, name)[1]
    if not any(option.name == "inputs" for option in fmt.resolve("importer").options):
        raise InvalidInput(
            f"{words[0]} does not exist.", "Inputs are files: .npy, .npz, pictures, or NAME=FILE."
        )
    return ";".join(words)


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
    from bridge.detect import of_target

    with tempfile.TemporaryDirectory() as text:
        path = Path(text) / f"model{of_target(None, settings['to']).suffixes[0]}"
        bridge.convert(source, path, **settings)
        if path.is_dir() or len(list(Path(text).iterdir())) > 1:
            raise click.UsageError("This format is not one file: name a destination.")
        sys.stdout.buffer.write(path.read_bytes())


@click.command(cls=FormatCommand, example="check model.onnx --to tflite")
@click.argument("src")
@click.option("--to", metavar="FORMAT", help="Format to write.")
@profile_option
@source_option
@dims_option
@html_option
@options_argument
@command
def check(
    src: str,
    to: str | None,
    profile: str | None,
    source: str | None,
    dims: tuple[str, ...],
    options: tuple[str, ...],
) -> Any:
    """Say what converting SRC would do to each operator; write nothing.

    One of --to and --profile is needed: a profile names its format.
    """
    import bridge

    if to is None and profile is None:
        raise click.UsageError("Missing option '--to' or '--profile'.")
    report = bridge.check(
        src, to=to, profile=profile, source=source, dims=parsed_dims(dims), **parsed(options)
    )
    return (0 if report.ok else 4), report
