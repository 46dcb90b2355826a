"""Whatever bytes are handed in, a BridgeError says so and nothing is left half-written."""

from __future__ import annotations

import random

import numpy as np
import pytest

import bridge
from bridge.errors import BridgeError, UnreadableFile

GARBAGE = {
    "empty": b"",
    "text": b"some words\n" * 20,
    "random": np.random.default_rng(0).bytes(500),
    "wrong attribute type": b'<ir_version: 8, opset_import: ["" : 21]> g (float[1] x) => (float[1] y) '
    b"{ c = Constant <value_floats: ints = [1]> () y = Add (x, c) }",
}


@pytest.mark.parametrize("suffix", [".onnx", ".onnxtxt"])
@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_unreadable(name, suffix, tmp_path):
    path = tmp_path / f"m{suffix}"
    path.write_bytes(GARBAGE[name])
    with pytest.raises(UnreadableFile, match=path.name):
        bridge.convert(path, tmp_path / "m.tflite")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("seed", range(20))
def test_damaged_bytes_never_raise_anything_else(mnist, tmp_path, seed):
    source = random.Random(seed)
    content = bytearray(mnist.read_bytes())
    for _ in range(3):
        content[source.randrange(400 if seed % 2 else len(content))] = source.randrange(256)
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    try:
        bridge.convert(path, tmp_path / "m.tflite")
    except BridgeError:
        assert list(tmp_path.iterdir()) == [path]
