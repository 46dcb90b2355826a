"""Random graphs of everyday operators: what cases of single operators cannot show, passes meeting passes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

__all__ = ["random_graph"]

OPSET = 20
UNARY = (
    "Relu",
    "Sigmoid",
    "Tanh",
    "Neg",
    "Abs",
    "LeakyRelu",
    "HardSwish",
    "HardSigmoid",
    "Softplus",
    "Erf",
    "Elu",
    "Gelu",
)
BINARY = ("Add", "Sub", "Mul", "Max", "Min")
REDUCE = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2")


class Graph:
    """A graph that grows by one random node at a time; a proposal that nobody can compute, or not alike, is
    dropped."""

    def __init__(self, rng: np.random.Generator, dynamic: bool) -> None:
        self.rng, self.dynamic = rng, dynamic
        rank = int(rng.choice([2, 3, 4, 4, 4, 5]))
        self.shape = [int(n) for n in rng.integers(1, 7, rank)]
        self.shape[0] = 2 if dynamic else self.shape[0]
        self.values = {"x": rng.standard_normal(self.shape).astype(np.float32)}
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, np.ndarray] = {}

    def grow(self) -> None:
        src = str(self.rng.choice(list(self.values)[-3:]))
        x = self.values[src]
        fitting = [step for step, rank in STEPS.items() if x.ndim >= rank]
        weights, nodes = dict(self.weights), list(self.nodes)
        try:
            name = fitting[int(self.rng.integers(len(fitting)))](self, src, x)
            value = self.agreed_value(name)
        except Exception:
            value = None
        if value is None:
            self.weights, self.nodes = weights, nodes
        else:
            self.values[name] = value

    def agreed_value(self, name: str) -> np.ndarray | None:
        """The value, where ONNX Runtime and the reference evaluator find the same, of a moderate size."""
        model, x = self.model([name]), self.values["x"]
        value = run(model, x)
        if self.dynamic:
            run(model, np.concatenate([x, x[:1]]))
        with contextlib.suppress(Exception):
            results: Any = ReferenceEvaluator(model).run(None, {"x": x})
            if value.shape != results[0].shape or not np.allclose(value, results[0], 1e-3, 1e-4):
                return None
        moderate = 0 < value.size <= 4000 and np.isfinite(value).all() and abs(value).max() <= 1000
        return value if moderate else None

    def add(self, op: str, *inputs: Any, **attributes: Any) -> str:
        names = [self.constant(i) if isinstance(i, np.ndarray) else i for i in inputs]
        out = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, names, [out], name=out, **attributes))
        return out

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.weights)}"
        self.weights[name] = array
        return name

    def normal(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape).astype(np.float32)

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def axis(self, x: np.ndarray) -> int:
        return int(self.rng.integers(-x.ndim, x.ndim))

    def model(self, outputs: list[str]) -> onnx.ModelProto:
        declared = ["n" if self.dynamic and i == 0 else d for i, d in enumerate(self.shape)]
        graph = helper.make_graph(
            self.nodes,
            "random",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, declared)],
            [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs],
            [numpy_helper.from_array(a, n) for n, a in self.weights.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
        return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)

    def body(self, nodes: list[onnx.NodeProto], inputs: list[tuple], outputs: list[str]) -> onnx.GraphProto:
        """A subgraph; what it makes has names of its own."""
        ports = [helper.make_tensor_value_info(*each) for each in inputs]
        dtypes = {"on": TensorProto.BOOL}
        results = [
            helper.make_tensor_value_info(o, dtypes.get(o, TensorProto.FLOAT), [] if o in dtypes else None)
            for o in outputs
        ]
        graph = helper.make_graph(nodes, "body", ports, results)
        own = {p.name for p in ports} | {o for n in nodes for o in n.output}
        for each in (*graph.node, *graph.input, *graph.output):
            self._prefix(each, own)
        return graph

    def _prefix(self, each: Any, own: set[str]) -> None:
        prefix = f"in_{len(self.nodes)}_"
        if isinstance(each, onnx.NodeProto):
            each.input[:] = [prefix + i if i in own else i for i in each.input]
            each.output[:] = [prefix + o for o in each.output]
        else:
            each.name = prefix + each.name

    def ends(self) -> list[str]:
        read = {i for node in self.nodes for i in node.input}
        return [n for n in self.values if n not in read and n != "x"][:3]


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """The one output of a model of one input."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options)
    return np.asarray(session.run(None, {"x": x})[0])


Step = Callable[[Graph, str, np.ndarray], str]
STEPS: dict[Step, int] = {}


def step(rank: int = 1) -> Callable[[Step], Step]:
    """A way to grow a graph from a value of at least `rank` axes."""

    def register(function: Step) -> Step:
        STEPS[function] = rank
        return function

    return register


@step()
def unary(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add(g.pick(*UNARY), src)


@step()
def clip(g: Graph, src: str, x: np.ndarray) -> str:
    low, high = g.pick((0, 6), (-1, 1), (0, 1), (-0.5, 2))
    return g.add("Clip", src, np.float32(low) + np.zeros((), np.float32), np.array(high, np.float32))


@step()
def with_constant(g: Graph, src: str, x: np.ndarray) -> str:
    shape = [n if g.rng.random() < 0.6 else 1 for n in x.shape[int(g.rng.integers(x.ndim + 1)) :]]
    operands = [src, g.normal(*shape)]
    if g.rng.random() < 0.4:
        operands.reverse()
    return g.add(g.pick(*BINARY), *operands)


@step()
def with_value(g: Graph, src: str, x: np.ndarray) -> str:
    fitting = [n for n, v in g.values.items() if v.ndim and _broadcasts(v.shape, x.shape)]
    return g.add(g.pick(*BINARY), src, str(g.rng.choice(fitting)))


def _broadcasts(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(m == n or 1 in (m, n) for m, n in zip(a[::-1], b[::-1], strict=False))


@step()
def divide(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add("Div", src, (1.5 + abs(g.normal(x.shape[-1]))).astype(np.float32))


@step()
def far_from_zero(g: Graph, src: str, x: np.ndarray) -> str:
    """Values whose mean is far larger than their deviation."""
    return g.add("Add", src, np.array(g.pick(100, -300), np.float32))


@step()
def multiple_or_itself(g: Graph, src: str, x: np.ndarray) -> str:
    factor = np.array(g.pick(2, 0.5, -1.5, 3), np.float32)
    return g.add(g.pick("Max", "Min"), g.add("Mul", src, factor), src)


@step()
def reduce_no_axes(g: Graph, src: str, x: np.ndarray) -> str:
    """Without axes all are meant, or none where the attribute says so."""
    noop = g.pick(0, 1)
    return g.add(g.pick(*REDUCE[:4]), src, np.zeros(0, np.int64), noop_with_empty_axes=noop)


@step()
def split_into_one(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add("Split", src, axis=g.axis(x), num_outputs=1)


@step(4)
def strides_beyond_the_kernel(g: Graph, src: str, x: np.ndarray) -> str:
    weights = g.normal(2, x.shape[1], *[1] * (x.ndim - 2))
    pads = [int(p) for p in g.rng.integers(0, 3, 2 * (x.ndim - 2))]
    return g.add("Conv", src, weights, strides=[g.pick(1, 2, 3) for _ in x.shape[2:]], pads=pads)


@step(3)
def group_normalization(g: Graph, src: str, x: np.ndarray) -> str:
    channels = x.shape[1]
    groups = g.pick(*(n for n in range(1, channels + 1) if channels % n == 0))
    parameters = g.normal(groups), g.normal(groups)
    return g.add("GroupNormalization", src, *parameters, num_groups=groups)


@step(3)
def conv(g: Graph, src: str, x: np.ndarray) -> str:
    group = g.pick(1, 1, x.shape[1])
    out = group * int(g.rng.integers(1, 4))
    kernel = [int(k) for k in g.rng.integers(1, 4, x.ndim - 2)]
    weights = g.normal(out, x.shape[1] // group, *kernel) / math.sqrt(math.prod(kernel) * x.shape[1] / group)
    return g.add(
        "Conv",
        src,
        weights.astype(np.float32),
        *([g.normal(out)] if g.rng.random() < 0.7 else []),
        group=group,
        **windows(g, kernel),
    )


@step(3)
def conv_transpose(g: Graph, src: str, x: np.ndarray) -> str:
    kernel = [int(k) for k in g.rng.integers(1, 4, x.ndim - 2)]
    strides = [int(g.rng.integers(1, 3)) for _ in kernel]
    pads = [int(g.rng.integers(0, k)) for k in kernel] * 2
    weights = g.normal(x.shape[1], int(g.rng.integers(1, 4)), *kernel) / 3
    return g.add("ConvTranspose", src, weights.astype(np.float32), strides=strides, pads=pads)


@step(3)
def pool(g: Graph, src: str, x: np.ndarray) -> str:
    kernel = [int(k) for k in g.rng.integers(1, 4, x.ndim - 2)]
    kernel = [min(k, n) for k, n in zip(kernel, x.shape[2:], strict=True)]
    op = g.pick("MaxPool", "AveragePool")
    extra = {"count_include_pad": g.pick(0, 1)} if op == "AveragePool" else {}
    return g.add(
        op,
        src,
        kernel_shape=kernel,
        ceil_mode=g.pick(0, 0, 1),
        **extra,
        **windows(g, kernel, dilated=op == "MaxPool"),
    )


def windows(g: Graph, kernel: list[int], dilated: bool = True) -> dict[str, Any]:
    chosen: dict[str, Any] = {"strides": [int(g.rng.integers(1, 3)) for _ in kernel]}
    padding = g.pick("none", "same", "explicit", "even")
    if dilated and padding != "same" and g.rng.random() < 0.3:
        chosen["dilations"] = [int(g.rng.integers(1, 3)) for _ in kernel]
    if padding == "same":
        chosen["auto_pad"] = g.pick("SAME_UPPER", "SAME_LOWER")
    if padding == "explicit":
        chosen["pads"] = [int(g.rng.integers(0, k)) for k in kernel * 2]
    if padding == "even":
        chosen["pads"] = [k // 2 for k in kernel] * 2
    return chosen


@step(3)
def global_pool(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add(g.pick("GlobalAveragePool", "GlobalMaxPool"), src)


@step(2)
def batch_norm(g: Graph, src: str, x: np.ndarray) -> str:
    c = x.shape[1]
    return g.add(
        "BatchNormalization", src, g.normal(c), g.normal(c), g.normal(c), abs(g.normal(c)) + np.float32(0.5)
    )


@step(3)
def instance_norm(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add("InstanceNormalization", src, g.normal(x.shape[1]), g.normal(x.shape[1]), epsilon=0.1)


@step(2)
def layer_norm(g: Graph, src: str, x: np.ndarray) -> str:
    axis = g.axis(x)
    shape = x.shape[axis % x.ndim :]
    return g.add("LayerNormalization", src, g.normal(*shape), g.normal(*shape), axis=axis, epsilon=0.1)


@step(2)
def transpose(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add("Transpose", src, perm=[int(p) for p in g.rng.permutation(x.ndim)])


@step(4)
def channels_last(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add(
        "Transpose", src, perm=g.pick([0, *range(2, x.ndim), 1], [0, x.ndim - 1, *range(1, x.ndim - 1)])
    )


@step(2)
def merge(g: Graph, src: str, x: np.ndarray) -> str:
    """Two neighbouring axes become one."""
    i = int(g.rng.integers(1 if g.dynamic else 0, x.ndim - 1)) if x.ndim > 2 else 0
    shape = [*x.shape[:i], -1, *x.shape[i + 2 :]]
    shape = [0 if g.dynamic and k == 0 and i else n for k, n in enumerate(shape)]
    return g.add("Reshape", src, np.array(shape, np.int64))


@step(1)
def split_axis(g: Graph, src: str, x: np.ndarray) -> str:
    """One axis becomes two."""
    i = int(g.rng.integers(x.ndim))
    factors = [f for f in range(1, x.shape[i] + 1) if x.shape[i] % f == 0]
    shape = [*([0] * i), g.pick(*factors), -1, *x.shape[i + 1 :]]
    return g.add("Reshape", src, np.array(shape, np.int64))


@step(2)
def flatten(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add("Flatten", src, axis=g.axis(x))


@step()
def unsqueeze(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add("Unsqueeze", src, np.array([g.axis(x)], np.int64))


@step()
def squeeze(g: Graph, src: str, x: np.ndarray) -> str:
    ones = [i for i, n in enumerate(x.shape) if n == 1 and (i or not g.dynamic)]
    return g.add("Squeeze", src, np.array(ones or [-1], np.int64))


@step()
def concat(g: Graph, src: str, x: np.ndarray) -> str:
    axis = g.axis(x)
    other_lengths = np.delete(x.shape, axis % x.ndim)
    fitting = [
        n
        for n, v in g.values.items()
        if v.ndim == x.ndim and np.array_equal(np.delete(v.shape, axis % x.ndim), other_lengths)
    ]
    return g.add("Concat", *[str(n) for n in g.rng.choice(fitting, g.pick(2, 3))], axis=axis)


@step()
def slice_(g: Graph, src: str, x: np.ndarray) -> str:
    axis = g.axis(x)
    start, end = int(g.rng.integers(-4, 4)), int(g.rng.integers(-9, 9))
    parts = [[start], [end], [axis], [g.pick(1, 1, 2, -1, -2)]]
    return g.add("Slice", src, *[np.array(p, np.int64) for p in parts])


@step()
def split(g: Graph, src: str, x: np.ndarray) -> str:
    axis = g.axis(x)
    out = g.add("Split", src, axis=axis, num_outputs=2)
    g.nodes[-1].output.append(out + "_b")
    return out + g.pick("", "_b")


@step()
def pad(g: Graph, src: str, x: np.ndarray) -> str:
    pads = np.array([int(p) for p in g.rng.integers(-1, 3, 2 * x.ndim)], np.int64)
    if g.rng.random() < 0.5:
        pads[[0, 1, x.ndim, min(x.ndim + 1, 2 * x.ndim - 1)]] = 0
    mode = g.pick("constant", "constant", "reflect", "edge", "wrap")
    return g.add("Pad", src, pads, *([np.array(0.5, np.float32)] if mode == "constant" else []), mode=mode)


@step()
def reduce(g: Graph, src: str, x: np.ndarray) -> str:
    axes = np.unique(g.rng.integers(0, x.ndim, g.pick(1, 2)))
    return g.add(g.pick(*REDUCE), src, axes.astype(np.int64), keepdims=g.pick(0, 1))


@step()
def softmax(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add(g.pick("Softmax", "LogSoftmax"), src, axis=g.axis(x))


@step(2)
def matmul(g: Graph, src: str, x: np.ndarray) -> str:
    weights = g.normal(x.shape[-1], int(g.rng.integers(1, 6))) / np.float32(math.sqrt(x.shape[-1]))
    return g.add("MatMul", src, weights)


@step(2)
def matmul_self(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add("MatMul", src, g.add("Transpose", src, perm=[*range(x.ndim - 2), x.ndim - 1, x.ndim - 2]))


@step(2)
def gemm(g: Graph, src: str, x: np.ndarray) -> str:
    flat = g.add("Flatten", src, axis=1)
    width = math.prod(x.shape[1:])
    weights = g.normal(4, width) / np.float32(math.sqrt(width))
    return g.add("Gemm", flat, weights, g.normal(4), transB=1, alpha=g.pick(1.0, 0.5), beta=g.pick(1.0, 2.0))


@step()
def gather(g: Graph, src: str, x: np.ndarray) -> str:
    axis = g.axis(x)
    shape = g.pick((), (2,), (2, 2))
    return g.add(
        "Gather", src, np.asarray(g.rng.integers(-x.shape[axis], x.shape[axis], shape), np.int64), axis=axis
    )


@step(4)
def resize(g: Graph, src: str, x: np.ndarray) -> str:
    """Resize by whole factors and by others; to whole lengths where corners are aligned: of others ONNX
    Runtime computes something else than ONNX's own cases."""
    factors = (1, 2, 1.5, 3, 0.7, 5 / 3, 0.6, 1.4, 4 / 3)
    scales = np.array([1, 1, *[g.pick(*factors) for _ in x.shape[2:]]], np.float32)
    mode = g.pick("nearest", "linear")
    coordinate = g.pick("half_pixel", "asymmetric", "align_corners")
    if coordinate == "align_corners":
        scales = np.ceil(scales)
    return g.add(
        "Resize", src, "", scales, mode=mode, coordinate_transformation_mode=coordinate, nearest_mode="floor"
    )


@step(4)
def space_to_depth(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add(g.pick("SpaceToDepth", "DepthToSpace"), src, blocksize=2)


@step()
def tile(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add("Tile", src, np.array([g.pick(1, 1, 2) for _ in x.shape], np.int64))


@step()
def expand(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add("Expand", src, np.array([g.pick(1, 2), *[1] * x.ndim], np.int64))


@step()
def cumsum(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add("CumSum", src, np.array(g.axis(x), np.int64), exclusive=g.pick(0, 1), reverse=g.pick(0, 1))


@step()
def where(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add("Where", g.rng.random(x.shape[-1:]) < 0.5, src, g.normal(*x.shape[-1:]))


@step(3)
def prelu(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add("PRelu", src, g.normal(x.shape[1], *[1] * (x.ndim - 2)))


@step(2)
def reshape_at_run_time(g: Graph, src: str, x: np.ndarray) -> str:
    """Through shape arithmetic at run time: as frameworks write a view."""
    shape = g.add("Shape", src)
    first = g.add("Gather", shape, np.array([0], np.int64), axis=0)
    return g.add("Reshape", src, g.add("Concat", first, np.array([-1], np.int64), axis=0))


@step(2)
def top(g: Graph, src: str, x: np.ndarray) -> str:
    axis = g.axis(x)
    out = g.add(
        "TopK",
        src,
        np.array([int(g.rng.integers(1, x.shape[axis] + 1))], np.int64),
        axis=axis,
        largest=g.pick(0, 1),
    )
    g.nodes[-1].output.append(out + "_places")
    return out


@step()
def by_length(g: Graph, src: str, x: np.ndarray) -> str:
    """Times a length that is computed."""
    length = g.add("Gather", g.add("Shape", src), np.array(g.axis(x), np.int64), axis=0)
    return g.add(g.pick("Mul", "Div"), src, g.add("Cast", length, to=TensorProto.FLOAT))


@step()
def masked(g: Graph, src: str, x: np.ndarray) -> str:
    """A choice by the value itself, continuous where it changes."""
    mask = g.add(g.pick("Greater", "LessOrEqual"), src, np.zeros((), np.float32))
    return g.add("Where", mask, src, g.add("Mul", src, np.array(0.3, np.float32)))


@step(3)
def recurrent(g: Graph, src: str, x: np.ndarray) -> str:
    """Over the first axis; all steps or the last."""
    flat = g.add("Reshape", src, np.array([0, -1, x.shape[-1]], np.int64))
    op, gates = g.pick(("LSTM", 4), ("GRU", 3), ("RNN", 1))
    direction = g.pick("forward", "reverse", "bidirectional")
    ways = 2 if direction == "bidirectional" else 1
    weights = [g.normal(ways, gates * 3, n) for n in (x.shape[-1], 3)] + [g.normal(ways, gates * 6)]
    extra = {"linear_before_reset": g.pick(0, 1)} if op == "GRU" else {}
    out = g.add(op, flat, *[w / np.float32(2) for w in weights], direction=direction, hidden_size=3, **extra)
    g.nodes[-1].output.append(out + "_last")
    return out + g.pick("", "_last")


@step(3)
def attention(g: Graph, src: str, x: np.ndarray) -> str:
    width = x.shape[-1]
    q, k, v = (g.add("MatMul", src, g.normal(width, 4) / np.float32(2)) for _ in range(3))
    scores = g.add("MatMul", q, g.add("Transpose", k, perm=[*range(x.ndim - 2), x.ndim - 1, x.ndim - 2]))
    scores = g.add("Softmax", g.add("Div", scores, np.array(2, np.float32)), axis=-1)
    return g.add("MatMul", scores, v)


@step(3)
def einsum(g: Graph, src: str, x: np.ndarray) -> str:
    equation = g.pick("...ij,jk->...ik", "...ij,jk->...ki", "...ij,jk->...k", "...ij,jk->...i")
    return g.add("Einsum", src, g.normal(x.shape[-1], 3), equation=equation)


@step()
def branch(g: Graph, src: str, x: np.ndarray) -> str:
    """If of what the length of an axis says."""
    length = g.add("Gather", g.add("Shape", src), np.array(g.axis(x), np.int64), axis=0)
    longer = g.add("Greater", length, np.array(g.pick(1, 2), np.int64))
    branches = {
        f"{name}_branch": g.body([helper.make_node(op, [src], ["r"])], [], ["r"])
        for name, op in (("then", "Relu"), ("else", "Neg"))
    }
    return g.add("If", longer, **branches)


@step()
def loop(g: Graph, src: str, x: np.ndarray) -> str:
    """A few rounds that read the value around them."""
    nodes = [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Mul", ["s", "half"], ["h"])]
    nodes += [
        helper.make_node("Constant", [], ["half"], value_float=0.5),
        helper.make_node("Add", ["h", src], ["t"]),
    ]
    body = g.body(
        [nodes[2], nodes[0], nodes[1], nodes[3]],
        [("i", TensorProto.INT64, []), ("go", TensorProto.BOOL, []), ("s", TensorProto.FLOAT, None)],
        ["on", "t"],
    )
    return g.add("Loop", np.array(g.pick(0, 1, 3), np.int64), np.array(True), src, body=body)


@step(4)
def grid_sample(g: Graph, src: str, x: np.ndarray) -> str:
    grid = (g.rng.random((x.shape[0], *[3] * (x.ndim - 2), x.ndim - 2)) * 2.4 - 1.2).astype(np.float32)
    modes = {
        "mode": "linear",
        "padding_mode": g.pick("zeros", "border", "reflection"),
        "align_corners": g.pick(0, 1),
    }
    return g.add("GridSample", src, grid, **modes)


def random_graph(seed: int, number: int, nodes: int = 8) -> onnx.ModelProto:
    """The graph of this number: of about `nodes` operators and one float input `x`, its first dimension
    symbolic in two of five."""
    rng = np.random.default_rng([seed, number])
    graph = Graph(rng, dynamic=bool(rng.random() < 0.4))
    for _ in range(4 * nodes):
        if len(graph.values) <= nodes:
            graph.grow()
    return graph.model(graph.ends())
