"""Products, convolutions, pools, normalizations, attention."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.importing import attribute, constant, ints, like, permuted
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_coreml.import_ops.common import IOS18, RANKED, as_type, lengths, rank_of, ranked

ops = OpTable()

PADDINGS = attribute("pad_type", "valid", "same", "same_lower", "custom")


def window(node: Any, spatial: int) -> list[list[int]]:
    """Strides and dilations per spatial dimension."""
    return [np.ravel(node.get(n, [1] * spatial)).tolist() for n in ("strides", "dilations")]


def padding(node: Any, kernel: list[int]) -> dict[str, Any]:
    """The hub's attributes for pad_type and pad."""
    kind = node.get("pad_type", "valid")
    if kind == "custom":
        pad = np.reshape(node.get("pad", [0] * 2 * len(kernel)), (-1, 2))
        return {"pads": [int(v) for v in (*pad[:, 0], *pad[:, 1])]}
    return {"auto_pad": {"same": "SAME_UPPER", "same_lower": "SAME_LOWER"}.get(kind)}


STATIC_WINDOW = condition(
    "a static input size where same padding meets dilation",
    lambda n: (
        n.get("pad_type", "valid") in ("valid", "custom")
        or max(np.ravel(n.get("dilations", [1]))) == 1
        or (n.dims("x") is not None and None not in n.dims("x")[2:])
    ),
)


@ops.op("conv", needs=(RANKED, PADDINGS, STATIC_WINDOW))
def conv(op, node, x, weight, bias=None):
    weight, bias = as_type(op, weight, x), as_type(op, bias, x)
    kernel = [int(d) for d in weight.shape[2:]]
    strides, dilations = window(node, len(kernel))
    return op.Conv(
        x,
        weight,
        bias,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        group=node.get("groups", 1),
        **padding(node, kernel),
    )


@ops.op(
    "conv_quantized",
    needs=(RANKED, PADDINGS, STATIC_WINDOW, constant("weight"), attribute("quantization_type", "linear")),
)
def conv_quantized(op, node, x, bias=None):
    stored, scale, offset = (node.array(n) for n in ("weight", "quant_scale", "quant_bias"))
    spread = [-1] + [1] * (stored.ndim - 1)
    scale, offset = (np.reshape(v, spread) if np.size(v) > 1 else v for v in (scale, offset))
    return conv(op, node, x, like(op, x, stored * scale + offset), bias)


def transposed(
    node: Any, x: ir.Value, kernel: list[int], strides: list[int], dilations: list[int]
) -> dict[str, Any]:
    """Pads and output padding of a transposed convolution whose output may be given."""
    kind = node.get("pad_type", "valid")
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    wanted = node.get("output_shape")
    sizes = list(x.shape)[2:]
    begin, end, extra = [], [], []
    for i, (span, stride) in enumerate(zip(spans, strides, strict=True)):
        if kind == "same":
            length = wanted[2 + i] if wanted else None
            total = (sizes[i] - 1) * stride + span - length if length else span - stride
            begin.append(max(total, 0) // 2)
            end.append(max(total, 0) - max(total, 0) // 2)
            extra.append(max(-total, 0))
            continue
        pads = [0, 0] if kind == "valid" else node.get("pad", [0] * 2 * len(kernel))[2 * i : 2 * i + 2]
        natural = (sizes[i] - 1) * stride + span - sum(pads) if wanted else 0
        missing = wanted[2 + i] - natural if wanted else 0
        begin.append(pads[0])
        end.append(pads[1] + max(-missing, 0))
        extra.append(max(missing, 0))
    return {
        "pads": [int(v) for v in begin + end],
        "output_padding": [int(v) for v in extra] if any(extra) else None,
    }


@ops.op(
    "conv_transpose",
    needs=(
        RANKED,
        attribute("pad_type", "valid", "same", "custom"),
        condition(
            "a static input size where output_shape is given",
            lambda n: n.get("output_shape") is None or (n.dims("x") or [None])[2:].count(None) == 0,
        ),
    ),
)
def conv_transpose(op, node, x, weight, bias=None):
    weight, bias = as_type(op, weight, x), as_type(op, bias, x)
    kernel = [int(d) for d in weight.shape[2:]]
    strides, dilations = window(node, len(kernel))
    return op.ConvTranspose(
        x,
        weight,
        bias,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        group=node.get("groups", 1),
        **transposed(node, x, kernel, strides, dilations),
    )


@ops.op("max_pool", "avg_pool", "l2_pool", needs=(RANKED, PADDINGS))
def pool(op, node, x):
    kernel = [int(k) for k in np.ravel(node.get("kernel_sizes"))]
    strides, _ = window(node, len(kernel))
    common = {"kernel_shape": kernel, "strides": strides, **padding(node, kernel)}
    common["ceil_mode"] = int(node.get("ceil_mode", False))
    if node.op == "max_pool":
        return op.MaxPool(x, **common)
    if node.op == "l2_pool":
        return op.LpPool(x, p=2, **common)
    return op.AveragePool(
        x, count_include_pad=int(not node.get("exclude_padding_from_average", False)), **common
    )


@ops.op("linear", needs=(RANKED,))
def linear(op, node, x, weight, bias=None):
    weight, bias = as_type(op, weight, x), as_type(op, bias, x)
    if rank_of(x) == 2:
        return op.Gemm(x, weight, bias, transB=1)
    made = op.MatMul(x, permuted(op, weight, [1, 0]))
    return made if bias is None else op.Add(made, bias)


@ops.op("matmul", needs=(RANKED, ranked("y")))
def matmul(op, node, x, y):
    x, y = (as_type(op, x, y), y) if node.array("x") is not None else (x, as_type(op, y, x))
    sides = []
    for value, name in ((x, "transpose_x"), (y, "transpose_y")):
        rank = rank_of(value) or 0
        turned = node.get(name, False) and rank > 1
        sides.append(permuted(op, value, [*range(rank - 2), rank - 1, rank - 2]) if turned else value)
    return op.MatMul(*sides)


@ops.op("einsum")
def einsum(op, node):
    return op.Einsum(*node.values("values"), equation=node.get("equation").replace(" ", ""))


def channel_count(x: ir.Value) -> int:
    return int(list(x.shape or ())[1])


def _vector(op: hub.Builder, node: Any, name: str, x: ir.Value, default: float) -> Any:
    array = node.array(name)
    if array is not None:
        return like(op, x, array)
    return like(op, x, np.full(channel_count(x), default))


CHANNELS = condition("a known number of channels", lambda n: (n.dims("x") or [None, None])[1] is not None)


@ops.op("batch_norm", needs=(RANKED, CHANNELS))
def batch_norm(op, node, x):
    parts = (("gamma", 1), ("beta", 0), ("mean", 0), ("variance", 1))
    return op.BatchNormalization(
        x, *(_vector(op, node, n, x, d) for n, d in parts), epsilon=node.get("epsilon", 1e-5)
    )


@ops.op("instance_norm", needs=(RANKED, CHANNELS))
def instance_norm(op, node, x):
    gamma, beta = _vector(op, node, "gamma", x, 1), _vector(op, node, "beta", x, 0)
    return op.InstanceNormalization(x, gamma, beta, epsilon=node.get("epsilon", 1e-5))


@ops.op("layer_norm", needs=(RANKED,))
def layer_norm(op, node, x):
    rank = rank_of(x) or 0
    axes = node.get("axes")
    axes = list(range(rank)) if axes is None else [a % rank for a in np.ravel(axes).tolist()]
    gamma, beta = node.array("gamma"), node.array("beta")
    epsilon = node.get("epsilon", 1e-5)
    if axes == list(range(rank - len(axes), rank)) and gamma is not None:
        beta = None if beta is None else like(op, x, beta)
        return op.LayerNormalization(x, like(op, x, gamma), beta, axis=axes[0], epsilon=epsilon)
    centred = op.Sub(x, op.ReduceMean(x, np.asarray(axes, np.int64), keepdims=1))
    variance = op.ReduceMean(op.Mul(centred, centred), np.asarray(axes, np.int64), keepdims=1)
    made = op.Div(centred, op.Sqrt(op.Add(variance, like(op, x, epsilon))))
    dims = [int(d) if isinstance(d, int) else 1 for d in x.shape]
    spread = [dims[i] if i in axes else 1 for i in range(rank)]
    if gamma is not None:
        made = op.Mul(made, like(op, x, gamma.reshape(spread)))
    return made if beta is None else op.Add(made, like(op, x, beta.reshape(spread)))


@ops.op("l2_norm", needs=(RANKED,))
def l2_norm(op, node, x):
    total = op.ReduceSum(op.Mul(x, x), ints(-3, -2, -1), keepdims=1)
    return op.Div(x, op.Sqrt(op.Add(total, like(op, x, node.get("epsilon", 1e-6)))))


@ops.op(
    "local_response_norm",
    needs=(
        RANKED,
        CHANNELS,
        condition(
            "images of rank 4, as Apple's documents and its numbers disagree about others",
            lambda n: len(n.dims("x") or []) == 4,
        ),
        condition("an odd size", lambda n: n.get("size", 1) % 2 == 1),
    ),
)
def local_response_norm(op, node, x):
    numbers = [node.get(n, d) for n, d in (("size", 1), ("alpha", 1e-4), ("beta", 0.75), ("k", 1.0))]
    return response_norm(op, x, *numbers)


def response_norm(op: hub.Builder, x: ir.Value, size: int, alpha: float, beta: float, k: float) -> Any:
    """An even number of channels takes one more before than after; the hub's LRN the other way round, and
    images alone."""
    if size % 2 and rank_of(x) == 4:
        return op.LRN(x, size=size, alpha=alpha, beta=beta, bias=k)
    rank, count = rank_of(x) or 0, channel_count(x)
    pads = [0, size // 2, *[0] * (rank - 2), 0, (size - 1) // 2, *[0] * (rank - 2)]
    wide = op.Pad(op.Mul(x, x), np.asarray(pads, np.int64))
    parts = [op.Slice(wide, ints(i), ints(i + count), ints(1)) for i in range(size)]
    total = op.Add(op.Mul(op.Sum(*parts), like(op, x, alpha / size)), like(op, x, k))
    return op.Div(x, op.Pow(total, like(op, x, beta)))


@ops.op(
    "scaled_dot_product_attention",
    since=IOS18,
    needs=(ranked("query"),),
)
def attention(op, node, query, key, value, attn_mask=None):
    if rank_of(query) == 4 and attn_mask is None:
        return op.Attention(query, key, value)
    rank = rank_of(key) or 0
    size = query.shape[-1] if query.shape is not None else None
    if isinstance(size, int):
        scale = like(op, query, 1 / np.sqrt(size))
    else:
        length = op.Cast(lengths(op, query)[-1], to=int(query.dtype))
        scale = op.Reciprocal(op.Sqrt(length))
    scores = op.MatMul(query, op.Transpose(key, perm=[*range(rank - 2), rank - 1, rank - 2]))
    scores = op.Mul(scores, scale)
    if attn_mask is not None and attn_mask.dtype == ir.DataType.BOOL:
        scores = op.Where(attn_mask, scores, like(op, query, -np.inf))
    elif attn_mask is not None:
        scores = op.Add(scores, as_type(op, attn_mask, query))
    return op.MatMul(op.Softmax(scores, axis=-1), value)
