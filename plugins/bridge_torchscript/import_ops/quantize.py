"""Quantized tensors, layers with packed weights, and dynamically quantized layers.

A quantized tensor is read as its dequantized values. It leaves every operator through QuantizeLinear and
DequantizeLinear with the scale and zero point that torch gives the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.ops import OpTable
from bridge.quant import QuantParams, limits
from bridge_torchscript.import_ops import conv, nn, norm, tensor_concat
from bridge_torchscript.import_ops.common import T, cast, rank, static_value, tensor
from bridge_torchscript.import_ops.math import clamp
from bridge_torchscript.import_ops.scalar import PYTHON
from bridge_torchscript.script.stored import StoredObject, stored
from bridge_torchscript.values import Builder, Object, Quantization, Unsupported, Var, collection_like

ops = OpTable()

CODES = {12: T.INT8, 13: T.UINT8}
LAYERS = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
KEEPS_QUANTIZATION = frozenset(
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
FIXED_QUANTIZATION = {
    "aten::sigmoid": (1 / 256, 0),
    "aten::hardsigmoid": (1 / 256, 0),
    "aten::tanh": (2 / 256, 128),
}


def propagated_quantization(op: hub.Builder, operator: str, inputs: list[Any]) -> Quantization | None:
    """Quantization of an operator's result: that of its first quantized input, or a fixed one.

    None without quantized inputs.
    """
    quantizations = [v.quantization for v in _tensors_in(inputs) if v.quantization is not None]
    if not quantizations:
        return None
    name = operator.removesuffix("_")
    if name in FIXED_QUANTIZATION and quantizations[0].axis is None:
        scale, zero = FIXED_QUANTIZATION[name]
        dtype = quantizations[0].zero.dtype
        return make_quantization(op, scale, zero - (128 if dtype == T.INT8 else 0), dtype)
    if name not in KEEPS_QUANTIZATION or quantizations[0].axis is not None:
        raise Unsupported("is not supported on quantized tensors")
    return quantizations[0]


def _tensors_in(values: Any) -> list[Var]:
    if isinstance(values, Var):
        return [values]
    return [v for item in values for v in _tensors_in(item)] if isinstance(values, (list, tuple)) else []


def requantize(op: hub.Builder, result: Any, by: Quantization) -> Any:
    """Quantize the float results by `by`."""
    for var in _tensors_in(result):
        if var.value is not None and var.value.dtype in (T.FLOAT, T.DOUBLE, T.FLOAT16):
            var.value, var.quantization = by.fake_quantize(op, var.value), by
    return result


def make_quantization(
    op: hub.Builder, scale: Any, zero: Any, dtype: ir.DataType | None, axis: Any = None
) -> Quantization:
    """Quantization to `dtype` from numbers or hub values."""
    if dtype not in CODES.values():
        raise Unsupported("quantizes to another dtype than 8 bits")
    return Quantization(tensor(op, scale, T.FLOAT), tensor(op, zero, dtype), axis)


def quantize_to(op: Builder, value: ir.Value, by: Quantization) -> Var:
    """Quantized tensor of `value`, quantized and dequantized by `by`."""
    return Var(op, by.fake_quantize(op, value), quantization=by)


def scalar_type_of(by: Quantization) -> int:
    """c10::ScalarType of tensors quantized by `by`."""
    return next(code for code, dtype in CODES.items() if dtype == by.zero.dtype)


def stored_quantized(op: Builder, weight: Any) -> Var:
    """Quantized tensor stored in the file."""
    params, integers = _params_and_integers(weight)
    by = Quantization.of(op, params)
    return Var(op, by.dequantize_linear(op, op.const(integers)), quantization=by)


def _params_and_integers(weight: Any) -> tuple[QuantParams, np.ndarray]:
    """Quantization parameters of a stored tensor, and its integers."""
    integers, quantizer = np.asarray(weight.array, order="C"), weight.quantizer
    dtype = T.from_numpy(integers.dtype)
    if quantizer.axis is None:
        if dtype not in CODES.values():
            raise Unsupported("quantizes to another dtype than 8 bits")
        return QuantParams.of(quantizer.scale, quantizer.zero_point, dtype), integers
    if quantizer.zero_point.dtype.kind == "f":
        raise Unsupported("has zero points that are no integers")
    scale = quantizer.scale.astype(np.float32)
    return QuantParams(scale, quantizer.zero_point.astype(integers.dtype), quantizer.axis, 0, dtype), integers


def unpack_parameters(name: str, parameters: Any) -> tuple[Any, Any]:
    """Weight and bias of packed parameters as stored tensors."""
    if not isinstance(parameters, Object) or parameters.native is None:
        raise Unsupported("reads parameters that no file holds")
    if isinstance(parameters.native, StoredObject):
        state = parameters.native.state
        return state[:2] if isinstance(state, tuple) else (state["weight"], state["bias"])
    import torch

    try:
        unpacked = getattr(torch.ops.quantized, name)(parameters.native)
    except RuntimeError as error:
        raise Unsupported("has parameters this machine's torch cannot unpack") from error
    return stored(unpacked[0]), stored(unpacked[1])


def dequantized_parameters(
    op: hub.Builder, operator: str, parameters: Any, axes: Callable[[int], Any] | None = None
) -> tuple[ir.Value, Any]:
    """Dequantized weight, and bias, of packed parameters.

    `axes(rank)` permutes the dimensions of the weight.
    """
    weight, bias = unpack_parameters(f"{operator}_unpack", parameters)
    params, integers = _params_and_integers(weight)
    if axes is not None:
        order = axes(integers.ndim)
        params, integers = params.transpose(order), np.ascontiguousarray(integers.transpose(order))
    stem = parameters.path.removesuffix("._packed_params").removesuffix("._packed_params")
    table = op.const(integers)
    table.name = hub.fresh_name(op.graph, f"{stem}.weight")
    return params.dequantize_linear(op, table), None if bias is None else op.const(bias.array)


def packed_linear(op: hub.Builder, x: ir.Value, parameters: Any) -> ir.Value:
    """Linear layer with packed parameters: x · weightᵀ + bias."""
    if rank(x) == 2:
        weight, bias = dequantized_parameters(op, "linear", parameters)
        return nn.linear(op, x, weight, bias)
    weight, bias = dequantized_parameters(op, "linear", parameters, lambda _: [1, 0])
    product = op.MatMul(x, weight)
    return product if bias is None else op.Add(product, bias)


def packed_convolution(operator: str) -> Callable[[hub.Builder, ir.Value, Any], ir.Value]:
    """Convolution with packed parameters, which also hold its strides and pads."""
    is_transposed, dims = "transpose" in operator, int(operator[-2])
    prefix = f"conv{'_transpose' * is_transposed}{max(dims, 2)}d"

    def convolve(op: hub.Builder, x: ir.Value, parameters: Any) -> ir.Value:
        weight, bias = dequantized_parameters(op, operator, parameters)

        def setting(name: str) -> Any:
            if isinstance(parameters.native, StoredObject):
                return parameters.native.getattr(name)
            import torch

            value = getattr(torch.ops.quantized, f"{prefix}_{name}")(parameters.native)
            return value if isinstance(value, int) else list(value)[-dims:]

        return conv.convolution(
            op,
            x,
            weight,
            bias,
            setting("stride"),
            setting("padding"),
            setting("dilation"),
            is_transposed,
            setting("output_padding") if is_transposed else 0,
            setting("groups"),
        )

    return convolve


def dynamic_quantization(
    op: hub.Builder, x: ir.Value, reduce_range: Any, dtype: ir.DataType = T.UINT8
) -> Quantization:
    """Quantization to 8 bits (7 with `reduce_range`) from the minimum and maximum of `x`."""
    low, high = limits(dtype)
    if reduce_range:
        low, high = int(low / 2), high // 2
    least = op.Min(op.ReduceMin(x, keepdims=0), np.array(0, np.float32))
    greatest = op.Max(op.ReduceMax(x, keepdims=0), np.array(0, np.float32))
    span = op.Div(op.Sub(greatest, least), np.array(high - low, np.float32))
    scale = op.Where(op.Equal(span, np.array(0, np.float32)), np.array(0.1, np.float32), span)
    unrounded = op.Sub(np.array(low, np.float32), op.Div(least, scale))
    zero = op.Clip(op.Round(unrounded), np.array(low, np.float32), np.array(high, np.float32))
    return Quantization(scale, op.Cast(zero, to=int(dtype)))


def keep(op: hub.Builder, value: ir.Value) -> ir.Value:
    return value


def rectify(op: hub.Builder, value: ir.Value) -> ir.Value:
    return op.Relu(value)


def register_layer(operator: str, compute: Callable[[hub.Builder, ir.Value, Any], ir.Value]) -> None:
    """Register a layer with packed parameters: with and without ReLU, static and dynamic."""

    def register(suffix: str, finish: Callable[[Any, ir.Value], ir.Value]) -> None:
        @PYTHON.op(f"quantized::{operator}{suffix}")
        def static(op, x, parameters, scale, zero):
            result = finish(op, compute(op, x.read(op), parameters))
            return quantize_to(op, result, quantization_like(op, x, scale, zero))

        @PYTHON.op(f"quantized::{operator}{suffix}_dynamic")
        def dynamic(op, x, parameters, reduce_range=False):
            value = x.read(op)
            return Var(
                op,
                finish(
                    op,
                    compute(
                        op, dynamic_quantization(op, value, reduce_range).fake_quantize(op, value), parameters
                    ),
                ),
            )

    register("", keep)
    register("_relu", rectify)


for name in LAYERS:
    register_layer(name, packed_linear if name == "linear" else packed_convolution(name))


def register_float16_layer(name: str, finish: Callable[[Any, ir.Value], ir.Value]) -> None:
    """Register a layer whose weights were rounded to float16 when packed."""

    @PYTHON.op(f"quantized::{name}_dynamic_fp16")
    def run(op, x, parameters):
        weight, bias = (
            None if v is None else op.const(v.array.astype(np.float32))
            for v in unpack_parameters("linear_unpack_fp16", parameters)
        )
        return Var(op, finish(op, nn.linear(op, x.read(op), weight, bias)))


register_float16_layer("linear", keep)
register_float16_layer("linear_relu", rectify)


def quantization_like(op: hub.Builder, x: Any, scale: Any, zero: Any) -> Quantization:
    """Quantization to the dtype of the quantized tensor `x`."""
    if not isinstance(x, Var) or x.quantization is None:
        raise Unsupported("needs a quantized tensor")
    return make_quantization(
        op, static_value(scale, "scale"), static_value(zero, "zero point"), x.quantization.zero.dtype
    )


def register_requantized(names: str, compute: Callable[..., ir.Value], relu: bool = False) -> None:
    """Register float operators whose last two arguments quantize the result; with a variant that ends in
    ReLU.
    """

    def register(name: str, finish: Callable[[Any, ir.Value], ir.Value]) -> None:
        @PYTHON.op(f"quantized::{name}")
        def run(op, *inputs):
            *arguments, scale, zero = inputs
            values = [v.read(op) if isinstance(v, Var) else v for v in arguments]
            return quantize_to(
                op, finish(op, compute(op, *values)), quantization_like(op, inputs[0], scale, zero)
            )

    for name in names.split():
        register(name, keep)
        if relu:
            register(f"{name}_relu", rectify)


register_requantized("add", lambda op, x, y: op.Add(x, y), relu=True)
register_requantized("mul", lambda op, x, y: op.Mul(x, y), relu=True)
register_requantized("matmul", lambda op, x, y: op.MatMul(x, y))
register_requantized("hardswish", lambda op, x: op.HardSwish(x))
register_requantized("sigmoid", lambda op, x: op.Sigmoid(x))
register_requantized("leaky_relu", lambda op, x, slope, inplace: nn.leaky_relu(op, x, slope))
register_requantized("prelu", nn.prelu)
register_requantized("softmax", lambda op, x, dim: op.Softmax(x, axis=dim))
register_requantized("layer_norm", norm.layer_norm)
register_requantized("group_norm", norm.group_norm)
register_requantized(
    "instance_norm", lambda op, x, weight, bias, eps: norm.instance_norm(op, x, weight, bias, eps=eps)
)
register_requantized(
    "batch_norm batch_norm1d batch_norm2d batch_norm3d",
    lambda op, x, weight, bias, mean, var, eps: norm.batch_norm(op, x, weight, bias, mean, var, eps=eps),
    relu=True,
)


@PYTHON.op("quantized::elu")
def elu(op, x, scale, zero, alpha=1, outer=1, inner=1):
    return quantize_to(op, nn.elu(op, x.read(op), alpha, outer, inner), quantization_like(op, x, scale, zero))


@PYTHON.op("quantized::celu")
def celu(op, x, scale, zero, alpha=1):
    return quantize_to(op, nn.celu(op, x.read(op), alpha), quantization_like(op, x, scale, zero))


@PYTHON.op("quantized::dropout")
def dropout(op, x, scale, zero, p=0.5, training=False):
    return quantize_to(op, nn.dropout(op, x.read(op), p, training), quantization_like(op, x, scale, zero))


@PYTHON.op("quantized::relu6")
def relu6(op, x, inplace=False):
    return quantize_to(op, nn.relu6(op, x.read(op)), quantization_of(x))


@PYTHON.op("quantized::clamp")
def clamped(op, x, low=None, high=None):
    return quantize_to(op, clamp(op, x.read(op), low, high), quantization_of(x))


def quantization_of(x: Any) -> Quantization:
    """Quantization of `x`. Raises Unsupported if it is not quantized."""
    if not isinstance(x, Var) or x.quantization is None:
        raise Unsupported("needs a quantized tensor")
    return x.quantization


def register_cat(name: str, finish: Callable[[Any, ir.Value], ir.Value]) -> None:
    @PYTHON.op(f"quantized::{name}")
    def join(op, tensors, dim, scale=None, zero=None):
        by = quantization_of(tensors[0]) if scale is None else quantization_like(op, tensors[0], scale, zero)
        return quantize_to(op, finish(op, tensor_concat.cat(op, [v.read(op) for v in tensors], dim)), by)


register_cat("cat", keep)
register_cat("cat_relu", rectify)


def register_scalar(name: str, compute: Callable[..., tuple[ir.Value, Quantization]]) -> None:
    for suffix in ("", "_relu"):

        @PYTHON.op(f"quantized::{name}_scalar{suffix}", f"quantized::{name}{suffix}_scalar")
        def run(op, x, number, suffix=suffix):
            value, by = compute(op, x.read(op), static_value(number, "number"), quantization_of(x))
            return quantize_to(op, op.Relu(value) if suffix else value, by)


def _static_parameters(by: Quantization) -> tuple[float, int, int, int]:
    """Scale, zero point, and integer limits of the dtype."""
    params = by.params
    if params is None or by.axis is not None:
        raise Unsupported("needs one scale known before run time")
    low, high = limits(params.dtype)
    return float(params.scale), int(params.zero_point), int(low), int(high)


def add_scalar(
    op: hub.Builder, x: ir.Value, number: float, by: Quantization
) -> tuple[ir.Value, Quantization]:
    """Sum with a number, rounded to steps of the scale.

    The zero point moves; the scale grows if it would leave the dtype.
    """
    scale, zero, low, high = _static_parameters(by)
    steps = int(np.rint(number / scale))
    moved = zero - steps
    if moved < low:
        new_scale, new_zero = (high - moved) / (high - low) * scale, low
    elif moved > high:
        new_scale, new_zero = (moved - low) / (high - low) * scale, high
    else:
        new_scale, new_zero = scale, moved
    return op.Add(x, np.array(steps * scale, np.float32)), make_quantization(
        op, new_scale, new_zero, by.zero.dtype
    )


def multiply_scalar(
    op: hub.Builder, x: ir.Value, number: float, by: Quantization
) -> tuple[ir.Value, Quantization]:
    """Product with a number: the scale is multiplied, a negative number mirrors the zero point."""
    scale, zero, low, high = _static_parameters(by)
    product = op.Mul(x, np.array(number, np.float32))
    if number == 0:
        return product, make_quantization(op, 0.1, 0, by.zero.dtype)
    return product, make_quantization(
        op, scale * abs(number), zero if number > 0 else high + low - zero, by.zero.dtype
    )


register_scalar("add", add_scalar)
register_scalar("mul", multiply_scalar)


def quantized_dtype(code: Any) -> ir.DataType | None:
    return CODES.get(static_value(code, "dtype"))


@PYTHON.op("aten::quantize_per_tensor")
def quantize_per_tensor(op, x, scale, zero, dtype):
    if isinstance(x, list):
        raise Unsupported("quantizes a list of tensors")
    scale, zero = (v.read(op) if isinstance(v, Var) else v for v in (scale, zero))
    scalars = [
        op.Reshape(v, op.const([])) if isinstance(v, ir.Value) and rank(v) else v for v in (scale, zero)
    ]
    return quantize_to(op, x.read(op), make_quantization(op, *scalars, quantized_dtype(dtype)))


@PYTHON.op("aten::quantize_per_channel")
def quantize_per_channel(op, x, scales, zeros, axis, dtype):
    points = zeros.read(op)
    if points.dtype.is_floating_point():
        raise Unsupported("has zero points that are no integers")
    by = make_quantization(op, scales.read(op), points, quantized_dtype(dtype), axis)
    return quantize_to(op, x.read(op), by)


@PYTHON.op("aten::quantize_per_tensor_dynamic")
def quantize_per_tensor_dynamic(op, x, dtype, reduce_range):
    storage = quantized_dtype(dtype)
    if storage is None:
        raise Unsupported("quantizes to another dtype than 8 bits")
    return quantize_to(op, x.read(op), dynamic_quantization(op, x.read(op), reduce_range, storage))


@PYTHON.op("aten::_make_per_tensor_quantized_tensor")
def make_per_tensor(op, x, scale, zero):
    by = make_quantization(op, scale, zero, x.read(op).dtype)
    return Var(op, by.dequantize_linear(op, x.read(op)), quantization=by)


def fake_quantized(
    op: hub.Builder, x: ir.Value, by: Callable[[ir.DataType], Quantization], low: int, high: int
) -> ir.Value:
    """`x` quantized to integers from `low` to `high`, and dequantized."""
    dtype = next((d for d in CODES.values() if limits(d)[0] <= low and high <= limits(d)[1]), None)
    if dtype is None:
        raise Unsupported(f"quantizes to {low}…{high}, more than 8 bits")
    quantization = by(dtype)
    integers = quantization.quantize_linear(op, x)
    if (low, high) != limits(dtype):
        clipped = op.Clip(cast(op, integers, T.INT32), np.array(low, np.int32), np.array(high, np.int32))
        integers = cast(op, clipped, dtype)
    return quantization.dequantize_linear(op, integers)


def _rounded_zero_point(op: hub.Builder, zero: Any) -> Any:
    return op.Round(zero) if isinstance(zero, ir.Value) and zero.dtype.is_floating_point() else zero  # type: ignore[union-attr]


@ops.op("aten::fake_quantize_per_tensor_affine")
def fake_quantize(op, x, scale, zero_point, quant_min, quant_max):
    scalars = [
        op.Reshape(v, op.const([])) if isinstance(v, ir.Value) and rank(v) else v for v in (scale, zero_point)
    ]
    return fake_quantized(
        op,
        x,
        lambda dtype: make_quantization(op, scalars[0], _rounded_zero_point(op, scalars[1]), dtype),
        quant_min,
        quant_max,
    )


@ops.op("aten::fake_quantize_per_channel_affine")
def fake_quantize_channels(op, x, scale, zero_point, axis, quant_min, quant_max):
    zero = _rounded_zero_point(op, zero_point)
    return fake_quantized(
        op, x, lambda dtype: make_quantization(op, scale, zero, dtype, axis), quant_min, quant_max
    )


@PYTHON.op("aten::dequantize")
def dequantize(op, x):
    if isinstance(x, (list, tuple)):
        return collection_like(op, x, (dequantize(op, v) for v in x))
    return Var(op, op.Identity(x.read(op)))


@PYTHON.op("aten::int_repr")
def int_repr(op, x):
    return Var(op, quantization_of(x).quantize_linear(op, x.read(op)))


@PYTHON.op("aten::is_quantized", "prim::is_quantized")
def is_quantized(op, x):
    return isinstance(x, Var) and x.quantization is not None


@PYTHON.op("aten::q_scale")
def q_scale(op, x):
    return _static_parameters(quantization_of(x))[0]


@PYTHON.op("aten::q_zero_point")
def q_zero_point(op, x):
    return _static_parameters(quantization_of(x))[1]


@PYTHON.op("aten::q_per_channel_scales")
def q_per_channel_scales(op, x):
    return Var(op, cast(op, quantization_of(x).scale, T.DOUBLE))


@PYTHON.op("aten::q_per_channel_zero_points")
def q_per_channel_zero_points(op, x):
    return Var(op, cast(op, quantization_of(x).zero, T.INT64))


@PYTHON.op("aten::q_per_channel_axis")
def q_per_channel_axis(op, x):
    return quantization_of(x).axis
