"""Convolutions, pooling, normalization, products."""

from __future__ import annotations

from bridge.hub import const, rank_of, shape_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_openvino.document import Layer
from bridge_openvino.import_ops.common import constant, flag, integer, is_, known, listed, number
from bridge_openvino.names import AUTO_PAD, SAMPLED, backwards

ops = OpTable()


def window(layer: Layer) -> dict:
    """Strides, dilations and pads as ONNX's attributes."""
    auto = backwards(AUTO_PAD)[layer.data.get("auto_pad", "explicit").lower()]
    pads = listed(layer, "pads_begin") + listed(layer, "pads_end")
    found = {"strides": listed(layer, "strides"), "dilations": listed(layer, "dilations"), "auto_pad": auto}
    return {k: v for k, v in (found | {"pads": pads if auto == "NOTSET" else []}).items() if v}


STATIC = condition("weights of static shape", lambda n: None not in (n.inputs[1].dims or (None,)))


@ops.op("Convolution")
def convolution(op, layer, x, weights):
    return op.Conv(x, weights, **window(layer))


@ops.op("GroupConvolution", needs=(STATIC,))
def grouped(op, layer, x, weights):
    groups, outputs, *rest = shape_of(weights) or layer.inputs[1].dims
    return op.Conv(x, op.Reshape(weights, [groups * outputs, *rest]), group=groups, **window(layer))


SHAPELESS = condition("no output shape", lambda n: len(n.inputs) == 2)
EXPLICIT = is_("auto_pad", "explicit", "valid")


@ops.op("ConvolutionBackpropData", needs=(SHAPELESS, EXPLICIT))
def transposed(op, layer, x, weights):
    return op.ConvTranspose(
        x, weights, output_padding=listed(layer, "output_padding") or None, **window(layer)
    )


@ops.op("GroupConvolutionBackpropData", needs=(SHAPELESS, EXPLICIT, STATIC))
def transposed_groups(op, layer, x, weights):
    groups, inputs, *rest = shape_of(weights) or layer.inputs[1].dims
    extra = listed(layer, "output_padding") or None
    weights = op.Reshape(weights, [groups * inputs, *rest])
    return op.ConvTranspose(x, weights, group=groups, output_padding=extra, **window(layer))


FLOORED = is_("rounding_type", "floor")


@ops.op("MaxPool", needs=(FLOORED,))
def max_pool(op, layer, x):
    return op.MaxPool(x, kernel_shape=listed(layer, "kernel"), **window(layer)), None


@ops.op("AvgPool", needs=(FLOORED,))
def average_pool(op, layer, x):
    counted = int(not flag(layer, "exclude-pad"))
    return op.AveragePool(x, kernel_shape=listed(layer, "kernel"), count_include_pad=counted, **window(layer))


@ops.op("MatMul")
def matmul(op, layer, a, b):
    if flag(layer, "transpose_a"):
        a = turned(op, a)
    if flag(layer, "transpose_b"):
        b = turned(op, b)
    return op.MatMul(a, b)


def turned(op, x):
    """The last two dimensions exchanged; a vector stays."""
    rank = rank_of(x)
    return x if rank < 2 else op.Transpose(x, perm=[*range(rank - 2), rank - 1, rank - 2])


CHANNELS = condition(
    "the channels alone", lambda n: known(n, 1) is not None and known(n, 1).ravel().tolist() == [1]
)


@ops.op("LRN", needs=(CHANNELS,))
def local_response(op, layer, x, axes):
    wanted = {name: number(layer, name, 1.0) for name in ("alpha", "beta", "bias")}
    return op.LRN(x, size=integer(layer, "size"), **wanted)


@ops.op("BatchNormInference", needs=(condition("version opset5", lambda n: n.version == "opset5"),))
def batch_norm(op, layer, x, gamma, beta, mean, variance):
    return op.BatchNormalization(x, gamma, beta, mean, variance, epsilon=number(layer, "epsilon", 1e-5))


@ops.op("MVN", needs=(condition("axes", lambda n: len(n.inputs) == 2),))
def mean_variance(op, layer, x, axes):
    centred = op.Sub(x, op.ReduceMean(x, axes))
    if not flag(layer, "normalize_variance"):
        return centred
    variance, eps = op.ReduceMean(op.Mul(centred, centred), axes), number(layer, "eps", 0.0)
    if layer.data.get("eps_mode", "").lower() == "inside_sqrt":
        return op.Div(centred, op.Sqrt(op.Add(variance, eps)))
    return op.Div(centred, op.Add(op.Sqrt(variance), eps))


@ops.op("NormalizeL2", needs=(constant(1, "axes"), is_("eps_mode", "add", "max")))
def normalize(op, layer, x, axes):
    total, eps = op.ReduceSum(op.Mul(x, x), axes), number(layer, "eps", 0.0)
    if const(axes).size == 0:
        total = op.Mul(x, x)
    total = (
        op.Add(total, eps)
        if layer.data["eps_mode"].lower() == "add"
        else op.Max(total, op.const(eps, x.dtype))
    )
    return op.Div(x, op.Sqrt(total))


@ops.op("GridSample")
def grid_sample(op, layer, x, grid):
    mode = backwards(SAMPLED)[layer.data.get("mode", "bilinear").lower()]
    border = layer.data.get("padding_mode", "zeros").lower()
    return op.GridSample(
        x, grid, mode=mode, padding_mode=border, align_corners=int(flag(layer, "align_corners"))
    )
