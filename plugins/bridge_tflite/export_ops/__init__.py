"""Hub operators → TFLite builtins, by family. The dtypes are those LiteRT's kernels compute as ONNX says."""

from __future__ import annotations

from typing import Any

from bridge import hub
from bridge.ops import OpTable
from bridge_tflite.export_ops import control, math, ml, nn, quantize, reduce, tensor

ops = OpTable()
for family in (control, math, ml, nn, tensor, reduce):
    for rule in family.ops:
        ops.add(rule)
for rule in [*quantize.ops, *quantize.alike(list(ops))]:
    ops.add(rule)

ops.lacks(
    "LiteRT's kernels compare, gather and look up text, and make none",
    "RegexFullMatch",
    "StringConcat",
    "StringSplit",
)
ops.lacks(
    "TFLite holds tensors: a sequence crosses where what it holds is known before run time and it is no input or output",
    *(f"Sequence{name}" for name in ("At", "Construct", "Empty", "Erase", "Insert", "Length", "Map")),
    "ConcatFromSequence",
    "SplitToSequence",
)
ops.lacks(
    "TFLite holds tensors: an optional one crosses where it is known before run time to be there or not, and it is no input or output",
    "Optional",
    "OptionalGetElement",
    "OptionalHasElement",
)
ops.lacks("LiteRT has no kernel that decodes images", "ImageDecoder")
ops.lacks("its bins are counted in float64, in which LiteRT does not compute", "MelWeightMatrix")


def fill(tfl: Any, results: Any) -> None:
    """Write every node of a subgraph, and close it with its results."""
    for node in tfl.graph:
        tfl.node = node
        ops.find(hub.qualified(node), node).handler(tfl, node, *node.inputs)
    tfl.end(results)
