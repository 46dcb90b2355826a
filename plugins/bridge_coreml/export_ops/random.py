"""Random numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, shape_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import HELD, TENSOR, ints

ops = OpTable()


def random_numbers(
    mil: Any, node: ir.Node, x: ir.Value, operator: Callable[..., Any], **attributes: Any
) -> Any:
    seed = attr(node, "seed")
    shape = shape_of(x)
    numbers = operator(
        shape=ints(shape) if shape is not None else mil.shape(x=x),
        seed=-1 if seed is None else int(seed),
        **attributes,
    )
    return mil.cast_to(numbers, HELD[node.outputs[0].dtype or ir.DataType.FLOAT])


RANDOM_NEEDS = (
    TENSOR,
    condition(
        "a result of floats",
        lambda n: n.outputs[0].dtype is not None and HELD.get(n.outputs[0].dtype) in ("fp32", "fp16"),
    ),
)


@ops.op("RandomUniformLike", needs=RANDOM_NEEDS)
def random_uniform(mil, node, x):
    low, high = (np.float32(attr(node, n)) for n in ("low", "high"))
    return random_numbers(mil, node, x, mil.random_uniform, low=low, high=high)


@ops.op("RandomNormalLike", needs=RANDOM_NEEDS)
def random_normal(mil, node, x):
    mean, deviation = (np.float32(attr(node, n)) for n in ("mean", "scale"))
    return random_numbers(mil, node, x, mil.random_normal, mean=mean, stddev=deviation)
