"""TFLite bytes → subgraphs, tensors and operators. Weights stay views of the mapped file."""

from __future__ import annotations

import itertools
import mmap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from bridge.errors import UnreadableFile
from bridge_tflite import schema, sparsity

LIMIT = 2**40


OPERATORS, TYPES = (schema.MEMBERS[enum] for enum in ("BuiltinOperator", "TensorType"))
DTYPES: dict[str, Any] = {
    "FLOAT32": np.float32,
    "FLOAT16": np.float16,
    "FLOAT64": np.float64,
    "BFLOAT16": ml_dtypes.bfloat16,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "BOOL": np.bool_,
    "COMPLEX64": np.complex64,
    "COMPLEX128": np.complex128,
    "INT2": ml_dtypes.int2,
    "INT4": ml_dtypes.int4,
    "UINT4": ml_dtypes.uint4,
    "STRING": object,
}


SUB_BYTE_WIDTHS = {"INT2": 2, "INT4": 4, "UINT4": 4}
QUANTIZED = frozenset(["INT4", "INT8", "UINT8", "INT16", "INT32", "INT64"])


@dataclass
class Tensor:
    """One tensor of a subgraph. `dims` has None where the size is known at run time only. With `block` there
    is a scale for each block of so many elements along `axis`."""

    name: str
    type: str
    dims: list[int | None]
    buffer: int
    scale: np.ndarray | None
    zero_point: np.ndarray | None
    axis: int
    variable: bool
    sparsity: Any
    block: int = 0

    @property
    def quantized(self) -> bool:
        return self.scale is not None and self.type in QUANTIZED


@dataclass
class Operator:
    """One operator: builtin name, or the custom code with `custom` set. Inputs are tensor indices, -1 if
    absent."""

    name: str
    custom: bool
    inputs: list[int]
    outputs: list[int]
    options: Any
    custom_options: bytes
    intermediates: list[int]


@dataclass
class Subgraph:
    name: str
    tensors: list[Tensor]
    inputs: list[int]
    outputs: list[int]
    operators: list[Operator]


@dataclass
class Signature:
    key: str
    inputs: list[tuple[str, int]]
    outputs: list[tuple[str, int]]
    subgraph: int


class File:
    """A parsed file. Raises UnreadableFile for whatever is no TFLite model."""

    def __init__(self, raw: Any, path: str) -> None:
        self.raw, self.path = raw, path
        if len(raw) < 8 or bytes(raw[4:8]) != b"TFL3":
            raise UnreadableFile(f"{path} is not a TFLite file: it has no TFL3 identifier.")
        try:
            self.model = schema.root(raw)
            self.buffers, self.codes = self.model.buffers or (), self.model.operatorCodes or ()
            self.subgraphs = self._all(self.model.subgraphs, self._subgraph)
            self.signatures = self._all(self.model.signatureDefs, self._signature)
            self.description = _text(self.model.description)
            self.metadata = dict(self._all(self.model.metadata, self._metadata))
        except UnreadableFile:
            raise
        except Exception as error:
            raise UnreadableFile(f"{path} is not a readable TFLite file: {error}") from error

    def data(self, index: int) -> np.ndarray | None:
        """Bytes of a buffer, a view of the file; None where it is empty."""
        if index < 0 or index >= len(self.buffers):
            raise UnreadableFile(f"{self.path}: there is no buffer {index}.")
        if index == 0:
            return None
        buffer = self.buffers[index]
        if buffer.offset > 1:
            start, size = buffer.offset, buffer.size
            if start + size > len(self.raw):
                raise UnreadableFile(f"{self.path} is too short for buffer {index}.")
            return np.frombuffer(self.raw, np.uint8, size, start)
        array = buffer.data
        return None if array is None or array.size == 0 else array

    def bytes(self, index: int) -> bytes:
        """Bytes of a buffer; empty where it has none."""
        array = self.data(index)
        return b"" if array is None else array.tobytes()

    def array(self, tensor: Tensor) -> np.ndarray | None:
        """Value of a constant tensor; None for one computed at run time. Raises UnreadableFile if bytes are
        missing."""
        shape = [1 if d is None else d for d in tensor.dims]
        raw = self.data(tensor.buffer)
        if raw is None:
            return None
        if tensor.type not in DTYPES:
            raise UnreadableFile(f"{self.path}: {tensor.name} has the unknown type {tensor.type}.")
        count = _element_count(shape)
        if tensor.type == "STRING":
            return _strings(raw, self.path).reshape(shape)
        if tensor.type in SUB_BYTE_WIDTHS:
            numbers = _unpack_bits(raw, SUB_BYTE_WIDTHS[tensor.type], tensor.type.startswith("U"))
            self._enough(numbers.size, count, tensor)
            return numbers[:count].astype(DTYPES[tensor.type]).reshape(shape)
        dtype = np.dtype(DTYPES[tensor.type])
        if tensor.sparsity is not None:
            return sparsity.to_dense(raw.view(dtype), shape, tensor.sparsity, f"{self.path}: {tensor.name}")
        self._enough(raw.size // dtype.itemsize, count, tensor)
        return raw[: count * dtype.itemsize].view(dtype).reshape(shape)

    def _enough(self, have: int, count: int, tensor: Tensor) -> None:
        if have < count:
            raise UnreadableFile(f"{self.path} holds {have} of the {count} values of {tensor.name}.")

    def _all(self, items: Any, read: Callable) -> list:
        count = 0 if items is None else len(items)
        if count * 4 > len(self.raw):
            raise UnreadableFile(f"{self.path} declares {count} items, more than it has room for.")
        return [read(item) for item in items or ()]

    def _numbers(self, vector: Any) -> list:
        return [] if vector is None else vector.tolist()

    def _subgraph(self, graph: Any) -> Subgraph:
        tensors = self._all(graph.tensors, self._tensor)
        for index, tensor in enumerate(tensors):
            self._read_blocks(tensor, graph.tensors[index].quantization, tensors)
        subgraph = Subgraph(
            _text(graph.name),
            tensors,
            self._numbers(graph.inputs),
            self._numbers(graph.outputs),
            self._all(graph.operators, self._operator),
        )
        used = [subgraph.inputs, subgraph.outputs, *(o.inputs for o in subgraph.operators)]
        used += [o.outputs for o in subgraph.operators] + [o.intermediates for o in subgraph.operators]
        if any(i >= len(tensors) or i < -1 for group in used for i in group):
            raise UnreadableFile(f"{self.path} names a tensor that is not there.")
        return subgraph

    def _tensor(self, tensor: Any) -> Tensor:
        shape = self._numbers(tensor.shape)
        signature = self._numbers(tensor.shapeSignature)
        dims = signature if len(signature) == len(shape) else shape
        if len(dims) > 64 or _element_count([max(d, 1) for d in dims]) > LIMIT:
            raise UnreadableFile(f"{self.path}: a tensor of shape {dims} is impossible.")
        q = tensor.quantization
        scale = zero = None
        if q is not None and q.scale is not None and q.scale.size:
            scale = np.array(q.scale, np.float32)
            zero_points = q.zeroPoint
            zero = np.zeros(1, np.int64) if zero_points is None else np.array(zero_points, np.int64)
            zero = np.broadcast_to(zero, scale.shape) if zero.size == 1 else zero
            if zero.shape != scale.shape:
                raise UnreadableFile(f"{self.path}: a tensor has other scales than zero points.")
        return Tensor(
            _text(tensor.name),
            TYPES.get(tensor.type, str(tensor.type)),
            [None if d < 0 else d for d in dims],
            tensor.buffer,
            scale,
            zero,
            q.quantizedDimension if q is not None else 0,
            tensor.isVariable,
            tensor.sparsity,
        )

    def _read_blocks(self, tensor: Tensor, quantization: Any, tensors: list[Tensor]) -> None:
        """Read the scales and zero points that a tensor has in blocks, from the tensors that hold them."""
        kind = 0 if quantization is None else quantization.detailsType
        if schema.MEMBERS["QuantizationDetails"].get(kind) != "BlockwiseQuantization":
            return
        details = quantization.details
        shape, block = [d or 0 for d in tensor.dims], details.blockSize
        scale = self._side_tensor(details.scales, tensors)
        zero = self._side_tensor(details.zeroPoints, tensors) if details.zeroPoints > 0 else None
        axes = [a for a, d in enumerate(shape) if scale is not None and scale.ndim == len(shape)
                and block > 0 and [*shape[:a], d // block, *shape[a + 1:]] == list(scale.shape)
                and d % block == 0]  # fmt: skip
        if scale is None or not axes or (zero is not None and zero.shape != scale.shape):
            raise UnreadableFile(f"{self.path}: {tensor.name} has no scale for each of its blocks.")
        tensor.scale, tensor.block, tensor.axis = scale.astype(np.float32), block, axes[-1]
        tensor.zero_point = np.zeros(scale.shape, np.int64) if zero is None else zero.astype(np.int64)

    def _side_tensor(self, index: int, tensors: list[Tensor]) -> np.ndarray | None:
        return self.array(tensors[index]) if 0 <= index < len(tensors) else None

    def _operator(self, operator: Any) -> Operator:
        if operator.opcodeIndex >= len(self.codes):
            raise UnreadableFile(f"{self.path} names an operator code that is not there.")
        code = self.codes[operator.opcodeIndex]
        builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
        name = OPERATORS.get(builtin, f"operator {builtin}")
        custom = name == "CUSTOM"
        options = operator.builtinOptions2 or operator.builtinOptions
        custom_options = operator.customOptions
        return Operator(
            _text(code.customCode) if custom else name,
            custom,
            self._numbers(operator.inputs),
            self._numbers(operator.outputs),
            options and options.unpacked(),
            b"" if custom_options is None else custom_options.tobytes(),
            self._numbers(operator.intermediates),
        )

    def _signature(self, table: Any) -> Signature:
        def port(item: Any) -> tuple[str, int]:
            return _text(item.name), item.tensorIndex

        signature = Signature(
            _text(table.signatureKey),
            self._all(table.inputs, port),
            self._all(table.outputs, port),
            table.subgraphIndex,
        )
        if signature.subgraph >= len(self.subgraphs):
            raise UnreadableFile(
                f"{self.path}: signature {signature.key} names a subgraph that is not there."
            )
        limit = len(self.subgraphs[signature.subgraph].tensors)
        if any(index >= limit for _, index in [*signature.inputs, *signature.outputs]):
            raise UnreadableFile(f"{self.path}: signature {signature.key} names a tensor that is not there.")
        return signature

    def _metadata(self, item: Any) -> tuple[str, int]:
        return _text(item.name), item.buffer


def read(path: Path) -> File:
    """Map and parse a file. Raises UnreadableFile."""
    try:
        with path.open("rb") as file:
            return File(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), str(path))
    except (OSError, ValueError) as error:
        raise UnreadableFile(f"{path} cannot be read: {error}") from error


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace")


def _unpack_bits(raw: np.ndarray, width: int, unsigned: bool) -> np.ndarray:
    """Numbers of `width` bits that are packed into bytes, the lowest bits first."""
    packed = raw.view(np.uint8 if unsigned else np.int8)
    return np.stack(
        [(packed << (8 - width - shift)) >> (8 - width) for shift in range(0, 8, width)], -1
    ).ravel()


def _element_count(shape: list) -> int:
    result = 1
    for size in shape:
        result *= size
    return result


def _strings(raw: np.ndarray, path: str) -> np.ndarray:
    count = int(raw[:4].view(np.int32)[0])
    if count < 0 or 4 * (count + 2) > raw.size:
        raise UnreadableFile(f"{path} holds a broken string tensor.")
    offsets = raw[4 : 4 * (count + 2)].view(np.int32).tolist()
    texts = np.empty(count, object)
    texts[:] = [raw[a:b].tobytes().decode("utf-8", "replace") for a, b in itertools.pairwise(offsets)]
    return texts
