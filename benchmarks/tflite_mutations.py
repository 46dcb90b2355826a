"""Mutated TFLite files give typed errors: `python benchmarks/tflite_mutations.py [DIR] [--count 20000]
[--seed 0]`.

Small files below DIR and the one-operator files of the tests are flipped, cut, spliced and given extreme
numbers, and read in forked children with bounded memory and time. Whatever is no BridgeError, a crash or a
hang is printed with what makes it again. No runtime ever sees a mutated file.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

LARGEST = 300_000
BATCH = 100
SECONDS = 20
MEMORY = 6 * 2**30
EXTREME = (0, 1, -1, 2, 7, 127, 255, 65535, 2**31 - 1, -(2**31), 2**20, 2**28)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        files = [*made(Path(folder)), *small(given.folder)]
        print(f"{len(files)} files, {given.count} mutations", flush=True)
        import bridge_tflite.importer  # noqa: F401

        for start in range(0, given.count, BATCH):
            numbers = range(start, min(start + BATCH, given.count))
            found += tried(files, numbers, given.seed, Path(folder))
    print(", ".join(f"{count} {what}" for what, count in sorted(found.items())))
    return 1 if set(found) - {"read", "refused"} else 0


def made(folder: Path) -> list[tuple[str, bytes]]:
    """The one-operator files of the tests."""
    from bridge_tflite.cases import CASES

    return [(name, case.file(folder / "case.tflite").read_bytes()) for name, case in CASES.items()]


def small(folder: Path | None) -> list[tuple[str, bytes]]:
    if folder is None:
        return []
    paths = (p for p in sorted(folder.rglob("*")) if p.suffix in (".tflite", ".bin", ".lite"))
    return [(p.name, p.read_bytes()) for p in paths if p.stat().st_size <= LARGEST]


def tried(files: list, numbers: range, seed: int, folder: Path) -> Counter[str]:
    """Outcomes of these mutations, all in one child; where it ends early, one by one from there."""
    found: Counter[str] = Counter()
    left = list(numbers)
    while left:
        done, ended = child(files, left, seed, folder)
        found.update(done)
        if ended:
            number = left[len(done)]
            print(f"{ended}: mutation {number} of {mutated(files, number, seed)[0]}", flush=True)
            found[ended] += 1
            done.append(ended)
        left = left[len(done) :]
    return found


def child(files: list, numbers: list[int], seed: int, folder: Path) -> tuple[list[str], str]:
    """Outcome of each mutation, and how the child ended if before the last."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reader)
        with open(writer, "w", buffering=1) as out:
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            for number in numbers:
                signal.alarm(SECONDS)
                print(outcome(files, number, seed, folder), file=out, flush=True)
        os._exit(0)
    os.close(writer)
    with open(reader) as lines:
        done = [line.strip() for line in lines]
    _, status = os.waitpid(pid, 0)
    if len(done) == len(numbers):
        return done, ""
    return done, "hang" if os.WTERMSIG(status) == signal.SIGALRM else f"signal {os.WTERMSIG(status)}"


def outcome(files: list, number: int, seed: int, folder: Path) -> str:
    import bridge
    from bridge.errors import BridgeError

    name, raw = mutated(files, number, seed)
    path = folder / f"mutated_{os.getpid()}.tflite"
    path.write_bytes(raw)
    start = time.perf_counter()
    try:
        bridge.load(path, source="tflite")
        return "read"
    except BridgeError:
        return "refused"
    except BaseException as error:
        print(f"{type(error).__name__}: mutation {number} of {name}: {error}", file=sys.stderr, flush=True)
        return type(error).__name__
    finally:
        path.unlink(missing_ok=True)
        if time.perf_counter() - start > SECONDS / 2:
            print(f"slow: mutation {number} of {name}", file=sys.stderr, flush=True)


def mutated(files: list, number: int, seed: int) -> tuple[str, bytes]:
    """The name of the file and its bytes after mutation `number`."""
    rng = np.random.default_rng((seed, number))
    name, whole = files[int(rng.integers(len(files)))]
    raw = bytearray(whole)
    for _ in range(int(rng.integers(1, 4))):
        change(raw, rng, files)
    return name, bytes(raw)


def change(raw: bytearray, rng: Any, files: list) -> None:
    """One flip, cut, splice or extreme number, anywhere."""
    kind, size = int(rng.integers(5)), len(raw)
    at = int(rng.integers(max(size, 1)))
    if kind == 0:
        for place in rng.integers(max(size, 1), size=int(rng.integers(1, 9))):
            if place < size:
                raw[int(place)] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del raw[at:]
    elif kind == 2:
        other = files[int(rng.integers(len(files)))][1]
        start, length = int(rng.integers(len(other))), int(rng.integers(1, 128))
        raw[at : at + length] = other[start : start + length]
    else:
        at -= at % 4
        raw[at : at + 4] = int(EXTREME[int(rng.integers(len(EXTREME)))] & 0xFFFFFFFF).to_bytes(4, "little")


if __name__ == "__main__":
    sys.exit(main())
