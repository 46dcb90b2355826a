"""Quantized values, and weights stored compressed: their numbers as NumPy says them."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_coreml.cases.common import RNG, Program, f, half, program

X = f(2, 6)


def programs(mb: Any) -> dict[str, Program]:
    return values(mb) | weights16(mb) | weights18(mb)


def values(mb: Any) -> dict[str, Program]:
    scale, scales, zeros = (
        np.float32(0.1),
        np.array([0.1, 0.02, 0.3], np.float32),
        np.array([3, -5, 0], np.int8),
    )
    x = f(3, 4)

    def quantized(x: np.ndarray, scale: Any, zero: Any, low: int = -128, high: int = 127) -> np.ndarray:
        return np.clip(np.rint(x / scale) + zero, low, high).astype(np.int32)

    def both(x: Any, dtype: str, **attributes: Any) -> Any:
        return mb.dequantize(input=mb.quantize(input=x, output_dtype=dtype, **attributes), **attributes)

    per = {"scale": scales, "zero_point": zeros, "axis": 0}
    column, point = scales[:, None], zeros[:, None].astype(np.float32)
    return {
        "quantize": program(
            lambda x: mb.quantize(input=x, scale=scale, zero_point=np.int8(4), output_dtype="int8"),
            x,
            want=lambda x: quantized(x, scale, 4),
            target=17,
        ),
        "quantize uint8": program(
            lambda x: mb.quantize(input=x, scale=scale, zero_point=np.uint8(100), output_dtype="uint8"),
            x,
            want=lambda x: quantized(x, scale, 100, 0, 255),
            target=17,
        ),
        "quantize axis": program(
            lambda x: mb.quantize(input=x, output_dtype="int8", **per),
            x,
            want=lambda x: quantized(x, column, point),
            target=17,
        ),
        "dequantize+quantize": program(
            lambda x: both(x, "int8", scale=scale),
            x,
            want=lambda x: quantized(x, scale, 0) * scale,
            target=17,
        ),
        "dequantize+quantize axis": program(
            lambda x: both(x, "int8", **per),
            x,
            want=lambda x: (quantized(x, column, point) - point) * column,
            target=17,
        ),
    }


def product(mb: Any, make: Any, weight: np.ndarray, x: np.ndarray = X, **more: Any) -> Program:
    """A product with a compressed weight, and with the weight it stands for."""
    return program(
        lambda x: mb.linear(x=x, weight=make()),
        x,
        want=lambda x: (x.astype(np.float32) @ weight.astype(np.float32).T).astype(x.dtype),
        newest=False,
        **more,
    )


def packed(numbers: np.ndarray, bits: int) -> np.ndarray:
    """Numbers of so many bits one after another, least significant bit first."""
    flat = ((numbers.ravel()[:, None] >> np.arange(bits)) & 1).astype(np.uint8).ravel()
    return np.packbits(flat, bitorder="little")


def weights16(mb: Any) -> dict[str, Program]:
    stored = RNG.integers(-127, 128, (4, 6)).astype(np.int8)
    scales, zeros = f(4, low=0.01, high=0.05), np.array([1, -3, 0, 9], np.int8)
    shape = np.uint32([4, 6])
    table, places = f(4), RNG.integers(0, 4, (4, 6))
    mask = RNG.random((4, 6)) > 0.5
    dense = np.where(mask, f(4, 6), 0).astype(np.float32)
    return {
        "constexpr_affine_dequantize": product(
            mb,
            lambda: mb.constexpr_affine_dequantize(
                quantized_data=stored, zero_point=zeros, scale=scales, axis=0
            ),
            (stored.astype(np.float32) - zeros[:, None].astype(np.float32)) * scales[:, None],
            target=16,
        ),
        "constexpr_affine_dequantize single": product(
            mb,
            lambda: mb.constexpr_affine_dequantize(
                quantized_data=stored.view(np.uint8), zero_point=np.uint8(100), scale=np.float32(0.02), axis=0
            ),
            (stored.view(np.uint8).astype(np.float32) - 100) * np.float32(0.02),
            target=16,
        ),
        "constexpr_cast": product(
            mb, lambda: mb.constexpr_cast(source_val=half(dense), output_dtype="fp32"), half(dense), target=16
        ),
        "constexpr_lut_to_dense": product(
            mb,
            lambda: mb.constexpr_lut_to_dense(indices=packed(places, 2), lut=table, shape=shape),
            table[places],
            target=16,
        ),
        "constexpr_sparse_to_dense": product(
            mb,
            lambda: mb.constexpr_sparse_to_dense(
                nonzero_data=dense[mask], mask=packed(mask.astype(int), 1), shape=shape
            ),
            dense,
            target=16,
        ),
    }


def weights18(mb: Any) -> dict[str, Program]:
    from coremltools.converters.mil.mil import types

    def small(array: np.ndarray, kind: str) -> np.ndarray:
        return array.astype(types.nptype_from_builtin(types.string_to_builtin(kind)))

    stored = RNG.integers(-7, 8, (4, 6)).astype(np.int8)
    block, shift = f(4, 2, low=0.01, high=0.05), RNG.integers(-3, 4, (4, 2)).astype(np.int8)
    spread, shifted = (np.repeat(v, 3, 1) for v in (block, shift.astype(np.float32)))
    opened = (stored - shifted) * spread
    table, places = f(2, 1, 4, 1), RNG.integers(0, 4, (4, 6))
    looked = np.stack([table[r // 2, 0, places[r], 0] for r in range(4)])
    mask = RNG.random((4, 6)) > 0.4
    bits = small(mask.astype(np.uint8), "uint1")
    one = f(1, 1, 4, 1)

    def sparse(pair: Any) -> Any:
        return mb.constexpr_sparse_to_dense(nonzero_data=pair[1], mask=pair[0])

    return {
        "constexpr_blockwise_shift_scale": product(
            mb,
            lambda: mb.constexpr_blockwise_shift_scale(data=stored, scale=block, offset=shift),
            opened,
            target=18,
        ),
        "constexpr_blockwise_shift_scale channels": product(
            mb,
            lambda: mb.constexpr_blockwise_shift_scale(data=stored, scale=block[:, :1]),
            stored * block[:, :1],
            target=18,
        ),
        "constexpr_blockwise_shift_scale int4": product(
            mb,
            lambda: mb.constexpr_blockwise_shift_scale(
                data=small(stored, "int4"), scale=block, offset=small(shift, "int4")
            ),
            opened,
            target=18,
        ),
        "constexpr_lut_to_dense tables": product(
            mb,
            lambda: mb.constexpr_lut_to_dense(indices=small(places, "uint2"), lut=table),
            looked,
            target=18,
        ),
        "constexpr_sparse_to_dense mask": product(
            mb,
            lambda: mb.constexpr_sparse_to_dense(nonzero_data=opened[mask].astype(np.float32), mask=bits),
            np.where(mask, opened, 0),
            target=18,
        ),
        "constexpr_lut_to_sparse": product(
            mb,
            lambda: sparse(
                mb.constexpr_lut_to_sparse(
                    indices_mask=bits, indices_nonzero_data=small(places[mask], "uint2"), lut=one
                )
            ),
            np.where(mask, one[0, 0, places, 0], 0),
            target=18,
        ),
        "constexpr_sparse_blockwise_shift_scale": product(
            mb,
            lambda: sparse(
                mb.constexpr_sparse_blockwise_shift_scale(
                    data_mask=bits, nonzero_data=stored[mask], scale=block, offset=shift
                )
            ),
            np.where(mask, opened, 0),
            target=18,
        ),
    }
