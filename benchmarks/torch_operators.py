"""Import every operator torch tests itself with: trace each sample, save, read, run the hub, compare.

    python benchmarks/torch_operators.py [NAME ...] [--samples 0] [--jsonl FILE] [--verbose]

Entries are those of torch.testing._internal.common_methods_invocations.op_db that take float32 on CPU and can be traced
(the package `expecttest` is needed). Random and uninitialized numbers are compared by shape and dtype, complex ones as pairs
of floats. An entry passed when all its samples did; it is wrong when one gave other numbers.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

import bridge
from bridge.errors import BridgeError, ExecutionFailed, InvalidOption, UnsupportedModel
from bridge.runtime import Outputs
from bridge.verify import compare

SECONDS = 60
DRAWS = 6
UNDEFINED = (
    "empty",
    "empty_like",
    "empty_permuted",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
)


class Sample(torch.nn.Module):
    """One call of an operator; the tensors among its arguments are the inputs."""

    def __init__(self, function: Any, arguments: list[Any], keywords: dict[str, Any]) -> None:
        super().__init__()
        self.function, self.arguments, self.keywords = function, arguments, keywords

    def forward(self, *tensors: torch.Tensor) -> Any:
        queue = iter(tensors)
        return self.function(
            *[_filled(a, queue) for a in self.arguments],
            **{k: _filled(v, queue) for k, v in self.keywords.items()},
        )


def _filled(value: Any, queue: Iterator[torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return next(queue)
    if isinstance(value, (list, tuple)) and any(isinstance(v, torch.Tensor) for v in value):
        return type(value)(_filled(v, queue) for v in value)
    return value


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value.detach()
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


def measure(info: Any, limit: int) -> tuple[str, str]:
    """Outcome and reason of one entry: passed, refused, wrong, failed, or untraced."""
    tried = 0
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        samples = list(info.sample_inputs("cpu", torch.float32, requires_grad=False))
    for sample in samples[: limit or None]:
        arguments = [sample.input, *sample.args]
        tensors = [t for value in (*arguments, *sample.kwargs.values()) for t in _tensors(value)]
        function = info.op
        try:
            module = Sample(function, arguments, sample.kwargs).eval()
            torch.manual_seed(0)
            expected = module(*(t.clone() for t in tensors))
            random = is_random(module, tensors)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                traced = torch.jit.trace(
                    module, tuple(t.clone() for t in tensors), check_trace=False, strict=False
                )
        except Exception:
            continue
        if any(t.layout != torch.strided for t in [*tensors, *_tensors(expected)]):
            return "refused", "sparse tensors"
        tried += 1
        outcome, reason = imported(traced, tensors, expected, random or info.name in UNDEFINED)
        if outcome != "passed":
            return outcome, f"sample {tried}: {reason}"
    return ("passed", f"{tried} samples") if tried else ("untraced", "")


def is_random(module: Any, tensors: list[torch.Tensor]) -> bool:
    """Whether calls differ, once nothing sets the seed."""
    results = []
    with mock.patch("torch.manual_seed"):
        for _ in range(DRAWS):
            torch.rand(1)
            results.append(list(_tensors(module(*(t.clone() for t in tensors)))))
    return any(
        not torch.equal(a.nan_to_num(), b.nan_to_num())
        for later in results[1:]
        for a, b in zip(results[0], later, strict=True)
    )


def imported(traced: Any, tensors: list[torch.Tensor], expected: Any, shapes_only: bool) -> tuple[str, str]:
    """One traced sample: saved, read, run in the hub, compared."""
    from bridge_torchscript.interface import leaves
    from bridge_torchscript.runtime import to_numpy

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.pt"
        torch.jit.save(traced, path)
        names = [a.name for a in torch.jit.load(path)._c._get_method("forward").schema.arguments][1:]
        if len(names) == 1 and len(tensors) != 1:
            names = [f"{names[0]}.{i}" for i in range(len(tensors))]
        arrays = {n: to_numpy(t.clone(), None) for n, t in zip(names, tensors, strict=True)}
        wanted = {
            n: to_numpy(v, None) for n, v in leaves(expected, (list, tuple)) if isinstance(v, torch.Tensor)
        }
        try:
            model = bridge.load(path, source="torchscript", inputs=arrays)
            found = bridge.run(model, arrays)
        except UnsupportedModel as error:
            return "refused", "; ".join(f"{b.op} {b.reason}" for b in error.blockers) or str(error)
        except (InvalidOption, ExecutionFailed) as error:
            return "failed", f"{type(error).__name__}: {error}"
        except BridgeError as error:
            return "failed", f"{type(error).__name__}: {error}"
    if shapes_only:
        wanted, found = ({n: np.zeros_like(v) for n, v in r.items()} for r in (wanted, found))
        found = Outputs(found, "hub")
    checked = compare(Outputs(wanted, "torch"), found)
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
    from torch.testing._internal.common_methods_invocations import op_db

    entries = [e for e in op_db if torch.float32 in e.supported_dtypes("cpu")][:: options.every]
    if options.names:
        entries = [
            e
            for e in entries
            if e.name in options.names or f"{e.name}.{e.variant_test_name}" in options.names
        ]
    counts: Counter[str] = Counter()
    start = time.perf_counter()
    log = options.jsonl.open("w") if options.jsonl else None
    np.seterr(all="ignore")
    for entry in entries:
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
        f"{counts['passed']} of {traced} entries passed ({share:.1f} %); {rest}; {time.perf_counter() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
