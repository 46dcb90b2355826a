"""Reductions and extremes."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_savedmodel.cases.data import X, b, f, i


def reductions(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    x = f(2, 3, 4)
    cases: dict[str, tuple] = {
        n: (lambda v, n=n: getattr(raw, n)(input=v, axis=[0, 2], keep_dims=True), x)
        for n in ["Sum", "Mean", "Prod", "Max", "Min", "EuclideanNorm"]
    }
    cases |= {
        f"{n} all": (lambda v, n=n: getattr(raw, n)(input=v, axis=[0, 1, 2]), x) for n in ("Sum", "Max")
    }
    cases |= {n: (lambda v, n=n: getattr(raw, n)(input=v, axis=[-1]), b(3, 4)) for n in ("All", "Any")}
    return cases | {
        "Sum of nothing": (lambda v: raw.Sum(input=v, axis=np.zeros(0, np.int32)), x),
        "ArgMax": (lambda v: raw.ArgMax(input=v, dimension=1), x),
        "ArgMin": (lambda v: raw.ArgMin(input=v, dimension=-1, output_type=tf.int32), x),
        "Cumsum": (lambda v: raw.Cumsum(x=v, axis=1, exclusive=True, reverse=True), x),
        "Cumprod": (lambda v: raw.Cumprod(x=v, axis=1), x),
        "TopKV2": (lambda v: raw.TopKV2(input=v, k=2, sorted=True), x),
        "NthElement": (lambda v: raw.NthElement(input=v, n=1), x),
        "InTopKV2": (lambda v, t: raw.InTopKV2(predictions=v, targets=t, k=2), X, i(3, low=0, high=4)),
        "Unique": (lambda v: raw.Unique(x=v), i(12, low=0, high=4)),
        "UniqueV2": (lambda v: raw.UniqueV2(x=v, axis=[0], out_idx=tf.int64), i(6, 1, low=0, high=3)),
        "UniqueWithCounts": (lambda v: raw.UniqueWithCounts(x=v), i(12, low=0, high=4)),
        "Bincount": (
            lambda v: raw.Bincount(arr=v, size=5, weights=np.zeros(0, np.int32)),
            i(12, low=0, high=8),
        ),
        "DenseBincount": (
            lambda v: raw.DenseBincount(input=v, size=5, weights=np.zeros(0, np.float32)),
            i(2, 6, low=0, high=5),
        ),
        "LowerBound": (lambda v: raw.LowerBound(sorted_inputs=np.float32([[-1, 0, 1]]), values=v), f(1, 5)),
        "UpperBound": (lambda v: raw.UpperBound(sorted_inputs=np.float32([[-1, 0, 1]]), values=v), f(1, 5)),
        "Bucketize": (lambda v: raw.Bucketize(input=v, boundaries=[-1.0, 0.0, 1.0]), X),
        "SoftmaxCrossEntropyWithLogits": (
            lambda v, t: raw.SoftmaxCrossEntropyWithLogits(features=v, labels=t),
            X,
            f(3, 4, low=0),
        ),
        "SparseSoftmaxCrossEntropyWithLogits": (
            lambda v, t: raw.SparseSoftmaxCrossEntropyWithLogits(features=v, labels=t)[0],
            X,
            i(3, low=0, high=4),
        ),
    }
