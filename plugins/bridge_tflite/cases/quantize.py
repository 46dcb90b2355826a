"""QUANTIZE, DEQUANTIZE, DENSIFY."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from bridge_tflite.cases.common import case, f, q, qo
from bridge_tflite.cases.file import Op, T, const

case("QUANTIZE", [f(3, 9)], qo())
case("QUANTIZE", [f(3, 9)], qo(np.uint8), name="uint8")
case("QUANTIZE", [f(3, 9)], qo(np.int16, 1e-3), name="int16")
case("QUANTIZE", [q(3, 9)], qo(scale=0.03, zero=7), name="int8-int8")
case("QUANTIZE", [q(3, 9, dtype=np.uint8)], qo(scale=0.05, zero=-7), name="uint8-int8")
case("QUANTIZE", [q(3, 9, dtype=np.int16, scale=2e-3)], qo(), name="int16-int8")
for _dtype in (np.int8, np.uint8, np.int16):
    case("DEQUANTIZE", [q(3, 9, dtype=_dtype)], name=np.dtype(_dtype).name)
case("DEQUANTIZE", [T(f(3, 4).value.astype(np.float16))], name="float16")
case("DEQUANTIZE", [T(q(3, 4).value, scale=np.float32([0.1, 0.2, 0.3]), zero=0, axis=0)], name="channels")


def sparse() -> T:
    """Sparse matrix in compressed rows: [[0, 3, 0], [0, 0, 0], [1, 0, 2]]."""
    levels = [schema.DimensionMetadataT() for _ in range(2)]
    levels[0].format, levels[0].denseSize = 0, 3
    levels[1].format = 1
    levels[1].arraySegmentsType = levels[1].arrayIndicesType = schema.SparseIndexVector.Uint8Vector
    levels[1].arraySegments, levels[1].arrayIndices = schema.Uint8VectorT(), schema.Uint8VectorT()
    levels[1].arraySegments.values = np.uint8([0, 1, 1, 3])
    levels[1].arrayIndices.values = np.uint8([1, 0, 2])
    tensor = const(np.float32([3, 1, 2]))
    tensor.sparsity = schema.SparsityParametersT()
    tensor.sparsity.traversalOrder, tensor.sparsity.blockMap = np.int32([0, 1]), None
    tensor.sparsity.dimMetadata = levels
    tensor.shape = [3, 3]
    return tensor


_x, _dense, _y = f(3, 3), T(np.zeros((3, 3), np.float32)), T(np.zeros((3, 3), np.float32))
case("DENSIFY", [_x], [_y], graph=[Op("DENSIFY", [sparse()], [_dense]), Op("ADD", [_x, _dense], [_y])])
