"""Generate the benchmark models as ONNX and traced TorchScript, from torchvision and transformers, with seeded random
weights; NAME.inputs says what the inputs of NAME.pt are.

pip install torch==2.13.0 onnx onnxscript transformers && pip install --no-deps torchvision==0.28.0 pillow
python benchmarks/models.py OUT_DIR [NAME ...] [--legacy]

--legacy writes NAME-legacy.onnx by torch's TorchScript-based exporter at opset 17, as files in the wild were.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch

OPERATORS = (
    "nms",
    "qnms",
    "roi_align",
    "_roi_align_backward",
    "roi_pool",
    "_roi_pool_backward",
    "ps_roi_align",
    "_ps_roi_align_backward",
    "ps_roi_pool",
    "_ps_roi_pool_backward",
    "deform_conv2d",
    "_deform_conv2d_backward",
)


def import_torchvision() -> None:
    """Register empty schemas for torchvision's compiled operators, which do not load beside a CPU torch."""
    library = torch.library.Library("torchvision", "DEF")
    for name in OPERATORS:
        library.define(f"{name}() -> ()")
    import_torchvision.library = library  # type: ignore[attr-defined]


def vision(name: str) -> Callable[[], tuple[torch.nn.Module, tuple, list[str]]]:
    def build() -> tuple[torch.nn.Module, tuple, list[str]]:
        import torchvision.models as zoo

        return getattr(zoo, name)(weights=None), (torch.rand(1, 3, 224, 224),), ["input"]

    return build


class BidirectionalLSTM(torch.nn.Module):
    """Two bidirectional layers of 64 units over [batch, 20, 32], and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(32, 64, num_layers=2, bidirectional=True, batch_first=True)
        self.head = torch.nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x)[0])


def lstm() -> tuple[torch.nn.Module, tuple, list[str]]:
    return BidirectionalLSTM(), (torch.rand(1, 20, 32),), ["input"]


class Encoder(torch.nn.Module):
    """BERT-base's encoder under positional inputs."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import BertConfig, BertModel

        self.bert = BertModel(BertConfig(attn_implementation="eager"), add_pooling_layer=False)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def bert() -> tuple[torch.nn.Module, tuple, list[str]]:
    ids = torch.randint(0, 30522, (1, 64))
    return Encoder(), (ids, torch.ones_like(ids)), ["input_ids", "attention_mask"]


MODELS = {
    "mobilenet_v2": vision("mobilenet_v2"),
    "resnet50": vision("resnet50"),
    "mobilenet_v3_small": vision("mobilenet_v3_small"),
    "efficientnet_b0": vision("efficientnet_b0"),
    "convnext_tiny": vision("convnext_tiny"),
    "swin_t": vision("swin_t"),
    "vit_b_16": vision("vit_b_16"),
    "bidirectional_lstm": lstm,
    "bert_base": bert,
}


def randomise(model: torch.nn.Module) -> None:
    """Give normalisation layers non-trivial statistics and zero-initialised heads weights, so that outputs
    mean something."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.8, 1.2)
            module.weight.data.uniform_(0.8, 1.2)
            module.bias.data.uniform_(-0.1, 0.1)
        if isinstance(module, torch.nn.Linear) and not module.weight.any():
            torch.nn.init.normal_(module.weight, std=0.02)


def main(folder: Path, names: list[str], legacy: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    import_torchvision()
    for name in names or MODELS:
        torch.manual_seed(0)
        model, inputs, input_names = MODELS[name]()
        randomise(model)
        path = folder / f"{name}{'-legacy' * legacy}.onnx"
        newer = {} if legacy else {"external_data": False, "verbose": False}
        torch.onnx.export(
            model.eval(),
            inputs,
            path,
            input_names=input_names,
            output_names=["output"],
            opset_version=17 if legacy else 18,
            dynamo=not legacy,
            **newer,
        )
        print(path, flush=True)
        if legacy:
            continue
        torch.jit.save(
            torch.jit.trace(model, inputs, check_trace=False, strict=False), str(path.with_suffix(".pt"))
        )
        kinds = (f"{str(t.dtype).removeprefix('torch.')}[{','.join(map(str, t.shape))}]" for t in inputs)
        path.with_suffix(".inputs").write_text(
            "\n".join(f"{n}:{kind}" for n, kind in zip(input_names, kinds, strict=True))
        )


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--legacy"]
    main(Path(words[0]), words[1:], "--legacy" in sys.argv)
