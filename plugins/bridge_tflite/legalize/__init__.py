"""Hub → what TFLite holds: the visible list of passes. The tables of rewrites lie beside, by family."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge import hub
from bridge.ops import OpTable
from bridge.passes.batch_norm import FoldBatchNormalization
from bridge.passes.channels_last import ChannelsLast
from bridge.passes.decompose import Decompose
from bridge.passes.fold import FoldConstants
from bridge.passes.gelu import RaiseGelu
from bridge.passes.half_weights import HalfWeights
from bridge.passes.pads import JoinPads
from bridge.passes.reshapes import MergeReshapes
from bridge.passes.sequences import ResolveSequences
from bridge.passes.transposes import SinkTransposes
from bridge.passes.widen import ComputeWider
from bridge_tflite import export_ops
from bridge_tflite.legalize import nn, quantize, tensor
from bridge_tflite.legalize.bodies import Legalise
from bridge_tflite.legalize.integer import IntegerKernels
from bridge_tflite.legalize.layout import NativeLayout
from bridge_tflite.legalize.nn import FuseActivations

ops = OpTable.of(__name__)


def passes(options: dict[str, Any]) -> list[ir.passes.PassBase]:
    """In order: sequences as tensors; quantized weights as they are; patterns raised while whole; dtypes LiteRT
    computes; operators it lacks; channels last; what has a TFLite form of its own; fusing; integer kernels."""
    boundary = [NativeLayout()] if options["layout"] == "native" else []
    rounded = [HalfWeights()] if options["weights"] == "float16" else []
    return [
        ResolveSequences(),
        quantize.QuantizedWeights(),
        FoldBatchNormalization(),
        JoinPads(),
        RaiseGelu(),
        ComputeWider(takes, moves),
        Decompose(takes),
        FoldConstants(),
        ChannelsLast(nn.as_image),
        Legalise(nn.images),
        SinkTransposes(),
        *boundary,
        SinkTransposes(),
        MergeReshapes(),
        Legalise(ops),
        SinkTransposes(),
        FoldConstants(),
        FuseActivations(),
        IntegerKernels(),
        *rounded,
    ]


def takes(node: ir.Node) -> bool:
    """As it is, as an image, or through a rewrite of its own."""
    name = hub.qualified(node)
    if quantize.kept(node):
        return True
    tables = (export_ops.ops, nn.images, ops)
    return nn.as_image(node) or any(table.find(name, node) is not None for table in tables)


def moves(node: ir.Node) -> bool:
    """Operators that only move elements, of a dtype their kernel moves."""
    value = (
        node.inputs[0]
        if node.inputs and node.op_type != "Where"
        else node.inputs[1]
        if len(node.inputs) > 1
        else None
    )
    kinds = tensor.MOVED.get(node.op_type)
    return (
        kinds is not None
        and value is not None
        and value.dtype is not None
        and value.dtype.name.lower() in kinds
    )
