"""Megabytes that bridge and what it requires take, and what each extra adds: python benchmarks/installed_size.py
[EXTRA …] [--packages]

Counted are the files of the packages installed here, with those that they require in turn; bytecode is not counted.
An extra whose packages are not installed is told so. `--packages` prints each package too.
"""

from __future__ import annotations

import argparse
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN = PROJECT["name"]
EXTRAS = ("tflite", "savedmodel", "torchscript", "coreml", "pmml", "sklearn")


def own_size() -> int:
    """Bytes of the packages of this repository."""
    files = (p for folder in ("bridge", "plugins") for p in (ROOT / folder).rglob("*"))
    return sum(p.stat().st_size for p in files if p.is_file() and p.suffix != ".pyc")


def sizes(requirements: list[str], found: dict[str, int]) -> dict[str, int]:
    """Bytes of the required packages and of theirs, beside those of `found`. Raises PackageNotFoundError."""
    for text in requirements:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        marker = requirement.marker
        if name == OWN or name in found or (marker is not None and not marker.evaluate({"extra": ""})):
            continue
        distribution = metadata.distribution(name)
        files = [Path(str(f.locate())) for f in distribution.files or () if not str(f).endswith(".pyc")]
        found[name] = sum(f.stat().st_size for f in files if f.exists())
        sizes(distribution.requires or [], found)
    return found


def shown(count: int) -> str:
    return f"{count / 1e6:8.1f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("extras", nargs="*", default=EXTRAS)
    parser.add_argument("--packages", action="store_true", help="each package too")
    given = parser.parse_args()
    base = sizes(PROJECT["dependencies"], {OWN: own_size()})
    print(f"{shown(sum(base.values()))}  base")
    for extra in ("", *given.extras):
        try:
            wanted = PROJECT["optional-dependencies"][extra] if extra else []
            more = {n: s for n, s in sizes(wanted, dict(base)).items() if n not in base} if extra else base
        except metadata.PackageNotFoundError as error:
            print(f"       not installed  {extra}: {error}")
            continue
        if extra:
            print(f"{shown(sum(more.values()))}  more with [{extra}]")
        for name, size in sorted(more.items(), key=lambda item: -item[1]) if given.packages else ():
            print(f"{shown(size)}      {name}")


if __name__ == "__main__":
    main()
