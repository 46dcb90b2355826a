"""Small TFLite files for tests: one operator, or several subgraphs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatbuffers
import ml_dtypes
import numpy as np
from ai_edge_litert import schema_py_generated as schema

TYPES = {
    "float32": "FLOAT32",
    "float16": "FLOAT16",
    "bfloat16": "BFLOAT16",
    "float64": "FLOAT64",
    "bool": "BOOL",
    "object": "STRING",
    "complex64": "COMPLEX64",
}
UNIONS = {
    name.lower(): (union, number, name)
    for union in ("BuiltinOptions", "BuiltinOptions2")
    for name, number in vars(getattr(schema, union)).items()
    if isinstance(number, int) and number
}
RENAMED = {
    "averagepool2d": "pool2d",
    "maxpool2d": "pool2d",
    "l2pool2d": "pool2d",
    "basicrnn": "rnn",
    "unidirectionalsequencernn": "sequencernn",
    "reduceprod": "reducer",
    "reducemax": "reducer",
    "reducemin": "reducer",
    "reduceany": "reducer",
    "reduceall": "reducer",
    "sum": "reducer",
    "mean": "reducer",
    "maximum": "maximumminimum",
    "minimum": "maximumminimum",
    "l2normalization": "l2norm",
    "randomuniform": "random",
    "randomstandardnormal": "random",
    "multinomial": "random",
    "stablehlocase": "stablehlocase",
    "conv3dtranspose": "conv3d",
}


@dataclass(eq=False)
class T:
    """One tensor: `value` is its content (a constant), its test data (an input), or an example (an
    output)."""

    value: Any
    scale: Any = None
    zero: Any = 0
    axis: int = 0
    const: bool = False
    variable: bool = False
    type_name: str = ""
    dims: list[int] | None = None
    name: str = ""
    sparsity: Any = None
    shape: list[int] | None = None
    blocks: T | None = None
    """The scales of blocks along the last axis, one for each."""

    @property
    def type(self) -> int:
        dtype = np.asarray(self.value).dtype.name
        return getattr(schema.TensorType, self.type_name or TYPES.get(dtype, dtype.upper()))


def const(value: Any, dtype: Any = None, **more: Any) -> T:
    """Tensor stored in the file."""
    return T(np.asarray(value, dtype), const=True, **more)


@dataclass
class Op:
    """One operator; with `custom` bytes a custom one. `hidden` are scale and zero point of five intermediate
    tensors."""

    name: str
    inputs: list[T | None]
    outputs: list[T]
    options: dict[str, Any] = field(default_factory=dict)
    custom: bytes | None = None
    version: int = 1
    union: str = ""
    hidden: tuple[float, int] | None = None


@dataclass
class Sub:
    """A subgraph."""

    inputs: list[T]
    outputs: list[T]
    ops: list[Op]


def strings(array: np.ndarray) -> bytes:
    """TFLite's encoding of a string tensor."""
    items = [s.encode() if isinstance(s, str) else s for s in array.ravel()]
    start = 4 * (len(items) + 2)
    offsets = np.cumsum([start, *map(len, items)]).astype(np.int32)
    return np.int32(len(items)).tobytes() + offsets.tobytes() + b"".join(items)


def content(t: T) -> bytes:
    array = np.asarray(t.value)
    if array.dtype == object:
        return strings(array)
    if t.type_name == "INT4":
        flat = array.astype(np.int8).ravel()
        flat = np.append(flat, np.zeros(flat.size % 2, np.int8)) & 15
        return (flat[::2] | flat[1::2] << 4).astype(np.uint8).tobytes()
    return np.ascontiguousarray(array).tobytes()


class Writer:
    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = []
        self.model.signatureDefs = []
        self.model.metadata = []
        self.codes: dict[Any, int] = {}

    def subgraph(self, sub: Sub, name: str) -> schema.SubGraphT:
        graph = schema.SubGraphT()
        graph.name, graph.tensors, graph.operators = name, [], []
        indices: dict[int, int] = {}

        def place(t: T | None) -> int:
            if t is None:
                return -1
            if id(t) not in indices:
                scales = place(t.blocks)
                indices[id(t)] = len(graph.tensors)
                graph.tensors.append(self.tensor(t, f"{name}_{len(indices)}", scales))
            return indices[id(t)]

        graph.inputs = [place(t) for t in sub.inputs]
        for op in sub.ops:
            graph.operators.append(self.operator(op, place))
        graph.outputs = [place(t) for t in sub.outputs]
        return graph

    def tensor(self, t: T, name: str, scales: int = -1) -> schema.TensorT:
        tensor = schema.TensorT()
        tensor.name, tensor.type = t.name or name, t.type
        shape = list(np.shape(t.value)) if t.shape is None else t.shape
        tensor.shape, tensor.hasRank, tensor.isVariable = shape, True, t.variable
        if t.dims is not None:
            tensor.shapeSignature = t.dims
        if t.scale is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.atleast_1d(np.asarray(t.scale, np.float32))
            tensor.quantization.zeroPoint = np.broadcast_to(
                np.asarray(t.zero, np.int64), tensor.quantization.scale.shape
            ).copy()
            tensor.quantization.quantizedDimension = t.axis
        if t.blocks is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.detailsType = schema.QuantizationDetails.BlockwiseQuantization
            tensor.quantization.details = details = schema.BlockwiseQuantizationT()
            details.scales, details.zeroPoints = scales, -1
            details.blockSize = t.value.shape[-1] // t.blocks.value.shape[-1]
        if t.sparsity is not None:
            tensor.sparsity = t.sparsity
        tensor.buffer = self.buffer(content(t)) if t.const else 0
        return tensor

    def buffer(self, raw: bytes) -> int:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(raw, np.uint8)
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def operator(self, op: Op, place: Any) -> schema.OperatorT:
        operator = schema.OperatorT()
        key = (op.name, op.custom is not None)
        if key not in self.codes:
            code = schema.OperatorCodeT()
            code.builtinCode = 32 if op.custom is not None else getattr(schema.BuiltinOperator, op.name)
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)
            code.version = op.version
            code.customCode = op.name if op.custom is not None else None
            self.codes[key] = len(self.model.operatorCodes)
            self.model.operatorCodes.append(code)
        operator.opcodeIndex = self.codes[key]
        operator.inputs, operator.outputs = [place(t) for t in op.inputs], [place(t) for t in op.outputs]
        if op.hidden is not None:
            inner = [T(np.zeros(0, np.int8), *op.hidden, name=f"inner_{i}") for i in range(5)]
            operator.intermediates = [place(t) for t in inner]
        if op.custom is not None:
            operator.customOptions = np.frombuffer(op.custom, np.uint8)
            return operator
        key_name = op.name.replace("_", "").lower()
        union_entry = UNIONS.get((op.union or RENAMED.get(key_name, key_name)).lower() + "options")
        if union_entry:
            union, number, name = union_entry
            options = getattr(schema, name + "T")()
            for option, value in op.options.items():
                assert hasattr(options, option), f"{name} has no {option}"
                setattr(options, option, value)
            field_name = union[0].lower() + union[1:]
            setattr(operator, field_name + "Type", number)
            setattr(operator, field_name, options)
        else:
            assert not op.options, f"{op.name} has no options"
        return operator

    def signature(self, key: str, index: int, sub: Sub, graph: schema.SubGraphT, outputs: list[str]) -> None:
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = key, index

        def ports(indices: list[int], names: list[str]) -> list[schema.TensorMapT]:
            result = []
            for index, name in zip(indices, names, strict=True):
                port = schema.TensorMapT()
                port.name, port.tensorIndex = name, index
                result.append(port)
            return result

        signature.inputs = ports(graph.inputs, [f"x{i}" for i in range(len(sub.inputs))])
        signature.outputs = ports(graph.outputs, outputs)
        self.model.signatureDefs.append(signature)


def write(path: Path, *subs: Sub, signatures: dict[str, int] | None = None) -> Path:
    """Write a file of `subs`. A signature names inputs x0, x1, … and outputs y0, y1, … of the first or the
    requested subgraphs."""
    writer = Writer()
    writer.model.subgraphs = [writer.subgraph(s, f"graph{i}") for i, s in enumerate(subs)]
    for key, index in ({"serving_default": 0} if signatures is None else signatures).items():
        names = [f"y{i}" for i in range(len(subs[index].outputs))]
        writer.signature(key, index, subs[index], writer.model.subgraphs[index], names)
    builder = flatbuffers.Builder(1024)
    builder.ForceDefaults(False)
    builder.Finish(writer.model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def int4(values: Any) -> np.ndarray:
    return np.asarray(values).astype(ml_dtypes.int4)
