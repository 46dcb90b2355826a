"""Resizing, cropping, colour and boxes."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_savedmodel.cases.data import IMAGE, f


def images(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    boxes = np.sort(f(6, 4, low=0, high=1).reshape(6, 2, 2), axis=1).reshape(6, 4)
    cases: dict[str, tuple] = {}
    for name in ["ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic"]:
        for how in ({}, {"align_corners": True}, {"half_pixel_centers": True}):
            for size in ([5, 11], [3, 3]):
                cases[f"{name} {[*how, '']} {size}"] = (
                    lambda x, n=name, h=how, z=size: getattr(raw, n)(images=x, size=z, **h),
                    IMAGE,
                )
    crop = np.float32([[0.1, 0.2, 0.8, 0.9], [0.0, -0.2, 1.1, 0.5]])
    suppress = {"boxes": boxes, "max_output_size": 4, "iou_threshold": 0.3}
    return cases | {
        "CropAndResize": (
            lambda x: raw.CropAndResize(
                image=x, boxes=crop, box_ind=[0, 1], crop_size=[4, 3], extrapolation_value=-1.0
            ),
            IMAGE,
        ),
        "NonMaxSuppression": (
            lambda x: raw.NonMaxSuppression(boxes=boxes, scores=x, max_output_size=4, iou_threshold=0.3),
            f(6),
        ),
        "NonMaxSuppressionV2": (lambda x: raw.NonMaxSuppressionV2(scores=x, **suppress), f(6)),
        "NonMaxSuppressionV3": (
            lambda x: raw.NonMaxSuppressionV3(scores=x, score_threshold=0.0, **suppress),
            f(6),
        ),
        "NonMaxSuppressionV4": (
            lambda x: raw.NonMaxSuppressionV4(
                scores=x, score_threshold=0.0, pad_to_max_output_size=True, **suppress
            ),
            f(6),
        ),
        "NonMaxSuppressionV5": (
            lambda x: raw.NonMaxSuppressionV5(scores=x, score_threshold=0.0, soft_nms_sigma=0.0, **suppress),
            f(6),
        ),
        "ResizeArea": (lambda x: raw.ResizeArea(images=x, size=[4, 13]), IMAGE),
        **{
            f"ScaleAndTranslate {k}": (
                lambda x, k=k: raw.ScaleAndTranslate(
                    images=x, size=[4, 13], scale=[4 / 7, 13 / 8], translation=[0.0, 0.5], kernel_type=k
                ),
                IMAGE,
            )
            for k in ["lanczos1", "lanczos3", "lanczos5", "triangle", "box", "keyscubic"]
        },
        **{
            f"ExtractImagePatches {p}": (
                lambda x, p=p: raw.ExtractImagePatches(
                    images=x, ksizes=[1, 3, 2, 1], strides=[1, 2, 1, 1], rates=[1, 1, 2, 1], padding=p
                ),
                IMAGE,
            )
            for p in ("SAME", "VALID")
        },
        "AdjustHue": (lambda x: raw.AdjustHue(images=x, delta=0.3), f(5, 2, 3, low=0, high=1)),
        "AdjustSaturation": (lambda x: raw.AdjustSaturation(images=x, scale=1.4), f(5, 2, 3, low=0, high=1)),
        "CombinedNonMaxSuppression": (
            lambda x: raw.CombinedNonMaxSuppression(
                boxes=np.stack([boxes, boxes])[:, :, None],
                scores=x,
                max_output_size_per_class=3,
                max_total_size=7,
                iou_threshold=0.3,
                score_threshold=0.2,
            ),
            f(2, 6, 3, low=0, high=1),
        ),
        "CombinedNonMaxSuppression own boxes": (
            lambda x, y: raw.CombinedNonMaxSuppression(
                boxes=y,
                scores=x,
                max_output_size_per_class=3,
                max_total_size=7,
                iou_threshold=0.3,
                score_threshold=0.2,
            ),
            f(2, 6, 3, low=0, high=1),
            np.sort(f(2, 6, 3, 4, low=0, high=1), -1)[..., [0, 1, 2, 3]],
        ),
        "CombinedNonMaxSuppression padded": (
            lambda x: raw.CombinedNonMaxSuppression(
                boxes=boxes[None, :, None],
                scores=x,
                max_output_size_per_class=9,
                max_total_size=30,
                iou_threshold=0.3,
                score_threshold=0.2,
                clip_boxes=False,
            ),
            f(1, 6, 2, low=0, high=1),
        ),
        "AdjustContrastv2": (lambda x: raw.AdjustContrastv2(images=x, contrast_factor=1.5), IMAGE),
        "RGBToHSV": (lambda x: raw.RGBToHSV(images=x), f(5, 3, low=0, high=1)),
        "HSVToRGB": (lambda x: raw.HSVToRGB(images=x), f(5, 3, low=0, high=1)),
    }
