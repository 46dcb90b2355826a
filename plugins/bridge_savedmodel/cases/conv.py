"""Convolutions and other windows over images of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bridge_savedmodel.cases.data import f, i


def windows_of_any_size(tf: Any) -> dict[str, tuple]:
    """Windows over images of any size, some less wide than their steps."""
    raw = tf.raw_ops

    def loose(work: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda x: work(raw.PlaceholderWithDefault(input=x, shape=[None, None, None, x.shape[3]]))

    steps: dict[str, Any] = {"strides": [1, 3, 2, 1], "padding": "SAME"}

    def pool(operator: Callable[..., Any], argument: str, high: int, wide: int) -> Callable[[Any], Any]:
        return loose(lambda x: operator(**{argument: x}, ksize=[1, high, wide, 1], **steps))

    def convolution(high: int, wide: int) -> Callable[[Any], Any]:
        return loose(lambda x: raw.Conv2D(input=x, filter=np.ones((high, wide, 3, 2), np.float32), **steps))

    grown = f(3, 2, 3)
    cases: dict[str, tuple] = {}
    for high, wide in ((1, 1), (2, 1), (2, 3), (3, 2)):
        for size in (5, 6, 7):
            name = f"{high} x {wide} over {size}"
            image = f(2, size, size + 1, 3)
            cases |= {
                f"MaxPool any size {name}": (pool(raw.MaxPool, "input", high, wide), image),
                f"AvgPool any size {name}": (pool(raw.AvgPool, "value", high, wide), image),
                f"Conv2D any size {name}": (convolution(high, wide), image),
            }
    return cases | {
        "ResizeBilinear any size": (
            loose(lambda x: raw.ResizeBilinear(images=x, size=[7, 3], align_corners=True)),
            f(2, 4, 5, 3),
        ),
        "ExtractImagePatches any size": (
            loose(
                lambda x: raw.ExtractImagePatches(
                    images=x, ksizes=[1, 2, 2, 1], strides=[1, 3, 1, 1], rates=[1, 1, 1, 1], padding="SAME"
                )
            ),
            f(2, 5, 6, 2),
        ),
        "Dilation2D any size": (
            loose(
                lambda x: raw.Dilation2D(
                    input=x, filter=grown, strides=[1, 2, 2, 1], rates=[1, 2, 1, 1], padding="SAME"
                )
            ),
            f(2, 6, 5, 3),
        ),
        "UniqueWithCounts of whole numbers": (lambda x: raw.UniqueWithCounts(x=x), i(20, dtype=np.int32)),
    }
