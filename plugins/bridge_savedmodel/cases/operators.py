"""TensorFlow operators as functions of small inputs: what the importer is held to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

RNG = np.random.default_rng(0)


def f(*shape: int, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    """Float32 numbers between `low` and `high`."""
    return RNG.uniform(low, high, shape).astype(np.float32)


def i(*shape: int, low: int = -5, high: int = 6, dtype: Any = np.int32) -> np.ndarray:
    """Whole numbers from `low` to below `high`."""
    return RNG.integers(low, high, shape).astype(dtype)


def b(*shape: int) -> np.ndarray:
    return RNG.random(shape) > 0.5


def s(*words: str) -> np.ndarray:
    return np.array(words, object)


X, Y = f(3, 4), f(3, 4)
IMAGE = f(2, 7, 8, 3)
TWO = (X, Y)


def unary(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    plain = "Abs Ceil Cos Cosh Erf Erfc Exp Expm1 Floor Neg Rint Round Sigmoid Sign Sin Sinh Square Tan Tanh Atan Asinh"
    cases: dict[str, tuple] = {n: (lambda x, n=n: getattr(raw, n)(x=x), X) for n in plain.split()}
    positive = "Log Log1p Sqrt Rsqrt Reciprocal Inv"
    cases |= {n: (lambda x, n=n: getattr(raw, n)(x=x), f(3, 4, low=0.1)) for n in positive.split()}
    unit = "Acos Asin Atanh"
    cases |= {n: (lambda x, n=n: getattr(raw, n)(x=x), f(3, 4, low=-0.9, high=0.9)) for n in unit.split()}
    features = "Elu Relu Relu6 Selu Softplus Softsign LeakyRelu"
    cases |= {n: (lambda x, n=n: getattr(raw, n)(features=x), X * 4) for n in features.split()}
    special = np.array([np.nan, np.inf, -np.inf, 1.0], np.float32)
    cases |= {n: (lambda x, n=n: getattr(raw, n)(x=x), special) for n in ["IsNan", "IsInf", "IsFinite"]}
    return cases | {
        "Acosh": (lambda x: raw.Acosh(x=x), f(3, 4, low=1.0, high=4.0)),
        "Softmax": (lambda x: raw.Softmax(logits=x), f(2, 3, 4)),
        "LogSoftmax": (lambda x: raw.LogSoftmax(logits=x), X),
        "Invert": (lambda x: raw.Invert(x=x), i(5)),
        "LogicalNot": (lambda x: raw.LogicalNot(x=x), b(5)),
        "Identity": (lambda x: raw.Identity(input=x) + 0, X),
        "Snapshot": (lambda x: raw.Snapshot(input=x) + 0, X),
        "CheckNumerics": (lambda x: raw.CheckNumerics(tensor=x, message="m") + 0, X),
        "StopGradient": (lambda x: tf.stop_gradient(x) + 0, X),
        "ZerosLike": (lambda x: raw.ZerosLike(x=x), X),
        "OnesLike": (lambda x: raw.OnesLike(x=x), X),
        "L2Loss": (lambda x: raw.L2Loss(t=x), X),
        "Cast": (lambda x: raw.Cast(x=x, DstT=tf.int32), X * 3),
        "Bitcast": (lambda x: raw.Bitcast(input=x, type=tf.int32), X),
        "Erf float64": (lambda x: raw.Neg(x=x), X.astype(np.float64)),
    }


def binary(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    names = "Add AddV2 Sub Mul RealDiv Div Maximum Minimum SquaredDifference Greater GreaterEqual Less LessEqual Equal"
    cases: dict[str, tuple] = {
        n: (lambda x, y, n=n: getattr(raw, n)(x=x, y=y), *TWO)
        for n in (names + " NotEqual Atan2 FloorDiv FloorMod TruncateMod").split()
    }
    whole = "FloorDiv FloorMod TruncateDiv TruncateMod BitwiseAnd BitwiseOr BitwiseXor"
    cases |= {
        f"{n} int32": (lambda x, y, n=n: getattr(raw, n)(x=x, y=y), i(20), i(20, low=1))
        for n in whole.split()
    }
    cases |= {
        f"{n} negative": (lambda x, y, n=n: getattr(raw, n)(x=x, y=y), i(20), i(20, low=-5, high=0))
        for n in ["FloorDiv", "FloorMod", "TruncateDiv"]
    }
    zeros = np.array([0, 1, 0, 2], np.float32)
    guarded = "DivNoNan MulNoNan Xdivy"
    cases |= {
        n: (lambda x, y, n=n: getattr(raw, n)(x=x, y=y), zeros, zeros[::-1].copy()) for n in guarded.split()
    }
    return cases | {
        "Pow": (lambda x, y: raw.Pow(x=x, y=y), f(3, 4, low=0.1), Y),
        "Xlogy": (lambda x, y: raw.Xlogy(x=x, y=y), zeros, f(4, low=0.1)),
        "Xlog1py": (lambda x, y: raw.Xlog1py(x=x, y=y), zeros, f(4, low=0.1)),
        "LogicalAnd": (lambda x, y: raw.LogicalAnd(x=x, y=y), b(8), b(8)),
        "LogicalOr": (lambda x, y: raw.LogicalOr(x=x, y=y), b(8), b(8)),
        "LeftShift": (
            lambda x, y: raw.LeftShift(x=x, y=y),
            i(8, low=0, dtype=np.uint32),
            i(8, low=0, high=8, dtype=np.uint32),
        ),
        "LeftShift far": (
            lambda x, y: raw.LeftShift(x=x, y=y),
            i(8, low=-99, high=99, dtype=np.int8),
            i(8, low=-3, high=20, dtype=np.int8),
        ),
        "RightShift far": (
            lambda x, y: raw.RightShift(x=x, y=y),
            i(8, low=0, high=99, dtype=np.uint32),
            i(8, low=20, high=60, dtype=np.uint32),
        ),
        "TruncateDiv of floats": (lambda x, y: raw.TruncateDiv(x=x, y=y), X * 4, f(3, 4, low=0.3)),
        "AddN of whole numbers": (lambda x, y: raw.AddN(inputs=[x, y, x]), i(3, 4), i(3, 4)),
        "LeftShift signed": (
            lambda x, y: raw.LeftShift(x=x, y=y),
            i(8, low=-99, high=99),
            i(8, low=0, high=30),
        ),
        "RightShift signed": (
            lambda x, y: raw.RightShift(x=x, y=y),
            i(8, low=-99, high=99),
            i(8, low=0, high=8),
        ),
        "RightShift long": (
            lambda x, y: raw.RightShift(x=x, y=y),
            i(8, low=-(2**60), high=2**60, dtype=np.int64),
            i(8, low=0, high=60, dtype=np.int64),
        ),
        "RightShift bytes": (
            lambda x, y: raw.RightShift(x=x, y=y),
            i(8, low=-99, high=99, dtype=np.int8),
            i(8, low=0, high=7, dtype=np.int8),
        ),
        "RightShift": (
            lambda x, y: raw.RightShift(x=x, y=y),
            i(8, low=0, high=99, dtype=np.uint32),
            i(8, low=0, high=8, dtype=np.uint32),
        ),
        "ApproximateEqual": (lambda x, y: raw.ApproximateEqual(x=x, y=y, tolerance=0.5), *TWO),
        "AddN": (lambda x, y: raw.AddN(inputs=[x, y, x]), *TWO),
        "BiasAdd": (lambda x, y: raw.BiasAdd(value=x, bias=y), IMAGE, f(3)),
        "BiasAdd NCHW": (lambda x, y: tf.nn.bias_add(tf.transpose(x, [0, 3, 1, 2]), y, "NCHW"), IMAGE, f(3)),
        "Select": (lambda c, x, y: raw.Select(condition=c, x=x, y=y), b(3), *TWO),
        "SelectV2": (lambda c, x, y: raw.SelectV2(condition=c, t=x, e=y), b(4), *TWO),
        "ClipByValue": (lambda x: raw.ClipByValue(t=x, clip_value_min=-1.0, clip_value_max=0.5), X),
        "Cross": (lambda x, y: raw.Cross(a=x, b=y), f(2, 3), f(2, 3)),
        "FakeQuantWithMinMaxArgs": (lambda x: raw.FakeQuantWithMinMaxArgs(inputs=x, min=-1.5, max=1.0), X),
        "FakeQuantWithMinMaxVars": (
            lambda x: raw.FakeQuantWithMinMaxVars(inputs=x, min=-1.0, max=1.0, num_bits=4, narrow_range=True),
            X,
        ),
        "FakeQuantWithMinMaxVarsPerChannel": (
            lambda x: raw.FakeQuantWithMinMaxVarsPerChannel(
                inputs=x, min=np.float32([-1, -2, 0, -1]), max=np.float32([1, 1, 2, 2])
            ),
            X,
        ),
    }


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


def shapes(tf: Any) -> dict[str, tuple]:
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


def layers(tf: Any) -> dict[str, tuple]:
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


def images(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    boxes = np.sort(f(6, 4, low=0, high=1).reshape(6, 2, 2), axis=1).reshape(6, 4)
    cases: dict[str, tuple] = {}
    for name in ["ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic"]:
        for how in ({}, {"align_corners": True}, {"half_pixel_centers": True}):
            for size in ([5, 11], [3, 3]):
                cases[f"{name} {[*how, '']} {size}"] = (
                    lambda x, n=name, h=how, z=size: getattr(raw, n)(images=x, size=z, **h),
                    IMAGE,
                )
    crop = np.float32([[0.1, 0.2, 0.8, 0.9], [0.0, -0.2, 1.1, 0.5]])
    suppress = {"boxes": boxes, "max_output_size": 4, "iou_threshold": 0.3}
    return cases | {
        "CropAndResize": (
            lambda x: raw.CropAndResize(
                image=x, boxes=crop, box_ind=[0, 1], crop_size=[4, 3], extrapolation_value=-1.0
            ),
            IMAGE,
        ),
        "NonMaxSuppression": (
            lambda x: raw.NonMaxSuppression(boxes=boxes, scores=x, max_output_size=4, iou_threshold=0.3),
            f(6),
        ),
        "NonMaxSuppressionV2": (lambda x: raw.NonMaxSuppressionV2(scores=x, **suppress), f(6)),
        "NonMaxSuppressionV3": (
            lambda x: raw.NonMaxSuppressionV3(scores=x, score_threshold=0.0, **suppress),
            f(6),
        ),
        "NonMaxSuppressionV4": (
            lambda x: raw.NonMaxSuppressionV4(
                scores=x, score_threshold=0.0, pad_to_max_output_size=True, **suppress
            ),
            f(6),
        ),
        "NonMaxSuppressionV5": (
            lambda x: raw.NonMaxSuppressionV5(scores=x, score_threshold=0.0, soft_nms_sigma=0.0, **suppress),
            f(6),
        ),
        "ResizeArea": (lambda x: raw.ResizeArea(images=x, size=[4, 13]), IMAGE),
        **{
            f"ScaleAndTranslate {k}": (
                lambda x, k=k: raw.ScaleAndTranslate(
                    images=x, size=[4, 13], scale=[4 / 7, 13 / 8], translation=[0.0, 0.5], kernel_type=k
                ),
                IMAGE,
            )
            for k in ["lanczos1", "lanczos3", "lanczos5", "triangle", "box", "keyscubic"]
        },
        **{
            f"ExtractImagePatches {p}": (
                lambda x, p=p: raw.ExtractImagePatches(
                    images=x, ksizes=[1, 3, 2, 1], strides=[1, 2, 1, 1], rates=[1, 1, 2, 1], padding=p
                ),
                IMAGE,
            )
            for p in ("SAME", "VALID")
        },
        "AdjustHue": (lambda x: raw.AdjustHue(images=x, delta=0.3), f(5, 2, 3, low=0, high=1)),
        "AdjustSaturation": (lambda x: raw.AdjustSaturation(images=x, scale=1.4), f(5, 2, 3, low=0, high=1)),
        "CombinedNonMaxSuppression": (
            lambda x: raw.CombinedNonMaxSuppression(
                boxes=np.stack([boxes, boxes])[:, :, None],
                scores=x,
                max_output_size_per_class=3,
                max_total_size=7,
                iou_threshold=0.3,
                score_threshold=0.2,
            ),
            f(2, 6, 3, low=0, high=1),
        ),
        "CombinedNonMaxSuppression own boxes": (
            lambda x, y: raw.CombinedNonMaxSuppression(
                boxes=y,
                scores=x,
                max_output_size_per_class=3,
                max_total_size=7,
                iou_threshold=0.3,
                score_threshold=0.2,
            ),
            f(2, 6, 3, low=0, high=1),
            np.sort(f(2, 6, 3, 4, low=0, high=1), -1)[..., [0, 1, 2, 3]],
        ),
        "CombinedNonMaxSuppression padded": (
            lambda x: raw.CombinedNonMaxSuppression(
                boxes=boxes[None, :, None],
                scores=x,
                max_output_size_per_class=9,
                max_total_size=30,
                iou_threshold=0.3,
                score_threshold=0.2,
                clip_boxes=False,
            ),
            f(1, 6, 2, low=0, high=1),
        ),
        "AdjustContrastv2": (lambda x: raw.AdjustContrastv2(images=x, contrast_factor=1.5), IMAGE),
        "RGBToHSV": (lambda x: raw.RGBToHSV(images=x), f(5, 3, low=0, high=1)),
        "HSVToRGB": (lambda x: raw.HSVToRGB(images=x), f(5, 3, low=0, high=1)),
    }


def segments(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    ids = np.int32([0, 0, 2, 2, 3])
    rows = f(5, 3)
    cases: dict[str, tuple] = {
        f"Segment{n}": (lambda x, n=n: getattr(raw, f"Segment{n}")(data=x, segment_ids=ids), rows)
        for n in ["Sum", "Prod", "Mean", "Max", "Min"]
    }
    cases |= {
        f"UnsortedSegment{n}": (
            lambda x, n=n: getattr(raw, f"UnsortedSegment{n}")(
                data=x, segment_ids=[2, -1, 0, 2, 0], num_segments=4
            ),
            rows,
        )
        for n in ["Sum", "Prod", "Max", "Min"]
    }
    cases |= {
        f"SparseSegment{n}": (
            lambda x, n=n: getattr(raw, f"SparseSegment{n}")(
                data=x, indices=[4, 0, 1, 2], segment_ids=[0, 0, 1, 3]
            ),
            rows,
        )
        for n in ["Sum", "Mean", "SqrtN"]
    }
    return cases | {
        "SparseReshape": (
            lambda x: raw.SparseReshape(input_indices=x, input_shape=[4, 6], new_shape=[3, -1, 4]),
            np.int64([[0, 1], [1, 5], [3, 2]]),
        ),
        "SparseFillEmptyRows": (
            lambda v: raw.SparseFillEmptyRows(
                indices=np.int64([[0, 1], [0, 3], [3, 2]]),
                values=v,
                dense_shape=np.int64([5, 6]),
                default_value=-1.0,
            ),
            f(3),
        ),
        "SparseTensorDenseMatMul": (
            lambda v, d: raw.SparseTensorDenseMatMul(
                a_indices=np.int64([[0, 1], [2, 0]]), a_values=v, a_shape=np.int64([3, 2]), b=d
            ),
            f(2),
            f(2, 4),
        ),
        "SparseTensorDenseAdd": (
            lambda v, d: raw.SparseTensorDenseAdd(
                a_indices=np.int64([[0, 1], [2, 0]]), a_values=v, a_shape=np.int64([3, 2]), b=d
            ),
            f(2),
            f(3, 2),
        ),
        "SparseReorder": (
            lambda v: raw.SparseReorder(
                input_indices=np.int64([[2, 0], [0, 1]]), input_values=v, input_shape=np.int64([3, 2])
            ),
            f(2),
        ),
        "embedding_lookup_sparse": (
            lambda n: tf.nn.embedding_lookup_sparse(
                f(9, 4),
                tf.SparseTensor(np.int64([[0, 0], [0, 1], [2, 0]]), n, np.int64([3, 2])),
                None,
                combiner="mean",
            ),
            i(3, low=0, high=9, dtype=np.int64),
        ),
        "ListDiff": (lambda x, y: raw.ListDiff(x=x, y=y), i(8, low=0, high=9), i(4, low=0, high=9)),
        "UnravelIndex": (lambda x: raw.UnravelIndex(indices=x, dims=[3, 4, 5]), i(6, low=0, high=60)),
        "CTCGreedyDecoder": (
            lambda x: raw.CTCGreedyDecoder(inputs=x, sequence_length=[5, 3], merge_repeated=True),
            f(5, 2, 3),
        ),
        "DynamicStitch": (
            lambda x, y: raw.DynamicStitch(indices=[[0, 3], [1, 2]], data=[x, y]),
            f(2, 3),
            f(2, 3),
        ),
        "DynamicPartition": (
            lambda x: raw.DynamicPartition(data=x, partitions=[0, 1, 0, 2, 1], num_partitions=3),
            rows,
        ),
    }


def signals(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    x = f(2, 16)
    return {
        "RFFT": (lambda v: raw.ComplexAbs(x=raw.RFFT(input=v, fft_length=[16])), x),
        "RFFT cut": (lambda v: raw.Real(input=raw.RFFT(input=v, fft_length=[12])), x),
        "FFT": (lambda v: raw.Imag(input=raw.FFT(input=raw.Complex(real=v, imag=v * 2))), x),
        "IFFT": (lambda v: raw.Real(input=raw.IFFT(input=raw.Complex(real=v, imag=v * 2))), x),
        "FFT2D": (lambda v: raw.Real(input=raw.FFT2D(input=raw.Complex(real=v, imag=v * 2))), f(2, 4, 6)),
        "RFFT2D": (lambda v: raw.ComplexAbs(x=raw.RFFT2D(input=v, fft_length=[4, 6])), f(2, 4, 6)),
        "IRFFT": (lambda v: raw.IRFFT(input=raw.RFFT(input=v, fft_length=[16]), fft_length=[16]), x),
        "stft": (lambda v: tf.abs(tf.signal.stft(v, 8, 4)), f(2, 40)),
        "Angle": (lambda v: raw.Angle(input=raw.Complex(real=v, imag=v * v - 1)), x),
        "Shape of complex": (lambda v: raw.Shape(input=raw.Complex(real=v, imag=v)), x),
        "Conj": (lambda v: raw.Imag(input=raw.Conj(input=raw.Complex(real=v, imag=v))), x),
    }


def texts(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    words = s("Ab", "cd", "e")
    return {
        "StringJoin": (lambda x, y: raw.StringJoin(inputs=[x, y], separator="-"), words, words),
        "StringLower": (lambda x: raw.StringLower(input=x, encoding="utf-8"), words),
        "StringUpper": (lambda x: raw.StringUpper(input=x, encoding="utf-8"), words),
        "StaticRegexFullMatch": (lambda x: raw.StaticRegexFullMatch(input=x, pattern="[a-z]+"), words),
        "StringToNumber": (lambda x: raw.StringToNumber(string_tensor=x), s("1.5", "-2", "3e2")),
        "StringSplitV2": (lambda x: raw.StringSplitV2(input=x, sep=","), s("a,b", "c", "d,e,f")),
        "AsString": (lambda x: raw.AsString(input=x), i(4)),
        "Equal strings": (lambda x, y: raw.Equal(x=x, y=y), words, s("Ab", "x", "")),
    }


def control(tf: Any) -> dict[str, tuple]:
    def looped(x: Any, n: Any) -> Any:
        return tf.while_loop(
            lambda k, v: k < n, lambda k, v: [k + 1, v * 0.5 + tf.cast(k, tf.float32)], [0, x]
        )[1]

    def collected(x: Any) -> Any:
        found = tf.TensorArray(tf.float32, 3)
        for_each = tf.while_loop(
            lambda k, a: k < 3, lambda k, a: [k + 1, a.write(k, x[k] * 2)], [tf.constant(0), found]
        )
        return for_each[1].stack()

    def filled(x: Any, n: Any, start: Any) -> Any:
        step = lambda k, a: [k + 1, a.write(k, x[k] * 2)]  # noqa: E731
        return tf.while_loop(lambda k, a: k < n, step, [0, start])[1].stack()

    def blank() -> Any:
        return tf.TensorArray(tf.float32, 3, element_shape=[4])

    def reread(x: Any) -> Any:
        step = lambda k, a: [k + 1, a.write(k, a.read(k - 1) + x[k])]  # noqa: E731
        return tf.while_loop(lambda k, a: k < 3, step, [1, blank().unstack(x)])[1].stack()

    def last(x: Any, n: Any, there: Any = None) -> Any:
        start = tf.TensorArray(tf.float32, 1, element_shape=[4])
        start = start if there is None else start.write(0, there)
        step = lambda k, a: [k + 1, a.write(0, x[k] * 2)]  # noqa: E731
        return tf.while_loop(lambda k, a: k < n, step, [0, start])[1].stack()

    def count(n: int) -> np.ndarray:
        return np.array(n, np.int32)

    return {
        "While keeps the last": (last, X, count(2)),
        "While keeps nothing": (last, X, count(0)),
        "While keeps what was there": (lambda x, n: last(x, n, x[2]), X, count(0)),
        "While ends early": (lambda x, n: filled(x, n, blank()), X, np.array(2, np.int32)),
        "While ends early over a list": (
            lambda x, n: filled(x, n, blank().unstack(x)),
            X,
            np.array(2, np.int32),
        ),
        "While rereads its list": (reread, X),
        "If": (lambda x, c: tf.cond(c, lambda: x * 2, lambda: x - 1), X, np.array(True)),
        "If of a number": (
            lambda x, c: tf.cond(c > 0, lambda: x * 2, lambda: x - 1),
            X,
            np.array(-1, np.int32),
        ),
        "While": (looped, X, np.array(4, np.int32)),
        "While collecting": (collected, X),
        "Case": (
            lambda x, k: tf.switch_case(k, [lambda: x, lambda: x * 2, lambda: x * 3]),
            X,
            np.array(1, np.int32),
        ),
        "TensorArray": (lambda x: tf.TensorArray(tf.float32, 2).unstack(x[:2]).read(1), X),
        "map_fn": (lambda x: tf.map_fn(lambda row: tf.reduce_sum(row) * row, x), X),
        "scan": (lambda x: tf.scan(lambda a, v: a + v, x), X),
    }


FAMILIES: tuple[Callable[[Any], dict[str, tuple]], ...] = (
    unary,
    binary,
    reductions,
    shapes,
    layers,
    images,
    segments,
    signals,
    texts,
    control,
)
