"""Convert a large model, and print the processor time and the peak memory of the process beside those of a copy of
the same bytes.

    python benchmarks/large.py DIR [--gigabytes 2.5] [--to onnx] [--dtype float16] [--inside | --hollow] [--verify]

DIR needs four times the room. The model is a chain of matrix products with seeded weights in external data, or
inside the file, below 2 GB; or with an element each in a file of holes, which takes no room, and no copy is made of it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

SIDE = 4096
CONVERT = """
import sys, bridge
bridge.convert(sys.argv[1], sys.argv[2], to=sys.argv[3], overwrite=True, verify=len(sys.argv) > 4)
"""
COPY = """
import sys
with open(sys.argv[1], "rb", buffering=0) as source, open(sys.argv[2], "wb") as target:
    block = memoryview(bytearray(2**18))
    while count := source.readinto(block):
        target.write(block[:count])
"""
MAKE = """
import sys
sys.path.insert(0, sys.argv[1])
from large import Path, make
make(Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4], sys.argv[5])
"""


def make(path: Path, gigabytes: float, where: str, dtype: str) -> None:
    """A chain of SIDE × SIDE products, `gigabytes` of weights beside the model, inside it, or hollow beside
    it."""
    kind, inside = helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), where == "inside"
    size = SIDE * SIDE * np.dtype(dtype).itemsize
    count = int(np.ceil(gigabytes * 2**30 / size))
    data, rng, tensors = path.with_suffix(".data"), np.random.default_rng(0), []
    with open(os.devnull if inside else data, "wb") as file:
        for i in range(count):
            tensor = TensorProto(name=f"w{i}", dims=[SIDE, SIDE], data_type=kind)
            if where != "hollow":
                drawn = rng.standard_normal((SIDE, SIDE), np.float32) / np.sqrt(SIDE, dtype=np.float32)
                weight = drawn.astype(dtype).tobytes()
            if inside:
                tensor.raw_data = weight
            else:
                tensor.data_location = TensorProto.EXTERNAL
                for key, value in (("location", data.name), ("offset", i * size), ("length", size)):
                    tensor.external_data.add(key=key, value=str(value))
                if where == "hollow":
                    file.truncate((i + 1) * size)
                    weight = np.array([i], dtype).tobytes()
                file.seek(i * size)
                file.write(weight)
            tensors.append(tensor)
    nodes = [helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"x{i + 1}"]) for i in range(count)]
    ends = [helper.make_tensor_value_info(n, kind, [1, SIDE]) for n in ("x0", f"x{count}")]
    graph = helper.make_graph(nodes, "large", ends[:1], ends[1:], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)


def taken(code: str, *arguments: str) -> tuple[float, float]:
    """Processor seconds, and the peak memory in MB, of a process that runs `code`."""
    process = subprocess.Popen([sys.executable, "-c", code, *arguments])
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("It failed.")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gigabytes", type=float, default=2.5)
    parser.add_argument("--to", default="onnx")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--inside", action="store_true")
    parser.add_argument("--hollow", action="store_true")
    parser.add_argument("--verify", action="store_true")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    source, result = asked.folder / "large.onnx", asked.folder / f"result.{asked.to}"
    if not source.exists():
        here = str(Path(__file__).parent)
        where = "inside" if asked.inside else "hollow" if asked.hollow else "beside"
        words = [here, str(source), str(asked.gigabytes), where, asked.dtype]
        subprocess.run([sys.executable, "-c", MAKE, *words], check=True)
    weights = source if asked.inside else source.with_suffix(".data")
    copied = 0.0
    if not asked.hollow:
        copied, _ = taken(COPY, str(weights), str(asked.folder / "copy"))
        (asked.folder / "copy").unlink()
    flags = ["verify"] if asked.verify else []
    seconds, peak = taken(CONVERT, str(source), str(result), asked.to, *flags)
    print(
        f"{weights.stat().st_size / 2**20:.0f} MB of weights: {seconds:.2f} s, a copy {copied:.2f} s; peak {peak:.0f} MB"
    )


if __name__ == "__main__":
    main()
