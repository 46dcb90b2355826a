"""Import every TFLite file below DIR and compare the hub with LiteRT: `python benchmarks/tflite_import.py DIR`.

Each file runs in a process of its own, because LiteRT aborts on some. Integers agree within one quantum.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

SUFFIXES = (".tflite", ".bin", ".lite")


def main(folder: Path) -> int:
    found: Counter[str] = Counter()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in SUFFIXES):
        outcome, detail = measured(path)
        found[outcome] += 1
        if outcome != "agreed":
            print(f"{outcome:<8} {path.relative_to(folder)}  {detail}", flush=True)
    print(", ".join(f"{count} {outcome}" for outcome, count in sorted(found.items())))
    return 1 if found["wrong"] or found["failed"] else 0


def measured(path: Path) -> tuple[str, str]:
    command = [sys.executable, __file__, "--one", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    except subprocess.TimeoutExpired:
        return "failed", "timeout"
    lines = done.stdout.strip().splitlines()
    try:
        outcome, detail = json.loads(lines[-1])
        return outcome, detail
    except (IndexError, ValueError):
        return "crashed", f"LiteRT or ONNX Runtime ended the process with {done.returncode}"


def one(path: Path) -> tuple[str, str]:
    import bridge
    from bridge.errors import BridgeError
    from bridge.inputs import random_inputs

    try:
        model = bridge.load(path, source="tflite")
    except BridgeError as error:
        return "refused", " | ".join(str(error).splitlines()[:6])
    inputs = random_inputs(model)
    try:
        expected = bridge.run(path, inputs, source="tflite")
    except BridgeError as error:
        return "norun", f"LiteRT does not run it: {str(error)[:160]}"
    try:
        got = bridge.run(model, inputs)
    except BridgeError as error:
        return "failed", str(error)[:300]
    problems = list(differences(expected, got))
    return ("wrong", "; ".join(problems)) if problems else ("agreed", "")


def differences(expected: dict[str, Any], got: dict[str, Any]) -> Any:
    import numpy as np

    if list(expected) != list(got) and set(expected) != set(got):
        yield f"outputs {list(got)}, not {list(expected)}"
        return
    for name, a in expected.items():
        b = got[name]
        if a.shape != b.shape:
            yield f"{name}: shape {b.shape}, not {a.shape}"
        elif a.dtype.kind in "OSU":
            if a.astype(str).tolist() != b.astype(str).tolist():
                yield f"{name}: strings differ"
        elif a.dtype != b.dtype:
            yield f"{name}: dtype {b.dtype}, not {a.dtype}"
        elif a.dtype.kind in "iu" and a.dtype.itemsize < 4:
            worst = np.abs(a.astype(int) - b.astype(int)).max(initial=0)
            if worst > 1:
                yield f"{name}: {worst} quanta"
        elif not np.allclose(b, a, rtol=1e-3, atol=1e-4, equal_nan=True):
            yield f"{name}: {np.abs(a.astype(float) - b.astype(float)).max():.3g}"


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        print(json.dumps(one(Path(sys.argv[2]))))
    else:
        sys.exit(main(Path(sys.argv[1])))
