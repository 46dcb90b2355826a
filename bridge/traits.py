"""Traits of operators: what they do to the elements of tensors.

Sets of names of the default domain; an operator of `bridge.nhwc` is of the kinds its twin is of.
`tests/test_traits.py` holds each to the schemas and to the reference evaluator.
"""

from __future__ import annotations

from collections.abc import Set

import onnx_ir as ir

__all__ = [
    "BROADCASTING",
    "ELEMENTWISE",
    "MONOTONE",
    "MOVES_DATA",
    "NON_NEGATIVE",
    "ON_AXIS",
    "RANDOM",
    "REDUCTION",
    "RESHAPES",
    "is_a",
]

NHWC = "bridge.nhwc"

ELEMENTWISE = frozenset(
    [
        "Abs",
        "Acos",
        "Acosh",
        "Asin",
        "Asinh",
        "Atan",
        "Atanh",
        "BitwiseNot",
        "Cast",
        "Ceil",
        "Celu",
        "Cos",
        "Cosh",
        "Elu",
        "Erf",
        "Exp",
        "Floor",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "IsInf",
        "IsNaN",
        "LeakyRelu",
        "Log",
        "Mish",
        "Neg",
        "Not",
        "Reciprocal",
        "Relu",
        "Round",
        "Selu",
        "Shrink",
        "Sigmoid",
        "Sign",
        "Sin",
        "Sinh",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Swish",
        "Tan",
        "Tanh",
        "ThresholdedRelu",
    ]
)
"""An element of the result is a function of the element of the only input at its place, the same one
everywhere."""

BROADCASTING = frozenset(
    [
        "Add",
        "And",
        "BitShift",
        "BitwiseAnd",
        "BitwiseOr",
        "BitwiseXor",
        "Clip",
        "Div",
        "Equal",
        "Greater",
        "GreaterOrEqual",
        "Less",
        "LessOrEqual",
        "Max",
        "Mean",
        "Min",
        "Mod",
        "Mul",
        "Or",
        "PRelu",
        "Pow",
        "Sub",
        "Sum",
        "Where",
        "Xor",
    ]
)
"""An element of the result is a function of the elements of the inputs at its place, the inputs broadcast to
one shape."""

REDUCTION = frozenset(
    f"Reduce{name}"
    for name in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
)
"""Elements along axes, named by the second input, become one."""

ON_AXIS = frozenset(
    ["ArgMax", "ArgMin", "Concat", "CumProd", "CumSum", "Hardmax", "LogSoftmax", "Softmax", "Split"]
)
"""Lines along one axis, which an attribute or the second input names, are computed apart from one another."""

RESHAPES = frozenset(["Flatten", "Reshape", "Squeeze", "Unsqueeze"])
"""The elements of the first input in the same order, in another shape."""

MOVES_DATA = RESHAPES | frozenset(
    [
        "Compress",
        "Concat",
        "DepthToSpace",
        "Expand",
        "Gather",
        "GatherElements",
        "GatherND",
        "Identity",
        "ReverseSequence",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Tile",
        "Transpose",
    ]
)
"""Every element of a result is an element of the first input (of any input of Concat), unchanged."""

MONOTONE = frozenset(
    [
        "Asinh",
        "Atan",
        "Ceil",
        "Celu",
        "Elu",
        "Erf",
        "Exp",
        "Floor",
        "HardSigmoid",
        "Identity",
        "LeakyRelu",
        "Log",
        "Relu",
        "Round",
        "Selu",
        "Sigmoid",
        "Sign",
        "Sinh",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Tanh",
    ]
)
"""Elementwise, and never falling, with the default attributes, wherever it is defined."""

NON_NEGATIVE = frozenset(
    [
        "Abs",
        "Exp",
        "HardSigmoid",
        "Hardmax",
        "ReduceL1",
        "ReduceL2",
        "ReduceSumSquare",
        "Relu",
        "Sigmoid",
        "Softmax",
        "Softplus",
        "Sqrt",
    ]
)
"""No element of the result is below zero, with the default attributes."""

RANDOM = frozenset(
    ["Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"]
)
"""Results are drawn."""


def is_a(node: ir.Node, *kinds: Set[str]) -> bool:
    """True if the operator of `node` is of one of `kinds`."""
    return node.domain in ("", NHWC) and any(node.op_type in kind for kind in kinds)
