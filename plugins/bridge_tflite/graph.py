"""Subgraphs of a TFLite file built into hub graphs: operators as import handlers see them, tensors as hub
values."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from flatbuffers import flexbuffers

from bridge import hub
from bridge.errors import Blocker, UnreadableFile, UnsupportedModel
from bridge.quant import QuantParams
from bridge_tflite.import_ops import ops
from bridge_tflite.import_ops.common import check_count
from bridge_tflite.import_ops.state import Resource, State
from bridge_tflite.reader import DTYPES, File, Operator, Subgraph, Tensor

DEPTH = 16
LARGEST = 200_000
INTEGER_SEMANTICS = frozenset(
    [
        "BROADCAST_ARGS",
        "BROADCAST_TO",
        "CAST",
        "EXPAND_DIMS",
        "GATHER",
        "GATHER_ND",
        "RESHAPE",
        "REVERSE_V2",
        "SHAPE",
        "RANK",
        "SLICE",
        "SPLIT",
        "SPLIT_V",
        "SQUEEZE",
        "STRIDED_SLICE",
        "TILE",
        "TRANSPOSE",
        "PACK",
        "UNPACK",
        "DEPTH_TO_SPACE",
        "SPACE_TO_DEPTH",
        "QUANTIZE",
        "DEQUANTIZE",
        "CALL",
        "CALL_ONCE",
        "IF",
        "WHILE",
        "FILL",
        "MIRROR_PAD",
        "DYNAMIC_UPDATE_SLICE",
        "DENSIFY",
        "FLOOR_DIV",
        "FLOOR_MOD",
        "RIGHT_SHIFT",
        "BITWISE_XOR",
        "BITCAST",
        "LSH_PROJECTION",
        "VAR_HANDLE",
        "READ_VARIABLE",
        "ASSIGN_VARIABLE",
        "HASHTABLE",
        "HASHTABLE_FIND",
        "HASHTABLE_IMPORT",
        "HASHTABLE_SIZE",
        "SCATTER_ND",
        "SPARSE_TO_DENSE",
        "ONE_HOT",
        "UNIQUE",
        "WHERE",
        "STABLEHLO_CASE",
        "STABLEHLO_WHILE",
        "STABLEHLO_COMPOSITE",
    ]
)
"""Operators whose handlers take quantized tensors as stored integers; all others take them dequantized."""
CONTROL = {
    "CALL": ["subgraph"],
    "CALL_ONCE": ["initSubgraphIndex"],
    "IF": ["thenSubgraphIndex", "elseSubgraphIndex"],
    "WHILE": ["condSubgraphIndex", "bodySubgraphIndex"],
    "STABLEHLO_WHILE": ["condSubgraphIndex", "bodySubgraphIndex"],
    "STABLEHLO_COMPOSITE": ["decompositionSubgraphIndex"],
}
INNER = frozenset(["IF", "WHILE", "STABLEHLO_CASE", "STABLEHLO_WHILE"])
HANDLES = frozenset(
    [
        "CALL",
        "CALL_ONCE",
        "VAR_HANDLE",
        "READ_VARIABLE",
        "ASSIGN_VARIABLE",
        "HASHTABLE",
        "HASHTABLE_FIND",
        "HASHTABLE_IMPORT",
        "HASHTABLE_SIZE",
    ]
)
COMPLEX = frozenset(["RFFT2D", "REAL", "IMAG", "COMPLEX_ABS"])
TEXT = frozenset(
    [
        "EQUAL",
        "NOT_EQUAL",
        "GATHER",
        "GATHER_ND",
        "RESHAPE",
        "SLICE",
        "STRIDED_SLICE",
        "CONCATENATION",
        "FILL",
        "SQUEEZE",
        "EXPAND_DIMS",
        "PACK",
        "UNPACK",
        "SHAPE",
        "RANK",
        "SELECT",
        "SELECT_V2",
        "TILE",
        "TRANSPOSE",
        "SPLIT",
        "SPLIT_V",
        "IF",
        "WHILE",
        "CALL",
        "HASHTABLE_FIND",
        "HASHTABLE_IMPORT",
        "SKIP_GRAM",
        "LSH_PROJECTION",
    ]
)
REAL_SEMANTICS = frozenset(
    [
        "ADD",
        "SUB",
        "MUL",
        "SUM",
        "MEAN",
        "RELU",
        "RELU6",
        "RELU_N1_TO_1",
        "RELU_0_TO_1",
        "LOGISTIC",
        "TANH",
        "HARD_SWISH",
        "GELU",
        "ELU",
        "EXP",
        "LOG",
        "RSQRT",
        "LEAKY_RELU",
        "PRELU",
        "SOFTMAX",
        "LOG_SOFTMAX",
        "L2_NORMALIZATION",
        "SQUARED_DIFFERENCE",
        "AVERAGE_POOL_2D",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "FULLY_CONNECTED",
        "BATCH_MATMUL",
        "TRANSPOSE_CONV",
    ]
)
"""Operators whose 8-bit kernels need a scale, because they compute with the real numbers."""
CUSTOM = "tflite.custom"
REFUSED = {
    "CONCAT_EMBEDDINGS": "has no kernel in LiteRT",
    "DELEGATE": "stands for hardware of another machine",
    "PLACEHOLDER_FOR_GREATER_OP_CODES": "stands for no operator",
    "STABLEHLO_RNG_BIT_GENERATOR": "gives the bits of its own random generator, which ONNX does not have",
}


class Node:
    """One TFLite operator as import handlers see it."""

    def __init__(self, file: File, subgraph: Subgraph, operator: Operator, scope: Scope | None) -> None:
        self.file, self.subgraph, self.operator, self.scope = file, subgraph, operator, scope
        self.op, self.outputs = operator.name, operator.outputs
        self.rule = f"custom::{self.op}" if operator.custom else self.op

    def get(self, field: str, default: Any = None) -> Any:
        """Field of the operator's options, or `default` without one."""
        value = getattr(self.operator.options, field, default)
        return default if value is None else value

    def has(self, index: int) -> bool:
        return index < len(self.operator.inputs) and self.operator.inputs[index] >= 0

    def tensor(self, index: int) -> Tensor:
        """Tensor of input `index`."""
        return self.subgraph.tensors[self.operator.inputs[index]]

    def out(self, index: int) -> Tensor:
        """Tensor of output `index`."""
        return self.subgraph.tensors[self.outputs[index]]

    def shape(self, index: int) -> list[int | None]:
        return self.tensor(index).dims

    def type(self, index: int) -> str:
        return self.tensor(index).type

    def out_type(self, index: int = 0) -> str:
        return self.out(index).type

    def dtype(self, index: int) -> ir.DataType:
        return dtype_of(self.tensor(index))

    def out_dtype(self, index: int = 0) -> ir.DataType:
        return dtype_of(self.out(index))

    def constant(self, index: int) -> bool:
        return not self.has(index) or self.file.data(self.tensor(index).buffer) is not None

    def title(self) -> str:
        return self.out(0).name if self.outputs else ""

    def tensors(self) -> list[Tensor]:
        return [self.subgraph.tensors[i] for i in (*self.operator.inputs, *self.outputs) if i >= 0]

    def subgraphs(self) -> list[int]:
        """Indices of the subgraphs that the operator runs."""
        if self.op == "STABLEHLO_CASE":
            indices = self.get("branchSubgraphIndices", [])
            return [int(i) for i in indices]
        return [self.get(field, 0) for field in CONTROL.get(self.op, ())]

    @functools.cached_property
    def custom(self) -> dict[str, Any]:
        """Options of a custom operator as a dict, if they are encoded as a flexbuffer map; else empty."""
        try:
            options = flexbuffers.Loads(self.operator.custom_options)
        except Exception:
            return {}
        return options if isinstance(options, dict) else {}

    def refusal(self, allow_custom: bool, inner: bool) -> str | None:
        """Reason why the operator cannot be read, or None."""
        if self.op in REFUSED and not self.operator.custom:
            return REFUSED[self.op]
        if self.operator.custom and self.rule not in ops and not allow_custom:
            return "is a custom operator without a rule; allow_custom keeps it as it is"
        for tensor in self.tensors():
            if tensor.type == "RESOURCE" and self.op in HANDLES:
                continue
            if tensor.type not in DTYPES:
                return f"has a tensor of type {tensor.type}"
            if tensor.type == "COMPLEX64" and self.op in COMPLEX:
                continue
            if "COMPLEX" in tensor.type:
                return "has complex numbers"
            if tensor.block and self.op != "FULLY_CONNECTED":
                return "reads weights quantized in blocks, which LiteRT's kernel of it does not"
            if tensor.type == "STRING" and self.op not in TEXT and not self.operator.custom:
                return "has strings, which the ONNX operator does not take"
        if (
            self.op in REAL_SEMANTICS
            and self.has(0)
            and self.type(0) in ("INT8", "UINT8")
            and self.tensor(0).scale is None
        ):
            return "computes on 8-bit integers without a scale, to which LiteRT gives no meaning"
        if (
            self.op in ("SUM", "MEAN", "RELU")
            and self.has(0)
            and self.type(0) == "INT16"
            and self.tensor(0).scale is None
        ):
            return "computes on 16-bit integers without a scale, to which LiteRT gives no meaning"
        if inner and (self.op == "ASSIGN_VARIABLE" or any(t.variable for t in self.tensors())):
            return "changes a variable inside a branch or a loop"
        if self.operator.custom and self.rule not in ops:
            return None
        return None if self._reads_unstated() and self.rule in ops else ops.refusal(self.rule, self)

    def _reads_unstated(self) -> bool:
        """True if an operator before makes an input that states no shape, as older converters wrote it:
        whether a rule takes this one is known when its inputs are."""
        unstated = {i for i in self.operator.inputs if i >= 0 and not self.subgraph.tensors[i].dims}
        return bool(unstated) and any(unstated & {*o.outputs} for o in self.subgraph.operators)

    def state(self, op: hub.Builder, index: int) -> Any:
        """Present value of the variable of input `index`, dequantized."""
        assert self.scope is not None
        return self.scope.real(op, self.operator.inputs[index])

    def assign(self, op: hub.Builder, index: int, value: Any) -> None:
        """Assign the real-valued `value` to the variable of input `index`; a quantized variable quantizes
        it."""
        assert self.scope is not None
        self.scope.assign(op, self.operator.inputs[index], value)

    def inline(self, op: hub.Builder, index: int, inputs: Sequence[Any]) -> list[ir.Value]:
        """Outputs of subgraph `index` for `inputs`, inlined into the graph of `op`."""
        assert self.scope is not None
        inner = Scope(self.file, index, op.graph, self.scope.state, self.scope.depth + 1, self.scope.budget)
        inner.values = dict(zip(inner.subgraph.inputs, inputs, strict=True))
        inner.run(op)
        return [inner.value(op, i) for i in inner.subgraph.outputs]

    def choice(self, op: hub.Builder, index: Any, branches: Sequence[int], inputs: Sequence[Any]) -> Any:
        """Outputs of branch number `index` of `branches`; of the last one if `index` is out of range."""
        if len(branches) == 1:
            return tuple(self.inline(op, branches[0], inputs))
        else_graph = ir.Graph([], [], nodes=[], name="others", opset_imports={"": hub.HUB_OPSET})
        inner = hub.Builder(else_graph)
        else_results = self.choice(inner, index, branches[1:], inputs)
        else_graph.outputs.extend(
            inner.Identity(v) for v in (else_results if isinstance(else_results, tuple) else (else_results,))
        )
        is_first = op.Reshape(op.Equal(index, np.int64(len(self.subgraphs()) - len(branches))), [1])
        return op.If(
            is_first,
            then_branch=self.branch(branches[0], inputs),
            else_branch=else_graph,
            _outputs=len(self.outputs),
        )

    def branch(self, index: int, inputs: Sequence[Any]) -> ir.Graph:
        """Subgraph `index` as a graph without inputs; it captures `inputs` from the outer graph."""
        graph = ir.Graph([], [], nodes=[], name=f"branch_{index}", opset_imports={"": hub.HUB_OPSET})
        op = hub.Builder(graph)
        graph.outputs.extend(op.Identity(v) for v in self.inline(op, index, inputs))
        return graph

    def loop(self, condition: int, body: int, inputs: Sequence[Any]) -> ir.Graph:
        """Body of an ONNX Loop: subgraph `body`, then `condition` on its results.

        A carried value is declared with the dimensions that every step keeps.
        """
        ranks = [len(self.subgraph.tensors[i].dims) for i in self.operator.inputs]
        shapes = [
            value.shape if value.shape is not None and value.shape.is_static() else ir.Shape([None] * rank)
            for value, rank in zip(inputs, ranks, strict=True)
        ]
        graph = self._loop(condition, body, shapes)
        steady = [
            _common_lengths(shape, v.shape) for shape, v in zip(shapes, list(graph.outputs)[1:], strict=True)
        ]
        return graph if steady == shapes else self._loop(condition, body, steady)

    def _loop(self, condition: int, body: int, shapes: Sequence[ir.Shape]) -> ir.Graph:
        dtypes = [dtype_of(self.subgraph.tensors[i]) for i in self.operator.inputs]
        graph = ir.Graph([], [], nodes=[], name=f"body_{body}", opset_imports={"": hub.HUB_OPSET})

        def port(stem: str, dtype: ir.DataType, shape: ir.Shape) -> ir.Value:
            return ir.Value(name=hub.fresh_name(graph, stem), type=ir.TensorType(dtype), shape=shape)

        carried = [port("carried", dtype, shape) for dtype, shape in zip(dtypes, shapes, strict=True)]
        iteration = port("count", ir.DataType.INT64, ir.Shape([]))
        graph.inputs.extend([iteration, port("go", ir.DataType.BOOL, ir.Shape([1])), *carried])
        op = hub.Builder(graph)
        results = self.inline(op, body, carried)
        cond_out = op.Reshape(self.inline(op, condition, results)[0], [1])
        graph.outputs.extend(op.Identity(v) for v in (cond_out, *results))
        return graph


def _common_lengths(before: ir.Shape, after: ir.Shape | None) -> ir.Shape:
    """Dimensions of `before` that `after` has too; the others become unknown."""
    dims = list(after) if after is not None and len(after) == len(before) else [None] * len(before)
    return ir.Shape([b if isinstance(b, int) and a == b else None for a, b in zip(dims, before, strict=True)])


class Scope:
    """One subgraph being built into a hub graph: hub values by tensor index, stored dtypes (quantized tensors
    as integers)."""

    def __init__(
        self,
        file: File,
        index: int,
        graph: Any,
        state: State,
        depth: int = 0,
        budget: list[int] | None = None,
    ) -> None:
        if depth > DEPTH:
            raise UnreadableFile(f"{file.path}: subgraphs call one another more than {DEPTH} deep.")
        self.file, self.subgraph, self.graph, self.depth = file, file.subgraphs[index], graph, depth
        self.state = state
        self.budget = budget if budget is not None else [LARGEST]
        self.values: dict[int, ir.Value] = {}

    def input(self, index: int, name: str) -> ir.Value:
        tensor = self.subgraph.tensors[index]
        dims = [f"{name}_{i}" if d is None else d for i, d in enumerate(tensor.dims)]
        return ir.Value(name=name, type=ir.TensorType(dtype_of(tensor)), shape=ir.Shape(dims))

    def value(self, op: hub.Builder, index: int) -> ir.Value:
        """Hub value of a tensor in its stored dtype."""
        if index not in self.values:
            tensor = self.subgraph.tensors[index]
            if tensor.variable:
                return self.state.read(
                    (id(self.subgraph), index),
                    tensor.name,
                    dtype_of(tensor),
                    tensor.dims,
                    initial_state(tensor),
                )
            array = self.file.array(tensor)
            if array is None and 0 not in tensor.dims:
                raise UnreadableFile(f"{self.file.path}: {tensor.name} is read before it is made.")
            array = np.zeros([d or 0 for d in tensor.dims], DTYPES[tensor.type]) if array is None else array
            constant = op.const(_ir_tensor(array))
            self.values[index] = constant
        return self.values[index]

    def real(self, op: hub.Builder, index: int) -> ir.Value:
        """Hub value of a tensor, dequantized if the tensor is quantized."""
        tensor, value = self.subgraph.tensors[index], self.value(op, index)
        if not tensor.quantized:
            return value
        if tensor.type == "INT64":
            return self._wide(op, tensor)
        return self._params(tensor).dequantize_linear(op, value)

    def _wide(self, op: hub.Builder, tensor: Tensor) -> ir.Value:
        """An int64 bias as a float32 constant: DequantizeLinear takes 32 bits at most."""
        array = self.file.array(tensor)
        if array is None:
            raise UnreadableFile(f"{self.file.path}: {tensor.name} is computed in 64 bits and has a scale.")
        return op.const((array * tensor.scale.astype(np.float64)).astype(np.float32))  # type: ignore[union-attr]

    def _integers(self, op: hub.Builder, tensor: Tensor, value: ir.Value) -> ir.Value:
        """`value` quantized to the dtype of the tensor: at most 16 bits, as QuantizeLinear takes."""
        if tensor.type in ("INT32", "INT64"):
            bits = tensor.type.removeprefix("INT")
            raise UnreadableFile(
                f"{self.file.path}: {tensor.name} is computed in {bits} bits and has a scale."
            )
        return self._params(tensor).quantize_linear(op, value)

    def _params(self, tensor: Tensor) -> QuantParams:
        if tensor.type == "INT32" and np.any(tensor.zero_point):
            raise UnreadableFile(f"{self.file.path}: {tensor.name} has a zero point in 32 bits.")
        try:
            along = tensor.axis, tensor.block
            return QuantParams.of(tensor.scale, tensor.zero_point, dtype_of(tensor), *along)
        except ValueError:
            raise UnreadableFile(
                f"{self.file.path}: {tensor.name} is quantized along no axis of it."
            ) from None

    def run(self, op: hub.Builder) -> None:
        for operator in self.subgraph.operators:
            self.budget[0] -= 1
            if self.budget[0] < 0:
                raise UnreadableFile(f"{self.file.path} expands to more than {LARGEST} operators.")
            self._operator(op, Node(self.file, self.subgraph, operator, self))

    def _operator(self, op: hub.Builder, node: Node) -> None:
        op.begin(node.op, node.title())
        rule = ops.find(node.rule, node)
        if rule is None and node.rule in ops:
            reason = ops.refusal(node.rule, node) or ""
            raise UnsupportedModel(
                f"An operator of {self.file.path} cannot be read:",
                [Blocker(node.op, node.title(), "", reason)],
            )
        if rule is None:
            self._keep_custom(op, node)
            return
        stored = node.op in INTEGER_SEMANTICS
        get = self.value if stored else self.real
        inputs = [None if i < 0 else get(op, i) for i in node.operator.inputs]
        results = rule.apply(op, node, *inputs)
        self._store(op, node, results, stored)

    def _keep_custom(self, op: hub.Builder, node: Node) -> None:
        """Keep an unknown custom operator as a node of domain `tflite.custom`: stored inputs, options as
        uint8."""
        op.graph.opset_imports[CUSTOM] = 1
        custom_node = ir.Node(
            CUSTOM,
            node.op,
            [None if i < 0 else self.value(op, i) for i in node.operator.inputs],
            [
                ir.AttrTensor(
                    "custom_options", ir.tensor(np.frombuffer(node.operator.custom_options, np.uint8))
                )
            ],
            num_outputs=len(node.outputs),
        )
        for value, index in zip(custom_node.outputs, node.outputs, strict=True):
            tensor = self.subgraph.tensors[index]
            value.type, value.shape = ir.TensorType(dtype_of(tensor)), ir.Shape(tensor.dims)
            self.values[index] = value
        op.insert(custom_node)

    def assign(self, op: hub.Builder, index: int, value: Any) -> None:
        tensor = self.subgraph.tensors[index]
        if tensor.quantized and value.dtype == ir.DataType.FLOAT:
            value = self._integers(op, tensor, value)
        self.state.write((id(self.subgraph), index), tensor.name, value, index)

    def _store(self, op: hub.Builder, node: Node, results: Any, stored: bool) -> None:
        """Results as values of the tensors; of those that state no shape, with the one inferred."""
        results = results if isinstance(results, tuple) else (results,)
        for index, value in zip(node.outputs, results, strict=True):
            tensor = self.subgraph.tensors[index]
            if isinstance(value, Resource):
                self.values[index] = value  # type: ignore[assignment]
                continue
            if value.shape is None and tensor.dims:
                value.shape = ir.Shape([None] * len(tensor.dims))
            if value.shape and not tensor.dims:
                tensor.dims[:] = [d if isinstance(d, int) else None for d in value.shape]
            if value.type is None:
                value.type = ir.TensorType(
                    dtype_of(tensor) if stored or not tensor.quantized else ir.DataType.FLOAT
                )
            if tensor.quantized and value.dtype == ir.DataType.FLOAT:
                value = self._integers(op, tensor, value)
            self.values[index] = value


def initial_state(tensor: Tensor) -> np.ndarray:
    """Initial value of a variable tensor before the first run: its zero point."""
    zero = 0 if tensor.zero_point is None or tensor.type != "INT8" else int(tensor.zero_point[0])
    check_count(int(np.prod([d or 1 for d in tensor.dims], dtype=np.float64)))
    return np.full([d or 1 for d in tensor.dims], zero, DTYPES[tensor.type])


def dtype_of(tensor: Tensor) -> ir.DataType:
    return (
        ir.DataType.STRING
        if tensor.type == "STRING"
        else ir.DataType.from_numpy(np.dtype(DTYPES[tensor.type]))
    )


def _ir_tensor(array: np.ndarray) -> Any:
    if array.dtype == object:
        return ir.StringTensor(np.array([s.encode() for s in array.ravel()], object).reshape(array.shape))
    return ir.tensor(array)
