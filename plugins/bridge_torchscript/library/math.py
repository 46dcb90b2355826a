"""Casts to dtypes that torch lacks, and uint64 arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from math import nan
    from typing import Tuple

    import torch
    from torch import Tensor


def to_int4(x: Tensor) -> Tensor:
    """Low four bits, as signed numbers in int8."""
    return torch.bitwise_and(x.to(torch.int64) + 8, 15).to(torch.int8) - 8


def to_uint4(x: Tensor) -> Tensor:
    """Low four bits, in uint8."""
    return torch.bitwise_and(x.to(torch.int64), 15).to(torch.uint8)


def to_int2(x: Tensor) -> Tensor:
    """Low two bits, as signed numbers in int8."""
    return torch.bitwise_and(x.to(torch.int64) + 2, 3).to(torch.int8) - 2


def to_uint2(x: Tensor) -> Tensor:
    """Low two bits, in uint8."""
    return torch.bitwise_and(x.to(torch.int64), 3).to(torch.uint8)


def to_float4(x: Tensor) -> Tensor:
    """Nearest of ±{0, 0.5, 1, 1.5, 2, 3, 4, 6}, half to even, in float8_e4m3fn; NaN becomes 0."""
    x = x.to(torch.float32)
    magnitude = torch.abs(x)
    step = torch.where(magnitude < 2, 0.5, torch.where(magnitude < 4, 1.0, 2.0))
    rounded = torch.clamp(torch.round(magnitude / step) * step, 0.0, 6.0)
    rounded = torch.where(torch.isnan(x), torch.zeros_like(x), torch.copysign(rounded, x))
    return rounded.to(torch.float8_e4m3fn)


def saturate_float8(x: Tensor, limit: float, saturate: bool) -> Tensor:
    """Values clamped to the limit of a float8 dtype, or NaN above 464 for the limit 448, where torch
    saturates.
    """
    if saturate:
        return torch.clamp(x, -limit, limit)
    if limit == 448.0:
        return torch.where(torch.abs(x) > 464.0, torch.full_like(x, nan), x)
    return x


def uint64_order(x: Tensor) -> Tensor:
    """uint64 as int64 values of the same order."""
    return torch.bitwise_xor(torch.view_copy(x, dtype=torch.int64), -9223372036854775807 - 1)


def shift_left(x: Tensor, n: Tensor) -> Tensor:
    """Bits of uint64, held in int64, shifted left; zero for a shift by 64 or more."""
    return torch.where(
        torch.logical_and(n >= 0, n < 64),
        torch.bitwise_left_shift(x, torch.clamp(n, 0, 63)),
        torch.zeros_like(x),
    )


def shift_right(x: Tensor, n: Tensor) -> Tensor:
    """Bits of uint64, held in int64, shifted right with zeros from the left."""
    count = torch.clamp(n, 1, 63)
    mask = torch.bitwise_right_shift(torch.full_like(count, 9223372036854775807), count - 1)
    shifted = torch.bitwise_and(torch.bitwise_right_shift(x, count), mask)
    in_range = torch.where(torch.logical_and(n > 0, n < 64), shifted, torch.zeros_like(shifted))
    return torch.where(n == 0, x, in_range)


def divide_uint64(x: Tensor, y: Tensor) -> Tuple[Tensor, Tensor]:
    """Quotient and remainder of uint64 held in int64.

    The quotient is computed from x / 2, which has no sign bit.
    """
    ones = torch.ones_like(y)
    half = torch.div(shift_right(x, torch.ones_like(x)), torch.where(y > 0, y, ones), rounding_mode="trunc")
    quotient = torch.where(y > 0, half * 2, torch.zeros_like(half))
    remainder = x - quotient * y
    is_over = uint64_order(torch.view_copy(remainder, dtype=torch.uint64)) >= uint64_order(
        torch.view_copy(y, dtype=torch.uint64)
    )
    return quotient + is_over.to(torch.int64), remainder - torch.where(is_over, y, torch.zeros_like(y))


def subtract_row_zeros(x: Tensor, zero: Tensor) -> Tensor:
    """x - zero as int32; a vector of zero points has one per row."""
    if zero.dim() == 1:
        zero = torch.unsqueeze(zero, 1)
    return x.to(torch.int32) - zero.to(torch.int32)


def to_float8_e8m0(x: Tensor, mode: str, saturate: bool) -> Tensor:
    """Power of two above, below or nearest to |x| (ONNX operator Cast, round_mode)."""
    bits = torch.view_copy(x.to(torch.float32), dtype=torch.int32)
    exponent = torch.bitwise_and(torch.bitwise_right_shift(bits, 23), 255)
    fraction = torch.bitwise_and(bits, 8388607)
    if mode == "up":
        exponent = exponent + (fraction > 0).to(torch.int32)
    elif mode == "nearest":
        exponent = exponent + (fraction >= 4194304).to(torch.int32)
    if saturate:
        exponent = torch.where(torch.isfinite(x), torch.clamp(exponent, 0, 254), exponent)
    exponent = torch.where(torch.isnan(x), torch.full_like(exponent, 255), exponent)
    return torch.view_copy(torch.clamp(exponent, 0, 255).to(torch.uint8), dtype=torch.float8_e8m0fnu)
