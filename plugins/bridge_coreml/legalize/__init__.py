"""Hub → what an ML Program holds: the visible list of passes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import onnx_ir as ir

from bridge import hub
from bridge.errors import InvalidOption
from bridge.ops import OpTable
from bridge.passes.batch_norm import FoldBatchNormalization
from bridge.passes.decompose import Decompose
from bridge.passes.fold import FoldConstants
from bridge.passes.gelu import RaiseGelu
from bridge.passes.rewrite import Rewrite
from bridge.passes.sequences import ResolveSequences
from bridge.passes.widen import ComputeWider
from bridge_coreml.export_ops import ops
from bridge_coreml.export_ops.common import HELD
from bridge_coreml.legalize import reduce, tensor
from bridge_coreml.legalize.newer import NoteNewer
from bridge_coreml.legalize.precision import HalfPrecision
from bridge_coreml.legalize.rank import LowerRank

native = OpTable()
for family in (reduce, tensor):
    for rule in family.native:
        native.add(rule)

MOVES = frozenset(
    [
        "Concat",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "GatherND",
        "Identity",
        "Pad",
        "Reshape",
        "ReverseSequence",
        "Shape",
        "Slice",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Trilu",
        "Unsqueeze",
        "Where",
        "If",
        "Loop",
        "Size",
        "Compress",
        "DepthToSpace",
        "SpaceToDepth",
    ]
)


def passes(options: dict[str, Any]) -> list[ir.passes.PassBase]:
    """In order: sequences as tensors; patterns raised while whole; what a newer target would take of them; dtypes MIL computes; operators it lacks; what it has
    in a form of its own; dimensions beyond the fifth;
    half precision last."""
    from bridge_coreml.exporter import SPECIFICATION, version

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
        Rewrite(native, keep=lambda node: ops.find(hub.qualified(node), node, version(options)) is not None),
        FoldConstants(),
        LowerRank(),
        *half,
    ]


def kept_float32(options: dict[str, Any]) -> list[str] | None:
    """Names and kinds of operators that stay float32 where the rest is computed in float16; None where all is float32.

    Raises InvalidOption for a precision there is not.
    """
    asked = options["precision"]
    if isinstance(asked, str) and asked.strip().startswith("{"):
        try:
            asked = json.loads(asked.replace("'", '"'))
        except ValueError:
            asked = None
    kept = [name.strip() for name in options["keep_float32"].split(",") if name.strip()]
    if (
        isinstance(asked, dict)
        and set(asked) == {"keep_float32"}
        and isinstance(asked["keep_float32"], (list, tuple))
    ):
        return [*kept, *map(str, asked["keep_float32"])]
    if asked not in ("float32", "float16"):
        raise InvalidOption(
            f"precision={options['precision']!r} is not valid.",
            'It is float32, float16 or {"keep_float32": [names]}.',
        )
    return kept if asked == "float16" else None


def taker(version: int) -> Callable[[ir.Node], bool]:
    """Whether a node is written as it is, or through a rewrite of its own."""

    def takes(node: ir.Node) -> bool:
        name = hub.qualified(node)
        return ops.find(name, node, version) is not None or native.find(name, node) is not None

    return takes


def moves(node: ir.Node) -> bool:
    """Operators that only move elements, of a dtype that is held as it is."""
    value = node.inputs[1 if node.op_type == "Where" else 0] if node.inputs else None
    return node.op_type in MOVES and value is not None and value.dtype in HELD
