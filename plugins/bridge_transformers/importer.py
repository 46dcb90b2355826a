"""Import: a folder of transformers → hub, through torch.export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx_ir as ir
import transformers

from bridge import facts
from bridge.formats import Importer, Option
from bridge.load import reader
from bridge_transformers.model import PARTS, opened
from bridge_transformers.tasks import TASKS


def load(src: Any, task: str | None = None, part: str | None = None) -> ir.Model:
    """Read a folder into a hub model: with the inputs of its task, whose batch and lengths vary.

    A causal language model takes the keys and values of earlier tokens, `past_key_values.N.key`, and gives
    those with its own, `present.N.key`. Raises UnsupportedModel, UnreadableFile, InvalidOption.
    """
    called = opened(Path(src), task, part)
    model = reader(called.module, "torchscript", {"inputs": called.specs}).read()
    for value in (*model.graph.inputs, *model.graph.outputs):
        value.name = called.public_name(value.name or "")
    model.graph.name = called.title
    facts.FORMAT.set(model, "transformers")
    facts.VERSION.set(model, transformers.__version__)
    return model


importer = Importer(
    load=load,
    options=(
        Option(
            "task",
            "what the model is for, where another head than that of its config is meant",
            None,
            choices=tuple(TASKS),
        ),
        Option(
            "part",
            "the part of a model of an encoder and a decoder; both in one where none is named",
            None,
            choices=PARTS,
        ),
    ),
)
