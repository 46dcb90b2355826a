"""The command `bisect`."""

from __future__ import annotations

from typing import Any

import click

from bridge.cli.arguments import (
    FormatCommand,
    declared_by,
    dims_option,
    inputs_option,
    options_argument,
    parsed,
    parsed_dims,
    parsed_ranges,
    range_option,
    read_arrays,
    seed_option,
    source_option,
)
from bridge.cli.command import command
from bridge.cli.page import html_option


@click.command(cls=FormatCommand, example="bisect model.onnx model.tflite --write part")
@click.argument("reference")
@click.argument("candidate")
@inputs_option
@seed_option
@range_option
@click.option(
    "--write",
    metavar="DIR",
    help="Write the smallest part that fails, its inputs and what is expected of it, to a new folder.",
)
@source_option
@click.option("--candidate-from", metavar="FORMAT", help="Format of CANDIDATE.")
@dims_option
@html_option
@options_argument
@command
def bisect(
    reference: str,
    candidate: str,
    inputs: tuple[str, ...],
    source: str | None,
    candidate_from: str | None,
    ranges: tuple[str, ...],
    dims: tuple[str, ...],
    options: tuple[str, ...],
    **settings: Any,
) -> Any:
    """Name the first operator at which CANDIDATE parts from REFERENCE, and show how the error grows.

    An operator is told from rounding that adds up. Exit code 0 where the two agree, 3 where not. Options of
    formats go to each of the two that declares them.
    """
    import bridge

    first = declared_by(reference, source, parsed(options))
    second = declared_by(candidate, candidate_from, parsed(options))
    for name in parsed(options).keys() - first.keys() - second.keys():
        raise click.UsageError(f"--{name} is an option of neither model's format as source.")
    result = bridge.bisect(
        reference,
        candidate,
        read_arrays(reference, source, first, inputs) if inputs else None,
        dims=parsed_dims(dims),
        ranges=parsed_ranges(ranges),
        reference_source=source,
        candidate_source=candidate_from,
        reference_options=first,
        candidate_options=second,
        **settings,
    )
    return (0 if result.ok else 3), result
