"""Schemes of quantization that TFLite holds, as its kernels take them."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from bridge.hub import attr, held, input_at, rank_of
from bridge.passes.batch_norm import FoldBatchNormalization
from bridge.passes.biases import FoldBiases
from bridge.passes.gelu import RaiseGelu
from bridge.passes.spell import SpellOut
from bridge.quantize.place import is_ranked
from bridge.quantize.schemes import Holding
from bridge.quantize.standard import LAYER_WEIGHTS, ROUNDED, bounds
from bridge.quantize.weights import LAYERS
from bridge.traits import MOVES_DATA, is_a
from bridge_tflite.legalize.quantize_integer import DATA_MOVEMENT, JOINING, KERNELS

T = ir.DataType
RANKS = 4
NATIVE = {
    "BroadcastTo": "Expand",
    "Relu6": "Clip",
    "ResizeBilinear": "Resize",
    "ResizeNearestNeighbor": "Resize",
    "StridedSlice": "Slice",
}
"""Operators of the hub that become those of TFLite's that bear another name."""
HOSTS = LAYERS | {"Add", "Mul", "Sub"}


def _hub_name(name: str) -> str:
    plain = name.rpartition("::")[2]
    return NATIVE.get(plain, plain)


def _takes(node: ir.Node) -> bool:
    """True for a node that LiteRT has an integer kernel for; its operator has one."""
    match node.op_type:
        case "Clip":
            return bounds(node) is not None
        case "Gemm":
            return attr(node, "alpha") == attr(node, "beta") == 1.0 and not attr(node, "transA")
        case "Conv" | "ConvTranspose":
            return held(node.inputs[1]) is not None and rank_of(node.inputs[0]) in (3, 4)
        case "MatMul":
            return min(rank_of(v) or 0 for v in node.inputs) > 1
        case "MaxPool" | "AveragePool":
            return len(node.outputs) == 1 and rank_of(node.inputs[0]) in (3, 4)
        case "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin":
            return held(input_at(node, 1)) is not None and is_ranked(node, RANKS)
        case "PRelu":
            return held(node.inputs[1]) is not None and is_ranked(node, RANKS)
        case "Pad":
            return attr(node, "mode") in ("constant", "reflect") and is_ranked(node, RANKS)
    return is_ranked(node, RANKS + is_a(node, MOVES_DATA))


def _static(dtype: ir.DataType) -> Holding:
    own = {_hub_name(name): kernel for name, kernel in KERNELS.items() if dtype in kernel.dtypes}
    moving = {_hub_name(name) for name in DATA_MOVEMENT | JOINING}
    return Holding(
        kernels=frozenset(own) | moving | LAYERS,
        takes=_takes,
        per_channel=LAYERS,
        equal=frozenset(moving | {name for name, kernel in own.items() if kernel.same_as_input}),
        fixed={
            name: kernel.fixed[dtype]
            for name, kernel in own.items()
            if kernel.fixed and dtype in kernel.fixed
        },
        hosts=HOSTS,
        fused=frozenset(["Clip", "Relu"]),
        prepare=lambda: [FoldBiases(), FoldBatchNormalization(), RaiseGelu(), SpellOut()],
    )


SCHEMES_HELD: Mapping[str, Holding] = {
    "float16": ROUNDED,
    "int8": _static(T.INT8),
    "int16x8": _static(T.INT16),
    "int8-weights": LAYER_WEIGHTS,
}
