"""A TFLite file under construction: tensors, operators, subgraphs, and the serialized bytes."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.errors import TooLarge
from bridge.ops import Need, OpTable
from bridge.passes.half_weights import weighty
from bridge.weightfile import Converted, Transposed, blocks, is_same, looks
from bridge_tflite import metadata
from bridge_tflite.schema import ENUMS, TABLES, Record
from bridge_tflite.versions import Use, version

ALIGNMENT = 16
TYPES = ENUMS["TensorType"]
SELF = "self"
"""The one name LiteRT's runner, called with keywords, cannot take."""
FILLED = frozenset(
    [
        ir.DataType.FLOAT,
        ir.DataType.FLOAT16,
        ir.DataType.INT8,
        ir.DataType.INT16,
        ir.DataType.INT32,
        ir.DataType.INT64,
        ir.DataType.BOOL,
        ir.DataType.STRING,
    ]
)
"""Dtypes of LiteRT's FILL."""
LARGEST = 2**31 - 2**20
WEIGHT_BYTES = 1024
"""Bytes of the largest buffer that stays inside where the weights do not fit."""
LARGE = 2**16
"""Bytes from which a buffer is written straight from its tensor."""
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
DATA_MOVEMENT = frozenset(
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


class AlignedBuffer(Record):
    """A buffer whose bytes start at a multiple of 16, as kernels require for weights.

    A buffer with an offset lies after the flatbuffer instead of inside it. Of a large one the flatbuffer has
    the room alone, and its bytes are written there straight from the tensor: `place` is the distance from
    their first to the end of the flatbuffer.
    """

    def __init__(self, tensor: ir.TensorProtocol | None = None, raw: bytes | None = None) -> None:
        super().__init__("Buffer")
        self.tensor, self.raw, self.place = tensor, raw, 0
        self.length = tensor.nbytes if tensor is not None else len(raw or b"")

    def blocks(self) -> Iterator[Any]:
        """The bytes."""
        return blocks(self.tensor) if self.tensor is not None else iter([self.raw])

    def pack(self, builder: flatbuffers.Builder) -> int:
        data = None
        if (self.tensor is not None or self.raw is not None) and not self.offset:
            builder.StartVector(1, self.length, ALIGNMENT)
            builder.head -= self.length
            self.place = builder.Offset()
            if self.raw is not None:
                builder.Bytes[builder.Head() : builder.Head() + self.length] = self.raw
            data = builder.EndVector()
        fields = TABLES["Buffer"][1]
        builder.StartObject(len(fields))
        if data is not None:
            builder.PrependUOffsetTRelativeSlot(fields["data"].slot, data, 0)
        if self.offset:
            builder.PrependUint64Slot(fields["offset"].slot, self.offset, 0)
            builder.PrependUint64Slot(fields["size"].slot, self.length, 0)
        return int(builder.EndObject())


class File:
    """A file under construction: buffers, operator codes and hash tables that its subgraphs share."""

    def __init__(self, model: ir.Model, rules: OpTable) -> None:
        self.model = model
        self.rules = rules
        self.buffers: list[AlignedBuffer] = [AlignedBuffer()]
        self.codes: dict[tuple[str, int], int] = {}
        self.subgraphs: list[SubgraphBuilder] = []
        self.tables: list[tuple[np.ndarray, np.ndarray]] = []
        self._small: dict[bytes, int] = {}
        self._large: dict[tuple, list[int]] = {}

    def hash_table(self, keys: np.ndarray, values: np.ndarray) -> int:
        """Index of the hash table of `keys` [n] and `values` [n]; tables of equal content share one index."""
        pairs = [(k.tolist(), v.tolist()) for k, v in self.tables]
        if (keys.tolist(), values.tolist()) not in pairs:
            self.tables.append((keys, values))
            return len(pairs)
        return pairs.index((keys.tolist(), values.tolist()))

    def add_table_initializer(self) -> None:
        """Add a subgraph that fills the hash tables; the main subgraph calls it once, as its first
        operator."""
        if not self.tables:
            return
        graph = ir.Graph([], [], nodes=[], name="tables", opset_imports={"": hub.HUB_OPSET})
        tables, first = SubgraphBuilder(self, graph), self.subgraphs[0]
        for keys, values in self.tables:
            tables.HASHTABLE_IMPORT(tables.hash_table(keys, values), keys, values, outputs=())
        first.CALL_ONCE(outputs=(), init_subgraph_index=self.subgraphs.index(tables))
        first.operators.insert(0, first.operators.pop())

    def buffer(self, tensor: Any) -> int:
        """Index of a buffer with the bytes of `tensor`; buffers of equal bytes share one index."""
        if tensor.dtype == ir.DataType.STRING or tensor.dtype.bitwidth % 8 or tensor.nbytes < LARGE:
            raw = _raw_bytes(tensor).tobytes()
            if raw not in self._small:
                self._small[raw] = self._add(AlignedBuffer(raw=raw))
            return self._small[raw]
        key = tensor.nbytes, tensor.dtype.bitwidth, looks(tensor)
        alike = self._large.setdefault(key, [])
        for index in alike:
            known = self.buffers[index].tensor
            if known is not None and is_same(known, tensor):
                return index
        alike.append(self._add(AlignedBuffer(tensor)))
        return alike[-1]

    def _add(self, buffer: AlignedBuffer) -> int:
        self.buffers.append(buffer)
        return len(self.buffers) - 1

    def save(self, path: Path) -> None:
        """Write the file. Its first subgraph is the main one, with a signature of the hub's names.

        A flatbuffer ends at 2 GB: if the weights do not fit, they are appended after it.
        """
        model = self._packed()
        size = _total_size(self.buffers)
        external = [b for b in self.buffers if b.length > WEIGHT_BYTES] if size > LARGEST else []
        capacity = _total_size(b for b in self.buffers if b not in external) if external else size
        capacity += 512 * sum(len(g.tensors) + len(g.operators) for g in self.subgraphs) + 65536
        if external:
            _assign_offsets(external, _packed_size(model, external, capacity))
        head = _serialize(model, capacity)
        with path.open("wb") as file:
            for piece in _filled(head, self.buffers):
                file.write(piece)
            for buffer in external:
                file.write(b"\0" * (buffer.offset - file.tell()))
                for piece in buffer.blocks():
                    file.write(piece)
        metadata.append_files(self.model, path)

    def _packed(self) -> Record:
        model = Record("Model")
        model.version = 3
        model.description = self.model.doc_string or "converted by bridge"
        model.subgraphs = [g.packed() for g in self.subgraphs]
        model.operatorCodes = [_operator_code(*code) for code in self.codes]
        model.signatureDefs = [self._signature()]
        model.metadata = [self._metadata(name, raw) for name, raw in metadata.entries_of(self.model)]
        model.buffers = self.buffers
        return model

    def _signature(self) -> Record:
        signature = Record("SignatureDef")
        signature.signatureKey = "serving_default"
        signature.inputs = [self._port(v) for v in self.model.graph.inputs]
        for port in signature.inputs:
            while port.name == SELF or [p.name for p in signature.inputs].count(port.name) > 1:
                port.name += "_"
        signature.outputs = [self._port(v) for v in self.model.graph.outputs]
        return signature

    def _port(self, value: ir.Value) -> Record:
        port = Record("TensorMap")
        port.name, port.tensorIndex = value.name, self.subgraphs[0].index(value)
        return port

    def _metadata(self, key: str, raw: bytes) -> Record:
        entry = Record("Metadata")
        entry.name = key
        entry.buffer = self._add(AlignedBuffer(raw=raw or b"\0"))
        return entry


def _raw_bytes(tensor: Any) -> Any:
    """Bytes of a tensor in the file's encoding. Text is int32 count, int32 offsets (one more than texts),
    then the texts."""
    array = tensor.numpy()
    if tensor.dtype != ir.DataType.STRING:
        return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    pieces = [t if isinstance(t, bytes) else str(t).encode() for t in array.ravel()]
    offsets = np.cumsum([4 * (len(pieces) + 2), *map(len, pieces)])
    head = np.array([len(pieces), *offsets], np.int32).tobytes()
    return np.frombuffer(head + b"".join(pieces), np.uint8)


def _total_size(buffers: Iterable[AlignedBuffer]) -> int:
    return sum(b.length + 64 for b in buffers)


def _serialize(model: Record, capacity: int) -> memoryview:
    """The bytes of a model, zeros where those of large buffers go: no memory is taken for what nobody
    touches. Raises TooLarge for a number that a field of the format does not hold."""
    builder = flatbuffers.Builder(0)
    builder.Bytes, builder.head = np.zeros(capacity, np.uint8).data, capacity
    try:
        builder.Finish(model.pack(builder), b"TFL3")
    except TypeError as error:
        raise TooLarge(f"A number of the model is larger than TFLite holds: {error}.") from error
    return memoryview(builder.Bytes)[builder.Head() :]


def _filled(head: memoryview, buffers: Iterable[AlignedBuffer]) -> Iterator[Any]:
    """The bytes of a flatbuffer, with those of large buffers in their rooms."""
    inside = [b for b in buffers if b.tensor is not None and not b.offset]
    done = 0
    for buffer in sorted(inside, key=lambda b: b.place, reverse=True):
        start = len(head) - buffer.place
        yield head[done:start]
        yield from buffer.blocks()
        done = start + buffer.length
    yield head[done:]


def _packed_size(model: Record, external: list[AlignedBuffer], capacity: int) -> int:
    """Length in bytes of the flatbuffer without external buffers. It does not depend on their offsets, if not
    0."""
    for buffer in external:
        buffer.offset = 1
    return len(_serialize(model, capacity))


def _assign_offsets(external: list[AlignedBuffer], start: int) -> None:
    for buffer in external:
        buffer.offset = -(-start // ALIGNMENT) * ALIGNMENT
        start = buffer.offset + buffer.length


class SubgraphBuilder:
    """Builder of one subgraph: `tfl.ADD(x, y, fused_activation_function="Relu")` appends an operator.

    Inputs are hub values, numpy constants, tensors, or None. The results are the outputs of the hub node
    being written, or the values given as `outputs`. The inputs of the subgraph are those of `graph`, then
    `captured`: values of outer graphs.
    """

    def __init__(self, file: File, graph: ir.Graph, captured: Sequence[ir.Value] = ()) -> None:
        self.file = file
        self.graph = graph
        self.tensors: list[Record] = []
        self.operators: list[tuple[str, Record]] = []
        self.node: ir.Node | None = None
        self._index: dict[ir.Value, int] = {}
        self._constants: dict[tuple, int] = {}
        file.subgraphs.append(self)
        self.inputs = [self._input(value) for value in (*graph.inputs, *captured)]
        self.outputs: list[int] = []

    def __getattr__(self, operator: str) -> Any:
        if not operator.isupper() or operator not in ENUMS["BuiltinOperator"]:
            raise AttributeError(operator)
        return functools.partial(self.add, operator)

    def add(self, operator: str, *inputs: Any, outputs: Any = None, **options: Any) -> None:
        """Append one builtin operator. Options are the schema's fields in snake case; padding and activation
        are given by name."""
        results = outputs if outputs is not None else self.node.outputs  # type: ignore[union-attr]
        indices = [self.index(value) for value in inputs]
        entry = self._append(operator, indices, [self.index(value) for value in results])
        name = OPTIONS.get(operator, operator.title().replace("_", "") + "Options")
        options_type = ENUMS["BuiltinOptions"].get(name, 0) if name else 0
        if options_type:
            entry.builtinOptionsType = options_type
            entry.builtinOptions = Record(name)
            for key, value in options.items():
                code = NUMBERED[key][value] if key in NUMBERED else value
                setattr(entry.builtinOptions, _camel(key), code)

    def _append(self, operator: str, inputs: list[int], outputs: list[int]) -> Record:
        entry = Record("Operator")
        entry.inputs, entry.outputs = inputs, outputs
        self.operators.append((operator, entry))
        return entry

    def index(self, value: Any) -> int:
        """Index of the tensor of `value`, which is added at its first use; -1 for None."""
        if value is None:
            return -1
        if isinstance(value, np.ndarray):
            return self._constant(value)
        if isinstance(value, ir.LazyTensor):
            return self._named(value)
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
        """Set the quantization of the tensor of `value`: one scale and zero point, or one per index of
        `axis`."""
        parameters = Record("QuantizationParameters")
        parameters.scale, parameters.zeroPoint = (
            np.asarray(scales, np.float32),
            np.asarray(zero_points, np.int64),
        )
        parameters.quantizedDimension = axis
        self.tensors[self.index(value)].quantization = parameters

    def hash_table(self, keys: np.ndarray, values: np.ndarray) -> ir.Value:
        """Handle (int32 [1]) of the hash table of `keys` [n] and `values` [n]."""
        index = self.file.hash_table(keys, values)
        handle = ir.Value(name=f"table_{index}", type=ir.TensorType(ir.DataType.INT32), shape=ir.Shape([1]))
        self.tensors[self.index(handle)].type = TYPES["RESOURCE"]
        types = [TYPES["STRING" if a.dtype == object else "INT64"] for a in (keys, values)]
        self.HASHTABLE(outputs=[handle], table_id=index, key_dtype=types[0], value_dtype=types[1])
        return handle

    def temporary(self, dtype: ir.DataType, shape: Any, stem: str = "temporary") -> ir.Value:
        """New value for an intermediate result between two operators of one hub node."""
        return ir.Value(name=f"{self.node.name}/{stem}", type=ir.TensorType(dtype), shape=ir.Shape(shape))  # type: ignore[union-attr]

    def _constant(self, array: np.ndarray) -> int:
        text = array.dtype == object
        shareable = array.size <= 64 and not text
        key = (array.dtype.str, array.shape, array.tobytes() if shareable else len(self.tensors))
        if key not in self._constants:
            self._constants[key] = self._named(hub.strings(array) if text else ir.tensor(array))
        return self._constants[key]

    def _named(self, tensor: ir.TensorProtocol) -> int:
        return self._tensor(f"constant_{len(self.tensors)}", tensor.dtype, tensor.shape, tensor)

    def _tensor(self, name: str | None, dtype: Any, shape: Any, data: Any) -> int:
        float16 = _as_float16(data)
        if float16 is not None:
            stored = self._tensor(f"{name}/float16", ir.DataType.FLOAT16, shape, float16)
            self.tensors.append(self._tensor_entry(name, dtype, shape))
            self._append("DEQUANTIZE", [stored], [len(self.tensors) - 1])
            return len(self.tensors) - 1
        tensor = self._tensor_entry(name, dtype, shape)
        if data is not None:
            tensor.buffer = self.file.buffer(data)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def _tensor_entry(self, name: str | None, dtype: Any, shape: Any) -> Record:
        entry = Record("Tensor")
        entry.name = name or f"tensor_{len(self.tensors)}"
        entry.type = TYPES[DTYPES[dtype.name]]
        dims = [] if shape is None else [d if isinstance(d, int) else -1 for d in shape]
        entry.shape = [1 if d < 0 else d for d in dims]
        entry.hasRank = shape is not None
        if -1 in dims:
            entry.shapeSignature = dims
        return entry

    def _input(self, value: ir.Value) -> int:
        self._index[value] = self._tensor(value.name, value.dtype, value.shape, None)
        return self._index[value]

    def write_graph(self, results: Sequence[ir.Value]) -> None:
        """Write every node of the graph, and close the subgraph with its results."""
        for node in self.graph:
            self.node = node
            rule = self.file.rules.find(hub.qualified(node), node)
            assert rule is not None
            rule.apply(self, node, *node.inputs)
        self.close(results)

    def close(self, results: Sequence[ir.Value]) -> None:
        """Set the outputs of the subgraph. In an inner one, an output that is an input or a duplicate goes
        through an identity operator."""
        computed = {value for node in self.graph for value in node.outputs}
        main = self.file.subgraphs[0] is self
        for value in results:
            index = self.index(value)
            if not main and (value not in computed or index in self.outputs):
                index = self._tensor(None, value.dtype, value.shape, None)
                self.copy(value, outputs=())
                self.operators[-1][1].outputs = [index]
            self.outputs.append(index)
        if main:
            self._restore_quantization([*self.graph.inputs, *results])

    def copy(self, value: ir.Value, **how: Any) -> None:
        """Add an operator that writes the elements of `value` elsewhere. RESHAPE shares them with its input:
        those of a constant cannot be freed, as IF and WHILE do with what a subgraph hands over."""
        shape = hub.shape_of(value)
        if value.const_value is not None and shape == [] and value.dtype in FILLED:
            self.add("FILL", np.zeros(0, np.int32), value, **how)
        elif shape is None or (value.const_value is not None and shape):
            self.add("TRANSPOSE", value, np.arange(len(value.shape or ()), dtype=np.int32), **how)
        else:
            self.add("RESHAPE", value, np.array(shape, np.int32), **how)

    def _restore_quantization(self, values: Sequence[ir.Value]) -> None:
        """Give inputs and outputs the quantization noted from the source, and pass it on through data
        movement.

        Tensors that an operator computes with are left as they are.
        """
        for value in values:
            parameters = metadata.quantization(self.file.model, value)
            if parameters is not None and self._is_only_moved(self.index(value)):
                self.quantize(value, parameters[:1], parameters[1:])
        for name, operator in self.operators:
            quantization = self.tensors[operator.inputs[0]].quantization if name in DATA_MOVEMENT else None
            for index in operator.outputs if quantization is not None else ():
                if self._is_only_moved(index):
                    self.tensors[index].quantization = quantization

    def _is_only_moved(self, index: int) -> bool:
        """True if the tensor has no quantization and only data-moving operators read or write it."""
        users = [name for name, o in self.operators if index in (*o.inputs, *o.outputs)]
        return self.tensors[index].quantization is None and DATA_MOVEMENT.issuperset(users)

    def packed(self) -> Record:
        subgraph = Record("SubGraph")
        subgraph.name = self.graph.name or "main"
        subgraph.inputs, subgraph.outputs = self.inputs, self.outputs
        subgraph.tensors = self.tensors
        subgraph.operators = [self._with_opcode(name, operator) for name, operator in self.operators]
        return subgraph

    def _with_opcode(self, name: str, operator: Record) -> Record:
        """Set the opcode index of `operator`, by its name and version."""
        inputs, outputs = (
            [None if i < 0 else self.tensors[i] for i in indices]
            for indices in (operator.inputs, operator.outputs)
        )
        key = name, version(name, Use(inputs, outputs, operator.builtinOptions))
        operator.opcodeIndex = self.file.codes.setdefault(key, len(self.file.codes))
        return operator


def _as_float16(data: Any) -> ir.TensorProtocol | None:
    """Weights as a float16 tensor if that is exact for every element, else None."""
    if not weighty(data):
        return None
    if isinstance(data, Converted) and data.source.dtype == ir.DataType.FLOAT16:
        return data.source
    if isinstance(data, Transposed):
        half = _as_float16(data.source)
        return None if half is None else Transposed(half, data.perm)
    first = np.frombuffer(looks(data), np.float32)
    if not _fits_float16(first) or not _fits_float16(data.numpy()):
        return None
    return Converted(data, ir.DataType.FLOAT16)


def _fits_float16(array: np.ndarray) -> bool:
    with np.errstate(over="ignore"):
        return bool((array.astype(np.float16) == array).all())


def _operator_code(operator: str, version: int) -> Record:
    entry = Record("OperatorCode")
    code = ENUMS["BuiltinOperator"][operator]
    entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), version
    return entry


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.title() for word in others)


def _has_tflite_type(value: ir.Value) -> bool:
    """True if the type is one of TFLite's and the rank is known. An int2 input is refused: LiteRT's
    interpreter cannot be fed one."""
    dtype = value.dtype
    if dtype is None or not isinstance(value.type, ir.TensorType):
        return False
    if dtype == ir.DataType.INT2 and value.is_graph_input():
        return False
    return dtype.name in DTYPES and hub.rank_of(value) is not None


VALUES = Need("a tensor of known rank and of a dtype TFLite has", _has_tflite_type)
