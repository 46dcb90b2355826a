"""`bridge optimize` beside onnxsim and onnxslim: `python benchmarks/optimize.py FILE… [--peers PYTHON] [--runs N]`.

Each ONNX file is optimized by all three; peers run by a Python that has them. A line a file: operators and bytes of the
source and of each result, and the latency of ours in ONNX Runtime by that of each, the median of pairs on one
thread, in seconds of the processor.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import onnx
import onnxruntime

import bridge
from bridge.errors import BridgeError
from bridge.inputs import random_inputs
from bridge.workbench.optimize import counted

PEERS = ("onnxsim", "onnxslim")


def by_peer(python: str, peer: str, source: Path, folder: Path) -> Path | None:
    made = folder / f"{peer}.onnx"
    done = subprocess.run([python, "-m", peer, str(source), str(made)], capture_output=True)
    return made if done.returncode == 0 and made.exists() else None


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return onnxruntime.InferenceSession(path, options)


def slower(ours: Path, other: Path, inputs: dict, runs: int) -> float:
    """Latency of ours by that of the other."""
    sessions = [session(path) for path in (ours, other)]
    ratios = []
    for turn in range(runs + 2):
        times = []
        for one in sessions[:: 1 if turn % 2 else -1]:
            start = time.process_time()
            one.run(None, inputs)
            times.append(time.process_time() - start)
        first, second = times if turn % 2 else times[::-1]
        ratios.append(first / second)
    return statistics.median(ratios[2:])


def told(source: Path, python: str, runs: int, folder: Path) -> str:
    ours = bridge.optimize(source, folder / "ours.onnx", overwrite=True)
    parts = [f"{sum(ours.before.values()):>5} {sum(ours.after.values()):>5}"]
    inputs = random_inputs(bridge.load(source))
    for peer in PEERS:
        other = by_peer(python, peer, source, folder)
        if other is None:
            parts.append(f"{peer}: fails")
            continue
        count, size = sum(counted(onnx.load(other)).values()), other.stat().st_size
        try:
            ratio = f"{slower(ours.path, other, inputs, runs):.2f}"
        except Exception as error:
            ratio = type(error).__name__
        parts.append(
            f"{peer}: {count:>5} operators, {ours.sizes[1] / size:.2f} of its bytes, {ratio} of its latency"
        )
    return f"{source.stem:<32} {'; '.join(parts)}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--runs", type=int, default=25)
    given = parser.parse_args()
    for source in given.files:
        with tempfile.TemporaryDirectory() as text:
            try:
                print(told(source, given.peers, given.runs, Path(text)), flush=True)
            except BridgeError as error:
                print(f"{source.stem:<32} {type(error).__name__}: {str(error).splitlines()[0]}", flush=True)


if __name__ == "__main__":
    main()
