"""Images: resizing, resampling, boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import arange
from bridge.importing import as_int64, attribute, constant, ints, like
from bridge.interpolation import ResizeAxis, linear_taps, nearest_index, original_coordinates, within
from bridge.needs import condition
from bridge.ops import Need, OpTable
from bridge_coreml.import_ops.common import FLOAT, IOS16, IOS17, RANKED, cast, index, lengths, rank_of, vector

ops = OpTable()

# sampling_mode of Core ML → coordinate_transformation_mode
COORDINATES = {
    "DEFAULT": "asymmetric",
    "STRICT_ALIGN_CORNERS": "align_corners",
    "ALIGN_CORNERS": "align_corners",
    "UNALIGN_CORNERS": "half_pixel",
}


def resize_to(op: hub.Builder, x: ir.Value, spatial: Sequence[Any], mode: str, coordinates: str) -> Any:
    """The last dimensions resized to `spatial` lengths (ints or int64 values)."""
    sizes = vector(op, [*lengths(op, x)[: (rank_of(x) or 0) - len(spatial)], *spatial])
    nearest = "floor" if mode == "nearest" else None
    return op.Resize(
        x, None, None, sizes, mode=mode, coordinate_transformation_mode=coordinates, nearest_mode=nearest
    )


def sample_linear(op: hub.Builder, x: ir.Value, axis: int, x_original: np.ndarray) -> Any:
    """`x` read between its elements along `axis`, at constant coordinates."""
    dims: list[Any] = list(x.shape or ())
    (low, _), (high, fraction) = linear_taps(x_original)
    broadcast_shape = [-1 if i == axis % len(dims) else 1 for i in range(len(dims))]
    low_values, high_values = (
        op.Gather(x, op.const(within(p, dims[axis]).astype(np.int64)), axis=axis) for p in (low, high)
    )
    return op.Add(
        low_values, op.Mul(op.Sub(high_values, low_values), like(op, x, fraction.reshape(broadcast_shape)))
    )


def coordinates_of(mode: str, length_original: int, length_resized: int) -> np.ndarray:
    """Coordinates of OFFSET_CORNERS and ALIGN_CORNERS: a single aligned sample is in the middle."""
    axis = ResizeAxis.static(length_original, length_resized)
    if mode == "OFFSET_CORNERS":
        delta = max(1, length_original - 1) / length_resized
        x_original = 0.5 * delta + axis.x_resized * delta
    elif length_resized == 1:
        x_original = np.array([(length_original - 1) / 2])
    else:
        x_original = original_coordinates(axis, "align_corners")
    return within(x_original, length_original)


def is_not_a_resize_mode(mode: str, length_original: int, length_resized: int) -> bool:
    """True if ONNX's Resize has no such coordinates."""
    return mode == "OFFSET_CORNERS" or (
        mode == "ALIGN_CORNERS" and length_resized == 1 and length_original != 1
    )


def sampled_statically(names: Callable[[Any], list[int] | None]) -> Need:
    """OFFSET_CORNERS and single samples are read at constant coordinates."""

    def holds(node: Any) -> bool:
        dims, mode = node.dims("x"), node.get("sampling_mode", "DEFAULT")
        counts = names(node)
        if dims is None or (mode == "OFFSET_CORNERS" and None in dims[-2:]):
            return False
        return mode != "ALIGN_CORNERS" or counts is None or 1 not in counts or None not in dims[-2:]

    return condition("a static image for this sampling mode", holds)


def bilinear(op: hub.Builder, x: ir.Value, mode: str, out_lens: Sequence[Any]) -> Any:
    in_lens = list(x.shape)[-len(out_lens) :]
    if any(
        isinstance(d, int) and isinstance(c, int) and is_not_a_resize_mode(mode, d, c)
        for d, c in zip(in_lens, out_lens, strict=True)
    ):
        for i, (in_len, out_len) in enumerate(zip(in_lens, out_lens, strict=True)):
            x = sample_linear(op, x, i - len(out_lens), coordinates_of(mode, in_len, out_len))
        return x
    return resize_to(op, x, out_lens, "linear", COORDINATES[mode])


MODES = attribute("sampling_mode", "DEFAULT", *COORDINATES, "OFFSET_CORNERS")


def target_size(node: Any) -> list[int]:
    return [int(node.get("target_size_height", 1)), int(node.get("target_size_width", 1))]


@ops.op("resize_bilinear", needs=(RANKED, MODES, sampled_statically(target_size)))
def resize_bilinear(op, node, x):
    return bilinear(op, x, node.get("sampling_mode", "DEFAULT"), target_size(node))


@ops.op("resize_nearest_neighbor", needs=(RANKED,))
def resize_nearest_neighbor(op, node, x):
    return resize_to(op, x, target_size(node), "nearest", "asymmetric")


def scale_factors(node: Any) -> list[float]:
    return [float(node.get(n, 1)) for n in ("scale_factor_height", "scale_factor_width")]


def scaled_lengths(op: hub.Builder, x: ir.Value, node: Any) -> list[Any]:
    """floor(length · factor) of the last two dimensions."""
    out_lens = []
    for size, factor in zip(lengths(op, x)[-2:], scale_factors(node), strict=True):
        if isinstance(size, int):
            out_lens.append(int(np.floor(size * factor)))
        elif factor == int(factor):
            out_lens.append(op.Mul(size, int(factor)))
        else:
            product = op.Mul(op.Cast(size, to=FLOAT), factor)
            out_lens.append(op.Cast(op.Floor(product), to=int(ir.DataType.INT64)))
    return out_lens


@ops.op("upsample_nearest_neighbor", needs=(RANKED,))
def upsample_nearest_neighbor(op, node, x):
    return resize_to(op, x, scaled_lengths(op, x, node), "nearest", "asymmetric")


def corner_flags(node: Any) -> tuple[bool, bool]:
    align = node.get("align_corners", True)
    return align, node.get("half_pixel_centers", not align)


@ops.op(
    "upsample_bilinear",
    needs=(
        RANKED,
        condition("half_pixel_centers that differ from align_corners", lambda n: not all(corner_flags(n))),
    ),
)
def upsample_bilinear(op, node, x):
    align, half_pixel = corner_flags(node)
    coordinate_mode = "align_corners" if align else "half_pixel" if half_pixel else "asymmetric"
    return resize_to(op, x, scaled_lengths(op, x, node), "linear", coordinate_mode)


def nearest_elements(length_original: int, length_resized: int) -> np.ndarray | None:
    """Index of the element nearest to each sample; None where a sample lies halfway between two."""
    x_original = original_coordinates(ResizeAxis.static(length_original, length_resized), "asymmetric")
    halfway = np.isclose(x_original - np.floor(x_original), 0.5) & (x_original < length_original - 1)
    return None if halfway.any() else nearest_index(x_original, "round_prefer_ceil", length_original)


def nearest_known(node: Any) -> bool:
    """True if lengths are static and no sample lies halfway between two elements."""
    if node.get("interpolation_mode", "LINEAR") == "LINEAR":
        return True
    out_lens, dims = requested_lengths(node), node.dims("x")
    if out_lens is None or dims is None or None in dims:
        return False
    pairs = zip(dims[-len(out_lens) :], out_lens, strict=True)
    return all(nearest_elements(s, a or s) is not None for s, a in pairs)


def requested_lengths(node: Any) -> list[int] | None:
    shape = node.array("shape")
    return None if shape is None else [int(v) for v in np.ravel(shape)[-int(node.get("resized_dims")) :]]


@ops.op(
    "resize",
    since=IOS17,
    needs=(
        RANKED,
        MODES,
        attribute("interpolation_mode", "LINEAR", "NEAREST_NEIGHBOR"),
        condition(
            "DEFAULT sampling of the nearest neighbour",
            lambda n: (
                n.get("interpolation_mode", "LINEAR") == "LINEAR"
                or n.get("sampling_mode", "DEFAULT") == "DEFAULT"
            ),
        ),
        condition("static lengths, and no sample halfway between two neighbours", nearest_known),
        condition(
            "a constant shape and a static image for these corners",
            lambda n: (
                n.get("sampling_mode", "DEFAULT") in ("DEFAULT", "STRICT_ALIGN_CORNERS", "UNALIGN_CORNERS")
                or (requested_lengths(n) is not None and None not in n.dims("x"))
            ),
        ),
    ),
)
def resize(op, node, x, shape):
    count, rank = int(node.get("resized_dims")), rank_of(x) or 0
    sizes = lengths(op, x)[rank - count :]
    out_lens = requested_lengths(node)
    if out_lens is None:
        shape_values = as_int64(op, shape)
        shape_rank = int(shape.shape[0])
        requested = [
            op.Slice(shape_values, ints(shape_rank - count + i), ints(shape_rank - count + i + 1))
            for i in range(count)
        ]
        in_lens = [op.const(ints(s)) if isinstance(s, int) else s for s in sizes]
        out_lens = [
            op.Where(op.Equal(p, op.const(np.array(0, np.int64))), s, p)
            for p, s in zip(requested, in_lens, strict=True)
        ]
    else:
        out_lens = [a or s for a, s in zip(out_lens, sizes, strict=True)]
    if node.get("interpolation_mode", "LINEAR") == "NEAREST_NEIGHBOR":
        for i, (size, length) in enumerate(zip(sizes, out_lens, strict=True)):
            x = op.Gather(x, op.const(nearest_elements(size, length)), axis=i - count)
        return x
    return bilinear(op, x, node.get("sampling_mode", "DEFAULT"), out_lens)


IMAGE = condition("an input of rank 4", lambda n: n.dims("x") is not None and len(n.dims("x")) == 4)


@ops.op(
    "resample",
    needs=(
        IMAGE,
        attribute("sampling_mode", "bilinear", "nearest"),
        attribute("padding_mode", "constant", "border", "reflection", "symmetric"),
        attribute(
            "coordinates_mode", "unnormalized", "normalized_minus_one_to_one", "normalized_zero_to_one"
        ),
    ),
)
def resample(op, node, x, coordinates):
    """Coordinates become pixels, then what the hub's GridSample takes: reflection about pixels needs aligned
    corners."""
    padding, align = node.get("padding_mode", "constant"), reflects_about_pixels(node)
    as_float = cast(op, coordinates, ir.DataType.FLOAT)
    sizes = vector(op, lengths(op, x)[:1:-1])
    size = op.Cast(sizes, to=FLOAT)
    pixels = in_pixels(op, as_float, size, node.get("coordinates_mode"), node.get("align_corners", False))
    mode = "linear" if node.get("sampling_mode") == "bilinear" else "nearest"
    if mode == "nearest":
        pixels = op.Floor(op.Add(pixels, 0.5))
    if align:
        grid = op.Sub(op.Div(op.Mul(pixels, 2.0), op.Sub(size, 1.0)), 1.0)
    else:
        grid = op.Sub(op.Div(op.Add(op.Mul(pixels, 2.0), 1.0), size), 1.0)
    grid_padding = {"constant": "zeros", "border": "border"}.get(padding, "reflection")
    value = node.get("padding_value", 0.0) if padding == "constant" else 0.0
    shifted_x = op.Sub(x, like(op, x, value)) if value else x
    sampled_x = op.GridSample(
        shifted_x, cast(op, grid, x.dtype), mode=mode, padding_mode=grid_padding, align_corners=int(align)
    )
    return op.Add(sampled_x, like(op, x, value)) if value else sampled_x


def reflects_about_pixels(node: Any) -> bool:
    return node.get("padding_mode") == "reflection"


def in_pixels(op: hub.Builder, coordinates: ir.Value, size: Any, mode: str, align: bool) -> Any:
    if mode == "unnormalized":
        return coordinates
    unit = coordinates if mode == "normalized_zero_to_one" else op.Mul(op.Add(coordinates, 1.0), 0.5)
    return op.Mul(unit, op.Sub(size, 1.0)) if align else op.Sub(op.Mul(unit, size), 0.5)


@ops.op(
    "affine",
    needs=(
        IMAGE,
        attribute("sampling_mode", "bilinear"),
        attribute("padding_mode", "constant"),
        attribute("coordinates_mode", "normalized_minus_one_to_one"),
        condition("align_corners", lambda n: n.get("align_corners", True)),
        condition("a padding value of 0", lambda n: not n.get("padding_value", 0.0)),
    ),
)
def affine(op, node, x, transform_matrix):
    n, c = lengths(op, x)[:2]
    theta = op.Expand(op.Reshape(transform_matrix, ints(-1, 2, 3)), vector(op, [n, 1, 1]))
    size = vector(op, [n, c, node.get("output_height"), node.get("output_width")])
    grid = op.AffineGrid(theta, size, align_corners=1)
    return op.GridSample(x, grid, mode="linear", padding_mode="zeros", align_corners=1)


def box_coordinates(op: hub.Builder, start: ir.Value, end: ir.Value, out_len: int, mode: str) -> Any:
    """Coordinates [N, out_len] of samples between `start` and `end`, each float [N, 1]."""
    size = op.Add(op.Sub(end, start), 1.0)
    steps = op.const(np.arange(out_len, dtype=np.float32)[None])
    if mode == "OFFSET_CORNERS":
        delta = op.Div(op.Max(op.Sub(end, start), 1.0), float(out_len))
        return op.Add(start, op.Mul(delta, op.Add(steps, 0.5)))
    if mode == "UNALIGN_CORNERS":
        spacing = op.Div(size, float(out_len))
        return op.Sub(op.Add(start, op.Mul(spacing, op.Add(steps, 0.5))), 0.5)
    if mode == "DEFAULT":
        return op.Add(start, op.Mul(op.Div(size, float(out_len)), steps))
    if out_len == 1:
        center = op.Mul(op.Add(start, end), 0.5)
        return center if mode == "ALIGN_CORNERS" else start
    return op.Add(start, op.Mul(op.Div(op.Sub(end, start), float(out_len - 1)), steps))


def box_edges(op: hub.Builder, boxes: ir.Value, mode: str) -> tuple[Any, Any, Any, Any]:
    """Top, left, bottom, right of boxes [N, 4], each [N, 1]."""
    a, b, c, d = op.Split(boxes, axis=1, num_outputs=4, _outputs=4)
    if mode.endswith("WIDTH_FIRST"):
        a, b, c, d = b, a, d, c
    if mode.startswith("CORNERS"):
        return a, b, c, d
    half = [op.Mul(v, 0.5) for v in (c, d)]
    return op.Sub(a, half[0]), op.Sub(b, half[1]), op.Add(a, half[0]), op.Add(b, half[1])


def linear_weights(op: hub.Builder, positions: ir.Value, size: int) -> Any:
    """Linear interpolation weights, [N, T, size], of `size` elements for positions [N, T]: max(0, 1 -
    distance)."""
    elements = op.const(np.arange(size, dtype=np.float32))
    distance = op.Abs(op.Sub(op.Unsqueeze(positions, ints(-1)), elements))
    return op.Relu(op.Sub(1.0, distance))


def has_ordered_boxes(node: Any) -> bool:
    """True unless constant boxes end before they start, which Core ML does not define."""
    boxes = node.array("boxes" if node.has("boxes") else "roi")
    mode = node.get("box_coordinate_mode", "CORNERS_HEIGHT_FIRST")
    if boxes is None or not mode.startswith("CORNERS") or node.get("sampling_mode") != "UNALIGN_CORNERS":
        return True
    corners = np.reshape(boxes, (boxes.shape[0], -1))[:, -4:]
    return bool((corners[:, :2] <= corners[:, 2:]).all())


BOXES = (
    condition("boxes that end after they start", has_ordered_boxes),
    condition(
        "an image of static size",
        lambda n: n.dims("x") is not None and len(n.dims("x")) == 4 and None not in n.dims("x")[2:],
    ),
    MODES,
    attribute(
        "box_coordinate_mode",
        *(f"{a}_{b}_FIRST" for a in ("CORNERS", "CENTER_SIZE") for b in ("HEIGHT", "WIDTH")),
        default="CORNERS_HEIGHT_FIRST",
    ),
    constant("pad_value"),
)


def crop_and_resize(op: hub.Builder, node: Any, image: ir.Value, boxes: ir.Value) -> Any:
    """Samples of `image` [N, C, H, W], one box [N, 4] each. From iOS 16 samples outside the image have the
    pad value."""
    height, width = (int(d) for d in list(image.shape or ())[2:])
    mode = node.get("sampling_mode", "DEFAULT")
    box_sides = list(
        box_edges(
            op, cast(op, boxes, ir.DataType.FLOAT), node.get("box_coordinate_mode", "CORNERS_HEIGHT_FIRST")
        )
    )
    scale = node.get("spatial_scale", 1.0)
    for i, size in enumerate((height, width, height, width)):
        factor = scale * (size - 1 if node.get("normalized_coordinates", False) else 1)
        box_sides[i] = op.Mul(box_sides[i], float(factor)) if factor != 1 else box_sides[i]
    out_lens = [int(node.get(n, 1)) for n in ("target_height", "target_width")]
    coordinates = [box_coordinates(op, box_sides[i], box_sides[i + 2], out_lens[i], mode) for i in (0, 1)]
    inside = [
        op.And(op.GreaterOrEqual(p, 0.0), op.LessOrEqual(p, float(n - 1)))
        for p, n in zip(coordinates, (height, width), strict=True)
    ]
    clipped = [op.Clip(p, 0.0, float(n - 1)) for p, n in zip(coordinates, (height, width), strict=True)]
    rows, columns = (
        op.Unsqueeze(linear_weights(op, p, n), ints(1)) for p, n in zip(clipped, (height, width), strict=True)
    )
    as_float = cast(op, image, ir.DataType.FLOAT)
    crops = op.MatMul(op.MatMul(rows, as_float), op.Transpose(columns, perm=[0, 1, 3, 2]))
    if node.version >= IOS16:
        is_inside = op.And(op.Unsqueeze(inside[0], ints(1, 3)), op.Unsqueeze(inside[1], ints(1, 2)))
        crops = op.Where(is_inside, crops, op.const(np.float32(node.get("pad_value", 0.0))))
    return cast(op, crops, image.dtype)


@ops.op("crop_resize", since=IOS17, needs=BOXES)
def crop_resize(op, node, x, boxes, box_indices=None):
    count = lengths(op, boxes)[0]
    if box_indices is None:
        box_indices = arange(op, count)
    return crop_and_resize(op, node, op.Gather(x, index(op, box_indices), axis=0), boxes)


def has_known_batch(node: Any) -> bool:
    """Boxes that name their image, or a known number of images."""
    dims = node.dims("roi")
    return dims is not None and (dims[2] == 5 or node.dims("x")[0] is not None)


@ops.op("crop_resize", needs=(*BOXES, condition("a known number of images", has_known_batch)))
def crop_resize_of_rois(op, node, x, roi):
    """Before iOS 17: boxes [N, 1, 4, 1, 1] for every image, or [N, 1, 5, 1, 1] the image's number first."""
    boxes_of_rois = op.Squeeze(roi, ints(1, 3, 4))
    if roi.shape[2] == 5:
        image_index = op.Cast(
            op.Squeeze(op.Slice(boxes_of_rois, ints(0), ints(1), ints(1)), ints(1)), to=int(ir.DataType.INT64)
        )
        boxes = op.Slice(boxes_of_rois, ints(1), ints(5), ints(1))
        return op.Unsqueeze(crop_and_resize(op, node, op.Gather(x, image_index, axis=0), boxes), ints(1))
    crops = []
    batch, count = int(x.shape[0]), lengths(op, boxes_of_rois)[0]
    for i in range(batch):
        image = op.Slice(x, ints(i), ints(i + 1), ints(0))
        sizes = vector(op, [count, *lengths(op, x)[1:]])
        crops.append(op.Unsqueeze(crop_and_resize(op, node, op.Expand(image, sizes), boxes_of_rois), ints(1)))
    return crops[0] if len(crops) == 1 else op.Concat(*crops, axis=1)


@ops.op(
    "non_maximum_suppression",
    needs=(
        condition("a static shape", lambda n: n.dims("scores") is not None and None not in n.dims("scores")),
    ),
)
def non_maximum_suppression(op, node, boxes, scores):
    """Boxes chosen by their best class, those of other classes left alone where suppression is per class.

    Where no box of an image reaches the threshold its best one is chosen, as Apple's tests have it.
    """
    boxes_are_last = node.version >= IOS17
    if boxes_are_last:
        boxes, scores = (op.Transpose(v, perm=[0, 2, 1]) for v in (boxes, scores))
    max_boxes = int(node.get("max_boxes"))
    scores_as_float = cast(op, scores, ir.DataType.FLOAT)
    best_scores = op.ReduceMax(scores_as_float, ints(2), keepdims=0)
    count = int(scores.shape[1])
    if not boxes_are_last:
        best_scores = mask_below_threshold(op, best_scores, node.get("score_threshold", 0.0), count)
    selected = select_boxes(op, node, boxes, scores_as_float, best_scores)
    padding = max_boxes - min(max_boxes, count)
    ordered, order = op.TopK(
        op.Where(selected, best_scores, like(op, best_scores, -np.inf)),
        ints(min(max_boxes, count)),
        axis=1,
        _outputs=2,
    )
    is_box = op.Greater(ordered, op.const(np.array(-np.inf, np.float32)))
    outputs = [gather_boxes(op, v, order, is_box, padding) for v in (boxes, scores)]
    no_box = op.const(np.array(-1, np.int32))
    indices = op.Where(is_box, op.Cast(order, to=int(ir.DataType.INT32)), no_box)
    if padding:
        indices = op.Pad(indices, ints(0, 0, 0, padding), no_box)
    if boxes_are_last:
        return (*(op.Transpose(v, perm=[0, 2, 1]) for v in outputs), indices)
    number_of_boxes = op.ReduceSum(op.Cast(is_box, to=int(ir.DataType.INT32)), ints(1), keepdims=0)
    return (*outputs, indices, number_of_boxes)


def mask_below_threshold(op: hub.Builder, best_scores: ir.Value, threshold: float, count: int) -> ir.Value:
    """Best scores [n, count] of boxes, -inf below the threshold; where none of an image reaches it, the best
    one stays."""
    is_low = op.Less(best_scores, like(op, best_scores, threshold))
    are_all_low = op.ReduceMin(op.Cast(is_low, to=int(ir.DataType.INT32)), ints(1), keepdims=1)
    places = op.const(np.arange(count)[None])
    is_best = op.Equal(places, op.ArgMax(best_scores, axis=1, keepdims=1))
    is_kept = op.And(op.Equal(are_all_low, op.const(np.array(1, np.int32))), is_best)
    return op.Where(op.And(is_low, op.Not(is_kept)), like(op, best_scores, -np.inf), best_scores)


def select_boxes(
    op: hub.Builder, node: Any, boxes: ir.Value, scores: ir.Value, best_scores: ir.Value
) -> ir.Value:
    """Truth of [n, boxes] that survive suppression; `scores` are [n, boxes, classes]."""
    batch, count, classes = (int(d) for d in scores.shape)
    offered = op.Unsqueeze(best_scores, ints(1))
    if node.get("per_class_suppression", False):
        is_best_class = op.Equal(
            op.Unsqueeze(op.ArgMax(scores, axis=2, keepdims=0), ints(1)),
            op.const(np.arange(classes)[None, :, None]),
        )
        offered = op.Where(is_best_class, offered, like(op, best_scores, -np.inf))
    lowest = like(op, best_scores, np.finfo(np.float32).min)
    selected = op.NonMaxSuppression(
        cast(op, boxes, ir.DataType.FLOAT),
        offered,
        op.const(ints(count)),
        op.const(np.array([node.get("iou_threshold")], np.float32)),
        op.Reshape(lowest, ints(1)),
        center_point_box=1,
    )
    places = op.Gather(selected, op.const(ints(0, 2)), axis=1)
    hits = op.ScatterND(
        op.const(np.zeros((batch, count), np.float32)),
        places,
        op.Expand(op.const(np.array(1, np.float32)), op.Slice(op.Shape(places), ints(0), ints(1))),
    )
    return op.Cast(hits, to=int(ir.DataType.BOOL))


def gather_boxes(
    op: hub.Builder, values: ir.Value, order: ir.Value, is_box: ir.Value, padding: int
) -> ir.Value:
    """Rows of [n, boxes, k] in the order found; zero where there is no box, and in `padding` more."""
    rows = op.GatherND(values, op.Unsqueeze(order, ints(-1)), batch_dims=1)
    rows = op.Where(op.Unsqueeze(is_box, ints(-1)), rows, like(op, values, 0))
    return op.Pad(rows, ints(0, 0, 0, 0, padding, 0)) if padding else rows
