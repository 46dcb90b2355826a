"""The command that times models: `bench`."""

from __future__ import annotations

from typing import Any

import click

from bridge.cli.arguments import (
    FormatCommand,
    dims_option,
    inputs_option,
    options_argument,
    parsed,
    parsed_dims,
    parsed_ranges,
    range_option,
    seed_option,
    source_option,
)
from bridge.cli.command import Printed, command
from bridge.cli.page import html_option


def _whole(context: click.Context, parameter: click.Parameter, text: str | None) -> list[int] | None:
    """Whole numbers with commas between them."""
    if text is None:
        return None
    numbers = text.split(",")
    if not all(number.isdecimal() and 0 < int(number) < 2**31 for number in numbers):
        raise click.BadParameter(f"{text!r} is not N,N,…, such as 1,8,32")
    return [int(number) for number in numbers]


def _names(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> list[str]:
    """Names with commas between them."""
    return [name for text in texts for name in text.split(",")]


@click.command(cls=FormatCommand, example="bench model.onnx --to tflite,savedmodel")
@click.argument("models", nargs=-1, required=True, metavar="MODEL…")
@click.option(
    "--to",
    multiple=True,
    callback=_names,
    metavar="FORMAT,…",
    help="Convert each to these, and run those too.",
)
@inputs_option
@seed_option
@range_option
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=5.0,
    show_default=True,
    help="The most time a file may take until its median is stable.",
)
@click.option(
    "--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads each runtime works on."
)
@click.option(
    "--batches",
    callback=_whole,
    metavar="N,…",
    help="Numbers of rows to run, where the inputs' first dimension varies; 1,4,16 when omitted.",
)
@click.option(
    "--on",
    multiple=True,
    callback=_names,
    metavar="NAME,…",
    help="Execution providers, delegates or devices, by their runtime's names; each is a row.",
)
@click.option("--profile", is_flag=True, help="Say what each operator takes, where the runtime tells.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@source_option
@dims_option
@html_option
@options_argument
@command
def bench(
    models: tuple[str, ...],
    inputs: tuple[str, ...],
    ranges: tuple[str, ...],
    as_csv: bool,
    dims: tuple[str, ...],
    options: tuple[str, ...],
    **settings: Any,
) -> Any:
    """Time models in their formats' own runtimes, side by side.

    Each runs in a process of its own, and they take turns, so that ratios hold on a machine that does other
    things too. With --to, each MODEL is held against what it becomes; without, all of them against the first.
    """
    import bridge

    done = bridge.bench(
        list(models),
        inputs=list(inputs) or None,
        ranges=parsed_ranges(ranges),
        dims=parsed_dims(dims),
        **settings,
        **parsed(options),
    )
    return 0, Printed(done.to_csv(), done.to_dict(), done) if as_csv else done
