"""Shapes, slices, gathering and scattering."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bridge_coreml.cases.common import Program, b, by_torch, f, half, i, ints, program

X = f(2, 3, 4)
IMAGE = f(1, 4, 6, 8)


def programs(mb: Any) -> dict[str, Program]:
    return shaped(mb) | joined(mb) | sliced(mb) | filled(mb) | blocks(mb) | gathered(mb) | scattered(mb)


def shaped(mb: Any) -> dict[str, Program]:
    return {
        "reshape": program(lambda x: mb.reshape(x=x, shape=[4, -1]), X),
        "reshape zero": program(
            lambda x: mb.reshape(x=x, shape=[0, -1, 2]), X, want=lambda x: x.reshape(2, 6, 2)
        ),
        "reshape zero of another rank": program(
            lambda x: mb.reshape(x=x, shape=[0, -1]), X, want=lambda x: x.reshape(3, 8), target=17
        ),
        "reshape running": program(lambda x, s: mb.reshape(x=x, shape=s), X, ints([6, 4])),
        "reshape_like": program(
            lambda x, y: mb.reshape_like(
                x=x, ref_tensors=(y, y), begins=(0, 1), ends=(1, 0), end_masks=(False, True)
            ),
            X,
            f(4, 6),
            want=lambda x, y: x.reshape(4, 6),
            target=16,
        ),
        "expand_dims": program(lambda x: mb.expand_dims(x=x, axes=[0, -1]), X),
        "squeeze": program(lambda x: mb.squeeze(x=x, axes=[0, -2]), f(1, 3, 1, 2)),
        "squeeze all": program(lambda x: mb.squeeze(x=x), f(1, 3, 1, 2)),
        "flatten2d": program(lambda x: mb.flatten2d(x=x, axis=2), X),
        "flatten2d negative": program(lambda x: mb.flatten2d(x=x, axis=-2), X),
        "transpose": program(lambda x: mb.transpose(x=x, perm=[2, 0, 1]), X),
        "transpose negative": program(lambda x: mb.transpose(x=x, perm=[-1, 0, -2]), X),
        "transpose whole": program(lambda x: mb.transpose(x=x, perm=[1, 0]), i(2, 3)),
        "tile": program(lambda x: mb.tile(x=x, reps=[2, 1, 3]), X),
        "reverse": program(lambda x: mb.reverse(x=x, axes=[0, -1]), X),
        "reverse all": program(lambda x: mb.reverse(x=x), X),
        "reverse_sequence": program(
            lambda x: mb.reverse_sequence(x=x, lengths=ints([2, 4, 1]), seq_axis=2, batch_axis=1),
            X,
            want=_reversed,
        ),
        "shape": program(
            lambda x: mb.shape(x=x), X, want=lambda x: np.array(x.shape), dims=([None, 3, None],)
        ),
        "band_part": program(lambda x: mb.band_part(x=x, lower=1, upper=0), f(2, 4, 5)),
        "band_part upper": program(lambda x: mb.band_part(x=x, lower=0, upper=-1), f(4, 4)),
        "band_part lower": program(lambda x: mb.band_part(x=x, lower=-1, upper=1), f(4, 3)),
    }


def _reversed(x: np.ndarray) -> np.ndarray:
    result = x.copy()
    for row, n in enumerate((2, 4, 1)):
        result[:, row, :n] = result[:, row, :n][:, ::-1]
    return result


def joined(mb: Any) -> dict[str, Program]:
    weaved = lambda x, y: np.stack([x, y], 2).reshape(2, 6, 4)  # noqa: E731
    return {
        "concat": program(lambda x, y: mb.concat(values=[x, y], axis=1), X, f(2, 1, 4)),
        "concat interleave": program(
            lambda x, y: mb.concat(values=[x, y], axis=1, interleave=True), X, f(2, 3, 4), want=weaved
        ),
        "concat whole": program(lambda x, y: mb.concat(values=[x, y, x], axis=-1), i(2, 2), i(2, 3)),
        "stack": program(lambda x, y: mb.stack(values=[x, y], axis=1), X, f(2, 3, 4)),
        "stack last": program(lambda x, y: mb.stack(values=[x, y], axis=-1), X, f(2, 3, 4)),
        "split": program(lambda x: mb.split(x=x, num_splits=2, axis=-1), X),
        "split sizes": program(lambda x: mb.split(x=x, split_sizes=[1, 3], axis=2), X),
        "split whole": program(lambda x: mb.split(x=x, num_splits=3, axis=0), i(6, 2)),
    }


def sliced(mb: Any) -> dict[str, Program]:
    by = mb.slice_by_index
    strided = {
        "begin": [0, -1, 3],
        "end": [2, 0, 0],
        "stride": [1, -1, -2],
        "begin_mask": [True, False, False],
    }
    update = lambda x, u: _put(x, u, np.s_[0:2, 1:2, ::2])  # noqa: E731
    return {
        "slice_by_index": program(lambda x: by(x=x, begin=[0, 1, 1], end=[2, 3, 4], stride=[1, 1, 2]), X),
        "slice_by_index masks": program(
            lambda x: by(
                x=x,
                begin=[1, 1, 0],
                end=[2, 2, 1],
                begin_mask=[True, False, True],
                end_mask=[False, True, True],
            ),
            X,
        ),
        "slice_by_index squeeze": program(
            lambda x: by(x=x, begin=[0, -1, 1], end=[0, 0, 3], squeeze_mask=[True, True, False]),
            X,
            want=lambda x: x[0, -1, 1:3],
        ),
        "slice_by_index negative": program(
            lambda x: by(x=x, **strided), X, want=lambda x: x[:2, -1:0:-1, 3:0:-2]
        ),
        "slice_by_index backwards": program(
            lambda x: by(
                x=x,
                begin=[0, 0, 0],
                end=[0, 0, 0],
                stride=[-1, 1, -1],
                begin_mask=[True] * 3,
                end_mask=[True] * 3,
            ),
            X,
            want=lambda x: x[::-1, :, ::-1],
        ),
        "slice_by_index running": program(
            lambda x, s, e: by(x=x, begin=s, end=e), X, ints([0, 1, 2]), ints([2, 3, 4])
        ),
        "slice_by_index whole": program(lambda x: by(x=x, begin=[1], end=[4]), i(6)),
        "slice_by_size": program(lambda x: mb.slice_by_size(x=x, begin=[0, 1, 2], size=[2, 2, 1]), X),
        "slice_by_size rest": program(
            lambda x: mb.slice_by_size(x=x, begin=[1, 0, 1], size=[-1, 2, -1]),
            X,
            want=lambda x: x[1:, :2, 1:],
        ),
        "slice_by_size running": program(
            lambda x, s: mb.slice_by_size(x=x, begin=s, size=[1, 2, 2]), X, ints([1, 1, 0])
        ),
        "slice_update": program(
            lambda x, u: mb.slice_update(x=x, update=u, begin=[0, 1, 0], end=[2, 2, 4], stride=[1, 1, 2]),
            X,
            f(2, 1, 2),
            want=update,
            target=18,
        ),
        "slice_update whole": program(
            lambda x, u: mb.slice_update(x=x, update=u, begin=[1], end=[3]),
            i(5),
            i(2),
            want=lambda x, u: _put(x, u, np.s_[1:3]),
            target=18,
        ),
        "sliding_windows": program(
            lambda x: mb.sliding_windows(x=x, axis=1, size=3, stride=2),
            f(2, 8, 2),
            want=lambda x: x[:, [[0, 1, 2], [2, 3, 4], [4, 5, 6]]],
        ),
        "sliding_windows last": program(
            lambda x: mb.sliding_windows(x=x, axis=-1, size=2),
            f(2, 4),
            want=lambda x: x[:, [[0, 1], [1, 2], [2, 3]]],
        ),
        "crop": program(
            lambda x: mb.crop(x=x, crop_height=[1, 2], crop_width=[0, 3]),
            IMAGE,
            want=lambda x: x[:, :, 1:-2, :-3],
        ),
        "pad": program(lambda x: mb.pad(x=x, pad=[1, 0, 2, 1], mode="constant", constant_val=1.5), X),
        "pad reflect": program(
            lambda x: mb.pad(x=x, pad=[1, 2], mode="reflect"),
            X,
            want=lambda x: np.pad(x, ((0, 0), (0, 0), (1, 2)), "reflect"),
        ),
        "pad replicate": program(
            lambda x: mb.pad(x=x, pad=[2, 1, 1, 0], mode="replicate"),
            IMAGE,
            want=lambda x: np.pad(x, ((0, 0), (0, 0), (2, 1), (1, 0)), "edge"),
        ),
    }


def _put(x: np.ndarray, update: np.ndarray, place: Any) -> np.ndarray:
    result = x.copy()
    result[place] = update
    return result


def filled(mb: Any) -> dict[str, Program]:

    def one_hot(depth: int) -> Callable[..., Any]:
        return lambda x: np.where(x[..., None] == np.arange(depth), np.float32(2), np.float32(-1))

    return {
        "fill": program(lambda s: mb.fill(shape=s, value=1.5), ints([2, 3])),
        "fill whole": program(lambda s: mb.fill(shape=s, value=7), ints([3])),
        "fill_like": program(
            lambda x: mb.fill_like(ref_tensor=x, value=2.5), X, want=lambda x: np.full_like(x, 2.5), target=16
        ),
        "one_hot": program(
            lambda x: mb.one_hot(indices=x, one_hot_vector_size=4),
            i(2, 3, low=0, high=4),
            want=lambda x: np.eye(4, dtype=np.int32)[x],
        ),
        "one_hot values": program(
            lambda x: mb.one_hot(indices=x, one_hot_vector_size=5, on_value=2.0, off_value=-1.0),
            i(6, low=0, high=5),
            want=one_hot(5),
        ),
        "one_hot axis": program(
            lambda x: mb.one_hot(indices=x, one_hot_vector_size=4, axis=0),
            i(3, low=0, high=4),
            want=lambda x: np.eye(4, dtype=np.int32)[x].T,
        ),
        "range_1d": program(
            lambda e: mb.range_1d(start=1, end=mb.squeeze(x=e), step=2),
            ints([8]),
            want=lambda e: np.arange(1, 8, 2),
        ),
        "range_1d floats": program(
            lambda e: mb.range_1d(start=0.5, end=mb.squeeze(x=e), step=0.5),
            np.float32([2.5]),
            want=lambda e: np.arange(0.5, 2.5, 0.5, dtype=np.float32),
        ),
    }


def blocks(mb: Any) -> dict[str, Program]:
    shuffle = by_torch(lambda F, x: F.pixel_shuffle(x, 2))
    return {
        "pixel_shuffle": program(lambda x: mb.pixel_shuffle(x=x, upscale_factor=2), IMAGE, want=shuffle),
        "pixel_unshuffle": program(
            lambda x: mb.pixel_unshuffle(x=x, downscale_factor=ints(2).astype(np.uint32)),
            IMAGE,
            want=by_torch(lambda F, x: F.pixel_unshuffle(x, 2)),
            target=16,
        ),
        "depth_to_space": program(
            lambda x: mb.depth_to_space(x=x, block_size=2), f(2, 8, 2, 3), want=_depth_to_space
        ),
        "space_to_depth": program(
            lambda x: mb.space_to_depth(x=x, block_size=2), IMAGE, want=_space_to_depth
        ),
        "space_to_batch": program(
            lambda x: mb.space_to_batch(x=x, block_shape=[2, 3], paddings=[[1, 1], [0, 1]]),
            IMAGE,
            want=_space_to_batch,
        ),
        "batch_to_space": program(
            lambda x: mb.batch_to_space(x=x, block_shape=[2, 3], crops=[[1, 0], [0, 2]]),
            f(12, 2, 2, 3),
            want=_batch_to_space,
        ),
    }


def _depth_to_space(x: np.ndarray) -> np.ndarray:
    n, c, h, w = x.shape
    return x.reshape(n, 2, 2, c // 4, h, w).transpose(0, 3, 4, 1, 5, 2).reshape(n, c // 4, h * 2, w * 2)


def _space_to_depth(x: np.ndarray) -> np.ndarray:
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 3, 5, 1, 2, 4).reshape(n, c * 4, h // 2, w // 2)


def _space_to_batch(x: np.ndarray) -> np.ndarray:
    """As TensorFlow's SpaceToBatchND of blocks [2, 3]: the place in the block comes first in the batch."""
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 1)))
    return np.concatenate([x[:, :, a::2, b::3] for a in range(2) for b in range(3)])


def _batch_to_space(x: np.ndarray) -> np.ndarray:
    parts = x.reshape(2, 3, 2, *x.shape[1:])
    result = np.zeros((2, x.shape[1], 4, 9), x.dtype)
    for row in range(2):
        for column in range(3):
            result[:, :, row::2, column::3] = parts[row, column]
    return result[:, :, 1:, :-2]


def gathered(mb: Any) -> dict[str, Program]:
    along = ints([[[0, 2, 1, 0]], [[1, 1, 0, 2]]])
    places = ints([[0, 1], [1, -1]])
    pairs = ints([[[0, 1], [2, 3]], [[1, 1], [0, 0]]])
    return {
        "gather": program(lambda x: mb.gather(x=x, indices=ints([2, 0]), axis=1), X),
        "gather negative": program(
            lambda x: mb.gather(x=x, indices=ints([-1, 0, 1]), axis=-1), X, want=lambda x: x[..., [-1, 0, 1]]
        ),
        "gather matrix": program(
            lambda x, k: mb.gather(x=x, indices=k, axis=0),
            f(5, 2),
            i(2, 3, low=0, high=5),
            want=lambda x, k: x[k],
        ),
        "gather one": program(lambda x: mb.gather(x=x, indices=1, axis=2), X),
        "gather half": program(lambda x: mb.gather(x=x, indices=ints([2, 0]), axis=1), half(X), target=16),
        "gather whole": program(lambda x: mb.gather(x=x, indices=ints([2, 0]), axis=0), i(3, 2)),
        "gather batch": program(
            lambda x, k: mb.gather(x=x, indices=k, axis=1, batch_dims=1),
            X,
            ints([[0, 2], [1, 1]]),
            want=lambda x, k: np.stack([x[n][k[n]] for n in range(2)]),
            target=16,
        ),
        "gather batch last": program(
            lambda x, k: mb.gather(x=x, indices=k, axis=2, batch_dims=1),
            X,
            ints([[0, 2], [1, 3]]),
            want=lambda x, k: np.stack([x[n][:, k[n]] for n in range(2)]),
            target=16,
        ),
        "gather_along_axis": program(
            lambda x, k: mb.gather_along_axis(x=x, indices=k, axis=1),
            X,
            along,
            want=lambda x, k: np.take_along_axis(x, k, 1),
        ),
        "gather_along_axis last": program(
            lambda x, k: mb.gather_along_axis(x=x, indices=k, axis=-1),
            f(2, 4),
            ints([[3, 0], [1, 1]]),
            want=lambda x, k: np.take_along_axis(x, k, 1),
        ),
        "gather_nd": program(
            lambda x, k: mb.gather_nd(x=x, indices=k), X, places, want=lambda x, k: x[k[:, 0], k[:, 1]]
        ),
        "gather_nd whole": program(
            lambda x, k: mb.gather_nd(x=x, indices=k),
            i(2, 3, 4),
            ints([[1, 2, 3]]),
            want=lambda x, k: x[1, 2, 3][None],
        ),
        "gather_nd batch": program(
            lambda x, k: mb.gather_nd(x=x, indices=k, batch_dims=1),
            X,
            pairs,
            want=lambda x, k: np.stack([x[n][k[n][:, 0], k[n][:, 1]] for n in range(2)]),
            target=16,
        ),
    }


REDUCED: dict[str, Callable[..., Any]] = {
    "update": lambda a, b: b,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": np.maximum,
    "min": np.minimum,
}


def _scattered(x: np.ndarray, places: list[Any], updates: list[Any], mode: str) -> np.ndarray:
    """One write after another, so that what is named twice is written twice."""
    result = x.copy()
    for place, update in zip(places, updates, strict=True):
        result[place] = REDUCED[mode](result[place], update)
    return result


def scattered(mb: Any) -> dict[str, Program]:
    data, rows = f(4, 3, low=0.5), ints([2, 0, 2])
    found: dict[str, Program] = {}
    for mode in REDUCED:
        k = ints([2, 0, 3]) if mode == "update" else rows
        found[f"scatter {mode}"] = program(
            lambda x, k, u, m=mode: mb.scatter(data=x, indices=k, updates=u, axis=0, mode=m),
            data,
            k,
            f(3, 3, low=0.5),
            want=lambda x, k, u, m=mode: _scattered(x, list(k), list(u), m),
        )
        found[f"scatter column {mode}"] = program(
            lambda x, k, u, m=mode: mb.scatter(data=x, indices=k, updates=u, axis=1, mode=m),
            data,
            ints([2, 0]),
            f(4, 2, low=0.5),
            want=lambda x, k, u, m=mode: _scattered(x, [np.s_[:, n] for n in k], list(u.T), m),
        )
        found[f"scatter_along_axis {mode}"] = program(
            lambda x, k, u, m=mode: mb.scatter_along_axis(data=x, indices=k, updates=u, axis=0, mode=m),
            data,
            ints([[0, 3, 2], [1, 2, 0]]),
            f(2, 3, low=0.5),
            want=lambda x, k, u, m=mode: _scattered(
                x, [(int(k[n]), n[1]) for n in np.ndindex(*k.shape)], [u[n] for n in np.ndindex(*k.shape)], m
            ),
        )
        found[f"scatter_nd {mode}"] = program(
            lambda x, k, u, m=mode: mb.scatter_nd(data=x, indices=k, updates=u, mode=m),
            data,
            ints([[0, 1], [3, 2], [1, 0]]),
            f(3, low=0.5),
            want=lambda x, k, u, m=mode: _scattered(x, [tuple(n) for n in k], list(u), m),
        )
    found["scatter_nd rows"] = program(
        lambda x, k, u: mb.scatter_nd(data=x, indices=k, updates=u, mode="add"),
        i(4, 3),
        ints([[1], [1]]),
        i(2, 3),
        want=lambda x, k, u: _scattered(x, [int(n[0]) for n in k], list(u), "add"),
    )
    found["scatter whole"] = program(
        lambda x, k, u: mb.scatter(data=x, indices=k, updates=u, axis=-1, mode="max"),
        i(4, 3),
        ints([1, 0]),
        i(4, 2),
        want=lambda x, k, u: _scattered(x, [np.s_[:, n] for n in k], list(u.T), "max"),
    )
    found["scatter_along_axis truth"] = program(
        lambda x, c: mb.select(
            cond=c,
            a=x,
            b=mb.scatter_along_axis(
                data=x, indices=ints([[2], [0]]), updates=np.float32([[1], [2]]), axis=1, mode="update"
            ),
        ),
        f(2, 3),
        b(2, 3),
        want=lambda x, c: np.where(c, x, _scattered(x, [(0, 2), (1, 0)], [1, 2], "update")),
    )
    return found
