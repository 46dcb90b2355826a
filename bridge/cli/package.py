"""The command that writes deployable folders."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem

from bridge.cli.arguments import (
    FormatCommand,
    declared_by,
    dims_option,
    options_argument,
    parsed,
    parsed_dims,
    parsed_ranges,
    profile_option,
    range_option,
    read_arrays,
    seed_option,
    source_option,
)
from bridge.cli.command import command


def _kind_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from bridge.package.kinds import kinds

    return [CompletionItem(k.name, help=k.title) for k in kinds() if k.name.startswith(incomplete)]


class PackageCommand(FormatCommand):
    """A command that takes `--NAME VALUE` for the options of kinds of packages too."""

    def declared(self) -> set[str]:
        from bridge.package.kinds import kinds

        return super().declared() | {option.name for kind in kinds() for option in kind.options}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        from bridge.package.kinds import kinds

        for kind in kinds():
            if kind.options:
                with formatter.section(f"Options of {kind.name}"):
                    formatter.write_dl(
                        [(f"--{o.name}", f"{o.help}.  [default: {o.default}]") for o in kind.options]
                    )


@click.command(cls=PackageCommand, example="package model.onnx served --for triton")
@click.argument("src")
@click.argument("dst", metavar="DIR")
@click.option(
    "--for",
    "kind",
    required=True,
    metavar="NAME",
    shell_complete=_kind_names,
    help="triton, tfserving, ort, ort-mobile, ort-web, litert, coreml, mlflow, or what a plugin brings.",
)
@profile_option
@source_option
@click.option(
    "--inputs",
    "-i",
    multiple=True,
    metavar="FILE",
    help="Samples of yours in place of random ones, as `verify` takes them.",
)
@range_option
@seed_option
@click.option("--overwrite", is_flag=True, help="Replace DIR if it is a package.")
@dims_option
@options_argument
@command
def package(
    src: str,
    inputs: tuple[str, ...],
    ranges: tuple[str, ...],
    seed: int,
    dims: tuple[str, ...],
    options: tuple[str, ...],
    **settings: Any,
) -> Any:
    """Write SRC as DIR, a folder that a deployment takes as it is.

    It holds the model, verified against SRC, SHA-256 sums, the report, samples with what SRC answers to
    them, and a smoke test: python DIR/smoke_test.py
    """
    import bridge
    from bridge.trials import Sampling

    given = parsed(options)
    own = declared_by(src, settings["source"], given) if inputs else {}
    data = read_arrays(src, settings["source"], own, inputs) if inputs else ()
    samples = Sampling((seed, seed + 1), {}, parsed_ranges(ranges), data)
    dst = settings.pop("dst")
    return 0, bridge.package(src, dst, dims=parsed_dims(dims), samples=samples, **settings, **given)
