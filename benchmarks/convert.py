"""Processor time of whole conversion processes to TFLite, TorchScript, Core ML or ONNX, their peak memory, and
the latency of the files, against a peer.

    python benchmarks/convert.py MODEL.onnx ... [--to tflite] [-O layout=native] [--peer "onnx2tf -i {src} -o {dir}"] [--pairs 5]
    python benchmarks/convert.py MODEL.onnx ... --to torchscript
        --peer "PEER_PYTHON benchmarks/onnx2torch_peer.py {src} {dir}/model.pt"

Runs alternate between bridge and the peer, and so do the invocations of their files in one process; figures
are medians, ratios are medians of the pairs' ratios.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

OURS = "{{python}} -m bridge convert {{src}} {{dir}}/model.{suffix} --to {to} --overwrite {options}"
# Both sides keep their bytecode, as an installed tool does, whatever this shell says of it.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
SUFFIXES = {"tflite": "tflite", "torchscript": "pt", "coreml": "mlpackage", "onnx": "onnx"}


@dataclass(frozen=True)
class Run:
    """One process: seconds of a processor, peak resident memory in MB, and the file it wrote, if any."""

    seconds: float
    peak_mb: float
    file: Path | None


def convert(command: str, src: Path, folder: Path) -> Run:
    words = shlex.split(command.format(python=sys.executable, src=src, dir=folder))
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = usage.ru_utime + usage.ru_stime
    found = [file for suffix in SUFFIXES.values() for file in folder.rglob(f"*.{suffix}")]
    files = sorted(found, key=lambda p: ("float16" in p.name, p.name))
    return Run(seconds, usage.ru_maxrss / 1024, files[0] if files and not process.returncode else None)


def latencies(files: list[Path | None]) -> list[float | None]:
    """Latencies from a process of their own: peak memory of a child counts what its parent held when it
    forked."""
    found: list[float | None] = []
    for file in files:
        done = subprocess.run(
            [sys.executable, __file__, "--latency", str(file)], capture_output=True, text=True
        )
        found.append(float(done.stdout) if file and done.returncode == 0 else None)
    if None in found or len(found) < 2:
        return found
    words = [sys.executable, __file__, "--latency", *map(str, files)]
    return [float(ms) for ms in subprocess.run(words, capture_output=True, text=True).stdout.split()]


def print_latencies(files: list[Path], repeats: int = 30) -> None:
    """Median latency of each file in LiteRT or torch.jit on two threads, in milliseconds; the files take
    turns."""
    calls = [in_torch(file) if file.suffix == ".pt" else in_litert(file) for file in files]
    times: list[list[float]] = [[] for _ in files]
    for turn in range(repeats + 3):
        for index in range(len(files)) if turn % 2 else reversed(range(len(files))):
            start = time.perf_counter()
            calls[index]()
            times[index].append((time.perf_counter() - start) * 1000)
    print(*(statistics.median(each[3:]) for each in times))


def in_torch(file: Path) -> Callable[[], object]:
    """A call of a TorchScript file on zeros, of the shapes its ONNX source next to it says."""
    import onnx
    import torch

    torch.set_num_threads(2)
    module = torch.jit.load(str(file)).eval()
    graph = onnx.load(file.with_name("source.onnx"), load_external_data=False).graph
    held = {v.name for v in graph.initializer}
    kinds = [v.type.tensor_type for v in graph.input if v.name not in held]
    inputs = [
        torch.zeros(
            [d.dim_value or 1 for d in k.shape.dim],
            dtype=torch.int64 if k.elem_type == onnx.TensorProto.INT64 else torch.float32,
        )
        for k in kinds
    ]

    def invoke() -> object:
        with torch.no_grad():
            return module(*inputs)

    return invoke


def in_litert(file: Path) -> Callable[[], object]:
    """An invocation of a TFLite file on zeros."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file), num_threads=2)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
    return interpreter.invoke


def measure(commands: list[str], src: Path) -> list[tuple[Run, float | None]]:
    """One run of each command, and the latencies of what they wrote."""
    with tempfile.TemporaryDirectory() as folder:
        runs = []
        for number, command in enumerate(commands):
            own = Path(folder, str(number))
            own.mkdir()
            runs.append(convert(command, src, own))
            Path(own, "source.onnx").symlink_to(src.resolve())
        files = [run.file if run.file and run.file.is_file() else None for run in runs]
        return list(zip(runs, latencies(files), strict=True))


def median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


def show(value: float | None, unit: str = "") -> str:
    return "—" if value is None else f"{value:.2f}{unit}"


def compare(src: Path, to: str, peer: str | None, pairs: int, options: list[str]) -> None:
    ours = OURS.format(to=to, suffix=SUFFIXES[to], options=" ".join(f"-O {o}" for o in options))
    rounds = [measure([ours, peer] if peer else [ours], src) for _ in range(pairs)]
    names = ["bridge", Path(shlex.split(peer)[0]).name] if peer else ["bridge"]
    sides = [(name, [pair[n] for pair in rounds]) for n, name in enumerate(names)]
    for name, runs in sides:
        print(
            f"{src.stem:<20} {name:<10} {show(median([r.seconds for r, _ in runs]), ' s'):>9}"
            f" {show(median([r.peak_mb for r, _ in runs]), ' MB'):>12}"
            f" latency {show(median([ms for _, ms in runs if ms is not None]), ' ms'):>11}"
            + ("" if all(r.file for r, _ in runs) else "  no file"),
            flush=True,
        )
    if peer:
        time_ratio = median([ours.seconds / theirs.seconds for (ours, _), (theirs, _) in rounds])
        ratios = [ours / theirs for (_, ours), (_, theirs) in rounds if ours and theirs]
        print(f"{'':<20} {'ratio':<10} time {show(time_ratio)}, latency {show(median(ratios))}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--to", choices=list(SUFFIXES), default="tflite")
    parser.add_argument(
        "--latency", type=Path, nargs="+", help="print the latency of files that take turns, and stop"
    )
    parser.add_argument("--peer", help="command of the peer, with {src} and {dir}")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument(
        "-O", dest="options", action="append", default=[], help="an option of bridge's target"
    )
    options = parser.parse_args()
    if options.latency:
        print_latencies(options.latency)
    for src in options.models:
        compare(src, options.to, options.peer, options.pairs, options.options)


if __name__ == "__main__":
    main()
