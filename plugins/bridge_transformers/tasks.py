"""Tasks of models of transformers, and the inputs they are called with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

TASKS = {
    "feature-extraction": "AutoModel",
    "fill-mask": "AutoModelForMaskedLM",
    "text-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "question-answering": "AutoModelForQuestionAnswering",
    "text-generation": "AutoModelForCausalLM",
    "text2text-generation": "AutoModelForSeq2SeqLM",
    "image-classification": "AutoModelForImageClassification",
    "object-detection": "AutoModelForObjectDetection",
    "semantic-segmentation": "AutoModelForSemanticSegmentation",
    "depth-estimation": "AutoModelForDepthEstimation",
    "zero-shot-image-classification": "AutoModelForZeroShotImageClassification",
    "audio-classification": "AutoModelForAudioClassification",
    "automatic-speech-recognition": "AutoModelForSpeechSeq2Seq",
    "speech-recognition-ctc": "AutoModelForCTC",
    "time-series-forecasting": "AutoModelForTimeSeriesPrediction",
}
"""Tasks as transformers' pipelines call them, and the class that has the head for it."""

Shape = Callable[[Any], str]


def config_of(config: Any, name: str) -> Any:
    """A number of a config, or of the part of it that is about images, audio or text."""
    parts = [
        config,
        *(getattr(config, f"{of}_config", None) for of in ("vision", "text", "audio", "encoder")),
    ]
    return next((getattr(p, name) for p in parts if getattr(p, name, None) is not None), None)


def _image(config: Any) -> str:
    sides = config_of(config, "image_size")
    height, width = sides if isinstance(sides, (list, tuple)) else (sides, sides)
    channels = config_of(config, "num_channels") or 3
    return f"float32[batch,{channels},{height or 'height'},{width or 'width'}]"


def _features(config: Any) -> str:
    bands = config_of(config, "num_mel_bins") or config_of(config, "input_feat_per_channel") or 80
    if config.model_type == "whisper":
        return f"float32[batch,{bands},{2 * config.max_source_positions}]"
    return f"float32[batch,frames,{bands}]"


def _sound(config: Any) -> str:
    if config.model_type == "audio-spectrogram-transformer":
        return f"float32[batch,{config.max_length},{config.num_mel_bins}]"
    return "float32[batch,samples]"


def _series(config: Any) -> str:
    return f"float32[batch,{config.context_length},{config_of(config, 'num_input_channels') or 1}]"


INPUTS: dict[str, Shape] = {
    "input_ids": lambda config: "int64[batch,sequence]",
    "attention_mask": lambda config: "int64[batch,sequence]",
    "token_type_ids": lambda config: "int64[batch,sequence]",
    "bbox": lambda config: "int64[batch,sequence,4]",
    "pixel_values": _image,
    "input_values": _sound,
    "input_features": _features,
    "past_values": _series,
    "decoder_input_ids": lambda config: "int64[batch,target]",
}
"""Inputs that exported models have, and what they are."""

MAIN = ("input_ids", "pixel_values", "input_values", "input_features", "past_values")


def inputs_of(config: Any, names: set[str], encoder_decoder: bool) -> Iterator[tuple[str, str]]:
    """Inputs of a forward that has these names, and the dtype and shape of each."""
    text = "input_ids" in names
    for name, shape in INPUTS.items():
        if name not in names or (name == "decoder_input_ids" and not encoder_decoder):
            continue
        if name == "attention_mask" and not text:
            continue
        if name == "token_type_ids" and (config_of(config, "type_vocab_size") or 0) < 2:
            continue
        yield name, shape(config)
