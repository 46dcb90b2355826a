"""Layers as LiteRT computes them fastest: one kernel where one holds them, and no padding XNNPACK does not
fuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import OpResolverType
from bridge_tflite import runtime
from bridge_tflite.reader import read
from build import model_from_text

import bridge
from bridge.errors import UnsupportedModel


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def written_operators(proto: onnx.ModelProto, folder: Path) -> list[str]:
    """Operators of the written file, after LiteRT has verified it."""
    conversion = bridge.convert(proto, folder / "written.tflite", verify=True)
    assert conversion.verification.ok
    return [o.name for o in read(conversion.path).subgraphs[0].operators]


POOL = "m = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (r) y = Identity (m)"


@pytest.mark.parametrize(
    ("before", "pad"),
    [
        ("r = Relu (x)", "PAD"),
        ("a = Relu (x) b = Sigmoid (x) r = Concat <axis = 1> (a, b)", "PAD"),
        ("r = Tanh (x)", "PADV2"),
        ("a = Relu (x) r = Concat <axis = 1> (a, x)", "PADV2"),
    ],
)
def test_a_maximum_of_what_is_never_negative_is_padded_with_zeros(tmp_path, before, pad) -> None:
    names = written_operators(
        model_from_text(f"g (float[1,4,8,8] x) => (float[1,c,4,4] y) {{ {before} {POOL} }}"), tmp_path
    )
    assert pad in names
    assert {"PAD", "PADV2"} - {pad} & set(names) == set()


@pytest.mark.parametrize(("edges", "expected"), [([0, 0, 1, 1], []), ([1, 1, 0, 0], ["PAD"])])
def test_zeros_around_join_the_padding_of_a_convolution(tmp_path, edges, expected) -> None:
    pads = np.array([0, 0, *edges[:2], 0, 0, *edges[2:]])
    text = (
        "g (float[1,4,8,8] x) => (float[1,4,4,4] y) "
        "{ r = Relu (x) p = Pad (r, pads) y = Conv <strides = [2, 2]> (p, w) }"
    )
    names = written_operators(model_from_text(text, pads=pads, w=weights(4, 4, 3, 3)), tmp_path)
    assert [o for o in names if o not in ("TRANSPOSE", "RELU")] == [*expected, "CONV_2D"]


def test_a_shape_of_one_unknown_length_is_a_constant(tmp_path) -> None:
    text = (
        "g (float[N,6] x) => (float[N,2,3] y) "
        "{ s = Shape <end = 1> (x) t = Concat <axis = 0> (s, rest) r = Reshape (x, t) y = Relu (r) }"
    )
    assert written_operators(model_from_text(text, rest=np.array([2, 3])), tmp_path) == ["RESHAPE", "RELU"]


VOLUME = "g (float[1,4,5,6,7] x) => (float[A,B,C,D,E] y)"


@pytest.mark.parametrize(
    ("node", "shape", "expected"),
    [
        ("Conv (x, w)", (6, 4, 3, 3, 3), ["CONV_3D"]),
        ("Conv <pads = [1, 1, 1, 1, 1, 1]> (x, w)", (6, 4, 3, 3, 3), ["CONV_3D"]),
        ("Conv <dilations = [2, 1, 1], strides = [1, 2, 3]> (x, w)", (6, 4, 2, 2, 2), ["CONV_3D"]),
        ("Conv <pads = [1, 0, 0, 0, 0, 0]> (x, w)", (6, 4, 2, 2, 2), ["PAD", "CONV_3D"]),
        ("ConvTranspose <strides = [2, 2, 2]> (x, w)", (4, 6, 2, 2, 2), ["CONV_3D_TRANSPOSE"]),
        (
            "ConvTranspose <strides = [2, 1, 1], pads = [1, 0, 0, 0, 0, 0]> (x, w)",
            (4, 6, 3, 2, 2),
            ["CONV_3D_TRANSPOSE", "STRIDED_SLICE"],
        ),
    ],
)
def test_convolutions_of_volumes_are_one_kernel(tmp_path, node, shape, expected) -> None:
    names = written_operators(model_from_text(f"{VOLUME} {{ y = {node} }}", w=weights(*shape)), tmp_path)
    assert [o for o in names if o != "TRANSPOSE"] == expected


@pytest.mark.parametrize("kernels", ["AUTO", "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "BUILTIN_REF"])
@pytest.mark.parametrize("value", ["", ", two"])
def test_more_dimensions_than_a_kernel_pads_are_padded_one_by_one(tmp_path, kernels, value) -> None:
    text = f"g (float[2,1,2,1,2,3] x) => (float[A,B,C,D,E,F] y) {{ y = Pad (x, pads{value}) }}"
    pads = np.array([0, 1, 0, 0, 2, 0, 0, 0, 3, 0, 0, 1])
    extra = {"two": np.array(2, np.float32)} if value else {}
    proto = model_from_text(text, pads=pads, **extra)
    path = bridge.convert(proto, tmp_path / "padded.tflite").path
    x = {"x": weights(2, 1, 2, 1, 2, 3)}
    outputs = runtime.LiteRTSession(path, resolver=getattr(OpResolverType, kernels)).run(x)
    np.testing.assert_array_equal(outputs["y"], bridge.run(bridge.load(proto), x)["y"])


def test_a_refusal_says_what_spelling_the_operator_out_would_have_needed(tmp_path) -> None:
    proto = model_from_text("g (float[1,8,c] x) => (float[1,8,2] y) { y = DFT (x) }")
    with pytest.raises(UnsupportedModel, match="needs a last dimension of known length"):
        bridge.convert(proto, tmp_path / "refused.tflite")
