"""TensorFlow operators as functions of small inputs: ragged and sparse tensors, cells, matrices,
quantization."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_savedmodel.cases.operators import IMAGE, X, Y, b, f, i, s


def ragged(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    splits, inner = np.array([0, 2, 2, 5]), np.array([0, 1, 4, 4, 6, 7])
    values = f(5)

    def spread(v: Any, **more: Any) -> Any:
        return tf.RaggedTensor.from_row_splits(v, splits).to_tensor(**more)

    return {
        "RaggedRange": (
            lambda a, b: raw.RaggedRange(starts=a, limits=b, deltas=2),
            i(4, low=-3, high=3),
            i(4, low=2, high=9),
        ),
        "RaggedRange float": (
            lambda a: raw.RaggedRange(starts=0.0, limits=a, deltas=[0.5, 0.25]),
            np.float32([1.1, 0.6]),
        ),
        "RaggedRange backwards": (
            lambda a: raw.RaggedRange(starts=a, limits=0, deltas=-2),
            i(3, low=0, high=7),
        ),
        "RaggedGather": (
            lambda v, at: raw.RaggedGather(
                params_nested_splits=[splits], params_dense_values=v, indices=at, OUTPUT_RAGGED_RANK=1
            ),
            values,
            np.array([2, 0, 2, 1]),
        ),
        "RaggedGather two": (
            lambda v, at: raw.RaggedGather(
                params_nested_splits=[splits, inner], params_dense_values=v, indices=at, OUTPUT_RAGGED_RANK=2
            ),
            f(7, 3),
            np.array([2, 0]),
        ),
        "RaggedTensorToTensor": (spread, values),
        "RaggedTensorToTensor default": (lambda v: spread(v, default_value=-1.0, shape=[None, 2]), values),
        "RaggedTensorToTensor longer": (lambda v: spread(v, shape=[4, 4]), values),
        "RaggedTensorToTensor nested": (
            lambda v: tf.RaggedTensor.from_nested_row_splits(v, [splits, inner]).to_tensor(),
            f(7),
        ),
        "RaggedTensorToTensor wide": (lambda v: spread(v), f(5, 2)),
        "RaggedTensorToTensor rows": (
            lambda v: tf.RaggedTensor.from_value_rowids(v, [0, 0, 2, 2, 2], nrows=4).to_tensor(),
            values,
        ),
        "RaggedTensorToSparse": (
            lambda v: raw.RaggedTensorToSparse(rt_nested_splits=[splits, inner], rt_dense_values=v),
            f(7),
        ),
        "RaggedTensorFromVariant": (
            lambda v: (
                tf.RaggedTensor._from_variant(
                    tf.RaggedTensor.from_row_splits(v, splits)._to_variant(), tf.float32, 1
                ).flat_values
                * 2
            ),
            values,
        ),
        "RaggedBincount": (
            lambda v: raw.RaggedBincount(splits=splits, values=v, size=4, weights=np.zeros(0, np.float32)),
            i(5, low=0, high=6),
        ),
        "RaggedFillEmptyRows": (
            lambda v: raw.RaggedFillEmptyRows(
                value_rowids=np.array([0, 0, 3]), values=v, nrows=np.int64(5), default_value=np.float32(9)
            ),
            f(3),
        ),
        "ragged sums": (lambda v: tf.reduce_sum(tf.RaggedTensor.from_row_splits(v, splits), axis=1), values),
        "ragged mean of words": (
            lambda v: tf.reduce_mean(
                tf.gather(tf.constant(X), tf.RaggedTensor.from_row_splits(v, splits)), axis=1
            ),
            i(5, low=0, high=3),
        ),
    }


def sparse(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    at, other, shape = np.array([[0, 1], [1, 0], [2, 3]]), np.array([[0, 1], [2, 0]]), np.array([3, 4])
    v3, v2 = f(3), f(2)

    def two(name: str, **more: Any) -> Any:
        return lambda a, b: getattr(raw, name)(
            a_indices=at, a_values=a, a_shape=shape, b_indices=other, b_values=b, b_shape=shape, **more
        )

    def one(name: str, **more: Any) -> Any:
        return lambda v: getattr(raw, name)(input_indices=at, input_values=v, input_shape=shape, **more)

    def sets(kind: str) -> Any:
        return lambda a, b: raw.DenseToDenseSetOperation(set1=a, set2=b, set_operation=kind)

    cases = {
        f"DenseToDenseSetOperation {k}": (sets(k), i(3, 5, low=0, high=5), i(3, 4, low=0, high=5))
        for k in ("a-b", "b-a", "intersection", "union")
    }
    return cases | {
        "SparseAdd": (two("SparseAdd", thresh=0.0), v3, v2),
        "SparseSparseMaximum": (two("SparseSparseMaximum"), v3, v2),
        "SparseSparseMinimum": (two("SparseSparseMinimum"), v3, v2),
        "SparseConcat": (
            lambda a, b: raw.SparseConcat(
                indices=[at, other], values=[a, b], shapes=[shape, shape], concat_dim=1
            ),
            v3,
            v2,
        ),
        "SparseSlice": (
            lambda v: raw.SparseSlice(
                indices=at, values=v, shape=shape, start=np.array([1, 0]), size=np.array([4, 3])
            ),
            v3,
        ),
        "SparseReduceSum": (one("SparseReduceSum", reduction_axes=[1]), v3),
        "SparseReduceMax": (
            lambda v: raw.SparseReduceMax(
                input_indices=np.array([[0, 1], [2, 0], [2, 3]]),
                input_values=v,
                input_shape=shape,
                reduction_axes=[-1],
            ),
            v3,
        ),
        "SparseDenseCwiseMul": (
            lambda v, d: raw.SparseDenseCwiseMul(sp_indices=at, sp_values=v, sp_shape=shape, dense=d),
            v3,
            f(3, 4),
        ),
        "SparseDenseCwiseDiv": (
            lambda v, d: raw.SparseDenseCwiseDiv(sp_indices=at, sp_values=v, sp_shape=shape, dense=d),
            v3,
            f(4, low=1),
        ),
        "SparseDenseCwiseAdd": (
            lambda v, d: raw.SparseDenseCwiseAdd(sp_indices=at, sp_values=v, sp_shape=shape, dense=d),
            v3,
            f(3, 1),
        ),
        "SparseSoftmax": (
            lambda v: raw.SparseSoftmax(
                sp_indices=np.array([[0, 1], [0, 2], [2, 3]]), sp_values=v, sp_shape=shape
            ),
            v3,
        ),
        "SparseMatMul": (lambda a, b: raw.SparseMatMul(a=a, b=b, transpose_b=True), X, Y),
        "SetSize": (
            lambda v: raw.SetSize(
                set_indices=np.array([[0, 0], [0, 1], [2, 0]]), set_values=v, set_shape=np.array([3, 2])
            ),
            i(3, dtype=np.int64),
        ),
        "SparseBincount": (
            lambda v: raw.SparseBincount(
                indices=at, values=v, dense_shape=shape, size=4, weights=np.zeros(0, np.int32)
            ),
            i(3, low=0, high=6),
        ),
        "SparseSplit": (
            lambda v: raw.SparseSplit(split_dim=np.int64(1), indices=at, values=v, shape=shape, num_split=3),
            v3,
        ),
    }


def cells(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    weights, bias, peeks = f(7, 16), f(16), [f(4), f(4), f(4)]
    names = ("wci", "wcf", "wco")
    more = {**dict(zip(names, peeks, strict=True)), "w": weights, "b": bias}
    state = (f(2, 4), f(2, 4))
    return {
        "LSTMBlockCell": (
            lambda x, c, h: raw.LSTMBlockCell(x=x, cs_prev=c, h_prev=h, **more, use_peephole=False),
            f(2, 3),
            *state,
        ),
        "LSTMBlockCell peephole": (
            lambda x, c, h: raw.LSTMBlockCell(
                x=x, cs_prev=c, h_prev=h, **more, use_peephole=True, cell_clip=0.5, forget_bias=0.3
            ),
            f(2, 3),
            *state,
        ),
        "GRUBlockCell": (
            lambda x, h: raw.GRUBlockCell(x=x, h_prev=h, w_ru=f(7, 8), w_c=f(7, 4), b_ru=f(8), b_c=f(4)),
            f(2, 3),
            f(2, 4),
        ),
        "BlockLSTM": (
            lambda x, c, h: raw.BlockLSTM(seq_len_max=np.int64(5), x=x, cs_prev=c, h_prev=h, **more)[6],
            f(5, 2, 3),
            *state,
        ),
        "BlockLSTMV2": (
            lambda x, c, h: [
                raw.BlockLSTMV2(seq_len_max=np.int64(4), x=x, cs_prev=c, h_prev=h, **more, use_peephole=True)[
                    n
                ]
                for n in (1, 6)
            ],
            f(5, 2, 3),
            *state,
        ),
    }


def matrices(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    square = f(2, 5, 5) + 4 * np.eye(5, dtype=np.float32)
    positive = (square @ square.swapaxes(1, 2)).astype(np.float32)
    return {
        "MatrixInverse": (lambda x: raw.MatrixInverse(input=x, adjoint=True), square),
        "MatrixInverse turned rows": (
            lambda x: raw.MatrixInverse(input=x),
            np.array([[[0, 2], [3, 0]]], np.float32),
        ),
        "MatrixSolve": (lambda a, x: raw.MatrixSolve(matrix=a, rhs=x), square, f(2, 5, 3)),
        "MatrixTriangularSolve": (
            lambda a, x: raw.MatrixTriangularSolve(matrix=a, rhs=x),
            square,
            f(2, 5, 3),
        ),
        "MatrixTriangularSolve upper": (
            lambda a, x: raw.MatrixTriangularSolve(matrix=a, rhs=x, lower=False),
            square,
            f(2, 5, 3),
        ),
        "MatrixTriangularSolve adjoint": (
            lambda a, x: raw.MatrixTriangularSolve(matrix=a, rhs=x, adjoint=True),
            square,
            f(2, 5, 3),
        ),
        "Cholesky": (lambda x: raw.Cholesky(input=x), positive),
        "TridiagonalMatMul": (
            lambda x: raw.TridiagonalMatMul(
                superdiag=f(2, 1, 4), maindiag=f(2, 1, 4), subdiag=f(2, 1, 4), rhs=x
            ),
            f(2, 4, 3),
        ),
        "complex products": (lambda x, y: tf.abs(tf.complex(x, y) * tf.complex(y, x) + 2.0), X, Y),
        "complex quotient": (lambda x, y: tf.math.imag(tf.complex(x, y) / tf.complex(y, x) - 1.0), X, Y),
        "complex matrix product": (
            lambda x, y: tf.math.real(tf.linalg.matmul(tf.complex(x, y), tf.complex(y, x), adjoint_b=True)),
            X,
            Y,
        ),
        "complex exponential": (
            lambda x: tf.math.real(tf.exp(tf.complex(x, x) * tf.constant(0.5 + 1j, tf.complex64))),
            X,
        ),
        "complex sum": (lambda x, y: tf.abs(tf.reduce_sum(-tf.complex(x, y), axis=0)), X, Y),
        "IRFFT2D": (lambda x: tf.signal.irfft2d(tf.signal.rfft2d(x) * 2.0), f(3, 6, 8)),
        "RFFT3D": (lambda x: tf.abs(tf.signal.rfft3d(x)), f(2, 4, 6, 5)),
        "IRFFT3D": (lambda x: tf.signal.irfft3d(tf.signal.rfft3d(x)), f(2, 4, 6, 4)),
    }


def quantized(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops

    def grid(**more: Any) -> Any:
        return lambda x: raw.QuantizeAndDequantizeV2(
            input=x, input_min=-1.5, input_max=1.0, range_given=True, **more
        )

    return {
        "QuantizeAndDequantizeV2": (grid(), X),
        "QuantizeAndDequantizeV2 narrow": (grid(narrow_range=True, round_mode="HALF_UP"), X),
        "QuantizeAndDequantizeV2 unsigned": (grid(signed_input=False), X),
        "QuantizeAndDequantizeV3": (
            lambda x: raw.QuantizeAndDequantizeV3(
                input=x, input_min=-1.0, input_max=1.0, num_bits=8, range_given=True
            ),
            X,
        ),
        "QuantizeV2": (
            lambda x: raw.Dequantize(
                input=raw.QuantizeV2(input=x, min_range=-1.0, max_range=1.5, T=tf.quint8)[0],
                min_range=-1.0,
                max_range=1.5,
            ),
            X,
        ),
    }


def rest(tf: Any) -> dict[str, tuple]:
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


def keyed(tf: Any) -> dict[str, tuple]:
    """Numbers of a seed: the same in every run."""
    raw, random = tf.raw_ops, tf.random
    seed = np.array([7, -3])

    def of(name: str, **more: Any) -> Any:
        return lambda s: getattr(raw, name)(shape=[3, 7], seed=s, **more)

    return {
        "StatelessRandomUniform": (of("StatelessRandomUniform", dtype=tf.float32), seed),
        "StatelessRandomNormal": (of("StatelessRandomNormal", dtype=tf.float32), seed),
        "StatelessRandomUniformInt": (of("StatelessRandomUniformInt", minval=-5, maxval=1000), seed),
        "StatelessRandomUniformFullInt": (of("StatelessRandomUniformFullInt", dtype=tf.int32), seed),
        "StatelessRandomUniformV2": (
            lambda s: random.stateless_uniform([5], s, 2.0, 3.0),
            seed.astype(np.int32),
        ),
        "StatelessRandomNormalV2": (lambda x, s: x + random.stateless_normal(tf.shape(x), s), X, seed),
        "StatelessRandomUniformIntV2": (
            lambda s: random.stateless_uniform([9], s, -4, 2**40, tf.int64),
            seed,
        ),
        "StatelessRandomUniformFullIntV2": (
            lambda s: random.stateless_uniform([9], s, None, None, tf.uint32),
            seed,
        ),
        "StatelessRandomUniformFullIntV2 wide": (
            lambda s: random.stateless_uniform([9], s, None, None, tf.int64),
            seed,
        ),
        "StatelessRandomGetKeyCounter": (
            lambda s: [tf.bitcast(v, tf.int64) for v in raw.StatelessRandomGetKeyCounter(seed=s)],
            seed,
        ),
        "StatelessRandomGetKeyCounterAlg": (lambda s: raw.StatelessRandomGetKeyCounterAlg(seed=s)[2], seed),
        "StatelessRandomUniformV2 carried": (
            lambda k, c: raw.StatelessRandomUniformV2(
                shape=[40], key=tf.bitcast(k, tf.uint64), counter=tf.bitcast(c, tf.uint64), alg=1
            ),
            np.array([-9]),
            np.array([-2, 17]),
        ),
    }


def groups(tf: Any) -> dict[str, tuple]:
    """Sets, and how often numbers occur."""
    raw = tf.raw_ops
    at, other, shape = (
        np.array([[0, 0], [0, 1], [2, 0], [2, 2]]),
        np.array([[0, 1], [1, 0], [2, 0]]),
        np.array([3, 4]),
    )
    deep, none = np.array([[0, 0, 1], [0, 1, 0], [1, 1, 1]]), np.zeros(0, np.float32)
    cases: dict[str, tuple] = {}
    for kind in ("a-b", "b-a", "intersection", "union"):
        how = {"set_operation": kind}
        cases |= {
            f"DenseToDenseSetOperation of words {kind}": (
                lambda a, b, h=how: raw.DenseToDenseSetOperation(set1=a, set2=b, **h),
                s("a", "b", "a", "c").reshape(2, 2),
                s("b", "a", "d", "c").reshape(2, 2),
            ),
            f"DenseToDenseSetOperation deep {kind}": (
                lambda a, b, h=how: raw.DenseToDenseSetOperation(set1=a, set2=b, **h),
                i(2, 3, 4, low=0, high=5, dtype=np.uint8),
                i(2, 3, 2, low=0, high=5, dtype=np.uint8),
            ),
            f"DenseToSparseSetOperation {kind}": (
                lambda a, v, h=how: raw.DenseToSparseSetOperation(
                    set1=tf.ensure_shape(a, [3, 4]), set2_indices=other, set2_values=v, set2_shape=shape, **h
                ),
                i(3, 4, low=0, high=5),
                i(3, low=0, high=5),
            ),
            f"SparseToSparseSetOperation {kind}": (
                lambda v, w, h=how: raw.SparseToSparseSetOperation(
                    set1_indices=at,
                    set1_values=v,
                    set1_shape=shape,
                    set2_indices=other,
                    set2_values=w,
                    set2_shape=shape,
                    **h,
                ),
                i(4, low=0, high=3, dtype=np.int64),
                i(3, low=0, high=3, dtype=np.int64),
            ),
            f"SparseToSparseSetOperation deep {kind}": (
                lambda v, w, h=how: raw.SparseToSparseSetOperation(
                    set1_indices=deep,
                    set1_values=v,
                    set1_shape=[2, 2, 2],
                    set2_indices=deep,
                    set2_values=w,
                    set2_shape=[2, 2, 2],
                    **h,
                ),
                s("x", "y", "z"),
                s("x", "b", "z"),
            ),
        }
    counted = {"minlength": -1, "maxlength": -1, "binary_output": False}

    def dense(**more: Any) -> Any:
        return lambda v, *w: raw.DenseCountSparseOutput(
            values=v, weights=w[0] if w else none, **(counted | more)
        )

    numbers, vector = i(3, 5, low=0, high=7), i(8, low=0, high=7, dtype=np.int64)
    return cases | {
        "SetSize of repeated words": (
            lambda v: raw.SetSize(set_indices=at, set_values=v, set_shape=shape),
            s("a", "a", "b", "c"),
        ),
        "DenseCountSparseOutput": (dense(), numbers),
        "DenseCountSparseOutput vector": (dense(), vector),
        "DenseCountSparseOutput longer": (dense(minlength=9), numbers),
        "DenseCountSparseOutput shorter": (dense(maxlength=4, minlength=2), numbers),
        "DenseCountSparseOutput binary": (dense(binary_output=True), numbers),
        "DenseCountSparseOutput weighed": (dense(), numbers, f(3, 5)),
        "SparseCountSparseOutput": (
            lambda v: raw.SparseCountSparseOutput(
                indices=at, values=v, dense_shape=shape, weights=none, **counted
            ),
            i(4, low=0, high=3),
        ),
        "SparseCountSparseOutput vector": (
            lambda v, w: raw.SparseCountSparseOutput(
                indices=at[:, 1:], values=v, dense_shape=[4], weights=w, **counted
            ),
            i(4, low=0, high=3),
            f(4),
        ),
        "RaggedCountSparseOutput": (
            lambda v: raw.RaggedCountSparseOutput(splits=[0, 2, 2, 5], values=v, weights=none, **counted),
            i(5, low=0, high=3),
        ),
        "SparseReduceSumSparse": (
            lambda v: raw.SparseReduceSumSparse(
                input_indices=deep, input_values=v, input_shape=[2, 2, 2], reduction_axes=[1]
            ),
            f(3),
        ),
        "SparseReduceSumSparse kept": (
            lambda v: raw.SparseReduceSumSparse(
                input_indices=at, input_values=v, input_shape=shape, reduction_axes=[-1], keep_dims=True
            ),
            f(4),
        ),
        "SparseReduceMaxSparse": (
            lambda v: raw.SparseReduceMaxSparse(
                input_indices=deep, input_values=v, input_shape=[2, 2, 2], reduction_axes=[0, 2]
            ),
            i(3),
        ),
    }


FAMILIES = (groups, ragged, sparse, cells, matrices, quantized, rest, keyed)
