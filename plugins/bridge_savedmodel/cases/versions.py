"""Operators of which TensorFlow has several versions."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_savedmodel.cases.data import IMAGE, X, f, i, s


def versions(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    squares, rows = f(2, 3, 3), f(2, 3)
    volume = f(1, 3, 4, 3, 2)
    scale = [f(3, low=0.5), f(3), f(3), f(3, low=0.5)]

    def batch_norm(name: str) -> Any:
        def normalize(x: Any) -> Any:
            parameters = dict(zip(("scale", "offset", "mean", "variance"), scale, strict=True))
            return getattr(raw, name)(x=x, **parameters, is_training=False)[0]

        return normalize

    return {
        "BatchMatMul": (lambda x, y: raw.BatchMatMul(x=x, y=y, adj_y=True), f(2, 3, 4), f(2, 5, 4)),
        "BatchMatMulV3": (lambda x, y: raw.BatchMatMulV3(x=x, y=y, Tout=tf.float32), f(2, 3, 4), f(4, 5)),
        "ConjugateTranspose": (lambda x: raw.ConjugateTranspose(x=x, perm=[1, 0]), X),
        "Conv3DBackpropInputV2": (
            lambda x: raw.Conv3DBackpropInputV2(
                input_sizes=[1, 6, 8, 6, 3],
                filter=f(2, 3, 2, 3, 2),
                out_backprop=x,
                strides=[1, 2, 2, 2, 1],
                padding="SAME",
            ),
            volume,
        ),
        "FusedBatchNorm": (batch_norm("FusedBatchNorm"), IMAGE),
        "FusedBatchNormV2": (batch_norm("FusedBatchNormV2"), IMAGE),
        "Gather": (lambda x, at: raw.Gather(params=x, indices=at), X, i(5, low=0, high=3)),
        "InTopK": (lambda v, t: raw.InTopK(predictions=v, targets=t, k=2), X, i(3, low=0, high=4)),
        "MatrixDiag": (lambda x: raw.MatrixDiag(diagonal=x), rows),
        "MatrixDiagV2": (
            lambda x: raw.MatrixDiagV2(diagonal=x, k=0, num_rows=-1, num_cols=-1, padding_value=2.0),
            rows,
        ),
        "MatrixDiagPart": (lambda x: raw.MatrixDiagPart(input=x), f(2, 3, 4)),
        "MatrixDiagPartV2": (lambda x: raw.MatrixDiagPartV2(input=x, k=0, padding_value=0.0), f(2, 4, 3)),
        "MatrixSetDiag": (lambda x, d: raw.MatrixSetDiag(input=x, diagonal=d), squares, rows),
        "MatrixSetDiagV2": (lambda x, d: raw.MatrixSetDiagV2(input=x, diagonal=d, k=0), squares, rows),
        "Mod": (lambda x, y: raw.Mod(x=x, y=y), i(20), i(20, low=1)),
        "Reverse": (lambda x: raw.Reverse(tensor=x, dims=[False, True, True]), f(2, 3, 4)),
        "UniqueWithCountsV2": (lambda v: raw.UniqueWithCountsV2(x=v, axis=[0]), i(9, low=0, high=4)),
        "QuantizeAndDequantizeV4": (
            lambda x: raw.QuantizeAndDequantizeV4(input=x, input_min=-1.0, input_max=1.5, range_given=True),
            X,
        ),
        "ParallelDynamicStitch": (
            lambda x, y: raw.ParallelDynamicStitch(indices=[[0, 2, 4], [1, 3]], data=[x, y[:2]]),
            X,
            X,
        ),
        "RegexFullMatch": (lambda x: raw.RegexFullMatch(input=x, pattern="[a-c]+"), s("abc", "d", "")),
        "InplaceAdd": (lambda x, v: raw.InplaceAdd(x=x, i=[2, 0], v=v), X, f(2, 4)),
        "FFT3D": (lambda x: tf.abs(raw.FFT3D(input=raw.Complex(real=x, imag=x * 2))), f(2, 3, 4, 5)),
        "IFFT3D": (lambda x: tf.abs(raw.IFFT3D(input=raw.Complex(real=x, imag=x * 2))), f(2, 3, 4, 5)),
        "IFFT2D": (lambda x: tf.abs(raw.IFFT2D(input=raw.Complex(real=x, imag=x * 2))), f(2, 4, 5)),
        "Roll far": (lambda x: raw.Roll(input=x, shift=[5, -9], axis=[0, 1]), X),
        "Roll at run time": (
            lambda x, n: raw.Roll(input=x, shift=n, axis=[-1, 0]),
            X,
            np.array([7, -2], np.int32),
        ),
        "fftshift": (tf.signal.fftshift, f(4, 5)),
        "BatchMatMul complex": (
            lambda x: tf.abs(
                raw.BatchMatMul(x=raw.Complex(real=x, imag=x), y=raw.Complex(real=x, imag=-2 * x))
            ),
            squares,
        ),
    }
