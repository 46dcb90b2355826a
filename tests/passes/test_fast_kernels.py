"""What an ONNX file says in many operators and ONNX Runtime has one kernel for is written as what it fuses."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from build import hub_from_text
from onnx import helper, numpy_helper

import bridge
from bridge.passes.contractions import RaiseContractions

LENGTH = 16
OPSETS = (13, 17, 20, 21, 23, None)
CONSTANTS = {
    "eps": np.float32(1e-5),
    "two": np.float32(2.0),
    "one": np.float32(1.0),
    "half": np.float32(0.5),
    "root2": np.float32(2.0**0.5),
    "last": np.array([-1], np.int64),
    "w": np.linspace(0.5, 1.5, LENGTH, dtype=np.float32),
    "w3": np.linspace(0.5, 1.5, LENGTH, dtype=np.float32).reshape(1, 1, LENGTH),
    "beta": np.linspace(-1.0, 1.0, LENGTH, dtype=np.float32),
    "column": np.linspace(0.5, 1.5, 4, dtype=np.float32).reshape(4, 1),
    "k1": np.linspace(-1.0, 1.0, LENGTH * LENGTH, dtype=np.float32).reshape(LENGTH, LENGTH),
    "k2": np.linspace(-1.0, 1.0, LENGTH * LENGTH, dtype=np.float32).reshape(LENGTH, LENGTH),
}
SQUARES = ("q = Mul (x, x)", "q = Pow (x, two)")
INVERSES = ("y = Div (x, r)", "i = Reciprocal (r) y = Mul (x, i)", "i = Div (one, r) y = Mul (i, x)")
RMS = "{} v = ReduceMean (q, last) e = Add (v, eps) r = Sqrt (e) {} "
CENTRED = "m = ReduceMean (x, last) d = Sub (x, m) "
DEVIATION = "q = Pow (d, two) v = ReduceMean (q, last) e = Add (v, eps) r = Sqrt (e) n = Div (d, r) "
FORMULAS = {
    **{
        f"root mean square {i}": (RMS.format(*words), ("RMSNormalization", "SimplifiedLayerNormalization"))
        for i, words in enumerate(itertools.product(SQUARES, INVERSES))
    },
    "scaled": (
        RMS.format(SQUARES[1], INVERSES[1]).replace("y =", "n =") + "y = Mul (n, w3)",
        ("RMSNormalization", "SimplifiedLayerNormalization"),
    ),
    "layer": (CENTRED + DEVIATION + "s = Mul (w, n) y = Add (s, beta)", ("LayerNormalization",)),
    "gelu": ("s = Div (x, root2) f = Erf (s) g = Add (f, one) p = Mul (x, g) y = Mul (p, half)", ("Gelu",)),
}


def model(body, shape=("N", 4, LENGTH), inputs=("x",), opset=18):
    """A model of these nodes, in onnx's own text, of the constants they name."""
    words = set(body.replace("(", " ").replace(")", " ").replace(",", " ").split())
    head = ", ".join(f"float[{','.join(map(str, shape))}] {name}" for name in inputs)
    text = f'<ir_version: 9, opset_import: ["" : {opset}]> m ({head}) => (float[] y) {{ {body} }}'
    proto = onnx.parser.parse_model(text)
    del proto.graph.output[0].type.tensor_type.shape.dim[:]
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    proto.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(v), name) for name, v in CONSTANTS.items() if name in words
    )
    return proto


def run(path, folder, inputs):
    """The kernels that ONNX Runtime makes of a file, and its first output."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options)
    nodes = onnx.load(folder / "optimized.onnx").graph.node
    return Counter(node.op_type for node in nodes), session.run(None, inputs)[0]


def both(proto, folder, inputs, **options):
    """Kernels of what is written; it has the numbers of the source."""
    onnx.save(proto, folder / "source.onnx")
    bridge.convert(folder / "source.onnx", folder / "written.onnx", **options)
    _, expected = run(folder / "source.onnx", folder, inputs)
    kernels, actual = run(folder / "written.onnx", folder, inputs)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
    return kernels


def records(shape=(2, 4, LENGTH)):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("name", FORMULAS)
def test_a_formula_is_one_kernel(tmp_path, name, opset):
    body, wanted = FORMULAS[name]
    options = {} if opset is None else {"opset": opset}
    kernels = both(model(body), tmp_path, {"x": records()}, **options)
    assert kernels.total() == 1
    assert set(kernels) <= set(wanted)


@pytest.mark.parametrize(
    "body",
    [
        "q = Mul (x, x) v = ReduceMean (q, last) e = Add (v, eps) r = Sqrt (e) y = Div (q, r)",
        RMS.format(SQUARES[0], "n = Div (x, r)") + "y = Mul (n, column)",
        "q = Mul (x, x) v = ReduceMean <keepdims = 0> (q, last) e = Add (v, eps) r = Sqrt (e) "
        "u = Unsqueeze (r, last) n = Div (x, u) y = Mul (n, w)",
        CENTRED.replace("last", "first") + DEVIATION + "y = Identity (n)",
    ],
)
def test_another_formula_keeps_its_numbers(tmp_path, body):
    proto = model(body)
    if "first" in body:
        proto.graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "first"))
    kernels = both(proto, tmp_path, {"x": records()})
    assert "LayerNormalization" not in kernels


@pytest.mark.parametrize(
    ("equation", "left", "right", "kernel"),
    [
        ("bij,bkj->bik", (2, 3, 4), (2, 5, 4), "MatMul"),
        ("ij,jk->ki", (3, 4), (4, 5), "MatMul"),
        ("bhqd,bhkd->bhqk", (1, 2, 3, 4), (1, 2, 5, 4), "MatMul"),
        ("abc,abd->acd", (2, 3, 4), (2, 3, 5), "MatMul"),
        ("ij,ij->ij", (3, 4), (3, 4), "Einsum"),
        ("ij,ji->ij", (3, 4), (4, 3), "Einsum"),
        ("bij,jk->bik", (2, 3, 4), (4, 5), "Einsum"),
        ("ii,ij->ij", (3, 3), (3, 4), "Einsum"),
        ("ij,jk->ik", (2, 4), (1, 3), "Einsum"),
    ],
)
def test_a_product_of_matrices_is_one(tmp_path, equation, left, right, kernel):
    shapes = {"a": left, "b": right}
    graph = helper.make_graph(
        [helper.make_node("Einsum", ["a", "b"], ["y"], equation=equation)],
        "m",
        [helper.make_tensor_value_info(name, 1, shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info("y", 1, None)],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    kernels = both(proto, tmp_path, {name: records(shape) for name, shape in shapes.items()})
    assert any(kernel in name for name in kernels)
    assert kernel == "Einsum" or "Einsum" not in kernels


@pytest.mark.parametrize(("dims", "raised"), [("1,3", False), ("m,3", True), ("n,3", True)])
def test_an_axis_that_broadcasts_where_it_is_one_makes_no_matrix_product(dims, raised):
    model = hub_from_text(
        f'(float[2,n] a, float[{dims}] b) => (float[2,3] y) {{ y = Einsum <equation = "ij,jk->ik"> (a, b) }}'
    )
    assert RaiseContractions()(model).modified == raised


def test_a_mean_of_images_is_their_pool(tmp_path):
    body = "a = ReduceMean (x, last) y = ReduceMean (a, height)"
    proto = model(body, shape=("N", 3, 5, 7))
    proto.graph.initializer.append(numpy_helper.from_array(np.array([2], np.int64), "height"))
    assert both(proto, tmp_path, {"x": records((2, 3, 5, 7))}) == {"GlobalAveragePool": 1}


def test_weights_that_are_the_same_are_written_once(tmp_path):
    body = "a = MatMul (x, k1) t = Tanh (a) y = MatMul (t, k2)"
    both(model(body), tmp_path, {"x": records()})
    assert len(onnx.load(tmp_path / "written.onnx").graph.initializer) == 1


def test_batch_normalization_is_part_of_the_convolution_before_it(tmp_path):
    torch_like = "c = Conv (x, k) y = BatchNormalization (c, s, t, u, v)"
    proto = model(torch_like, shape=(1, 2, 6, 6))
    rng = np.random.default_rng(0)
    shapes = {"k": (3, 2, 3, 3), "s": (3,), "t": (3,), "u": (3,), "v": (3,)}
    proto.graph.initializer.extend(
        numpy_helper.from_array(rng.uniform(0.5, 1.5, shape).astype(np.float32), name)
        for name, shape in shapes.items()
    )
    both(proto, tmp_path, {"x": records((1, 2, 6, 6))})
    assert [n.op_type for n in onnx.load(tmp_path / "written.onnx").graph.node] == ["Conv"]


@pytest.mark.parametrize(("length", "kept"), [(6, False), (200, False), (256, True), (600, True)])
def test_transforms_whose_roots_onnxruntime_rounds_are_products(length, kept, tmp_path):
    torch = pytest.importorskip("torch")

    class Spectrum(torch.nn.Module):
        def forward(self, x):
            return torch.view_as_real(torch.fft.ifft(torch.fft.fft(x) * 2))

    x = torch.from_numpy(np.random.default_rng(0).standard_normal((3, length)).astype(np.float32))
    torch.jit.save(torch.jit.trace(Spectrum(), x), tmp_path / "m.pt")
    path = bridge.convert(tmp_path / "m.pt", tmp_path / "m.onnx", inputs=[f"x:float32[b,{length}]"]).path
    assert ("DFT" in {node.op_type for node in onnx.load(path).graph.node}) == kept
    (found,) = bridge.run(path, {"x": x.numpy()}).values()
    if not kept:
        np.testing.assert_allclose(found[..., 0], 2 * x.numpy(), rtol=0, atol=2e-6)


def test_a_transform_of_an_onnx_file_stays_one(tmp_path):
    model = hub_from_text("(float[b,6,1] x) => (float[b,6,2] y) { y = DFT (x) }")
    bridge.save(model, tmp_path / "m.onnx")
    again = bridge.convert(tmp_path / "m.onnx", tmp_path / "n.onnx").path
    assert [node.op_type for node in onnx.load(again).graph.node] == ["DFT"]
