"""Operators that ONNX lacks, of constants alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_savedmodel.cases.data import X, f, i, s


def constant_arguments(tf: Any) -> dict[str, tuple]:
    """Operators ONNX has not, of constants."""
    raw = tf.raw_ops
    square = f(3, 3)
    return {
        "Qr of a constant": (lambda x: x @ raw.Qr(input=square)[0], X[:, :3].copy()),
        "Svd of a constant": (lambda x: x @ raw.Svd(input=square)[2], X[:, :3].copy()),
        "StatelessTruncatedNormal of a constant seed": (
            lambda x: x + raw.StatelessTruncatedNormal(shape=[4], seed=np.array([3, 9])),
            X,
        ),
        "kaiser window": (lambda x: x * tf.signal.kaiser_window(4), X),
        "StringToHashBucketFast of constants": (
            lambda x: tf.equal(raw.StringToHashBucketFast(input=["a", "bc", "d", ""], num_buckets=7), x),
            i(4, low=0, high=7).astype(np.int64),
        ),
        "Substr of constants": (
            lambda x: raw.StringJoin(inputs=[raw.Substr(input=["abc", "de"], pos=1, len=1), x]),
            s("x", "y"),
        ),
    }
