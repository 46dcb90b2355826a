"""Architectures as people convert them now, at reduced width: of transformers, diffusers, timm, ultralytics,
torchvision, Keras, and plain torch. Each has its inputs, with the dimensions that vary named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

Shape = tuple[int | str, ...]
Tensors = dict[str, np.ndarray]

LENGTHS = {
    "batch": (2, 3),
    "sequence": (7, 12),
    "target": (4, 6),
    "past": (5, 9),
    "height": (64, 96),
    "width": (96, 128),
    "samples": (1600, 2400),
    "frames": (8, 12),
    "nodes": (6, 9),
    "edges": (14, 20),
}
"""Two settings of every dimension that varies."""


@dataclass(frozen=True)
class Input:
    """A tensor of `shape`, whose dimensions are numbers, names, or sums of names; `draw` gives its values."""

    shape: Shape
    draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]

    def names(self) -> dict[int, str]:
        """Names of the dimensions that vary, by axis."""
        return {axis: length for axis, length in enumerate(self.shape) if isinstance(length, str)}

    def array(self, lengths: dict[str, int], rng: np.random.Generator) -> np.ndarray:
        return self.draw(rng, tuple(n if isinstance(n, int) else length(n, lengths) for n in self.shape))


def length(name: str, lengths: dict[str, int]) -> int:
    return sum(lengths[part] for part in name.split("+"))


@dataclass(frozen=True)
class Architecture:
    """A model of a group: `build` makes it, with random weights; it gives its `outputs` in their order.
    `scripted` says that torch.jit.script takes it, `fusion` the kind of model that ONNX Runtime's optimizer
    takes it for; a Keras model is of the group keras."""

    group: str
    build: Callable[[], Any]
    inputs: dict[str, Input]
    outputs: tuple[str, ...] = ("output",)
    scripted: bool = False
    fusion: str = ""
    lengths: dict[str, tuple[int, int]] = field(default_factory=dict)

    def arrays(self, setting: int, seed: int = 0) -> Tensors:
        """Inputs at one of the two settings."""
        rng = np.random.default_rng(seed)
        lengths = {name: both[setting] for name, both in {**LENGTHS, **self.lengths}.items()}
        return {name: each.array(lengths, rng) for name, each in self.inputs.items()}


def ids(high: int, *shape: int | str) -> Input:
    return Input(shape, lambda rng, size: rng.integers(5, high, size))


def floats(*shape: int | str) -> Input:
    return Input(shape, lambda rng, size: rng.standard_normal(size).astype(np.float32))


def ones(*shape: int | str) -> Input:
    return Input(shape, lambda _, size: np.ones(size, np.int64))


def unit(*shape: int | str) -> Input:
    return Input(shape, lambda rng, size: rng.random(size, np.float32))


class Call(nn.Module):
    """A model whose results `body` computes of the inputs by name, so that `forward` has their names."""

    def __init__(self, module: nn.Module, names: list[str], body: Callable[..., Any]) -> None:
        super().__init__()
        self.module = module
        scope: dict[str, Any] = {"body": body}
        operands = ", ".join(names)
        exec(f"def forward(self, {operands}): return body(self.module, {operands})", scope)
        type(self).forward = scope["forward"]


def calling(module: nn.Module, names: list[str], body: Callable[..., Any]) -> nn.Module:
    return type("Call", (Call,), {})(module, names, body).eval()


def transformer(
    name: str, config: dict[str, Any], inputs: dict[str, Input], *fields: str, **more: Any
) -> Architecture:
    """A model of transformers, called with its inputs by name, which gives the fields of its result."""

    def build() -> nn.Module:
        torchvision()
        import transformers

        kind = getattr(transformers, name)
        names = list(inputs)

        def body(module: nn.Module, *values: Any) -> Any:
            found = module(**dict(zip(names, values, strict=True)))
            return tuple(found[each] for each in fields)

        return calling(configured(kind, config), names, body)

    return Architecture("transformers", build, inputs, fields, **more)


def configured(kind: Any, config: dict[str, Any]) -> nn.Module:
    settings = dict(config)
    settings.setdefault("attn_implementation", "sdpa")
    try:
        return kind(kind.config_class(**settings))
    except ValueError:
        return kind(kind.config_class(**{**settings, "attn_implementation": "eager"}))


def decoder(
    name: str, config: dict[str, Any], heads: int = 4, depth: int = 8, layers: int = 2
) -> Architecture:
    """A causal language model with its cache as inputs and outputs."""
    cache = {
        f"past_{layer}_{part}": floats("batch", heads, "past", depth)
        for layer in range(layers)
        for part in ("key", "value")
    }
    inputs = {
        "input_ids": ids(99, "batch", "sequence"),
        "attention_mask": ones("batch", "past+sequence"),
        **cache,
    }

    def build() -> nn.Module:
        torchvision()
        import transformers

        def body(module: nn.Module, input_ids: Any, attention_mask: Any, *past: Any) -> Any:
            kept = transformers.DynamicCache()
            for layer in range(layers):
                kept.update(past[2 * layer], past[2 * layer + 1], layer)
            found = module(
                input_ids=input_ids, attention_mask=attention_mask, past_key_values=kept, use_cache=True
            )
            after = found.past_key_values.layers
            return found.logits, *(part for layer in after for part in (layer.keys, layer.values))

        return calling(configured(getattr(transformers, name), config), list(inputs), body)

    outputs = ("logits", *(each.replace("past", "present") for each in cache))
    return Architecture("decoders", build, inputs, outputs)


IMAGE = {"pixel_values": unit("batch", 3, 32, 32)}
LARGER = {"pixel_values": unit("batch", 3, 64, 64)}
FREE = {"pixel_values": unit("batch", 3, "height", "width")}
TOKENS = {"input_ids": ids(99, "batch", "sequence"), "attention_mask": ones("batch", "sequence")}
BOTH = {**TOKENS, "decoder_input_ids": ids(99, "batch", "target")}
SOUND = {"input_values": floats("batch", "samples")}
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
TEXT = {**SMALL, "vocab_size": 99}
GROUPED = {**TEXT, "num_key_value_heads": 2, "head_dim": 8}
PATCHES = {**SMALL, "image_size": 32, "patch_size": 8}
ENDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
SEQ2SEQ = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "vocab_size": 99, **ENDS, "decoder_start_token_id": 1,
}  # fmt: skip
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 99}
AUDIO = {
    **SMALL, "conv_dim": (16, 16), "conv_kernel": (10, 3), "conv_stride": (5, 2), "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4, "vocab_size": 32,
}  # fmt: skip
SWIN = {
    "image_size": 32,
    "patch_size": 2,
    "embed_dim": 16,
    "depths": [1, 1],
    "num_heads": [2, 4],
    "window_size": 4,
}
HIDDEN = "last_hidden_state"

TRANSFORMERS = {
    "bert": transformer("BertModel", TEXT, TOKENS, HIDDEN, "pooler_output"),
    "roberta": transformer("RobertaForSequenceClassification", TEXT, TOKENS, "logits"),
    "distilbert": transformer("DistilBertForQuestionAnswering", {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "vocab_size": 99}, TOKENS, "start_logits", "end_logits"),
    "albert": transformer("AlbertForMaskedLM", {**TEXT, "embedding_size": 16}, TOKENS, "logits"),
    "electra": transformer("ElectraForTokenClassification", {**TEXT, "embedding_size": 16}, TOKENS, "logits"),
    "deberta": transformer("DebertaV2Model", {**TEXT, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8}, TOKENS, HIDDEN),
    "mpnet": transformer("MPNetModel", TEXT, TOKENS, HIDDEN),
    "modernbert": transformer("ModernBertModel", {**TEXT, **ENDS, "cls_token_id": 3, "sep_token_id": 4, "local_attention": 4}, TOKENS, HIDDEN),
    "xlm_roberta": transformer("XLMRobertaModel", TEXT, TOKENS, HIDDEN),
    "mobilebert": transformer("MobileBertModel", {**TEXT, "embedding_size": 16, "intra_bottleneck_size": 16, "true_hidden_size": 16}, TOKENS, HIDDEN),
    "t5": transformer("T5ForConditionalGeneration", T5, BOTH, "logits"),
    "t5_encoder": transformer("T5EncoderModel", T5, TOKENS, HIDDEN),
    "bart": transformer("BartForConditionalGeneration", SEQ2SEQ, BOTH, "logits"),
    "marian": transformer("MarianMTModel", SEQ2SEQ, BOTH, "logits"),
    "pegasus": transformer("PegasusForConditionalGeneration", SEQ2SEQ, BOTH, "logits"),
    "whisper": transformer("WhisperForConditionalGeneration", {**SEQ2SEQ, "max_source_positions": 50, "num_mel_bins": 20, "suppress_tokens": None, "begin_suppress_tokens": None}, {"input_features": floats("batch", 20, 100), "decoder_input_ids": ids(99, "batch", "target")}, "logits"),
    "vit": transformer("ViTForImageClassification", PATCHES, IMAGE, "logits"),
    "deit": transformer("DeiTModel", PATCHES, IMAGE, HIDDEN),
    "beit": transformer("BeitModel", PATCHES, IMAGE, HIDDEN),
    "dinov2": transformer("Dinov2Model", PATCHES, IMAGE, HIDDEN),
    "swin": transformer("SwinModel", SWIN, IMAGE, HIDDEN),
    "convnext": transformer("ConvNextForImageClassification", {"hidden_sizes": [8, 16, 32, 64], "depths": [1, 1, 1, 1]}, FREE, "logits"),
    "mobilevit": transformer("MobileViTForImageClassification", {"image_size": 64, "hidden_sizes": [16, 24, 32], "neck_hidden_sizes": [8, 8, 16, 16, 16, 16, 32], "num_attention_heads": 4}, LARGER, "logits"),
    "segformer": transformer("SegformerForSemanticSegmentation", {"hidden_sizes": [8, 16, 16, 32], "depths": [1, 1, 1, 1], "decoder_hidden_size": 16}, FREE, "logits"),
    "yolos": transformer("YolosForObjectDetection", {**PATCHES, "image_size": [32, 32], "num_detection_tokens": 5}, IMAGE, "logits", "pred_boxes"),
    "depth_anything": transformer("DPTForDepthEstimation", {**PATCHES, "num_hidden_layers": 4, "backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [8, 8, 16, 16], "fusion_hidden_size": 16, "is_hybrid": False, "readout_type": "project"}, IMAGE, "predicted_depth"),
    "clip": transformer("CLIPModel", {"text_config": {**TEXT, **ENDS}, "vision_config": PATCHES, "projection_dim": 16}, {**TOKENS, **IMAGE}, "logits_per_image"),
    "siglip": transformer("SiglipModel", {"text_config": TEXT, "vision_config": PATCHES}, {"input_ids": TOKENS["input_ids"], **IMAGE}, "logits_per_image"),
    "wav2vec2": transformer("Wav2Vec2ForCTC", AUDIO, SOUND, "logits"),
    "hubert": transformer("HubertModel", AUDIO, SOUND, HIDDEN),
    "wavlm": transformer("WavLMModel", AUDIO, SOUND, HIDDEN),
    "audio_spectrogram": transformer("ASTForAudioClassification", {**SMALL, "max_length": 32, "num_mel_bins": 16, "patch_size": 8, "frequency_stride": 4, "time_stride": 4}, {"input_values": floats("batch", 32, 16)}, "logits"),
    "patchtst": transformer("PatchTSTForPrediction", {"num_input_channels": 3, "context_length": 32, "patch_length": 8, "patch_stride": 8, "d_model": 16, "num_attention_heads": 4, "num_hidden_layers": 2, "ffn_dim": 32, "prediction_length": 6}, {"past_values": floats("batch", 32, 3)}, "prediction_outputs"),
    "patchtsmixer": transformer("PatchTSMixerForPrediction", {"num_input_channels": 3, "context_length": 32, "patch_length": 8, "patch_stride": 8, "d_model": 16, "num_layers": 2, "prediction_length": 6}, {"past_values": floats("batch", 32, 3)}, "prediction_outputs"),
}  # fmt: skip

DECODERS = {
    "gpt2": decoder("GPT2LMHeadModel", {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 99}),
    "gpt_neox": decoder("GPTNeoXForCausalLM", TEXT),
    "opt": decoder("OPTForCausalLM", {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 64, "vocab_size": 99, "word_embed_proj_dim": 32}),
    "llama": decoder("LlamaForCausalLM", GROUPED, 2),
    "mistral": decoder("MistralForCausalLM", GROUPED, 2),
    "qwen2": decoder("Qwen2ForCausalLM", GROUPED, 2),
    "qwen3": decoder("Qwen3ForCausalLM", GROUPED, 2),
    "gemma": decoder("GemmaForCausalLM", GROUPED, 2),
    "phi3": decoder("Phi3ForCausalLM", {**GROUPED, **ENDS}, 2),
    "olmo": decoder("OlmoForCausalLM", GROUPED, 2),
}  # fmt: skip


def timm_model(name: str, side: int | None = None, **options: Any) -> Architecture:
    """An image classifier of timm; of images of any size unless `side` gives one."""

    def build() -> nn.Module:
        torchvision()
        import timm

        return timm.create_model(name, num_classes=10, **options).eval()

    shape: Shape = ("batch", 3, side, side) if side else ("batch", 3, "height", "width")
    return Architecture("timm", build, {"x": unit(*shape)}, scripted=True)


TIMM = {
    "resnet18": timm_model("resnet18"),
    "efficientnet_b0": timm_model("efficientnet_b0"),
    "mobilenetv3_small": timm_model("mobilenetv3_small_050"),
    "convnext_atto": timm_model("convnext_atto"),
    "regnety": timm_model("regnety_002"),
    "ghostnet": timm_model("ghostnet_050"),
    "repvgg": timm_model("repvgg_a0"),
    "mobileone": timm_model("mobileone_s0"),
    "edgenext": timm_model("edgenext_xx_small"),
    "poolformer": timm_model("poolformer_s12"),
    "vit_tiny": timm_model("vit_tiny_patch16_224", 64, img_size=64, depth=2),
    "mixer": timm_model("mixer_s32_224", 224),
    "levit": timm_model("levit_128s", 224),
    "xcit": timm_model("xcit_nano_12_p16_224", 64),
    "eva02": timm_model("eva02_tiny_patch14_224", 56, img_size=56, depth=2),
    "swin_timm": timm_model("swin_tiny_patch4_window7_224", 224, depths=(1, 1, 1, 1), embed_dim=24),
}


def ultralytics_model(name: str, *outputs: str) -> Architecture:
    """A network of ultralytics as its exporter prepares it: layers fused, one tensor of what is detected."""

    def build() -> nn.Module:
        torchvision()
        from ultralytics import YOLO

        model = YOLO(f"{name}.yaml").model.float().eval().fuse()
        for module in model.modules():
            if hasattr(module, "export"):
                module.export, module.dynamic, module.format = True, True, "onnx"
        return calling(model, ["images"], lambda network, images: network(images))

    shape = ("batch", 3, "height", "width")
    return Architecture("ultralytics", build, {"images": unit(*shape)}, outputs or ("output0",))


ULTRALYTICS = {
    "yolov8": ultralytics_model("yolov8n"),
    "yolov8_seg": ultralytics_model("yolov8n-seg", "output0", "output1"),
    "yolov8_pose": ultralytics_model("yolov8n-pose"),
    "yolo11": ultralytics_model("yolo11n"),
    "yolov10": ultralytics_model("yolov10n"),
}


def diffusion(
    name: str, config: dict[str, Any], inputs: dict[str, Input], body: Callable[..., Any]
) -> Architecture:
    """A network of diffusers."""

    def build() -> nn.Module:
        torchvision()
        import diffusers

        return calling(getattr(diffusers, name)(**config), list(inputs), body)

    return Architecture(
        "diffusers", build, inputs, ("output",), lengths={"height": (16, 24), "width": (24, 32)}
    )


BLOCKS = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4}
LATENT = floats("batch", 4, "height", "width")
STEP = Input(("batch",), lambda rng, size: rng.integers(1, 999, size))
STATES = floats("batch", "sequence", 16)

DIFFUSERS = {
    "unet_conditional": diffusion("UNet2DConditionModel", {**BLOCKS, "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "cross_attention_dim": 16, "attention_head_dim": 4}, {"sample": LATENT, "timestep": STEP, "encoder_hidden_states": STATES}, lambda m, *x: m(*x, return_dict=False)[0]),
    "unet": diffusion("UNet2DModel", {**BLOCKS, "in_channels": 4, "out_channels": 4, "down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D"), "attention_head_dim": 4}, {"sample": LATENT, "timestep": STEP}, lambda m, *x: m(*x, return_dict=False)[0]),
    "vae_decoder": diffusion("AutoencoderKL", {**BLOCKS, "down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}, {"latent": LATENT}, lambda m, z: m.decode(z, return_dict=False)[0]),
    "vae_encoder": diffusion("AutoencoderKL", {**BLOCKS, "down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}, {"pixels": floats("batch", 3, "height", "width")}, lambda m, x: m.encode(x).latent_dist.mean),
    "dit": diffusion("DiTTransformer2DModel", {"num_attention_heads": 2, "attention_head_dim": 8, "in_channels": 4, "num_layers": 2, "sample_size": 8, "norm_num_groups": 4, "num_embeds_ada_norm": 10}, {"sample": floats("batch", 4, 8, 8), "timestep": STEP, "class_labels": Input(("batch",), lambda rng, size: rng.integers(0, 10, size))}, lambda m, x, t, c: m(x, timestep=t, class_labels=c, return_dict=False)[0]),
    "sd3": diffusion("SD3Transformer2DModel", {"sample_size": 8, "patch_size": 2, "in_channels": 4, "num_layers": 2, "attention_head_dim": 8, "num_attention_heads": 2, "joint_attention_dim": 16, "caption_projection_dim": 16, "pooled_projection_dim": 16, "out_channels": 4, "pos_embed_max_size": 16}, {"sample": floats("batch", 4, 8, 8), "encoder_hidden_states": STATES, "pooled": floats("batch", 16), "timestep": STEP}, lambda m, x, s, p, t: m(x, s, p, t, return_dict=False)[0]),
}  # fmt: skip


def torchvision() -> None:
    from torch_models import import_torchvision

    import_torchvision()


def vision(
    name: str, module: str, body: Callable[..., Any], outputs: tuple[str, ...], **options: Any
) -> Architecture:
    """A model of torchvision."""

    def build() -> nn.Module:
        torchvision()
        import importlib

        from torch_models import calm

        made = getattr(importlib.import_module(f"torchvision.models.{module}"), name)
        model = made(weights=None, **({"weights_backbone": None} | options))
        calm(model)
        return calling(model, ["x"], body)

    shape: Shape = (1, 3, 96, 128) if module == "detection" else ("batch", 3, "height", "width")
    return Architecture("torchvision", build, {"x": unit(*shape)}, outputs)


FEW = {"min_size": 96, "max_size": 160, "score_thresh": 0.0, "topk_candidates": 40, "detections_per_img": 6}
PROPOSALS = {
    "min_size": 96, "max_size": 160, "rpn_pre_nms_top_n_test": 60, "rpn_post_nms_top_n_test": 20, "box_score_thresh": 0.0, "box_detections_per_img": 6,
}  # fmt: skip
FOUND = ("boxes", "scores", "labels")


def detect(model: nn.Module, x: Any) -> Any:
    found = model([x[0]])[0]
    return found["boxes"], found["scores"], found["labels"]


TORCHVISION = {
    "fasterrcnn": vision("fasterrcnn_mobilenet_v3_large_320_fpn", "detection", detect, FOUND, **PROPOSALS),
    "retinanet": vision("retinanet_resnet50_fpn", "detection", detect, FOUND, **FEW),
    "ssdlite": vision("ssdlite320_mobilenet_v3_large", "detection", detect, FOUND, score_thresh=0.0, topk_candidates=40, detections_per_img=6),
    "deeplabv3": vision("deeplabv3_mobilenet_v3_large", "segmentation", lambda m, x: m(x)["out"], ("out",)),
    "lraspp": vision("lraspp_mobilenet_v3_large", "segmentation", lambda m, x: m(x)["out"], ("out",)),
}  # fmt: skip


class GraphConvolution(nn.Module):
    """Two layers of a graph convolutional network over a list of edges, and the mean of the nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 4)

    def pass_on(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        degree = torch.ones_like(x[:, :1]).index_add(
            0, edges[1], torch.ones_like(edges[1:].t(), dtype=x.dtype)
        )
        return torch.zeros_like(x).index_add(0, edges[1], x[edges[0]]) / degree + x / degree

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.pass_on(self.first(x), edges))
        return self.pass_on(self.last(x), edges).mean(0)


class GraphAttention(nn.Module):
    """One layer of graph attention: weights of a node's edges by a softmax over its neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.score = nn.Linear(8, 16), nn.Linear(32, 1)

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        x = self.project(x)
        score = nn.functional.leaky_relu(self.score(torch.cat([x[edges[0]], x[edges[1]]], 1)), 0.2)[:, 0]
        top = torch.full_like(x[:, 0], -1e9).scatter_reduce(0, edges[1], score, "amax")
        weight = torch.exp(score - top[edges[1]])
        total = torch.zeros_like(x[:, 0]).scatter_add(0, edges[1], weight) + 1e-9
        return torch.zeros_like(x).index_add(0, edges[1], x[edges[0]] * (weight / total[edges[1]])[:, None])


class Recognizer(nn.Module):
    """Recurrent text recognition: convolutions, their columns as steps of a bidirectional LSTM, characters."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1),
            nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d((2, 1)), nn.AdaptiveAvgPool2d((1, None)),
        )  # fmt: skip
        self.steps = nn.LSTM(16, 16, 2, bidirectional=True, batch_first=True)
        self.characters = nn.Linear(32, 20)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.convolutions(image).squeeze(2).permute(0, 2, 1)
        return self.characters(self.steps(x)[0]).log_softmax(-1)


class Tagger(nn.Module):
    """A recurrent tagger: embedding, GRU in both directions, a label for each step."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(99, 16)
        self.steps = nn.GRU(16, 16, bidirectional=True, batch_first=True)
        self.labels = nn.Linear(32, 5)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return self.labels(self.steps(self.words(words))[0])


class Forecaster(nn.Module):
    """An LSTM whose state is carried by the caller."""

    def __init__(self) -> None:
        super().__init__()
        self.steps, self.last = nn.LSTM(4, 16, batch_first=True), nn.Linear(16, 4)

    def forward(
        self, series: torch.Tensor, h: torch.Tensor, c: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        x, (h, c) = self.steps(series, (h, c))
        return self.last(x[:, -1]), h, c


class UNet(nn.Module):
    """Segmentation: down, up by interpolation and by a transposed convolution, with skips."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, 2, 1)
        self.down3 = nn.Conv2d(16, 32, 3, 2, 1)
        self.up1, self.up2 = nn.ConvTranspose2d(32, 16, 2, 2), nn.Conv2d(16, 8, 3, padding=1)
        self.norm, self.last = nn.GroupNorm(4, 16), nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = torch.relu(self.down1(x))
        two = torch.relu(self.norm(self.down2(one)))
        three = torch.relu(self.down3(two))
        up = torch.relu(self.up1(three) + two)
        up = nn.functional.interpolate(self.up2(up), scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.last(up + one)


class Beats(nn.Module):
    """N-BEATS: blocks that each explain a part of the series."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 30))
            for _ in range(3)
        )

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        forecast = torch.zeros_like(series[:, :6])
        for block in self.blocks:
            found = block(series)
            series, forecast = series - found[:, :24], forecast + found[:, 24:]
        return forecast


class Separator(nn.Module):
    """Speech: a spectrum of windows, a mask for it, and its inverse as overlapping frames."""

    def __init__(self) -> None:
        super().__init__()
        self.frames, self.back = (
            nn.Conv1d(1, 32, 16, 8, bias=False),
            nn.ConvTranspose1d(32, 1, 16, 8, bias=False),
        )
        self.mask = nn.Sequential(
            nn.Conv1d(32, 32, 3, padding=2, dilation=2), nn.PReLU(), nn.Conv1d(32, 32, 1)
        )

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        frames = torch.relu(self.frames(samples[:, None]))
        return self.back(frames * torch.sigmoid(self.mask(frames)))[:, 0]


class Spectrum(nn.Module):
    """Speech: a short-time Fourier transform, its logarithm in bands, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(64))
        self.bands, self.last = nn.Linear(33, 12), nn.Linear(12, 4)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        found = torch.stft(samples, 64, 32, window=self.window, return_complex=True)
        power = found.real**2 + found.imag**2
        return self.last(torch.log(self.bands(power.transpose(1, 2)).abs() + 1e-3).mean(1))


class Suppressed(nn.Module):
    """Boxes, the best of which stay after non-maximum suppression."""

    def __init__(self) -> None:
        super().__init__()
        self.places, self.scores = nn.Linear(8, 4), nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        import torchvision.ops

        corner, size = self.places(x).chunk(2, -1)
        boxes, scores = torch.cat([corner, corner + size.exp()], -1), self.scores(x)[:, 0].sigmoid()
        kept = torchvision.ops.nms(boxes, scores, 0.4)
        return boxes[kept], scores[kept]


def plain(
    kind: type[nn.Module], inputs: dict[str, Input], *outputs: str, scripted: bool = True
) -> Architecture:
    def build() -> nn.Module:
        torchvision()
        return kind().eval()

    return Architecture("torch", build, inputs, outputs or ("output",), scripted)


GRAPH = {"x": floats("nodes", 8), "edges": Input((2, "edges"), lambda rng, size: rng.integers(0, 6, size))}
STATE = floats(1, "batch", 16)

TORCH = {
    "gcn": plain(GraphConvolution, GRAPH),
    "gat": plain(GraphAttention, GRAPH),
    "crnn": plain(Recognizer, {"image": unit("batch", 1, 32, "width")}),
    "tagger": plain(Tagger, {"words": ids(99, "batch", "sequence")}),
    "forecaster": plain(Forecaster, {"series": floats("batch", "sequence", 4), "h": STATE, "c": STATE}, "forecast", "hn", "cn"),
    "unet_segmentation": plain(UNet, {"x": unit("batch", 3, "height", "width")}),
    "nbeats": plain(Beats, {"series": floats("batch", 24)}),
    "separator": plain(Separator, {"samples": floats("batch", "samples")}),
    "spectrum": plain(Spectrum, {"samples": floats("batch", "samples")}),
    "suppressed": plain(Suppressed, {"x": floats("nodes", 8)}, "boxes", "scores", scripted=False),
}  # fmt: skip


def keras_model(make: Callable[[Any, Any], Any], inputs: dict[str, Input]) -> Architecture:
    """A functional Keras model: `make` gives its outputs, by name, of keras.layers and the inputs."""

    def build() -> Any:
        from bridge_savedmodel.tensorflow import tensorflow

        tensorflow()
        import keras

        keras.utils.set_random_seed(0)
        given = {
            name: keras.Input(
                [None if isinstance(n, str) else n for n in each.shape[1:]],
                dtype=str(each.array(dict.fromkeys(LENGTHS, 4), np.random.default_rng(0)).dtype),
                name=name,
            )
            for name, each in inputs.items()
        }
        return keras.Model(given, make(keras, *given.values()))

    return Architecture("keras", build, inputs)


def application(name: str, side: int = 64) -> Architecture:
    def make(keras: Any, image: Any) -> Any:
        network = getattr(keras.applications, name)
        return network(weights=None, classes=10, input_tensor=image, include_top=True).output

    return keras_model(make, {"image": unit("batch", side, side, 3)})


def words(keras: Any, tokens: Any, masked: bool = True) -> Any:
    return keras.layers.Embedding(99, 16, mask_zero=masked)(tokens)


def attention_block(keras: Any, tokens: Any) -> Any:
    layers = keras.layers
    x = words(keras, tokens, masked=False)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(4, 4)(x, x))
    x = layers.LayerNormalization()(x + layers.Dense(16)(layers.Dense(32, activation="gelu")(x)))
    return layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling1D()(x))


KERAS_TOKENS = {"tokens": ids(99, "batch", "sequence")}
KERAS_SERIES = {"series": floats("batch", "sequence", 8)}

KERAS = {
    "keras_mobilenet_v2": application("MobileNetV2"),
    "keras_resnet50": application("ResNet50"),
    "keras_efficientnet": application("EfficientNetV2B0"),
    "keras_densenet": application("DenseNet121"),
    "keras_lstm": keras_model(lambda k, x: k.layers.Dense(3)(k.layers.LSTM(16)(words(k, x))), KERAS_TOKENS),
    "keras_bilstm": keras_model(lambda k, x: k.layers.Dense(3)(k.layers.Bidirectional(k.layers.LSTM(8, return_sequences=True))(words(k, x))), KERAS_TOKENS),
    "keras_gru": keras_model(lambda k, x: k.layers.GRU(8, return_sequences=True)(x), KERAS_SERIES),
    "keras_transformer": keras_model(attention_block, KERAS_TOKENS),
    "keras_conv1d": keras_model(lambda k, x: k.layers.Dense(2)(k.layers.GlobalMaxPooling1D()(k.layers.Conv1D(8, 3, dilation_rate=2, padding="causal", activation="relu")(x))), KERAS_SERIES),
    "keras_convlstm": keras_model(lambda k, x: k.layers.ConvLSTM2D(4, 3, padding="same")(x), {"frames": floats("batch", "frames", 8, 8, 2)}),
    "keras_time_distributed": keras_model(lambda k, x: k.layers.TimeDistributed(k.layers.Dense(4, activation="tanh"))(x), KERAS_SERIES),
}  # fmt: skip

ARCHITECTURES: dict[str, Architecture] = (
    TRANSFORMERS | DECODERS | TIMM | ULTRALYTICS | DIFFUSERS | TORCHVISION | TORCH | KERAS
)
FUSIONS = {
    "bert": "bert", "roberta": "bert", "distilbert": "bert", "albert": "bert", "deberta": "bert", "t5": "t5", "bart": "bart",
    "vit": "vit", "clip": "clip", "gpt2": "gpt2", "unet_conditional": "unet", "vae_decoder": "vae",
}  # fmt: skip
"""Kinds of models that ONNX Runtime's optimizer fuses."""

ARCHITECTURES |= {name: replace(ARCHITECTURES[name], fusion=kind) for name, kind in FUSIONS.items()}


def chosen(words_: list[str]) -> Iterator[str]:
    """Names of architectures, or of whole groups; all where none are named."""
    for name, architecture in ARCHITECTURES.items():
        if not words_ or name in words_ or architecture.group in words_:
            yield name
