"""Schemes of quantization, and what a format declares of those that it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import onnx_ir as ir

from bridge.errors import InvalidOption, near_miss
from bridge.quant import QuantParams

__all__ = ["SCHEMES", "Holding", "Kind", "Scheme", "held_by", "scheme_of"]

T = ir.DataType
BLOCKS = (32, 64, 128)


class Kind(StrEnum):
    """Kind of a scheme: weights rounded to fewer bits, dequantized as they are read, or looked up in a table;
    and activations quantized while the model runs, or by ranges known before."""

    ROUNDED = "rounded"
    WEIGHTS = "weights"
    PALETTE = "palette"
    DYNAMIC = "dynamic"
    STATIC = "static"


@dataclass(frozen=True)
class Scheme:
    """One way to quantize a model: the dtypes of weights and activations, the elements along the summed axis
    that share a scale (0: all of a channel), the bits of a palette's indices, and the least SQNR in dB that
    an output is expected to keep."""

    name: str
    kind: Kind
    weights: ir.DataType
    activations: ir.DataType | None = None
    block: int = 0
    bits: int = 8
    expected: float = 20.0

    @property
    def is_static(self) -> bool:
        """True if ranges of activations are observed on data."""
        return self.kind is Kind.STATIC


SCHEMES: Mapping[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        Scheme("float16", Kind.ROUNDED, T.FLOAT16, expected=50.0),
        Scheme("bfloat16", Kind.ROUNDED, T.BFLOAT16, expected=35.0),
        Scheme("int8", Kind.STATIC, T.INT8, T.INT8, expected=15.0),
        Scheme("int16x8", Kind.STATIC, T.INT8, T.INT16, expected=20.0),
        Scheme("int8-dynamic", Kind.DYNAMIC, T.INT8, T.UINT8, expected=15.0),
        Scheme("int8-weights", Kind.WEIGHTS, T.INT8, expected=20.0),
        Scheme("int4-weights", Kind.WEIGHTS, T.INT4, block=32, bits=4, expected=10.0),
        *(Scheme(f"int4-weights-{n}", Kind.WEIGHTS, T.INT4, block=n, bits=4, expected=10.0) for n in BLOCKS),
        Scheme("int4-weights-channel", Kind.WEIGHTS, T.INT4, bits=4, expected=5.0),
        *(
            Scheme(f"palette-{n}", Kind.PALETTE, T.FLOAT, bits=n, expected=6.0 * n - 12.0 if n > 2 else 0.0)
            for n in range(2, 9)
        ),
    )
}
"""Every scheme by its name. What is expected of one is far below what a model that bears it keeps: less says
that the model does not."""

Fixed = Mapping[str, tuple[float, int]]


@dataclass(frozen=True)
class Holding:
    """The way a format holds a scheme.

    `kernels` are the operators of the hub whose integer kernels the target has, `takes(node)` what else a
    kernel asks of a node. Weights are symmetric and per channel for the operators of `per_channel`, per
    tensor for others. The inputs and outputs of `equal` operators have the same scale, as have those of what
    only moves elements and is not `free`; the outputs of `fixed` ones have the scale and zero point given
    here; an activation of `fused` that alone reads an operator of `hosts` is part of its kernel; the kernels
    of `floats` may give floats. `prepare()` makes the passes that spell out what the kernels are for.
    """

    kernels: frozenset[str] = frozenset()
    takes: Callable[[ir.Node], bool] = lambda node: True
    per_channel: frozenset[str] = frozenset()
    equal: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset()
    floats: frozenset[str] = frozenset()
    fixed: Fixed = field(default_factory=dict)
    hosts: frozenset[str] = frozenset()
    fused: frozenset[str] = frozenset()
    prepare: Callable[[], Sequence[ir.passes.PassBase]] = tuple

    def fixed_params(self, node: ir.Node, dtype: ir.DataType) -> QuantParams | None:
        """The parameters of the results of `node`, where its kernel knows no others."""
        found = self.fixed.get(node.op_type) if not node.domain else None
        return None if found is None else QuantParams.of(*found, dtype)


def scheme_of(name: str) -> Scheme:
    """The scheme of a name. Raises InvalidOption."""
    if name not in SCHEMES:
        raise InvalidOption(
            f"quantize={name!r} is no scheme of quantization.",
            f"{near_miss(name, SCHEMES)}There are {', '.join(SCHEMES)}.",
        )
    return SCHEMES[name]


def held_by(schemes: Mapping[str, Holding], scheme: Scheme, title: str) -> Holding:
    """The way a target called `title` holds a scheme, of those it declares. Raises InvalidOption."""
    if scheme.name not in schemes:
        held = ", ".join(schemes)
        raise InvalidOption(
            f"{title} does not hold weights and activations quantized as {scheme.name}.",
            f"It holds {held}." if held else "It holds no scheme of quantization.",
        )
    return schemes[scheme.name]
