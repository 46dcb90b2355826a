"""Whole conversions beside what else converts them: `python benchmarks/all.py SOURCE… --peers PYTHON [--to F,…]
[--pairs 3] [--latency] [--out FILE] [--page FILE] [--readme]`.

Each source (those of `models.py DIR` and `keras_applications.py --write DIR`) goes to every format by `bridge convert`
and by each peer that reads the one and writes the other, in processes of their own that take turns; PYTHON is one whose
packages are the peers. A pair's processor time (user and system), time by the clock, peak memory and bytes written are
lines of FILE, which a second run with the same file does not measure again; what is printed, published in README.md
and drawn on a page are medians, and medians of the pairs' ratios. With --latency the files run in the format's own
runtime in turns, too (`bridge bench`).
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import bridge
from bridge.detect import of_source
from bridge.page import Bars, Content, Section, page
from bridge.page.content import section
from bridge.summary import size_on_disk

HERE = Path(__file__).parent
SUFFIXES = {
    "onnx": "onnx",
    "tflite": "tflite",
    "torchscript": "pt",
    "coreml": "mlpackage",
    "savedmodel": "tf",
}
OURS = "{here} -m bridge convert {src} {dst} --to {to} {inputs}"
OWN = "{python} {folder}/peers.py {name} {src} {dst} {given}"
PEERS = {
    ("onnx", "onnx"): {
        "onnxsim": "{python} -m onnxsim {src} {dst}",
        "onnxslim": "{python} -m onnxslim {src} {dst}",
    },
    ("onnx", "tflite"): {"onnx2tf": "{python} -m onnx2tf -i {src} -o {dir} -v error"},
    ("onnx", "savedmodel"): {"onnx2tf": "{python} -m onnx2tf -i {src} -o {dst} -osd -v error"},
    ("onnx", "coreml"): {"onnx2coreml": "{bin}/onnx2coreml convert {src} -o {dst} --precision fp32"},
    ("onnx", "torchscript"): {"onnx2torch": OWN},
    ("savedmodel", "onnx"): {"tf2onnx": "{python} -m tf2onnx.convert --saved-model {src} --output {dst}"},
    ("savedmodel", "tflite"): {"tflite": OWN},
    ("savedmodel", "coreml"): {"coremltools": OWN},
    ("tflite", "onnx"): {"tf2onnx": "{python} -m tf2onnx.convert --tflite {src} --output {dst}"},
    ("torchscript", "onnx"): {"torch_onnx": OWN},
    ("torchscript", "coreml"): {"coremltools": OWN},
}
"""Commands of what else converts a format to another: {python} is that of the peers, {bin} its folder, {src} a source,
{dst} a result, {dir} the folder it is in, {given} what inputs are described by."""
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {
    "OMP_NUM_THREADS": "1"
}
MARK = "<!-- conversions -->"


@dataclass(frozen=True)
class Run:
    """One process: seconds of processors and by the clock, MB of peak memory, bytes it wrote, or None where it
    wrote nothing; `latency` in seconds where it was measured."""

    model: str
    source: str
    target: str
    tool: str
    pair: int
    cpu: float
    wall: float
    peak: float
    size: int | None
    latency: float | None = None

    @property
    def route(self) -> tuple[str, str, str]:
        return self.model, self.source, self.target


def process(words: Sequence[str]) -> tuple[float, float, float, bool]:
    """Seconds of processors, seconds by the clock, peak memory in MB, and success, of a process."""
    start = time.perf_counter()
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    return usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024, child.returncode == 0


def inputs_of(src: Path) -> list[str]:
    """What the inputs of a source that does not describe them are, from the file beside it."""
    file = src.with_suffix(".inputs")
    return file.read_text().split() if file.is_file() else []


@dataclass(frozen=True)
class Conversions:
    """What is compared: `python` runs the peers, each route `pairs` times."""

    python: Path | None
    pairs: int
    latency: bool

    def tools(self, source: str, target: str) -> dict[str, str]:
        return {"bridge": OURS} | (PEERS.get((source, target), {}) if self.python else {})

    def measure(self, src: Path, source: str, target: str) -> Iterator[Run]:
        """Each tool by turns, as many times as there are pairs."""
        tools = self.tools(source, target)
        for pair in range(self.pairs):
            with tempfile.TemporaryDirectory() as folder:
                runs = [self.run(src, source, target, name, pair, Path(folder)) for name in tools]
                files = {r.tool: file for r in runs if (file := written(Path(folder, r.tool), target))}
                speed = self.latencies(files, src) if self.latency and len(files) > 1 else {}
                for run in runs:
                    yield replace(run, latency=speed.get(run.tool))

    def run(self, src: Path, source: str, target: str, name: str, pair: int, folder: Path) -> Run:
        own = folder / name
        own.mkdir()
        inputs = inputs_of(src)
        words = self.tools(source, target)[name].format(
            here=sys.executable,
            python=self.python,
            bin=self.python.parent if self.python else "",
            folder=HERE,
            name=name,
            src=src,
            dst=own / f"model.{SUFFIXES[target]}",
            dir=own,
            to=target,
            inputs=" ".join(f"-i '{each}'" for each in inputs if source == "torchscript"),
            given=" ".join(f"'{each}'" for each in inputs),
        )
        cpu, wall, peak, done = process(shlex.split(words))
        file = written(own, target) if done else None
        return Run(
            src.stem, source, target, name, pair, cpu, wall, peak, size_on_disk(file) if file else None
        )

    def latencies(self, files: dict[str, Path], src: Path) -> dict[str, float]:
        """Median seconds of a run of each file."""
        rows = bridge.bench(list(files.values()), seconds=4, batches=[1]).rows
        return {name: row.latency.p50 for name, row in zip(files, rows, strict=True) if row.latency}


def written(folder: Path, target: str) -> Path | None:
    """What a tool wrote into a folder; onnx2tf writes in half precision beside it."""
    if target == "savedmodel":
        return next((p.parent for p in folder.rglob("saved_model.pb")), None)
    found = [p for p in folder.rglob(f"*.{SUFFIXES[target]}") if "float16" not in p.name]
    return found[0] if found else None


def ratio(runs: Sequence[Run], peer: str, what: str) -> float | None:
    """The median of ours by a peer's, in pairs."""
    sides: dict[int, dict[str, float | None]] = defaultdict(dict)
    for run in runs:
        sides[run.pair][run.tool] = getattr(run, what)
    ratios = [
        ours / theirs for each in sides.values() if (ours := each["bridge"]) and (theirs := each.get(peer))
    ]
    return statistics.median(ratios) if ratios else None


def middle(runs: Sequence[Run], tool: str, what: str) -> float | None:
    values = [v for r in runs if r.tool == tool and (v := getattr(r, what)) is not None]
    return statistics.median(values) if values else None


def routes(runs: Sequence[Run]) -> dict[tuple[str, str, str], list[Run]]:
    by: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    for run in runs:
        by[run.route].append(run)
    return by


def show(value: float | None, form: str = ".2f") -> str:
    return "—" if value is None else format(value, form)


def lines(runs: Sequence[Run]) -> Iterator[tuple[str, ...]]:
    """A row a route and peer: what it takes here, and ratios of processor time, memory, bytes and latency."""
    for (model, source, target), own in routes(runs).items():
        here = [show(middle(own, "bridge", "cpu")) + " s", show(middle(own, "bridge", "peak"), ".0f") + " MB"]
        for peer in dict.fromkeys(r.tool for r in own if r.tool != "bridge"):
            failed = all(r.size is None for r in own if r.tool == peer)
            ratios = [
                show(None if failed else ratio(own, peer, w)) for w in ("cpu", "peak", "size", "latency")
            ]
            yield (model, f"{source} → {target}", *here, peer + " (writes nothing)" * failed, *ratios)


TITLES = ("model", "route", "processor", "memory", "peer", "/ processor", "/ memory", "/ bytes", "/ latency")


def table(runs: Sequence[Run]) -> str:
    rows = [TITLES, tuple("---" for _ in TITLES), *lines(runs)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def publish(runs: Sequence[Run]) -> None:
    """Write the table between its marks in README.md."""
    readme = HERE / "README.md"
    before, _, rest = readme.read_text().partition(MARK)
    _, _, after = rest.partition(MARK)
    readme.write_text(f"{before}{MARK}\n\n{table(runs)}\n\n{MARK}{after}")


def content(runs: Sequence[Run]) -> Content:
    """Bars of processor time and memory, a section a route."""
    parts: list[Section] = []
    for (model, source, target), own in routes(runs).items():
        bars = []
        for what, form, unit in (("cpu", ".2f", "s"), ("peak", ".0f", "MB")):
            found = {tool: middle(own, tool, what) or 0.0 for tool in dict.fromkeys(r.tool for r in own)}
            bars.append(Bars(tuple((tool, n, f"{n:{form}} {unit}") for tool, n in found.items())))
        parts += section(f"{model}: {source} → {target}", *bars)
    return Content("Conversions", "Medians of processor time and of peak memory.", True, tuple(parts))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", nargs="*", type=Path)
    parser.add_argument("--to", default=",".join(SUFFIXES))
    parser.add_argument("--peers", type=Path, help="a Python whose packages are the peers")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--latency", action="store_true")
    parser.add_argument("--out", type=Path, help="a file of lines of JSON, read first and added to")
    parser.add_argument("--page", type=Path)
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    asked = parser.parse_args()
    held = asked.out.read_text().splitlines() if asked.out and asked.out.is_file() else []
    runs = [Run(**json.loads(line)) for line in held]
    task = Conversions(asked.peers, asked.pairs, asked.latency)
    for src in asked.sources:
        source = of_source(src).name
        for target in asked.to.split(","):
            if any(run.route == (src.stem, source, target) for run in runs):
                continue
            made = list(task.measure(src, source, target))
            runs += made
            if asked.out:
                with asked.out.open("a") as file:
                    file.writelines(json.dumps(asdict(run)) + "\n" for run in made)
            for line in lines(made):
                print(" | ".join(line), flush=True)
    if asked.readme:
        publish(runs)
    if asked.page:
        asked.page.write_text(page(content(runs)))


if __name__ == "__main__":
    main()
