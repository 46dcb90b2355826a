"""The net under construction, as handlers see it: `ov.Add(x, y)` appends a layer and returns its port."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import subgraphs
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_openvino.document import ELEMENTS, Layer, Net, Port

# The opset that introduced each operator in the form written here.
VERSIONS = {
    "Acosh": 4, "Asinh": 4, "Atanh": 4, "AvgPool": 14, "BitwiseAnd": 13, "BitwiseNot": 13, "BitwiseOr": 13,
    "BitwiseXor": 13, "Broadcast": 3, "CumSum": 3, "Gather": 8, "GatherElements": 6, "GatherND": 8,
    "Gelu": 7, "GridSample": 9, "HSwish": 4, "Identity": 16, "If": 8, "IsInf": 10, "IsNaN": 10,
    "LogSoftmax": 5, "LogicalXor": 2, "Loop": 5, "MaxPool": 8, "Mish": 4, "NonMaxSuppression": 9,
    "NonZero": 3, "Pad": 12, "ROIAlign": 9, "Range": 4, "ReduceL1": 4, "ReduceL2": 4, "Round": 5,
    "ScatterElementsUpdate": 12, "ScatterNDUpdate": 15, "ShapeOf": 3, "Slice": 8, "SoftMax": 8,
    "SoftPlus": 4, "SoftSign": 9, "TopK": 11, "Unique": 10,
}  # fmt: skip
TRUTHS = frozenset(
    [
        "Equal",
        "NotEqual",
        "Less",
        "LessEqual",
        "Greater",
        "GreaterEqual",
        "LogicalAnd",
        "LogicalOr",
        "LogicalXor",
        "LogicalNot",
        "IsNaN",
        "IsInf",
    ]
)

BROADCASTING = TRUTHS - {"LogicalNot", "IsNaN", "IsInf"} | frozenset(
    [
        "Add",
        "Subtract",
        "Multiply",
        "Divide",
        "Mod",
        "Power",
        "Maximum",
        "Minimum",
        "Select",
        "BitwiseAnd",
        "BitwiseOr",
        "BitwiseXor",
    ]
)


class Layers:
    """`net` grows with every layer, as the rules of `ops` write them. Inputs are hub values, ports, arrays or
    lists of integers (int64); keywords are attributes."""

    def __init__(self, graph: ir.Graph, inputs: list[ir.Value], ops: OpTable) -> None:
        self.ops = ops
        self.net = Net(graph.name or "model")
        self.ports: dict[ir.Value, Port] = {}
        for value in inputs:
            made = self.add("Parameter", shape=_shape(value), element_type=value.dtype)
            self.name(made, value)

    def __getattr__(self, kind: str) -> Any:
        if kind.startswith("_"):
            raise AttributeError(kind)
        return functools.partial(self.add, kind)

    def add(
        self, kind: str, *inputs: Any, _outputs: int = 1, _dtype: ir.DataType | None = None, **attributes: Any
    ) -> Any:
        """Append a layer; its port, or a tuple of them where it makes several."""
        ports = [self.port(x) for x in inputs]
        layer = Layer(kind, f"opset{VERSIONS.get(kind, 1)}", f"{kind}_{len(self.net.layers)}", inputs=ports)
        layer.data = {name: text(value) for name, value in attributes.items()}
        layer.data |= {"auto_broadcast": "numpy"} if kind in BROADCASTING else {}
        dtype = _dtype or (ir.DataType.BOOL if kind in TRUTHS else ports[0].dtype if ports else None)
        layer.outputs = [Port(layer, dtype) for _ in range(_outputs)]
        self.net.layers.append(layer)
        return layer.outputs[0] if _outputs == 1 else tuple(layer.outputs)

    def port(self, x: Any) -> Port:
        if isinstance(x, Port):
            return x
        if not isinstance(x, ir.Value):
            return self.const(np.asarray(x, None if isinstance(x, np.ndarray) else np.int64))
        if x not in self.ports:
            array = hub.const(x)
            assert array is not None, f"{x.name} is read before it is made"
            self.ports[x] = self.const(array, x.dtype)
            self.ports[x].layer.name = x.name or ""
        return self.ports[x]

    def const(self, array: np.ndarray, dtype: ir.DataType | None = None) -> Port:
        """A constant, with its number of dimensions."""
        kind = dtype or ir.DataType.from_numpy(array.dtype)
        made = self.add("Const", element_type=kind, shape=list(array.shape))
        made.layer.array, made.dtype, made.dims = array, kind, array.shape
        return made

    def scalar(self, x: Any) -> Port:
        """`x`, of one element, without dimensions."""
        array = hub.const(x) if isinstance(x, ir.Value) else self.port(x).layer.array
        if array is not None:
            return self.const(array.reshape(()), x.dtype)
        return self.Reshape(x, self.const(np.zeros(0, np.int64)), special_zero=False)

    def like(self, number: float, x: Any) -> Port:
        """A scalar of the dtype of `x`."""
        dtype = self.port(x).dtype
        assert dtype is not None
        return self.const(np.asarray(number, dtype.numpy()), dtype)

    def name(self, port: Port, value: ir.Value) -> None:
        """`port` is `value` from here on; it has its name, dtype and dimensions."""
        self.ports[value] = port
        port.layer.name = port.name = value.name or ""
        port.dtype = value.dtype
        port.dims = (
            None if value.shape is None else tuple(d if isinstance(d, int) else None for d in value.shape)
        )

    def fill(self, graph: ir.Graph, stacked: int | None = None) -> None:
        """Append the operators of `graph`, and a Result for each of its outputs; those from the number
        `stacked` on get a first dimension of 1, along which a loop collects them."""
        for node in graph:
            rule = self.ops.find(hub.qualified(node), node)
            assert rule is not None
            results = rule.apply(self, node, *node.inputs)
            for value, port in zip(
                node.outputs, results if isinstance(results, tuple) else (results,), strict=False
            ):
                if value.name:
                    self.name(port, value)
        for index, value in enumerate(graph.outputs):
            made = self.ports.get(value)
            if made is None or made.layer.type in ("Parameter", "Const"):
                made = self.Identity(value)
                self.name(made, value)
            if stacked is not None and index >= stacked:
                made = self.Unsqueeze(made, [0])
            self.add("Result", made, _outputs=0)


def text(value: Any) -> str:
    """An attribute as IR spells it."""
    if isinstance(value, ir.DataType):
        return ELEMENTS[value]
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _shape(value: ir.Value) -> str:
    assert value.shape is not None
    return ",".join(str(d) if isinstance(d, int) else "?" for d in value.shape)


def captured(node: ir.Node) -> list[ir.Value]:
    """Run-time values of the graphs around that the bodies of `node` read, in order."""
    found: dict[ir.Value, None] = {}
    for graph in subgraphs(node):
        own = {*graph.inputs, *(v for inner in graph for v in inner.outputs)}
        for inner in graph:
            read = [v for v in inner.inputs if v is not None] + captured(inner)
            found |= dict.fromkeys(v for v in read if v not in own and hub.const(v) is None)
        found |= dict.fromkeys(v for v in graph.outputs if v not in own and hub.const(v) is None)
    return list(found)


def _holds(value: ir.Value) -> bool:
    named = all(c.isprintable() for c in value.name or "")
    return isinstance(value.type, ir.TensorType) and value.dtype in HELD and value.shape is not None and named


HELD = frozenset(
    ir.DataType[name]
    for name in ["FLOAT", "FLOAT16", "BFLOAT16", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "BOOL"]
)
VALUES = condition(
    "a tensor of known rank, of a dtype OpenVINO's CPU computes, with a printable name", _holds
)
