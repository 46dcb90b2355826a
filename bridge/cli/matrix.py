"""The command that measures conversion routes: `matrix`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bridge.cli.arguments import executor, jobs_option, scheduler_option
from bridge.cli.command import Printed, command, progress_bar
from bridge.cli.usage import Command


@click.command(cls=Command, example="matrix --routes onnx:tflite --ops Conv -o results")
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
    type=click.IntRange(1),
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
@jobs_option("Worker processes.")
@scheduler_option
@click.option("--resume", is_flag=True, help="Keep the results DIR holds, and run the rest.")
@click.option("--overwrite", is_flag=True, help="Replace the results DIR holds.")
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
    overwrite: bool,
    folder: str,
) -> Any:
    """Run cases through conversion routes and count what survives.

    DIR then holds results.jsonl, the evidence; format_matrix.md; and matrix.html.
    """
    from bridge.detect import by_name
    from bridge.errors import InvalidOption
    from bridge.matrix import all_routes, counts, publish, run, selected, summary
    from bridge.matrix.evidence import NAME
    from bridge.matrix.render import PAGES
    from bridge.matrix.runner import require_route
    from bridge.output import require_free

    places = [place for name in (NAME, *PAGES) if (place := Path(folder) / name).exists()]
    if not (resume and Path(folder, NAME) in places):
        for place in places:
            require_free(place, overwrite)
    chosen = routes.replace(" ", "").split(",") if routes else all_routes()
    if formats:
        wanted = {by_name(name).name for name in formats.split(",")}
        chosen = [route for route in chosen if wanted >= {name.split("?")[0] for name in route.split(":")}]
    sources = sorted({require_route(route)[0] for route in chosen})
    operators = tuple(ops.split(",")) if ops else ()
    names = selected(cases, operators, None if everything else most, sources)
    if not names or not chosen:
        raise InvalidOption(*_nothing(chosen, cases, operators, sources))
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


def _nothing(
    routes: list[str], cases: tuple[str, ...], operators: tuple[str, ...], sources: list[str]
) -> tuple[str, str]:
    """Why nothing is measured, and what may have been meant."""
    from bridge.errors import near_miss
    from bridge.matrix import all_cases

    if not routes:
        return "No route is between these formats alone.", "Name two, or a route: --routes onnx:tflite."
    known = all_cases(sources)
    if operators:
        names = {op for case in known.values() for op in case.ops}
        return f"No case is of {', '.join(operators)}.", near_miss(operators[0], names).strip()
    return f"No case is called like {', '.join(cases)}.", near_miss(cases[0], known).strip()
