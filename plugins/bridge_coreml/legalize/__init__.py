"""Passes that bring a hub model to the operators and dtypes of an ML Program."""

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
from bridge_coreml.legalize import rank
from bridge_coreml.legalize.control import OpenBranches
from bridge_coreml.legalize.newer_targets import NoteNewer
from bridge_coreml.legalize.precision import HalfPrecision
from bridge_coreml.legalize.rank import JoinViews
from bridge_coreml.options import SPECIFICATION, kept_float32, version

ops = OpTable.of(__name__)

MOVES = MOVES_DATA | {"If", "Loop", "Pad", "Shape", "Size", "Trilu", "Where"}


def passes(options: dict[str, Any]) -> list[ir.passes.PassBase]:
    """Passes in order: sequences become tensors; patterns are fused; operators of newer targets are recorded;
    dtypes are widened; operators are decomposed; branches get one type; operators are rewritten; axes join
    where there are more than 5; half precision is last."""
    newer = [number for number in SPECIFICATION if number > version(options)]
    takes = takes_at(version(options))
    keep_float32 = kept_float32(options)
    half_precision = [] if keep_float32 is None else [HalfPrecision(takes, keep_float32), FoldConstants()]
    return [
        ResolveSequences(),
        FoldBatchNormalization(),
        RaiseGelu(),
        NoteNewer(takes_at, version(options), newer),
        ComputeWider(takes, moves),
        Decompose(takes),
        FoldConstants(),
        OpenBranches(),
        Rewrite(ops, keep=lambda node: native(node, version(options))),
        FoldConstants(),
        Rewrite(rank.JOINED, keep=rank.fits_rank),
        JoinViews(),
        FoldConstants(),
        *half_precision,
    ]


def native(node: ir.Node, version: int) -> bool:
    """True if an export rule takes the node."""
    return export_ops.ops.find(hub.qualified(node), node, version) is not None


def takes_at(version: int) -> Callable[[ir.Node], bool]:
    """Predicate: an export rule takes the node, or a rewrite of this package does."""
    return lambda node: native(node, version) or ops.find(hub.qualified(node), node) is not None


def moves(node: ir.Node) -> bool:
    """True for operators that move elements only, of a dtype that Core ML stores."""
    value = node.inputs[1 if node.op_type == "Where" else 0] if node.inputs else None
    return node.op_type in MOVES and value is not None and value.dtype in HELD
