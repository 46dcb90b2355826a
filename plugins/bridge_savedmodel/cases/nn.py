"""Layers: products, convolutions, pools, normalizations, losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_savedmodel.cases.data import IMAGE, TWO, f


def neural_networks(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    odd = f(2, 9, 8, 4)
    cases: dict[str, tuple] = {}
    for padding in ("SAME", "VALID"):
        common = {"ksize": [1, 3, 2, 1], "strides": [1, 2, 2, 1], "padding": padding}
        cases |= {
            f"Conv2D {padding}": (
                lambda x, p=padding: raw.Conv2D(
                    input=x, filter=f(3, 3, 3, 5), strides=[1, 2, 1, 1], padding=p
                ),
                IMAGE,
            ),
            f"Conv2D dilated {padding}": (
                lambda x, p=padding: raw.Conv2D(
                    input=x, filter=f(3, 3, 2, 6), strides=[1, 1, 1, 1], padding=p, dilations=[1, 2, 2, 1]
                ),
                odd,
            ),
            f"Conv3D {padding}": (
                lambda x, p=padding: raw.Conv3D(
                    input=x, filter=f(2, 3, 2, 3, 4), strides=[1, 1, 2, 1, 1], padding=p
                ),
                f(1, 5, 6, 7, 3),
            ),
            f"DepthwiseConv2dNative {padding}": (
                lambda x, p=padding: raw.DepthwiseConv2dNative(
                    input=x, filter=f(3, 3, 3, 2), strides=[1, 2, 2, 1], padding=p
                ),
                IMAGE,
            ),
            f"MaxPool {padding}": (lambda x, c=common: raw.MaxPool(input=x, **c), IMAGE),
            f"MaxPoolV2 {padding}": (lambda x, c=common: raw.MaxPoolV2(input=x, **c), IMAGE),
            f"AvgPool {padding}": (lambda x, c=common: raw.AvgPool(value=x, **c), IMAGE),
            f"MaxPool3D {padding}": (
                lambda x, p=padding: raw.MaxPool3D(
                    input=x, ksize=[1, 2, 2, 2, 1], strides=[1, 2, 2, 2, 1], padding=p
                ),
                f(1, 5, 6, 7, 3),
            ),
            f"AvgPool3D {padding}": (
                lambda x, p=padding: raw.AvgPool3D(
                    input=x, ksize=[1, 2, 2, 2, 1], strides=[1, 2, 2, 2, 1], padding=p
                ),
                f(1, 5, 6, 7, 3),
            ),
            f"MaxPoolWithArgmax {padding}": (
                lambda x, c=common: raw.MaxPoolWithArgmax(input=x, include_batch_in_index=True, **c),
                IMAGE,
            ),
            f"Conv2DBackpropInput {padding}": (
                lambda x, p=padding: tf.nn.conv2d_transpose(
                    x,
                    np.ones((3, 3, 5, 3), np.float32),
                    [2, 14, 16, 5] if p == "SAME" else [2, 15, 17, 5],
                    2,
                    p,
                ),
                IMAGE,
            ),
        }
    normal = {"scale": f(3, low=0.5), "offset": f(3), "mean": f(3), "variance": f(3, low=0.5)}
    return cases | {
        "Conv2D EXPLICIT": (
            lambda x: raw.Conv2D(
                input=x,
                filter=f(3, 3, 3, 5),
                strides=[1, 1, 1, 1],
                padding="EXPLICIT",
                explicit_paddings=[0, 0, 1, 2, 0, 1, 0, 0],
            ),
            IMAGE,
        ),
        "MatMul": (lambda x, y: raw.MatMul(a=x, b=y, transpose_b=True), *TWO),
        "BatchMatMulV2": (lambda x, y: raw.BatchMatMulV2(x=x, y=y, adj_x=True), f(2, 1, 3, 4), f(3, 3, 5)),
        "Einsum": (lambda x, y: raw.Einsum(inputs=[x, y], equation="bij,bkj->bki"), f(2, 3, 4), f(2, 5, 4)),
        "Einsum ellipsis": (lambda x, y: tf.einsum("...ij,jk->...ik", x, y), f(2, 2, 3, 4), f(4, 5)),
        "FusedBatchNormV3": (lambda x: raw.FusedBatchNormV3(x=x, is_training=False, **normal)[0], IMAGE),
        "FusedBatchNormV3 training": (
            lambda x: raw.FusedBatchNormV3(
                x=x, is_training=True, scale=normal["scale"], offset=normal["offset"], mean=[], variance=[]
            )[0],
            IMAGE,
        ),
        "LRN": (lambda x: raw.LRN(input=x, depth_radius=1, bias=1.5, alpha=0.3, beta=0.6), f(1, 3, 4, 5)),
        "SpaceToDepth": (lambda x: raw.SpaceToDepth(input=x, block_size=2), f(1, 4, 6, 3)),
        "DepthToSpace": (lambda x: raw.DepthToSpace(input=x, block_size=2), f(1, 2, 3, 8)),
        "SpaceToBatch": (
            lambda x: raw.SpaceToBatch(input=x, block_size=2, paddings=[[1, 0], [0, 0]]),
            f(2, 5, 8, 3),
        ),
        "BatchToSpace": (
            lambda x: raw.BatchToSpace(input=x, block_size=2, crops=[[1, 0], [0, 1]]),
            f(8, 3, 4, 3),
        ),
        "SpaceToBatchND": (
            lambda x: raw.SpaceToBatchND(input=x, block_shape=[2, 3], paddings=[[1, 0], [0, 1]]),
            f(2, 5, 8, 3),
        ),
        "BatchToSpaceND": (
            lambda x: raw.BatchToSpaceND(input=x, block_shape=[2, 2], crops=[[1, 0], [0, 1]]),
            f(8, 3, 4, 3),
        ),
    }
