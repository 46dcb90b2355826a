"""Core ML file → hub: the reader for the type of model in the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx_ir as ir

from bridge import facts
from bridge.errors import BridgeError, UnreadableFile, UnsupportedModel
from bridge.formats import Importer, Option
from bridge_coreml import linked_models
from bridge_coreml.import_ops import ops
from bridge_coreml.linked_models import PIPELINES
from bridge_coreml.network import network
from bridge_coreml.pipeline.importer import (
    APPLE_ONLY,
    MESSAGE_HANDLERS,
    NETWORKS,
    NOT_READ,
    STEP_HANDLERS,
    classical,
)
from bridge_coreml.program import program
from bridge_coreml.reader import File, read

MODELS: dict[str, Callable[[File, dict[str, Any]], ir.Model]] = {
    "mlProgram": program,
    **dict.fromkeys(NETWORKS, network),
    **dict.fromkeys((*PIPELINES, *STEP_HANDLERS, *MESSAGE_HANDLERS), classical),
}


def load(src: Any, **options: Any) -> ir.Model:
    """Read a Core ML package or file into a hub model.

    Raises UnreadableFile for bytes that are no Core ML model, UnsupportedModel for a model only Apple's
    systems run and for operators without a rule, InvalidOption for a function the file does not have.
    """
    path = Path(src)
    file = read(path)
    linked_models.resolve_links(file)
    model_type = file.message.WhichOneof("Type")
    if model_type in APPLE_ONLY:
        raise UnsupportedModel(
            f"{path} is {APPLE_ONLY[model_type]}.", [], "Nothing outside Apple's systems can run it."
        )
    if model_type not in MODELS:
        description = NOT_READ.get(model_type, f"a {model_type}")
        raise UnsupportedModel(f"{path} is {description}, which is not read.", [])
    try:
        model = MODELS[model_type](file, options)
    except (BridgeError, MemoryError):
        raise
    except Exception as error:
        raise UnreadableFile(
            f"{path} is not a valid Core ML model: {type(error).__name__}: {error}", "Is the file complete?"
        ) from error
    facts.FORMAT.set(model, "coreml")
    facts.SHA256.set(model, file.digest)
    facts.SPECIFICATION.set(model, str(file.message.specificationVersion))
    return model


importer = Importer(
    load,
    (
        Option(
            "function",
            "the function to read of a program that has several; the default one when not named",
            "",
        ),
        Option(
            "rows",
            "the records a classical model takes: one at a time, as in Core ML, or as many as are given",
            "one",
            str,
            ("one", "many"),
        ),
        Option(
            "labels",
            "where the labels of a classifier go: to metadata, or also to an output with the predicted label",
            "metadata",
            str,
            ("metadata", "output"),
        ),
    ),
    ops,
)
