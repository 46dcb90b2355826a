"""Quantized TorchScript modules are read as QuantizeLinear and DequantizeLinear, within one quantum of
torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bridge
from bridge.errors import UnsupportedModel

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore")

from torch import nn  # noqa: E402
from torch.ao import quantization  # noqa: E402


@pytest.fixture(autouse=True)
def engine() -> Any:
    """fbgemm computes all layers exactly; the default x86 engine does not compute transposed convolutions
    so."""
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = "fbgemm"
    yield
    torch.backends.quantized.engine = before


class Between(nn.Module):
    """Layers between a quantization and its end."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.begin, self.layers, self.end = (
            quantization.QuantStub(),
            nn.Sequential(*layers),
            quantization.DeQuantStub(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(self.layers(self.begin(x)))


class Arithmetic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.sum, self.product, self.join, self.rectified, self.number = (
            torch.ao.nn.quantized.FloatFunctional() for _ in range(5)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.product.mul(self.sum.add(x, x), x)
        y = self.rectified.add_relu(self.join.cat([y, x], 1), self.join.cat([x, x], 1))
        return self.number.mul_scalar(self.number.add_scalar(y, 0.3), -1.5)


LAYERS: dict[str, tuple[Callable[[], list[nn.Module]], tuple[int, ...]]] = {
    "linear": (lambda: [nn.Linear(6, 5)], (4, 6)),
    "linear of three dimensions": (lambda: [nn.Linear(6, 5), nn.ReLU()], (2, 4, 6)),
    "conv1d": (lambda: [nn.Conv1d(3, 4, 3, stride=2, padding=1)], (2, 3, 9)),
    "conv2d": (lambda: [nn.Conv2d(4, 6, 3, padding=1, groups=2, dilation=2), nn.MaxPool2d(2)], (2, 4, 9, 9)),
    "conv2d reflected": (lambda: [nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect")], (2, 4, 9, 9)),
    "conv3d": (lambda: [nn.Conv3d(2, 3, 2)], (1, 2, 4, 4, 4)),
    "conv_transpose1d": (lambda: [nn.ConvTranspose1d(3, 4, 3, stride=2)], (1, 3, 5)),
    "conv_transpose2d": (lambda: [nn.ConvTranspose2d(3, 4, 3, stride=2, output_padding=1)], (1, 3, 5, 5)),
    "arithmetic": (lambda: [Arithmetic()], (1, 3, 4)),
    "normalization": (lambda: [nn.GroupNorm(2, 4), nn.InstanceNorm2d(4), nn.BatchNorm2d(4)], (2, 4, 5, 5)),
    "layer_norm": (lambda: [nn.LayerNorm(6)], (3, 6)),
    "hardswish": (lambda: [nn.Hardswish()], (3, 6)),
    "leaky_relu": (lambda: [nn.LeakyReLU(0.1)], (3, 6)),
    "elu": (lambda: [nn.ELU()], (3, 6)),
    "sigmoid": (lambda: [nn.Sigmoid()], (3, 6)),
    "tanh": (lambda: [nn.Tanh(), nn.Flatten()], (3, 2, 3)),
    "pooling": (lambda: [nn.Hardsigmoid(), nn.AvgPool2d(2), nn.Upsample(scale_factor=2)], (1, 3, 4, 4)),
    "relu6": (lambda: [nn.ReLU6(), nn.Hardtanh(0.2, 0.7)], (3, 6)),
}


def static(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    layers, shape = LAYERS[name]
    torch.manual_seed(0)
    module = Between(*layers()).eval()
    per_tensor = "transpose" in name
    module.qconfig = (
        quantization.default_qconfig if per_tensor else quantization.get_default_qconfig("fbgemm")
    )
    module = quantization.prepare(module)
    for _ in range(3):
        module(torch.randn(shape))
    return quantization.convert(module), shape


def read(module: Any, path: Path, name: str, shape: tuple[int, ...]) -> Any:
    torch.jit.save(module, path)
    return bridge.load(path, inputs=[f"{name}:float32[{','.join(map(str, shape))}]"])


def agree(output: np.ndarray, expected: np.ndarray, quanta: float = 1.01) -> None:
    """Within one step of the results, which are whole steps apart."""
    steps = np.diff(np.unique(expected))
    assert output.shape == expected.shape
    assert np.abs(output - expected).max() <= quanta * steps[steps > 1e-6].min()


@pytest.mark.parametrize("way", ["script", "trace"])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_agree_with_torch(name: str, way: str, tmp_path: Path) -> None:
    module, shape = static(name)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    script = torch.jit.script(module) if way == "script" else torch.jit.trace(module, x)
    model = read(script, tmp_path / "model.pt", "x", shape)
    operators = {n.op_type for n in model.graph}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators
    agree(bridge.run(model, {"x": x.numpy()})["output"], module(x).numpy())


def test_weights_stay_eight_bits_on_every_route(tmp_path: Path) -> None:
    module, shape = static("conv2d")
    x = torch.randn(shape).numpy()
    torch.jit.save(torch.jit.script(module), tmp_path / "model.pt")
    expected = module(torch.from_numpy(x)).numpy()
    for suffix in ("onnx", "tflite", "pt"):
        path = bridge.convert(
            tmp_path / "model.pt", tmp_path / f"made.{suffix}", inputs=["x:float32[2,4,9,9]"]
        ).path
        (output,) = bridge.run(path, {"x": x}).values()
        agree(output, expected)
    weights = [
        v for v in bridge.load(tmp_path / "made.onnx").graph.initializers.values() if len(v.shape) == 4
    ]
    assert [v.dtype.name for v in weights] == ["INT8"]


@pytest.mark.parametrize("dtype", [torch.qint8, torch.float16])
@pytest.mark.parametrize("shape", [(5, 12), (2, 3, 12)])
def test_dynamic_layers_quantize_what_they_are_given(shape: Any, dtype: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
    module = quantization.quantize_dynamic(layers, {nn.Linear}, dtype=dtype)
    model = read(torch.jit.script(module), tmp_path / "model.pt", "input", shape)
    for scale in (0.0, 0.1, 10.0):
        x = scale * torch.randn(shape)
        (output,) = bridge.run(model, {"input": x.numpy()}).values()
        np.testing.assert_allclose(output, module(x).detach().numpy(), atol=0.01 * max(scale, 0.1))


class Tensors(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        per_tensor = torch.quantize_per_tensor(x, 0.1, 10, torch.quint8)
        scales, zeros = torch.tensor([0.1, 0.2, 0.05]), torch.tensor([0, 1, -1])
        per_channel = torch.quantize_per_channel(x, scales, zeros, 0, torch.qint8)
        fake = torch.fake_quantize_per_tensor_affine(x, 0.1, 3, 0, 15)
        return (
            per_tensor.dequantize(),
            per_tensor.int_repr(),
            per_channel.dequantize(),
            fake + per_tensor.q_scale(),
        )


def test_tensors_are_quantized_and_looked_into(tmp_path: Path) -> None:
    x = torch.linspace(-3, 30, 12).reshape(3, 4)
    model = read(torch.jit.script(Tensors()), tmp_path / "model.pt", "x", (3, 4))
    for output, expected in zip(bridge.run(model, {"x": x.numpy()}).values(), Tensors()(x), strict=True):
        assert output.dtype == expected.numpy().dtype
        np.testing.assert_allclose(output, expected.numpy(), atol=1e-5)


def test_what_torch_would_compute_in_integers_is_not_guessed(tmp_path: Path) -> None:
    class Sorted(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.quantize_per_tensor(x, 0.1, 10, torch.quint8).topk(2)[0].dequantize()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = torch.jit.script(Sorted())
    with pytest.raises(UnsupportedModel, match="not supported on quantized tensors"):
        read(script, tmp_path / "model.pt", "x", (3,))
