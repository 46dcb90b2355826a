"""Files that ONNX Runtime's optimizer and quantizer wrote convert as those they were made from."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.optimizer import optimize_model
from torch import nn

import bridge
from bridge.errors import UnsupportedModel

pytestmark = pytest.mark.filterwarnings("ignore")
WIDTH, HEADS = 32, 4


def heads(x: torch.Tensor) -> torch.Tensor:
    return x.view(x.size(0), x.size(1), HEADS, WIDTH // HEADS).permute(0, 2, 1, 3)


def attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Attention of [batch, length, width], as transformers writes it out."""
    scores = torch.matmul(heads(q), heads(k).transpose(-1, -2)) / math.sqrt(WIDTH // HEADS)
    scores = scores if mask is None else scores + mask
    y = torch.matmul(torch.softmax(scores, -1), heads(v)).permute(0, 2, 1, 3).contiguous()
    return y.view(y.size(0), y.size(1), WIDTH)


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, 48), nn.Linear(48, WIDTH)
        self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = self.first(self.out(attention(self.q(x), self.k(x), self.v(x), mask)) + x)
        y = self.up(x)
        y = y * 0.5 * (1.0 + torch.erf(y / math.sqrt(2.0)))
        return self.second(self.down(y) + x)


class Encoder(nn.Module):
    """BERT, as transformers exports it."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places, self.kinds = (nn.Embedding(n, WIDTH) for n in (60, 32, 2))
        self.norm, self.layers = nn.LayerNorm(WIDTH), nn.ModuleList(Layer() for _ in range(2))
        self.register_buffer("steps", torch.arange(32)[None])

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        bias = (1.0 - mask[:, None, None, :].to(torch.float32)) * -10000.0
        x = self.words(ids) + self.kinds(kinds) + self.places(self.steps[:, : ids.size(1)])
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x, bias)
        return x


class Image(nn.Module):
    """Convolutions with what the optimizer fuses into them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 8, 3, padding=1)
        self.rest = nn.Sequential(
            nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.SiLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 1), nn.LeakyReLU(0.1), nn.Hardsigmoid(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(16, 5), nn.Softmax(-1),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rest(self.second(x + torch.relu(self.first(x) + x)))


class Denoiser(nn.Module):
    """A block of a diffusion model."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.tail = nn.Conv2d(3, WIDTH, 3, padding=1), nn.Conv2d(WIDTH, 3, 3, padding=1)
        self.groups, self.norm = nn.GroupNorm(4, WIDTH), nn.LayerNorm(WIDTH)
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, 96), nn.Linear(48, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.head(x)
        y = nn.functional.silu(self.groups(x))
        batch, channels, height, width = y.shape
        z = y.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
        n = self.norm(z)
        z = z + self.out(attention(self.q(n), self.k(n), self.v(n)))
        left, right = self.up(self.norm(z)).chunk(2, -1)
        z = z + self.down(left * nn.functional.gelu(right))
        return self.tail(z.reshape(batch, height, width, channels).permute(0, 3, 1, 2) + x)


class Images(CalibrationDataReader):
    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.left = [{"x": rng.standard_normal((2, 3, 16, 16)).astype(np.float32)} for _ in range(4)]

    def get_next(self) -> dict[str, np.ndarray] | None:
        return self.left.pop() if self.left else None


def export(module: nn.Module, inputs: dict[str, torch.Tensor], path: Path) -> str:
    axes = {n: {0: "b", 1: "t"} if v.ndim == 2 else {0: "b"} for n, v in inputs.items()}
    torch.onnx.export(
        module.eval(), tuple(inputs.values()), path, input_names=list(inputs), output_names=["y"],
        dynamic_axes=axes, opset_version=17, dynamo=False,
    )  # fmt: skip
    return str(path)


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> dict[str, str]:
    """Files by name: two nets and one block exported from PyTorch, the nets quantized."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("sources")
    ids = torch.randint(3, 50, (2, 7))
    tokens = {"ids": ids, "mask": torch.ones_like(ids), "kinds": torch.zeros_like(ids)}
    files = {
        "encoder": export(Encoder(), tokens, folder / "encoder.onnx"),
        "image": export(Image(), {"x": torch.randn(2, 3, 16, 16)}, folder / "image.onnx"),
        "denoiser": export(Denoiser(), {"x": torch.randn(2, 3, 8, 8)}, folder / "denoiser.onnx"),
    }
    quant_pre_process(files["image"], folder / "prepared.onnx")
    for name, way in (("QDQ", QuantFormat.QDQ), ("QOperator", QuantFormat.QOperator)):
        files[name] = str(folder / f"{name}.onnx")
        quantize_static(folder / "prepared.onnx", files[name], Images(), quant_format=way)
    files["dynamic"] = str(folder / "dynamic.onnx")
    quantize_dynamic(files["encoder"], files["dynamic"])
    return files


def optimized(source: str, level: str, folder: Path) -> str:
    options, path = ort.SessionOptions(), str(folder / "optimized.onnx")
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
    options.optimized_model_filepath = path
    ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return path


def vendors(path: str) -> set[str]:
    """Operators of a file that are not ONNX's own."""
    return {node.op_type for node in onnx.load(path).graph.node if node.domain}


def require_converted(path: str, folder: Path) -> None:
    """Every target is written, and verified against the file in ONNX Runtime; no vendor's operator is left."""
    assert vendors(path)
    for name, target in (("m.onnx", "onnx"), ("m.tflite", "tflite"), ("m", "savedmodel")):
        conversion = bridge.convert(path, folder / name, to=target, verify=True)
        assert conversion.verification.ok
    assert not vendors(str(folder / "m.onnx"))


LEVELS = [
    ("encoder", "EXTENDED"),
    ("encoder", "ALL"),
    ("image", "EXTENDED"),
    ("QDQ", "EXTENDED"),
    ("QDQ", "ALL"),
    ("QOperator", "ALL"),
    ("dynamic", "EXTENDED"),
    ("denoiser", "EXTENDED"),
]


@pytest.mark.parametrize(("name", "level"), LEVELS)
def test_what_the_optimizer_wrote_converts(sources, tmp_path, name, level):
    require_converted(optimized(sources[name], level, tmp_path), tmp_path)


def test_blocks_of_one_processor_are_refused_with_the_way_out(sources, tmp_path):
    path = optimized(sources["image"], "ALL", tmp_path)
    if "ReorderOutput" in vendors(path):
        with pytest.raises(UnsupportedModel, match="ORT_ENABLE_EXTENDED"):
            bridge.convert(path, tmp_path / "m.tflite")


def fused(source: str, kind: str, folder: Path, **given: bool) -> str:
    options, path = FusionOptions(kind), str(folder / "fused.onnx")
    for name, value in given.items():
        setattr(options, name, value)
    model = optimize_model(
        source, kind, num_heads=HEADS, hidden_size=WIDTH, optimization_options=options, opt_level=0
    )
    model.save_model_to_file(path)
    return path


@pytest.mark.parametrize(
    ("kind", "given", "operator"),
    [
        ("bert", {}, "Attention"),
        ("bert", {"use_multi_head_attention": True}, "MultiHeadAttention"),
        ("tnlr", {}, "EmbedLayerNormalization"),
        ("gpt2", {}, "SkipLayerNormalization"),
    ],
)
def test_what_a_model_type_fused_converts(sources, tmp_path, kind, given, operator):
    path = fused(sources["encoder"], kind, tmp_path, **given)
    assert operator in vendors(path)
    require_converted(path, tmp_path)


def test_what_was_fused_for_a_gpu_is_what_it_was_fused_from(sources, tmp_path):
    given = {"enable_packed_qkv": False, "enable_packed_kv": False, "enable_nhwc_conv": True}
    path = fused(sources["denoiser"], "unet", tmp_path, enable_group_norm=True, **given)
    assert {"NhwcConv", "GroupNorm", "BiasSplitGelu"} <= vendors(path)
    x = {"x": np.random.default_rng(0).standard_normal((3, 3, 8, 8)).astype(np.float32)}
    expected = ort.InferenceSession(sources["denoiser"]).run(None, x)[0]
    for target in ("m.onnx", "m.tflite"):
        converted = bridge.convert(path, tmp_path / target, verify=True).path
        np.testing.assert_allclose(bridge.run(converted, x)["y"], expected, rtol=1e-3, atol=1e-4)
