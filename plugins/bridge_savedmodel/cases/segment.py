"""Segment reductions, stitching and partitioning."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_savedmodel.cases.data import f, i


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


def segments_of_known_number(tf: Any) -> dict[str, tuple]:
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
