"""Random numbers, drawn anew at each run."""

from __future__ import annotations

import onnx_ir as ir

from bridge.hub import attr
from bridge.ops import OpTable
from bridge_torchscript.export_ops.common import FLOATS
from bridge_torchscript.source import Source

ops = OpTable()


def _scaled_random(ts: Source, node: ir.Node, function: str, default: ir.DataType) -> str:
    """Source of random numbers.

    `function` draws from [0, 1) or a normal distribution, the node's attributes scale and shift.
    """
    dtype = ts.dtype(ir.DataType(attr(node, "dtype", int(default))))
    if "Normal" in node.op_type:
        scale, offset = attr(node, "scale"), attr(node, "mean")
    else:
        offset = attr(node, "low")
        scale = attr(node, "high") - offset
    return f"({function} * {scale} + {offset}).to({dtype})"


@ops.op("RandomNormal", "RandomUniform")
def random(ts, node):
    name = "randn" if node.op_type == "RandomNormal" else "rand"
    return _scaled_random(
        ts, node, f"torch.{name}({attr(node, 'shape')}, dtype=torch.float32)", ir.DataType.FLOAT
    )


@ops.op("RandomNormalLike", "RandomUniformLike")
def random_like(ts, node, x):
    name = "randn" if node.op_type == "RandomNormalLike" else "rand"
    return _scaled_random(ts, node, f"torch.{name}_like({x}, dtype=torch.float32)", node.inputs[0].dtype)


@ops.op("Bernoulli", needs=(FLOATS,))
def bernoulli(ts, node, x):
    dtype = ts.dtype(ir.DataType(attr(node, "dtype", int(node.inputs[0].dtype))))
    return f"torch.bernoulli({x}).to({dtype})"


@ops.op("Multinomial", needs=(FLOATS,))
def multinomial(ts, node, x):
    dtype = ts.dtype(ir.DataType(attr(node, "dtype", int(ir.DataType.INT32))))
    return f"torch.multinomial(torch.exp({x}), {attr(node, 'sample_size')}, True).to({dtype})"
