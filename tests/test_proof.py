"""Verification of conversions: what it asks, who judges, and what it says."""

from __future__ import annotations

import os
import signal

import numpy as np
import onnx
import pytest
from build import SUFFIXES, model_from_text, model_of_nodes
from click.testing import CliRunner
from onnx import helper as h

import bridge
from bridge import workers
from bridge.cli import main
from bridge.errors import ExecutionFailed, VerificationFailed
from bridge.noise import with_moved_results
from bridge.runtime import HubSession
from bridge.trials import Sampling

F, N = np.float32, np.int64
RNG = np.random.default_rng(0)
DECODER = (
    "(float[batch,seq] x, float[batch,past] c, float[batch,total] mask) => (float[batch,total] y) "
    "{ p = Concat <axis = 1> (c, x) y = Mul (p, mask) }"
)


def weights(*shape, scale=1.0):
    return (RNG.standard_normal(shape) * scale).astype(F)


def recurrent(layout):
    x, lens, h0 = (["n", "t", 3], ["n"], ["n", 1, 4]) if layout else (["t", "n", 3], ["n"], [1, "n", 4])
    return model_of_nodes(
        h.make_node("LSTM", ["x", "w", "r", "", "lens", "h", "c"], ["y", "yh"], hidden_size=4, layout=layout),
        {"x": (F, x), "lens": (np.int32, lens), "h": (F, h0), "c": (F, h0)},
        {"y": (F, None), "yh": (F, None)},
        {"w": weights(1, 16, 3), "r": weights(1, 16, 4)},
        {"": 14},
    )


def detector():
    nodes = [
        h.make_node("Conv", ["x", "a"], ["c"]),
        h.make_node("MaxPool", ["c"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        h.make_node("Conv", ["p", "b"], ["y"]),
    ]
    constants = {"a": weights(4, 3, 3, 3), "b": weights(2, 4, 5, 5)}
    return model_of_nodes(nodes, {"x": (F, ["n", 3, "h", "w"])}, {"y": (F, ["n", 2, "k", "l"])}, constants)


def scatter():
    node = h.make_node("ScatterND", ["x", "i", "u"], ["y"])
    inputs = {"x": (F, [4, 5]), "i": (N, ["k", 1]), "u": (F, ["k", 5])}
    return model_of_nodes(node, inputs, {"y": (F, [4, 5])})


CASES = {
    "a decoder whose mask is as long as past and present": (lambda: model_from_text(DECODER), "tflite"),
    "lengths and first states of sequences": (lambda: recurrent(0), "torchscript"),
    "batches first, which ONNX Runtime has no kernel for": (lambda: recurrent(1), "torchscript"),
    "an image that windows reach across": (detector, "tflite"),
    "indices whose order would matter": (scatter, "tflite"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_right_file_is_verified_at_two_settings(name, tmp_path):
    make, to = CASES[name]
    onnx.save(make(), tmp_path / "m.onnx")
    done = bridge.convert(tmp_path / "m.onnx", tmp_path / "out", to=to, verify=True).verification
    first, second = done.settings
    assert done.ok
    assert first != second
    assert all(f"{n}={length}" in str(done) for n, length in first.items())


def test_a_length_that_is_fixed_is_verified_with_two_seeds(tmp_path):
    done = bridge.convert(
        model_from_text(DECODER), tmp_path / "m.onnx", dims={"batch": 1, "past": 4, "seq": 2}, verify=True
    )
    assert done.verification.settings == ({"total": 6},) * 2


def test_a_source_that_runs_at_no_length_names_the_operator_and_the_way_out(tmp_path):
    text = "(float[n,4] x) => (float[a,b] y) <int64[2] to = {3, 5}> { z = Reshape (x, to) y = Relu (z) }"
    onnx.save(model_from_text(text), tmp_path / "m.onnx")
    with pytest.raises(ExecutionFailed, match=r"ONNX Runtime.*Reshape(.|\n)*--dims n=…"):
        bridge.convert(tmp_path / "m.onnx", tmp_path / "m.tflite", verify=True)
    assert not (tmp_path / "m.tflite").exists()


def quantized_network(layers=5, channels=8):
    """Residual blocks whose every result is rounded to 8 bits."""
    nodes, constants = [], {}

    def rounded(name, scale, tag):
        constants.update({f"s{tag}": F(scale), f"z{tag}": np.uint8(128)})
        nodes.append(h.make_node("QuantizeLinear", [name, f"s{tag}", f"z{tag}"], [f"q{tag}"]))
        nodes.append(h.make_node("DequantizeLinear", [f"q{tag}", f"s{tag}", f"z{tag}"], [f"d{tag}"]))
        return f"d{tag}"

    now = rounded("x", 6 / 255, "x")
    for k in range(layers):
        constants[f"w{k}"] = RNG.integers(-9, 10, (channels, channels if k else 3, 3, 3)).astype(np.int8)
        constants |= {f"ws{k}": F(0.008), f"wz{k}": np.int8(0)}
        nodes.append(h.make_node("DequantizeLinear", [f"w{k}", f"ws{k}", f"wz{k}"], [f"e{k}"]))
        nodes.append(h.make_node("Conv", [now, f"e{k}"], [f"c{k}"], pads=[1] * 4))
        before, now = now, rounded(f"c{k}", 12 / 255, str(k))
        if k:
            nodes.append(h.make_node("Add", [now, before], [f"r{k}"]))
            now = rounded(f"r{k}", 16 / 255, f"r{k}")
    nodes[-1].output[0] = "y"
    shapes = {"x": (F, ["n", 3, 9, 9])}, {"y": (F, ["n", channels, 9, 9])}
    return model_of_nodes(nodes, *shapes, constants, {"": 17})


def test_a_quantized_network_is_held_to_what_its_own_runtime_varies_by(tmp_path):
    onnx.save(quantized_network(), tmp_path / "m.onnx")
    done = bridge.convert(tmp_path / "m.onnx", tmp_path / "m.tflite", verify=True).verification
    assert done.ok
    assert "quant" in str(done)


def test_a_wrong_quantized_network_is_found_out(tmp_path):
    right = quantized_network()
    onnx.save(right, tmp_path / "a.onnx")
    kernel = next(t for t in right.graph.initializer if t.name == "w4")
    turned = np.rot90(onnx.numpy_helper.to_array(kernel), axes=(2, 3))
    kernel.CopyFrom(onnx.numpy_helper.from_array(turned.copy(), "w4"))
    onnx.save(right, tmp_path / "b.onnx")
    assert not bridge.verify(tmp_path / "a.onnx", tmp_path / "b.onnx").ok


def half_network(turned=False):
    """float32 at its ends, half precision between them, at a magnitude where that is coarse."""
    weights = np.random.default_rng(3).standard_normal((2, 48, 48)).astype(np.float16) * np.float16(2)
    constants = {"v": weights[0], "w": weights[1].T.copy() if turned else weights[1]}
    text = (
        "(float[n,48] x) => (float[n,48] y) { h = Cast <to = 10> (x) a = MatMul (h, v) r = Relu (a) "
        "b = MatMul (r, w) y = Cast <to = 1> (b) }"
    )
    return model_from_text(text, **constants)


@pytest.mark.parametrize("to", ["tflite", "torchscript", "coreml"])
def test_half_precision_is_held_to_what_its_rounding_changes(to, tmp_path):
    onnx.save(half_network(), tmp_path / "m.onnx")
    done = bridge.convert(tmp_path / "m.onnx", tmp_path / f"m{SUFFIXES[to]}", to=to, verify=True)
    assert done.verification.ok
    if to == "tflite":
        assert "that rounding to 16 bits changes in it" in str(done)


def test_a_wrong_network_of_half_precision_is_found_out(tmp_path):
    onnx.save(half_network(), tmp_path / "a.onnx")
    onnx.save(half_network(turned=True), tmp_path / "b.onnx")
    assert not bridge.verify(tmp_path / "a.onnx", tmp_path / "b.onnx").ok


def test_float32_is_held_to_its_tolerance_beside_a_quantized_part():
    """Noise is measured by output: one that nothing quantized feeds has none."""
    text = (
        "(float[n,4] x) => (float[n,4] y, float[n,4] z) "
        "{ q = QuantizeLinear (x, s) y = DequantizeLinear (q, s) z = Mul (x, c) }"
    )
    first, second = (bridge.load(model_from_text(text, s=F(0.1), c=F(c))) for c in (1.0, 1.01))
    assert {o.name: o.ok for o in bridge.verify(first, second).outputs} == {"y": True, "z": False}


def test_a_product_that_asks_for_less_accuracy_may_be_exact(tmp_path):
    k, n, block = 64, 16, 32
    packed = RNG.integers(0, 256, (n, k // block, block // 2)).astype(np.uint8)
    node = h.make_node(
        "MatMulNBits", ["x", "q", "s"], ["y"], domain="com.microsoft", K=k, N=n, bits=4, block_size=block,
        accuracy_level=4,
    )  # fmt: skip
    constants = {"q": packed, "s": (RNG.random(n * k // block) * 0.1).astype(F)}
    model = model_of_nodes(
        node, {"x": (F, ["r", k])}, {"y": (F, ["r", n])}, constants, {"": 17, "com.microsoft": 1}
    )
    onnx.save(model, tmp_path / "m.onnx")
    done = bridge.convert(tmp_path / "m.onnx", tmp_path / "m.tflite", verify=True).verification
    assert "its own runtime varies by" in str(done)


def test_a_file_that_onnx_runtime_refuses_fails_unless_the_reference_may_judge(tmp_path):
    model = model_from_text("(float[2] x) => (float[2] y) { y = Relu (x) }")
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(VerificationFailed, match=r"ONNX Runtime does not run(.|\n)*runtime reference"):
        bridge.convert(tmp_path / "m.onnx", tmp_path / "n.onnx", opset=28, verify=True)
    assert not (tmp_path / "n.onnx").exists()
    judged = Sampling(runtime="reference")
    done = bridge.convert(tmp_path / "m.onnx", tmp_path / "n.onnx", opset=28, verify=judged).verification
    assert any("run by onnx.reference" in note for note in done.notes)


def test_the_reference_does_not_judge_what_it_does_not_compute():
    from bridge.runtime import run_reference

    inputs = {"x": weights(3, 2, 3), "lens": np.int32([1, 3]), "h": weights(1, 2, 4), "c": weights(1, 2, 4)}
    with pytest.raises(ExecutionFailed, match="does not compute sequence_lens of LSTM"):
        run_reference(recurrent(0), inputs)


def test_a_runtime_that_aborts_is_told_by_its_signal(tmp_path, monkeypatch):
    path = bridge.convert(model_from_text(DECODER), tmp_path / "m.tflite").path
    answer = workers.Worker._answer

    def aborted(self, *limits):
        os.kill(self.process.pid, signal.SIGABRT)
        return answer(self, *limits)

    with monkeypatch.context() as patch:
        patch.setattr(workers.Worker, "_answer", aborted)
        with pytest.raises(ExecutionFailed, match="ended by SIGABRT"):
            bridge.run(path, {})
        with pytest.raises(VerificationFailed, match=r"does not run at (.|\n)*ended by SIGABRT"):
            bridge.convert(model_from_text(DECODER), tmp_path / "n.tflite", verify=True)
    assert list(tmp_path.iterdir()) == [path]


IMAGES = [
    ([1, 3, 64, 48], {}),
    ([1, 3, "h", "w"], {"ranges": "h:32..512,w:32..512"}),
    ([1, 3, "h", "w"], {"shapes": "x:1x3x64x64|1x3x128x128"}),
]


@pytest.mark.parametrize(("shape", "options"), IMAGES, ids=["static", "ranges", "shapes"])
def test_an_image_input_is_compared_after_its_scale_and_bias(shape, options, tmp_path):
    pytest.importorskip("coremltools")
    node = h.make_node("Conv", ["x", "k"], ["y"], pads=[1] * 4)
    model = model_of_nodes(
        node, {"x": (F, shape)}, {"y": (F, [1, 4, *shape[2:]])}, {"k": weights(4, 3, 3, 3)}
    )
    spec = "x:RGB:0.00392:-0.5/-0.4/-0.3"
    done = bridge.convert(model, tmp_path / "m.mlpackage", image_inputs=spec, verify=True, **options)
    assert done.verification.ok
    if "shapes" in options:
        assert done.verification.settings == ({"h": 64, "w": 64}, {"h": 128, "w": 128})
    for setting in done.verification.settings:
        assert all(n >= 32 for n in setting.values())


def test_live_objects_are_run_by_their_own_framework(tmp_path):
    linear_model, torch = pytest.importorskip("sklearn.linear_model"), pytest.importorskip("torch")
    records = RNG.standard_normal((60, 4))
    estimator = linear_model.LogisticRegression().fit(
        records, np.array(["a", "b"])[(records[:, 0] > 0).astype(int)]
    )
    done = bridge.convert(estimator, tmp_path / "e.onnx", verify=True).verification
    assert done.engines[0] == "sklearn's LogisticRegression"
    done = bridge.convert(
        torch.nn.Linear(3, 2), tmp_path / "t.onnx", inputs=["input:float32[n,3]"], verify=True
    ).verification
    assert done.engines[0].startswith("torch ")


def test_a_keras_model_is_run_by_keras(tmp_path):
    keras = pytest.importorskip("keras")
    x = keras.Input((None, 3), name="x")
    model = keras.Model(x, {"a": keras.layers.Dense(2)(x), "b": keras.layers.LSTM(4)(x)})
    done = bridge.convert(model, tmp_path / "k.onnx", verify=True).verification
    assert done.engines[0].startswith("Keras ")


def test_the_users_data_and_ranges_are_options_of_the_command_line(tmp_path):
    onnx.save(model_from_text("(float[n,2] x) => (float[n,2] y) { y = Relu (x) }"), tmp_path / "m.onnx")
    (tmp_path / "data").mkdir()
    for i in range(3):
        np.save(tmp_path / "data" / f"{i}.npy", np.full((i + 1, 2), i, F))
    convert = ["convert", str(tmp_path / "m.onnx"), str(tmp_path / "m.tflite"), "--verify", "--overwrite"]
    for more in (["--inputs", str(tmp_path / "data")], ["--range", "x=5..6"], ["--seed", "7"]):
        found = CliRunner().invoke(main, [*convert, *more])
        assert found.exit_code == 0, found.output
    wrong = CliRunner().invoke(main, [*convert, "--range", "x=5"])
    assert wrong.exit_code == 2
    assert "NAME=LOW..HIGH" in wrong.output


CANCELS = (
    "(float[n,60] x) => (float[n,60] y) <float k = {0.01}, float far = {1000.0}, int64[1] a = {1}> "
    "{ m = Mul (x, k) f = Add (m, far) mean = ReduceMean (f, a) c = Sub (f, mean) y = Div (c, k) }"
)


def test_the_last_places_of_what_is_computed_are_the_noise_of_what_cancels():
    model = bridge.load(model_from_text(CANCELS))
    x = {"x": RNG.standard_normal((3, 60)).astype(F)}
    plain = HubSession(model).run(x)["y"]
    moved = [HubSession(with_moved_results(model, seed)).run(x)["y"] for seed in (0, 1)]
    apart = [np.abs(one - plain).max() for one in moved]
    assert all(1e-3 < a < 0.2 for a in apart)
    assert not np.array_equal(*moved)
    harmless = bridge.load(model_from_text("(float[n,60] x) => (float[n,60] y) { y = Tanh (x) }"))
    y = HubSession(with_moved_results(harmless, 0)).run(x)["y"]
    np.testing.assert_allclose(y, np.tanh(x["x"]), 1e-6, 1e-6)


def test_an_output_that_the_sources_runtime_leaves_out_is_named(tmp_path, monkeypatch):
    from bridge_onnx.runtime import OnnxSession

    whole = OnnxSession.run

    def run(self, inputs):
        outputs = whole(self, inputs)
        outputs.pop("z")
        return outputs

    model = model_from_text("(float[3] x) => (float[3] y, float[3] z) { y = Neg (x) z = Abs (x) }")
    onnx.save(model, tmp_path / "m.onnx")
    monkeypatch.setattr(OnnxSession, "run", run)
    proof = bridge.convert(tmp_path / "m.onnx", tmp_path / "m.tflite", verify=True).verification
    assert proof.ok
    assert [row.name for row in proof.outputs] == ["y"]
    assert "does not compute z" in str(proof)
