"""Convert a model of more than 2 GB and print the time and the peak memory of the process.

    python benchmarks/large.py DIR [--gigabytes 2.5] [--to onnx] [--verify]

DIR needs three times the room. The model is a chain of matrix products with seeded weights in external data.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

SIDE = 8192
CHILD = """
import sys, bridge
bridge.convert(sys.argv[1], sys.argv[2], to=sys.argv[3], overwrite=True, verify=len(sys.argv) > 4)
"""


def make(path: Path, gigabytes: float) -> None:
    """A chain of SIDE × SIDE products, `gigabytes` of float32 weights beside the model."""
    count = int(np.ceil(gigabytes * 2**30 / (SIDE * SIDE * 4)))
    data, nodes, tensors = path.with_suffix(".data"), [], []
    rng = np.random.default_rng(0)
    with data.open("wb") as file:
        for i in range(count):
            tensor = TensorProto(name=f"w{i}", dims=[SIDE, SIDE], data_type=TensorProto.FLOAT)
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", data.name), ("offset", file.tell()), ("length", SIDE * SIDE * 4)):
                tensor.external_data.add(key=key, value=str(value))
            file.write(
                (rng.standard_normal((SIDE, SIDE), np.float32) / np.sqrt(SIDE, dtype=np.float32)).tobytes()
            )
            tensors.append(tensor)
            nodes.append(helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"x{i + 1}"]))
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, SIDE]) for n in ("x0", f"x{count}")]
    graph = helper.make_graph(nodes, "large", ends[:1], ends[1:], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gigabytes", type=float, default=2.5)
    parser.add_argument("--to", default="onnx")
    parser.add_argument("--verify", action="store_true")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    source, result = asked.folder / "large.onnx", asked.folder / f"result.{asked.to}"
    make(source, asked.gigabytes)
    start = time.perf_counter()
    flags = ["verify"] if asked.verify else []
    subprocess.run([sys.executable, "-c", CHILD, str(source), str(result), asked.to, *flags], check=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    size = sum(f.stat().st_size for f in asked.folder.glob("result*")) / 2**20
    print(f"{size:.0f} MB written in {time.perf_counter() - start:.1f} s, peak memory {peak:.0f} MB")


if __name__ == "__main__":
    main()
