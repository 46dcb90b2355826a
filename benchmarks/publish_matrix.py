"""Publish a measured matrix: keep its evidence, and write what is rendered from it.

    bridge matrix -o DIR
    python benchmarks/publish_matrix.py DIR

Writes docs/matrix/results.jsonl.gz, format_matrix.md, bridge/matrix/measured.json, and the table between the
marks in README.md. Refuses evidence with a wrong number.

    python benchmarks/publish_matrix.py --slice

measures a case of every operator on every published route again, and fails where the published matrix claims
what is not so.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from bridge import measured
from bridge.matrix import evidence, render, run
from bridge.matrix.evidence import Result
from bridge.matrix.native import source_of

ROOT = Path(__file__).parents[1]
EVIDENCE = ROOT / "docs" / "matrix" / "results.jsonl.gz"
LARGEST = 5_000_000
NEVER = ("wrong", "crashed", "failed", "unrunnable")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--slice", action="store_true", help="measure a slice of the published matrix again")
    options = parser.parse_args()
    if options.slice:
        sys.exit(_told("The published matrix claims more", refuted(evidence.read(EVIDENCE).results)) or 0)
    if options.folder is None:
        parser.error("a folder, or --slice")
    publish(evidence.read(options.folder / evidence.NAME))


def publish(found: evidence.Evidence) -> None:
    """Keep the evidence and write the pages."""
    told = _told("This is not published", [r for r in found.results if r.outcome in NEVER])
    if told:
        sys.exit(told)
    EVIDENCE.parent.mkdir(exist_ok=True)
    evidence.write(EVIDENCE, found)
    if EVIDENCE.stat().st_size > LARGEST:
        sys.exit(f"{EVIDENCE} is over {LARGEST:,} bytes.")
    for path, text in pages().items():
        path.write_text(text)


def pages() -> dict[Path, str]:
    """Every file rendered from the evidence, and its text."""
    found = evidence.read(EVIDENCE)
    names = render.titles(found)
    return {
        measured.FILE: json.dumps(render.condensed(found.results), indent=0) + "\n",
        ROOT / "format_matrix.md": render.markdown(found, names),
        ROOT / "README.md": render.readme((ROOT / "README.md").read_text(), found, names),
    }


def refuted(published: list[Result], jobs: int = os.cpu_count() or 2) -> list[Result]:
    """Measured again, of every operator the first case published: what was claimed to survive and does not,
    and what must never be."""
    first: dict[tuple[str, str], str] = {}
    for result in published:
        for op in result.ops:
            first.setdefault((source_of(result.case), op), result.case)
    claimed = {r.key for r in published if r.survived}
    routes = list(dict.fromkeys(r.route for r in published))
    with tempfile.TemporaryDirectory() as folder:
        again = run(routes, list(dict.fromkeys(first.values())), Path(folder), jobs=jobs).results
    print(f"{len(again):,} conversions measured again")
    return [r for r in again if r.outcome in NEVER or (r.key in claimed and not r.survived)]


def _told(words: str, results: list[Result]) -> str:
    lines = [f"{r.route} {r.case}: {r.outcome}, {r.reason}" for r in results]
    return "\n".join([f"{words}:", *lines]) if lines else ""


if __name__ == "__main__":
    main()
