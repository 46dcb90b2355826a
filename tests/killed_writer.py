"""Write a file over another again and again, and kill the writer at random moments.

`python killed_writer.py FORMAT SUFFIX FOLDER TIMES` prints how often the destination was the old, the new, or
broken, what was left beside it, and how long a writer takes.
"""

import hashlib
import importlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
from build import hub_from_text

import bridge
from bridge.detect import by_name


def digest(path: Path) -> str:
    """Digest of a file, or of the files of a folder and their names."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return str([(str(p), hashlib.sha256(p.read_bytes()).hexdigest()) for p in files])


def in_child(function: Callable[..., object], *arguments: object) -> int:
    """The process that calls a function; it ends with 0 if that raises nothing."""
    pid = os.fork()
    if not pid:
        try:
            function(*arguments)
            os._exit(0)
        finally:
            os._exit(1)
    return pid


def write(model: ir.Model, path: Path, to: str) -> None:
    bridge.save(model, path, to=to, overwrite=True)


def is_whole(path: Path, to: str) -> bool:
    """True if the file can be read."""
    return os.waitpid(in_child(lambda: bridge.load(path, source=to)), 0)[1] == 0


def main(to: str, suffix: str, folder: Path, times: int) -> None:
    weights = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    text = "(float[1,64] x) => (float[1,64] y) { y = MatMul (x, w) }"
    models = [hub_from_text(text, w=weights), hub_from_text(text, w=-weights)]
    exporter = by_name(to).part("exporter")
    assert exporter is not None
    for module in (*exporter.requires, exporter.where.partition(":")[0]):
        importlib.import_module("torch" if to == "torchscript" else module)
    path = folder / f"m{suffix}"
    begun = time.monotonic()
    os.waitpid(in_child(write, models[0], path, to), 0)
    lasts = time.monotonic() - begun
    rng, seen = random.Random(0), Counter()
    for _ in range(times):
        before = digest(path)
        pid = in_child(write, models[(seen["new"] + 1) % 2], path, to)
        time.sleep(rng.uniform(0, 1.3 * lasts))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        seen["old" if digest(path) == before else "new" if is_whole(path, to) else "broken"] += 1
    os.waitpid(in_child(write, models[0], path, to), 0)
    left = sorted(p.name for p in folder.iterdir() if p != path)
    print(json.dumps({"seen": seen, "left": left, "seconds": lasts}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
