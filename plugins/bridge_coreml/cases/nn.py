"""Products, convolutions, pools, normalizations, attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bridge_coreml.cases.common import Program, b, by_torch, f, half, i, program, t

LINE, IMAGE, VOLUME = f(2, 4, 9), f(2, 4, 7, 8), f(1, 2, 5, 6, 4)
K1, K2, K3 = f(6, 4, 3), f(6, 4, 3, 2), f(3, 2, 2, 3, 2)
BIAS = f(6)


def programs(mb: Any) -> dict[str, Program]:
    return convolutions(mb) | transposed(mb) | pools(mb) | products(mb) | normalizations(mb) | attention(mb)


def convolutions(mb: Any) -> dict[str, Program]:
    def case(x: np.ndarray, want: Callable[..., Any], w: np.ndarray = K2, **attributes: Any) -> Program:
        return program(lambda x: mb.conv(x=x, weight=w, **attributes), x, want=by_torch(want))

    grouped = f(8, 2, 3, 3)
    stored = np.arange(6 * 4 * 3 * 2, dtype=np.uint8).reshape(6, 4, 3, 2)
    scale, offset = f(6, low=0.01, high=0.05), f(6)
    opened = stored * scale.reshape(6, 1, 1, 1) + offset.reshape(6, 1, 1, 1)
    return {
        "conv": case(IMAGE, lambda F, x: F.conv2d(x, t(K2), t(BIAS)), bias=BIAS, pad_type="valid"),
        "conv strides": case(
            IMAGE,
            lambda F, x: F.conv2d(F.pad(x, (0, 1, 1, 2)), t(K2), stride=(2, 1)),
            strides=[2, 1],
            pad_type="custom",
            pad=[1, 2, 0, 1],
        ),
        "conv same": case(
            IMAGE,
            lambda F, x: F.conv2d(F.pad(x, (0, 0, 1, 1)), t(K2), stride=2),
            strides=[2, 2],
            pad_type="same",
        ),
        "conv same_lower": program(
            lambda x: mb.conv(x=x, weight=K2, pad_type="same_lower"),
            IMAGE,
            target=16,
            want=by_torch(lambda F, x: F.conv2d(F.pad(x, (1, 0, 1, 1)), t(K2))),
        ),
        "conv dilations": case(
            IMAGE, lambda F, x: F.conv2d(x, t(K2), dilation=(2, 3)), dilations=[2, 3], pad_type="valid"
        ),
        "conv dilations same": case(
            IMAGE,
            lambda F, x: F.conv2d(F.pad(x, (1, 1, 2, 2)), t(K2), dilation=2),
            dilations=[2, 2],
            pad_type="same",
        ),
        "conv groups": case(
            IMAGE, lambda F, x: F.conv2d(x, t(grouped), groups=2), w=grouped, groups=2, pad_type="valid"
        ),
        "conv depthwise": case(
            IMAGE,
            lambda F, x: F.conv2d(x, t(grouped[:4, :1]), groups=4),
            w=grouped[:4, :1],
            groups=4,
            pad_type="valid",
        ),
        "conv 1d": case(
            LINE,
            lambda F, x: F.conv1d(x, t(K1), t(BIAS), stride=2),
            w=K1,
            bias=BIAS,
            strides=[2],
            pad_type="valid",
        ),
        "conv 3d": case(
            VOLUME, lambda F, x: F.conv3d(x, t(K3), padding=1), w=K3, pad_type="custom", pad=[1] * 6
        ),
        "conv running weight": program(
            lambda x, w: mb.conv(x=x, weight=w, pad_type="valid"),
            IMAGE,
            K2,
            want=by_torch(lambda F, x, w: F.conv2d(x, w)),
        ),
        "conv half": program(
            lambda x: mb.conv(x=x, weight=half(K2), pad_type="valid"),
            half(IMAGE),
            target=16,
            want=lambda x: half(
                by_torch(lambda F, x: F.conv2d(x, t(half(K2).astype(np.float32))))(x.astype(np.float32))[0]
            ),
        ),
        "conv_quantized": program(
            lambda x: mb.conv_quantized(
                x=x,
                weight=stored,
                quantization_type="linear",
                quant_scale=scale,
                quant_bias=offset,
                pad_type="valid",
            ),
            IMAGE,
            want=by_torch(lambda F, x: F.conv2d(x, t(opened.astype(np.float32)))),
        ),
    }


def transposed(mb: Any) -> dict[str, Program]:
    w1, w2, w3, bias = f(4, 5, 3), f(4, 5, 3, 2), f(2, 3, 2, 3, 2), f(5)

    def case(x: np.ndarray, want: Callable[..., Any], w: np.ndarray = w2, **attributes: Any) -> Program:
        return program(lambda x: mb.conv_transpose(x=x, weight=w, **attributes), x, want=by_torch(want))

    return {
        "conv_transpose": case(
            IMAGE,
            lambda F, x: F.conv_transpose2d(x, t(w2), t(bias), stride=(2, 1)),
            bias=bias,
            strides=[2, 1],
        ),
        "conv_transpose pad": case(
            IMAGE,
            lambda F, x: F.conv_transpose2d(x, t(w2), stride=2)[:, :, 1:-1, :-1],
            strides=[2, 2],
            pad_type="custom",
            pad=[1, 1, 0, 1],
        ),
        "conv_transpose shape": case(
            IMAGE,
            lambda F, x: F.conv_transpose2d(x, t(w2), stride=2, padding=(1, 0), output_padding=(1, 1)),
            strides=[2, 2],
            pad_type="custom",
            pad=[1, 1, 0, 0],
            output_shape=[2, 5, 14, 17],
        ),
        "conv_transpose groups": case(
            IMAGE, lambda F, x: F.conv_transpose2d(x, t(w2), groups=2, dilation=2), groups=2, dilations=[2, 2]
        ),
        "conv_transpose 1d": case(
            LINE, lambda F, x: F.conv_transpose1d(x, t(w1), stride=3), w=w1, strides=[3]
        ),
        "conv_transpose 3d": case(
            VOLUME, lambda F, x: F.conv_transpose3d(x, t(w3), stride=2), w=w3, strides=[2, 2, 2]
        ),
    }


def pools(mb: Any) -> dict[str, Program]:
    found: dict[str, Program] = {}
    line = (LINE, "1d", [3], [2], (1, 0))
    flat = (IMAGE, "2d", [3, 2], [2, 2], (0, 1, 1, 0))
    deep = (VOLUME, "3d", [2, 3, 2], [2, 1, 2], (1, 0, 0, 1, 0, 1))
    for x, rank, kernel, strides, pad in (line, flat, deep):
        variants = {"kernel_sizes": kernel, "strides": strides}
        torch_max = by_torch(lambda F, x, r=rank, k=kernel, s=strides: getattr(F, f"max_pool{r}")(x, k, s))
        torch_avg = by_torch(lambda F, x, r=rank, k=kernel, s=strides: getattr(F, f"avg_pool{r}")(x, k, s))
        found[f"max_pool {rank}"] = program(
            lambda x, w=variants: mb.max_pool(x=x, pad_type="valid", **w), x, want=torch_max
        )
        found[f"avg_pool {rank}"] = program(
            lambda x, w=variants: mb.avg_pool(x=x, pad_type="valid", **w), x, want=torch_avg
        )
        padded = by_torch(
            lambda F, x, r=rank, k=kernel, s=strides, p=pad: getattr(F, f"max_pool{r}")(
                F.pad(x, p, value=-np.inf), k, s
            )
        )
        average = by_torch(
            lambda F, x, r=rank, k=kernel, s=strides, p=pad: getattr(F, f"avg_pool{r}")(F.pad(x, p), k, s)
        )
        share = by_torch(
            lambda F, x, r=rank, k=kernel, s=strides, p=pad: (
                getattr(F, f"avg_pool{r}")(F.pad(x, p), k, s)
                / getattr(F, f"avg_pool{r}")(F.pad(x * 0 + 1, p), k, s)
            )
        )
        held = [v for n in range(len(pad) // 2 - 1, -1, -1) for v in pad[2 * n : 2 * n + 2]]
        attributes = {**variants, "pad_type": "custom", "pad": held}
        found[f"max_pool {rank} pad"] = program(lambda x, h=attributes: mb.max_pool(x=x, **h), x, want=padded)
        found[f"avg_pool {rank} pad"] = program(
            lambda x, h=attributes: mb.avg_pool(x=x, **h), x, want=average
        )
        found[f"avg_pool {rank} exclude"] = program(
            lambda x, h=attributes: mb.avg_pool(x=x, exclude_padding_from_average=True, **h), x, want=share
        )
    two = {"kernel_sizes": [2, 2], "strides": [2, 2]}
    root = by_torch(lambda F, x: (F.avg_pool2d(x * x, 2, 2) * 4).sqrt())
    return found | {
        "max_pool same": program(
            lambda x: mb.max_pool(x=x, pad_type="same", **two),
            IMAGE,
            want=by_torch(lambda F, x: F.max_pool2d(x, 2, 2, ceil_mode=True)),
        ),
        "avg_pool same": program(
            lambda x: mb.avg_pool(x=x, pad_type="same", exclude_padding_from_average=True, **two),
            IMAGE,
            want=by_torch(lambda F, x: F.avg_pool2d(x, 2, 2, ceil_mode=True)),
        ),
        "max_pool ceil": program(
            lambda x: mb.max_pool(x=x, pad_type="valid", ceil_mode=True, **two),
            IMAGE,
            want=by_torch(lambda F, x: F.max_pool2d(x, 2, 2, ceil_mode=True)),
        ),
        "avg_pool ceil": program(
            lambda x: mb.avg_pool(
                x=x, pad_type="valid", ceil_mode=True, exclude_padding_from_average=True, **two
            ),
            IMAGE,
            want=by_torch(lambda F, x: F.avg_pool2d(x, 2, 2, ceil_mode=True)),
        ),
        "l2_pool": program(lambda x: mb.l2_pool(x=x, pad_type="valid", **two), IMAGE, want=root),
        "l2_pool 1d": program(
            lambda x: mb.l2_pool(x=x, pad_type="valid", kernel_sizes=[3], strides=[1]),
            LINE,
            want=by_torch(lambda F, x: (F.avg_pool1d(x * x, 3, 1) * 3).sqrt()),
        ),
    }


def products(mb: Any) -> dict[str, Program]:
    w, bias, whole = f(5, 4), f(5), i(5, 4)
    return {
        "linear": program(lambda x: mb.linear(x=x, weight=w, bias=bias), f(3, 4)),
        "linear rank 3": program(lambda x: mb.linear(x=x, weight=w), f(2, 3, 4)),
        "linear rank 1": program(lambda x: mb.linear(x=x, weight=w, bias=bias), f(4)),
        "linear whole": program(lambda x: mb.linear(x=x, weight=whole, bias=whole[:, 0]), i(3, 4)),
        "matmul": program(lambda x, y: mb.matmul(x=x, y=y), f(3, 4), f(4, 2)),
        "matmul batch": program(lambda x, y: mb.matmul(x=x, y=y), f(2, 1, 3, 4), f(5, 4, 2)),
        "matmul turned": program(
            lambda x, y: mb.matmul(x=x, y=y, transpose_x=True, transpose_y=True), f(2, 4, 3), f(2, 5, 4)
        ),
        "matmul constant": program(lambda x: mb.matmul(x=x, y=w, transpose_y=True), f(2, 3, 4)),
        "matmul vector": program(lambda x, y: mb.matmul(x=x, y=y), f(4), f(2, 4, 3), want=lambda x, y: x @ y),
        "matmul whole": program(lambda x, y: mb.matmul(x=x, y=y), i(3, 4), i(4, 2)),
        "einsum": program(
            lambda x, y: mb.einsum(values=(x, y), equation="chw,whr->chr"), f(2, 3, 4), f(4, 3, 5)
        ),
        "einsum rank 4": program(
            lambda x, y: mb.einsum(values=(x, y), equation="nchw,nwhu->nchu"), f(1, 2, 3, 4), f(1, 4, 3, 5)
        ),
        "einsum spread": program(
            lambda x, y: mb.einsum(values=(x, y), equation="nchw,nwhu->nchu"), f(2, 2, 3, 4), f(1, 4, 1, 5)
        ),
    }


def normalizations(mb: Any) -> dict[str, Program]:
    gamma, beta, mean, variance = f(4), f(4), f(4), f(4, low=0.1)
    statistics = {"gamma": gamma, "beta": beta, "mean": mean, "variance": variance}
    wide, more = f(3, 4), f(3, 4)
    x = f(2, 3, 4)

    def batch(F: Any, x: Any, epsilon: float = 1e-5) -> Any:
        return F.batch_norm(x, t(mean), t(variance), t(gamma), t(beta), eps=epsilon)

    return {
        "batch_norm": program(
            lambda x: mb.batch_norm(x=x, epsilon=1e-3, **statistics),
            IMAGE,
            want=by_torch(lambda F, x: batch(F, x, 1e-3)),
        ),
        "batch_norm rank 3": program(lambda x: mb.batch_norm(x=x, **statistics), LINE, want=by_torch(batch)),
        "batch_norm rank 5": program(
            lambda x: mb.batch_norm(x=x, mean=mean, variance=variance),
            f(1, 4, 2, 3, 2),
            want=by_torch(lambda F, x: F.batch_norm(x, t(mean), t(variance))),
        ),
        "instance_norm": program(
            lambda x: mb.instance_norm(x=x, gamma=gamma, beta=beta, epsilon=1e-3),
            IMAGE,
            want=by_torch(lambda F, x: F.instance_norm(x, weight=t(gamma), bias=t(beta), eps=1e-3)),
        ),
        "instance_norm rank 3": program(
            lambda x: mb.instance_norm(x=x), LINE, want=by_torch(lambda F, x: F.instance_norm(x))
        ),
        "layer_norm": program(
            lambda x: mb.layer_norm(x=x, axes=[-1], gamma=gamma, beta=beta),
            x,
            want=by_torch(lambda F, x: F.layer_norm(x, (4,), t(gamma), t(beta))),
        ),
        "layer_norm two": program(
            lambda x: mb.layer_norm(x=x, axes=[1, 2], gamma=wide, beta=more, epsilon=1e-3),
            x,
            want=by_torch(lambda F, x: F.layer_norm(x, (3, 4), t(wide), t(more), 1e-3)),
        ),
        "layer_norm plain": program(
            lambda x: mb.layer_norm(x=x, axes=[2]), x, want=by_torch(lambda F, x: F.layer_norm(x, (4,)))
        ),
        "layer_norm channels": program(
            lambda x: mb.layer_norm(x=x, axes=[1], gamma=gamma, beta=beta),
            IMAGE,
            want=by_torch(
                lambda F, x: F.layer_norm(x.movedim(1, -1), (4,), t(gamma), t(beta)).movedim(-1, 1)
            ),
        ),
        "layer_norm all": program(
            lambda x: mb.layer_norm(x=x, axes=[0, 1]),
            f(3, 4),
            want=by_torch(lambda F, x: F.layer_norm(x, (3, 4))),
        ),
        "l2_norm": program(
            lambda x: mb.l2_norm(x=x, epsilon=1e-3),
            IMAGE,
            want=lambda x: x / np.sqrt((x * x).sum((1, 2, 3), keepdims=True) + 1e-3),
        ),
        "l2_norm rank 3": program(
            lambda x: mb.l2_norm(x=x), x, want=lambda x: x / np.sqrt((x * x).sum() + 1e-6)
        ),
        "local_response_norm": program(
            lambda x: mb.local_response_norm(x=x, size=3, alpha=0.5, beta=0.6, k=1.5),
            IMAGE,
            want=by_torch(lambda F, x: F.local_response_norm(x, 3, 0.5, 0.6, 1.5)),
        ),
    }


def attention(mb: Any) -> dict[str, Program]:
    q, k, v = f(2, 3, 4, 8), f(2, 3, 5, 8), f(2, 3, 5, 6)

    def case(*arrays: np.ndarray) -> Program:
        return program(
            lambda q, k, v, *m: mb.scaled_dot_product_attention(
                query=q, key=k, value=v, attn_mask=m[0] if m else None
            ),
            *arrays,
            target=18,
            want=by_torch(lambda F, q, k, v, *m: F.scaled_dot_product_attention(q, k, v, *m)),
        )

    mask = b(4, 5)
    mask[:, 0] = True
    return {
        "scaled_dot_product_attention": case(q, k, v),
        "scaled_dot_product_attention mask": case(q, k, v, f(4, 5)),
        "scaled_dot_product_attention truth": case(q, k, v, mask),
        "scaled_dot_product_attention rank 3": case(q[0], k[0], v[0]),
    }
