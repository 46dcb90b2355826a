"""Hub → operators that TFLite has: the list of passes. The tables of rewrites are in the modules of each
family."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge import hub
from bridge.ops import OpTable
from bridge.passes.batch_norm import FoldBatchNormalization
from bridge.passes.channels_last import ChannelsLast
from bridge.passes.decompose import Decompose
from bridge.passes.decompose import quantize as integers
from bridge.passes.fold import FoldConstants
from bridge.passes.gelu import RaiseGelu
from bridge.passes.half_weights import HalfWeights
from bridge.passes.pads import JoinPads
from bridge.passes.reshapes import MergeReshapes
from bridge.passes.rewrite import Rewrite
from bridge.passes.sequences import ResolveSequences
from bridge.passes.transposes import SinkTransposes
from bridge.passes.widen import ComputeWider
from bridge_tflite import export_ops
from bridge_tflite.legalize import image, layout, quantize, tensor
from bridge_tflite.legalize.bodies import Legalise
from bridge_tflite.legalize.layout import NativeLayout
from bridge_tflite.legalize.nn import FuseActivations
from bridge_tflite.legalize.quantize_integer import IntegerKernels

ops = OpTable.of(__name__)


def passes(options: dict[str, Any]) -> list[ir.passes.PassBase]:
    """Passes in order: sequences as tensors, products of integers spelled out, quantized weights kept as
    integers, patterns fused, dtypes widened, missing operators decomposed, channels last, rewrites into
    TFLite's own operators, activations fused, integer kernels."""
    boundary = [NativeLayout()] if options["layout"] == "native" else []
    rounded = [HalfWeights()] if options["precision"] == "float16" else []
    return [
        ResolveSequences(),
        Rewrite(integers.ops, keep=lambda node: node.op_type not in quantize.INTEGER_PRODUCTS),
        quantize.QuantizedWeights(),
        FoldBatchNormalization(),
        JoinPads(),
        RaiseGelu(),
        ComputeWider(takes, moves),
        Decompose(takes),
        FoldConstants(),
        ChannelsLast(layout.has_image_kernel),
        Legalise(image.images),
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
    """True if `node` can be written directly, as a channels-last kernel, or through a rewrite."""
    name = hub.qualified(node)
    if quantize.is_marked(node):
        return True
    tables = (export_ops.ops, image.images, ops)
    return layout.has_image_kernel(node) or any(table.find(name, node) is not None for table in tables)


def moves(node: ir.Node) -> bool:
    """True for a data-moving operator on a dtype that its kernel moves."""
    value = (
        node.inputs[0]
        if node.inputs and node.op_type != "Where"
        else node.inputs[1]
        if len(node.inputs) > 1
        else None
    )
    dtypes = tensor.MOVED_DTYPES.get(node.op_type)
    return (
        dtypes is not None
        and value is not None
        and value.dtype is not None
        and value.dtype.name.lower() in dtypes
    )
