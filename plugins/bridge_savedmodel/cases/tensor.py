"""Shapes, layout, indexing and creation of tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_savedmodel.cases.data import IMAGE, X, b, f, i, s


def tensors(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    x = f(2, 3, 4)
    return {
        "Shape": (lambda v: raw.Shape(input=v), x),
        "ShapeN": (lambda v: raw.ShapeN(input=[v, v[0]]), x),
        "Size": (lambda v: raw.Size(input=v, out_type=tf.int64), x),
        "Rank": (lambda v: raw.Rank(input=v), x),
        "Reshape": (lambda v: raw.Reshape(tensor=v, shape=[4, -1]), x),
        "Reshape by shape": (lambda v: tf.reshape(v, [tf.shape(v)[0], -1]), x),
        "ExpandDims": (lambda v: raw.ExpandDims(input=v, axis=-2), x),
        "Squeeze": (lambda v: raw.Squeeze(input=v[:, :1], axis=[1]), x),
        "Transpose": (lambda v: raw.Transpose(x=v, perm=[2, 0, 1]), x),
        "ConcatV2": (lambda v, w: raw.ConcatV2(values=[v, w], axis=-1), x, x),
        "Concat": (lambda v, w: raw.Concat(values=[v, w], concat_dim=1), x, x),
        "Pack": (lambda v, w: raw.Pack(values=[v, w], axis=-1), x, x),
        "Unpack": (lambda v: raw.Unpack(value=v, num=3, axis=1), x),
        "Split": (lambda v: raw.Split(axis=2, value=v, num_split=2), x),
        "SplitV": (lambda v: raw.SplitV(value=v, size_splits=[1, -1], axis=2, num_split=2), x),
        "Tile": (lambda v: raw.Tile(input=v, multiples=[1, 2, 3]), x),
        "Fill": (lambda v: raw.Fill(dims=tf.shape(v), value=2.5), x),
        "BroadcastTo": (lambda v: raw.BroadcastTo(input=v, shape=[5, 2, 3, 4]), x),
        "BroadcastArgs": (lambda v: raw.BroadcastArgs(s0=tf.shape(v), s1=[5, 1, 1, 4]), x),
        "Range": (lambda v: raw.Range(start=v[0], limit=v[1], delta=v[2]), np.array([1, 9, 3], np.int32)),
        "LinSpace": (lambda v: raw.LinSpace(start=v[0], stop=v[1], num=5), np.float32([1, 3])),
        "OneHot": (
            lambda v: raw.OneHot(indices=v, depth=4, on_value=2.0, off_value=-1.0, axis=1),
            i(2, 3, low=-1, high=6),
        ),
        "Where": (lambda v: raw.Where(condition=v), b(4, 5)),
        "ReverseV2": (lambda v: raw.ReverseV2(tensor=v, axis=[0, -1]), x),
        "ReverseSequence": (
            lambda v: raw.ReverseSequence(input=v, seq_lengths=[2, 3], seq_dim=1, batch_dim=0),
            x,
        ),
        "Roll": (lambda v: raw.Roll(input=v, shift=[1, -5], axis=[0, 2]), x),
        "Pad": (lambda v: raw.Pad(input=v, paddings=[[1, 0], [0, 2], [1, 1]]), x),
        "PadV2": (lambda v: raw.PadV2(input=v, paddings=[[1, 0], [0, 2], [1, 1]], constant_values=3.0), x),
        "MirrorPad reflect": (
            lambda v: raw.MirrorPad(input=v, paddings=[[1, 0], [0, 2], [1, 1]], mode="REFLECT"),
            x,
        ),
        "MirrorPad symmetric": (
            lambda v: raw.MirrorPad(input=v, paddings=[[2, 0], [0, 3], [1, 1]], mode="SYMMETRIC"),
            x,
        ),
        "Slice": (lambda v: raw.Slice(input=v, begin=[0, 1, 2], size=[-1, 2, 1]), x),
        "Slice at run time": (
            lambda v, n: raw.Slice(input=v, begin=n, size=[1, -1, 2]),
            x,
            np.int32([1, 0, 1]),
        ),
        "StridedSlice": (lambda v: v[::-1, tf.newaxis, 1:, ::2], x),
        "StridedSlice ellipsis": (lambda v: v[..., -1], x),
        "StridedSlice at run time": (lambda v, n: v[n:, : n + 1, -n], x, np.array(1, np.int32)),
        "StridedSlice negative": (lambda v: v[1, 2:0:-1, -3:-1], x),
        "GatherV2": (lambda v: raw.GatherV2(params=v, indices=[[2, 0], [1, 1]], axis=1), x),
        "GatherV2 batch": (
            lambda v, n: raw.GatherV2(params=v, indices=n, axis=2, batch_dims=1),
            x,
            i(2, 2, low=0, high=4),
        ),
        "GatherV2 two batches": (
            lambda v, n: raw.GatherV2(params=v, indices=n, axis=2, batch_dims=2),
            x,
            i(2, 3, 2, low=0, high=4),
        ),
        "GatherNd": (lambda v, n: raw.GatherNd(params=v, indices=n), x, i(5, 2, low=0, high=2)),
        "ScatterNd": (
            lambda n, v: raw.ScatterNd(indices=n, updates=v, shape=[6, 4]),
            i(3, 1, low=0, high=6),
            X,
        ),
        "InvertPermutation": (lambda n: raw.InvertPermutation(x=n), np.int32([2, 0, 3, 1])),
        "MatrixBandPart": (lambda v: raw.MatrixBandPart(input=v, num_lower=1, num_upper=0), x),
        "MatrixDiagV3": (lambda v: tf.linalg.diag(v), x),
        "MatrixDiagPartV3": (lambda v: tf.linalg.diag_part(v), x),
        "MatrixSetDiagV3": (lambda v, d: tf.linalg.set_diag(v, d), f(2, 3, 3), f(2, 3)),
        "Diag": (lambda v: raw.Diag(diagonal=v), f(4)),
        "DiagPart": (lambda v: raw.DiagPart(input=v), f(4, 4)),
        "LogMatrixDeterminant": (lambda v: raw.LogMatrixDeterminant(input=v), f(2, 3, 3)),
        "MatrixDeterminant": (lambda v: raw.MatrixDeterminant(input=v), f(2, 3, 3)),
        "SparseToDense": (
            lambda v: raw.SparseToDense(
                sparse_indices=[[0, 1], [2, 2]], output_shape=[3, 4], sparse_values=v, default_value=-1.0
            ),
            f(2),
        ),
        "EnsureShape": (lambda v: raw.EnsureShape(input=v, shape=[2, 3, 4]) + 0, x),
        "IdentityN": (lambda v, w: [t + 0 for t in raw.IdentityN(input=[v, w])], x, x),
        **{
            f"TensorScatter{n}": (
                lambda v, u, n=n: getattr(raw, f"TensorScatter{n}")(tensor=v, indices=[[0], [2]], updates=u),
                X,
                f(2, 4),
            )
            for n in ["Update", "Add", "Sub", "Max", "Min"]
        },
    }


def further_operators(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    volume = f(2, 4, 5, 6, 2)
    ramp = np.linspace(-0.999, 0.999, 21, dtype=np.float32)
    return {
        "CumulativeLogsumexp": (lambda x: raw.CumulativeLogsumexp(x=x, axis=1), f(2, 5, 3) * 30),
        "CumulativeLogsumexp reverse": (lambda x: raw.CumulativeLogsumexp(x=x, axis=0, reverse=True), f(5)),
        "PopulationCount": (lambda x: raw.PopulationCount(x=x), i(20, low=-99, high=99, dtype=np.int32)),
        "Erfinv": (lambda x: raw.Erfinv(x=x), ramp),
        "Erfinv edges": (lambda x: raw.Erfinv(x=x), np.float32([-1, 1, 0])),
        "Ndtri": (lambda x: raw.Ndtri(x=x), f(20, low=0.001, high=0.999)),
        "Lgamma": (
            lambda x: raw.Lgamma(x=x),
            np.float32([-2.5, -1, 0, 1e-3, 0.3, 1, 2, 5.5, 80, 1e6, np.inf, np.nan, -30.2]),
        ),
        "Digamma": (
            lambda x: raw.Digamma(x=x),
            np.float32([-2.5, 1e-3, 0.3, 1, 2, 5.5, 80, 1e6, -30.2, np.nan]),
        ),
        "ConcatOffset": (
            lambda x, y: raw.ConcatOffset(concat_dim=1, shape=[tf.shape(x), tf.shape(y), tf.shape(x)]),
            f(2, 3),
            f(2, 5),
        ),
        "DataFormatDimMap": (lambda x: raw.DataFormatDimMap(x=x), i(4, low=-4, high=4)),
        "DataFormatVecPermute": (lambda x: raw.DataFormatVecPermute(x=x), i(4)),
        "DataFormatVecPermute two": (
            lambda x: raw.DataFormatVecPermute(x=x, src_format="NCHW", dst_format="NHWC"),
            i(2),
        ),
        "DataFormatVecPermute pairs": (
            lambda x: raw.DataFormatVecPermute(x=tf.ensure_shape(x, [4, 2])),
            i(4, 2),
        ),
        "HistogramFixedWidth": (
            lambda x: raw.HistogramFixedWidth(values=x, value_range=[-1.0, 1.5], nbins=6),
            f(40),
        ),
        "ReverseSequence over rows": (
            lambda x: raw.ReverseSequence(input=x, seq_lengths=[1, 3, 2], seq_dim=2, batch_dim=1),
            f(2, 3, 4),
        ),
        "TensorStridedSliceUpdate": (
            lambda x, v: raw.TensorStridedSliceUpdate(
                input=x, begin=[0, 1], end=[3, 4], strides=[2, 2], value=v
            ),
            X,
            f(2, 2),
        ),
        "TensorStridedSliceUpdate scalar": (
            lambda x: raw.TensorStridedSliceUpdate(
                input=x, begin=[1], end=[2], strides=[1], value=9.0, shrink_axis_mask=1
            ),
            X,
        ),
        "InplaceUpdate": (lambda x, v: raw.InplaceUpdate(x=x, i=[2, 0], v=v), X, f(2, 4)),
        "InplaceSub": (lambda x, v: raw.InplaceSub(x=x, i=[2, 0], v=v), X, f(2, 4)),
        "ScatterNdNonAliasingAdd": (
            lambda x: raw.ScatterNdNonAliasingAdd(
                input=x, indices=[[0], [2]], updates=np.ones((2, 4), np.float32)
            ),
            X,
        ),
        "DepthwiseConv2dNativeBackpropInput": (
            lambda x: raw.DepthwiseConv2dNativeBackpropInput(
                input_sizes=[2, 13, 15, 3],
                filter=f(3, 3, 3, 1),
                out_backprop=x,
                strides=[1, 2, 2, 1],
                padding="SAME",
            ),
            IMAGE,
        ),
        "DepthwiseConv2dNativeBackpropInput two": (
            lambda x: raw.DepthwiseConv2dNativeBackpropInput(
                input_sizes=[2, 9, 10, 3],
                filter=f(3, 3, 3, 2),
                out_backprop=x,
                strides=[1, 1, 1, 1],
                padding="VALID",
            ),
            f(2, 7, 8, 6),
        ),
        "ExtractVolumePatches": (
            lambda x: raw.ExtractVolumePatches(
                input=x, ksizes=[1, 2, 3, 2, 1], strides=[1, 1, 2, 1, 1], padding="SAME"
            ),
            volume,
        ),
        "FusedPadConv2D": (
            lambda x: raw.FusedPadConv2D(
                input=x,
                paddings=[[0, 0], [1, 2], [2, 1], [0, 0]],
                filter=f(3, 3, 3, 4),
                mode="SYMMETRIC",
                strides=[1, 2, 2, 1],
                padding="VALID",
            ),
            IMAGE[:1],
        ),
        "Dilation2D": (
            lambda x: raw.Dilation2D(
                input=x, filter=f(3, 2, 3), strides=[1, 2, 1, 1], rates=[1, 1, 2, 1], padding="SAME"
            ),
            IMAGE,
        ),
        "ImageProjectiveTransformV2": (
            lambda x: raw.ImageProjectiveTransformV2(
                images=x,
                transforms=np.float32([[0.9, 0.2, 1, -0.1, 1.1, 0.5, 0.01, 0.02]]),
                output_shape=[6, 9],
                interpolation="BILINEAR",
            ),
            IMAGE,
        ),
        "ImageProjectiveTransformV3": (
            lambda x: raw.ImageProjectiveTransformV3(
                images=x,
                transforms=np.float32([[1, 0.2, -1, 0, 0.8, 0, 0, 0]]),
                output_shape=[7, 8],
                interpolation="BILINEAR",
                fill_value=0.5,
            ),
            IMAGE,
        ),
        "ApproxTopK": (lambda x: raw.ApproxTopK(input=x, k=2)[0], X),
        "ReduceJoin": (
            lambda x: raw.ReduceJoin(inputs=tf.reshape(x, [2, 2]), reduction_indices=[1], separator="-"),
            s("a", "b", "c", "d"),
        ),
        "ReduceJoin all": (lambda x: tf.strings.reduce_join(tf.reshape(x, [2, 2])), s("a", "b", "c", "d")),
        "TensorListScatterV2": (
            lambda x: tf.TensorArray(tf.float32, 4, element_shape=[4]).scatter([2, 0, 1, 3], x).stack(),
            f(4, 4),
        ),
        "TensorListSplit": (
            lambda x: tf.TensorArray(tf.float32, 2, infer_shape=False).split(x, [2, 2]).stack(),
            f(4, 3),
        ),
        "TensorListElementShape": (
            lambda x: raw.TensorListElementShape(
                input_handle=raw.TensorListFromTensor(tensor=x, element_shape=[4]), shape_type=tf.int32
            ),
            X,
        ),
        "ParallelConcat": (
            lambda x: raw.ParallelConcat(
                values=[tf.ensure_shape(x, [3, 4])[n : n + 1] for n in (2, 0)], shape=[2, 4]
            ),
            X,
        ),
        "Case of a device": (
            lambda x: tf.switch_case(
                raw.DeviceIndex(device_names=["GPU", "CPU"]), [lambda: x, lambda: x * 2]
            ),
            X,
        ),
        "Empty": (lambda x: raw.Empty(shape=tf.shape(x), dtype=tf.float32, init=True) + x, X),
        "parts of a stored vector": (
            lambda x: (
                x * tf.constant([0.5, 1.5, 2.5, 3.5])[1:3][0]
                + tf.gather(tf.constant([0.5, 1.5]), [1, 0, 1, 1])
            ),
            X,
        ),
        "flags of rows": (lambda c, x: tf.boolean_mask(x, c), b(3), X),
    }
