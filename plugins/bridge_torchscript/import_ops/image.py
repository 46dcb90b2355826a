"""Resizing, in torch's arithmetic where it differs from that of ONNX."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.importing import ints
from bridge.interpolation import (
    ResizeAxis,
    dense,
    linear_taps,
    nearest_index,
    original_coordinates,
    step_between,
)
from bridge.ops import OpTable
from bridge_torchscript.import_ops.common import dims_of, lengths_vector, static_value
from bridge_torchscript.import_ops.pool import matmul_axis
from bridge_torchscript.values import Unsupported

ops = OpTable()


def _output_lengths(op: Any, x: ir.Value, output_size: Any, factors: Any, count: int) -> dict[str, Any]:
    """Output lengths: `output_size`, or floor(length · factor)."""
    if output_size is not None and output_size != []:
        return {"sizes": [*([output_size] * count if isinstance(output_size, int) else output_size)]}
    lengths = dims_of(x)[2 : count + 2]
    values = [
        float(static_value(f, "factors"))
        for f in ([factors] * count if isinstance(factors, float) else factors)
    ]
    if not all(isinstance(n, int) for n in lengths):
        return {"sizes": None, "factors": values}
    return {"sizes": [math.floor(n * f) for n, f in zip(lengths, values, strict=True)], "factors": values}


def resize_to(
    op: Any, x: ir.Value, count: int, mode: str, output_size: Any, factors: Any, **attributes: Any
) -> ir.Value:
    output = _output_lengths(op, x, output_size, factors, count)
    lengths = output["sizes"]
    known_factors = output.get("factors")
    if lengths is None:
        return _resize_by_factors(op, x, mode, known_factors, **attributes)
    if known_factors is None and factors not in (None, []) and not isinstance(factors, float):
        known_factors = [None if f is None else float(f) for f in factors]
    coordinate = attributes.get("coordinate_transformation_mode")
    if known_factors and any(f is not None for f in known_factors) and coordinate != "align_corners":
        ratios = zip(dims_of(x)[2:], lengths, known_factors, strict=True)
        exact = all(f is None or _is_exact_multiple(size, target, f) for size, target, f in ratios)
        if not exact and attributes.get("antialias"):
            raise Unsupported("resizes by factors that the lengths are not exact multiples by")
        if not exact:
            return resize_by_matrices(op, x, mode, lengths, known_factors)
    head = dims_of(x)[:2]
    if all(isinstance(n, int) for n in [*head, *lengths]):
        return op.Resize(x, None, None, ints(*head, *lengths), mode=mode, **attributes)
    shape = op.Concat(op.Shape(x, start=0, end=2), lengths_vector(op, lengths), axis=0)
    return op.Resize(x, None, None, shape, mode=mode, **attributes)


def _is_exact_multiple(size: Any, target: Any, factor: float) -> bool:
    """True if both lengths are static and `target` is `size` times `factor`."""
    is_static = isinstance(size, int) and isinstance(target, int)
    return is_static and math.isclose(size * factor, target, rel_tol=1e-9)


LONGEST_CHECKED = 8192


def _resize_by_factors(op: Any, x: ir.Value, mode: str, factors: list[float], **attributes: Any) -> ir.Value:
    """Resize of dynamic lengths.

    Raises Unsupported unless the factors give the same result in float32 as in float64.
    """
    if any(float(np.float16(f)) != f or (mode == "nearest" and not _is_exact_in_float32(f)) for f in factors):
        raise Unsupported("resizes lengths known at run time alone by factors that float32 rounds")
    result = op.Resize(x, None, op.const(np.array([1, 1, *factors], np.float32)), mode=mode, **attributes)
    batch, channels, *lengths = dims_of(x)
    dims = [math.floor(n * f) if isinstance(n, int) else None for n, f in zip(lengths, factors, strict=True)]
    result.shape = ir.Shape([batch, channels, *dims])
    return result


def _is_exact_in_float32(factor: float) -> bool:
    """True if floor(x · (1 / factor)) equals floor(x / factor) in float32 for all positions up to
    LONGEST_CHECKED.
    """
    positions = np.arange(LONGEST_CHECKED, dtype=np.float32)
    divided = np.floor(positions / np.float32(factor))
    return bool(np.array_equal(np.floor(positions * np.float32(1 / factor)), divided))


def resize_by_matrices(op: Any, x: ir.Value, mode: str, lengths: list[Any], factors: list[Any]) -> ir.Value:
    """Linear resize as a matrix product per axis, with torch's weights for a factor that is no ratio of
    lengths.
    """
    if mode != "linear":
        raise Unsupported("resizes by factors that the lengths are not exact multiples by")
    for index, (target, factor) in enumerate(zip(lengths, factors, strict=True)):
        axis = index + 2
        size = dims_of(x)[axis]
        if not isinstance(size, int) or not isinstance(target, int):
            raise Unsupported("resizes by factors what has lengths known at run time alone")
        step = 1 / factor if factor else size / target
        x_original = original_coordinates(ResizeAxis.static(size, target, step=step), "half_pixel")
        weights = dense(linear_taps(np.maximum(x_original, 0)), size)
        x = matmul_axis(op, x, axis, op.const(np.ascontiguousarray(weights.T.astype(x.dtype.numpy()))))
    return x


def register_interpolation(count: int, name: str, mode: str) -> None:
    """Register linear or cubic interpolation of `count` spatial dimensions."""

    @ops.op(f"aten::upsample_{name}")
    def interpolate(
        op,
        x,
        output_size=None,
        align_corners=False,
        scale_factors=None,
        scales=None,
        scales_d=None,
        scales_h=None,
        scales_w=None,
    ):
        per_axis = [scales] if count == 1 else [scales_d, scales_h, scales_w][-count:]
        factors = scale_factors if scale_factors is not None else per_axis
        corners = "align_corners" if align_corners else "half_pixel"
        if output_size in (None, []) and scale_factors is None:
            raise Unsupported("resizes to no size")
        extra = {"cubic_coeff_a": -0.75} if mode == "cubic" else {}
        return resize_to(
            op, x, count, mode, output_size, factors, coordinate_transformation_mode=corners, **extra
        )


def register_antialiased(name: str, mode: str) -> None:
    """Register interpolation of images with antialiasing."""

    @ops.op(f"aten::_upsample_{name}_aa")
    def interpolate_antialiased(
        op, x, output_size=None, align_corners=False, scale_factors=None, scales_h=None, scales_w=None
    ):
        """Antialiased resize: the filter is as wide as the scale, with weights inside the image only."""
        if align_corners:
            raise Unsupported("is read without align_corners")
        factors = scale_factors if scale_factors is not None else [scales_h, scales_w]
        extra = {"cubic_coeff_a": -0.5} if mode == "cubic" else {}
        half = "half_pixel"
        return resize_to(
            op,
            x,
            2,
            mode,
            output_size,
            factors,
            coordinate_transformation_mode=half,
            antialias=1,
            exclude_outside=1,
            **extra,
        )


register_antialiased("bilinear2d", "linear")
register_antialiased("bicubic2d", "cubic")
register_interpolation(1, "linear1d", "linear")
register_interpolation(2, "bilinear2d", "linear")
register_interpolation(3, "trilinear3d", "linear")
register_interpolation(2, "bicubic2d", "cubic")


def register_nearest(count: int, exact: bool) -> None:
    """Register nearest-neighbour resizing of `count` spatial dimensions; pixel centres are sampled if
    `exact`.
    """

    @ops.op(f"aten::{'_upsample_nearest_exact' if exact else 'upsample_nearest'}{count}d")
    def pick_nearest(
        op, x, output_size=None, scale_factors=None, scales=None, scales_d=None, scales_h=None, scales_w=None
    ):
        per_axis = [scales] if count == 1 else [scales_d, scales_h, scales_w][-count:]
        factors = scale_factors if scale_factors is not None else per_axis
        modes = ("half_pixel", "round_prefer_ceil") if exact else ("asymmetric", "floor")
        gathered = _gather_nearest(op, x, count, output_size, factors, exact)
        if gathered is not None:
            return gathered
        return resize_to(
            op,
            x,
            count,
            "nearest",
            output_size,
            factors,
            coordinate_transformation_mode=modes[0],
            nearest_mode=modes[1],
        )


def _gather_nearest(
    op: Any, x: ir.Value, count: int, output_size: Any, factors: Any, exact: bool
) -> ir.Value | None:
    """Nearest neighbours gathered by torch's float32 indices. None unless all lengths are static."""
    shape = dims_of(x)[2 : count + 2]
    targets = _output_lengths(op, x, output_size, factors, count)["sizes"]
    if targets is None or not all(isinstance(in_len, int) for in_len in [*shape, *targets]):
        return None
    per_axis = factors if isinstance(factors, (list, tuple)) else [factors] * count
    for index, (in_len, out_len) in enumerate(zip(shape, targets, strict=True)):
        factor = per_axis[index] if per_axis and per_axis[index] is not None else None
        step = np.float32(1.0 / factor) if factor else step_between(in_len, out_len)
        axis = ResizeAxis.static(in_len, out_len, np.float32, step=step)
        x_original = original_coordinates(axis, "tf_half_pixel_for_nn" if exact else "asymmetric")
        x = op.Gather(x, op.const(nearest_index(x_original, "floor", in_len)), axis=index + 2)
    return op.Identity(x)


for dims in (1, 2, 3):
    register_nearest(dims, False)
    register_nearest(dims, True)
