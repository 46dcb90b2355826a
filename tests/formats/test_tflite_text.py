"""Text crosses to LiteRT as far as its kernels take it; operators that move text move its places."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import bridge
from bridge.errors import UnsupportedModel

GRAPHS = {
    "Equal": "(string[2,3] x, string[3] z) => (bool[2,3] y) { y = Equal (x, z) }",
    "Equal, constant": '(string[3] x) => (bool[3] y) <string[3] k = {"b", "hello", ""}> { y = Equal (x, k) }',
    "Gather": "(string[3] x, int64[2] i) => (string[2] y) { y = Gather (x, i) }",
    "Gather, columns": "(string[2,3] x, int64[2] i) => (string[2,2] y) { y = Gather <axis: int = 1> (x, i) }",
    "GatherND": "(string[2,3] x, int64[2,2] i) => (string[2] y) { y = GatherND (x, i) }",
    "Slice": "(string[4,3] x) => (string[2,3] y) <int64[1] a = {3}, int64[1] b = {-5}, int64[1] c = {0}, int64[1] d = {-2}> { y = Slice (x, a, b, c, d) }",
    "Reshape": "(string[4] x) => (string[2,2] y) <int64[2] s = {2,2}> { y = Reshape (x, s) }",
    "Unsqueeze": "(string[4] x) => (string[4,1] y) <int64[1] s = {1}> { y = Unsqueeze (x, s) }",
    "Squeeze": "(string[4,1] x) => (string[4] y) <int64[1] s = {1}> { y = Squeeze (x, s) }",
    "Tile": "(string[2] x, int64[1] r) => (string[k] y) { y = Tile (x, r) }",
    "Expand": "(string[1] x) => (string[3] y) <int64[1] s = {3}> { y = Expand (x, s) }",
    "Transpose": "(string[2,3] x) => (string[3,2] y) { y = Transpose (x) }",
    "Identity": "(string[2,2] x) => (string[2,2] y) { y = Identity (x) }",
    "Shape": "(string[2,2] x) => (int64[2] y) { y = Shape (x) }",
}
WORDS = np.array(["a", "b", "hello", "", "zwölf"], object)


def load(graph: str):
    return bridge.load(onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 21]> g {graph}'))


@pytest.mark.parametrize("name", GRAPHS)
def test_text_arrives(name, tmp_path):
    model, rng = load(GRAPHS[name]), np.random.default_rng(0)
    feed = {
        v.name: rng.choice(WORDS, list(v.shape))
        if v.dtype.name == "STRING"
        else rng.integers(1, 2, list(v.shape))
        for v in model.graph.inputs
    }
    path = bridge.save(model, tmp_path / "text.tflite").path
    result = bridge.verify(model, path, feed)
    assert result.ok, str(result)
    assert bridge.verify(model, bridge.load(path), feed).ok


@pytest.mark.parametrize(
    "graph",
    [
        "(string[2] x, string[2] z) => (string[4] y) { y = Concat <axis: int = 0> (x, z) }",
        "(bool[2] c, string[2] x, string[2] z) => (string[2] y) { y = Where (c, x, z) }",
    ],
)
def test_no_kernel_joins_text(graph, tmp_path):
    with pytest.raises(UnsupportedModel, match="needs input"):
        bridge.save(load(graph), tmp_path / "text.tflite")
