"""Quantized tensors, layers with packed weights, and layers that quantize their input at run time.

A quantized tensor is read as the numbers its integers stand for, and leaves every operator through QuantizeLinear and
DequantizeLinear with the scale and zero point torch gives the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.ops import OpTable
from bridge.quant import QuantParams, limits
from bridge_torchscript.import_ops import arrange, nn, norm
from bridge_torchscript.import_ops.common import T, cast, known, rank, tensor
from bridge_torchscript.import_ops.math import clamp
from bridge_torchscript.import_ops.python import PYTHON
from bridge_torchscript.values import Builder, Object, Quantization, Unsupported, Var, collection_like

ops = OpTable()

CODES = {12: T.INT8, 13: T.UINT8}
LAYERS = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
KEPT = frozenset(
    f"aten::{name}"
    for name in [
        "adaptive_avg_pool2d",
        "adaptive_avg_pool3d",
        "avg_pool2d",
        "avg_pool3d",
        "cat",
        "clamp",
        "clone",
        "constant_pad_nd",
        "contiguous",
        "detach",
        "dropout",
        "expand",
        "expand_as",
        "feature_dropout",
        "flatten",
        "flip",
        "hardtanh",
        "index_select",
        "max_pool1d",
        "max_pool2d",
        "max_pool3d",
        "mean",
        "narrow",
        "pad",
        "permute",
        "pixel_shuffle",
        "pixel_unshuffle",
        "relu",
        "relu6",
        "repeat",
        "reshape",
        "select",
        "slice",
        "split",
        "squeeze",
        "stack",
        "t",
        "to",
        "transpose",
        "unflatten",
        "unsqueeze",
        "upsample_bilinear2d",
        "upsample_nearest1d",
        "upsample_nearest2d",
        "upsample_nearest3d",
        "view",
        "channel_shuffle",
        "chunk",
        "split_with_sizes",
        "unbind",
        "view_as",
        "reflection_pad1d",
        "reflection_pad2d",
    ]
)
FIXED = {"aten::sigmoid": (1 / 256, 0), "aten::hardsigmoid": (1 / 256, 0), "aten::tanh": (2 / 256, 128)}


def carried(op: hub.Builder, kind: str, inputs: list[Any]) -> Quantization | None:
    """How the result of an operator of plain numbers is quantized: as its first quantized input, or in the operator's own way."""
    found = [v.quantization for v in _tensors(inputs) if v.quantization is not None]
    if not found:
        return None
    name = kind.removesuffix("_")
    if name in FIXED and found[0].axis is None:
        scale, zero = FIXED[name]
        dtype = found[0].zero.dtype
        return described(op, scale, zero - (128 if dtype == T.INT8 else 0), dtype)
    if name not in KEPT or found[0].axis is not None:
        raise Unsupported("is not supported on quantized tensors")
    return found[0]


def _tensors(values: Any) -> list[Var]:
    if isinstance(values, Var):
        return [values]
    return [v for item in values for v in _tensors(item)] if isinstance(values, (list, tuple)) else []


def requantized(op: hub.Builder, result: Any, by: Quantization) -> Any:
    """Results as tensors quantized by `by`."""
    for var in _tensors(result):
        if var.value is not None and var.value.dtype in (T.FLOAT, T.DOUBLE, T.FLOAT16):
            var.value, var.quantization = by.through(op, var.value), by
    return result


def described(
    op: hub.Builder, scale: Any, zero: Any, dtype: ir.DataType | None, axis: Any = None
) -> Quantization:
    """Numbers or hub values as a quantization to `dtype`."""
    if dtype not in CODES.values():
        raise Unsupported("quantizes to another dtype than 8 bits")
    return Quantization(tensor(op, scale, T.FLOAT), tensor(op, zero, dtype), axis)


def quantized(op: Builder, value: ir.Value, by: Quantization) -> Var:
    """A quantized tensor of what `value` comes back as."""
    return Var(op, by.through(op, value), quantization=by)


def code_of(by: Quantization) -> int:
    """The c10::ScalarType of what is quantized so."""
    return next(code for code, dtype in CODES.items() if dtype == by.zero.dtype)


def stored(op: Builder, weight: Any) -> Var:
    """A stored quantized tensor."""
    params, integers = _parts(weight)
    by = Quantization.of(op, params)
    return Var(op, by.numbers(op, op.const(integers)), quantization=by)


def _parts(weight: Any) -> tuple[QuantParams, np.ndarray]:
    """The parameters of a quantized torch tensor, and its integers."""
    import torch

    integers = weight.int_repr().numpy()
    dtype = T.from_numpy(integers.dtype)
    if weight.qscheme() == torch.per_tensor_affine:
        if dtype not in CODES.values():
            raise Unsupported("quantizes to another dtype than 8 bits")
        return QuantParams.of(weight.q_scale(), weight.q_zero_point(), dtype), integers
    zeros = weight.q_per_channel_zero_points().numpy()
    if zeros.dtype.kind == "f":
        raise Unsupported("has zero points that are no integers")
    scale = weight.q_per_channel_scales().numpy().astype(np.float32)
    return QuantParams(scale, zeros.astype(integers.dtype), weight.q_per_channel_axis(), 0, dtype), integers


def unpacked(name: str, held: Any) -> tuple[Any, Any]:
    """Weight and bias of packed parameters as torch tensors."""
    import torch

    if not isinstance(held, Object) or held.native is None:
        raise Unsupported("reads parameters that no file holds")
    try:
        return getattr(torch.ops.quantized, name)(held.native)
    except RuntimeError as error:
        raise Unsupported("has parameters this machine's torch cannot unpack") from error


def packed(
    op: hub.Builder, kind: str, held: Any, axes: Callable[[int], Any] | None = None
) -> tuple[ir.Value, Any]:
    """Weight and bias of packed parameters, dequantized; the weight's dimensions in another order if asked."""
    weight, bias = unpacked(f"{kind}_unpack", held)
    params, integers = _parts(weight)
    if axes is not None:
        order = axes(integers.ndim)
        params, integers = params.transpose(order), np.ascontiguousarray(integers.transpose(order))
    stem = held.path.removesuffix("._packed_params").removesuffix("._packed_params")
    table = op.const(integers)
    table.name = hub.fresh_name(op.graph, f"{stem}.weight")
    return params.dequantize_linear(op, table), None if bias is None else op.const(bias.detach().numpy())


def linear(op: hub.Builder, x: ir.Value, held: Any) -> ir.Value:
    """x · weightᵀ + bias."""
    if rank(x) == 2:
        weight, bias = packed(op, "linear", held)
        return nn.linear(op, x, weight, bias)
    weight, bias = packed(op, "linear", held, lambda _: [1, 0])
    made = op.MatMul(x, weight)
    return made if bias is None else op.Add(made, bias)


def convolution(kind: str) -> Callable[[hub.Builder, ir.Value, Any], ir.Value]:
    """A convolution by packed parameters, which know its strides and padding."""
    turned, dims = "transpose" in kind, int(kind[-2])
    reader = f"conv{'_transpose' * turned}{max(dims, 2)}d"

    def convolve(op: hub.Builder, x: ir.Value, held: Any) -> ir.Value:
        import torch

        weight, bias = packed(op, kind, held)

        def setting(name: str) -> Any:
            found = getattr(torch.ops.quantized, f"{reader}_{name}")(held.native)
            return found if isinstance(found, int) else list(found)[-dims:]

        return nn.convolution(
            op,
            x,
            weight,
            bias,
            setting("stride"),
            setting("padding"),
            setting("dilation"),
            turned,
            setting("output_padding") if turned else 0,
            setting("groups"),
        )

    return convolve


def dynamically(
    op: hub.Builder, x: ir.Value, reduce_range: Any, dtype: ir.DataType = T.UINT8
) -> Quantization:
    """The quantization to 8 bits (7 if reduced) that the least and the greatest number of `x` give."""
    low, high = limits(dtype)
    if reduce_range:
        low, high = int(low / 2), high // 2
    least = op.Min(op.ReduceMin(x, keepdims=0), np.array(0, np.float32))
    greatest = op.Max(op.ReduceMax(x, keepdims=0), np.array(0, np.float32))
    span = op.Div(op.Sub(greatest, least), np.array(high - low, np.float32))
    scale = op.Where(op.Equal(span, np.array(0, np.float32)), np.array(0.1, np.float32), span)
    place = op.Sub(np.array(low, np.float32), op.Div(least, scale))
    zero = op.Clip(op.Round(place), np.array(low, np.float32), np.array(high, np.float32))
    return Quantization(scale, op.Cast(zero, to=int(dtype)))


def unchanged(op: hub.Builder, value: ir.Value) -> ir.Value:
    return value


def rectified(op: hub.Builder, value: ir.Value) -> ir.Value:
    return op.Relu(value)


def layer(kind: str, compute: Callable[[hub.Builder, ir.Value, Any], ir.Value]) -> None:
    """A layer with packed parameters, with and without ReLU, its input quantized before or at run time."""

    def register(suffix: str, finish: Callable[[Any, ir.Value], ir.Value]) -> None:
        @PYTHON.op(f"quantized::{kind}{suffix}")
        def static(op, x, held, scale, zero):
            made = finish(op, compute(op, x.read(op), held))
            return quantized(op, made, like(op, x, scale, zero))

        @PYTHON.op(f"quantized::{kind}{suffix}_dynamic")
        def dynamic(op, x, held, reduce_range=False):
            value = x.read(op)
            return Var(
                op, finish(op, compute(op, dynamically(op, value, reduce_range).through(op, value), held))
            )

    register("", unchanged)
    register("_relu", rectified)


for name in LAYERS:
    layer(name, linear if name == "linear" else convolution(name))


def halved(name: str, finish: Callable[[Any, ir.Value], ir.Value]) -> None:
    """A layer whose weights were rounded to float16 when they were packed."""

    @PYTHON.op(f"quantized::{name}_dynamic_fp16")
    def run(op, x, held):
        weight, bias = (
            None if v is None else op.const(v.float().numpy()) for v in unpacked("linear_unpack_fp16", held)
        )
        return Var(op, finish(op, nn.linear(op, x.read(op), weight, bias)))


halved("linear", unchanged)
halved("linear_relu", rectified)


def like(op: hub.Builder, x: Any, scale: Any, zero: Any) -> Quantization:
    """A quantization to the dtype that `x` is held in."""
    if not isinstance(x, Var) or x.quantization is None:
        raise Unsupported("needs a quantized tensor")
    return described(op, known(scale, "scale"), known(zero, "zero point"), x.quantization.zero.dtype)


def finished(names: str, compute: Callable[..., ir.Value], relu: bool = False) -> None:
    """An operator of numbers, then its result quantized as its last two arguments say; with a form that ends in ReLU."""

    def register(name: str, finish: Callable[[Any, ir.Value], ir.Value]) -> None:
        @PYTHON.op(f"quantized::{name}")
        def run(op, *inputs):
            *given, scale, zero = inputs
            values = [v.read(op) if isinstance(v, Var) else v for v in given]
            return quantized(op, finish(op, compute(op, *values)), like(op, inputs[0], scale, zero))

    for name in names.split():
        register(name, unchanged)
        if relu:
            register(f"{name}_relu", rectified)


finished("add", lambda op, x, y: op.Add(x, y), relu=True)
finished("mul", lambda op, x, y: op.Mul(x, y), relu=True)
finished("matmul", lambda op, x, y: op.MatMul(x, y))
finished("hardswish", lambda op, x: op.HardSwish(x))
finished("sigmoid", lambda op, x: op.Sigmoid(x))
finished("leaky_relu", lambda op, x, slope, inplace: nn.leaky_relu(op, x, slope))
finished("prelu", nn.prelu)
finished("softmax", lambda op, x, dim: op.Softmax(x, axis=dim))
finished("layer_norm", norm.layer_norm)
finished("group_norm", norm.group_norm)
finished("instance_norm", lambda op, x, weight, bias, eps: norm.instance_norm(op, x, weight, bias, eps=eps))
finished(
    "batch_norm batch_norm1d batch_norm2d batch_norm3d",
    lambda op, x, weight, bias, mean, var, eps: norm.batch_norm(op, x, weight, bias, mean, var, eps=eps),
    relu=True,
)


@PYTHON.op("quantized::elu")
def elu(op, x, scale, zero, alpha=1, outer=1, inner=1):
    return quantized(op, nn.elu(op, x.read(op), alpha, outer, inner), like(op, x, scale, zero))


@PYTHON.op("quantized::celu")
def celu(op, x, scale, zero, alpha=1):
    return quantized(op, nn.celu(op, x.read(op), alpha), like(op, x, scale, zero))


@PYTHON.op("quantized::dropout")
def dropout(op, x, scale, zero, p=0.5, training=False):
    return quantized(op, nn.dropout(op, x.read(op), p, training), like(op, x, scale, zero))


@PYTHON.op("quantized::relu6")
def relu6(op, x, inplace=False):
    return quantized(op, nn.relu6(op, x.read(op)), own(x))


@PYTHON.op("quantized::clamp")
def clamped(op, x, low=None, high=None):
    return quantized(op, clamp(op, x.read(op), low, high), own(x))


def own(x: Any) -> Quantization:
    """How `x` is quantized."""
    if not isinstance(x, Var) or x.quantization is None:
        raise Unsupported("needs a quantized tensor")
    return x.quantization


def joined(name: str, finish: Callable[[Any, ir.Value], ir.Value]) -> None:
    @PYTHON.op(f"quantized::{name}")
    def join(op, tensors, dim, scale=None, zero=None):
        by = own(tensors[0]) if scale is None else like(op, tensors[0], scale, zero)
        return quantized(op, finish(op, arrange.cat(op, [v.read(op) for v in tensors], dim)), by)


joined("cat", unchanged)
joined("cat_relu", rectified)


def by_number(name: str, compute: Callable[..., tuple[ir.Value, Quantization]]) -> None:
    for suffix in ("", "_relu"):

        @PYTHON.op(f"quantized::{name}_scalar{suffix}", f"quantized::{name}{suffix}_scalar")
        def run(op, x, number, suffix=suffix):
            value, by = compute(op, x.read(op), known(number, "number"), own(x))
            return quantized(op, op.Relu(value) if suffix else value, by)


def _constants(by: Quantization) -> tuple[float, int, int, int]:
    """Scale, zero point, and the limits of the dtype."""
    params = by.params
    if params is None or by.axis is not None:
        raise Unsupported("needs one scale known before run time")
    low, high = limits(params.dtype)
    return float(params.scale), int(params.zero_point), int(low), int(high)


def plus(op: hub.Builder, x: ir.Value, number: float, by: Quantization) -> tuple[ir.Value, Quantization]:
    """The number in whole steps of the scale; the zero point moves by them, and stretches the scale where it would leave the dtype."""
    scale, zero, low, high = _constants(by)
    steps = int(np.rint(number / scale))
    moved = zero - steps
    if moved < low:
        scale_, zero_ = (high - moved) / (high - low) * scale, low
    elif moved > high:
        scale_, zero_ = (moved - low) / (high - low) * scale, high
    else:
        scale_, zero_ = scale, moved
    return op.Add(x, np.array(steps * scale, np.float32)), described(op, scale_, zero_, by.zero.dtype)


def times(op: hub.Builder, x: ir.Value, number: float, by: Quantization) -> tuple[ir.Value, Quantization]:
    """The scale is multiplied; below zero the integers turn round."""
    scale, zero, low, high = _constants(by)
    made = op.Mul(x, np.array(number, np.float32))
    if number == 0:
        return made, described(op, 0.1, 0, by.zero.dtype)
    return made, described(op, scale * abs(number), zero if number > 0 else high + low - zero, by.zero.dtype)


by_number("add", plus)
by_number("mul", times)


def held_in(code: Any) -> ir.DataType | None:
    return CODES.get(known(code, "dtype"))


@PYTHON.op("aten::quantize_per_tensor")
def quantize_per_tensor(op, x, scale, zero, dtype):
    if isinstance(x, list):
        raise Unsupported("quantizes a list of tensors")
    scale, zero = (v.read(op) if isinstance(v, Var) else v for v in (scale, zero))
    parts = [op.Reshape(v, op.const([])) if isinstance(v, ir.Value) and rank(v) else v for v in (scale, zero)]
    return quantized(op, x.read(op), described(op, *parts, held_in(dtype)))


@PYTHON.op("aten::quantize_per_channel")
def quantize_per_channel(op, x, scales, zeros, axis, dtype):
    points = zeros.read(op)
    if points.dtype.is_floating_point():
        raise Unsupported("has zero points that are no integers")
    by = described(op, scales.read(op), points, held_in(dtype), axis)
    return quantized(op, x.read(op), by)


@PYTHON.op("aten::quantize_per_tensor_dynamic")
def quantize_per_tensor_dynamic(op, x, dtype, reduce_range):
    kind = held_in(dtype)
    if kind is None:
        raise Unsupported("quantizes to another dtype than 8 bits")
    return quantized(op, x.read(op), dynamically(op, x.read(op), reduce_range, kind))


@PYTHON.op("aten::_make_per_tensor_quantized_tensor")
def make_per_tensor(op, x, scale, zero):
    by = described(op, scale, zero, x.read(op).dtype)
    return Var(op, by.numbers(op, x.read(op)), quantization=by)


def pretended(
    op: hub.Builder, x: ir.Value, by: Callable[[ir.DataType], Quantization], low: int, high: int
) -> ir.Value:
    """`x` as integers from `low` to `high` would hold it."""
    dtype = next((d for d in CODES.values() if limits(d)[0] <= low and high <= limits(d)[1]), None)
    if dtype is None:
        raise Unsupported(f"quantizes to {low}…{high}, more than 8 bits")
    held = by(dtype)
    whole = held.integers(op, x)
    if (low, high) != limits(dtype):
        narrow = op.Clip(cast(op, whole, T.INT32), np.array(low, np.int32), np.array(high, np.int32))
        whole = cast(op, narrow, dtype)
    return held.numbers(op, whole)


def _zero(op: hub.Builder, zero: Any) -> Any:
    return op.Round(zero) if isinstance(zero, ir.Value) and zero.dtype.is_floating_point() else zero  # type: ignore[union-attr]


@ops.op("aten::fake_quantize_per_tensor_affine")
def fake_quantize(op, x, scale, zero_point, quant_min, quant_max):
    parts = [
        op.Reshape(v, op.const([])) if isinstance(v, ir.Value) and rank(v) else v for v in (scale, zero_point)
    ]
    return pretended(
        op, x, lambda dtype: described(op, parts[0], _zero(op, parts[1]), dtype), quant_min, quant_max
    )


@ops.op("aten::fake_quantize_per_channel_affine")
def fake_quantize_channels(op, x, scale, zero_point, axis, quant_min, quant_max):
    zero = _zero(op, zero_point)
    return pretended(op, x, lambda dtype: described(op, scale, zero, dtype, axis), quant_min, quant_max)


@PYTHON.op("aten::dequantize")
def dequantize(op, x):
    if isinstance(x, (list, tuple)):
        return collection_like(op, x, (dequantize(op, v) for v in x))
    return Var(op, op.Identity(x.read(op)))


@PYTHON.op("aten::int_repr")
def int_repr(op, x):
    return Var(op, own(x).integers(op, x.read(op)))


@PYTHON.op("aten::is_quantized", "prim::is_quantized")
def is_quantized(op, x):
    return isinstance(x, Var) and x.quantization is not None


@PYTHON.op("aten::q_scale")
def q_scale(op, x):
    return _constants(own(x))[0]


@PYTHON.op("aten::q_zero_point")
def q_zero_point(op, x):
    return _constants(own(x))[1]


@PYTHON.op("aten::q_per_channel_scales")
def q_per_channel_scales(op, x):
    return Var(op, cast(op, own(x).scale, T.DOUBLE))


@PYTHON.op("aten::q_per_channel_zero_points")
def q_per_channel_zero_points(op, x):
    return Var(op, cast(op, own(x).zero, T.INT64))


@PYTHON.op("aten::q_per_channel_axis")
def q_per_channel_axis(op, x):
    return own(x).axis
