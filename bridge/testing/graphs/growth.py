"""A graph that grows by one random step at a time, and what it computes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from bridge.runtime import DISABLED_OPTIMIZERS, SESSION_CONFIG

__all__ = ["STEPS", "Case", "Graph", "grown", "step"]

OPSETS = (20, 21, 22, 23, 24)
LENGTHS = {"n": (2, 3), "t": (5, 4), "h": (6, 9), "w": (7, 5), "m": (1, 3)}
"""Symbolic dimensions, and their lengths at the two settings."""
PATTERNS = ("n", "nt", "tn", "-t", "n", "t")
IMAGES = ("n", "n", "n-hw", "n-h", "---w", "--hw", "nthw", "n-t")
LARGEST, HIGHEST = 3000, 2000
"""Elements of a value, and their magnitude, at most."""
UNJUDGED = frozenset(["GRU", "GlobalMaxPool", "LRN", "LSTM", "Loop", "LpNormalization", "RNN"])
"""Operators of which the reference evaluator computes a part only, or not what the specification says."""
NUDGE = {"float16": 2e-3, "float32": 1e-5, "float64": 1e-5}
SETTINGS = 2
Arrays = dict[str, np.ndarray]


@dataclass
class Value:
    """Answers of ONNX Runtime at each setting, and the same in double."""

    found: list[np.ndarray]
    exact: list[np.ndarray]


@dataclass(frozen=True)
class Case:
    """A model; inputs at two settings of its lengths, what ONNX Runtime answers, and the same in double."""

    model: onnx.ModelProto
    inputs: list[Arrays]
    expected: list[Arrays]
    exact: list[Arrays]


Step = Callable[["Graph", str, np.ndarray], Any]


@dataclass(frozen=True)
class Fits:
    """Values a step takes: of this many axes and these kinds of dtypes, in graphs since this opset. What
    `last` makes is not built upon."""

    rank: int
    most: int
    dtypes: tuple[str, ...]
    since: int
    last: bool

    def takes(self, x: np.ndarray, opset: int) -> bool:
        fits = self.rank <= x.ndim <= self.most and x.dtype.name in self.dtypes
        return fits and bool(x.size) and opset >= self.since


STEPS: dict[Step, Fits] = {}
FLOATS = ("float32",)
ANY_FLOAT = ("float32", "float64", "float16")
INTS = ("int64", "int32")
NUMBERS = ("float32", "float64", "int64", "int32")
BOOL = ("bool",)
ANY = (*ANY_FLOAT, *INTS, *BOOL, "uint8", "int8")


def step(
    rank: int = 1, dtypes: tuple[str, ...] = FLOATS, since: int = 0, most: int = 9, last: bool = False
) -> Callable[[Step], Step]:
    """A way to grow a graph from a value that fits."""

    def register(function: Step) -> Step:
        STEPS[function] = Fits(rank, most, dtypes, since, last)
        return function

    return register


@dataclass
class Graph:
    """Nodes and values so far; `dropped` counts the steps that two judges of ONNX compute differently."""

    rng: np.random.Generator
    opset: int = OPSETS[-1]
    values: dict[str, Value] = field(default_factory=dict)
    inputs: dict[str, list[int | str]] = field(default_factory=dict)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    dropped: Counter[str] = field(default_factory=Counter)
    _names: int = 0

    def begin(self) -> None:
        """Inputs: x; another that shares lengths with it; places in a table, or counts."""
        rank = int(self.rng.choice([1, 2, 3, 3, 4, 4, 4, 5]))
        shape: list[int | str] = [int(n) for n in self.rng.integers(1, 7, rank)]
        if self.rng.random() < 0.75:
            for i, name in enumerate(
                self.pick(*PATTERNS)[: max(rank - 1, 1)] if rank < 4 else self.pick(*IMAGES)
            ):
                shape[i] = shape[i] if name == "-" else name
        self.input("x", shape, self.pick(*["float32"] * 8, "float64", "float16"))
        if self.rng.random() < 0.5:
            other = list(shape)
            i = int(self.rng.integers(rank))
            other[i] = self.pick(other[i], 1, 3, "m", "t")
            self.input("z", other[self.pick(0, 0, 0, 1) if rank > 1 else 0 :], "float32")
        if self.rng.random() < 0.25:
            self.input("k", [*shape[:2]], self.pick("int64", "int32"))

    def input(self, name: str, shape: list[int | str], dtype: str) -> None:
        self.inputs[name] = shape
        lengths = [[n if isinstance(n, int) else LENGTHS[n][s] for n in shape] for s in range(SETTINGS)]
        if dtype.startswith("int"):
            arrays = [self.rng.integers(0, 2, each).astype(dtype) for each in lengths]
        else:
            arrays = [self.rng.standard_normal(each).astype(dtype) for each in lengths]
        self.values[name] = Value(arrays, [_wide(a) for a in arrays])

    def grow(self) -> None:
        """One step that ONNX Runtime computes at both settings, like the reference in double; a proposal
        that is none is forgotten."""
        open_values = [n for n in self.values if n not in self.closed]
        src = str(self.rng.choice(open_values[-4:] if self.rng.random() < 0.8 else open_values))
        x = self.values[src].found[0]
        fitting = [function for function, fits in STEPS.items() if fits.takes(x, self.opset)]
        before = len(self.nodes), dict(self.weights)
        made: dict[str, Value] = {}
        if fitting:
            chances = np.array([max(1, STEPS[function].rank) for function in fitting], float)
            function = fitting[int(self.rng.choice(len(fitting), p=chances / chances.sum()))]
            try:
                names = function(self, src, x)
                names = [names] if isinstance(names, str) else list(names)
                made = self._computed(self.nodes[before[0] :], names, STEPS[function].last)
            except Exception:
                made = {}
        if made:
            self.values |= made
            self.closed |= set(made) if STEPS[function].last else set()
        else:
            del self.nodes[before[0] :]
            self.weights = before[1]

    def _computed(self, nodes: list[onnx.NodeProto], names: list[str], last: bool) -> dict[str, Value]:
        read = [n for n in dict.fromkeys(_names_read(nodes)) if n in self.values]
        model = self.model(nodes, read, names)
        session = _session(model)
        found: dict[str, Value] = {n: Value([], []) for n in names}
        for setting in range(SETTINGS):
            feeds = {n: self.values[n].found[setting] for n in read}
            answers = session.run(names, feeds)
            nudged = session.run(names, {n: _nudged(self.rng, a) for n, a in feeds.items()})
            precise = self._precise(model, {n: self.values[n].exact[setting] for n in read}, answers)
            for name, answer, other, exact in zip(names, answers, nudged, precise, strict=True):
                if not _moderate(answer, last) or not _near(answer, other, 1e-2):
                    return {}
                if not _near(exact, answer, 2e-3 if answer.dtype == np.float16 else 1.5e-4):
                    self.dropped[nodes[-1].op_type] += 1
                    return {}
                found[name].found.append(answer)
                found[name].exact.append(exact)
        return found

    def _precise(self, model: onnx.ModelProto, feeds: Arrays, answers: list[np.ndarray]) -> list[np.ndarray]:
        """The reference in double; what ONNX Runtime answers where it has no opinion."""
        if any(node.op_type in UNJUDGED for node in model.graph.node):
            return [_wide(a) for a in answers]
        try:
            results: Any = ReferenceEvaluator(
                doubled(model), new_ops=[GroupNormalization, MeanVarianceNormalization]
            ).run(None, feeds)
            return [np.asarray(r) for r in results]
        except Exception:
            return [_wide(a) for a in answers]

    def add(self, op: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """A node; its output, or a list of several. Arrays become initializers."""
        names = [self.constant(i) if isinstance(i, (np.ndarray, np.generic)) else i for i in inputs]
        outs = [self.name(op.lower()) for _ in range(outputs)]
        self.nodes.append(helper.make_node(op, names, outs, name=outs[0], **attributes))
        return outs[0] if outputs == 1 else outs

    def name(self, stem: str) -> str:
        self._names += 1
        return f"{stem}_{self._names}"

    def constant(self, array: Any) -> str:
        name = self.name("c")
        self.weights[name] = np.asarray(array)
        return name

    def normal(self, *shape: int) -> np.ndarray:
        return np.asarray(self.rng.standard_normal(shape), np.float32)

    def ints(self, *values: int) -> np.ndarray:
        return np.array(values, np.int64)

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def maybe(self, chance: float = 0.5) -> bool:
        return bool(self.rng.random() < chance)

    def axis(self, x: np.ndarray) -> int:
        return int(self.rng.integers(-x.ndim, x.ndim))

    def others(self, x: np.ndarray, fits: Callable[[np.ndarray], bool]) -> list[str]:
        """Values of the same dtype that fit."""
        return [
            n
            for n, v in self.values.items()
            if n not in self.closed and v.found[0].dtype == x.dtype and fits(v.found[0])
        ]

    def fixed(self, src: str, *axes: int) -> None:
        """Raise where a length is not the same at both settings, or nothing is there."""
        one, other = (np.array(a.shape)[list(axes)] for a in self.values[src].found)
        if not np.array_equal(one, other) or any(not a.size for a in self.values[src].found):
            raise ValueError(f"axes {axes} vary")

    def extents(self, src: str) -> list[int]:
        """Lengths that hold at any setting: of an axis that varies, one or two."""
        one, other = (a.shape for a in self.values[src].found)
        return [m if m == n else min(m, n, 2) for m, n in zip(one, other, strict=True)]

    def length(self, src: str, axis: int) -> str:
        """A length at run time, int64 of rank 1."""
        return self.add("Gather", self.add("Shape", src), self.ints(axis), axis=0)

    def body(self, nodes: list[onnx.NodeProto], inputs: list[Any], outputs: list[Any]) -> onnx.GraphProto:
        """A subgraph, of (name, dtype, shape) in and out; what it makes has names of its own."""
        own = {n for n, *_ in inputs} | {o for n in nodes for o in n.output}
        names = {n: self.name("in") for n in own}
        for node in nodes:
            node.input[:] = [names.get(i, i) for i in node.input]
            node.output[:] = [names[o] for o in node.output]
        before, after = (
            [helper.make_tensor_value_info(names[n], *rest) for n, *rest in side]
            for side in (inputs, outputs)
        )
        return helper.make_graph(nodes, "body", before, after)

    def model(self, nodes: list[onnx.NodeProto], inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
        """A model of some nodes and the weights they read."""
        used = set(_names_read(nodes))
        graph = helper.make_graph(
            nodes,
            "random",
            [
                helper.make_tensor_value_info(n, _dtype(self.values[n].found[0]), self.inputs.get(n))
                for n in inputs
            ],
            [helper.make_empty_tensor_value_info(o) for o in outputs],
            [numpy_helper.from_array(a, n) for n, a in self.weights.items() if n in used],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10)

    def case(self) -> Case | None:
        """The whole, where ONNX Runtime computes it as it did step by step."""
        read = set(_names_read(self.nodes))
        ends = [n for n in self.values if n not in read and n not in self.inputs][:4]
        inputs = [n for n in self.inputs if n in read]
        if not ends or not inputs:
            return None
        model = self.model(self.nodes, inputs, ends)
        for output in model.graph.output:
            output.CopyFrom(
                helper.make_tensor_value_info(output.name, _dtype(self.values[output.name].found[0]), None)
            )
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        for output in model.graph.output:
            for _ in (
                () if output.type.tensor_type.HasField("shape") else self.values[output.name].found[0].shape
            ):
                output.type.tensor_type.shape.dim.add()
            output.type.tensor_type.shape.SetInParent()
        feeds = [{n: self.values[n].found[s] for n in inputs} for s in range(SETTINGS)]
        session = _session(model)
        answers = [dict(zip(ends, session.run(ends, each), strict=True)) for each in feeds]
        exact = [{n: self.values[n].exact[s] for n in ends} for s in range(SETTINGS)]
        same = all(
            _near(self.values[n].found[s], answers[s][n], 1e-2 if answers[s][n].dtype == np.float16 else 1e-4)
            for s in range(SETTINGS)
            for n in ends
        )
        return Case(model, feeds, answers, exact) if same else None


def grown(seed: int, number: int, nodes: int) -> Case:
    """The first graph of this number that ONNX Runtime takes."""
    for attempt in range(100):
        rng = np.random.default_rng([seed, number, attempt])
        graph = Graph(rng, int(rng.choice(OPSETS)))
        graph.begin()
        for _ in range(5 * nodes):
            if len(graph.values) < nodes + len(graph.inputs):
                graph.grow()
        try:
            case = graph.case()
        except Exception:
            case = None
        if case is not None:
            return case
    raise RuntimeError(f"No graph {number} of seed {seed}.")


def doubled(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that computes in double what the model computes in other floats."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _double(copy.graph)
    return copy


class MeanVarianceNormalization(OpRun):
    """The reference has its function body alone, which is of float32."""

    def _run(self, x: np.ndarray, axes: Any = None) -> tuple[np.ndarray]:  # type: ignore[override]
        centred = x - x.mean(tuple(axes or (0, 2, 3)), keepdims=True)
        return (centred / (np.sqrt((centred**2).mean(tuple(axes or (0, 2, 3)), keepdims=True)) + 1e-9),)


class GroupNormalization(OpRun):
    """The reference has its function body alone, whose variance is E[x²] - E[x]²."""

    def _run(  # type: ignore[override]
        self,
        x: np.ndarray,
        scale: np.ndarray,
        bias: np.ndarray,
        epsilon: float = 1e-5,
        num_groups: int = 1,
        stash_type: int = 1,
    ) -> tuple[np.ndarray]:
        groups = x.reshape(len(x), num_groups, -1)
        centred = groups - groups.mean(-1, keepdims=True)
        normal = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
        each, shape = x.shape[1] // len(scale), (1, -1, *[1] * (x.ndim - 2))
        scale, bias = (np.repeat(v, each).reshape(shape) for v in (scale, bias))
        return (normal.reshape(x.shape) * scale + bias,)


FLOAT_TYPES = (TensorProto.FLOAT, TensorProto.FLOAT16)


def _double(graph: onnx.GraphProto) -> None:
    for port in (*graph.input, *graph.output, *graph.value_info):
        if port.type.tensor_type.elem_type in FLOAT_TYPES:
            port.type.tensor_type.elem_type = TensorProto.DOUBLE
    for tensor in graph.initializer:
        _widen(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype", "stash_type") and attribute.i in FLOAT_TYPES:
                attribute.i = TensorProto.DOUBLE
            if attribute.HasField("t"):
                _widen(attribute.t)
            if attribute.HasField("g"):
                _double(attribute.g)


def _widen(tensor: onnx.TensorProto) -> None:
    if tensor.data_type in FLOAT_TYPES:
        tensor.CopyFrom(numpy_helper.from_array(_wide(numpy_helper.to_array(tensor)), tensor.name))


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _names_read(nodes: Any) -> Iterator[str]:
    """Names that nodes read, those of their bodies among them."""
    for node in nodes:
        yield from node.input
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _names_read(attribute.g.node)


def _nudged(rng: np.random.Generator, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind != "f":
        return array
    return (array + NUDGE[array.dtype.name] * rng.standard_normal(array.shape) * abs(array)).astype(
        array.dtype
    )


def _moderate(array: np.ndarray, last: bool) -> bool:
    if array.size > LARGEST:
        return False
    if array.dtype.kind in "bOSU":
        return True
    if array.dtype.kind in "iu":
        return bool((np.abs(array.astype(np.float64)) <= 2**30).all())
    return last or bool(np.isfinite(array).all() and (abs(array) <= HIGHEST).all())


def _near(a: np.ndarray, b: np.ndarray, part: float) -> bool:
    """Equal to a part of the largest element, and of each; not finite in the same places."""
    if a.shape != b.shape:
        return False
    if a.dtype.kind not in "f" or b.dtype.kind not in "f":
        return bool(np.array_equal(a, b))
    x, y = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(x)
    if not np.array_equal(np.where(finite, 0, x), np.where(np.isfinite(y), 0, y), equal_nan=True):
        return False
    x, y = x[finite], y[finite]
    return bool((abs(x - y) <= part * (0.3 + abs(x))).all())


def _dtype(array: np.ndarray) -> int:
    return int(helper.np_dtype_to_tensor_dtype(array.dtype))


def _session(model: onnx.ModelProto) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    for key, value in SESSION_CONFIG.items():
        options.add_session_config_entry(key, value)
    return ort.InferenceSession(model.SerializeToString(), options, disabled_optimizers=DISABLED_OPTIMIZERS)
