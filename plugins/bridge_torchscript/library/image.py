"""Boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import List

    import torch
    from torch import Tensor


def corners(boxes: Tensor, centred: bool) -> Tensor:
    """[…, 4] as least and greatest y and x."""
    if centred:
        half = boxes[..., 2:] / 2
        low, high = boxes[..., :2] - half, boxes[..., :2] + half
        return torch.cat([low, high], -1)
    return torch.cat(
        [torch.minimum(boxes[..., :2], boxes[..., 2:]), torch.maximum(boxes[..., :2], boxes[..., 2:])], -1
    )


def non_max_suppression(
    boxes: Tensor, scores: Tensor, most: int, overlap: float, least: float, centred: bool
) -> Tensor:
    """Rows batch, class, box of those kept, best first within a class (ONNX operator NonMaxSuppression)."""
    found: List[Tensor] = [torch.zeros([0, 3], dtype=torch.int64)]
    for n in range(scores.size(0)):
        sides = corners(boxes[n], centred)
        areas = (sides[:, 2] - sides[:, 0]) * (sides[:, 3] - sides[:, 1])
        for k in range(scores.size(1)):
            own = scores[n, k]
            order = torch.sort(own, stable=True, dim=0, descending=True)[1]
            alive = own > least
            kept = 0
            for place in range(order.size(0)):
                box = int(order[place])
                if kept >= most or not bool(alive[box]):
                    continue
                kept = kept + 1
                found.append(torch.tensor([[n, k, box]], dtype=torch.int64))
                low = torch.maximum(sides[:, :2], sides[box, :2])
                high = torch.minimum(sides[:, 2:], sides[box, 2:])
                common = torch.prod(torch.clamp(high - low, min=0.0), 1)
                union = areas + areas[box] - common
                shared = torch.where(union > 0, common / union, torch.zeros_like(union))
                alive = torch.logical_and(alive, shared <= overlap)
    return torch.cat(found, 0)
