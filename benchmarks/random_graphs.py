"""Random graphs of everyday operators, converted and compared by two judges.

python benchmarks/random_graphs.py [--to onnx tflite torchscript savedmodel coreml] [--count 200] [--first 0]
[--seed 0] [--nodes 8] [--log FILE] [--keep DIR]

Graph k of a seed is always the same, and one that ONNX Runtime computes at two settings of its symbolic
lengths. It is read once, and converted with verification to every format named. Then a second judge, which
knows nothing of the first one's inputs and tolerance, runs the file in its own runtime on the inputs the graph
was made with: outputs may differ from ONNX Runtime's by a part in ten thousand of the largest element, and by
what ONNX Runtime itself differs from the same graph in double. (A Core ML file is only read back.)

Outcomes: survived; refused, with reasons; wrong, where both judges or the second say so; doubted, where
verification alone does; failed. `--log` keeps a line for each graph, and begins where it ends. A graph at which
a runtime ends the process is told and passed over.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
import onnx_ir as ir

import bridge
from bridge.errors import BridgeError, UnsupportedModel
from bridge.load import Reader
from bridge.report import Report
from bridge.route import route
from bridge.runtime import Session, open_session
from bridge.testing.graphs import Case, random_case
from bridge.verify import Proof, Verification

SUFFIX = {
    "onnx": ".onnx",
    "tflite": ".tflite",
    "torchscript": ".pt",
    "savedmodel": ".savedmodel",
    "coreml": ".mlpackage",
}
PART, NOISE = 1e-4, 4.0
"""The error allowed: a part of the largest element, and so many times the noise of the source."""


class Opened(list):
    """Sessions that a verification opens, its candidate last: files are opened once for both judges."""

    def __call__(self, model: ir.Model | Reader) -> Session:
        self.append(open_session(model))
        return self[-1]


def outcome(source: Path, hub: ir.Model, case: Case, to: str, made: Path) -> tuple[str, str]:
    """The name of what became of the graph in this format, and why."""
    opened = Opened()
    try:
        way = route(source, made, to=to)
        report = Report(way.reader.format.name, to)
        proof, model = Proof(way.writer, way.reader, hub), hub.clone()
        with way.writer.extended:
            way.writer.lower(model, report)
        report.require()
        way.writer.write(model, made, report)
        with mock.patch("bridge.verify.open_session", opened):
            verification = proof.of(made, model)
        doubt = "" if verification.ok else str(verification)
        problem = "" if to == "coreml" else disagreement(case, opened[-1])
    except UnsupportedModel as error:
        reasons = {f"{b.op}: {b.reason}" for b in error.blockers} or {str(error)}
        return "refused", "; ".join(sorted(reasons))
    except BridgeError as error:
        return "failed", str(error)
    except Exception as error:
        return "failed", repr(error)
    if problem:
        return "wrong", f"{problem}\n{doubt or 'verification says it agrees'}"
    if doubt:
        return "wrong" if to == "coreml" else "doubted", doubt
    return "survived", unvaried(hub, verification)


def unvaried(hub: ir.Model, verification: Verification) -> str:
    """Words for a verification that did not vary what varies; "" where it did."""
    symbolic = any(not isinstance(n, int) for v in hub.graph.inputs for n in v.shape or ())
    settings = {str(s) for s in verification.settings}
    return "verified at one setting" if symbolic and len(settings) < 2 else ""


def disagreement(case: Case, session: Session) -> str:
    """The first output of the file that is not what ONNX Runtime answers; "" where there is none."""
    for setting, inputs in enumerate(case.inputs):
        found = session.run(inputs)
        for name, expected in case.expected[setting].items():
            problem = differs(expected, case.exact[setting][name], np.asarray(found[name]))
            if problem:
                return f"setting {setting}, {name}: {problem}"
    return ""


def differs(expected: np.ndarray, exact: np.ndarray, found: np.ndarray) -> str:
    if (found.shape, found.dtype) != (expected.shape, expected.dtype):
        return f"{found.dtype}{list(found.shape)}, not {expected.dtype}{list(expected.shape)}"
    if expected.dtype.kind != "f":
        return "" if np.array_equal(expected, found) else "other numbers"
    x, y, z = (a.astype(np.float64) for a in (expected, found, exact))
    finite = np.isfinite(x)
    if not np.array_equal(np.where(finite, 0, x), np.where(np.isfinite(y), 0, y), equal_nan=True):
        return "NaN or infinity elsewhere"
    x, y, z = x[finite], y[finite], z[finite]
    largest, noise = abs(x).max(initial=0), abs(x - z).max(initial=0)
    allowed = max(PART, float(np.finfo(expected.dtype).eps)) * largest + NOISE * noise + 1e-7
    error = abs(x - y).max(initial=0)
    return f"off by {error:.3g} of {largest:.3g}, allowed {allowed:.3g}" if error > allowed else ""


def measured(given: argparse.Namespace, numbers: Iterator[int], folder: Path) -> Iterator[dict]:
    """A record for each graph."""
    commit = given.commit or git("describe", "--always", "--dirty")
    for number in numbers:
        case = random_case(given.seed, number, given.nodes)
        place = folder / str(number)
        place.mkdir()
        source = place / "source.onnx"
        onnx.save(case.model, source)
        outcomes: dict[str, tuple[str, str]] = {}
        try:
            hub = bridge.load(source)
        except BridgeError as error:
            outcomes = dict.fromkeys(given.to, ("failed", f"not read: {error}"))
        for to in given.to if not outcomes else ():
            outcomes[to] = outcome(source, hub, case, to, place / f"model{SUFFIX[to]}")
        for to, (found, reason) in outcomes.items():
            if found not in ("survived", "refused"):
                print(f"{given.seed}/{number} {to} {found}: {reason}\n", flush=True)
                if given.keep:
                    given.keep.mkdir(parents=True, exist_ok=True)
                    onnx.save(case.model, given.keep / f"{given.seed}_{number}_{to}.onnx")
        shutil.rmtree(place)
        ops = sorted({node.op_type for node in case.model.graph.node})
        symbolic = any(d.dim_param for v in case.model.graph.input for d in v.type.tensor_type.shape.dim)
        yield {"seed": given.seed, "number": number, "commit": commit, "outcomes": outcomes,
               "operators": ops, "symbolic": symbolic}  # fmt: skip


def git(*arguments: str) -> str:
    told = subprocess.run(["git", *arguments], capture_output=True, text=True, cwd=Path(__file__).parent)
    return told.stdout.strip()


def summary(records: list[dict]) -> str:
    """Counts by format, and of the reasons of refusals."""
    lines = [f"{len(records)} graphs, {sum(r['symbolic'] for r in records)} with symbolic lengths, "
             f"{len({o for r in records for o in r['operators']})} operators"]  # fmt: skip
    for to in dict.fromkeys(to for r in records for to in r["outcomes"]):
        outcomes = [r["outcomes"][to] for r in records if to in r["outcomes"]]
        counts = Counter(found for found, _ in outcomes)
        lines.append(f"{to:<12} " + ", ".join(f"{n} {what}" for what, n in counts.most_common()))
        reasons = Counter(reason for found, reason in outcomes if found == "refused")
        lines += [f"    {n:>4} {reason}" for reason, n in reasons.most_common(12)]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--to", nargs="+", default=list(SUFFIX), choices=SUFFIX)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument(
        "--log", type=Path, help="a line for each graph; those there already are not made again"
    )
    parser.add_argument("--keep", type=Path, help="keep graphs that are wrong, doubted or failed here")
    parser.add_argument("--commit", help="of the code, where it is no working copy")
    parser.add_argument("--here", action="store_true", help="in this process, which a runtime may end")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        log = given.log or folder / "log"
        if given.here:
            for record in measured(given, numbers(given, log), folder):
                written(record, log)
            return
        command = [sys.executable, *sys.argv, "--here", "--log", str(log)]
        while (code := subprocess.run(command).returncode) < 0:
            ended = {"seed": given.seed, "number": next(numbers(given, log)), "outcomes": {},
                     "ended": signal.Signals(-code).name, "operators": [], "symbolic": False}  # fmt: skip
            print(
                f"{given.seed}/{ended['number']}: a runtime ended the process, {ended['ended']}\n", flush=True
            )
            written(ended, log)
        print(summary(recorded(log)))
        sys.exit(code)


def recorded(log: Path) -> list[dict]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def written(record: dict, log: Path) -> None:
    with log.open("a") as file:
        file.write(json.dumps(record) + "\n")


def numbers(given: argparse.Namespace, log: Path) -> Iterator[int]:
    """Numbers of the graphs that the log does not have."""
    done = {r["number"] for r in recorded(log) if r["seed"] == given.seed}
    return (k for k in range(given.first, given.first + given.count) if k not in done)


if __name__ == "__main__":
    main()
