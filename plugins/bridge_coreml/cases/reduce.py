"""Reductions, running sums, order, and the place of an extreme."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bridge_coreml.cases.common import Program, f, i, program

NAMES = "l1_norm l2_norm log_sum log_sum_exp max mean min prod sum sum_square"


def programs(mb: Any) -> dict[str, Program]:
    found: dict[str, Program] = {}
    x, whole = f(2, 3, 4, low=0.1), i(2, 3, 4)
    reductions: dict[str, dict[str, Any]] = {
        "": {"axes": [0, 2], "keep_dims": True},
        " last": {"axes": [-1], "keep_dims": False},
        " all": {},
    }
    for name in (f"reduce_{n}" for n in NAMES.split()):
        for title, axes in reductions.items():
            found[name + title] = program(lambda x, n=name, axes=axes: getattr(mb, n)(x=x, **axes), x)
    for name in (
        "reduce_max",
        "reduce_min",
        "reduce_sum",
        "reduce_prod",
        "reduce_sum_square",
        "reduce_l1_norm",
    ):
        found[f"{name} whole"] = program(lambda x, n=name: getattr(mb, n)(x=x, axes=[1]), whole)
    for name in ("reduce_argmax", "reduce_argmin"):
        for axis, keep_dims in ((0, False), (-1, True)):
            found[f"{name} {axis}"] = program(
                lambda x, n=name, a=axis, k=keep_dims: getattr(mb, n)(x=x, axis=a, keep_dims=k), x
            )
        found[f"{name} whole"] = program(
            lambda x, n=name: getattr(mb, n)(x=x, axis=1), i(3, 5, low=-99, high=99)
        )
        found[f"{name} uint16"] = program(
            lambda x, n=name: getattr(mb, n)(x=x, axis=1, output_dtype="uint16"), x, target=17
        )
    return found | running(mb) | ordered(mb)


class Sum(NamedTuple):
    """Attributes of cumsum."""

    axis: int
    exclusive: bool = False
    reverse: bool = False


def running(mb: Any) -> dict[str, Program]:
    x = f(2, 3, 4)
    sums = (
        Sum(axis=0),
        Sum(axis=1, exclusive=True),
        Sum(axis=2, reverse=True),
        Sum(axis=-1, exclusive=True, reverse=True),
    )

    def summed(x: np.ndarray, axis: int, exclusive: bool, reverse: bool) -> np.ndarray:
        x = np.flip(x, axis) if reverse else x
        total = np.cumsum(x, axis) - (x if exclusive else 0)
        return np.flip(total, axis) if reverse else total

    return {
        f"cumsum {s.axis} {s.exclusive:d}{s.reverse:d}": program(
            lambda x, s=s: mb.cumsum(x=x, **s._asdict()), x, want=lambda x, s=s: summed(x, **s._asdict())
        )
        for s in sums
    } | {"cumsum whole": program(lambda x: mb.cumsum(x=x, axis=0), i(4, 2))}


def ordered(mb: Any) -> dict[str, Program]:
    x = np.float32([[3, 1, 2, 5], [0, -1, 7, 4]])
    return {
        "topk": program(lambda x: mb.topk(x=x, k=2, axis=-1), x),
        "topk ascending": program(lambda x: mb.topk(x=x, k=1, axis=0, ascending=True), x),
        "topk all": program(lambda x: mb.topk(x=x, k=4, axis=1), x),
        "topk values": program(
            lambda x: mb.topk(x=x, k=2, axis=-1, return_indices=False), x, target=16, newest=False
        ),
        "topk uint16": program(
            lambda x: mb.topk(x=x, k=2, axis=-1, output_indices_dtype="uint16"), x, target=17
        ),
        "topk whole": program(lambda x: mb.topk(x=x, k=2, axis=-1), x.astype(np.int32)),
        "argsort": program(lambda x: mb.argsort(x=x, axis=1), x),
        "argsort ascending": program(lambda x: mb.argsort(x=x, axis=-1, ascending=True), x),
        "argsort 0": program(lambda x: mb.argsort(x=x, axis=0), x),
    }
