"""Package MODELs for every kind, and run the smoke test of each.

    python benchmarks/package.py MODEL [MODEL ...] [--for NAME,...] [--keep FOLDER]

A line a package: the bytes, the largest difference that verification saw, what the smoke test said and how long both took in seconds of
processor time. ort-web needs npm and Chromium. What is neither packed nor refused as unsupported, or fails its test, makes the exit
status 1.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import bridge
from bridge.errors import BridgeError, MissingDependency, UnsupportedModel
from bridge.package.kinds import kinds
from bridge.package.ort_web import WEB

NOT_HERE = 77


def spent() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in used)


def tried(model: str, kind: str, folder: Path) -> tuple[str, bool]:
    """A line on a package, and whether it is as it should be."""
    started = spent()
    try:
        package = bridge.package(model, folder, kind=kind)
    except (UnsupportedModel, MissingDependency) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}", True
    except BridgeError as error:
        return f"FAILED: {type(error).__name__}: {str(error).splitlines()[0]}", False
    packed = spent() - started
    if kind == "ort-web":
        words = ["npm", "install", "--silent", "--no-save", f"onnxruntime-web@{WEB}"]
        subprocess.run(words, cwd=folder, capture_output=True)
    done = subprocess.run([sys.executable, str(folder / "smoke_test.py")], capture_output=True, text=True)
    files = (folder / name for name in package.sums)
    size = sum(file.stat().st_size for file in files)
    worst = max(row.max_abs for row in package.conversion.verification.outputs)
    told = [line.strip() for line in done.stdout.splitlines() if "largest difference" in line]
    last = (done.stdout.splitlines() or [done.stderr[-200:]])[-1]
    cost = f"{packed:.1f} s, {spent() - started - packed:.1f} s"
    shown = f"{size:>12,} bytes  verified {worst:.1e}  {last}; {'; '.join(told[:1])}  ({cost})"
    return shown, done.returncode in (0, NOT_HERE)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+")
    parser.add_argument("--for", dest="kinds", default=",".join(kind.name for kind in kinds()))
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    good = True
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
    for model in given.models:
        for kind in given.kinds.split(","):
            with tempfile.TemporaryDirectory() as text:
                folder = (given.keep or Path(text)) / f"{Path(model).stem}-{kind}"
                line, right = tried(model, kind, folder)
                good &= right
                print(f"{Path(model).name:<26} {kind:<11} {line}", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
