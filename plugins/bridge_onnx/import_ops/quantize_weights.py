"""Products and tables with weights of a few bits, many of them in a byte."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import lengths
from bridge.hub import attr, const, held, input_at, rank_of
from bridge.importing import ints
from bridge.needs import attribute, condition, constant, dtype
from bridge.ops import Need, OpTable
from bridge_onnx.import_ops.common import MS, ranked, static

ops = OpTable()

UINT8 = ir.DataType.UINT8


def unpacked(array: np.ndarray, bits: int) -> np.ndarray:
    """Codes of `bits` along the last axis of bytes, the lowest first."""
    if bits == 8:
        return array
    codes = [(array >> shift) & ((1 << bits) - 1) for shift in range(0, 8, bits)]
    return np.stack(codes, axis=-1).reshape(*array.shape[:-1], array.shape[-1] * 8 // bits)


def storage(codes: np.ndarray, bits: int) -> Any:
    """Codes as what holds them: of 4 bits or fewer as uint4."""
    return codes.astype((ir.DataType.UINT4 if bits <= 4 else UINT8).numpy())


def dequantized(
    op: hub.Builder, codes: np.ndarray, bits: int, scales: ir.Value, zeros: Any, block: int
) -> ir.Value:
    """(codes - zeros) · scales, blocks of `block` along the last axis; zero points are codes (None: the
    middle of them), or a value like the scales."""
    axis, blocks = codes.ndim - 1, -(-codes.shape[-1] // block)
    whole = isinstance(zeros, ir.Value)
    if zeros is None:
        zeros = np.full((*codes.shape[:-1], blocks), 1 << (bits - 1), np.uint8)
    points = None if whole else op.const(storage(zeros, bits))
    weights = op.DequantizeLinear(op.const(storage(codes, bits)), scales, points, axis=axis, block_size=block)
    if not whole:
        return weights
    offsets = op.Unsqueeze(op.Mul(zeros, scales), ints(-1))
    spread = op.Expand(offsets, ints(*codes.shape[:-1], blocks, block))
    flat = op.Reshape(spread, ints(*codes.shape[:-1], blocks * block))
    return op.Sub(weights, op.Slice(flat, ints(0), ints(codes.shape[-1]), ints(axis)))


def grouped_as_onnx_runtime(node: ir.Node) -> bool:
    """Groups out of order, which are deprecated, are what ONNX Runtime takes them for: of 4 bits, and without
    packed zero points."""
    zeros = input_at(node, 3)
    return input_at(node, 4) is None or (
        attr(node, "bits", 4) == 4 and (zeros is None or zeros.dtype != UINT8)
    )


@ops.op(
    MS + "MatMulNBits",
    needs=(
        attribute("bits", 4, 2, 8),
        attribute("weight_prepacked", 0),
        constant(1, "B"),
        condition("constant packed zero points", lambda n: _packed_points_known(n)),
        constant(4, "g_idx"),
        condition("no g_idx but with 4 bits and no packed zero points", grouped_as_onnx_runtime),
    ),
)
def matmul_nbits(op, node, a, b, scales, zero_points=None, g_idx=None, bias=None):
    return product_of_bits(op, node, a, b, scales, zero_points, g_idx, bias)


def product_of_bits(
    op: hub.Builder, node: ir.Node, a: ir.Value, b: ir.Value, scales: ir.Value, zero_points: Any = None,
    g_idx: Any = None, bias: Any = None, n: int | None = None,
) -> ir.Value:  # fmt: skip
    """`a` by weights of `n` rows, the node's N where that is None."""
    k, block, n = attr(node, "K"), attr(node, "block_size"), n or attr(node, "N")
    bits, blocks = attr(node, "bits", 4), -(-k // block)
    codes = unpacked(const(b).reshape(n, -1), bits)[:, :k]
    scales, zeros = op.Reshape(scales, ints(n, blocks)), None
    if zero_points is not None and zero_points.dtype == UINT8:
        zeros = unpacked(const(zero_points).reshape(n, -1), bits)[:, :blocks]
    elif zero_points is not None:
        zeros = op.Reshape(zero_points, ints(n, blocks))
    if g_idx is None:
        weights = dequantized(op, codes, bits, scales, zeros, block)
    else:
        weights = in_groups(op, codes, const(g_idx), scales, 8 if zeros is None else zeros)
    product = op.MatMul(a, op.Transpose(weights, perm=[1, 0]))
    return product if bias is None else op.Add(product, bias)


def _packed_points_known(node: ir.Node) -> bool:
    zeros = input_at(node, 3)
    return zeros is None or zeros.dtype != UINT8 or held(zeros) is not None


def in_groups(
    op: hub.Builder, codes: np.ndarray, groups: np.ndarray, scales: ir.Value, zeros: Any
) -> ir.Value:
    """Weights of which every column says the group that its scale and zero point are of."""
    index, values = op.const(groups.astype(np.int64)), codes.astype(scales.dtype.numpy())
    by_column = op.Gather(scales, index, axis=1)
    if isinstance(zeros, int):
        return op.Mul(op.const(values - values.dtype.type(zeros)), by_column)
    return op.Mul(op.Sub(op.const(values), op.Gather(zeros, index, axis=1)), by_column)


def constants(*indices: int) -> Need:
    """Packed weights that stand in the file."""
    return condition("constant weights", lambda n: all(held(input_at(n, i)) is not None for i in indices))


def normed(op: hub.Builder, node: ir.Node, x: ir.Value, skip: Any, scale: Any) -> tuple[ir.Value, ir.Value]:
    """The RMSNormalization of `x`, to which `skip` is added first, and that sum."""
    total = x if skip is None else op.Add(x, skip)
    epsilon = attr(node, "epsilon", 1e-5 if node.op_type == "MatMulNBitsMlp" else 1e-6)
    return total if scale is None else op.RMSNormalization(total, scale, axis=-1, epsilon=epsilon), total


@ops.op(
    MS + "MatMulNBitsMlp",
    needs=(attribute("activation", "silu"), attribute("bits", 4, 2, 8), constants(3, 6)),
)
def gated_products(op, node, x, skip, scale, w, w_scales, w_bias, up, up_scales, up_bias=None):
    x, total = normed(op, node, x, skip, scale)
    gate = product_of_bits(op, node, x, w, w_scales, bias=w_bias)
    raised = product_of_bits(op, node, x, up, up_scales, bias=up_bias)
    return op.Mul(op.Mul(gate, op.Sigmoid(gate)), raised), total


@ops.op(MS + "MatMulNBitsQkv", needs=(attribute("bits", 4, 2, 8), constants(3, 6, 9)))
def three_products(op, node, x, skip, scale, *rest):
    x, total = normed(op, node, x, skip, scale)
    rest = [*rest, None, None][:9]
    rows = (attr(node, "Nq"), attr(node, "Nkv"), attr(node, "Nkv"))
    parts = [rest[i : i + 3] for i in (0, 3, 6)]
    results = [
        product_of_bits(op, node, x, w, s, bias=b, n=n) for (w, s, b), n in zip(parts, rows, strict=True)
    ]
    return *results, total


@ops.op(
    MS + "GatherBlockQuantized",
    needs=(
        dtype("uint8", "uint4", "int4"),
        attribute("bits", 4, 2, 8),
        constant(0, "data"),
        constant(3, "zero_points"),
        static(2, "scales"),
        ranked(1, "indices"),
    ),
)
def gather_block_quantized(op, node, data, index, scales, zero_points=None):
    """Rows are looked up as codes of 8 bits, and dequantized; an index that there is not reads zeros."""
    codes, zeros, middle = const(data), const(zero_points), 0
    if data.dtype == UINT8:
        bits = attr(node, "bits", 4)
        codes, middle = unpacked(codes, bits), 1 << (bits - 1)
        zeros = None if zeros is None else unpacked(zeros, bits)[..., : lengths(op, scales)[-1]]
    rank, wide = codes.ndim, np.int8 if data.dtype == ir.DataType.INT4 else np.uint8
    axis, along = attr(node, "gather_axis", 0) % rank, attr(node, "quantize_axis", 1) % rank
    zeros = np.full(scales.shape.numpy(), middle) if zeros is None else zeros
    index, there = wrapped(op, index, codes.shape[axis])
    block, places = attr(node, "block_size", 128), index
    if axis == along:
        places = op.Div(index, op.const(np.array(block, index.dtype.numpy())))
    rows = op.Gather(op.const(codes.astype(wide)), index, axis=axis)
    factors, points = (op.Gather(t, places, axis=axis) for t in (scales, op.const(zeros.astype(wide))))
    if axis == along:
        values = op.Mul(op.Sub(op.CastLike(rows, scales), op.CastLike(points, scales)), factors)
    else:
        along += rank_of(index) - 1 if along > axis else 0
        values = op.DequantizeLinear(rows, factors, points, axis=along, block_size=block)
    there = op.Unsqueeze(there, ints(*range(rank_of(index), rank_of(index) + rank - 1 - axis)))
    return op.Where(there, values, op.const(np.zeros((), scales.dtype.numpy())))


def wrapped(op: hub.Builder, index: ir.Value, length: int) -> tuple[ir.Value, ir.Value]:
    """Indices from the start, 0 for one that there is not; and which there are."""
    zero, size = (op.const(np.array(n, index.dtype.numpy())) for n in (0, length))
    index = op.Where(op.Less(index, zero), op.Add(index, size), index)
    there = op.And(op.GreaterOrEqual(index, zero), op.Less(index, size))
    return op.Where(there, index, zero), there


FP4 = np.array([0, 0.00520833, 0.66666667, 1, 0.33333333, 0.5, 0.16666667, 0.25], np.float32)
FP4 = np.concatenate([FP4, -FP4])
NF4 = np.array(
    [-1, -0.69619280, -0.52507305, -0.39491749, -0.28444138, -0.18477343, -0.09105004, 0,
     0.07958030, 0.16093020, 0.24611230, 0.33791524, 0.44070983, 0.56261700, 0.72295684, 1],
    np.float32,
)  # fmt: skip
"""The values of codes of bitsandbytes."""


@ops.op(
    MS + "MatMulBnb4",
    needs=(
        attribute("quant_type", 0, 1),
        attribute("transB", 1),
        attribute("training_mode", 0),
        constant(1, "B"),
    ),
)
def matmul_bnb4(op, node, a, b, largest):
    """Codes are looked up, the highest of a byte first, and blocks of all weights in a row are scaled."""
    k, n, block = (attr(node, name) for name in ("K", "N", "block_size"))
    packed = const(b).reshape(-1)
    codes = np.stack([packed >> 4, packed & 15], axis=-1).reshape(-1)[: n * k]
    values = np.asarray(FP4 if attr(node, "quant_type") == 0 else NF4, a.dtype.numpy())[codes]
    padded = np.pad(values, (0, -len(values) % block)).reshape(-1, block)
    scaled = op.Mul(op.const(padded), op.Reshape(largest, ints(-1, 1)))
    flat = op.Slice(op.Reshape(scaled, ints(-1)), ints(0), ints(n * k), ints(0))
    return op.MatMul(a, op.Transpose(op.Reshape(flat, ints(n, k)), perm=[1, 0]))
