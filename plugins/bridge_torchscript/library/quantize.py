"""Quantization in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Optional

    import torch
    from torch import Tensor


def broadcast_parameter(parameter: Tensor, x: Tensor, axis: int, block: int) -> Tensor:
    """Scale or zero point, per tensor, axis element or block, in float32, broadcast against x."""
    parameter = parameter.to(torch.float32)
    if block == 0 and parameter.numel() == 1:
        return torch.reshape(parameter, [1] * max(x.dim(), 0))
    if block == 0:
        shape = [1] * x.dim()
        shape[axis] = parameter.numel()
        return torch.reshape(parameter, shape)
    return torch.slice(torch.repeat_interleave(parameter, block, axis), axis, 0, x.size(axis))


def divide_by_scale(x: Tensor, scale: Tensor, axis: int, block: int) -> Tensor:
    """x / scale."""
    return x.to(torch.float32) / broadcast_parameter(scale, x, axis, block)


def round_to_integers(
    x: Tensor, zero: Optional[Tensor], axis: int, block: int, low: float, high: float
) -> Tensor:
    """x rounded half to even, plus the zero point, clamped to the limits."""
    x = torch.round(x)
    if zero is not None:
        x = x + broadcast_parameter(zero, x, axis, block)
    return torch.clamp(x, low, high)


def dequantize(
    x: Tensor, scale: Tensor, zero: Optional[Tensor], axis: int, block: int, integers: bool
) -> Tensor:
    """(x - zero) · scale."""
    if zero is not None:
        if integers:
            x = x - broadcast_parameter(zero, x, axis, block).to(torch.int32)
        else:
            x = x.to(torch.float32) - broadcast_parameter(zero, x, axis, block)
    return x.to(torch.float32) * broadcast_parameter(scale, x, axis, block)
