"""Moving, choosing and making elements."""

from __future__ import annotations

import onnx_ir as ir

from bridge.hub import attr, const, rank_of, shape_of
from bridge.needs import attribute, condition, constant, dtype, max_rank
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import (
    BYTES,
    COMMON,
    EVERY,
    INDEX,
    PADDED_RANK,
    TEXT,
    TFLITE,
    axis_of,
    i32,
)

ops = OpTable()

GATHERED = dtype(*TEXT, *COMMON)
AT = dtype(*INDEX, index=1)
KNOWN_RANK = condition("a known rank", lambda n: rank_of(n.inputs[0]) is not None)
RANK8 = max_rank(8)
SAME_SHAPE = condition("inputs of one shape", lambda n: n.inputs[0].shape == n.inputs[1].shape)
TRUE_PLACES = condition("a rank from 1 to 8", lambda n: 0 < (rank_of(n.inputs[0]) or 0) < 9)

ops.same(
    needs=(dtype(*EVERY, index=1), max_rank(8, 0), max_rank(8, 1), max_rank(8, 2)),
    Where="SELECT_V2",
)
ops.same(needs=(dtype("float", *INDEX),), Range="RANGE")
ops.same(domain=TFLITE, needs=(dtype(*TEXT, *EVERY),), Reshape="RESHAPE")
ops.same(domain=TFLITE, needs=(GATHERED, AT, RANK8), GatherND="GATHER_ND")
ops.same(domain=TFLITE, needs=(dtype(*EVERY), RANK8), BroadcastTo="BROADCAST_TO")
ops.same(domain=TFLITE, BroadcastArgs="BROADCAST_ARGS")
ops.same(domain=TFLITE, needs=(dtype("bool"), TRUE_PLACES), Where="WHERE")
ops.same(domain=TFLITE, needs=(dtype("float", "int8", "int16", "uint8", *INDEX), RANK8), TopK="TOPK_V2")
ops.same(
    domain=TFLITE,
    needs=(dtype("float", "int32"),),
    SegmentProd="UNSORTED_SEGMENT_PROD",
    SegmentMax="UNSORTED_SEGMENT_MAX",
    SegmentMin="UNSORTED_SEGMENT_MIN",
)
ops.same(domain=TFLITE, needs=(SAME_SHAPE,), And="STABLEHLO_AND")


def one_unknown(node: ir.Node) -> bool:
    shape = node.outputs[0].shape
    return shape is not None and sum(not isinstance(d, int) for d in shape) <= 1 and 0 not in list(shape)


def is_static(node: ir.Node) -> bool:
    return shape_of(node.outputs[0]) is not None


@ops.op(
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Identity",
    needs=(
        condition("at most one dynamic dimension in the result", lambda n: is_static(n) or one_unknown(n)),
        dtype(*TEXT, *EVERY),
    ),
)
def reshape(tfl, node, x, *rest):
    tfl.RESHAPE(x, i32([d if isinstance(d, int) else -1 for d in node.outputs[0].shape]))


@ops.op("Identity", "Transpose", needs=(RANK8, dtype(*EVERY)))
def transpose(tfl, node, x):
    rank = rank_of(x)
    order = range(rank) if node.op_type == "Identity" else attr(node, "perm") or range(rank)[::-1]
    tfl.TRANSPOSE(x, i32(order))


@ops.op("Squeeze", needs=(constant(1, "axes"), KNOWN_RANK, dtype(*TEXT, *EVERY)))
def squeeze(tfl, node, x, axes):
    tfl.SQUEEZE(x, squeeze_dims=[int(a) % rank_of(x) for a in const(axes)])


@ops.op(f"{TFLITE}::ExpandDims", needs=(dtype(*EVERY),))
def expand_dims(tfl, node, x):
    tfl.EXPAND_DIMS(x, i32(attr(node, "axis")))


CONCATENATED = ("float", "float16", "bfloat16", "bool", "int8", "int16", "uint8", "uint32", *INDEX)


@ops.op("Concat", needs=(dtype(*CONCATENATED), max_rank(6)))
def concat(tfl, node, *inputs):
    tfl.CONCATENATION(*inputs, axis=axis_of(node))


def static_axis(node: ir.Node) -> bool:
    x = node.inputs[0]
    return x.shape is not None and isinstance(x.shape[axis_of(node)], int)


@ops.op(
    "Split",
    needs=(
        constant(1, "split"),
        condition("a static length along axis", static_axis),
        dtype("float", "int8", "int16", "uint8", *INDEX),
        RANK8,
    ),
)
def split(tfl, node, x, sizes=None):
    axis = axis_of(node)
    count = len(node.outputs)
    length = x.shape[axis]
    each = -(-length // count)
    lengths = const(sizes) if sizes is not None else [*[each] * (count - 1), length - each * (count - 1)]
    tfl.SPLIT_V(x, i32(lengths), i32(axis), num_splits=count)


@ops.op(f"{TFLITE}::Gather", needs=(GATHERED, AT, RANK8))
def gather(tfl, node, x, indices):
    tfl.GATHER(x, indices, axis=axis_of(node))


@ops.op(f"{TFLITE}::ScatterND", needs=(dtype(*BYTES), dtype("int32", index=1), RANK8))
def scatter_nd(tfl, node, updates, indices, shape):
    tfl.SCATTER_ND(indices, updates, shape)


@ops.op(f"{TFLITE}::StridedSlice", needs=(dtype(*TEXT, *EVERY), RANK8))
def strided_slice(tfl, node, x, begin, end, strides):
    tfl.STRIDED_SLICE(
        x, begin, end, strides, begin_mask=attr(node, "begin_mask", 0), end_mask=attr(node, "end_mask", 0)
    )


PADDED = dtype(*COMMON)


WITHOUT_VALUE = condition("no value", lambda n: len(n.inputs) < 3)
ops.same(domain=TFLITE, needs=(PADDED, max_rank(PADDED_RANK), WITHOUT_VALUE), Pad="PAD")
ops.same(domain=TFLITE, needs=(PADDED, max_rank(PADDED_RANK)), Pad="PADV2")


@ops.op(f"{TFLITE}::MirrorPad", needs=(dtype(*EVERY), RANK8))
def mirror_pad(tfl, node, x, pads):
    tfl.MIRROR_PAD(x, pads, mode=0)


@ops.op("Tile", needs=(dtype(*TEXT, *EVERY), RANK8))
def tile(tfl, node, x, repeats):
    tfl.TILE(x, i32(const(repeats)) if const(repeats) is not None else repeats)


@ops.op(
    "Shape", needs=(attribute("start", 0), condition("no end", lambda n: attr(n, "end") is None), KNOWN_RANK)
)
def shape(tfl, node, x):
    tfl.SHAPE(x, out_type=4)


@ops.op(f"{TFLITE}::Fill", needs=(dtype(*TEXT, *EVERY),))
def fill(tfl, node, value, shape):
    tfl.FILL(shape, value)


@ops.op("ReverseSequence", needs=(dtype("float", "int16", "uint8", *INDEX), max_rank(8)))
def reverse_sequence(tfl, node, x, lengths):
    tfl.REVERSE_SEQUENCE(x, lengths, seq_dim=attr(node, "time_axis"), batch_dim=attr(node, "batch_axis"))


@ops.op(f"{TFLITE}::Unique", needs=(dtype("float", "int8", "int16", "uint8", *INDEX),))
def unique(tfl, node, x):
    tfl.UNIQUE(x, idx_out_type=4)


@ops.op(f"{TFLITE}::RandomUniform")
def random_uniform(tfl, node, shape):
    tfl.RANDOM_UNIFORM(shape, seed=attr(node, "seed", 0), seed2=0)


@ops.op(f"{TFLITE}::RandomNormal")
def random_normal(tfl, node, shape):
    tfl.RANDOM_STANDARD_NORMAL(shape, seed=attr(node, "seed", 0), seed2=0)
