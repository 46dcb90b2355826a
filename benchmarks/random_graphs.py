"""Random graphs of everyday operators, converted and compared.

python benchmarks/random_graphs.py [--to tflite torchscript savedmodel coreml] [--count 200] [--seed 0]
[--nodes 8] [--back] [--keep DIR]

Graph k of a seed is always the same. Each is converted with verification to every format named; figures are
counts of outcomes, and what did not survive is printed with its seed and number (what went wrong is kept as
an ONNX file in DIR).
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import onnx

import bridge
from bridge.errors import BridgeError, UnsupportedModel, VerificationFailed
from bridge.testing.graphs import random_graph


def outcome(model: onnx.ModelProto, to: str, back: bool, folder: Path) -> tuple[str, str]:
    made = folder / f"model{SUFFIX[to]}"
    try:
        bridge.convert(model, made, to=to, verify=True, overwrite=True)
        if back:
            bridge.verify(made, bridge.load(made)).require(made)
    except UnsupportedModel as error:
        return "refused", str(error)
    except VerificationFailed as error:
        return "wrong", str(error)
    except BridgeError as error:
        return "failed", str(error)
    except Exception as error:
        return "failed", repr(error)
    return "survived", ""


SUFFIX = {
    "tflite": ".tflite",
    "torchscript": ".pt",
    "savedmodel": ".savedmodel",
    "coreml": ".mlpackage",
    "onnx": ".onnx",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--to", nargs="+", default=["tflite", "torchscript", "savedmodel", "coreml"], choices=SUFFIX
    )
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--back", action="store_true", help="read what is written again, and compare")
    given = parser.parse_args()
    counts: dict[str, Counter] = {to: Counter() for to in given.to}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(given.first, given.first + given.count):
            model = random_graph(given.seed, number, given.nodes)
            for to in given.to:
                found, reason = outcome(model, to, given.back, Path(folder))
                counts[to][found] += 1
                if found != "survived":
                    print(f"{given.seed}/{number} {to} {found}: {reason}\n", flush=True)
                if found in ("wrong", "failed") and given.keep:
                    given.keep.mkdir(parents=True, exist_ok=True)
                    onnx.save(model, given.keep / f"{given.seed}_{number}_{to}.onnx")
    for to, count in counts.items():
        print(f"{to:<12} " + ", ".join(f"{n} {what}" for what, n in count.most_common()))


if __name__ == "__main__":
    main()
