"""Dtypes torch has no casts to, and exact-integer operands."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def to_int4(x: Tensor) -> Tensor:
    """The low four bits, as signed numbers in int8."""
    return torch.bitwise_and(x.to(torch.int64) + 8, 15).to(torch.int8) - 8


def to_uint4(x: Tensor) -> Tensor:
    """The low four bits, in uint8."""
    return torch.bitwise_and(x.to(torch.int64), 15).to(torch.uint8)


def to_int2(x: Tensor) -> Tensor:
    """The low two bits, as signed numbers in int8."""
    return torch.bitwise_and(x.to(torch.int64) + 2, 3).to(torch.int8) - 2


def to_uint2(x: Tensor) -> Tensor:
    """The low two bits, in uint8."""
    return torch.bitwise_and(x.to(torch.int64), 3).to(torch.uint8)


def to_float4(x: Tensor) -> Tensor:
    """The nearest of ±{0, 0.5, 1, 1.5, 2, 3, 4, 6}, half to even, in float8_e4m3fn; what is no number becomes 6."""
    x = x.to(torch.float32)
    size = torch.abs(x)
    step = torch.where(size < 2, 0.5, torch.where(size < 4, 1.0, 2.0))
    near = torch.clamp(torch.round(size / step) * step, 0.0, 6.0)
    near = torch.where(torch.isnan(x), torch.full_like(x, 6.0), torch.copysign(near, x))
    return near.to(torch.float8_e4m3fn)


def saturated(x: Tensor, limit: float) -> Tensor:
    """Beyond the limit, the limit; what is no number stays so."""
    return torch.clamp(x, -limit, limit)


def from_zero_of_rows(x: Tensor, zero: Tensor) -> Tensor:
    """x - zero as int32; a vector of zeros has one for each row."""
    if zero.dim() == 1:
        zero = torch.unsqueeze(zero, 1)
    return x.to(torch.int32) - zero.to(torch.int32)


def to_float8_e8m0(x: Tensor, mode: str, saturate: bool) -> Tensor:
    """The power of two above, below or nearest to the size of x (ONNX operator Cast, round_mode)."""
    bits = torch.view(x.to(torch.float32), torch.int32)
    exponent = torch.bitwise_and(torch.bitwise_right_shift(bits, 23), 255)
    fraction = torch.bitwise_and(bits, 8388607)
    if mode == "up":
        exponent = exponent + (fraction > 0).to(torch.int32)
    elif mode == "nearest":
        exponent = exponent + (fraction >= 4194304).to(torch.int32)
    if saturate:
        exponent = torch.where(torch.isfinite(x), torch.clamp(exponent, 0, 254), exponent)
    exponent = torch.where(torch.isnan(x), torch.full_like(exponent, 255), exponent)
    return torch.view(torch.clamp(exponent, 0, 255).to(torch.uint8), torch.float8_e8m0fnu)
