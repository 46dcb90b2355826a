"""Layers of a NeuralNetwork, written by coremltools' NeuralNetworkBuilder; what they compute is NumPy's
word or torch's."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bridge.matrix import Made, NativeCase
from bridge_coreml.cases.common import RNG, by_torch, f, listed, t
from bridge_coreml.coremltools_import import coremltools

FLOAT = 65568
X, IMAGE = f(2, 3, 4), f(1, 4, 6, 8)


@dataclass(frozen=True)
class Network:
    """One layer or a few: `build` adds them to a builder, from x0, x1, … to y or to y0, y1, …; `want`
    computes the outputs of the arrays.

    A `legacy` network takes vectors and [channels, height, width] as blobs of rank 5.
    """

    build: Callable[[Any], Any]
    arrays: tuple[np.ndarray, ...]
    want: Callable[..., Any]
    random: bool = False
    legacy: bool = False

    def made(self, folder: Path) -> Made:
        """The case as the matrix measures it."""
        ct = coremltools()
        array = ct.models.datatypes.Array
        expected = [np.asarray(v, np.float32) for v in listed(self.want(*self.arrays))]
        names = ["y"] if len(expected) == 1 else [f"y{n}" for n in range(len(expected))]
        builder = ct.models.neural_network.NeuralNetworkBuilder(
            [(f"x{n}", array(*a.shape)) for n, a in enumerate(self.arrays)],
            [(n, array(*v.shape)) for n, v in zip(names, expected, strict=True)],
            disable_rank5_shape_mapping=not self.legacy,
        )
        self.build(builder)
        described = builder.spec.description
        for feature in (*described.input, *described.output):
            feature.type.multiArrayType.dataType = FLOAT
        path = folder / "native.mlmodel"
        path.write_bytes(builder.spec.SerializeToString())
        inputs = {f"x{n}": a.astype(np.float32) for n, a in enumerate(self.arrays)}
        return Made(path, inputs, {}, expected, random=self.random)


def network(build: Callable[..., Any], *arrays: np.ndarray, want: Callable[..., Any], **more: Any) -> Network:
    return Network(build, arrays, want, **more)


def cases(*others: Callable[[], dict[str, Network]]) -> dict[str, NativeCase]:
    """The layers of these and `others` families by name, whose first word is the layer's type."""
    own = (unary, activations, binary, reductions, shapes, slices, indexed, layers, images, recurrent)
    families = (*own, *others)
    found = dict(itertools.chain.from_iterable(family().items() for family in families))
    return {f"{name} layer": NativeCase((name.split()[0],), each.made) for name, each in found.items()}


def unary() -> dict[str, Network]:
    unit, over = f(2, 3, low=-0.9, high=0.9), f(2, 3, low=1, high=3)
    plain: dict[str, Any] = {
        "sin": np.sin, "cos": np.cos, "tan": np.tan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "atan": np.arctan,
        "asinh": np.arcsinh, "exp2": np.exp2, "ceil": np.ceil, "floor": np.floor, "round": np.rint, "sign": np.sign,
        "erf": by_torch(lambda F, x: x.erf()),
    }  # fmt: skip
    rows = [(n, w, X) for n, w in plain.items()]
    rows += [
        ("asin", np.arcsin, unit),
        ("acos", np.arccos, unit),
        ("atanh", np.arctanh, unit),
        ("acosh", np.arccosh, over),
    ]
    found = {n: network(lambda b, n=n: getattr(b, f"add_{n}")("l", "x0", "y"), x, want=w) for n, w, x in rows}
    modes: dict[str, Any] = {
        "sqrt": np.sqrt, "rsqrt": lambda v: 1 / np.sqrt(v + 1e-6), "inverse": lambda v: 1 / (v + 1e-6), "power": lambda v: v**1.5, "exp": np.exp, "log": np.log,
        "abs": np.abs, "threshold": lambda v: np.maximum(v, 1.5),
    }  # fmt: skip
    for mode, want in modes.items():
        found[f"unary {mode}"] = network(
            lambda b, m=mode: b.add_unary("l", "x0", "y", m, alpha=1.5, shift=0.5, scale=2.0), over, want=lambda x, w=want: w(2 * x + 0.5)
        )  # fmt: skip

    def unset(b: Any, mode: str) -> None:
        b.add_unary("l", "x0", "y", mode).unary.ClearField("epsilon")

    tiny = np.float32([1e-6, 2e-6, 1.0])
    found["unary rsqrt unset"] = network(
        lambda b: unset(b, "rsqrt"), tiny, want=lambda x: 1 / np.sqrt(x + np.float32(1e-6))
    )
    found["unary inverse unset"] = network(
        lambda b: unset(b, "inverse"), tiny, want=lambda x: 1 / (x + np.float32(1e-6))
    )
    return found | {
        "clip": network(lambda b: b.add_clip("l", "x0", "y", -0.5, 1.0), X, want=lambda x: x.clip(-0.5, 1)),
        "clampedReLU": network(lambda b: b.add_clamped_relu("l", "x0", "y", 0.2, 1.0), X, want=lambda x: np.minimum(np.where(x < 0, x * 0.2, x), 1)),
        "gelu": network(lambda b: b.add_gelu("l", "x0", "y"), X, want=by_torch(lambda F, x: F.gelu(x))),
        "gelu tanh": network(lambda b: b.add_gelu("l", "x0", "y", "TANH_APPROXIMATION"), X, want=by_torch(lambda F, x: F.gelu(x, approximate="tanh"))),
        "gelu sigmoid": network(lambda b: b.add_gelu("l", "x0", "y", "SIGMOID_APPROXIMATION"), X, want=lambda x: x / (1 + np.exp(-1.702 * x))),
        "copy": network(lambda b: b.add_copy("l", "x0", "y"), X, want=lambda x: x),
        "softmaxND": network(lambda b: b.add_softmax_nd("l", "x0", "y", 1), X, want=by_torch(lambda F, x: F.softmax(x, 1))),
    }  # fmt: skip


def activations() -> dict[str, Network]:
    alpha, beta = np.float32([0.1, 0.5, -0.2, 1.5]), np.float32([1, 0.5, 2, 1.5])
    spread = lambda v: v.reshape(4, 1, 1)  # noqa: E731
    kinds: dict[str, tuple[Any, Any]] = {
        "RELU": (None, lambda x: np.maximum(x, 0)),
        "TANH": (None, np.tanh),
        "SIGMOID": (None, lambda x: 1 / (1 + np.exp(-x))),
        "SOFTPLUS": (None, lambda x: np.log1p(np.exp(x))),
        "SOFTSIGN": (None, lambda x: x / (1 + np.abs(x))),
        "LEAKYRELU": ([0.3], lambda x: np.where(x < 0, x * 0.3, x)),
        "ELU": (0.7, lambda x: np.where(x < 0, 0.7 * np.expm1(x), x)),
        "LINEAR": ([2.0, -0.5], lambda x: 2 * x - 0.5),
        "SCALED_TANH": ([1.5, 0.5], lambda x: 1.5 * np.tanh(0.5 * x)),
        "SIGMOID_HARD": ([0.3, 0.6], lambda x: (0.3 * x + 0.6).clip(0, 1)),
        "THRESHOLDEDRELU": (0.5, lambda x: np.where(x < 0.5, 0, x)),
        "PRELU": (alpha, lambda x: np.where(x < 0, x * spread(alpha), x)),
        "PARAMETRICSOFTPLUS": ([alpha, beta], lambda x: spread(alpha) * np.log1p(np.exp(spread(beta) * x))),
    }
    return {
        f"activation {kind.lower()}": network(
            lambda b, k=kind, p=parameters: b.add_activation("l", k, "x0", "y", p), IMAGE, want=want
        )
        for kind, (parameters, want) in kinds.items()
    }


def binary() -> dict[str, Network]:
    x, y, row = f(2, 3, 4), f(2, 3, 4), f(3, 1)
    both = ["x0", "x1"]
    found = {}
    rows: list[tuple[str, str, Any]] = [
        ("addBroadcastable", "add", np.add), ("multiplyBroadcastable", "multiply", np.multiply),
        ("subtractBroadcastable", "subtract", np.subtract), ("divideBroadcastable", "divide", np.divide),
        ("maxBroadcastable", "max", np.maximum), ("minBroadcastable", "min", np.minimum),
        ("floorDivBroadcastable", "floor_div", np.floor_divide), ("modBroadcastable", "mod", np.mod),
    ]  # fmt: skip
    for kind, name, want in rows:
        found[kind] = network(
            lambda b, n=name: getattr(b, f"add_{n}_broadcastable")("l", both, "y"), x, row, want=want
        )
    whole = np.round(x)
    compared: list[tuple[str, Any, Any]] = [
        ("greaterThan", lambda b, n: b.add_greater_than("l", n, "y", alpha=1.0), np.greater),
        ("greaterEqual", lambda b, n: b.add_greater_than("l", n, "y", True, alpha=1.0), np.greater_equal),
        ("lessThan", lambda b, n: b.add_less_than("l", n, "y", alpha=1.0), np.less),
        ("lessEqual", lambda b, n: b.add_less_than("l", n, "y", True, alpha=1.0), np.less_equal),
        ("equal", lambda b, n: b.add_equal("l", n, "y", alpha=1.0), np.equal),
        ("notEqual", lambda b, n: b.add_not_equal("l", n, "y", alpha=1.0), np.not_equal),
    ]
    for kind, add, want in compared:
        found[kind] = network(lambda b, a=add: a(b, both), whole, np.round(row), want=want)
        found[f"{kind} number"] = network(
            lambda b, a=add: a(b, ["x0"]), whole, want=lambda x, w=want: w(x, 1)
        )
    truth = (x > 0).astype(np.float32), (y > 0).astype(np.float32)
    for mode in ("AND", "OR", "XOR"):
        logical = getattr(np, f"logical_{mode.lower()}")
        found[f"logical{mode.capitalize()}"] = network(
            lambda b, m=mode: b.add_logical("l", both, "y", m), *truth, want=logical
        )
    found["logicalNot"] = network(
        lambda b: b.add_logical("l", ["x0"], "y", "NOT"), truth[0], want=np.logical_not
    )
    elements: dict[str, Any] = {
        "ADD": np.add,
        "MULTIPLY": np.multiply,
        "MAX": np.maximum,
        "MIN": np.minimum,
        "AVE": lambda a, b: (a + b) / 2,
    }
    for mode, want in elements.items():
        kind = {"AVE": "average"}.get(mode, mode.lower())
        found[kind] = network(
            lambda b, m=mode: b.add_elementwise("l", both, "y", m), IMAGE, f(1, 4, 6, 8), want=want
        )
    return found | {
        "powBroadcastable": network(lambda b: b.add_pow_broadcastable("l", both, "y"), f(2, 3, low=0.1), f(3), want=np.power),
        "add number": network(lambda b: b.add_elementwise("l", ["x0"], "y", "ADD", alpha=1.5), X, want=lambda x: x + 1.5),
        "multiply number": network(lambda b: b.add_elementwise("l", ["x0"], "y", "MULTIPLY", alpha=1.5), X, want=lambda x: x * 1.5),
        "whereBroadcastable": network(lambda b: b.add_where_broadcastable("l", ["x0", "x1", "x2"], "y"), truth[0], x, row, want=lambda c, a, b: np.where(c > 0, a, b)),
        "batchedMatmul": network(lambda b: b.add_batched_mat_mul("l", both, "y", transpose_b=True), f(2, 3, 4), f(2, 5, 4), want=lambda a, b: a @ b.swapaxes(1, 2)),
    }  # fmt: skip


def reductions() -> dict[str, Network]:
    x = f(2, 3, 4, low=0.2)
    rows: dict[str, Any] = {
        "Sum": np.sum, "Prod": np.prod, "Mean": np.mean, "Max": np.max, "Min": np.min,
        "L1": lambda v, **k: np.abs(v).sum(**k), "L2": lambda v, **k: np.sqrt((v * v).sum(**k)),
        "SumSquare": lambda v, **k: (v * v).sum(**k), "LogSum": lambda v, **k: np.log(v.sum(**k)),
        "LogSumExp": lambda v, **k: np.log(np.exp(v).sum(**k)),
    }  # fmt: skip
    found = {}
    for kind, want in rows.items():
        add = f"add_reduce_{kind.lower()}"
        found[f"reduce{kind}"] = network(
            lambda b, a=add: getattr(b, a)("l", "x0", "y", axes=[0, 2]), x, want=lambda v, w=want: w(v, axis=(0, 2), keepdims=True)
        )  # fmt: skip
        found[f"reduce{kind} last"] = network(
            lambda b, a=add: getattr(b, a)("l", "x0", "y", axes=[-1], keepdims=False), x, want=lambda v, w=want: w(v, axis=-1)
        )  # fmt: skip
    ordered = np.float32([[3, 1, 2, 5], [0, -1, 7, 4]])
    top = lambda v: [-np.sort(-v, 1)[:, :2], np.argsort(-v, 1)[:, :2]]  # noqa: E731
    return found | {
        "argMax": network(lambda b: b.add_argmax("l", "x0", "y", 1), x, want=lambda v: v.argmax(1)[:, None]),
        "argMin": network(lambda b: b.add_argmin("l", "x0", "y", -1, keepdims=False), x, want=lambda v: v.argmin(-1)),
        "argSort": network(lambda b: b.add_argsort("l", "x0", "y", axis=1, descending=True), ordered, want=lambda v: np.argsort(-v, 1)),
        "topK": network(lambda b: b.add_topk("l", ["x0"], ["y0", "y1"], k=2, axis=1), ordered, want=top),
        "cumSum": network(lambda b: b.add_cumsum("l", ["x0"], "y", axis=1), x, want=lambda v: v.cumsum(1)),
        "cumSum reverse": network(lambda b: b.add_cumsum("l", ["x0"], "y", axis=-1, reverse=True, exclusive=True), x, want=lambda v: v[..., ::-1].cumsum(-1)[..., ::-1] - v),
    }  # fmt: skip


def shapes() -> dict[str, Network]:
    y = f(2, 1, 4)
    return {
        "transpose": network(lambda b: b.add_transpose("l", [2, 0, 1], "x0", "y"), X, want=lambda x: x.transpose(2, 0, 1)),
        "expandDims": network(lambda b: b.add_expand_dims("l", "x0", "y", [0, 2]), f(3, 4), want=lambda x: x[None, :, None]),
        "squeeze": network(lambda b: b.add_squeeze("l", "x0", "y", [1]), y, want=lambda x: x[:, 0]),
        "flattenTo2D": network(lambda b: b.add_flatten_to_2d("l", "x0", "y", 1), X, want=lambda x: x.reshape(2, 12)),
        "reshapeStatic": network(lambda b: b.add_reshape_static("l", "x0", "y", [4, -1]), X, want=lambda x: x.reshape(4, 6)),
        "rankPreservingReshape": network(lambda b: b.add_rank_preserving_reshape("l", "x0", "y", [0, 6, -1]), X, want=lambda x: x.reshape(2, 6, 2)),
        "reshapeLike": network(lambda b: b.add_reshape_like("l", ["x0", "x1"], "y"), X, f(6, 4), want=lambda x, y: x.reshape(6, 4)),
        "broadcastToStatic": network(lambda b: b.add_broadcast_to_static("l", "x0", "y", [2, 3, 4]), y, want=lambda x: np.broadcast_to(x, (2, 3, 4))),
        "broadcastToLike": network(lambda b: b.add_broadcast_to_like("l", ["x0", "x1"], "y"), y, X, want=lambda x, y: np.broadcast_to(x, y.shape)),
        "concatND": network(lambda b: b.add_concat_nd("l", ["x0", "x1"], "y", 1), X, y, want=lambda x, y: np.concatenate([x, y], 1)),
        "stack": network(lambda b: b.add_stack("l", ["x0", "x1"], "y", 1), X, f(2, 3, 4), want=lambda x, y: np.stack([x, y], 1)),
        "splitND": network(lambda b: b.add_split_nd("l", "x0", ["y0", "y1"], 2, split_sizes=[1, 3]), X, want=lambda x: [x[..., :1], x[..., 1:]]),
        "tile": network(lambda b: b.add_tile("l", "x0", "y", [2, 1, 3]), X, want=lambda x: np.tile(x, (2, 1, 3))),
        "getShape": network(lambda b: b.add_get_shape("l", "x0", "y"), X, want=lambda x: np.array(x.shape)),
        "fillLike": network(lambda b: b.add_fill_like("l", "x0", "y", 2.5), X, want=lambda x: np.full_like(x, 2.5)),
        "fillStatic": network(lambda b: (b.add_fill_static("l", "z", [3, 4], 1.5), b.add_add_broadcastable("m", ["x0", "z"], "y")), X, want=lambda x: x + 1.5),
        "loadConstantND": network(lambda b: (b.add_load_constant_nd("l", "z", np.arange(4.0), (4,)), b.add_add_broadcastable("m", ["x0", "z"], "y")), X, want=lambda x: x + np.arange(4)),
        "rangeStatic": network(lambda b: (b.add_range_static("l", "z", end=5, start=1, step=1), b.add_add_broadcastable("m", ["x0", "z"], "y")), X, want=lambda x: x + np.arange(1, 5)),
        "matrixBandPart": network(lambda b: b.add_matrix_band_part("l", "x0", "y", 1, 0), f(4, 5), want=lambda x: np.triu(np.tril(x), -1)),
        "lowerTriangular": network(lambda b: b.add_lower_triangular("l", "x0", "y", 1), f(4, 5), want=lambda x: np.tril(x, 1)),
        "upperTriangular": network(lambda b: b.add_upper_triangular("l", "x0", "y", -1), f(4, 5), want=lambda x: np.triu(x, -1)),
    }  # fmt: skip


def slices() -> dict[str, Network]:
    keep = [False] * 3
    return {
        "sliceStatic": network(lambda b: b.add_slice_static("l", "x0", "y", [0, 1, 0], [2, 3, 4], [1, 1, 2], keep, keep), X, want=lambda x: x[:, 1:3, ::2]),
        "sliceStatic masks": network(lambda b: b.add_slice_static("l", "x0", "y", [1, 0, -1], [2, 1, 0], [1, 1, -1], keep, [True, True, False], [True, False, False]), X, want=lambda x: x[1, :, -1:0:-1]),
        "sliceBySize": network(lambda b: b.add_slice_by_size("l", ["x0", "x1"], "y", 1, 2), X, np.float32([1]), want=lambda x, s: x[:, 1:3]),
        "reverse": network(lambda b: b.add_reverse("l", "x0", "y", [True, False, True]), X, want=lambda x: x[::-1, :, ::-1]),
        "slidingWindows": network(lambda b: b.add_sliding_windows("l", "x0", "y", 1, 3, 2), f(2, 8), want=lambda x: x[:, [[0, 1, 2], [2, 3, 4], [4, 5, 6]]]),
        "constantPad": network(lambda b: b.add_constant_pad("l", ["x0"], "y", 1.5, False, [0, 1, 1, 0, 0, 2]), X, want=lambda x: np.pad(x, ((0, 1), (1, 0), (0, 2)), constant_values=1.5)),
    }  # fmt: skip


def indexed() -> dict[str, Network]:
    rows, k = f(5, 3), np.float32([[4, 0], [1, 1]])
    along = np.float32([[0, 4, 2], [1, 1, 3]])
    whole = lambda v: v.astype(int)  # noqa: E731

    def put(x: np.ndarray, k: np.ndarray, u: np.ndarray) -> np.ndarray:
        made = x.copy()
        for n, row in zip(whole(k), u, strict=True):
            made[n] += row
        return made

    def laid(x: np.ndarray, k: np.ndarray, u: np.ndarray) -> np.ndarray:
        made = x.copy()
        np.put_along_axis(made, whole(k), u, 0)
        return made

    return {
        "gather": network(lambda b: b.add_gather("l", ["x0", "x1"], "y", 0), rows, k, want=lambda x, k: x[whole(k)]),
        "gatherND": network(lambda b: b.add_gather_nd("l", ["x0", "x1"], "y"), rows, np.float32([[4, 0], [1, 2]]), want=lambda x, k: x[tuple(whole(k).T)]),
        "gatherAlongAxis": network(lambda b: b.add_gather_along_axis("l", ["x0", "x1"], "y", 0), rows, along, want=lambda x, k: np.take_along_axis(x, whole(k), 0)),
        "scatter": network(lambda b: b.add_scatter("l", ["x0", "x1", "x2"], "y", 0, "ADD"), rows, np.float32([2, 0, 2]), f(3, 3), want=put),
        "scatterND": network(lambda b: b.add_scatter_nd("l", ["x0", "x1", "x2"], "y", "ADD"), rows, np.float32([[2], [0], [2]]), f(3, 3), want=lambda x, k, u: put(x, k[:, 0], u)),
        "scatterAlongAxis": network(lambda b: b.add_scatter_along_axis("l", ["x0", "x1", "x2"], "y", 0), rows, along, f(2, 3), want=laid),
        "oneHot": network(lambda b: b.add_one_hot("l", ["x0"], "y", 4, -1, 2.0, -1.0), np.float32([0, 3, 1]), want=lambda x: np.where(np.eye(4)[whole(x)] > 0, 2, -1)),
        "whereNonZero": network(lambda b: b.add_where_nonzero("l", "x0", "y"), np.float32([[0, 1, 0], [2, 0, 3]]), want=np.argwhere),
        "embeddingND": network(lambda b: b.add_embedding_nd("l", "x0", "y", 5, 3, rows.T), np.float32([[4], [0]]), want=lambda x: rows[whole(x)[:, 0]]),
    }  # fmt: skip


def layers() -> dict[str, Network]:
    kernel, bias, dense = f(6, 4, 3, 2), f(6), f(5, 12)
    laid = kernel.transpose(2, 3, 1, 0)
    up = f(4, 5, 2, 2)
    gamma, beta, mean, variance = f(4), f(4), f(4), f(4, low=0.1)
    volume, k3 = f(1, 2, 5, 6, 4), f(3, 2, 2, 3, 2)

    def conv(b: Any, mode: str = "valid", stride: int = 1, **more: Any) -> Any:
        return b.add_convolution(
            "l",
            4,
            6,
            3,
            2,
            stride,
            stride,
            mode,
            1,
            laid,
            bias,
            True,
            input_name="x0",
            output_name="y",
            **more,
        )

    def pool(kind: str, padding: str = "VALID", **more: Any) -> Callable[[Any], Any]:
        return lambda b: b.add_pooling("l", 2, 2, 2, 2, kind, padding, "x0", "y", **more)

    return {
        "convolution": network(conv, IMAGE, want=by_torch(lambda F, x: F.conv2d(x, t(kernel), t(bias)))),
        "convolution pad": network(lambda b: conv(b, stride=2, padding_top=1, padding_left=2), IMAGE, want=by_torch(lambda F, x: F.conv2d(F.pad(x, (2, 0, 1, 0)), t(kernel), t(bias), 2))),
        "convolution same": network(lambda b: conv(b, "same"), IMAGE, want=by_torch(lambda F, x: F.conv2d(F.pad(x, (0, 1, 1, 1)), t(kernel), t(bias)))),
        "convolution dilation": network(lambda b: conv(b, dilation_factors=[2, 3]), IMAGE, want=by_torch(lambda F, x: F.conv2d(x, t(kernel), t(bias), dilation=(2, 3)))),
        "convolution transposed": network(
            lambda b: b.add_convolution("l", 4, 5, 2, 2, 2, 2, "valid", 1, up.transpose(2, 3, 0, 1), None, False, True, input_name="x0", output_name="y"),
            IMAGE, want=by_torch(lambda F, x: F.conv_transpose2d(x, t(up), stride=2)),
        ),
        "convolution3d": network(lambda b: b.add_convolution3d("l", 2, 3, 2, 3, 2, k3, None, False, input_name="x0", output_name="y"), volume, want=by_torch(lambda F, x: F.conv3d(x, t(k3)))),
        "pooling max": network(pool("MAX"), IMAGE, want=by_torch(lambda F, x: F.max_pool2d(x, 2))),
        "pooling average": network(pool("AVERAGE", padding_top=1, padding_bottom=1), IMAGE, want=by_torch(lambda F, x: F.avg_pool2d(x, 2, padding=(1, 0), count_include_pad=False))),
        "pooling l2": network(pool("L2"), IMAGE, want=by_torch(lambda F, x: (F.avg_pool2d(x * x, 2) * 4).sqrt())),
        "pooling global": network(pool("AVERAGE", is_global=True), IMAGE, want=lambda x: x.mean((2, 3), keepdims=True)),
        "pooling3d": network(lambda b: b.add_pooling3d("l", "x0", "y", "MAX", 2, 3, 2, 2, 1, 2), volume, want=by_torch(lambda F, x: F.max_pool3d(x, (2, 3, 2), (2, 1, 2)))),
        "globalPooling3d": network(lambda b: b.add_global_pooling3d("l", "x0", "y", "AVERAGE"), volume, want=lambda x: x.mean((2, 3, 4), keepdims=True)),
        "innerProduct": network(lambda b: b.add_inner_product("l", dense, dense[:, 0], 12, 5, True, "x0", "y"), f(3, 12), want=lambda x: x @ dense.T + dense[:, 0]),
        "batchnorm": network(lambda b: b.add_batchnorm("l", 4, gamma, beta, mean, variance, "x0", "y"), IMAGE, want=by_torch(lambda F, x: F.batch_norm(x, t(mean), t(variance), t(gamma), t(beta)))),
        "batchnorm instance": network(lambda b: b.add_batchnorm("l", 4, gamma, beta, None, None, "x0", "y", True, True), IMAGE, want=by_torch(lambda F, x: F.instance_norm(x, weight=t(gamma), bias=t(beta)))),
        "batchnorm batch": network(lambda b: b.add_batchnorm("l", 4, gamma, beta, None, None, "x0", "y", True, True).batchnorm.ClearField("instanceNormalization"), f(2, 4, 3, 5), want=by_torch(lambda F, x: F.batch_norm(x, None, None, t(gamma), t(beta), True))),
        "layerNormalization": network(lambda b: b.add_layer_normalization("l", "x0", "y", (4,), gamma, beta), X, want=by_torch(lambda F, x: F.layer_norm(x, (4,), t(gamma), t(beta)))),
        "scale": network(lambda b: b.add_scale("l", gamma, beta, True, "x0", "y", (4, 1, 1), (4, 1, 1)), IMAGE, want=lambda x: x * gamma.reshape(4, 1, 1) + beta.reshape(4, 1, 1)),
        "bias": network(lambda b: b.add_bias("l", gamma, "x0", "y", (4, 1, 1)), IMAGE, want=lambda x: x + gamma.reshape(4, 1, 1)),
        "lrn": network(lambda b: b.add_lrn("l", "x0", "y", 0.5, 0.6, 3, 1.5), IMAGE, want=by_torch(lambda F, x: F.local_response_norm(x, 3, 0.5, 0.6, 1.5))),
        "categoricalDistribution": Network(lambda b: b.add_categorical_distribution("l", "x0", "y", 4), (f(3, 5),), lambda x: np.zeros((3, 4)), random=True),
    }  # fmt: skip


def images() -> dict[str, Network]:
    return {
        "upsample": network(lambda b: b.add_upsample("l", 2, 3, "x0", "y"), IMAGE, want=lambda x: x.repeat(2, 2).repeat(3, 3)),
        "upsample bilinear": network(lambda b: b.add_upsample("l", 2, 3, "x0", "y", "BILINEAR", "ALIGN_CORNERS_TRUE"), IMAGE, want=by_torch(lambda F, x: F.interpolate(x, scale_factor=(2, 3), mode="bilinear", align_corners=True))),
        "resizeBilinear": network(lambda b: b.add_resize_bilinear("l", "x0", "y", 9, 5, "STRICT_ALIGN_ENDPOINTS_MODE"), IMAGE, want=by_torch(lambda F, x: F.interpolate(x, (9, 5), mode="bilinear", align_corners=True))),
        "padding": network(lambda b: b.add_padding("l", 1, 2, 0, 1, 1.5, "x0", "y"), IMAGE, want=lambda x: np.pad(x, ((0, 0), (0, 0), (0, 1), (1, 2)), constant_values=1.5)),
        "padding reflection": network(lambda b: b.add_padding("l", 1, 2, 0, 1, 0, "x0", "y", "reflection"), IMAGE, want=lambda x: np.pad(x, ((0, 0), (0, 0), (0, 1), (1, 2)), "reflect")),
        "crop": network(lambda b: b.add_crop("l", 1, 2, 0, 1, [0, 0], ["x0"], "y"), IMAGE, want=lambda x: x[:, :, :-1, 1:-2]),
        "reorganizeData": network(lambda b: b.add_reorganize_data("l", "x0", "y", "PIXEL_SHUFFLE", 2), IMAGE, want=by_torch(lambda F, x: F.pixel_shuffle(x, 2))),
    }  # fmt: skip


def recurrent() -> dict[str, Network]:
    """Sequences [time, batch, features, 1, 1]; gates of an LSTM are stacked as input, forget, output,
    cell."""
    size, x, h, c = 5, f(4, 2, 3, 1, 1), f(1, 2, 5, 1, 1), f(1, 2, 5, 1, 1)
    w, u, bias = (
        [RNG.uniform(-1, 1, s).astype(np.float32) for _ in range(4)]
        for s in ((size, 3), (size, size), (size,))
    )
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    deep = lambda v: v.reshape(-1, 2, size, 1, 1)  # noqa: E731

    def lstm(x: np.ndarray, h: np.ndarray, c: np.ndarray) -> list[np.ndarray]:
        rows, h, c, found = x[..., 0, 0], h[0, ..., 0, 0], c[0, ..., 0, 0], []
        for row in rows:
            i, f, o, g = (row @ w[n].T + h @ u[n].T + bias[n] for n in range(4))
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            found.append(h)
        return [deep(np.stack(found)), deep(h), deep(c)]

    def rnn(x: np.ndarray, h: np.ndarray) -> list[np.ndarray]:
        state, found = h[0, ..., 0, 0], []
        for row in x[..., 0, 0]:
            state = np.tanh(row @ w[0].T + state @ u[0].T + bias[0])
            found.append(state)
        return [deep(np.stack(found)), deep(state)]

    return {
        "uniDirectionalLSTM": network(
            lambda b: b.add_unilstm("l", u, w, bias, size, 3, ["x0", "x1", "x2"], ["y0", "y1", "y2"], output_all=True), x, h, c, want=lstm
        ),
        "simpleRecurrent": network(
            lambda b: b.add_simple_rnn("l", u[0], w[0], bias[0], size, 3, "TANH", ["x0", "x1"], ["y0", "y1"], output_all=True), x, h, want=rnn
        ),
    }  # fmt: skip
