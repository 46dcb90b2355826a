"""Faults planted in models of 10 to 300 operators, and what `bridge.bisect` makes of them.

python benchmarks/planted_faults.py [--to onnx tflite coreml savedmodel torchscript] [--count 60] [--seed 0]
[--models FILE…] [--only N] [--keep DIR]

Each fault is a wrong attribute, a swapped axis, a scaled weight or a dropped bias of one operator of the hub
model, written then as the format named in turn; one that no output shows is planted elsewhere. A line a
fault: the operator, and those that the bisection names, the likeliest first. Then every model without a fault
in every format; a float16 Core ML file that overflows in one layer; and a quantized file with a layer of few
levels.
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

import bridge
from bridge import hub
from bridge.comparison import compare
from bridge.errors import BridgeError
from bridge.inputs import random_inputs
from bridge.workbench.bisect import Bisection

SUFFIX = {
    "onnx": ".onnx",
    "tflite": ".tflite",
    "coreml": ".mlpackage",
    "savedmodel": ".savedmodel",
    "torchscript": ".pt",
}
TRIES = 200


class Net:
    """An ONNX model under construction, with seeded weights."""

    def __init__(self, seed: int, **inputs: list[int]) -> None:
        self.rng, self.nodes, self.weights = np.random.default_rng(seed), [], []
        self.inputs = inputs

    def weight(self, *shape: int, size: float | None = None, about: float = 0.0) -> str:
        scale = 1 / math.sqrt(np.prod(shape[1:]) or 1) if size is None else size
        array = (about + self.rng.normal(0, scale, shape)).astype(np.float32)
        return self.const(array)

    def const(self, array: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def __call__(self, op: str, *inputs: str, **attributes: object) -> str:
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [f"{name}_out"], name, **attributes))
        return f"{name}_out"

    def model(self, output: str) -> onnx.ModelProto:
        last = next(node for node in self.nodes if output in node.output)
        last.output[0] = "result"
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in self.inputs.items()],
            [helper.make_tensor_value_info("result", TensorProto.FLOAT, None)],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        return onnx.shape_inference.infer_shapes(model)


def convolutional(blocks: int, width: int = 8) -> onnx.ModelProto:
    """Residual blocks of convolutions with normalization, of which every third narrows."""
    net = Net(blocks, image=[1, 3, 16, 16])
    x = net("Conv", "image", net.weight(width, 3, 3, 3), net.weight(width, size=0.2), pads=[1] * 4)
    for block in range(blocks):
        y = net("Conv", x, net.weight(width, width, 3, 3), net.weight(width, size=0.2), pads=[1] * 4)
        shapes = [net.weight(width, size=0.2, about=about) for about in (1, 0, 0)]
        variance = net.const(net.rng.uniform(0.5, 1.5, width).astype(np.float32))
        y = net("BatchNormalization", y, *shapes, variance)
        y = net(
            ("Relu", "LeakyRelu", "HardSwish")[block % 3], y, **({"alpha": 0.1} if block % 3 == 1 else {})
        )
        x = net(
            "Add", net("Conv", y, net.weight(width, width, 1, 1, size=0.15), net.weight(width, size=0.1)), x
        )
        if block % 6 == 2 and block < 14:
            x = net(("MaxPool", "AveragePool")[block % 2], x, kernel_shape=[2, 2], strides=[2, 2])
    x = net("Flatten", net("GlobalAveragePool", x))
    return net.model(net("Gemm", x, net.weight(width, 10), net.weight(10, size=0.2)))


def transformer(layers: int, width: int = 16, heads: int = 4, length: int = 4) -> onnx.ModelProto:
    """Layers of attention and of two products, spelled out."""
    net = Net(100 + layers, tokens=[1, length, width])
    each = width // heads
    x = net("Add", "tokens", net.weight(1, length, width, size=0.3))
    for _ in range(layers):
        y = normalized(net, x, width)
        parts = []
        for _ in range(3):
            z = net("Add", net("MatMul", y, net.weight(width, width)), net.weight(width, size=0.3))
            z = net("Reshape", z, net.const(np.array([1, length, heads, each])))
            parts.append(net("Transpose", z, perm=[0, 2, 1, 3]))
        scores = net("MatMul", parts[0], net("Transpose", parts[1], perm=[0, 1, 3, 2]))
        scores = net("Softmax", net("Mul", scores, net.const(np.array(1.5, np.float32))), axis=-1)
        z = net("Transpose", net("MatMul", scores, parts[2]), perm=[0, 2, 1, 3])
        z = net("Reshape", z, net.const(np.array([1, length, width])))
        x = net("Add", x, net("Add", net("MatMul", z, net.weight(width, width)), net.weight(width, size=0.3)))
        y = normalized(net, x, width)
        y = net("Add", net("MatMul", y, net.weight(width, 2 * width)), net.weight(2 * width, size=0.3))
        y = net("Mul", y, net("Sigmoid", y))
        y = net("Add", net("MatMul", y, net.weight(2 * width, width)), net.weight(width, size=0.3))
        x = net("Add", x, y)
    return net.model(net("MatMul", normalized(net, x, width), net.weight(width, 7)))


def normalized(net: Net, x: str, width: int) -> str:
    scale, bias = net.weight(width, size=0.2, about=1), net.weight(width, size=0.2)
    return net("LayerNormalization", x, scale, bias, axis=-1, epsilon=1e-5)


def dense(layers: int) -> onnx.ModelProto:
    """Products with all kinds of activations, joined and reduced."""
    net = Net(200 + layers, record=[4, 12])
    x = "record"
    kinds = ("Relu", "Tanh", "Elu", "Sigmoid", "Softplus", "LeakyRelu")
    for layer in range(layers):
        x = net("Gemm", x, net.weight(12, 12), net.weight(12, size=0.3))
        x = net(kinds[layer % len(kinds)], x)
        if layer % 4 == 3:
            mean = net("ReduceMean", x, net.const(np.array([1])), keepdims=1)
            x = net("Sub", x, mean)
    return net.model(net("Softmax", net("Gemm", x, net.weight(12, 5), net.weight(5, size=0.3))))


def recurrent(layers: int) -> onnx.ModelProto:
    """Recurrent layers of either kind over a sequence, and a head."""
    net = Net(300 + layers, sequence=[6, 1, 5])
    x, width, size = "sequence", 5, 6
    for layer in range(layers):
        kind, gates = (("LSTM", 4), ("GRU", 3))[layer % 2]
        weights = net.weight(1, gates * size, width), net.weight(1, gates * size, size)
        x = net(kind, x, *weights, net.weight(1, 2 * gates * size, size=0.3), hidden_size=size)
        x, width = net("Squeeze", x, net.const(np.array([1]))), size
    x = net("Add", net("MatMul", x, net.weight(size, size)), net.weight(size, size=0.3))
    x = net("Tanh", net("Transpose", x, perm=[1, 2, 0]))
    x = net("ReduceMax", x, net.const(np.array([2])), keepdims=0)
    x = net("Mul", x, net.weight(size, size=0.3, about=1))
    return net.model(net("Add", net("MatMul", x, net.weight(size, 4)), net.weight(4, size=0.3)))


NETS: dict[str, Callable[[], onnx.ModelProto]] = {
    "dense_4": lambda: dense(4),
    "recurrent_2": lambda: recurrent(2),
    "convolutional_3": lambda: convolutional(3),
    "transformer_2": lambda: transformer(2),
    "dense_24": lambda: dense(24),
    "convolutional_16": lambda: convolutional(16),
    "transformer_6": lambda: transformer(6),
    "convolutional_45": lambda: convolutional(45),
    "transformer_9": lambda: transformer(9),
}


def learned(node: ir.Node) -> list[int]:
    """The places of weights among what an operator reads."""
    return [
        index
        for index, value in enumerate(node.inputs)
        if value is not None
        and value.const_value is not None
        and value.dtype == ir.DataType.FLOAT
        and value.const_value.size > 1
    ]


def given(model: ir.Model, node: ir.Node, index: int, array: np.ndarray) -> None:
    node.replace_input_with(index, hub.Builder(model.graph).const(array))


def scaled_weight(model: ir.Model, node: ir.Node, rng: random.Random) -> bool:
    places = learned(node)
    if not places or node.op_type in ("Add", "Sub"):
        return False
    place = places[0]
    array = node.inputs[place].const_value.numpy().copy()
    if rng.random() < 0.5 and array.ndim > 1:
        array[rng.randrange(len(array))] *= 3
    else:
        array *= rng.choice([0.7, 1.3, 2.0])
    given(model, node, place, array)
    return True


def dropped_bias(model: ir.Model, node: ir.Node, rng: random.Random) -> bool:
    place = {
        "Conv": 2,
        "Gemm": 2,
        "Add": 1,
        "LayerNormalization": 2,
        "BatchNormalization": 2,
        "LSTM": 3,
        "GRU": 3,
    }
    index = place.get(node.op_type, -1)
    if index not in learned(node):
        return False
    given(model, node, index, np.zeros_like(node.inputs[index].const_value.numpy()))
    return True


def wrong_attribute(model: ir.Model, node: ir.Node, rng: random.Random) -> bool:
    swaps = {
        "Relu": "Abs",
        "Tanh": "Sigmoid",
        "MaxPool": "AveragePool",
        "HardSwish": "Relu",
        "ReduceMax": "ReduceMin",
    }
    numbers = {"LeakyRelu": ("alpha", 0.5), "Elu": ("alpha", 0.3), "LayerNormalization": ("epsilon", 0.5),
               "BatchNormalization": ("epsilon", 0.5), "Gemm": ("alpha", 0.8)}  # fmt: skip
    if node.op_type in numbers:
        name, value = numbers[node.op_type]
        node.attributes[name] = ir.AttrFloat32(name, value)
    elif node.op_type in swaps and len(node.outputs) == 1:
        node.op_type = swaps[node.op_type]
    elif node.op_type == "Conv" and hub.attr(node, "pads") == [1, 1, 1, 1]:
        node.attributes["pads"] = ir.AttrInt64s("pads", [2, 1, 0, 1])
    else:
        return False
    return True


def swapped_axis(model: ir.Model, node: ir.Node, rng: random.Random) -> bool:
    shape = hub.shape_of(node.outputs[0])
    if node.op_type == "Softmax" and shape and len(shape) > 2:
        node.attributes["axis"] = ir.AttrInt64("axis", len(shape) - 2)
    elif node.op_type == "Transpose":
        perm, source = hub.attr(node, "perm"), hub.shape_of(node.inputs[0])
        swaps = [
            swapped
            for i in range(len(perm))
            for j in range(i)
            if source and source[perm[i]] == source[perm[j]] > 1
            for swapped in [[perm[j] if k == i else perm[i] if k == j else p for k, p in enumerate(perm)]]
        ]
        if not swaps:
            return False
        node.attributes["perm"] = ir.AttrInt64s("perm", rng.choice(swaps))
    elif node.op_type in ("MatMul", "Gemm") and learned(node)[:1] == [1]:
        array = node.inputs[1].const_value.numpy()
        if array.ndim != 2 or array.shape[0] != array.shape[1]:
            return False
        given(model, node, 1, np.ascontiguousarray(array.T))
    elif node.op_type == "Conv" and learned(node)[:1] == [1]:
        array = node.inputs[1].const_value.numpy()
        if array.shape[2] < 2:
            return False
        given(model, node, 1, np.ascontiguousarray(array.swapaxes(2, 3)))
    else:
        return False
    return True


FAULTS = (wrong_attribute, swapped_axis, scaled_weight, dropped_bias)


def planted(model: ir.Model, fault: Callable, rng: random.Random) -> tuple[ir.Model, str] | None:
    """The model with the fault in one operator that its outputs show, and that operator."""
    places = list(range(len(list(model.graph))))
    inputs = random_inputs(model)
    right = bridge.run(model, inputs)
    for place in rng.sample(places, len(places)):
        faulty = model.clone()
        node = list(faulty.graph)[place]
        if fault(faulty, node, rng) and not compare(right, bridge.run(faulty, inputs)).ok:
            return faulty, str(hub.origin(node))
    return None


def faults(models: dict[str, Path], count: int, seed: int) -> Iterator[tuple[str, Path, str, ir.Model, str]]:
    """(model, its file, kind of fault, the faulty hub model, its operator)"""
    names = list(models)
    loaded = {name: bridge.load(path) for name, path in models.items()}
    for number in range(count):
        rng = random.Random(seed * 1000 + number)
        order = names[number % len(names) :] + names[: number % len(names)]
        kinds = [FAULTS[(number // len(names) + number + k) % len(FAULTS)] for k in range(len(FAULTS))]
        for name, kind in ((n, k) for k in kinds[:1] for n in order):
            made = planted(loaded[name], kind, rng)
            if made is not None:
                yield name, models[name], kind.__name__, *made
                break


def judged(found: Bisection, truth: str) -> str:
    if found.kind != "operator":
        return found.kind
    if found.operators[:1] == (truth,):
        return "named" if len(found.operators) == 1 else "named first"
    return "named among" if truth in found.operators else "missed"


def measure_faults(
    models: dict[str, Path], formats: list[str], count: int, seed: int, only: int | None, folder: Path
) -> None:
    outcomes: Counter[str] = Counter()
    most = 0.0
    for number, (name, source, kind, faulty, truth) in enumerate(faults(models, count, seed)):
        if only is not None and number != only:
            continue
        to = formats[number % len(formats)]
        path = folder / f"{number}{SUFFIX[to]}"
        try:
            bridge.save(faulty, path, to=to, overwrite=True)
            start = time.process_time()
            found = bridge.bisect(source, path, candidate_source=to)
            spent = time.process_time() - start
        except BridgeError as error:
            outcomes["failed"] += 1
            print(
                f"{number:>3} {to:<12} {name:<18} {kind:<16} {truth}: {type(error).__name__}: {error}",
                flush=True,
            )
            continue
        outcome = judged(found, truth)
        outcomes[outcome] += 1
        nodes = len(list(faulty.graph))
        most = max(most, found.conversions - math.log2(nodes))
        told = ", ".join(found.operators[:4])
        print(
            f"{number:>3} {to:<12} {name:<18} {nodes:>3} {kind:<16} {truth:<36} {outcome:<12} {told} "
            f"({found.conversions} conversions, {spent:.1f} s)",
            flush=True,
        )
        if only is not None:
            print(found)
    print(f"Faults: {dict(outcomes)}; conversions at most log2(nodes) {most:+.1f}", flush=True)


def measure_right(models: dict[str, Path], formats: list[str], folder: Path) -> None:
    kinds: Counter[str] = Counter()
    for name, source in models.items():
        for to in formats:
            path = folder / f"right_{name}{SUFFIX[to]}"
            bridge.convert(source, path, to=to, overwrite=True)
            found = bridge.bisect(source, path, candidate_source=to)
            kinds[found.kind] += 1
            if not found.ok:
                print(f"right {name} as {to}:\n{found}", flush=True)
    print(f"Right models: {dict(kinds)}", flush=True)


def measure_overflow(folder: Path) -> None:
    """A float16 Core ML file, one product of which is larger than float16 holds."""
    net = Net(0, x=[2, 8])
    x = net("MatMul", "x", net.weight(8, 8))
    x = net("MatMul", x, net.const(np.full((8, 8), 9e4, np.float32)))
    x = net("MatMul", x, net.const(np.full((8, 8), 1e-5, np.float32)))
    onnx.save(net.model(net("Relu", x)), source := folder / "overflows.onnx")
    path = folder / "overflows.mlpackage"
    bridge.convert(source, path, precision="float16", overwrite=True)
    print(f"Half precision, matmul_1 overflows:\n{bridge.bisect(source, path)}", flush=True)


def measure_quantized(folder: Path) -> None:
    """An int8 TFLite file, one product of which has a weight that leaves few levels to the others."""
    net = Net(0, x=[16, 32])
    x = "x"
    for layer in range(6):
        weights = net.rng.normal(0, 0.2, (32, 32)).astype(np.float32)
        if layer == 3:
            weights[0] *= 60
        x = net("Tanh", net("MatMul", x, net.const(weights)))
    onnx.save(net.model(net("MatMul", x, net.weight(32, 8))), source := folder / "coarse.onnx")
    path = folder / "coarse.tflite"
    bridge.convert(source, path, quantize="int8", calibration="random", overwrite=True)
    print(f"Quantized, matmul_6 coarse:\n{bridge.bisect(source, path)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--to", nargs="+", default=list(SUFFIX), choices=list(SUFFIX))
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int)
    parser.add_argument(
        "--models", nargs="*", type=Path, default=[], help="ONNX files beside those that are made"
    )
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        folder = asked.keep or Path(text)
        folder.mkdir(exist_ok=True)
        models = {}
        for name, make in NETS.items():
            models[name] = folder / f"{name}.onnx"
            onnx.save(make(), models[name])
        models |= {path.stem: path for path in asked.models}
        measure_faults(models, asked.to, asked.count, asked.seed, asked.only, folder)
        if asked.only is None:
            measure_right(models, asked.to, folder)
            measure_overflow(folder)
            measure_quantized(folder)


if __name__ == "__main__":
    main()
