"""Layers of blobs [sequence, batch, channels, height, width], as networks before iOS 13 have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bridge_coreml.cases.common import f, t
from bridge_coreml.cases.network import Network

BLOB, VECTOR = f(4, 2, 3), f(4)


def old(build: Callable[..., Any], *arrays: np.ndarray, want: Callable[..., Any]) -> Network:
    return Network(build, arrays, want, legacy=True)


def layers() -> dict[str, Network]:
    return vectors() | reductions() | blobs() | whole()


def vectors() -> dict[str, Network]:
    table, shift, other = f(3, 5), f(3), f(4)
    both = ["x0", "x1"]
    return {
        "embedding": old(lambda b: b.add_embedding("l", table, shift, 5, 3, True, "x0", "y"), np.float32([4]), want=lambda x: table[:, 4] + shift),
        "dot": old(lambda b: b.add_elementwise("l", both, "y", "DOT"), VECTOR, other, want=lambda x, y: (x @ y)[None]),
        "dot cosine": old(lambda b: b.add_elementwise("l", both, "y", "COS"), VECTOR, other, want=lambda x, y: (x @ y / np.linalg.norm(x) / np.linalg.norm(y))[None]),
        "sequenceRepeat": old(lambda b: b.add_sequence_repeat("l", 2, "x0", "y"), VECTOR, want=lambda x: np.tile(x.reshape(1, 1, 4, 1, 1), (2, 1, 1, 1, 1))),
        "sequenceRepeat once": old(lambda b: b.add_sequence_repeat("l", 0, "x0", "y"), VECTOR, want=lambda x: x),
        "softmax": old(lambda b: b.add_softmax("l", "x0", "y"), VECTOR, want=lambda x: np.exp(x) / np.exp(x).sum()),
        "softmax channels": old(lambda b: b.add_softmax("l", "x0", "y"), BLOB, want=lambda x: np.exp(x) / np.exp(x).sum(0)),
        "max several": old(lambda b: b.add_elementwise("l", [*both, "x2"], "y", "MAX"), VECTOR, other, f(4), want=lambda *v: np.maximum.reduce(v)),
        "average several": old(lambda b: b.add_elementwise("l", [*both, "x2"], "y", "AVE"), VECTOR, other, f(4), want=lambda *v: sum(v) / 3),
    }  # fmt: skip


def reductions() -> dict[str, Network]:
    axes = {"CHW": (0, 1, 2), "HW": (1, 2), "C": (0,), "H": (1,), "W": (2,)}
    modes: dict[str, Any] = {
        "sum": np.sum, "avg": np.mean, "prod": np.prod, "max": np.max, "min": np.min,
        "logsum": lambda v, **k: np.log(v + 1e-6).sum(**k), "sumsquare": lambda v, **k: (v * v).sum(**k),
        "L1": lambda v, **k: np.abs(v).sum(**k), "L2": lambda v, **k: np.sqrt((v * v).sum(**k)),
    }  # fmt: skip
    x, found = f(4, 2, 3, low=0.2), {}
    for (mode, want), (title, axis) in zip(modes.items(), [*axes.items()] * 2, strict=False):
        found[f"reduce {mode}"] = old(
            lambda b, m=mode, a=title: b.add_reduce("l", "x0", "y", a, m),
            x,
            want=lambda v, w=want, a=axis: w(v, axis=a, keepdims=True),
        )
    found["reduce argmax"] = old(
        lambda b: b.add_reduce("l", "x0", "y", "C", "argmax"), x, want=lambda v: v.argmax(0)[None]
    )
    return found


def blobs() -> dict[str, Network]:
    constant, other = f(4, 2, 3), f(2, 2, 3)
    last = lambda x: x.transpose(1, 2, 0)  # noqa: E731
    names = ["y0", "y1"]
    return {
        "permute": old(lambda b: b.add_permute("l", (0, 3, 1, 2), "x0", "y"), BLOB, want=lambda x: x.transpose(2, 0, 1)),
        "permute sequence": old(lambda b: b.add_permute("l", (3, 1, 2, 0), "x0", "y"), BLOB, want=lambda x: x.transpose(2, 0, 1)[:, None, :, :, None]),
        "flatten": old(lambda b: b.add_flatten("l", 0, "x0", "y"), BLOB, want=np.ravel),
        "flatten last": old(lambda b: b.add_flatten("l", 1, "x0", "y"), BLOB, want=lambda x: last(x).ravel()),
        "reshape": old(lambda b: b.add_reshape("l", "x0", "y", (3, 4, 2), 0), BLOB, want=lambda x: x.reshape(3, 4, 2)),
        "reshape last": old(lambda b: b.add_reshape("l", "x0", "y", (3, 4, 2), 1), BLOB, want=lambda x: last(x).reshape(4, 2, 3).transpose(2, 0, 1)),
        "reshape sequence": old(lambda b: b.add_reshape("l", "x0", "y", (2, 3, 4, 1), 0), BLOB, want=lambda x: x.reshape(2, 1, 3, 4, 1)),
        "concat": old(lambda b: b.add_elementwise("l", ["x0", "x1"], "y", "CONCAT"), BLOB, other, want=lambda x, y: np.concatenate([x, y])),
        "concat sequence": old(lambda b: b.add_elementwise("l", ["x0", "x1"], "y", "SEQUENCE_CONCAT"), BLOB, f(4, 2, 3), want=lambda x, y: np.stack([x, y])[:, None]),
        "split": old(lambda b: b.add_split("l", "x0", names), BLOB, want=lambda x: [x[:2], x[2:]]),
        "slice": old(lambda b: b.add_slice("l", "x0", "y", "channel", 1, 4, 2), BLOB, want=lambda x: x[1:4:2]),
        "slice width": old(lambda b: b.add_slice("l", "x0", "y", "width", 0, -1, 1), BLOB, want=lambda x: x[..., :-1]),
        "loadConstant": old(
            lambda b: (b.add_load_constant("l", "z", constant, constant.shape), b.add_elementwise("m", ["x0", "z"], "y", "ADD")), BLOB, want=lambda x: x + constant
        ),
    }  # fmt: skip


def whole() -> dict[str, Network]:
    """Layers that read whole blobs: normalizations, and boxes cut out of an image."""

    def mean_free(x: np.ndarray, axes: tuple[int, ...], variance: bool) -> np.ndarray:
        made = x - x.mean(axes, keepdims=True)
        return made / (made.std(axes, keepdims=True) + 1e-5) if variance else made

    def cut(x: np.ndarray, box: np.ndarray) -> np.ndarray:
        """Corners on the grid: the ends of each box are sampled, and what lies evenly between them."""
        import torch

        top, left, bottom, right = box
        rows, columns = (np.linspace(a, e, 3) for a, e in ((top, bottom), (left, right)))
        grid = np.stack(np.meshgrid(columns / 5 * 2 - 1, rows / 4 * 2 - 1), -1).astype(np.float32)
        sampled = torch.nn.functional.grid_sample(t(x)[None], t(grid)[None], align_corners=True)
        return sampled.numpy()[None]

    return {
        "mvn": old(lambda b: b.add_mvn("l", "x0", "y"), BLOB, want=lambda x: mean_free(x, (0, 1, 2), True)),
        "mvn channels": old(lambda b: b.add_mvn("l", "x0", "y", False, False), BLOB, want=lambda x: mean_free(x, (1, 2), False)),
        "l2normalize": old(lambda b: b.add_l2_normalize("l", "x0", "y", 0.5), BLOB, want=lambda x: x / np.sqrt((x * x).sum() + 0.5)),
        "cropResize": old(lambda b: b.add_crop_resize("l", ["x0", "x1"], "y", 3, 3), f(2, 5, 6), np.float32([1, 0.5, 4, 4]), want=cut),
    }  # fmt: skip
