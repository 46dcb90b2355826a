"""Random numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, rank_of, shape_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import FLOAT, HELD, TENSOR, ints

ops = OpTable()


def random_numbers(
    mil: Any, node: ir.Node, like: ir.Value | None, operator: Callable[..., Any], **attributes: Any
) -> Any:
    """Numbers drawn in the shape of a value, or in that of the attribute `shape`."""
    shape = attr(node, "shape") if like is None else shape_of(like)
    numbers = operator(
        shape=mil.shape(x=like) if shape is None else ints(shape), seed=seed_of(node), **attributes
    )
    return mil.cast_to(numbers, HELD[node.outputs[0].dtype or ir.DataType.FLOAT])


def seed_of(node: ir.Node) -> int:
    seed = attr(node, "seed")
    return -1 if seed is None else int(seed)


FLOAT_RESULT = condition(
    "a result of floats",
    lambda n: n.outputs[0].dtype is not None and HELD.get(n.outputs[0].dtype) in ("fp32", "fp16"),
)
LENGTHS = condition("lengths of 1 or more", lambda n: min(attr(n, "shape") or [0]) > 0)


@ops.op("RandomUniform", needs=(FLOAT_RESULT, LENGTHS))
@ops.op("RandomUniformLike", needs=(TENSOR, FLOAT_RESULT))
def random_uniform(mil, node, like=None):
    low, high = (np.float32(attr(node, n)) for n in ("low", "high"))
    return random_numbers(mil, node, like, mil.random_uniform, low=low, high=high)


@ops.op("RandomNormal", needs=(FLOAT_RESULT, LENGTHS))
@ops.op("RandomNormalLike", needs=(TENSOR, FLOAT_RESULT))
def random_normal(mil, node, like=None):
    mean, deviation = (np.float32(attr(node, n)) for n in ("mean", "scale"))
    return random_numbers(mil, node, like, mil.random_normal, mean=mean, stddev=deviation)


@ops.op("Multinomial", needs=(FLOAT, condition("rows of classes", lambda n: rank_of(n.inputs[0]) == 2)))
def multinomial(mil, node, x):
    size = attr(node, "sample_size")
    drawn = mil.random_categorical(x=x, mode="logits", size=size, seed=seed_of(node))
    return mil.cast_to(drawn, "int32")
