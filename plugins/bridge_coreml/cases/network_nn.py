"""Layers of neural networks: convolutions, pools, normalizations, images, recurrences."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_coreml.cases.common import RNG, by_torch, f, t
from bridge_coreml.cases.network import IMAGE, Network, X, add_layer, layer, network


def layers() -> dict[str, Network]:
    return convolutions() | images() | recurrent()


def convolutions() -> dict[str, Network]:
    kernel, bias, dense = f(6, 4, 3, 2), f(6), f(5, 12)
    laid = kernel.transpose(2, 3, 1, 0)
    up = f(4, 5, 2, 2)
    gamma, beta, mean, variance = f(4), f(4), f(4), f(4, low=0.1)
    volume, k3 = f(1, 2, 5, 6, 4), f(3, 2, 2, 3, 2)

    def conv(want: Any, border_mode: str = "valid", stride: int = 1, **more: Any) -> Network:
        return layer(
            "convolution",
            IMAGE,
            kernel_channels=4,
            output_channels=6,
            height=3,
            width=2,
            stride_height=stride,
            stride_width=stride,
            border_mode=border_mode,
            groups=1,
            W=laid,
            b=bias,
            has_bias=True,
            want=by_torch(want),
            **more,
        )

    def pool(layer_type: str, want: Any, **more: Any) -> Network:
        window = {"height": 2, "width": 2, "stride_height": 2, "stride_width": 2}
        kind = {"layer_type": layer_type, "padding_type": "VALID"}
        return layer("pooling", IMAGE, **window, **kind, want=want, **more)

    own = {"channels": 4, "gamma": gamma, "beta": beta, "mean": None, "variance": None}
    computed = own | {"compute_mean_var": True, "instance_normalization": True}

    def batch_statistics(b: Any) -> None:
        add_layer(b, "batchnorm", computed).batchnorm.ClearField("instanceNormalization")

    return {
        "convolution": conv(lambda F, x: F.conv2d(x, t(kernel), t(bias))),
        "convolution pad": conv(
            lambda F, x: F.conv2d(F.pad(x, (2, 0, 1, 0)), t(kernel), t(bias), 2),
            stride=2,
            padding_top=1,
            padding_left=2,
        ),
        "convolution same": conv(
            lambda F, x: F.conv2d(F.pad(x, (0, 1, 1, 1)), t(kernel), t(bias)), border_mode="same"
        ),
        "convolution dilation": conv(
            lambda F, x: F.conv2d(x, t(kernel), t(bias), dilation=(2, 3)), dilation_factors=[2, 3]
        ),
        "convolution transposed": layer(
            "convolution",
            IMAGE,
            kernel_channels=4,
            output_channels=5,
            height=2,
            width=2,
            stride_height=2,
            stride_width=2,
            border_mode="valid",
            groups=1,
            W=up.transpose(2, 3, 0, 1),
            b=None,
            has_bias=False,
            is_deconv=True,
            want=by_torch(lambda F, x: F.conv_transpose2d(x, t(up), stride=2)),
        ),
        "convolution3d": layer(
            "convolution3d",
            volume,
            input_channels=2,
            output_channels=3,
            depth=2,
            height=3,
            width=2,
            W=k3,
            b=None,
            has_bias=False,
            want=by_torch(lambda F, x: F.conv3d(x, t(k3))),
        ),
        "pooling max": pool("MAX", by_torch(lambda F, x: F.max_pool2d(x, 2))),
        "pooling average": pool(
            "AVERAGE",
            by_torch(lambda F, x: F.avg_pool2d(x, 2, padding=(1, 0), count_include_pad=False)),
            padding_top=1,
            padding_bottom=1,
        ),
        "pooling l2": pool("L2", by_torch(lambda F, x: (F.avg_pool2d(x * x, 2) * 4).sqrt())),
        "pooling global": pool("AVERAGE", lambda x: x.mean((2, 3), keepdims=True), is_global=True),
        "pooling3d": layer(
            "pooling3d",
            volume,
            pooling_type="MAX",
            kernel_depth=2,
            kernel_height=3,
            kernel_width=2,
            stride_depth=2,
            stride_height=1,
            stride_width=2,
            want=by_torch(lambda F, x: F.max_pool3d(x, (2, 3, 2), (2, 1, 2))),
        ),
        "globalPooling3d": layer(
            "global_pooling3d",
            volume,
            pooling_type="AVERAGE",
            want=lambda x: x.mean((2, 3, 4), keepdims=True),
        ),
        "innerProduct": layer(
            "inner_product",
            f(3, 12),
            W=dense,
            b=dense[:, 0],
            input_channels=12,
            output_channels=5,
            has_bias=True,
            want=lambda x: x @ dense.T + dense[:, 0],
        ),
        "batchnorm": layer(
            "batchnorm",
            IMAGE,
            channels=4,
            gamma=gamma,
            beta=beta,
            mean=mean,
            variance=variance,
            want=by_torch(lambda F, x: F.batch_norm(x, t(mean), t(variance), t(gamma), t(beta))),
        ),
        "batchnorm instance": layer(
            "batchnorm",
            IMAGE,
            **computed,
            want=by_torch(lambda F, x: F.instance_norm(x, weight=t(gamma), bias=t(beta))),
        ),
        "batchnorm batch": network(
            batch_statistics,
            f(2, 4, 3, 5),
            want=by_torch(lambda F, x: F.batch_norm(x, None, None, t(gamma), t(beta), True)),
        ),
        "layerNormalization": layer(
            "layer_normalization",
            X,
            normalized_shape=(4,),
            gamma=gamma,
            beta=beta,
            want=by_torch(lambda F, x: F.layer_norm(x, (4,), t(gamma), t(beta))),
        ),
        "scale": layer(
            "scale",
            IMAGE,
            W=gamma,
            b=beta,
            has_bias=True,
            shape_scale=(4, 1, 1),
            shape_bias=(4, 1, 1),
            want=lambda x: x * gamma.reshape(4, 1, 1) + beta.reshape(4, 1, 1),
        ),
        "bias": layer(
            "bias", IMAGE, b=gamma, shape_bias=(4, 1, 1), want=lambda x: x + gamma.reshape(4, 1, 1)
        ),
        "lrn": layer(
            "lrn",
            IMAGE,
            alpha=0.5,
            beta=0.6,
            local_size=3,
            k=1.5,
            want=by_torch(lambda F, x: F.local_response_norm(x, 3, 0.5, 0.6, 1.5)),
        ),
        "categoricalDistribution": layer(
            "categorical_distribution",
            f(3, 5),
            num_samples=4,
            want=lambda x: np.zeros((3, 4)),
            random=True,
        ),
    }


def images() -> dict[str, Network]:
    return {
        "upsample": layer(
            "upsample",
            IMAGE,
            scaling_factor_h=2,
            scaling_factor_w=3,
            want=lambda x: x.repeat(2, 2).repeat(3, 3),
        ),
        "upsample bilinear": layer(
            "upsample",
            IMAGE,
            scaling_factor_h=2,
            scaling_factor_w=3,
            mode="BILINEAR",
            linear_upsample_mode="ALIGN_CORNERS_TRUE",
            want=by_torch(
                lambda F, x: F.interpolate(x, scale_factor=(2, 3), mode="bilinear", align_corners=True)
            ),
        ),
        "resizeBilinear": layer(
            "resize_bilinear",
            IMAGE,
            target_height=9,
            target_width=5,
            mode="STRICT_ALIGN_ENDPOINTS_MODE",
            want=by_torch(lambda F, x: F.interpolate(x, (9, 5), mode="bilinear", align_corners=True)),
        ),
        "padding": layer(
            "padding",
            IMAGE,
            left=1,
            right=2,
            top=0,
            bottom=1,
            value=1.5,
            want=lambda x: np.pad(x, ((0, 0), (0, 0), (0, 1), (1, 2)), constant_values=1.5),
        ),
        "padding reflection": layer(
            "padding",
            IMAGE,
            left=1,
            right=2,
            top=0,
            bottom=1,
            value=0,
            padding_type="reflection",
            want=lambda x: np.pad(x, ((0, 0), (0, 0), (0, 1), (1, 2)), "reflect"),
        ),
        "crop": layer(
            "crop", IMAGE, left=1, right=2, top=0, bottom=1, offset=[0, 0], want=lambda x: x[:, :, :-1, 1:-2]
        ),
        "reorganizeData": layer(
            "reorganize_data",
            IMAGE,
            mode="PIXEL_SHUFFLE",
            block_size=2,
            want=by_torch(lambda F, x: F.pixel_shuffle(x, 2)),
        ),
    }


def recurrent() -> dict[str, Network]:
    """Sequences [time, batch, features, 1, 1]; gates of an LSTM are stacked as input, forget, output,
    cell."""
    size, x, h, c = 5, f(4, 2, 3, 1, 1), f(1, 2, 5, 1, 1), f(1, 2, 5, 1, 1)
    w, u, bias = (
        [RNG.uniform(-1, 1, s).astype(np.float32) for _ in range(4)]
        for s in ((size, 3), (size, size), (size,))
    )
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    deep = lambda v: v.reshape(-1, 2, size, 1, 1)  # noqa: E731

    def lstm(x: np.ndarray, h: np.ndarray, c: np.ndarray) -> list[np.ndarray]:
        rows, h, c, found = x[..., 0, 0], h[0, ..., 0, 0], c[0, ..., 0, 0], []
        for row in rows:
            i, f, o, g = (row @ w[n].T + h @ u[n].T + bias[n] for n in range(4))
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            found.append(h)
        return [deep(np.stack(found)), deep(h), deep(c)]

    def rnn(x: np.ndarray, h: np.ndarray) -> list[np.ndarray]:
        state, found = h[0, ..., 0, 0], []
        for row in x[..., 0, 0]:
            state = np.tanh(row @ w[0].T + state @ u[0].T + bias[0])
            found.append(state)
        return [deep(np.stack(found)), deep(state)]

    return {
        "uniDirectionalLSTM": layer(
            "unilstm",
            x,
            h,
            c,
            W_h=u,
            W_x=w,
            b=bias,
            hidden_size=size,
            input_size=3,
            output_all=True,
            want=lstm,
        ),
        "simpleRecurrent": layer(
            "simple_rnn",
            x,
            h,
            W_h=u[0],
            W_x=w[0],
            b=bias[0],
            hidden_size=size,
            input_size=3,
            activation="TANH",
            output_all=True,
            want=rnn,
        ),
    }
