"""Hub → what TensorFlow holds: the visible list of passes."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge import hub
from bridge.passes.batch_norm import FoldBatchNormalization
from bridge.passes.channels_last import ChannelsLast
from bridge.passes.decompose import Decompose
from bridge.passes.fold import FoldConstants
from bridge.passes.rewrite import Rewrite
from bridge.passes.sequences import ResolveSequences
from bridge.passes.transposes import SinkTransposes
from bridge.passes.widen import ComputeWider
from bridge_savedmodel.export_ops import ops
from bridge_savedmodel.legalize import math, quantize, resize
from bridge_savedmodel.legalize.channels_last import as_image
from bridge_savedmodel.legalize.resize import NativeResize


def passes(options: dict[str, Any]) -> list[ir.passes.PassBase]:
    """Passes in order: sequences as tensors; dtypes without a kernel, float64 last of all, because simpler
    operators have kernels for it where one lacks them; operators TensorFlow lacks, and what its optimizer
    takes for others; channels last, as its CPU kernels need them."""
    return [
        ResolveSequences(),
        FoldBatchNormalization(),
        Rewrite(quantize.ops),
        ComputeWider(takes, _of_doubles),
        Decompose(takes),
        ComputeWider(takes),
        Decompose(takes),
        FoldConstants(),
        Rewrite(math.ops),
        ChannelsLast(as_image),
        NativeResize(),
        SinkTransposes(),
        FoldConstants(),
    ]


def _of_doubles(node: ir.Node) -> bool:
    """True if a node reads or computes float64."""
    return any(v is not None and v.dtype == ir.DataType.DOUBLE for v in (*node.inputs, *node.outputs))


def takes(node: ir.Node) -> bool:
    """True if TensorFlow has the node: unchanged, with channels last, or as its own resizing."""
    name = hub.qualified(node)
    return ops.find(name, node) is not None or as_image(node) or resize.ops.find(name, node) is not None
