"""Processor time by the number of operators: `python benchmarks/scale.py [chain wide transformer] [--nodes 2000,20000]
[--to onnx]`.

Chains, wide graphs whose branches are summed, and transformers are made of so many operators with a weight each, or few,
and converted in one process, warmed by a small one. Prints seconds, milliseconds an operator, and the exponent of
their growth from the first size to the last.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

import bridge

WIDTH, HEADS = 16, 2


class Graph:
    """Operators and weights in the making."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        """The result of a new operator."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=f"n{len(self.nodes)}", **attributes))
        return name

    def weight(self, *shape: int) -> str:
        """A new seeded weight."""
        drawn = np.random.default_rng(len(self.weights)).standard_normal(shape).astype(np.float32) / 10
        return self.constant(drawn)

    def constant(self, value: object, dtype: type = np.float32) -> str:
        """A new constant."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def save(self, path: Path, result: str, shape: list[str | int]) -> None:
        """Write the model of one input `x`."""
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", result)]
        graph = helper.make_graph(self.nodes, "scale", ends[:1], ends[1:], self.weights)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)


def chain(count: int, path: Path) -> None:
    """One operator behind the other."""
    graph, x = Graph(), "x"
    for number in range(count):
        x = graph.op(("Relu", "Sigmoid", "Tanh", "Neg")[number % 4], x)
    graph.save(path, x, ["batch", 4])


def wide(count: int, path: Path) -> None:
    """Branches of three operators from one input, summed."""
    graph, total = Graph(), "x"
    for _ in range(count // 4):
        weight = graph.weight(4)
        branch = graph.op("Relu", graph.op("Add", graph.op("Mul", "x", weight), weight))
        total = graph.op("Add", branch, total)
    graph.save(path, total, ["batch", 4])


def transformer(count: int, path: Path) -> None:
    """Encoder layers of about forty operators, the lengths of views computed in each."""
    graph, x = Graph(), "x"
    zero, one, first = (graph.constant(v, np.int64) for v in (0, 1, [0]))
    while len(graph.nodes) < count:
        x = _layer(graph, x, (zero, one, first))
    graph.save(path, x, ["batch", "time", WIDTH])


def _layer(graph: Graph, x: str, numbers: tuple[str, str, str]) -> str:
    zero, one, first = numbers
    lengths = graph.op("Shape", x)
    batch, steps = (
        graph.op("Unsqueeze", graph.op("Gather", lengths, which, axis=0), first) for which in (zero, one)
    )
    heads, depth, width = (graph.constant([n], np.int64) for n in (HEADS, WIDTH // HEADS, WIDTH))

    def linear(value: str, rows: int, columns: int) -> str:
        return graph.op("Add", graph.op("MatMul", value, graph.weight(rows, columns)), graph.weight(columns))

    def headed(value: str) -> str:
        view = graph.op("Reshape", value, graph.op("Concat", batch, steps, heads, depth, axis=0))
        return graph.op("Transpose", view, perm=[0, 2, 1, 3])

    query, key, value = (headed(linear(x, WIDTH, WIDTH)) for _ in range(3))
    scores = graph.op("MatMul", query, graph.op("Transpose", key, perm=[0, 1, 3, 2]))
    weighed = graph.op("Softmax", graph.op("Div", scores, graph.constant(math.sqrt(WIDTH))), axis=-1)
    mixed = graph.op("Transpose", graph.op("MatMul", weighed, value), perm=[0, 2, 1, 3])
    joined = graph.op("Reshape", mixed, graph.op("Concat", batch, steps, width, axis=0))
    x = _norm(graph, graph.op("Add", x, linear(joined, WIDTH, WIDTH)))
    inner = graph.op("Gelu", linear(x, WIDTH, 2 * WIDTH))
    return _norm(graph, graph.op("Add", x, linear(inner, 2 * WIDTH, WIDTH)))


def _norm(graph: Graph, x: str) -> str:
    return graph.op("LayerNormalization", x, graph.weight(WIDTH), graph.weight(WIDTH), axis=-1)


KINDS: dict[str, Callable[[int, Path], None]] = {"chain": chain, "wide": wide, "transformer": transformer}


def taken(source: Path, to: str) -> float:
    """Seconds of the processor for a conversion."""
    start = time.process_time()
    bridge.convert(source, source.with_name("result"), to=to, overwrite=True)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--nodes", default="2000,20000")
    parser.add_argument("--to", default="onnx")
    asked = parser.parse_args()
    sizes = [int(n) for n in asked.nodes.split(",")]
    for kind in asked.kinds:
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / f"{size}.onnx" for size in (100, *sizes)]
            for size, file in zip((100, *sizes), files, strict=True):
                KINDS[kind](size, file)
            _, *seconds = (taken(file, asked.to) for file in files)
        for size, one in zip(sizes, seconds, strict=True):
            print(f"{kind:<12} {size:>7} operators {one:>7.2f} s {one / size * 1000:.2f} ms each", flush=True)
        if len(sizes) > 1:
            growth = math.log(seconds[-1] / seconds[0]) / math.log(sizes[-1] / sizes[0])
            print(f"{kind:<12} exponent {growth:.2f}", flush=True)


if __name__ == "__main__":
    main()
