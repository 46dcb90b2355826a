"""Every TFLite file below DIR: read, run as a hub model and compared with LiteRT, then written back and
compared again.

    python benchmarks/tflite_import.py DIR [--jsonl FILE] [--only PART]

Outcomes: passed, refused (with the reason), wrong, crashed, norun (LiteRT itself does not run the file: the
file written back is then compared with the hub). An output agrees as `bridge.verify` says, quantized ones
within one quantum. Where it does not, LiteRT's own kernels (XNNPACK, optimized, reference) are compared with
one another: `spread` means that they differ among themselves by more than the hub from the nearest, or that
the file written back means the same as the source when nothing is optimized, so that only kernels differ.
Each file runs in a process of its own, because LiteRT aborts on some.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

SUFFIXES = (".tflite", ".bin", ".lite")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jsonl", type=Path)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    found: dict[str, Counter[str]] = {"read": Counter(), "written back": Counter()}
    others: Counter[str] = Counter()
    lines = []
    for path in sorted(p for p in given.folder.rglob("*") if p.is_file()):
        if path.suffix not in SUFFIXES:
            others[path.suffix] += 1
            continue
        if given.only not in str(path):
            continue
        results = measured(path)
        lines.append(json.dumps({"file": str(path.relative_to(given.folder)), **results}))
        for step, (outcome, detail) in results.items():
            found[step][outcome] += 1
            if outcome != "passed" or detail:
                print(f"{step:<12} {outcome:<8} {path.relative_to(given.folder)}  {detail}", flush=True)
    if given.jsonl:
        given.jsonl.write_text("\n".join(lines) + "\n")
    for step, counts in found.items():
        print(f"{step}: " + ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())))
    print("no TFLite files: " + ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items())))
    return 1 if any(counts["wrong"] + counts["crashed"] for counts in found.values()) else 0


def measured(path: Path) -> dict[str, tuple[str, str]]:
    command = [sys.executable, __file__, "--one", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
        return json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"read": ("crashed", "timeout")}
    except (IndexError, ValueError):
        reason = f"LiteRT or ONNX Runtime ended the process with {done.returncode} {done.stderr[-300:]}"
        return {"read": ("crashed", reason)}


def one(path: Path) -> dict[str, tuple[str, str]]:
    import bridge
    from bridge.comparison import quanta
    from bridge.errors import BridgeError
    from bridge.inputs import random_inputs

    try:
        model = bridge.load(path, source="tflite", **signature(path))
    except BridgeError as error:
        return {"read": ("refused", short(error))}
    inputs = random_inputs(model)
    stored = recorded(path)
    if stored:
        inputs = dict(zip(inputs, stored[0], strict=True))
        problem = differs(bridge.run(model, inputs), stored[1])
        if problem:
            return {"read": ("wrong", problem)}
    try:
        try:
            expected = bridge.run(path, inputs, source="tflite")
        except BridgeError:
            inputs = positive(inputs)
            expected = bridge.run(path, inputs, source="tflite")
    except BridgeError as error:
        read = ("norun", f"LiteRT does not run it: {short(error)}")
        try:
            expected = bridge.run(model, inputs)
        except BridgeError as other:
            read = ("norun", f"neither LiteRT nor ONNX Runtime runs it: {short(error)}; {short(other)}")
            return {"read": read, "written back": read}
        return {"read": read, "written back": written(path, inputs, expected, quanta(model))}
    try:
        read = judged(path, inputs, expected, bridge.run(model, inputs), quanta(model))
    except BridgeError as error:
        return {"read": ("wrong", short(error))}
    return {"read": read, "written back": written(path, inputs, expected, quanta(model))}


def recorded(path: Path) -> Any:
    """Inputs and outputs recorded beside the file (`.inp0`, `.out0` …, each behind one byte)."""
    import numpy as np
    from bridge_tflite.reader import DTYPES, read

    from bridge.errors import BridgeError

    if not path.with_suffix(".inp0").exists():
        return None
    try:
        graph = read(path).subgraphs[0]
    except BridgeError:
        return None

    def arrays(indices: list[int], stem: str) -> list[Any]:
        found = []
        for place, index in enumerate(indices):
            tensor, raw = graph.tensors[index], path.with_suffix(f".{stem}{place}").read_bytes()[1:]
            array = np.frombuffer(raw, DTYPES[tensor.type])
            found.append(array.reshape([d or 1 for d in tensor.dims] if stem == "inp" else -1))
        return found

    return arrays(graph.inputs, "inp"), arrays(graph.outputs, "out")


def differs(found: Any, wanted: list[Any]) -> str:
    """The first output that is not as recorded."""
    from bridge.runtime import Outputs
    from bridge.verify import compare

    flat = Outputs({name: value.ravel() for name, value in found.items()}, found.engine)
    result = compare(Outputs(dict(zip(found, wanted, strict=True)), "recorded"), flat)
    return "" if result.ok else f"not as recorded: {result}".replace("\n", " | ")


def positive(inputs: Any) -> Any:
    """The same with every small integer 1: lengths and counts of which LiteRT takes no zero."""
    import numpy as np

    return {
        n: np.ones_like(v) if v.dtype.kind == "i" and v.dtype.itemsize > 2 else v for n, v in inputs.items()
    }


def written(path: Path, inputs: Any, expected: Any, steps: Any) -> tuple[str, str]:
    """How the file written back compares with `expected`."""
    import bridge
    from bridge.errors import BridgeError

    with tempfile.TemporaryDirectory() as folder:
        back = Path(folder) / "back.tflite"
        try:
            bridge.convert(path, back, source="tflite", **signature(path))
        except BridgeError as error:
            return "refused", short(error)
        try:
            outcome, detail = judged(path, inputs, expected, bridge.run(back, inputs), steps)
        except BridgeError as error:
            return "wrong", short(error)
        if outcome == "wrong":
            outcome, detail = meant(path, back, inputs, steps, detail)
        added = transposes(back) - transposes(path)
        return outcome, "; ".join([detail] * bool(detail) + [f"{added} TRANSPOSE more"] * (added > 0))


def meant(path: Path, back: Path, inputs: Any, steps: Any, detail: str) -> tuple[str, str]:
    """Whether both files mean the same: their hub models agree when ONNX Runtime optimizes nothing. Then only
    kernels differ."""
    import onnx_ir as ir
    import onnxruntime as ort

    import bridge
    from bridge.passes.opset.down import for_runtime
    from bridge.runtime import Outputs
    from bridge.verify import compare

    settings = ort.SessionOptions()
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    found = []
    for file, options in ((path, signature(path)), (back, {})):
        model = bridge.load(file, source="tflite", **options)
        proto = ir.to_proto(for_runtime(model)).SerializeToString()
        session = ort.InferenceSession(proto, settings, providers=["CPUExecutionProvider"])
        names = [v.name for v in model.graph.outputs]
        found.append(Outputs(dict(zip(names, session.run(names, inputs), strict=True)), "ONNX Runtime"))
    same = compare(*found, steps=steps).ok
    return ("spread", f"{detail}; both files mean the same") if same else ("wrong", detail)


def transposes(path: Path) -> int:
    from bridge_tflite.reader import read

    return sum(o.name == "TRANSPOSE" for g in read(path).subgraphs for o in g.operators)


def signature(path: Path) -> dict[str, str]:
    """The first signature of a file that has several."""
    from bridge_tflite.reader import read

    from bridge.errors import BridgeError

    try:
        keys = [s.key for s in read(path).signatures]
    except BridgeError:
        return {}
    return {"signature": keys[0]} if len(keys) > 1 else {}


def judged(path: Path, inputs: Any, expected: Any, found: Any, steps: Any) -> tuple[str, str]:
    """The verdict; for what disagrees, how far LiteRT's own kernels are apart."""
    from bridge.verify import compare

    result = compare(expected, found, steps=steps)
    if result.ok:
        return "passed", ""
    others = [expected, *kernels(path, inputs)]
    apart = []
    for row in result.outputs:
        if not row.ok:
            if row.problem != "differs" or len(others) < 2:
                return "wrong", f"{row.name}: {row.problem} {row.max_abs:.3g}"
            near = min(distance(o[row.name], found[row.name]) for o in others)
            spread = max(distance(a[row.name], b[row.name]) for a in others for b in others)
            apart.append(f"{row.name}: {near:.3g} from the nearest kernel, which are {spread:.3g} apart")
            if near > spread:
                return "wrong", apart[-1]
    return "spread", "; ".join(apart)


def kernels(path: Path, inputs: Any) -> list[Any]:
    """Outputs of LiteRT's optimized and reference kernels, without XNNPACK."""
    from ai_edge_litert.interpreter import OpResolverType
    from bridge_tflite import runtime

    kinds = (OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES, OpResolverType.BUILTIN_REF)
    return [runtime.LiteRTSession(path, resolver=kind).run(inputs) for kind in kinds]


def distance(a: Any, b: Any) -> float:
    import numpy as np

    return float(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).max(initial=0))


def short(error: Any) -> str:
    return " | ".join(line.strip()[:140] for line in str(error).splitlines()[:6])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(one(Path(sys.argv[2]))))
    else:
        sys.exit(main())
