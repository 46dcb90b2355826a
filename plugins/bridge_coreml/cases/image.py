"""Images: resizing, resampling, boxes, against the grids of coremltools' own pages, torch and a plain
loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bridge_coreml.cases.common import Program, by_torch, f, ints, program, t

IMAGE = f(2, 3, 4, 6)
SAMPLING = ("DEFAULT", "STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "OFFSET_CORNERS", "UNALIGN_CORNERS")


def programs(mb: Any) -> dict[str, Program]:
    return resized(mb) | upsampled(mb) | resampled(mb) | boxes(mb) | suppressed(mb)


def grid(mode: str, size: int, count: int) -> np.ndarray:
    """Places of `count` samples among `size` elements, as the page of resize_bilinear defines them."""
    n, last = np.arange(count), size - 1
    steps = max(count - 1, 1)
    if mode == "OFFSET_CORNERS":
        delta = max(1, last) / count
        places = 0.5 * delta + n * ((count - 1) * delta) / steps
    elif mode == "UNALIGN_CORNERS":
        places = n * size / count + 0.5 * size / count - 0.5
    elif mode == "DEFAULT":
        places = n * (size - size / count) / steps
    else:
        places = np.array([last / 2]) if mode == "ALIGN_CORNERS" and count == 1 else n * last / steps
    return np.clip(places, 0, last)


def between(x: np.ndarray, places: np.ndarray, axis: int) -> np.ndarray:
    """`x` read at places between its elements."""
    low = np.floor(places).astype(int)
    share = (places - low).reshape([-1 if a == axis % x.ndim else 1 for a in range(x.ndim)])
    high = np.minimum(low + 1, x.shape[axis] - 1)
    return x.take(low, axis) * (1 - share) + x.take(high, axis) * share


def bilinear(mode: str, height: int, width: int) -> Callable[..., Any]:
    return lambda x: between(
        between(x, grid(mode, x.shape[-2], height), -2), grid(mode, x.shape[-1], width), -1
    )


def resized(mb: Any) -> dict[str, Program]:
    programs_by_name: dict[str, Program] = {}
    for mode in SAMPLING:
        for height, width in ((7, 4), (1, 9)):
            programs_by_name[f"resize_bilinear {mode.lower()} {height}x{width}"] = program(
                lambda x, m=mode, h=height, w=width: mb.resize_bilinear(
                    x=x, target_size_height=h, target_size_width=w, sampling_mode=m
                ),
                IMAGE,
                want=bilinear(mode, height, width),
            )
        programs_by_name[f"resize {mode.lower()}"] = program(
            lambda x, m=mode: mb.resize(
                x=x,
                shape=ints([7, 4]),
                resized_dims=np.uint32(2),
                sampling_mode=m,
                interpolation_mode="LINEAR",
            ),
            IMAGE,
            want=bilinear(mode, 7, 4),
            target=17,
        )
    nearest = lambda h, w: lambda x: x[:, :, np.arange(h) * 4 // h][..., np.arange(w) * 6 // w]  # noqa: E731
    return programs_by_name | {
        "resize_nearest_neighbor": program(
            lambda x: mb.resize_nearest_neighbor(x=x, target_size_height=8, target_size_width=12),
            IMAGE,
            want=nearest(8, 12),
        ),
        "resize_nearest_neighbor smaller": program(
            lambda x: mb.resize_nearest_neighbor(x=x, target_size_height=2, target_size_width=3),
            IMAGE,
            want=nearest(2, 3),
        ),
        "resize kept": program(
            lambda x: mb.resize(
                x=x,
                shape=ints([0, 9]),
                resized_dims=np.uint32(2),
                sampling_mode="UNALIGN_CORNERS",
                interpolation_mode="LINEAR",
            ),
            IMAGE,
            want=bilinear("UNALIGN_CORNERS", 4, 9),
            target=17,
        ),
        "resize nearest": program(
            lambda x: mb.resize(
                x=x,
                shape=ints([2, 3]),
                resized_dims=np.uint32(2),
                sampling_mode="DEFAULT",
                interpolation_mode="NEAREST_NEIGHBOR",
            ),
            IMAGE,
            want=nearest(2, 3),
            target=17,
        ),
    }


def upsampled(mb: Any) -> dict[str, Program]:
    def up(**how: Any) -> Callable[..., Any]:
        return by_torch(lambda F, x: F.interpolate(x, scale_factor=(2, 3), **how))

    factors = {"scale_factor_height": 2, "scale_factor_width": 3}
    float_factors = {"scale_factor_height": 2.0, "scale_factor_width": 3.0}
    return {
        "upsample_nearest_neighbor": program(
            lambda x: mb.upsample_nearest_neighbor(x=x, **factors), IMAGE, want=up(mode="nearest")
        ),
        "upsample_nearest_neighbor share": program(
            lambda x: mb.upsample_nearest_neighbor(x=x, scale_factor_height=1.5, scale_factor_width=0.5),
            IMAGE,
            want=by_torch(lambda F, x: F.interpolate(x, scale_factor=(1.5, 0.5))),
        ),
        "upsample_bilinear aligned": program(
            lambda x: mb.upsample_bilinear(x=x, align_corners=True, **float_factors),
            IMAGE,
            want=up(mode="bilinear", align_corners=True),
        ),
        "upsample_bilinear": program(
            lambda x: mb.upsample_bilinear(x=x, align_corners=False, **float_factors),
            IMAGE,
            want=up(mode="bilinear", align_corners=False),
        ),
        "upsample_bilinear left": program(
            lambda x: mb.upsample_bilinear(
                x=x, align_corners=False, half_pixel_centers=False, **float_factors
            ),
            IMAGE,
            want=bilinear("DEFAULT", 8, 18),
            target=16,
        ),
    }


def resampled(mb: Any) -> dict[str, Program]:
    places = f(2, 3, 5, 2, low=-1.3, high=1.3)
    matrix = np.float32([[0.9, 0.2, 0.1, -0.1, 1.1, -0.2], [0.5, 0, 0, 0, 0.5, 0]])
    torch_pads = {"constant": "zeros", "border": "border", "reflection": "reflection"}

    def case(padding: str, align: bool, mode: str = "bilinear", value: float = 0.0) -> Program:
        def wanted(F: Any, x: Any, p: Any) -> Any:
            pad = torch_pads[padding]
            return F.grid_sample(x - value, p, mode, pad, align) + value

        return program(
            lambda x, p: mb.resample(
                x=x,
                coordinates=p,
                sampling_mode=mode,
                padding_mode=padding,
                padding_value=value,
                coordinates_mode="normalized_minus_one_to_one",
                align_corners=align,
            ),
            IMAGE,
            places,
            want=by_torch(wanted),
        )

    def absolute(kind: str) -> Program:
        size = np.float32([6, 4])
        coordinates = {
            "normalized_zero_to_one": (places + 1) / 2,
            "unnormalized": (places + 1) / 2 * (size - 1),
        }[kind]
        return program(
            lambda x, p: mb.resample(
                x=x,
                coordinates=p,
                sampling_mode="bilinear",
                padding_mode="border",
                padding_value=0.0,
                coordinates_mode=kind,
                align_corners=True,
            ),
            IMAGE,
            coordinates.astype(np.float32),
            want=by_torch(lambda F, x, p: F.grid_sample(x, t(places), "bilinear", "border", True)),
        )

    return {
        "resample": case("constant", True),
        "resample half pixels": case("constant", False),
        "resample value": case("constant", True, value=1.5),
        "resample border": case("border", False),
        "resample reflection": case("reflection", True),
        "resample nearest": case("border", True, "nearest"),
        "resample zero to one": absolute("normalized_zero_to_one"),
        "resample pixels": absolute("unnormalized"),
        "affine": program(
            lambda x, m: mb.affine(
                x=x,
                transform_matrix=m,
                output_height=5,
                output_width=3,
                sampling_mode="bilinear",
                padding_mode="constant",
                padding_value=0.0,
                coordinates_mode="normalized_minus_one_to_one",
                align_corners=True,
            ),
            IMAGE,
            matrix,
            want=by_torch(
                lambda F, x, m: F.grid_sample(
                    x, F.affine_grid(m.reshape(2, 2, 3), (2, 3, 5, 3), True), align_corners=True
                )
            ),
        ),
    }


def boxes(mb: Any) -> dict[str, Program]:
    edges = np.array([[0.5, 1, 2.5, 4], [0, 0, 3, 5], [1, 2, 2, 2.5]], np.float32)
    numbers = ints([1, 0, 1])
    centred = np.stack(
        [
            (edges[:, 0] + edges[:, 2]) / 2,
            (edges[:, 1] + edges[:, 3]) / 2,
            edges[:, 2] - edges[:, 0],
            edges[:, 3] - edges[:, 1],
        ],
        1,
    )
    shares = edges / np.array([3, 5, 3, 5], np.float32)
    rois = np.concatenate([numbers[:, None].astype(np.float32), edges], 1).reshape(3, 1, 5, 1, 1)

    def cropped(x: np.ndarray, aligned: bool = True) -> np.ndarray:
        crops = []
        for box, number in zip(edges, numbers, strict=True):
            rows, columns = (_inside(box[n], box[n + 2], c, aligned) for n, c in ((0, 3), (1, 2)))
            crops.append(between(between(x[number], rows, -2), columns, -1))
        return np.stack(crops)

    attributes = {"target_height": 3, "target_width": 2}
    strict = {"sampling_mode": "STRICT_ALIGN_CORNERS", **attributes}

    def case(coordinates: np.ndarray, aligned: bool = True, **more: Any) -> Program:
        sampling = strict if aligned else {"sampling_mode": "DEFAULT", **attributes}
        return program(
            lambda x, b: mb.crop_resize(x=x, boxes=b, box_indices=numbers, **sampling, **more),
            IMAGE,
            coordinates,
            want=lambda x, b: cropped(x, aligned),
            target=17,
        )

    return {
        "crop_resize rois": program(
            lambda x, r: mb.crop_resize(x=x, roi=r, **strict),
            IMAGE,
            rois,
            want=lambda x, r: cropped(x)[:, None],
            newest=False,
        ),
        "crop_resize rois iOS16": program(
            lambda x, r: mb.crop_resize(x=x, roi=r, pad_value=0.0, **strict),
            IMAGE,
            rois,
            want=lambda x, r: cropped(x)[:, None],
            target=16,
            newest=False,
        ),
        "crop_resize": case(edges),
        "crop_resize default": case(edges, False),
        "crop_resize width first": case(edges[:, [1, 0, 3, 2]], box_coordinate_mode="CORNERS_WIDTH_FIRST"),
        "crop_resize centres": case(centred, box_coordinate_mode="CENTER_SIZE_HEIGHT_FIRST"),
        "crop_resize normalized": case(shares, normalized_coordinates=True),
    }


def _inside(start: float, end: float, count: int, aligned: bool) -> np.ndarray:
    step = (end - start) / (count - 1) if aligned else (end - start + 1) / count
    return start + np.arange(count) * step


def suppressed(mb: Any) -> dict[str, Program]:
    """Boxes as centre and size; the first two and the last two overlap by more than half."""
    coordinates = np.array(
        [[[1, 1, 2, 2], [1, 1.1, 2, 2], [5, 5, 2, 2], [9, 9, 2, 2], [9, 9.1, 2, 2]]], np.float32
    )
    scores = np.array([[[0.6, 0.1], [0.9, 0.2], [0.05, 0.7], [0.3, 0.1], [0.1, 0.4]]], np.float32)
    picked = [1, 2, 4]

    def chosen(boxes: np.ndarray, scores: np.ndarray, order: list[int], most: int = 4) -> list[np.ndarray]:
        pad = most - len(order)
        programs_by_name = [np.pad(v[:, order], ((0, 0), (0, pad), (0, 0))) for v in (boxes, scores)]
        return [*programs_by_name, np.array([order + [-1] * pad]), np.array([len(order)])]

    def case(order: list[int], per_class: bool, threshold: float = 0.2) -> Program:
        return program(
            lambda b, s: mb.non_maximum_suppression(
                boxes=b,
                scores=s,
                iou_threshold=0.5,
                score_threshold=threshold,
                max_boxes=4,
                per_class_suppression=per_class,
            ),
            coordinates,
            scores,
            want=lambda b, s: chosen(b, s, order),
            newest=False,
        )

    newer = program(
        lambda b, s: mb.non_maximum_suppression(boxes=b, scores=s, iou_threshold=0.5, max_boxes=4),
        coordinates.transpose(0, 2, 1),
        scores.transpose(0, 2, 1),
        target=17,
        want=lambda b, s: [
            *(v.transpose(0, 2, 1) for v in chosen(coordinates, scores, picked)[:2]),
            chosen(coordinates, scores, picked)[2],
        ],
    )
    return {
        "non_maximum_suppression": case(picked, False),
        "non_maximum_suppression classes": case([1, 2, 4, 3], True),
        "non_maximum_suppression threshold": case([1, 2], False, 0.5),
        "non_maximum_suppression channels first": newer,
    }
