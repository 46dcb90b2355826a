"""Ragged and sparse tensors, sets and counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_savedmodel.cases.data import X, Y, f, i, s


def sets_and_counts(tf: Any) -> dict[str, tuple]:
    """Sets, and how often numbers occur."""
    raw = tf.raw_ops
    at, other, shape = (
        np.array([[0, 0], [0, 1], [2, 0], [2, 2]]),
        np.array([[0, 1], [1, 0], [2, 0]]),
        np.array([3, 4]),
    )
    deep, none = np.array([[0, 0, 1], [0, 1, 0], [1, 1, 1]]), np.zeros(0, np.float32)
    cases: dict[str, tuple] = {}
    for operation in ("a-b", "b-a", "intersection", "union"):
        how = {"set_operation": operation}
        cases |= {
            f"DenseToDenseSetOperation of words {operation}": (
                lambda a, b, h=how: raw.DenseToDenseSetOperation(set1=a, set2=b, **h),
                s("a", "b", "a", "c").reshape(2, 2),
                s("b", "a", "d", "c").reshape(2, 2),
            ),
            f"DenseToDenseSetOperation deep {operation}": (
                lambda a, b, h=how: raw.DenseToDenseSetOperation(set1=a, set2=b, **h),
                i(2, 3, 4, low=0, high=5, dtype=np.uint8),
                i(2, 3, 2, low=0, high=5, dtype=np.uint8),
            ),
            f"DenseToSparseSetOperation {operation}": (
                lambda a, v, h=how: raw.DenseToSparseSetOperation(
                    set1=tf.ensure_shape(a, [3, 4]), set2_indices=other, set2_values=v, set2_shape=shape, **h
                ),
                i(3, 4, low=0, high=5),
                i(3, low=0, high=5),
            ),
            f"SparseToSparseSetOperation {operation}": (
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
            f"SparseToSparseSetOperation deep {operation}": (
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


def ragged_tensors(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    splits, inner = np.array([0, 2, 2, 5]), np.array([0, 1, 4, 4, 6, 7])
    values = f(5)

    def to_tensor(v: Any, **more: Any) -> Any:
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
        "RaggedTensorToTensor": (to_tensor, values),
        "RaggedTensorToTensor default": (lambda v: to_tensor(v, default_value=-1.0, shape=[None, 2]), values),
        "RaggedTensorToTensor longer": (lambda v: to_tensor(v, shape=[4, 4]), values),
        "RaggedTensorToTensor nested": (
            lambda v: tf.RaggedTensor.from_nested_row_splits(v, [splits, inner]).to_tensor(),
            f(7),
        ),
        "RaggedTensorToTensor wide": (lambda v: to_tensor(v), f(5, 2)),
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


def sparse_tensors(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    at, other, shape = np.array([[0, 1], [1, 0], [2, 3]]), np.array([[0, 1], [2, 0]]), np.array([3, 4])
    v3, v2 = f(3), f(2)

    def two(name: str, **more: Any) -> Any:
        return lambda a, b: getattr(raw, name)(
            a_indices=at, a_values=a, a_shape=shape, b_indices=other, b_values=b, b_shape=shape, **more
        )

    def one(name: str, **more: Any) -> Any:
        return lambda v: getattr(raw, name)(input_indices=at, input_values=v, input_shape=shape, **more)

    def set_operation(operation: str) -> Any:
        return lambda a, b: raw.DenseToDenseSetOperation(set1=a, set2=b, set_operation=operation)

    cases = {
        f"DenseToDenseSetOperation {k}": (set_operation(k), i(3, 5, low=0, high=5), i(3, 4, low=0, high=5))
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
