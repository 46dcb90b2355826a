"""The commands of the workbench: `extract`, `optimize` and `diff`."""

from __future__ import annotations

from typing import Any

import click

from bridge.cli.arguments import (
    FormatCommand,
    declared_by,
    dims_option,
    options_argument,
    parsed,
    parsed_dims,
    source_option,
    target_option,
)
from bridge.cli.command import command
from bridge.cli.page import html_option


@click.command(cls=FormatCommand, example="extract model.onnx part.onnx --from-values a,b --to-values c")
@click.argument("src")
@click.argument("dst", required=False)
@click.option(
    "--from-values", multiple=True, metavar="NAME,…", help="The part begins at these; else at SRC's inputs."
)
@click.option("--to-values", multiple=True, metavar="NAME,…", help="It ends at these; else at SRC's outputs.")
@click.option(
    "--operators", multiple=True, metavar="NAME,…", help="Or it is the operators of these names or kinds."
)
@target_option
@source_option
@click.option("--verify", is_flag=True, help="Run the part and the result on the same inputs and compare.")
@click.option("--keep", is_flag=True, help="Write the result even if it fails verification.")
@click.option("--overwrite", is_flag=True, help="Replace DST if it is a model.")
@dims_option
@options_argument
@command
def extract(
    src: str,
    dst: str | None,
    from_values: tuple[str, ...],
    to_values: tuple[str, ...],
    operators: tuple[str, ...],
    dims: tuple[str, ...],
    options: tuple[str, ...],
    **settings: Any,
) -> Any:
    """Write a part of SRC as a model of any format.

    Names are the source's own, of values or of the operators that give them; * and ? stand for any
    characters.
    """
    import bridge

    def names(given: tuple[str, ...]) -> list[str]:
        return [name for text in given for name in text.split(",")]

    return 0, bridge.extract(
        src,
        dst,
        from_values=names(from_values),
        to_values=names(to_values),
        operators=names(operators),
        dims=parsed_dims(dims),
        **settings,
        **parsed(options),
    )


@click.command(cls=FormatCommand, example="optimize model.onnx smaller.onnx --verify")
@click.argument("src")
@click.argument("dst", required=False)
@click.option("--verify", is_flag=True, help="Run SRC and the result on the same inputs and compare.")
@click.option("--keep", is_flag=True, help="Write the result even if nothing is gained.")
@click.option("--overwrite", is_flag=True, help="Replace DST if it is a model.")
@dims_option
@options_argument
@command
def optimize(
    src: str, dst: str | None, dims: tuple[str, ...], options: tuple[str, ...], **settings: Any
) -> Any:
    """Write an ONNX file with fewer operators, which computes the same under the same names.

    What has more operators or bytes than SRC is not written: DST is SRC as it is then.
    """
    import bridge

    return 0, bridge.optimize(src, dst, dims=parsed_dims(dims), **settings, **parsed(options))


@click.command(cls=FormatCommand, example="diff before.onnx after.tflite --weights-only")
@click.argument("first")
@click.argument("second")
@click.option("--weights-only", is_flag=True, help="Compare the weights alone.")
@click.option("--first-from", metavar="FORMAT", help="Format of FIRST; found from its content when omitted.")
@click.option("--second-from", metavar="FORMAT", help="Format of SECOND.")
@html_option
@options_argument
@command
def diff(
    first: str,
    second: str,
    weights_only: bool,
    first_from: str | None,
    second_from: str | None,
    options: tuple[str, ...],
) -> Any:
    """Say how two models differ: interface, operators, weights, metadata.

    Exit code 0 where they are the same but for names within, 3 where not. Options of formats go to each of
    the two that declares them.
    """
    import bridge

    result = bridge.diff(
        first,
        second,
        weights_only=weights_only,
        first_source=first_from,
        second_source=second_from,
        first_options=declared_by(first, first_from, parsed(options)),
        second_options=declared_by(second, second_from, parsed(options)),
    )
    return (0 if result.same else 3), result
