"""Layers of blobs [sequence, batch, channels, height, width], as networks before iOS 13 have them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from bridge_coreml.cases.common import f, t
from bridge_coreml.cases.network import Network, layer

BLOB, VECTOR = f(4, 2, 3), f(4)


blob_layer = functools.partial(layer, legacy=True)


def layers() -> dict[str, Network]:
    return vectors() | reductions() | blobs() | whole()


def vectors() -> dict[str, Network]:
    table, shift, other = f(3, 5), f(3), f(4)
    return {
        "embedding": blob_layer(
            "embedding",
            np.float32([4]),
            W=table,
            b=shift,
            input_dim=5,
            output_channels=3,
            has_bias=True,
            want=lambda x: table[:, 4] + shift,
        ),
        "dot": blob_layer("elementwise", VECTOR, other, mode="DOT", want=lambda x, y: (x @ y)[None]),
        "dot cosine": blob_layer(
            "elementwise",
            VECTOR,
            other,
            mode="COS",
            want=lambda x, y: (x @ y / np.linalg.norm(x) / np.linalg.norm(y))[None],
        ),
        "sequenceRepeat": blob_layer(
            "sequence_repeat",
            VECTOR,
            nrep=2,
            want=lambda x: np.tile(x.reshape(1, 1, 4, 1, 1), (2, 1, 1, 1, 1)),
        ),
        "sequenceRepeat once": blob_layer("sequence_repeat", VECTOR, nrep=0, want=lambda x: x),
        "softmax": blob_layer("softmax", VECTOR, want=lambda x: np.exp(x) / np.exp(x).sum()),
        "softmax channels": blob_layer("softmax", BLOB, want=lambda x: np.exp(x) / np.exp(x).sum(0)),
        "max several": blob_layer(
            "elementwise", VECTOR, other, f(4), mode="MAX", want=lambda *v: np.maximum.reduce(v)
        ),
        "average several": blob_layer(
            "elementwise", VECTOR, other, f(4), mode="AVE", want=lambda *v: sum(v) / 3
        ),
    }


def reductions() -> dict[str, Network]:
    axes = {"CHW": (0, 1, 2), "HW": (1, 2), "C": (0,), "H": (1,), "W": (2,)}
    modes: dict[str, Any] = {
        "sum": np.sum,
        "avg": np.mean,
        "prod": np.prod,
        "max": np.max,
        "min": np.min,
        "logsum": lambda v, **k: np.log(v + 1e-6).sum(**k),
        "sumsquare": lambda v, **k: (v * v).sum(**k),
        "L1": lambda v, **k: np.abs(v).sum(**k),
        "L2": lambda v, **k: np.sqrt((v * v).sum(**k)),
    }
    x, found = f(4, 2, 3, low=0.2), {}
    for (mode, want), (title, axis) in zip(modes.items(), [*axes.items()] * 2, strict=False):
        found[f"reduce {mode}"] = blob_layer(
            "reduce", x, axis=title, mode=mode, want=lambda v, w=want, a=axis: w(v, axis=a, keepdims=True)
        )
    found["reduce argmax"] = blob_layer(
        "reduce", x, axis="C", mode="argmax", want=lambda v: v.argmax(0)[None]
    )
    return found


def blobs() -> dict[str, Network]:
    constant, other = f(4, 2, 3), f(2, 2, 3)
    last = lambda x: x.transpose(1, 2, 0)  # noqa: E731

    def constant_added(b: Any) -> None:
        b.add_load_constant("l", output_name="z", constant_value=constant, shape=constant.shape)
        b.add_elementwise("m", input_names=["x0", "z"], output_name="y", mode="ADD")

    return {
        "permute": blob_layer("permute", BLOB, dim=(0, 3, 1, 2), want=lambda x: x.transpose(2, 0, 1)),
        "permute sequence": blob_layer(
            "permute", BLOB, dim=(3, 1, 2, 0), want=lambda x: x.transpose(2, 0, 1)[:, None, :, :, None]
        ),
        "flatten": blob_layer("flatten", BLOB, mode=0, want=np.ravel),
        "flatten last": blob_layer("flatten", BLOB, mode=1, want=lambda x: last(x).ravel()),
        "reshape": blob_layer(
            "reshape", BLOB, target_shape=(3, 4, 2), mode=0, want=lambda x: x.reshape(3, 4, 2)
        ),
        "reshape last": blob_layer(
            "reshape",
            BLOB,
            target_shape=(3, 4, 2),
            mode=1,
            want=lambda x: last(x).reshape(4, 2, 3).transpose(2, 0, 1),
        ),
        "reshape sequence": blob_layer(
            "reshape", BLOB, target_shape=(2, 3, 4, 1), mode=0, want=lambda x: x.reshape(2, 1, 3, 4, 1)
        ),
        "concat": blob_layer(
            "elementwise", BLOB, other, mode="CONCAT", want=lambda x, y: np.concatenate([x, y])
        ),
        "concat sequence": blob_layer(
            "elementwise",
            BLOB,
            f(4, 2, 3),
            mode="SEQUENCE_CONCAT",
            want=lambda x, y: np.stack([x, y])[:, None],
        ),
        "split": blob_layer("split", BLOB, want=lambda x: [x[:2], x[2:]]),
        "slice": blob_layer(
            "slice", BLOB, axis="channel", start_index=1, end_index=4, stride=2, want=lambda x: x[1:4:2]
        ),
        "slice width": blob_layer(
            "slice", BLOB, axis="width", start_index=0, end_index=-1, stride=1, want=lambda x: x[..., :-1]
        ),
        "loadConstant": Network(constant_added, (BLOB,), lambda x: x + constant, legacy=True),
    }


def whole() -> dict[str, Network]:
    """Layers that read whole blobs: normalizations, and boxes cut out of an image."""

    def mean_free(x: np.ndarray, axes: tuple[int, ...], variance: bool) -> np.ndarray:
        centred = x - x.mean(axes, keepdims=True)
        return centred / (centred.std(axes, keepdims=True) + 1e-5) if variance else centred

    def cut(x: np.ndarray, box: np.ndarray) -> np.ndarray:
        """Corners on the grid: the ends of each box are sampled, and what lies evenly between them."""
        import torch

        top, left, bottom, right = box
        rows, columns = (np.linspace(a, e, 3) for a, e in ((top, bottom), (left, right)))
        grid = np.stack(np.meshgrid(columns / 5 * 2 - 1, rows / 4 * 2 - 1), -1).astype(np.float32)
        sampled = torch.nn.functional.grid_sample(t(x)[None], t(grid)[None], align_corners=True)
        return sampled.numpy()[None]

    return {
        "mvn": blob_layer("mvn", BLOB, want=lambda x: mean_free(x, (0, 1, 2), True)),
        "mvn channels": blob_layer(
            "mvn",
            BLOB,
            across_channels=False,
            normalize_variance=False,
            want=lambda x: mean_free(x, (1, 2), False),
        ),
        "l2normalize": blob_layer(
            "l2_normalize", BLOB, epsilon=0.5, want=lambda x: x / np.sqrt((x * x).sum() + 0.5)
        ),
        "cropResize": blob_layer(
            "crop_resize", f(2, 5, 6), np.float32([1, 0.5, 4, 4]), target_height=3, target_width=3, want=cut
        ),
    }
