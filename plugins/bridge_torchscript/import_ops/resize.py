"""Resizing, with torch's own arithmetic where it is not that of ONNX."""

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
from bridge_torchscript.import_ops.common import dims_of, known, sizes
from bridge_torchscript.import_ops.pool import multiplied
from bridge_torchscript.values import Unsupported

ops = OpTable()


def _scales(op: Any, x: ir.Value, output_size: Any, factors: Any, count: int) -> dict[str, Any]:
    """The lengths wanted: as given, or the floor of the input's times its factor."""
    if output_size is not None and output_size != []:
        return {"sizes": [*([output_size] * count if isinstance(output_size, int) else output_size)]}
    lengths = dims_of(x)[2 : count + 2]
    values = [
        float(known(f, "factors")) for f in ([factors] * count if isinstance(factors, float) else factors)
    ]
    if not all(isinstance(n, int) for n in lengths):
        return {"sizes": None, "factors": values}
    return {"sizes": [math.floor(n * f) for n, f in zip(lengths, values, strict=True)], "factors": values}


def resized(
    op: Any, x: ir.Value, count: int, mode: str, output_size: Any, factors: Any, **attributes: Any
) -> ir.Value:
    wanted = _scales(op, x, output_size, factors, count)
    lengths = wanted["sizes"]
    known_factors = wanted.get("factors")
    if lengths is None:
        return _scaled(op, x, mode, known_factors, **attributes)
    if known_factors is None and factors not in (None, []) and not isinstance(factors, float):
        known_factors = [None if f is None else float(f) for f in factors]
    coordinate = attributes.get("coordinate_transformation_mode")
    if known_factors and any(f is not None for f in known_factors) and coordinate != "align_corners":
        ratios = zip(dims_of(x)[2:], lengths, known_factors, strict=True)
        exact = all(f is None or _multiple(size, target, f) for size, target, f in ratios)
        if not exact and attributes.get("antialias"):
            raise Unsupported("resizes by factors that the lengths are not exact multiples by")
        if not exact:
            return weighted(op, x, mode, lengths, known_factors)
    head = dims_of(x)[:2]
    if all(isinstance(n, int) for n in [*head, *lengths]):
        return op.Resize(x, None, None, ints(*head, *lengths), mode=mode, **attributes)
    whole = op.Concat(op.Shape(x, start=0, end=2), sizes(op, lengths), axis=0)
    return op.Resize(x, None, None, whole, mode=mode, **attributes)


def _multiple(size: Any, target: Any, factor: float) -> bool:
    """Whether a length known before run time is another one times a factor."""
    known_ = isinstance(size, int) and isinstance(target, int)
    return known_ and math.isclose(size * factor, target, rel_tol=1e-9)


LONGEST = 8192


def _scaled(op: Any, x: ir.Value, mode: str, factors: list[float], **attributes: Any) -> ir.Value:
    """Lengths known at run time alone by factors that give in float32 what torch gives in double."""
    if any(float(np.float16(f)) != f or (mode == "nearest" and not _steady(f)) for f in factors):
        raise Unsupported("resizes lengths known at run time alone by factors that float32 rounds")
    made = op.Resize(x, None, op.const(np.array([1, 1, *factors], np.float32)), mode=mode, **attributes)
    batch, channels, *sizes_ = dims_of(x)
    dims = [math.floor(n * f) if isinstance(n, int) else None for n, f in zip(sizes_, factors, strict=True)]
    made.shape = ir.Shape([batch, channels, *dims])
    return made


def _steady(factor: float) -> bool:
    """Whether places times the inverse of the factor in float32, as torch has it, are places divided by it."""
    places = np.arange(LONGEST, dtype=np.float32)
    divided = np.floor(places / np.float32(factor))
    return bool(np.array_equal(np.floor(places * np.float32(1 / factor)), divided))


def weighted(op: Any, x: ir.Value, mode: str, lengths: list[Any], factors: list[Any]) -> ir.Value:
    """A product along each axis with the weights torch computes from a factor that is no ratio of lengths."""
    if mode != "linear":
        raise Unsupported("resizes by factors that the lengths are not exact multiples by")
    for index, (target, factor) in enumerate(zip(lengths, factors, strict=True)):
        at = index + 2
        size = dims_of(x)[at]
        if not isinstance(size, int) or not isinstance(target, int):
            raise Unsupported("resizes by factors what has lengths known at run time alone")
        step = 1 / factor if factor else size / target
        x_original = original_coordinates(ResizeAxis.static(size, target, step=step), "half_pixel")
        weights = dense(linear_taps(np.maximum(x_original, 0)), size)
        x = multiplied(op, x, at, np.ascontiguousarray(weights.T.astype(x.dtype.numpy())))
    return x


def interpolation(count: int, name: str, mode: str) -> None:
    """Register linear or cubic interpolation of `count` dimensions."""

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
        given = [scales] if count == 1 else [scales_d, scales_h, scales_w][-count:]
        factors = scale_factors if scale_factors is not None else given
        corners = "align_corners" if align_corners else "half_pixel"
        if output_size in (None, []) and scale_factors is None:
            raise Unsupported("resizes to no size")
        extra = {"cubic_coeff_a": -0.75} if mode == "cubic" else {}
        return resized(
            op, x, count, mode, output_size, factors, coordinate_transformation_mode=corners, **extra
        )


def antialiased(name: str, mode: str) -> None:
    """Register interpolation of images with antialiasing."""

    @ops.op(f"aten::_upsample_{name}_aa")
    def interpolate_antialiased(
        op, x, output_size=None, align_corners=False, scale_factors=None, scales_h=None, scales_w=None
    ):
        """With a filter as wide as what is left out, its weights inside of the image alone."""
        if align_corners:
            raise Unsupported("is read without align_corners")
        factors = scale_factors if scale_factors is not None else [scales_h, scales_w]
        extra = {"cubic_coeff_a": -0.5} if mode == "cubic" else {}
        half = "half_pixel"
        return resized(
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


antialiased("bilinear2d", "linear")
antialiased("bicubic2d", "cubic")
interpolation(1, "linear1d", "linear")
interpolation(2, "bilinear2d", "linear")
interpolation(3, "trilinear3d", "linear")
interpolation(2, "bicubic2d", "cubic")


def nearest_neighbour(count: int, exact: bool) -> None:
    """Register nearest-neighbour resizing of `count` dimensions, by pixel centres if `exact`."""

    @ops.op(f"aten::{'_upsample_nearest_exact' if exact else 'upsample_nearest'}{count}d")
    def pick_nearest(
        op, x, output_size=None, scale_factors=None, scales=None, scales_d=None, scales_h=None, scales_w=None
    ):
        given = [scales] if count == 1 else [scales_d, scales_h, scales_w][-count:]
        factors = scale_factors if scale_factors is not None else given
        how = ("half_pixel", "round_prefer_ceil") if exact else ("asymmetric", "floor")
        gathered = _gathered(op, x, count, output_size, factors, exact)
        if gathered is not None:
            return gathered
        return resized(
            op,
            x,
            count,
            "nearest",
            output_size,
            factors,
            coordinate_transformation_mode=how[0],
            nearest_mode=how[1],
        )


def _gathered(
    op: Any, x: ir.Value, count: int, output_size: Any, factors: Any, exact: bool
) -> ir.Value | None:
    """Elements at the indices of torch's own arithmetic in float32, where all lengths are known."""
    shape = dims_of(x)[2 : count + 2]
    wanted = _scales(op, x, output_size, factors, count)["sizes"]
    if wanted is None or not all(isinstance(n, int) for n in [*shape, *wanted]):
        return None
    listed = factors if isinstance(factors, (list, tuple)) else [factors] * count
    for index, (n, m) in enumerate(zip(shape, wanted, strict=True)):
        factor = listed[index] if listed and listed[index] is not None else None
        step = np.float32(1.0 / factor) if factor else step_between(n, m)
        axis = ResizeAxis.static(n, m, np.float32, step=step)
        x_original = original_coordinates(axis, "tf_half_pixel_for_nn" if exact else "asymmetric")
        x = op.Gather(x, op.const(nearest_index(x_original, "floor", n)), axis=index + 2)
    return op.Identity(x)


for dims in (1, 2, 3):
    nearest_neighbour(dims, False)
    nearest_neighbour(dims, True)
