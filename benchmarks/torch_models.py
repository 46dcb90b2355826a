"""Carry model families of torchvision and transformers from TorchScript to ONNX, TFLite and TorchScript
again, verified.

    python benchmarks/torch_models.py [NAME | classification | segmentation | detection | video | transformers ...]
        [--to onnx,tflite,torchscript] [--jsonl FILE]

Weights are random, from a seed; transformers have small configurations. Every family runs in a process of its
own: it is scripted where torch can, else traced, saved, read, and each file written is run in its own runtime
and compared with torch.jit.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

SECONDS = 900
SUFFIXES = {"onnx": "onnx", "tflite": "tflite", "torchscript": "pt"}
SCHEMAS = {
    "box_iou_rotated": "(Tensor boxes1, Tensor boxes2) -> Tensor",
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align": "(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, "
    "int sampling_ratio, bool aligned) -> Tensor",
}

Built = tuple[torch.nn.Module, tuple[torch.Tensor, ...]]


def nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """torchvision::nms in plain torch."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order = scores.argsort(descending=True, stable=True)
    kept = []
    while order.numel():
        best, order = order[0], order[1:]
        kept.append(best)
        low = torch.maximum(boxes[best, :2], boxes[order, :2])
        high = torch.minimum(boxes[best, 2:], boxes[order, 2:])
        common = (high - low).clamp(min=0).prod(1)
        order = order[common / (area[best] + area[order] - common) <= threshold]
    return torch.stack(kept) if kept else torch.empty(0, dtype=torch.int64)


def align(
    x: torch.Tensor, rois: torch.Tensor, scale: float, height: int, width: int, ratio: int, aligned: bool
) -> torch.Tensor:
    """torchvision::roi_align in plain torch, for a sampling ratio above 0: samples outside of the image are
    0."""
    boxes = rois[:, 1:] * scale - (0.5 if aligned else 0.0)
    size = boxes[:, 2:] - boxes[:, :2]
    size = size if aligned else size.clamp(min=1.0)
    down = taps(boxes[:, 1], size[:, 1] / height, height * ratio, ratio, x.shape[2])
    across = taps(boxes[:, 0], size[:, 0] / width, width * ratio, ratio, x.shape[3])
    samples = torch.einsum("kpy,kcyx,kqx->kcpq", down, x[rois[:, 0].long()], across)
    return torch.nn.functional.avg_pool2d(samples, ratio)


def taps(start: torch.Tensor, step: torch.Tensor, count: int, ratio: int, length: int) -> torch.Tensor:
    """Weights [box, sample, element] of bilinear samples along one axis of `length` elements."""
    at = start[:, None] + step[:, None] * ((torch.arange(count) + 0.5) / ratio)
    inside = (at >= -1) & (at <= length)
    at = at.clamp(0, length - 1)
    low = at.floor().long()
    high = (low + 1).clamp(max=length - 1)
    rest = (at - low)[..., None]
    one_hot = torch.nn.functional.one_hot
    return (one_hot(low, length) * (1 - rest) + one_hot(high, length) * rest) * inside[..., None]


def import_torchvision() -> None:
    """torchvision, its two compiled operators in Python where the compiled ones do not load beside a CPU
    torch."""
    if find_spec("torchvision") is None or hasattr(torch.ops.torchvision, "nms"):
        return
    from models import OPERATORS

    library = torch.library.Library("torchvision", "DEF")
    for name in dict.fromkeys([*OPERATORS, *SCHEMAS]):
        library.define(f"{name}{SCHEMAS.get(name, '() -> ()')}")
    library.impl("nms", nms, "CompositeExplicitAutograd")
    library.impl("roi_align", align, "CompositeExplicitAutograd")
    import_torchvision.library = library  # type: ignore[attr-defined]
    import torchvision.extension

    torchvision.extension._has_ops = loaded


def loaded() -> bool:
    return True


class Only(torch.nn.Module):
    """One entry of what a module returns."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module(x)["out"]


class Detector(torch.nn.Module):
    """What is found in one image: boxes, scores, labels, masks, key points."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        if torch.jit.is_scripting():
            return self.module([x])[1][0]
        return self.module([x])[0]


def calm(model: torch.nn.Module) -> None:
    """Residual branches that add little, statistics of the features there are, and boxes moved by little, as
    trained detectors have.

    Without it random detectors amplify rounding by thousands, or see the same everywhere, and torch itself,
    with one thread and with two, disagrees about the boxes by more than a comparison allows.
    """
    learning = {n: m for n, m in model.named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
    for name, module in learning.items():
        module.momentum = 1.0
        if name.endswith("bn3"):
            module.weight.data.fill_(0.2)
    for name, module in model.named_modules():
        if name.endswith("bbox_pred"):
            module.weight.data.mul_(0.1)
        if type(module).__name__ == "InvertedResidual" and module.use_res_connect:
            module.block[-1][1].weight.data.fill_(0.2)
    if learning:
        with torch.no_grad():
            features = model.train().backbone(torch.rand(4, 3, 128, 128))
            if hasattr(model, "head"):
                model.head(list(features.values()))


def vision(
    name: str, shape: tuple[int, ...], package: str = "", wrap: Any = None, **options: Any
) -> Callable[[], Built]:
    def build() -> Built:
        import_torchvision()
        import torchvision
        from models import randomise

        zoo = getattr(torchvision.models, package) if package else torchvision.models
        model = getattr(zoo, name)(weights=None, **options)
        randomise(model)
        if package == "detection":
            calm(model)
        return (wrap(model) if wrap else model), (torch.rand(shape),)

    return build


def classifier(name: str, side: int = 64, **options: Any) -> Callable[[], Built]:
    return vision(name, (1, 3, side, side), **options)


def segmenter(name: str) -> Callable[[], Built]:
    return vision(name, (1, 3, 65, 65), "segmentation", Only, weights_backbone=None)


def detector(name: str, **options: Any) -> Callable[[], Built]:
    return vision(name, (3, 96, 128), "detection", Detector, weights_backbone=None, **options)


def video(name: str, frames: int = 8, side: int = 64) -> Callable[[], Built]:
    return vision(name, (1, 3, frames, side, side), "video")


class Fields(torch.nn.Module):
    """The fields of a transformer's output that are tensors, for inputs by name."""

    def __init__(self, module: torch.nn.Module, names: list[str], fields: list[str]) -> None:
        super().__init__()
        self.module, self.names, self.fields = module, names, fields

    def forward(self, *inputs: torch.Tensor) -> Any:
        found = self.module(**dict(zip(self.names, inputs, strict=True)))
        parts = tuple(found[f] for f in self.fields)
        return parts if len(parts) > 1 else parts[0]


class Cached(torch.nn.Module):
    """A decoder that takes what it kept of earlier tokens and returns it with theirs and its own."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, ids: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> Any:
        from transformers import DynamicCache

        cache = DynamicCache()
        for layer in range(keys.shape[0]):
            cache.update(keys[layer], values[layer], layer)
        found = self.module(input_ids=ids, past_key_values=cache, use_cache=True)
        kept = found.past_key_values
        return (
            found.logits,
            torch.stack([layer.keys for layer in kept.layers]),
            torch.stack([layer.values for layer in kept.layers]),
        )


SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
TEXT = {**SMALL, "vocab_size": 99}
IDS = ("input_ids", lambda: torch.randint(5, 99, (1, 7)))
MASK = ("attention_mask", lambda: torch.ones(1, 7, dtype=torch.int64))
PIXELS = ("pixel_values", lambda: torch.rand(1, 3, 32, 32))
SOUND = ("input_values", lambda: torch.randn(1, 1600))


def transformer(name: str, config: dict[str, Any], inputs: list[Any], *fields: str) -> Callable[[], Built]:
    def build() -> Built:
        import_torchvision()
        import transformers

        kind = getattr(transformers, name)
        model = kind(kind.config_class(attn_implementation="eager", **config))
        return Fields(model, [n for n, _ in inputs], list(fields)), tuple(make() for _, make in inputs)

    return build


def decoder(name: str, config: dict[str, Any], heads: int = 4) -> Callable[[], Built]:
    def build() -> Built:
        import_torchvision()
        import transformers

        kind = getattr(transformers, name)
        model = kind(kind.config_class(attn_implementation="eager", **config))
        past = [torch.randn(2, 1, heads, 5, 8) for _ in range(2)]
        return Cached(model), (torch.randint(5, 99, (1, 3)), *past)

    return build


SEQ2SEQ = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
}
DECODED = ("decoder_input_ids", lambda: torch.randint(5, 99, (1, 4)))
AUDIO = {
    **SMALL,
    "conv_dim": (16, 16),
    "conv_kernel": (10, 3),
    "conv_stride": (5, 2),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "vocab_size": 32,
}
FEW = {"score_thresh": 0.0, "topk_candidates": 40, "detections_per_img": 6}
FEW_PROPOSALS = {
    "rpn_pre_nms_top_n_test": 60,
    "rpn_post_nms_top_n_test": 20,
    "box_score_thresh": 0.0,
    "box_detections_per_img": 6,
}
FAMILIES: dict[str, dict[str, Callable[[], Built]]] = {
    "classification": {
        name: classifier(name)
        for name in ["vgg11", "resnet18", "squeezenet1_1", "densenet121", "shufflenet_v2_x0_5", "mobilenet_v2", "mobilenet_v3_small", "resnext50_32x4d", "wide_resnet50_2", "mnasnet0_5", "efficientnet_b0", "efficientnet_v2_s", "regnet_y_400mf", "convnext_tiny", "swin_t", "swin_v2_t"]
    }
    | {
        "alexnet": classifier("alexnet", 96),
        "googlenet": classifier("googlenet", 96, init_weights=False),
        "inception_v3": classifier("inception_v3", 128, init_weights=False),
        "vit_b_16": classifier("vit_b_16", 64, image_size=64),
        "maxvit_t": classifier("maxvit_t", 224),
    },
    "segmentation": {
        name: segmenter(name)
        for name in ("fcn_resnet50", "deeplabv3_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large")
    },
    "detection": {
        name: detector(name, min_size=96, max_size=160, **FEW_PROPOSALS)
        for name in ("fasterrcnn_resnet50_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn", "maskrcnn_resnet50_fpn", "keypointrcnn_resnet50_fpn")
    }
    | {name: detector(name, min_size=96, max_size=160, **FEW) for name in ("retinanet_resnet50_fpn", "fcos_resnet50_fpn")}
    | {name: detector(name, **FEW) for name in ("ssd300_vgg16", "ssdlite320_mobilenet_v3_large")},
    "video": {
        "r3d_18": video("r3d_18"),
        "mc3_18": video("mc3_18"),
        "r2plus1d_18": video("r2plus1d_18"),
        "s3d": video("s3d", 16, 224),
        "mvit_v1_b": video("mvit_v1_b", 16, 224),
        "swin3d_t": video("swin3d_t"),
    },
    "transformers": {
        "bert": transformer("BertModel", TEXT, [IDS, MASK], "last_hidden_state", "pooler_output"),
        "roberta": transformer("RobertaModel", TEXT, [IDS, MASK], "last_hidden_state"),
        "distilbert": transformer(
            "DistilBertModel", {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "vocab_size": 99}, [IDS, MASK], "last_hidden_state"
        ),
        "albert": transformer("AlbertModel", {**TEXT, "embedding_size": 16}, [IDS, MASK], "last_hidden_state"),
        "electra": transformer("ElectraModel", {**TEXT, "embedding_size": 16}, [IDS, MASK], "last_hidden_state"),
        "deberta": transformer("DebertaV2Model", {**TEXT, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8}, [IDS, MASK], "last_hidden_state"),
        "gpt2": decoder("GPT2LMHeadModel", {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 99}),
        "llama": decoder("LlamaForCausalLM", {**TEXT, "num_key_value_heads": 2}, 2),
        "mistral": decoder("MistralForCausalLM", {**TEXT, "num_key_value_heads": 2}, 2),
        "t5": transformer("T5ForConditionalGeneration", {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 99}, [IDS, DECODED], "logits"),
        "bart": transformer("BartForConditionalGeneration", {**SEQ2SEQ, "vocab_size": 99}, [IDS, DECODED], "logits"),
        "whisper": transformer(
            "WhisperForConditionalGeneration",
            {**SEQ2SEQ, "vocab_size": 99, "max_source_positions": 50, "num_mel_bins": 20, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1, "suppress_tokens": None, "begin_suppress_tokens": None},
            [("input_features", lambda: torch.randn(1, 20, 100)), DECODED],
            "logits",
        ),
        "vit": transformer("ViTModel", {**SMALL, "image_size": 32, "patch_size": 8}, [PIXELS], "last_hidden_state"),
        "deit": transformer("DeiTModel", {**SMALL, "image_size": 32, "patch_size": 8}, [PIXELS], "last_hidden_state"),
        "swin": transformer("SwinModel", {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 4], "window_size": 4}, [PIXELS], "last_hidden_state"),
        "segformer": transformer("SegformerForSemanticSegmentation", {"hidden_sizes": [8, 16, 16, 32], "depths": [1, 1, 1, 1], "decoder_hidden_size": 16}, [("pixel_values", lambda: torch.rand(1, 3, 64, 64))], "logits"),
        "clip": transformer(
            "CLIPModel",
            {"text_config": {**TEXT, "bos_token_id": 0, "eos_token_id": 1}, "vision_config": {**SMALL, "image_size": 32, "patch_size": 8}, "projection_dim": 16},
            [IDS, PIXELS],
            "logits_per_image",
        ),
        "wav2vec2": transformer("Wav2Vec2ForCTC", AUDIO, [SOUND], "logits"),
        "hubert": transformer("HubertModel", AUDIO, [SOUND], "last_hidden_state"),
    },
}  # fmt: skip


def archive(name: str, folder: Path) -> tuple[Path, dict[str, np.ndarray], str]:
    """A family's file, inputs by name, and how it was made."""
    build = next(group[name] for group in FAMILIES.values() if name in group)
    torch.manual_seed(0)
    module, tensors = build()
    module.eval()
    path = folder / f"{name}.pt"
    try:
        if isinstance(module, (Fields, Cached)):
            raise TypeError("transformers are traced")
        made, way = torch.jit.script(module), "scripted"
    except Exception:
        made, way = torch.jit.trace(module, tensors, check_trace=False, strict=False), "traced"
    torch.jit.save(made, path)
    names = [a.name for a in torch.jit.load(path)._c._get_method("forward").schema.arguments][1:]
    if len(names) == 1 and len(tensors) > 1:
        names = [f"{names[0]}.{i}" for i in range(len(tensors))]
    return path, {n: t.numpy() for n, t in zip(names, tensors, strict=True)}, way


def carry(name: str, targets: list[str]) -> dict[str, Any]:
    """What became of one family: for each target passed, refused, wrong or failed, with the reason or the
    worst error."""
    import bridge
    from bridge.errors import BridgeError, UnsupportedModel
    from bridge.verify import compare

    with tempfile.TemporaryDirectory() as place, torch.no_grad():
        folder = Path(place)
        try:
            path, inputs, way = archive(name, folder)
        except Exception as error:
            return {"way": "not made", "reason": f"{type(error).__name__}: {error}"[:300]}
        expected = bridge.run(path, inputs, source="torchscript")
        facts: dict[str, Any] = {"way": way}
        start = time.perf_counter()
        try:
            model = bridge.load(path, source="torchscript", inputs=inputs)
        except BridgeError as error:
            outcome = "refused" if isinstance(error, UnsupportedModel) else "failed"
            return facts | {t: (outcome, str(error)[:600]) for t in ["import", *targets]}
        facts["seconds"] = round(time.perf_counter() - start, 1)
        for target in targets:
            try:
                written = bridge.save(
                    model, folder / f"made.{SUFFIXES[target]}", to=target, overwrite=True
                ).path
                checked = compare(expected, bridge.run(written, inputs, source=target))
                facts[target] = ("passed", "") if checked.ok else ("wrong", str(checked)[:600])
            except BridgeError as error:
                outcome = "refused" if isinstance(error, UnsupportedModel) else "failed"
                facts[target] = (outcome, f"{type(error).__name__}: {error}"[:600])
        return facts


def apart(name: str, targets: str) -> dict[str, Any]:
    """The same in a process of its own."""
    words = [sys.executable, "-W", "ignore", __file__, name, "--to", targets, "--alone"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return {t: ("failed", f"over {SECONDS} s") for t in targets.split(",")}
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if lines:
        return json.loads(lines[-1])
    return {t: ("failed", done.stderr[-400:]) for t in targets.split(",")}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*")
    parser.add_argument("--to", default="onnx,tflite,torchscript")
    parser.add_argument("--jsonl", type=Path)
    parser.add_argument("--alone", action="store_true", help="in this process; print JSON")
    options = parser.parse_args()
    targets = options.to.split(",")
    if options.alone:
        warnings.simplefilter("ignore")
        print(json.dumps(carry(options.names[0], targets)))
        return
    wanted = options.names or list(FAMILIES)
    names = [n for w in wanted for n in (FAMILIES.get(w) or [w])]
    counts: dict[str, Counter[str]] = {t: Counter() for t in targets}
    for name in names:
        facts = apart(name, options.to)
        if options.jsonl:
            with options.jsonl.open("a") as log:
                log.write(json.dumps({"family": name, **facts}) + "\n")
        row = [f"{t} {facts[t][0]}" for t in targets if t in facts]
        print(f"{name:38} {facts.get('way', ''):9} {', '.join(row) or facts.get('reason')}", flush=True)
        for target in targets:
            if target in facts:
                outcome, reason = facts[target]
                counts[target][outcome] += 1
                if outcome != "passed":
                    print(f"    {target}: {' '.join(reason.split())[:400]}", flush=True)
    for target in targets:
        print(f"{target}: " + ", ".join(f"{v} {k}" for k, v in sorted(counts[target].items())))


if __name__ == "__main__":
    main()
