"""Arguments that several commands take: formats, their options, dimensions, inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from bridge.cli.usage import Command

__all__ = [
    "FormatCommand",
    "declared_by",
    "dims_option",
    "executor",
    "inputs_option",
    "jobs_option",
    "named_dims_option",
    "options_argument",
    "parsed",
    "parsed_dims",
    "parsed_ranges",
    "profile_option",
    "range_option",
    "read_arrays",
    "runtime_option",
    "scheduler_option",
    "seed_option",
    "source_option",
    "target_option",
]

DIGITS = len(str(2**63 - 1))


def options_argument(function: Callable) -> Callable:
    return click.option(
        "-O",
        "--option",
        "options",
        multiple=True,
        metavar="NAME=VALUE",
        shell_complete=_option_names,
        help="An option of the source or target format; --NAME VALUE is the same.",
    )(function)


def parsed(options: tuple[str, ...]) -> dict[str, Any]:
    """NAME=VALUE pairs as a dict."""
    bad = [o for o in options if "=" not in o]
    if bad:
        raise click.BadParameter(f"{bad[0]!r} is not NAME=VALUE", param_hint="--option")
    return dict(o.split("=", 1) for o in options)


dims_option = click.option(
    "--dims",
    multiple=True,
    metavar="NAME=LENGTH",
    help="Give a symbolic dimension of the inputs its length.",
)
named_dims_option = click.option(
    "--dims",
    multiple=True,
    metavar="DIM=LENGTH",
    help="Give a dimension of the inputs, by its name or as INPUT:AXIS, a length, or another name.",
)


def parsed_dims(dims: tuple[str, ...], named: bool = False) -> dict[str, Any]:
    """NAME=LENGTH pairs as a dict; where `named`, a length may be the name of one."""
    pairs = [pair.rpartition("=") for pair in dims]
    bad = [
        pair
        for pair, (name, _, length) in zip(dims, pairs, strict=True)
        if not name
        or not (length.isdecimal() or (named and length.isidentifier()))
        or (length.isdecimal() and len(length) > DIGITS)
    ]
    if bad:
        raise click.BadParameter(f"{bad[0]!r} is not NAME=LENGTH", param_hint="--dims")
    return {name: int(length) if length.isdecimal() else length for name, _, length in pairs}


def range_option(function: Callable) -> Callable:
    return click.option(
        "--range",
        "ranges",
        multiple=True,
        metavar="NAME=LOW..HIGH",
        help="Draw the random values of an input from LOW to HIGH.",
    )(function)


def parsed_ranges(ranges: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """NAME=LOW..HIGH pairs as a dict."""
    found = {}
    for text in ranges:
        name, _, bounds = text.rpartition("=")
        low, dots, high = bounds.partition("..")
        try:
            found[name] = (float(low), float(high))
        except ValueError:
            found[name] = (math.nan, math.nan)
        if not name or not dots or not found[name][0] <= found[name][1]:
            raise click.BadParameter(f"{text!r} is not NAME=LOW..HIGH", param_hint="--range")
    return found


runtime_option = click.option(
    "--runtime",
    type=click.Choice(["own", "reference"]),
    default="own",
    show_default=True,
    help="Let onnx.reference judge an ONNX file that ONNX Runtime refuses.",
)
seed_option = click.option("--seed", default=0, show_default=True, help="Seed of the random inputs.")
inputs_option = click.option(
    "--inputs",
    "-i",
    multiple=True,
    metavar="FILE",
    help="Your own inputs: an .npz, an .npy or a picture in input order, or NAME=FILE; or a folder of them, "
    "which are run one by one.",
)


def read_arrays(
    model: str, source: str | None, options: dict[str, Any], files: Sequence[str]
) -> list[dict[str, Any]]:
    """Inputs of a model from files, one by one."""
    import bridge
    from bridge.inputs.data import read_inputs

    return read_inputs(list(files), bridge.load(model, source=source, **options).graph.inputs)


def declared_by(path: str, source: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that the importer of a file declares."""
    from bridge.sources import found

    declared = {option.name for option in found(path, source)[1].resolve("importer").options}
    return {name: value for name, value in options.items() if name in declared}


def of_two(
    *,
    reference: str,
    candidate: str,
    inputs: tuple[str, ...],
    source: str | None,
    candidate_from: str | None,
    ranges: tuple[str, ...],
    dims: tuple[str, ...],
    options: tuple[str, ...],
    **settings: Any,
) -> dict[str, Any]:
    """The arguments of a library call that takes two models, from those of its command."""
    given = parsed(options)
    first, second = declared_by(reference, source, given), declared_by(candidate, candidate_from, given)
    for name in given.keys() - first.keys() - second.keys():
        raise click.UsageError(f"--{name} is an option of neither model's format as source.")
    return settings | {
        "reference": reference,
        "candidate": candidate,
        "inputs": read_arrays(reference, source, first, inputs) if inputs else None,
        "dims": parsed_dims(dims),
        "ranges": parsed_ranges(ranges),
        "reference_source": source,
        "candidate_source": candidate_from,
        "reference_options": first,
        "candidate_options": second,
    }


def _format_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from bridge.plugins import formats

    return [CompletionItem(f.name, help=f.title) for f in formats() if f.name.startswith(incomplete)]


source_option = click.option(
    "--from",
    "source",
    metavar="FORMAT",
    shell_complete=_format_names,
    help="Format of SRC; found from its content when omitted.",
)
target_option = click.option(
    "--to",
    "to",
    metavar="FORMAT",
    shell_complete=_format_names,
    help="Format to write; found from the suffix of DST when omitted.",
)


def _profile_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from bridge.profiles.profile import profiles

    return [CompletionItem(p.name, help=p.title) for p in profiles() if p.name.startswith(incomplete)]


profile_option = click.option(
    "--profile",
    metavar="NAME",
    shell_complete=_profile_names,
    help="Refuse what a deployment does not take: `bridge profiles` lists them.",
)


def jobs_option(text: str) -> Callable:
    return click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help=text)


scheduler_option = click.option(
    "--scheduler", metavar="ADDRESS", help="Work on a Dask cluster, such as tcp://host:8786."
)


class FormatCommand(Command):
    """A command that takes `--NAME VALUE` for the options formats declare, as it takes `-O NAME=VALUE`, and
    whose help lists those of the formats named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = {name for parameter in self.get_params(ctx) for name in parameter.opts}
        words, remaining = [], list(args)
        ctx.meta[__name__] = list(args)
        while remaining:
            word = remaining.pop(0)
            if word == "--":
                words += [word, *remaining]
                break
            name, equals, value = word.removeprefix("--").partition("=")
            if not word.startswith("--") or f"--{name}" in known or name not in self.declared():
                words.append(word)
            elif equals or remaining:
                words += ["-O", f"{name}={value if equals else remaining.pop(0)}"]
            else:
                raise click.UsageError(f"--{name} needs a value: --{name} VALUE.", ctx)
        return super().parse_args(ctx, words)

    def options(self, ctx: click.Context) -> list[str]:
        named = {option.name for _, option in _options(_named(self, ctx))}
        return [*super().options(ctx), *(f"--{name}" for name in named or self.declared())]

    def declared(self) -> set[str]:
        """Names of the options that it takes beside its own."""
        return _declared()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        for title, rows in _options_of_named(self, ctx):
            with formatter.section(title):
                formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        items = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("-"):
            names = {f"--{option.name}": option for _, option in _options(_named(self, ctx))}
            items += [CompletionItem(n, help=o.help) for n, o in names.items() if n.startswith(incomplete)]
        return items


def _options_of_named(command: click.Command, ctx: click.Context) -> Iterator[tuple[str, list]]:
    """Options of the source and target that a command line names, as titled rows."""
    by_part: dict[str, list[tuple[str, str]]] = {}
    for part, option in _options(_named(command, ctx)):
        choices = f" One of {', '.join(map(str, option.choices))}." if option.choices else ""
        default = "" if option.default is None else f"  [default: {option.default}]"
        by_part.setdefault(part, []).append((f"--{option.name}", f"{option.help}.{choices}{default}"))
    yield from ((f"Options of {part}", rows) for part, rows in by_part.items())


def _named(command: click.Command, ctx: click.Context) -> list[tuple[Any, str]]:
    """Formats that a command line names, complete or not, each with the part that is used of it."""
    from bridge.detect import by_name, by_suffix, of_source
    from bridge.errors import BridgeError

    words, values = list(ctx.meta.get(__name__, ())), {}
    while words and words[-1].startswith("-"):
        words.pop()
    with suppress(click.ClickException):
        values = command.make_parser(ctx).parse_args(words)[0]
    paths = values.get("paths") or [values.get("src") or values.get("model") or values.get("reference")]
    found: list[tuple[Any, str]] = []
    with suppress(BridgeError, TypeError, AttributeError):
        source = by_name(values["source"]) if values.get("source") else of_source(paths[0])
        found.append((source, "importer"))
    with suppress(BridgeError, TypeError, IndexError):
        target = by_name(values["to"]) if values.get("to") else by_suffix(Path(paths[1]))
        found += [(target, "exporter")] if target is not None else []
    return found


def _options(parts: list[tuple[Any, str]]) -> Iterator[tuple[str, Any]]:
    """Options of parts of formats, each with the words for its part."""
    from bridge.errors import BridgeError

    for fmt, part in parts:
        with suppress(BridgeError):
            for option in fmt.resolve(part).options if getattr(fmt, part) else ():
                yield f"{fmt.title} as {'source' if part == 'importer' else 'target'}", option


def _declared() -> set[str]:
    """Names of the options of every format that is installed."""
    from bridge.plugins import formats

    parts = [(fmt, part) for fmt in formats() for part in ("importer", "exporter")]
    return {option.name for _, option in _options(parts)}


def _option_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """NAME= of the options of the formats named, and the choices of one once its name stands there."""
    name, equals, start = incomplete.partition("=")
    options = [option for _, option in _options(_named(ctx.command, ctx))]
    if not equals:
        return [CompletionItem(f"{o.name}=", help=o.help) for o in options if o.name.startswith(name)]
    choices = [str(c) for o in options if o.name == name for c in o.choices]
    return [CompletionItem(f"{name}={c}") for c in choices if c.startswith(start)]


@contextmanager
def executor(scheduler: str | None) -> Iterator[Any]:
    """The executor of a Dask cluster; None without an address. Raises MissingDependency, ExecutionFailed."""
    if scheduler is None:
        yield None
        return
    from bridge.errors import ExecutionFailed, MissingDependency
    from bridge.plugins import DISTRIBUTION

    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise MissingDependency(
            "A Dask cluster needs the package 'distributed', which is not installed.",
            f"Install it with: pip install '{DISTRIBUTION}[dask]'",
        ) from error
    try:
        client = Client(scheduler, timeout=10)
    except (OSError, TimeoutError, ValueError) as error:
        raise ExecutionFailed(
            f"No Dask scheduler answers at {scheduler}.", "Start one with `dask scheduler`."
        ) from error
    with client:
        yield client.get_executor(pure=False)
