"""Padding and indices of windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import List

    import torch
    from torch import Tensor


def same_pads(
    x: Tensor, kernel: List[int], strides: List[int], dilations: List[int], upper: bool
) -> List[int]:
    """Pads, in the order of torch.constant_pad_nd, for ceil(length / stride) windows (auto_pad SAME)."""
    zeros = [0] * len(kernel)
    mode = "SAME_UPPER" if upper else "SAME_LOWER"
    return window_pads(x.size()[2:], kernel, strides, dilations, zeros, zeros, mode, False)


def window_pads(
    lengths: List[int],
    kernel: List[int],
    strides: List[int],
    dilations: List[int],
    before: List[int],
    after: List[int],
    mode: str,
    ceil: bool,
) -> List[int]:
    """Pads, in the order of torch.constant_pad_nd, for the windows of ONNX operators Conv and MaxPool."""
    result = [0] * (2 * len(kernel))
    for i in range(len(kernel)):
        extent = (kernel[i] - 1) * dilations[i] + 1
        first = before[i]
        if mode == "SAME_UPPER" or mode == "SAME_LOWER":
            count = (lengths[i] + strides[i] - 1) // strides[i]
            total = max((count - 1) * strides[i] + extent - lengths[i], 0)
            first = total // 2 if mode == "SAME_UPPER" else total - total // 2
        elif mode == "VALID":
            first = 0
            count = (lengths[i] - extent) // strides[i] + 1
            if ceil:
                count = (lengths[i] - extent + strides[i] - 1) // strides[i] + 1
        else:
            space = lengths[i] + before[i] + after[i] - extent
            count = space // strides[i] + 1
            if ceil:
                count = (space + strides[i] - 1) // strides[i] + 1
                if (count - 1) * strides[i] >= lengths[i] + before[i]:
                    count = count - 1
        index = 2 * (len(kernel) - 1 - i)
        result[index] = first
        result[index + 1] = (count - 1) * strides[i] + extent - lengths[i] - first
    return result


def crop_pads(lengths: List[int], targets: List[int], upper: bool, extra: List[int]) -> List[int]:
    """Negative pads that crop lengths to `targets` (ONNX operator ConvTranspose)."""
    result = [0] * (2 * len(lengths))
    for i in range(len(lengths)):
        total = lengths[i] + extra[i] - targets[i]
        half = total // 2
        first = half if upper else total - half
        if total < 0:
            first = 0
        index = 2 * (len(lengths) - 1 - i)
        result[index] = -first
        result[index + 1] = targets[i] - lengths[i] + first
    return result


def pool_indices(
    indices: Tensor, padded: List[int], lengths: List[int], pads: List[int], columns: bool
) -> Tensor:
    """Indices in the flattened input, from indices in the padded image (ONNX operator MaxPool, Indices)."""
    rank = len(lengths)
    coordinates: List[Tensor] = []
    remaining = indices
    for i in range(rank):
        axis = rank - 1 - i
        coordinates.append(torch.remainder(remaining, padded[axis]) - pads[2 * i])
        remaining = torch.div(remaining, padded[axis], rounding_mode="floor")
    result = torch.zeros_like(indices)
    size = 1
    for length in lengths:
        size = size * length
    step = 1
    for i in range(rank):
        axis = rank - 1 - i if columns else i
        length = lengths[rank - 1 - axis]
        result = result + coordinates[axis] * step
        step = step * length
    planes = torch.arange(indices.size(0) * indices.size(1)) * size
    return result + torch.reshape(planes, [indices.size(0), indices.size(1)] + [1] * rank)


def col2im(
    x: Tensor, image: List[int], block: List[int], strides: List[int], dilations: List[int], pads: List[int]
) -> Tensor:
    """Sum of columns at the positions of their blocks in the padded image, cropped (ONNX operator Col2Im)."""
    rank = len(image)
    indices = torch.zeros([1], dtype=torch.int64)
    padded: List[int] = []
    crops = [0] * (2 * rank)
    size, block_size = 1, 1
    for i in range(rank):
        before = pads[i] if len(pads) > 0 else 0
        after = pads[i + rank] if len(pads) > 0 else 0
        step = strides[i] if len(strides) > 0 else 1
        dilation = dilations[i] if len(dilations) > 0 else 1
        length = image[i] + before + after
        count = (length - dilation * (block[i] - 1) - 1) // step + 1
        padded.append(length)
        crops[2 * (rank - 1 - i)] = -before
        crops[2 * (rank - 1 - i) + 1] = -after
        inner = [1] * (2 * rank)
        inner[i] = block[i]
        outer = [1] * (2 * rank)
        outer[rank + i] = count
        columns = torch.reshape(torch.arange(block[i]) * dilation, inner) + torch.reshape(
            torch.arange(count) * step, outer
        )
        indices = indices * length + columns
        size = size * length
        block_size = block_size * block[i]
    n, c = x.size(0), x.size(1) // block_size
    all_indices = torch.expand(torch.reshape(indices, [1, 1, -1]), [n, c, indices.numel()])
    values = torch.reshape(x, [n, c, indices.numel()])
    padded_image = torch.scatter_add(torch.zeros([n, c, size], dtype=x.dtype), 2, all_indices, values)
    return torch.constant_pad_nd(torch.reshape(padded_image, [n, c] + padded), crops, 0)
