"""A folder of transformers as a torch module with named inputs and outputs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from bridge.errors import InvalidOption, UnreadableFile, UnsupportedModel
from bridge_transformers.tasks import MAIN, TASKS, inputs_of

PARTS = ("encoder", "decoder")
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
VARYING = {"samples": 1600, "frames": 64}
OFFLINE = {"local_files_only": True, "trust_remote_code": False}


@dataclass(frozen=True)
class Called:
    """A module of keyword arguments `inputs`, each of a dtype and a shape, which gives tensors by name."""

    module: torch.nn.Module
    inputs: dict[str, str]
    title: str

    @property
    def specs(self) -> list[str]:
        """The inputs as the option `inputs` of TorchScript describes them."""
        return [f"{name}:{what}" for name, what in self.inputs.items()]

    def public_name(self, name: str) -> str:
        """`past_key_values.0.key` of an argument, or a result, called `past_key_values_0_key`."""
        kind, cache, rest = name.partition("past_key_values_" if name.startswith("past") else "present_")
        return f"{cache[:-1]}.{rest.replace('_', '.')}" if cache and not kind else name


def opened(folder: Path, task: str | None, part: str | None) -> Called:
    """The model of a folder, or a part of it, in evaluation. Raises UnreadableFile, UnsupportedModel,
    InvalidOption."""
    if folder.is_file():
        raise UnreadableFile(
            f"{folder} holds weights, and not the model they belong to.",
            "Name the folder with config.json and these weights, or hand the live module to bridge.convert.",
        )
    config = _config(folder)
    _require_safetensors(folder)
    model = _model(folder, config, task)
    title = type(model).__name__
    both = bool(config.is_encoder_decoder)
    if part and not both:
        raise InvalidOption(f"{title} has no encoder and decoder, whose part={part} could be read.")
    if part == "encoder":
        return _plain(model.get_encoder(), config, f"{title} encoder")
    if part == "decoder":
        return _decoder(model, config, f"{title} decoder")
    if not both and model.can_generate() and model.main_input_name == "input_ids":
        return _cached(model, title)
    return _plain(model, config, title, both)


def _config(folder: Path) -> Any:
    try:
        return transformers.AutoConfig.from_pretrained(folder, **OFFLINE)
    except Exception as error:
        raise UnreadableFile(
            f"{folder}/config.json is no config of transformers {transformers.__version__}: {error}",
            "Models with code of their own are not read: hand the live module to bridge.convert.",
        ) from error


def _require_safetensors(folder: Path) -> None:
    if list(folder.glob("*.safetensors")):
        return
    pickled = next((name for name in PICKLED if (folder / name).exists()), None)
    if pickled is None:
        raise UnreadableFile(f"{folder} holds no weights: there is no *.safetensors in it.")
    raise UnreadableFile(
        f"The weights of {folder} are pickled ({pickled}): opening them may run code.",
        f"Where they come from is trusted: AutoModel.from_pretrained({str(folder)!r}).save_pretrained('new', "
        "safe_serialization=True).",
    )


def _model(folder: Path, config: Any, task: str | None) -> Any:
    named = (config.architectures or ["AutoModel"])[0]
    kind = getattr(transformers, TASKS[task] if task else named, None)
    if kind is None:
        raise UnsupportedModel(f"transformers {transformers.__version__} has no {named}.", [])
    try:
        with _quiet():
            model, info = kind.from_pretrained(
                folder,
                config=config,
                use_safetensors=True,
                dtype="float32",
                output_loading_info=True,
                **OFFLINE,
            )
    except Exception as error:
        raise UnreadableFile(f"transformers cannot open {folder}: {error}") from error
    lacking = sorted({*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])})
    if lacking:
        shown = ", ".join(lacking[:3]) + (f" and {len(lacking) - 3} more" if lacking[3:] else "")
        raise UnreadableFile(
            f"{folder} has no weights for {shown} of {type(model).__name__}: they would be random.",
            "Name the task the model was trained for (task=), or train that head first.",
        )
    return model.eval()


@contextmanager
def _quiet() -> Iterator[None]:
    """A context in which transformers reports no progress and warns of nothing."""
    log = transformers.utils.logging
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()


def _plain(model: Any, config: Any, title: str, encoder_decoder: bool = False) -> Called:
    """A model called once, with the inputs its forward has."""
    names = set(inspect.signature(model.forward).parameters)
    inputs = dict(inputs_of(config, names, encoder_decoder))
    if not set(inputs) & set(MAIN):
        raise UnsupportedModel(f"{title} takes {', '.join(sorted(names))}: none of it is known here.", [])
    unused = {"use_cache": False} if "use_cache" in names and "past_key_values" in names else {}
    return Called(
        _module(model, list(inputs), lambda model, given: _tensors(model(**given, **unused))), inputs, title
    )


def _cached(model: Any, title: str) -> Called:
    """A causal language model, with its cache."""
    inputs = {"input_ids": "int64[batch,sequence]", "attention_mask": "int64[batch,past + sequence]"}
    cache = _cache_of(model(input_ids=torch.ones(1, 2, dtype=torch.int64), use_cache=True))
    if cache is None:
        return _plain(model, model.config, title)
    inputs |= cache

    def call(model: Any, given: dict[str, Any]) -> dict[str, Any]:
        kept = transformers.DynamicCache()
        _fill(kept, [given.pop(name) for name in cache])
        found = model(**given, past_key_values=kept, use_cache=True)
        return {"logits": found.logits} | _present(found.past_key_values)

    return Called(_module(model, list(inputs), call), inputs, title)


def _decoder(model: Any, config: Any, title: str) -> Called:
    """The decoder of a model with an encoder: it takes what the encoder gives, and its own cache."""
    ids = torch.ones(1, 2, dtype=torch.int64)
    encoder = _plain(model.get_encoder(), config, title)
    example = {name: _example(what) for name, what in encoder.inputs.items()}
    states = model.get_encoder()(**example).last_hidden_state
    cache = _cache_of(
        model(encoder_outputs=(states,), decoder_input_ids=ids, use_cache=True), "self_attention_cache"
    )
    inputs = {
        "decoder_input_ids": "int64[batch,target]",
        "encoder_hidden_states": f"float32[batch,source,{states.shape[-1]}]",
    }
    if "attention_mask" in encoder.inputs:
        inputs["encoder_attention_mask"] = "int64[batch,source]"
    inputs |= cache or {}

    def call(model: Any, given: dict[str, Any]) -> dict[str, Any]:
        own = transformers.DynamicCache()
        _fill(own, [given.pop(name) for name in cache or {}])
        found = model(
            encoder_outputs=(given["encoder_hidden_states"],),
            attention_mask=given.get("encoder_attention_mask"),
            decoder_input_ids=given["decoder_input_ids"],
            past_key_values=transformers.EncoderDecoderCache(own, transformers.DynamicCache()),
            use_cache=True,
        )
        return {"logits": found.logits} | _present(found.past_key_values.self_attention_cache)

    return Called(_module(model, list(inputs), call), inputs, title)


def _example(what: str) -> torch.Tensor:
    """Ones of a dtype and shape: one record, its sound of so many samples that windows fit."""
    dtype, _, dims = what.removesuffix("]").partition("[")
    shape = [int(d) if d.isdecimal() else VARYING.get(d, 1) for d in dims.split(",")]
    return torch.ones(shape, dtype=getattr(torch, dtype))


def _cache_of(found: Any, part: str = "") -> dict[str, str] | None:
    """The inputs that hold a cache like the one a model gave; None where it is of another kind."""
    cache = getattr(found, "past_key_values", None)
    cache = getattr(cache, part) if cache is not None and part else cache
    layers = getattr(cache, "layers", None)
    if not layers or any(getattr(layer, "keys", None) is None for layer in layers):
        return None
    return {
        f"past_key_values_{number}_{name}": f"float32[batch,{tensor.shape[1]},past,{tensor.shape[3]}]"
        for number, layer in enumerate(layers)
        for name, tensor in (("key", layer.keys), ("value", layer.values))
    }


def _fill(cache: Any, tensors: list[Any]) -> None:
    for number, (keys, values) in enumerate(zip(tensors[::2], tensors[1::2], strict=True)):
        cache.update(keys, values, number)


def _present(cache: Any) -> dict[str, Any]:
    return {
        f"present_{number}_{name}": tensor
        for number, layer in enumerate(cache.layers)
        for name, tensor in (("key", layer.keys), ("value", layer.values))
    }


def _tensors(found: Any) -> dict[str, Any]:
    """The fields of a result that are tensors."""
    return {name: each for name, each in found.items() if isinstance(each, torch.Tensor)}


def _module(model: Any, names: list[str], call: Callable[[Any, dict[str, Any]], dict[str, Any]]) -> Any:
    """A module whose forward has these names, and gives what `call` does of the model and them."""

    def forward(self: Any, *values: Any, **given: Any) -> dict[str, Any]:
        return call(self.model, dict(zip(names, values, strict=False)) | given)

    kinds = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ("self", *names)]
    forward.__signature__ = inspect.Signature(kinds)  # type: ignore[attr-defined]
    module = type(type(model).__name__, (torch.nn.Module,), {"forward": forward})()
    module.model = model
    return module.eval()
