"""Gather, scatter, one-hot, sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import List, Optional, Tuple

    import torch
    from torch import Tensor


def non_negative_indices(indices: Tensor, length: int) -> Tensor:
    """Indices counted from the start."""
    indices = indices.to(torch.int64)
    return torch.where(indices < 0, indices + length, indices)


def gather_nd(x: Tensor, indices: Tensor, batch: int) -> Tensor:
    """ONNX operator GatherND."""
    indices = indices.to(torch.int64)
    depth = indices.size(-1)
    count = 1
    for i in range(batch):
        count = count * x.size(i)
    per_batch = 1
    for i in range(batch, indices.dim() - 1):
        per_batch = per_batch * indices.size(i)
    rows = torch.reshape(x, [count] + x.size()[batch:])
    flat = torch.reshape(indices, [count, per_batch, depth])
    index_list: List[Optional[Tensor]] = [torch.unsqueeze(torch.arange(count), 1)]
    for i in range(depth):
        index_list.append(torch.select(flat, 2, i))
    gathered = torch.index(rows, index_list)
    return torch.reshape(gathered, indices.size()[:-1] + x.size()[batch + depth :])


def scatter_nd(x: Tensor, indices: Tensor, updates: Tensor, reduction: str) -> Tensor:
    """ONNX operator ScatterND."""
    indices = indices.to(torch.int64)
    depth = indices.size(-1)
    inner = 1
    for length in x.size()[depth:]:
        inner = inner * length
    rows = 1
    for length in x.size()[:depth]:
        rows = rows * length
    row_indices = torch.zeros(indices.size()[:-1], dtype=torch.int64)
    for i in range(depth):
        component = torch.select(indices, -1, i)
        row_indices = row_indices * x.size(i) + torch.where(component < 0, component + x.size(i), component)
    scatter_indices = torch.unsqueeze(torch.reshape(row_indices, [row_indices.numel()]), 1)
    scatter_indices = torch.expand(scatter_indices, [row_indices.numel(), inner])
    values = torch.reshape(updates, [row_indices.numel(), inner])
    data = torch.reshape(x, [rows, inner])
    if reduction == "none":
        data = torch.scatter(data, 0, scatter_indices, values)
    else:
        data = torch.scatter_reduce(data, 0, scatter_indices, values, reduction)
    return torch.reshape(data, x.size())


def one_hot(indices: Tensor, depth: int, values: Tensor, axis: int) -> Tensor:
    """ONNX operator OneHot; an index outside the depth gives the off value everywhere."""
    wrapped = torch.where(indices < 0, indices + depth, indices)
    shape = [1] * (indices.dim() + 1)
    shape[axis] = depth
    is_hot = torch.unsqueeze(wrapped, axis) == torch.reshape(torch.arange(depth), shape)
    return torch.where(is_hot, torch.select(values, 0, 1), torch.select(values, 0, 0))


def unique(x: Tensor, axis: int, ordered: bool) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    """Values, first indices, inverse, counts (ONNX operator Unique); by first appearance if not `ordered`."""
    if x.dim() == 1:
        values, inverse, counts = torch._unique2(x, True, True, True)
    else:
        values, inverse, counts = torch.unique_dim(x, axis, True, True, True)
    length = x.size(axis)
    positions = torch.arange(length)
    first = torch.full([values.size(axis)], length, dtype=torch.int64)
    first = torch.scatter_reduce(first, 0, inverse, positions, "amin")
    if not ordered:
        order = torch.argsort(first)
        values = torch.index_select(values, axis, order)
        counts = torch.index_select(counts, 0, order)
        first = torch.index_select(first, 0, order)
        inverse = torch.index_select(torch.argsort(order), 0, inverse)
    return values, first, inverse, counts


def reverse_sequence(x: Tensor, lengths: Tensor, time_axis: int, batch_axis: int) -> Tensor:
    """ONNX operator ReverseSequence."""
    shape = [1] * x.dim()
    shape[time_axis] = x.size(time_axis)
    steps = torch.reshape(torch.arange(x.size(time_axis)), shape)
    shape = [1] * x.dim()
    shape[batch_axis] = x.size(batch_axis)
    stops = torch.reshape(lengths.to(torch.int64), shape)
    indices = torch.where(steps < stops, stops - 1 - steps, steps)
    return torch.gather(x, time_axis, torch.expand(indices, x.size()))


def stack(tensors: List[Tensor], empty: Tensor) -> Tensor:
    """Tensors stacked along a new first axis; `empty` if there are none."""
    if len(tensors) == 0:
        return empty
    return torch.stack(tensors)


def insert(sequence: List[Tensor], tensor: Tensor, position: int) -> List[Tensor]:
    """New list with `tensor` inserted before `position`."""
    if position < 0:
        position = position + len(sequence)
    return sequence[:position] + [tensor] + sequence[position:]


def erase(sequence: List[Tensor], position: int) -> List[Tensor]:
    """New list without the element at `position`."""
    if position < 0:
        position = position + len(sequence)
    return sequence[:position] + sequence[position + 1 :]


def optional_value(value: Optional[Tensor]) -> Tensor:
    """Value of an optional."""
    assert value is not None
    return value


def optional_list(value: Optional[List[Tensor]]) -> List[Tensor]:
    """Value of an optional list."""
    assert value is not None
    return value


def axes_or_all(axes: List[int], rank: int) -> List[int]:
    """`axes`; all axes if the list is empty."""
    return list(range(rank)) if len(axes) == 0 else axes
