"""A TensorFlow graph under construction: hub values as tensors, and raw operators by name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.ops import Need
from bridge_savedmodel.convolution import filter_order
from bridge_savedmodel.export_ops import ops
from bridge_savedmodel.tensorflow import TYPES, dtype_of, tensorflow

FLOATS = (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


class Graph:
    """A hub graph being traced. `tf.AddV2(x, y)` adds the raw operator of that name, its inputs by position
    and its attributes by name.

    Inputs are hub values, tensors that an earlier call returned, arrays, numbers, or lists of them. Results
    are tensors. Values of the enclosing graphs are captured.
    """

    def __init__(self, outer: Graph | None = None) -> None:
        self.outer = outer
        self.variables: dict[tuple[ir.Value, tuple[int, ...] | None], Any] = outer.variables if outer else {}
        self.trained: set[ir.Value] = outer.trained if outer else set()
        self.tables: list[Any] = outer.tables if outer else []
        self.values: dict[ir.Value, Any] = {}
        self.api = tensorflow()

    def __getattr__(self, operator: str) -> Any:
        if not operator[0].isupper():
            raise AttributeError(operator)
        return functools.partial(self.call, operator)

    def call(self, operator: str, *inputs: Any, **attributes: Any) -> Any:
        """Add a raw operator; its tensor, or a named tuple of tensors."""
        function, names = _raw_operator(operator)
        arguments = {name: self.tensor(value) for name, value in zip(names, inputs, strict=False)}
        return function(**arguments, **attributes)

    def tensor(self, value: Any) -> Any:
        """The tensor of a hub value; anything else unchanged."""
        if isinstance(value, (list, tuple)) and any(isinstance(v, ir.Value) or _is_tensor(v) for v in value):
            return [self.tensor(v) for v in value]
        if not isinstance(value, ir.Value):
            return value
        graph: Graph | None = self
        while graph is not None:
            if value in graph.values:
                return graph.values[value]
            graph = graph.outer
        if value.const_value is None:
            raise KeyError(value.name)
        self.values[value] = self._initializer(value)
        return self.values[value]

    def _initializer(self, value: ir.Value) -> Any:
        if value in self.trained:
            return self.weight_tensor(value)
        return self.constant(_content(value), value.dtype)

    def make_variables(self, model: ir.Model) -> None:
        """Create a variable for every float initializer, in the layout its consumers take: for filters that
        of TensorFlow."""
        for value in model.graph.initializers.values():
            if value.dtype not in FLOATS or not value.shape or value.is_graph_input():
                continue
            array = _content(value)
            for order in dict.fromkeys(filter_order(use.node, use.idx) for use in value.uses()):
                weights = array if order is None else np.ascontiguousarray(array.transpose(order))
                self.variables[value, order] = self.api.Variable(
                    weights, name=_identifier(value.name or "weights")
                )
            self.trained.add(value)

    def weight_tensor(self, value: ir.Value, order: tuple[int, ...] | None = None) -> Any:
        """The variable of an initializer, or a constant, with its dimensions permuted by `order`."""
        variable = self.variables.get((value, order))
        if variable is not None:
            return variable.read_value()
        array = _content(value)
        return self.constant(
            array if order is None else np.ascontiguousarray(array.transpose(order)), value.dtype
        )

    def constant(self, array: Any, dtype: ir.DataType | None = None) -> Any:
        """A constant tensor."""
        return self.api.constant(array, None if dtype is None else dtype_of(dtype))

    def lookup(self, keys: Any, queries: Any) -> Any:
        """Index of each query among `keys`, the number of keys if it is not among them: int64, shape of
        `queries`."""
        api = self.api
        with api.init_scope():
            unique_keys = api.constant(api.get_static_value(keys) if _is_tensor(keys) else keys)
            table = api.lookup.StaticHashTable(
                api.lookup.KeyValueTensorInitializer(
                    unique_keys, api.range(len(unique_keys), dtype=api.int64)
                ),
                len(unique_keys),
            )
        self.tables.append(table)
        return table.lookup(queries)

    def dtype(self, dtype: Any) -> Any:
        """TensorFlow's dtype for a hub dtype, or its ONNX number."""
        return dtype_of(ir.DataType(dtype))

    def lengths(self, value: ir.Value) -> list[Any]:
        """Dimensions of a hub value, each an int or an int64 scalar tensor."""
        assert value.shape is not None
        dims = list(value.shape)
        if all(isinstance(d, int) for d in dims):
            return dims
        lengths = self.Unpack(self.Shape(value, out_type=self.api.int64), num=len(dims), axis=0)
        return [d if isinstance(d, int) else t for d, t in zip(dims, lengths, strict=True)]

    def vector(self, elements: Sequence[Any]) -> Any:
        """An int64 vector of ints and scalar tensors."""
        if not any(_is_tensor(p) for p in elements):
            return np.array(elements, np.int64)
        return self.Pack([self.api.cast(p, self.api.int64) for p in elements], axis=0)

    def fill_subgraph(self, graph: ir.Graph, tensors: Sequence[Any]) -> list[Any]:
        """Results of a subgraph for the given inputs, within the TensorFlow graph under construction."""
        nested = Graph(self)
        nested.values.update(zip(graph.inputs, tensors, strict=True))
        return nested.fill(graph)

    def fill(self, graph: ir.Graph) -> list[Any]:
        """Add every node of `graph`; the tensors of its outputs."""
        for node in graph:
            rule = ops.find(hub.qualified(node), node)
            assert rule is not None
            results = rule.apply(self, node, *node.inputs)
            outputs = results if isinstance(results, (tuple, list)) else (results,)
            self.values.update(zip(node.outputs, outputs, strict=False))
        return [self.tensor(value) for value in graph.outputs]


def _content(value: ir.Value) -> np.ndarray:
    """Content of an initializer."""
    assert value.const_value is not None
    return value.const_value.numpy()


@functools.cache
def _raw_operator(operator: str) -> tuple[Callable, tuple[str, ...]]:
    """The function of tf.raw_ops and the names of its parameters."""
    function = getattr(tensorflow().raw_ops, operator)
    return function, tuple(inspect.signature(function).parameters)


def _is_tensor(value: Any) -> bool:
    return tensorflow().is_tensor(value)


def _identifier(name: str) -> str:
    """`name` with only the characters TensorFlow allows in names."""
    allowed = "".join(c if (c.isalnum() and c.isascii()) or c in "_.-/" else "_" for c in name)
    return allowed if allowed[:1].isalnum() else f"v{allowed}"


def _has_tensorflow_dtype(value: ir.Value) -> bool:
    return isinstance(value.type, ir.TensorType) and value.dtype in TYPES


VALUES = Need("a tensor of a dtype TensorFlow has", _has_tensorflow_dtype)
