"""The commands that run and read models: `verify`, `run` and `inspect`."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from bridge.cli.arguments import (
    FormatCommand,
    dims_option,
    inputs_option,
    of_two,
    options_argument,
    parsed,
    parsed_dims,
    parsed_ranges,
    range_option,
    read_arrays,
    runtime_option,
    seed_option,
    source_option,
)
from bridge.cli.command import Printed, command
from bridge.cli.page import html_option
from bridge.cli.provenance import shown_of, summary_options


@click.command(cls=FormatCommand, example="verify model.onnx model.tflite")
@click.argument("reference")
@click.argument("candidate")
@inputs_option
@seed_option
@range_option
@runtime_option
@click.option("--rtol", type=click.FloatRange(0), help="Relative tolerance of floats.")
@click.option("--atol", type=click.FloatRange(0), help="Absolute tolerance of floats.")
@source_option
@click.option("--candidate-from", metavar="FORMAT", help="Format of CANDIDATE.")
@dims_option
@html_option
@options_argument
@command
def verify(**given: Any) -> Any:
    """Run two models on the same inputs and compare every output.

    Options of formats go to each of the two that declares them.
    """
    import bridge

    asked = of_two(**given)
    result = bridge.verify(**asked)
    if click.get_current_context().params["html"] is not None and result.graph is None:
        read = _graph_as_read(asked["reference"], asked["reference_source"], asked["reference_options"])
        result = replace(result, graph=read)
    return (0 if result.ok else 3), result


def _graph_as_read(model: str, source: str | None, options: dict[str, Any]) -> Any:
    """The graph of a model as the hub holds it; None where bridge does not read it, which a runtime may all
    the same."""
    import bridge
    from bridge.page import graph_of

    with suppress(bridge.BridgeError):
        return graph_of(bridge.load(model, source=source, **options))


@click.command(cls=FormatCommand, example="run model.onnx -i input.npy")
@click.argument("model")
@inputs_option
@seed_option
@range_option
@click.option(
    "--output",
    "-o",
    type=Path,
    metavar="FILE",
    help="Write the results to an .npz file; those of several inputs as NAME/0, NAME/1, …",
)
@click.option("--overwrite", is_flag=True, help="Replace FILE if it holds arrays.")
@source_option
@dims_option
@options_argument
@command
def run(
    model: str,
    inputs: tuple[str, ...],
    seed: int,
    output: Path | None,
    overwrite: bool,
    source: str | None,
    ranges: tuple[str, ...],
    dims: tuple[str, ...],
    options: tuple[str, ...],
) -> Any:
    """Run MODEL in its format's own runtime, on files or on random inputs.

    Each of several signatures is run where none is named and nothing is handed in.
    """
    import numpy as np

    from bridge.errors import SeveralModels
    from bridge.output import atomic, require_free, unless_arrays

    given = parsed(options)
    random = {"seed": seed, "dims": parsed_dims(dims), "ranges": parsed_ranges(ranges)}
    if output is not None:
        require_free(output, overwrite, unless_arrays)
    try:
        results = _results(model, source, given, inputs, random)
    except SeveralModels as several:
        if inputs or output is not None:
            raise
        each = [
            (choice, _results(model, source, {**given, several.option: choice}, (), random))
            for choice in several.choices
        ]
        text = "\n".join(f"{several.option}={choice}: {_shown(one)}" for choice, one in each)
        return 0, Printed(text, {choice: _shown(one).data for choice, one in each})
    if output is not None:
        with atomic(output, overwrite, unless_arrays) as temporary, temporary.open("wb") as file:
            np.savez(file, **_numbered(results))
    return 0, _shown(results)


def _results(
    model: str, source: str | None, options: dict[str, Any], files: tuple[str, ...], random: dict[str, Any]
) -> list[Any]:
    """Outputs of a model on the arrays of files, one by one, or on random ones as `random_inputs` draws
    them."""
    import bridge
    from bridge.inputs import random_inputs
    from bridge.load import reader
    from bridge.runtime import open_session

    if files:
        each = read_arrays(model, source, options, files)
    else:
        each = [random_inputs(bridge.load(model, source=source, **options), **random)]
    session = open_session(reader(model, source, options))
    return [session.run(arrays) for arrays in each]


def _numbered(results: list[Any]) -> dict[str, Any]:
    """Outputs by name; of several runs by name and number."""
    if len(results) == 1:
        return results[0]
    return {f"{name}/{i}": array for i, run in enumerate(results) for name, array in run.items()}


def _shown(results: list[Any]) -> Printed:
    """Outputs of one run, or of several."""
    each = [_shown_once(one) for one in results]
    if len(each) == 1:
        return each[0]
    lines = [f"Inputs {i} of {len(each)}: {one}" for i, one in enumerate(each, 1)]
    return Printed("\n".join(lines), [one.data for one in each])


def _shown_once(results: Any) -> Printed:
    """Outputs by name, with their dtypes and shapes."""
    import numpy as np

    lines = [f"{name}: {np.asarray(v).dtype}{list(np.asarray(v).shape)}\n{v}" for name, v in results.items()]
    listed = {
        name: {"dtype": str(np.asarray(v).dtype), "shape": list(np.asarray(v).shape), "values": _listed(v)}
        for name, v in results.items()
    }
    text = "\n".join([f"Run by {results.engine}", *lines])
    return Printed(text, {"engine": results.engine, "outputs": listed})


def _listed(value: Any) -> Any:
    """Nested lists of plain values; numbers JSON does not have are words."""
    if isinstance(value, (list, tuple)):
        return [_listed(item) for item in value]
    if hasattr(value, "tolist"):
        return _listed(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


@click.command(cls=FormatCommand, example="inspect model.onnx")
@click.argument("model")
@source_option
@summary_options
@dims_option
@options_argument
@command
def inspect(
    model: str, source: str | None, dims: tuple[str, ...], options: tuple[str, ...], **wanted: bool
) -> Any:
    """Print MODEL's inputs, outputs, operators, size and metadata; or where it comes from, its card, or its
    bill of materials."""
    import bridge

    summary = bridge.inspect(model, source=source, dims=parsed_dims(dims), **parsed(options))
    return 0, shown_of(summary, Path(model).name, **wanted)
