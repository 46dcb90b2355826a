"""Hub → what an ML Program holds: the visible list of passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx_ir as ir

from bridge import hub
from bridge.ops import OpTable
from bridge.passes.batch_norm import FoldBatchNormalization
from bridge.passes.decompose import Decompose
from bridge.passes.fold import FoldConstants
from bridge.passes.gelu import RaiseGelu
from bridge.passes.rewrite import Rewrite
from bridge.passes.sequences import ResolveSequences
from bridge.passes.widen import ComputeWider
from bridge.traits import MOVES_DATA
from bridge_coreml import export_ops
from bridge_coreml.export_ops.common import HELD
from bridge_coreml.legalize.newer_targets import NoteNewer
from bridge_coreml.legalize.precision import HalfPrecision
from bridge_coreml.legalize.rank import LowerRank
from bridge_coreml.options import SPECIFICATION, kept_float32, version

ops = OpTable.of(__name__)

MOVES = MOVES_DATA | {"If", "Loop", "Pad", "Shape", "Size", "Trilu", "Where"}


def passes(options: dict[str, Any]) -> list[ir.passes.PassBase]:
    """In order: sequences as tensors; patterns raised while whole; what a newer target would take of them;
    dtypes MIL computes; operators it lacks; what it has in a form of its own; dimensions beyond the fifth;
    half precision last."""
    newer = [number for number in SPECIFICATION if number > version(options)]
    takes = taker(version(options))
    kept = kept_float32(options)
    half = [] if kept is None else [HalfPrecision(takes, kept), FoldConstants()]
    return [
        ResolveSequences(),
        FoldBatchNormalization(),
        RaiseGelu(),
        NoteNewer(taker, version(options), newer),
        ComputeWider(takes, moves),
        Decompose(takes),
        FoldConstants(),
        Rewrite(ops, keep=lambda node: native(node, version(options))),
        FoldConstants(),
        LowerRank(),
        *half,
    ]


def native(node: ir.Node, version: int) -> bool:
    """Whether a node is written as it is."""
    return export_ops.ops.find(hub.qualified(node), node, version) is not None


def taker(version: int) -> Callable[[ir.Node], bool]:
    """Whether a node is written as it is, or through a rewrite of its own."""
    return lambda node: native(node, version) or ops.find(hub.qualified(node), node) is not None


def moves(node: ir.Node) -> bool:
    """Operators that only move elements, of a dtype that is held as it is."""
    value = node.inputs[1 if node.op_type == "Where" else 0] if node.inputs else None
    return node.op_type in MOVES and value is not None and value.dtype in HELD
