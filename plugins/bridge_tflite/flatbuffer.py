"""A TFLite file under construction: tensors, operators, and the bytes at the end."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import onnx_ir as ir
from ai_edge_litert import schema_py_generated as schema

from bridge import hub
from bridge.ops import Need, OpTable
from bridge.passes.half_weights import weighty
from bridge_tflite import metadata
from bridge_tflite.versions import Use, version

ALIGNMENT = 16
LARGEST = 2**31 - 2**20
WEIGHTS = 1024
OPTIONS = {
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "BATCH_TO_SPACE_ND": "BatchToSpaceNDOptions",
    "CONV_2D": "Conv2DOptions",
    "CONV_3D_TRANSPOSE": "Conv3DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "LOGISTIC": "",
    "PRELU": "",
    "MAXIMUM": "MaximumMinimumOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "PADV2": "PadV2Options",
    "RANDOM_STANDARD_NORMAL": "RandomOptions",
    "RANDOM_UNIFORM": "RandomOptions",
    "REDUCE_ALL": "ReducerOptions",
    "REDUCE_ANY": "ReducerOptions",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "REDUCE_PROD": "ReducerOptions",
    "SELECT_V2": "SelectV2Options",
    "SPACE_TO_BATCH_ND": "SpaceToBatchNDOptions",
    "SUM": "ReducerOptions",
    "TOPK_V2": "TopKV2Options",
    "UNSORTED_SEGMENT_MAX": "UnsortedSegmentMaxOptions",
    "UNSORTED_SEGMENT_MIN": "UnsortedSegmentMinOptions",
    "UNSORTED_SEGMENT_PROD": "UnsortedSegmentProdOptions",
}
MOVING = frozenset(
    [
        "BATCH_TO_SPACE_ND",
        "BROADCAST_TO",
        "DEPTH_TO_SPACE",
        "EXPAND_DIMS",
        "GATHER",
        "GATHER_ND",
        "MIRROR_PAD",
        "RESHAPE",
        "REVERSE_V2",
        "SPACE_TO_BATCH_ND",
        "SPACE_TO_DEPTH",
        "SPLIT_V",
        "SQUEEZE",
        "STRIDED_SLICE",
        "TILE",
        "TRANSPOSE",
    ]
)
NUMBERED: dict[str, dict[Any, int]] = {
    "fused_activation_function": {None: 0, "Relu": 1, "Relu6": 3},
    "padding": {"SAME_UPPER": 0, "VALID": 1},
}
"""What the schema numbers, by the words of the hub's attributes."""
DTYPES = {
    "FLOAT": "FLOAT32",
    "FLOAT16": "FLOAT16",
    "BFLOAT16": "BFLOAT16",
    "DOUBLE": "FLOAT64",
    "BOOL": "BOOL",
    "STRING": "STRING",
    "INT2": "INT2",
    "INT4": "INT4",
    "UINT4": "UINT4",
    "INT8": "INT8",
    "INT16": "INT16",
    "INT32": "INT32",
    "INT64": "INT64",
    "UINT8": "UINT8",
    "UINT16": "UINT16",
    "UINT32": "UINT32",
    "UINT64": "UINT64",
}


class AlignedBuffer(schema.BufferT):
    """A buffer whose bytes start at a multiple of 16, as kernels expect of weights; behind the flatbuffer when it is given an offset."""

    def Pack(self, builder: flatbuffers.Builder) -> int:
        data = None
        if self.data is not None and not self.offset:
            raw = self.data
            builder.StartVector(1, len(raw), ALIGNMENT)
            builder.head -= len(raw)
            builder.Bytes[builder.Head() : builder.Head() + len(raw)] = raw
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        if self.offset:
            schema.BufferAddOffset(builder, self.offset)
            schema.BufferAddSize(builder, len(self.data))
        return schema.BufferEnd(builder)


class File:
    """The file under construction: what its subgraphs share."""

    def __init__(self, model: ir.Model, rules: OpTable) -> None:
        self.model = model
        self.rules = rules
        self.buffers: list[AlignedBuffer] = [AlignedBuffer()]
        self.codes: dict[tuple[str, int], int] = {}
        self.subgraphs: list[Tensors] = []
        self.tables: list[tuple[np.ndarray, np.ndarray]] = []
        self._data: dict[bytes, int] = {}

    def table(self, keys: np.ndarray, values: np.ndarray) -> int:
        """The number of the hash table of `keys` and `values`; equal ones are one."""
        pairs = [(k.tolist(), v.tolist()) for k, v in self.tables]
        if (keys.tolist(), values.tolist()) not in pairs:
            self.tables.append((keys, values))
            return len(pairs)
        return pairs.index((keys.tolist(), values.tolist()))

    def initialize(self) -> None:
        """A subgraph that fills the hash tables, which the model's own calls once, before all else."""
        if not self.tables:
            return
        graph = ir.Graph([], [], nodes=[], name="tables", opset_imports={"": hub.HUB_OPSET})
        tables, first = Tensors(self, graph), self.subgraphs[0]
        for keys, values in self.tables:
            tables.HASHTABLE_IMPORT(tables.table(keys, values), keys, values, outputs=())
        first.CALL_ONCE(outputs=(), init_subgraph_index=self.subgraphs.index(tables))
        first.operators.insert(0, first.operators.pop())

    def buffer(self, tensor: Any) -> int:
        """Index of a buffer with the bytes of `tensor`; small equal ones are one."""
        raw = memoryview(_bytes(tensor))
        key = bytes(raw) if len(raw) <= 4096 else None
        if key is not None and key in self._data:
            return self._data[key]
        made = AlignedBuffer()
        made.data = raw
        self.buffers.append(made)
        if key is not None:
            self._data[key] = len(self.buffers) - 1
        return len(self.buffers) - 1

    def save(self, path: Path) -> None:
        """Write the file: the first subgraph is the model's own, with a signature of the hub's names. Where a flatbuffer, which ends at
        2 GB, does not hold the weights, they follow it."""
        model = self._packed()
        held = [b for b in self.buffers if b.data is not None]
        behind = [b for b in held if len(b.data) > WEIGHTS] if _total(held) > LARGEST else []
        inside = _total(b for b in held if b not in behind) if behind else _total(held)
        parts = sum(len(g.tensors) + len(g.operators) for g in self.subgraphs)
        room = inside + 512 * parts + 65536
        if behind:
            _lay_out(behind, _packed_size(model, behind, room))
        head = _finished(model, room)
        with path.open("wb") as file:
            file.write(head)
            for buffer in behind:
                file.write(b"\0" * (buffer.offset - file.tell()))
                file.write(buffer.data)
        metadata.append_files(self.model, path)

    def _packed(self) -> schema.ModelT:
        model = schema.ModelT()
        model.version = 3
        model.description = self.model.doc_string or "converted by bridge"
        model.subgraphs = [g.packed() for g in self.subgraphs]
        model.operatorCodes = [_code(*code) for code in self.codes]
        model.signatureDefs = [self._signature()]
        model.metadata = [self._metadata(name, raw) for name, raw in metadata.written(self.model)]
        model.buffers = self.buffers
        return model

    def _signature(self) -> schema.SignatureDefT:
        signature = schema.SignatureDefT()
        signature.signatureKey = "serving_default"
        signature.inputs = [self._port(v) for v in self.model.graph.inputs]
        signature.outputs = [self._port(v) for v in self.model.graph.outputs]
        return signature

    def _port(self, value: ir.Value) -> schema.TensorMapT:
        port = schema.TensorMapT()
        port.name, port.tensorIndex = value.name, self.subgraphs[0].index(value)
        return port

    def _metadata(self, key: str, raw: bytes) -> schema.MetadataT:
        made = schema.MetadataT()
        made.name = key
        buffer = AlignedBuffer()
        buffer.data = memoryview(raw or b"\0")
        self.buffers.append(buffer)
        made.buffer = len(self.buffers) - 1
        return made


def _bytes(tensor: Any) -> Any:
    """A tensor as it lies in the file; text as its count, where each piece begins and the last ends, and the pieces."""
    array = tensor.numpy()
    if tensor.dtype != ir.DataType.STRING:
        return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    pieces = [t if isinstance(t, bytes) else str(t).encode() for t in array.ravel()]
    places = np.cumsum([4 * (len(pieces) + 2), *map(len, pieces)])
    head = np.array([len(pieces), *places], np.int32).tobytes()
    return np.frombuffer(head + b"".join(pieces), np.uint8)


def _total(buffers: Iterable[AlignedBuffer]) -> int:
    return sum(len(b.data) + 64 for b in buffers)


def _finished(model: schema.ModelT, room: int) -> memoryview:
    builder = flatbuffers.Builder(room)
    builder.Finish(model.Pack(builder), b"TFL3")
    return memoryview(builder.Bytes)[builder.Head() :]


def _packed_size(model: schema.ModelT, behind: list[AlignedBuffer], room: int) -> int:
    """Length of the flatbuffer alone, which no offset but zero changes."""
    for buffer in behind:
        buffer.offset = 1
    return len(_finished(model, room))


def _lay_out(behind: list[AlignedBuffer], start: int) -> None:
    for buffer in behind:
        buffer.offset = -(-start // ALIGNMENT) * ALIGNMENT
        start = buffer.offset + len(buffer.data)


class Tensors:
    """A subgraph being written. `tfl.ADD(x, y, fused_activation_function="Relu")` appends an operator.

    Inputs are hub values, tensors an earlier call returned, numpy constants, or None. The results stand for the outputs of
    the node being written when `outputs` is left alone, else for new tensors. Its inputs are those of `graph`, then
    `captured`: values of the graphs around it.
    """

    def __init__(self, file: File, graph: ir.Graph, captured: Sequence[ir.Value] = ()) -> None:
        self.file = file
        self.graph = graph
        self.tensors: list[schema.TensorT] = []
        self.operators: list[tuple[str, schema.OperatorT]] = []
        self.node: ir.Node | None = None
        self._index: dict[ir.Value, int] = {}
        self._constants: dict[tuple, int] = {}
        file.subgraphs.append(self)
        self.inputs = [self._input(value) for value in (*graph.inputs, *captured)]
        self.outputs: list[int] = []

    def __getattr__(self, operator: str) -> Any:
        if not operator.isupper() or not hasattr(schema.BuiltinOperator, operator):
            raise AttributeError(operator)
        return functools.partial(self.add, operator)

    def add(self, operator: str, *inputs: Any, outputs: Any = None, **options: Any) -> None:
        """Append one builtin operator; options are the schema's fields in snake case, padding and activation by name."""
        results = outputs if outputs is not None else self.node.outputs  # type: ignore[union-attr]
        indices = [self.index(value) for value in inputs]
        made = self._append(operator, indices, [self.index(value) for value in results])
        name = OPTIONS.get(operator, operator.title().replace("_", "") + "Options")
        kind = getattr(schema.BuiltinOptions, name, 0) if name else 0
        if kind:
            made.builtinOptionsType = kind
            made.builtinOptions = getattr(schema, name + "T")()
            for key, value in options.items():
                number = NUMBERED[key][value] if key in NUMBERED else value
                setattr(made.builtinOptions, _camel(key), number)

    def _append(self, operator: str, inputs: list[int], outputs: list[int]) -> schema.OperatorT:
        made = schema.OperatorT()
        made.inputs, made.outputs = inputs, outputs
        self.operators.append((operator, made))
        return made

    def index(self, value: Any) -> int:
        """Index of the tensor that stands for `value`."""
        if value is None:
            return -1
        if isinstance(value, np.ndarray):
            return self._constant(value)
        if value not in self._index:
            data = value.const_value if not value.is_graph_input() else None
            if data is not None and data.size == 0:
                self._index[value] = self._tensor(value.name, value.dtype, value.shape, None)
                self.add(
                    "FILL", np.array(data.shape, np.int32), np.zeros((), value.dtype.numpy()), outputs=[value]
                )
                return self._index[value]
            self._index[value] = self._tensor(value.name, value.dtype, value.shape, data)
        return self._index[value]

    def quantize(self, value: Any, scales: Any, zero_points: Any, axis: int = 0) -> None:
        """Say by what the tensor of `value` is quantized: one scale, or one for each place of `axis`."""
        made = schema.QuantizationParametersT()
        made.scale, made.zeroPoint = np.asarray(scales, np.float32), np.asarray(zero_points, np.int64)
        made.quantizedDimension = axis
        self.tensors[self.index(value)].quantization = made

    def table(self, keys: np.ndarray, values: np.ndarray) -> ir.Value:
        """A handle of the hash table of `keys` and `values`."""
        number = self.file.table(keys, values)
        handle = ir.Value(name=f"table_{number}", type=ir.TensorType(ir.DataType.INT32), shape=ir.Shape([1]))
        self.tensors[self.index(handle)].type = schema.TensorType.RESOURCE
        kinds = [
            schema.TensorType.STRING if a.dtype == object else schema.TensorType.INT64 for a in (keys, values)
        ]
        self.HASHTABLE(outputs=[handle], table_id=number, key_dtype=kinds[0], value_dtype=kinds[1])
        return handle

    def temporary(self, dtype: ir.DataType, shape: Any, stem: str = "temporary") -> ir.Value:
        """A new value for a result between two operators of one node."""
        return ir.Value(name=f"{self.node.name}/{stem}", type=ir.TensorType(dtype), shape=ir.Shape(shape))  # type: ignore[union-attr]

    def _constant(self, array: np.ndarray) -> int:
        text = array.dtype == object
        same = array.size <= 64 and not text
        key = (array.dtype.str, array.shape, array.tobytes() if same else len(self.tensors))
        if key not in self._constants:
            made = hub.strings(array) if text else ir.tensor(array)
            self._constants[key] = self._tensor(
                f"constant_{len(self.tensors)}", made.dtype, array.shape, made
            )
        return self._constants[key]

    def _tensor(self, name: str | None, dtype: Any, shape: Any, data: Any) -> int:
        half = _half(data)
        if half is not None:
            stored = self._tensor(f"{name}/float16", ir.DataType.FLOAT16, shape, half)
            self.tensors.append(self._described(name, dtype, shape))
            self._append("DEQUANTIZE", [stored], [len(self.tensors) - 1])
            return len(self.tensors) - 1
        made = self._described(name, dtype, shape)
        if data is not None:
            made.buffer = self.file.buffer(data)
        self.tensors.append(made)
        return len(self.tensors) - 1

    def _described(self, name: str | None, dtype: Any, shape: Any) -> schema.TensorT:
        made = schema.TensorT()
        made.name = name or f"tensor_{len(self.tensors)}"
        made.type = getattr(schema.TensorType, DTYPES[dtype.name])
        dims = [] if shape is None else [d if isinstance(d, int) else -1 for d in shape]
        made.shape = [1 if d < 0 else d for d in dims]
        made.hasRank = shape is not None
        if -1 in dims:
            made.shapeSignature = dims
        return made

    def _input(self, value: ir.Value) -> int:
        self._index[value] = self._tensor(value.name, value.dtype, value.shape, None)
        return self._index[value]

    def fill(self, results: Sequence[ir.Value]) -> None:
        """Write every node of the graph, and close the subgraph with its results."""
        for node in self.graph:
            self.node = node
            rule = self.file.rules.find(hub.qualified(node), node)
            assert rule is not None
            rule.handler(self, node, *node.inputs)
        self.end(results)

    def end(self, results: Sequence[ir.Value]) -> None:
        """Close the subgraph with its outputs; what it did not compute itself is handed through an operator."""
        own = {value for node in self.graph for value in node.outputs}
        main = self.file.subgraphs[0] is self
        for value in results:
            index = self.index(value)
            if not main and (value not in own or index in self.outputs):
                index = self._tensor(None, value.dtype, value.shape, None)
                shape = hub.shape_of(value)
                how = ("TRANSPOSE", range(len(value.shape or ()))) if shape is None else ("RESHAPE", shape)
                self.add(how[0], value, np.array(how[1], np.int32), outputs=())
                self.operators[-1][1].outputs = [index]
            self.outputs.append(index)
        if main:
            self._noted([*self.graph.inputs, *results])

    def _noted(self, values: Sequence[ir.Value]) -> None:
        """Give inputs and outputs the parameters their source noted, and hand them on, where nothing computes with them."""
        for value in values:
            found = metadata.quantization(self.file.model, value)
            if found is not None and self._moves(self.index(value)):
                self.quantize(value, found[:1], found[1:])
        for name, operator in self.operators:
            given = self.tensors[operator.inputs[0]].quantization if name in MOVING else None
            for index in operator.outputs if given is not None else ():
                if self._moves(index):
                    self.tensors[index].quantization = given

    def _moves(self, index: int) -> bool:
        """Whether a tensor without parameters is moved alone."""
        users = [name for name, o in self.operators if index in (*o.inputs, *o.outputs)]
        return self.tensors[index].quantization is None and MOVING.issuperset(users)

    def packed(self) -> schema.SubGraphT:
        made = schema.SubGraphT()
        made.name = self.graph.name or "main"
        made.inputs, made.outputs = self.inputs, self.outputs
        made.tensors = self.tensors
        made.operators = [self._coded(name, operator) for name, operator in self.operators]
        return made

    def _coded(self, name: str, operator: schema.OperatorT) -> schema.OperatorT:
        """The operator with the index of its name and version."""
        inputs, outputs = (
            [None if i < 0 else self.tensors[i] for i in indices]
            for indices in (operator.inputs, operator.outputs)
        )
        key = name, version(name, Use(inputs, outputs, operator.builtinOptions))
        operator.opcodeIndex = self.file.codes.setdefault(key, len(self.file.codes))
        return operator


def _half(data: Any) -> ir.TensorProtocol | None:
    """Weights that float16 holds exactly, as float16."""
    if not weighty(data):
        return None
    array = data.numpy()
    if not _survives(array.reshape(-1)[:WEIGHTS]) or not _survives(array):
        return None
    return ir.tensor(array.astype(np.float16))


def _survives(array: np.ndarray) -> bool:
    with np.errstate(over="ignore"):
        return bool((array.astype(np.float16) == array).all())


def _code(operator: str, number: int) -> schema.OperatorCodeT:
    made = schema.OperatorCodeT()
    code = getattr(schema.BuiltinOperator, operator)
    made.builtinCode, made.deprecatedBuiltinCode, made.version = code, min(code, 127), number
    return made


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def _holds(value: ir.Value) -> bool:
    """LiteRT's interpreter can be given no tensor of int2, though it has them."""
    dtype = value.dtype
    if dtype is None or not isinstance(value.type, ir.TensorType):
        return False
    if dtype == ir.DataType.INT2 and value.is_graph_input():
        return False
    return dtype.name in DTYPES and hub.rank_of(value) is not None


VALUES = Need("a tensor of known rank and of a dtype TFLite has", _holds)
