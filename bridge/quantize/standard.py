"""Schemes as ONNX Runtime has kernels for them: what a hub model is quantized for where no other target is
named."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from bridge.hub import attr, const, input_at, rank_of
from bridge.passes.batch_norm import FoldBatchNormalization
from bridge.passes.biases import FoldBiases
from bridge.passes.gelu import RaiseGelu
from bridge.passes.norms import RaiseNorms
from bridge.passes.spell import AsProducts
from bridge.quantize.schemes import SCHEMES, Holding, Kind
from bridge.quantize.weights import LAYERS

__all__ = ["LAYER_WEIGHTS", "ROUNDED", "STANDARD", "STATIC", "bounds"]

PRODUCTS = frozenset(["Conv", "Gemm", "MatMul"])
MOVING = frozenset(
    [
        "DepthToSpace",
        "Expand",
        "Flatten",
        "Gather",
        "Identity",
        "MaxPool",
        "Reshape",
        "Resize",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    ]
)


def bounds(node: ir.Node) -> tuple[float, float] | None:
    """The least and the greatest number that a Relu or Clip leaves, where they are constants."""
    if node.op_type == "Relu":
        return 0.0, float("inf")
    ends = [const(input_at(node, i)) for i in (1, 2)]
    given = [input_at(node, i) is None or ends[i - 1] is not None for i in (1, 2)]
    if not all(given):
        return None
    low, high = (None if end is None else float(end) for end in ends)
    return -float("inf") if low is None else low, float("inf") if high is None else high


def takes(node: ir.Node) -> bool:
    """True for a node that ONNX Runtime has a kernel for; its operator has one."""
    match node.op_type:
        case "Clip":
            return bounds(node) is not None
        case "Gemm":
            return attr(node, "alpha") == attr(node, "beta") == 1.0 and not attr(node, "transA")
        case "MaxPool" | "Conv" | "AveragePool":
            return len(node.outputs) == 1 and (rank_of(node.inputs[0]) or 0) > 2
        case "Resize":
            return attr(node, "mode") == "nearest"
    return True


def folded() -> list[ir.passes.PassBase]:
    """Passes that leave nothing between the weights of a layer and its result."""
    return [FoldBiases(), FoldBatchNormalization()]


STATIC = Holding(
    kernels=PRODUCTS
    | MOVING
    | {"Add", "AveragePool", "Clip", "Concat", "GlobalAveragePool", "LeakyRelu", "Mul", "Relu", "Sigmoid"},
    takes=takes,
    per_channel=PRODUCTS,
    equal=frozenset(["MaxPool", "Resize"]),
    free=frozenset(["Concat"]),
    hosts=PRODUCTS | {"Add", "Mul"},
    fused=frozenset(["Clip", "Relu"]),
    floats=frozenset(["Gemm", "MatMul"]),
    prepare=lambda: [*folded(), RaiseGelu(), RaiseNorms()],
)
DYNAMIC = Holding(kernels=PRODUCTS, per_channel=PRODUCTS, prepare=folded)
WEIGHTS = Holding(
    kernels=LAYERS | {"Gather"},
    per_channel=LAYERS,
    prepare=lambda: [*folded(), AsProducts()],
)
LAYER_WEIGHTS = Holding(kernels=LAYERS, per_channel=LAYERS, prepare=folded)
ROUNDED = Holding(prepare=folded)

BY_KIND = {
    Kind.ROUNDED: ROUNDED,
    Kind.WEIGHTS: WEIGHTS,
    Kind.PALETTE: ROUNDED,
    Kind.DYNAMIC: DYNAMIC,
    Kind.STATIC: STATIC,
}
STANDARD: Mapping[str, Holding] = {
    name: BY_KIND[scheme.kind] for name, scheme in SCHEMES.items() if name != "int16x8"
}
