"""Activations and fully connected layers."""

from __future__ import annotations

from bridge.importing import attribute, like, permuted
from bridge.ops import OpTable
from bridge_coreml.import_ops.common import RANKED, as_type, channels, rank_of

ops = OpTable(attribute=lambda node, name: node.get(name))

ops.same(relu="Relu", softplus="Softplus", softsign="Softsign")
ops.same(attributes={"alpha": "alpha"}, leaky_relu="LeakyRelu", elu="Elu")
ops.same(attributes={"alpha": "alpha", "beta": "beta"}, sigmoid_hard="HardSigmoid")


@ops.op("linear", needs=(RANKED,))
def linear(op, node, x, weight, bias=None):
    weight, bias = as_type(op, weight, x), as_type(op, bias, x)
    if rank_of(x) == 2:
        return op.Gemm(x, weight, bias, transB=1)
    result = op.MatMul(x, permuted(op, weight, [1, 0]))
    return result if bias is None else op.Add(result, bias)


@ops.op("relu6")
def relu6(op, node, x):
    return op.Clip(x, like(op, x, 0), like(op, x, 6))


@ops.op("thresholded_relu")
def thresholded_relu(op, node, x):
    return op.Where(op.Less(x, like(op, x, node.get("alpha"))), like(op, x, 0), x)


@ops.op("clamped_relu")
def clamped_relu(op, node, x):
    slope = op.Where(op.Less(x, like(op, x, 0)), op.Mul(x, like(op, x, node.get("alpha"))), x)
    return op.Min(slope, like(op, x, node.get("beta")))


@ops.op("linear_activation")
def linear_activation(op, node, x):
    return op.Add(op.Mul(x, like(op, x, node.get("alpha"))), like(op, x, node.get("beta")))


@ops.op("scaled_tanh")
def scaled_tanh(op, node, x):
    return op.Mul(op.Tanh(op.Mul(x, like(op, x, node.get("beta")))), like(op, x, node.get("alpha")))


@ops.op("softplus_parametric", needs=(RANKED,))
def softplus_parametric(op, node, x):
    alpha, beta = channels(op, node, "alpha", x), channels(op, node, "beta", x)
    return op.Mul(op.Softplus(op.Mul(x, beta)), alpha)


@ops.op("prelu", needs=(RANKED,))
def prelu(op, node, x):
    return op.PRelu(x, channels(op, node, "alpha", x))


@ops.op("silu")
def silu(op, node, x):
    return op.Mul(x, op.Sigmoid(x))


@ops.op("gelu", needs=(attribute("mode", "EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"),))
def gelu(op, node, x):
    mode = node.get("mode", "EXACT")
    if mode == "SIGMOID_APPROXIMATION":
        return op.Mul(x, op.Sigmoid(op.Mul(x, like(op, x, 1.702))))
    return op.Gelu(x, approximate="tanh" if mode == "TANH_APPROXIMATION" else None)


@ops.op("softmax", needs=(RANKED,))
def softmax(op, node, x):
    return op.Softmax(x, axis=node.get("axis", -1) % max(rank_of(x) or 1, 1))
