"""Reductions that torch has for one axis only, or not for empty tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import List

    import torch
    from torch import Tensor


def descending_axes(axes: List[int], rank: int) -> List[int]:
    """Distinct axes counted from the start, in falling order."""
    result: List[int] = []
    for i in range(rank):
        axis = rank - 1 - i
        if axis in axes or axis - rank in axes:
            result.append(axis)
    return result


def prod(x: Tensor, axes: List[int], keepdim: bool) -> Tensor:
    """Product over several axes."""
    for axis in descending_axes(axes, x.dim()):
        x = torch.prod(x, axis, keepdim, dtype=x.dtype)
    return x


def amax(x: Tensor, axes: List[int], keepdim: bool, neutral: Tensor) -> Tensor:
    """Maximum over several axes; the neutral element if there are no elements."""
    for axis in descending_axes(axes, x.dim()):
        length: List[int] = x.size()
        length[axis] = 1
        x = torch.amax(torch.cat([x, torch.expand(neutral, length)], axis), axis, keepdim)
    return x


def amin(x: Tensor, axes: List[int], keepdim: bool, neutral: Tensor) -> Tensor:
    """Minimum over several axes; the neutral element if there are no elements."""
    for axis in descending_axes(axes, x.dim()):
        length: List[int] = x.size()
        length[axis] = 1
        x = torch.amin(torch.cat([x, torch.expand(neutral, length)], axis), axis, keepdim)
    return x


def integer_mean(x: Tensor, axes: List[int], keepdim: bool) -> Tensor:
    """Sum divided by count, rounded towards zero."""
    count = 1
    for axis in descending_axes(axes, x.dim()):
        count = count * x.size(axis)
    total = torch.sum(x, axes, keepdim, dtype=torch.int64)
    return torch.div(total, count, rounding_mode="trunc").to(x.dtype)


def centred(x: Tensor, groups: int) -> Tensor:
    """What each group of channels is above its mean."""
    length = x.size(1) // groups
    for i in range(2, x.dim()):
        length = length * x.size(i)
    flat = torch.reshape(x, [x.size(0), groups, length])
    return torch.reshape(flat - torch.mean(flat, [2], True), x.size())
