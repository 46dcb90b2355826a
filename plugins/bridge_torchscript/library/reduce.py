"""Reductions torch has for one axis, or not for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import List

    import torch
    from torch import Tensor


def last_first(axes: List[int], rank: int) -> List[int]:
    """Distinct axes counted from the start, the last one first."""
    result: List[int] = []
    for i in range(rank):
        axis = rank - 1 - i
        if axis in axes or axis - rank in axes:
            result.append(axis)
    return result


def prod(x: Tensor, axes: List[int], keepdim: bool) -> Tensor:
    """Products over several axes."""
    for axis in last_first(axes, x.dim()):
        x = torch.prod(x, axis, keepdim, dtype=x.dtype)
    return x


def amax(x: Tensor, axes: List[int], keepdim: bool, neutral: Tensor) -> Tensor:
    """The largest, never less than the neutral element, which a reduction of nothing gives."""
    for axis in last_first(axes, x.dim()):
        length: List[int] = x.size()
        length[axis] = 1
        x = torch.amax(torch.cat([x, torch.expand(neutral, length)], axis), axis, keepdim)
    return x


def amin(x: Tensor, axes: List[int], keepdim: bool, neutral: Tensor) -> Tensor:
    """The smallest, never more than the neutral element."""
    for axis in last_first(axes, x.dim()):
        length: List[int] = x.size()
        length[axis] = 1
        x = torch.amin(torch.cat([x, torch.expand(neutral, length)], axis), axis, keepdim)
    return x


def integer_mean(x: Tensor, axes: List[int], keepdim: bool) -> Tensor:
    """The sum divided by the count, towards zero."""
    count = 1
    for axis in last_first(axes, x.dim()):
        count = count * x.size(axis)
    total = torch.sum(x, axes, keepdim, dtype=torch.int64)
    return torch.div(total, count, rounding_mode="trunc").to(x.dtype)
