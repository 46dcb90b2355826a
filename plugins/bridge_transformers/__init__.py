"""Folders of Hugging Face transformers: `config.json` beside weights in safetensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bridge.formats import Format, Part
from bridge.hookspecs import hookimpl

CONFIG = "config.json"


def detect(src: Any) -> bool:
    """True for a folder whose config.json names a kind of model of transformers."""
    if not isinstance(src, (str, Path)) or not (Path(src) / CONFIG).is_file():
        return False
    try:
        config = json.loads((Path(src) / CONFIG).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and "model_type" in config


TRANSFORMERS = Format(
    name="transformers",
    title="Hugging Face transformers",
    suffixes=(".safetensors",),
    importer=Part("bridge_transformers.importer:importer", ("torch", "transformers")),
    runtime=Part("bridge_transformers.runtime:runtime", ("torch", "transformers")),
    versions="folders with config.json and safetensors",
    extra="transformers",
    packages=("torch", "transformers"),
    detect=detect,
    folder=("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.md"),
    words=("huggingface", "hf", "safetensors"),
)


@hookimpl
def bridge_formats() -> list[Format]:
    return [TRANSFORMERS]
