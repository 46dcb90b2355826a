"""Summary of a model file."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import onnx_ir as ir

from bridge import hub
from bridge.facts import CARD, PROVENANCE
from bridge.load import reader
from bridge.ports import Port, port_of
from bridge.provenance.card import Card, card_of
from bridge.provenance.chain import Provenance, provenance_of
from bridge.provenance.record import files_of_model, paths_of_model


@dataclass(frozen=True)
class Summary:
    """Format, interface, operators by count, bytes on disk, parameters and metadata of a model; where it
    comes from, what its model card says, and the bytes and digests of its files."""

    format: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: dict[str, int]
    bytes: int
    parameters: int
    metadata: dict[str, str]
    provenance: Provenance = field(default_factory=Provenance)
    card: Card = field(default_factory=Card)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        told = {"provenance": self.provenance.to_dict(), "card": self.card.to_dict()}
        return asdict(self) | told

    def __str__(self) -> str:
        lines = [f"{self.format}, {self.bytes:,} bytes, {self.parameters:,} parameters"]
        lines += [f"  input   {port}" for port in self.inputs]
        lines += [f"  output  {port}" for port in self.outputs]
        lines += [f"  {count:>6} × {op}" for op, count in self.operators.items()]
        lines += [f"  {key}: {value}" for key, value in self.metadata.items()]
        lines += [f"  provenance: {self.provenance.route}"] * bool(self.provenance.steps)
        lines += [f"  card: {', '.join(self.card.fields)}"] * bool(self.card.fields)
        return "\n".join(lines)


def inspect(
    path: str | Path, *, source: str | None = None, dims: dict[str, int] | None = None, **options: Any
) -> Summary:
    """Summary of a model file as the hub reads it, with lengths of symbolic dimensions by name, and those
    options of its importer. Raises what `load` raises."""
    read = reader(path, source, options, dims)
    model = read.read()
    counts = Counter(hub.qualified(node) for node in hub.all_nodes(model))
    return Summary(
        read.format.name,
        tuple(port_of(v) for v in model.graph.inputs),
        tuple(port_of(v) for v in model.graph.outputs),
        dict(counts.most_common()),
        size_on_disk(Path(read.source), model),
        sum(tensor.size for tensor in hub.weights(model)),
        {k: v for k, v in model.metadata_props.items() if k not in (PROVENANCE.key, CARD.key)},
        provenance_of(model),
        Card(card_of(model)),
        files_of_model(Path(read.source), model),
    )


def size_on_disk(path: Path, model: ir.Model | None = None) -> int:
    """Bytes of a file or folder; if a hub model was read from it, and of the files beside it that hold its
    weights."""
    return sum(file.stat().st_size for file in paths_of_model(path, model))
