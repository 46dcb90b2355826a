"""The command `bisect`."""

from __future__ import annotations

from typing import Any

import click

from bridge.cli.arguments import (
    FormatCommand,
    dims_option,
    inputs_option,
    of_two,
    options_argument,
    range_option,
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
def bisect(**given: Any) -> Any:
    """Name the first operator at which CANDIDATE parts from REFERENCE, and show how the error grows.

    An operator is told from rounding that adds up. Exit code 0 where the two agree, 3 where not. Options of
    formats go to each of the two that declares them.
    """
    import bridge

    result = bridge.bisect(**of_two(**given))
    return (0 if result.ok else 3), result
