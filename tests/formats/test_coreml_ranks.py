"""Views of more than 5 dimensions as Core ML: axes that an operator treats alike are joined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from build import hub_from_text, save_as

import bridge

X = np.random.default_rng(3).standard_normal((2, 3, 4, 6)).astype(np.float32)
OPERATORS = {
    "Relu": "t = Relu (u)",
    "Clip": "t = Clip (u, low)",
    "Add": "t = Add (u, channel)",
    "Where": "c = Greater (u, low)  t = Where (c, u, low)",
    "Transpose": "t = Transpose <perm = [0, 2, 4, 3, 5, 1]> (u)",
    "Transpose of all": "t = Transpose (u)",
    "ReduceMax": "t = ReduceMax <keepdims = 0> (u, window)",
    "ReduceMean": "t = ReduceMean (u, window)",
    "ReduceSum of all": "t = ReduceSum (u)",
    "Softmax": "t = Softmax <axis = 3> (u)",
    "ArgMax": "a = ArgMax <axis = 4, keepdims = 0> (u)  t = Cast <to = 1> (a)",
    "Concat": "t = Concat <axis = 4> (u, u)",
    "Split": "p, q = Split <axis = 3, num_outputs = 2> (u)  t = Sub (p, q)",
    "Slice": "t = Slice (u, one, three, fourth)",
    "Gather": "t = Gather <axis = 3> (u, indices)",
    "GatherElements": "a = ArgMax <axis = 4> (u)  t = GatherElements <axis = 4> (u, a)",
    "CumSum": "t = CumSum (u, fourth)",
    "Pad": "t = Pad (u, pads)",
    "Tile": "t = Tile (u, repeats)",
    "Expand": "s = Slice (u, zero, one, fourth)  t = Expand (s, wide)",
    "MatMul": "t = MatMul (u, weights)",
    "Squeeze": "q = Unsqueeze (u, last)  a = Transpose <perm = [6, 0, 1, 2, 3, 4, 5]> (q)  t = Squeeze (a, zero)",
}
CONSTANTS = {
    "low": np.float32(0.1),
    "channel": np.float32([1, 2, 3]).reshape(3, 1, 1, 1, 1),
    "window": np.array([3, 5]),
    "zero": np.array([0]),
    "one": np.array([1]),
    "three": np.array([3]),
    "fourth": np.array([4]),
    "last": np.array([6]),
    "indices": np.array([1, 0, -1]),
    "pads": np.array([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0]),
    "repeats": np.array([1, 1, 2, 1, 1, 1]),
    "wide": np.array([1, 1, 1, 1, 5, 1]),
    "weights": np.float32([[1, 2], [3, 4]]),
    "flat": np.array([-1]),
}


@pytest.mark.parametrize("batch", ["2", "N"])
@pytest.mark.parametrize("name", OPERATORS)
def test_axes_are_joined(name: str, batch: str, tmp_path: Path) -> None:
    view = np.array([int(batch) if batch == "2" else 0, 3, 2, 2, 3, 2])
    graph = f"(float[{batch},3,4,6] x) => (float[M] y) {{ u = Reshape (x, view) {OPERATORS[name]} y = Reshape (t, flat) }}"
    model = hub_from_text(graph, view=view, **CONSTANTS)
    path = save_as("coreml", model, tmp_path)
    for x in [X] if batch == "2" else [X, X[:1]]:
        np.testing.assert_allclose(
            bridge.run(path, {"x": x})["y"], bridge.run(model, {"x": x})["y"], 1e-5, 1e-5
        )


WINDOWS = """(float[N,H,W,3] x) => (float[B,4,3] y)
<int64[1] one = {1}, int64[1] two = {2}, int64[1] three = {3}, int64[1] zero = {0}, int64[3] rows = {-1, 4, 3}> {
    s = Shape (x)
    n = Slice (s, zero, one)  h = Slice (s, one, two)  w = Slice (s, two, three)
    down = Div (h, two)  across = Div (w, two)
    view = Concat <axis = 0> (n, down, two, across, two, three)
    u = Reshape (x, view)  t = Transpose <perm = [0, 1, 3, 2, 4, 5]> (u)  y = Reshape (t, rows)
}"""


def test_windows_of_an_image_of_any_size(tmp_path: Path) -> None:
    model = hub_from_text(WINDOWS)
    path = save_as("coreml", model, tmp_path)
    for shape in ((2, 4, 6, 3), (1, 2, 8, 3)):
        x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
        np.testing.assert_array_equal(bridge.run(path, {"x": x})["y"], bridge.run(model, {"x": x})["y"])


POOLS = {
    "MaxPool": "y = MaxPool <kernel_shape = [3, 3, 3], strides = [2, 2, 2], ceil_mode = 1> (x)",
    "AveragePool": "y = AveragePool <kernel_shape = [3, 3, 3], strides = [2, 2, 2], ceil_mode = 1> (x)",
}


@pytest.mark.parametrize("name", POOLS)
def test_pools_of_volumes_round_lengths_up(name: str, tmp_path: Path) -> None:
    model = hub_from_text(f"(float[1,3,6,10,9] x) => (float[1,3,D,H,W] y) {{ {POOLS[name]} }}")
    x = np.random.default_rng(1).standard_normal((1, 3, 6, 10, 9)).astype(np.float32)
    path = save_as("coreml", model, tmp_path)
    np.testing.assert_allclose(bridge.run(path, {"x": x})["y"], bridge.run(model, {"x": x})["y"], 1e-5, 1e-5)
