"""Architectures, small, from TorchScript to ONNX, TFLite and TorchScript again, compared with torch."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bridge

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def compared(module: Any, inputs: tuple[Any, ...], folder: Path, *suffixes: str) -> None:
    """Every tensor that a scripted module returns, from a hub model and from files."""
    torch.manual_seed(0)
    module.eval()
    with torch.no_grad():
        scripted = torch.jit.script(module)
        torch.jit.save(scripted, folder / "model.pt")
        expected = module(*inputs)
    expected = [e for e in (expected if isinstance(expected, tuple) else (expected,)) if e is not None]
    names = [a.name for a in scripted._c._get_method("forward").schema.arguments][1:]
    arrays = {n: t.numpy() for n, t in zip(names, inputs, strict=False)}
    model = bridge.load(folder / "model.pt", inputs=arrays)
    for source in [model, *(bridge.save(model, folder / f"made.{s}").path for s in suffixes)]:
        for output, tensor in zip(bridge.run(source, arrays).values(), expected, strict=True):
            np.testing.assert_allclose(output, tensor.numpy(), rtol=1e-3, atol=1e-4)


class Attending(torch.nn.Module):
    def __init__(self, averaged: bool, way: str) -> None:
        super().__init__()
        self.attention = torch.nn.MultiheadAttention(16, 4, batch_first=True)
        self.averaged, self.way = averaged, way

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> Any:
        if self.way == "positions":
            return self.attention(x, x, x, attn_mask=mask, average_attn_weights=self.averaged)
        if self.way == "keys":
            return self.attention(x, x, x, key_padding_mask=mask, average_attn_weights=self.averaged)
        return self.attention(x, x, x, average_attn_weights=self.averaged)


@pytest.mark.parametrize("averaged", [True, False])
@pytest.mark.parametrize("way", ["none", "positions", "added", "keys"])
def test_fused_attention_agrees_with_torch(way: str, averaged: bool, tmp_path: Path) -> None:
    later = torch.triu(torch.ones(5, 5), 1).bool()
    absent = torch.tensor([[False, False, False, True, True], [False] * 5])
    masks = {"keys": absent, "added": torch.where(later, -1e9, 0.0)}
    module = Attending(averaged, "positions" if way == "added" else way)
    compared(module, (torch.randn(2, 5, 16), masks.get(way, later)), tmp_path)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_fused_encoders_agree_with_torch(activation: str, norm_first: bool, tmp_path: Path) -> None:
    layer = torch.nn.TransformerEncoderLayer(
        16, 4, 32, batch_first=True, norm_first=norm_first, activation=activation
    )
    encoder = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    compared(encoder, (torch.randn(2, 5, 16),), tmp_path, "tflite", "pt")


FAMILIES = ["llama", "whisper"]


@pytest.mark.parametrize("name", FAMILIES)
def test_families_arrive_on_every_route(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    monkeypatch.syspath_prepend(BENCHMARKS)
    spec = importlib.util.spec_from_file_location("torch_models", BENCHMARKS / "torch_models.py")
    families = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "torch_models", families)
    spec.loader.exec_module(families)  # type: ignore[union-attr]
    results = families.carry(name, ["onnx", "tflite", "torchscript"])
    outcomes = {t: results[t][0] for t in ("onnx", "tflite", "torchscript") if t in results}
    assert outcomes == dict.fromkeys(("onnx", "tflite", "torchscript"), "passed"), results
