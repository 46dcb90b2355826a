"""Layers that are told at run time what shape to make, which layers to run and how often; and what chance
has a part in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bridge_coreml.cases.common import RNG, f
from bridge_coreml.cases.network import Network, X, network
from bridge_coreml.coremltools_import import coremltools

LENGTHS = np.float32([3, 4])


def layers() -> dict[str, Network]:
    return made() | cut() | control() | chance() | sequences() | boxes()


def whole(values: np.ndarray) -> list[int]:
    return [int(v) for v in values]


def made() -> dict[str, Network]:
    return {
        "fillDynamic": network(lambda b: b.add_fill_dynamic("l", "x0", "y", 2.5), LENGTHS, want=lambda s: np.full(whole(s), 2.5)),
        "rangeDynamic": network(lambda b: b.add_range_dynamic("l", ["x0"], "y", 1, 2), np.float32([8]), want=lambda e: np.arange(1, 8, 2)),
        "rangeDynamic start": network(lambda b: b.add_range_dynamic("l", ["x0", "x1"], "y", 0, 2), np.float32([8]), np.float32([3]), want=lambda e, s: np.arange(3, 8, 2)),
        "reshapeDynamic": network(lambda b: b.add_reshape_dynamic("l", ["x0", "x1"], "y"), X, np.float32([4, -1]), want=lambda x, s: x.reshape(4, 6)),
        "broadcastToDynamic": network(lambda b: b.add_broadcast_to_dynamic("l", ["x0", "x1"], "y"), f(3, 1), LENGTHS, want=lambda x, s: np.broadcast_to(x, (3, 4))),
    }  # fmt: skip


def cut() -> dict[str, Network]:
    first, last = np.float32([0, 1, 3]), np.float32([2, 3, 0])

    def by(x: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        return x[tuple(slice(a, e) for a, e in zip(whole(start), whole(end), strict=True))]

    def turned(x: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        return np.stack([np.concatenate([r[:n][::-1], r[n:]]) for r, n in zip(x, whole(sizes), strict=True)])

    return {
        "sliceDynamic": network(lambda b: b.add_slice_dynamic("l", ["x0", "x1", "x2"], "y"), X, np.float32([0, 1, 2]), np.float32([2, 3, 4]), want=by),
        "sliceDynamic masks": network(
            lambda b: b.add_slice_dynamic("l", ["x0", "x1", "x2"], "y", strides=[1, 1, -1], begin_masks=[True, False, False], end_masks=[False, True, False]),
            X, first, last, want=lambda x, s, e: x[:2, 1:, 3:0:-1],
        ),
        "reverseSeq": network(lambda b: b.add_reverse_sequence("l", ["x0", "x1"], "y", 0, 1), f(3, 5, 2), np.float32([2, 5, 1]), want=turned),
    }  # fmt: skip


def inner(held: Any) -> Any:
    """A builder of a network inside a layer."""
    return coremltools().models.neural_network.NeuralNetworkBuilder(nn_spec=held)


def control() -> dict[str, Network]:
    up, down = np.float32([1, 2, 3]), np.float32([-1, -2, 1])

    def branched(b: Any) -> None:
        b.add_reduce_sum("sum", "x0", "total", reduce_all=True)
        b.add_greater_than("more", ["total"], "flag", alpha=0.0)
        branch = b.add_branch("l", "flag").branch
        inner(branch.ifBranch).add_elementwise("twice", ["x0"], "y", "MULTIPLY", alpha=2.0)
        inner(branch.elseBranch).add_elementwise("less", ["x0"], "y", "ADD", alpha=-1.0)

    def steps(jump: str = "", condition: bool = False) -> Callable[[Any], Any]:
        """Twice, and one more unless the step was left; as long as the sum is small, or six times."""

        def build(b: Any) -> None:
            b.add_copy("start", "x0", "y")
            loop = b.add_loop("l", condition="go" if condition else None, max_iterations=6).loop
            if condition:
                test = inner(loop.conditionNetwork)
                test.add_reduce_sum("small", "y", "sum", reduce_all=True)
                test.add_less_than("going", ["sum"], "go", alpha=50.0)
            body = inner(loop.bodyNetwork)
            body.add_elementwise("twice", ["y"], "w", "MULTIPLY", alpha=2.0)
            body.add_copy("back", "w", "y")
            if jump:
                body.add_reduce_sum("sum", "y", "total", reduce_all=True)
                body.add_greater_than("more", ["total"], "enough", alpha=20.0)
                getattr(inner(body.add_branch("stop", "enough").branch.ifBranch), f"add_loop_{jump}")("out")
            body.add_elementwise("plus", ["y"], "u", "ADD", alpha=1.0)
            body.add_copy("again", "u", "y")

        return build

    def stepped(jump: str = "", condition: bool = False) -> Callable[..., np.ndarray]:
        def run(x: np.ndarray) -> np.ndarray:
            for _ in range(6):
                if condition and x.sum() >= 50:
                    break
                x = x * 2
                if jump and x.sum() > 20:
                    if jump == "break":
                        break
                    continue
                x = x + 1
            return x

        return run

    return {
        "branch": network(branched, up, want=lambda x: x * 2),
        "branch else": network(branched, down, want=lambda x: x - 1),
        "loop": network(steps(), up, want=stepped()),
        "loop condition": network(steps(condition=True), up, want=stepped(condition=True)),
        "loopBreak": network(steps("break"), up, want=stepped("break")),
        "loopContinue": network(steps("continue"), up, want=stepped("continue")),
    }


def chance() -> dict[str, Network]:
    found = {}
    numbers = {"normal": (0.5, 2.0), "uniform": (-1.0, 2.0), "bernoulli": (0.3,)}
    for kind, given in numbers.items():
        title = f"random{kind.capitalize()}"
        for how, names, source in (("like", "x0", X), ("dynamic", ["x0"], np.float32([2, 3, 4]))):
            found[f"{title}{how.capitalize()}"] = network(
                lambda b, n=f"add_random_{kind}_{how}", i=names, g=given: getattr(b, n)("l", i, "y", *g),
                source, want=lambda x: np.zeros((2, 3, 4)), random=True,
            )  # fmt: skip
        found[f"{title}Static"] = network(
            lambda b, n=f"add_random_{kind}_static", g=given: (
                getattr(b, n)("l", "z", [2, 3, 4], *g), b.add_add_broadcastable("m", ["x0", "z"], "y"),
            ),
            X, want=lambda x: np.zeros((2, 3, 4)), random=True,
        )  # fmt: skip
    return found


def sequences() -> dict[str, Network]:
    """Sequences [time, batch, features, 1, 1] through a GRU, and both ways through an LSTM."""
    size, x = 5, f(4, 2, 3, 1, 1)
    weights = [
        [RNG.uniform(-1, 1, s).astype(np.float32) for _ in range(4)]
        for s in 2 * ((size, 3), (size, size), (size,))
    ]
    (w, u, bias), (w2, u2, bias2) = weights[:3], weights[3:]
    states = [f(1, 2, size, 1, 1) for _ in range(4)]
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    flat = lambda v: v[..., 0, 0]  # noqa: E731
    deep = lambda v: np.reshape(v, (-1, 2, np.shape(v)[-1], 1, 1))  # noqa: E731

    def gru(x: np.ndarray, h: np.ndarray) -> list[np.ndarray]:
        h, found = flat(h)[0], []
        for row in flat(x):
            z, r = (sigmoid(row @ w[n].T + h @ u[n].T + bias[n]) for n in range(2))
            h = (1 - z) * np.tanh(row @ w[2].T + (r * h) @ u[2].T + bias[2]) + z * h
            found.append(h)
        return [deep(np.stack(found)), deep(h)]

    def one_way(rows: np.ndarray, h: Any, c: Any, w: Any, u: Any, bias: Any) -> tuple[list[Any], Any, Any]:
        h, c, found = flat(h)[0], flat(c)[0], []
        for row in rows:
            i, f, o, g = (row @ w[n].T + h @ u[n].T + bias[n] for n in range(4))
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            found.append(h)
        return found, h, c

    def both_ways(x: np.ndarray, h: Any, c: Any, h2: Any, c2: Any) -> list[np.ndarray]:
        ahead, h, c = one_way(flat(x), h, c, w, u, bias)
        behind, h2, c2 = one_way(flat(x)[::-1], h2, c2, w2, u2, bias2)
        rows = np.concatenate([np.stack(ahead), np.stack(behind[::-1])], -1)
        return [deep(v) for v in (rows, h, c, h2, c2)]

    return {
        "gru": network(
            lambda b: b.add_gru("l", u[:3], w[:3], bias[:3], size, 3, ["x0", "x1"], ["y0", "y1"], inner_activation="SIGMOID", output_all=True),
            x, states[0], want=gru,
        ),
        "biDirectionalLSTM": network(
            lambda b: b.add_bidirlstm(
                "l", u, w, bias, u2, w2, bias2, size, 3, [f"x{n}" for n in range(5)], [f"y{n}" for n in range(5)], output_all=True
            ),
            x, *states, want=both_ways,
        ),
    }  # fmt: skip


def boxes() -> dict[str, Network]:
    """Three boxes as centers and sizes: the second overlaps the first, which is more confident."""
    held = np.float32([[[1, 1, 2, 2], [1, 1.1, 2, 2], [5, 5, 2, 2]]])
    scores = np.float32([[[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]])

    def build(b: Any) -> None:
        kept = ["boxes", "y0", "y1", "y2"]
        b.add_nms("l", ["x0", "x1"], kept, iou_threshold=0.4, score_threshold=0.2, max_boxes=2)

    def want(boxes: np.ndarray, scores: np.ndarray) -> list[np.ndarray]:
        return [scores[:, [0, 2]], np.array([[0, 2]], np.float32), np.array([2], np.float32)]

    return {"NonMaximumSuppression": network(build, held, scores, want=want)}
