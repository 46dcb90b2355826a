"""The command line: each command is the library call of its name.

Commands import the library when they run, so that `--help` answers without it.
"""

from __future__ import annotations

import json
import math
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

EXIT = """
Exit codes: 0 done; 1 refused, with the reason; 2 wrong usage; 3 verification failed, and convert wrote
nothing unless --keep; 4 operators cannot cross.
"""


@click.group(epilog=EXIT, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="modelbridge")
def main() -> None:
    """Convert machine-learning models between formats, and check the numbers."""


def command(function: Callable) -> Callable:
    """A command whose BridgeErrors are printed, not raised, and whose result prints as text or JSON."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @wraps(function)
    def print_result(as_json: bool, **arguments: Any) -> None:
        from bridge.errors import BridgeError, UnsupportedModel, VerificationFailed

        try:
            with waiting("" if arguments.get("folder") else function.__name__):
                code, result = function(**arguments)
        except BridgeError as error:
            error_type = type(error).__name__
            text = (
                json.dumps({"error": error_type, "message": str(error)})
                if as_json
                else f"{error_type}: {error}"
            )
            click.echo(text, err=not as_json)
            sys.exit(
                3
                if isinstance(error, VerificationFailed)
                else 4
                if isinstance(error, UnsupportedModel)
                else 1
            )
        click.echo(json.dumps(_as_data(result), default=str, indent=2) if as_json else str(result))
        sys.exit(code)

    return print_result


@dataclass(frozen=True)
class Printed:
    """A result that prints as `text` or as the JSON of `data`."""

    text: str
    data: Any

    def to_dict(self) -> Any:
        return self.data

    def __str__(self) -> str:
        return self.text


@contextmanager
def waiting(name: str, after: float = 1.0) -> Iterator[None]:
    """A spinner with the time on stderr, if that is a terminal, for what has a name and takes longer than a
    second."""
    if not sys.stderr.isatty() or not name:
        yield
        return
    done = threading.Event()

    def spin() -> None:
        if done.wait(after):
            return
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            bar.add_task(name)
            done.wait()

    spinner = threading.Thread(target=spin, daemon=True)
    spinner.start()
    try:
        yield
    finally:
        done.set()
        spinner.join()


def _as_data(result: Any) -> Any:
    if hasattr(result, "to_dict"):
        return result.to_dict()
    return result


def options_argument(function: Callable) -> Callable:
    return click.option(
        "-O",
        "--option",
        "options",
        multiple=True,
        metavar="NAME=VALUE",
        help="An option of the source or target format.",
    )(function)


def parsed(options: tuple[str, ...]) -> dict[str, Any]:
    """NAME=VALUE pairs as a dict."""
    bad = [o for o in options if "=" not in o]
    if bad:
        raise click.BadParameter(f"{bad[0]!r} is not NAME=VALUE", param_hint="--option")
    return dict(o.split("=", 1) for o in options)


def dims_option(function: Callable) -> Callable:
    return click.option(
        "--dims",
        multiple=True,
        metavar="NAME=LENGTH",
        help="Give a symbolic dimension of the inputs its length.",
    )(function)


DIGITS = len(str(2**63 - 1))


def parsed_dims(dims: tuple[str, ...]) -> dict[str, int]:
    """NAME=LENGTH pairs as a dict."""
    pairs = [pair.rpartition("=") for pair in dims]
    bad = [
        pair
        for pair, (name, _, length) in zip(dims, pairs, strict=True)
        if not name or not length.isdecimal() or len(length) > DIGITS
    ]
    if bad:
        raise click.BadParameter(f"{bad[0]!r} is not NAME=LENGTH", param_hint="--dims")
    return {name: int(length) for name, _, length in pairs}


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


class WithFormatOptions(click.Command):
    """A command that takes `--NAME VALUE` for the options formats declare, as it takes `-O NAME=VALUE`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = {name for parameter in self.get_params(ctx) for name in parameter.opts}
        words, remaining = [], list(args)
        while remaining:
            word = remaining.pop(0)
            if word == "--":
                words += [word, *remaining]
                break
            name, equals, value = word.removeprefix("--").partition("=")
            if not word.startswith("--") or f"--{name}" in known or name not in _declared():
                words.append(word)
            elif equals or remaining:
                words += ["-O", f"{name}={value if equals else remaining.pop(0)}"]
            else:
                raise click.UsageError(f"--{name} needs a value.", ctx)
        return super().parse_args(ctx, words)


def _declared() -> set[str]:
    """Names of the options of every format that is installed."""
    from bridge.errors import BridgeError
    from bridge.plugins import formats

    names = set()
    for fmt in formats():
        for part in ("importer", "exporter"):
            if getattr(fmt, part):
                with suppress(BridgeError):
                    names |= {option.name for option in fmt.resolve(part).options}
    return names


source_option = click.option(
    "--from", "source", metavar="FORMAT", help="Format of SRC; found from its content when omitted."
)
target_option = click.option(
    "--to", "to", metavar="FORMAT", help="Format to write; found from the suffix of DST when omitted."
)


scheduler_option = click.option(
    "--scheduler", metavar="ADDRESS", help="Work on a Dask cluster, such as tcp://host:8786."
)


@main.command(cls=WithFormatOptions)
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
@click.option("--overwrite", is_flag=True, help="Replace DST if it exists.")
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

        data = _read_arrays(paths[0], files) if files else ()
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


@main.command(cls=WithFormatOptions)
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


@main.command()
@click.argument("reference")
@click.argument("candidate")
@inputs_option
@seed_option
@range_option
@runtime_option
@click.option("--rtol", type=float, help="Relative tolerance of floats.")
@click.option("--atol", type=float, help="Absolute tolerance of floats.")
@dims_option
@command
def verify(
    reference: str,
    candidate: str,
    inputs: tuple[str, ...],
    seed: int,
    ranges: tuple[str, ...],
    runtime: str,
    rtol: float | None,
    atol: float | None,
    dims: tuple[str, ...],
) -> Any:
    """Run two models on the same inputs and compare every output."""
    import bridge

    arrays = _read_arrays(reference, inputs) if inputs else None
    result = bridge.verify(
        reference,
        candidate,
        arrays,
        seed=seed,
        rtol=rtol,
        atol=atol,
        dims=parsed_dims(dims),
        ranges=parsed_ranges(ranges),
        runtime=runtime,
    )
    return (0 if result.ok else 3), result


@main.command()
@click.argument("model")
@inputs_option
@seed_option
@range_option
@click.option("--output", "-o", metavar="FILE", help="Write the results to an .npz file.")
@dims_option
@command
def run(
    model: str,
    inputs: tuple[str, ...],
    seed: int,
    ranges: tuple[str, ...],
    output: str | None,
    dims: tuple[str, ...],
) -> Any:
    """Run MODEL in its format's own runtime, on files or on random inputs."""
    import numpy as np

    import bridge
    from bridge.inputs import random_inputs

    arrays = (
        _read_arrays(model, inputs)[0]
        if inputs
        else random_inputs(bridge.load(model), seed, parsed_dims(dims), parsed_ranges(ranges))
    )
    results = bridge.run(model, arrays)
    if output:
        np.savez(output, **results)
    lines = [f"{name}: {np.asarray(v).dtype}{list(np.asarray(v).shape)}\n{v}" for name, v in results.items()]
    listed = {
        name: {"dtype": str(np.asarray(v).dtype), "shape": list(np.asarray(v).shape), "values": _listed(v)}
        for name, v in results.items()
    }
    return 0, Printed(
        "\n".join([f"Run by {results.engine}", *lines]), {"engine": results.engine, "outputs": listed}
    )


def _listed(value: Any) -> Any:
    """Nested lists of plain values; numbers JSON does not have are words."""
    if isinstance(value, (list, tuple)):
        return [_listed(item) for item in value]
    if hasattr(value, "tolist"):
        return _listed(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _read_arrays(model: str, files: Sequence[str]) -> list[dict[str, Any]]:
    """Inputs one by one."""
    import bridge
    from bridge.inputs.data import read_inputs

    return read_inputs(list(files), bridge.load(model).graph.inputs)


@main.command()
@click.argument("model")
@source_option
@command
def inspect(model: str, source: str | None) -> Any:
    """Print MODEL's inputs, outputs, operators, size and metadata."""
    import bridge

    return 0, bridge.inspect(model, source=source)


@main.command()
@click.argument("name", required=False)
@command
def formats(name: str | None) -> Any:
    """List the formats, or the options and versions of one."""
    import bridge
    from bridge.detect import by_name

    if name:
        fmt = by_name(name)
        return 0, Printed(_described(fmt), _declaration(fmt))
    lines = [
        f"{f.name:<12} {'read ' if f.importer else '     '}{'write ' if f.exporter else '      '}{f.versions}"
        for f in bridge.formats()
    ]
    return 0, Printed("\n".join(lines), [_declaration(f) for f in bridge.formats()])


@main.command()
@command
def plugins() -> Any:
    """List the plugins, what each brings, and those that failed or clash."""
    from bridge.plugins import registry

    known = registry()
    contents = known.contents()
    lines = [str(one) for one in contents]
    lines += [f"{b.name:<14} {b.distribution:<20} FAILED: {b.reason}" for b in known.broken]
    lines += [f"CLASH: {error}" for error in known.clashes.values()]
    data = {
        "plugins": [asdict(one) for one in contents],
        "broken": [asdict(one) for one in known.broken],
        "clashes": {name: str(error) for name, error in known.clashes.items()},
    }
    return (1 if known.broken or known.clashes else 0), Printed("\n".join(lines), data)


@main.command("new-plugin")
@click.argument("name")
@click.option("--import", "reads", is_flag=True, help="A format that is read.")
@click.option("--export", "writes", is_flag=True, help="A format that is written; both when neither is said.")
@command
def new_plugin(name: str, reads: bool, writes: bool) -> Any:
    """Write the package of a new format, bridge-NAME, to begin with: it installs and passes the kit as it
    stands."""
    from bridge.scaffold import create

    both = not (reads or writes)
    written = create(name, Path(), reads=reads or both, writes=writes or both)
    text = "\n".join([*map(str, written), f"Next: cd bridge-{name} and read README.md."])
    return 0, Printed(text, [str(path) for path in written])


def _declaration(fmt: Any) -> dict[str, Any]:
    """Declaration of a format, as `formats --json` prints it."""
    from bridge.errors import BridgeError

    options: dict[str, Any] = {}
    for part in ("importer", "exporter"):
        with suppress(BridgeError):
            options[part] = [
                {"name": o.name, "help": o.help, "default": o.default, "choices": list(o.choices)}
                for o in fmt.resolve(part).options
            ]
    return {
        "name": fmt.name,
        "title": fmt.title,
        "suffixes": list(fmt.suffixes),
        "reads": fmt.importer is not None,
        "writes": fmt.exporter is not None,
        "runs": fmt.runtime is not None,
        "versions": fmt.versions,
        "packages": fmt.installed(),
        "options": options,
    }


def _described(fmt: Any) -> str:
    from bridge.errors import MissingDependency

    lines = [f"{fmt.title}: {fmt.versions}"]
    lines += [f"  {package} {version or 'is not installed'}" for package, version in fmt.installed().items()]
    if not all(fmt.installed().values()) and fmt.extra:
        lines.append(f"  install: pip install '{fmt.distribution}[{fmt.extra}]'")
    for part in ("importer", "exporter"):
        if getattr(fmt, part) is None:
            continue
        try:
            options = fmt.resolve(part).options
        except MissingDependency:
            continue
        lines += [f"  {part} option {o.name}: {o.help} (default {o.default})" for o in options]
    return "\n".join(lines)


@main.command()
@click.option(
    "--routes",
    metavar="A:B,…",
    help="Routes to measure, such as onnx:tflite,onnx:onnx?opset=17; all when omitted.",
)
@click.option("--formats", metavar="F,…", help="Only routes between these formats.")
@click.option("--ops", metavar="OP,…", help="Only cases of these operators, such as Conv,ai.onnx.ml::Scaler.")
@click.option(
    "--cases", multiple=True, metavar="PATTERN", help="Only cases whose name matches, such as 'test_add*'."
)
@click.option(
    "--most",
    type=int,
    metavar="N",
    default=4,
    show_default=True,
    help="At most N cases of an operator, those that cover most of what it takes.",
)
@click.option("--all", "everything", is_flag=True, help="Every case, --most or not.")
@click.option(
    "--mode",
    type=click.Choice(["as-is", "frozen", "both"]),
    default="both",
    show_default=True,
    help="Inputs read at run time, or all but the first made constants.",
)
@click.option("--frozen", "mode", flag_value="frozen", help="The same as --mode frozen.")
@click.option("--jobs", default=2, show_default=True, help="Worker processes.")
@scheduler_option
@click.option("--resume", is_flag=True, help="Keep the results DIR holds, and run the rest.")
@click.option("-o", "folder", required=True, metavar="DIR", help="Where results and pages go.")
@command
def matrix(
    routes: str | None,
    formats: str | None,
    ops: str | None,
    cases: tuple[str, ...],
    most: int,
    everything: bool,
    mode: str,
    jobs: int,
    scheduler: str | None,
    resume: bool,
    folder: str,
) -> Any:
    """Run cases through conversion routes and count what survives.

    DIR then holds results.jsonl, the evidence; format_matrix.md; and matrix.html.
    """
    from bridge.matrix import all_routes, counts, publish, run, selected, summary

    chosen = routes.split(",") if routes else all_routes()
    if formats:
        wanted = set(formats.split(","))
        chosen = [route for route in chosen if wanted >= set(route.split(":"))]
    sources = {route.partition(":")[0] for route in chosen}
    names = selected(
        cases, tuple(ops.split(",")) if ops else (), None if everything else most, sorted(sources)
    )
    with executor(scheduler) as pool, progress_bar("cases") as progress:
        evidence = run(
            chosen,
            names,
            Path(folder),
            mode=mode,
            jobs=jobs,
            executor=pool,
            resume=resume,
            progress=progress,
        )
    publish(Path(folder))
    return 0, Printed(summary(evidence.results), counts(evidence.results))


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, moved by calling it with (done, total)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what)
        yield lambda done, total: bar.update(task, completed=done, total=total)


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
