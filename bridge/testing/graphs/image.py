"""Steps of resizing and sampling."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.testing.graphs.growth import Graph, step

FACTORS = (1, 2, 1.5, 3, 0.7, 5 / 3, 0.6, 1.4, 4 / 3, 0.5, 2.6)
COORDINATES = (
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "asymmetric", "align_corners",
    "tf_crop_and_resize",
)  # fmt: skip
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


@step(3, most=5)
def resize(g: Graph, src: str, x: np.ndarray) -> str:
    """By factors or to lengths, of all axes or those named. ONNX Runtime keeps the ratio of axes that are not
    counted from the end alone, and crops none whose length stays."""
    mode = g.pick("nearest", "linear", "cubic") if x.ndim == 4 else g.pick("nearest", "linear")
    chosen: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": g.pick(*COORDINATES)}
    if mode == "nearest":
        chosen["nearest_mode"] = g.pick(*NEAREST)
    if mode == "cubic":
        chosen |= {"cubic_coeff_a": g.pick(-0.75, -0.5), "exclude_outside": g.pick(0, 1)}
    if mode != "nearest" and g.maybe(0.2):
        chosen["antialias"] = 1
    axes = list(range(2, x.ndim))
    factors = [g.pick(*FACTORS) for _ in axes]
    named = g.maybe(0.4)
    roi: Any = ""
    if chosen["coordinate_transformation_mode"] == "tf_crop_and_resize":
        if any(round(n * f) == n or int(n * f) == n for n, f in zip(x.shape[2:], factors, strict=True)):
            raise ValueError("a length stays")
        bounds = [[g.pick(0, 0.2, -0.1) for _ in axes], [g.pick(1, 0.8, 1.2) for _ in axes]]
        full = bounds if named else [[0, 0, *bounds[0]], [1, 1, *bounds[1]]]
        roi = np.array([*full[0], *full[1]], np.float32)
        chosen["extrapolation_value"] = g.pick(0.0, 0.5)
    if named:
        chosen["axes"] = axes if g.maybe(0.7) else [a - x.ndim for a in axes]
    before = [] if named else [1, 1]
    if g.maybe(0.6):
        return g.add("Resize", src, roi, np.array([*before, *factors], np.float32), **chosen)
    sizes = [max(1, round(n * f)) for n, f in zip(x.shape[2:], factors, strict=True)]
    if named and g.maybe():
        chosen["keep_aspect_ratio_policy"] = g.pick("stretch", "not_larger", "not_smaller")
        chosen["axes"] = axes
    return g.add("Resize", src, roi, "", g.ints(*([] if named else x.shape[:2]), *sizes), **chosen)


@step(4, most=5)
def grid_sample(g: Graph, src: str, x: np.ndarray) -> str:
    grid = (g.rng.random((x.shape[0], *[3] * (x.ndim - 2), x.ndim - 2)) * 2.4 - 1.2).astype(np.float32)
    return g.add(
        "GridSample",
        src,
        grid,
        mode=g.pick("linear", "nearest", "cubic") if x.ndim == 4 else g.pick("linear", "nearest"),
        padding_mode=g.pick("zeros", "border", "reflection"),
        align_corners=g.pick(0, 1),
    )


@step(4, most=4)
def upsample_like(g: Graph, src: str, x: np.ndarray) -> str:
    """To twice the lengths that the value has at run time."""
    shape = g.add("Shape", src)
    head = g.add("Slice", shape, g.ints(0), g.ints(2), g.ints(0))
    sides = g.add("Mul", g.add("Slice", shape, g.ints(2), g.ints(4), g.ints(0)), g.ints(g.pick(1, 2, 3)))
    return g.add(
        "Resize",
        src,
        "",
        "",
        g.add("Concat", head, sides, axis=0),
        mode=g.pick("nearest", "linear"),
        coordinate_transformation_mode=g.pick("asymmetric", "half_pixel"),
        nearest_mode="floor",
    )


@step(4, most=4)
def rois(g: Graph, src: str, x: np.ndarray) -> str:
    boxes = np.array([[0.1, 0.2, 3.3, 2.6], [-1, 0, 2, 5], [1, 1, 1, 1]], np.float32)
    return g.add(
        "RoiAlign",
        src,
        boxes,
        np.array([0, x.shape[0] - 1 and 1, 0], np.int64),
        mode=g.pick("avg", "max") if g.maybe(0.2) else "avg",
        output_height=g.pick(1, 2, 3),
        output_width=g.pick(1, 2),
        sampling_ratio=g.pick(0, 1, 2),
        spatial_scale=g.pick(1.0, 0.5),
        coordinate_transformation_mode=g.pick("half_pixel", "output_half_pixel"),
    )
