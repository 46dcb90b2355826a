"""Random numbers, drawn anew at every run."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.export_ops.common import T
from bridge_savedmodel.tensorflow import has_kernel

ops = OpTable()


def _output_dtype(node: ir.Node) -> ir.DataType:
    default = node.inputs[0].dtype if node.inputs else T.FLOAT
    return T(attr(node, "dtype") or default)


DRAWN = condition(
    "a dtype TensorFlow draws", lambda n: has_kernel("RandomUniform", {"dtype": _output_dtype(n)})
)


def _seed(node: ir.Node) -> int:
    return int(np.float32(attr(node, "seed", 0.0)).view(np.int32))


def _requested_shape(tf: Any, node: ir.Node) -> Any:
    return tf.Shape(node.inputs[0]) if node.inputs else np.array(attr(node, "shape"), np.int32)


@ops.op("RandomNormal", "RandomNormalLike", needs=(DRAWN,))
def normal(tf, node, *like):
    dtype = _output_dtype(node)
    numbers = tf.RandomStandardNormal(_requested_shape(tf, node), dtype=tf.dtype(dtype), seed=_seed(node))
    scale, mean = (dtype.numpy().type(attr(node, name)) for name in ("scale", "mean"))
    return tf.AddV2(tf.Mul(numbers, scale), mean)


@ops.op("RandomUniform", "RandomUniformLike", needs=(DRAWN,))
def uniform(tf, node, *like):
    dtype = _output_dtype(node)
    numbers = tf.RandomUniform(_requested_shape(tf, node), dtype=tf.dtype(dtype), seed=_seed(node))
    low, high = (dtype.numpy().type(attr(node, name)) for name in ("low", "high"))
    return tf.AddV2(tf.Mul(numbers, high - low), low)


@ops.op("Multinomial")
def multinomial(tf, node, x):
    dtype = tf.dtype(attr(node, "dtype"))
    return tf.Multinomial(x, attr(node, "sample_size"), seed=_seed(node), output_dtype=dtype)
