"""Layers of shapes, slices and indices."""

from __future__ import annotations

import numpy as np

from bridge_coreml.cases.common import f
from bridge_coreml.cases.network import Network, X, added_constant, layer


def layers() -> dict[str, Network]:
    return shapes() | slices() | indexed()


def shapes() -> dict[str, Network]:
    y = f(2, 1, 4)
    return {
        "transpose": layer("transpose", X, axes=[2, 0, 1], want=lambda x: x.transpose(2, 0, 1)),
        "expandDims": layer("expand_dims", f(3, 4), axes=[0, 2], want=lambda x: x[None, :, None]),
        "squeeze": layer("squeeze", y, axes=[1], want=lambda x: x[:, 0]),
        "flattenTo2D": layer("flatten_to_2d", X, axis=1, want=lambda x: x.reshape(2, 12)),
        "reshapeStatic": layer("reshape_static", X, output_shape=[4, -1], want=lambda x: x.reshape(4, 6)),
        "rankPreservingReshape": layer(
            "rank_preserving_reshape", X, output_shape=[0, 6, -1], want=lambda x: x.reshape(2, 6, 2)
        ),
        "reshapeLike": layer("reshape_like", X, f(6, 4), want=lambda x, y: x.reshape(6, 4)),
        "broadcastToStatic": layer(
            "broadcast_to_static", y, output_shape=[2, 3, 4], want=lambda x: np.broadcast_to(x, (2, 3, 4))
        ),
        "broadcastToLike": layer("broadcast_to_like", y, X, want=lambda x, y: np.broadcast_to(x, y.shape)),
        "concatND": layer("concat_nd", X, y, axis=1, want=lambda x, y: np.concatenate([x, y], 1)),
        "stack": layer("stack", X, f(2, 3, 4), axis=1, want=lambda x, y: np.stack([x, y], 1)),
        "splitND": layer("split_nd", X, axis=2, split_sizes=[1, 3], want=lambda x: [x[..., :1], x[..., 1:]]),
        "tile": layer("tile", X, reps=[2, 1, 3], want=lambda x: np.tile(x, (2, 1, 3))),
        "getShape": layer("get_shape", X, want=lambda x: np.array(x.shape)),
        "fillLike": layer("fill_like", X, value=2.5, want=lambda x: np.full_like(x, 2.5)),
        "fillStatic": added_constant("fill_static", output_shape=[3, 4], value=1.5, want=lambda x: x + 1.5),
        "loadConstantND": added_constant(
            "load_constant_nd", constant_value=np.arange(4.0), shape=(4,), want=lambda x: x + np.arange(4)
        ),
        "rangeStatic": added_constant(
            "range_static", end=5, start=1, step=1, want=lambda x: x + np.arange(1, 5)
        ),
        "matrixBandPart": layer(
            "matrix_band_part", f(4, 5), num_lower=1, num_upper=0, want=lambda x: np.triu(np.tril(x), -1)
        ),
        "lowerTriangular": layer("lower_triangular", f(4, 5), k=1, want=lambda x: np.tril(x, 1)),
        "upperTriangular": layer("upper_triangular", f(4, 5), k=-1, want=lambda x: np.triu(x, -1)),
    }


def slices() -> dict[str, Network]:
    keep = [False] * 3
    return {
        "sliceStatic": layer(
            "slice_static",
            X,
            begin_ids=[0, 1, 0],
            end_ids=[2, 3, 4],
            strides=[1, 1, 2],
            begin_masks=keep,
            end_masks=keep,
            want=lambda x: x[:, 1:3, ::2],
        ),
        "sliceStatic masks": layer(
            "slice_static",
            X,
            begin_ids=[1, 0, -1],
            end_ids=[2, 1, 0],
            strides=[1, 1, -1],
            begin_masks=keep,
            end_masks=[True, True, False],
            squeeze_masks=[True, False, False],
            want=lambda x: x[1, :, -1:0:-1],
        ),
        "sliceBySize": layer(
            "slice_by_size", X, np.float32([1]), axis=1, size=2, want=lambda x, s: x[:, 1:3]
        ),
        "reverse": layer("reverse", X, reverse_dim=[True, False, True], want=lambda x: x[::-1, :, ::-1]),
        "slidingWindows": layer(
            "sliding_windows",
            f(2, 8),
            axis=1,
            window_size=3,
            step=2,
            want=lambda x: x[:, [[0, 1, 2], [2, 3, 4], [4, 5, 6]]],
        ),
        "constantPad": layer(
            "constant_pad",
            X,
            value=1.5,
            pad_to_given_output_size_mode=False,
            pad_amounts=[0, 1, 1, 0, 0, 2],
            want=lambda x: np.pad(x, ((0, 1), (1, 0), (0, 2)), constant_values=1.5),
        ),
    }


def indexed() -> dict[str, Network]:
    rows, k = f(5, 3), np.float32([[4, 0], [1, 1]])
    along = np.float32([[0, 4, 2], [1, 1, 3]])
    whole = lambda v: v.astype(int)  # noqa: E731

    def put(x: np.ndarray, k: np.ndarray, u: np.ndarray) -> np.ndarray:
        result = x.copy()
        for n, row in zip(whole(k), u, strict=True):
            result[n] += row
        return result

    def put_along(x: np.ndarray, k: np.ndarray, u: np.ndarray) -> np.ndarray:
        result = x.copy()
        np.put_along_axis(result, whole(k), u, 0)
        return result

    return {
        "gather": layer("gather", rows, k, axis=0, want=lambda x, k: x[whole(k)]),
        "gatherND": layer(
            "gather_nd", rows, np.float32([[4, 0], [1, 2]]), want=lambda x, k: x[tuple(whole(k).T)]
        ),
        "gatherAlongAxis": layer(
            "gather_along_axis", rows, along, axis=0, want=lambda x, k: np.take_along_axis(x, whole(k), 0)
        ),
        "scatter": layer("scatter", rows, np.float32([2, 0, 2]), f(3, 3), axis=0, mode="ADD", want=put),
        "scatterND": layer(
            "scatter_nd",
            rows,
            np.float32([[2], [0], [2]]),
            f(3, 3),
            mode="ADD",
            want=lambda x, k, u: put(x, k[:, 0], u),
        ),
        "scatterAlongAxis": layer("scatter_along_axis", rows, along, f(2, 3), axis=0, want=put_along),
        "oneHot": layer(
            "one_hot",
            np.float32([0, 3, 1]),
            one_hot_vector_size=4,
            axis=-1,
            on_value=2.0,
            off_value=-1.0,
            want=lambda x: np.where(np.eye(4)[whole(x)] > 0, 2, -1),
        ),
        "whereNonZero": layer("where_nonzero", np.float32([[0, 1, 0], [2, 0, 3]]), want=np.argwhere),
        "embeddingND": layer(
            "embedding_nd",
            np.float32([[4], [0]]),
            vocab_size=5,
            embedding_size=3,
            W=rows.T,
            want=lambda x: rows[whole(x)[:, 0]],
        ),
    }
