"""Import every operator torch tests itself with: trace each sample, save, read, run the hub, compare.

    python benchmarks/torch_operators.py [NAME ...] [--samples 0] [--jsonl FILE] [--verbose]

Entries are those of torch.testing._internal.common_methods_invocations.op_db that take float32 on CPU and can
be traced (the package `expecttest` is needed). Random and uninitialized numbers are compared by shape and
dtype, complex ones as pairs of floats. An entry passed when all its samples did; it is wrong when one gave
other numbers.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from bridge_torchscript.cases import Sample, Untraceable, entries, samples

import bridge
from bridge.errors import BridgeError, UnsupportedModel
from bridge.matrix import Made
from bridge.runtime import Outputs
from bridge.verify import compare

SECONDS = 60
ELSEWHERE = "NaN or infinity elsewhere"


def measure(entry: Any, limit: int) -> tuple[str, str]:
    """Outcome and reason of one entry: passed, refused, wrong, failed, or untraced."""
    tried = 0
    for sample in samples(entry)[: limit or None]:
        with tempfile.TemporaryDirectory() as folder:
            try:
                made = Sample(entry, sample).write(Path(folder))
            except Untraceable as error:
                if str(error) == "sparse tensors":
                    return "refused", str(error)
                continue
            tried += 1
            outcome, reason = imported(made)
        if outcome != "passed":
            return outcome, f"sample {tried}: {reason}"
    return ("passed", f"{tried} samples") if tried else ("untraced", "")


def imported(made: Made) -> tuple[str, str]:
    """One traced sample: read, run in the hub, compared."""
    try:
        model = bridge.load(made.source, source="torchscript", **made.options)
        found = bridge.run(model, made.inputs)
    except UnsupportedModel as error:
        return "refused", "; ".join(f"{b.op} {b.reason}" for b in error.blockers) or str(error)
    except BridgeError as error:
        return "failed", f"{type(error).__name__}: {error}"
    wanted = Outputs(dict(zip(found, made.expected, strict=True)), "torch")
    checked = compare(wanted, found)
    if made.random and all(o.problem in ("", "differs", ELSEWHERE) for o in checked.outputs):
        return "passed", ""
    return ("passed", "") if checked.ok else ("wrong", str(checked))


@contextlib.contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise TimeoutError(f"over {seconds} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*")
    parser.add_argument("--samples", type=int, default=0, help="of each entry; 0 for all")
    parser.add_argument("--every", type=int, default=1, help="take each n-th entry")
    parser.add_argument("--jsonl", type=Path)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    chosen = entries()[:: options.every]
    if options.names:
        chosen = [
            e for e in chosen if e.name in options.names or f"{e.name}.{e.variant_test_name}" in options.names
        ]
    counts: Counter[str] = Counter()
    start = time.perf_counter()
    log = options.jsonl.open("w") if options.jsonl else None
    np.seterr(all="ignore")
    for entry in chosen:
        name = f"{entry.name}.{entry.variant_test_name}".rstrip(".")
        try:
            with time_limit(SECONDS):
                outcome, reason = measure(entry, options.samples)
        except Exception as error:
            outcome, reason = "failed", f"{type(error).__name__}: {error}"
        counts[outcome] += 1
        if log:
            log.write(json.dumps({"entry": name, "outcome": outcome, "reason": reason[:1000]}) + "\n")
            log.flush()
        if options.verbose and outcome != "passed":
            print(f"{outcome:9} {name:40} {reason[:300]}", flush=True)
    traced = sum(counts.values()) - counts["untraced"]
    share = 100 * counts["passed"] / max(traced, 1)
    rest = ", ".join(f"{counts[k]} {k}" for k in ("refused", "wrong", "failed", "untraced"))
    print(
        f"{counts['passed']} of {traced} entries passed ({share:.1f} %); {rest}; "
        f"{time.perf_counter() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
