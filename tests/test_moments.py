"""Variances of values far from zero: the mean of squared distances, in float32 where values are of half
precision."""

from __future__ import annotations

import numpy as np
import pytest
from build import SUFFIXES, model_from_text

import bridge

MEAN = 1000.0
PARTS = {
    "LayerNormalization (x, s, b)": (3,),
    "LayerNormalization <axis=2> (x, s, b)": (2, 3),
    "InstanceNormalization (x, c, d)": (2, 3),
    "MeanVarianceNormalization <axes=[2,3]> (x)": (2, 3),
    "GroupNormalization <num_groups=4> (x, c, d)": (2, 3),
}
TARGETS = ["tflite", "torchscript", "savedmodel", "coreml"]


def far_from_zero(dtype: type) -> np.ndarray:
    return (MEAN + np.random.default_rng(0).standard_normal((2, 4, 8, 8))).astype(dtype)


def normalized(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    wide = x.astype(np.float64)
    return (wide - wide.mean(axes, keepdims=True)) / np.sqrt(wide.var(axes, keepdims=True) + 1e-5)


@pytest.mark.parametrize(
    ("dtype", "name", "atol"), [(np.float32, "float", 1e-3), (np.float16, "float16", 0.01)]
)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("operator", PARTS)
def test_normalizations_hold_far_from_zero(operator, target, dtype, name, atol, tmp_path):
    length = [8, 8] if "axis=2" in operator else [8]
    constants = {"s": np.ones(length), "b": np.zeros(length), "c": np.ones(4), "d": np.zeros(4)}
    proto = model_from_text(
        f"({name}[2,4,8,8] x) => ({name}[2,4,8,8] y) {{ y = {operator} }}",
        **{key: array.astype(dtype) for key, array in constants.items() if f" {key}" in operator},
    )
    bridge.save(bridge.load(proto), path := tmp_path / f"m{SUFFIXES[target]}", to=target)
    (got,) = bridge.run(path, {"x": far_from_zero(dtype)}).values()
    want = normalized(far_from_zero(dtype), PARTS[operator])
    np.testing.assert_allclose(got.astype(np.float64), want, atol=atol)


@pytest.mark.parametrize("options", [{"opset": 15}, {"opset": 21}, {}], ids=str)
def test_groups_of_other_formats_are_written_so_that_onnx_runtime_computes_them(options, tmp_path):
    torch = pytest.importorskip("torch")
    x = far_from_zero(np.float32)
    module = torch.nn.GroupNorm(2, 4).eval()
    bridge.convert(module, tmp_path / "m.onnx", inputs=["input:float32[2,4,8,8]"], **options)
    (got,) = bridge.run(tmp_path / "m.onnx", {"input": x}).values()
    want = module.double()(torch.from_numpy(x).double()).detach().numpy()
    np.testing.assert_allclose(got, want, atol=1e-3)


def test_older_opsets_center_what_they_spell_out(tmp_path):
    proto = model_from_text(
        "(float[2,4,8,8] x) => (float[2,4,8,8] y) { y = LayerNormalization (x, s) }",
        s=np.ones(8, np.float32),
    )
    bridge.save(bridge.load(proto), tmp_path / "m.onnx", opset=15)
    got = bridge.run(tmp_path / "m.onnx", {"x": far_from_zero(np.float32)})["y"]
    np.testing.assert_allclose(got, normalized(far_from_zero(np.float32), (3,)), atol=1e-3)


FORMULAS = {
    "var": lambda x: x.var((2, 3)),
    "std_mean": lambda x: x.std(-1),
    "batch_norm": lambda x: pytest.importorskip("torch").batch_norm(
        x, None, None, None, None, True, 0.1, 1e-5, False
    ),
    "norm": lambda x: x.norm(dim=-1),
    "norm of order 3": lambda x: x.norm(3, dim=-1),
    "hypot": lambda x: x.hypot(x),
}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("target", ["torchscript", "onnx"])
def test_half_precision_is_summed_in_float32(name, target, tmp_path):
    torch = pytest.importorskip("torch")

    class Model(torch.nn.Module):
        def forward(self, x):
            return FORMULAS[name](x)

    x = torch.from_numpy(far_from_zero(np.float16))
    torch.jit.save(torch.jit.trace(Model(), x, check_trace=False), tmp_path / "m.pt")
    path = tmp_path / f"o{SUFFIXES[target]}"
    bridge.convert(tmp_path / "m.pt", path, to=target, inputs=["x:float16[2,4,8,8]"])
    (got,) = bridge.run(path, {"x": x.numpy()}).values()
    want = Model()(x.double()).numpy()
    np.testing.assert_allclose(got.astype(np.float64), want, rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_statistics_of_a_batch_are_those_of_tensorflow(dtype, tmp_path):
    tf = pytest.importorskip("tensorflow")
    module, x = tf.Module(), far_from_zero(np.dtype(dtype).type)
    ones = tf.ones(8)

    def normalize(x):
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=ones, offset=ones * 0, mean=ones, variance=ones, exponential_avg_factor=0.5
        )
        return {"y": y, "mean": mean, "variance": variance}

    module.f = tf.function(normalize, input_signature=[tf.TensorSpec([2, 4, 8, 8], dtype, name="x")])
    tf.saved_model.save(module, tmp_path / "sm", signatures=module.f.get_concrete_function())
    bridge.convert(tmp_path / "sm", tmp_path / "m.onnx")
    got = bridge.run(tmp_path / "m.onnx", {"x": x})
    for name, want in module.f(x).items():
        np.testing.assert_allclose(got[name], want, rtol=5e-3, atol=5e-3, err_msg=name)
