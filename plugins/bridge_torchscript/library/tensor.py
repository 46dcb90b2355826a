"""Shapes, slices, padding, ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import List

    import torch
    from torch import Tensor


def reshape(x: Tensor, shape: List[int], allowzero: bool) -> Tensor:
    """ONNX operator Reshape: 0 copies the input's length unless `allowzero`, -1 is inferred."""
    lengths: List[int] = []
    for i in range(len(shape)):
        length = shape[i]
        if length == 0 and not allowzero:
            length = x.size(i)
        lengths.append(length)
    known = 1
    for length in lengths:
        if length != -1:
            known = known * length
    remaining = x.numel() // max(known, 1)
    output: List[int] = []
    for length in lengths:
        output.append(remaining if length == -1 else length)
    return torch.reshape(x, output)


def expand(x: Tensor, shape: List[int]) -> Tensor:
    """Broadcast to a shape, which may be shorter or have ones (ONNX operator Expand)."""
    rank = max(x.dim(), len(shape))
    lengths: List[int] = []
    for i in range(rank):
        own = 1
        if i - rank + x.dim() >= 0:
            own = x.size(i - rank + x.dim())
        other = 1
        if i - rank + len(shape) >= 0:
            other = shape[i - rank + len(shape)]
        lengths.append(other if own == 1 else own)
    return torch.expand(x, lengths)


def unsqueeze(x: Tensor, axes: List[int]) -> Tensor:
    """Insert axes, counted in the output."""
    rank = x.dim() + len(axes)
    positions: List[int] = []
    for axis in axes:
        positions.append(axis + rank if axis < 0 else axis)
    for i in range(rank):
        if i in positions:
            x = torch.unsqueeze(x, i)
    return x


def even_split_lengths(length: int, count: int) -> List[int]:
    """Lengths of `count` parts; the last may be shorter."""
    step = (length + count - 1) // count
    lengths: List[int] = []
    for i in range(count):
        lengths.append(max(min(step, length - i * step), 0))
    return lengths


def slice_axes(x: Tensor, starts: List[int], ends: List[int], axes: List[int], steps: List[int]) -> Tensor:
    """ONNX operator Slice, with negative steps."""
    for i in range(len(starts)):
        axis = axes[i]
        length = x.size(axis)
        if steps[i] > 0:
            x = torch.slice(x, axis, starts[i], ends[i], steps[i])
        else:
            start = starts[i] + length if starts[i] < 0 else starts[i]
            end = ends[i] + length if ends[i] < 0 else ends[i]
            start = min(max(start, 0), length - 1)
            end = min(max(end, -1), length - 1)
            indices = torch.arange(start, min(end, start), steps[i])
            x = torch.index_select(x, axis, indices)
    return x


def from_last_axis(pads: List[int], axes: List[int], rank: int) -> List[int]:
    """Pads in the order of torch.constant_pad_nd."""
    result = [0] * (2 * rank)
    for i in range(len(axes)):
        axis = axes[i]
        if axis < 0:
            axis = axis + rank
        result[2 * (rank - 1 - axis)] = pads[i]
        result[2 * (rank - 1 - axis) + 1] = pads[i + len(axes)]
    return result


def pad_by_index(x: Tensor, pads: List[int], axes: List[int], mode: str) -> Tensor:
    """Crop by negative pads, then pad in the modes edge, wrap and reflect (ONNX operator Pad)."""
    for i in range(len(axes)):
        axis = axes[i]
        x = torch.slice(x, axis, max(-pads[i], 0), x.size(axis) - max(-pads[i + len(axes)], 0))
        length = x.size(axis)
        before, after = max(pads[i], 0), max(pads[i + len(axes)], 0)
        if before == 0 and after == 0:
            continue
        indices = torch.arange(-before, length + after)
        if mode == "edge":
            indices = torch.clamp(indices, 0, length - 1)
        elif mode == "wrap":
            indices = torch.remainder(indices, length)
        else:
            period = max(2 * (length - 1), 1)
            indices = torch.remainder(indices, period)
            indices = torch.where(indices >= length, period - indices, indices)
        x = torch.index_select(x, axis, indices)
    return x


def shift_elements(x: Tensor, axis: int, filler: int) -> Tensor:
    """Elements shifted by one along the axis; the first is `filler`, the last is dropped."""
    first = torch.full_like(torch.slice(x, axis, 0, 1), filler)
    return torch.slice(torch.cat([first, x], axis), axis, 0, x.size(axis))


def eye_mask(rows: int, columns: int, k: int) -> Tensor:
    """Mask of diagonal `k`."""
    return torch.unsqueeze(torch.arange(columns), 0) - torch.unsqueeze(torch.arange(rows), 1) == k


def range_of_integers(start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    """ONNX operator Range."""
    return torch.arange(int(start), int(limit), int(delta))


def range_of_floats(start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    """start + i · delta, up to the limit."""
    count = max(
        int(torch.ceil((limit.to(torch.float64) - start.to(torch.float64)) / delta.to(torch.float64))), 0
    )
    return start + torch.arange(count).to(start.dtype) * delta


def depth_to_space(x: Tensor, block: int, depth_first: bool) -> Tensor:
    """ONNX operator DepthToSpace, modes DCR and CRD."""
    n, c, h, w = x.size(0), x.size(1), x.size(2), x.size(3)
    c = c // (block * block)
    if depth_first:
        x = torch.permute(torch.reshape(x, [n, block, block, c, h, w]), [0, 3, 4, 1, 5, 2])
    else:
        x = torch.permute(torch.reshape(x, [n, c, block, block, h, w]), [0, 1, 4, 2, 5, 3])
    return torch.reshape(x, [n, c, h * block, w * block])


def space_to_depth(x: Tensor, block: int, depth_last: bool) -> Tensor:
    """ONNX operator SpaceToDepth, modes DCR and CRD."""
    n, c, h, w = x.size(0), x.size(1), x.size(2), x.size(3)
    x = torch.reshape(x, [n, c, h // block, block, w // block, block])
    order = [0, 3, 5, 1, 2, 4] if depth_last else [0, 1, 3, 5, 2, 4]
    x = torch.permute(x, order)
    return torch.reshape(x, [n, c * block * block, h // block, w // block])


def multiply_lists(lengths: List[int], factors: List[int]) -> List[int]:
    """Elementwise products of two lists."""
    result: List[int] = []
    for i in range(len(lengths)):
        result.append(lengths[i] * factors[i])
    return result
