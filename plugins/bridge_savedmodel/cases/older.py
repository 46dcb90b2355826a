"""Operators of several versions, and those TensorFlow writes beside what the model computes, as functions of
small inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_savedmodel.cases.operators import IMAGE, X, f, i, s


def versions(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    squares, rows = f(2, 3, 3), f(2, 3)
    volume = f(1, 3, 4, 3, 2)
    scale = [f(3, low=0.5), f(3), f(3), f(3, low=0.5)]

    def norm(name: str) -> Any:
        def made(x: Any) -> Any:
            given = dict(zip(("scale", "offset", "mean", "variance"), scale, strict=True))
            return getattr(raw, name)(x=x, **given, is_training=False)[0]

        return made

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
        "FusedBatchNorm": (norm("FusedBatchNorm"), IMAGE),
        "FusedBatchNormV2": (norm("FusedBatchNormV2"), IMAGE),
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


def segments(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    data = f(6, 3)
    return {
        f"SparseSegment{k}WithNumSegments": (
            lambda x, k=k: getattr(raw, f"SparseSegment{k}WithNumSegments")(
                data=x, indices=[0, 2, 4, 5], segment_ids=[0, 0, 2, 2], num_segments=4
            ),
            data,
        )
        for k in ("Sum", "Mean", "SqrtN")
    }


def lists(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops

    def of(x: Any) -> Any:
        return raw.TensorListFromTensor(tensor=x, element_shape=[4])

    def stacked(handle: Any) -> Any:
        return raw.TensorListStack(input_handle=handle, element_shape=[4], element_dtype=tf.float32)

    def pushed(x: Any) -> Any:
        made = raw.EmptyTensorList(element_shape=[4], max_num_elements=-1, element_dtype=tf.float32)
        for n in (2, 0):
            made = raw.TensorListPushBack(input_handle=made, tensor=x[n])
        return stacked(made)

    def popped(x: Any) -> Any:
        rest, last = raw.TensorListPopBack(input_handle=of(x), element_shape=[4], element_dtype=tf.float32)
        return stacked(rest), last

    return {
        "TensorListPushBack": (pushed, X),
        "TensorListPopBack": (popped, X),
        "TensorListLength": (lambda x: raw.TensorListLength(input_handle=of(x)), X),
        "TensorListGather": (
            lambda x: raw.TensorListGather(
                input_handle=of(x), indices=[2, 0], element_shape=[4], element_dtype=tf.float32
            ),
            X,
        ),
        "TensorListConcatV2": (
            lambda x: raw.TensorListConcatV2(
                input_handle=raw.TensorListFromTensor(tensor=x, element_shape=[3, 4]),
                element_shape=[3, 4],
                leading_dims=np.zeros(0, np.int64),
                element_dtype=tf.float32,
            )[0],
            f(2, 3, 4),
        ),
        "TensorListConcatLists": (
            lambda x, y: stacked(
                raw.TensorListConcatLists(input_a=of(x), input_b=of(y), element_dtype=tf.float32)
            ),
            X,
            X,
        ),
        "TensorListScatter": (
            lambda x: stacked(
                raw.TensorListScatter(tensor=tf.ensure_shape(x, [3, 4]), indices=[2, 0, 1], element_shape=[4])
            ),
            X,
        ),
    }


def beside(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops

    def printed(x: Any) -> Any:
        with tf.control_dependencies([tf.debugging.assert_greater(tf.size(x), 0)]):
            return raw.Print(input=x, data=[x], first_n=0) + 1

    return {
        "Print": (printed, X),
        "CheckNumericsV2": (lambda x: raw.CheckNumericsV2(tensor=x, message="m") + 0, X),
        "PreventGradient": (lambda x: raw.PreventGradient(input=x) + 0, X),
        "GuaranteeConst": (lambda x: raw.GuaranteeConst(input=x) + 0, X),
        "DeepCopy": (lambda x: raw.DeepCopy(x=x) + 0, X),
        "PlaceholderWithDefault": (lambda x: raw.PlaceholderWithDefault(input=X, shape=[3, 4]) + x, X),
        "ToBool": (lambda x: raw.ToBool(input=x[0, 0]), X),
    }


def stored(tf: Any) -> dict[str, tuple]:
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


FAMILIES = (versions, segments, lists, beside, stored)
