"""Layers that are told at run time what shape to make, which layers to run and how often; and what chance
has a part in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bridge_coreml.cases.common import RNG, f
from bridge_coreml.cases.network import Network, X, added_constant, layer, network
from bridge_coreml.coremltools_import import coremltools

LENGTHS = np.float32([3, 4])


def layers() -> dict[str, Network]:
    return shaped() | sliced() | control() | chance() | sequences() | boxes()


def whole(values: np.ndarray) -> list[int]:
    return [int(v) for v in values]


def shaped() -> dict[str, Network]:
    return {
        "fillDynamic": layer("fill_dynamic", LENGTHS, value=2.5, want=lambda s: np.full(whole(s), 2.5)),
        "rangeDynamic": layer(
            "range_dynamic", np.float32([8]), start=1, step=2, want=lambda e: np.arange(1, 8, 2)
        ),
        "rangeDynamic start": layer(
            "range_dynamic",
            np.float32([8]),
            np.float32([3]),
            start=0,
            step=2,
            want=lambda e, s: np.arange(3, 8, 2),
        ),
        "reshapeDynamic": layer("reshape_dynamic", X, np.float32([4, -1]), want=lambda x, s: x.reshape(4, 6)),
        "broadcastToDynamic": layer(
            "broadcast_to_dynamic", f(3, 1), LENGTHS, want=lambda x, s: np.broadcast_to(x, (3, 4))
        ),
    }


def sliced() -> dict[str, Network]:
    first, last = np.float32([0, 1, 3]), np.float32([2, 3, 0])

    def by(x: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        return x[tuple(slice(a, e) for a, e in zip(whole(start), whole(end), strict=True))]

    def turned(x: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        return np.stack([np.concatenate([r[:n][::-1], r[n:]]) for r, n in zip(x, whole(sizes), strict=True)])

    return {
        "sliceDynamic": layer("slice_dynamic", X, np.float32([0, 1, 2]), np.float32([2, 3, 4]), want=by),
        "sliceDynamic masks": layer(
            "slice_dynamic",
            X,
            first,
            last,
            strides=[1, 1, -1],
            begin_masks=[True, False, False],
            end_masks=[False, True, False],
            want=lambda x, s, e: x[:2, 1:, 3:0:-1],
        ),
        "reverseSeq": layer(
            "reverse_sequence", f(3, 5, 2), np.float32([2, 5, 1]), batch_axis=0, seq_axis=1, want=turned
        ),
    }


def inner(boxes_given: Any) -> Any:
    """A builder of a network inside a layer."""
    return coremltools().models.neural_network.NeuralNetworkBuilder(nn_spec=boxes_given)


def control() -> dict[str, Network]:
    up, down = np.float32([1, 2, 3]), np.float32([-1, -2, 1])

    def branched(b: Any) -> None:
        b.add_reduce_sum("sum", input_name="x0", output_name="total", reduce_all=True)
        b.add_greater_than("more", input_names=["total"], output_name="flag", alpha=0.0)
        branch = b.add_branch("l", input_name="flag").branch
        inner(branch.ifBranch).add_elementwise(
            "twice", input_names=["x0"], output_name="y", mode="MULTIPLY", alpha=2.0
        )
        inner(branch.elseBranch).add_elementwise(
            "less", input_names=["x0"], output_name="y", mode="ADD", alpha=-1.0
        )

    def steps(jump: str = "", condition: bool = False) -> Callable[[Any], Any]:
        """Twice, and one more unless the step was left; as long as the sum is small, or six times."""

        def build(b: Any) -> None:
            b.add_copy("start", input_name="x0", output_name="y")
            loop = b.add_loop("l", condition="go" if condition else None, max_iterations=6).loop
            if condition:
                test = inner(loop.conditionNetwork)
                test.add_reduce_sum("small", input_name="y", output_name="sum", reduce_all=True)
                test.add_less_than("going", input_names=["sum"], output_name="go", alpha=50.0)
            body = inner(loop.bodyNetwork)
            body.add_elementwise("twice", input_names=["y"], output_name="w", mode="MULTIPLY", alpha=2.0)
            body.add_copy("back", input_name="w", output_name="y")
            if jump:
                body.add_reduce_sum("sum", input_name="y", output_name="total", reduce_all=True)
                body.add_greater_than("more", input_names=["total"], output_name="enough", alpha=20.0)
                getattr(
                    inner(body.add_branch("stop", input_name="enough").branch.ifBranch), f"add_loop_{jump}"
                )("out")
            body.add_elementwise("plus", input_names=["y"], output_name="u", mode="ADD", alpha=1.0)
            body.add_copy("again", input_name="u", output_name="y")

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
    distributions: dict[str, dict[str, float]] = {
        "normal": {"mean": 0.5, "stddev": 2.0},
        "uniform": {"minval": -1.0, "maxval": 2.0},
        "bernoulli": {"prob": 0.3},
    }
    drawn = {"want": lambda x: np.zeros((2, 3, 4)), "random": True}
    for kind, parameters in distributions.items():
        title = f"random{kind.capitalize()}"
        found[f"{title}Like"] = layer(f"random_{kind}_like", X, **parameters, **drawn)
        found[f"{title}Dynamic"] = layer(
            f"random_{kind}_dynamic", np.float32([2, 3, 4]), **parameters, **drawn
        )
        found[f"{title}Static"] = added_constant(
            f"random_{kind}_static", output_shape=[2, 3, 4], **parameters, **drawn
        )
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
        "gru": layer(
            "gru",
            x,
            states[0],
            W_h=u[:3],
            W_x=w[:3],
            b=bias[:3],
            hidden_size=size,
            input_size=3,
            inner_activation="SIGMOID",
            output_all=True,
            want=gru,
        ),
        "biDirectionalLSTM": layer(
            "bidirlstm",
            x,
            *states,
            W_h=u,
            W_x=w,
            b=bias,
            W_h_back=u2,
            W_x_back=w2,
            b_back=bias2,
            hidden_size=size,
            input_size=3,
            output_all=True,
            want=both_ways,
        ),
    }


def boxes() -> dict[str, Network]:
    """Three boxes as centers and sizes: the second overlaps the first, which is more confident."""
    boxes_given = np.float32([[[1, 1, 2, 2], [1, 1.1, 2, 2], [5, 5, 2, 2]]])
    scores = np.float32([[[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]])

    def build(b: Any) -> None:
        kept = ["boxes", "y0", "y1", "y2"]
        b.add_nms(
            "l",
            input_names=["x0", "x1"],
            output_names=kept,
            iou_threshold=0.4,
            score_threshold=0.2,
            max_boxes=2,
        )

    def want(boxes: np.ndarray, scores: np.ndarray) -> list[np.ndarray]:
        return [scores[:, [0, 2]], np.array([[0, 2]], np.float32), np.array([2], np.float32)]

    return {"NonMaximumSuppression": network(build, boxes_given, scores, want=want)}
