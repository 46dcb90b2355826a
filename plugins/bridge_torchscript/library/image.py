"""Boxes in images."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import List

    import torch
    from torch import Tensor


def corner_boxes(boxes: Tensor, is_center_size: bool) -> Tensor:
    """Boxes [..., 4] as minimum and maximum y and x."""
    if is_center_size:
        half = boxes[..., 2:] / 2
        low, high = boxes[..., :2] - half, boxes[..., :2] + half
        return torch.cat([low, high], -1)
    return torch.cat(
        [torch.minimum(boxes[..., :2], boxes[..., 2:]), torch.maximum(boxes[..., :2], boxes[..., 2:])], -1
    )


def non_max_suppression(
    boxes: Tensor,
    scores: Tensor,
    max_output_boxes: int,
    iou_threshold: float,
    score_threshold: float,
    is_center_size: bool,
) -> Tensor:
    """Rows (batch, class, box) of selected boxes, by falling score per class (ONNX operator
    NonMaxSuppression).
    """
    selected: List[Tensor] = [torch.zeros([0, 3], dtype=torch.int64)]
    for n in range(scores.size(0)):
        box_corners = corner_boxes(boxes[n], is_center_size)
        areas = (box_corners[:, 2] - box_corners[:, 0]) * (box_corners[:, 3] - box_corners[:, 1])
        for k in range(scores.size(1)):
            class_scores = scores[n, k]
            order = torch.sort(class_scores, stable=True, dim=0, descending=True)[1]
            is_candidate = class_scores > score_threshold
            count = 0
            for position in range(order.size(0)):
                box = int(order[position])
                if count >= max_output_boxes or not bool(is_candidate[box]):
                    continue
                count = count + 1
                selected.append(torch.tensor([[n, k, box]], dtype=torch.int64))
                top = torch.maximum(box_corners[:, :2], box_corners[box, :2])
                bottom = torch.minimum(box_corners[:, 2:], box_corners[box, 2:])
                intersection = torch.prod(torch.clamp(bottom - top, min=0.0), 1)
                union = areas + areas[box] - intersection
                iou = torch.where(union > 0, intersection / union, torch.zeros_like(union))
                is_candidate = torch.logical_and(is_candidate, iou <= iou_threshold)
    return torch.cat(selected, 0)
