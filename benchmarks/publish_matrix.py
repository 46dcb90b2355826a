"""Publish a measured matrix: keep its evidence, and write what is rendered from it.

    bridge matrix --most 4 --mode both -o DIR
    python benchmarks/publish_matrix.py DIR

Writes docs/matrix/results.jsonl.gz, format_matrix.md, bridge/matrix/measured.json, and the table between the marks in README.md. Refuses evidence with a wrong number.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from bridge.matrix import evidence, measured, render

ROOT = Path(__file__).parents[1]
EVIDENCE = ROOT / "docs" / "matrix" / "results.jsonl.gz"
LARGEST = 5_000_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    found = evidence.read(parser.parse_args().folder / evidence.NAME)
    wrong = [r for r in found.results if r.outcome == "wrong"]
    if wrong:
        sys.exit("\n".join(["Wrong numbers are not published:", *(f"{r.route} {r.case}" for r in wrong)]))
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
        measured.FILE: json.dumps(measured.condensed(found.results), indent=0) + "\n",
        ROOT / "format_matrix.md": render.markdown(found, names),
        ROOT / "README.md": render.readme((ROOT / "README.md").read_text(), found, names),
    }


if __name__ == "__main__":
    main()
