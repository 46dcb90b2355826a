"""Hub operators → TFLite builtins."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, rank_of, shape_of
from bridge.needs import attribute, condition, constant, dtype, max_rank, unused_output
from bridge.ops import Need, OpTable

ops = OpTable("TFLite export")

FLOAT = dtype("float")
ARITHMETIC = dtype("float", "int32", "int64")
NUMBERS = dtype("float", "int32", "int64")
ACTIVATION = {"": 0, "Relu": 1, "Relu6": 3}
FUSED = "bridge.activation"
NO_ACTIVATION = 0
SAME, VALID = 0, 1


def i32(values) -> np.ndarray:
    return np.asarray(values, np.int32)


def fused(node: ir.Node) -> int:
    """The activation a legalisation folded into `node`, as the schema numbers it."""
    return ACTIVATION[node.metadata_props.get(FUSED, "")]


def broadcast_rank(limit: int) -> Need:
    """Inputs of equal static shape, or of at most `limit` dimensions."""

    def holds(node: ir.Node) -> bool:
        shapes = [shape_of(v) for v in node.inputs]
        equal = None not in shapes and all(s == shapes[0] for s in shapes)
        return equal or all((rank_of(v) if rank_of(v) is not None else 99) <= limit for v in node.inputs)

    return Need(f"inputs of one shape, or of rank {limit} at most", holds)


ops.same(
    needs=(FLOAT,),
    Exp="EXP",
    Log="LOG",
    Sqrt="SQRT",
    Sin="SIN",
    Cos="COS",
    Floor="FLOOR",
    Ceil="CEIL",
    Round="ROUND",
)
ops.same(needs=(FLOAT,), Tanh="TANH", Sigmoid="LOGISTIC", HardSwish="HARD_SWISH", Relu="RELU")
ops.same(needs=(dtype("float", "int32"),), Abs="ABS", Sign="SIGN")
ops.same(needs=(ARITHMETIC,), Neg="NEG")
ops.same(Not="LOGICAL_NOT")
ops.same(needs=(broadcast_rank(4),), And="LOGICAL_AND", Or="LOGICAL_OR")
ops.same(
    needs=(NUMBERS, broadcast_rank(4)),
    Greater="GREATER",
    GreaterOrEqual="GREATER_EQUAL",
    Less="LESS",
    LessOrEqual="LESS_EQUAL",
)
ops.same(needs=(dtype("float", "int32", "int64", "bool"), broadcast_rank(4)), Equal="EQUAL")


@ops.op("bridge.tflite::Relu6", needs=(FLOAT,))
def relu6(tfl, node, x):
    tfl.RELU6(x)


def arithmetic(hub_name: str, native: str, kinds: Need) -> None:
    """Register an operator of two inputs that a fused activation may follow."""

    @ops.op(hub_name, needs=(kinds, broadcast_rank(5)))
    def binary(tfl, node, x, y):
        tfl.add(native, x, y, fused_activation_function=fused(node))


arithmetic("Add", "ADD", ARITHMETIC)
arithmetic("Sub", "SUB", ARITHMETIC)
arithmetic("Mul", "MUL", ARITHMETIC)
arithmetic("Div", "DIV", FLOAT)


@ops.op("Pow", needs=(FLOAT, dtype("float", index=1), broadcast_rank(4)))
def power(tfl, node, x, y):
    tfl.POW(x, y)


def two_inputs(node: ir.Node) -> bool:
    return len(node.inputs) == 2


@ops.op("Max", needs=(NUMBERS, broadcast_rank(4), condition("two inputs", two_inputs)))
def maximum(tfl, node, x, y):
    tfl.MAXIMUM(x, y)


@ops.op("Min", needs=(NUMBERS, broadcast_rank(4), condition("two inputs", two_inputs)))
def minimum(tfl, node, x, y):
    tfl.MINIMUM(x, y)


@ops.op("LeakyRelu", needs=(FLOAT,))
def leaky_relu(tfl, node, x):
    tfl.LEAKY_RELU(x, alpha=attr(node, "alpha", 0.01))


@ops.op("Elu", needs=(FLOAT, attribute("alpha", 1.0)))
def elu(tfl, node, x):
    tfl.ELU(x)


@ops.op("Gelu", needs=(FLOAT,))
def gelu(tfl, node, x):
    tfl.GELU(x, approximate=attr(node, "approximate", "none") == "tanh")


def last_axis(node: ir.Node) -> bool:
    rank = rank_of(node.inputs[0])
    return rank is not None and rank > 0 and attr(node, "axis", -1) % rank == rank - 1


@ops.op("Softmax", needs=(FLOAT, max_rank(4), condition("the last axis", last_axis)))
def softmax(tfl, node, x):
    tfl.SOFTMAX(x, beta=1.0)


@ops.op("LogSoftmax", needs=(FLOAT, max_rank(4), condition("the last axis", last_axis)))
def log_softmax(tfl, node, x):
    tfl.LOG_SOFTMAX(x)


CASTABLE = dtype("float", "int32", "int64", "bool", "uint8", "int8", "int16")


def castable_target(node: ir.Node) -> bool:
    return attr(node, "to") in (1, 2, 3, 5, 6, 7, 9)


def exact_cast(node: ir.Node) -> bool:
    """Casts to bool of fractions, and narrowing of floats, are not what every kernel does as ONNX says."""
    kinds = (node.inputs[0].dtype, attr(node, "to"))
    return not (kinds[0] == ir.DataType.FLOAT and kinds[1] in (2, 3, 5))


@ops.op(
    "Cast",
    needs=(
        CASTABLE,
        condition("a target dtype LiteRT has", castable_target),
        condition("no cast of floats to 8 or 16 bits", exact_cast),
    ),
)
def cast(tfl, node, x):
    tfl.CAST(x)


def one_unknown(node: ir.Node) -> bool:
    shape = node.outputs[0].shape
    return shape is not None and sum(not isinstance(d, int) for d in shape) <= 1 and 0 not in list(shape)


@ops.op(
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    needs=(condition("at most one dynamic dimension in the result", one_unknown),),
)
def reshape(tfl, node, x, *rest):
    tfl.RESHAPE(x, i32([d if isinstance(d, int) else -1 for d in node.outputs[0].shape]))


@ops.op("Identity")
def identity(tfl, node, x):
    rank = rank_of(x) or 0
    tfl.RESHAPE(x, i32([d if isinstance(d, int) else -1 for d in x.shape])) if one_unknown(
        node
    ) else tfl.TRANSPOSE(x, i32(range(rank)))


@ops.op("Transpose", needs=(max_rank(6), dtype("float", "int32", "int64", "int8", "uint8", "int16", "bool")))
def transpose(tfl, node, x):
    tfl.TRANSPOSE(x, i32(attr(node, "perm") or range(rank_of(x))[::-1]))


@ops.op("Concat", needs=(dtype("float", "int32", "int64", "int8", "uint8", "int16", "bool"),))
def concat(tfl, node, *inputs):
    tfl.CONCATENATION(*inputs, axis=attr(node, "axis") % rank_of(inputs[0]))


def static_axis(node: ir.Node) -> bool:
    x = node.inputs[0]
    return x.shape is not None and isinstance(x.shape[attr(node, "axis", 0)], int)


@ops.op("Split", needs=(constant(1, "split"), condition("a static length along axis", static_axis), NUMBERS))
def split(tfl, node, x, sizes=None):
    axis = attr(node, "axis", 0) % rank_of(x)
    count = len(node.outputs)
    length = x.shape[axis]
    each = -(-length // count)
    lengths = const(sizes) if sizes is not None else [*[each] * (count - 1), length - each * (count - 1)]
    tfl.SPLIT_V(x, i32(lengths), i32(axis), num_splits=count)


GATHERABLE = dtype("float", "int32", "int64", "int8", "uint8", "int16", "bool")


@ops.op("bridge.tflite::Gather", needs=(GATHERABLE, dtype("int32", "int64", index=1)))
def gather(tfl, node, x, indices):
    tfl.GATHER(x, indices, axis=attr(node, "axis", 0) % rank_of(x))


@ops.op("bridge.tflite::StridedSlice", needs=(max_rank(5),))
def strided_slice(tfl, node, x, begin, end, strides):
    tfl.STRIDED_SLICE(
        x,
        i32(const(begin)),
        i32(const(end)),
        i32(const(strides)),
        begin_mask=attr(node, "begin_mask"),
        end_mask=attr(node, "end_mask"),
    )


@ops.op("bridge.tflite::Pad", needs=(dtype("float", "int32", "int64"), max_rank(5)))
def pad(tfl, node, x, pads, value=None):
    table = i32(const(pads)).reshape(2, -1).T.copy()
    if value is None:
        tfl.PAD(x, table)
    else:
        tfl.PADV2(x, table, value)


@ops.op("bridge.tflite::MirrorPad", needs=(dtype("float", "int32", "int64"), max_rank(5)))
def mirror_pad(tfl, node, x, pads):
    tfl.MIRROR_PAD(x, i32(const(pads)).reshape(2, -1).T.copy(), mode=0)


@ops.op(
    "Expand",
    needs=(condition("a static result", lambda n: shape_of(n.outputs[0]) is not None), max_rank(6), NUMBERS),
)
def expand(tfl, node, x, shape):
    tfl.BROADCAST_TO(x, i32(shape_of(node.outputs[0])))


@ops.op("Tile", needs=(constant(1, "repeats"), dtype("float", "int32", "int64", "uint8", "bool")))
def tile(tfl, node, x, repeats):
    tfl.TILE(x, i32(const(repeats)))


@ops.op(
    "Where",
    needs=(dtype("float", "int32", "int64", "int16", "int8", "uint8", "bool", index=1), broadcast_rank(4)),
)
def where(tfl, node, condition, x, y):
    tfl.SELECT_V2(condition, x, y)


@ops.op("Shape", needs=(attribute("start", 0), condition("no end", lambda n: attr(n, "end") is None)))
def shape(tfl, node, x):
    tfl.SHAPE(x, out_type=4)


def reduced_axes(node: ir.Node) -> np.ndarray:
    axes = const(node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] is not None else None
    rank = rank_of(node.inputs[0])
    return i32(range(rank) if axes is None or axes.size == 0 else sorted(int(a) % rank for a in axes))


def really_reduces(node: ir.Node) -> bool:
    shape = shape_of(node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] is not None else None
    return not attr(node, "noop_with_empty_axes", 0) or (shape is not None and shape[0] > 0)


def not_empty(node: ir.Node) -> bool:
    return 0 not in (shape_of(node.inputs[0]) or [])


def int32_axes(node: ir.Node) -> bool:
    axes = node.inputs[1] if len(node.inputs) > 1 else None
    shape = shape_of(axes)
    return axes is not None and axes.dtype == ir.DataType.INT32 and shape is not None and shape[0] > 0


REDUCES = (
    condition("axes", really_reduces),
    condition("a non-empty input", not_empty),
    max_rank(4),
    condition("a known rank of 1 or more", lambda n: (rank_of(n.inputs[0]) or 0) > 0),
)


def reduction(hub_name: str, native: str, *dtypes: str) -> None:
    """Register a reduction."""

    @ops.op(hub_name, needs=(*REDUCES, constant(1, "axes"), dtype(*dtypes)))
    def reduce(tfl, node, x, axes=None):
        tfl.add(native, x, reduced_axes(node), keep_dims=bool(attr(node, "keepdims", 1)))

    @ops.op(
        hub_name, needs=(*REDUCES, condition("axes that are int32 and not empty", int32_axes), dtype(*dtypes))
    )
    def reduce_over_runtime_axes(tfl, node, x, axes):
        tfl.add(native, x, axes, keep_dims=bool(attr(node, "keepdims", 1)))


reduction("ReduceMean", "MEAN", "float")
reduction("ReduceSum", "SUM", "float", "int32", "int64")
reduction("ReduceProd", "REDUCE_PROD", "float", "int32", "int64")
reduction("ReduceMax", "REDUCE_MAX", "float", "int32", "int64")
reduction("ReduceMin", "REDUCE_MIN", "float", "int32", "int64")


@ops.op(
    "MatMul",
    needs=(
        FLOAT,
        max_rank(5),
        max_rank(5, index=1),
        condition("two operands of rank 2 or more", lambda n: min(rank_of(v) or 0 for v in n.inputs) >= 2),
        condition("non-empty operands", lambda n: all(0 not in (shape_of(v) or []) for v in n.inputs)),
    ),
)
def matmul(tfl, node, x, y):
    tfl.BATCH_MATMUL(x, y)


@ops.op("bridge.tflite::FullyConnected", needs=(FLOAT,))
def fully_connected(tfl, node, x, weights, bias=None):
    tfl.FULLY_CONNECTED(x, weights, bias, keep_num_dims=True, fused_activation_function=fused(node))


def spatial(node: ir.Node, name: str, default: int) -> list[int]:
    return attr(node, name) or [default] * 2


def explicit(node: ir.Node) -> bool:
    return node.metadata_props.get("bridge.padding") in ("SAME", "VALID")


PADDED = condition("padding LiteRT can express", explicit)
IMAGE = condition("two spatial dimensions", lambda n: rank_of(n.inputs[0]) == 4)


def padding(node: ir.Node) -> int:
    return SAME if node.metadata_props["bridge.padding"] == "SAME" else VALID


@ops.op("bridge.nhwc::Conv", needs=(FLOAT, IMAGE, PADDED, constant(1, "weights")))
def conv(tfl, node, x, weights, bias=None):
    kernel = const(weights)
    strides, dilations = spatial(node, "strides", 1), spatial(node, "dilations", 1)
    common = {
        "padding": padding(node),
        "stride_h": strides[0],
        "stride_w": strides[1],
        "dilation_h_factor": dilations[0],
        "dilation_w_factor": dilations[1],
        "fused_activation_function": fused(node),
    }
    group = attr(node, "group", 1)
    if bias is None:
        bias = np.zeros(kernel.shape[0], np.float32)
    if group > 1 and kernel.shape[1] == 1 and group == x.shape[3]:
        turned = np.ascontiguousarray(kernel.transpose(1, 2, 3, 0))
        tfl.DEPTHWISE_CONV_2D(x, turned, bias, depth_multiplier=kernel.shape[0] // group, **common)
    else:
        tfl.CONV_2D(x, np.ascontiguousarray(kernel.transpose(0, 2, 3, 1)), bias, **common)


def pool(tfl, node, x, operator):
    strides, kernel = spatial(node, "strides", 1), attr(node, "kernel_shape")
    tfl.add(
        operator,
        x,
        padding=padding(node),
        stride_h=strides[0],
        stride_w=strides[1],
        filter_height=kernel[0],
        filter_width=kernel[1],
        fused_activation_function=NO_ACTIVATION,
    )


UNDILATED = condition("dilations of 1", lambda n: set(attr(n, "dilations") or [1]) == {1})


@ops.op("bridge.nhwc::MaxPool", needs=(FLOAT, IMAGE, PADDED, UNDILATED, unused_output(1, "Indices")))
def max_pool(tfl, node, x):
    pool(tfl, node, x, "MAX_POOL_2D")


@ops.op("bridge.nhwc::AveragePool", needs=(FLOAT, IMAGE, PADDED, UNDILATED))
def average_pool(tfl, node, x):
    pool(tfl, node, x, "AVERAGE_POOL_2D")


@ops.op("bridge.nhwc::SpaceToDepth", needs=(FLOAT, IMAGE, attribute("mode", "DCR")))
def space_to_depth(tfl, node, x):
    tfl.SPACE_TO_DEPTH(x, block_size=attr(node, "blocksize"))


@ops.op("bridge.nhwc::DepthToSpace", needs=(FLOAT, IMAGE, attribute("mode", "DCR")))
def depth_to_space(tfl, node, x):
    tfl.DEPTH_TO_SPACE(x, block_size=attr(node, "blocksize"))


def image_resize(node: ir.Node) -> bool:
    x, y = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    return x is not None and y is not None and len(x) == 4 and x[0] == y[0] and x[3] == y[3]


def exact_scales(node: ir.Node) -> bool:
    """LiteRT divides lengths; ONNX uses the scales given."""
    given = len(node.inputs) > 2 and node.inputs[2] is not None
    scales = const(node.inputs[2]) if given else None
    if given and scales is None:
        return False
    if scales is None:
        return attr(node, "keep_aspect_ratio_policy", "stretch") == "stretch"
    x, y = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    if x is None or y is None:
        return False
    axes = attr(node, "axes") or range(len(scales))
    return all(math.isclose(y[a] / x[a], s, rel_tol=1e-6) for a, s in zip(axes, scales, strict=True))


def bilinear(node: ir.Node) -> bool:
    mode = attr(node, "coordinate_transformation_mode", "half_pixel")
    return attr(node, "mode", "nearest") == "linear" and mode in ("half_pixel", "asymmetric", "align_corners")


def nearest(node: ir.Node) -> bool:
    mode = attr(node, "coordinate_transformation_mode", "half_pixel")
    return (
        attr(node, "mode", "nearest") == "nearest"
        and mode == "asymmetric"
        and attr(node, "nearest_mode", "") == "floor"
    )


RESIZES = (
    FLOAT,
    condition("a static NHWC image", image_resize),
    condition("scales that divide the lengths", exact_scales),
    attribute("antialias", 0),
    attribute("exclude_outside", 0),
)


@ops.op(
    "Resize", needs=(*RESIZES, condition("mode linear by half_pixel, asymmetric or align_corners", bilinear))
)
def resize_bilinear(tfl, node, x, *rest):
    mode = attr(node, "coordinate_transformation_mode", "half_pixel")
    size = i32(shape_of(node.outputs[0])[1:3])
    tfl.RESIZE_BILINEAR(
        x, size, align_corners=mode == "align_corners", half_pixel_centers=mode == "half_pixel"
    )


@ops.op("Resize", needs=(*RESIZES, condition("mode nearest by asymmetric and floor", nearest)))
def resize_nearest(tfl, node, x, *rest):
    tfl.RESIZE_NEAREST_NEIGHBOR(x, i32(shape_of(node.outputs[0])[1:3]))


@ops.op(
    "ArgMax",
    "ArgMin",
    needs=(
        dtype("float", "int32", "int8", "uint8"),
        attribute("select_last_index", 0),
        attribute("keepdims", 0),
        max_rank(8),
    ),
)
def arg_max(tfl, node, x):
    tfl.add(
        "ARG_MAX" if node.op_type == "ArgMax" else "ARG_MIN",
        x,
        i32(attr(node, "axis", 0) % rank_of(x)),
        output_type=4,
    )


@ops.op("CumSum", needs=(ARITHMETIC, constant(1, "axis")))
def cum_sum(tfl, node, x, axis):
    tfl.CUMSUM(
        x,
        i32(const(axis)).reshape(()),
        exclusive=bool(attr(node, "exclusive", 0)),
        reverse=bool(attr(node, "reverse", 0)),
    )


@ops.op(
    "bridge.tflite::GatherND", needs=(dtype("float", "int32", "int64", "uint8", "int8", "int16", "bool"),)
)
def gather_nd(tfl, node, x, indices):
    tfl.GATHER_ND(x, indices)
