"""Formulas that TensorFlow's own optimizer would take for others."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import onnx_ir as ir

from bridge.hub import const
from bridge.needs import condition
from bridge.ops import OpTable

ops = OpTable()


def _multiples(node: ir.Node) -> Iterator[tuple[ir.Value, ir.Value]]:
    """Pairs of inputs of which the first is made of the second: a product or quotient by a constant, which
    may be above one, or its double."""
    values = [v for v in node.inputs if v is not None]
    for multiple, x in itertools.permutations(values, 2):
        maker = multiple.producer()
        if (
            maker is None
            or maker.domain
            or maker.op_type not in ("Mul", "Div", "Add")
            or x not in maker.inputs
        ):
            continue
        factor = next((v for v in maker.inputs if v is not x), x)
        known = None if factor is None else const(factor)
        if factor is x or (known is not None and (maker.op_type != "Mul" or (known > 1).any())):
            yield multiple, x


@ops.op("Max", needs=(condition("a multiple of another input", lambda n: any(_multiples(n))),))
def maximum(op, node, *inputs):
    """TensorFlow takes Maximum(k x, x) for a LeakyRelu, which is the minimum for k above 1: compared and
    selected it is not."""
    multiple, x = next(_multiples(node))
    largest = op.Where(op.Greater(multiple, x), multiple, x)
    others = [v for v in inputs if v not in (multiple, x)]
    return op.Max(largest, *others) if others else largest
