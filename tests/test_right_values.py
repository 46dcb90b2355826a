"""Whole models that users met, with the values that are right."""

from __future__ import annotations

import numpy as np
import pytest
from build import SUFFIXES, model_from_text

import bridge


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
