"""Reshaping, slicing, padding, gathering, filling."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, held, rank_of
from bridge.needs import attribute, condition, constant, dtype, max_rank
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import (
    GATHER_DTYPES,
    INDEX_DTYPES,
    INT64_TYPE,
    ONE_UNKNOWN,
    PADDED_RANK,
    RESHAPE_DTYPES,
    SCATTER_DTYPES,
    TEXT_DTYPES,
    TFLITE,
    axis_of,
    i32,
)

ops = OpTable()

REFLECT = 0

GATHER_INPUT = dtype(*TEXT_DTYPES, *GATHER_DTYPES)
INDEX_INPUT = dtype(*INDEX_DTYPES, index=1)
KNOWN_RANK = condition("a known rank", lambda n: rank_of(n.inputs[0]) is not None)
RANK8 = max_rank(8)
SAME_SHAPE = condition("inputs of one shape", lambda n: n.inputs[0].shape == n.inputs[1].shape)
WHERE_RANK = condition("a rank from 1 to 8", lambda n: 0 < (rank_of(n.inputs[0]) or 0) < 9)

ops.same(
    needs=(dtype(*RESHAPE_DTYPES, index=1), max_rank(8, 0), max_rank(8, 1), max_rank(8, 2)),
    Where="SELECT_V2",
)
ops.same(needs=(dtype("float", *INDEX_DTYPES),), Range="RANGE")
ops.same(domain=TFLITE, needs=(dtype(*TEXT_DTYPES, *RESHAPE_DTYPES),), Reshape="RESHAPE")
ops.same(domain=TFLITE, needs=(GATHER_INPUT, INDEX_INPUT, RANK8), GatherND="GATHER_ND")
ops.same(domain=TFLITE, needs=(dtype(*RESHAPE_DTYPES), RANK8), BroadcastTo="BROADCAST_TO")
ops.same(domain=TFLITE, BroadcastArgs="BROADCAST_ARGS")
ops.same(domain=TFLITE, needs=(dtype("bool"), WHERE_RANK), Where="WHERE")
ops.same(
    domain=TFLITE, needs=(dtype("float", "int8", "int16", "uint8", *INDEX_DTYPES), RANK8), TopK="TOPK_V2"
)
ops.same(
    domain=TFLITE,
    needs=(dtype("float", "int32"),),
    SegmentProd="UNSORTED_SEGMENT_PROD",
    SegmentMax="UNSORTED_SEGMENT_MAX",
    SegmentMin="UNSORTED_SEGMENT_MIN",
)
ops.same(domain=TFLITE, needs=(SAME_SHAPE,), And="STABLEHLO_AND")


@ops.op(
    "Identity",
    needs=(condition("a constant", lambda n: held(n.inputs[0]) is not None), RANK8, dtype(*RESHAPE_DTYPES)),
)
def copied_constant(tfl, node, x):
    tfl.copy(x)


@ops.op(
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Identity",
    needs=(ONE_UNKNOWN, dtype(*TEXT_DTYPES, *RESHAPE_DTYPES)),
)
def reshape(tfl, node, x, *rest):
    tfl.RESHAPE(x, i32([d if isinstance(d, int) else -1 for d in node.outputs[0].shape]))


@ops.op("Identity", "Transpose", needs=(RANK8, dtype(*RESHAPE_DTYPES)))
def transpose(tfl, node, x):
    rank = rank_of(x)
    order = range(rank) if node.op_type == "Identity" else attr(node, "perm") or range(rank)[::-1]
    tfl.TRANSPOSE(x, i32(order))


@ops.op("Squeeze", needs=(constant(1, "axes"), KNOWN_RANK, dtype(*TEXT_DTYPES, *RESHAPE_DTYPES)))
def squeeze(tfl, node, x, axes):
    tfl.SQUEEZE(x, squeeze_dims=[int(a) % rank_of(x) for a in const(axes)])


@ops.op(f"{TFLITE}::ExpandDims", needs=(dtype(*RESHAPE_DTYPES),))
def expand_dims(tfl, node, x):
    tfl.EXPAND_DIMS(x, i32(attr(node, "axis")))


CONCATENATED = ("float", "float16", "bfloat16", "bool", "int8", "int16", "uint8", "uint32", *INDEX_DTYPES)


@ops.op("Concat", needs=(dtype(*CONCATENATED), max_rank(6)))
def concat(tfl, node, *inputs):
    tfl.CONCATENATION(*inputs, axis=axis_of(node))


def has_static_axis(node: ir.Node) -> bool:
    x = node.inputs[0]
    return x.shape is not None and isinstance(x.shape[axis_of(node)], int)


@ops.op(
    "Split",
    needs=(
        constant(1, "split"),
        condition("a static length along axis", has_static_axis),
        dtype("float", "int8", "int16", "uint8", *INDEX_DTYPES),
        RANK8,
    ),
)
def split(tfl, node, x, sizes=None):
    axis = axis_of(node)
    count = len(node.outputs)
    length = x.shape[axis]
    chunk = -(-length // count)
    lengths = const(sizes) if sizes is not None else [*[chunk] * (count - 1), length - chunk * (count - 1)]
    tfl.SPLIT_V(x, i32(lengths), i32(axis), num_splits=count)


@ops.op(f"{TFLITE}::Gather", needs=(GATHER_INPUT, INDEX_INPUT, RANK8))
def gather(tfl, node, x, indices):
    tfl.GATHER(x, indices, axis=axis_of(node))


@ops.op(f"{TFLITE}::ScatterND", needs=(dtype(*SCATTER_DTYPES), dtype("int32", index=1), RANK8))
def scatter_nd(tfl, node, updates, indices, shape):
    tfl.SCATTER_ND(indices, updates, shape)


@ops.op(f"{TFLITE}::StridedSlice", needs=(dtype(*TEXT_DTYPES, *RESHAPE_DTYPES), RANK8))
def strided_slice(tfl, node, x, begin, end, strides):
    tfl.STRIDED_SLICE(
        x, begin, end, strides, begin_mask=attr(node, "begin_mask", 0), end_mask=attr(node, "end_mask", 0)
    )


PADDED = dtype(*GATHER_DTYPES)


WITHOUT_VALUE = condition("no value", lambda n: len(n.inputs) < 3)
ops.same(domain=TFLITE, needs=(PADDED, max_rank(PADDED_RANK), WITHOUT_VALUE), Pad="PAD")
ops.same(domain=TFLITE, needs=(PADDED, max_rank(PADDED_RANK)), Pad="PADV2")


@ops.op(f"{TFLITE}::MirrorPad", needs=(dtype(*RESHAPE_DTYPES), RANK8))
def mirror_pad(tfl, node, x, pads):
    tfl.MIRROR_PAD(x, pads, mode=REFLECT)


@ops.op("Tile", needs=(dtype(*TEXT_DTYPES, *RESHAPE_DTYPES), RANK8))
def tile(tfl, node, x, repeats):
    tfl.TILE(x, i32(const(repeats)) if held(repeats) is not None else repeats)


@ops.op(
    "Shape", needs=(attribute("start", 0), condition("no end", lambda n: attr(n, "end") is None), KNOWN_RANK)
)
def shape(tfl, node, x):
    tfl.SHAPE(x, out_type=INT64_TYPE)


@ops.op(f"{TFLITE}::Fill", needs=(dtype(*TEXT_DTYPES, *RESHAPE_DTYPES),))
def fill(tfl, node, value, shape):
    tfl.FILL(shape, value)


@ops.op("ReverseSequence", needs=(dtype("float", "int16", "uint8", *INDEX_DTYPES), max_rank(8)))
def reverse_sequence(tfl, node, x, lengths):
    tfl.REVERSE_SEQUENCE(x, lengths, seq_dim=attr(node, "time_axis"), batch_dim=attr(node, "batch_axis"))


@ops.op(f"{TFLITE}::Unique", needs=(dtype("float", "int8", "int16", "uint8", *INDEX_DTYPES),))
def unique(tfl, node, x):
    tfl.UNIQUE(x, idx_out_type=INT64_TYPE)


@ops.op(f"{TFLITE}::SpaceToBatch", f"{TFLITE}::BatchToSpace")
def blocks(tfl, node, x):
    """Paddings and crops are zero."""
    block = i32(attr(node, "block"))
    operator = "SPACE_TO_BATCH_ND" if node.op_type == "SpaceToBatch" else "BATCH_TO_SPACE_ND"
    tfl.add(operator, x, block, np.zeros((len(block), 2), np.int32))
