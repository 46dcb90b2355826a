"""Convolutions and pools with an activation, another layout, a state or pads known at run time."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import lengths, reshape
from bridge.hub import attr, const, rank_of, shape_of
from bridge.importing import ints, to_channels_first
from bridge.needs import attribute, constant
from bridge.ops import OpTable
from bridge.passes.channels_last import to_first
from bridge_onnx.import_ops.common import MS, alike, channels_last, node_attributes, ranked, static

ops = OpTable()


@ops.op(MS + "FusedConv")
def fused_conv(op, node, x, w, bias=None, z=None):
    y = op.Conv(x, w, bias, **node_attributes(node, "activation", "activation_params"))
    return activation(op, node, y if z is None else op.Add(y, z))


def activation(op: hub.Builder, node: ir.Node, x: ir.Value) -> Any:
    """The `activation` attribute of a fused operator, applied."""
    name, parameters = attr(node, "activation"), attr(node, "activation_params") or []
    if not name:
        return x
    if name == "Clip":
        return op.Clip(x, *(np.array(p, np.float32) for p in parameters))
    names = {"LeakyRelu": ["alpha"], "HardSigmoid": ["alpha", "beta"]}.get(name, [])
    return op.node(name, x, **dict(zip(names, parameters, strict=False)))


LAYOUT = (ranked(0, "an input"),)


@ops.op(MS + "NhwcConv", needs=(*LAYOUT, ranked(1, "weights")))
def conv_of_channels_last(op, node, x, w, bias=None):
    """Weights have their channels last too, as ONNX Runtime's optimizer writes them."""
    weights = to_channels_first(op, w)
    return channels_last(op, x, lambda data: op.Conv(data, weights, bias, **node_attributes(node)))


@ops.op(MS + "NhwcFusedConv", needs=LAYOUT)
def fused_conv_of_channels_last(op, node, x, w, bias=None, z=None):
    """Weights have their channels before the window all the same."""
    z = None if z is None else op.Transpose(z, perm=to_first(rank_of(x) or 0))
    return channels_last(op, x, lambda data: fused_conv(op, node, data, w, bias, z))


@ops.op(MS + "ConvTransposeWithDynamicPads", needs=(constant(2, "Pads"),))
def conv_transpose_with_pads(op, node, x, w, pads=None, bias=None):
    known = {} if pads is None else {"pads": [int(n) for n in const(pads).ravel()]}
    return op.ConvTranspose(x, w, bias, **{"auto_pad": None, **node_attributes(node, "auto_pad"), **known})


PLAIN = (attribute("state_window", 0), attribute("ndim", 1), constant(1, "weight"))
CHANNELS = static(1, "a weight")


@ops.op(MS + "CausalConvWithState", needs=(*PLAIN, CHANNELS))
def causal_conv_with_state(op, node, x, weights, bias=None, past=None):
    """A convolution of every channel over what came before: the state, or zeros."""
    channels, _, window = shape_of(weights)
    dilation, last = attr(node, "dilation", 1), attr(node, "channels_last") == 1
    held, sizes = (window - 1) * dilation, lengths(op, x)
    if last:
        x, past = (None if v is None else series(op, v, channels) for v in (x, past))
    if past is None:
        shape = op.Concat(op.Shape(x, start=0, end=1), ints(channels, held), axis=0)
        past = op.Expand(alike(op, 0, x), shape)
    whole = op.Concat(past, x, axis=2)
    y = op.Conv(whole, weights, bias, group=channels, dilations=[dilation])
    if attr(node, "activation") in ("silu", "swish"):
        y = op.Mul(y, op.Sigmoid(y))
    length = op.Shape(whole, start=2, end=3)
    state = op.Slice(whole, op.Sub(length, ints(held)), length, ints(2))
    if not last:
        return y, state
    y, state = (op.Transpose(v, perm=[0, 2, 1]) for v in (y, state))
    return reshape(op, y, sizes), reshape(op, state, [sizes[0], held, *sizes[2:]])


def series(op: hub.Builder, x: ir.Value, channels: int) -> ir.Value:
    """[batch, length, …] as [batch, channels, length]."""
    batch, length = lengths(op, x)[:2]
    return op.Transpose(reshape(op, x, [batch, length, channels]), perm=[0, 2, 1])
