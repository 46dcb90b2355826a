"""Whole models that users met, with the values that are right."""

from __future__ import annotations

import numpy as np
import pytest
from build import SUFFIXES, model_from_text

import bridge
from bridge.errors import UnsupportedModel
from bridge.runtime import run_onnxruntime


def outputs(proto, target, folder, inputs, **options):
    """What the model computes as `target`."""
    bridge.save(bridge.load(proto), path := folder / f"m{SUFFIXES[target]}", to=target, **options)
    return list(bridge.run(path, inputs).values())


@pytest.mark.parametrize("weights", ["variables", "constants"])
@pytest.mark.parametrize(
    ("made", "factor"),
    [("Mul (x, k)", 2), ("Mul (k, x)", 3), ("Div (x, k)", 0.5), ("Add (x, x)", 2), ("Mul (x, k)", 0.3)],
)
def test_the_larger_of_a_number_and_its_multiple_is_no_leaky_relu(made, factor, weights, tmp_path):
    constants = {} if "k" not in made else {"k": np.float32(factor)}
    graph = f"(float[n,3] x) => (float[n,3] y) {{ m = {made} y = Max (m, x) }}"
    x = np.array([[1, -1, 3], [-0.5, 2, -7]], np.float32)
    (got,) = outputs(model_from_text(graph, **constants), "savedmodel", tmp_path, {"x": x}, weights=weights)
    multiple = x / np.float32(factor) if "Div" in made else x * np.float32(factor)
    np.testing.assert_array_equal(got, np.maximum(x, multiple))


@pytest.mark.parametrize("target", ["torchscript", "tflite", "savedmodel"])
def test_a_split_into_one_part_is_the_whole(target, tmp_path):
    proto = model_from_text(
        "(float[1,2,3] x) => (float[1,2,3] y) { s = Split <axis=0, num_outputs=1> (x) y = Relu (s) }"
    )
    x = np.arange(-2, 4, dtype=np.float32).reshape(1, 2, 3)
    (got,) = outputs(proto, target, tmp_path, {"x": x})
    np.testing.assert_array_equal(got, np.maximum(x, 0))


REDUCTIONS = ["reduce_sum", "reduce_mean", "reduce_max", "reduce_prod", "math.reduce_euclidean_norm"]


@pytest.mark.parametrize("count", [0, None])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_no_axes_at_run_time_reduce_nothing(name, count, tmp_path):
    tf = pytest.importorskip("tensorflow")
    formula = getattr(tf.math if "." in name else tf, name.removeprefix("math."))
    module = tf.Module()
    module.f = tf.function(
        lambda x, axes: {"y": formula(x, axis=axes, keepdims=True)},
        input_signature=[tf.TensorSpec([2, 1, 2]), tf.TensorSpec([count], tf.int32, name="axes")],
    )
    tf.saved_model.save(module, tmp_path / "sm", signatures=module.f.get_concrete_function())
    bridge.convert(tmp_path / "sm", tmp_path / "m.onnx")
    x = np.arange(-2, 2, dtype=np.float32).reshape(2, 1, 2)
    for axes in ([], [0, 2])[: 1 if count == 0 else 2]:
        axes = np.array(axes, np.int32)
        got = bridge.run(tmp_path / "m.onnx", {"x": x, "axes": axes})["y"]
        np.testing.assert_allclose(got, module.f(x, axes)["y"].numpy())


def test_an_axis_put_in_at_run_time(tmp_path):
    tf = pytest.importorskip("tensorflow")
    module = tf.Module()
    module.f = tf.function(
        lambda x, axis: {"y": tf.expand_dims(x, axis)},
        input_signature=[tf.TensorSpec([2, 3]), tf.TensorSpec([], tf.int32, name="axis")],
    )
    tf.saved_model.save(module, tmp_path / "sm", signatures=module.f.get_concrete_function())
    bridge.convert(tmp_path / "sm", tmp_path / "m.onnx")
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    for axis in (0, 1, 2, -1):
        got = bridge.run(tmp_path / "m.onnx", {"x": x, "axis": np.array(axis, np.int32)})["y"]
        np.testing.assert_array_equal(got, np.expand_dims(x, axis))


@pytest.mark.parametrize("target", ["onnx", "tflite", "torchscript"])
def test_rows_hidden_wholly_from_attention_are_zero(target, tmp_path):
    torch = pytest.importorskip("torch")

    class Attention(torch.nn.Module):
        def forward(self, q, m):
            return torch.nn.functional.scaled_dot_product_attention(q, q, q, attn_mask=m)

    q, m = torch.randn(2, 2, 4, 8), torch.ones(2, 1, 4, 4, dtype=torch.bool)
    m[1] = False
    m[0, 0, 2, 1:] = False
    program = torch.export.export(Attention(), (q, m))
    bridge.convert(program, path := tmp_path / f"m{SUFFIXES[target]}", to=target)
    names = [v.name for v in bridge.load(program).graph.inputs]
    (got,) = bridge.run(path, dict(zip(names, (q.numpy(), m.numpy()), strict=True))).values()
    np.testing.assert_allclose(got, Attention()(q, m).numpy(), atol=1e-5)


FLAGGED = """(float[n] x) => (float y, bool[2] z)
    <float zero = {0}, bool on = {1}, bool off = {0}, bool[2] pair = {0, 1}, bool[2] other = {1, 1},
     float one = {1}, float two = {2}> {
    going, y, z = Loop (, on, on, zero, other) <body = body (int64 i, bool c, bool g, float v, bool[2] p)
        => (bool g2, bool g3, float w, bool[2] q) {
        less = Less (v, two)
        g2, w, q = If (less) <
            then_branch = a () => (bool ga, float wa, bool[2] qa) {
                m = ReduceMax <keepdims=0> (x) s = Sub (m, m) t = Add (s, one)
                ga = Identity (on) wa = Add (v, t) qa = Identity (p) },
            else_branch = b () => (bool gb, float wb, bool[2] qb) {
                gb = Identity (off) wb = Identity (v) qb = Identity (pair) }>
        g3 = Identity (g2) }>
}"""


@pytest.mark.parametrize("target", ["tflite", "torchscript"])
def test_a_loop_that_a_flag_ends(target, tmp_path):
    proto = model_from_text(FLAGGED)
    for length in (1, 2, 5, 9):
        x = np.ones(length, np.float32)
        y, z = outputs(proto, target, tmp_path, {"x": x}, overwrite=True)
        assert float(y) == 2
        assert z.tolist() == [False, True]


def test_weights_are_stored_once_however_many_read_them(tmp_path):
    weights = np.random.default_rng(0).standard_normal((128, 128)).astype(np.float32)
    steps = " ".join(
        f"m{i} = MatMul ({'x' if i == 0 else f't{i - 1}'}, w) t{i} = Tanh (m{i})" for i in range(4)
    )
    proto = model_from_text(f"(float[1,128] x) => (float[1,128] t3) {{ {steps} }}", w=weights)
    bridge.save(bridge.load(proto), tmp_path / "m.tflite")
    assert (tmp_path / "m.tflite").stat().st_size < 1.2 * weights.nbytes


@pytest.mark.parametrize("target", ["tflite", "savedmodel"])
def test_a_quantized_product_is_what_onnx_runtime_computes(target, tmp_path):
    rng = np.random.default_rng(0)
    constants = {
        "xs": np.float32(0.05), "xz": np.uint8(120), "ws": np.float32(0.02), "wz": np.int8(0),
        "ys": np.float32(0.1), "yz": np.uint8(128), "c": rng.integers(-900, 900, 4).astype(np.int32),
        "w": rng.integers(-127, 127, (4, 8)).astype(np.int8),
    }  # fmt: skip
    product = "q = com.microsoft.QGemm <transB=1> (x, xs, xz, w, ws, wz, c, ys, yz)"
    proto = model_from_text(
        f"(uint8[n,8] x) => (float[n,4] y) {{ {product} y = DequantizeLinear (q, ys, yz) }}", 17, **constants
    )
    proto.opset_import.add(domain="com.microsoft", version=1)
    x = rng.integers(0, 255, (3, 8)).astype(np.uint8)
    want = run_onnxruntime(proto.SerializeToString(), ["y"], {"x": x})["y"]
    (got,) = outputs(proto, target, tmp_path, {"x": x})
    np.testing.assert_allclose(got, want, atol=0.11)


def test_an_unknown_operator_is_refused_before_what_follows_it(tmp_path):
    proto = model_from_text(
        "(uint8[2] x) => (float[2] y) { q = their.Mystery (x) y = DequantizeLinear (q, s, z) }",
        s=np.float32(0.5),
        z=np.uint8(1),
    )
    proto.opset_import.add(domain="their", version=1)
    with pytest.raises(UnsupportedModel, match="Mystery"):
        bridge.save(bridge.load(proto), tmp_path / "m.tflite")


def test_complex_results_are_complex_again_where_they_are_run(tmp_path):
    torch, tf = pytest.importorskip("torch"), pytest.importorskip("tensorflow")

    class Model(torch.nn.Module):
        def forward(self, x):
            return x + torch.complex(x, x + 1)

    x = torch.arange(6.0).reshape(2, 3)
    torch.jit.save(torch.jit.trace(Model(), x), tmp_path / "m.pt")
    done = bridge.convert(tmp_path / "m.pt", tmp_path / "m.onnx", inputs=["x:float32[2,3]"])
    assert any("complex" in text for text in done.report.notes)
    (got,) = bridge.run(tmp_path / "m.onnx", {"x": x.numpy()}).values()
    np.testing.assert_array_equal(got, Model()(x).numpy())
    module = tf.Module()
    module.f = tf.function(
        lambda x: {"y": tf.signal.fft(tf.cast(x, tf.complex64))}, input_signature=[tf.TensorSpec([2, 4])]
    )
    tf.saved_model.save(module, tmp_path / "sm", signatures=module.f.get_concrete_function())
    done = bridge.convert(tmp_path / "sm", tmp_path / "n.onnx", verify=True)
    assert any("complex" in text for text in done.report.notes)
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    (got,) = bridge.run(tmp_path / "n.onnx", {"x": x}).values()
    np.testing.assert_allclose(got, np.fft.fft(x).astype(np.complex64), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("names", [("a.b", "a/b"), ("self", "other"), ("self", "self_"), ("class", "class_")])
@pytest.mark.parametrize("target", ["savedmodel", "tflite", "torchscript"])
def test_inputs_have_names_a_runner_can_be_called_with(names, target, tmp_path):
    proto = model_from_text("(float[n,3] p, float[n,3] q) => (float[n,3] y) { y = Sub (p, q) }")
    for value, name in zip(proto.graph.input, names, strict=True):
        value.name = name
    proto.graph.node[0].input[:] = names
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    (got,) = outputs(proto, target, tmp_path, {names[0]: x, names[1]: x * x})
    np.testing.assert_array_equal(got, x - x * x)


@pytest.mark.parametrize("order", [0.0, 0.5, 1.0, 2.0, 3.0, float("inf"), float("-inf")])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_a_norm_of_any_order_of_a_number_is_its_size(shape, order, tmp_path):
    torch = pytest.importorskip("torch")

    class Norm(torch.nn.Module):
        def forward(self, x):
            return torch.linalg.vector_norm(x, order)

    x = torch.full(shape, -8.5)
    torch.jit.trace(Norm(), x).save(tmp_path / "m.pt")
    model = bridge.load(tmp_path / "m.pt", inputs=f"x:float32{list(shape)}")
    (got,) = bridge.run(model, {"x": x.numpy()}).values()
    np.testing.assert_allclose(got, Norm()(x).numpy(), rtol=1e-6)
