"""Outputs that a file holds as something else, where its format lacks their type: read back and run, they are
what they were."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.errors import ExecutionFailed
from bridge.facts import STORED

__all__ = ["as_held", "in_words", "restore_outputs", "restored"]


@dataclass(frozen=True)
class Kind:
    """A way to hold an output: `array(held, how)` gives back the array that it stands for, `value(op, held,
    how)` the hub value, or None where the hub holds it so too; `how` is what the file's metadata says of it,
    where `fits` finds it sound. `words` say it in a report."""

    words: str
    fits: Callable[[Any], bool]
    array: Callable[[np.ndarray, Any], np.ndarray]
    value: Callable[[hub.Builder, ir.Value, Any], ir.Value] | None = None


def are_names(how: Any) -> bool:
    return isinstance(how, list) and bool(how) and all(isinstance(name, str) for name in how)


def names_of(held: np.ndarray, names: list[str]) -> np.ndarray:
    """The names at these places. Raises ExecutionFailed for places that are not there."""
    places = np.asarray(held).astype(np.int64)
    if places.size and not 0 <= places.min() <= places.max() < len(names):
        raise ExecutionFailed(f"The model names its class {places.max()}, of {len(names)} names.")
    return np.array(names, object)[places]


def gather_names(op: hub.Builder, held: ir.Value, names: list[str]) -> ir.Value:
    return op.Gather(hub.strings(names), held, axis=0)


PARTS: dict[str, type[np.floating]] = {"complex64": np.float32, "complex128": np.float64}
"""The dtype of real and imaginary parts, by that of the complex numbers they make."""


def is_complex(how: Any) -> bool:
    return isinstance(how, str) and how in PARTS


def from_pairs(held: Any, dtype: str) -> Any:
    """Complex numbers of pairs along the last axis. Raises ExecutionFailed for what are no pairs."""
    if isinstance(held, (list, tuple)):
        return [from_pairs(item, dtype) for item in held]
    pairs = np.asarray(held)
    if pairs.ndim == 0 or pairs.shape[-1] != 2 or pairs.dtype.kind != "f":
        raise ExecutionFailed(f"The model's complex numbers are {pairs.dtype}{list(pairs.shape)}, no pairs.")
    return np.ascontiguousarray(pairs.astype(PARTS[dtype])).view(dtype)[..., 0]


KINDS = {
    "names": Kind(
        "text is held as places in its names; bridge.run gives back the text",
        are_names,
        names_of,
        gather_names,
    ),
    "complex": Kind(
        "complex numbers are held as pairs, their real and imaginary parts along a last axis of 2; "
        "bridge.run gives them back",
        is_complex,
        from_pairs,
    ),
}
"""Ways by the word that stands for them in the metadata: `names` are integers, each a place in a list of
texts; `complex` are floats, [..., 2], in which complex numbers of that dtype have their parts."""


def in_words(model: ir.Model) -> list[str]:
    """A sentence for each output that is held as something else."""
    return [f"output {name}: {kind.words}" for name, (kind, _) in _ways(model.metadata_props).items()]


def _ways(props: Mapping[str, str]) -> dict[str, tuple[Kind, Any]]:
    """Way and detail by output, of entries that name a known way."""
    found = {}
    for name, stored in STORED.all(SimpleNamespace(metadata_props=dict(props))):
        for word, how in stored.items() if isinstance(stored, dict) else ():
            if word in KINDS and KINDS[word].fits(how):
                found[name] = (KINDS[word], how)
    return found


def as_held(model: ir.Model) -> ir.Model:
    """A copy that gives outputs as a file holds them."""
    copy = model.clone()
    for name, _ in list(STORED.all(copy)):
        STORED.of(name).drop(copy)
    return copy


def restored(outputs: Mapping[str, Any], props: Mapping[str, str]) -> dict[str, Any]:
    """Outputs of a file as what they stand for, by the entries of its metadata."""
    ways = _ways(props)
    return {n: ways[n][0].array(a, ways[n][1]) if n in ways else a for n, a in outputs.items()}


def restore_outputs(model: ir.Model) -> None:
    """Have a model that was read from a file give back what its outputs stand for, where the hub can. What
    an importer tells of a graph is told of the model."""
    outputs = model.graph.outputs
    for name, how in list(STORED.all(model.graph)):
        STORED.of(name).set(model, how)
        STORED.of(name).drop(model.graph)
    for name, (kind, how) in _ways(model.metadata_props).items():
        place = next((i for i, v in enumerate(outputs) if v.name == name), None)
        if place is not None and kind.value is None:
            continue
        STORED.of(name).drop(model)
        if place is None or kind.value is None:
            continue
        held = outputs[place]
        held.name = hub.fresh_name(model.graph, name)
        value = kind.value(hub.Builder(model.graph), held, how)
        value.name, value.doc_string = name, held.doc_string
        outputs[place] = value
